"""Append-only memory of a run: one slim line per finished photo; its candidate boxes are in a second file.

The journal is the truth; `audit.csv` is derived from it. A line is written after the crop is in place, so a
line means a finished photo. Any prefix of the file is valid: a torn last line is dropped, the last record
of a photo counts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.folder.crop_paths import numbered
from detic_crop.folder.inside import Inside, Written, write_all
from detic_crop.folder.known import InFile, InMemory, Known, LinesSeen, OfPhoto
from detic_crop.folder.lines import LineCheck, to_line
from detic_crop.folder.names import is_crop_path
from detic_crop.folder.records import Edges, Record, ResumeEntry, Side, Span, names_of
from detic_crop.folder.there import is_there
from detic_crop.folder.typed_json import decode, is_sealed


class _Header(msgspec.Struct, frozen=True):
    """The first line of a journal."""

    config: dict[str, Any]
    version: str = ""


_header = msgspec.json.Decoder(_Header)


@dataclass(slots=True)
class Replay:
    """What a journal says so far.

    Attributes:
        settings: settings of the folder, as written; None when nothing was begun.
        version: version of this package that began it.
        records: last record of each photo, by key; read from the file when asked for.
        entries: what a resume has to know of each, in less time.
        ignored: number of whole lines that are damaged; their photos are done again.
    """

    settings: dict[str, Any] | None = None
    version: str = ""
    records: Known[Record] = field(default_factory=lambda: InMemory[Record]({}))
    entries: Known[ResumeEntry] = field(default_factory=lambda: InMemory[ResumeEntry]({}))
    ignored: int = 0

    @property
    def config(self) -> CropConfig | None:
        """The settings.

        Raises:
            UsageError: another version of this package wrote them.
        """
        return None if self.settings is None else CropConfig.from_dict(self.settings)

    def sentences(self) -> list[str]:
        """Return what a person who only reads the folder should know; nothing if all is well."""
        if not self.ignored:
            return []
        return [
            f"damaged journal lines, ignored: {self.ignored:,}; if photos are missing, run the "
            "`detic-crop run` command again, which does them again"
        ]


_CHUNK = 1 << 16  # bytes to read together
_records = msgspec.json.Decoder(Record)
_entries = msgspec.json.Decoder(ResumeEntry)


def replay(path: Path, *, reviewed: bool = True) -> Replay:
    """Read a journal; an absent one is an empty one.

    Every line is checked; of each photo only the place of its last line is kept.

    Args:
        path: the journal.
        reviewed: False leaves out lines that a reviewer had a part in: what remains is the detector's work.
    """
    state = Replay()
    if not is_there(path):
        return state
    check, seen = LineCheck(), LinesSeen()
    with contextlib.ExitStack() as opened:
        file = opened.enter_context(FileIO(path))
        end = 0
        for offset, block in _whole_lines(file):
            end = offset + len(block)
            said = _said_in(block, check)
            state.ignored += said.count(None)
            for header in (found for found in said if isinstance(found, _Header)):
                state.settings, state.version = header.config, header.version
            records = [found if isinstance(found, Record) else None for found in said]
            if not reviewed:
                records = [None if record is None or _is_reviewed(record) else record for record in records]
            seen.add(block, offset, records)
        state.ignored += _is_end_damaged(file, end)
        lines = seen.last_of_each(file, path)
        opened.pop_all()  # the lines are read from it
    state.records, state.entries = InFile(lines, _records), InFile(lines, _entries)
    return state


def recorded_crops(path: Path) -> Iterator[str]:
    """Yield every crop that a journal ever named, also of photos that have another one or none now."""
    if is_there(path):
        check = LineCheck()
        with FileIO(path) as file:
            for _, block in _whole_lines(file):
                for said in _said_in(block, check):
                    if isinstance(said, Record):
                        yield from names_of(said)


def _said_in(block: bytes, check: LineCheck) -> list[Record | _Header | None]:
    """Return what each line says; None where it is damaged."""
    lines = block.split(b"\n")[:-1]  # `splitlines` splits at other characters, too
    said: list[Record | _Header | None] = [*(Record.from_lines(block, len(lines)) or map(_parsed, lines))]
    for number, line in enumerate(lines):
        try:
            check(line)
        except ValueError:
            said[number] = None
    return said


def _parsed(line: bytes) -> Record | _Header | None:
    with contextlib.suppress(ValueError):
        return Record.from_line(line)
    with contextlib.suppress(ValueError):
        return _header_in(line)
    return None


def _header_in(line: bytes) -> _Header:
    """Return the header in a line.

    Raises:
        ValueError: it is none, or damaged. Without a checksum it is of an earlier version, which wrote no
            values but those that are known here.
    """
    header = decode(line, _header)
    if not is_sealed(line):
        msgspec.convert(header.config, CropConfig)
    return header


def _is_reviewed(record: Record) -> bool:
    """Return whether a reviewer had a part in a record."""
    return bool(record.verdict) or record.source == "review"


def _whole_lines(file: FileIO) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, lines) of a journal, some lines at a time, without a torn last one."""
    offset, begun = 0, b""
    while part := file.read(_CHUNK):
        if end := part.rfind(b"\n") + 1:
            block = begun + part[:end]
            yield offset, block
            offset += len(block)
            begun = b""
        begun += part[end:]


