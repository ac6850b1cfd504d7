"""A number of bytes that those who work side by side share: each waits until what it needs fits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from types import TracebackType

from detic_crop.system.memory import return_freed_memory, usable_bytes

_SHARE = 1 / 2
"""Of the memory there is, what photos may take together if nobody says how much."""
_MOST_ALONE = 3 / 4
"""Of the memory there is, what one photo may then take, while there is no other."""


class MemoryBudget:
    """Bytes of memory that are lent to whoever asks first.

    Nobody is overtaken, so one who needs much is not kept waiting by many who need little. Nobody who holds a
    loan asks for another, so none can wait for each other.

    Args:
        limit: bytes that may be lent at a time.
        alone: bytes that may be lent to one while there is no other; None: no more than `limit`.
        parts: processes that share what this is one part of, for messages.

    Attributes:
        most: the largest loan there can be.
        when_short: is called when somebody has to wait.
    """

    def __init__(self, limit: int, alone: int | None = None, parts: int = 1) -> None:
        self.limit = limit
        self.most = max(limit, alone or 0)
        self.parts = parts
        self.when_short: Callable[[], None] = lambda: None
        self._lent = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()
        self._closed = False

    @classmethod
    def of_machine(cls, given: int | None = None, parts: int = 1) -> MemoryBudget:
        """Return a budget of `given` bytes, or of half of the memory there is.

        Args:
            given: bytes for all processes of this machine.
            parts: processes that work at the same time; the answer is for one of them.
        """
        return_freed_memory()
        if given is not None:
            return cls(given // parts, parts=parts)
        usable = usable_bytes() // parts
        return cls(round(usable * _SHARE), round(usable * _MOST_ALONE), parts)

    def borrow(self, size: int) -> Loan:
        """Wait until `size` bytes, at most `most`, can be lent.

        Raises:
            CancelledError: the budget was closed.
        """
        with self._changed:
            if not self._closed and not self._queue and self._has(size):
                self._lent += size
                return Loan(self, size)
            turn = object()
            self._queue.append(turn)
        try:
            self.when_short()
            with self._changed:
                self._changed.wait_for(lambda: self._closed or (self._queue[0] is turn and self._has(size)))
                if self._closed:
                    raise CancelledError
                self._lent += size
        finally:
            with self._changed:
                self._queue.remove(turn)
                self._changed.notify_all()  # the next one may fit, too
        return Loan(self, size)

    @property
    def is_short(self) -> bool:
        """True while somebody waits."""
        return bool(self._queue)

    def close(self) -> None:
        """Lend nothing more; those who wait get `CancelledError`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has(self, size: int) -> bool:
        return not self._lent or self._lent + size <= self.limit

    def _give_back(self, size: int) -> None:
        with self._changed:
            self._lent -= size
            self._changed.notify_all()


class Loan:
    """Bytes that were lent, until the end of the block, or until they are given back.

    Attributes:
        size: how many they still are.
    """

    def __init__(self, budget: MemoryBudget, size: int) -> None:
        self._budget = budget
        self.size = size

    def __enter__(self) -> Loan:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.give_back()

    def keep(self, size: int) -> None:
        """Give back what is more than `size` bytes."""
        more, self.size = max(0, self.size - size), min(self.size, size)
        if more:
            self._budget._give_back(more)

    def give_back(self) -> None:
        """Give all of it back; may be called twice."""
        self.keep(0)
