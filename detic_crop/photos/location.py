"""Where the bytes of a photo are: in a file, in an object of a store, or in a part of a tar file.

A place is plain text, so that it goes through listings, journals and to other processes as it is: a path, an
address such as ``s3://bucket/a.jpg``, or ``tar:OFFSET+SIZE@TIME:`` and the path or address of a tar
file.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import unquote

from detic_crop.config import DEFAULT_MAX_PIXELS, Truncated
from detic_crop.errors import PhotoError, UsageError
from detic_crop.images.decode import PhotoFile, most_bytes, read_file
from detic_crop.stores.store import ObjectInfo, Store, is_address, path_of, redact, store_of

_MEMBER = re.compile(r"tar:(\d+)\+(\d+)@(\d+):(.+)", re.DOTALL)
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}
_BLOCK = 512  # bytes of a tar file's header, which stands right before what it is about


class Member(NamedTuple):
    """A file in a tar file: `size` bytes from `offset` on, and its modification time in seconds."""

    offset: int
    size: int
    time: int
    tar: str

    @property
    def place(self) -> str:
        """As text."""
        return f"tar:{self.offset}+{self.size}@{self.time}:{self.tar}"

    @property
    def found(self) -> ObjectInfo:
        """What a listing says of it."""
        return ObjectInfo(self.size, self.time * 10**9)


def member_at(place: str) -> Member | None:
    """The part of a tar file that a place is; None when it is a file or an object."""
    found = _MEMBER.fullmatch(place) if place.startswith("tar:") else None
    return Member(int(found[1]), int(found[2]), int(found[3]), found[4]) if found else None


def is_path(place: str) -> bool:
    """Whether it is a file of its own on this machine."""
    return not (place.startswith("tar:") and _MEMBER.fullmatch(place)) and not is_address(place)


def given(place: str | os.PathLike[str], folder: str | os.PathLike[str] = "") -> str:
    """What a user gave as a place, below `folder`.

    ``file://`` says no more than that a path follows, and quotation marks around it ("Copy as path" in
    Windows) say nothing; a file that really has them in its name goes first.
    """
    text = os.fspath(place)
    if len(text) > 2 and _QUOTES.get(text[0]) == text[-1] and not _exists(folder, text):
        text = text[1:-1].strip()
    if text.startswith("file://"):
        text = text.removeprefix("file://").removeprefix("localhost")
        if "%" in text and not _exists(folder, text):
            text = unquote(text, errors="surrogateescape")
    return text


def _exists(folder: str | os.PathLike[str], name: str) -> bool:
    try:
        return os.path.lexists(os.path.join(folder, name))
    except ValueError:  # a NUL
        return False


def shown(place: str) -> str:
    """The place as people say it, without what may be secret."""
    if member := member_at(place):
        return f"byte {member.offset} of {kept(member.tar)}"
    return kept(place)


def as_path(text: str) -> str:
    """A path as a place: one that looks like something else is spelled out."""
    return text if is_path(text) else os.path.abspath(text)


def absolute(place: str) -> str:
    """The place, whatever the working folder is."""
    if member := member_at(place):
        tar = member.tar if is_address(member.tar) else os.path.abspath(member.tar)
        return member._replace(tar=tar).place
    return place if is_address(place) else os.path.abspath(place)


def kept(place: str) -> str:
    """The place as it may be written down: without what may be secret, such as the signature of an address.

    A web address whose query was needed does not lead to the photo any more; then ``--in`` must say again.
    """
    if member := member_at(place):
        return member._replace(tar=redact(member.tar)).place if is_address(member.tar) else place
    return redact(place) if is_address(place) else place


def files_of(places: Iterable[str]) -> Iterator[str]:
    """The files of this machine that hold what is at some places; a tar file once for each run of members."""
    last = ""
    for place in places:
        if ":" not in place:  # nearly all
            yield place
        elif member := member_at(place):
            if member.tar != last and not is_address(member.tar):
                last = member.tar
                yield last
        elif not is_address(place):
            yield place


def name_of(place: str) -> str:
    """A file name for messages and extensions; empty for a part of a tar file."""
    if member_at(place):
        return ""
    return os.path.basename(path_of(place) if is_address(place) else place)


def look(place: str) -> ObjectInfo | None:
    """Size and version of what is there now; None when there is nothing, or nothing that can be looked at."""
    try:
        if member := member_at(place):
            return _look_at_member(member)
        if is_address(place):
            return store_of(place).stat(place)
        status = os.stat(place)
    except (OSError, ValueError, UsageError):  # ValueError: a NUL in a name from a list
        return None
    return ObjectInfo(status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _look_at_member(member: Member) -> ObjectInfo | None:
    start = member.offset - _BLOCK
    if is_address(member.tar):
        header = store_of(member.tar).read(member.tar, start, member.offset)
    else:
        with open(member.tar, "rb") as file:
            file.seek(start)
            header = file.read(_BLOCK)
    return member.found if _is_header(header, member) else None


def _is_header(header: bytes, member: Member) -> bool:
    """Whether that is what stood before this part of a tar file when it was listed."""
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    # Where an extended header has the exact time, some programs round the one that stands here.
    return info.size == member.size and abs(max(0, info.mtime) - member.time) <= 1


def read(place: str, most: int, tries: int | None = None) -> bytes:
    """All the bytes.

    Args:
        place: where.
        most: more bytes than that are no photo.
        tries: how often a store is asked at most; None: as often as it takes on a bad day.

    Raises:
        PhotoError: they cannot be had, or are too many.
    """
    if is_path(place):
        return read_file(place, most)
    if member := member_at(place):
        return _read_member(member, most, tries)
    data = _answer(place, lambda store: store.read_at_most(place, most), tries)
    _check_size(len(data), most)
    return data


def _read_member(member: Member, most: int, tries: int | None) -> bytes:
    _check_size(member.size, most)
    start, size = member.offset - _BLOCK, _BLOCK + member.size
    if is_address(member.tar):
        data = _answer(member.tar, lambda store: store.read(member.tar, start, start + size), tries)
    else:
        data = read_file(member.tar, most, start, size)
    if not _is_header(data[:_BLOCK], member):  # what is there now may be the middle of another photo
        raise PhotoError(
            "missing_file",
            "expected the photo where it was in its tar file, which has changed since it was listed; "
            "give `run` again",
        )
    return data[_BLOCK:]


def _answer(address: str, ask: Callable[[Store], bytes], tries: int | None) -> bytes:
    """What a store gives, or why it does not, as `PhotoError`."""
    try:
        store = store_of(address)
        return ask(store if tries is None else replace(store, tries=tries))
    except UsageError as error:  # on another machine than the one that listed it
        raise PhotoError("unreadable", str(error)) from error
    except FileNotFoundError as error:
        raise PhotoError(
            "missing_file", f"expected a photo at {redact(address)}, found none; check the list and --in"
        ) from error
    except PermissionError as error:
        raise PhotoError(
            "permission_denied",
            f"expected a readable object, got: {error.strerror}; check the credentials, or whether a signed "
            "address has expired",
        ) from error
    except OSError as error:
        raise PhotoError(
            "unreachable",
            f"expected an answer of {path_of(redact(address)).split('/')[0]}, got: {error.strerror}, "
            "several times; give the same command again when it is well",
        ) from error


def open_photo(
    place: str, *, name: str = "", max_pixels: int = DEFAULT_MAX_PIXELS, truncated: Truncated = "keep"
) -> PhotoFile:
    """Read a photo and its header; see `PhotoFile`.

    Raises:
        PhotoError: anything wrong with the photo, or with reading it.
    """
    data = read(place, most_bytes(max_pixels))
    return PhotoFile(data, name=name, max_pixels=max_pixels, truncated=truncated)


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise PhotoError(
            "too_many_pixels",
            f"expected a file of at most {most:,} bytes, got more; raise --max-pixels if it is genuine",
        )


def read_text(place: str) -> bytes:
    """All the bytes of a list of photos.

    Raises:
        UsageError: they cannot be had.
    """
    try:
        if is_address(place):
            return store_of(place).read_at_most(place, 1 << 40)
        with open(place, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"--in {kept(place)} cannot be read: {error.strerror}") from error
