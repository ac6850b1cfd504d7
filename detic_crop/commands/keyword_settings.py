"""The settings as a type checker sees them; made from `config` by `python docs/make_options.py`."""

from __future__ import annotations

import os
from typing import Literal, TypedDict


class RunSettings(TypedDict, total=False):
    """Keyword arguments of `run`."""

    model: str
    classes: str | None
    vocabulary: str | None
    conf: float | None
    tiles: Literal["none", "auto"]
    animals: Literal["largest", "all"]
    max_animals: int | None
    min_side: int | None
    not_found: Literal["whole", "skip"]
    scale: float
    size: int | str
    fit: Literal["stretch", "pad", "square"]
    format: Literal["jpg", "png", "webp"]
    quality: int
    truncated: Literal["keep", "fail"]
    decode: Literal["full", "scaled"]
    precision: Literal["float32", "bfloat16", "float16"]
    detector_size: int | None
    out_format: Literal["files", "tar"]
    box_format: Literal["xyxy", "xywh"] | None
    onnx_input: str | None
    exif: Literal["strip", "keep"]
    metadata: bool
    gps: bool
    max_bytes: int | str | None
    device: str
    workers: int | None
    memory: int | str | None
    executor: Literal["local", "ray"]
    ray_address: str | None
    batch_size: int | None
    weights_file: str | os.PathLike[str] | None
    names: str | os.PathLike[str] | None
    per_tar: int
    labels: str | os.PathLike[str] | None
    labels_key: str
    no_labels: bool
    max_pixels: int
    photo_timeout: float | str
    shard: str | None
    add: bool
    limit: int | None
    time_limit: float | str | None
    overwrite: bool
    discard_review: bool
    dry_run: bool
    csv_safe: bool
    encounter: str | None
    quiet: bool
    profile: bool


class RecropSettings(TypedDict, total=False):
    """Keyword arguments of `recrop`; None: as it was."""

    classes: str | None
    conf: float | None
    animals: Literal["largest", "all"] | None
    max_animals: int | None
    min_side: int | None
    not_found: Literal["whole", "skip"] | None
    scale: float | None
    size: int | str | None
    fit: Literal["stretch", "pad", "square"] | None
    format: Literal["jpg", "png", "webp"] | None
    quality: int | None
    decode: Literal["full", "scaled"] | None
    out_format: Literal["files", "tar"] | None
    exif: Literal["strip", "keep"] | None
    metadata: bool | None
    gps: bool | None
    max_bytes: int | str | None
    workers: int | None
    memory: int | str | None
    limit: int | None
    time_limit: float | str | None
    photo_timeout: float | str
    max_pixels: int
    per_tar: int
    csv_safe: bool
    encounter: str | None
    overwrite: bool
    discard_review: bool
    quiet: bool
    profile: bool
