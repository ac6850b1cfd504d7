"""The folder of a long run, written in seconds: a few real photos stand behind many rows."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
from pathlib import Path

from msgspec.structs import replace

from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import replay
from detic_crop.folder.lines import to_line
from detic_crop.folder.records import Record
from detic_crop.folder.state import save_labels
from detic_crop.photos.labels import parse_labels
from tests.kit.folders import crop
from tests.kit.journals import values_of
from tests.kit.photos import write_photos

SPECIES = ("beluga", "blue_whale", "bottlenose_dolphin", "humpback", "minke", "orca")


def write_big_run(
    folder: Path,
    count: int,
    *,
    width: int = 1600,
    height: int = 1000,
    individuals: int | None = None,
    own_crops: bool = False,
) -> Path:
    """An output folder below `folder` with `count` rows, labels among them; returns it.

    Rows take turns in showing eight photos, whose boxes and crops they share; chosen scores differ. Each
    shows another individual, unless there are fewer. With `own_crops` each row has a crop of its own name.
    """
    write_photos(folder / "in", 8, width=width, height=height)
    out = folder / "out"
    crop(folder / "in", out, size=256)
    chance = random.Random(1)
    state = replay(out / ".detic-crop" / "journal.jsonl")
    records = list(state.records.values())
    target = OutputFolder(out)
    header = target.layout.journal.read_bytes().splitlines(keepends=True)[0]
    kept = target.layout.candidates.read_bytes()
    boxes = [values_of(kept[start : start + length]) for start, length in map(_span, records)]
    lines, kept_lines, end = [header], [], 0
    paths, rows = {}, []
    for number in range(count):
        record = records[number % len(records)]
        key = f"survey{number // 10_000}/IMG_{number:06}.jpg"
        kept_lines.append(to_line(boxes[number % len(records)] | {"image": key}))
        score = None if record.score is None else round(record.score * chance.uniform(0.3, 1), 6)
        span = (end, len(kept_lines[-1]))
        name = record.crop
        if own_crops and name:
            name = key
            _link(out / record.crop, out / key, number)
        lines.append(replace(record, image=key, crop=name, score=score, candidates=span).to_line())
        end += len(kept_lines[-1])
        paths[key] = str(folder / "in" / Path(*record.image.split("/")))
        rows.append((key, chance.choice(SPECIES), f"id{number % (individuals or count):06}"))
    target.layout.journal.write_bytes(b"".join(lines))
    target.layout.candidates.write_bytes(b"".join(kept_lines))
    listing = {"root": str(folder / "in"), "keys": list(paths), "paths": paths}
    target.layout.listing.write_text(json.dumps(listing))
    labels = folder / "labels.csv"
    with open(labels, "w", newline="", encoding="utf-8") as text:
        csv.writer(text, lineterminator="\n").writerows([("image", "species", "individual_id"), *rows])
    save_labels(target, parse_labels(labels.read_bytes(), "image", "labels.csv"), list(paths))
    return out


def _span(record: Record) -> tuple[int, int]:
    assert record.candidates is not None
    return record.candidates


def _link(crop: Path, path: Path, number: int) -> None:
    """Give a crop another name; a file system allows 65,000 for one file."""
    copy = crop.with_name(f"{crop.stem}.{number // 400_000}.copy")
    if not copy.exists():
        shutil.copy(crop, copy)
    path.parent.mkdir(exist_ok=True)
    os.link(copy, path)
