"""Damage that leaves a file readable: it is seen in any format, in any thread, and intact files have none."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from detic_crop import api
from detic_crop.errors import PhotoError
from detic_crop.folder.journal import replay
from detic_crop.folder.records import Record
from detic_crop.images import quiet
from detic_crop.images.decode import PhotoFile, decode
from detic_crop.images.headers.read import read_header
from detic_crop.images.partial import REDUCTIONS
from detic_crop.images.quiet import can_hear, quiet_c_stderr, take_remark
from tests.kit.photos import picture

EOI = b"\xff\xd9"
WIDTH, HEIGHT = 320, 240


def photo(seed: int = 5) -> Image.Image:
    noise = np.random.default_rng(seed).integers(-12, 12, (HEIGHT, WIDTH, 3))
    return Image.fromarray(np.clip(picture(seed, WIDTH, HEIGHT)[..., ::-1] + noise, 0, 255).astype(np.uint8))


def saved(format: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    photo().convert(mode).save(file, format, **options)
    return file.getvalue()


JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "grey": {"mode": "L"},
    "restarts": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "4:4:4": {"subsampling": 0},
    "CMYK": {"mode": "CMYK"},
}


def first_scan(data: bytes) -> int:
    """Where the first scan's data begin."""
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def part(data: bytes, share: float) -> int:
    """A place in the picture's data."""
    first = first_scan(data)
    return first + int((len(data) - first) * share)


def zeros(data: bytes) -> bytes:
    a, b = part(data, 0.3), part(data, 0.7)
    return data[:a] + bytes(b - a) + data[b:]


def other_bytes(data: bytes) -> bytes:
    a, b = part(data, 0.4), part(data, 0.6)
    noise = np.random.default_rng(3).integers(0, 255, b - a, np.uint8).tobytes()  # no FF: no marks
    return data[:a] + noise + data[b:]


def removed(data: bytes) -> bytes:
    return data[: part(data, 0.4)] + data[part(data, 0.6) :]


def cut_and_ended(data: bytes) -> bytes:
    return data[: part(data, 0.5)] + EOI


def cut_and_another(data: bytes) -> bytes:
    return data[: part(data, 0.5)] + saved("JPEG")


def late(data: bytes) -> bytes:
    """In the last tenth only."""
    return data[: part(data, 0.9)] + data[part(data, 0.95) :]


HARMS: tuple[Callable[[bytes], bytes], ...] = (zeros, other_bytes, removed, cut_and_ended, late)


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("name", JPEGS)
def test_a_damaged_jpeg_is_seen(name: str, harm: Callable[[bytes], bytes]) -> None:
    data = saved("JPEG", **JPEGS[name])
    assert decode(data).damaged is False
    assert_seen(harm(data))


def assert_seen(data: bytes) -> None:
    decoded = decode(data)
    assert decoded.damaged is True
    assert not decoded.truncated
    with pytest.raises(PhotoError, match="damaged data") as caught:
        decode(data, truncated="fail")
    assert caught.value.reason == "damaged"


@pytest.mark.parametrize("name", sorted(JPEGS.keys() - {"progressive"}))
def test_a_cut_jpeg_with_another_behind_it_is_seen(name: str) -> None:
    assert_seen(cut_and_another(saved("JPEG", **JPEGS[name])))


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def with_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    return data[:2] + segment(marker, payload) + data[2:]


def odd_scan_header(data: bytes) -> bytes:
    first = first_scan(data)
    return data[: first - 3] + bytes(3) + data[first:]


def padded(data: bytes, count: int) -> bytes:
    return data[:-2] + bytes(count) + EOI


