"""listing.json on the disk: one object of JSON with a photo on each line, written and read line by line.

Ten million names as one document would take ten times their memory while they are read::

    {"root":"/photos","keys":[
    "a.jpg",
    "b/c.jpg"
    ],"paths":{
    "b/c.jpg":"/elsewhere/c.jpg"
    },"inputs":[{"in":"/photos","root":"/photos"}],"crc":"1a2b3c4d"}
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, BinaryIO, Literal

import msgspec

from detic_crop.columns import Texts
from detic_crop.folder.typed_json import SEAL, decode, seal_of
from detic_crop.photos.location import file_or_object, parse
from detic_crop.photos.photo import Photo
from detic_crop.photos.table import Photos

_TOGETHER = 1024
"""Lines that are made or read together."""


class SavedInput(msgspec.Struct, frozen=True, omit_defaults=True, rename={"where": "in"}):
    """One ``--in``; the first one's photos are those that no later one has."""

    where: str
    root: str
    keys: Sequence[str] | None = None


# ---------------------------------------------------------------- written


def listing_lines(
    root: str, keys: Iterable[str], paths: Iterable[tuple[str, str]], inputs: Sequence[SavedInput]
) -> Iterator[bytes]:
    """Yield the file in parts.

    Args:
        root: folder below which most of the photos are.
        keys: photos of the last call, in input order.
        paths: key and location of those that are not at ``root/key``, and of photos of earlier calls.
        inputs: the inputs.
    """
    crc = 0
    for part in _unsealed(root, keys, paths, inputs):
        data = part.encode()
        crc = zlib.crc32(data, crc)
        yield data
    yield seal_of(crc)


def _unsealed(
    root: str, keys: Iterable[str], paths: Iterable[tuple[str, str]], inputs: Sequence[SavedInput]
) -> Iterator[str]:
    yield f'{{"root":{quoted(root)},"keys":['
    yield from _items(map(quoted, keys))
    yield '],"paths":{'
    yield from _items(f"{quoted(key)}:{quoted(path)}" for key, path in paths)
    yield '},"inputs":['
    for number, given in enumerate(inputs):
        comma = "," if number else ""
        yield f'{comma}{{"in":{quoted(given.where)},"root":{quoted(given.root)}'
        if given.keys is not None:
            yield ',"keys":['
            yield from _items(map(quoted, given.keys))
            yield "]"
        yield "}"
    yield "]"


def _items(items: Iterable[str]) -> Iterator[str]:
    """Yield the items of a list or an object, each on a line of its own."""
    items, before = iter(items), "\n"
    while several := list(islice(items, _TOGETHER)):
        yield before + ",\n".join(several)
        before = ",\n"
    yield "\n"


# ---------------------------------------------------------------- read


class _SkeletonInput(msgspec.Struct, frozen=True, rename={"where": "in"}):
    """A `SavedInput` with the number of a section in the place of its keys."""

    where: str
    root: str
    keys: int | None = None


class _Skeleton(msgspec.Struct, frozen=True):
    """The document with the number of a section in the place of the lines."""

    root: str
    keys: Literal[0]
    paths: Literal[1]
    inputs: list[_SkeletonInput]
    crc: str


class _Root(msgspec.Struct, frozen=True):
    """What is known of the document when its paths are read."""

    root: str


_skeleton = msgspec.json.Decoder(_Skeleton)
_root = msgspec.json.Decoder(_Root)


@dataclass(frozen=True, slots=True)
class Lines:
    """What a listing says.

    Attributes:
        root: folder below which most of the photos are.
        photos: photos of the last call, in input order, then those of earlier calls.
        count: number of photos of the last call.
        inputs: the inputs.
    """

    root: str
    photos: Photos
    count: int
    inputs: Sequence[SavedInput]


def has_lines(file: BinaryIO) -> bool:
    """Return whether a listing has a line for each photo, as earlier versions did not write it."""
    first = file.readline()
    file.seek(0)
    return first.startswith(b'{"root":') and first.endswith(b',"keys":[\n')


def read_lines(file: BinaryIO) -> Lines:
    """Read a listing.

    Raises:
        ValueError: it is not as it was written.
    """
    crc, skeleton, is_open, photos = 0, b"", False, None
    sections: list[Texts] = []
    earlier: list[Photo] = []
    for are_items, data in _pieces(file):
        end = None if are_items else SEAL.search(data)
        crc = zlib.crc32(data if end is None else data[: end.start()], crc)
        if not are_items:
            line = data.rstrip(b"\n")
            if is_open and line[:1] in (b"]", b"}"):
                line, is_open = line[1:], False
            if line[-1:] in (b"[", b"{"):
                line, is_open = line[:-1] + str(len(sections)).encode(), True
                sections.append(Texts())
            skeleton += line
        elif len(sections) != 2:
            sections[-1].extend(_texts(data))
        else:
            if photos is None:
                above = file_or_object(decode(skeleton + b"}", _root).root)
                photos = Photos.below(above, sections[0])
            for key, text in _pairs(data):
                row = sections[0].find(key)
                if row is None:
                    earlier.append(Photo(key, parse(text)))
                else:
                    photos.move(row, parse(text))
    found = decode(skeleton, _skeleton)
    if is_open or int(found.crc, 16) != crc:
        raise ValueError("expected another checksum: a part of it has changed")
    if [given.keys for given in found.inputs if given.keys is not None] != list(range(2, len(sections))):
        raise ValueError("expected the keys of inputs line by line")
    count = len(sections[0])
    photos = photos or Photos.below(file_or_object(found.root), sections[0])
    for photo in earlier:
        photos.append(photo)
    inputs = [
        SavedInput(given.where, given.root, None if given.keys is None else sections[given.keys])
        for given in found.inputs
    ]
    return Lines(found.root, photos, count, inputs)


def _pieces(file: BinaryIO) -> Iterator[tuple[bool, bytes]]:
    """Yield the lines of a listing: True with some lines of photos together, False with any other line."""
    several: list[bytes] = []
    for line in file:
        is_item = line.startswith(b'"')
        if is_item:
            several.append(line)
        if several and (not is_item or len(several) == _TOGETHER):
            yield True, b"".join(several)
            several = []
        if not is_item:
            yield False, line
    if several:
        raise ValueError("expected an end")


def _texts(data: bytes) -> list[str]:
    """Return the texts in some lines."""
    lines = data.rstrip(b",\n").decode("ascii")
    if "\\" not in lines:  # nearly always, in a tenth of the time
        return lines[1:-1].split('",\n"')
    texts: list[str] = _decoded(f"[{lines}]")
    if not all(type(text) is str for text in texts):
        raise ValueError("expected texts")
    return texts


def _pairs(data: bytes) -> Iterable[tuple[str, str]]:
    """Return the keys and locations in some lines."""
    pairs: dict[str, str] = _decoded(b"{" + data.rstrip(b",\n") + b"}")
    if not all(type(text) is str for text in pairs.values()):
        raise ValueError("expected texts")
    return pairs.items()


def _decoded(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("expected fewer levels") from error
