"""The command line: options → config → one call of the api → exit code."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import detic_crop
from detic_crop.cli.options import option as _option
from detic_crop.cli.weights import weights
from detic_crop.config import (
    BOX_FORMATS,
    DECODES,
    EXECUTORS,
    FITS,
    FORMATS,
    MODELS,
    OUT_FORMATS,
    PRECISIONS,
    TRUNCATED,
    CropConfig,
    RunOptions,
    parse_duration,
)
from detic_crop.errors import DeticCropError, Interrupted, Terminated, one_line
from detic_crop.photos.keys import printable
from detic_crop.system.console import forgiving_streams
from detic_crop.system.leaving import INTERRUPTED, leave, own_process
from detic_crop.wording import counted, either

if TYPE_CHECKING:
    from detic_crop.commands.result import ApplyResult, RunResult

_CONFIG, _OPTIONS = CropConfig(), RunOptions()
_INTERRUPTED = {"SIGINT": 130, "SIGTERM": 143, "SIGBREAK": 143}
_CHANGES = {
    "accepted": "accepted",
    "box": "another box",
    "whole": "whole photo",
    "rejected": "rejected",
    "": "taken back",
}
_PHOTOS = "folder, photo, 'pattern', .txt/.csv list, tar files, or s3://, gs://, https:// of these"
_F = TypeVar("_F", bound=Callable[..., Any])
_R = TypeVar("_R")


def _options(*decorators: Callable[[Any], Any]) -> Callable[[_F], _F]:
    def apply(function: _F) -> _F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def _policy_options(default: CropConfig | None) -> Callable[[_F], _F]:
    """What a crop is like; without defaults (recrop) an option that is not given stays as it was."""

    def given(name: str) -> dict[str, Any]:
        return {"default": getattr(default, name), "show_default": True} if default else {"default": None}

    marine = "  [default: marine; of boxes:FILE any]" if default else ""
    return _options(
        _option("--classes", metavar="NAMES", help="marine, any, or names joined by commas" + marine),
        _option("--conf", type=float, help="lowest score of an eligible box; each model has its own default"),
        _option("--scale", type=float, help="enlarge the chosen box about its centre", **given("scale")),
        _option("--size", type=int, help="side of the square crops, pixels", **given("size")),
        _option(
            "--fit", type=click.Choice(FITS), help="stretch, letterbox, or grow to a square", **given("fit")
        ),
        _option("--format", type=click.Choice(FORMATS), help="file format of the crops", **given("format")),
        _option("--quality", type=int, help="1-100, of jpg and webp", **given("quality")),
        _option(
            "--out-format",
            type=click.Choice(OUT_FORMATS),
            help="a file for each crop, or tar files as WebDataset reads them",
            **given("out_format"),
        ),
        _option(
            "--decode",
            type=click.Choice(DECODES),
            help="all pixels, or no finer than needed (faster)",
            **given("decode"),
        ),
    )


_work_options = _options(
    _option(
        "--workers",
        type=int,
        help="threads that work on photos, in each process  [default: fits the machine]",
    ),
    _option("--limit", type=int, help="look at the first so many photos only"),
    _option("--time-limit", metavar="8h30m", help="begin no photo after this time; the same command goes on"),
    _option(
        "--max-pixels", type=int, default=_OPTIONS.max_pixels, show_default=True, help="fail larger photos"
    ),
    _option(
        "--per-tar",
        type=int,
        default=_OPTIONS.per_tar,
        show_default=True,
        help="crops in a tar file, at most",
    ),
    _option("--overwrite", is_flag=True, help="remove what an earlier run made there, then start anew"),
    _option("--discard-review", is_flag=True, help="allow --overwrite to remove a reviewer's verdicts"),
    _option("--strict", is_flag=True, help="exit 3 when a photo failed"),
    _option("--quiet", is_flag=True, help="no progress bar and no summary"),
    _option("--profile", is_flag=True, help="say at the end where the time went"),
)


# Options that people repeat to name several things, of which click would take the last and drop the others.
_ONCE = {
    "--in": "pass the folder above them, a quoted pattern or a list; run takes a further one with --add",
    "--classes": "join the names by commas",
    "--device": "join the devices by commas",
}


class _Command(click.Command):
    """A command that does not take the last of several inputs and forget the others."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        *_, given = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, count in Counter(given).items():
            option = parameter.opts[0]
            if count > 1 and option in _ONCE:
                raise click.UsageError(f"expected {option} once, got it {count} times; {_ONCE[option]}")
        return super().parse_args(ctx, args)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(detic_crop.__version__, prog_name="detic-crop")
