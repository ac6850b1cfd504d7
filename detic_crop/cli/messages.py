"""What the commands print: counts, notes, verdicts, errors."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from detic_crop.commands.in_words import (
    VERDICTS,
    counts_in_words,
    dry_run_in_words,
    no_tables_in_words,
    stop_in_words,
    transitions_in_words,
)
from detic_crop.errors import one_line
from detic_crop.photos.keys import printable
from detic_crop.wording import counted, either, visible

if TYPE_CHECKING:
    from detic_crop.commands.export import ExportResult
    from detic_crop.commands.result import ApplyResult, RunResult
    from detic_crop.commands.split import SplitResult
    from detic_crop.commands.teach import TeachResult
    from detic_crop.commands.verify import VerifyResult


def say(sentence: str, *, err: bool = False) -> None:
    """Print one line; what a terminal cannot show, or takes for a command, is spelled."""
    click.echo(one_shown_line(sentence), err=err)


def one_shown_line(sentence: str) -> str:
    """Return a sentence as `say` prints it: what stands in it makes no second line."""
    return visible(printable(sentence))


def say_error(message: str) -> None:
    """Print an error as one line."""
    say(f"detic-crop: {one_line(message)}", err=True)


def fault(error: Exception) -> str:
    """Return what is said of an error that nobody foresaw."""
    return (
        f"{type(error).__name__}: {one_line(error, 300)}: this is a fault of detic-crop; what was finished "
        "is kept: please report it with the lines below"
    )


def usage_mistake(error: click.ClickException) -> str:
    """Return what click found wrong, where to read on, and for extra arguments the likely cause."""
    message = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    if "unexpected extra argument" in message:
        extra = message.partition("(")[2].rstrip(")").split(" ")
        more = " …" if len(extra) > 1 else ""
        message = f"got unexpected {either(len(extra), 'argument', 'arguments')} {extra[0][:100]}{more}"
        if context is not None and context.info_name == "run":
            message = f"a pattern must be quoted: --in 'photos/*.jpg'; {message}"
    if context is not None:
        message += f"{'' if message.endswith(('.', '?', '…')) else '.'} See {context.command_path} --help"
    return message


def say_result(result: RunResult, *, quiet: bool, applied: str = "") -> None:
    """Print what a command did: notes, counts, the profile, and how to continue what was stopped.

    Args:
        result: what the command returned.
        quiet: print only what was asked for (the profile) and what is left to do.
        applied: a line to print before the counts.
    """
    if not quiet:
        for note in [*_unsaid(result), *filter(None, [applied])]:
            say(note)
        say_counts(result)
    if not applied:  # `apply` has told them with its other problems
        for key, why in result.unplaced.items():
            say(f"{key} keeps its earlier crop: {one_line(why)}", err=True)
    if result.profile:
        click.echo(result.profile)
    if stop := stop_in_words(result, "run the same command"):
        say(stop, err=True)


def _unsaid(result: RunResult) -> list[str]:
    """Return the notes that the log has not told before the work."""
    return [note for note in result.notes if note not in result.reported]


def say_counts(result: RunResult) -> None:
    """Print how many photos have which status, and where to look."""
    say(counts_in_words(result))
    if no_tables := no_tables_in_words(result):
        say(no_tables)
        return
    layout = result.folder.layout
    page, table = layout.shown_of(layout.audit_html), layout.shown_of(layout.audit_csv)
    say(f"look at {page}, most suspicious first; all rows: {table}")
    if result.estimate is not None:
        for sentence in result.estimate.sentences:
            say(sentence)
    for agreement in result.agreements:
        say(agreement.sentence)


def say_dry_run(result: RunResult) -> None:
    """Print what `run --dry-run` would do."""
    for note in _unsaid(result):
        say(note)
    say(dry_run_in_words(result))


def say_transitions(result: RunResult) -> None:
    """Print how many photos have another status than in the folder that `recrop` began with."""
    say(transitions_in_words(result))


def say_split(result: SplitResult) -> None:
    """Print the folds, what stayed together, and what a random split would have leaked."""
    for note in dict.fromkeys([*result.tables.notes, *result.notes, *result.division.sentences]):
        say(note)
    layout = result.tables.folder.layout
    say(f"column fold: {layout.shown_of(layout.audit_csv)}")


def say_changes(result: ApplyResult) -> None:
    """Print what `apply --dry-run` would do, one line for each photo."""
    for note in result.notes:
        say(note)
    for change in result.changes:
        boxes = "; ".join(" ".join(f"{edge:g}" for edge in box) for box in change.after.boxes)
        how = "" if change.needs_recrop else " (no new crop)"
        say(f"{change.image}: {VERDICTS[change.after.verdict]}{boxes and f' {boxes}'}{how}")
    say(f"dry run, nothing written: {counted(len(result.changes), 'verdict')} to apply")


def say_taught(result: TeachResult, out: str, *, quiet: bool) -> None:
    """Print what `teach` was taught from, how good it is before and after, and what to do next.

    Args:
        result: what the command returned.
        out: the file as it was named.
        quiet: print only whether it helps.
    """
    if not quiet:
        for note in result.notes:
            say(note)
        sources = result.sources
        animals = sources["accepted"] + sources["corrected"]
        say(
            f"taught from {counted(sources.total(), 'photo')}: {animals:,} with an animal "
            f"({sources['corrected']:,} with a box that you picked or drew), {sources['empty']:,} without"
        )
        for line in _figures_table(result):
            click.echo(line)
        say(
            f"measured on photos that were left out, by {result.grouped_by} "
            f"({counted(result.groups, 'group')}); a box counts from --conf {result.conf:g}"
        )
    if not result.helps:
        so = "written all the same (--force)" if result.written else "nothing was written"
        say(f"on these photos teaching does not help: {so}; review more photos, then teach again")
    if result.written:
        say(f"wrote {out}; now run: detic-crop run --in PHOTOS --out FOLDER --model lite:{shlex.quote(out)}")


def say_verified(result: VerifyResult, report: str | None, *, quiet: bool) -> None:
    """Print the first problems, one on a line, and what was checked.

    Args:
        result: what the command returned.
        report: the file that holds all problems, as it was named; None without one.
        quiet: print only problems.
    """
    for problem in result.problems:
        say(str(problem))
    count = result.kinds.total()
    if more := count - len(result.problems):
        where = f"{report} has all" if report else "--report FILE writes all"
        say(f"… and {counted(more, 'more problem')}; {where}")
    if quiet:
        return
    for note in result.notes:
        say(note)
    by = " and ".join(["the journal"] * result.by_journal + ["manifest.csv"] * result.by_manifest)
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in result.kinds.most_common())
    found = f"{counted(count, 'problem')} ({kinds})" if count else "all as it was made"
    photos = f"{result.photos_checked:,} of {counted(result.photos, 'photo')}"
    say(f"{result.shown}: {found}; checked by {by}: {counted(result.crops, 'crop')}, {photos}")


def _figures_table(result: TeachResult) -> list[str]:
    before, after = result.before, result.after
    rows = [
        ("mean IoU of the chosen box", f"{before.mean_iou:.2f}", f"{after.mean_iou:.2f}"),
        *(
            [
                (
                    "  where you picked or drew one",
                    f"{result.corrected_before.mean_iou:.2f}",
                    f"{result.corrected_after.mean_iou:.2f}",
                )
            ]
            if result.sources["corrected"]
            else []
        ),
        ("IoU of 0.5 or more", f"{before.good:.0%}", f"{after.good:.0%}"),
        ("animals found", f"{before.found:.0%}", f"{after.found:.0%}"),
    ]
    if result.sources["empty"]:
        rows.append(("false alarms", f"{before.false_alarms:.0%}", f"{after.false_alarms:.0%}"))
    return [f"{name:32}{first:>8}{second:>8}" for name, first, second in [("", "before", "after"), *rows]]


def say_exported(result: ExportResult) -> None:
    """Print what an export left out, and in one line what it wrote."""
    for note in dict.fromkeys(result.notes):
        say(note)
    if result.left_out.total():
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in result.left_out.most_common())
        say(f"left out: {result.left_out.total():,} ({reasons})")
    linked = f" ({result.linked:,} as links)" if result.linked else ""
    say(f"{result.to}: {counted(result.count, result.of[:-1])}{linked} in {result.out}")
