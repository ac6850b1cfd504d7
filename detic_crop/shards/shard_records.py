"""What the journals of several shards say together, without a copy of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detic_crop.columns import Column, Texts, ascending
from detic_crop.folder.journal import Replay
from detic_crop.folder.records import Record, ResumeEntry
from detic_crop.folder.shard import Shard, owner


class ShardRecords:
    """The last record of each photo of some shards; if two shards have one, that of the later shard counts.

    Args:
        shards: the shards, all of one count.
        journals: what the journal of each says.
    """

    def __init__(self, shards: Sequence[Shard], journals: Sequence[Replay]) -> None:
        self._journals = journals
        self._count = shards[0].count
        self._number_of = {shard.index: number for number, shard in enumerate(shards)}
        # Photos in the journal of a shard that they do not fall to, as in a folder that somebody composed.
        self._elsewhere = {
            key: number
            for number, (shard, journal) in enumerate(zip(shards, journals, strict=True))
            for key in journal.entries
            if not shard.owns(key)
        }

    def find(self, key: str) -> tuple[Record, int] | None:
        """Return the record of a photo, and the number of the shard in the given order that made it."""
        number = self._where(key)
        return None if number is None else (self._journals[number].records[key], number)

    def entry(self, key: str) -> ResumeEntry | None:
        """Return what a resume has to know of a photo; None if no shard has a record of it."""
        number = self._where(key)
        return None if number is None else self._journals[number].entries[key]

    def __contains__(self, key: str) -> bool:
        return self._where(key) is not None

    def _where(self, key: str) -> int | None:
        own = self._number_of.get(owner(key, self._count), -1)
        other = self._elsewhere.get(key, -1) if self._elsewhere else -1
        if other > own:
            return other
        if own >= 0 and key in self._journals[own].entries:
            return own
        return other if other >= 0 else None

    def entries(self) -> Iterator[ResumeEntry]:
        """Yield what is known of each photo, by shards."""
        for number, journal in enumerate(self._journals):
            for entry in journal.entries.values():
                if not self._elsewhere or self._where(entry.image) == number:
                    yield entry

    def in_order(self, chosen: Column) -> Iterator[tuple[Record, int]]:
        """Yield the record of each photo, and the number of the shard that made it.

        Args:
            chosen: photos in the order in which they come; all others follow by their keys.
        """
        for key in chosen:
            if (found := self.find(key)) is not None:
                yield found
        others = Texts(entry.image for entry in self.entries() if entry.image not in chosen)
        for key in others.of(ascending(others)):
            if (found := self.find(key)) is not None:
                yield found
