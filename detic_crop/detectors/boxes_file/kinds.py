"""What a format is to the registry: how it is told from others, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file.drafts import Drafts
from detic_crop.detectors.boxes_file.folder import LabelFolder
from detic_crop.detectors.boxes_file.table import BoxesTable, StatedFormatError

Content = TypeVar("Content")  # JSON as Python values, XML as its root element, a table as its text


@dataclass(frozen=True, slots=True)
class WholeFormat(Generic[Content]):
    """One file for many photos.

    Attributes:
        name: name of the format in messages.
        matches: returns whether the content is of this format; cheap.
        read: the whole content, what a person says that four numbers mean → boxes. Raises FormatError.
    """

    name: str
    matches: Callable[[Content], bool]
    read: Callable[[Content, BoxFormat | None], BoxesTable]


@dataclass(frozen=True, slots=True)
class PhotoFormat(Generic[Content]):
    """One file for each photo, which is named after it.

    Attributes:
        name: name of the format in messages.
        suffix: ending of the files, in lower case with the dot.
        matches: returns whether the content is of this format; cheap.
        read: add what (label file, path of the photo, content) say of that photo.
        stated_photo: the photo's file name as the content states it, None where it does not.
    """

    name: str
    suffix: str
    matches: Callable[[Content], bool]
    read: Callable[[Drafts, str, str, Content], None]
    stated_photo: Callable[[Content], str | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class FoundLabels:
    """Label files of one format in a folder.

    Attributes:
        files: relative paths.
        example: one of them that has content of this format; "" when all that were looked at are empty.
        read: reads them all.
    """

    name: str
    files: Sequence[str]
    example: str
    read: Callable[[], BoxesTable]


class FolderFormat(Protocol):
    """A way to label photos with a folder of files."""

    @property
    def name(self) -> str: ...

    def find(self, folder: LabelFolder) -> FoundLabels | None:
        """Return the folder's label files of this format."""
        ...


def refuse_box_format(box_format: BoxFormat | None) -> None:
    """Refuse --box-format with a format that defines what its numbers are.

    Raises:
        StatedFormatError: a person says it, too.
    """
    if box_format is not None:
        raise StatedFormatError(
            f"expected no --box-format, got {box_format}: these labels say what each number is; leave it out"
        )
