"""Small files that want much memory or time: each gets its row, and so does the photo beside it."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.attack.commands import assert_whole, give, memory_within
from tests.attack.runner import Trial
from tests.kit.faults import cli_command
from tests.kit.folders import row_of
from tests.kit.mutations import mutate
from tests.kit.photos import photo_bytes

PIXELS = 20_000_000
MEMORY = 1 << 30
"""Bytes that none may take, where photos of at most `PIXELS` are decoded."""

# ---------------------------------------------------------------- JPEG


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _jpeg(width: int, height: int, *parts: bytes, coding: int = 0xC0, components: int = 3) -> bytes:
    """A JPEG whose every code is one bit long and means nothing; `parts` are its scans and the like."""
    described = b"".join(bytes([number, 0x11, 0]) for number in range(1, components + 1))
    codes = bytes([1, *[0] * 15, 0])
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xDB, bytes([0, *[16] * 64])),
            _segment(coding, struct.pack(">BHHB", 8, height, width, components) + described),
            _segment(0xC4, b"\x00" + codes),
            _segment(0xC4, b"\x10" + codes),
            *parts,
            b"\xff\xd9",
        )
    )


def _scan(component: int, first: int = 0, last: int = 63, bits: int = 0) -> bytes:
    return _segment(0xDA, bytes([1, component, 0, first, last, bits])) + b"\0"


def _jpegs() -> Mapping[str, bytes]:
    one_by_one = list(itertools.islice(itertools.cycle([_scan(1), _scan(2), _scan(3)]), 30_000))
    refining = [_scan(1, 1, 63, 0x10), *[_scan(1, 1, 63, 0x10)] * 20_000]
    usual = photo_bytes(1)
    return {
        "scans.jpg": _jpeg(4400, 4400, *one_by_one),
        "progressive.jpg": _jpeg(4400, 4400, _scan(1, 0, 0), *refining, coding=0xC2),
        "large.jpg": _jpeg(65_500, 65_500, _scan(1)),
        "lossless.jpg": _jpeg(4000, 4000, _scan(1), coding=0xC3),
        "arithmetic.jpg": _jpeg(4000, 4000, _scan(1), coding=0xC9),
        "no_height.jpg": _jpeg(4000, 0, _scan(1), _segment(0xDC, b"\xff\xff")),
        "no_width.jpg": _jpeg(0, 4000, _scan(1)),
        "components.jpg": _jpeg(4000, 4000, _scan(1), components=255),
        "two_frames.jpg": _jpeg(
            100, 100, _segment(0xC0, struct.pack(">BHHB", 8, 60_000, 60_000, 1) + b"\1\x11\0")
        ),
        "restarts.jpg": _jpeg(4000, 4000, _segment(0xDD, b"\0\1"), _scan(1), b"\xff\xd0" * 300_000),
        "segments.jpg": usual[:2] + _segment(0xFE, b"x" * 60_000) * 300 + usual[2:],
        "many_segments.jpg": usual[:2] + _segment(0xFE, b"") * 200_000 + usual[2:],
        "fill.jpg": usual[:2] + b"\xff" * 3_000_000 + usual[2:],
        "tables.jpg": usual[:2] + _segment(0xDB, bytes([0, *[1] * 64])) * 30_000 + usual[2:],
        "profile.jpg": usual[:2] + _segment(0xE2, b"ICC_PROFILE\0\1\1" + b"\xff" * 60_000) * 200 + usual[2:],
        "exif_loop.jpg": usual[:2]
        + _segment(0xE1, b"Exif\0\0" + _ifd((0x8769, 4, 1, 8), (0x0112, 3, 1, 6)))
        + usual[2:],
        "exif_long.jpg": usual[:2]
        + _segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\1" * 60_000)
        + usual[2:],
    }


# ---------------------------------------------------------------- PNG


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(
    width: int, height: int, *parts: bytes, depth: int = 8, colour: int = 2, interlaced: int = 0
) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + b"".join(parts) + _chunk(b"IEND", b"")


def _zeros(count: int) -> bytes:
    """So many zeros, compressed."""
    packer = zlib.compressobj(9)
    blocks = [packer.compress(bytes(min(1 << 20, count - at))) for at in range(0, count, 1 << 20)]
    return b"".join((*blocks, packer.flush()))


def _pngs() -> Mapping[str, bytes]:
    row = _chunk(b"IDAT", zlib.compress(b"\0" + bytes(48)))
    much = _zeros(200 << 20)
    deep = _chunk(b"IDAT", _zeros(4400 * (4400 * 8 + 1)))
    return {
        "large.png": _png(2**31 - 1, 2**31 - 1, row),
        "wide.png": _png(2**31 - 1, 1, row),
        "tall.png": _png(1, 2**31 - 1, row),
        "nothing.png": _png(0, 0, row),
        "deep.png": _png(4400, 4400, deep, depth=16, colour=6),
        "interlaced.png": _png(4400, 4400, deep, depth=16, colour=6, interlaced=1),
        "too_much.png": _png(16, 16, _chunk(b"IDAT", much)),
        "text.png": _png(16, 1, _chunk(b"zTXt", b"a\0\0" + much), row),
        "international.png": _png(16, 1, _chunk(b"iTXt", b"a\0\1\0\0\0" + much), row),
        "profile.png": _png(16, 1, _chunk(b"iCCP", b"a\0\0" + much), row),
        "exif.png": _png(16, 1, _chunk(b"eXIf", _ifd((0x8769, 4, 1, 8))), row),
        "chunks.png": _png(16, 1, _chunk(b"tEXt", b"a\0b") * 200_000, row),
        "pieces.png": _png(4000, 4000, *[_chunk(b"IDAT", b"")] * 200_000, row),
        "frames.png": _png(16, 1, _chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), row),
        "chunk_of_2GiB.png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31 - 1) + b"IHDR" + bytes(100),
    }


# ---------------------------------------------------------------- TIFF


def _ifd(*entries: tuple[int, int, int, int], behind: bytes = b"", following: int = 0) -> bytes:
    """A little-endian TIFF of one directory of (tag, type, count, value); then what values point to."""
    described = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", len(entries))
        + described
        + struct.pack("<I", following)
        + behind
    )


def _tiff(
    width: int,
    height: int,
    data: bytes,
    *more: tuple[int, int, int, int],
    packing: int = 8,
    following: int = 0,
) -> bytes:
    """A TIFF of one strip of 8-bit grey; `more` entries come instead of the usual ones with their tags."""
    usual = {
        256: (256, 4, 1, width),
        257: (257, 4, 1, height),
        258: (258, 3, 1, 8),
        259: (259, 3, 1, packing),
    }
    usual |= {262: (262, 3, 1, 1), 277: (277, 3, 1, 1), 278: (278, 4, 1, height), 279: (279, 4, 1, len(data))}
    usual |= {entry[0]: entry for entry in more} | {273: (273, 4, 1, 0)}
    start = 8 + 2 + 12 * len(usual) + 4
    usual[273] = (273, 4, 1, start)
    return _ifd(*usual.values(), behind=data, following=following)


def _strips(width: int, height: int, each: int) -> bytes:
    """A TIFF whose every strip is the same packed one."""
    count = -(-height // each)
    data = _zeros(width * each)
    entries = 10
    start = 8 + 2 + 12 * entries + 4
    offsets = struct.pack("<I", start + 8 * count) * count
    counts = struct.pack("<I", len(data)) * count
    return _ifd(
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, count, start),
        (277, 3, 1, 1),
        (278, 4, 1, each),
        (279, 4, count, start + 4 * count),
        (282, 4, 1, 1),
        behind=offsets + counts + data,
    )


def _tiffs() -> Mapping[str, bytes]:
    row = zlib.compress(bytes(16))
    return {
        "large.tif": _tiff(2**32 - 1, 2**32 - 1, row),
        "nothing.tif": _tiff(0, 0, row),
        "floats.tif": _tiff(4400, 4400, _zeros(4400 * 4400 * 4), (258, 3, 1, 32), (339, 3, 1, 3)),
        "doubles.tif": _tiff(4400, 4400, _zeros(4400 * 4400 * 8), (258, 3, 1, 64), (339, 3, 1, 3)),
        "bits.tif": _tiff(4400, 4400, _zeros(4400 * 550), (258, 3, 1, 1)),
        "samples.tif": _tiff(4000, 4000, row, (277, 3, 1, 65_535)),
        "too_much.tif": _tiff(16, 16, _zeros(200 << 20)),
        "strips.tif": _strips(4400, 4400, 1),
        "large_strips.tif": _strips(4400, 4400, 2200),
        "many_strips.tif": _strips(10, 400_000, 1),
        "loop.tif": _tiff(16, 16, row, following=8),
        "directory.tif": b"II*\0\x08\0\0\0\xff\xff" + b"\0\1\3\0\1\0\0\0\1\0\0\0" * 65_535,
        "counts.tif": _tiff(16, 16, row, (279, 4, 2**32 - 1, 8), (258, 3, 2**32 - 1, 8)),
        "tiles.tif": _tiff(
            4000, 4000, row, (322, 4, 1, 2**31), (323, 4, 1, 2**31), (324, 4, 1, 8), (325, 4, 1, 8)
        ),
        "runs.tif": _tiff(4400, 4400, b"\x81\0" * 152_000, packing=32773),
        "lzw.tif": _tiff(4400, 4400, b"\x80\x3f" + b"\xe0" * 30_000, packing=5),
        "fax.tif": _tiff(4400, 4400, b"\xff" * 3000, (258, 3, 1, 1), packing=4),
        "jpeg.tif": _tiff(4400, 4400, _jpegs()["scans.jpg"], packing=7),
    }


# ---------------------------------------------------------------- WebP, BMP


def _riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _webps() -> Mapping[str, bytes]:
    def head(width: int, height: int, flags: int = 0) -> bytes:
        return (
            bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        )

    # No transform, no cache, no groups; five codes of one symbol each take no bits a pixel.
    lossless = b"\x2f" + struct.pack("<I", (4399) | (4399 << 14))
    empty = lossless + bytes([0b0010_1000, 0b1010_0010, 0b0010_1000, 0b1010_0010]) + bytes(20)
    frame = (
        (0).to_bytes(6, "little")
        + head(4400, 4400)[4:]
        + bytes(4)
        + b"VP8L"
        + struct.pack("<I", len(empty))
        + empty
    )
    return {
        "large.webp": _riff((b"VP8L", b"\x2f" + struct.pack("<I", 2**28 - 1) + bytes(50))),
        "lossless.webp": _riff((b"VP8L", empty)),
        "canvas.webp": _riff((b"VP8X", head(1 << 24, 1 << 24)), (b"VP8L", empty)),
        "frames.webp": _riff((b"VP8X", head(4400, 4400, 2)), (b"ANIM", bytes(6)), *[(b"ANMF", frame)] * 2000),
        "lossy.webp": _riff((b"VP8 ", b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(50))),
        "chunks.webp": _riff((b"VP8X", head(16, 16)), *[(b"junk", b"")] * 200_000),
    }


def _bmp(width: int, height: int, data: bytes, *, bits: int = 8, packing: int = 1, colours: int = 2) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packing, len(data), 0, 0, colours, 0)
    palette = bytes(4 * 256 if bits == 8 else 0)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + palette + data


def _bmps() -> Mapping[str, bytes]:
    return {
        "runs.bmp": _bmp(4400, 4400, b"\xff\1" * 80_000 + b"\0\1"),
        "large.bmp": _bmp(2**31 - 1, 2**31 - 1, b"\0\1"),
        "negative.bmp": _bmp(-5, -(2**31), b"\0\1", bits=24, packing=0),
        "colours.bmp": _bmp(16, 16, bytes(300), packing=0, colours=2**32 - 1),
        "jumps.bmp": _bmp(4400, 4400, b"\0\2\xff\xff" * 20_000),
    }


_MAKERS: Iterable[Callable[[], Mapping[str, bytes]]] = (_jpegs, _pngs, _tiffs, _webps, _bmps)
_COUNT = 61


class Bombs:
    """First each of them as it is; then one of them, damaged."""

    name = "bombs"
    usual = _COUNT + 40

    def prepare(self, base: Path) -> None:
        made = {name: data for make in _MAKERS for name, data in make().items()}
        assert len(made) == _COUNT, len(made)
        for name, data in made.items():
            (base / name).write_bytes(data)
        (base / "boxes.csv").write_text("image,xmin,ymin,xmax,ymax\ngood.jpg,10,10,30,30\n")

    def attempt(self, trial: Trial) -> str:
        names = sorted(path.name for path in trial.base.iterdir() if path.name != "boxes.csv")
        handmade = trial.number < len(names)
        name = names[trial.number] if handmade else trial.random.choice(names)
        data = (trial.base / name).read_bytes()
        print(name, end=" ")
        if not handmade:
            how, data = mutate(trial.random, data)
            print(how, end="")
        print(flush=True)
        photos, out = trial.place / "in", trial.place / "out"
        photos.mkdir()
        (photos / f"bomb_{name}").write_bytes(data)
        (photos / "good.jpg").write_bytes(photo_bytes(3))
        command = cli_command(photos, trial.base / "boxes.csv", size=16)
        with memory_within(MEMORY):
            assert not give(*command, "--max-pixels", str(PIXELS), "--workers", "1", "--out", out).error
        assert_whole(out, [f"bomb_{name}", "good.jpg"])
        assert row_of(out, "good.jpg")["status"] == "cropped"
        row = row_of(out, f"bomb_{name}")
        return f"{row['status']}: {row['reason']}"