def cli() -> None:
    """Find the dolphin or whale in every photo, crop it, and say which crops to doubt.

    Every option can also be set as an environment variable: DETIC_CROP_MODEL for --model, and so on.

    Exit codes: 0 done; 1 could not go on; 2 wrong usage; 3 with --strict, a photo failed; 130 or 143
    interrupted: the same command goes on.
    """


cli.command_class = _Command


@cli.command()
@_option(
    "--in",
    "input",
    required=True,
    metavar="PHOTOS",
    help="folder, photo, 'pattern', .txt/.csv list, tar files or address",
)
@_option(
    "--out",
    "output",
    required=True,
    metavar="FOLDER",
    help="for crops, audit.csv and audit.html: a folder, or an address: s3://bucket/cropped",
)
@_option("--model", default=_CONFIG.model, show_default=True, metavar="NAME", help=MODELS)
@_policy_options(_CONFIG)
@_option(
    "--box-format",
    type=click.Choice(BOX_FORMATS),
    help="of boxes:FILE: corners, or left, top, width, height  [default: as the file says]",
)
@_option(
    "--device",
    default=_OPTIONS.device,
    show_default=True,
    metavar="NAME",
    help="auto (all GPUs), cpu, cuda, cuda:N, mps, or several: cuda:0,cuda:1",
)
@_option(
    "--truncated",
    type=click.Choice(TRUNCATED),
    default=_CONFIG.truncated,
    show_default=True,
    help="crop a cut-off or damaged photo as far as it goes, or fail it",
)
@_option("--vocabulary", metavar="NAME", help="Detic: openimages, lvis, objects365, coco, FILE.npy, or words")
@_option(
    "--names", type=click.Path(path_type=Path), metavar="TXT", help="class names of --vocabulary FILE.npy"
)
@_option(
    "--weights", "weights_file", type=click.Path(path_type=Path), metavar="FILE", help="a Detic checkpoint"
)
@_option(
    "--precision", type=click.Choice(PRECISIONS), default=_CONFIG.precision, show_default=True, help="Detic"
)
@_option("--detector-size", type=int, help="shortest side at which Detic sees a photo  [default: 800]")
@_option(
    "--labels", type=click.Path(path_type=Path), metavar="CSV", help="audit.csv follows this table row by row"
)
@_option(
    "--labels-key", default=_OPTIONS.labels_key, show_default=True, metavar="COLUMN", help="its photo column"
)
@_option("--batch-size", type=int, help="photos at a time for Detic on a GPU  [default: fits the device]")
@_option(
    "--executor",
    type=click.Choice(EXECUTORS),
    default=_OPTIONS.executor,
    show_default=True,
    help="this machine, or the nodes of a Ray cluster",
)
@_option(
    "--ray-address",
    metavar="HOST:PORT",
    help="of the Ray cluster; auto finds a running one  [default: RAY_ADDRESS, else one on this machine]",
)
@_option("--shard", metavar="k/N", help="only part k of N of the photos, from 0; auto: as the array job says")
@_option("--add", is_flag=True, help="add the photos of another --in to those that --out has")
@_option("--dry-run", is_flag=True, help="check everything, say what would be done, write nothing")
@_work_options
def run(input: str, output: str, strict: bool, time_limit: str | None, **settings: Any) -> int:
    """Crop every photo of --in into --out. The same command again resumes.

    Several machines share the work with --shard 0/16 … 15/16 and one --out; then `detic-crop merge` joins it.

    \b
    detic-crop run --in train_images --out cropped
    """
    from detic_crop import api

    _hush(settings["quiet"])
    result = _even_if_stopped(lambda: api.run(input, output, time_limit=_seconds(time_limit), **settings))
    if settings["dry_run"]:
        _say_dry_run(result)
        return 0
    return _finish(result, strict, settings["quiet"])


