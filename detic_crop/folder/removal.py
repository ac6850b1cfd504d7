"""What is removed of an output folder: all of a run, or the states of shards that are merged."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from detic_crop.errors import UsageError
from detic_crop.folder.crop_paths import file_of
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inside import Inside
from detic_crop.folder.journal import replay, unfinished_crops
from detic_crop.folder.layout import SHARDS, Layout
from detic_crop.folder.names import aside_name
from detic_crop.folder.records import names_of
from detic_crop.folder.segments import segments_folder
from detic_crop.folder.write_errors import folder_errors


def reset(folder: OutputFolder) -> None:
    """Remove what a run made: the crops its journal lists, the tables, the journal.

    Folders that this leaves empty go too; everything else stays. Of a shard only its own part goes; of an
    unsharded folder the shards that wait to be merged, too.

    Args:
        folder: held by the caller.

    Raises:
        OutputError: something cannot be removed.
    """
    own = folder.layout
    waiting = map(own.of_shard, folder.shards()) if own is own.unsharded else ()
    with folder_errors(folder.shown):
        for layout in (*waiting, own):
            crops = _crops_made(layout)
            _remove(layout, crops, folder)
            folder.mirror.clear(layout, set(map(file_of, crops)))


def _crops_made(layout: Layout) -> set[str]:
    """Return the crops that a run made, or was about to make when it was killed."""
    records = replay(layout.journal).entries
    crops = {name for record in records.values() for name in names_of(record)}
    return crops | unfinished_crops(layout.candidates, records)


def _remove(layout: Layout, crops: set[str], folder: OutputFolder) -> None:
    inside = folder.inside
    for name in set(map(file_of, crops)):
        inside.remove_tree(layout.pending / name, ignore_errors=True)
        _remove_crop(layout.root / name, inside)
    for path in layout.shared_files:
        folder.tables.remove(path)
    if layout.shard is None:
        _remove_rejected(layout, crops, inside)
    for path in (*layout.shared_folders, *map(segments_folder, (layout.candidates, layout.journal))):
        inside.remove_tree(path, ignore_errors=True)
    # The journal goes last: stopped half-way, the same command knows what is left to remove.
    for path in layout.own_files:
        folder.tables.remove(path)


def _remove_rejected(layout: Layout, crops: set[str], inside: Inside) -> None:
    """Remove the crops that were set aside, and nothing that somebody else put there."""
    found = inside.files(layout.rejected)
    ours = {*crops, *map(aside_name, crops)} if found else ()
    for path in found:
        if path.relative_to(layout.rejected).as_posix() in ours:
            _remove_crop(path, inside)


def _remove_crop(path: Path, inside: Inside) -> None:
    """Remove a file, and the folders above it that this leaves empty."""
    try:
        inside.remove(path)
    except UsageError:  # a link leads there: it is none of the run's
        return
    for parent in path.parents:
        if parent == inside.root:
            break
        try:
            inside.rmdir(parent)
        except OSError:  # not empty yet, or it holds somebody else's file
            break


def remove_shards(folder: OutputFolder) -> None:
    """Remove the shards' states at once, when all of them are merged.

    Args:
        folder: the unsharded one, held by the caller.

    Raises:
        OutputError: they cannot be moved.
    """
    layout = folder.layout
    folder.mirror.flush()
    with folder_errors(folder.shown), contextlib.suppress(FileNotFoundError):
        folder.inside.mkdir(layout.temporary)
        # First out of the way: half of them would look like shards of which the others never ran.
        folder.inside.replace(layout.shards, layout.temporary / f"{os.getpid()}-{SHARDS}")
    folder.clear_temporary()
    folder.mirror.clear_shards()
