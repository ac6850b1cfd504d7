"""The documents of `.detic-crop` beside the journal: their types, and how they are read and written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.typed_json import decode
from detic_crop.photos.labels import Labels, parse_labels

# --- labels.csv and labels.json: the label table of a run


class _LabelMatches(msgspec.Struct, frozen=True):
    """labels.json.

    Attributes:
        key_column: column of labels.csv that names the photo.
        keys: photo of each row; None where there is none.
    """

    key_column: str
    keys: list[str | None]


_label_matches = msgspec.json.Decoder(_LabelMatches)


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
        matching = decode(layout.label_matches.read_bytes(), _label_matches)
        labels = parse_labels(layout.labels.read_bytes(), matching.key_column, layout.labels.name)
        if len(matching.keys) != len(labels.rows):
            raise ValueError(f"expected {len(labels.rows)} matches, got {len(matching.keys)}")
    except (OSError, ValueError) as error:
        raise UsageError(
            "labels_damaged",
            f"{layout.shown_of(layout.label_matches)} is damaged; give the `detic-crop run` command again",
        ) from error
    return labels, matching.keys


# --- sample.csv: the photos that were drawn to estimate from

StratumName: TypeAlias = Literal[
    "cropped_high", "cropped_middle", "cropped_low", "resized_high", "resized_low"
]


class Drawn(msgspec.Struct, frozen=True):
    """One photo of the sample.

    Attributes:
        image: key of the photo.
        stratum: part of the population that it was drawn from.
        stratum_size: number of photos in that part.
        seed: seed of the draw.
    """

    image: str
    stratum: StratumName
    stratum_size: int
    seed: int


def save_sample(folder: OutputFolder, sample: Sequence[Drawn]) -> None:
    """Replace sample.csv; verdicts are kept elsewhere and stay.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    text = io.StringIO(newline="")
    # All quoted: before Python 3.13 a lone carriage return, which a name may hold, is not quoted of itself.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(Drawn.__struct_fields__)
    writer.writerows(map(msgspec.structs.astuple, sample))
    folder.write(folder.layout.sample, text.getvalue().encode(errors="surrogatepass"))


def load_sample(folder: OutputFolder) -> list[Drawn]:
    """Return the sample as it was drawn; empty when none was.

    Raises:
        UsageError: the file is damaged.
    """
    layout = folder.layout
    if not layout.sample.exists():
        return []
    try:
        text = layout.sample.read_bytes().decode(errors="surrogatepass")
        header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        if tuple(header) != Drawn.__struct_fields__:
            raise ValueError(f"unexpected columns {header}")
        rows = [dict(zip(header, line, strict=True)) for line in lines]
        return msgspec.convert(rows, list[Drawn], strict=False)  # numbers are text in CSV
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(
            "sample_damaged",
            f"{layout.shown_of(layout.sample)} is damaged ({error}); draw again: "
            f"detic-crop audit {layout.quoted} --sample 200",
        ) from error
