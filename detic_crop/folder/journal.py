"""Append-only memory of a run: one slim line per finished photo, its candidate boxes beside it.

The journal is the truth; `audit.csv` is derived from it. A line is written after the crop is in place, so a
line means a finished photo. Any prefix of the file is valid: a torn last line is dropped, the last record
of a photo counts.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from sys import intern
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias, cast

import numpy as np

from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.folder.finished import Finished, Span, plain_lines
from detic_crop.folder.inside import Inside, write_all
from detic_crop.folder.names import is_crop_path
from detic_crop.system.collecting import collector_paused

Status: TypeAlias = Literal["cropped", "resized", "rejected", "failed"]


# Made once: json.dumps makes an encoder for each call that asks for separators.
_to_json = json.JSONEncoder(separators=(",", ":")).encode


class Record(NamedTuple):
    """What was done with one photo. A named tuple, since a resume reads a hundred thousand of them.

    Boxes are xyxy in pixels of the upright photo; `box` and `best_box` raw floats, `crop_box` whole pixels.
    """

    image: str  # key: relative path with /
    status: Status
    reason: str = ""
    crop: str = ""  # path below the output folder; of a rejected one where it was; empty when failed
    width: int = 0
    height: int = 0
    class_name: str = ""
    score: float | None = None
    presence: float | None = None
    box: tuple[float, float, float, float] | None = None
    crop_box: tuple[int, int, int, int] | None = None
    n_candidates: int = 0
    # The most confident eligible box where that is another than the chosen one.
    best_class: str = ""
    best_score: float | None = None
    best_box: tuple[float, float, float, float] | None = None
    n_apart: int = 0  # other eligible boxes that hardly touch the chosen one
    rival_class: str = ""  # most confident unwanted class on the same spot
    rival_score: float | None = None
    # The most confident wanted box below --conf of which the chosen one is only a part.
    larger_score: float | None = None
    truncated: bool = False  # the file ended early; decoded as far as it goes
    damaged: bool | None = None  # the photo's data are damaged; None: nobody has looked, as in older journals
    unlisted: bool = False  # the boxes file does not speak of the photo: nobody looked at it
    blur: float | None = None  # these three of the crop; see `images.checks.Checks`
    brightness: float | None = None
    entropy: float | None = None
    crop_hash: str = ""  # see `images.checks.perceptual_hash`
    checksum: int | None = None  # CRC-32 of the photo's file
    model: str = ""
    error: str = ""
    seen: Literal[0, 1, 2, 4, 8] = 0  # with --decode scaled: at which reduction the detector saw the photo
    stage: str = ""  # where a failed photo failed
    source: str = "run"  # run, recrop or review
    file_size: int = 0  # of the photo, bytes; with file_time it tells a changed photo
    file_time: int = 0  # modification time, ns
    crop_bytes: int = 0  # size of the crop file; a missing or cut one is made again
    verdict: str = ""  # what a reviewer said, once applied: accepted, whole, box or rejected
    reviewer: str = ""  # who said it
    detector_box: tuple[float, float, float, float] | None = None  # where a reviewer wanted another
    detected: Record | None = None  # there, what the detector alone would have left; see `as_detected`
    candidates: Span | None = None  # offset and length in candidates.jsonl; of a failed photo its end, then

    def to_line(self) -> bytes:
        """One JSON line; fields at their default are left out."""
        return _to_json(_values(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Record:
        """The record of a parsed line; fields of a later version are ignored.

        Raises:
            TypeError: no `image` or no `status`, or something else in place of a text.
            ValueError: the crop's path is none below an output folder.
        """
        for name in _TUPLES:
            if name in values:
                values[name] = tuple(values[name])
        for name in _FEW:
            if name in values:
                values[name] = intern(values[name])
        if "crop" in values and values["crop"] == values.get("image"):
            values["crop"] = values["image"]
        if "detected" in values:
            if not isinstance(values["detected"], dict):
                raise TypeError("expected an object in detected")
            values["detected"] = cls.from_json(values["detected"])
        # By place: to call it with two dozen names takes three times as long.
        record = cls._make(map(values.get, cls._fields, _DEFAULT_VALUES))
        if not isinstance(record.image, str) or not isinstance(record.status, str):
            raise TypeError("expected text in image and status")
        if not is_crop_path(record.crop):
            raise ValueError("expected the path of a crop in crop")
        return record


def _values(record: Record) -> dict[str, Any]:
    fields = zip(record._fields, record, _DEFAULTS, strict=True)
    values: dict[str, Any] = {name: value for name, value, default in fields if value != default}
    if record.detected is not None:
        values["detected"] = _values(record.detected)
    return values


Recorded: TypeAlias = Record | Finished

# Texts of which there are few among millions of records: each is kept once, in a fifth less memory.
_FEW = ("status", "reason", "class_name", "best_class", "rival_class", "model", "stage")
_TUPLES = ("box", "crop_box", "best_box", "detector_box", "candidates")
_DEFAULT_VALUES = tuple(Record._field_defaults.get(name) for name in Record._fields)
_DEFAULTS = tuple(Record._field_defaults.get(name, ...) for name in Record._fields)


@dataclass(slots=True)
class Replay:
    """What a journal says so far.

    Attributes:
        settings: of the folder, as written; None when nothing was begun.
        version: of this package, which began it.
        records: the last record of each photo, by key.
        end: bytes up to the end of the last whole line; what follows is torn.
        ignored: whole lines that could not be read; their photos are done again.
    """

    settings: dict[str, Any] | None = None
    version: str = ""
    records: dict[str, Record] = field(default_factory=dict)
    end: int = 0
    ignored: int = 0

    @property
    def config(self) -> CropConfig | None:
        """The settings.

        Raises:
            UsageError: another version of this package wrote them.
        """
        return None if self.settings is None else CropConfig.from_dict(self.settings)


_CHUNK = 1 << 20  # bytes of lines to parse together


def replay(path: Path, *, reviewed: bool = True) -> Replay:
    """Read a journal; an absent one is an empty one.

    Args:
        path: of the journal.
        reviewed: False leaves out what a reviewer had a part in: what remains is the detector's work.
    """
    state = Replay()
    with collector_paused():
        for block in _whole_lines(path):
            state.end += len(block)
            for values in _parsed(_lines(block)):
                _replay_values(values, state, reviewed)
    return state


def replay_finished(path: Path) -> tuple[Replay, dict[str, Recorded]]:
    """What a resume has to know of a journal: `replay` without the records, and by key what was finished."""
    state, found = Replay(), dict[str, Recorded]()
    with collector_paused():
        for block in _whole_lines(path):
            state.end += len(block)
            plain = plain_lines(block)
            if len(plain) == block.count(b"\n"):
                found.update((photo.image, photo) for photo in plain)
                continue
            for line in _lines(block):
                if plain := plain_lines(line):
                    found[plain[0].image] = plain[0]
                else:
                    _replay_values(_parsed_line(line), state)
                    found |= state.records
                    state.records.clear()
    return state, found


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a journal, some at a time, without a torn last one."""
    if path.exists():
        with open(path, "rb") as file:
            begun = b""
            while part := file.read(_CHUNK):
                end = part.rfind(b"\n") + 1
                if end:
                    yield begun + part[:end]
                    begun = b""
                begun += part[end:]


