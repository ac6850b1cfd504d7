"""Samples of TIFF files that Pillow has no mode for, by what their tags say (TIFF 6.0).

Grey or RGB of any number of bits, unsigned, signed or floating, white-is-zero, packed, in planes. Pillow
(libtiff) still undoes the compression: it is shown the file as 8-bit grey, a pixel for each byte of a row.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from detic_crop.errors import PhotoError
from detic_crop.images.directory import Directory
from detic_crop.images.loading import load_rows
from detic_crop.images.source import Readable

__all__ = ["Layout", "bgr_of", "layout_of", "strips_of"]

# Photometric interpretations.
_WHITE_IS_ZERO = 0
_BLACK_IS_ZERO = 1
_RGB = 2
# Sample formats.
_UNSIGNED = 1
_SIGNED = 2
_FLOAT = 3
_UNKNOWN = 4
# Predictors.
_HORIZONTAL = 2
_FLOATING = 3
# Alpha: colours were multiplied by it, or not.
_ASSOCIATED = 1
_UNASSOCIATED = 2
# None, LZW, deflate (by two numbers), PackBits, LZMA, Zstandard: they give back the bytes they were given.
_BYTEWISE = frozenset({1, 5, 8, 32946, 32773, 34925, 50000})
_SAMPLES_AT_A_TIME = 1 << 22
# Floats have no range of their own. Some pixels may be above it: sharpening and cubic resampling overshoot.
_FLOAT_RANGES = (1.0, 255.0, 65535.0)
_OVERSHOOT = 2.0

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the first page's samples are stored.

    Attributes:
        width, height: size in pixels.
        bits: bits of each sample.
        formats: format of each sample: 1 unsigned, 2 signed, 3 floating.
        photometric: 0 grey, white is zero; 1 grey, black is zero; 2 RGB; others.
        samples: samples per pixel.
        planes: True if each sample has a plane of its own.
        block: width and height of a tile, or of a strip.
        tiled: True if blocks are tiles.
        extra: meaning of each sample beyond grey or RGB, as in the tag ExtraSamples.
    """

    width: int
    height: int
    bits: tuple[int, ...]
    formats: tuple[int, ...]
    photometric: int
    samples: int
    planes: bool
    block: tuple[int, int]
    tiled: bool
    compression: int
    predictor: int
    fill_order: int
    order: str
    extra: tuple[int, ...]

    @property
    def colours(self) -> int:
        """Samples of grey or colour."""
        return 3 if self.photometric == _RGB else 1

    @property
    def in_row(self) -> int:
        """Samples of a pixel that stand side by side."""
        return 1 if self.planes else self.samples

    @property
    def across(self) -> int:
        """Blocks side by side."""
        return ceil(self.width / self.block[0])

    @property
    def block_bytes(self) -> int:
        """Bytes of a block's row."""
        return ceil(self.block[0] * self.in_row * self.bits[0] / 8)

    @property
    def is_left_to_pillow(self) -> bool:
        """True if Pillow has a mode that means the same, or refuses the file by itself."""
        if self.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
            return set(self.formats) <= {_UNSIGNED, _UNKNOWN} and not (self.planes and max(self.bits) > 8)
        if set(self.formats) != {_UNSIGNED}:
            return False
        if self.photometric == _RGB:
            return set(self.bits) == {8} or (set(self.bits) == {16} and not self.planes)
        if self.samples == 2 and self.photometric == _BLACK_IS_ZERO:
            return set(self.bits) == {8} and not self.planes and self.extra[:1] in ((0,), (1,), (2,))
        # Pillow misses white-is-zero of 8 bits in the reversed order.
        return self.samples == 1 and (self.bits[0] in (1, 2, 4) or (self.bits[0], self.fill_order) == (8, 1))


