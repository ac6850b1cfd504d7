"""How much damage is seen: real photos are damaged in bulk, and intact ones must stay without a flag.

    python -m benchmarks.damage PHOTOS [--files N] [--formats FORMAT ...] [--seed N]

PHOTOS is a folder that is searched through. Every photo in it must be found undamaged as it is, and padded,
with rubbish behind its end, and so on. Then for each format and each kind of damage N files are made from
photos drawn at random, and judged. Damage that changes no pixel is not counted: nobody can be misled by it.

Exit code 1 when an intact photo was flagged, or less was seen than `least` says.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detic_crop.errors import PhotoError
from detic_crop.images.decode import IMAGE_EXTENSIONS, Decoded, decode

Damage = Callable[[bytes, int, int, np.random.Generator], bytes]
"""The damaged file, of a file, the first byte and the end of its picture data, and a source of chance."""

_LONGEST = 1000  # px, of photos that are stored anew


def _saved(format: str, mode: str = "RGB", **options: Any) -> Callable[[Image.Image], bytes]:
    def save(photo: Image.Image) -> bytes:
        file = io.BytesIO()
        photo.convert(mode).save(file, format, **options)
        return file.getvalue()

    return save


def _as_heic(photo: Image.Image) -> bytes:
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(photo).save(file, quality=85)
    return file.getvalue()


FORMATS: Mapping[str, Callable[[Image.Image], bytes] | None] = {
    "jpeg": None,  # the photo's own file
    "jpeg-restarts": _saved("JPEG", quality=90, restart_marker_rows=1),
    "jpeg-progressive": _saved("JPEG", quality=90, progressive=True),
    "jpeg-cmyk": _saved("JPEG", "CMYK", quality=90),
    "png": _saved("PNG", compress_level=1),
    "webp": _saved("WEBP", quality=85, method=0),
    "webp-lossless": _saved("WEBP", lossless=True, quality=0, method=0),
    "tiff": _saved("TIFF"),
    "tiff-lzw": _saved("TIFF", compression="tiff_lzw"),
    "tiff-deflate": _saved("TIFF", compression="tiff_adobe_deflate"),
    "tiff-jpeg": _saved("TIFF", compression="jpeg", quality=90),
    "bmp": _saved("BMP"),
    "heic": _as_heic,
}


def _some(first: int, end: int, size: int, chance: np.random.Generator) -> tuple[int, int]:
    """A stretch of so many bytes in the middle of the data, its ends."""
    size = min(size, (end - first) // 3)
    at = int(chance.integers(first + (end - first) // 20, end - (end - first) // 20 - size))
    return at, at + size


def _zeros(data: bytes, first: int, end: int, chance: np.random.Generator) -> bytes:
    a, b = _some(first, end, 512 * int(chance.integers(1, 65)), chance)
    return data[:a] + bytes(b - a) + data[b:]


def _most_lost(data: bytes, first: int, end: int, chance: np.random.Generator) -> bytes:
    a, b = (first + int((end - first) * share) for share in (0.3, 0.7))
    return data[:a] + bytes(b - a) + data[b:]


def _other_bytes(data: bytes, first: int, end: int, chance: np.random.Generator) -> bytes:
    a, b = _some(first, end, 512 * int(chance.integers(1, 17)), chance)
    return data[:a] + chance.bytes(b - a) + data[b:]


def _moved(data: bytes, first: int, end: int, chance: np.random.Generator) -> bytes:
    """A sector that stands where another belongs."""
    a, b = _some(first, end, 4096, chance)
    c, _ = _some(first, end, 4096, chance)
    return data[:a] + data[c : c + b - a] + data[b:]


def _removed(data: bytes, first: int, end: int, chance: np.random.Generator) -> bytes:
    a, b = _some(first, end, 512 * int(chance.integers(1, 17)), chance)
    return data[:a] + data[b:]


def _doubled(data: bytes, first: int, end: int, chance: np.random.Generator) -> bytes:
    a, b = _some(first, end, 4096, chance)
    return data[:b] + data[a:]


def _cut(data: bytes, first: int, end: int, chance: np.random.Generator) -> bytes:
    return data[: _some(first, end, 1, chance)[0]]


def _cut_and_ended(data: bytes, first: int, end: int, chance: np.random.Generator) -> bytes:
    return _cut(data, first, end, chance) + data[end:]


def _cut_and_another(data: bytes, first: int, end: int, chance: np.random.Generator) -> bytes:
    return _cut(data, first, end, chance) + data


def _bit(data: bytes, first: int, end: int, chance: np.random.Generator) -> bytes:
    at = _some(first, end, 1, chance)[0]
    return data[:at] + bytes([data[at] ^ 1 << int(chance.integers(8))]) + data[at + 1 :]


def _byte(data: bytes, first: int, end: int, chance: np.random.Generator) -> bytes:
    at = _some(first, end, 1, chance)[0]
    return data[:at] + bytes([data[at] ^ int(chance.integers(1, 256))]) + data[at + 1 :]


KINDS: Mapping[str, Damage] = {
    "sectors of zeros": _zeros,
    "40 % zeros": _most_lost,
    "other bytes": _other_bytes,
    "moved sector": _moved,
    "bytes removed": _removed,
    "bytes doubled": _doubled,
    "cut": _cut,
    "cut, end added": _cut_and_ended,
    "cut, another behind": _cut_and_another,
    "one bit": _bit,
    "one byte": _byte,
}

_USUAL: dict[str, float] = {
    "sectors of zeros": 0.9,
    "40 % zeros": 0.95,
    "other bytes": 0.9,
    "moved sector": 0.8,
    "bytes removed": 0.9,
    "bytes doubled": 0.9,
    "cut": 1.0,
    "cut, end added": 0.95,
    "cut, another behind": 0.95,
    # Most flips leave a valid stream of other pixels, which nothing without a checksum can tell.
    "one bit": 0.0,
    "one byte": 0.0,
}
_LESS = {"sectors of zeros": 0.8, "other bytes": 0.6, "moved sector": 0.5}


def least(format: str, kind: str) -> float:
    """The share that must be seen of a kind of damage."""
    if format in ("png", "tiff-deflate"):  # with checksums
        return 1.0
    if format in ("tiff", "bmp", "heic"):  # bare pixels; and a decoder that says nothing
        return float(kind in ("bytes removed", "cut", "cut, end added"))
    return (_USUAL | _LESS if format == "webp-lossless" else _USUAL)[kind]


def _picture_data(data: bytes, format: str) -> tuple[int, int]:
    """Where the picture's data begin and end."""
    if format.startswith("jpeg"):
        first = data.index(b"\xff\xda") if format != "jpeg" else _first_scan(data)
        first += 2 + int.from_bytes(data[first + 2 : first + 4], "big")
        return first, data.rindex(b"\xff\xd9")
    if format == "png":
        return data.index(b"IDAT") + 4, len(data) - 16
    if format.startswith("tiff"):
        return _strips(data)
    return {"bmp": 54, "heic": data.find(b"mdat") + 4}.get(format, 40), len(data)


