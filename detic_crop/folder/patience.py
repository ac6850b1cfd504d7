"""How long a shard waits for the lock of the whole folder: while others begin, not for a run at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STEADY = 2.0  # seconds after which a holder is at work, and not only beginning
PATIENCE = 600.0  # seconds that one holder may take to begin


class Patience:
    """Decides, from who holds the lock at each look, when to give up.

    Hundreds of shards may begin one after the other. Between two of them nobody is named for a moment, and
    how long all of them take is no reason to give up: only the time of one and the same holder counts.
    """

    def __init__(self) -> None:
        self._holder: Mapping[str, Any] | None = None
        self._since = 0.0

    def ends(self, holder: Mapping[str, Any], now: float) -> bool:
        """Return whether to give up.

        Args:
            holder: content of the owner's file; empty if there is none, with a key `begins` while it starts.
            now: seconds of a clock that never goes back.
        """
        if holder != self._holder:
            self._holder, self._since = holder, now
        at_work = bool(holder) and "begins" not in holder
        return now - self._since >= (STEADY if at_work else PATIENCE)