def layout_of(data: Readable, directory: Directory) -> Layout:
    """Return what the tags of a directory say about the samples."""
    width, height = directory.number(256), directory.number(257)
    samples = directory.number(277, 1)
    bits = directory.numbers(258, data) or (1,)
    formats = directory.numbers(339, data) or (_UNSIGNED,)
    tiled = 322 in directory.entries and 324 in directory.entries
    rows = min(directory.number(278, height) or height, height)
    return Layout(
        width,
        height,
        bits * samples if len(bits) == 1 else bits[:samples],
        formats * samples if len(formats) == 1 else formats[:samples],
        directory.number(262, _WHITE_IS_ZERO),
        samples,
        directory.number(284, 1) == 2 and samples > 1,
        (max(1, directory.number(322)), max(1, directory.number(323))) if tiled else (width, rows),
        tiled,
        directory.number(259, 1),
        directory.number(317, 1),
        directory.number(266, 1),
        directory.order,
        directory.numbers(338, data),
    )


def strips_of(data: bytes, directory: Directory) -> list[tuple[int, int]]:
    """Return offset and length of each strip or tile."""
    starts = directory.numbers(273, data) or directory.numbers(324, data)
    lengths = directory.numbers(279, data) or directory.numbers(325, data)
    return list(zip(starts, lengths, strict=False))


def bgr_of(data: bytes, directory: Directory, convert: str) -> tuple[Bytes, bool]:
    """Return the first page as (H, W, 3) uint8 BGR, and whether all of it was there.

    Unsigned samples of n bits keep their highest 8, or are spread over 0 to 255 where they have fewer. Of
    signed ones 0 to the highest number are spread, since zero is black (or white) whatever the format;
    negative ones are cut off. Floats are taken as 0 to 1, 255 or 65535, whichever first holds the largest
    (and some overshoot), else by SMinSampleValue and SMaxSampleValue. Alpha is laid over white.

    Args:
        data: the file.
        directory: directory of the page.
        convert: advice on a file that cannot be read, for the error.

    Raises:
        PhotoError: ``unsupported_format``: the tags state something that is not supported.
    """
    layout = layout_of(data, directory)
    if problem := _unknown(layout):
        raise PhotoError("unsupported_format", f"expected a usual TIFF, got one {problem}; {convert}")
    planes, whole = _planes(data, directory, layout)
    low, high = _range(planes, layout, directory, data, convert)
    image = np.empty((layout.height, layout.width, 3), np.uint8)
    for top, bottom in _row_blocks(layout):
        eight = np.concatenate(
            [_to_8_bits(_samples(rows[top:bottom], layout), layout, low, high) for rows in planes], axis=2
        )
        image[top:bottom] = _laid_over_white(eight, layout)
    return image, whole


def _unknown(layout: Layout) -> str:
    """Return what of a layout is not supported; empty if all of it is."""
    bits, kind = layout.bits[0], layout.formats[0]
    if layout.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        return f"of photometric interpretation {layout.photometric} with samples that are not usual for it"
    if len(set(layout.bits)) > 1 or len(layout.bits) != layout.samples:
        return f"with samples of {' and '.join(map(str, sorted(set(layout.bits))))} bits next to each other"
    if len(set(layout.formats)) > 1:
        return "with samples of several formats"
    if kind not in (_UNSIGNED, _SIGNED, _FLOAT, _UNKNOWN):
        return f"of sample format {kind}"
    if not 1 <= bits <= 64 or (kind == _FLOAT and bits not in (16, 32, 64)) or (kind == _SIGNED and bits < 8):
        return f"with {'floats' if kind == _FLOAT else 'numbers'} of {bits} bits"
    if bits not in (8, 16, 32, 64) and bits > 32:
        return f"with numbers of {bits} bits"
    if layout.compression not in _BYTEWISE:
        return f"of {bits} bits in compression {layout.compression}"
    if layout.predictor not in (1, _HORIZONTAL, _FLOATING):
        return f"of predictor {layout.predictor}"
    if layout.predictor == _HORIZONTAL and bits not in (8, 16, 32, 64):
        return f"with differences of {bits} bits"
    if layout.predictor == _FLOATING and kind != _FLOAT:
        return "with a predictor for floats, which it has not"
    if layout.samples < layout.colours:
        return f"of {layout.samples} samples per pixel in RGB"
    return ""


# ---------------------------------------------------------------- bytes


