"""`detic-crop merge`: the shards of a run become one data set."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext

from detic_crop.commands.audit import rebuild_tables
from detic_crop.commands.result import RunResult
from detic_crop.commands.run_json import packages, run_json_of_merge, started_of_shards
from detic_crop.commands.settings import PathLike, check_same_settings
from detic_crop.commands.tables import RUN_AUDIT, note_older_manifest, write_tables
from detic_crop.errors import DeticCropError, UsageError
from detic_crop.folder.folder import OutputFolder, open_folder
from detic_crop.folder.journal import Journal, replay
from detic_crop.folder.progress_file import ProgressFile, SilentProgress, told_progress
from detic_crop.folder.records import Record
from detic_crop.folder.removal import remove_shards
from detic_crop.folder.state import load_labels, load_listing, save_labels, save_listing
from detic_crop.folder.there import is_there
from detic_crop.shards.merge import Gap, Gathered, append_to_journal, chosen_keys, gaps, gather, photos_of
from detic_crop.wording import typed

_log = logging.getLogger(__name__)

_MOST_COMMANDS = 20
"""Commands of missing shards that are printed."""


def merge(
    folder: PathLike, *more: PathLike, output: PathLike | None = None, partial: bool = False
) -> RunResult:
    """Join the shards of a run into one data set, as if one run had made it.

    The same call again changes nothing.

    Args:
        folder: the output folder that the shards wrote to, or its address.
        *more: further folders, and
        output: a new folder for them, are refused: the error says how to bring shards into one folder.
        partial: preview: write the tables of what the shards have finished, and leave the shards as they
            are. Run the rest later, then merge.

    Raises:
        UsageError: there is nothing to merge, or the shards do not belong together; nothing was changed.
        DeticCropError: some shards are not done; nothing was changed.
        OutputError: a shard is at work, or the folder cannot be written; what was done is kept.
    """
    if more or output is not None:
        raise _one_folder_only([folder, *more], output)
    with open_folder(folder) as whole:
        whole.complete()
        if not whole.shards():
            return _tables_again(whole)
        whole.check_usable()
        with whole.locked(whole.refuse_running):
            gathered = gather(whole)
            labels, matches = load_labels(gathered.listed[0].folder)
            earlier = replay(whole.layout.journal)
            check_same_settings(earlier.config, gathered.config, whole.shown)
            chosen = chosen_keys(gathered, matches)
            missing = gaps(gathered, chosen, earlier.entries)
            if missing and not partial:
                raise _not_done(missing, gathered)
            told: AbstractContextManager[ProgressFile] = told_progress(whole, "merge", ["merge"])
            if partial:
                told = nullcontext(SilentProgress(whole, "merge"))
            with told as progress, whole.preview() if partial else nullcontext(whole) as target:
                result = RunResult(target, gathered.config, notes=_notes(gathered))
                with closing(
                    Journal(target.layout.journal, target.layout.candidates, target.inside)
                ) as journal:
                    if earlier.settings is None:
                        journal.begin(gathered.config, gathered.version)
                    progress.enter("joining shards", len(chosen))
                    records = append_to_journal(gathered, chosen, earlier, journal, target)
                save_listing(target, *photos_of(gathered, whole))
                save_labels(target, labels, matches)
                progress.enter("writing tables")
                if partial:
                    result = _finish_preview(result, records, missing, whole)
                else:
                    target.crops.recover(records)
                    _finish(result, records, gathered)
            whole.clear_temporary()
            whole.flush()
        return result


def _one_folder_only(folders: Sequence[PathLike], output: PathLike | None) -> UsageError:
    target = "FOLDER" if output is None else typed(os.fspath(output))
    copies = [f"cp -a {typed(os.fspath(folder))}/. {target}/" for folder in folders]
    return UsageError(
        "merge_takes_one_folder",
        "merge joins the shards in one folder; bring them together in a new one first: "
        + " && ".join([*copies, f"detic-crop merge {target}"]),
    )


def _tables_again(folder: OutputFolder) -> RunResult:
    """Rebuild the tables of a folder that was merged before."""
    if not is_there(folder.layout.journal):
        raise UsageError(
            "no_shards", f"{folder.shown} holds no shards; pass the --out folder of `run --shard k/N`"
        )
    result = rebuild_tables(folder, advice=RUN_AUDIT)
    result.notes.append("no shards wait to be merged here")
    if load_listing(folder).merged:
        result.notes.append(
            "this folder was merged in part by an earlier version; `run` without --shard does the rest"
        )
    return result


def _not_done(missing: Sequence[Gap], gathered: Gathered) -> DeticCropError:
    """Print the commands of the missing shards; return the error that sums them up."""
    for gap in missing[:_MOST_COMMANDS]:
        command = gathered.command_of(gap.shard) or f"run its command again, with --shard {gap.shard}"
        _log.warning("%s: %s", gap, command)
    more = len(missing) - _MOST_COMMANDS
    rest = f" ({more} more are not shown)" if more > 0 else ""
    return DeticCropError(
        "shards_not_done",
        f"shards that are not done: {len(missing):,} of {gathered.count:,}{rest}; run them, then merge "
        "again, or look at what there is with --partial; nothing was changed",
    )


def _notes(gathered: Gathered) -> list[str]:
    if not gathered.damaged:
        return []
    return [f"damaged journal lines of shards, ignored: {gathered.damaged}"]


def _finish_preview(
    result: RunResult, records: Mapping[str, Record], missing: Sequence[Gap], folder: OutputFolder
) -> RunResult:
    """Write the tables from the journal of the preview."""
    result.remaining = sum(gap.photos or 0 for gap in missing)
    shown = f"{'; '.join(map(str, missing[:5]))}{' …' if len(missing) > 5 else ''}"
    rest = f"{shown}; run these, then merge" if missing else "all shards are done; merge"
    result.notes.append(f"preview, the shards stay as they are: {rest} without --partial")
    write_tables(result, records)
    return dataclasses.replace(result, folder=folder)


def _finish(result: RunResult, records: Mapping[str, Record], gathered: Gathered) -> None:
    """Write the tables, then drop the shards' states: until that is done, the same command completes it."""
    folder = result.folder
    folder.aside.remove_stale(records)
    result.versions, result.started = packages(result.config.model), started_of_shards(gathered)
    result.notes += note_older_manifest(folder)
    write_tables(result, records)
    folder.write_json(folder.layout.run_json, run_json_of_merge(result, gathered))
    remove_shards(folder)