@cli.command()
@click.argument("cropped")
@_option("--out", "output", required=True, metavar="FOLDER", help="where the new data set goes")
@_option("--in", "input", metavar="PHOTOS", help="where the photos are now, if they have moved")
@_policy_options(None)
@_work_options
def recrop(
    cropped: str, output: str, input: str | None, strict: bool, time_limit: str | None, **settings: Any
) -> int:
    """Make another data set from the boxes that CROPPED kept, without a detector.

    What is not given stays as it was.

    \b
    detic-crop recrop cropped --out cropped768 --scale 1.4 --size 768
    """
    from detic_crop import api

    _hush(settings["quiet"])
    result = _even_if_stopped(
        lambda: api.recrop(cropped, output, input=input, time_limit=_seconds(time_limit), **settings)
    )
    if not settings["quiet"]:
        changes = ", ".join(f"{n} {old} → {new}" for (old, new), n in sorted(result.transitions.items()))
        click.echo(
            f"{counted(result.transitions.total(), 'photo')} changed status{': ' if changes else ''}{changes}"
        )
    return _finish(result, strict, settings["quiet"])


@cli.command()
@click.argument("cropped")
@_option("--in", "input", metavar="PHOTOS", help="where the photos are now, if they have moved")
@_option("--sample", type=int, metavar="N", help="draw N photos at random for review, e.g. 200")
@_option("--seed", type=int, metavar="N", help="of --sample  [default: the earlier sample's, else 0]")
@_option("--xlsx", is_flag=True, help="write audit.xlsx, too")
def audit(cropped: str, input: str | None, sample: int | None, seed: int | None, xlsx: bool) -> int:
    """Rebuild audit.csv and audit.html of CROPPED from its journal.

    --sample draws a stratified random sample. Once its photos have been reviewed, this command estimates
    from it how many crops are right and how many animals were missed. A larger sample adds to the earlier
    one.

    \b
    detic-crop audit cropped --sample 200
    detic-crop audit cropped --xlsx
    """
    from detic_crop import api

    result = api.write_audit(cropped, input=input, sample=sample, seed=seed, xlsx=xlsx)
    for note in result.notes:
        click.echo(printable(note))
    _say_counts(result)
    if xlsx:
        click.echo(
            printable(f"spreadsheet: {result.folder.layout.shown_of(result.folder.layout.audit_xlsx)}")
        )
    return 0


@cli.command()
@click.argument("cropped")
@_option("--in", "input", metavar="PHOTOS", help="where the photos are now, if they have moved")
@_option("--reviewer", metavar="NAME", help="noted with each verdict  [default: your login name]")
@_option("--port", type=click.IntRange(0, 65535), help="0 takes any free one  [default: 8377, if free]")
@_option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="address to listen on")
@_option("--no-browser", is_flag=True, help="only print the page's address")
def review(cropped: str, no_browser: bool, **settings: Any) -> int:
    """Judge the crops of CROPPED on a local page, most suspicious first; Ctrl-C ends.

    Every verdict is on disk before the page moves on; `detic-crop apply` makes the crops follow.
    """
    from detic_crop import api

    def ready(address: str) -> None:
        click.echo(f"review at {address} (Ctrl-C ends)")
        sys.stdout.flush()  # somebody may wait for it at the end of a pipe

    given = api.review(cropped, open_browser=not no_browser, ready=ready, **settings)
    follow = f"; now give: detic-crop apply {cropped}" if given else ""
    click.echo(printable(f"{counted(given, 'verdict')} given{follow}"))
    return 0