def _planes(data: bytes, directory: Directory, layout: Layout) -> tuple[list[Bytes], bool]:
    """Return the bytes of each plane, (H, bytes of a row of blocks), as they were before compression."""
    strips = strips_of(data, directory)
    count = layout.samples if layout.planes else 1
    each = ceil(layout.height / layout.block[1]) * layout.across
    if len(strips) < count * each:
        raise ValueError(f"{len(strips)} strips or tiles instead of {count * each}")
    planes, whole = [], True
    for number in range(count):
        file = _as_bytes(data, directory, layout, strips[number * each : (number + 1) * each])
        photo = TiffImagePlugin.TiffImageFile(io.BytesIO(file))
        whole &= load_rows(photo)
        planes.append(np.asarray(photo))
    return planes, whole


def _as_bytes(data: bytes, directory: Directory, layout: Layout, strips: Sequence[tuple[int, int]]) -> bytes:
    """Return a file of 8-bit grey that has the same strips or tiles."""
    starts, lengths = zip(*strips, strict=True)
    places = (324, 325) if layout.tiled else (273, 279)
    values: dict[int, Sequence[int]] = {
        256: (layout.across * layout.block_bytes,),
        257: (layout.height,),
        258: (8,),
        259: (layout.compression,),
        262: (_BLACK_IS_ZERO,),
        266: (layout.fill_order,),
        277: (1,),
        places[0]: starts,
        places[1]: lengths,
    }
    if layout.tiled:
        values |= {322: (layout.block_bytes,), 323: (layout.block[1],)}
    else:
        values[278] = (layout.block[1],)
    big, order = directory.big, directory.order
    offset, kind, inline, count = ("Q", 16, 8, "Q") if big else ("L", 4, 4, "H")
    parts = [data, b"\0" * (-len(data) % 8)]
    end = len(data) + len(parts[1])
    entries = []
    for tag, numbers in sorted(values.items()):
        value = struct.pack(f"{order}{len(numbers)}{offset}", *numbers)
        if len(value) > inline:
            parts.append(value)
            value, end = struct.pack(order + offset, end), end + len(value)
        entries.append(
            struct.pack(f"{order}HH{offset}", tag, kind, len(numbers)) + value.ljust(inline, b"\0")
        )
    parts += [struct.pack(order + count, len(entries)), *entries, struct.pack(order + offset, 0)]
    pointer = 8 if big else 4
    start = data[:pointer] + struct.pack(order + offset, end)
    return b"".join([start, memoryview(data)[pointer + inline :], *parts[1:]])


