"""The commands: options, one call of the library, an exit code."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

import detic_crop
from detic_crop.cli import kinds, messages
from detic_crop.cli.completion import answer, completion
from detic_crop.cli.groups import SECTIONS, Commands
from detic_crop.cli.options import Command, option, settings
from detic_crop.cli.places import OUT, photos_and_folder, shown
from detic_crop.cli.weights import weights
from detic_crop.commands.in_words import verdicts_in_words
from detic_crop.commands.settings import with_settings
from detic_crop.commands.signature import RECROP
from detic_crop.config import CropConfig, RunOptions
from detic_crop.errors import DeticCropError, Interrupted, Terminated, one_line
from detic_crop.exports.base import BOXES, OF, PART, PICTURES
from detic_crop.exports.formats import FORMATS
from detic_crop.system.console import forgiving_streams
from detic_crop.system.leaving import INTERRUPTED, leave, own_process

if TYPE_CHECKING:
    from detic_crop.commands.result import RunResult

_STOPPED = {"SIGINT": 130, "SIGTERM": 143, "SIGBREAK": 143}
_DOES_NOT_HELP = 4
_NOT_AS_MADE = 5
_NO_MEMORY = (
    "there is too little memory to continue; what was finished is kept: end other programs, or use fewer "
    "--workers or a smaller table, and run the same command again"
)
_R = TypeVar("_R")

_cropped = click.argument("cropped", type=kinds.FOLDER)
_moved = option(
    "--in", "input", type=kinds.FILE, metavar="PHOTOS", help="where the photos are now, if they have moved"
)
_strict = option(
    "--strict", is_flag=True, help="exit with code 3 when a photo failed, or keeps its earlier crop"
)


def _formats() -> str:
    """Return the list of exports as click prints it unchanged."""
    lines = [f"  {name:15} {found.about}" for name, found in FORMATS.items()]
    return "\b\nFormats:\n" + "\n".join(lines)


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


cli.command_class = Command


@cli.command(short_help="Crop every photo into a folder, or continue.")
@click.argument("words", nargs=-1, type=kinds.FILE, metavar="[PHOTOS [OUT]]")
@option(
    "--in",
    "input",
    type=kinds.FILE,
    metavar="PHOTOS",
    help="a folder, photo, quoted 'pattern', .txt or .csv list, tar files, or the address of one of these",
)
@option(
    "--out",
    "output",
    type=kinds.FOLDER,
    metavar="FOLDER",
    help="where crops, audit.csv and audit.html go: a folder, or an address such as s3://bucket/cropped  "
    f"[default: {OUT}]",
)
@settings(CropConfig)
@settings(RunOptions)
@_strict
@click.pass_context
def run(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    input: str | None,
    output: str | None,
    strict: bool,
    **settings: Any,
) -> int:
    """Crop every photo of PHOTOS into OUT. The same command again continues where the first one stopped.

    PHOTOS and OUT are what --in and --out name, too. Without OUT the crops go into the folder cropped.

    Several machines share the work with --shard 0/16 … 15/16 and one --out; then `detic-crop merge` joins it.

    \b
    detic-crop run train_images
    detic-crop run train_images cropped384 --size 384x768
    detic-crop run --in train_images --out cropped --labels train.csv
    """
    input, output = photos_and_folder(ctx, words, input, output)
    with_settings(CropConfig(), RunOptions(), settings)  # what is wrong there is said before anything else
    _set_log_level(settings["quiet"])
    photos, crops = shown(input), shown(output)
    messages.say_first(
        f"looking at {photos} for {crops}; nothing is written"
        if settings["dry_run"]
        else f"cropping {photos} into {crops}",
        quiet=settings["quiet"],
    )
    from detic_crop import api

    result = _even_if_stopped(lambda: api.run(input, output, **settings))
    if settings["dry_run"]:
        messages.say_dry_run(result)
        return 0
    messages.say_result(result, quiet=settings["quiet"])
    return _exit_code(result, strict)


@cli.command(short_help="Make another data set from the boxes that were kept, without a detector.")
@_cropped
@option(
    "--out", "output", type=kinds.FOLDER, required=True, metavar="FOLDER", help="where the new data set goes"
)
@_moved
@settings(CropConfig, RECROP[CropConfig], changes=True)
@settings(RunOptions, RECROP[RunOptions])
@_strict
def recrop(cropped: str, output: str, strict: bool, **settings: Any) -> int:
    """Make another data set from the boxes that CROPPED kept, without a detector.

    Settings that are not given stay as they were.

    \b
    detic-crop recrop cropped --out cropped768 --scale 1.4 --size 768
    """
    from detic_crop import api

    _set_log_level(settings["quiet"])
    result = _even_if_stopped(lambda: api.recrop(cropped, output, **settings))
    if not settings["quiet"]:
        messages.say_transitions(result)
    messages.say_result(result, quiet=settings["quiet"])
    return _exit_code(result, strict)


@cli.command(short_help="Write the tables and audit.html again; draw a sample, say how many crops are right.")
@_cropped
@_moved
@option("--sample", type=int, metavar="N", help="draw N photos at random for review, e.g. 200")
@option("--seed", type=int, metavar="N", help="seed of --sample  [default: the earlier sample's, else 0]")
@option(
    "--margin",
    type=float,
    metavar="POINTS",
    help="say how many photos to draw for a 95 % interval of ± POINTS percentage points, e.g. 3",
)
@option("--xlsx", is_flag=True, help="also write audit.xlsx, a spreadsheet")
@option(
    "--manifest", is_flag=True, help="also write manifest.csv: SHA-256 of every photo and crop, for verify"
)
@option(
    "--csv-safe/--no-csv-safe",
    "csv_safe",
    default=None,
    help="put a ' before cells of audit.csv that spreadsheets take for formulas  [default: as the last time]",
)
@settings(RunOptions, ("encounter",), changes=True)
def audit(cropped: str, xlsx: bool, manifest: bool, **given: Any) -> int:
    """Write audit.csv and audit.html of CROPPED again, and with a sample estimate.json and datacard.md.

    --sample draws photos at random, more of them where mistakes are likely. Once they have been reviewed,
    this command estimates from them how many crops are right and how many animals were missed. A larger
    sample adds to the earlier one. --margin says how many it takes.

    \b
    detic-crop audit cropped --margin 3
    detic-crop audit cropped --sample 200
    detic-crop audit cropped --xlsx
    detic-crop audit cropped --manifest
    """
    from detic_crop import api

    result = api.write_audit(cropped, xlsx=xlsx, manifest=manifest, **given)
    for note in result.notes:
        messages.say(note)
    messages.say_counts(result)
    if xlsx:
        messages.say(f"spreadsheet: {result.folder.layout.shown_of(result.folder.layout.audit_xlsx)}")
    if manifest:
        messages.say(f"manifest: {result.folder.layout.shown_of(result.folder.layout.manifest)}")
    return 0


@cli.command(short_help="Divide the photos into folds.")
@_cropped
@option("--folds", type=int, default=5, show_default=True, metavar="N", help="number of folds")
@option(
    "--by",
    metavar="HOW",
    help="what stays in one fold, too: encounter (as the folder has it), folder, gap:30min or a label column",
)
@option(
    "--individual",
    type=kinds.COLUMN,
    metavar="COLUMN",
    help="label column that names the individual  [default: individual_id, identity, name … if there is one]",
)
@option(
    "--unseen",
    type=float,
    default=0.0,
    metavar="SHARE",
    help="share of the individuals to hold out of all folds, e.g. 0.1; their photos get fold -1",
)
@option("--seed", type=int, default=0, show_default=True, metavar="N", help="another one gives other folds")
@_moved
@settings(RunOptions, ("quiet",))
def split(cropped: str, **given: Any) -> int:
    """Divide the photos of CROPPED into folds, in the column `fold` of audit.csv.

    Copies, near copies and bursts stay in one fold; so do encounters, with --by. Individuals that labels name
    are spread over all folds. It also says how many photos a random split would have parted.

    \b
    detic-crop split cropped --folds 5 --by gap:30min
    detic-crop split cropped --folds 5 --by encounter --unseen 0.1
    """
    from detic_crop import api

    result = api.split(cropped, **given)
    messages.say_lines(result, quiet=given["quiet"])
    return 0


@cli.command(short_help="Judge the crops on a page in your browser, most suspicious first.")
@_cropped
@_moved
@option("--reviewer", metavar="NAME", help="saved with each verdict  [default: your login name]")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="0 takes any free one  [default: 8377, if free]",
)
@option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="address to listen on")
@option("--no-browser", is_flag=True, help="only print the page's address")
@option(
    "--blind",
    is_flag=True,
    help="a second person judges the sample, without what was said of it; changes no crop",
)
def review(cropped: str, no_browser: bool, blind: bool, **given: Any) -> int:
    """Judge the crops of CROPPED on a page in your browser, most suspicious first; Ctrl-C ends.

    Every verdict is on disk before the page moves on; Finish on the page, or `detic-crop apply`, makes the
    crops follow.

    With --blind a second person judges the random sample unseen; `detic-crop audit` says how far both agree.

    \b
    detic-crop review cropped
    """
    from detic_crop import api

    def ready(address: str) -> None:
        messages.say(f"review at {address} (Ctrl-C ends)")
        sys.stdout.flush()  # somebody may wait for it at the end of a pipe

    result = api.review(cropped, open_browser=not no_browser, ready=ready, blind=blind, **given)
    messages.say_lines(result, quiet=False)
    return 0


@cli.command(short_help="Do it all on a page in your browser.")
@option(
    "--root",
    type=kinds.FOLDER,
    multiple=True,
    metavar="FOLDER",
    help="a folder below which folders may be chosen; may be repeated  [default: your home folder]",
)
@option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="0 takes any free one  [default: 8377, if free]",
)
@option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="address to listen on")
@option("--no-browser", is_flag=True, help="only print the page's address")
@option(
    "--token-file",
    type=kinds.FILE,
    metavar="FILE",
    help="file with the token that programs show  [default: DETIC_CROP_APP_TOKEN, else a new one each time]",
)
@option(
    "--state",
    type=kinds.FOLDER,
    metavar="FOLDER",
    help="where the list of jobs is kept  [default: of your user]",
)
@option("--at-once", type=int, default=1, show_default=True, metavar="N", help="jobs at work at once")
@option("--reviewer", metavar="NAME", help="saved with each verdict  [default: your login name]")
def app(root: tuple[str, ...], no_browser: bool, **given: Any) -> None:
    """Do it all on a page in your browser: choose a folder, crop, review, apply, export; Ctrl-C ends.

    The same can be asked for by programs, as JSON: see docs/app.md. Jobs are kept when this is stopped or
    killed, and can be continued.

    \b
    detic-crop app
    detic-crop app --root /data/photos --no-browser
    """
    from detic_crop import api

    def ready(address: str) -> None:
        messages.say(f"app at {address} (Ctrl-C ends)")
        sys.stdout.flush()  # somebody may wait for it at the end of a pipe

    api.app(root=root or None, open_browser=not no_browser, ready=ready, **given)


@cli.command(short_help="Make crops and tables follow what was judged.")
@_cropped
@_moved
@option("--dry-run", is_flag=True, help="only list what would change")
@settings(RunOptions, ("workers", "memory"))
@option("--strict", is_flag=True, help="exit with code 3 when a verdict could not be applied")
@settings(RunOptions, ("quiet",))
def apply(cropped: str, strict: bool, **given: Any) -> int:
    """Make the crops and tables of CROPPED follow the verdicts of `detic-crop review`, without a detector.

    \b
    detic-crop apply cropped
    detic-crop apply cropped --dry-run
    """
    from detic_crop import api

    result = _even_if_stopped(lambda: api.apply(cropped, **given))
    if given["dry_run"]:
        messages.say_changes(result)
        return 0
    for key, problem in result.problems.items():
        messages.say(f"{key} keeps its crop: {one_line(problem)}", err=True)
    messages.say_result(result, quiet=given["quiet"], applied=verdicts_in_words(result))
    if strict and result.problems:
        return _exit_code(result, strict=False) or 3
    return _exit_code(result, strict=False) or (1 if result.unplaced else 0)


@cli.command(short_help="Teach the model lite what was judged.")
@_cropped
@option(
    "--out",
    "out",
    type=kinds.FILE,
    required=True,
    metavar="FILE",
    help="where the taught weights go, e.g. mine.safetensors",
)
@_moved
@option("--force", is_flag=True, help="write it even if it does not help")
@settings(RunOptions, ("memory", "quiet"))
def teach(cropped: str, out: str, **given: Any) -> int:
    """Teach `lite` what `detic-crop review` said of CROPPED: your camera, your sea, your species.

    It measures first, on photos that were left out, whether that helps. If it does not, nothing is written,
    and the exit code is 4.

    \b
    detic-crop teach cropped --out mine.safetensors
    detic-crop run --in train_images --out cropped_taught --model lite:mine.safetensors
    """
    messages.say_first(f"teaching lite what was said of {shown(cropped)}", quiet=given["quiet"])
    from detic_crop import api

    result = api.teach(cropped, out, **given)
    messages.say_lines(result, quiet=given["quiet"])
    return 0 if result.written else _DOES_NOT_HELP


@cli.command(
    epilog=_formats(),
    short_help="Write what another program reads: class folders, COCO, YOLO, Kaggle and others.",
)
@_cropped
@option(
    "--to",
    "to",
    type=kinds.Text("", lambda _: FORMATS),
    required=True,
    metavar="FORMAT",
    help="one of the formats below",
)
@option(
    "--out",
    "out",
    type=kinds.FOLDER,
    required=True,
    metavar="FOLDER",
    help="the folder to make; there may be nothing yet",
)
@_moved
@option("--of", type=kinds.Choice(OF), help="whole photos or crops  [default: what suits the format]")
@option(
    "--boxes",
    type=kinds.Choice(BOXES),
    help="chosen: as corrected by review; all that were kept; of reviewed photos only  [default: chosen]",
)
@option(
    "--pictures",
    type=kinds.Choice(PICTURES),
    help="link: hard links where the disk can, which share their bytes; copy; none  [default: link]",
)
@option(
    "--label",
    type=kinds.COLUMN,
    metavar="COLUMN",
    help="label column that names the class; folder: the photo's folder",
)
@option(
    "--individual",
    type=kinds.COLUMN,
    metavar="COLUMN",
    help="label column of the individual  [default: individual_id …]",
)
@option(
    "--species", type=kinds.COLUMN, metavar="COLUMN", help="label column of the species  [default: species …]"
)
@option(
    "--part", type=kinds.Choice(PART), help="train or test, where names tell them apart  [default: train]"
)
@option(
    "--test",
    type=kinds.FOLDER,
    metavar="CROPPED_TEST",
    help="a second folder, which becomes the part test beside this one",
)
@option("--files", type=int, metavar="N", help="number of files, for tfrecord")
@option("--title", metavar="TEXT", help="title of the data set, for kaggle")
@option("--user", metavar="NAME", help="your account's name, for kaggle  [default: KAGGLE_USERNAME]")
@option("--licence", "--license", "licence", metavar="NAME", help="licence of the data set, for kaggle")
@settings(RunOptions, ("quiet",))
def export(cropped: str, to: str, out: str, quiet: bool, **given: Any) -> int:
    """Write what another program reads, from the photos and crops of CROPPED.

    \b
    detic-crop export cropped --to imagefolder --out for_training --label species

    Rejected crops are in none of them, and corrected boxes in all. docs/export.md shows each with its reader.
    """
    from detic_crop import api

    result = api.export(cropped, to, out, quiet=quiet, **given)
    messages.say_lines(result, quiet=quiet)
    return 0


@cli.command(short_help="Compare two results for the same photos.")
@click.argument("a", type=kinds.FILE, metavar="A")
@click.argument("b", type=kinds.FILE, metavar="B")
@option(
    "--out",
    "out",
    type=kinds.FOLDER,
    required=True,
    metavar="FOLDER",
    help="the folder to make; there may be nothing else yet",
)
@option(
    "--truth",
    type=kinds.FILE,
    metavar="BOXES",
    help="where the animals are: boxes, or a folder that somebody reviewed",
)
@option(
    "--in",
    "input",
    type=kinds.FILE,
    metavar="PHOTOS",
    help="where the photos are, for pictures and sizes: of boxes files, or if they have moved",
)
@option(
    "--animals",
    type=kinds.Choice(("largest", "all")),
    help="largest box of each photo, or every box  [default: all, if A, B and the truth have several]",
)
@option("--classes", metavar="NAMES", help="classes of boxes files that count  [default: any]")
@option(
    "--conf",
    type=float,
    metavar="N",
    help="lowest score of boxes files that counts  [default: the file's own]",
)
@option(
    "--box-format",
    type=kinds.Choice(("xyxy", "xywh")),
    help="of boxes files that do not say what their four numbers are",
)
@option(
    "--label",
    type=kinds.COLUMN,
    metavar="COLUMN",
    help="label column to group by; folder: the photo's folder  [default: species …]",
)
@option("--pictures", type=int, default=60, show_default=True, metavar="N", help="number of photos to show")
@settings(RunOptions, ("quiet",))
def compare(a: str, b: str, out: str, quiet: bool, **given: Any) -> int:
    """Compare two results for the same photos, A and B: one page, compare.html, and a table, compare.csv.

    Each is an output folder of `detic-crop run`, or boxes in any format that --model boxes: reads. With
    --truth it says how good each is: recall, overlap, false alarms, average precision.

    \b
    detic-crop compare cropped_lite cropped_detic --out compared
    detic-crop compare cropped megadetector.json --truth boxes.csv --out compared
    """
    from detic_crop import api

    result = api.compare(a, b, out, quiet=quiet, **given)
    messages.say_lines(result, quiet=quiet)
    return 0


@cli.command(short_help="Join what the shards of a run left.")
@click.argument("cropped", nargs=-1, type=kinds.FOLDER, required=True, metavar="CROPPED")
@option("--out", "output", hidden=True)  # of several folders, which are refused with what to do instead
@option("--partial", is_flag=True, help="preview: only write the tables of what the shards have finished")
@option("--quiet", is_flag=True, help="no summary")
def merge(cropped: tuple[str, ...], output: str | None, partial: bool, quiet: bool) -> int:
    """Join what the shards of a run left in CROPPED: one journal, audit.csv, audit.html and run.json.

    It checks that every photo was done once, and names what is missing. Shards that ran in folders of their
    own are copied into one first, e.g. with cp -a.

    \b
    detic-crop merge cropped
    cp -a cropped-0/. cropped/ && cp -a cropped-1/. cropped/ && detic-crop merge cropped
    """
    from detic_crop import api

    _set_log_level(quiet)
    result = api.merge(*cropped, output=output, partial=partial)
    messages.say_result(result, quiet=quiet)
    return _exit_code(result, strict=False)


@cli.command(short_help="Say how far the work is, who is at work, and what comes next.")
@_cropped
@option("--json", "as_json", is_flag=True, help="print all of it as JSON, for programs")
def status(cropped: str, as_json: bool) -> int:
    """Say how far the work on CROPPED is, who is at work, what failed, and which command comes next.

    It only reads, also while a run is at work, on this machine or another one, or in a store. Of shards it
    says how far each is, and names those that are missing.

    \b
    detic-crop status cropped
    """
    from detic_crop import api

    result = api.status(cropped)
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=2))
    else:
        messages.say_lines(result, quiet=False)
    return 0


@cli.command(short_help="Check that everything is as it was made.")
@_cropped
@_moved
@option("--photos/--no-photos", default=True, help="check the photos, too  [default: photos]")
@option("--report", type=kinds.FILE, metavar="FILE", help="write all problems to a CSV file")
@settings(RunOptions, ("workers", "memory", "quiet"))
def verify(cropped: str, report: str | None, **given: Any) -> int:
    """Check that CROPPED is as it was made: crops, photos, journal, tables, verdicts. Nothing is changed.

    With manifest.csv (`detic-crop audit --manifest`) every crop and photo must have the same SHA-256. In a
    copy without .detic-crop the manifest alone is enough. The exit code is 5 if something is wrong.

    \b
    detic-crop verify cropped
    detic-crop verify downloaded --in photos --report problems.csv
    """
    from detic_crop import api

    result = api.verify(cropped, report=report, **given)
    messages.say_lines(result, quiet=given["quiet"])
    return 0 if result.is_as_made else _NOT_AS_MADE


cli.add_command(weights)
cli.add_command(completion)


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


def _set_log_level(quiet: bool) -> None:
    if quiet:
        logging.getLogger("detic_crop").setLevel(logging.WARNING)


def _even_if_stopped(work: Callable[[], _R]) -> _R:
    """Return the result of `work`, also when a signal ended it early; `_exit_code` tells the two apart."""
    try:
        return work()
    except (Interrupted, Terminated) as ended:
        result: _R = ended.result
        return result


def _exit_code(result: RunResult, strict: bool) -> int:
    if result.stopped in _STOPPED:
        return _STOPPED[result.stopped]
    return 3 if strict and (result.counts["failed"] or result.unplaced) else 0


if __name__ == "__main__":
    sys.exit(main())
