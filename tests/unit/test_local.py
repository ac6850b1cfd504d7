"""How work overlaps: batches, groups, bounds, and what a run says of its time."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from detic_crop import api
from detic_crop.boxes.crop_size import crop_size
from detic_crop.boxes.detections import Detections
from detic_crop.config import Fit, Size
from detic_crop.folder.journal import replay
from detic_crop.images.crop import cut_and_resize
from detic_crop.images.decode import PhotoFile
from detic_crop.system import machine
from detic_crop.work.timing import StageTimes, Usage
from tests.kit.detectors import FakeDetector, fake_boxes
from tests.kit.folders import assert_one_row_each, assert_same, crop, product, rows_of
from tests.kit.helpers import detections
from tests.kit.photos import write_damaged, write_photo, write_photos

pytestmark = pytest.mark.slow


class Batching(FakeDetector):
    """`FakeDetector` in two halves, which notes what it was given together."""

    def __init__(self, batch: int, broken: str = "") -> None:
        super().__init__()
        self.preferred_batch = batch
        self.broken = broken
        self.batches: list[list[tuple[str, int, int]]] = []
        self.ready = 0
        self.most_ready = 0
        self._guard = threading.Lock()

    def prepare(
        self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
    ) -> tuple[str, int, int]:
        with self._guard:
            self.ready += 1
            self.most_ready = max(self.most_ready, self.ready)
        height, width = photo_hw or image.shape[:2]
        return key, width, height

    def group_of(self, prepared: Any) -> Hashable:
        size: Hashable = prepared[1:]
        return size

    def detect_batch(self, prepared: Sequence[tuple[str, int, int]]) -> list[Detections]:
        self.batches.append(list(prepared))
        time.sleep(0.01)  # decoding is faster: photos gather
        if any(key == self.broken for key, _, _ in prepared):
            raise RuntimeError("no such animal")
        with self._guard:
            self.ready -= len(prepared)
        return [fake_boxes(*photo) for photo in prepared]


def write_mixed(folder: Path) -> list[str]:
    """Photos of two sizes, in turn."""
    keys = write_photos(folder, 30)
    for number in range(30):
        key = f"tall{number:03}.jpg"
        write_photo(folder / key, number, width=40, height=60)
        keys.append(key)
    return sorted(keys)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_give_what_single_photos_give(tmp_path: Path, batch: int, workers: int) -> None:
    keys = [*write_mixed(tmp_path / "in"), *write_damaged(tmp_path / "in")]
    detector = Batching(batch)
    crop(tmp_path / "in", tmp_path / "out", detector=detector, workers=workers)
    crop(tmp_path / "in", tmp_path / "reference")
    assert_one_row_each(tmp_path / "out", keys)
    assert_same(tmp_path / "out", product(tmp_path / "reference"))
    sizes = [len(given) for given in detector.batches]
    assert sum(sizes) == 60
    assert max(sizes) <= batch
    assert (max(sizes) > 1) is (batch > 1)
    assert all(len({photo[1:] for photo in given}) == 1 for given in detector.batches)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_stop_between_two_photos_leaves_nobody_waiting(tmp_path: Path, batch: int) -> None:
    """The detector's thread may end while the next photo is being handed to it."""
    write_photos(tmp_path / "in", 30)
    rounds = 0
    while True:
        detector = Batching(batch)
        result = crop(tmp_path / "in", tmp_path / "out", detector=detector, workers=1, time_limit=0.02)
        rounds += 1
        if not result.remaining:
            break
    assert rounds > 1
    crop(tmp_path / "in", tmp_path / "reference")
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


def test_photos_in_hand_are_bounded(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 80)
    detector = Batching(3)
    crop(tmp_path / "in", tmp_path / "out", detector=detector, workers=2)
    assert detector.most_ready <= 2 * 2 + 2 * 3


def test_one_photo_spoils_its_row_and_not_its_batch(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 20)
    crop(tmp_path / "in", tmp_path / "out", detector=Batching(4, broken=keys[6]))
    failed = {row["image"]: row["error"] for row in rows_of(tmp_path / "out") if row["status"] == "failed"}
    assert failed == {keys[6]: "RuntimeError: no such animal"}
    assert_one_row_each(tmp_path / "out", keys)


