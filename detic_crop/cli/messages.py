"""What the commands print: counts, notes, verdicts, errors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from detic_crop.cli import mistakes
from detic_crop.cli.colours import coloured, shows_colours
from detic_crop.commands.in_words import (
    change_in_words,
    counts_in_words,
    dry_run_in_words,
    no_tables_in_words,
    stop_in_words,
    transitions_in_words,
)
from detic_crop.errors import one_line
from detic_crop.photos.keys import printable
from detic_crop.system.console import Forgiving
from detic_crop.wording import counted, visible, visible_lines

if TYPE_CHECKING:
    from detic_crop.commands.result import ApplyResult, RunResult
    from detic_crop.commands.told import Told


WELCOME = """\
detic-crop finds the dolphin or whale in every photo, crops it, and says which crops to doubt.

  detic-crop run train_images      crop every photo of a folder into the folder cropped
  detic-crop review cropped        judge the doubtful crops in your browser
  detic-crop apply cropped         correct the crops as you judged

Would you rather not type commands? detic-crop app does it all on a page in your browser.

All commands: detic-crop --help. All options of one: detic-crop run --help."""
"""What is shown where no command is given."""


def say(sentence: str, *, err: bool = False, warning: bool = False) -> None:
    """Print one line; what a terminal cannot show, or takes for a command, is spelled.

    Args:
        sentence: the line.
        err: print it on stderr.
        warning: colour all of it, where colours are shown.
    """
    print_lines(one_shown_line(sentence), err=err, warning=warning)


def print_lines(text: str, *, err: bool = True, warning: bool = False) -> None:
    """Print lines, with colours where they are shown; control characters are spelled."""
    stream = sys.stderr if err else sys.stdout
    if isinstance(stream, Forgiving) and shows_colours(stream):
        stream.write_codes(f"{coloured(visible_lines(text), warning=warning)}\n")
        stream.flush()
    else:
        click.echo(text, err=err)


def say_first(sentence: str, *, quiet: bool) -> None:
    """Say on stderr what a command is about to do, before the imports that take seconds."""
    if not quiet:
        say(sentence, err=True)


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
    """Return what was typed wrong, and where to read on."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = error.format_message()
    if isinstance(error, click.MissingParameter) and error.param is not None and context is not None:
        missing = (error.param.name or "").upper()
        if isinstance(error.param, click.Argument) and missing in mistakes.ARGUMENTS:
            message = mistakes.missing_argument(context.command_path, missing)
    elif isinstance(error, click.BadParameter) and error.param is not None:
        message = mistakes.bad_value(error.param, error.message)
    if isinstance(error, click.BadOptionUsage) and "requires an argument" in message:
        message = f"{error.option_name} needs a value"
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


def say_changes(result: ApplyResult) -> None:
    """Print what `apply --dry-run` would do, one line for each photo."""
    for note in result.notes:
        say(note)
    for change in result.changes:
        boxes = "; ".join(" ".join(f"{edge:g}" for edge in box) for box in change.after.boxes)
        how = "" if change.needs_recrop else " (no new crop)"
        say(f"{change.image}: {change_in_words(change)}{boxes and f' {boxes}'}{how}")
    say(f"dry run, nothing written: {counted(len(result.changes), 'verdict')} to apply")


def say_lines(result: Told, *, quiet: bool) -> None:
    """Print what a command returned in lines.

    Args:
        result: what it returned.
        quiet: print only what ``--quiet`` leaves.
    """
    for line in result.lines(quiet=quiet):
        say(line)
