"""Output folders among photos: what is in them are crops, not photos."""

from __future__ import annotations

import os

from detic_crop.photos.keys import STATE, printable

_MARKS = ("journal.jsonl", "shards")


def is_output(folder: str) -> bool:
    """Return whether a local folder is the output of an earlier run."""
    state = os.path.join(folder, STATE)
    return any(os.path.exists(os.path.join(state, name)) for name in _MARKS)


def was_ignored(folder: str) -> str:
    """Return the note on an output folder that lies inside the input."""
    return f"folder {printable(folder)} holds crops of an earlier run and was ignored"


def is_taken(folder: str) -> str:
    """Return the warning that an output folder is the input itself."""
    return (
        f"--in {printable(folder)} holds the crops of an earlier run, which are cropped again; pass the "
        "folder of the photos if you mean those"
    )
