"""Which way up a photo is: EXIF orientation, wherever a file may say it.

EXIF comes first, and XMP counts only where no EXIF says an orientation: cameras write EXIF, and software that
turns the pixels sets that right, while XMP is often left as it was (`PIL.ImageOps.exif_transpose` and viewers
agree). XMP alone is what some editors write, and where PNG had no place for EXIF until 2017.

Damaged metadata says nothing: 0.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from xml.etree import ElementTree

from detic_crop.images.directory import read_directory

__all__ = ["PNG_TEXTS", "exif_orientation", "png_text_orientation", "valid", "xmp_orientation"]

PNG_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})

_ORIENTATION = 274
_EXIF_HEAD = b"Exif\0\0"
_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_IN_PNG = b"XML:com.adobe.xmp"
_RAW_PROFILE = b"Raw profile type "
# ImageMagick's names of the profiles that may have one; APP1 is how a JPEG stores either of the others.
_PROFILES = (b"exif", b"app1", b"xmp")
_MOST_TEXT = 1 << 22  # bytes of metadata looked at: a few bytes of deflated text may hold gigabytes

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_LOOSE = re.compile(r"""\btiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\s*[<"']""")


def valid(value: int) -> int:
    """An orientation, or 0 for a number that is none."""
    return value if 1 <= value <= 8 else 0


def exif_orientation(exif: bytes) -> int:
    """Of an EXIF block, 1 to 8; 0 where it says none."""
    try:
        return valid(read_directory(exif.removeprefix(_EXIF_HEAD)).number(_ORIENTATION))
    except (struct.error, ValueError):
        return 0


def xmp_orientation(packet: bytes) -> int:
    """Of an XMP packet, 1 to 8; 0 where it says none.

    Only what is said of the photo itself counts, not what is said of the pictures that it was made from.
    """
    text = _text(packet[:_MOST_TEXT].removeprefix(_XMP_HEAD))
    if "Orientation" not in text:
        return 0
    try:
        # A document type may define entities, of which a few bytes become gigabytes. XMP has none.
        root = None if "<!DOCTYPE" in text else ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError):
        root = None
    if root is None:
        found = _LOOSE.search(text)
        return int(found[1]) if found else 0
    tree = root if root.tag == _RDF + "RDF" else root.find(f".//{_RDF}RDF")
    descriptions = [root] if tree is None else tree.findall(_RDF + "Description")
    return next(filter(None, (_described(one) for one in descriptions)), 0)


def _text(packet: bytes) -> str:
    """XMP is in UTF-8, UTF-16 or UTF-32, each with or without a byte order mark."""
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


def _described(description: ElementTree.Element) -> int:
    """As an attribute, as an element, or as one with qualifiers beside its value."""
    name = _TIFF + "Orientation"
    element = description.find(name)
    words = [description.get(name)]
    if element is not None:
        words += [element.text, element.get(_RDF + "value"), element.findtext(f".//{_RDF}value")]
    return next(filter(None, map(_number, words)), 0)


def _number(word: str | None) -> int:
    word = (word or "").strip()
    return valid(int(word)) if len(word) == 1 and word in "12345678" else 0


def png_text_orientation(chunks: Iterable[tuple[bytes, bytes]]) -> int:
    """Of the text chunks of a PNG, which hold profiles in hexadecimal digits, or XMP as it is; 0: none.

    Args:
        chunks: type and payload of each.
    """
    exif = xmp = 0
    for kind, payload in chunks:
        keyword, _, rest = payload.partition(b"\0")
        raw = keyword.startswith(_RAW_PROFILE) and keyword[len(_RAW_PROFILE) :].lower() in _PROFILES
        if not raw and keyword != _XMP_IN_PNG:
            continue
        text = _png_text(kind, rest)
        profile = _from_hexadecimal(text) if raw else text
        if profile.startswith((_EXIF_HEAD, b"II", b"MM")):
            exif = exif or exif_orientation(profile)
        else:
            xmp = xmp or xmp_orientation(profile)
    return exif or xmp


def _png_text(kind: bytes, rest: bytes) -> bytes:
    """The text of a chunk, without its keyword; empty where it is damaged."""
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflated(rest[1:])
    compressed = rest[:1] == b"\1"
    _, _, rest = rest[2:].partition(b"\0")  # the language
    _, _, rest = rest.partition(b"\0")  # the keyword in it
    return _inflated(rest) if compressed else rest


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _MOST_TEXT)
    except zlib.error:
        return b""


def _from_hexadecimal(text: bytes) -> bytes:
    """A profile as ImageMagick writes it: a line with its name, one with its length, lines of digits."""
    parts = text.strip().split(None, 2)
    if len(parts) != 3:
        return b""
    try:
        return bytes.fromhex(parts[2].decode("ascii"))
    except ValueError:
        return b""
