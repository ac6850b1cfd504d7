"""Photos of any size that take little room on the disk: one for each way in which a format stores pixels.

All are one colour but for a few rows. What decoding them takes in memory does not depend on the picture.
"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from math import ceil, isqrt
from pathlib import Path
from typing import Any

from PIL import Image

Write = Callable[[Path, int], None]
"""Writes a photo of a given side, pixels."""


def _by_pillow(format: str, mode: str, **options: Any) -> Write:
    def write(path: Path, side: int) -> None:
        colour = {"L": 90, "1": 1, "P": 3}.get(mode, tuple(range(60, 60 + 30 * len(mode), 30)))
        image = Image.new(mode, (side, side), colour)
        if mode == "P":
            image.putpalette(list(range(30)))
        black: Any = 0 if mode in ("L", "1", "P") else (0,) * len(image.getbands())
        image.paste(black, (0, 0, side, 8))
        image.save(path, format, **options)

    return write


def _heic(path: Path, side: int) -> None:
    import pillow_heif

    pillow_heif.from_pillow(Image.new("RGB", (side, side), (60, 90, 120))).save(path, quality=50)


# ---------------------------------------------------------------- PNG

_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def _png(colour: int, depth: int, interlaced: bool = False, transparency: bytes = b"") -> Write:
    def write(path: Path, side: int) -> None:
        packer = zlib.compressobj(1)
        parts = []
        for x, y, step_x, step_y in _ADAM7 if interlaced else ((0, 0, 1, 1),):
            row = ceil(ceil((side - x) / step_x) * _CHANNELS[colour] * depth / 8)
            parts += [
                packer.compress(b"\0" + (b"\1" if n < 8 else b"\0") * row) for n in range(y, side, step_y)
            ]
        parts.append(packer.flush())
        head = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, interlaced)
        chunks = [(b"IHDR", head)]
        chunks += [(b"PLTE", bytes(range(30)))] if colour == 3 else []
        chunks += [(b"tRNS", transparency)] if transparency else []
        chunks += [(b"IDAT", b"".join(parts)), (b"IEND", b"")]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, *zip(*chunks, strict=True))))

    return write


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


# ---------------------------------------------------------------- TIFF

_CODES = {"none": 1, "lzw": 5, "deflate": 8, "packbits": 32773}


def _tiff(
    bits: int,
    samples: int,
    kind: int = 1,
    photometric: int = 2,
    compression: str = "deflate",
    rows: int = 64,
    tile: int = 0,
    planes: bool = False,
    extra: int | None = None,
) -> Write:
    """Return what writes a TIFF of strips of `rows` rows (0: one strip), or of tiles, all equal.

    Without compression the file is sparse.
    """

    def write(path: Path, side: int) -> None:
        across, down = (tile, tile) if tile else (side, rows or side)
        each = ceil(across * (1 if planes else samples) * bits / 8) * down
        count = ceil(side / down) * (ceil(side / across) if tile else 1) * (samples if planes else 1)
        sparse = compression == "none"
        block = b"" if sparse else _packed(each, down, compression)
        tags: dict[int, tuple[str, Iterable[int]]] = {
            256: ("L", [side]),
            257: ("L", [side]),
            258: ("H", [bits] * samples),
            259: ("H", [_CODES[compression]]),
            262: ("H", [photometric]),
            277: ("H", [samples]),
            284: ("H", [2 if planes else 1]),
            339: ("H", [kind] * samples),
        }
        if extra is not None:
            tags[338] = ("H", [extra])
        if photometric == 3:
            tags[320] = ("H", [0] * (3 << bits))
        length = each if sparse else len(block)
        # Not all at one place: the file would say that it has far more data than it has.
        starts = [8 + (number * length) for number in range(count)]
        lengths = [length] * count
        if compression == "packbits" and side % down:  # each of its rows ends by itself
            lengths[-1] = length // down * (side % down)
        if tile:
            tags |= {322: ("L", [tile]), 323: ("L", [tile]), 324: ("L", starts), 325: ("L", lengths)}
        else:
            tags |= {273: ("L", starts), 278: ("L", [down]), 279: ("L", lengths)}
        end = 8 + count * length
        end += end % 2
        entries, outside = [], b""
        after = end + 2 + 12 * len(tags) + 4
        for tag, (code, values) in sorted(tags.items()):
            numbers = list(values)
            data = struct.pack(f"<{len(numbers)}{code}", *numbers)
            if len(data) > 4:
                where = struct.pack("<L", after + len(outside))
                outside += data + b"\0" * (len(data) % 2)
                data = where
            entries.append(
                struct.pack("<HHL", tag, {"H": 3, "L": 4}[code], len(numbers)) + data.ljust(4, b"\0")
            )
        with open(path, "wb") as file:
            file.write(b"II*\0" + struct.pack("<L", end))
            for _ in range(0 if sparse else count):
                file.write(block)
            file.seek(end)
            file.write(struct.pack("<H", len(tags)) + b"".join(entries) + b"\0" * 4 + outside)

    return write


def _packed(size: int, rows: int, compression: str) -> bytes:
    if compression == "deflate":
        packer = zlib.compressobj(9)
        zeros = bytes(1 << 20)
        parts = [packer.compress(zeros[: min(1 << 20, size - at)]) for at in range(0, size, 1 << 20)]
        return b"".join([*parts, packer.flush()])
    if compression == "packbits":  # runs do not cross rows
        row = size // rows
        return (
            b"\x81\0" * (row // 128)
            + (bytes([257 - row % 128, 0]) if row % 128 > 1 else b"\0\0" * (row % 128))
        ) * rows
    file = io.BytesIO()  # a strip as libtiff packs it
    Image.new("L", (size // rows, rows)).save(file, "TIFF", compression="tiff_lzw", tiffinfo={278: rows})
    with Image.open(file) as image:
        tags = image.tag_v2  # type: ignore[attr-defined]
        (start,), (length,) = tags[273], tags[279]
    return file.getvalue()[start : start + length]


# ---------------------------------------------------------------- BMP


def _bmp(bits: int, runs: bool = False) -> Write:
    """Return what writes a BMP; one without runs is sparse."""

    def write(path: Path, side: int) -> None:
        palette = bytes(range(256)) * 4 if bits == 8 else b""
        offset = 54 + len(palette)
        row = b"\xff\1" * (side // 255) + (bytes([side % 255, 1]) if side % 255 else b"") + b"\0\0"
        size = (len(row) * side + 2) if runs else ceil(side * bits / 32) * 4 * side
        head = b"BM" + struct.pack("<IHHI", offset + size, 0, 0, offset)
        head += struct.pack("<IiiHHIIiiII", 40, side, side, 1, bits, int(runs), size, 0, 0, 0, 0)
        with open(path, "wb") as file:
            file.write(head + palette)
            if runs:
                for _ in range(side):
                    file.write(row)
                file.write(b"\0\1")
            else:
                file.truncate(offset + size)

    return write


PHOTOS: Mapping[str, Write] = {
    "jpeg": _by_pillow("JPEG", "RGB"),
    "jpeg 4:4:4": _by_pillow("JPEG", "RGB", subsampling=0),
    "jpeg grey": _by_pillow("JPEG", "L"),
    "jpeg progressive": _by_pillow("JPEG", "RGB", progressive=True),
    "jpeg progressive 4:4:4": _by_pillow("JPEG", "RGB", progressive=True, subsampling=0),
    "jpeg cmyk": _by_pillow("JPEG", "CMYK"),
    "jpeg cmyk progressive": _by_pillow("JPEG", "CMYK", progressive=True),
    "png rgb": _png(2, 8),
    "png rgb interlaced": _png(2, 8, True),
    "png rgb transparent": _png(2, 8, transparency=bytes(6)),
    "png rgb 16": _png(2, 16),
    "png rgb 16 transparent": _png(2, 16, transparency=bytes(6)),
    "png rgba": _png(6, 8),
    "png rgba 16": _png(6, 16),
    "png rgba 16 interlaced": _png(6, 16, True),
    "png grey": _png(0, 8),
    "png grey 1": _png(0, 1),
    "png grey 16": _png(0, 16),
    "png grey 16 transparent": _png(0, 16, transparency=bytes(2)),
    "png grey alpha": _png(4, 8),
    "png grey alpha 16": _png(4, 16),
    "png palette": _png(3, 8),
    "png palette transparent": _png(3, 8, transparency=bytes(3)),
    "webp": _by_pillow("WEBP", "RGB", method=0),
    "webp lossless": _by_pillow("WEBP", "RGB", lossless=True, method=0, quality=0),
    "webp alpha": _by_pillow("WEBP", "RGBA", method=0),
    "tiff rgb plain": _tiff(8, 3, compression="none"),
    "tiff rgb": _tiff(8, 3),
    "tiff rgb one strip": _tiff(8, 3, rows=0),
    "tiff rgb tiles": _tiff(8, 3, tile=256),
    "tiff rgb lzw": _tiff(8, 3, compression="lzw"),
    "tiff rgb packbits": _tiff(8, 3, compression="packbits"),
    "tiff rgb planes": _tiff(8, 3, planes=True),
    "tiff rgb 16": _tiff(16, 3),
    "tiff rgb 16 one strip": _tiff(16, 3, rows=0),
    "tiff rgb 16 plain": _tiff(16, 3, compression="none"),
    "tiff rgb 16 planes": _tiff(16, 3, planes=True),
    "tiff rgb 32": _tiff(32, 3),
    "tiff rgba": _tiff(8, 4, extra=2),
    "tiff rgba 16": _tiff(16, 4, extra=2),
    "tiff grey": _tiff(8, 1, photometric=1),
    "tiff grey 1": _tiff(1, 1, photometric=1),
    "tiff grey 12": _tiff(12, 1, photometric=1),
    "tiff grey 16": _tiff(16, 1, photometric=1),
    "tiff grey alpha": _tiff(8, 2, photometric=1, extra=2),
    "tiff palette": _tiff(8, 1, photometric=3),
    "tiff cmyk": _tiff(8, 4, photometric=5),
    "tiff cmyk 16": _tiff(16, 4, photometric=5),
    "tiff lab": _tiff(8, 3, photometric=8),
    "tiff jpeg": _by_pillow("TIFF", "RGB", compression="jpeg"),
    "tiff float grey": _tiff(32, 1, 3, photometric=1),
    "tiff float rgb": _tiff(32, 3, 3),
    "tiff float rgb one strip": _tiff(32, 3, 3, rows=0),
    "tiff float rgb tiles": _tiff(32, 3, 3, tile=256),
    "tiff double grey": _tiff(64, 1, 3, photometric=1),
    "tiff double rgb": _tiff(64, 3, 3),
    "bmp 24": _bmp(24),
    "bmp 32": _bmp(32),
    "bmp 8": _bmp(8),
    "bmp runs": _bmp(8, True),
    "heic": _heic,
}
"""Name → what writes such a photo."""

MOST_MEGAPIXELS = {"heic": 16, "webp": 60, "webp alpha": 60}
"""Photos that take long to write, or that cannot be larger."""


def make(folder: Path, name: str, megapixels: float) -> Path:
    """Write a photo in another process, for the memory it takes, unless it is there; return its path."""
    side = isqrt(round(min(megapixels, MOST_MEGAPIXELS.get(name, megapixels)) * 1e6))
    path = folder / f"{name.replace(' ', '_').replace(':', '')}-{side}.{_extension(name)}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        code = f"from benchmarks.memory_photos import *; PHOTOS[{name!r}](Path({str(path)!r}), {side})"
        subprocess.run([sys.executable, "-c", code], check=True)
    return path


def _extension(name: str) -> str:
    return {"jpeg": "jpg", "tiff": "tif"}.get(name.split()[0], name.split()[0])
