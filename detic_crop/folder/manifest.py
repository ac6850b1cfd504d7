"""manifest.csv: size and SHA-256 of every photo and crop, by which a copy can be checked.

It stands by itself: whoever has crops and this file can check them, without what else a folder holds.
"""

from __future__ import annotations

import csv
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from detic_crop.errors import PhotoError
from detic_crop.folder.names import is_crop_path
from detic_crop.folder.records import Record
from detic_crop.images.source import parts_of
from detic_crop.photos.location import Location
from detic_crop.stores.store import Asking

MANIFEST_COLUMNS: Mapping[str, str] = {
    "image": "relative path of the photo, with /; the key of audit.csv",
    "photo_bytes": "size of the photo's file; empty if it is gone, or is not the one that the run saw",
    "photo_sha256": "SHA-256 of it, 64 hexadecimal digits",
    "crop": "path of a crop below the folder, as in audit.csv; empty if the photo has none",
    "crop_bytes": "size of the crop",
    "crop_sha256": "SHA-256 of it",
}
"""The columns of manifest.csv; a row for each crop, and for each photo without one."""

_MOST_BYTES = 1 << 40  # of a photo of which nobody says how large it is
_HASH = re.compile("[0-9a-f]{64}")
_SIZE = re.compile("[0-9]{1,18}")


class FileHash(NamedTuple):
    """What a file is known by.

    Attributes:
        size: in bytes.
        sha256: 64 hexadecimal digits.
    """

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> FileHash:
        """Return what some bytes are known by."""
        return cls(len(data), hashlib.sha256(data).hexdigest())


class Entry(NamedTuple):
    """A row of manifest.csv.

    Attributes:
        image: key of the photo.
        photo: what the photo is known by; None where that was not known.
        crop: path of a crop; empty without one.
        crop_file: what the crop is known by; None without one, or where that was not known.
    """

    image: str
    photo: FileHash | None = None
    crop: str = ""
    crop_file: FileHash | None = None

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [self.image, *_cells(self.photo), self.crop, *_cells(self.crop_file)]


def _cells(found: FileHash | None) -> Sequence[str]:
    return ("", "") if found is None else (str(found.size), found.sha256)


def read_manifest(lines: Iterable[str]) -> Iterator[Entry | int]:
    """Yield the rows of a manifest; of one that cannot be read the number of its last line, from 1.

    Args:
        lines: the text, line by line, with line ends.

    Raises:
        ValueError: the first line has not the columns of a manifest.
    """
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
    except csv.Error:
        header = []
    if header[: len(MANIFEST_COLUMNS)] != list(MANIFEST_COLUMNS):
        raise ValueError(f"expected the columns {','.join(MANIFEST_COLUMNS)}")
    while True:
        try:
            yield _entry(next(reader))
        except StopIteration:
            return
        except (csv.Error, ValueError):
            yield reader.line_num


def _entry(cells: Sequence[str]) -> Entry:
    image, photo_bytes, photo_sha256, crop, crop_bytes, crop_sha256 = cells[: len(MANIFEST_COLUMNS)]
    if not image or not is_crop_path(crop):
        raise ValueError("expected a photo, and the path of a crop")
    return Entry(image, _hash_in(photo_bytes, photo_sha256), crop, _hash_in(crop_bytes, crop_sha256))


def _hash_in(size: str, sha256: str) -> FileHash | None:
    if not size and not sha256:
        return None
    if not _SIZE.fullmatch(size) or not _HASH.fullmatch(sha256):
        raise ValueError("expected a size and 64 hexadecimal digits")
    return FileHash(int(size), sha256)


class KnownBytes(Protocol):
    """What is known of a photo's file: the fields of `Record`."""

    @property
    def file_size(self) -> int:
        """In bytes; not positive if unknown."""
        ...

    @property
    def checksum(self) -> int | None:
        """CRC-32; None if unknown."""
        ...


MISSING = ("missing_file", "not_a_file")
"""Reasons of `hash_photo` for a photo that is not where it was."""

NOTHING_KNOWN = Record(image="", status="failed")
"""What is known of the file of a photo that no journal has."""


def hash_photo(location: Location, known: KnownBytes = NOTHING_KNOWN) -> FileHash:
    """Return what a photo is known by, if it is the one that the run saw; a little of it at a time is read.

    Args:
        location: where it is.
        known: size and checksum that the run saw.

    Raises:
        PhotoError: it cannot be read (`missing_file` and so on), or is another one now (`photo_changed`).
    """
    size, crc, sha256 = 0, 0, hashlib.sha256()
    with location.source(known.file_size or -1, _MOST_BYTES, Asking()) as source:
        if known.file_size > 0 and source.size != known.file_size:
            raise _changed(f"{known.file_size:,} bytes", f"{source.size:,}")
        for part in parts_of(source):
            size, crc = size + len(part), zlib.crc32(part, crc)
            sha256.update(part)
    if known.file_size > 0 and size != known.file_size:
        raise _changed(f"{known.file_size:,} bytes", f"{size:,}")
    if known.checksum is not None and crc != known.checksum:
        raise _changed("the bytes that the run saw", "others of the same size")
    return FileHash(size, sha256.hexdigest())


def _changed(expected: str, got: str) -> PhotoError:
    return PhotoError("photo_changed", f"expected {expected}, got {got}: the photo has changed since the run")
