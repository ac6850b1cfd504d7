"""EXIF blocks and photos that have them, written by Pillow or byte by byte."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image, TiffImagePlugin

from tests.kit.photos import picture

MAKE, MODEL, DATE_TIME, ORIENTATION = 0x010F, 0x0110, 0x0132, 0x0112
ORIGINAL, DIGITIZED, FOCAL, LENS, MAKER_NOTE = 0x9003, 0x9004, 0x920A, 0xA434, 0x927C
PHOTO, GPS = 0x8769, 0x8825

RATIONAL = TiffImagePlugin.IFDRational
SOUTH_EAST: dict[int, Any] = {
    1: "S",
    2: (RATIONAL(23), RATIONAL(26), RATIONAL(2940, 100)),
    3: "E",
    4: (RATIONAL(151), RATIONAL(54), RATIONAL(36)),
    0x12: "WGS-84",
}
"""Heron Island: 23.4415 S, 151.91 E."""


def exif(
    image: Mapping[int, Any] | None = None,
    photo: Mapping[int, Any] | None = None,
    gps: Mapping[int, Any] | None = None,
) -> bytes:
    """An EXIF block without its head, with the tags of each directory, as Pillow writes it."""
    made = Image.Exif()
    for tag, value in (image or {}).items():
        made[tag] = value
    for pointer, values in ((PHOTO, photo), (GPS, gps)):
        if values:
            made.get_ifd(pointer).update(values)
    return made.tobytes().removeprefix(b"Exif\0\0")


def camera_exif(taken: str = "2019:07:04 12:31:05", gps: Mapping[int, Any] | None = SOUTH_EAST) -> bytes:
    """The EXIF block of a photo that lies on its side, as a camera with a receiver writes it."""
    return exif(
        {
            MAKE: "Canon",
            MODEL: "Canon EOS 7D",
            ORIENTATION: 6,
            0x010E: "off Heron Island",
            0x013B: "A. Diver",
        },
        {
            ORIGINAL: taken,
            0x9291: "25",
            0x9011: "+10:00",
            FOCAL: RATIONAL(400),
            LENS: "EF400mm f/5.6L USM",
            MAKER_NOTE: b"serial 1234, at 23.4415 S",
            0x9286: b"ASCII\0\0\0near the reef",
            0xA431: "serial 1234",
            0xA002: 5184,
            0xA003: 3456,
        },
        gps,
    )


def photo_with(block: bytes, format: str = "JPEG", width: int = 60, height: int = 40, seed: int = 1) -> bytes:
    """A photo with an EXIF block, in a format of Pillow."""
    file = io.BytesIO()
    photo = Image.fromarray(picture(seed, width, height)[..., ::-1])
    if format == "TIFF":  # is one itself
        tags = Image.Exif()
        tags.load(b"Exif\0\0" + block)
        photo.save(file, format, exif=tags)
    else:
        photo.save(file, format, exif=b"Exif\0\0" + block)
    return file.getvalue()


def block_of(order: str, *directories: list[tuple[int, int, int, bytes]]) -> bytes:
    """An EXIF block byte by byte: (tag, type, count, value) of IFD0, Exif IFD and GPS IFD; nonsense, too."""
    pointers = [PHOTO, GPS][: len(directories) - 1]
    sizes = [
        2 + 12 * (len(entries) + (len(pointers) if not number else 0)) + 4
        for number, entries in enumerate(directories)
    ]
    starts, at = [], 8
    for size, entries in zip(sizes, directories, strict=True):
        starts.append(at)
        at += size + sum(len(value) for *_, value in entries if len(value) > 4)
    parts = [(b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "L", 8)]
    for number, entries in enumerate(directories):
        found = list(entries)
        if not number:
            found += [
                (tag, 4, 1, struct.pack(order + "L", start))
                for tag, start in zip(pointers, starts[1:], strict=True)
            ]
        behind, values = starts[number] + sizes[number], b""
        parts.append(struct.pack(order + "H", len(found)))
        for tag, kind, count, value in found:
            inline = value.ljust(4, b"\0")
            if len(value) > 4:
                inline, values = struct.pack(order + "L", behind + len(values)), values + value
            parts.append(struct.pack(order + "HHL", tag, kind, count) + inline)
        parts += [bytes(4), values]
    return b"".join(parts)
