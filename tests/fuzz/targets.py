"""What is fuzzed: each target takes any bytes, and asserts more than that nothing crashes."""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import math
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from detic_crop.boxes.geometry import PixelBox
from detic_crop.detectors.boxes_file.read import parse_boxes
from detic_crop.detectors.boxes_file.table import FormatError
from detic_crop.errors import PhotoError, UsageError
from detic_crop.folder.journal import candidates_of, replay, unfinished_photos
from detic_crop.folder.records import Record
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import VerdictLog, read_review
from detic_crop.images.decode import REASONS, PhotoFile
from detic_crop.images.exif import read_exif
from detic_crop.images.headers.read import read_header
from detic_crop.images.metadata import read_metadata
from detic_crop.photos.labels import parse_labels
from detic_crop.photos.tar_headers import TarHeaders
from tests.fuzz import corpus
from tests.kit.journals import entry_of

MAX_PIXELS = 300_000


@dataclass(frozen=True)
class Target:
    """Something that reads bytes.

    Attributes:
        corpus: good inputs to begin with.
        read: reads any; raises AssertionError, or what it should not, where something is wrong.
    """

    corpus: Callable[[], Iterator[bytes]]
    read: Callable[[bytes], None]


def _check_reason(error: PhotoError) -> None:
    assert error.reason in REASONS, error.reason


def _header(data: bytes) -> None:
    """The size makes sense, and the lean file is read as the file was."""
    try:
        header = read_header(data)
    except PhotoError as error:
        _check_reason(error)
        return
    assert header.orientation in range(1, 9)
    assert header.format == "HEIC" or min(header.width, header.height) > 0
    assert len(header.lean) <= len(data) + 4096
    if header.height_at:
        assert int.from_bytes(header.lean[header.height_at : header.height_at + 2], "big") == header.height
    if not header.truncated and header.format != "HEIC":
        again = read_header(header.lean)
        assert (again.format, again.width, again.height) == (header.format, header.width, header.height)


def _decode(data: bytes) -> None:
    """A region is that part of the whole, and the same bytes are the same pixels."""
    try:
        photo = PhotoFile(data, max_pixels=MAX_PIXELS)
        whole = photo.decode()
    except PhotoError as error:
        _check_reason(error)
        return
    height, width = whole.image.shape[:2]
    assert whole.image.dtype == np.uint8
    assert whole.image.shape == (height, width, 3)
    assert width * height <= MAX_PIXELS
    assert whole.resolution_wh == (width, height)
    again = PhotoFile(data, max_pixels=MAX_PIXELS).decode()
    assert again.damaged == whole.damaged
    assert np.array_equal(again.image, whole.image)
    if whole.damaged or whole.truncated:
        return  # such a photo is decoded whole
    x1, y1, x2, y2 = region = _region(data, width, height)
    part = photo.decode(region)
    left, top, right, bottom = part.in_image(region)
    assert np.array_equal(part.image[top:bottom, left:right], whole.image[y1:y2, x1:x2])


def _metadata(data: bytes) -> None:
    """What is said of a photo can be written into a table; a crop's EXIF is what Pillow reads as such."""
    found = read_metadata(data)
    assert (found.camera + found.lens).isprintable()
    assert not found.taken or datetime.datetime.fromisoformat(found.taken)
    assert (found.latitude is None) == (found.longitude is None)
    assert abs(found.latitude or 0) <= 90
    assert abs(found.longitude or 0) <= 180
    if (exif := read_exif(data)) is not None:
        for gps in (False, True):
            block = exif.of_crop(30, 20, gps=gps)
            assert len(block) <= 65_527
            again = read_exif(block) if block else None
            assert again is None or gps or not again.gps


def _region(data: bytes, width: int, height: int) -> PixelBox:
    """A part of the photo that its bytes decide."""
    a, b, c, d = hashlib.sha256(data).digest()[:4]
    x1, y1 = a * width // 256, b * height // 256
    return x1, y1, x1 + 1 + c * (width - x1 - 1) // 256, y1 + 1 + d * (height - y1 - 1) // 256


def _boxes(data: bytes) -> None:
    """Boxes that count are finite and lie the right way round; a problem or an error is said."""
    try:
        table = parse_boxes(data, None, "photo.json")
    except FormatError:
        return
    for entry in table.entries.values():
        for box in entry.boxes:
            assert all(map(math.isfinite, (*box[:4], box.score))), box
            assert box.xmin <= box.xmax, box
            assert box.ymin <= box.ymax, box
            assert isinstance(box.class_name, str)
    assert all(problem.text for problem in table.problems)


_SEALED = re.compile(rb',"crc":"[0-9a-f]{8}"\}\s*$')


def _resealed(data: bytes) -> bytes:
    """Give every line the checksum that it would have: else few changes were read at all."""
    lines = []
    for line in data.split(b"\n"):
        text = _SEALED.sub(b"", line)
        text = text.rstrip().removesuffix(b"}") if text == line else text
        lines.append(b'%s,"crc":"%08x"}' % (text, zlib.crc32(text)) if text else line)
    return b"\n".join(lines)


def _journal(data: bytes) -> None:
    """A record is what its own line says, and both ways to read a journal agree."""
    with tempfile.TemporaryDirectory() as folder:
        for content in (data, _resealed(data)):
            path = Path(folder) / "journal.jsonl"
            path.write_bytes(content)
            state = replay(path)
            assert list(state.records) == list(state.entries)
            assert state.ignored <= content.count(b"\n")
            for key, record in state.records.items():
                assert record.image == key
                assert Record.from_line(record.to_line()) == record
                assert state.entries[key] == entry_of(record)
                candidates_of(record, path)
            found = unfinished_photos(path, state.records)
            assert found == unfinished_photos(path, state.entries)
            assert not [crop for crop in found if ".." in crop.split("/") or crop.startswith("/")]


def _review(data: bytes) -> None:
    """Whatever the file holds, a verdict that is appended is understood, and changes no other."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ".detic-crop" / "review.csv"
        path.parent.mkdir()
        path.write_bytes(data)
        before = read_review(path).last
        given = Verdict("the last.jpg", "box", ((1.0, 2.0, 3.0, 4.0),), 'some"body', "now")
        VerdictLog(path).append(given)
        assert path.read_bytes().startswith(data)
        assert read_review(path).last == {**before, given.image: given}


def _tar(data: bytes) -> None:
    """Members follow each other, as many as there is room for."""
    members = []
    try:
        for member in TarHeaders(io.BytesIO(data)):
            members.append(member)
            assert len(members) <= len(data) // 512, "goes in circles"
    except tarfile.ReadError:
        return
    offsets = [member.offset for member in members]
    assert offsets == sorted(set(offsets))
    assert all(member.size >= 0 and 0 <= member.time < 1 << 40 for member in members)


def _labels(data: bytes) -> None:
    """What is read is read again the same once it is written."""
    try:
        labels = parse_labels(data, "image", "labels.csv")
    except UsageError:
        return
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([labels.columns, *labels.rows])
    again = parse_labels(text.getvalue().encode(), "image", "labels.csv")
    assert (again.columns, again.rows) == (labels.columns, labels.rows)


TARGETS: Final = {
    "headers": Target(corpus.photos, _header),
    "decode": Target(corpus.photos, _decode),
    "metadata": Target(corpus.photos_with_metadata, _metadata),
    "boxes": Target(corpus.boxes_files, _boxes),
    "journal": Target(corpus.journals, _journal),
    "review": Target(corpus.reviews, _review),
    "tar": Target(corpus.tars, _tar),
    "labels": Target(corpus.label_tables, _labels),
}
