"""When, with what and where a photo was taken, as its EXIF says: what it does not say rightly is not said."""

from __future__ import annotations

import datetime
import re
import struct
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

from detic_crop.images.exif import Exif, Value, read_exif
from detic_crop.images.source import Readable

__all__ = ["UNKNOWN", "Metadata", "metadata_of", "read_metadata"]


class Metadata(NamedTuple):
    """When, with what and where a photo was taken; the names are those of the columns and of `Record`.

    Attributes:
        taken: ISO 8601, local time of the camera; with a fraction and an offset from UTC only where known:
            ``2019-07-04T12:31:05.25+02:00``. Empty if unknown. `datetime.datetime.fromisoformat` reads it.
        camera: make and model; empty if unknown.
        lens: its model; empty if unknown.
        focal_mm: focal length, millimetres.
        latitude, longitude: decimal degrees, WGS 84, north and east positive; both known or neither.
    """

    taken: str = ""
    camera: str = ""
    lens: str = ""
    focal_mm: float | None = None
    latitude: float | None = None
    longitude: float | None = None


UNKNOWN = Metadata()

_MAKE, _MODEL, _LENS_MODEL, _FOCAL_LENGTH = 0x010F, 0x0110, 0xA434, 0x920A
_DATE_TIME = 0x0132  # when the file was changed; the others are in the directory of the photo
# Time, fraction of a second, offset from UTC.
_TAKEN = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012), (_DATE_TIME, 0x9290, 0x9010))
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _DATUM = 1, 2, 3, 4, 0x12

_TEXT_TYPES = (1, 2, 7, 129)
_NUMBER_CODES = {1: "B", 3: "H", 4: "L", 5: "LL", 6: "b", 8: "h", 9: "l", 10: "ll", 11: "f", 12: "d"}
_MOST_NUMBERS = 8
_MOST_TEXT = 100  # characters
_MOST_TEXT_BYTES = 1000
_MOST_DIGITS = 9  # of a fraction of a second
_MOST_OFFSET = 14  # hours, of the easternmost zone
_FIRST_YEAR = 1826  # of the oldest photo that there is
_LONGEST_LENS = 100_000.0  # mm
# Cameras differ in the marks between the numbers, and pad these with blanks or not at all.
_TIME = re.compile(
    r"(\d{4})[:/.-] ?(\d{1,2})[:/.-] ?(\d{1,2})[ T] ?(\d{1,2})[:.] ?(\d{1,2})[:.] ?(\d{1,2})"
    r"(?:[.,](\d+))? ?(Z|[+-]\d{1,2}:?\d\d)?",
    re.ASCII,
)
_OFFSET = re.compile(r"([+-])(\d{1,2}):?(\d\d)", re.ASCII)
_FRACTION = re.compile(r"\d+", re.ASCII)
# Those that differ from WGS 84 by a few metres at most; older ones may be off by half a kilometre.
_LIKE_WGS84 = (
    "",
    "WGS84",
    "WGS1984",
    "ETRS89",
    "NAD83",
    "JGD2000",
    "JGD2011",
    "GDA94",
    "GDA2020",
    "NZGD2000",
)


def read_metadata(data: Readable) -> Metadata:
    """Return what the EXIF of a photo says; nothing is an error, nothing is decoded.

    Args:
        data: the file, or a `Window` on it; see `read_exif`.
    """
    exif = read_exif(data)
    return UNKNOWN if exif is None else metadata_of(exif)


def metadata_of(exif: Exif) -> Metadata:
    """Return what EXIF says of when, with what and where the photo was taken."""
    (focal, *_) = *_numbers(exif, exif.photo, _FOCAL_LENGTH), None
    return Metadata(
        _taken(exif),
        _camera(_text(exif.image, _MAKE), _text(exif.image, _MODEL)),
        _text(exif.photo, _LENS_MODEL),
        round(focal, 2) or None if focal is not None and 0 < focal <= _LONGEST_LENS else None,
        *_position(exif),
    )


def _taken(exif: Exif) -> str:
    """Return when the photo was exposed, else when it was digitized, else when its file was changed."""
    for time, fraction, offset in _TAKEN:
        directory = exif.image if time == _DATE_TIME else exif.photo
        text = _text(directory, time)
        if found := _moment(text, _text(exif.photo, fraction), _text(exif.photo, offset)):
            return found
    return ""


