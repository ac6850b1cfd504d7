"""Where the photos of `detic-crop run` are and where their crops go: by options, or as the first words."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
from click.core import ParameterSource

from detic_crop.cli.mistakes import is_photo, name_with_blanks, slip, unexpected
from detic_crop.stores.addresses import is_address, redact
from detic_crop.wording import typed

OUT = "cropped"
"""The folder of the crops where none is named; it stands in the working folder."""


def photos_and_folder(
    ctx: click.Context, words: Sequence[str], input: str | None, output: str | None
) -> tuple[str, str]:
    """Return what to crop and where to; words come before environment variables.

    Args:
        ctx: of the command.
        words: PHOTOS and OUT, as far as they were typed without an option.
        input: value of ``--in``.
        output: value of ``--out``.

    Raises:
        click.UsageError: no photos are named, or one of the two is twice.
    """
    has_in, has_out = (
        ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ("input", "output")
    )
    if wrong := slip(ctx.command, words):
        raise click.UsageError(wrong, ctx)
    if has_in and words:
        raise click.UsageError(_beside_in(str(input), words, has_out), ctx)
    taken, further = words[: 1 if has_out else 2], words[1 if has_out else 2 :]
    if further or (len(taken) == 2 and all(map(os.path.isfile, taken))):
        if has_out and len(words) == 2 and not os.path.isfile(words[1]) and not name_with_blanks(words):
            raise click.UsageError(
                f"the folder of the crops is given twice, {words[1]} and --out {output}; leave one out", ctx
            )
        raise click.UsageError(_too_many(words, further or words[1:], ""), ctx)
    if len(taken) == 2 and not os.path.exists(taken[0]) and (whole := name_with_blanks(taken)):
        raise click.UsageError(f"a name with blanks must be quoted: {typed(whole)}", ctx)
    photos = taken[0] if taken else input
    if photos is None:
        raise click.UsageError("expected the photos, got none; e.g. `detic-crop run train_images`", ctx)
    return photos, taken[1] if len(taken) == 2 else OUT if output is None else output


def shown(place: str) -> str:
    """Return a path or address as it is printed: without a password."""
    return redact(place) if is_address(place) else place


def _beside_in(photos: str, words: Sequence[str], has_out: bool) -> str:
    """Return what is said of words that stand beside --in."""
    if name_with_blanks([photos, *words]) or any(map(is_photo, words)):
        return _too_many([photos, *words], words, "--in ")
    if len(words) == 1 and not has_out:
        return f"did you mean --out {typed(words[0])}?; {unexpected(words)}"
    return f"the photos are given twice, {words[0]} and --in {photos}; leave one out"


def _too_many(words: Sequence[str], extra: Sequence[str], option: str) -> str:
    """Return what is said of more words than photos and folder, with the likely cause."""
    if whole := name_with_blanks(words):
        return f"a name with blanks must be quoted: {option}{typed(whole)}; {unexpected(extra)}"
    if any(map(is_photo, words)):
        return f"a pattern must be quoted: {option}'photos/*.jpg'; {unexpected(extra)}"
    return f"expected PHOTOS and OUT, each quoted if it has blanks; {unexpected(extra)}"
