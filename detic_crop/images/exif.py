"""The EXIF of a photo: what of it is read at all, and the EXIF of a crop made from it.

Only tags that are named here are read: makers' own tags, thumbnails, XMP and IPTC may hold positions and
serial numbers, and are left alone. `images.metadata` says what the tags mean.

Names of tags, types and directories are those of EXIF 2.32 (CIPA DC-008-2019), sections 4.6.3 to 4.6.6.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from detic_crop.errors import PhotoError
from detic_crop.images.directory import Directory, read_directory
from detic_crop.images.headers.read import find_exif
from detic_crop.images.source import Readable

__all__ = ["Exif", "Value", "read_exif"]

MOST_BYTES = 65_527
"""Bytes of an EXIF block that a JPEG can hold: a segment has 65,535, of which 2 say so and 6 name it."""

_HEAD = b"Exif\0\0"
_PHOTO_AT = 0x8769
_GPS_AT = 0x8825
_ORIENTATION = 0x0112
_WIDTH, _HEIGHT = 0xA002, 0xA003
_ASCII, _SHORT, _LONG, _IFD = 2, 3, 4, 13
_TYPES = frozenset({*range(1, 13), 129})  # of a block that is not BigTIFF; 129: UTF-8

# What is as true of a crop as of its photo. Left out is what tells how the photo was stored (strips,
# thumbnail, resolution of the sensor, compression), and what tells one camera or owner from others of their
# kind (serial numbers, owner, unique identifier of the picture).
_OF_IMAGE = frozenset(
    {
        0x010F,  # Make
        0x0110,  # Model
        *(0x011A, 0x011B, 0x0128),  # XResolution, YResolution, ResolutionUnit
        *(0x0131, 0x0132, 0x013B, 0x013C),  # Software, DateTime, Artist, HostComputer
        0x8298,  # Copyright
    }
)
_OF_PHOTO = frozenset(
    {
        *(0x829A, 0x829D, 0x8822, 0x8827),  # ExposureTime, FNumber, ExposureProgram, PhotographicSensitivity
        *range(0x8830, 0x8836),  # SensitivityType to ISOSpeedLatitudezzz
        *(0x9000, 0x9003, 0x9004),  # ExifVersion, DateTimeOriginal, DateTimeDigitized
        *(0x9010, 0x9011, 0x9012),  # OffsetTime, of DateTime, DateTimeOriginal and DateTimeDigitized
        *range(0x9201, 0x920B),  # ShutterSpeedValue to FocalLength
        *(0x9290, 0x9291, 0x9292),  # SubSecTime, as OffsetTime
        *(0x9400, 0x9401, 0x9404, 0x9405),  # Temperature, Humidity, Acceleration, CameraElevationAngle
        *(0xA000, 0xA001),  # FlashpixVersion, ColorSpace
        *(0xA20B, 0xA215, 0xA217),  # FlashEnergy, ExposureIndex, SensingMethod
        *(0xA300, 0xA301),  # FileSource, SceneType
        *range(0xA401, 0xA40B),  # CustomRendered to Sharpness
        0xA40C,  # SubjectDistanceRange
        *(0xA432, 0xA433, 0xA434),  # LensSpecification, LensMake, LensModel
    }
)
# What may tell where it was. Texts that people write often name the place.
_IMAGE_OF_PLACE = frozenset({0x010E, *range(0x9C9B, 0x9CA0)})  # ImageDescription, Windows' title to subject
_PHOTO_OF_PLACE = frozenset({0x9286, 0x9402, 0x9403})  # UserComment, Pressure, WaterDepth
_OF_GPS = frozenset(range(0x20))


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a tag.

    Attributes:
        type: number of the type, 1 to 12.
        count: how many of that type.
        data: their bytes, in the order of the `Exif`.
    """

    type: int
    count: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Exif:
    """What was read of the EXIF of a photo: tag → value, for each directory.

    Attributes:
        order: struct's byte order, ``<`` or ``>``.
        image: of the picture (IFD0).
        photo: of how it was taken (Exif IFD).
        gps: of where it was taken (GPS IFD).
    """

    order: str
    image: Mapping[int, Value]
    photo: Mapping[int, Value]
    gps: Mapping[int, Value]

    def of_crop(self, width: int, height: int, *, gps: bool = False, most: int = MOST_BYTES) -> bytes:
        """Return the EXIF block of an upright crop, beginning with the byte order; empty if nothing is kept.

        Args:
            width, height: of the crop, pixels.
            gps: keep the position, too, and texts that may name the place.
            most: bytes that it may have; values that find no room are left out.
        """
        room = min(most, MOST_BYTES) - 200  # for the heads of three directories, and what is ours
        kept: list[dict[int, Value]] = []
        for values, tags in (
            (self.image, _OF_IMAGE | _IMAGE_OF_PLACE if gps else _OF_IMAGE),
            (self.photo, _OF_PHOTO | _PHOTO_OF_PLACE if gps else _OF_PHOTO),
            (self.gps, _OF_GPS if gps else frozenset()),
        ):
            kept.append({})
            for tag in sorted(tags & values.keys()):
                taken = 13 + len(values[tag].data)
                if values[tag].type in _TYPES and taken <= room:
                    kept[-1][tag] = values[tag]
                    room -= taken
        if not any(kept):
            return b""
        image, photo, place = kept
        image[_ORIENTATION] = self._number(_SHORT, 1)
        photo |= {_WIDTH: self._number(_LONG, width), _HEIGHT: self._number(_LONG, height)}
        return self._block(image, photo, place)

    def _block(self, image: dict[int, Value], photo: dict[int, Value], gps: dict[int, Value]) -> bytes:
        pointers = [_PHOTO_AT, _GPS_AT] if gps else [_PHOTO_AT]
        image |= {tag: self._number(_LONG, 0) for tag in pointers}
        at = 8 + len(self._directory(image, 8))
        parts = []
        for tag, values in zip(pointers, (photo, gps), strict=False):
            parts.append(self._directory(values, at))
            image[tag] = self._number(_LONG, at)
            at += len(parts[-1])
        mark = b"II*\0" if self.order == "<" else b"MM\0*"
        return b"".join([mark, struct.pack(f"{self.order}L", 8), self._directory(image, 8), *parts])

    def _directory(self, values: Mapping[int, Value], at: int) -> bytes:
        """Return a directory and behind it the values that do not fit into it; no other follows it."""
        behind = at + 2 + 12 * len(values) + 4
        entries, outside = [struct.pack(f"{self.order}H", len(values))], b""
        for tag, value in sorted(values.items()):
            inline = value.data.ljust(4, b"\0")
            if len(value.data) > 4:
                inline = struct.pack(f"{self.order}L", behind + len(outside))
                outside += value.data + b"\0" * (len(value.data) % 2)
            entries.append(struct.pack(f"{self.order}HHL", tag, value.type, value.count) + inline)
        return b"".join([*entries, bytes(4), outside])

    def _number(self, type: int, number: int) -> Value:
        return Value(type, 1, struct.pack(self.order + ("H" if type == _SHORT else "L"), number))


