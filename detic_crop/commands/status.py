"""`detic-crop status`: how far the work on a folder is, and what comes next; it only reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

import msgspec

from detic_crop.commands.settings import PathLike
from detic_crop.commands.status_result import MOST_SHARDS, SILENT_AFTER, PartStatus, State, StatusResult
from detic_crop.errors import UsageError
from detic_crop.folder.check_documents import has_labels
from detic_crop.folder.folder import OutputFolder, open_folder
from detic_crop.folder.holder import Holder, holder_of
from detic_crop.folder.layout import Layout
from detic_crop.folder.progress_file import OF_PHOTOS, Progress, read_progress, seconds_since
from detic_crop.folder.segments import is_incomplete
from detic_crop.folder.shard import Shard
from detic_crop.folder.shard_states import shard_layouts
from detic_crop.folder.state import Part, load_labels, load_listing, load_part
from detic_crop.folder.tally import Tally, tally
from detic_crop.folder.there import is_there
from detic_crop.folder.verdicts import Review, count_waiting, read_review
from detic_crop.wording import typed

_MOST_BYTES = 1 << 26  # of run.json
_TO_CONTINUE: tuple[State, ...] = ("silent", "interrupted", "stopped", "failed")


def status(output: PathLike) -> StatusResult:
    """Say how far the work on a folder is, who is at work, what failed, and which command comes next.

    It reads only, takes no lock, and may be called while a run is at work, also on another machine.

    Args:
        output: the output folder of a run, or its address; its shards need not be merged.

    Raises:
        UsageError: there is no such folder, or it cannot be read.
        OutputError: a store does not answer.
    """
    with open_folder(output) as folder:
        folder.checks.state()
        parts = [layout for layout in shard_layouts(folder.layout) if _is_begun(folder, layout)]
        if parts:
            return _of_shards(folder, parts)
        if not _is_begun(folder, folder.layout):
            raise folder.no_run()
        return _of_whole(folder)


def _is_begun(folder: OutputFolder, layout: Layout) -> bool:
    return is_there(layout.journal) or is_there(layout.progress) or holder_of(folder, layout) is not None


# ---------------------------------------------------------------- one folder


def _of_whole(folder: OutputFolder) -> StatusResult:
    layout = folder.layout
    review = read_review(layout.review)
    seen = _Seen.at(folder, layout)
    knows = seen.progress is not None and seen.progress.photos is not None
    found = seen.tally(review.last.keys(), () if knows else _expected(folder))
    part = seen.part(found, found.photos + found.missing)
    result = StatusResult(folder.shown, part, (), found.statuses, found.failures)
    result.verdicts, result.verdicts_waiting = _verdicts(review, found)
    result.flagged = _flagged(folder, part)
    result.notes = _notes(folder, part)
    result.next = _next_of_whole(result, folder)
    return result


def _expected(folder: OutputFolder) -> Iterable[str]:
    """Return the photos that a folder should have; none where a file that says so is damaged."""
    try:
        if has_labels(folder):
            return {key for key in load_labels(folder)[1] if key is not None}
        return load_listing(folder).keys
    except UsageError:
        return ()


def _verdicts(review: Review, found: Tally) -> tuple[int, int]:
    """Return how many photos have a verdict, and of how many the crop does not follow the last word yet."""
    given = sum(verdict.verdict not in ("undone", "note") for verdict in review.last.values())
    return given, count_waiting(found.records, review.last)


class _RunJson(msgspec.Struct):
    """What is read of run.json."""

    flagged: int | None = None


_run_json = msgspec.json.Decoder(_RunJson)


def _flagged(folder: OutputFolder, part: PartStatus) -> int | None:
    """Return what the last run counted, unless another command has changed crops since."""
    if part.state in ("running", "silent", "interrupted"):
        return None
    if part.progress is not None and part.progress.command == "apply":
        return None
    try:
        return _run_json.decode(folder.read_at_most(folder.layout.run_json, _MOST_BYTES)).flagged
    except ValueError:
        return None


def _notes(folder: OutputFolder, part: PartStatus) -> list[str]:
    notes = []
    if is_incomplete(folder.layout.journal):
        notes.append(
            "a part of the journal lies here as it came from a store; the first command that works on this "
            "folder puts it together"
        )
    if part.state in _TO_CONTINUE and not _words(part):
        notes.append(
            "the `detic-crop run` command or the call that made this folder goes on where it stopped"
        )
    return notes


def _next_of_whole(result: StatusResult, folder: OutputFolder) -> list[str]:
    part, quoted = result.whole, folder.layout.quoted
    if part.state == "running":
        return []
    if part.state in _TO_CONTINUE:
        return [_command(words, folder)] if (words := _words(part)) else []
    if result.verdicts_waiting:
        return [f"detic-crop apply {quoted}"]
    if result.statuses["cropped"] and not result.verdicts:
        return [f"detic-crop review {quoted}"]
    return [f"detic-crop export {quoted} --to FORMAT --out FOLDER"]


def _words(part: PartStatus) -> Sequence[str]:
    """Return the words of the command that goes on from here; none where they are not known."""
    if part.progress is None:
        return ()
    is_of_photos = part.progress.command in OF_PHOTOS or part.progress.stopped or part.state != "stopped"
    return part.progress.words if is_of_photos else part.progress.made_by


def _command(words: Sequence[str], folder: OutputFolder) -> str:
    return f"{typed('detic-crop', *words)} {folder.layout.quoted}"


# ---------------------------------------------------------------- how far


class _Seen(NamedTuple):
    """Who holds a folder or a shard, and what is said of the work there, both of one moment."""

    layout: Layout
    holder: Holder | None
    progress: Progress | None

    @classmethod
    def at(cls, folder: OutputFolder, layout: Layout) -> _Seen:
        for _ in range(3):
            seen = cls(layout, holder_of(folder, layout), read_progress(layout.progress))
            if holder_of(folder, layout) == seen.holder:
                break
        return seen

    def tally(self, wanted: Container[str] = frozenset(), expected: Iterable[str] = ()) -> Tally:
        """Return what its journal adds up to; see `tally`."""
        behind = 0 if self.progress is None else self.progress.journal_bytes
        return tally(self.layout.journal, wanted, expected, behind)

    def part(self, found: Tally, known_total: int | None) -> PartStatus:
        """Return how far it is.

        Args:
            found: what its journal adds up to.
            known_total: photos that it should have, where its last command does not say.
        """
        progress, shard = self.progress, self.layout.shard
        part = PartStatus("" if shard is None else str(shard), progress=progress, holder=self.holder)
        part.failed = found.statuses["failed"]
        part.total, part.done = known_total, found.photos
        if progress is not None:
            part.seconds_since = seconds_since(progress.last)
            if progress.total and progress.phase == "cropping":
                part.total, part.done = progress.total, progress.skipped + progress.done + found.newer
            elif progress.photos is not None:
                part.total, part.done = progress.photos
                if not is_incomplete(self.layout.journal):  # lines that were lost are photos to do
                    part.done = min(part.done, found.photos)
            if part.total is not None:
                part.done = min(part.done, part.total)
        part.state = _state(part)
        if part.state == "running" and progress is not None:
            part.photos_per_second, part.seconds_left = progress.photos_per_second, progress.seconds_left
        return part


def _state(part: PartStatus) -> State:
    progress, holder = part.progress, part.holder
    if holder is not None and holder.alive != "no":
        age = part.seconds_since
        is_silent = holder.alive == "unknown" and (age is None or age > SILENT_AFTER)
        return "silent" if is_silent else "running"
    if progress is not None and progress.phase != "ended":
        return "interrupted"
    if progress is not None and progress.error:
        return "failed"
    if (progress is not None and progress.stopped) or (part.total is not None and part.done < part.total):
        return "stopped"
    return "done"


# ---------------------------------------------------------------- shards


def _of_shards(folder: OutputFolder, layouts: Sequence[Layout]) -> StatusResult:
    seen = [_Seen.at(folder, layout) for layout in layouts]
    found = [one.tally() for one in seen]
    saved = [load_part(folder.with_shard(layout.shard)) for layout in layouts]
    parts = [
        one.part(added, None if part is None else len(part.places))
        for one, added, part in zip(seen, found, saved, strict=True)
    ]
    first = next((part for part in saved if part is not None), None)
    shards = [layout.shard for layout in layouts if layout.shard is not None]
    missing = _missing(shards)
    everything = [*parts, *(PartStatus(str(shard)) for shard in missing)]
    everything.sort(key=lambda part: int(part.shard.partition("/")[0]))
    whole = _sum(everything, first)
    if (holder := holder_of(folder, folder.layout)) is not None and holder.alive != "no":  # a merge
        whole.holder, whole.progress = holder, read_progress(folder.layout.progress)
        whole.state = "running"
    result = StatusResult(folder.shown, whole, everything)
    for added in found:
        result.statuses += added.statuses
        result.failures += added.failures
    result.next = _next_of_shards(result, first, folder)
    return result


def _missing(shards: Sequence[Shard]) -> list[Shard]:
    """Return the shards that were never begun, of as many as the others say that there are."""
    begun = set(shards)
    return [
        shard for index in range(shards[0].count) if (shard := Shard(index, shards[0].count)) not in begun
    ]


def _sum(parts: Sequence[PartStatus], first: Part | None) -> PartStatus:
    """Return how far all shards are together."""
    states = Counter(part.state for part in parts)
    order: tuple[State, ...] = ("running", "silent", "failed", "interrupted", "stopped", "not run", "done")
    whole = PartStatus(state=next(state for state in order if states[state]))
    whole.done, whole.failed = sum(part.done for part in parts), sum(part.failed for part in parts)
    rates = [part.photos_per_second for part in parts if part.photos_per_second is not None]
    whole.photos_per_second = sum(rates) if rates else None
    whole.seconds_left = max(
        (part.seconds_left for part in parts if part.seconds_left is not None), default=None
    )
    totals = [part.total for part in parts if part.total is not None]
    if first is not None and not first.input.labels:
        limit = first.input.limit
        whole.total = first.input.photos if limit is None else min(limit, first.input.photos)
    elif len(totals) == len(parts):
        whole.total = sum(totals)
    return whole


def _next_of_shards(result: StatusResult, first: Part | None, folder: OutputFolder) -> list[str]:
    states = {part.state for part in result.shards}
    if result.whole.holder is not None:
        return []
    if states == {"done"}:
        return [f"detic-crop merge {folder.layout.quoted}"]
    idle = [part for part in result.shards if part.state not in ("done", "running")]
    commands = []
    for part in idle[:MOST_SHARDS]:
        if part.progress is not None and part.progress.words:
            commands.append(_command(part.progress.words, folder))
        elif first is not None and first.words:
            words = ["detic-crop", "run", *first.words, "--shard", part.shard, "--out", folder.shown]
            commands.append(typed(*words))
        else:
            commands.append(f"run the command of the shards again, with --shard {part.shard}")
    return commands
