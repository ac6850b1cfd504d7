"""The headings under which the help of commands, docs/options.md and the app list many options."""

from __future__ import annotations

GROUPS: dict[str, tuple[str, ...]] = {
    "Photos and folders": (
        "input",
        "output",
        "labels",
        "labels_key",
        "no_labels",
        "csv_safe",
        "encounter",
        "limit",
        "add",
        "overwrite",
        "discard_review",
        "dry_run",
    ),
    "Finding the animal": ("model", "classes", "conf", "tiles", "box_format"),
    "The crops": (
        "animals",
        "max_animals",
        "min_side",
        "not_found",
        "scale",
        "size",
        "fit",
        "format",
        "quality",
        "max_bytes",
        "out_format",
        "per_tar",
        "exif",
        "metadata",
        "gps",
        "decode",
        "truncated",
        "max_pixels",
    ),
    "The export": ("to", "out", "of", "boxes", "pictures", "part", "test", "files"),
    "Label columns": ("label", "individual", "species"),
    "A Kaggle data set": ("title", "user", "licence"),
    "Detic and other models": (
        "vocabulary",
        "names",
        "weights_file",
        "precision",
        "detector_size",
        "batch_size",
    ),
    "ONNX": ("onnx_input",),
    "Machines and time": (
        "device",
        "workers",
        "memory",
        "time_limit",
        "photo_timeout",
        "shard",
        "executor",
        "ray_address",
        "strict",
        "quiet",
        "profile",
    ),
}
"""Heading → the options below it, by the names that they have in Python."""


def heading_of(name: str) -> str:
    """Return the heading of an option; empty if it is below none."""
    return next((heading for heading, names in GROUPS.items() if name in names), "")
