"""`detic-crop weights`: list, pull, verify, find and remove the files of models."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from detic_crop.cli import messages
from detic_crop.cli.options import option
from detic_crop.detectors.catalogue import ModelEntry
from detic_crop.detectors.lite import package as lite_package
from detic_crop.errors import UsageError, WeightsError

_names = click.argument("names", nargs=-1, metavar="NAME…")


@click.group(short_help="Pull, check and find the files of the larger models.")
def weights() -> None:
    """Pull, check and find the files of the larger models.

    They are kept in one folder: DETIC_CROP_WEIGHTS_DIR if it is set, else weights/ of a source checkout, else
    the user's cache. Nothing is downloaded except by `pull`.
    """


@weights.command("list")
def list_weights() -> int:
    """List the models that can be pulled, how good they are, and which of them are installed."""
    from detic_crop.detectors.weights import catalogue, weights_dir

    folder = weights_dir()
    header = ("name", "installed", "size", "licence", "ms", "AP", "what")
    rows = [header, _lite_row(), *(_row(entry, folder) for entry in catalogue().values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        messages.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo(
        "\nms, AP: published time per photo on a Titan RTX and LVIS box AP; "
        "longest side 640, threshold 0.3, no masks"
    )
    messages.say(f"folder: {folder}")
    messages.say(f"lite: {_lite_place()}")
    return 0


@weights.command()
@_names
@option("--mirror", metavar="URL", help="get the same file names from below this address instead")
@option("--quiet", is_flag=True, help="no progress bar")
def pull(names: tuple[str, ...], mirror: str | None, quiet: bool) -> int:
    """Download models with their default vocabulary, or vocabularies alone.

    A broken download continues when the same command is run again.

    \b
    detic-crop weights pull detic-swinb
    detic-crop weights pull vocabularies
    """
    from detic_crop.detectors.weights import named, pull

    names = _at_least_one(names, "pull")
    if lite_package.NAME in names:
        messages.say(f"lite is not pulled, it came with this package: {lite_package.weights_path()}")
    names = tuple(name for name in names if name != lite_package.NAME)
    for name in names:
        named(name)  # refuse a mistyped name before the first download
    with _no_bar() if quiet else _bar() as progress:
        for name in names:
            for file in pull(name, mirror=mirror, progress=progress):
                state = "downloaded" if file.downloaded else "was there already"
                messages.say(f"{file.path} {state}, sha256 {file.sha256}")
    return 0


@weights.command()
@_names
def verify(names: tuple[str, ...]) -> int:
    """Check the files by their hashes; without a NAME, all that are installed.

    Exit code 1 if a file is damaged or has changed, or if one that was named is not there.
    """
    from detic_crop.detectors.weights import catalogue, named, verify, weights_dir

    folder = weights_dir()
    bad = False
    if names:
        wanted = [entry for name in names if name != lite_package.NAME for entry in named(name)]
    else:
        wanted = [entry for entry in catalogue().values() if (folder / entry.file).exists()]
    if lite_package.NAME in names:
        try:
            place = lite_package.weights_path()
            lite_package.read_weights(place)
        except WeightsError as error:
            bad = True
            messages.say_error(error.message)
        else:
            messages.say(f"{place} is as it was, sha256 {lite_package.WEIGHTS_SHA256}")
    for entry in wanted:
        try:
            found = verify(entry.name, folder=folder, with_vocabulary=bool(names))
        except WeightsError as error:
            bad = True
            messages.say_error(error.message)
        else:
            for file, sha256 in found.sha256.items():
                messages.say(f"{folder / file} is as it was, sha256 {sha256}")
    if not wanted and not names:
        messages.say(f"no weights in {folder}")
    return 1 if bad else 0


@weights.command()
@click.argument("name", required=False)
def path(name: str | None) -> int:
    """Print the folder of the weights, or the file of NAME.

    Exit code 1 if that file is not there.
    """
    from detic_crop.detectors.weights import missing_message, named, weights_dir

    folder = weights_dir()
    if name is None:
        messages.say(str(folder))
        return 0
    if name == lite_package.NAME:
        messages.say(str(lite_package.weights_path()))
        return 0
    missing = False
    for entry in named(name):
        if (folder / entry.file).exists():
            messages.say(str(folder / entry.file))
        else:
            messages.say_error(missing_message(entry.name, with_vocabulary=False))
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
    from detic_crop.detectors.weights import named, remove, weights_dir

    for name in _at_least_one(names, "rm"):
        if name == lite_package.NAME:
            raise UsageError(
                "lite_not_pulled",
                "lite came with this package and stays; it is a Python package of its own, removed by: "
                f"pip uninstall {lite_package.DISTRIBUTION}",
            )
        named(name)
    for name in names:
        removed = remove(name, forget_hash=forget)
        for file in removed:
            messages.say(f"{file} removed")
        if not removed:
            messages.say(f"{name} is not in {weights_dir()}")
    return 0


def _at_least_one(names: tuple[str, ...], command: str) -> tuple[str, ...]:
    if not names:
        from detic_crop.detectors.catalogue import VOCABULARIES, catalogue

        known = ", ".join([*catalogue(), VOCABULARIES])
        raise click.UsageError(f"which? e.g. detic-crop weights {command} detic-swinb; known: {known}")
    return names


def _lite_row() -> tuple[str, ...]:
    try:
        there = lite_package.weights_path().exists()
    except WeightsError:
        there = False
    about = "finds marine mammals of ImageNet's kinds; came with this package"
    size = _bytes(lite_package.WEIGHTS_BYTES)
    return (lite_package.NAME, "yes" if there else "no", size, lite_package.LICENCE, "", "", about)


def _lite_place() -> str:
    try:
        return f"{lite_package.weights_path()}, sha256 {lite_package.WEIGHTS_SHA256}"
    except WeightsError as error:
        return error.message


def _row(entry: ModelEntry, folder: Path) -> tuple[str, ...]:
    file = folder / entry.file
    size = file.stat().st_size if file.exists() else entry.size
    return (
        entry.name,
        _state(entry, folder),
        _bytes(size) if size is not None else f"~{_bytes(entry.about_bytes or 0)}",
        entry.licence,
        _number(entry.speed_ms),
        _number(entry.lvis_box_ap),
        entry.about,
    )


def _state(entry: ModelEntry, folder: Path) -> str:
    from detic_crop.detectors.weights import catalogue, unfinished_download

    if not (folder / entry.file).exists():
        begun = unfinished_download(entry, folder)
        if begun is None:
            return "no"
        there, total = begun
        return f"{there / total:.0%} pulled" if total else "begun"
    if entry.vocabulary and not (folder / catalogue()[entry.vocabulary].file).exists():
        return f"lacks {entry.vocabulary}"
    return "yes"


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
