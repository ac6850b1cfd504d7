"""Where the bytes of a photo are: in a file, in an object of a store, or in a part of a tar file.

Text is parsed where it comes in, and only there: `locate` for what a user gave, `parse` for what an output
folder recorded. `str` of a location is the recorded text.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote

from msgspec import Struct

from detic_crop.errors import PhotoError, UsageError
from detic_crop.images.file_bytes import READ_FLAGS, open_part, open_photo
from detic_crop.images.source import AT_ONCE, BytesSource, RangeSource, Source, grown, too_large
from detic_crop.photos.tar_headers import BLOCK, clamped_time
from detic_crop.stores.addresses import is_address, is_web, path_of, redact
from detic_crop.stores.store import Answer, Asking, ObjectInfo, OutOfTimeError, Store, store_of
from detic_crop.system.whole_files import check_whole, most_whole_bytes, read_whole

_MEMBER = re.compile(r"tar:(\d{1,18})\+(\d{1,18})@(\d{1,18}):(.+)", re.DOTALL)
_USUAL = Asking()
_T = TypeVar("_T")
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}

# There may be ten million of these: structs without a dictionary that the garbage collector does not track.


class LocalFile(Struct, frozen=True, gc=False):
    """A file of its own on this machine."""

    path: str

    def __str__(self) -> str:
        """Return the text that `parse` reads back; a path that looks like something else becomes absolute."""
        return self.path if type(parse(self.path)) is LocalFile else os.path.abspath(self.path)

    @property
    def name(self) -> str:
        """File name, for messages and its extension."""
        return os.path.basename(self.path)

    @property
    def own_path(self) -> str:
        """Path or address of the photo itself, whose folders may tell which photo a table means."""
        return self.path

    @property
    def local_path(self) -> str | None:
        """Path of the file on this machine that holds the bytes; None where there is none."""
        return self.path

    def absolute(self) -> LocalFile:
        """Return the location independent of the working folder."""
        return LocalFile(os.path.abspath(self.path))

    def below(self, keys: Iterable[str]) -> list[FileOrObject]:
        """Return the files at some relative paths, written with ``/``, below this folder."""
        above = self.path if self.path.endswith(os.sep) else self.path + os.sep
        if os.sep != "/":
            keys = (key.replace("/", os.sep) for key in keys)
        return [LocalFile(above + key) for key in keys]

    def redact(self) -> LocalFile:
        """Return the location without secrets."""
        return self

    def describe(self) -> str:
        """Return the location for people, without secrets."""
        return self.path

    def as_uri(self) -> str:
        """Return an address that opens the photo; empty for `NOWHERE`. Another path must be absolute."""
        return Path(self.path).as_uri() if self.path else ""

    def stat(self) -> ObjectInfo | None:
        """Return size and version of what is there now; None when nothing is, or it cannot be looked at."""
        try:
            status = os.stat(self.path)
        except (OSError, ValueError):  # ValueError: half of a surrogate pair
            return None
        return ObjectInfo(status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None

    def open(self) -> Any:
        """Open as a binary file that can seek; raise OSError, also for a pipe, which would be waited for."""
        descriptor = os.open(self.path, READ_FLAGS)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no file, but a folder, a pipe or a device")
        return os.fdopen(descriptor, "rb")

    def source(self, listed: int, max_bytes: int, asking: Asking = _USUAL) -> AbstractContextManager[Source]:
        """Open the photo, to be read in parts.

        Args:
            listed: bytes that it had when it was listed; not positive if that is unknown.
            max_bytes: where nobody says how many bytes there are, no more are taken.
            asking: how often and how long a store is asked.

        Raises:
            PhotoError: it cannot be read, or is not what was listed.
        """
        return open_photo(self.path, listed)

    def read(self, max_bytes: int, asking: Asking = _USUAL) -> bytes:
        """Return all bytes; see `source`.

        Raises:
            PhotoError: they cannot be read, or are more than `max_bytes`.
        """
        return _read(self, max_bytes, asking)

    def part(self, start: int, size: int, asking: Asking = _USUAL) -> AbstractContextManager[Source]:
        """Open a part of the file, `size` bytes from `start` on, fewer at the end; see `source`."""
        return open_part(self.path, start, size)


class StoreObject(Struct, frozen=True, gc=False):
    """An object of a store or of a web server. The members are those of `LocalFile`."""

    address: str

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        return os.path.basename(path_of(self.address))

    @property
    def own_path(self) -> str:
        return self.address

    @property
    def local_path(self) -> str | None:
        return None

    def absolute(self) -> StoreObject:
        return self

    def below(self, keys: Iterable[str]) -> list[FileOrObject]:
        above = self.address.rstrip("/") + "/"
        return [StoreObject(above + key) for key in keys]

    def redact(self) -> StoreObject:
        """Return the location without a signed query or a password.

        A web address whose query was needed no longer opens the photo; then `--in` must be given again.
        """
        return StoreObject(redact(self.address))

    def describe(self) -> str:
        return redact(self.address)

    def as_uri(self) -> str:
        return self.address

    def stat(self) -> ObjectInfo | None:
        try:
            return store_of(self.address).stat(self.address)
        except (OSError, ValueError):  # ValueError: no package for such addresses, or an odd address
            return None

    def open(self) -> Any:
        return store_of(self.address).open(self.address)

    def source(self, listed: int, max_bytes: int, asking: Asking = _USUAL) -> AbstractContextManager[Source]:
        if is_web(self.address):
            return self._answer(max_bytes, asking)
        return self._object(listed, max_bytes, asking)

    @contextmanager
    def _answer(self, max_bytes: int, asking: Asking) -> Iterator[Source]:
        """Yield an object of a web server, which is not asked how large it is."""
        with closing(Answer(self.address)) as answer:
            yield _AnswerSource(
                answer, max_bytes, lambda size: self._ask(lambda store: answer.fill(store, size), asking)
            )

    @contextmanager
    def _object(self, listed: int, max_bytes: int, asking: Asking) -> Iterator[Source]:
        """Yield an object of a store."""
        most = listed if listed > 0 else max_bytes

        def read(start: int, size: int) -> bytes:
            if size < most:
                return self._ask(lambda store: store.read(self.address, start, start + size), asking)
            data = self._ask(lambda store: store.read_at_most(self.address, most), asking)
            if len(data) > most:
                raise grown(listed) if listed > 0 else too_large(max_bytes)
            return data

        yield RangeSource(listed, read) if listed > 0 else BytesSource(read(0, most))

    def read(self, max_bytes: int, asking: Asking = _USUAL) -> bytes:
        return _read(self, max_bytes, asking)

    @contextmanager
    def part(self, start: int, size: int, asking: Asking = _USUAL) -> Iterator[Source]:
        def read(at: int, size: int) -> bytes:
            first = start + at
            return self._ask(lambda store: store.read(self.address, first, first + size), asking)

        yield RangeSource(size, read)

    def _ask(self, request: Callable[[Store], _T], asking: Asking) -> _T:
        """Return the answer of the store; raise `PhotoError` that says why there is none."""
        address = redact(self.address)
        try:
            store = store_of(self.address)
            return request(store.asked(asking))
        except UsageError as error:  # on another machine than the one that listed it
            raise PhotoError("unreadable", error.message) from error
        except FileNotFoundError as error:
            raise PhotoError(
                "missing_file", f"expected a photo at {address}, found none; check the list and --in"
            ) from error
        except PermissionError as error:
            raise PhotoError(
                "permission_denied",
                f"expected a readable object, got: {error.strerror}; check the credentials, or whether a "
                "signed address has expired",
            ) from error
        except OutOfTimeError as error:
            raise PhotoError(
                "timeout",
                f"expected the whole photo from {path_of(address).split('/')[0]} in time, got: "
                f"{error.strerror}; run the same command again, with a longer --photo-timeout if the "
                "connection is slow",
            ) from error
        except OSError as error:
            raise PhotoError(
                "unreachable",
                f"expected an answer of {path_of(address).split('/')[0]}, got: {error.strerror}, "
                "several times; run the same command again when it answers",
            ) from error


class TarMember(Struct, frozen=True, gc=False):
    """A file inside an uncompressed tar file. The members are those of `LocalFile`.

    Attributes:
        offset: first byte of its data in the tar file.
        size: bytes.
        time: modification time in whole seconds.
        tar: the tar file; one object for all of its members.
    """

    offset: int
    size: int
    time: int
    tar: LocalFile | StoreObject

    def __str__(self) -> str:
        return f"tar:{self.offset}+{self.size}@{self.time}:{self.tar}"

    @property
    def name(self) -> str:
        return ""

    @property
    def own_path(self) -> str:
        return ""

    @property
    def local_path(self) -> str | None:
        return self.tar.local_path

    def absolute(self) -> TarMember:
        return TarMember(self.offset, self.size, self.time, self.tar.absolute())

    def redact(self) -> TarMember:
        return TarMember(self.offset, self.size, self.time, self.tar.redact())

    def describe(self) -> str:
        return f"byte {self.offset} of {self.tar.describe()}"

    def as_uri(self) -> str:
        return ""

    def stat(self) -> ObjectInfo | None:
        try:
            with self.tar.part(self.offset - BLOCK, BLOCK) as part:
                header = part.whole()
        except PhotoError:
            return None
        return self.info if self._is_described_by(header) else None

    @property
    def info(self) -> ObjectInfo:
        """Size and version as the tar file's own listing has them."""
        return ObjectInfo(self.size, self.time * 10**9)

    @contextmanager
    def source(self, listed: int, max_bytes: int, asking: Asking = _USUAL) -> Iterator[Source]:
        with self.tar.part(self.offset - BLOCK, BLOCK + self.size, asking) as part:
            if not self._is_described_by(part.part(0, BLOCK)):  # now this may be the middle of another photo
                raise PhotoError(
                    "missing_file",
                    "expected the photo where it was in its tar file, which has changed since it was listed; "
                    "run the command again",
                )
            yield _Behind(part, BLOCK)

    def read(self, max_bytes: int, asking: Asking = _USUAL) -> bytes:
        return _read(self, max_bytes, asking)

    def _is_described_by(self, header: bytes) -> bool:
        """Return whether these bytes are the header that stood before the member when it was listed."""
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            return False
        # Where an extended header has the exact time, some programs round the one in this header.
        return info.size == self.size and abs(clamped_time(info.mtime) - self.time) <= 1


