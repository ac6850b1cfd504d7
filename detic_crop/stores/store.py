"""Object stores and web addresses: fsspec's file systems, asked again when they stumble, errors in our words.

An address is text such as ``s3://bucket/photos``. Which package speaks to a store, and how it finds its
credentials, is fsspec's matter (see its documentation); nothing of them is kept or written anywhere here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import logging
import posixpath
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from importlib.metadata import version
from inspect import signature
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urljoin

from detic_crop.errors import UsageError, one_line
from detic_crop.system.leaving import end_pool

_log = logging.getLogger(__name__)

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "http": "http", "https": "http"}
WEB = ("http", "https")
PARALLEL = 16  # requests at once where there are many
_TRIES = 6
_FIRST_PAUSE = 0.25  # seconds, doubled each time
_CLIENT_ERRORS = {401: PermissionError, 403: PermissionError, 404: FileNotFoundError, 410: FileNotFoundError}
_FINAL = (FileNotFoundError, PermissionError, FileExistsError, NotImplementedError, IsADirectoryError)
_T = TypeVar("_T")
_Item = TypeVar("_Item")


class ObjectInfo(NamedTuple):
    """What a store says of an object: its size in bytes, and a number that changes with its content."""

    size: int
    version: int


UNKNOWN = ObjectInfo(0, 0)
"""Of a web address, which is not asked before it is read."""


def scheme_of(text: str) -> str:
    """``s3`` of ``s3://bucket/photos``; empty of a path."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    return found[1].lower() if found else ""


def is_address(text: str) -> bool:
    """Whether this names something outside this machine's file system; ``file://`` does not."""
    return scheme_of(text) not in ("", "file")


def is_web(address: str) -> bool:
    """Return whether this is an address of the web, which can only be read."""
    return scheme_of(address) in WEB


def redact(address: str) -> str:
    """The address without what may be secret: a signature in its query, a password before its host."""
    return f"{scheme_of(address)}://{_without_secrets(address)}"


def path_of(address: str) -> str:
    """Bucket or host, and path: what is left of an address without its scheme and query, percent-decoded."""
    path = _without_secrets(address)
    return unquote(path, errors="surrogateescape") if is_web(address) else path


