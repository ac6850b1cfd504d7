"""The copy of the label file that an output folder keeps, and which photo each of its rows names."""

from __future__ import annotations

import json
from collections.abc import Sequence

from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.photos.labels import Labels, parse_labels


def save_labels(folder: OutputFolder, labels: Labels | None, matches: Sequence[str | None]) -> None:
    """Save a copy of the label file, or remove an earlier one when there is none now."""
    if labels is None:
        folder.remove(folder.layout.labels)
        folder.remove(folder.layout.label_matches)
        return
    folder.write(folder.layout.labels, labels.data)
    matching = {"key_column": labels.key_column, "keys": list(matches)}
    folder.write(folder.layout.label_matches, json.dumps(matching).encode())


def load_labels(folder: OutputFolder) -> tuple[Labels | None, list[str | None]]:
    """Return the saved label table and the photo of each row; (None, []) without one.

    Raises:
        UsageError: what was saved is damaged.
    """
    layout = folder.layout
    if not layout.labels.exists():
        return None, []
    try:
        matching = json.loads(layout.label_matches.read_bytes())
        labels = parse_labels(layout.labels.read_bytes(), matching["key_column"], layout.labels.name)
        matches: list[str | None] = matching["keys"]
        if len(matches) != len(labels.rows):
            raise ValueError(f"expected {len(labels.rows)} matches, got {len(matches)}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "labels_damaged",
            f"{layout.shown_of(layout.label_matches)} is damaged; give the `detic-crop run` command again",
        ) from error
    return labels, matches
