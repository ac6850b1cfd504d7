"""What is known of one photo: the record of what was done with it, as a line of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from detic_crop.boxes.choose import reason_of
from detic_crop.folder.crop_paths import numbered
from detic_crop.folder.lines import to_line
from detic_crop.folder.names import is_crop_path
from detic_crop.folder.typed_json import decode, decode_lines

Status: TypeAlias = Literal["cropped", "resized", "skipped", "rejected", "failed"]
# Bounds are far above what any photo has, and low enough that no sum or product of such numbers overflows.
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**61)]
Side: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Pixel: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Number: TypeAlias = Annotated[float, msgspec.Meta(ge=-3.5e38, le=3.5e38)]  # of a float32
Edges: TypeAlias = tuple[Number, Number, Number, Number]
PixelEdges: TypeAlias = tuple[Pixel, Pixel, Pixel, Pixel]
Span: TypeAlias = tuple[Count, Count]
Hash: TypeAlias = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{16})?$")]


class Animal(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One animal of a photo, with ``--animals all``; the fields are `Record`'s.

    A photo in which none was found has one of number 0, without a box: the whole photo.
    """

    number: Side  # in the names of its crop; from left to right, from 1
    reason: str = ""  # too_small: it has no crop
    class_name: str = ""
    score: Number | None = None
    box: Edges | None = None
    crop_box: PixelEdges | None = None
    crop_bytes: int = 0
    quality: Side = 0
    is_shrunk: bool = False
    best_class: str = ""
    best_score: Number | None = None
    best_box: Edges | None = None
    rival_class: str = ""
    rival_score: Number | None = None
    larger_score: Number | None = None
    blur: Number | None = None
    brightness: Number | None = None
    entropy: Number | None = None
    crop_hash: Hash = ""


