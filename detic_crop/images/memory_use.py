"""How much memory a photo takes, from what its header says: for `system.memory_budget`, before it is decoded.

All bytes that reading, judging, decoding and turning a photo take at the same time, above what the process
takes without it. Measured with `python -m benchmarks.memory table`, which decodes one photo of each kind
and fails when it takes more than is said here; the results are in benchmarks/README.md.
"""

from __future__ import annotations

from detic_crop.config import Format
from detic_crop.images.headers.header import Extent

BYTES_PER_PIXEL = {
    ("JPEG", ""): 10.0,  # 6, but 10 where cv2 gives up and Pillow takes over
    ("JPEG", "scans"): 10.0,
    ("JPEG", "four colours"): 14.0,
    ("PNG", ""): 14.0,  # 5 to 11 without alpha, which a chunk behind the header may bring
    ("PNG", "deep"): 10.0,
    ("WebP", ""): 18.0,
    ("WebP", "alpha"): 23.0,
    ("TIFF", "grey"): 6.0,
    ("TIFF", "rgb"): 10.0,
    ("TIFF", "other"): 14.0,
    ("BMP", ""): 11.0,
    ("BMP", "alpha"): 14.0,
    ("HEIC", ""): 20.0,
}
"""(format, kind) → bytes for each pixel."""

BYTES_PER_PIXEL_OF_CROP: dict[Format, int] = {"jpg": 12, "png": 12, "webp": 32}
"""What cutting, resizing and encoding take for each pixel of a crop: of noise 7, 9 and 31
(`python -m benchmarks.memory crops`)."""

_IMAGE = 3
"""Bytes of a pixel in what decoding gives."""
_FILES = 2
"""Copies of the file: as it was read, and without metadata."""
_FIXED = 4 << 20
"""Bytes that any photo takes."""
_COPIES_OF_SAMPLES = 3
"""Of all samples of a TIFF, on the way from Pillow to an array."""
_SAMPLES_AT_A_TIME = 1 << 22
_BYTES_OF_SAMPLE = 32
"""What a sample takes while it becomes 8 bits; only so many at a time do."""
_BYTES_OF_BLOCK = 200
"""What offset and length of a strip or tile take, each a number of Python's, in lists of several kinds."""


def peak_bytes(extent: Extent, file_bytes: int, max_pixels: int) -> int:
    """Return the most memory that a photo takes.

    Args:
        extent: what its header says.
        file_bytes: size of its file.
        max_pixels: the most pixels it may have, which count where its header does not tell.
    """
    pixels = extent.width * extent.height or max_pixels
    if extent.kind == "samples":
        area = extent.area or pixels
        stored = extent.sample_bytes * area
        together = max(_COPIES_OF_SAMPLES * stored, stored + _IMAGE * pixels)
        together += _BYTES_OF_SAMPLE * min(area * 4, _SAMPLES_AT_A_TIME)
    else:
        together = BYTES_PER_PIXEL[extent.format, extent.kind] * pixels
    # A strip or tile is unpacked while the picture is there, and again when it is judged.
    together = max(together, _IMAGE * pixels + 2 * extent.block_bytes)
    return round(together) + _FILES * file_bytes + _BYTES_OF_BLOCK * extent.blocks + _FIXED