@pytest.mark.parametrize("step", ["prepare", "group_of", "detect"])
def test_a_detector_that_leaves_ends_the_run(step: str, tmp_path: Path) -> None:
    """Its run must not look like one that came to its end."""
    keys = write_photos(tmp_path / "in", 12)

    class Leaving(Batching):
        def prepare(
            self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
        ) -> tuple[str, int, int]:
            self.leave("prepare", key == keys[3])
            return super().prepare(image, key, photo_hw)

        def group_of(self, prepared: Any) -> Hashable:
            self.leave("group_of", True)
            return super().group_of(prepared)

        def detect_batch(self, prepared: Sequence[tuple[str, int, int]]) -> list[Detections]:
            self.leave("detect", True)
            return super().detect_batch(prepared)

        def leave(self, here: str, now: bool) -> None:
            if now and here == step:
                sys.exit(3)

    with pytest.raises(SystemExit):
        crop(tmp_path / "in", tmp_path / "out", detector=Leaving(batch=4), workers=4)


def test_a_photo_is_decoded_as_coarsely_as_the_detector_looks(tmp_path: Path) -> None:
    """Only with ``--decode scaled``; its boxes are in pixels of the photo all the same."""
    write_photo(tmp_path / "in" / "large.jpg", 1, width=1920, height=1440)

    shapes: list[tuple[int, ...]] = []

    class Small(Batching):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.info = dataclasses.replace(self.info, input_size=(300, 480))

        def prepare(
            self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
        ) -> tuple[str, int, int]:
            shapes.append(image.shape)
            return super().prepare(image, key, photo_hw)

    for decode in ("full", "scaled"):
        crop(tmp_path / "in", tmp_path / decode, detector=Small(1), decode=decode, size=16, format="png")
    assert shapes == [(1440, 1920, 3), (360, 480, 3)]
    (full,), (scaled,) = rows_of(tmp_path / "full"), rows_of(tmp_path / "scaled")
    assert full["box"] == scaled["box"]
    assert (scaled["width"], scaled["height"]) == ("1920", "1440")


@pytest.mark.parametrize("view", [None, (300, 500), (1100, 1500)], ids=["whole", "reduced", "barely"])
@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_a_scaled_crop_made_again_is_the_same(tmp_path: Path, view: tuple[int, int] | None, fit: str) -> None:
    """Without the detector, as `recrop` and `apply` do, and whatever the detector had been shown."""
    for number, (width, height) in enumerate([(2002, 1503), (2001, 1501), (2000, 1500), (700, 500)]):
        write_photo(tmp_path / "in" / f"{number}.jpg", number, width=width, height=height)

    class Looking(Batching):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.info = dataclasses.replace(self.info, input_size=view)

    settings: dict[str, Any] = {"decode": "scaled", "size": 48, "fit": fit}
    crop(tmp_path / "in", tmp_path / "out", detector=Looking(1), **settings)
    api.recrop(tmp_path / "out", tmp_path / "again", quiet=True)
    ours, again = product(tmp_path / "out"), product(tmp_path / "again")
    assert {name: data for name, data in again.items() if name != "audit.html"} == {
        name: data for name, data in ours.items() if name != "audit.html"
    }
    records = replay(tmp_path / "out" / ".detic-crop" / "journal.jsonl").records
    assert records["2.jpg"].seen == (4 if view == (300, 500) else 1)
    assert records["3.jpg"].seen == 0  # too small to be reduced at all


