"""TIFF samples of every kind, built bit by bit here, against values worked out in plain numpy."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detic_crop.errors import PhotoError
from detic_crop.images.decode import decode

HEIGHT, WIDTH = 21, 37
FORMAT_CODES = {1: "u", 2: "i", 3: "f"}
Values = NDArray[Any]
Tags = Mapping[int, tuple[str, Sequence[float]]]
"""Tag → code of `struct` and numbers."""


def grey(top: int = 255) -> Values:
    """(H, W) whole numbers from 0 to `top`, with slopes and noise."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(4).random((HEIGHT, WIDTH))
    share = np.clip((x + y) / (HEIGHT + WIDTH) * 0.8 + noise * 0.2, 0, 1)
    values = np.round(share * top).astype(np.int64)
    values[0, :2] = 0, top
    return np.asarray(values)


def packed(values: Values, bits: int, order: str, sample_format: int) -> list[bytes]:
    """(H, W, samples) → the bytes of each row."""
    if bits in (8, 16, 32, 64):
        kind = np.dtype(f"{order}{FORMAT_CODES[sample_format]}{bits // 8}")
        return [row.astype(kind).tobytes() for row in values]
    rows = []
    for row in values.reshape(len(values), -1):
        digits = "".join(f"{int(v) & ((1 << bits) - 1):0{bits}b}" for v in row)
        digits += "0" * (-len(digits) % 8)
        rows.append(int(digits, 2).to_bytes(len(digits) // 8, "big"))
    return rows


def reversed_bits(data: bytes) -> bytes:
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)


def tiff(
    values: Values,
    bits: int,
    photometric: int = 1,
    sample_format: int = 1,
    order: str = "<",
    planar: bool = False,
    compression: int = 1,
    predictor: int = 1,
    rows_per_strip: int = 8,
    tile: tuple[int, int] | None = None,
    fill_order: int = 1,
    big: bool = False,
    extra: tuple[int, ...] = (),
    more: Tags | None = None,
) -> bytes:
    """A TIFF of (H, W) or (H, W, samples) values, in strips or tiles."""
    values = values if values.ndim == 3 else values[..., None]
    height, width, samples = values.shape
    planes = [values[..., s : s + 1] for s in range(samples)] if planar else [values]
    blocks = []
    for plane in planes:
        if tile:
            for top in range(0, height, tile[1]):
                for left in range(0, width, tile[0]):
                    block = np.zeros((tile[1], tile[0], plane.shape[2]), plane.dtype)
                    inside = plane[top : top + tile[1], left : left + tile[0]]
                    block[: inside.shape[0], : inside.shape[1]] = inside
                    blocks.append(block)
        else:
            blocks += [plane[top : top + rows_per_strip] for top in range(0, height, rows_per_strip)]
    stored = [coded(block, bits, sample_format, order, predictor) for block in blocks]
    if compression == 8:
        stored = [zlib.compress(block) for block in stored]
    if fill_order == 2:
        stored = [reversed_bits(block) for block in stored]
    head = 16 if big else 8
    starts = np.cumsum([head] + [len(block) for block in stored[:-1]]).tolist()
    numbers: dict[int, tuple[str, Sequence[float]]] = {
        256: ("L", (width,)),
        257: ("L", (height,)),
        258: ("H", (bits,) * samples),
        259: ("H", (compression,)),
        262: ("H", (photometric,)),
        266: ("H", (fill_order,)),
        277: ("H", (samples,)),
        284: ("H", (2 if planar else 1,)),
        317: ("H", (predictor,)),
        339: ("H", (sample_format,) * samples),
    }
    if tile:
        numbers |= {322: ("L", (tile[0],)), 323: ("L", (tile[1],)), 324: ("L", tuple(starts))}
        numbers[325] = ("L", tuple(map(len, stored)))
    else:
        numbers |= {273: ("L", tuple(starts)), 278: ("L", (rows_per_strip,))}
        numbers[279] = ("L", tuple(map(len, stored)))
    if extra:
        numbers[338] = ("H", extra)
    return written(numbers | dict(more or {}), b"".join(stored), order, big)


def written(numbers: Tags, pixels: bytes, order: str, big: bool) -> bytes:
    kinds = {"H": 3, "L": 4, "f": 11, "d": 12, "h": 8}
    offset, inline = ("Q", 8) if big else ("L", 4)
    head = 16 if big else 8
    outside, entries = b"", b""
    end = head + len(pixels)
    for tag, (code, of_tag) in sorted(numbers.items()):
        value = struct.pack(f"{order}{len(of_tag)}{code}", *of_tag)
        if len(value) > inline:
            place = struct.pack(order + offset, end + len(outside))
            outside += value
            value = place
        entries += struct.pack(f"{order}HH{offset}", tag, kinds[code], len(of_tag)) + value.ljust(
            inline, b"\0"
        )
    mark = b"II" if order == "<" else b"MM"
    directory = struct.pack(f"{order}{'Q' if big else 'H'}", len(numbers)) + entries + bytes(inline)
    start = struct.pack(order + offset, end + len(outside))
    version = struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    return mark + version + start + pixels + outside + directory


def coded(block: Values, bits: int, sample_format: int, order: str, predictor: int) -> bytes:
    if predictor == 2:
        kind = np.dtype(f"u{bits // 8}")
        plain = block.astype(np.dtype(f"{FORMAT_CODES[sample_format]}{bits // 8}")).view(kind)
        block = plain.copy()
        block[:, 1:] -= plain[:, :-1]
        return block.astype(f"{order}u{bits // 8}").tobytes()
    if predictor == 3:
        size = bits // 8
        flat = block.astype(f">f{size}").reshape(len(block), -1)
        planes = flat.view(np.uint8).reshape(len(block), -1, size).swapaxes(1, 2).reshape(len(block), -1)
        differences = planes.copy()
        step = block.shape[2]
        differences[:, step:] -= planes[:, :-step]
        return differences.tobytes()
    return b"".join(packed(block, bits, order, sample_format))


def shown(data: bytes) -> Values:
    """(H, W) grey levels, as wide numbers."""
    image = decode(data, truncated="fail").image
    assert (image == image[..., :1]).all()
    return image[..., 0].astype(int)


def as_8_bits(values: Values, bits: int) -> Values:
    return values >> (bits - 8) if bits >= 8 else values * 255 // ((1 << bits) - 1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 24, 32, 64])
def test_unsigned_grey(bits: int, photometric: int, order: str) -> None:
    values = grey((1 << min(bits, 62)) - 1).astype(np.uint64)
    values = values << np.uint64(2) if bits == 64 else values
    expected = as_8_bits(values.astype(object), bits).astype(int)
    stored = values if photometric else ((1 << bits) - 1) - values.astype(object)
    data = tiff(
        stored if bits % 8 or bits == 24 else stored.astype(np.uint64), bits, photometric, order=order
    )
    got = shown(data)
    np.testing.assert_allclose(got, expected, atol=0 if photometric else 1)
    assert {0, 255} <= set(np.unique(got))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [8, 12, 16, 32, 64])
