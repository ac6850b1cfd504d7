"""File bytes to upright pixels: limits, truncation, orientation, and one clear reason when it fails."""

from __future__ import annotations

import errno
import importlib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from detic_crop.boxes.geometry import PixelBox
from detic_crop.config import DEFAULT_MAX_PIXELS, Truncated
from detic_crop.errors import PhotoError, one_line
from detic_crop.images.damage import is_only_padded, is_remarked_on, is_tiff_damaged, lacks_scans, left_over
from detic_crop.images.directory import read_directory
from detic_crop.images.headers.header import CONVERT, DAMAGED, Header
from detic_crop.images.headers.read import HEIC_EXTENSIONS, RAW_EXTENSIONS, read_header
from detic_crop.images.loading import load_rows
from detic_crop.images.partial import Reduction, can_reduce, origin_of, stored_rows, with_rows
from detic_crop.images.quiet import can_hear, quiet_c_stderr, take_remark
from detic_crop.images.tiff_samples import bgr_of, layout_of

__all__ = [
    "HEIC_EXTENSIONS",
    "IMAGE_EXTENSIONS",
    "RAW_EXTENSIONS",
    "REASONS",
    "Decoded",
    "PhotoFile",
    "decode",
    "open_photo",
    "read_photo",
    "upright",
]

# Camera RAW counts as a photo, so that in a folder it gets a failed row rather than being passed over.
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
    "unreachable",  # a store or web server gave no answer
)

# Bytes a pixel takes at most in a file (four 32-bit samples), and what metadata may add.
_MAX_BYTES_PER_PIXEL = 16
_METADATA_BYTES = 256 << 20

_JPEG_FLAGS: dict[int, int] = {
    1: cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
}

_OPENERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """One photo's pixels, all of them or those that were asked for.

    Attributes:
        image: (H, W, 3) uint8, BGR, C-contiguous, writable, upright (EXIF orientation applied).
        truncated: the file ends early; `image` has what could be decoded, and beyond that whatever the
            library fills (JPEG: grey or the last colour; others: black).
        damaged: the file's data are wrong somewhere, seen or unseen in `image`; None where nobody can tell,
            see `images.quiet`.
        resolution_wh: of the whole upright photo, pixels.
        reduction: photo pixels per pixel of `image`, in each direction.
        origin: where the left top corner of `image` is: x, y in photo pixels.
    """

    image: NDArray[np.uint8]
    truncated: bool
    damaged: bool | None
    resolution_wh: tuple[int, int]
    reduction: Reduction = 1
    origin: tuple[int, int] = (0, 0)

    def in_image(self, region: PixelBox) -> PixelBox:
        """A region of the photo, in pixels of `image`; both its corners must lie on whole ones."""
        left, top = self.origin
        x1, y1, x2, y2 = region
        r = self.reduction
        return (x1 - left) // r, (y1 - top) // r, -(-(x2 - left) // r), -(-(y2 - top) // r)


