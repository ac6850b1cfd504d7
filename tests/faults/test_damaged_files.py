"""A generated corpus of damaged files: each gives a valid photo or a PhotoError, and nothing on stderr."""

from __future__ import annotations

import io
import platform
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from detic_crop.errors import PhotoError
from detic_crop.images.decode import REASONS, decode

MUTATIONS = 600
MAX_PIXELS = 1_000_000  # a damaged header may claim any size; keep the test's memory small
QUIET = platform.libc_ver()[0] == "glibc"  # elsewhere libjpeg's remarks cannot be held back
BIG_NUMBERS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1", b"\0\0\0\x80")


@cache
def photo() -> Image.Image:
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:48, :64]
    smooth = np.stack([x * 3, y * 4, (x + y) * 2], -1)
    return Image.fromarray((smooth + rng.integers(0, 20, smooth.shape)).astype(np.uint8))


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    tags = Image.Exif()
    tags[274] = 6
    file = io.BytesIO()
    if format == "HEIF":
        pillow_heif.from_pillow(image).save(file)
    else:
        image.save(file, format, **({} if format == "BMP" else {"exif": tags}), **options)
    return file.getvalue()


def grey16() -> Image.Image:
    return Image.fromarray(np.asarray(photo())[..., 0].astype(np.uint16) * 257)


SOURCES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved(photo(), "JPEG"),
    "jpeg-progressive": lambda: saved(photo(), "JPEG", progressive=True),
    "jpeg-cmyk": lambda: saved(photo().convert("CMYK"), "JPEG"),
    "jpeg-mpo": lambda: saved(photo(), "MPO", save_all=True, append_images=[photo().rotate(180)]),
    "png": lambda: saved(photo(), "PNG"),
    "png-palette": lambda: saved(photo().quantize(32), "PNG", transparency=3),
    "png-16": lambda: saved(grey16(), "PNG"),
    "webp": lambda: saved(photo(), "WEBP"),
    "webp-lossless": lambda: saved(photo().convert("RGBA"), "WEBP", lossless=True),
    "webp-animated": lambda: saved(photo(), "WEBP", save_all=True, append_images=[photo().rotate(90)]),
    "tiff": lambda: saved(photo(), "TIFF"),
    "tiff-lzw": lambda: saved(photo(), "TIFF", compression="tiff_lzw"),
    "tiff-jpeg": lambda: saved(photo(), "TIFF", compression="jpeg"),
    "tiff-fax": lambda: saved(photo().convert("1"), "TIFF", compression="group4"),
    "tiff-big": lambda: saved(photo(), "TIFF", big_tiff=True),
    "bmp": lambda: saved(photo(), "BMP"),
    "bmp-palette": lambda: saved(photo().quantize(16), "BMP"),
    "heic": lambda: saved(photo(), "HEIF"),
}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One way of going wrong: flipped bits, other bytes, a cut, an insertion, a gap, zeros, a wild length."""
    file = bytearray(data)
    # Half of the time near the start, where the header is and one byte does most harm.
    reach = len(file) if rng.random() < 0.5 else min(len(file), 256)
    at = int(rng.integers(reach))
    length = int(rng.integers(1, 64))
    kind = rng.integers(7)
    if kind == 0:
        for where in rng.integers(0, reach, 6):
            file[where] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        for where in rng.integers(0, reach, 3):
            file[where] = int(rng.integers(256))
    elif kind == 2:
        del file[at:]
    elif kind == 3:
        file[at:at] = rng.bytes(length)
    elif kind == 4:
        del file[at : at + length]
    elif kind == 5:
        file[at : at + length] = bytes(min(length, len(file) - at))
    else:
        file[at : at + 4] = BIG_NUMBERS[int(rng.integers(len(BIG_NUMBERS)))]
    return bytes(file)


def corpus(name: str, count: int) -> list[bytes]:
    data = SOURCES[name]()
    assert decode(data, truncated="fail").damaged is not True
    rng = np.random.default_rng(sorted(SOURCES).index(name))
    return [mutated(data, rng) for _ in range(count)]


def outcome(data: bytes) -> str:
    """The reason of a failure, what was kept, or "whole"; anything else escapes and fails the test."""
    try:
        decoded = decode(data, max_pixels=MAX_PIXELS)
    except PhotoError as error:
        return error.reason if error.reason in REASONS and "\n" not in str(error) else f"badly said: {error}"
    image = decoded.image
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert 0 < image.shape[0] * image.shape[1] <= MAX_PIXELS
    assert image.flags.c_contiguous
    return "truncated" if decoded.truncated else "damaged" if decoded.damaged else "whole"


@pytest.mark.parametrize("name", SOURCES)
def test_one_outcome_each(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    outcomes = Counter(outcome(data) for data in corpus(name, MUTATIONS))
    assert outcomes.total() == MUTATIONS
    assert outcomes.keys() <= {"whole", *REASONS}
    assert len(outcomes) >= 3, "the corpus should do some harm, and not only harm"
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err == "" or not QUIET


def test_four_threads_say_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    files = [data for name in SOURCES for data in corpus(name, 60)]
    alone = [outcome(data) for data in files]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(outcome, files))
    assert together == alone
    assert capfd.readouterr().err == "" or not QUIET


def test_damaged_files_decode_the_same_twice() -> None:
    """No decoder shows memory it has not written: such rows would differ from run to run."""
    # Of all these only Pillow before 11 does, in damaged fax pages.
    for name in SOURCES.keys() - {"tiff-fax"}:
        for data in corpus(name, 60):
            try:
                first = decode(data, max_pixels=MAX_PIXELS).image
            except PhotoError:
                continue
            np.full(first.shape, 173, np.uint8)  # dirty the memory that the next one may get
            np.testing.assert_array_equal(decode(data, max_pixels=MAX_PIXELS).image, first)
