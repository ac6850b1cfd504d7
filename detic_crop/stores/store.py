"""Object stores and web servers: fsspec's file systems, asked again when they fail, with errors as `OSError`.

Which package speaks to a store, and how it finds its credentials, is fsspec's matter (see its documentation);
no credentials are kept or written here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from importlib.metadata import version
from inspect import signature
from typing import Any, NamedTuple, TypeVar

from detic_crop.errors import UsageError
from detic_crop.stores.addresses import is_web, redact, scheme_of
from detic_crop.system.leaving import end_pool

_log = logging.getLogger(__name__)

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "http": "http", "https": "http"}
"""Scheme → extra of this package that installs what speaks to such stores."""

PARALLEL = 16
"""Requests at once where there are many."""

_TRIES = 6
_FIRST_PAUSE = 0.25  # seconds, doubled each time
_CHUNK = 1 << 20
_PARTIAL = 206
_LISTING_CACHES = ("s3", "s3a", "gs", "gcs")
_CLIENT_ERRORS = {401: PermissionError, 403: PermissionError, 404: FileNotFoundError, 410: FileNotFoundError}
_NO_CREDENTIALS = ("NoCredentialsError", "DefaultCredentialsError")
# Asking again does not help.
_FINAL = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError)
_TAGS = ("ETag", "etag", "md5Hash", "content_md5")
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
_T = TypeVar("_T")
_Item = TypeVar("_Item")


class ObjectInfo(NamedTuple):
    """What a store says of an object: its size in bytes, and a number that changes with its content."""

    size: int
    version: int


UNKNOWN = ObjectInfo(0, 0)
"""Of a web address, which is not asked before it is read."""


class OutOfTimeError(TimeoutError):
    """What a store was asked for did not come in the time that it had."""


@dataclass(slots=True)
class TimeLeft:
    """Time that a store has to bring one photo, in however many requests; what passes between does not count.

    Attributes:
        seconds: all of it.
        left: what is left.
    """

    seconds: float
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.seconds

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let it run meanwhile."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.left -= time.monotonic() - begun


class Asking(NamedTuple):
    """How often, and how long, a store is asked for something.

    Attributes:
        tries: most requests for one thing; None for the usual number.
        time: time that there is for it; None for as long as bytes come.
    """

    tries: int | None = None
    time: TimeLeft | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """A file system of fsspec.

    Every method asks again, up to `tries` times with growing pauses, when the other side is busy or does not
    answer. Then it raises `OSError`; `FileNotFoundError` and `PermissionError` where that is the cause.

    Attributes:
        scheme: of its addresses.
        fs: `fsspec.AbstractFileSystem`.
        tries: most requests for one thing.
        time: time that there is for a thing, all tries together; None for as long as bytes come. Where it is
            up, `OutOfTimeError` is raised.
    """

    scheme: str
    fs: Any
    tries: int = _TRIES
    time: TimeLeft | None = None

    def asked(self, asking: Asking) -> Store:
        """Return the store, asked so."""
        return replace(self, tries=asking.tries or self.tries, time=asking.time)

    def read(self, address: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return an object's bytes, or those from `start` to before `end`."""
        if start is not None and end is not None and start >= end:
            return b""
        path = self._path(address)
        if start is not None and end is not None and is_web(address):
            return self._ask(partial(self._stream_part, path, start, end), address)
        data: bytes = self._ask(lambda: self._cat(path, start, end), address)
        return data

    def read_at_most(self, address: str, most: int) -> bytes:
        """Return the first bytes of an object whose size is not known: at most one more than `most`."""
        if not is_web(address):
            return self._ask(partial(self._first_bytes, self._path(address), most), address)
        with contextlib.closing(Answer(address)) as answer:
            answer.fill(self, most + 1)
            return answer.whole()

    def _cat(self, path: str, start: int | None, end: int | None) -> bytes:
        # fsspec cuts off what it does in a loop of its own; what else it does, nobody can.
        limit = {"timeout": self.time.left} if self.time and getattr(self.fs, "async_impl", False) else {}
        data: bytes = self.fs.cat_file(path, start=start, end=end, **limit)
        return data

    def _first_bytes(self, path: str, most: int) -> bytes:
        try:
            data = self._cat(path, 0, most + 1)
        except Exception as error:
            if "satisfiable" not in str(error):
                raise
            return b""  # an empty object has no first byte, and stores call that an error
        return data

    def _stream_part(self, path: str, start: int, end: int) -> bytes:
        with self._stream(path, headers={"Range": f"bytes={start}-{end - 1}"}) as stream:
            buffer = io.BytesIO()
            if stream.r.status != _PARTIAL:  # a web server that knows no ranges sends all
                while start and (part := stream.read(min(_CHUNK, start))):
                    start -= len(part)
            while (left := end - start - buffer.tell()) and (part := stream.read(min(_CHUNK, left))):
                buffer.write(part)
        return buffer.getvalue()

    def _stream(self, path: str, **settings: Any) -> Any:
        if self.time:
            settings["timeout"] = _web_timeout(self.time.left)
        # With a size fsspec does not ask for it; a block size of 0 makes a plain stream, whatever the size.
        return self.fs.open(path, block_size=0, size=1, **settings)

    def open(self, address: str) -> Any:
        """Return the object as a binary file that can seek."""
        return self._ask(partial(self.fs.open, self._path(address), "rb"), address)

    def stat(self, address: str) -> ObjectInfo:
        """Return what the store says of one object; a web server is not asked."""
        if is_web(address):
            return UNKNOWN
        info = self._ask(partial(self.fs.info, self._path(address)), address)
        if info.get("type") == "directory":
            raise IsADirectoryError(errno.EISDIR, "expected an object, got a folder", address)
        return _info(info)

    def list(self, address: str) -> dict[str, ObjectInfo]:
        """Return every object below an address by its relative path; one object has the empty path."""
        above = self._path(address).rstrip("/")
        self.fs.invalidate_cache()  # which would hide what was written since
        listed = self._ask(partial(self.fs.find, above, detail=True), address)
        return _relative(listed, above)

    def glob(self, pattern: str, root: str) -> dict[str, ObjectInfo]:
        """Return the objects that match a pattern, by their path relative to the address `root`."""
        self.fs.invalidate_cache()
        listed = self._ask(partial(self.fs.glob, self._path(pattern), detail=True), pattern)
        return _relative(listed, self._path(root).rstrip("/"))

    def write(self, address: str, data: bytes) -> None:
        """Write an object in one step, over the one that is there."""
        self._ask(partial(self.fs.pipe_file, self._path(address), data), address)

    def create(self, address: str, data: bytes) -> None:
        """Write an object where there is none, or the same one.

        Two writers cannot both succeed where the store knows conditional writes (S3 and Google's do).

        Raises:
            FileExistsError: another object is there.
        """
        self._ask(partial(self._create, self._path(address), data), address)

    def _create(self, path: str, data: bytes) -> None:
        if self._holds(path, data):  # perhaps written by us, and only the answer was lost
            return
        try:
            self.fs.pipe_file(path, data, mode="create")
        except Exception as error:
            if _knows_no_conditions(error):
                self.fs.pipe_file(path, data)
            elif not self._holds(path, data):
                raise

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            found = self.fs.cat_file(path)
        except FileNotFoundError:
            return False
        if found != data:
            where = redact(f"{self.scheme}://{path.lstrip('/')}")
            raise FileExistsError(errno.EEXIST, "another object is there", where)
        return True

    def remove(self, addresses: Iterable[str]) -> None:
        """Remove objects, where they exist."""
        map_parallel(self._remove, addresses)

    def _remove(self, address: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._ask(partial(self.fs.rm_file, self._path(address)), address)

    def _path(self, address: str) -> str:
        path: str = self.fs._strip_protocol(self.scheme + address[len(self.scheme) :])  # `S3://`, too
        return path

    def _ask(self, request: Callable[[], _T], address: str) -> _T:
        attempt = 1
        while True:
            try:
                with self._running():
                    return request()
            except Exception as error:
                failed = error
            meant = _as_os_error(failed, address)
            is_final = isinstance(meant, _FINAL) or isinstance(failed, ValueError)
            if is_final or type(failed).__name__ == "ParamValidationError":
                raise meant from failed
            pause = _FIRST_PAUSE * 2 ** (attempt - 1)
            pause *= 0.5 + random.random() / 2  # so that many do not ask together again
            if isinstance(failed, OutOfTimeError) or (self.time and self.time.left <= pause):
                why = f"not all of it came within {self.time.seconds if self.time else 0:g} s"
                raise OutOfTimeError(errno.ETIMEDOUT, why, redact(address)) from failed
            if attempt == self.tries:
                raise meant from failed
            _log.debug("%s: %s; asking again", redact(address), meant)
            with self._running():
                time.sleep(pause)
            attempt += 1

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """Let the time of what is asked for run, if it has any."""
        if self.time is None:
            yield
            return
        if self.time.left <= 0:
            raise OutOfTimeError
        with self.time.running():
            yield


class Answer:
    """What a web server answers for one address, read from its beginning and no further than it is needed.

    Args:
        address: the address.

    Attributes:
        stated: bytes that the server says it has; -1 if it does not say.
    """

    def __init__(self, address: str) -> None:
        self.stated = -1
        self._address = address
        self._data = io.BytesIO()
        self._stream: Any = None
        self._ended = False

    def fill(self, store: Store, size: int) -> int:
        """Read on until `size` bytes are there, or all; return how many are.

        Raises:
            OSError: as the methods of `Store`.
        """
        store._ask(partial(self._fill, store, size), self._address)
        return self._data.tell()

    def _fill(self, store: Store, size: int) -> None:
        if self._stream is None and not self._ended:  # also after it broke off
            self._data = io.BytesIO()
            self._stream = store._stream(store._path(self._address))
            self.stated = _stated_length(self._stream)
        try:
            while not self._ended and (left := size - self._data.tell()) > 0:
                part = self._stream.read(min(_CHUNK, left))
                self._data.write(part)
                self._ended = not part
        except BaseException:
            self.close()
            raise

    def part(self, start: int, size: int) -> bytes:
        """Return some of the bytes that are there."""
        with self._data.getbuffer() as there:
            return bytes(there[start : start + size])

    def whole(self) -> bytes:
        """Return all bytes that are there, without another copy of them."""
        return self._data.getvalue()

    def close(self) -> None:
        """Read no further."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _stated_length(stream: Any) -> int:
    headers = stream.r.headers
    text = "" if headers.get("Content-Encoding") else headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else -1


def map_parallel(call: Callable[[_Item], _T], items: Iterable[_Item]) -> list[_T]:
    """Return `call` of every item, some at a time. The first error is raised, and no more are begun."""
    pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="detic-crop-store")
    try:
        return list(pool.map(call, items))
    finally:
        end_pool(pool)


def store_of(address: str) -> Store:
    """Return the store that an address is in.

    Raises:
        UsageError: no package for such addresses is installed; says what to install.
    """
    return _store(scheme_of(address))


@lru_cache
def _store(scheme: str) -> Store:
    import fsspec  # type: ignore[import-untyped]  # torch brings it along

    try:
        kind = fsspec.get_filesystem_class(scheme)
        if needed := _required_settings(kind):  # an address is all that a user can give
            raise UsageError(
                "unusable_store", f"{scheme}:// cannot be used here: it needs settings ({', '.join(needed)})"
            )
        settings: dict[str, Any] = {}
        if scheme in _LISTING_CACHES:
            settings = {"use_listings_cache": False}
        elif is_web(f"{scheme}://"):
            settings = {"client_kwargs": _web_settings()}
        return Store(scheme, kind(**settings))
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        how = f"pip install 'detic-crop[{extra}]'" if extra else str(error)
        raise UsageError(
            "missing_extra", f"addresses like {scheme}:// need a package that is not installed: {how}"
        ) from error
    except UsageError:
        raise
    except ValueError as error:
        known = ", ".join(f"{name}://" for name in ("s3", "gs", "https"))
        raise UsageError(
            "unknown_scheme", f"{scheme}:// is not a known kind of address; expected {known}"
        ) from error
    except OSError as error:
        raise UsageError("unusable_store", f"{scheme}:// cannot be used here ({_reason(error)})") from error


def _required_settings(kind: type) -> list[str]:
    parameters = list(signature(kind.__init__).parameters.values())[1:]  # type: ignore[misc]
    return [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def _web_timeout(seconds: float | None) -> Any:
    """Return how long aiohttp waits for a whole answer, and in any case for a connection or some bytes."""
    import aiohttp

    return aiohttp.ClientTimeout(total=seconds, sock_connect=30, sock_read=60)


def _web_settings() -> dict[str, Any]:
    return {
        # Not aiohttp's five minutes in all, which a large tar file on a slow line may take.
        "timeout": _web_timeout(None),
        "headers": {"User-Agent": f"detic-crop/{version('detic-crop')}"},  # some refuse a library's own
        "trust_env": True,  # HTTP_PROXY, HTTPS_PROXY, NO_PROXY
    }


def _relative(listed: Mapping[str, Mapping[str, Any]], above: str) -> dict[str, ObjectInfo]:
    """Return the objects of a listing, without its folders, by their path below `above`."""
    return {
        path.removeprefix(above).removeprefix("/"): _info(info)
        for path, info in listed.items()
        if info.get("type") != "directory" and not path.endswith("/")
    }


def _info(info: Mapping[str, Any]) -> ObjectInfo:
    """Return size and version; the version is a hash of the object's ETag, else of its time, else 0."""
    tag = next((info[name] for name in _TAGS if info.get(name)), None)
    if tag is None:
        changed = next((info[name] for name in _TIMES if info.get(name)), None)
        tag = changed.timestamp() if isinstance(changed, datetime) else changed
    size = int(info.get("size") or 0)
    if tag is None:
        return ObjectInfo(size, 0)
    digest = hashlib.blake2b(str(tag).encode(), digest_size=7).digest()
    return ObjectInfo(size, int.from_bytes(digest, "big"))


def _knows_no_conditions(error: Exception) -> bool:
    """Return whether a store refused a conditional write because it does not know any."""
    return isinstance(error, NotImplementedError | TypeError) or (
        isinstance(error, OSError) and error.errno in (errno.ENOSYS, errno.EINVAL)
    )


def _as_os_error(error: BaseException, address: str) -> OSError:
    """Return what a file system raised as the `OSError` that it means."""
    where = redact(address)
    if is_web(address) and isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # fsspec raises it for everything that keeps it from learning a size
    status = getattr(error, "status", None)
    if isinstance(status, int) and status:
        kind = _CLIENT_ERRORS.get(status, OSError)
        code = {PermissionError: errno.EACCES, FileNotFoundError: errno.ENOENT}.get(kind, errno.EIO)
        return kind(code, f"the server answered {status}", where)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "no such object", where)
    if isinstance(error, PermissionError) or type(error).__name__ in _NO_CREDENTIALS:
        return PermissionError(errno.EACCES, f"no permission ({_reason(error)})", where)
    if isinstance(error, FileExistsError | IsADirectoryError):
        return error
    if isinstance(error, NotImplementedError):
        return OSError(errno.ENOSYS, _reason(error), where)
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return OSError(errno.ETIMEDOUT, "no answer in time", where)
    return OSError(getattr(errno, "EREMOTEIO", errno.EIO), _reason(error), where)


def _reason(error: BaseException) -> str:
    """Return an error's words without what may be secret in an address: signature, user and password."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    text = re.sub(r"\?[^\s'\"]+", "", text)
    return re.sub(r"[^\s'\"/@]*:[^\s'\"/@]*@", "", text)[:200]
