"""The commands to use the crops with: export, split and teach."""

from __future__ import annotations

from typing import Any

from detic_crop.cli import kinds, messages
from detic_crop.cli.options import option, settings
from detic_crop.cli.places import shown
from detic_crop.cli.shared import (
    DOES_NOT_HELP,
    command,
    cropped_argument,
    moved_option,
)
from detic_crop.config import RunOptions
from detic_crop.exports.base import BOXES, OF, PART, PICTURES
from detic_crop.exports.formats import FORMATS


def _formats() -> str:
    """Return the list of exports as click prints it unchanged."""
    lines = [f"  {name:15} {found.about}" for name, found in FORMATS.items()]
    return "\b\nFormats:\n" + "\n".join(lines)


@command(
    epilog=_formats(),
    short_help="Write what another program reads: class folders, COCO, YOLO, Kaggle and others.",
)
@cropped_argument
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
@moved_option
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


@command(short_help="Divide the photos into folds.")
@cropped_argument
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
@moved_option
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


@command(short_help="Teach the model lite what was judged.")
@cropped_argument
@option(
    "--out",
    "out",
    type=kinds.FILE,
    required=True,
    metavar="FILE",
    help="where the taught weights go, e.g. mine.safetensors",
)
@moved_option
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
    return 0 if result.written else DOES_NOT_HELP