class PhotoFile:
    """A photo of which the header has been read: its size is known, its pixels are decoded when asked for.

    Args:
        data: the file's bytes.
        name: a file name; its extension only helps to recognise camera RAW.
        max_pixels: largest width × height, checked before any pixel is decoded.
        truncated: ``keep`` what can be decoded of a file that was cut short or is damaged, or ``fail``.

    Attributes:
        checksum: CRC-32 of the file's bytes; files that are equal have equal ones.

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
    ) -> None:
        if not data:
            raise PhotoError(
                "empty_file", "expected a photo, got an empty file; copy it again from its source"
            )
        self.checksum = zlib.crc32(data)
        self._max_pixels = max_pixels
        self._truncated = truncated
        with _as_photo_error(None):
            header = read_header(data, name)
            _check_size(header.width, header.height, max_pixels)
            if header.truncated and truncated == "fail":
                raise _incomplete(header)
            if header.damaged and truncated == "fail":
                raise _damaged(header)
        self._header = header
        # Whether the data are damaged; nobody knows before all of them were decoded once.
        self._damaged: bool | None = None
        self._is_known = header.plain and not can_hear()  # then it is no use to decode all of it

    @property
    def resolution_wh(self) -> tuple[int, int] | None:
        """Width and height of the upright photo; None where only decoding tells whether that is so."""
        header = self._header
        if not header.plain or header.truncated:
            return None
        sides = header.width, header.height
        return sides[::-1] if header.orientation >= 5 else sides

    def vouch(self) -> None:
        """Somebody has decoded these bytes before, all of them, and they were not damaged."""
        self._damaged, self._is_known = False, True

    def can_reduce(self, reduction: Reduction) -> bool:
        """Whether `decode` can give this photo at a reduction."""
        return can_reduce(self._header, reduction)

    def decode(self, region: PixelBox | None = None, reduction: Reduction = 1) -> Decoded:
        """The upright pixels.

        Colours: grey is repeated; alpha is laid over white; CMYK is converted without a profile, inverted
        as Adobe stores it; profiles are ignored. Samples of 16 bits keep their high byte (65535 → 255,
        256 → 1, 255 → 0); for the rest that a TIFF may have see `images.tiff_samples`. Of several pages or
        frames the first is taken.

        All of a photo is decoded at least once, whatever is needed of it: Huffman-coded data that are damaged
        mostly look like others, and what gives them away is that at the end there is too much or too little.

        Args:
            region: xyxy, photo pixels: what is needed; more of the photo may be decoded. None: all of it.
            reduction: decode at this fraction of both sides; together with a region only where `can_reduce`.

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
                image, whole = _pixels(header, self._max_pixels)
                if not whole:
                    self._judge(True)
                elif not self._is_known:
                    self._judge(header.damaged or _other_damage(header))
            self._refuse_incomplete(image)
            image = upright(image, header.orientation)
            return Decoded(image, header.truncated, self._damaged, (image.shape[1], image.shape[0]))

    def _judge(self, damaged: bool | None) -> None:
        """Of a file that was cut short it is known already that something is missing."""
        self._damaged, self._is_known = damaged and not self._header.truncated, True

    def _refuse_incomplete(self, image: NDArray[np.uint8]) -> None:
        """What is damaged may be unwanted, and of some files nothing at all could be decoded."""
        header = self._header
        if not header.truncated and not self._damaged:
            return
        if header.truncated:
            if self._truncated == "fail" or _is_uniform(image):
                raise _incomplete(header)
        elif self._truncated == "fail":
            raise _damaged(header)
        elif _is_uniform(image):
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


def open_photo(
    path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS, truncated: Truncated = "keep"
) -> PhotoFile:
    """Read one file and its header; never blocks on a pipe or device.

    Raises:
        PhotoError: anything wrong with the photo, with one of `REASONS`; nothing else.
    """
    data = read_file(path, most_bytes(max_pixels))
    return PhotoFile(data, name=path.name, max_pixels=max_pixels, truncated=truncated)


def read_photo(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS, truncated: Truncated = "keep") -> Decoded:
    """Read and decode one file; see `open_photo` and `PhotoFile.decode`."""
    return open_photo(path, max_pixels=max_pixels, truncated=truncated).decode()


def decode(
    data: bytes, *, name: str = "", max_pixels: int = DEFAULT_MAX_PIXELS, truncated: Truncated = "keep"
) -> Decoded:
    """Decode one photo from memory. The content decides its format; safe from many threads at once.

    See `PhotoFile` for the arguments and errors, `PhotoFile.decode` for the colours.
    """
    return PhotoFile(data, name=name, max_pixels=max_pixels, truncated=truncated).decode()


@contextmanager
def _as_photo_error(header: Header | None) -> Iterator[None]:
    """Decoders raise all sorts of things on damaged bytes; whatever it is, it is about this photo only."""
    try:
        yield
    except PhotoError:
        raise
    except Exception as error:
        raise _decoding_error(error, header) from error


def _decoding_error(error: Exception, header: Header | None) -> PhotoError:
    """What a decoder raised, in our words."""
    if isinstance(error, MemoryError) or getattr(error, "code", None) == cv2.Error.StsNoMem:
        size = f"{header.width}×{header.height} pixels" if header else "the file"
        return PhotoError(
            "out_of_memory", f"expected enough memory for {size}, got too little; use fewer workers"
        )
    if isinstance(error, Image.DecompressionBombError):  # WebP only: there Pillow's own limit holds as well
        return PhotoError(
            "too_many_pixels", "expected a WebP that Pillow agrees to open, got a larger one; " + CONVERT
        )
    kind = header.format if header else "photo"
    return PhotoError(
        "truncated" if header and header.truncated else "unreadable",
        f"expected a readable {kind}, got damaged or unusual data ({_reason(error)}); {DAMAGED}",
    )


def _incomplete(header: Header) -> PhotoError:
    """The file was cut short, or its decoder gave up on the way."""
    if header.truncated:
        return PhotoError("truncated", f"expected a whole {header.format}, got one cut short; copy it again")
    return PhotoError("unreadable", f"expected a whole {header.format}, got a damaged one; {DAMAGED}")


