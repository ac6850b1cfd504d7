"""`detic-crop merge`: the shards of a run become one data set."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing

from detic_crop.commands.audit import rebuild_tables
from detic_crop.commands.result import RunResult, versions_of_packages
from detic_crop.commands.settings import PathLike
from detic_crop.commands.tables import write_tables
from detic_crop.errors import DeticCropError, UsageError
from detic_crop.folder.folder import OutputFolder, output_errors
from detic_crop.folder.inputs import recorded_inputs
from detic_crop.folder.journal import Journal, replay
from detic_crop.folder.listing import read_listing, write_listing
from detic_crop.folder.saved_labels import load_labels, save_labels
from detic_crop.folder.folder import copied_here, open_folder
from detic_crop.photos.labels import Labels
from detic_crop.shards.merge import (
    Gap,
    Gathered,
    check_target,
    chosen_keys,
    fold,
    gaps,
    gather,
    know_earlier_merge,
    merged_part,
    merged_run_json,
    sources_of,
)
from detic_crop.shards.state import Merged
from detic_crop.wording import counted
from detic_crop.work.execute import check_same_settings

_log = logging.getLogger(__name__)


def merge(*folders: PathLike, output: PathLike | None = None, partial: bool = False) -> RunResult:
    """Join the shards of a run into one data set, as if one run had made it.

    The same call again changes nothing.

    Args:
        *folders: the output folders that the shards wrote to; or the one address.
        output: a new folder for the whole, to which crops are linked or copied; None joins the one folder's
            shards in place.
        partial: join what there is, though shards are not done; whoever runs next does the rest.

    Raises:
        UsageError: there is nothing to merge, it does not belong together, or photos were done twice and not
            alike; nothing was changed.
        DeticCropError: shards are not done; nothing was changed.
        OutputError: a shard is at work, or a folder cannot be written; what was done is kept.
    """
    if output is None and len(folders) == 1:
        with open_folder(folders[0]) as folder:
            return _merge_into([folder], folder, partial)
    sources = [OutputFolder(copied_here(folder, "merge")) for folder in folders]
    places = {os.path.realpath(source.root): source for source in sources}
    if not sources or len(places) < len(sources):
        raise UsageError("merge needs the --out folders of the shards, each once")
    if output is None and len(sources) > 1:
        raise UsageError("several folders are merged into a new one; pass --out FOLDER")
    assert output is not None
    folder = OutputFolder(copied_here(output, "merge"))
    folder = places.get(os.path.realpath(folder.root), folder)
    if len(sources) > 1 and folder in sources:
        raise UsageError(f"--out {folder.shown} is one of the folders to merge; pass a new one")
    return _merge_into(sources, folder, partial)


def _merge_into(sources: Sequence[OutputFolder], folder: OutputFolder, partial: bool) -> RunResult:
    bring = folder not in sources
    for source in sources:
        source.complete()
    for source in sources:
        if not source.shards():
            return _merged_before(source, bring)
        if bring and source.layout.journal.exists():
            raise UsageError(f"{source.shown} was merged before; merge it by itself, without --out")
    folder.check_usable()
    with ExitStack() as held:
        for source in sources:
            held.enter_context(source.locked(merging=True))
        gathered = gather(sources)
        labels, matches = load_labels(gathered.listed[0].folder)
        earlier = replay(folder.layout.journal)
        records = earlier.records
        check_same_settings(earlier.config, gathered.config, folder)
        if bring:
            check_target(gathered, records, folder)
        know_earlier_merge(gathered, folder)
        chosen = chosen_keys(gathered, matches)
        missing = gaps(gathered, chosen, records)
        if missing and not partial:
            raise _not_done(missing, gathered, sources)
        if bring:
            held.enter_context(folder.locked())
        held.enter_context(output_errors(folder.shown))
        folder.create()
        result = RunResult(folder, gathered.config, notes=_merge_notes(gathered, missing))
        result.remaining = sum(gap.photos or 0 for gap in missing)
        _merge(result, gathered, chosen, labels, matches, bring)
        return result


def _merged_before(source: OutputFolder, bring: bool) -> RunResult:
    """There is nothing to merge: the tables once more, where it has been done."""
    if bring or not source.layout.journal.exists():
        raise UsageError(f"{source.shown} holds no shards; pass the --out folder of `run --shard k/N`")
    result = rebuild_tables(source, takes_input=False)
    result.notes.append("no shards wait to be merged here")
    merged = Merged.of_listing(read_listing(source))
    if not merged.complete:
        result.notes.append(
            f"merged in part: the shards of {merged.photos - len(merged.places):,} of "
            f"{counted(merged.photos, 'photo')} "
            f"were not there; {_GO_ON}"
        )
    return result


def _merge(
    result: RunResult,
    gathered: Gathered,
    chosen: Sequence[str],
    labels: Labels | None,
    matches: Sequence[str | None],
    bring: bool,
) -> None:
    """Append, write the tables, and last drop the shards' states: until then the same call mends a kill."""
    folder = result.folder
    state = replay(folder.layout.journal)
    records = state.records
    with closing(Journal(folder.layout.journal, folder.layout.candidates, folder.inside)) as journal:
        if state.settings is None:
            journal.begin(gathered.config, gathered.version)
        fold(gathered, chosen, records, journal, folder, bring)
    write_listing(folder, *sources_of(gathered, folder), merged_part(gathered))
    save_labels(folder, labels, matches)
    folder.remove_stale_rejected(records)
    write_tables(result, records)
    inputs = [given.where for given in recorded_inputs(read_listing(folder))]
    summary = {
        "inputs": inputs,
        "counts": dict(result.counts),
        "flagged": result.flagged,
        "notes": result.notes,
    }
    folder.write_json(
        folder.layout.run_json, {**merged_run_json(gathered), **summary, **versions_of_packages()}
    )
    if not bring:
        folder.remove_shards()
    folder.clear_temporary()
    folder.flush()


def _merge_notes(gathered: Gathered, missing: Sequence[Gap]) -> list[str]:
    notes = [f"{gathered.unlike_before}; their shards have to be run again"] if gathered.unlike_before else []
    if gathered.damaged:
        notes.append(f"damaged journal lines of shards, passed over: {gathered.damaged}")
    if gathered.twice:
        notes.append(f"photos that two shards or folders did alike: {gathered.twice}")
    if missing:
        notes.append(
            f"merged in part: {'; '.join(map(str, missing[:5]))}{' …' if len(missing) > 5 else ''}; {_GO_ON}"
        )
    return notes


def _not_done(missing: Sequence[Gap], gathered: Gathered, sources: Sequence[OutputFolder]) -> DeticCropError:
    """What to do about shards that are not done: the first commands aloud, the sum in the error."""
    for gap in missing[:_MOST_COMMANDS]:
        command = gathered.command_of(gap.shard, sources[0])
        _log.warning("%s: %s", gap, command or f"give its command again, with --shard {gap.shard}")
    more = len(missing) - _MOST_COMMANDS
    rest = f" ({more} more are not shown)" if more > 0 else ""
    if gathered.unlike_before:
        rest += f": {gathered.unlike_before}"
    return DeticCropError(
        f"shards that are not done: {len(missing):,} of {gathered.count:,}{rest}; run them, then "
        "merge again, or take what there is with --partial; nothing was changed"
    )


_MOST_COMMANDS = 20


_GO_ON = "give `run` again, with or without --shard, then merge"
