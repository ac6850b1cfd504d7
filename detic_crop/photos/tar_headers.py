"""What is in a tar file, from its headers alone, which anybody may have written.

`tarfile` reads single headers well. What follows from one header for the next is done here: in `tarfile`, as
of CPython 3.11.7, a negative size leads in circles, many headers of headers exhaust the stack, and a header
that claims two gigabytes gets them.
"""

from __future__ import annotations

import contextlib
import os
import re
import tarfile
from collections.abc import Iterator
from typing import IO, NamedTuple

BLOCK = tarfile.BLOCKSIZE
"""Bytes of a header; data is filled up to a multiple of it."""

_EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_WITHOUT_DATA = (
    *(tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE),
    *(tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE),
)
_LONGEST = 1 << 20  # bytes of a header of a header: a path, perhaps lists of rights and attributes
_MOST_MAPS = 1 << 12  # further headers of one sparse file, with 21 pieces each
_LARGEST = 1 << 60  # bytes of a file: all that is added to this can still be counted in 64 bits
_LATEST = 1 << 33  # seconds since 1970, in the year 2242
_RECORD = re.compile(rb"(\d{1,10}) ([^=]+)=")


class MemberHeader(NamedTuple):
    """A file, folder or link in a tar file.

    Attributes:
        name: path as it stands there.
        offset: first byte of its data.
        size: bytes of its data; there may be fewer where the tar file was cut short.
        time: modification time in whole seconds since 1970.
        is_file: it is a plain file with all of its data in one place.
        is_folder: it is a folder.
    """

    name: str
    offset: int
    size: int
    time: int
    is_file: bool
    is_folder: bool


class TarHeaders:
    """The members of a tar file in their order; reads each header once, and no data.

    Args:
        file: uncompressed tar file that can seek, from its first byte on.

    Attributes:
        is_whole: after iterating: whether all headers could be read, and an empty one ends them.

    Raises:
        tarfile.ReadError: it does not begin with a header; while iterating.
        OSError: it cannot be read.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.is_whole = False

    def __iter__(self) -> Iterator[MemberHeader]:
        """Yield members up to the end, to a header that leads nowhere, or past the end of the file."""
        offset, end = 0, self._file.seek(0, os.SEEK_END)
        common: dict[str, str] = {}  # fields of a header for all that follow
        fields: dict[str, str] = {}  # of a header for the next one
        while offset <= end:
            self._file.seek(offset)
            header = self._file.read(BLOCK)
            if header == bytes(BLOCK):
                self.is_whole = True
                return
            try:
                info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                if offset == 0:
                    raise tarfile.ReadError(str(error)) from error
                return
            offset += BLOCK
            if not 0 <= info.size <= _LARGEST:
                return
            if info.type in (*_EXTENDED, *_LONG, tarfile.XGLTYPE):
                if info.size > _LONGEST:
                    return
                body = self._file.read(info.size)
                if info.type == tarfile.XGLTYPE:
                    common |= _records(body)
                elif info.type in _EXTENDED:
                    fields |= _records(body)
                elif info.type == tarfile.GNUTYPE_LONGNAME:
                    fields.setdefault("path", _text(body.partition(b"\0")[0]))
                offset += _filled(info.size)
                continue
            if info.type == tarfile.GNUTYPE_SPARSE:
                if (maps := self._maps(header)) is None:
                    return
                offset += maps * BLOCK
            member = _member(info, offset, common | fields)
            yield member
            if info.type not in _WITHOUT_DATA:
                offset += _filled(member.size)
            fields = {}

    def _maps(self, header: bytes) -> int | None:
        """Return how many further headers a sparse file of GNU tar has; None if they do not end."""
        more = bool(header[482])
        count = 0
        while more:
            header = self._file.read(BLOCK)
            count += 1
            if len(header) < BLOCK or count > _MOST_MAPS:
                return None
            more = bool(header[504])
        return count


def clamped_time(seconds: float) -> int:
    """Return a time of a header in whole seconds, moved to between 1970 and 2242."""
    return int(min(max(0, seconds), _LATEST))


def _member(info: tarfile.TarInfo, offset: int, fields: dict[str, str]) -> MemberHeader:
    name = fields.get("path", "").rstrip("/") or info.name
    size = fields.get("size", "")
    seconds: float = info.mtime
    with contextlib.suppress(KeyError, ValueError):
        exact = float(fields["mtime"])
        # The same time, with its fraction; by the one in this header the photo is known again.
        seconds = exact if abs(exact - seconds) <= 1 else seconds
    return MemberHeader(
        name,
        offset,
        int(size) if size.isascii() and size.isdecimal() and len(size) < 20 else info.size,
        clamped_time(seconds),
        info.isreg() and info.type != tarfile.GNUTYPE_SPARSE and "sparse" not in fields,
        info.isdir(),
    )


def _records(body: bytes) -> dict[str, str]:
    """Return what the records of a pax header (POSIX.1-2001) say of path, size and time; and `sparse`.

    What is not as it should be ends them, as it does in other programs.
    """
    found: dict[str, str] = {}
    start = 0
    while record := _RECORD.match(body, start):
        end = start + int(record[1])
        if end <= record.end():
            break
        if record[2] in (b"path", b"size", b"mtime"):
            found[record[2].decode()] = _text(body[record.end() : end - 1])
        elif record[2].startswith(b"GNU.sparse."):
            found["sparse"] = ""
        start = end
    return found


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _filled(size: int) -> int:
    """Return the bytes that data of that size takes up."""
    return -(-size // BLOCK) * BLOCK
