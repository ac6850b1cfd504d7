"""How many photos would a random split leak? `python -m benchmarks.split_leaks SET… [--model lite]`.

A set is as for `benchmarks.lite_quality`: photos of known outings in ``SET/images``. They are cropped, and
split three ways: with copies and bursts kept together, with encounters by a gap, and with outings; what
`detic-crop split` says of each is printed. No photo is shown or kept.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import detic_crop
from benchmarks.labelled_photos import outing_of
from detic_crop.errors import UsageError

FOLDS = 5


def write_outings(images: Path, path: Path) -> None:
    """Write a label table with the outing of each photo."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "outing"])
        writer.writerows(
            (photo.name, outing_of(photo.name, images.parent.name)) for photo in images.iterdir()
        )


def report(images: Path, folder: Path, model: str) -> list[str]:
    """Crop the photos into a folder, and return what its splits say, in lines."""
    write_outings(images, folder / "outings.csv")
    detic_crop.run(images, folder / "cropped", model=model, labels=folder / "outings.csv", quiet=True)
    lines = []
    for by in (None, "gap:30min", "outing"):
        lines.append(f"--by {by}" if by else "copies and bursts")
        try:
            result = detic_crop.split(folder / "cropped", FOLDS, by=by)
            lines += [f"  {sentence}" for sentence in (*result.notes, *result.division.sentences)]
        except UsageError as error:
            lines.append(f"  {error}")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the report of each set."""
    parser = argparse.ArgumentParser(description="Count the photos that a random split would leak.")
    parser.add_argument("sets", type=Path, nargs="+", metavar="SET")
    parser.add_argument("--model", default="lite")
    given = parser.parse_args(arguments)
    for folder in given.sets:
        with tempfile.TemporaryDirectory() as temporary:
            print("\n".join([folder.name, *report(folder / "images", Path(temporary), given.model)]))


if __name__ == "__main__":
    main()
