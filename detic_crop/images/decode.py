"""File bytes to upright pixels: limits, truncation, orientation, and one clear reason on failure."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detic_crop.boxes.crop_size import square_of
from detic_crop.boxes.geometry import PixelBox
from detic_crop.config import DEFAULT_MAX_PIXELS, Truncated
from detic_crop.errors import PhotoError
from detic_crop.images.damage import is_only_padded, is_remarked_on, is_tiff_damaged, lacks_scans, left_over
from detic_crop.images.exif import read_exif
from detic_crop.images.file_bytes import most_bytes, reason_of
from detic_crop.images.headers.header import CONVERT, DAMAGED, Extent, Header
from detic_crop.images.headers.read import HEIC_EXTENSIONS, RAW_EXTENSIONS, read_extent, read_header
from detic_crop.images.memory_use import peak_bytes
from detic_crop.images.partial import Reduction, can_reduce, origin_of, stored_rows, with_rows
from detic_crop.images.pixels import check_size, is_uniform, pixels_of, upright
from detic_crop.images.quiet import can_hear, quiet_c_stderr, take_remark
from detic_crop.images.source import Source, Window, too_large
from detic_crop.system.memory_budget import Loan, MemoryBudget
from detic_crop.wording import memory_size

# Camera RAW counts as a photo, so that in a folder it gets a failed row rather than being ignored.
IMAGE_EXTENSIONS = (
    frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib"})
    | HEIC_EXTENSIONS
    | RAW_EXTENSIONS
)

REASONS = (
    "missing_file",  # no such file, or a link to nowhere
    "not_a_file",  # a folder, pipe, socket or device
    "permission_denied",
    "empty_file",
    "not_an_image",  # none of the known formats, by content
    "unsupported_format",  # camera RAW, HEIC without its library, GIF, AVIF …, a rare kind of a known format
    "too_many_pixels",  # more than --max-pixels by its header, or a file too large to hold such a photo
    "out_of_memory",
    "truncated",  # cut short, and --truncated fail or nothing of it can be decoded
    "damaged",  # some of its data is wrong, and --truncated fail
    "unreadable",  # damaged so that nothing of it can be decoded, or the disk failed
    "photo_changed",  # it has more bytes than when it was listed
    "unreachable",  # a store or web server gave no answer
)

_OF_SEVERAL_PICTURES = ("TIFF", "HEIC")
"""Formats whose files may be far larger than their first picture."""

_JPEG_FLAGS: dict[int, int] = {
    1: cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
}


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """One photo's pixels, all of them or those that were asked for.

    Attributes:
        image: (H, W, 3) uint8, BGR, C-contiguous, writable, upright (EXIF orientation applied).
        truncated: the file ends early; `image` has what could be decoded, and for the rest what the library
            fills in (JPEG: grey or the last colour; others: black).
        damaged: the file's data are wrong somewhere, visible in `image` or not; None if that is unknown, see
            `images.quiet`.
        resolution_wh: size of the whole upright photo, pixels.
        reduction: photo pixels per pixel of `image`, in each direction.
        origin: x, y of the left top corner of `image`, in photo pixels.
    """

    image: NDArray[np.uint8]
    truncated: bool
    damaged: bool | None
    resolution_wh: tuple[int, int]
    reduction: Reduction = 1
    origin: tuple[int, int] = (0, 0)

    def in_image(self, region: PixelBox) -> PixelBox:
        """Return a region of the photo in pixels of `image`; both corners must lie on whole pixels."""
        left, top = self.origin
        x1, y1, x2, y2 = region
        r = self.reduction
        return (x1 - left) // r, (y1 - top) // r, -(-(x2 - left) // r), -(-(y2 - top) // r)


class PhotoFile:
    """A photo whose header has been read: its size is known, its pixels are decoded on demand.

    Args:
        data: the file's bytes.
        name: a file name; its extension only helps to recognise camera RAW.
        max_pixels: largest width × height, checked before any pixel is decoded.
        truncated: ``keep`` what can be decoded of a file that was cut short or is damaged, or ``fail``.
        with_exif: read more of its EXIF than the orientation.

    Attributes:
        checksum: CRC-32 of the file's bytes; files that are equal have equal ones.
        exif: what of its EXIF was read; None: nothing.
        loan: memory that was borrowed for it, see `open`.

    Raises:
        PhotoError: anything wrong with the photo, with one of `REASONS`; nothing else.
    """

    def __init__(
        self,
        data: bytes,
        *,
        name: str = "",
        max_pixels: int = DEFAULT_MAX_PIXELS,
        truncated: Truncated = "keep",
        loan: Loan | None = None,
        with_exif: bool = False,
    ) -> None:
        if not data:
            raise _empty()
        self.loan = loan
        self.exif = read_exif(data) if with_exif else None
        self.checksum = zlib.crc32(data)
        self._max_pixels = max_pixels
        self._truncated = truncated
        with _as_photo_error(None):
            header = read_header(data, name)
            check_size(header.width, header.height, max_pixels)
            if header.truncated and truncated == "fail":
                raise _incomplete(header)
            if header.damaged and truncated == "fail":
                raise _damaged(header)
        self._header = header
        # Whether the data are damaged is unknown before all of them were decoded once.
        self._damaged: bool | None = None
        self._is_known = header.plain and not can_hear()  # then decoding all of it would not tell

    @classmethod
    def open(
        cls,
        source: Source,
        memory: MemoryBudget,
        *,
        name: str = "",
        max_pixels: int = DEFAULT_MAX_PIXELS,
        truncated: Truncated = "keep",
        beside: Callable[[tuple[int, int]], int] | None = None,
        with_exif: bool = False,
    ) -> PhotoFile:
        """Read a photo whose header says that it may be read, when there is memory for it.

        The memory is borrowed before the file is read whole, and is the caller's to give back when nothing
        of the photo is needed any more.

        Args:
            source: its bytes.
            memory: where memory is borrowed, and waited for.
            name, max_pixels, truncated, with_exif: see `PhotoFile`.
            beside: function of width and height, pixels, that returns the bytes that are needed besides those
                that decoding takes.

        Raises:
            PhotoError: anything wrong with the photo, with one of `REASONS`.
            CancelledError: the budget was closed.
        """
        with _as_photo_error(None):
            size = source.size
            if not size:
                raise _empty()
            _check_bytes(size, max_pixels)
            extent = read_extent(Window(source), name)
            check_size(extent.width, extent.height, max_pixels)
            pixels = extent.width * extent.height or max_pixels
            if extent.format not in _OF_SEVERAL_PICTURES:
                _check_bytes(size, pixels)
            needed = peak_bytes(extent, size, max_pixels)
            if beside is not None:
                known = extent.width and extent.height
                needed += beside((extent.width, extent.height) if known else square_of(max_pixels))
            _check_memory(needed, extent, memory)
        loan = memory.borrow(needed)
        try:
            with _as_photo_error(None):
                # If all of it says otherwise than its beginning, it is not what memory was borrowed for.
                return cls(
                    source.whole(),
                    name=name,
                    max_pixels=pixels,
                    truncated=truncated,
                    loan=loan,
                    with_exif=with_exif,
                )
        except BaseException:
            loan.give_back()
            raise

    @property
    def header(self) -> Header:
        """What its header says."""
        return self._header

    @property
    def resolution_wh(self) -> tuple[int, int] | None:
        """Width and height of the upright photo; None if only decoding tells."""
        header = self._header
        if not header.plain or header.truncated:
            return None
        sides = header.width, header.height
        return sides[::-1] if header.orientation >= 5 else sides

    def give_back(self) -> None:
        """Give back the memory that was borrowed for it."""
        if self.loan is not None:
            self.loan.give_back()

    def vouch(self) -> None:
        """Note that these bytes were all decoded before, and were not damaged."""
        self._damaged, self._is_known = False, True

    def can_reduce(self, reduction: Reduction) -> bool:
        """Return whether `decode` can decode this photo at a reduction."""
        return can_reduce(self._header, reduction)

    def decode(self, region: PixelBox | None = None, reduction: Reduction = 1) -> Decoded:
        """Return the upright pixels.

        Colours: grey is repeated; alpha is laid over white; CMYK is converted without a profile, inverted
        as Adobe stores it; profiles are ignored. Samples of 16 bits keep their high byte (65535 → 255,
        256 → 1, 255 → 0); for the rest that a TIFF may have see `images.tiff_samples`. Of several pages or
        frames the first is taken.

        All of a photo is decoded at least once, even if only a region is needed: damaged Huffman-coded data
        mostly look like good data, and only reveal themselves by too much or too little of it at the end.

        Args:
            region: xyxy in photo pixels that is needed; more may be decoded. None for all of the photo.
            reduction: divide both sides by this; together with a region only where `can_reduce`.

        Raises:
            PhotoError: anything wrong with the photo, with one of `REASONS`; nothing else.
        """
        header = self._header
        with _as_photo_error(header):
            # libjpeg in cv2 and libtiff in Pillow print remarks about damaged data.
            with quiet_c_stderr():
                if header.plain:
                    rows = stored_rows(header, region) if self._is_known else header.height
                    part = _plain_jpeg(header, rows, reduction)
                    if part is not None:
                        if not self._is_known:
                            self._judge(_jpeg_damage(header))
                        return self._upright(part, rows, reduction)
                image, whole = pixels_of(header, self._max_pixels)
                if not whole:
                    self._judge(True)
                elif not self._is_known:
                    self._judge(header.damaged or _other_damage(header))
            self._refuse_incomplete(image)
            image = upright(image, header.orientation)
            return Decoded(image, header.truncated, self._damaged, (image.shape[1], image.shape[0]))

    def _judge(self, damaged: bool | None) -> None:
        """Note whether the data are damaged; of a file that was cut short something is missing anyway."""
        self._damaged, self._is_known = damaged and not self._header.truncated, True

    def _refuse_incomplete(self, image: NDArray[np.uint8]) -> None:
        """Refuse an incomplete photo if the settings say so, or if nothing of it could be decoded."""
        header = self._header
        if not header.truncated and not self._damaged:
            return
        if header.truncated:
            if self._truncated == "fail" or is_uniform(image):
                raise _incomplete(header)
        elif self._truncated == "fail":
            raise _damaged(header)
        elif is_uniform(image):
            raise _incomplete(header)

    def _upright(self, part: NDArray[np.uint8], rows: int, reduction: Reduction) -> Decoded:
        header = self._header
        self._refuse_incomplete(part)
        sides = header.width, header.height
        return Decoded(
            upright(part, header.orientation),
            header.truncated,
            self._damaged,
            sides[::-1] if header.orientation >= 5 else sides,
            reduction,
            origin_of(header, rows),
        )


def _empty() -> PhotoError:
    return PhotoError("empty_file", "expected a photo, got an empty file; copy it again from its source")


def _check_bytes(size: int, pixels: int) -> None:
    """Refuse a file that is larger than any photo of that number of pixels."""
    if size > (most := most_bytes(pixels)):
        raise too_large(most, size)


def _check_memory(needed: int, extent: Extent, memory: MemoryBudget) -> None:
    """Refuse a photo that needs more memory than there ever is."""
    if needed > memory.most:
        size = f"of {extent.width}×{extent.height} pixels " if extent.width else ""
        most, may, enough = map(memory_size, (memory.most, needed, needed * memory.parts))
        raise PhotoError(
            "out_of_memory",
            f"expected a photo that takes at most {most} of memory, got one {size}that may take {may}; "
            f"pass --memory {enough} if the machine has that much",
        )


def decode(
    data: bytes, *, name: str = "", max_pixels: int = DEFAULT_MAX_PIXELS, truncated: Truncated = "keep"
) -> Decoded:
    """Decode one photo from memory. The content decides its format; safe from many threads at once.

    See `PhotoFile` for the arguments and errors, `PhotoFile.decode` for the colours.
    """
    return PhotoFile(data, name=name, max_pixels=max_pixels, truncated=truncated).decode()


@contextmanager
def _as_photo_error(header: Header | None) -> Iterator[None]:
    """Turn whatever a decoder raises into a `PhotoError`: it concerns this photo only."""
    try:
        yield
    except PhotoError:
        raise
    except Exception as error:
        raise _decoding_error(error, header) from error


def _decoding_error(error: Exception, header: Header | None) -> PhotoError:
    """Return what a decoder raised as a `PhotoError`."""
    if isinstance(error, MemoryError) or getattr(error, "code", None) == cv2.Error.StsNoMem:
        size = f"{header.width}×{header.height} pixels" if header else "the file"
        return PhotoError(
            "out_of_memory",
            f"expected enough memory for {size}, got too little; pass a smaller --memory or fewer --workers",
        )
    if isinstance(error, Image.DecompressionBombError):  # WebP only: there Pillow's own limit holds as well
        return PhotoError(
            "too_many_pixels", "expected a WebP that Pillow agrees to open, got a larger one; " + CONVERT
        )
    kind = header.format if header else "photo"
    return PhotoError(
        "truncated" if header and header.truncated else "unreadable",
        f"expected a readable {kind}, got damaged or unusual data ({reason_of(error)}); {DAMAGED}",
    )


def _incomplete(header: Header) -> PhotoError:
    """Return the error for a file that was cut short, or whose decoder gave up."""
    if header.truncated:
        return PhotoError("truncated", f"expected a whole {header.format}, got one cut short; copy it again")
    return PhotoError("unreadable", f"expected a whole {header.format}, got a damaged one; {DAMAGED}")


def _damaged(header: Header) -> PhotoError:
    """Return the error for a file of which not everything can be decoded rightly."""
    return PhotoError(
        "damaged", f"expected a whole {header.format}, got one with damaged data; copy it again"
    )


def _plain_jpeg(header: Header, rows: int, reduction: Reduction) -> NDArray[np.uint8] | None:
    """Return the first `rows` rows of a plain JPEG, decoded in one pass; None if cv2 gives up on it."""
    data = np.frombuffer(with_rows(header, rows), np.uint8)
    image: Any = cv2.imdecode(data, _JPEG_FLAGS[reduction])
    if image is None or image.shape != (-(-rows // reduction), -(-header.width // reduction), 3):
        return None
    return np.ascontiguousarray(image, dtype=np.uint8)


def _jpeg_damage(header: Header) -> bool | None:
    """Return whether libjpeg has just remarked on damage; None where remarks cannot be heard."""
    remark = take_remark()
    if remark:
        return not is_only_padded(header.lean)
    return lacks_scans(header.lean) or remark


def _other_damage(header: Header) -> bool | None:
    """Return whether data that a decoder accepted silently are damaged; None if unknown."""
    if header.truncated:
        return False
    if header.format == "JPEG":
        if is_remarked_on(header.lean):
            return not is_only_padded(header.lean)
        return lacks_scans(header.lean) or (False if can_hear() else None)
    if header.format == "TIFF":
        return is_tiff_damaged(header.lean)
    return header.format == "WebP" and left_over(header.lean)
