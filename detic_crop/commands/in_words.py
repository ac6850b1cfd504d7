"""What a command did, in sentences: for the command line and for notebooks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from detic_crop.wording import counted

if TYPE_CHECKING:
    from detic_crop.commands.result import ApplyResult, RunResult
    from detic_crop.work.changes import Change

VERDICTS = {
    "accepted": "accepted",
    "box": "another box",
    "whole": "whole photo",
    "rejected": "rejected",
    "unsure": "unsure",
    "": "taken back",
}
"""Verdict → what was made of a photo."""

_REMARKS = "note or viewpoint"


def change_in_words(change: Change) -> str:
    """Return what a change makes of a photo: of `VERDICTS`, unless the verdict stays as it is."""
    return _REMARKS if change.keeps_verdict else VERDICTS[change.after.verdict]


def counts_in_words(result: RunResult) -> str:
    """Return how many photos have which status, in one line."""
    counts = result.counts
    not_found = counts["resized"] - result.reviewed_whole - result.not_listed
    crops = f" ({counted(result.crops, 'crop')})" if result.config.animals == "all" else ""
    parts = [f"{counts['cropped']} cropped{crops}"]
    if not_found or not result.not_listed:
        parts.append(f"{not_found} resized whole (nothing found)")
    if result.not_listed:
        file = result.config.model.removeprefix("boxes:")
        parts.append(f"{result.not_listed} resized whole (not in {file}: nobody looked)")
    if result.reviewed_whole:
        parts.append(f"{result.reviewed_whole} whole by review")
    if counts["skipped"]:
        parts.append(f"{counts['skipped']} skipped (no crop)")
    if counts["rejected"]:
        parts.append(f"{counts['rejected']} rejected")
    reasons = ", ".join(f"{reason} {n}" for reason, n in result.failures.most_common(5))
    parts.append(f"{counts['failed']} failed" + (f" ({reasons})" if reasons else ""))
    shard = result.folder.layout.shard
    doubtful = f"; {counted(result.flagged, 'crop')} to look at (flagged)" if shard is None else ""
    speed = f"; {result.photos_per_second:.1f} photos/s" if result.done else ""
    before = f" ({result.skipped} done before)" if result.skipped else ""
    of = "" if shard is None else f"shard {shard}: "
    return f"{of}{counted(counts.total(), 'photo')}{before}: {', '.join(parts)}{doubtful}{speed}"


def no_tables_in_words(result: RunResult) -> str:
    """Return why the run of a shard has no tables, and what makes them; empty for a run that has some."""
    layout = result.folder.layout
    if layout.shard is None:
        return ""
    done = "it is done" if layout.shard.count == 1 else f"all {layout.shard.count:,} shards are done"
    return f"no tables yet; once {done}, run: detic-crop merge {layout.quoted}"


def dry_run_in_words(result: RunResult) -> str:
    """Return what `run` with ``dry_run`` would do, in one line."""
    config = result.config
    return (
        f"dry run, nothing written: {counted(result.remaining, 'photo')} to do, "
        f"{result.skipped:,} done before; "
        f"model {config.model} ({result.model_reason}), classes {config.classes}, conf {config.conf_text}"
    )


def stop_in_words(result: RunResult, again: str) -> str:
    """Return why the work ended early and how to go on; empty if it did not.

    Args:
        result: what the command returned.
        again: what to do, as ``run the same command``.
    """
    if not result.stopped:
        return ""
    why = "the time limit was reached" if result.stopped == "time_limit" else "interrupted"
    return f"{why}: {counted(result.remaining, 'photo')} to do; {again} to continue"


def transitions_in_words(result: RunResult) -> str:
    """Return how many photos have another status than in the folder that `recrop` began with."""
    changes = ", ".join(f"{n} {old} → {new}" for (old, new), n in sorted(result.transitions.items()))
    total = counted(result.transitions.total(), "photo")
    return f"{total} changed status{': ' if changes else ''}{changes}"


def verdicts_in_words(result: ApplyResult) -> str:
    """Return how many verdicts of each kind the crops follow now, in one line."""
    done = [change for change in result.changes if change.image not in result.problems]
    kinds = Counter(map(change_in_words, done))
    parts = [f"{kinds[words]} {words}" for words in (*VERDICTS.values(), _REMARKS) if kinds[words]]
    if result.problems:
        parts.append(f"{len(result.problems)} not possible")
    return f"verdicts applied: {', '.join(parts)}" if parts else "no verdict to apply"
