"""One file over HTTP: continued where it broke off, tried again, and never seen under its final name.

The file grows as ``NAME.part``. Beside it ``NAME.part.json`` says which file it is a part of, in the server's
words (RFC 9110: ETag, Last-Modified, length), so that parts of two different files are never joined.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.metadata
import json
import logging
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import msgspec

from detic_crop.errors import OutputError, WeightsError, is_disk_full, one_line

Report = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that there will be."""
Sleep = Callable[[float], object]

TRIES = 5
"""Tries in a row that bring nothing new before giving up."""
MAX_TRIES = 100
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""
LONGEST_WAIT = 60.0
_SLOWEST = 500
"""Bytes a second below which a connection counts as broken."""
_LOOK_EVERY = 60.0
"""Seconds over which that is measured."""

_BLOCK = 1 << 18
_WORTH_TRYING_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_log = logging.getLogger(__name__)


class DownloadError(WeightsError):
    """A file could not be downloaded; the command was right, so its exit code is not that of wrong usage."""

    exit_code = 1


class _BrokenError(Exception):
    """This try failed; the next one may not."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class _Remote:
    """A file as the server describes it.

    Attributes:
        address: address before redirections.
        total: bytes of the whole file, None when the server does not say.
        etag: strong entity tag of the file, or empty.
        modified: Last-Modified of the file, or empty.
    """

    address: str
    total: int | None
    etag: str
    modified: str

    def same_file(self, other: _Remote) -> bool:
        """Return whether the rest of `other` may be joined to a part of this."""
        if self.address != other.address or self.total is None or self.total != other.total:
            return False
        return self.etag == other.etag and self.modified == other.modified


def download(
    address: str,
    part: Path,
    *,
    size: int | None = None,
    most: int | None = None,
    report: Report = lambda there, total: None,
    sleep: Sleep = time.sleep,
) -> None:
    """Bring `part` to the whole of the file at `address`; what an earlier call left of it is continued.

    Args:
        address: http or https.
        part: the growing file; its folder exists.
        size: bytes it must have, when that is known.
        most: bytes after which it is another file, whatever the server says.
        report: called with every block.
        sleep: waits between tries.

    Raises:
        DownloadError: it cannot be downloaded; what has come is kept for the next call.
        OutputError: the disk is full or the folder cannot be written.
    """
    failures, best = 0, size_of(part)
    for _ in range(MAX_TRIES):
        try:
            with writing(part.parent):
                _try(address, part, size, most if size is None else size, report)
            return
        except _BrokenError as error:
            there = size_of(part)
            failures = 1 if there > best else failures + 1
            best, reason = max(best, there), error
        if failures == TRIES:
            break
        wait = min(reason.wait or 2.0 ** (failures - 1), LONGEST_WAIT)
        _log.info("%s: %s; trying again in %.0f s", part.stem, reason, wait)
        sleep(wait)
    kept = f"; the first {size_of(part)} bytes are kept, and the same command continues from there"
    raise DownloadError(
        "download_failed", f"could not download {address}: {reason}{kept if size_of(part) else ''}"
    ) from reason


def forget(part: Path) -> None:
    """Remove an unfinished file and its note."""
    part.unlink(missing_ok=True)
    _note_path(part).unlink(missing_ok=True)


def finish(part: Path, path: Path) -> None:
    """Give a whole and checked file its final name."""
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    _note_path(part).unlink(missing_ok=True)


def unfinished(part: Path) -> tuple[int, int | None] | None:
    """Return (bytes there, bytes in all) of a broken download; None if there is none."""
    note = _read_note(part)
    return (size_of(part), note.total) if note and part.exists() else None


def size_of(path: Path) -> int:
    """Return the bytes of a file; 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn an error of the disk or the folder into one clear line.

    Raises:
        OutputError: what happened and what to do.
    """
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise OutputError("disk_full", _disk_full(folder)) from error
        raise OutputError(
            "cannot_write",
            f"cannot write {error.filename or folder}: {error.strerror or error}; correct that, "
            "or set DETIC_CROP_WEIGHTS_DIR to a folder that you can write",
        ) from error


def _try(address: str, part: Path, size: int | None, most: int | None, report: Report) -> None:
    note = _read_note(part)
    if note is None or note.address != address or not 0 < size_of(part) <= (note.total or 0):
        forget(part)
        note = None
    there = size_of(part)
    if note and note.total == there:  # killed after the last byte, before it got its name
        return
    with _opened(address, _headers(note, there), part) as response:
        if response.status == 206:
            remote = _remote(address, response, there)
            if note is None or _first_byte(response) != there or not note.same_file(remote):
                forget(part)
                raise _BrokenError("the file on the server has changed, starting again")
        else:  # the whole file, asked for or not
            there, remote = 0, _remote(address, response, 0)
            forget(part)
        _check_answer(response, remote, size, most, part)
        _check_room(part.parent, remote, there)
        _note_path(part).write_text(json.dumps(asdict(remote)), encoding="utf-8")
        with open(part, "ab") as file:
            is_more = _copy(response, file, there, remote.total, most, report)
    if is_more:
        forget(part)
        raise DownloadError(
            "not_the_file",
            f"{address} sends more than the {remote.total or most} bytes of {part.stem}: it is another file; "
            "nothing of it is kept, try another --mirror",
        )


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    there: int,
    total: int | None,
    most: int | None,
    report: Report,
) -> bool:
    """Write what comes to the file; return whether it is more than `total`, or else `most`, bytes."""
    report(there, total)
    most = most if total is None else total
    clock = time.monotonic
    begun, before = clock(), there
    while block := _read(response):
        there += len(block)
        if most is not None and there > most:
            return True
        file.write(block)
        report(there, total)
        if clock() - begun > _LOOK_EVERY:
            if there - before < _SLOWEST * _LOOK_EVERY:
                raise _BrokenError(f"only {there - before} bytes came in {_LOOK_EVERY:.0f} s")
            begun, before = clock(), there
    if total is not None and there != total:
        raise _BrokenError(f"the connection was dropped after {there} of {total} bytes")
    return False


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        # What has come, not a full block: a connection that breaks loses nothing.
        return response.read1(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(f"the connection was dropped ({error or type(error).__name__})") from error


def _headers(note: _Remote | None, there: int) -> dict[str, str]:
    headers = {
        "User-Agent": f"detic-crop/{importlib.metadata.version('detic-crop')}",
        "Accept-Encoding": "identity",
    }
    if note:
        headers["Range"] = f"bytes={there}-"
        if validator := note.etag or note.modified:
            headers["If-Range"] = validator  # the whole file if it is another one by now
    return headers


@contextlib.contextmanager
def _opened(address: str, headers: dict[str, str], part: Path) -> Iterator[http.client.HTTPResponse]:
    """Yield the server's answer, or the error that says whether to try again."""
    try:
        # Made each time, since proxies come from the environment; user agents and proxies as in urllib.
        opener = urllib.request.build_opener(_Redirects)
        response = opener.open(urllib.request.Request(address, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(address, error, part) from error
    except (http.client.InvalidURL, ValueError) as error:
        raise DownloadError("bad_address", f"{address} is not an address: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DownloadError(
                "certificate_not_trusted",
                f"could not download {address}: its certificate is not trusted ({reason.verify_message}); "
                "behind a proxy with a certificate of its own, set SSL_CERT_FILE to that",
            ) from error
        raise _BrokenError(
            f"cannot reach {urlsplit(address).hostname} ({reason or type(reason).__name__})"
        ) from error
    with response:
        yield response


def _refusal(address: str, error: urllib.error.HTTPError, part: Path) -> Exception:
    if error.code == 416:  # our part is longer than the file
        forget(part)
        return _BrokenError("the file on the server has changed, starting again")
    said = f"the server answers {error.code} {one_line(error.reason, 100)}"
    if error.code in _WORTH_TRYING_AGAIN:
        wait = error.headers.get("Retry-After", "") if error.headers else ""
        return _BrokenError(said, float(wait) if wait.isdecimal() else None)
    return DownloadError("download_failed", f"could not download {address}: {said}; try another --mirror")


def _remote(address: str, response: http.client.HTTPResponse, there: int) -> _Remote:
    headers = response.headers
    whole = re.fullmatch(r"bytes \d+-\d+/(\d{1,18})", headers.get("Content-Range", "").strip())
    length = re.fullmatch(r"\d{1,18}", headers.get("Content-Length", "").strip())
    total = int(whole[1]) if whole else there + int(length[0]) if length else None
    etag = headers.get("ETag", "").strip()
    weak = not etag.startswith('"')  # W/"…" promises the same meaning, not the same bytes
    return _Remote(address, total, "" if weak else etag, headers.get("Last-Modified", "").strip())


def _first_byte(response: http.client.HTTPResponse) -> int:
    found = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", "").strip())
    return int(found[1]) if found else -1


def _check_answer(
    response: http.client.HTTPResponse, remote: _Remote, size: int | None, most: int | None, part: Path
) -> None:
    if response.headers.get_content_type() == "text/html":
        raise DownloadError(
            "not_the_file",
            f"{remote.address} answers with a web page instead of {part.stem}; "
            "does this network want you to log in first? Open a browser, or try another --mirror",
        )
    if remote.total is None or most is None:
        return
    if remote.total > most or (size is not None and remote.total != size):
        raise DownloadError(
            "not_the_file",
            f"{remote.address} offers {remote.total} bytes, expected {size or f'at most {most}'}: it is "
            "another file; nothing was downloaded, try another --mirror",
        )


def _check_room(folder: Path, remote: _Remote, there: int) -> None:
    if remote.total is not None and shutil.disk_usage(folder).free < remote.total - there:
        raise OutputError("disk_full", _disk_full(folder, remote.total - there))


def _disk_full(folder: Path, needed: int | None = None) -> str:
    more = f"{needed} bytes more are needed" if needed else "there is no room left"
    return (
        f"the disk of {folder} is full: {more}; free some space and run the same command again, "
        "or set DETIC_CROP_WEIGHTS_DIR to a folder on another disk"
    )


def _note_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_note(part: Path) -> _Remote | None:
    try:
        return msgspec.json.decode(_note_path(part).read_bytes(), type=_Remote)
    except (OSError, msgspec.MsgspecError, RecursionError):  # none, torn, or another version's
        return None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from https to something that anybody on the way can change."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and (req.type == "https" or scheme != "http"):
            raise urllib.error.HTTPError(newurl, code, f"and redirects to {newurl}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
