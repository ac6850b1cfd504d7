"""The same photos and settings give the same bytes, whatever order the work happens to be done in."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detic_crop.images.encode import encode
from detic_crop.photos.photo import Photo
from detic_crop.work import pipeline
from tests.kit.detectors import FakeDetector
from tests.kit.folders import assert_same, crop, leftovers, product, rows_of, untouched
from tests.kit.photos import write_damaged, write_photo, write_photos

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of several formats and sizes, some broken, some with names that collide."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder, 20)
    write_damaged(folder)
    for seed, name in enumerate(("x.jpg", "x.png", "X.jpeg", "x.webp", "x.tif", "x.bmp")):
        write_photo(folder / name, seed, width=90 + seed, height=31)
    for seed, name in enumerate(("y.jpg/z.jpg", "y.png", "Y.jpeg/z.png", "run.json/a.jpg")):
        write_photo(folder / name, seed)
    return folder


@pytest.fixture(scope="module")
def reference(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one worker makes."""
    out = tmp_path_factory.mktemp("reference") / "out"
    crop(photos, out, workers=1)
    return product(out)


def slow(function: Callable[..., Any], seed: int) -> Callable[..., Any]:
    """`function`, which takes a random time for each call."""
    chance = random.Random(seed)

    def delayed(*args: Any, **kwargs: Any) -> Any:
        time.sleep(chance.choice((0, 0, 0.001, 0.01)))
        return function(*args, **kwargs)

    return delayed


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers(
    photos: Path, reference: dict[str, bytes], workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Photo, "open", slow(Photo.open, workers))
    for name in ("encode", "cut_and_resize"):
        monkeypatch.setattr(pipeline, name, slow(getattr(pipeline, name), workers))
    with untouched(photos):
        crop(photos, tmp_path / "out", workers=workers)
    assert_same(tmp_path / "out", reference)


def test_twice_the_same(photos: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    crop(photos, tmp_path / "out")
    assert_same(tmp_path / "out", reference)


@pytest.mark.parametrize("seed", range(3))
def test_any_interruptions(photos: Path, reference: dict[str, bytes], seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    interruptions = 0
    for limit in sorted(chance.sample(range(1, 30), 8)) + [None] * 50:
        detector = FakeDetector(delay=0.001)
        result = crop(
            photos,
            tmp_path / "out",
            limit=limit,
            time_limit=chance.choice((0.002, 0.01)),
            workers=chance.choice((1, 3)),
            detector=detector,
        )
        interruptions += bool(result.stopped)
        if limit is None and not result.remaining:
            break
    assert interruptions > 2
    crop(photos, tmp_path / "out")
    assert_same(tmp_path / "out", reference)
    assert leftovers(tmp_path / "out") == []


def _but_copies(row: dict[str, str]) -> list[str]:
    """A row without what it says of copies: the first in the list is the original."""
    flags = set(row["flags"].split(";")) - {"", "duplicate", "near_duplicate"}
    return [*(value for name, value in row.items() if name not in ("flags", "duplicate_of")), *sorted(flags)]


def test_the_order_of_a_list_moves_rows_and_nothing_else(
    photos: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "in")
    keys = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*") if path.is_file())
    random.Random(1).shuffle(keys)
    (tmp_path / "in" / "list.txt").write_text("\n".join(keys), encoding="utf-8")
    crop(tmp_path / "in" / "list.txt", tmp_path / "out")
    made = product(tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert [row["image"] for row in rows] == keys
    crop(photos, tmp_path / "sorted")
    assert sorted(map(_but_copies, rows)) == sorted(map(_but_copies, rows_of(tmp_path / "sorted")))
    del made["audit.csv"], made["audit.html"]
    assert made == {name: data for name, data in reference.items() if not name.startswith("audit.")}


@pytest.mark.parametrize(("fit", "format"), [("pad", "png"), ("square", "webp")])
def test_other_fits_and_formats(photos: Path, fit: str, format: str, tmp_path: Path) -> None:
    crop(photos, tmp_path / "one", workers=1, fit=fit, format=format)
    crop(photos, tmp_path / "many", workers=4, fit=fit, format=format)
    assert_same(tmp_path / "many", product(tmp_path / "one"))


@pytest.mark.parametrize("workers", [1, 4])
def test_a_detector_that_each_worker_asks(
    photos: Path, reference: dict[str, bytes], workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Photo, "open", slow(Photo.open, workers))
    monkeypatch.setattr(pipeline, "encode", slow(encode, workers))
    crop(photos, tmp_path / "out", workers=workers, detector=FakeDetector(thread_safe=True))
    assert_same(tmp_path / "out", reference)


def test_no_photo_is_begun_after_the_stop(tmp_path: Path) -> None:
    """Four workers with four photos each in hand, and four waiting: only those begun are finished."""
    write_photos(tmp_path / "in", 40)
    detector = FakeDetector(delay=0.3, thread_safe=True)
    result = crop(tmp_path / "in", tmp_path / "out", workers=4, time_limit=0.35, detector=detector)
    assert result.stopped == "time_limit"
    assert sum(detector.calls.values()) == result.done
    assert result.done <= 12