class DetectorChoice(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the detector alone decided, where a reviewer decided on another box; the fields are `Record`'s."""

    image: str
    status: Status
    reason: str = ""
    class_name: str = ""
    score: Number | None = None
    box: Edges | None = None
    best_class: str = ""
    best_score: Number | None = None
    best_box: Edges | None = None
    n_apart: Count = 0
    rival_class: str = ""
    rival_score: Number | None = None
    larger_score: Number | None = None
    animals: tuple[Animal, ...] = ()


class Record(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What was done with one photo.

    Boxes are xyxy in pixels of the upright photo; `box` and `best_box` raw floats, `crop_box` whole pixels.
    A field is changed with `msgspec.structs.replace`. The order of the fields is that of a line.
    """

    image: str  # key: relative path with /
    status: Status
    reason: str = ""
    # Path of the crop below the output folder; of a rejected one where it was; empty when failed. With
    # --animals all the crops are numbered after it, see `files_of`.
    crop: str = ""
    width: Side = 0
    height: Side = 0
    class_name: str = ""
    score: Number | None = None
    presence: Number | None = None
    box: Edges | None = None
    crop_box: PixelEdges | None = None
    n_candidates: Count = 0
    # The most confident eligible box where that is another than the chosen one.
    best_class: str = ""
    best_score: Number | None = None
    best_box: Edges | None = None
    n_apart: Count = 0  # other eligible boxes that hardly touch the chosen one
    rival_class: str = ""  # most confident unwanted class on the same spot
    rival_score: Number | None = None
    # The most confident wanted box below --conf of which the chosen one is only a part.
    larger_score: Number | None = None
    truncated: bool = False  # the file ended early; decoded as far as it goes
    damaged: bool | None = None  # the photo's data are damaged; None: not checked, as in older journals
    unlisted: bool = False  # the boxes file does not mention the photo: no detector looked at it
    blur: Number | None = None  # these three of the crop; see `images.checks.Checks`
    brightness: Number | None = None
    entropy: Number | None = None
    crop_hash: Hash = ""  # see `images.checks.perceptual_hash`
    checksum: Count | None = None  # CRC-32 of the photo's file
    taken: str = ""  # with --metadata; these six are those of `images.metadata.Metadata`
    camera: str = ""
    lens: str = ""
    focal_mm: Number | None = None
    latitude: Number | None = None  # with --gps
    longitude: Number | None = None
    model: str = ""
    found_by: str = ""  # of several joined models, or looks, the one whose box was chosen
    error: str = ""
    seen: Literal[0, 1, 2, 4, 8] = 0  # with --decode scaled: at which reduction the detector saw the photo
    stage: str = ""  # where a failed photo failed
    source: str = "run"  # run, recrop or review
    file_size: int = 0  # of the photo, bytes; with file_time it tells a changed photo
    file_time: int = 0  # modification time, ns
    crop_bytes: int = 0  # size of the crop file; a missing or cut one is made again
    quality: Side = 0  # of that file, where --max-bytes has lowered it
    is_shrunk: bool = False  # --max-bytes has made the crop smaller than --size asks
    verdict: str = ""  # what a reviewer said, once applied: accepted, whole, box or rejected
    reviewer: str = ""  # who said it
    detector_box: Edges | None = None  # where a reviewer wanted another
    detected: DetectorChoice | None = None  # there, what the detector alone decided; see `as_detected`
    reviewed: tuple[Edges, ...] = ()  # the boxes that a reviewer gave, where they are several
    note: str = ""  # what a reviewer wrote about the photo
    viewpoint: str = ""  # from which side a reviewer said the animal is seen: left, right, top or fluke
    # With --animals all: every animal, from left to right. The fields above are those of the largest of them
    # that has a crop.
    animals: tuple[Animal, ...] = ()
    candidates: Span | None = None  # offset and length in candidates.jsonl; of a failed photo its end, then

    @property
    def says_something(self) -> bool:
        """Whether a person has said something of the photo: a verdict, a note or a viewpoint."""
        return bool(self.verdict or self.note or self.viewpoint)

    def to_line(self) -> bytes:
        """Return the record as one JSON line with a checksum; fields at their default are left out."""
        values = msgspec.to_builtins(self)
        if values.get("source") == "run":  # msgspec asks for the very object; another process has its own
            del values["source"]
        return to_line(values)

    @classmethod
    def from_line(cls, line: bytes) -> Record:
        """Return the record that a JSON line holds; fields of a later version are ignored.

        The checksum is not looked at; see `LineCheck`.

        Raises:
            ValueError: the line is not a record, or a field has a value of another type.
        """
        record = decode(line, _decoder)
        record.check()
        return record

    @classmethod
    def from_lines(cls, lines: bytes, count: int) -> list[Record] | None:
        """Return the records of `count` lines, in less time; None if one of them has to be read by itself."""
        records = decode_lines(lines, _decoder, count)
        try:
            for record in records or ():
                record.check()
        except ValueError:
            return None
        return records

    def check(self) -> None:
        """Refuse what the types do not tell.

        Raises:
            ValueError: no photo has such a record.
        """
        if not is_crop_path(self.crop):
            raise ValueError("expected the path of a crop in crop")
        if self.box is not None and not self.width * self.height:
            raise ValueError("expected a photo of some size around a box")
        if self.animals:
            self._check_animals()

    def _check_animals(self) -> None:
        if len({animal.number for animal in self.animals}) < len(self.animals):
            raise ValueError("expected another number for each animal")
        if not self.crop and any(animal.crop_bytes for animal in self.animals):
            raise ValueError("expected a path in crop, after which crops are numbered")
        if any(animal.box is not None for animal in self.animals) and not self.width * self.height:
            raise ValueError("expected a photo of some size around the boxes of animals")
        if any(animal.crop_bytes and animal.crop_box is None for animal in self.animals):
            raise ValueError("expected the pixels that became each crop")


class SizeOfCrop(msgspec.Struct, frozen=True, gc=False):
    """What a resume has to know of an `Animal`."""

    number: Side
    crop_bytes: int = 0


class ResumeEntry(msgspec.Struct, frozen=True, gc=False):
    """What a resume has to know of a photo, read in a third of the time of a whole `Record`."""

    image: str
    status: Status
    crop: str = ""
    width: int = 0
    height: int = 0
    box: Edges | None = None
    file_size: int = 0
    file_time: int = 0
    crop_bytes: int = 0
    verdict: str = ""
    reviewer: str = ""
    note: str = ""
    viewpoint: str = ""
    reviewed: tuple[Edges, ...] = ()
    animals: tuple[SizeOfCrop, ...] = ()
    candidates: Span | None = None


class CropFile(NamedTuple):
    """A crop on disk.

    Attributes:
        name: its path below the output folder; of a rejected one where it was.
        size: in bytes.
    """

    name: str
    size: int


class _Numbered(Protocol):
    @property
    def number(self) -> int: ...
    @property
    def crop_bytes(self) -> int: ...


class OfCrops(Protocol):
    """What is said of the crops of one photo."""

    @property
    def status(self) -> Status:
        """See `Record`."""
        ...

    @property
    def crop(self) -> str:
        """See `Record`."""
        ...

    @property
    def crop_bytes(self) -> int:
        """Size of the crop, in bytes."""
        ...

    @property
    def animals(self) -> Sequence[_Numbered]:
        """See `Record`."""
        ...


def files_of(record: OfCrops) -> tuple[CropFile, ...]:
    """Return the crops of a photo, in the order of its animals; none of one that failed or was skipped.

    Of a rejected photo they are set aside, see `aside.place_for`.
    """
    if record.animals:
        return tuple(
            CropFile(numbered(record.crop, animal.number), animal.crop_bytes)
            for animal in record.animals
            if animal.crop_bytes
        )
    has_none = record.status == "skipped" or (record.status == "rejected" and not record.crop_bytes)
    return (CropFile(record.crop, record.crop_bytes),) if record.crop and not has_none else ()


def names_of(record: OfCrops) -> tuple[str, ...]:
    """Return the paths of the crops of a photo; see `files_of`."""
    return tuple(file.name for file in files_of(record))


def status_and_reason(record: Record) -> tuple[Status, str]:
    """Return status and reason of a photo whose boxes the detector chose, from its boxes and crops."""
    if record.crop_box is None:
        return "skipped", "too_small" if record.box is not None else reason_of(None, not record.unlisted)
    if record.box is None:
        return "resized", reason_of(None, not record.unlisted)
    return "cropped", "every_animal" if record.animals else "largest_box"


_decoder = msgspec.json.Decoder(Record)
