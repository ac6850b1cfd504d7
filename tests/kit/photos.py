"""Small photos and the files beside them: folders, tar files, boxes files."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.kit.detectors import fake_boxes


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


def write_labelled_photos(folder: Path, count: int, individuals: int, *, width: int, height: int) -> Path:
    """The same of two species and so many individuals; returns the table that says so, beside the folder."""
    keys = write_photos(folder, count, width=width, height=height)
    lines = [f"{key},{('orca', 'beluga')[n % 2]},w_{n % individuals}" for n, key in enumerate(keys)]
    labels = folder.parent / "labels.csv"
    labels.write_text("image,species,individual_id\n" + "\n".join(lines))
    return labels


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


def write_difficult_photos(folder: Path, count: int) -> list[str]:
    """Photos, some damaged, two whose crops would have the same name; return their keys in order."""
    keys = [*write_photos(folder, count), *write_damaged(folder)]
    return sorted([*keys, write_photo(folder / "photo000.png", 9).name])


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


def write_tar(
    path: Path, files: Mapping[str, bytes], format: int = tarfile.PAX_FORMAT, mtime: float = 1_700_000_000
) -> Path:
    """A tar file of some files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as opened:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), int(mtime) if format != tarfile.PAX_FORMAT else mtime
            opened.addfile(info, io.BytesIO(data))
    return path
