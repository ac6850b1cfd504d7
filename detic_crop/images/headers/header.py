"""The header of a photo, and the errors of headers that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

from detic_crop.errors import PhotoError
from detic_crop.images.source import Readable

CONVERT = "convert it to JPEG or TIFF and run again"
DAMAGED = "open it in a viewer, or copy it again from its source"


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of one photo says.

    Attributes:
        format: ``JPEG``, ``PNG``, ``WebP``, ``TIFF``, ``BMP`` or ``HEIC``.
        width, height: size in pixels as stored, before the orientation; both 0 for HEIC (its library tells).
        orientation: 1 to 8 as in EXIF; see `images.orientation`.
        truncated: the file ends before the end that its own structure states.
        damaged: the file's own checksums show that some of it is wrong.
        lean: the file to decode, without metadata.
        plain: an 8-bit grey or three-colour JPEG, which cv2 decodes exactly.
        height_at: offset in `lean` of the height (two bytes, big-endian) of a JPEG whose rows are stored from
            top to bottom in one scan; 0 for all others.
        colour_key: transparent sample values of a 16-bit PNG; its lean file has no tRNS chunk.
    """

    format: str
    width: int
    height: int
    lean: bytes
    orientation: int = 1
    truncated: bool = False
    damaged: bool = False
    plain: bool = False
    height_at: int = 0
    colour_key: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to decode, which the first bytes of a file tell: see `images.memory_use`.

    Attributes:
        format: as in `Header`.
        width, height: size in pixels as stored; both 0 if the format does not tell before it is decoded.
        kind: what of the format it is, as far as the memory of decoding depends on it.
        sample_bytes: bytes of a pixel in the file, of a TIFF that `tiff_samples` decodes.
        area: pixels that are decoded, with those of tiles beyond the edges; 0: width × height.
        block_bytes: bytes of a strip or tile of a TIFF, unpacked.
        blocks: strips or tiles of a TIFF.
    """

    format: str
    width: int
    height: int
    kind: str = ""
    sample_bytes: float = 0.0
    area: int = 0
    block_bytes: int = 0
    blocks: int = 0


def u32(data: Readable, at: int) -> int:
    """Return a little-endian number of four bytes; fewer at the end of the data."""
    return int.from_bytes(data[at : at + 4], "little")


def camera_raw() -> PhotoError:
    """Return the error for a camera RAW file."""
    return PhotoError("unsupported_format", f"expected a photo, got a camera RAW file; {CONVERT}")


def cut_header(kind: str) -> PhotoError:
    """Return the error for a file that ends inside its header."""
    return PhotoError(
        "truncated", f"expected a whole {kind}, got a file that ends inside its header; {DAMAGED}"
    )


def damaged_header(kind: str) -> PhotoError:
    """Return the error for a header that contradicts itself."""
    return PhotoError("unreadable", f"expected a {kind} photo, got a damaged header; {DAMAGED}")
