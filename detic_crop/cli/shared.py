"""What several commands share: arguments and options, and what their exit codes say."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from detic_crop.cli import kinds, messages
from detic_crop.cli.options import Command, option
from detic_crop.errors import Interrupted, Terminated

if TYPE_CHECKING:
    from detic_crop.commands.result import RunResult

_STOPPED = {"SIGINT": 130, "SIGTERM": 143, "SIGBREAK": 143}
DOES_NOT_HELP = 4
NOT_AS_MADE = 5
_R = TypeVar("_R")

cropped_argument = click.argument("cropped", type=kinds.FOLDER)
moved_option = option(
    "--in", "input", type=kinds.FILE, metavar="PHOTOS", help="where the photos are now, if they have moved"
)
strict_option = option(
    "--strict", is_flag=True, help="exit with code 3 when a photo failed, or keeps its earlier crop"
)

reviewer_option = option(
    "--reviewer", metavar="NAME", help="saved with each verdict  [default: your login name]"
)
port_option = option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="0 takes any free one  [default: 8377, if free]",
)
host_option = option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="address to listen on"
)
no_browser_option = option("--no-browser", is_flag=True, help="only print the page's address")


def command(**settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command of the program; as `click.command`."""
    return click.command(cls=Command, **settings)


def set_log_level(quiet: bool) -> None:
    """Leave out of the log what --quiet does."""
    if quiet:
        logging.getLogger("detic_crop").setLevel(logging.WARNING)


def even_if_stopped(work: Callable[[], _R]) -> _R:
    """Return the result of `work`, also when a signal ended it early; `exit_code` tells the two apart."""
    try:
        return work()
    except (Interrupted, Terminated) as ended:
        result: _R = ended.result
        return result


def exit_code(result: RunResult, strict: bool) -> int:
    """Return the exit code of a command that crops: of a signal that stopped it, or of --strict."""
    if result.stopped in _STOPPED:
        return _STOPPED[result.stopped]
    return 3 if strict and (result.counts["failed"] or result.unplaced) else 0


def say_address(page: str) -> Callable[[str], None]:
    """Return what prints the address of a page once it can be opened."""

    def ready(address: str) -> None:
        messages.say(f"{page} at {address} (Ctrl-C ends)")
        sys.stdout.flush()  # somebody may wait for it at the end of a pipe

    return ready
