"""Which shards have a state in an output folder, and which of them wait to be merged."""

from __future__ import annotations

import os

from detic_crop.folder.layout import Layout
from detic_crop.folder.shard import Shard
from detic_crop.folder.there import is_there


def shard_layouts(layout: Layout) -> list[Layout]:
    """Return the layouts of all shards that have a folder for their state, in order."""
    try:
        names = os.listdir(layout.shards)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [layout.of_shard(shard) for shard in sorted(filter(None, map(Shard.of_folder, names)))]


def waiting_shards(layout: Layout) -> list[Shard]:
    """Return the shards that were begun and wait to be merged, in order."""
    return [own.shard for own in shard_layouts(layout) if own.shard is not None and is_there(own.journal)]
