"""How a process ends that was told to: in good order, and at once when somebody insists."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

INTERRUPTED = "interrupted; run the same command to continue"
_GRACE = 0.7  # seconds from the second Ctrl-C to the end, for cleaning up

_at_once = False
_insisted = False


@contextlib.contextmanager
def own_process() -> Iterator[None]:
    """Let a second Ctrl-C end this process, whatever its threads do: it belongs to the command alone.

    A kill costs no finished photo, so nobody need wait until a thread comes back from a long download or from
    a decoder.
    """
    global _at_once
    interrupted = False

    def request(number: int, frame: FrameType | None) -> None:
        """Interrupt at the first Ctrl-C; insist at each later one."""
        nonlocal interrupted
        if interrupted or _insisted:
            insist()
            return
        interrupted = True
        raise KeyboardInterrupt

    _at_once = True
    signal.signal(signal.SIGINT, request)
    try:
        yield
    finally:
        _at_once = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the interpreter's end is left


def insist() -> None:
    """End the process soon at the second Ctrl-C, and at once at the third."""
    global _insisted
    if not _at_once:
        return
    if _insisted:
        _exit()
    _insisted = True
    timer = threading.Timer(_GRACE, _exit)
    timer.daemon = True
    timer.start()


def leave(code: int) -> int:
    """Return the exit code, once it is safe to end with it.

    Threads that are still at work in C code must not meet an interpreter that is being taken down: before
    Python 3.14 they are ended from within, which C++ answers with `terminate called`.
    """
    if _at_once and code in (130, 143):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more Ctrl-C would only spoil the end
        main = threading.main_thread()
        if any(thread is not main and not thread.daemon for thread in threading.enumerate()):
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)
    return code


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


def _exit() -> None:
    """End at once, without flushing or printing as usual: an interrupted print may hold the lock of that."""
    with contextlib.suppress(OSError):
        os.write(2, f"\ndetic-crop: {INTERRUPTED}\n".encode())
    os._exit(130)