def _without_secrets(address: str) -> str:
    """What follows ``://``. Not taken apart by urllib, which refuses some addresses that a list may hold."""
    rest = address.partition("://")[2]
    web = is_web(address)
    if web:  # elsewhere both characters may stand in the name of an object
        rest = re.split("[?#]", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    before, at, name = host.rpartition("@")
    if at and (web or ":" in before):  # Azure's `container@account` is no secret
        host = name
    return host + slash + path


def join(address: str, name: str) -> str:
    """The address of `name` below an address."""
    return f"{address.rstrip('/')}/{name}" if name else address


def resolve(address: str, relative: str) -> str:
    """The address that a relative path means in a list at an address."""
    if is_web(address):
        return urljoin(address, relative)
    above = path_of(address).rpartition("/")[0]
    return f"{scheme_of(address)}://{posixpath.normpath(f'{above}/{relative}')}"


@dataclass(frozen=True, slots=True)
class Store:
    """A file system of fsspec.

    Every method asks again, a few times and ever later, where the other side is busy or does not answer, and
    raises `OSError`: `FileNotFoundError` and `PermissionError` where that is what is wrong.

    Attributes:
        scheme: of its addresses.
        fs: `fsspec.AbstractFileSystem`.
        tries: how often each request is made at most.
    """

    scheme: str
    fs: Any
    tries: int = _TRIES

    def read(self, address: str, start: int | None = None, end: int | None = None) -> bytes:
        """An object's bytes, or those from `start` to before `end`."""
        if start is not None and end is not None and start >= end:
            return b""
        path = self._path(address)
        data: bytes = self._ask(partial(self.fs.cat_file, path, start=start, end=end), address)
        if start is not None and end is not None and len(data) > end - start:
            return data[start:end]  # a web server that knows no ranges sends all
        return data

    def read_at_most(self, address: str, most: int) -> bytes:
        """The first bytes of an object, whose size need not be known: at most one more than `most`."""
        first = self._stream if self.scheme in WEB else self._first_bytes
        return self._ask(partial(first, self._path(address), most), address)

    def _first_bytes(self, path: str, most: int) -> bytes:
        try:
            data: bytes = self.fs.cat_file(path, start=0, end=most + 1)
        except Exception as error:
            if "satisfiable" not in str(error):
                raise
            return b""  # an empty object has no first byte, and stores call that an error
        return data

    def _stream(self, path: str, most: int) -> bytes:
        # A size spares the question for it; a block size of 0 is a plain stream, whatever the size.
        with self.fs.open(path, block_size=0, size=1) as stream:
            parts, got = [], 0
            while got <= most and (part := stream.read(min(1 << 20, most + 1 - got))):
                parts.append(part)
                got += len(part)
        return b"".join(parts)

    def open(self, address: str) -> Any:
        """The object as a binary file to seek in."""
        return self._ask(partial(self.fs.open, self._path(address), "rb"), address)

    def stat(self, address: str) -> ObjectInfo:
        """What the store says of one object; a web address is not asked."""
        if self.scheme in WEB:
            return UNKNOWN
        info = self._ask(partial(self.fs.info, self._path(address)), address)
        if info.get("type") == "directory":
            raise IsADirectoryError(errno.EISDIR, "expected an object, got a folder", address)
        return _found(info)

    def list(self, address: str) -> dict[str, ObjectInfo]:
        """Every object below an address: relative path → what the store says of it.

        An address of one object finds it under the empty path.
        """
        above = self._path(address).rstrip("/")
        # The cache of a file system would hide what was written since.
        self.fs.invalidate_cache()
        listed = self._ask(partial(self.fs.find, above, detail=True), address)
        return self._relative(listed, above)

    def glob(self, pattern: str, root: str) -> dict[str, ObjectInfo]:
        """The objects that match a pattern, by their path relative to the address `root`."""
        self.fs.invalidate_cache()
        listed = self._ask(partial(self.fs.glob, self._path(pattern), detail=True), pattern)
        return self._relative(listed, self._path(root).rstrip("/"))

    def _relative(self, listed: Mapping[str, Mapping[str, Any]], above: str) -> dict[str, ObjectInfo]:
        return {
            path.removeprefix(above).removeprefix("/"): _found(info)
            for path, info in listed.items()
            if info.get("type") != "directory" and not path.endswith("/")
        }

    def write(self, address: str, data: bytes) -> None:
        """Put an object there at once; one that is there already is replaced."""
        self._ask(partial(self.fs.pipe_file, self._path(address), data), address)

    def create(self, address: str, data: bytes) -> None:
        """Put an object where none is; that the very same one is there already is no matter.

        Two writers at once cannot both do so where the store knows conditions (S3 and Google's do).

        Raises:
            FileExistsError: another one is there.
        """
        self._ask(partial(self._create, self._path(address), data), address)

    def _create(self, path: str, data: bytes) -> None:
        if self._holds(path, data):  # perhaps written by us, and only the answer was lost
            return
        try:
            self.fs.pipe_file(path, data, mode="create")
        except Exception as error:
            if isinstance(error, NotImplementedError | TypeError) or (
                isinstance(error, OSError) and error.errno in (errno.ENOSYS, errno.EINVAL)
            ):
                self.fs.pipe_file(path, data)  # it knows no conditions
            elif not self._holds(path, data):
                raise

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            there = self.fs.cat_file(path)
        except FileNotFoundError:
            return False
        if there != data:
            where = redact(f"{self.scheme}://{path.lstrip('/')}")
            raise FileExistsError(errno.EEXIST, "another object is there", where)
        return True

    def remove(self, addresses: Iterable[str]) -> None:
        """Remove objects; those that are gone already are no matter."""
        map_parallel(self._remove, addresses)

    def _remove(self, address: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._ask(partial(self.fs.rm_file, self._path(address)), address)

    def _path(self, address: str) -> str:
        path: str = self.fs._strip_protocol(self.scheme + address[len(self.scheme) :])  # `S3://`, too
        return path

    def _ask(self, call: Callable[[], _T], address: str) -> _T:
        for attempt in range(self.tries):
            try:
                return call()
            except Exception as error:
                meant = _as_os_error(error, address)
                hopeless = isinstance(error, ValueError) or type(error).__name__ == "ParamValidationError"
                if hopeless or isinstance(meant, _FINAL) or attempt == self.tries - 1:
                    raise meant from error
                _log.debug("%s: %s; asking again", redact(address), meant)
            pause = _FIRST_PAUSE * 2**attempt
            time.sleep(pause * (0.5 + random.random() / 2))  # so that many do not ask together again
        raise AssertionError("unreachable")


def map_parallel(call: Callable[[_Item], _T], items: Iterable[_Item]) -> list[_T]:
    """`call` for every item, some at a time; the first error is raised, and then no more are begun."""
    pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="detic-crop-store")
    try:
        return list(pool.map(call, items))
    finally:
        end_pool(pool)


def store_of(address: str) -> Store:
    """The store that an address is in.

    Raises:
        UsageError: no package for such addresses is installed; says what to install.
    """
    return _store(scheme_of(address))


@lru_cache
def _store(scheme: str) -> Store:
    import fsspec  # type: ignore[import-untyped]  # torch brings it along

    settings: dict[str, Any] = {}
    if scheme in ("s3", "s3a", "gs", "gcs"):
        settings = {"use_listings_cache": False}
    try:
        kind = fsspec.get_filesystem_class(scheme)
        parameters = list(signature(kind.__init__).parameters.values())[1:]
        needed = [
            p.name
            for p in parameters
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if needed:  # an address is all that a user can give
            raise UsageError(f"{scheme}:// cannot be used here: it needs settings ({', '.join(needed)})")
        if scheme in WEB:
            settings = {"client_kwargs": _web_settings()}
        return Store(scheme, kind(**settings))
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        how = f"pip install 'detic-crop[{extra}]'" if extra else str(error)
        raise UsageError(f"addresses like {scheme}:// need a package that is not installed: {how}") from error
    except ValueError as error:
        known = ", ".join(f"{name}://" for name in ("s3", "gs", "https"))
        raise UsageError(f"{scheme}:// is no kind of address that is known; expected {known}") from error
    except OSError as error:
        raise UsageError(f"{scheme}:// cannot be used here ({_words(error)})") from error


def _web_settings() -> dict[str, Any]:
    import aiohttp

    return {
        # Not aiohttp's five minutes in all, which a large photo on a slow line may take.
        "timeout": aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60),
        "headers": {"User-Agent": f"detic-crop/{version('detic-crop')}"},  # some refuse a library's own
        "trust_env": True,  # HTTP_PROXY, HTTPS_PROXY, NO_PROXY
    }


def _found(info: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(int(info.get("size") or 0), _version(info))


def _version(info: Mapping[str, Any]) -> int:
    """A number for what the store calls this version of an object: its ETag, else its time."""
    tag = next((info[name] for name in ("ETag", "etag", "md5Hash", "content_md5") if info.get(name)), None)
    if tag is None:
        names = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
        time_of = next((info[name] for name in names if info.get(name)), None)
        tag = time_of.timestamp() if isinstance(time_of, datetime) else time_of
    if tag is None:
        return 0
    return int.from_bytes(hashlib.blake2b(str(tag).encode(), digest_size=7).digest(), "big")


def _as_os_error(error: BaseException, address: str) -> OSError:
    """What a file system raised, as the error that it means."""
    where = redact(address)
    if is_web(address) and isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # fsspec calls everything so that keeps it from learning a size
    status = getattr(error, "status", None)
    if isinstance(status, int) and status in _CLIENT_ERRORS:
        kind = _CLIENT_ERRORS[status]
        code = errno.EACCES if kind is PermissionError else errno.ENOENT
        return kind(code, f"the server answered {status}", where)
    if isinstance(status, int) and status:
        return OSError(errno.EIO, f"the server answered {status}", where)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "no such object", where)
    if isinstance(error, PermissionError) or type(error).__name__ in (
        "NoCredentialsError",
        "DefaultCredentialsError",
    ):
        return PermissionError(errno.EACCES, f"no permission ({_words(error)})", where)
    if isinstance(error, FileExistsError | NotImplementedError | IsADirectoryError):
        return error if isinstance(error, OSError) else OSError(errno.ENOSYS, _words(error), where)
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return OSError(errno.ETIMEDOUT, "no answer in time", where)
    return OSError(errno.EREMOTEIO if hasattr(errno, "EREMOTEIO") else errno.EIO, _words(error), where)


def _words(error: BaseException) -> str:
    """An error's words without what may be secret in an address: signature, user and password."""
    text = one_line(getattr(error, "strerror", None) or error)
    text = re.sub(r"\?[^\s'\"]+", "", text)
    return re.sub(r"[^\s'\"/@]*:[^\s'\"/@]*@", "", text)[:200]
