"""The commands to look and correct with: review, app, apply, audit, compare and verify."""

from __future__ import annotations

from typing import Any

import click

from detic_crop.cli import kinds, messages
from detic_crop.cli.options import option, settings
from detic_crop.cli.shared import (
    NOT_AS_MADE,
    command,
    cropped_argument,
    even_if_stopped,
    exit_code,
    host_option,
    moved_option,
    no_browser_option,
    port_option,
    reviewer_option,
    say_address,
)
from detic_crop.commands.in_words import verdicts_in_words
from detic_crop.config import RunOptions
from detic_crop.errors import one_line


@command(short_help="Judge the crops on a page in your browser, most suspicious first.")
@cropped_argument
@moved_option
@reviewer_option
@port_option
@host_option
@no_browser_option
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

    result = api.review(
        cropped, open_browser=not no_browser, ready=say_address("review"), blind=blind, **given
    )
    messages.say_lines(result, quiet=False)
    return 0


@command(short_help="Do it all on a page in your browser.")
@option(
    "--root",
    type=kinds.FOLDER,
    multiple=True,
    metavar="FOLDER",
    help="a folder below which folders may be chosen; may be repeated  [default: your home folder]",
)
@port_option
@host_option
@no_browser_option
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
@reviewer_option
def app(root: tuple[str, ...], no_browser: bool, **given: Any) -> None:
    """Do it all on a page in your browser: choose a folder, crop, review, apply, export; Ctrl-C ends.

    The same can be asked for by programs, as JSON: see docs/app.md. Jobs are kept when this is stopped or
    killed, and can be continued.

    \b
    detic-crop app
    detic-crop app --root /data/photos --no-browser
    """
    from detic_crop import api

    api.app(root=root or None, open_browser=not no_browser, ready=say_address("app"), **given)


@command(short_help="Make crops and tables follow what was judged.")
@cropped_argument
@moved_option
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

    result = even_if_stopped(lambda: api.apply(cropped, **given))
    if given["dry_run"]:
        messages.say_changes(result)
        return 0
    for key, problem in result.problems.items():
        messages.say(f"{key} keeps its crop: {one_line(problem)}", err=True)
    messages.say_result(result, quiet=given["quiet"], applied=verdicts_in_words(result))
    if strict and result.problems:
        return exit_code(result, strict=False) or 3
    return exit_code(result, strict=False) or (1 if result.unplaced else 0)


@command(short_help="Write the tables and audit.html again; draw a sample, say how many crops are right.")
@cropped_argument
@moved_option
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


@command(short_help="Compare two results for the same photos.")
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


@command(short_help="Check that everything is as it was made.")
@cropped_argument
@moved_option
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
    return 0 if result.is_as_made else NOT_AS_MADE
