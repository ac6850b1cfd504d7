"""A sealed document of `.detic-crop` with a line for each photo, written and read line by line.

Ten million lines as one document would take ten times their memory while they are read::

    {"about":{"folds":5,"seed":0},"photos":[
    ["a.jpg",4],
    ["b/c.jpg",-1]
    ],"crc":"1a2b3c4d"}
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import BinaryIO, Generic, TypeVar

import msgspec

from detic_crop.folder.typed_json import SEAL, decode, encode, seal_of

About = TypeVar("About")
Line = TypeVar("Line")

_BEGIN, _PHOTOS, _END = b'{"about":', b',"photos":[\n', b"\n]"
_TOGETHER = 1024
"""Lines that are made or read together."""


def document(about: object, lines: Iterable[object]) -> Iterator[bytes]:
    """Yield a document in parts.

    Args:
        about: what is said of all photos: a struct, or what JSON knows.
        lines: a list for each photo.
    """
    crc = 0
    for part in _unsealed(about, iter(lines)):
        crc = zlib.crc32(part, crc)
        yield part
    yield seal_of(crc)


def _unsealed(about: object, lines: Iterator[object]) -> Iterator[bytes]:
    yield _BEGIN + encode(about) + _PHOTOS
    comma = b""
    while several := list(islice(lines, _TOGETHER)):
        yield comma + b",\n".join(encode(line) for line in several)
        comma = b",\n"
    yield _END


class Document(Generic[About, Line]):
    """How a kind of document is read.

    Args:
        about: reads what is said of all photos.
        lines: reads a list of what is said of each.
    """

    def __init__(self, about: msgspec.json.Decoder[About], lines: msgspec.json.Decoder[list[Line]]) -> None:
        self._about, self._lines = about, lines

    def read(self, file: BinaryIO, take: Callable[[list[Line]], object]) -> About:
        """Read a document.

        Args:
            file: the document.
            take: called with some lines at a time; it keeps what is needed of them.

        Returns:
            What is said of all photos.

        Raises:
            ValueError: it is not as it was written; what was taken so far is not to be believed.
        """
        first = file.readline()
        if not (first.startswith(_BEGIN) and first.endswith(_PHOTOS)):
            raise ValueError("expected what is said of all photos")
        about = decode(first[len(_BEGIN) : -len(_PHOTOS)], self._about)
        crc = zlib.crc32(first)
        while several := list(islice(file, _TOGETHER)):
            data = b"".join(several)
            if (end := SEAL.search(data)) is None:
                crc = zlib.crc32(data, crc)
            else:
                crc = zlib.crc32(data[: end.start()], crc)
                if int(end[1], 16) != crc:
                    raise ValueError("expected another checksum: a part of it has changed")
                data = data[: end.start()].removesuffix(b"]")
            take(decode(b"[" + data.rstrip(b",\n") + b"]", self._lines))
            if end is not None:
                return about
        raise ValueError("expected an end")
