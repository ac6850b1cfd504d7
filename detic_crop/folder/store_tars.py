"""Tar files of crops in a store: packed here, brought there whole, not read whole to know what they hold.

Beside each lies what it holds (``.detic-crop/tars/crops-00012.tar.json``), so that a resume asks for a few
hundred kilobytes and not for the crops.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from detic_crop.folder.inside import Inside
from detic_crop.folder.layout import INDEXES
from detic_crop.folder.shard import Shard
from detic_crop.folder.store_state import StoreState
from detic_crop.folder.tar_crops import TarCrops
from detic_crop.photos.keys import STATE


class StoreTarCrops(TarCrops):
    """`TarCrops` of a folder whose tar files are in a store, except those that were just packed.

    Args:
        remote: the folder.
        inside: of the local one.
        new_file: makes the name of a temporary file.
        shard: as for `TarCrops`.
    """

    def __init__(
        self, remote: StoreState, inside: Inside, new_file: Callable[[], Path], shard: Shard | None
    ) -> None:
        super().__init__(inside, remote.root / STATE, new_file, shard)
        self._remote = remote

    def send(self, tars: Iterable[str]) -> None:
        """Bring tar files that were packed, or remove those that are empty now, and what they hold.

        Raises:
            OSError: the store cannot be written.
        """
        for tar in tars:
            if not (self._root / tar).exists():
                self._remote.remove([tar, _index_of(tar)])
                continue
            members = super()._read_members(tar)
            self._remote.send_crops([tar])
            # The sizes of other crops may add up to the same: only the store can tell two versions apart.
            found = self._remote.look_again(tar)
            index = {"size": found.size, "stamp": found.version, "members": members}
            text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
            self._remote.send_object(_index_of(tar), text.encode())
            self._inside.remove(self._root / tar)

    def _read_members(self, tar: str) -> dict[str, tuple[int, int]]:
        if found := super()._read_members(tar):
            return found
        there = self._remote.outside().get(tar)
        if there is None:
            return {}
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            index = json.loads(self._remote.store.read(self._remote.where(_index_of(tar))))
            if there.version and (index["size"], index["stamp"]) == there:
                return {name: (offset, size) for name, (offset, size) in index["members"].items()}
        self._bring(tar)  # changed by something else
        return super()._read_members(tar)

    def _packed(self, tar: str, offset: int, size: int) -> bytes:
        with contextlib.suppress(FileNotFoundError):
            return super()._packed(tar, offset, size)
        return self._remote.store.read(self._remote.where(tar), offset, offset + size)

    def _bring(self, tar: str) -> None:
        if not (self._root / tar).exists() and tar in self._remote.outside():
            self._remote.bring(tar)


def _index_of(tar: str) -> str:
    return f"{STATE}/{INDEXES}/{tar}.json"
