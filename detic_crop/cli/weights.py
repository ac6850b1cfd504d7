"""`detic-crop weights`: list, pull, verify, find and remove the files of models."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from detic_crop.cli import kinds, messages
from detic_crop.cli.groups import Commands
from detic_crop.cli.options import Command, option
from detic_crop.errors import WeightsError

if TYPE_CHECKING:
    from detic_crop.detectors.places import Row

_names = click.argument("names", nargs=-1, type=kinds.Text("", kinds.pulled), metavar="NAME…")


@click.group(cls=Commands, short_help="Pull, check and find the files of the larger models.")
def weights() -> None:
    """Pull, check and find the files of the larger models.

    They are kept in one folder: DETIC_CROP_WEIGHTS_DIR if it is set, else weights/ of a source checkout, else
    the user's cache. Nothing is downloaded except by `pull`.
    """


weights.command_class = Command


@weights.command("list")
def list_weights() -> int:
    """List the models that can be pulled, how good they are, and which of them are installed."""
    from detic_crop.detectors.places import places
    from detic_crop.detectors.weights import weights_dir

    header = ("name", "installed", "size", "licence", "ms", "AP", "what")
    rows = [header, *(_cells(row) for place in places() for row in place.rows())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        messages.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo(
        "\nms, AP: published time per photo on a Titan RTX and LVIS box AP; "
        "longest side 640, threshold 0.3, no masks"
    )
    click.echo("any detector of transformers on the hub: detic-crop weights pull hf:OWNER/NAME")
    messages.say(f"folder: {weights_dir()}")
    messages.say(f"lite: {_lite_place()}")
    return 0


@weights.command()
@_names
@option("--mirror", metavar="URL", help="get the same file names from below this address; of hf: another hub")
@option("--quiet", is_flag=True, help="no progress bar")
def pull(names: tuple[str, ...], mirror: str | None, quiet: bool) -> int:
    """Download models with their default vocabulary, or vocabularies alone.

    A broken download continues when the same command is run again.

    \b
    detic-crop weights pull detic-swinb
    detic-crop weights pull vocabularies
    detic-crop weights pull hf:PekingU/rtdetr_v2_r50vd
    """
    from detic_crop.detectors.places import place_of

    names = _at_least_one(names, "pull")
    wanted = [(place_of(name), part) for name in names for part in place_of(name).parts(name)]
    with _no_bar() if quiet else _bar() as progress:
        for place, part in wanted:
            for sentence in place.pull(part, mirror, progress):
                messages.say(sentence)
    return 0


@weights.command()
@_names
def verify(names: tuple[str, ...]) -> int:
    """Check the files by their hashes; without a NAME, all that are installed.

    Exit code 1 if a file is damaged or has changed, or if one that was named is not there.
    """
    from detic_crop.detectors.places import place_of, places
    from detic_crop.detectors.weights import weights_dir

    if names:
        wanted = [(place_of(name), part) for name in names for part in place_of(name).parts(name)]
    else:
        wanted = [(place, part) for place in places() for part in place.installed()]
    bad = False
    for place, part in wanted:
        try:
            sentences = place.verify(part, with_vocabulary=bool(names))
        except WeightsError as error:
            bad = True
            messages.say_error(error.message)
        else:
            for sentence in sentences:
                messages.say(sentence)
    if not wanted:
        messages.say(f"no weights in {weights_dir()}")
    return 1 if bad else 0


@weights.command()
@click.argument("name", type=kinds.Text("", kinds.pulled), required=False)
def path(name: str | None) -> int:
    """Print the folder of the weights, or the file of NAME.

    Exit code 1 if that file is not there.
    """
    from detic_crop.detectors.places import place_of
    from detic_crop.detectors.weights import weights_dir

    if name is None:
        messages.say(str(weights_dir()))
        return 0
    place = place_of(name)
    missing = False
    for part in place.parts(name):
        try:
            messages.say(str(place.path(part)))
        except WeightsError as error:
            messages.say_error(error.message)
            missing = True
    return 1 if missing else 0


@weights.command()
@_names
@option("--forget", is_flag=True, help="forget the recorded hash, too, and trust whatever is pulled next")
def rm(names: tuple[str, ...], forget: bool) -> int:
    """Remove the files of models or vocabularies, also of unfinished downloads.

    A model's vocabulary stays, since other models use it. The recorded hash stays, so that a later pull is
    compared with it.
    """
    from detic_crop.detectors.places import place_of
    from detic_crop.detectors.weights import weights_dir

    for name in _at_least_one(names, "rm"):
        place_of(name).check_removable(name)
    for name in names:
        place = place_of(name)
        removed = [file for part in place.parts(name) for file in place.remove(part, forget)]
        for file in removed:
            messages.say(f"{file} removed")
        if not removed:
            messages.say(f"{name} is not in {weights_dir()}")
    return 0


def _at_least_one(names: tuple[str, ...], command: str) -> tuple[str, ...]:
    if not names:
        from detic_crop.detectors.places import known_names

        known = ", ".join(known_names())
        raise click.UsageError(f"which? e.g. detic-crop weights {command} detic-swinb; known: {known}")
    return names


def _lite_place() -> str:
    from detic_crop.detectors.lite import package

    try:
        return f"{package.weights_path()}, sha256 {package.WEIGHTS_SHA256}"
    except WeightsError as error:
        return error.message


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.installed,
        f"{'~' * row.is_estimate}{_bytes(row.bytes)}",
        row.licence,
        _number(row.speed_ms),
        _number(row.box_ap),
        row.about,
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if value == int(value) and value > 40 else f"{value}"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a function that shows a tqdm bar for each file, on stderr."""
    from tqdm.auto import tqdm

    bar: Any = None
    current = ""

    def progress(file: str, there: int, total: int | None) -> None:
        nonlocal bar, current
        if file != current:
            if bar is not None:
                bar.close()
            # What an earlier pull brought does not count as speed.
            bar = tqdm(
                total=total,
                initial=there,
                desc=file,
                unit="B",
                unit_scale=True,
                file=sys.stderr,
                dynamic_ncols=True,
            )
            current = file
        bar.total = total
        bar.update(there - bar.n)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()


@contextlib.contextmanager
def _no_bar() -> Iterator[Callable[[str, int, int | None], None]]:
    yield lambda file, there, total: None
