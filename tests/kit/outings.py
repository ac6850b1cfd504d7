"""Photos with times, as a camera takes them on an outing."""

from __future__ import annotations

from pathlib import Path

from tests.kit.exif import MODEL, ORIGINAL, exif, photo_with


def write_timed(path: Path, taken: str, *, camera: str = "X100", seed: int = 0) -> Path:
    """One photo; `taken` as in EXIF (``2019:07:04 12:31:05``), empty for a photo without a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = exif({MODEL: camera}, {ORIGINAL: taken} if taken else None)
    path.write_bytes(photo_with(block, seed=seed))
    return path


def write_outing(folder: Path, count: int = 12) -> list[str]:
    """Photos of two days, pairs of them a second apart, ten minutes from pair to pair; the keys in order."""
    keys = []
    for number in range(count):
        day, pair = number % 2 + 1, number // 4
        key = f"day{day}/IMG_{number:04}.jpg"
        taken = f"2019:07:0{day} {10 + pair // 3:02}:{pair % 3 * 10:02}:0{number // 2 % 2}"
        write_timed(folder / key, taken, seed=number)
        keys.append(key)
    return sorted(keys)