INTACT: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda data: data,
    "rubbish behind": lambda data: data + b"\r\n<html>" + bytes(2000),
    "a film behind": lambda data: data + b"\0\0\0\x18ftypmp42" + data[300:] + b"\xff\xd8\xff\xda",
    "itself behind": lambda data: data + data,
    "one zero before the end": lambda data: padded(data, 1),
    "zeros before the end": lambda data: padded(data, 4096),
    "filled before the end": lambda data: data[:-2] + b"\xff" * 7 + EOI,
    "a thumbnail": lambda data: with_segment(data, 0xE1, b"Exif\0\0" + saved("JPEG", quality=5)),
    "an unknown JFIF version": lambda data: data.replace(b"JFIF\0\1", b"JFIF\0\7", 1),
    "an unknown Adobe transform": lambda data: with_segment(data, 0xEE, b"Adobe\0\x64\0\0\0\0\7"),
}


@pytest.mark.parametrize("way", INTACT)
@pytest.mark.parametrize("name", JPEGS)
def test_an_intact_jpeg_has_no_flag(name: str, way: str) -> None:
    data = saved("JPEG", **JPEGS[name])
    if name == "CMYK" and "Adobe" in way:
        return  # there the transform means something
    decoded = decode(INTACT[way](data), truncated="fail")
    assert (decoded.damaged, decoded.truncated) == (False, False)
    np.testing.assert_array_equal(decoded.image, decode(data).image)


@pytest.mark.parametrize("name", sorted(JPEGS.keys() - {"progressive"}))
def test_zeros_in_a_scan_header_are_no_damage(name: str) -> None:
    """As some phones write them; and real damage behind such a header is still seen."""
    data = odd_scan_header(saved("JPEG", **JPEGS[name]))
    assert decode(data).damaged is False
    assert_seen(zeros(data))


def test_zeros_do_not_hide_damage() -> None:
    data = saved("JPEG")
    assert_seen(padded(removed(data), 600))
    assert_seen(data[: part(data, 0.8)] + bytes(part(data, 1) - part(data, 0.8) - 2) + EOI)


def test_a_multi_picture_file_is_intact() -> None:
    file = io.BytesIO()
    photo().save(file, "MPO", save_all=True, append_images=[photo(6)])
    data = file.getvalue()
    assert decode(data, truncated="fail").damaged is False
    first = data.index(EOI, part(data, 0))
    cut = data[: part(data, 0.2)] + data[first:]
    assert decode(cut).damaged is True


def test_a_cut_file_is_truncated_and_not_damaged() -> None:
    data = saved("JPEG")
    decoded = decode(data[: part(data, 0.5)])
    assert (decoded.truncated, decoded.damaged) == (True, False)


# ---------------------------------------------------------------- other formats


def middle(data: bytes, count: int = 64) -> bytes:
    """Some bytes in the middle that are others."""
    at = len(data) // 2
    return data[:at] + bytes(byte ^ 0x5A for byte in data[at : at + count]) + data[at + count :]


