"""Do the same to many things in several threads, and get the results in the order of the things."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from detic_crop.system.leaving import end_pool

_AHEAD = 4
"""Things for each thread that are begun or done before their results are asked for."""

T = TypeVar("T")
R = TypeVar("R")


def map_in_order(call: Callable[[T], R], things: Iterable[T], threads: int) -> Generator[R, None, None]:
    """Yield `call` of every thing; few of them are in memory at a time, however many there are.

    Args:
        call: safe from several threads.
        things: read in this thread, no further than needed.
        threads: number of threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="detic-crop-each")
    begun: deque[Future[R]] = deque()
    try:
        for thing in things:
            begun.append(pool.submit(call, thing))
            if len(begun) >= threads * _AHEAD:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        end_pool(pool)
