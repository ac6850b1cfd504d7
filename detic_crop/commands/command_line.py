"""The words of a run's command, for whoever has to run it again."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detic_crop.config import CropConfig, RunOptions
from detic_crop.detectors.families import absolute_name
from detic_crop.folder.shard import Shard
from detic_crop.photos.location import FileOrObject, locate

# Options that each call decides for itself.
_NOT_REPEATED = {"overwrite", "discard_review", "dry_run", "quiet", "profile", "shard"}


def command_words(where: FileOrObject, config: CropConfig, options: RunOptions) -> list[str]:
    """Return the words of a run's command that differ from the defaults; paths are absolute.

    ``--out``, ``--shard`` and what each call decides for itself are left out.

    Args:
        where: the input.
        config: settings as asked for.
        options: how the work is done.
    """
    words = ["--in", str(where.absolute().redact())]
    for settings in (config, options):
        for setting in dataclasses.fields(settings):
            value = getattr(settings, setting.name)
            plain = setting.default_factory is dataclasses.MISSING and value != setting.default
            if plain and setting.name not in {"algorithm", *_NOT_REPEATED}:
                name = "weights" if setting.name == "weights_file" else setting.name
                written = absolute_name(value) if name == "model" else _absolute_value(value)
                words += [f"--{name.replace('_', '-')}", *([] if value is True else [written])]
    return words


def whole_command(words: Sequence[str], shard: Shard | None) -> list[str]:
    """Return the words of a run's command after `detic-crop`, up to the name of the folder.

    Args:
        words: those of `command_words`; without any, nothing is returned.
        shard: the shard that it does.
    """
    shards = [] if shard is None else ["--shard", str(shard)]
    return ["run", *words, *shards, "--out"] if words else []


def recrop_words(
    source: str | os.PathLike[str], input: str | os.PathLike[str] | None, settings: Mapping[str, Any]
) -> list[str]:
    """Return the words of a recrop's command after `detic-crop`, up to the name of the folder.

    Args:
        source: the folder that the boxes are taken from.
        input: where the photos are now, if they have moved.
        settings: those that were given; None of those that were not.
    """
    words = ["recrop", os.path.abspath(source), *moved_words(input)]
    for name, value in settings.items():
        if name in _NOT_REPEATED or value is None:
            continue
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [f"--{'' if value else 'no-'}{option.removeprefix('--')}"]
        else:
            words += [option, _absolute_value(value)]
    return [*words, "--out"]


def moved_words(input: str | os.PathLike[str] | None) -> list[str]:
    """Return the words that say where the photos are now, if they have moved."""
    return [] if input is None else ["--in", str(locate(input).absolute().redact())]


def _absolute_value(value: Any) -> str:
    text = str(value)
    return os.path.abspath(text) if isinstance(value, Path) or text.endswith(".npy") else text
