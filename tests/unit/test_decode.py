"""Decoding: every format and mode against numbers worked out by hand or cv2; every reason of failure."""

from __future__ import annotations

import errno
import importlib
import io
import os
import platform
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image

from detic_crop.config import DEFAULT_MAX_PIXELS
from detic_crop.errors import PhotoError
from detic_crop.images import decode as decode_module
from detic_crop.images.decode import IMAGE_EXTENSIONS, REASONS, Decoded, decode
from detic_crop.images.headers.read import HEIC_EXTENSIONS, RAW_EXTENSIONS, read_header
from detic_crop.images.quiet import quiet_c_stderr
from detic_crop.photos.location import LocalFile
from detic_crop.photos.photo import Photo

Pixels = NDArray[np.uint8]

H, W = 12, 20
ORIENTATION = 274


def corners() -> Pixels:
    """(H, W, 3) RGB: red, green, blue and yellow quarters, so that no turn or mirror looks like another."""
    image = np.empty((H, W, 3), np.uint8)
    image[: H // 2, : W // 2] = (255, 0, 0)
    image[: H // 2, W // 2 :] = (0, 255, 0)
    image[H // 2 :, : W // 2] = (0, 0, 255)
    image[H // 2 :, W // 2 :] = (255, 255, 0)
    return image


def scene(height: int = 48, width: int = 64) -> Pixels:
    """(height, width, 3) RGB with gradients and noise: something a truncated file can show parts of."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 200 / width, y * 200 / height, (x + y) * 200 / (width + height)], -1)
    return (smooth + rng.integers(0, 50, smooth.shape)).astype(np.uint8)


def saved(image: Image.Image | NDArray[Any], format: str, **options: Any) -> bytes:
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def upright(image: Pixels, orientation: int) -> Pixels:
    """The truth in numpy alone, from the words of the EXIF standard: where row 0 and column 0 lie."""
    turned = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.swapaxes(0, 1),
        6: image.swapaxes(0, 1)[:, ::-1],
        7: image.swapaxes(0, 1)[::-1, ::-1],
        8: image.swapaxes(0, 1)[::-1],
    }
    return turned[orientation]


def rgb(decoded: Decoded) -> Pixels:
    image = decoded.image
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.flags.c_contiguous
    assert image.flags.writeable
    return image[..., ::-1]


def failure(data: bytes, **options: Any) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        decode(data, **options)
    return checked(caught.value)


def checked(error: PhotoError) -> PhotoError:
    """What holds for every failure: a documented reason and one line that says what was expected."""
    assert error.reason in REASONS
    assert "\n" not in str(error)
    assert str(error).startswith("expected ")
    return error


# ---------------------------------------------------------------- orientation

LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", LOSSLESS)
def test_orientation_lossless(format: str, orientation: int) -> None:
    data = saved(corners(), format, exif=exif(orientation), **LOSSLESS[format])
    image = decode(data)
    np.testing.assert_array_equal(rgb(image), upright(corners(), orientation))
    if format == "WEBP":
        return  # OpenCV before 4.11 does not look at its orientation
    # From memory, because cv2.imread of OpenCV 5.0 fails on TIFF files of orientation 5 to 8.
    np.testing.assert_array_equal(image.image, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_jpeg_is_cv2s(mode: str, orientation: int, progressive: bool, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    photo = Image.fromarray(scene()).convert(mode)
    photo.save(path, exif=exif(orientation), progressive=progressive)
    decoded = decode(path.read_bytes())
    np.testing.assert_array_equal(decoded.image, cv2.imread(str(path)))
    rgb(decoded)
    assert not decoded.truncated


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_jpeg_by_numpy(orientation: int) -> None:
    large = corners().repeat(8, 0).repeat(8, 1)
    image = rgb(decode(saved(large, "JPEG", quality=95, exif=exif(orientation))))
    # Chroma is stored at half size, so allow for it where quarters meet.
    off = np.abs(image.astype(int) - upright(large, orientation)).max(-1)
    assert (off > 8).mean() < 0.05


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_impossible_orientation_means_upright(orientation: int) -> None:
    image = rgb(decode(saved(corners(), "PNG", exif=exif(orientation))))
    np.testing.assert_array_equal(image, corners())


@pytest.mark.parametrize(
    "block", [b"", b"\0", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff\1", b"?" * 40]
)
def test_damaged_exif_is_ignored(block: bytes) -> None:
    plain = saved(scene(), "JPEG")
    payload = b"Exif\0\0" + block
    segment = b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload
    data = plain[:2] + segment + plain[2:]
    np.testing.assert_array_equal(decode(data).image, decode(plain).image)


# ---------------------------------------------------------------- modes


@pytest.mark.parametrize(
    ("format", "mode"),
    [(format, mode) for format in ("PNG", "TIFF", "BMP", "WEBP") for mode in ("RGB", "L", "1", "P", "RGBA")]
    + [("PNG", "LA"), ("WEBP", "LA")],
)
def test_modes(format: str, mode: str) -> None:
    photo = Image.fromarray(corners()).convert(mode)
    data = saved(photo, format, **LOSSLESS.get(format, {}))
    np.testing.assert_array_equal(rgb(decode(data)), np.asarray(photo.convert("RGB")))


def test_alpha_lies_over_white() -> None:
    rgba = np.zeros((2, 4, 4), np.uint8)
    rgba[:] = (200, 100, 0, 255)
    rgba[0, 1, 3] = 0
    rgba[0, 2, 3] = 51  # one fifth
    expected = np.tile(np.array([200, 100, 0], np.uint8), (2, 4, 1))
    expected[0, 1] = 255
    expected[0, 2] = (244, 224, 204)  # 0.2 × colour + 0.8 × 255
    for format in ("PNG", "WEBP", "TIFF", "BMP"):
        options = {"lossless": True, "exact": True} if format == "WEBP" else {}
        data = bmp_with_alpha(rgba) if format == "BMP" else saved(rgba, format, **options)
        image = rgb(decode(data))
        np.testing.assert_allclose(image, expected, atol=1, err_msg=format)
        np.testing.assert_array_equal(image[0, :2], expected[0, :2], err_msg=format)


def bmp_with_alpha(rgba: Pixels) -> bytes:
    """A version 4 bitmap, the first that says where its alpha is."""
    height, width = rgba.shape[:2]
    pixels = rgba[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = (
        struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0) + masks + bytes(52)
    )
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels


def test_bmp_with_an_unused_fourth_byte() -> None:
    rgba = np.dstack([corners(), np.zeros((H, W), np.uint8)])
    np.testing.assert_array_equal(rgb(decode(bmp_with_alpha(rgba))), corners())
    np.testing.assert_array_equal(rgb(decode(saved(rgba, "BMP"))), corners())


def test_palette_with_transparency() -> None:
    photo = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    photo.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    one = rgb(decode(saved(photo, "PNG", transparency=1)))
    np.testing.assert_array_equal(one, [[[10, 20, 30], [255, 255, 255], [70, 80, 90]]])
    table = rgb(decode(saved(photo, "PNG", transparency=b"\xff\x00\x33")))
    np.testing.assert_array_equal(table[0, :2], [[10, 20, 30], [255, 255, 255]])
    np.testing.assert_allclose(table[0, 2], [218, 220, 222], atol=1)


def test_colour_key() -> None:
    grey = saved(np.array([[5, 6, 7]], np.uint8), "PNG", transparency=6)
    np.testing.assert_array_equal(rgb(decode(grey))[0, :, 0], [5, 255, 7])
    colour = saved(np.array([[[5, 6, 7], [5, 6, 8]]], np.uint8), "PNG", transparency=(5, 6, 7))
    np.testing.assert_array_equal(rgb(decode(colour)), [[[255, 255, 255], [5, 6, 8]]])


def cmyk_inks() -> tuple[Image.Image, Pixels]:
    """16-pixel patches of paper, cyan, magenta, yellow, black and half black, and their RGB."""
    inks = [(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255), (0, 0, 0, 128)]
    colours = [(255, 255, 255), (0, 255, 255), (255, 0, 255), (255, 255, 0), (0, 0, 0), (127, 127, 127)]
    patches = np.array([inks], np.uint8).repeat(16, 0).repeat(16, 1)
    photo = Image.frombytes("CMYK", (patches.shape[1], 16), patches.tobytes())
    return photo, np.array([colours], np.uint8).repeat(16, 0).repeat(16, 1)


def test_cmyk_jpeg_as_adobe_stores_it() -> None:
    photo, truth = cmyk_inks()
    data = saved(photo, "JPEG", quality=98)
    assert b"Adobe" in data
    np.testing.assert_allclose(rgb(decode(data)).astype(int), truth, atol=4)


def test_cmyk_tiff() -> None:
    photo, truth = cmyk_inks()
    for compression in ("raw", "tiff_lzw"):
        image = rgb(decode(saved(photo, "TIFF", compression=compression)))
        np.testing.assert_array_equal(image, truth)


def test_ycck_jpeg_is_cv2s() -> None:
    photo, _ = cmyk_inks()
    data = bytearray(saved(photo, "JPEG", quality=98))
    data[data.index(b"Adobe") + 11] = 2  # the transform: none → YCCK
    expected = cv2.imdecode(np.frombuffer(bytes(data), np.uint8), cv2.IMREAD_COLOR)
    assert expected is not None
    np.testing.assert_allclose(decode(bytes(data)).image.astype(int), expected, atol=3)


DEEP = np.array([[0, 1, 255, 256, 257, 32767, 32768, 65279, 65280, 65535]], np.uint16)
DEEP_AS_8 = np.array([[0, 0, 0, 1, 1, 127, 128, 254, 255, 255]], np.uint8)


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_keep_the_high_byte(extension: str, channels: int) -> None:
    samples = np.repeat(DEEP[..., None], channels, 2)
    if channels == 4:
        samples[..., 3] = 65535
    ok, data = cv2.imencode(extension, samples if channels > 1 else samples[..., 0])
    assert ok
    image = decode(data.tobytes()).image
    np.testing.assert_array_equal(image, np.repeat(DEEP_AS_8[..., None], 3, 2))
    # cv2 agrees, but for TIFF, where it rounds.
    off = np.abs(image.astype(int) - cv2.imdecode(data, cv2.IMREAD_COLOR))
    assert off.max() <= (extension == ".tiff")


def test_16_bit_grey_colour_key() -> None:
    ok, encoded = cv2.imencode(".png", DEEP)
    assert ok
    data = encoded.tobytes()
    key = b"tRNS" + (257).to_bytes(2, "big")
    chunk = (2).to_bytes(4, "big") + key + zlib.crc32(key).to_bytes(4, "big")
    expected = DEEP_AS_8.copy()
    expected[DEEP == 257] = 255
    np.testing.assert_array_equal(rgb(decode(data[:33] + chunk + data[33:]))[..., 0], expected)


def test_float_tiff() -> None:
    values = np.array([[0.0, 0.5, 1.0, -1.0, np.nan]], np.float32)
    np.testing.assert_array_equal(rgb(decode(saved(values, "TIFF")))[0, :, 0], [0, 128, 255, 0, 0])
    values = np.array([[0.0, 0.5, 127.0, 300.0]], np.float32)
    np.testing.assert_array_equal(rgb(decode(saved(values, "TIFF")))[0, :, 0], [0, 1, 127, 255])


def test_32_bit_tiff() -> None:
    values = np.array([[0, 1 << 24, (1 << 31) - 1]], np.int32)
    np.testing.assert_array_equal(rgb(decode(saved(values, "TIFF")))[0, :, 0], [0, 2, 255])


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_compressions(compression: str) -> None:
    data = saved(scene(), "TIFF", compression=compression, exif=exif(6))
    decoded = decode(data)
    np.testing.assert_array_equal(rgb(decoded), upright(scene(), 6))
    assert not decoded.truncated


def test_big_tiff() -> None:
    np.testing.assert_array_equal(rgb(decode(saved(scene(), "TIFF", big_tiff=True))), scene())


def test_first_page_or_frame() -> None:
    pages = [Image.fromarray(corners()), Image.fromarray(255 - corners())]
    for format in ("TIFF", "WEBP", "PNG"):
        options = LOSSLESS[format]
        data = saved(pages[0], format, save_all=True, append_images=pages[1:], **options)
        decoded = decode(data)
        np.testing.assert_array_equal(rgb(decoded), corners(), err_msg=format)
        assert not decoded.truncated


def test_content_decides_not_the_name() -> None:
    data = saved(corners(), "PNG")
    for name in ("a.jpg", "a.heic", "a.txt", "", "a.nef"):
        np.testing.assert_array_equal(rgb(decode(data, name=name)), corners())


def test_colour_profile_and_text_are_ignored() -> None:
    data = saved(corners(), "PNG", icc_profile=b"not a profile at all")
    np.testing.assert_array_equal(rgb(decode(data)), corners())


# ---------------------------------------------------------------- limits


def with_size(format: str, width: int, height: int) -> bytes:
    """A tiny file whose header claims another size."""
    data = bytearray(saved(scene(), format))
    if format == "PNG":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif format == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
    elif format == "BMP":
        data[18:26] = struct.pack("<ii", width, -height)
    elif format == "TIFF":
        (start,) = struct.unpack_from("<I", data, 4)
        for at in range(start + 2, len(data) - 12, 12):
            tag = struct.unpack_from("<H", data, at)[0]
            if tag in (256, 257):
                data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, width if tag == 256 else height)
            if tag == 257:
                break
    else:
        head = b"VP8X" + struct.pack("<IB3x", 10, 0)
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        body = b"WEBP" + head + size + bytes(data[12:])
        data = bytearray(b"RIFF" + struct.pack("<I", len(body)) + body)
    return bytes(data)


@pytest.mark.parametrize(("width", "height"), [(0, 9), (9, 0)])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF"])
def test_a_photo_without_a_width_or_height_has_a_damaged_header(format: str, width: int, height: int) -> None:
    with pytest.raises(PhotoError, match=f"{format} photo, got a damaged header") as caught:
        read_header(with_size(format, width, height))
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_bombs_are_refused_by_their_header(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("decoded before the size was checked")

    monkeypatch.setattr(decode_module, "pixels_of", never)
    error = failure(with_size(format, 60000, 60000))
    assert error.reason == "too_many_pixels"
    assert "3,600,000,000" in str(error)
    assert "--max-pixels" in error.message


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_max_pixels_is_inclusive(format: str) -> None:
    data = saved(scene(), format)
    assert decode(data, max_pixels=48 * 64).image.shape == (48, 64, 3)
    assert failure(data, max_pixels=48 * 64 - 1).reason == "too_many_pixels"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF"])
def test_pillows_own_limit_is_not_asked(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    photo = Image.fromarray(scene()).convert("CMYK" if format == "JPEG" else "RGB")
    assert decode(saved(photo, format)).image.shape == (48, 64, 3)
    if format == "TIFF":
        assert decode(saved(photo, format, compression="tiff_lzw")).image.shape == (48, 64, 3)


def test_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.bmp"
    with path.open("wb") as file:
        file.truncate(1 << 34)
    assert checked(raised(path)).reason == "too_many_pixels"


@pytest.mark.parametrize("error", [MemoryError(), cv2.error("no memory")])
def test_out_of_memory(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(error, cv2.error):
        monkeypatch.setattr(error, "code", cv2.Error.StsNoMem, raising=False)

    def give_up(*_: object) -> None:
        raise error

    monkeypatch.setattr(cv2, "imdecode", give_up)
    assert failure(saved(scene(), "JPEG")).reason == "out_of_memory"


def test_our_own_mistake_about_a_header_is_one_photo_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise IndexError("9")

    monkeypatch.setattr(decode_module, "read_header", stumble)
    assert failure(saved(scene(), "JPEG")).reason == "unreadable"


def test_scan_bomb_is_refused() -> None:
    data = saved(scene(), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    bomb = data[:start] + data[start:-2] * 600 + b"\xff\xd9"
    assert failure(bomb).reason == "unreadable"


# ---------------------------------------------------------------- cut files


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"exif": exif(3)}, {"restart_marker_rows": 1}],
    ids=["baseline", "progressive", "exif", "restart markers"],
)
def test_jpeg_cut_anywhere(options: dict[str, Any]) -> None:
    """Before the picture: failed. In it: as far as it goes, flagged. Whole: not flagged."""
    data = saved(scene(), "JPEG", **options)
    whole = decode(data)
    assert not whole.truncated
    first_scan = data.index(b"\xff\xda") + 14
    for length in range(3, len(data), 7):
        if length < first_scan:
            assert failure(data[:length]).reason == "truncated"
        elif length > first_scan + 8:
            cut = decode(data[:length])
            assert cut.truncated
            assert cut.image.shape == whole.image.shape
            assert failure(data[:length], truncated="fail").reason == "truncated"
    nearly = decode(data[:-2])
    assert nearly.truncated
    np.testing.assert_array_equal(nearly.image, whole.image)


def test_half_a_jpeg_has_its_upper_half() -> None:
    data = saved(scene(256, 256), "JPEG", quality=90)
    half = decode(data[: len(data) // 2])
    assert half.truncated
    np.testing.assert_array_equal(half.image[:96], decode(data).image[:96])


def test_end_marks_elsewhere_do_not_count() -> None:
    thumbnail = saved(scene(16, 16), "JPEG")
    payload = b"Exif\0\0" + thumbnail
    segment = b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload
    plain = saved(scene(), "JPEG")
    data = plain[:2] + segment + plain[2:]
    assert not decode(data).truncated
    assert decode(data[:-40]).truncated


@pytest.mark.parametrize("rubbish", [b"\0" * 3000, b"\n", b"<html>", b"\xff\xd8\xff\xe0 and no more"])
def test_rubbish_behind_the_end_is_no_truncation(rubbish: bytes) -> None:
    data = saved(scene(), "JPEG")
    decoded = decode(data + rubbish)
    assert not decoded.truncated
    np.testing.assert_array_equal(decoded.image, decode(data).image)


def test_zeros_instead_of_the_end_are() -> None:
    data = saved(scene(), "JPEG")
    assert decode(data[:-200] + bytes(200)).truncated


def test_multi_picture_file() -> None:
    pages = [Image.fromarray(scene()), Image.fromarray(255 - scene())]
    data = saved(pages[0], "MPO", save_all=True, append_images=pages[1:])
    first = decode(data)
    assert not first.truncated
    np.testing.assert_allclose(rgb(first).astype(int), scene(), atol=90)
    # The second picture is cut; the first, which is the photo, is whole.
    assert not decode(data[:-100]).truncated


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP"])
def test_other_formats_cut_anywhere(format: str) -> None:
    data = saved(scene(), format)
    kept = 0
    reasons = set()
    for length in range(1, len(data) - 12, 97):
        try:
            decoded = decode(data[:length])
        except PhotoError as error:
            reasons.add(checked(error).reason)
            continue
        assert decoded.truncated
        assert decoded.image.shape == (48, 64, 3)
        assert failure(data[:length], truncated="fail").reason == "truncated"
        kept += 1
    assert reasons <= {"truncated", "not_an_image"}
    # Each library gives what it has, but for libwebp, which gives all or nothing.
    assert (kept > 0) == (format != "WEBP")


def test_half_a_png_has_its_upper_rows() -> None:
    data = saved(scene(), "PNG")
    half = decode(data[: len(data) // 2])
    assert half.truncated
    np.testing.assert_array_equal(rgb(half)[:16], scene()[:16])
    assert not half.image[-4:].any()


def test_damage_inside_a_png_is_flagged() -> None:
    data = bytearray(saved(scene(), "PNG"))
    data[len(data) // 2] ^= 0xFF
    decoded = decode(bytes(data))
    assert decoded.damaged
    assert not decoded.truncated
    assert failure(bytes(data), truncated="fail").reason == "damaged"


# ---------------------------------------------------------------- not photos


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_file"),
        (b"<html>404</html>", "not_an_image"),
        (b"\0" * 5000, "not_an_image"),
        (b"\xff\xd8", "not_an_image"),
        (b"BM", "not_an_image"),
        (b"GIF89a" + bytes(20), "unsupported_format"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf" + bytes(8), "unsupported_format"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "unsupported_format"),
        (b"\xff\xd8\xff", "truncated"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "truncated"),
        (b"II*\0\x08\0\0\0", "truncated"),
        (b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10" + bytes(16), "unsupported_format"),
    ],
)
def test_reasons(data: bytes, reason: str) -> None:
    assert failure(data, name="photo.jpg").reason == reason


def tiff_with(*entries: tuple[int, int]) -> bytes:
    """A valid little TIFF with further 32-bit tags in front of or among its own."""
    data = saved(scene(), "TIFF")
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    own = [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    added = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries]
    table: list[bytes] = sorted(own + added, key=lambda entry: int.from_bytes(entry[:2], "little"))
    end = len(data)
    return (
        data[:4]
        + struct.pack("<I", end)
        + data[8:]
        + struct.pack("<H", count + len(added))
        + b"".join(table)
        + bytes(4)
    )


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"any bytes at all", "DSC0001.ARW"),
        (saved(scene(), "TIFF"), "DSC0001.nef"),
        (saved(scene(), "TIFF"), "IMG.DNG"),
        (b"FUJIFILMCCD-RAW 0201FF", "x.jpg"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(50), "x.tif"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "x.jpg"),
        (tiff_with((50706, 0x00000401)), "x.tif"),
        (tiff_with((254, 1), (330, 8)), "x.tif"),
    ],
)
def test_camera_raw(data: bytes, name: str) -> None:
    error = failure(data, name=name)
    assert error.reason == "unsupported_format"
    assert "RAW" in str(error)
    assert "convert it to JPEG or TIFF" in str(error)


def test_tiff_with_its_own_extra_tags_is_no_raw() -> None:
    np.testing.assert_array_equal(rgb(decode(tiff_with((254, 0), (700, 5)))), scene())


def test_many_samples_per_pixel() -> None:
    data = saved(scene(), "TIFF").replace(
        struct.pack("<HHII", 277, 3, 1, 3), struct.pack("<HHII", 277, 3, 1, 9)
    )
    assert failure(data).reason == "unsupported_format"


def test_extensions() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".nef"} <= IMAGE_EXTENSIONS
    assert RAW_EXTENSIONS | HEIC_EXTENSIONS < IMAGE_EXTENSIONS
    assert all(extension == extension.lower() and extension[0] == "." for extension in IMAGE_EXTENSIONS)


# ---------------------------------------------------------------- HEIC


def heic(image: Pixels, orientation: int = 1) -> bytes:
    file = io.BytesIO()
    photo = pillow_heif.from_pillow(Image.fromarray(image))
    photo.save(file, quality=100, chroma=444, exif=exif(orientation).tobytes())
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic(orientation: int) -> None:
    large = corners().repeat(8, 0).repeat(8, 1)
    image = rgb(decode(heic(large, orientation), name="x.HEIC"))
    expected = upright(large, orientation)
    assert image.shape == expected.shape
    assert (np.abs(image.astype(int) - expected).max(-1) > 20).mean() < 0.05


def test_heic_limits_and_damage() -> None:
    data = heic(scene())
    assert failure(data, max_pixels=100).reason == "too_many_pixels"
    assert failure(data[: len(data) // 2]).reason == "unreadable"


def test_heic_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    data = heic(scene())
    monkeypatch.setattr(importlib, "import_module", absent)
    error = failure(data)
    assert error.reason == "unsupported_format"
    assert "pip install 'detic-crop[heic]'" in str(error)


# ---------------------------------------------------------------- files


def read(path: Path) -> Decoded:
    photo = Photo("photo", LocalFile(str(path)))
    return photo.open(DEFAULT_MAX_PIXELS, "keep").decode()


def raised(path: Path) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        read(path)
    assert str(path) not in str(caught.value)
    return checked(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    assert raised(tmp_path / "absent.jpg").reason == "missing_file"
    assert raised(tmp_path / ("x" * 300)).reason == "missing_file"
    assert raised(tmp_path / "nul\0.jpg").reason == "missing_file"
    assert raised(tmp_path).reason == "not_a_file"
    (tmp_path / "a.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert raised(tmp_path / "a.jpg").reason == "missing_file"
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert raised(tmp_path / "loop.jpg").reason == "missing_file"
    (tmp_path / "empty.jpg").touch()
    assert raised(tmp_path / "empty.jpg").reason == "empty_file"
    assert raised(tmp_path / "empty.jpg" / "b.jpg").reason == "missing_file"
    (tmp_path / "text.jpg").write_text("no photo")
    assert raised(tmp_path / "text.jpg").reason == "not_an_image"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    assert raised(pipe).reason == "not_a_file"
    # Even when it takes a photo's place between the two looks.
    (tmp_path / "photo.jpg").write_bytes(b"x")
    status = os.stat(tmp_path / "photo.jpg")
    monkeypatch.setattr(os, "stat", lambda _: status)
    with pytest.raises(PhotoError, match="pipe"):
        read(pipe)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EACCES, "permission_denied"),
        (errno.EPERM, "permission_denied"),
        (errno.EIO, "unreadable"),
        (errno.ESTALE, "unreadable"),
        (errno.ENOENT, "missing_file"),
        (errno.ENOMEM, "out_of_memory"),
        (errno.EISDIR, "not_a_file"),
    ],
)
def test_system_errors(code: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(saved(scene(), "JPEG"))

    def refuse(name: object, *_: object) -> int:
        raise OSError(code, os.strerror(code), str(name))

    monkeypatch.setattr(os, "open", refuse)
    assert raised(path).reason == reason


# ---------------------------------------------------------------- threads and noise


def test_threads_agree() -> None:
    photos = [
        saved(scene(), format, exif=exif(n)) for format in ("JPEG", "PNG", "TIFF", "WEBP") for n in (1, 6)
    ]
    photos += [photo[: len(photo) * 2 // 3] for photo in photos[:4]]
    alone = [decode(photo) for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(decode, photos * 20))
    for index, decoded in enumerate(together):
        expected = alone[index % len(alone)]
        assert decoded.truncated == expected.truncated
        np.testing.assert_array_equal(decoded.image, expected.image)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc lets a program set stderr")
def test_only_the_decoders_are_silenced(capfd: pytest.CaptureFixture[str]) -> None:
    data = saved(scene(), "JPEG")
    damaged = np.frombuffer(data[: len(data) * 3 // 4] + b"\xff\xd9", np.uint8)
    print_about: Callable[[], object] = lambda: cv2.imdecode(damaged, cv2.IMREAD_COLOR)  # noqa: E731
    with quiet_c_stderr(), quiet_c_stderr():
        print_about()
        os.write(2, b"still heard")
    assert capfd.readouterr().err == "still heard"
    # Afterwards everything is as it was: libjpeg's remark comes through.
    print_about()
    assert "Corrupt JPEG data" in capfd.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_can_decode(capfd: pytest.CaptureFixture[str]) -> None:
    """A fork in the midst of another thread's decoding leaves the child neither locked nor mute."""
    data = saved(scene(), "JPEG")
    with quiet_c_stderr():
        child = os.fork()
        if child == 0:
            damaged = np.frombuffer(data[: len(data) * 3 // 4] + b"\xff\xd9", np.uint8)
            cv2.imdecode(damaged, cv2.IMREAD_COLOR)
            os._exit(0 if decode(data).image.shape == (48, 64, 3) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ("Corrupt JPEG data" in capfd.readouterr().err) == (platform.libc_ver()[0] == "glibc")