def _damaged(header: Header) -> PhotoError:
    """Some of it can be decoded, but not all of it rightly."""
    return PhotoError(
        "damaged", f"expected a whole {header.format}, got one with damaged data; copy it again"
    )


# ---------------------------------------------------------------- the file


def most_bytes(max_pixels: int) -> int:
    """What a file of so many pixels can take; a larger one is no photo."""
    return max_pixels * _MAX_BYTES_PER_PIXEL + _METADATA_BYTES


def read_file(path: str | Path, max_bytes: int, offset: int = 0, size: int | None = None) -> bytes:
    """A whole file, or `size` bytes of it from `offset` on; never blocks on a pipe or device.

    Raises:
        PhotoError: it cannot be read, or is larger than `max_bytes`.
    """
    try:
        _check_regular(os.stat(path).st_mode)
        # Non-blocking, for the case that a pipe has taken the file's place since.
        flags = (
            os.O_RDONLY
            | getattr(os, "O_NONBLOCK", 0)
            | getattr(os, "O_BINARY", 0)
            | getattr(os, "O_CLOEXEC", 0)
        )
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            _check_regular(status.st_mode)
            if size is not None:
                file.seek(offset)
                return file.read(size)
            if status.st_size > max_bytes:
                raise PhotoError(
                    "too_many_pixels",
                    f"expected a file of at most {max_bytes:,} bytes, got {status.st_size:,}; "
                    "raise --max-pixels if the photo is genuine",
                )
            return file.read()
    except MemoryError as error:
        raise PhotoError(
            "out_of_memory", "expected enough memory for the file, got none; use fewer workers"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _file_error(error) from error


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise PhotoError("not_a_file", f"expected a file, got {kind}; leave it out of the list")


def _file_error(error: OSError | ValueError) -> PhotoError:
    code = error.errno if isinstance(error, OSError) else None
    if isinstance(error, ValueError) or code in (
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    ):
        return PhotoError("missing_file", "expected a file, found none at this path; check the list and --in")
    if code in (errno.EACCES, errno.EPERM):
        return PhotoError(
            "permission_denied", "expected a readable file, got no permission; change its mode or owner"
        )
    if code in (errno.EISDIR, errno.ENXIO, errno.ENODEV):
        return PhotoError("not_a_file", "expected a file, got a folder or device; leave it out of the list")
    if code == errno.ENOMEM:
        return PhotoError("out_of_memory", "expected enough memory for the file, got none; use fewer workers")
    return PhotoError(
        "unreadable", f"expected a readable file, got: {_reason(error)}; check the disk or network"
    )


# ---------------------------------------------------------------- pixels as stored


def _pixels(header: Header, max_pixels: int) -> tuple[NDArray[np.uint8], bool]:
    """((H, W, 3) BGR as stored, nothing was missing), of all but the plain JPEG."""
    if header.format == "HEIC":
        return _heic(header.lean, max_pixels), True
    return _by_pillow(header)


def _plain_jpeg(header: Header, rows: int, reduction: Reduction) -> NDArray[np.uint8] | None:
    """The first `rows` rows of the usual photo, in one pass; None when cv2 gives up on it."""
    data = np.frombuffer(with_rows(header, rows), np.uint8)
    image: Any = cv2.imdecode(data, _JPEG_FLAGS[reduction])
    if image is None or image.shape != (-(-rows // reduction), -(-header.width // reduction), 3):
        return None
    return np.ascontiguousarray(image, dtype=np.uint8)


def _jpeg_damage(header: Header) -> bool | None:
    """Whether libjpeg has just remarked on damage; None where nobody hears it."""
    remark = take_remark()
    if remark:
        return not is_only_padded(header.lean)
    return lacks_scans(header.lean) or remark


def _other_damage(header: Header) -> bool | None:
    """Whether data that a decoder took without a word are damaged."""
    if header.truncated:
        return False
    if header.format == "JPEG":
        if is_remarked_on(header.lean):
            return not is_only_padded(header.lean)
        return lacks_scans(header.lean) or (False if can_hear() else None)
    if header.format == "TIFF":
        return is_tiff_damaged(header.lean)
    return header.format == "WebP" and left_over(header.lean)


def _by_pillow(header: Header) -> tuple[NDArray[np.uint8], bool]:
    """Everything else; when the decoder fails on the way, the rows it has finished."""
    if header.format == "TIFF":
        directory = read_directory(header.lean)
        if not layout_of(header.lean, directory).is_left_to_pillow:
            return bgr_of(header.lean, directory, CONVERT)
    # Not Image.open: its limit on the size is a global that warns or raises before ours is asked.
    try:
        photo = _OPENERS[header.format](io.BytesIO(header.lean))
    except SyntaxError as error:
        if str(error) != "unknown pixel mode":
            raise
        raise PhotoError(
            "unsupported_format",
            f"expected a usual {header.format}, got samples of an unknown kind; {CONVERT}",
        ) from error
    if photo.size != (header.width, header.height):
        raise ValueError("two sizes in one file")
    whole = load_rows(photo)
    return _to_bgr(photo, header), whole


def _to_bgr(photo: Image.Image, header: Header) -> NDArray[np.uint8]:
    """Any Pillow mode → (H, W, 3) BGR."""
    if photo.mode.startswith("I"):
        return _grey_to_bgr(_deep_grey(photo, header))
    if photo.mode == "1":
        photo = photo.convert("L")
    if photo.mode == "L" and "transparency" not in photo.info:
        return _grey_to_bgr(np.asarray(photo))
    if photo.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in photo.info:
        photo = _over_white(photo, header)
    if photo.mode != "RGB":
        photo = photo.convert("RGB")
    return np.ascontiguousarray(cv2.cvtColor(np.asarray(photo), cv2.COLOR_RGB2BGR), dtype=np.uint8)


def _grey_to_bgr(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def _deep_grey(photo: Image.Image, header: Header) -> NDArray[np.uint8]:
    """(H, W) samples of a PNG's 16 bits → 8 bits, by the rule in `decode`."""
    samples = np.asarray(photo)
    # Pillow before 11 opens 16-bit grey PNG as "I", with values up to 65535.
    grey = np.asarray(samples >> 8, dtype=np.uint8)
    if header.colour_key is not None:
        grey[samples == header.colour_key[0]] = 255
    return grey


def _over_white(photo: Image.Image, header: Header) -> Image.Image:
    """Transparent pixels show white, as on paper."""
    rgba = photo.convert("RGBA")
    alpha = rgba.getchannel("A")
    if header.format == "BMP" and alpha.getextrema() == (0, 0):
        # Many BMP writers leave the fourth byte at zero and mean nothing by it.
        return rgba.convert("RGB")
    paper = Image.new("RGB", rgba.size, "white")
    paper.paste(rgba, mask=alpha)
    return paper


def _heic(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """HEIC through pillow-heif, which turns the picture upright itself."""
    try:
        library = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise PhotoError(
            "unsupported_format",
            "expected a photo that can be read here, got HEIC without its library; "
            "pip install 'detic-crop[heic]', or " + CONVERT,
        ) from error
    photo = library.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    width, height = photo.size
    _check_size(width, height, max_pixels)
    # Not `to_pillow`: it parses the EXIF block, which may be damaged.
    pixels = photo.data
    image = Image.frombytes(photo.mode, photo.size, pixels, "raw", photo.mode, photo.stride)
    return _to_bgr(image, Header("HEIC", width, height, b""))


# ---------------------------------------------------------------- checks and turning


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PhotoError(
            "too_many_pixels",
            f"expected at most {max_pixels:,} pixels, got {width}×{height} = {width * height:,}; "
            "raise --max-pixels if the photo is genuine",
        )


def _is_uniform(image: NDArray[np.uint8]) -> bool:
    """Whether all pixels are the same: what a decoder fills in when it got nothing."""
    rows = max(1, (1 << 20) // image.shape[1])  # at a time: most photos differ soon, and memory stays small
    blocks = (image[top : top + rows] for top in range(0, len(image), rows))
    return all(bool((block == image[0, 0]).all()) for block in blocks)


def upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo the EXIF orientation (TIFF 6.0, tag 274); a copy only where there is something to turn."""
    if orientation == 1:
        return image
    turned: Any
    if orientation == 2:
        turned = cv2.flip(image, 1)
    elif orientation == 3:
        turned = cv2.rotate(image, cv2.ROTATE_180)
    elif orientation == 4:
        turned = cv2.flip(image, 0)
    elif orientation == 5:
        turned = cv2.transpose(image)
    elif orientation == 6:
        turned = cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)
    elif orientation == 7:
        turned = cv2.rotate(cv2.transpose(image), cv2.ROTATE_180)
    else:
        turned = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return np.ascontiguousarray(turned, dtype=np.uint8)


def _reason(error: Exception) -> str:
    """Return what went wrong, without line breaks, paths or addresses."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    if isinstance(error, (LookupError, TypeError, AttributeError)):
        text = f"{type(error).__name__} {text}"
    return one_line(text, 160)
