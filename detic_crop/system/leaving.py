"""How a process ends that was told to: in good order, and at once when somebody insists."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import NoReturn

INTERRUPTED = "interrupted; run the same command to continue"
_GRACE = 0.7  # seconds from the second Ctrl-C to the end, for cleaning up
_CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGBREAK": 143}

_at_once = False
_last_signal = 0
_last_acts: list[Callable[[], object]] = []


@contextlib.contextmanager
def own_process() -> Iterator[None]:
    """Let a second Ctrl-C or SIGTERM end this process, whatever its threads do: it is the command's alone.

    A kill costs no finished photo, so nobody need wait until a thread comes back from a long download or from
    a decoder.
    """
    global _at_once

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # Python runs handlers in the main thread, and only between two of its steps. But what comes in, it notes
    # at once in a file descriptor.
    heard, told = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(heard,), name="detic-crop-signals", daemon=True).start()
    _at_once = True
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        _at_once = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the interpreter's end is left
        signal.set_wakeup_fd(before)
        told.close()


def _watch(heard: socket.socket) -> None:
    """End the process soon after the second signal that asks for its end, and at once at the third."""
    global _last_signal
    codes = {int(getattr(signal, name)): code for name, code in _CODES.items() if hasattr(signal, name)}
    signals = 0
    with heard:
        while numbers := heard.recv(64):
            for number in filter(codes.__contains__, numbers):
                _last_signal = number
                signals += 1
                if signals > 2:
                    _exit(codes[number])
                if signals == 2:
                    timer = threading.Timer(_GRACE, _exit, [codes[number]])
                    timer.daemon = True
                    timer.start()


def leave(code: int) -> int:
    """Return the exit code, once it is safe to end with it.

    Threads that are still at work in C code must not meet an interpreter that is being taken down: before
    Python 3.14 they are ended from within, which C++ answers with `terminate called`.
    """
    if code == 130 and _last_signal and _last_signal != signal.SIGINT:
        code = 143
    if _at_once and code in (130, 143):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more Ctrl-C would only spoil the end
        main = threading.main_thread()
        if any(thread is not main and not thread.daemon for thread in threading.enumerate()):
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            _act_last()
            os._exit(code)
    return code


@contextlib.contextmanager
def at_the_end(act: Callable[[], object]) -> Iterator[None]:
    """Have something done if the process ends at once meanwhile, such as ending another one."""
    _last_acts.append(act)
    try:
        yield
    finally:
        _last_acts.remove(act)


def _act_last() -> None:
    for act in list(_last_acts):
        with contextlib.suppress(Exception):
            act()


def end_pool(pool: ThreadPoolExecutor) -> None:
    """Drop what a pool has not begun, and wait for the rest; an interrupt ends the waiting, and only that.

    Out of `Thread.join`, to which `shutdown` comes, it would leave a thread marked as ended though it is not
    (CPython before 3.13). Nobody would wait for that one when the interpreter is taken down; see `leave`.
    """
    ended = threading.Event()

    def wait() -> None:
        pool.shutdown(wait=True, cancel_futures=True)
        ended.set()

    threading.Thread(target=wait, name="detic-crop-end").start()
    ended.wait()


def _exit(code: int) -> NoReturn:
    """End at once, without flushing or printing as usual: an interrupted print may hold the lock of that."""
    with contextlib.suppress(OSError):
        os.write(2, f"\ndetic-crop: {INTERRUPTED}\n".encode())
    _act_last()
    os._exit(code)