def read_exif(data: Readable) -> Exif | None:
    """Return the EXIF of a photo; None if it has none that can be read. Nothing is an error.

    No pixels are decoded.

    Args:
        data: the file, or an `images.source.Window` on it, of which no more is read than it takes: of a JPEG
            its beginning. The whole of a HEIC is read.
    """
    with suppress(PhotoError):
        for block in find_exif(data):
            with suppress(ValueError, struct.error):
                return _of_block(block)
    return None


def _of_block(block: Readable) -> Exif:
    """Return what an EXIF block or a TIFF says.

    Raises:
        ValueError, struct.error: its first directory cannot be read.
    """
    if block.startswith(_HEAD):
        block = block[len(_HEAD) : len(block)]
    first = read_directory(block)
    image = _values(block, first, _OF_IMAGE | _IMAGE_OF_PLACE)
    photo = _values(block, _below(block, first, _PHOTO_AT), _OF_PHOTO | _PHOTO_OF_PLACE)
    gps = _values(block, _below(block, first, _GPS_AT), _OF_GPS)
    return Exif(first.order, image, photo, gps)


def _below(block: Readable, first: Directory, pointer: int) -> Directory | None:
    """Return the directory that an entry points to; None if there is none."""
    at = first.number(pointer)
    entry = first.entries.get(pointer)
    if entry is not None and entry.type == _IFD:
        (at,) = struct.unpack(f"{first.order}L", first.bytes_of(pointer, block)[:4])
    with suppress(ValueError, struct.error):
        return read_directory(block, at) if at else None
    return None


def _values(block: Readable, directory: Directory | None, tags: Collection[int]) -> dict[int, Value]:
    if directory is None:
        return {}
    values = {
        tag: (entry, directory.bytes_of(tag, block))
        for tag, entry in directory.entries.items()
        if tag in tags and entry.size <= MOST_BYTES
    }
    # A file may have become shorter while it is read in parts.
    return {
        tag: Value(entry.type, entry.count, data)
        for tag, (entry, data) in values.items()
        if len(data) == entry.size
    }