@cli.command()
@click.argument("cropped")
@_option("--in", "input", metavar="PHOTOS", help="where the photos are now, if they have moved")
@_option("--dry-run", is_flag=True, help="only list what would change")
@_option("--workers", type=int, help="threads that work on photos  [default: fits the machine]")
@_option("--strict", is_flag=True, help="exit 3 when a verdict could not be applied")
@_option("--quiet", is_flag=True, help="no progress bar and no summary")
def apply(cropped: str, strict: bool, **settings: Any) -> int:
    """Make the crops and tables of CROPPED follow the verdicts of `detic-crop review`, without a detector."""
    from detic_crop import api

    result = _even_if_stopped(lambda: api.apply(cropped, **settings))
    if settings["dry_run"]:
        for note in result.notes:
            click.echo(printable(note))
        _say_changes(result)
        return 0
    for key, problem in result.problems.items():
        click.echo(printable(f"{key} keeps its crop: {one_line(problem)}"), err=True)
    code = _finish(result, strict=False, quiet=settings["quiet"], did=_did(result))
    return code or (3 if strict and result.problems else 0)


@cli.command()
@click.argument("cropped", nargs=-1, required=True, metavar="CROPPED")
@_option("--out", "output", hidden=True)  # of several folders, which are refused with what to do instead
@_option("--partial", is_flag=True, help="preview: only write the tables of what the shards have finished")
@_option("--quiet", is_flag=True, help="no summary")
def merge(cropped: tuple[str, ...], output: str | None, partial: bool, quiet: bool) -> int:
    """Join what the shards of a run left in CROPPED: one journal, audit.csv, audit.html and run.json.

    It checks that every photo was done once, and names what is missing. Shards that ran in folders of their
    own are copied into one first, e.g. with cp -a.

    \b
    detic-crop merge cropped
    cp -a cropped-0/. cropped/ && cp -a cropped-1/. cropped/ && detic-crop merge cropped
    """
    from detic_crop import api

    _hush(quiet)
    return _finish(api.merge(*cropped, output=output, partial=partial), strict=False, quiet=quiet)


