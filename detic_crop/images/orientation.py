"""Which way up a photo is: EXIF orientation, wherever a file may say it.

EXIF comes first, and XMP counts only where no EXIF says an orientation: cameras write EXIF, and software that
turns the pixels sets that right, while XMP is often left as it was (`PIL.ImageOps.exif_transpose` and viewers
agree). XMP alone is what some editors write, and where PNG had no place for EXIF until 2017.

Damaged metadata counts as stating none: 0.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from xml.parsers import expat

from detic_crop.images.directory import read_directory

__all__ = [
    "MOST_TEXT",
    "PNG_TEXTS",
    "exif_orientation",
    "is_exif",
    "png_profiles",
    "png_text_orientation",
    "valid",
    "xmp_orientation",
]

PNG_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})

_ORIENTATION = 274
_EXIF_HEAD = b"Exif\0\0"
_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_IN_PNG = b"XML:com.adobe.xmp"
_RAW_PROFILE = b"Raw profile type "
# ImageMagick's names of the profiles that may have one; APP1 is how a JPEG stores either of the others.
_PROFILES = (b"exif", b"app1", b"xmp")
MOST_TEXT = 1 << 23
"""Bytes of metadata looked at: a few bytes of deflated text may hold gigabytes."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
_DESCRIPTION = _RDF + "Description"
_ORIENTATION_NAME = "http://ns.adobe.com/tiff/1.0/ Orientation"
_MOST_XMP = 1 << 18  # bytes; the photo's own properties come first
_MOST_ELEMENTS = 20_000
_MOST_DEPTH = 200
_LOOSE = re.compile(r"""\btiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\s*[<"']""")


def valid(value: int) -> int:
    """Return the number if it is an orientation, else 0."""
    return value if 1 <= value <= 8 else 0


def exif_orientation(exif: bytes) -> int:
    """Return the orientation in an EXIF block, 1 to 8; 0 if it states none."""
    try:
        return valid(read_directory(exif.removeprefix(_EXIF_HEAD)).number(_ORIENTATION))
    except (struct.error, ValueError):
        return 0


def xmp_orientation(packet: bytes) -> int:
    """Return the orientation in an XMP packet, 1 to 8; 0 if it states none.

    Only what is said of the photo itself counts, not what is said of the pictures that it was made from.
    """
    text = _text(packet[:_MOST_XMP].removeprefix(_XMP_HEAD))
    if "Orientation" not in text:
        return 0
    reader = _XmpReader()
    try:
        reader.read(text)
    except expat.ExpatError:
        found = None if len(packet) > _MOST_XMP else _LOOSE.search(text)
        return int(found[1]) if found else 0
    return reader.orientation


class _EnoughError(Exception):
    """The orientation is found, or will not be found."""


class _XmpReader:
    """Reads as much of a packet as it takes, and keeps none of it: metadata may be large, or hostile."""

    def __init__(self) -> None:
        self.orientation = 0
        self._above: list[str] = []  # elements that are open
        self._elements = 0

    def read(self, text: str) -> None:
        """Set `orientation`.

        Raises:
            ExpatError: it is not well-formed.
        """
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = lambda _: self._above.pop()
        parser.CharacterDataHandler = self._characters
        # A document type may define entities, of which a few bytes become gigabytes. XMP has none.
        parser.StartDoctypeDeclHandler = self._stop
        parser.buffer_text = True
        with suppress(_EnoughError):
            parser.Parse(text, True)

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._above.append(name)
        self._elements += 1
        if self._elements > _MOST_ELEMENTS or len(self._above) > _MOST_DEPTH:
            raise _EnoughError
        if self._path() == (_DESCRIPTION,):
            self._say(attributes.get(_ORIENTATION_NAME, ""))
        elif self._is_inside():
            self._say(attributes.get(_RDF + "value", ""))

    def _characters(self, text: str) -> None:
        """Read an orientation that is an element, or an element with qualifiers next to its value."""
        if self._is_inside() and self._above[-1] in (_ORIENTATION_NAME, _RDF + "value"):
            self._say(text)

    def _path(self) -> tuple[str, ...]:
        """Open elements below rdf:RDF; of the whole packet only what is said of the photo itself counts."""
        try:
            return tuple(self._above[self._above.index(_RDF + "RDF") + 1 :])
        except ValueError:
            return ()

    def _is_inside(self) -> bool:
        return self._path()[:2] == (_DESCRIPTION, _ORIENTATION_NAME)

    def _say(self, word: str) -> None:
        word = word.strip()
        if len(word) == 1 and word in "12345678":
            self.orientation = int(word)
            raise _EnoughError

    def _stop(self, *_: object) -> None:
        raise _EnoughError


def _text(packet: bytes) -> str:
    """Return the text of a packet, which is in UTF-8, UTF-16 or UTF-32, with or without a byte order mark."""
    first = packet.lstrip(b" \t\r\n")[:4]
    if first[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-32" if first in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") else "utf-16"
    elif first[:4] == b"<\0\0\0":
        encoding = "utf-32-le"
    elif first[:4] == b"\0\0\0<":
        encoding = "utf-32-be"
    elif first[:2] == b"<\0":
        encoding = "utf-16-le"
    elif first[:2] == b"\0<":
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig"
    text = packet.decode(encoding, errors="replace").strip("\0 \t\r\n\ufeff\ufffd")
    # What the packet says of its own encoding has been undone.
    return re.sub(r"^<\?xml[^>]*\?>", "", text).lstrip()


def png_text_orientation(chunks: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the orientation in the text chunks of a PNG, 1 to 8; 0 if they state none.

    They hold profiles in hexadecimal digits, or plain XMP.

    Args:
        chunks: type and payload of each.
    """
    exif = xmp = 0
    for profile in png_profiles(chunks):
        if is_exif(profile):
            exif = exif or exif_orientation(profile)
        else:
            xmp = xmp or xmp_orientation(profile)
    return exif or xmp


def is_exif(profile: bytes) -> bool:
    """Return whether a profile is EXIF; else it is XMP."""
    return profile.startswith((_EXIF_HEAD, b"II", b"MM"))


def png_profiles(chunks: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Yield the EXIF and XMP profiles in the text chunks of a PNG; see `png_text_orientation`."""
    left = MOST_TEXT  # of all chunks together
    for kind, payload in chunks:
        keyword, _, rest = payload.partition(b"\0")
        raw = keyword.startswith(_RAW_PROFILE) and keyword[len(_RAW_PROFILE) :].lower() in _PROFILES
        if not raw and keyword != _XMP_IN_PNG:
            continue
        text = _png_text(kind, rest, left)
        left -= len(text)
        if left <= 0:
            return
        yield _from_hexadecimal(text) if raw else text


def _png_text(kind: bytes, rest: bytes, most: int) -> bytes:
    """Return at most `most` bytes of a chunk's text, without its keyword; empty if it is damaged."""
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflated(rest[1:], most)
    compressed = rest[:1] == b"\1"
    _, _, rest = rest[2:].partition(b"\0")  # the language
    _, _, rest = rest.partition(b"\0")  # the keyword in it
    return _inflated(rest, most) if compressed else rest


def _inflated(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return b""


def _from_hexadecimal(text: bytes) -> bytes:
    """Return a profile that ImageMagick wrote: a line with its name, one with its length, lines of digits."""
    parts = text.strip().split(None, 2)
    if len(parts) != 3:
        return b""
    try:
        return bytes.fromhex(parts[2].decode("ascii"))
    except ValueError:
        return b""