def test_signed_grey(bits: int, photometric: int, order: str) -> None:
    top = (1 << min(bits - 1, 61)) - 1
    values = grey(top) << (2 if bits == 64 else 0)
    values[1, :5] = -values[1, :5] - 1  # below black
    data = tiff(values, bits, photometric, sample_format=2, order=order)
    expected = np.maximum(values, 0).astype(object)
    expected = (expected >> (bits - 9) if bits > 8 else expected * 255 // 127).astype(int)
    np.testing.assert_array_equal(shown(data), expected if photometric else 255 - expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floating_grey(white: float, bits: int, photometric: int, order: str) -> None:
    if bits == 16 and white > 60_000:
        white = 255.0  # beyond half floats
    values = grey(1000) / 1000 * white
    got = shown(tiff(values, bits, photometric, sample_format=3, order=order))
    expected = np.floor(values * 255 / white + 0.5)
    np.testing.assert_allclose(got if photometric else 255 - got, expected, atol=1)


def test_floats_may_overshoot_and_be_no_numbers() -> None:
    values = np.array([[0, 0.5, 1, 1.4, -0.3, np.nan, np.inf]])
    np.testing.assert_array_equal(shown(tiff(values, 32, sample_format=3)), [[0, 128, 255, 255, 0, 0, 0]])


def test_floats_that_signal_are_no_numbers_either() -> None:
    values = np.array([[0x3F000000, 0x7F800001, 0x3F800000]], np.uint32)  # 0.5, a signalling NaN, 1.0
    data = tiff(np.array([[0.5, 0, 1]]), 32, sample_format=3)
    before = np.array([[0x3F000000, 0, 0x3F800000]], np.uint32).tobytes()
    assert before in data
    np.testing.assert_array_equal(shown(data.replace(before, values.tobytes())), [[128, 0, 255]])


def test_floats_of_no_known_range_say_it_or_fail() -> None:
    values = np.array([[1e6, 1.5e6, 2e6]])
    said = {340: ("f", (1e6,)), 341: ("f", (2e6,))}
    np.testing.assert_array_equal(shown(tiff(values, 32, sample_format=3, more=said)), [[0, 128, 255]])
    with pytest.raises(PhotoError, match="does not say what is white") as caught:
        decode(tiff(values, 32, sample_format=3))
    assert caught.value.reason == "unsupported_format"


LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {},
    "one strip": {"rows_per_strip": 1000},
    "rows": {"rows_per_strip": 1},
    "tiles": {"tile": (16, 16)},
    "deflate": {"compression": 8},
    "deflated tiles": {"compression": 8, "tile": (32, 16)},
    "big": {"big": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("bits", "sample_format"), [(12, 1), (16, 1), (16, 2), (32, 3)])
def test_layouts(bits: int, sample_format: int, layout: str) -> None:
    values = grey(1000) / 1000 if sample_format == 3 else grey((1 << (bits - sample_format + 1)) - 1)
    expected = shown(tiff(values, bits, sample_format=sample_format, rows_per_strip=HEIGHT))
    np.testing.assert_array_equal(
        shown(tiff(values, bits, sample_format=sample_format, **LAYOUTS[layout])), expected
    )


@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("bits", "sample_format", "predictor"),
    [
        (8, 2, 2),
        (16, 1, 2),
        (16, 2, 2),
        (32, 1, 2),
        (32, 2, 2),
        (32, 3, 2),
        (16, 3, 3),
        (32, 3, 3),
        (64, 3, 3),
    ],
)
def test_predictors(
    bits: int, sample_format: int, predictor: int, order: str, tile: tuple[int, int] | None
) -> None:
    values = grey(1000) / 1000 if sample_format == 3 else grey((1 << (bits - sample_format + 1)) - 1)
    plain = shown(tiff(values, bits, sample_format=sample_format, order=order))
    predicted = tiff(values, bits, 1, sample_format, order, compression=8, predictor=predictor, tile=tile)
    np.testing.assert_array_equal(shown(predicted), plain)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
@pytest.mark.parametrize("photometric", [0, 1])
def test_fill_order(bits: int, photometric: int) -> None:
    values = grey((1 << bits) - 1)
    expected = shown(tiff(values, bits, photometric))
    np.testing.assert_array_equal(shown(tiff(values, bits, photometric, fill_order=2)), expected)


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("bits", "sample_format"), [(4, 1), (8, 1), (8, 2), (10, 1), (12, 1), (16, 1), (16, 2), (32, 1), (32, 3)]
)
def test_colours(bits: int, sample_format: int, order: str, planar: bool) -> None:
    top = 1000 if sample_format == 3 else (1 << (bits - sample_format + 1)) - 1
    rgb = np.stack([grey(top), grey(top)[::-1], grey(top)[:, ::-1]], 2)
    stored = rgb / 1000 if sample_format == 3 else rgb
    data = tiff(stored, bits, 2, sample_format, order, planar, rows_per_strip=5)
    expected = np.stack([shown(tiff(stored[..., c], bits, 1, sample_format, order)) for c in range(3)], 2)
    np.testing.assert_array_equal(decode(data, truncated="fail").image[..., ::-1], expected)


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_alpha_lies_over_white(bits: int, planar: bool) -> None:
    top = (1 << bits) - 1
    values = np.array([[[top, top], [0, top], [0, 0], [top // 2, 0]]])
    for meaning, expected in ((2, [255, 0, 255, 255]), (0, [255, 0, 0, 127])):
        data = tiff(values, bits, planar=planar, extra=(meaning,))
        np.testing.assert_array_equal(shown(data), [expected])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bits": 12, "sample_format": 3}, "floats of 12 bits"),
        ({"bits": 24, "sample_format": 3}, "floats of 24 bits"),
        ({"bits": 16, "sample_format": 5}, "sample format 5"),
        ({"bits": 12, "compression": 7}, "compression 7"),
        ({"bits": 12, "predictor": 2}, "differences of 12 bits"),
        ({"bits": 16, "predictor": 9}, "predictor 9"),
        ({"bits": 16, "predictor": 3}, "which it has not"),
    ],
)
def test_what_is_not_known_says_so(options: dict[str, Any], words: str) -> None:
    bits = options.pop("bits")
    data = tiff(grey(100), bits)
    # Only the tags are changed: the pixels never get so far.
    for name, value in options.items():
        tag = {"sample_format": 339, "compression": 259, "predictor": 317}[name]
        at = data.index(struct.pack("<HH", tag, 3))
        data = data[: at + 8] + struct.pack("<H", value) + data[at + 10 :]
    with pytest.raises(PhotoError, match=words) as caught:
        decode(data)
    assert caught.value.reason == "unsupported_format"


def test_a_deep_tiff_that_is_cut_or_damaged_is_seen() -> None:
    data = tiff(grey(4095), 12, compression=8, rows_per_strip=3)
    at = 8 + 700  # in the third strip or so
    assert decode(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]).damaged is True
    assert decode(data).damaged is False