cli.add_command(weights)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: of the work, whether or not it could be told."""
    with forgiving_streams():
        if arguments is not None:
            return _main(arguments)
        with own_process():
            try:
                code = _main(arguments)
            except KeyboardInterrupt:  # once more, while the first one was answered
                code = 130
            return leave(code)


def _main(arguments: Sequence[str] | None) -> int:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("detic_crop")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        return int(cli.main(arguments, prog_name="detic-crop", standalone_mode=False) or 0)
    except DeticCropError as error:
        return _complain(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _complain(_explain(error), 2)
    except (KeyboardInterrupt, click.Abort):
        return _complain(INTERRUPTED, 130)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _complain(message: str, code: int) -> int:
    click.echo(printable(f"detic-crop: {one_line(message)}"), err=True)
    return code


def _explain(error: click.ClickException) -> str:
    message = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    if "unexpected extra argument" in message:
        extra = message.partition("(")[2].rstrip(")").split(" ")
        more = " …" if len(extra) > 1 else ""
        message = f"got unexpected {either(len(extra), 'argument', 'arguments')} {extra[0][:100]}{more}"
        if context is not None and context.info_name == "run":
            message = f"a pattern must be quoted: --in 'photos/*.jpg'; {message}"
    if context is not None:
        message += f"{'' if message.endswith(('.', '…')) else '.'} See {context.command_path} --help"
    return message


def _hush(quiet: bool) -> None:
    if quiet:
        logging.getLogger("detic_crop").setLevel(logging.WARNING)


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else parse_duration(duration)


def _even_if_stopped(work: Callable[[], _R]) -> _R:
    """The result, also of work that a signal ended in good order; `_finish` turns that into an exit code."""
    try:
        return work()
    except (Interrupted, Terminated) as ended:
        result: _R = ended.result
        return result


def _finish(result: RunResult, strict: bool, quiet: bool, did: str = "") -> int:
    if not quiet:
        for note in [*result.notes, *filter(None, [did])]:
            click.echo(printable(note))
        _say_counts(result)
    if result.profile:
        click.echo(result.profile)
    if result.stopped:
        why = "the time limit was reached" if result.stopped == "time_limit" else "interrupted"
        click.echo(f"{why}: {counted(result.remaining, 'photo')} to do; the same command goes on", err=True)
    if result.stopped in _INTERRUPTED:
        return _INTERRUPTED[result.stopped]
    return 3 if strict and result.counts["failed"] else 0


def _say_counts(result: RunResult) -> None:
    counts = result.counts
    not_found = counts["resized"] - result.reviewed_whole - result.not_listed
    parts = [f"{counts['cropped']} cropped"]
    if not_found or not result.not_listed:
        parts.append(f"{not_found} resized (nothing found)")
    if result.not_listed:
        parts.append(f"{result.not_listed} resized (not in {_boxes_file(result)}: nobody looked)")
    if result.reviewed_whole:
        parts.append(f"{result.reviewed_whole} whole by review")
    if counts["rejected"]:
        parts.append(f"{counts['rejected']} rejected")
    reasons = ", ".join(f"{reason} {n}" for reason, n in result.failures.most_common(5))
    parts.append(f"{counts['failed']} failed" + (f" ({reasons})" if reasons else ""))
    shard = result.folder.shard
    if shard is None:
        parts.append(f"{counted(result.flagged, 'crop')} flagged")
    speed = f"; {result.photos_per_second:.1f} photos/s" if result.done else ""
    before = f" ({result.skipped} done before)" if result.skipped else ""
    of = "" if shard is None else f"shard {shard}: "
    click.echo(f"{of}{counted(counts.total(), 'photo')}{before}: {', '.join(parts)}{speed}")
    if shard is not None:
        merge = f"detic-crop merge {result.folder.layout.quoted}"
        done = "it is done" if shard.count == 1 else f"all {shard.count:,} shards are done"
        click.echo(printable(f"no tables yet; once {done}, give: {merge}"))
        return
    folder = result.folder
    page, table = (
        folder.layout.shown_of(folder.layout.audit_html),
        folder.layout.shown_of(folder.layout.audit_csv),
    )
    click.echo(printable(f"look at {page}, most suspicious first; all rows: {table}"))
    if result.estimate is not None:
        for sentence in result.estimate.sentences:
            click.echo(printable(sentence))


def _boxes_file(result: RunResult) -> str:
    return result.config.model.removeprefix("boxes:")


def _did(result: ApplyResult) -> str:
    """What became of the verdicts, in one line."""
    kinds = Counter(_CHANGES[change.after.verdict] for change in result.changes)
    for key in result.problems:
        kinds[_CHANGES[next(c.after.verdict for c in result.changes if c.image == key)]] -= 1
    parts = [f"{kinds[words]} {words}" for words in _CHANGES.values() if kinds[words]]
    if result.problems:
        parts.append(f"{len(result.problems)} not possible")
    return f"verdicts applied: {', '.join(parts)}" if parts else "no verdict to apply"


def _say_changes(result: ApplyResult) -> None:
    for change in result.changes:
        box = "" if change.after.box is None else f" {' '.join(f'{edge:g}' for edge in change.after.box)}"
        how = "" if change.pixels else " (no new crop)"
        click.echo(printable(f"{change.image}: {_CHANGES[change.after.verdict]}{box}{how}"))
    click.echo(f"dry run, nothing written: {counted(len(result.changes), 'verdict')} to apply")


def _say_dry_run(result: RunResult) -> None:
    config = result.config
    for note in result.notes:
        click.echo(printable(note))
    to_do = counted(result.remaining, "photo")
    click.echo(
        f"dry run, nothing written: {to_do} to do, {result.skipped:,} done before; "
        f"model {config.model} ({result.model_reason}), classes {config.classes}, conf {config.conf}"
    )


if __name__ == "__main__":
    sys.exit(main())
