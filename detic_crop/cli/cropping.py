"""The commands that crop: run, status, recrop and merge."""

from __future__ import annotations

import json
from typing import Any

import click

from detic_crop.cli import kinds, messages
from detic_crop.cli.options import option, settings
from detic_crop.cli.places import OUT, photos_and_folder, shown
from detic_crop.cli.shared import (
    command,
    cropped_argument,
    even_if_stopped,
    exit_code,
    moved_option,
    set_log_level,
    strict_option,
)
from detic_crop.commands.settings import with_settings
from detic_crop.commands.signature import RECROP
from detic_crop.config import CropConfig, RunOptions


@command(short_help="Crop every photo into a folder, or continue.")
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
@strict_option
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
    set_log_level(settings["quiet"])
    photos, crops = shown(input), shown(output)
    messages.say_first(
        f"looking at {photos} for {crops}; nothing is written"
        if settings["dry_run"]
        else f"cropping {photos} into {crops}",
        quiet=settings["quiet"],
    )
    from detic_crop import api

    result = even_if_stopped(lambda: api.run(input, output, **settings))
    if settings["dry_run"]:
        messages.say_dry_run(result)
        return 0
    messages.say_result(result, quiet=settings["quiet"])
    return exit_code(result, strict)


@command(short_help="Say how far the work is, who is at work, and what comes next.")
@cropped_argument
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


@command(short_help="Make another data set from the boxes that were kept, without a detector.")
@cropped_argument
@option(
    "--out", "output", type=kinds.FOLDER, required=True, metavar="FOLDER", help="where the new data set goes"
)
@moved_option
@settings(CropConfig, RECROP[CropConfig], changes=True)
@settings(RunOptions, RECROP[RunOptions])
@strict_option
def recrop(cropped: str, output: str, strict: bool, **settings: Any) -> int:
    """Make another data set from the boxes that CROPPED kept, without a detector.

    Settings that are not given stay as they were.

    \b
    detic-crop recrop cropped --out cropped768 --scale 1.4 --size 768
    """
    from detic_crop import api

    set_log_level(settings["quiet"])
    result = even_if_stopped(lambda: api.recrop(cropped, output, **settings))
    if not settings["quiet"]:
        messages.say_transitions(result)
    messages.say_result(result, quiet=settings["quiet"])
    return exit_code(result, strict)


@command(short_help="Join what the shards of a run left.")
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

    set_log_level(quiet)
    result = api.merge(*cropped, output=output, partial=partial)
    messages.say_result(result, quiet=quiet)
    return exit_code(result, strict=False)
