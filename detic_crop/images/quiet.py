"""Keep what C decoders say about damaged photos off the terminal."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_lock = threading.Lock()
_users = 0
_saved: int | None = None


@cache
def _c_stderr() -> tuple[ctypes.c_void_p, int] | None:
    """The C library's `stderr` variable and a stream to nowhere; None where it must not be assigned.

    glibc documents its standard streams as ordinary variables that a program may set. Other C libraries do
    not (musl keeps them in read-only memory), so there nothing is done and the remarks appear.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  (only glibc has it)
        libc.fopen.restype = ctypes.c_void_p
        libc.fopen.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        nowhere = libc.fopen(b"/dev/null", b"w")
        return (ctypes.c_void_p.in_dll(libc, "stderr"), nowhere) if nowhere else None
    except (AttributeError, OSError, TypeError, ValueError):
        return None


def _restart_in_child() -> None:
    """After a fork only the forking thread is left: nobody decodes, and nobody will release the lock."""
    global _lock, _users
    _lock = threading.Lock()
    if _users and (stream := _c_stderr()) is not None:
        stream[0].value = _saved
    _users = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_in_child)


@contextmanager
def quiet_c_stderr() -> Iterator[None]:
    """Drop what C code prints to its own `stderr` stream; from any number of threads at once.

    cv2's JPEG decoder leaves libjpeg's message printer in place, which writes a line such as "Corrupt JPEG
    data: premature end of data segment" for a damaged photo, past every log level; libtiff in Pillow does
    the like. Redirecting file descriptor 2 would swallow what other threads print meanwhile; this leaves
    it, and so Python's `sys.stderr`, as they are.
    """
    global _saved, _users
    stream = _c_stderr()
    if stream is None:
        yield
        return
    variable, nowhere = stream
    with _lock:
        if _users == 0:
            _saved = variable.value
            variable.value = nowhere
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                variable.value = _saved