FileOrObject: TypeAlias = LocalFile | StoreObject
"""What may be a photo, a list or a tar file."""

Location: TypeAlias = LocalFile | StoreObject | TarMember

NOWHERE = LocalFile("")
"""The location of a photo that nobody knows."""


def parse(text: str) -> Location:
    """Return the location whose recorded text this is."""
    if ":" not in text:  # nearly all
        return _local_file(text)
    if text.startswith("tar:") and (found := _MEMBER.fullmatch(text)):
        return TarMember(int(found[1]), int(found[2]), int(found[3]), file_or_object(found[4]))
    return file_or_object(text)


def locate(given: str | os.PathLike[str], folder: str | os.PathLike[str] = "") -> FileOrObject:
    """Return the file or object that a user means; see `strip_file_scheme`."""
    return file_or_object(strip_file_scheme(given, folder))


def file_or_object(text: str) -> FileOrObject:
    """Return what a path or an address names."""
    return StoreObject(text) if is_address(text) else _local_file(text)


def _local_file(path: str) -> LocalFile:
    """Return the file of that path; no file has a NUL in its path, which therefore is spelled as in keys."""
    return LocalFile(path.replace("\0", "%00") if "\0" in path else path)


def strip_file_scheme(given: str | os.PathLike[str], folder: str | os.PathLike[str] = "") -> str:
    """Return a user's text without ``file://`` before it and quotation marks around it.

    Windows' "Copy as path" puts the marks there. A file whose name really has them is meant first.

    Args:
        given: text as typed, or a line of a list.
        folder: folder that a relative path is relative to.
    """
    text = os.fspath(given)
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