def _is_end_damaged(file: FileIO, start: int) -> bool:
    """Return whether a whole line ends with another byte: a kill leaves less of it, and nothing behind it.

    Args:
        file: the journal.
        start: end of its whole lines.
    """
    file.seek(start)
    with contextlib.suppress(ValueError):
        return is_sealed(file.read()[:-1])
    return False


def recorded_config(path: Path) -> CropConfig | None:
    """Return the settings a folder was begun with, or None; reads as little as it can."""
    check = LineCheck()
    for line in _some_lines(path):
        try:
            check(line)
            header = _header_in(line)
        except ValueError:
            continue
        return CropConfig.from_dict(header.config)
    return None


def _some_lines(path: Path) -> Iterator[bytes]:
    """Yield the whole lines of a journal, reading no further than is asked for."""
    if is_there(path):
        with open(path, "rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))


class Journal:
    """Appends to `journal.jsonl` and `candidates.jsonl`; one writer, guarded by the folder's lock.

    A torn last line of either is cut off.

    Args:
        journal_path: the journal; made if need be.
        candidates_path: the boxes; made if need be.
        inside: writes in the folder that they lie in, and knows whether it still may.
    """

    def __init__(self, journal_path: Path, candidates_path: Path, inside: Inside | None = None) -> None:
        inside = inside or Inside(journal_path.parent)
        with contextlib.ExitStack() as opened:  # if the second cannot be opened, the first is closed again
            self._journal = opened.enter_context(_open_for_append(journal_path, inside))
            self._candidates = opened.enter_context(_open_for_append(candidates_path, inside))
            opened.pop_all()
        self._inside = inside

    def begin(self, config: CropConfig, version: str) -> None:
        """Write the settings; once per folder."""
        header = {"config": config.to_dict(), "fingerprint": config.fingerprint(), "version": version}
        self._append(self._journal, to_line(header))

    def append_candidates(
        self, image: str, crop: str, detections: Detections, numbers: Sequence[int] = ()
    ) -> Span:
        """Write a photo's boxes, which announce the crop files that are about to appear; return their span.

        Args:
            image: key of the photo.
            crop: path of its crop, or the one after which its crops are numbered.
            detections: the boxes.
            numbers: numbers of its crops; none if it has one without a number.
        """
        boxes = _KeptBoxes(
            image,
            crop,
            detections.presence,
            list(detections.class_names),
            [detections.score(i) for i in range(len(detections))],
            [detections.edges(i) for i in range(len(detections))],
            detections.listed,
            list(numbers),
            detections.found_by,
        )
        return self.append_candidates_line(to_line(boxes))

    def append_candidates_line(self, line: bytes) -> Span:
        """Write the boxes of a photo as another file has them; return their span."""
        return self._append(self._candidates, line), len(line)

    def candidates_end(self) -> int:
        """Return the size of `candidates.jsonl` in bytes."""
        return self._candidates.tell()

    def append(self, record: Record) -> None:
        """Write the record of a finished photo."""
        self._append(self._journal, record.to_line())

    def _append(self, file: FileIO, line: bytes) -> int:
        self._inside.check()
        return _append(file, line)

    def close(self) -> None:
        """Flush to the disk itself, then close."""
        with contextlib.ExitStack() as last:  # all of it, also where one of them fails
            for file in (self._candidates, self._journal):
                if not file.closed:
                    last.callback(file.close)
                    last.callback(file.sync)


class _Announced(msgspec.Struct, frozen=True):
    """Of a line of `candidates.jsonl` the photo, and the crops that were about to be written."""

    image: str
    crop: str
    numbers: list[Side] = []


class _KeptBoxes(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of `candidates.jsonl`; see `Detections`."""

    image: str
    crop: str
    presence: float | None
    class_names: list[str]
    scores: list[float]
    xyxy: list[Edges]
    listed: bool = True
    numbers: list[Side] = []
    found_by: str = ""


_announced = msgspec.json.Decoder(_Announced)
_kept_boxes = msgspec.json.Decoder(_KeptBoxes)


def read_candidates(file: BinaryIO, record: Record) -> Detections:
    """Return the kept boxes of a photo, from an open `candidates.jsonl`.

    Raises:
        ValueError: the record's span is not a line of this photo, as after a power cut.
    """
    if record.candidates is None:
        raise ValueError(f"no boxes were kept of {record.image}")
    offset, length = record.candidates
    if offset + length > os.fstat(file.fileno()).st_size:
        raise ValueError(f"candidates.jsonl ends before the boxes of {record.image}")
    file.seek(offset)
    line = file.read(length)
    is_sealed(line)
    boxes = decode(line, _kept_boxes)
    if boxes.image != record.image:
        raise ValueError(f"candidates.jsonl has another photo where {record.image} should be")
    return Detections(
        np.array(boxes.xyxy, np.float32).reshape(-1, 4),
        np.array(boxes.scores, np.float32),
        tuple(boxes.class_names),
        boxes.presence,
        boxes.listed,
        boxes.found_by,
    )


def candidates_of(record: Record, candidates_path: Path) -> Detections | None:
    """Return the kept boxes of a photo; None if they cannot be read any more."""
    try:
        with open(candidates_path, "rb") as file:
            return read_candidates(file, record)
    except (OSError, ValueError):
        return None


def unfinished_crops(candidates_path: Path, records: Known[OfPhoto]) -> set[str]:
    """Return the crop files that a killed run may have left without a journal line; they may be replaced.

    Only the stretches of `candidates.jsonl` that no record points to are read, and of these the lines written
    after the photo's own record: what was announced before it has been dealt with since.
    """
    return set(unfinished_photos(candidates_path, records))


def unfinished_photos(candidates_path: Path, records: Known[OfPhoto]) -> dict[str, str]:
    """Return crop file → photo of those that `unfinished_crops` finds."""
    if not is_there(candidates_path):
        return {}
    crops: dict[str, str] = {}
    with open(candidates_path, "rb") as file:
        for start, stop in _gaps(records.spans(), os.fstat(file.fileno()).st_size):
            for offset, image, crop in _announcements(file, start, stop):
                record = records.get(image)
                if record is None or record.candidates is None or offset >= record.candidates[0]:
                    crops[crop] = image
    return crops


def unfinished_of_each(candidates_path: Path, records: Known[OfPhoto]) -> dict[str, list[str]]:
    """Return photo → crop files of it that `unfinished_crops` finds."""
    crops: dict[str, list[str]] = {}
    for crop, image in unfinished_photos(candidates_path, records).items():
        crops.setdefault(image, []).append(crop)
    return crops


def _gaps(spans: NDArray[np.int64], size: int) -> list[Span]:
    """Return (start, stop) of the stretches of a file that no span covers.

    Args:
        spans: (N, 2) offset and length.
        size: of the file in bytes.
    """
    spans = spans[np.argsort(spans[:, 0])]
    starts = np.append(0, np.maximum.accumulate(spans.sum(axis=1)))
    stops = np.append(spans[:, 0], size)
    is_gap = stops > starts
    return list(zip(starts[is_gap].tolist(), stops[is_gap].tolist(), strict=True))


def _announcements(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, str, str]]:
    """Yield (offset, image, crop) of every whole line; the crop of a torn one was not written yet."""
    file.seek(start)
    while line := file.readline(stop - start):
        with contextlib.suppress(ValueError):
            is_sealed(line)
            announced = decode(line, _announced)
            if is_crop_path(announced.crop):
                crop, numbers = announced.crop, announced.numbers
                for name in [numbered(crop, number) for number in numbers] or [crop]:
                    yield start, announced.image, name
        start += len(line)


def _end_of_last_line(path: Path) -> int:
    if not is_there(path):
        return 0
    with open(path, "rb") as file:
        position = file.seek(0, os.SEEK_END)
        while position:
            start = max(0, position - 65536)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            position = start
    return 0


def _open_for_append(path: Path, inside: Inside) -> Written:
    end = _end_of_last_line(path)
    # Unbuffered: a line that was written survives the death of this process.
    file = inside.open_grown(path)
    try:
        file.truncate(end)
        file.seek(end)
    except OSError:
        file.close()
        raise
    return file


def _append(file: FileIO, line: bytes) -> int:
    """Write a whole line or nothing; returns its offset."""
    offset = file.tell()
    try:
        write_all(file, line)
    except OSError:
        file.truncate(offset)
        file.seek(offset)
        raise
    return offset
