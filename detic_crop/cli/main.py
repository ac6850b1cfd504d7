"""The program: its commands, what is said of errors, and the exit code."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence

import click

import detic_crop
from detic_crop.cli import messages
from detic_crop.cli.completion import answer, completion
from detic_crop.cli.correcting import app, apply, audit, compare, review, verify
from detic_crop.cli.cropping import merge, recrop, run, status
from detic_crop.cli.groups import SECTIONS, Commands
from detic_crop.cli.using import export, split, teach
from detic_crop.cli.weights import weights
from detic_crop.errors import DeticCropError
from detic_crop.system.console import forgiving_streams
from detic_crop.system.leaving import INTERRUPTED, leave, own_process

_NO_MEMORY = (
    "there is too little memory to continue; what was finished is kept: end other programs, or use fewer "
    "--workers or a smaller table, and run the same command again"
)


@click.group(
    cls=Commands,
    short_screen=messages.WELCOME,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(detic_crop.__version__, prog_name="detic-crop")
def cli() -> None:
    """Find the dolphin or whale in every photo, crop it, and say which crops to doubt.

    \b
    detic-crop run train_images      crop every photo into the folder cropped
    detic-crop review cropped        judge the doubtful crops in your browser
    detic-crop apply cropped         correct the crops as you judged
    detic-crop app                   all of this on a page in your browser

    `detic-crop COMMAND --help` says more of a command. Every option can also be set as an environment
    variable: DETIC_CROP_MODEL for --model, and so on.

    Exit codes: 0 done; 1 could not continue; 2 wrong usage; 3 with --strict, a photo failed; 4 teaching
    does not help; 5 verify found a problem; 130 or 143 interrupted: run the same command to continue.
    """


for _command in (
    *(run, recrop, audit, split, review, app, apply),
    *(teach, export, compare, merge, status, verify),
    *(weights, completion),
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, even if the output could not be printed."""
    if arguments is None and (code := answer(cli)) is not None:
        return code
    with forgiving_streams():
        if arguments is not None:
            return _main(arguments)
        with own_process():
            try:
                code = _main(arguments)
            except KeyboardInterrupt:  # a second one, while the first one was answered
                code = 130
            except Exception:  # ours: it ends here, for what it says goes out like all the rest
                traceback.print_exc()
                code = 1
            return leave(code)


class _OneLine(logging.Formatter):
    """Formats a message as `messages.say` prints it; a traceback below it keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return messages.one_shown_line(super().formatMessage(record))


class _Lines(logging.Handler):
    """Prints messages on stderr, warnings in their colour."""

    def emit(self, record: logging.LogRecord) -> None:
        messages.print_lines(self.format(record), warning=record.levelno >= logging.WARNING)


def _main(arguments: Sequence[str] | None) -> int:
    handler = _Lines()
    handler.setFormatter(_OneLine("%(message)s"))
    logger = logging.getLogger("detic_crop")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        return int(cli.main(arguments, prog_name="detic-crop", standalone_mode=False) or 0)
    except DeticCropError as error:
        messages.say_error(error.message)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        command = error.ctx.command if error.ctx is not None else None
        click.echo(getattr(command, "short_screen", "") or error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        messages.say_error(messages.usage_mistake(error))
        return 2
    except (KeyboardInterrupt, click.Abort):
        messages.say_error(INTERRUPTED)
        return 130
    except MemoryError:
        messages.say_error(_NO_MEMORY)
        return 1
    except Exception as error:
        messages.say_error(messages.fault(error))
        raise
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


if __name__ == "__main__":
    sys.exit(main())