def local_files(locations: Iterable[Location]) -> Iterator[str]:
    """Yield the files on this machine that hold the photos; a tar file once for each run of its members."""
    last = None
    for location in locations:
        path = location.local_path
        if path is not None and path != last:
            yield path
        last = path


def addresses(locations: Iterable[Location]) -> Iterator[str]:
    """Yield the objects that hold the photos; a tar file once for each run of its members."""
    last = None
    for location in locations:
        holder = location.tar if isinstance(location, TarMember) else location
        if isinstance(holder, StoreObject) and holder is not last:
            yield holder.address
        last = holder


def read_list(location: FileOrObject) -> bytes:
    """Return all bytes of a list of photos.

    Raises:
        UsageError: `unreadable_input`.
    """
    try:
        if isinstance(location, StoreObject):
            most = most_whole_bytes()
            data = store_of(location.address).read_at_most(location.address, most)
            check_whole(len(data), most)
            return data
        return read_whole(location.path)
    except OSError as error:
        raise UsageError(
            "unreadable_input", f"--in {location.describe()} cannot be read: {error.strerror}"
        ) from error


def _read(location: Location, max_bytes: int, asking: Asking) -> bytes:
    with location.source(-1, max_bytes, asking) as source:
        if source.size > max_bytes:
            raise too_large(max_bytes, source.size)
        return source.whole()


class _AnswerSource:
    """A `Source` of a web server's answer, which is read from its beginning and may have no end.

    Args:
        answer: the answer.
        most: bytes after which it is refused.
        fill: function that calls `Answer.fill`, with errors as `PhotoError`.
    """

    def __init__(self, answer: Answer, most: int, fill: Callable[[int], int]) -> None:
        self._answer = answer
        self._most = most
        self._fill = fill

    @property
    def size(self) -> int:
        there = self._fill(AT_ONCE)
        if there < AT_ONCE:
            return there
        return self._answer.stated if self._answer.stated >= 0 else self._most

    def part(self, start: int, size: int) -> bytes:
        self._fill(min(start + size, self._most))
        return self._answer.part(start, size)

    def whole(self) -> bytes:
        if self._fill(self._most + 1) > self._most:
            raise too_large(self._most)
        return self._answer.whole()


class _Behind:
    """A `Source` of what follows the first bytes of another one."""

    def __init__(self, source: Source, head: int) -> None:
        self._source = source
        self._head = head

    @property
    def size(self) -> int:
        return max(0, self._source.size - self._head)

    def part(self, start: int, size: int) -> bytes:
        return self._source.part(self._head + start, size)

    def whole(self) -> bytes:
        return self.part(0, self.size)
