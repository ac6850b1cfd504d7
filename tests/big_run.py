"""The folder of a long run, written in seconds: a few real photos stand behind many rows."""

from __future__ import annotations

import csv
import json
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np

from detic_crop.audit.table import keep_labels
from detic_crop.runs.folder import OutputFolder
from detic_crop.runs.journal import Journal, read_candidates, replay
from detic_crop.runs.labels import parse_labels
from tests.fakes import crop, write_photos

SPECIES = ("beluga", "blue_whale", "bottlenose_dolphin", "humpback", "minke", "orca")


def write_big_run(folder: Path, count: int, *, width: int = 1600, height: int = 1000) -> Path:
    """An output folder below `folder` with `count` rows, labels among them; returns it.

    Rows take turns in showing eight photos, whose boxes and crops they share; scores differ.
    """
    write_photos(folder / "in", 8, width=width, height=height)
    out = folder / "out"
    crop(folder / "in", out, size=256)
    chance = random.Random(1)
    state = replay(out / ".detic-crop" / "journal.jsonl")
    records = list(state.records.values())
    target = OutputFolder(out)
    with open(target.candidates, "rb") as file:
        candidates = [read_candidates(file, record) for record in records]
    paths, rows = {}, []
    begun = target.journal.read_bytes().splitlines(keepends=True)[0]
    target.journal.write_bytes(begun)
    target.candidates.unlink()
    journal = Journal(target.journal, target.candidates)
    for number in range(count):
        record, boxes = records[number % 8], candidates[number % 8]
        key = f"survey{number // 10_000}/IMG_{number:06}.jpg"
        scores = np.round(boxes.scores * chance.uniform(0.5, 1), 6).astype(np.float32)
        span = journal.append_candidates(key, record.crop, replace(boxes, scores=scores))
        score = None if record.score is None else round(record.score * chance.uniform(0.3, 1), 6)
        journal.append(record._replace(image=key, score=score, candidates=span))
        paths[key] = str(folder / "in" / Path(*record.image.split("/")))
        rows.append((key, chance.choice(SPECIES), f"id{number:06}"))
    journal.close()
    listing = {"root": str(folder / "in"), "keys": list(paths), "paths": paths}
    target.listing.write_text(json.dumps(listing))
    labels = folder / "labels.csv"
    with open(labels, "w", newline="", encoding="utf-8") as text:
        csv.writer(text, lineterminator="\n").writerows([("image", "species", "individual_id"), *rows])
    keep_labels(target, parse_labels(labels.read_bytes(), "image", "labels.csv"), list(paths))
    assert os.path.getsize(target.journal) > count
    return out
