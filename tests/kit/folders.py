"""Run on a folder with a fake detector, and look at what an output folder holds."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from detic_crop import api
from detic_crop.folder.journal import replay
from detic_crop.folder.layout import PENDING
from detic_crop.folder.records import CropFile, Record
from detic_crop.folder.records import files_of as crops_of_record
from detic_crop.photos.keys import STATE
from tests.kit.detectors import FakeDetector

_OF_A_SAMPLE = ("estimate.json", "datacard.md")
TABLES = ("audit.csv", "audit.html", "audit.xlsx", "animals.csv", "manifest.csv", *_OF_A_SAMPLE)


def crop(input: Path | str, out: Path | str, **settings: Any) -> api.RunResult:
    """`api.run` with a `FakeDetector` and small crops, unless `settings` say otherwise."""
    return api.run(input, out, **{"detector": FakeDetector(), "size": 32, "quiet": True, **settings})


def files_of(folder: Path) -> dict[str, bytes]:
    """Relative path → content of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def same_page(html: bytes) -> bytes:
    """audit.html without where, when and with what it was made: the rest is the same for the same journal."""
    html = re.sub(rb"<title>.*?</title>", b"", html)
    html = re.sub(rb"<(\w+) class=\"folder\">.*?</\1>", b"FOLDER", html)
    html = re.sub(rb" . <time class=\"made-on\".*?</time>".replace(b" . ", " · ".encode()), b"", html)
    return re.sub(rb" <span class=\"made-by\">.*?</span>", b"", html)


def comparable(name: str, data: bytes) -> bytes:
    """Return the bytes of a file that are the same every time."""
    return same_page(data) if name == "audit.html" else data


def lasting_files_of(folder: Path) -> dict[str, bytes]:
    """`files_of` but for what tells when something was done last, which every command writes again."""
    return {name: data for name, data in files_of(folder).items() if not name.endswith("/progress.json")}


def product(out: Path) -> dict[str, bytes]:
    """What a run makes that must be the same every time: crops, audit.csv and audit.html, see `same_page`."""
    return {
        name: comparable(name, data)
        for name, data in files_of(out).items()
        if name != "run.json" and not name.startswith(STATE + "/")
    }


def product_and_state(out: Path) -> dict[str, bytes]:
    """All that a run leaves, what later commands go by, too; but for run.json, which has times, and locks.

    And but for written.json, which has the checksum of run.json, and progress.json, which has times, too.
    """
    return {
        name: comparable(name, data)
        for name, data in files_of(out).items()
        if name != "run.json" and not name.endswith(("/lock", "/written.json", "/progress.json"))
    }


def differing(made: Mapping[str, bytes], expected: Mapping[str, bytes]) -> list[str]:
    """Names of the files that only one side has or that are not equal."""
    return sorted(name for name in {*made, *expected} if made.get(name) != expected.get(name))


def assert_same(out: Path, reference: Mapping[str, bytes]) -> None:
    """`product(out)` is `reference`, byte for byte; says which files differ."""
    made = product(out)
    differing = sorted(name for name in {*made, *reference} if made.get(name) != reference.get(name))
    assert differing == [], differing


def rows_of(out: Path) -> list[dict[str, str]]:
    """audit.csv as the csv module reads it."""
    with open(out / "audit.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def row_of(out: Path, image: str) -> dict[str, str]:
    """The one row of a photo in audit.csv."""
    (row,) = [row for row in rows_of(out) if row["image"] == image]
    return row


def records_of(out: Path) -> dict[str, Record]:
    """What the journal says last of every photo."""
    return dict(replay(out / STATE / "journal.jsonl").records.items())


def leftovers(out: Path) -> list[str]:
    """Temporary files that should be gone."""
    return sorted(path.name for path in (out / STATE / "tmp").rglob("*"))


def animals_of(out: Path) -> list[dict[str, str]]:
    """animals.csv as the csv module reads it."""
    with open(out / "animals.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def assert_one_row_each(out: Path, keys: Iterable[str]) -> None:
    """Every photo has exactly one row and every row's crops are there; no crop is without a row."""
    rows = rows_of(out)
    assert sorted(row["image"] for row in rows) == sorted(keys)
    shown = {row["image"]: row["crop"] for row in rows}
    assert len(set(filter(None, shown.values()))) == sum(map(bool, shown.values()))
    records = records_of(out)
    crops = {file.name: file.size for key in shown for file in crops_in(records[key])}
    if (out / "animals.csv").exists():
        listed = animals_of(out)
        assert sorted(row["crop"] for row in listed if row["crop"]) == sorted(crops)
        counts = Counter(row["image"] for row in listed if row["crop"])
        for row in rows:
            assert row["n_crops"] == ("" if row["status"] == "failed" else str(counts[row["image"]]))
    for key, name in shown.items():
        assert (not name) == (not crops_in(records[key]))
        assert not name or name in crops
    if not any(out.glob("crops-*.tar")):
        made = {name: len(data) for name, data in product(out).items() if name not in TABLES}
        assert made == crops


def crops_in(record: Record) -> tuple[CropFile, ...]:
    """The crops of a record that are in their places."""
    return () if record.status == "rejected" else crops_of_record(record)


@contextlib.contextmanager
def untouched(folder: Path) -> Iterator[None]:
    """Nothing below `folder` changes meanwhile: no name, no content, no time."""
    before = files_of(folder), _times(folder)
    yield
    assert (files_of(folder), _times(folder)) == before


def _times(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def samples(out: Path) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Path in its tar file → (crop, JSON), of all tar files; fails where a half is missing."""
    crops: dict[str, bytes] = {}
    texts: dict[str, Any] = {}
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as opened:
            names = [info.name for info in opened]
            assert len(set(names)) == len(names)
            # A reader takes what has one name up to the first dot for one sample, if it stands together.
            stems = [name.rpartition("/")[2].partition(".")[0] for name in names]
            assert stems[::2] == stems[1::2]
            for info in opened:
                file = opened.extractfile(info)
                assert file is not None
                stem = info.name.rpartition(".")[0]
                if info.name.endswith(".json"):
                    texts[stem] = json.loads(file.read())
                else:
                    assert stem not in crops
                    crops[f"{path.name}/{info.name}"] = file.read()
    assert [name.partition("/")[2].rpartition(".")[0] for name in crops] == list(texts)
    return dict(zip(crops, zip(crops.values(), texts.values(), strict=True), strict=True))


def assert_samples(out: Path) -> None:
    """Every row with a crop has one sample, and no sample is without a row."""
    found = samples(out)
    of_photos = {row["image"]: row for row in rows_of(out)}
    listed = animals_of(out) if (out / "animals.csv").exists() else rows_of(out)
    rows = {row["crop"]: row for row in listed if row["crop"]}
    assert found.keys() == rows.keys()
    for name, (_, values) in found.items():
        row = rows[name]
        assert values["image"] == row["image"]
        assert values["status"] == of_photos[row["image"]]["status"]
        assert values["crop_box"] == list(map(int, row["crop_box"].split()))
        assert str(values.get("animal", "")) == row.get("animal", "")
    assert not (out / STATE / PENDING).exists()
    assert "cannot be shown" not in (out / "audit.html").read_text()