OTHERS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "png palette": {"format": "PNG", "mode": "P"},
    "webp": {"format": "WEBP"},
    "webp alpha": {"format": "WEBP", "mode": "RGBA"},
    "tiff deflate": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    "tiff jpeg": {"format": "TIFF", "compression": "jpeg"},
    "tiff lzw": {"format": "TIFF", "compression": "tiff_lzw"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_damage_in_other_formats_is_seen(name: str) -> None:
    data = saved(**OTHERS[name])
    assert decode(data, truncated="fail").damaged is False
    assert decode(middle(data)).damaged is True
    with pytest.raises(PhotoError) as caught:
        decode(middle(data), truncated="fail")
    assert caught.value.reason == "damaged"


def test_most_damaged_webp_are_seen() -> None:
    """libwebp refuses data that are too short, and of those that are too long the rest is noticed."""
    data = saved("WEBP")
    seen = 0
    for at in range(100, len(data) - 200, (len(data) - 300) // 40):
        harmed = data[:at] + bytes(byte ^ 0x5A for byte in data[at : at + 64]) + data[at + 64 :]
        try:
            seen += decode(harmed).damaged is True
        except PhotoError:
            seen += 1
    assert seen >= 36


def test_an_intact_animation_is_no_damage() -> None:
    file = io.BytesIO()
    photo().save(file, "WEBP", save_all=True, append_images=[photo(6)])
    assert decode(file.getvalue(), truncated="fail").damaged is False


def chunks_of(png: bytes) -> list[bytes]:
    found, at = [], 8
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        found.append(png[at:end])
        at = end
    return found


def large_png() -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("lost", [1, 3, -2])
def test_a_png_that_lacks_a_chunk_is_seen(lost: int) -> None:
    data = large_png()
    chunks = chunks_of(data)
    assert chunks[lost][4:8] == b"IDAT"
    del chunks[lost]
    decoded = decode if lost != 1 else None
    rest = data[:8] + b"".join(chunks)
    if decoded is None:  # without its beginning nothing is left
        with pytest.raises(PhotoError):
            decode(rest)
        return
    assert decode(rest).damaged is True


def test_a_checksum_of_what_is_not_used_does_not_matter() -> None:
    data = saved("PNG")
    text = b"tEXt" + b"Comment\0hello"
    chunk = (len(text) - 4).to_bytes(4, "big") + text + bytes(4)
    assert decode(data[:33] + chunk + data[33:]).damaged is False
    wrong = data[:29] + (zlib.crc32(data[12:29]) ^ 1).to_bytes(4, "big") + data[33:]
    assert decode(wrong).damaged is True


# ---------------------------------------------------------------- who is heard


def test_this_system_hears_libjpeg() -> None:
    """Or else every test above would have failed."""
    assert can_hear()


def test_remarks_belong_to_the_thread_that_decoded() -> None:
    good, bad = saved("JPEG"), zeros(saved("JPEG"))
    files = [bad if number % 3 == 0 else good for number in range(240)]
    with ThreadPoolExecutor(8) as pool:
        damaged = list(pool.map(lambda data: decode(data).damaged, files))
    assert damaged == [data is bad for data in files]


def test_a_remark_is_taken_once() -> None:
    bad = np.frombuffer(zeros(saved("JPEG")), np.uint8)
    with quiet_c_stderr():
        cv2.imdecode(bad, cv2.IMREAD_COLOR)
        assert take_remark() is True
        assert take_remark() is False
        cv2.imdecode(bad, cv2.IMREAD_COLOR)
    with quiet_c_stderr():
        assert take_remark() is False  # what was said before is nobody's


# ---------------------------------------------------------------- less than all of it


def test_all_is_decoded_once_whatever_is_needed() -> None:
    file = PhotoFile(saved("JPEG"))
    assert file.decode((0, 0, 10, 10)).image.shape == (HEIGHT, WIDTH, 3)
    again = file.decode((0, 0, 10, 10))
    assert again.image.shape[0] < HEIGHT
    assert again.damaged is False


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("reduction", [1, 2, 8])
def test_damage_below_what_is_needed_is_seen(harm: Callable[[bytes], bytes], reduction: Any) -> None:
    file = PhotoFile(harm(saved("JPEG")))
    assert file.decode((0, 0, 16, 16), reduction).damaged is True
    assert file.decode((0, 0, 16, 16), reduction).damaged is True  # and not forgotten


def boxes_run(folder: Path, out: str, **options: Any) -> pd.DataFrame:
    api.run(
        folder / "in", folder / out, model=f"boxes:{folder / 'boxes.csv'}", quiet=True, size=64, **options
    )
    return detailed(folder / out)


def detailed(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "audit.csv", keep_default_na=False).set_index("image")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good and damaged photos, with boxes in their upper halves."""
    (tmp_path / "in").mkdir()
    lines = ["image,box"]
    data = saved("JPEG")
    files = {harm.__name__: harm(data) for harm in (*HARMS, cut_and_another)}
    files |= {"good": data, "cut": data[: part(data, 0.5)]}
    for name, content in files.items():
        (tmp_path / "in" / f"{name}.jpg").write_bytes(content)
        lines.append(f"{name}.jpg,20 10 200 60")
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.parametrize("decode", ["full", "scaled"])
def test_a_run_flags_and_fails_them(folder: Path, decode: str) -> None:
    table = boxes_run(folder, "out", decode=decode, workers=1)
    harmed = {f"{harm.__name__}.jpg" for harm in (*HARMS, cut_and_another)}
    flags = table["flags"].str.split(";")
    assert set(table.index[flags.map(lambda names: "damaged_file" in names)]) == harmed
    assert set(table.index[flags.map(lambda names: "truncated_file" in names)]) == {"cut.jpg"}
    assert (table.loc[sorted(harmed), "suspicion"].astype(float) >= 0.3).all()
    assert (table["status"] == "cropped").all()
    boxes_run(folder, "four", decode=decode, workers=4)
    assert (folder / "out" / "audit.csv").read_bytes() == (folder / "four" / "audit.csv").read_bytes()
    strict = boxes_run(folder, "strict", decode=decode, truncated="fail")
    assert set(strict.index[strict["status"] == "failed"]) == harmed | {"cut.jpg"}
    assert set(strict.loc[sorted(harmed), "reason"]) == {"damaged"}


def test_a_recrop_flags_the_same_and_decodes_less_of_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = boxes_run(folder, "out")
    heights: dict[bool, set[int]] = {False: set(), True: set()}
    real = PhotoFile.decode

    def watched(self: PhotoFile, *args: Any, **options: Any) -> Any:
        decoded = real(self, *args, **options)
        heights[bool(decoded.damaged or decoded.truncated)].add(decoded.image.shape[0])
        return decoded

    monkeypatch.setattr(PhotoFile, "decode", watched)
    api.recrop(folder / "out", folder / "again", size=32, quiet=True)
    again = detailed(folder / "again")
    assert list(again["flags"].str.contains("damaged_file")) == list(
        table["flags"].str.contains("damaged_file")
    )
    assert heights[True] == {HEIGHT}
    assert heights[False] & set(range(70, HEIGHT))  # the report decodes others, too
    records = replay(folder / "out" / ".detic-crop" / "journal.jsonl").records
    assert records["good.jpg"].damaged is False
    assert records["zeros.jpg"].damaged is True


def test_a_journal_of_before_says_nothing_about_damage() -> None:
    line = Record("a.jpg", "cropped", damaged=False).to_line()
    assert b'"damaged":false' in line
    assert Record.from_line(line).damaged is False
    assert Record.from_line(b'{"image":"a.jpg","status":"cropped"}').damaged is None


# ---------------------------------------------------------------- scans


def scans(data: bytes, count: int, components: int = 1) -> bytes:
    """A JPEG whose scan is there so many times, each of its first components only."""
    at = data.index(b"\xff\xda")
    header = bytes([components]) + bytes(b for c in range(components) for b in (c + 1, 0)) + b"\0\x3f\0"
    return data[:at] + (segment(0xDA, header) + b"\0") * count + EOI


@pytest.mark.parametrize("frame", [0xC0, 0xC1, 0xC9])
@pytest.mark.parametrize(("count", "refused"), [(3, False), (4, True), (90_000, True)])
def test_a_sequential_jpeg_has_a_scan_for_each_component_at_most(
    frame: int, count: int, refused: bool
) -> None:
    data = bytearray(scans(saved("JPEG"), count))
    data[data.index(b"\xff\xc0") + 1] = frame
    if refused:
        with pytest.raises(PhotoError, match=r"at most 3 scans, got more"):
            read_header(bytes(data))
    else:
        assert read_header(bytes(data)).format == "JPEG"


def test_scans_of_what_follows_the_picture_do_not_count() -> None:
    data = scans(saved("JPEG"), 3)
    assert read_header(data + data * 50).format == "JPEG"
    whole = saved("JPEG", progressive=True)
    assert not decode(whole + whole * 100).damaged


def test_a_progressive_jpeg_has_fewer_scans_the_larger_it_is() -> None:
    data = bytearray(scans(saved("JPEG", progressive=True), 100))
    assert read_header(bytes(data)).format == "JPEG"
    at = data.index(b"\xff\xc2") + 5
    data[at : at + 4] = (14_000).to_bytes(2, "big") * 2
    with pytest.raises(PhotoError, match=r"196,000,000 pixels of at most 64 scans"):
        read_header(bytes(data))


def test_a_tiff_may_not_mean_far_more_work_than_its_pixels() -> None:
    data = saved("TIFF", compression="tiff_lzw")
    assert read_header(data).format == "TIFF"
    start = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[start : start + 2], "little")
    tall = bytearray(data)
    for at in range(start + 2, start + 2 + 12 * entries, 12):
        if int.from_bytes(data[at : at + 2], "little") == 279:
            count = int.from_bytes(data[at + 4 : at + 8], "little")
            kind = int.from_bytes(data[at + 2 : at + 4], "little")
            assert kind == 4
            assert count > 1
            where = int.from_bytes(data[at + 8 : at + 12], "little")
            tall[where : where + 4 * count] = (0x7FFFFFFF).to_bytes(4, "little") * count
    with pytest.raises(PhotoError):
        read_header(bytes(tall))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    "compression",
    ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "jpeg", "zstd", "lzma", "group4"],
)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
def test_intact_tiffs_have_no_flag(mode: str, compression: str, big: bool) -> None:
    if (compression == "group4") != (mode == "1"):
        return
    if compression == "jpeg" and mode not in ("L", "RGB", "YCbCr"):
        return
    image = photo().convert("L" if mode in ("I;16", "F") else mode)
    if mode in ("I;16", "F"):
        levels = np.asarray(image).astype(np.float32)
        image = Image.fromarray((levels * 257).astype(np.uint16) if mode == "I;16" else levels / 255)
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression, big_tiff=big)
    assert decode(file.getvalue(), truncated="fail").damaged is False


@pytest.mark.parametrize("extension", [".tiff", ".png", ".webp", ".bmp", ".jpg"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 16), (17, 300), (640, 3)])
def test_what_opencv_writes_is_intact(extension: str, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), np.uint8)
    ok, data = cv2.imencode(extension, pixels)
    assert ok
    assert decode(data.tobytes(), truncated="fail").damaged is False


def test_a_tiff_that_lacks_a_strip_is_seen() -> None:
    data = saved("TIFF", compression="packbits", strip_size=WIDTH * 3 * 16)
    with Image.open(io.BytesIO(data)) as opened:
        starts = opened.tag_v2[273]  # type: ignore[attr-defined]
    assert len(starts) > 2
    where = struct.pack("<II", *starts[:2])
    assert data.count(where) == 1
    assert decode(data, truncated="fail").damaged is False
    assert decode(data.replace(where, where[:4] + bytes(4))).damaged is True


def test_a_run_length_coded_bmp_that_is_cut_is_seen() -> None:
    runs = b"".join(bytes([4, row, 4, 255 - row, 0, 0]) for row in range(8)) + b"\0\1"
    palette = b"".join(bytes([n, n, n, 0]) for n in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 1, len(runs), 0, 0, 256, 0)
    offset = 14 + len(head) + len(palette)
    data = b"BM" + struct.pack("<IHHI", offset + len(runs), 0, 0, offset) + head + palette + runs
    assert not decode(data, truncated="fail").truncated
    with pytest.raises(PhotoError) as caught:
        decode(data[:-20])
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("seed", range(40))
def test_the_verdict_does_not_depend_on_the_reduction(seed: int) -> None:
    chance = np.random.default_rng(seed)
    data = saved("JPEG", quality=int(chance.integers(60, 97)), subsampling=int(chance.integers(3)))
    at = int(chance.integers(part(data, 0.0), len(data) - 40))
    size = int(chance.integers(1, 30))
    harmed = data[:at] + chance.integers(0, 256, size, np.uint8).tobytes() + data[at + size :]
    verdicts = set[bool | str | None]()
    for reduction in REDUCTIONS:
        try:
            verdicts.add(PhotoFile(harmed).decode(reduction=reduction).damaged)
        except PhotoError as error:
            verdicts.add(error.reason)
    assert len(verdicts) == 1


def test_where_nobody_hears_libjpeg_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "_ear", lambda: None)
    file = PhotoFile(saved("JPEG"), truncated="fail")
    part_of_it = file.decode((0, 0, 10, 10))
    assert part_of_it.damaged is None
    assert part_of_it.image.shape[0] < HEIGHT  # and it is no use to decode all of it
    assert decode(saved("JPEG", mode="CMYK")).damaged is None
    assert decode(saved("PNG")).damaged is False


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_progressive_jpeg_that_lacks_its_last_scans_is_seen(mode: str) -> None:
    data = saved("JPEG", mode=mode, progressive=True)
    assert decode(data, truncated="fail").damaged is False
    starts = [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)]
    assert len(starts) > 3
    for start in starts[1:]:
        tables = data.rindex(b"\xff\xc4", 0, start) if b"\xff\xc4" in data[start - 200 : start] else start
        assert decode(data[: min(start, tables)] + EOI).damaged is True


def in_three_scans() -> tuple[bytes, list[bytes]]:
    """A sequential JPEG up to its first scan, and one scan for each of its three components."""
    shades = [saved("JPEG", mode="L"), saved("JPEG", mode="L", quality=75), saved("JPEG", mode="L")]
    starts = [data.index(b"\xff\xda") for data in shades]
    frame = shades[0].index(b"\xff\xc0")
    sizes = shades[0][frame + 4 : frame + 9]
    head = shades[0][:frame] + segment(0xC0, sizes + b"\3\1\x11\0\2\x11\0\3\x11\0")
    head += shades[0][frame + 13 : starts[0]]
    parts = []
    for component, (data, start) in enumerate(zip(shades, starts, strict=True), 1):
        parts.append(data[start : start + 5] + bytes([component]) + data[start + 6 : -2])
    return head, parts


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_sequential_jpeg_that_lacks_a_scan_is_seen(lost: int) -> None:
    head, parts = in_three_scans()
    assert decode(head + b"".join(parts) + EOI, truncated="fail").damaged is False
    del parts[lost]
    assert decode(head + b"".join(parts) + EOI).damaged is True


def test_a_comment_between_scans_is_not_their_end() -> None:
    data = saved("JPEG", progressive=True)
    last = data.rindex(b"\xff\xc4")
    assert data.count(b"\xff\xda", 0, last) > 1
    comment = segment(0xFE, EOI + b"\xff\xda")
    assert decode(data[:last] + comment + data[last:], truncated="fail").damaged is False


def without_a_table() -> bytes:
    whole = saved("JPEG")
    table = whole.index(b"\xff\xdb")
    return whole[:table] + whole[table + 2 + int.from_bytes(whole[table + 2 : table + 4], "big") :]


def with_a_strange_scan() -> bytes:
    data = bytearray(saved("JPEG", progressive=True))
    data[data.rindex(b"\xff\xda") + 4] = 5  # components in it
    return bytes(data)


@pytest.mark.parametrize("make", [without_a_table, with_a_strange_scan])
def test_a_jpeg_on_which_libjpeg_gives_up_is_no_black_picture(make: Callable[[], bytes]) -> None:
    """OpenCV has no picture of it then, and Pillow one in which nothing was decoded."""
    with pytest.raises(PhotoError) as given_up:
        decode(make())
    assert given_up.value.reason == "unreadable"
    file = PhotoFile(make())
    file.vouch()  # whatever was said of it before
    with pytest.raises(PhotoError):
        file.decode()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "1", "P"])
def test_packed_strips_of_another_length_are_seen(mode: str) -> None:
    data = saved("TIFF", mode=mode, compression="packbits")
    assert decode(data, truncated="fail").damaged is False
    for spot in range(len(data) // 2, len(data) // 2 + 64):
        with pytest.raises(PhotoError):
            decode(data[:spot] + bytes(300) + data[spot + 300 :], truncated="fail")