class Blind(FakeDetector):
    """Has a box for every photo without a look at it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.info = dataclasses.replace(self.info, needs_pixels=False)

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        return detections(((101, 203, 1801, 1405), 0.9, "Dolphin"))


def test_a_photo_that_is_too_sharp_to_be_reduced_is_decoded_in_full(tmp_path: Path) -> None:
    """Its rectangle tells: a reduced crop begins and ends at pixels that the reduction divides."""
    write_photo(tmp_path / "in" / "soft.jpg", 1, width=2000, height=1500)
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "in" / "sharp.jpg"), noise)
    crop(tmp_path / "in", tmp_path / "out", detector=Blind(), decode="scaled", scale=1.0, size=150)
    assert [row["crop_box"] for row in rows_of(tmp_path / "out")] == [
        "101 203 1801 1405",
        "100 200 1804 1408",
    ]


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("width", [2000, 2001])
@pytest.mark.parametrize(
    ("size", "fit"),
    [
        (150, "stretch"),
        (150, "pad"),
        (500, "stretch"),
        (900, "pad"),
        ("150x300", "stretch"),
        ("300x150", "pad"),
        ("120x200", "square"),
        ("long:200", "stretch"),
        ("long:200", "pad"),
        ("long:700", "square"),
    ],
)
def test_scaled_crops_are_those_of_their_rectangle_to_40_db(
    tmp_path: Path, size: Size, fit: Fit, width: int, orientation: int
) -> None:
    """Through the whole run: photos that are reduced, that are sampled, and one that is neither."""
    example = cv2.imread(str(Path(__file__).parents[2] / "examples" / "train_images" / "two_dolphins.jpg"))
    assert example is not None
    photo = cv2.resize(example, (width, 1500), interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    exif[274] = orientation
    (tmp_path / "in").mkdir()
    Image.fromarray(photo[:, :, ::-1]).save(tmp_path / "in" / "a.jpg", quality=92, exif=exif)
    settings: dict[str, Any] = {"scale": 1.0, "size": size, "fit": fit, "format": "png"}
    crop(tmp_path / "in", tmp_path / "out", detector=Blind(), decode="scaled", **settings)
    (row,) = rows_of(tmp_path / "out")
    x1, y1, x2, y2 = map(int, row["crop_box"].split())
    upright = PhotoFile((tmp_path / "in" / "a.jpg").read_bytes()).decode().image
    exact = cut_and_resize(upright, (x1, y1, x2, y2), crop_size(size, fit))
    ours = cv2.imread(str(tmp_path / "out" / row["crop"]))
    assert ours is not None
    assert not np.array_equal(ours, exact)
    assert cv2.PSNR(ours, exact) >= 40


@pytest.mark.parametrize("size", ["native", "long:8192"])
@pytest.mark.parametrize("fit", ["stretch", "square"])
def test_what_is_not_shrunk_is_the_photos_own_pixels_also_when_scaled(
    tmp_path: Path, size: Size, fit: Fit
) -> None:
    write_photo(tmp_path / "in" / "soft.jpg", 1, width=2000, height=1500)
    settings: dict[str, Any] = {"scale": 1.0, "size": size, "fit": fit, "format": "png"}
    crop(tmp_path / "in", tmp_path / "out", detector=Blind(), decode="scaled", **settings)
    (row,) = rows_of(tmp_path / "out")
    x1, y1, x2, y2 = map(int, row["crop_box"].split())
    photo = PhotoFile((tmp_path / "in" / "soft.jpg").read_bytes()).decode().image
    made = cv2.imread(str(tmp_path / "out" / row["crop"]))
    assert made is not None
    assert np.array_equal(made, photo[y1:y2, x1:x2])


def test_where_the_time_went_by_hand() -> None:
    times = StageTimes()
    for stage, seconds in {"decode": 6.0, "encode": 2.0, "detect": 9.0, "journal": 1.0}.items():
        times.seconds[stage], times.photos[stage] = seconds, 100
    times.queued("decoded, waiting for the detector", 5.0)
    usage = Usage(times, seconds=10.0, workers=2, workers_detect=False)
    assert usage.busy() == {"workers": 0.4, "detector": 0.9, "recording": 0.1}
    table = usage.table().splitlines()
    assert [line.split()[0] for line in table[1:5]] == ["detect", "decode", "encode", "journal"]
    assert table[1].split() == ["detect", "9.0", "100", "90.0"]
    assert table[-1].endswith("another --model, --precision, --detector-size or --device may be faster")
    together = Usage(times, seconds=10.0, workers=2, workers_detect=True)
    assert together.busy() == {"workers": 0.85, "recording": 0.1}
    assert "the bottleneck: the workers" in together.table()


def test_times_of_another_process_are_added() -> None:
    ours, theirs = StageTimes(), StageTimes()
    for times in (ours, theirs, theirs):
        with times.measure("decode", 2):
            pass
        times.queued("detected, waiting for a worker", 0.5)
    ours.add(theirs.totals())
    assert ours.photos["decode"] == 6
    assert ours.waited["detected, waiting for a worker"] == 1.5


def test_a_run_says_where_its_time_went(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 5)
    result = crop(tmp_path / "in", tmp_path / "out", profile=True)
    stages = {line.split("  ")[0] for line in result.profile.splitlines()[1:-1]}
    assert {"read", "decode", "detect", "crop", "encode", "check", "write", "journal"} <= stages
    assert crop(tmp_path / "in", tmp_path / "out").profile == ""


@pytest.mark.parametrize(
    ("cpus", "memory", "photo", "threads", "workers"),
    [
        (2, 24 << 30, 2 << 30, 1, 2),
        (16, 24 << 30, 2 << 30, 3, 5),  # 7 photos at once have room: 3 threads each, so 5 photos
        (4, 2 << 30, 2 << 30, 4, 1),
        (64, 1 << 40, 0, 1, 32),
    ],
)
def test_workers_fit_the_memory(
    cpus: int, memory: int, photo: int, threads: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cpus", lambda: cpus)
    monkeypatch.setattr(machine, "memory_bytes", lambda: memory)
    assert machine.threads_per_photo(photo) == threads
    assert machine.default_workers(True, photo) == workers
    assert machine.default_workers() == min(cpus, 4)
    assert machine.default_workers(processes=4) == max(1, min(cpus // 4, 4))
