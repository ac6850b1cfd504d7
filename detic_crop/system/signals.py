"""Signals that ask for an orderly end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Stop:
    """Set by a signal or the time limit; insisted is who signals again."""

    reason: str = ""
    announced: bool = False
    signalled: bool = False
    insisted: bool = False


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """Turn Ctrl-C and SIGTERM into a request to stop; at a second signal, raise KeyboardInterrupt."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals; a notebook's thread is stopped by its kernel
        return

    def request(number: int, frame: FrameType | None) -> None:
        if stop.signalled:
            stop.insisted = True
            raise KeyboardInterrupt
        stop.signalled = True
        # Announced later: a handler may interrupt a print.
        stop.reason = stop.reason or signal.Signals(number).name

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGBREAK"):
        numbers.append(signal.SIGBREAK)
    before = {number: signal.signal(number, request) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