def _moment(text: str, fraction: str, offset: str) -> str:
    """Return a time in ISO 8601, from the texts of three tags; empty if there is no such time."""
    found = _TIME.fullmatch(text)
    if found is None:
        return ""
    *numbers, own_fraction, own_offset = found.groups()
    try:
        year, month, day, hour, minute, second = map(int, numbers)
        moment = datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return ""
    if moment.year < _FIRST_YEAR:
        return ""
    digits = own_fraction or (fraction if _FRACTION.fullmatch(fraction) else "")
    after = f".{digits[:_MOST_DIGITS]}" if digits else ""
    return f"{moment.isoformat()}{after}{_offset(own_offset or offset)}"


def _offset(text: str) -> str:
    """Return an offset from UTC as ``+02:00``; empty if there is none, or it is none of Earth."""
    if text == "Z":
        return "+00:00"
    found = _OFFSET.fullmatch(text)
    if found is None:
        return ""
    sign, hours, minutes = found[1], int(found[2]), int(found[3])
    if minutes >= 60 or hours * 60 + minutes > _MOST_OFFSET * 60:
        return ""
    return f"{sign}{hours:02}:{minutes:02}"


def _camera(make: str, model: str) -> str:
    """Return make and model, the make only once: ``Canon EOS 7D``, ``NIKON D850``, ``Apple iPhone 6``."""
    first = model.partition(" ")[0].casefold()
    if not make or first in make.casefold().split():
        return model or make
    return f"{make} {model}".strip()[:_MOST_TEXT].rstrip()


def _position(exif: Exif) -> tuple[float | None, float | None]:
    """Return latitude and longitude; None, None if either is unknown, or in an old datum."""
    datum = re.sub("[^A-Z0-9]", "", _text(exif.gps, _DATUM).upper())
    latitude = _degrees(exif, _LATITUDE, _LATITUDE_REF, "NS", 90)
    longitude = _degrees(exif, _LONGITUDE, _LONGITUDE_REF, "EW", 180)
    if latitude is None or longitude is None or datum not in _LIKE_WGS84:
        return None, None
    # Cameras that wait for their satellites write zeros.
    return (latitude, longitude) if latitude or longitude else (None, None)


def _degrees(exif: Exif, tag: int, ref: int, letters: str, most: int) -> float | None:
    """Return a coordinate from degrees, minutes and seconds.

    Args:
        exif: what was read.
        tag, ref: tags of the numbers and of the letter.
        letters: letters of the positive and of the negative half.
        most: degrees at its end.
    """
    numbers = _numbers(exif, exif.gps, tag)
    letter = _text(exif.gps, ref)[:1].upper()
    if not 1 <= len(numbers) <= 3 or not letter or letter not in letters:
        return None
    degrees = 0.0
    for number, unit, limit in zip(numbers, (1, 60, 3600), (most, 60, 60), strict=False):
        if number is None or not 0 <= number <= limit:
            return None
        degrees += number / unit
    if degrees > most:
        return None
    return round(degrees if letter == letters[0] else -degrees, 6) + 0.0  # and not -0.0


def _numbers(exif: Exif, directory: Mapping[int, Value], tag: int) -> list[float | None]:
    """Return the numbers of a tag, None for one over zero; none if it has no numbers."""
    value = directory.get(tag)
    code = None if value is None else _NUMBER_CODES.get(value.type)
    if value is None or code is None or not 0 < value.count <= _MOST_NUMBERS:
        return []
    numbers = struct.unpack(exif.order + code * value.count, value.data)
    if len(code) == 1:
        return [float(number) for number in numbers]
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return [above / below if below else None for above, below in pairs]


def _text(directory: Mapping[int, Value], tag: int) -> str:
    """Return the text of a tag on one line, up to the first NUL, without characters that do not show."""
    value = directory.get(tag)
    if value is None or value.type not in _TEXT_TYPES:
        return ""
    data = value.data.partition(b"\0")[0][:_MOST_TEXT_BYTES]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "ignore")
    shown = (" " if char.isspace() else char for char in text)
    text = "".join(char for char in shown if not unicodedata.category(char).startswith("C"))
    return " ".join(text.split())[:_MOST_TEXT].rstrip()
