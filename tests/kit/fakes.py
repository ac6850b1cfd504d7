"""A detector without a network, and small photos: what the tests of whole runs are made of."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detic_crop import api
from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.photos.keys import STATE

WANTED = ("Dolphin", "Whale", "Marine mammal")
OTHERS = ("Boat", "Person")
VOCABULARY = (*WANTED, *OTHERS)


@dataclass
class FakeDetector(Detector):
    """Answers with boxes drawn from a hash of the photo's key and size.

    Attributes:
        delay: seconds that every call takes.
        thread_safe: whether several threads may ask at once.
        failing: key → what `detect` raises for it.
        calls: how often each key was asked for.
    """

    delay: float = 0.0
    failing: Mapping[str, Exception] = field(default_factory=dict)
    default_conf: float = 0.3
    name: str = "fake"
    thread_safe: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        weights = {"fake.bin": "0" * 64}
        self.info = DetectorInfo(
            self.name, VOCABULARY, self.default_conf, weights, thread_safe=self.thread_safe
        )

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """The boxes of `fake_boxes`; see `Detector`."""
        with self._lock:
            self.calls[key] += 1
        if self.delay:
            time.sleep(self.delay)
        if key in self.failing:
            raise self.failing[key]
        return fake_boxes(key, image.shape[1], image.shape[0])


def fake_boxes(key: str, width: int, height: int) -> Detections:
    """0 to 5 boxes, the same for the same arguments; about one photo in six has none."""
    digest = hashlib.sha256(f"{key} {width} {height}".encode(errors="surrogateescape")).digest()
    random = np.random.default_rng(list(digest))
    count = int(random.integers(0, 6))
    corners = np.sort(random.random((count, 2, 2)), axis=1) * (width, height)  # (N, 2, xy)
    return Detections(
        corners.reshape(count, 4).astype(np.float32),
        random.uniform(0.01, 1, count).astype(np.float32),
        tuple(random.choice(VOCABULARY) for _ in range(count)),
    )


def picture(seed: int, width: int = 60, height: int = 40) -> NDArray[np.uint8]:
    """(H, W, 3) smooth coloured noise, so that every rectangle of it looks different."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def photo_bytes(seed: int, extension: str = ".jpg", width: int = 60, height: int = 40) -> bytes:
    """`picture` as a file."""
    done, data = cv2.imencode(extension, picture(seed, width, height))
    assert done
    return data.tobytes()


def write_photos(folder: Path, count: int, *, width: int = 60, height: int = 40) -> list[str]:
    """Small JPEG and PNG photos in three folders; returns their keys in the order of the audit."""
    keys = []
    for number in range(count):
        extension = ".png" if number % 5 == 4 else ".jpg"
        key = f"{('', 'day1/', 'day2/deep/')[number % 3]}photo{number:03}{extension}"
        write_photo(folder / key, number, width=width, height=height)
        keys.append(key)
    return sorted(keys)


def write_photo(path: Path, seed: int = 0, *, width: int = 60, height: int = 40) -> Path:
    """One small photo; its extension says the format, JPEG when cv2 does not write it."""
    extension = path.suffix.lower() if path.suffix.lower() in (".png", ".webp", ".bmp", ".tif") else ".jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(photo_bytes(seed, extension, width, height))
    return path


def write_damaged(folder: Path) -> dict[str, set[str]]:
    """Photos that cannot be used; returns key → the reasons that their row may give."""
    files: dict[str, tuple[bytes, set[str]]] = {
        "bad/cut.jpg": (photo_bytes(1)[:200], {"unreadable", "truncated"}),
        "bad/empty.png": (b"", {"empty_file"}),
        "bad/noise.jpg": (b"\xff\xd8\xff\xe0 no picture at all", {"unreadable", "truncated", "not_an_image"}),
        "bad/text.jpg": (b"hello, not a photo\n", {"not_an_image"}),
    }
    (folder / "bad").mkdir(parents=True, exist_ok=True)
    for key, (data, _) in files.items():
        (folder / key).write_bytes(data)
    return {key: reasons for key, (_, reasons) in files.items()}


def crop(input: Path | str, out: Path | str, **settings: Any) -> api.RunResult:
    """`api.run` with a `FakeDetector` and small crops, unless `settings` say otherwise."""
    return api.run(input, out, **{"detector": FakeDetector(), "size": 32, "quiet": True, **settings})


def write_boxes(path: Path, keys: Iterable[str], *, width: int = 60, height: int = 40) -> Path:
    """A CSV for ``--model boxes:FILE`` with the boxes that `FakeDetector` would find."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "xmin", "ymin", "xmax", "ymax", "score", "class_name"])
        for key in keys:
            found = fake_boxes(key, width, height)
            if not len(found):
                writer.writerow([key, "", "", "", "", "", ""])
            for xyxy, score, name in zip(found.xyxy, found.scores, found.class_names, strict=True):
                writer.writerow([key, *(f"{edge:.2f}" for edge in xyxy), f"{score:.6f}", name])
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    """Relative path → content of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def product(out: Path) -> dict[str, bytes]:
    """What a run makes that must be the same every time: crops, audit.csv and audit.html."""
    return {
        name: data
        for name, data in files_of(out).items()
        if name != "run.json" and not name.startswith(STATE + "/")
    }


def assert_same(out: Path, reference: Mapping[str, bytes]) -> None:
    """`product(out)` is `reference`, byte for byte; says which files differ."""
    made = product(out)
    differing = sorted(name for name in {*made, *reference} if made.get(name) != reference.get(name))
    assert differing == [], differing


def rows_of(out: Path) -> list[dict[str, str]]:
    """audit.csv as the csv module reads it."""
    with open(out / "audit.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def leftovers(out: Path) -> list[str]:
    """Temporary files that should be gone."""
    return sorted(path.name for path in (out / STATE / "tmp").rglob("*"))


def assert_one_row_each(out: Path, keys: Iterable[str]) -> None:
    """Every photo has exactly one row and every row's crop is there; no crop is without a row."""
    rows = rows_of(out)
    assert sorted(row["image"] for row in rows) == sorted(keys)
    crops = [row["crop"] for row in rows if row["crop"]]
    assert len(set(crops)) == len(crops)
    assert sorted(product(out).keys() - {"audit.csv", "audit.html"}) == sorted(crops)


@contextlib.contextmanager
def untouched(folder: Path) -> Iterator[None]:
    """Nothing below `folder` changes meanwhile: no name, no content, no time."""
    before = files_of(folder), _times(folder)
    yield
    assert (files_of(folder), _times(folder)) == before


def _times(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}
