"""Pixels of every format but the plain JPEG: as Pillow's readers give them, in one colour layout."""

from __future__ import annotations

import importlib
import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from detic_crop.errors import PhotoError
from detic_crop.images.directory import read_directory
from detic_crop.images.headers.header import CONVERT, Header
from detic_crop.images.loading import load_rows
from detic_crop.images.tiff_samples import bgr_of, layout_of

_OPENERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}


def pixels_of(header: Header, max_pixels: int) -> tuple[NDArray[np.uint8], bool]:
    """Return a photo's (H, W, 3) BGR pixels as stored, and whether none is missing.

    If the decoder fails on the way, the rows that it has finished are kept.
    """
    if header.format == "HEIC":
        return _heic(header.lean, max_pixels), True
    if header.format == "TIFF":
        directory = read_directory(header.lean)
        if not layout_of(header.lean, directory).is_left_to_pillow:
            return bgr_of(header.lean, directory, CONVERT)
    # Not Image.open: its size limit is a global that warns or raises before `max_pixels` is checked.
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


def bgr_of_picture(picture: Image.Image) -> NDArray[np.uint8]:
    """Return the (H, W, 3) BGR pixels of a picture that Pillow opened or made.

    The rules are those of `PhotoFile.decode`; its orientation, if it has one, is applied.
    """
    upright_one = ImageOps.exif_transpose(picture)
    return _to_bgr(upright_one, Header("PNG", *upright_one.size, b""))


def _to_bgr(photo: Image.Image, header: Header) -> NDArray[np.uint8]:
    """Return any Pillow mode as (H, W, 3) BGR."""
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
    """Return (H, W) samples of a PNG's 16 bits as 8 bits, by the rule in `PhotoFile.decode`."""
    samples = np.asarray(photo)
    # Pillow before 11 opens 16-bit grey PNG as "I", with values up to 65535.
    grey = np.asarray(samples >> 8, dtype=np.uint8)
    if header.colour_key is not None:
        grey[samples == header.colour_key[0]] = 255
    return grey


def _over_white(photo: Image.Image, header: Header) -> Image.Image:
    """Lay a picture with alpha over white."""
    rgba = photo.convert("RGBA")
    alpha = rgba.getchannel("A")
    if header.format == "BMP" and alpha.getextrema() == (0, 0):
        # Many BMP writers leave the fourth byte at zero and mean nothing by it.
        return rgba.convert("RGB")
    paper = Image.new("RGB", rgba.size, "white")
    paper.paste(rgba, mask=alpha)
    return paper


def _heic(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """Return a HEIC's (H, W, 3) BGR pixels; pillow-heif turns the picture upright itself.

    Raises:
        PhotoError: the library is missing, or the picture has more than `max_pixels`.
    """
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
    check_size(width, height, max_pixels)
    # Not `to_pillow`: it parses the EXIF block, which may be damaged.
    pixels = photo.data
    image = Image.frombytes(photo.mode, photo.size, pixels, "raw", photo.mode, photo.stride)
    return _to_bgr(image, Header("HEIC", width, height, b""))


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a photo of more than `max_pixels` (PhotoError ``too_many_pixels``)."""
    if width * height > max_pixels:
        raise PhotoError(
            "too_many_pixels",
            f"expected at most {max_pixels:,} pixels, got {width}×{height} = {width * height:,}; "
            "raise --max-pixels if the photo is genuine",
        )


def is_uniform(image: NDArray[np.uint8]) -> bool:
    """Return whether all pixels are the same, which is what a decoder fills in when it got nothing."""
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
