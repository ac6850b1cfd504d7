"""Hear what C decoders say about damaged photos, and keep it off the terminal.

libjpeg repairs damaged data as well as it can and goes on. It says so only on the C library's `stderr`, and
OpenCV does not pass that on. So this module listens there: it is how damaged photos are found. A remark
belongs to the thread that decoded, however many others decode at the same time.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

_lock = threading.Lock()
_users = 0
_saved: int | None = None

_UNBUFFERED = 2  # _IONBF of glibc's stdio.h


class _CookieFunctions(ctypes.Structure):
    """`cookie_io_functions_t`: what a stream made by `fopencookie` calls."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("read", "write", "seek", "close")]


class _Ear(NamedTuple):
    """What stands in for the C library's `stderr` meanwhile.

    Attributes:
        variable: the C library's `stderr`.
        stream: a stream that keeps no text: it marks the thread that writes to it.
        take_mark: returns whether the calling thread is marked, and unmarks it.
    """

    variable: ctypes.c_void_p
    stream: int
    take_mark: Callable[[], bool]


@cache
def _ear() -> _Ear | None:
    """Return None where `stderr` must not be assigned.

    glibc documents its standard streams as ordinary variables that a program may set. Other C libraries do
    not (musl keeps them in read-only memory), so there nothing is done and the remarks appear.

    The stream's write function is `pthread_setspecific(key, value)`: called as `write(cookie, text, length)`
    with the key for a cookie, in the thread that prints, it sets that thread's own value to the text's
    address, which is not null. So a mark needs no lock and no Python code, which could not run while another
    thread holds the interpreter and waits for this stream.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  (only glibc has it)
        key = ctypes.c_uint()
        if libc.pthread_key_create(ctypes.byref(key), None):
            return None
        set_mark, get_mark = libc.pthread_setspecific, libc.pthread_getspecific
        set_mark.argtypes = (ctypes.c_uint, ctypes.c_void_p)
        get_mark.argtypes = (ctypes.c_uint,)
        get_mark.restype = ctypes.c_void_p
        libc.fopencookie.argtypes = (ctypes.c_void_p, ctypes.c_char_p, _CookieFunctions)
        libc.fopencookie.restype = ctypes.c_void_p
        libc.setvbuf.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
        write = ctypes.cast(set_mark, ctypes.c_void_p).value
        stream = libc.fopencookie(key.value, b"w", _CookieFunctions(None, write, None, None))
        if not stream or libc.setvbuf(stream, None, _UNBUFFERED, 0):
            return None
        variable = ctypes.c_void_p.in_dll(libc, "stderr")
    except (AttributeError, OSError, TypeError, ValueError):
        return None

    def take_mark() -> bool:
        marked = bool(get_mark(key))
        if marked:
            set_mark(key, None)
        return marked

    return _Ear(variable, stream, take_mark)


def _restart_in_child() -> None:
    """Start again after a fork, which leaves only the forking thread: nobody decodes or releases the lock."""
    global _lock, _users
    _lock = threading.Lock()
    if _users and (ear := _ear()) is not None:
        ear.variable.value = _saved
    _users = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_in_child)


@contextmanager
def quiet_c_stderr() -> Iterator[None]:
    """Drop what C code prints to its own `stderr` stream; from any number of threads at once.

    cv2's JPEG decoder leaves libjpeg's message printer in place, which writes a line such as "Corrupt JPEG
    data: premature end of data segment" for a damaged photo, past every log level; libtiff in Pillow does the
    same. Redirecting file descriptor 2 would swallow what other threads print meanwhile; this leaves
    it, and so Python's `sys.stderr`, as they are.
    """
    global _saved, _users
    ear = _ear()
    if ear is None:
        yield
        return
    with _lock:
        if _users == 0:
            _saved = ear.variable.value
            ear.variable.value = ear.stream
        _users += 1
    ear.take_mark()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                ear.variable.value = _saved


def can_hear() -> bool:
    """Return whether `take_remark` can tell."""
    return _ear() is not None


def take_remark() -> bool | None:
    """Return whether C code of this thread printed something in `quiet_c_stderr` since the last call.

    Returns:
        None if that is unknown: not glibc.
    """
    ear = _ear()
    return None if ear is None else ear.take_mark()
