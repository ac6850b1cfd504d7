"""The words of a run's command, for whoever has to run it again."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from detic_crop.config import CropConfig, RunOptions
from detic_crop.detectors.families import absolute_name
from detic_crop.photos.location import FileOrObject

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


def _absolute_value(value: Any) -> str:
    text = str(value)
    return os.path.abspath(text) if isinstance(value, Path) or text.endswith(".npy") else text