def _first_scan(data: bytes) -> int:
    at = 2
    while data[at + 1] != 0xDA:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def _strips(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as photo:
        tags: Any = photo.tag_v2  # type: ignore[attr-defined]
        starts, lengths = tags[273], tags[279]
    return min(starts), max(map(sum, zip(starts, lengths, strict=True)))


def verdict(data: bytes, whole: Decoded) -> str:
    """What became of a damaged file: ``seen``, ``failed``, ``unseen``, or ``same`` when no pixel changed."""
    try:
        decoded = decode(data)
    except PhotoError:
        return "failed"
    if decoded.damaged or decoded.truncated:
        return "seen"
    same = decoded.image.shape == whole.image.shape and bool((decoded.image == whole.image).all())
    return "same" if same else "unseen"


def intact_ways(data: bytes) -> Mapping[str, bytes]:
    """A whole photo's file in forms that are as whole."""
    ways = {"as it is": data}
    if data.startswith(b"\xff\xd8"):
        first = _first_scan(data)
        end = data.find(b"\xff\xd9", first)
        film = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + data[first : first + 5000]
        ways |= {
            "rubbish behind": data + b"\r\n<html>" + bytes(3000),
            "film behind": data + film,
            "another behind": data + data,
            "zeros before the end": data[:end] + bytes(700) + data[end:],
            "filled before the end": data[:end] + b"\xff" * 9 + data[end:],
        }
    return ways


def false_flags(paths: Sequence[Path]) -> int:
    """How many intact files were flagged; says which."""
    flagged, judged = 0, 0
    for path in paths:
        for way, data in intact_ways(path.read_bytes()).items():
            decoded = decode(data)
            judged += 1
            if decoded.damaged or decoded.truncated:
                flagged += 1
                print(f"{path}: {way}: flagged")
    print(f"{judged:,} intact files of {len(paths)} photos, {flagged} flagged")
    return flagged


def damage_seen(paths: Sequence[Path], format: str, files: int, seed: int) -> list[tuple[str, Counter[str]]]:
    """For each kind of damage what became of so many files."""
    chance = np.random.default_rng(seed)
    counts = {kind: Counter[str]() for kind in KINDS}
    save = FORMATS[format]
    per_photo = max(1, files // min(len(paths), 50))
    while any(count.total() < files for count in counts.values()):
        path = paths[int(chance.integers(len(paths)))]
        data = path.read_bytes()
        if save:
            with Image.open(path) as opened:
                photo = opened.convert("RGB")
            photo.thumbnail((_LONGEST, _LONGEST))
            data = save(photo)
        whole = decode(data)
        if whole.damaged:
            raise SystemExit(f"{path} as {format}: flagged")
        first, end = _picture_data(data, format)
        for kind, damage in KINDS.items():
            for _ in range(min(per_photo, files - counts[kind].total())):
                counts[kind][verdict(damage(data, first, end, chance), whole)] += 1
    return list(counts.items())


def main() -> int:
    """Judge; see the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path, metavar="PHOTOS")
    parser.add_argument("--files", type=int, default=100, help="of each format and kind")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    paths = sorted(p for p in options.photos.rglob("*") if p.suffix.lower() in IMAGE_EXTENSIONS)
    if not paths:
        parser.error(f"expected photos below {options.photos}, found none")
    missed = false_flags(paths) > 0
    jpegs = [path for path in paths if path.read_bytes()[:2] == b"\xff\xd8"]
    for format in options.formats:
        for kind, count in damage_seen(jpegs, format, options.files, options.seed):
            changed = count.total() - count["same"]
            share = (count["seen"] + count["failed"]) / changed if changed else 1.0
            low = share < least(format, kind)
            missed |= low
            print(
                f"{format:17} {kind:20} {share:7.1%} of {changed} (failed {count['failed']}, "
                f"no pixel changed {count['same']}){' TOO FEW' if low else ''}",
                flush=True,
            )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