def _lines(block: bytes) -> list[bytes]:
    return [line + b"\n" for line in block.split(b"\n")[:-1]]  # `splitlines` ends lines at others, too


def _parsed(lines: list[bytes]) -> list[Any]:
    """What stands in some lines; None for one that cannot be read."""
    try:  # together, since then the parser makes each name once
        values: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        values = []
    return values if len(values) == len(lines) else [_parsed_line(line) for line in lines]


def _parsed_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def recorded_config(path: Path) -> CropConfig | None:
    """The settings a folder was begun with, or None; reads as little as it can."""
    state = Replay()
    if path.exists():
        with open(path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    _replay_values(_parsed_line(line), state)
                if state.settings is not None:
                    break
    return state.config


def _replay_values(values: Any, state: Replay, reviewed: bool = True) -> None:
    try:
        if not isinstance(values, dict):
            raise TypeError("expected an object")
        if "config" in values:
            state.settings = dict(values["config"])
            state.version = str(values.get("version", ""))
        else:
            record = Record.from_json(values)
            if reviewed or not (record.verdict or record.source == "review"):
                state.records[record.image] = record
    except (ValueError, TypeError):
        state.ignored += 1


class Journal:
    """Appends to `journal.jsonl` and `candidates.jsonl`; one writer, guarded by the folder's lock.

    Args:
        journal_path: made if need be.
        candidates_path: likewise.
        inside: of the folder that they lie in.
        slim: keep no records in memory, neither read nor appended, only `finished`: of an earlier call.

    Attributes:
        state: what the journal says; with `slim` without its records.
        finished: what is to be known of each photo before it is done again, by key.
    """

    def __init__(
        self,
        journal_path: Path,
        candidates_path: Path,
        inside: Inside | None = None,
        *,
        slim: bool = False,
    ) -> None:
        inside = inside or Inside(journal_path.parent)
        self.finished: dict[str, Recorded]
        if slim:
            self.state, self.finished = replay_finished(journal_path)
        else:
            self.state = replay(journal_path)
            self.finished = cast("dict[str, Recorded]", self.state.records)  # the same, as it grows
        self._slim = slim
        with contextlib.ExitStack() as opened:  # if the second cannot be opened, the first is closed again
            self._journal = opened.enter_context(_open_for_append(journal_path, self.state.end, inside))
            end = _end_of_last_line(candidates_path)
            self._candidates = opened.enter_context(_open_for_append(candidates_path, end, inside))
            opened.pop_all()

    def begin(self, config: CropConfig, version: str) -> None:
        """Note the settings; once per folder."""
        header = {"config": config.to_dict(), "fingerprint": config.fingerprint(), "version": version}
        _append(self._journal, _to_json(header).encode() + b"\n")
        self.state.settings = config.to_dict()

    def append_candidates(self, image: str, crop: str, detections: Detections) -> Span:
        """Keep a photo's boxes, and announce the crop file that is about to appear."""
        values: dict[str, Any] = {
            "image": image,
            "crop": crop,
            "presence": detections.presence,
            "class_names": detections.class_names,
            "scores": [detections.score(i) for i in range(len(detections))],
            "xyxy": [detections.edges(i) for i in range(len(detections))],
        }
        if not detections.listed:
            values["listed"] = False
        line = _to_json(values).encode() + b"\n"
        offset = _append(self._candidates, line)
        return offset, len(line)

    def append_candidates_line(self, line: bytes) -> Span:
        """Keep the boxes of a photo as another file has them."""
        return _append(self._candidates, line), len(line)

    def candidates_end(self) -> int:
        """Size of `candidates.jsonl` now."""
        return self._candidates.tell()

    def append(self, record: Record) -> None:
        """Note a finished photo."""
        _append(self._journal, record.to_line())
        if self._slim:
            self.finished.pop(record.image, None)  # so that memory does not grow with the photos
        else:
            self.state.records[record.image] = record

    def close(self) -> None:
        """Flush to the disk itself, then close."""
        for file in (self._journal, self._candidates):
            if not file.closed:
                os.fsync(file.fileno())
                file.close()


def read_candidates(file: BinaryIO, record: Record) -> Detections:
    """The kept boxes of a photo, from an open `candidates.jsonl`.

    Raises:
        ValueError: the record's span holds no line of this photo, as after a power cut.
    """
    if record.candidates is None:
        raise ValueError(f"no boxes were kept of {record.image}")
    offset, length = record.candidates
    file.seek(offset)
    values = json.loads(file.read(length))
    if not isinstance(values, dict) or values.get("image") != record.image:
        raise ValueError(f"candidates.jsonl has another photo where {record.image} should be")
    return Detections(
        np.array(values["xyxy"], np.float32).reshape(-1, 4),
        np.array(values["scores"], np.float32),
        tuple(values["class_names"]),
        values["presence"],
        values.get("listed", True),
    )


def candidates_of(record: Record, candidates_path: Path) -> Detections | None:
    """Return the kept boxes of a photo; None if they cannot be read any more."""
    try:
        with open(candidates_path, "rb") as file:
            return read_candidates(file, record)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unfinished_crops(candidates_path: Path, records: Mapping[str, Recorded]) -> set[str]:
    """Crop files that a killed run may have left without a journal line: they are ours to replace.

    Only the stretches of `candidates.jsonl` that no record points to are read, and of these the lines written
    after the photo's own record: what was announced before it has been dealt with since.
    """
    return set(unfinished_photos(candidates_path, records))


def unfinished_photos(candidates_path: Path, records: Mapping[str, Recorded]) -> dict[str, str]:
    """Crop file → its photo, of those that `unfinished_crops` finds."""
    if not candidates_path.exists():
        return {}
    spans = sorted(record.candidates for record in records.values() if record.candidates)
    crops: dict[str, str] = {}
    with open(candidates_path, "rb") as file:
        for start, stop in _gaps(spans, candidates_path.stat().st_size):
            file.seek(start)
            for offset, image, crop in _announced(start, file.read(stop - start)):
                record = records.get(image)
                if record is None or record.candidates is None or offset >= record.candidates[0]:
                    crops[crop] = image
    return crops


def _gaps(spans: list[Span], size: int) -> Iterator[Span]:
    position = 0
    for offset, length in spans:
        if offset > position:
            yield position, offset
        position = max(position, offset + length)
    if size > position:
        yield position, size


def _announced(offset: int, data: bytes) -> Iterator[tuple[int, str, str]]:
    """(offset, image, crop) of every line; a torn one announces nothing: its crop was not written yet."""
    for line in data.splitlines(keepends=True):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            values = json.loads(line)
            image, crop = values["image"], values["crop"]
            if isinstance(image, str) and isinstance(crop, str) and is_crop_path(crop):
                yield offset, image, crop
        offset += len(line)


def _end_of_last_line(path: Path) -> int:
    if not path.exists():
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


def _open_for_append(path: Path, end: int, inside: Inside) -> FileIO:
    # Unbuffered: a line that was written survives the death of this process.
    file = inside.open_grown(path)
    file.truncate(end)
    file.seek(end)
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
