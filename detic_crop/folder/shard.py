"""One of several runs that share the photos of one input: which it is, and which photos are its own.

Shards do not talk to each other. Every one lists the whole input, names every crop as an unsharded run would,
and does the photos whose keys fall to it.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """Part `index` of `count`, counted from 0."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def folder_name(self) -> str:
        """Name of the state folder: ``0003-of-0016``."""
        return f"{self.index:04}-of-{self.count:04}"

    @classmethod
    def of_folder(cls, name: str) -> Shard | None:
        """Return the shard whose state folder has that name; None for any other name."""
        found = re.fullmatch(r"(\d{4,})-of-(\d{4,})", name)
        shard = cls(int(found[1]), int(found[2])) if found else None
        return shard if shard and shard.index < shard.count and shard.folder_name == name else None

    def owns(self, key: str) -> bool:
        """Return whether the photo of that key falls to this shard.

        The key's BLAKE2b (of its UTF-8, 8 bytes long), read as a big-endian number, modulo `count`: the same
        on every machine, whatever other photos there are.
        """
        return owner(key, self.count) == self.index

    def own_rows(self, keys: Iterable[str]) -> array[int]:
        """Return the places of its photos among all, ascending, in 8 bytes each."""
        return array("q", (row for row, key in enumerate(keys) if self.owns(key)))


def owner(key: str, count: int) -> int:
    """Return the index of the shard, of `count`, to which the photo of that key falls; see `Shard.owns`."""
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count
