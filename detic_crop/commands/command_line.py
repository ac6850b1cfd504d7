"""The words of a run's command, for whoever has to give it again."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from detic_crop.config import CropConfig, RunOptions
from detic_crop.photos.location import FileOrObject

# What is said anew each time, or is the shard's own.
_NOT_REPEATED = {"overwrite", "discard_review", "dry_run", "quiet", "profile", "shard"}


def command_words(where: FileOrObject, config: CropConfig, options: RunOptions) -> list[str]:
    """The words of a run's command, but for --out and --shard: what is not at its default, paths in full."""
    words = ["--in", str(where.absolute().redact())]
    for settings in (config, options):
        for setting in dataclasses.fields(settings):
            value = getattr(settings, setting.name)
            plain = setting.default_factory is dataclasses.MISSING and value != setting.default
            if plain and setting.name not in {"algorithm", *_NOT_REPEATED}:
                name = "weights" if setting.name == "weights_file" else setting.name
                words += [f"--{name.replace('_', '-')}", *([] if value is True else [_in_full(value)])]
    return words


def _in_full(value: Any) -> str:
    text = str(value)
    if text.startswith("boxes:"):
        return f"boxes:{os.path.abspath(os.path.expanduser(text.removeprefix('boxes:')))}"
    return os.path.abspath(text) if isinstance(value, Path) or text.endswith(".npy") else text
