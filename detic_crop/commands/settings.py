"""Keyword settings of a call, sorted into the two kinds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from detic_crop.config import CropConfig, RunOptions
from detic_crop.errors import UsageError

PathLike = str | os.PathLike[str]


def with_settings(
    config: CropConfig, options: RunOptions, settings: Mapping[str, Any]
) -> tuple[CropConfig, RunOptions]:
    for name, instead in (("weights", "pass weights_file=PATH"), ("algorithm", "leave it out")):
        if name in settings:
            raise UsageError(f"{name} is recorded by a run, not given to it; {instead}")
    ours = {f.name for f in dataclasses.fields(CropConfig)}
    theirs = {f.name for f in dataclasses.fields(RunOptions)}
    unknown = sorted(set(settings) - ours - theirs)
    if unknown:
        raise UsageError(
            f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(ours | theirs))}"
        )
    return (
        dataclasses.replace(config, **{k: v for k, v in settings.items() if k in ours}),
        dataclasses.replace(options, **{k: v for k, v in settings.items() if k in theirs}),
    )