def _row_blocks(layout: Layout) -> Iterator[tuple[int, int]]:
    """Return ranges of rows to work on: samples take more memory than their bytes."""
    step = max(1, _SAMPLES_AT_A_TIME // (layout.across * layout.block[0] * layout.samples))
    return ((top, min(top + step, layout.height)) for top in range(0, layout.height, step))


# ---------------------------------------------------------------- samples


def _samples(rows: Bytes, layout: Layout) -> NDArray[Any]:
    """Return (h, bytes) as (h, W, samples side by side) of the type in the tags, predictors undone."""
    height, bits, each = len(rows), layout.bits[0], layout.in_row
    values: NDArray[Any]
    blocks = rows.reshape(height * layout.across, layout.block_bytes)
    if layout.predictor == _FLOATING:
        # Differences of bytes, the first bytes of all samples before all second ones (Adobe's note 3).
        summed = np.cumsum(blocks.reshape(len(blocks), -1, each), axis=1, dtype=np.uint8)
        of_each = summed.reshape(len(blocks), bits // 8, -1)
        values = np.ascontiguousarray(of_each.swapaxes(1, 2)).view(f">f{bits // 8}")
    elif bits in (8, 16, 32, 64):
        values = np.ascontiguousarray(blocks).view(f"{layout.order}u{bits // 8}")
        if layout.predictor == _HORIZONTAL:
            values = values.reshape(len(blocks), -1, each)
            values = np.cumsum(values, axis=1, dtype=values.dtype.newbyteorder("="))
        if layout.formats[0] != _UNSIGNED:
            kind = {_SIGNED: "i", _FLOAT: "f", _UNKNOWN: "u"}[layout.formats[0]]
            values = values.view(values.dtype.str.replace("u", kind))
    else:
        values = _unpacked(blocks, bits, layout.block[0] * each, signed=layout.formats[0] == _SIGNED)
    return values.reshape(height, layout.across * layout.block[0], each)[:, : layout.width]


def _unpacked(blocks: Bytes, bits: int, count: int, signed: bool) -> NDArray[Any]:
    """Return (n, bytes) as (n, count) numbers of a given number of bits, the highest bit first."""
    numbers = _unpacked_12(blocks, count) if bits == 12 else _unpacked_any(blocks, bits, count)
    return (numbers << (32 - bits)).view(np.int32) >> (32 - bits) if signed else numbers


def _unpacked_12(blocks: Bytes, count: int) -> NDArray[np.uint32]:
    even = count + count % 2
    padded = np.zeros((len(blocks), even * 3 // 2), np.uint32)
    padded[:, : blocks.shape[1]] = blocks
    first, middle, last = padded[:, ::3], padded[:, 1::3], padded[:, 2::3]
    pairs = np.stack([first << 4 | middle >> 4, (middle & 15) << 8 | last], axis=2)
    return np.ascontiguousarray(pairs.reshape(len(blocks), even)[:, :count])


def _unpacked_any(blocks: Bytes, bits: int, count: int) -> NDArray[np.uint32]:
    numbers = np.zeros((len(blocks), count), np.uint32)
    every = np.unpackbits(blocks, axis=1)[:, : count * bits].reshape(len(blocks), count, bits)
    for bit in range(bits):
        numbers |= every[:, :, bit].astype(np.uint32) << (bits - 1 - bit)
    return numbers


def _range(
    planes: Sequence[Bytes], layout: Layout, directory: Directory, data: bytes, convert: str
) -> tuple[float, float]:
    """Return black and white of floats, or white and black; for whole numbers their type says it."""
    if layout.formats[0] != _FLOAT:
        return 0.0, 1.0
    largest = 0.0
    for top, bottom in _row_blocks(layout):
        for rows in planes:
            values = _samples(rows[top:bottom], layout)
            with np.errstate(invalid="ignore"):
                found = np.max(values, where=np.isfinite(values), initial=0)
            largest = max(largest, float(found))
    for high in _FLOAT_RANGES:
        if largest <= high * _OVERSHOOT:
            return 0.0, high
    least, most = directory.reals(340, data)[:1], directory.reals(341, data)[:1]
    if least and most and least[0] < most[0] and np.isfinite(least[0]) and np.isfinite(most[0]):
        return least[0], most[0]
    raise PhotoError(
        "unsupported_format",
        f"expected floats of 0 to 1, 255 or 65535, got a TIFF with some up to {largest:.4g} that does not "
        f"say what is white; {convert}",
    )


def _to_8_bits(values: NDArray[Any], layout: Layout, low: float, high: float) -> Bytes:
    """See `bgr_of`; white-is-zero is left as it is."""
    bits, kind = layout.bits[0], layout.formats[0]
    if kind == _FLOAT:
        with np.errstate(invalid="ignore"):  # some of what is not a number complains
            floats = np.nan_to_num(values.astype(np.float64), nan=low, posinf=low, neginf=low)
        return np.asarray(np.clip((floats - low) * (255 / (high - low)) + 0.5, 0, 255), np.uint8)
    if kind == _SIGNED:
        values, bits = np.maximum(values, 0), bits - 1
    if bits >= 8:
        return np.asarray(values >> (bits - 8), np.uint8)
    return np.asarray(values.astype(np.uint32) * 255 // ((1 << bits) - 1), np.uint8)


def _laid_over_white(eight: Bytes, layout: Layout) -> Bytes:
    """Return (h, W, samples) as (h, W, 3) BGR over white."""
    colours = eight[..., : layout.colours]
    if layout.photometric == _WHITE_IS_ZERO:
        colours = 255 - colours
    meaning = layout.extra[:1] if layout.samples > layout.colours else ()
    if meaning in ((_ASSOCIATED,), (_UNASSOCIATED,)):
        alpha = eight[..., layout.colours : layout.colours + 1].astype(np.uint32)
        shown = colours.astype(np.uint32)
        if meaning == (_UNASSOCIATED,):
            shown = (shown * alpha + 127) // 255
        colours = np.minimum(shown + 255 - alpha, 255).astype(np.uint8)
    return np.broadcast_to(colours[..., ::-1], (*eight.shape[:2], 3))
