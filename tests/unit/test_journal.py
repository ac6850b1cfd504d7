"""The journal: any prefix replays, a torn line costs one photo, a full disk leaves whole lines only."""

from __future__ import annotations

import errno
import json
import tempfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.errors import UsageError
from detic_crop.folder import inside as inside_module
from detic_crop.folder.journal import (
    Journal,
    Replay,
    read_candidates,
    recorded_config,
    replay,
    unfinished_crops,
)
from detic_crop.folder.known import InMemory
from detic_crop.folder.lines import to_line
from detic_crop.folder.names import is_crop_path
from detic_crop.folder.records import Animal, DetectorChoice, Record, Span
from tests.kit.errors import refused
from tests.kit.helpers import as_found, detections
from tests.kit.journals import entry_of, values_of

# Every field away from its default; a new field must be added here, or `test_every_field…` fails.
FULL = Record(
    image='día 1/"x"\n🐋.png',
    status="cropped",
    reason="largest_box",
    crop="día 1/x.jpg",
    width=4000,
    height=3000,
    class_name="Whale",
    score=0.876543,
    presence=0.9,
    box=(1.25, 2.5, 300.07, 400.0),
    crop_box=(0, 0, 331, 441),
    n_candidates=3,
    best_class="Dolphin",
    best_score=0.9,
    best_box=(5.0, 6.0, 7.0, 8.0),
    n_apart=1,
    rival_class="Boat",
    rival_score=0.25,
    truncated=True,
    damaged=True,
    unlisted=True,
    model="lite",
    found_by="lite",
    error="none, really",
    seen=4,
    stage="decode",
    source="recrop",
    larger_score=0.25,
    blur=0.3,
    brightness=120.5,
    entropy=7.1,
    crop_hash="00ff00ff00ff00ff",
    checksum=4_000_000_000,
    file_size=123,
    file_time=1_700_000_000_123_456_789,
    crop_bytes=456,
    quality=80,
    is_shrunk=True,
    verdict="box",
    reviewer="Ann",
    detected=DetectorChoice("día 1/x.jpg", "cropped", "largest_box", score=0.25, box=(1.5, 2.5, 3.5, 4.5)),
    detector_box=(1.5, 2.5, 3.5, 4.5),
    reviewed=((1.5, 2.5, 3.5, 4.5), (5.5, 2.5, 7.5, 4.5)),
    note="a calf?",
    viewpoint="fluke",
    animals=(
        Animal(1, score=0.25, box=(1.5, 2.5, 3.5, 4.5), crop_box=(1, 2, 4, 5), crop_bytes=456),
        Animal(2, "too_small"),
    ),
    taken="2019-07-04T12:31:05.25+02:00",
    camera="Canon EOS 7D",
    lens="100-400",
    focal_mm=400.0,
    latitude=-33.5,
    longitude=151.25,
    candidates=(1000, 200),
)

boxes = st.tuples(*[st.integers(-100, 10_000_000).map(lambda n: n / 100)] * 4)
scores = st.integers(0, 10**6).map(lambda n: n / 10**6)
counts = st.integers(0, 10**12)
sides = st.integers(1, 2**31 - 1)
crops = st.text(max_size=8).filter(is_crop_path)
records = st.builds(
    Record,
    image=st.text(st.characters(), min_size=1, max_size=8),
    status=st.sampled_from(["cropped", "resized", "failed"]),
    crop=crops,
    error=st.text(st.characters(), max_size=8),
    score=st.none() | scores,
    presence=st.none() | scores,
    box=st.none() | boxes,
    width=sides,
    height=sides,
    file_time=counts,
    truncated=st.booleans(),
    damaged=st.none() | st.booleans(),
    candidates=st.none() | st.tuples(counts, counts),
    detected=st.none()
    | st.builds(DetectorChoice, score=st.none() | scores, n_apart=counts, box=st.none() | boxes),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that each example of a property overwrites."""
    return tmp_path_factory.mktemp("journal") / "journal.jsonl"


def replay_bytes(path: Path, data: bytes) -> Replay:
    path.write_bytes(data)
    return replay(path)


def open_journal(folder: Path) -> Journal:
    return Journal(folder / "journal.jsonl", folder / "candidates.jsonl")


# --- records


def test_every_field_is_away_from_its_default() -> None:
    for field in fields(Record):
        assert getattr(FULL, field.name) != field.default


def test_a_record_survives_its_line_with_every_field() -> None:
    line = FULL.to_line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert tuple(json.loads(line)) == (*Record.__struct_fields__, "crc")
    assert Record.from_line(line) == FULL


def test_boxes_come_back_as_the_tuples_they_are_declared_to_be() -> None:
    again = Record.from_line(FULL.to_line())
    for name in ("box", "crop_box", "best_box", "candidates"):
        assert isinstance(getattr(again, name), tuple)


@given(records)
def test_a_record_survives_its_line(record: Record) -> None:
    assert Record.from_line(record.to_line()) == record


def test_a_line_holds_only_what_is_said() -> None:
    assert Record(
        "a.jpg", "resized"
    ).to_line() == b'{"image":"a.jpg","status":"resized","crc":"%08x"}\n' % zlib.crc32(
        b'{"image":"a.jpg","status":"resized"'
    )
    zero = json.loads(Record("a.jpg", "resized", presence=0.0, score=0.0).to_line())
    assert (zero["presence"], zero["score"]) == (0.0, 0.0)


def test_names_that_are_no_text_survive() -> None:
    record = Record("a\udcff.jpg", "failed", error="\ud800")
    assert Record.from_line(record.to_line()) == record


def test_fields_of_a_later_version_are_ignored() -> None:
    values = {**json.loads(FULL.to_line()), "colour": "blue", "nested": {"a": [1]}}
    assert Record.from_line(json.dumps(values).encode()) == FULL


@pytest.mark.parametrize(
    "values",
    [{}, {"image": "a"}, {"status": "failed"}, {"image": 1, "status": "failed"}, {"image": "a", "status": 2}],
)
def test_a_line_without_image_or_status_is_no_record(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Expected|missing"):
        Record.from_line(json.dumps(values).encode())


# --- replay


def test_no_journal_and_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for state in (replay(path), replay_bytes(path, b"")):
        assert state == Replay()
        assert state.config is None
    assert recorded_config(path) is None
    assert recorded_config(tmp_path / "absent") is None


def test_the_last_record_of_a_photo_counts(scratch: Path) -> None:
    lines = [Record("a", "failed"), Record("b", "resized"), Record("a", "cropped")]
    state = replay_bytes(scratch, b"".join(record.to_line() for record in lines))
    assert {key: record.status for key, record in state.records.items()} == {"a": "cropped", "b": "resized"}


def sample_journal() -> bytes:
    config = CropConfig(size=64)
    header = {"config": config.to_dict(), "fingerprint": config.fingerprint(), "version": "0"}
    names = ["a.jpg", "b\n.jpg", "é.jpg", "a.jpg", "🐋.jpg"]
    lines = [
        json.dumps(header).encode() + b"\n",
        *(replace(FULL, image=n, width=i).to_line() for i, n in enumerate(names, 1)),
    ]
    return b"".join(lines)


SAMPLE = sample_journal()


@given(st.integers(0, len(SAMPLE)))
def test_any_prefix_replays_to_its_whole_lines(scratch: Path, cut: int) -> None:
    prefix = SAMPLE[:cut]
    state = replay_bytes(scratch, prefix)
    whole = prefix[: prefix.rfind(b"\n") + 1]
    parsed = [json.loads(line) for line in whole.split(b"\n")[:-1]]
    # The last line of a photo counts.
    expected = {values["image"]: values.get("width", 0) for values in parsed[1:]}
    assert {key: record.width for key, record in state.records.items()} == expected
    assert state.ignored == 0
    assert state.config == (CropConfig(size=64) if parsed else None)


@given(st.sampled_from([0, 1, 50]) | st.integers(0, len(SAMPLE)) | st.just(SAMPLE.index(b"\n")))
def test_both_readers_agree_on_the_settings_of_any_prefix(scratch: Path, cut: int) -> None:
    scratch.write_bytes(SAMPLE[:cut])
    assert recorded_config(scratch) == replay(scratch).config


@given(st.integers(0, len(SAMPLE)))
def test_appending_after_a_torn_line_works(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("torn")
    path = folder / "journal.jsonl"
    path.write_bytes(SAMPLE[:cut])
    before = replay(path)
    journal = open_journal(folder)
    assert replay(path) == before
    journal.append(Record("new.jpg", "resized"))
    journal.close()
    after = replay(path)
    assert after.records == {**before.records, "new.jpg": Record("new.jpg", "resized")}
    assert after.ignored == 0
    assert path.read_bytes().startswith(SAMPLE[:cut].rpartition(b"\n")[0])
    assert path.read_bytes().endswith(b"\n")


GARBAGE = [
    b"",
    b"not json",
    b"{",
    b'{"image":"x"}',
    b'{"status":"failed"}',
    b'{"image":["x"],"status":"failed"}',
    b"[]",
    b"[1,2]",
    b'"text"',
    b"5",
    b"null",
    b"true",
    b'{"config":5}',
    b'{"config":"abc"}',
    b'{"config":null}',
    b"\x00" * 64,
    b"\xff\xfe\x00",
    b'{"image":"x","status":"failed"}{"image":"y","status":"failed"}',
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_garbage_line_is_skipped_and_counted(scratch: Path, garbage: bytes) -> None:
    lines = [Record("a", "resized").to_line(), garbage + b"\n", Record("b", "resized").to_line()]
    state = replay_bytes(scratch, b"".join(lines))
    assert set(state.records) == {"a", "b"}
    assert state.ignored == 1


@given(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_line_stops_a_replay(scratch: Path, garbage: bytes) -> None:
    data = Record("a", "resized").to_line() + garbage + b"\n" + Record("b", "resized").to_line()
    state = replay_bytes(scratch, data)
    assert {"a", "b"} <= set(state.records)


def test_a_hundred_thousand_lines(scratch: Path) -> None:
    n = 100_000
    record = Record("", "cropped", width=9, height=9, box=(1.0, 2.0, 3.0, 4.0), candidates=(12, 300))
    state = replay_bytes(scratch, b"".join(replace(record, image=f"{i}.jpg").to_line() for i in range(n)))
    assert len(state.records) == n
    assert list(state.records)[:: n - 1] == ["0.jpg", f"{n - 1}.jpg"]
    assert state.records["77777.jpg"] == replace(record, image="77777.jpg")


def test_settings_of_another_version_are_refused(scratch: Path) -> None:
    state = replay_bytes(scratch, b'{"config":{"hue":1}}\n' + Record("a", "resized").to_line())
    assert set(state.records) == {"a"}
    with refused("other_version", UsageError):
        _ = state.config


@pytest.mark.parametrize("value", [[None], "gif", None, 5])
def test_a_header_of_an_earlier_version_with_an_impossible_value_is_damaged(
    scratch: Path, value: object
) -> None:
    """It has no checksum that would tell; the next run notes the settings again."""
    header = json.dumps({"config": {**CropConfig().to_dict(), "format": value}, "version": "0"})
    state = replay_bytes(scratch, header.encode() + b"\n" + Record("a", "resized").to_line())
    assert (state.config, state.ignored, set(state.records)) == (None, 1, {"a"})
    assert recorded_config(scratch) is None


def test_a_sealed_header_with_an_unknown_value_is_of_a_later_version(scratch: Path) -> None:
    scratch.write_bytes(to_line({"config": {**CropConfig().to_dict(), "format": "avif"}, "version": "9"}))
    with refused("other_version", UsageError):
        recorded_config(scratch)
    with refused("other_version", UsageError):
        _ = replay(scratch).config


# --- writing


def test_what_was_appended_is_there_at_once_and_after_reopening(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.begin(CropConfig(size=99), "1.2.3")
    assert recorded_config(tmp_path / "journal.jsonl") == CropConfig(size=99)
    journal.append(FULL)
    assert replay(tmp_path / "journal.jsonl").records == {FULL.image: FULL}  # not held back by a buffer
    journal.close()
    journal.close()
    again = open_journal(tmp_path)
    assert replay(tmp_path / "journal.jsonl").config == CropConfig(size=99)
    again.append(Record("b", "resized"))
    again.close()
    assert list(replay(tmp_path / "journal.jsonl").records) == [FULL.image, "b"]


@given(
    st.lists(
        st.tuples(
            st.tuples(*[st.floats(0, 65_000, width=32)] * 4), st.floats(0, 1, width=32), st.text(max_size=5)
        ),
        max_size=6,
    ),
    st.none() | st.floats(0, 1),
)
def test_kept_boxes_come_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory,
    found: list[tuple[tuple[float, ...], float, str]],
    presence: float | None,
) -> None:
    folder = tmp_path_factory.mktemp("candidates")
    kept = detections(*found, presence=presence).rounded()
    journal = open_journal(folder)
    first = journal.append_candidates("a.png", "a.jpg", Detections.empty())
    span = journal.append_candidates("b.png", "b.jpg", kept)
    journal.close()
    with open(folder / "candidates.jsonl", "rb") as file:
        again, nothing = kept_of(file, "b.png", span), kept_of(file, "a.png", first)
    assert as_found(again) == as_found(kept)
    assert np.array_equal(again.xyxy, kept.xyxy)
    assert again.presence == kept.presence
    assert (len(nothing), nothing.presence) == (0, None)


def kept_of(file: BinaryIO, image: str, span: Span) -> Detections:
    return read_candidates(file, Record(image=image, status="cropped", candidates=span))


def test_the_boxes_of_another_photo_are_an_error(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    span = journal.append_candidates("a.png", "a.jpg", Detections.empty())
    journal.close()
    with open(tmp_path / "candidates.jsonl", "rb") as file:
        assert len(kept_of(file, "a.png", span)) == 0
        with pytest.raises(ValueError, match=r"b\.png"):
            kept_of(file, "b.png", span)


def test_boxes_that_are_not_there_are_an_error_in_words(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    offset, length = journal.append_candidates("a.png", "a.jpg", Detections.empty())
    journal.close()
    with open(tmp_path / "candidates.jsonl", "rb") as file:
        for span in ((offset + length, 50), (offset, length - 5), (offset + 3, length)):
            with pytest.raises(ValueError, match=r".+"):
                kept_of(file, "a.png", span)


@given(st.integers(0, 255).filter(lambda byte: byte not in b"\n"))
def test_a_last_line_with_another_byte_for_its_end_is_damaged_not_torn(scratch: Path, byte: int) -> None:
    whole = [Record("a.jpg", "resized").to_line(), Record("b.jpg", "resized").to_line()]
    state = replay_bytes(scratch, b"".join(whole)[:-1] + bytes([byte]))
    assert (list(state.records), state.ignored) == (["a.jpg"], 1)
    assert replay_bytes(scratch, b"".join(whole)[:-1]).ignored == 0  # as a kill leaves it


def test_a_torn_candidate_line_is_dropped_and_offsets_stay_right(tmp_path: Path) -> None:
    found = detections(((1, 2, 3, 4), 0.5, "Whale"))
    journal = open_journal(tmp_path)
    first = journal.append_candidates("a.png", "a.jpg", found)
    journal.append_candidates("b.png", "b.jpg", found)
    journal.close()
    path = tmp_path / "candidates.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    journal = open_journal(tmp_path)
    third = journal.append_candidates("c.png", "c.jpg", found)
    journal.close()
    assert third[0] == first[0] + first[1]
    with open(path, "rb") as file:
        assert (
            as_found(kept_of(file, "a.png", first))
            == as_found(kept_of(file, "c.png", third))
            == as_found(found)
        )


def test_a_torn_candidate_line_longer_than_a_block_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "candidates.jsonl"
    path.write_bytes(b'{"crop":"a.jpg"}\n' + b"x" * 200_000)
    open_journal(tmp_path).close()
    assert path.read_bytes() == b'{"crop":"a.jpg"}\n'
    path.write_bytes(b"x" * 200_000)
    open_journal(tmp_path).close()
    assert path.read_bytes() == b""


# --- a disk that fills up


class SmallDisk(inside_module.Written):
    """A file on a disk with little room: takes a few bytes at a time, then fails as a full disk does."""

    room = 0

    def write(self, data: Any) -> int:
        part = bytes(data)[: min(7, SmallDisk.room)]
        if not part:
            raise OSError(errno.ENOSPC, "No space left on device")
        SmallDisk.room -= len(part)
        return super().write(part)


def small_disk(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    SmallDisk.room = room
    monkeypatch.setattr(inside_module, "Written", SmallDisk)


@pytest.mark.parametrize("room", [0, 1, 6, 7, 8, 30, 60, 107, 108, 109, 150])
def test_a_full_disk_leaves_whole_lines_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    path = tmp_path / "journal.jsonl"
    line = Record("a.jpg", "resized").to_line()  # 54 bytes
    small_disk(monkeypatch, room)
    journal = open_journal(tmp_path)
    for i in range(room // len(line)):
        journal.append(Record(f"{i}.jpg", "resized"))
    with pytest.raises(OSError, match="No space left"):
        journal.append(Record("x.jpg", "resized"))
    assert path.stat().st_size == room // len(line) * len(line)
    assert set(replay(path).records) == {f"{i}.jpg" for i in range(room // len(line))}
    SmallDisk.room = 1000  # somebody made room
    journal.append(Record("late.jpg", "resized"))
    offset, length = journal.append_candidates("late.jpg", "late.jpg", Detections.empty())
    assert (offset, length) == (0, (tmp_path / "candidates.jsonl").stat().st_size)
    journal.close()
    state = replay(path)
    assert list(state.records)[-1] == "late.jpg"
    assert state.ignored == 0
    assert path.read_bytes().endswith(b"\n")


def test_boxes_that_did_not_fit_leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_disk(monkeypatch, 170)
    journal = open_journal(tmp_path)
    first = journal.append_candidates("a", "a.jpg", Detections.empty())
    with pytest.raises(OSError, match="No space left"):
        journal.append_candidates("b", "b.jpg", Detections.empty())
    SmallDisk.room = 1000
    second = journal.append_candidates("c", "c.jpg", Detections.empty())
    journal.close()
    assert second[0] == first[1]
    assert unfinished_crops(tmp_path / "candidates.jsonl", InMemory({})) == {"a.jpg", "c.jpg"}


# --- unfinished crops


@given(
    st.lists(st.booleans(), max_size=12),
    st.sampled_from([b"", b'{"image":"x","crop":"torn.j', b"\xff\n", b"[]\n"]),
)
def test_unfinished_crops_are_exactly_the_unreferenced_lines(
    tmp_path_factory: pytest.TempPathFactory, finished: list[bool], tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("unfinished")
    path = folder / "candidates.jsonl"
    journal = open_journal(folder)
    found = detections(((1, 2, 3, 4), 0.5, "Whale"))
    for i, done in enumerate(finished):
        span = journal.append_candidates(f"{i}.png", f"{i}.jpg", found)
        if done:
            journal.append(Record(f"{i}.png", "cropped", crop=f"{i}.jpg", candidates=span))
    journal.append(Record("failed.png", "failed"))
    journal.close()
    with open(path, "ab") as file:
        file.write(tail)
    expected = {f"{i}.jpg" for i, done in enumerate(finished) if not done}
    state = replay(folder / "journal.jsonl")
    for known in (state.records, state.entries, InMemory(state.records)):
        assert unfinished_crops(path, known) == expected


def test_no_candidates_file_means_nothing_unfinished(tmp_path: Path) -> None:
    assert unfinished_crops(tmp_path / "absent", InMemory({"a": FULL})) == set()
    (tmp_path / "empty").touch()
    assert unfinished_crops(tmp_path / "empty", InMemory({})) == set()


# --- what a resume reads

UNSEALED = json.dumps(values_of(FULL.to_line()), separators=(",", ":")).encode() + b"\n"
"""As an earlier version wrote it, without a checksum."""


def test_what_a_resume_reads_is_what_the_records_say(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    unreviewed = replace(FULL, verdict="", reviewer="", detector_box=None, detected=None)
    records = [replace(unreviewed, image="1.png"), Record("2.png", "failed", "unreadable"), FULL]
    records += [replace(unreviewed, image="1.png", width=7), replace(unreviewed, crop='\\"é🐋\n".jpg')]
    header = json.dumps({"config": CropConfig(size=64).to_dict()}).encode() + b"\n"
    path.write_bytes(header + b"".join(record.to_line() for record in records) + b'{"image":"torn.png"')
    state = replay(path)
    assert (state.config, state.ignored) == (CropConfig(size=64), 0)
    assert state.entries == {key: entry_of(record) for key, record in state.records.items()}


@given(st.data())
def test_a_damaged_line_is_never_taken_for_more_than_a_record(data: st.DataObject) -> None:
    """A photo that only the resume knew would be skipped by the run and missing in the table."""
    line = bytearray(data.draw(st.sampled_from([FULL.to_line(), UNSEALED])))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(line) - 2))
        line[place] = data.draw(
            st.sampled_from(b'0123456789-+.eE,:[]{}"\\ aZ\x00\n\xc3') | st.integers(0, 255)
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(line)
        state = replay(path)
    assert state.entries == {key: entry_of(record) for key, record in state.records.items()}
    assert len(state.records) + state.ignored >= 1
    for record in state.records.values():
        check_types(record)


def check_types(record: Record) -> None:
    """Whatever a field is used for later, it finds the type it is declared to have."""
    assert msgspec.convert(msgspec.to_builtins(record), Record) == record


@pytest.mark.parametrize(
    "values",
    [
        {"status": "Cropped"},
        {"width": "4000"},
        {"width": -1},
        {"height": 1.5},
        {"score": True},
        {"score": "0.5"},
        {"box": [1.0, 2.0, 3.0]},
        {"box": [1.0, 2.0, 3.0, None]},
        {"box": "1 2 3 4"},
        {"crop_box": [1.5, 2, 3, 4]},
        {"crop_hash": "g0ff00ff00ff00ff"},
        {"crop_hash": "00ff00ff00ff00ff0"},
        {"seen": 3},
        {"candidates": [0]},
        {"candidates": [-1, 5]},
        {"candidates": [10**30, 5]},
        {"candidates": [2**62, 5]},
        {"width": 0},
        {"height": 0},
        {"width": 2**31},
        {"score": 1e39},
        {"box": [0.0, 0.0, -1e300, 1e300]},
        {"crop_box": [0, 0, 2**40, 5]},
        {"candidates": {}},
        {"detected": 5},
        {"detected": {"image": "a"}},
        {"verdict": None},
        {"reason": 1},
    ],
)
def test_a_line_of_wrong_types_is_damaged(scratch: Path, values: dict[str, Any]) -> None:
    lines = [Record("a", "resized").to_line(), json.dumps(json.loads(FULL.to_line()) | values).encode()]
    scratch.write_bytes(b"\n".join([lines[0].strip(), lines[1], b""]))
    state = replay(scratch)
    assert set(state.records) == set(state.entries) == {"a"}
    assert state.ignored == 1


def test_a_number_that_is_none_is_damage(scratch: Path) -> None:
    for number in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
        scratch.write_bytes(b'{"image":"a","status":"cropped","score":' + number + b"}\n")
        state = replay(scratch)
        assert (len(state.records), state.ignored) == (0, 1)


def test_a_whole_number_may_stand_for_a_fraction() -> None:
    record = Record.from_line(
        b'{"image":"a","status":"cropped","width":9,"height":8,"score":1,"box":[0,1,2,3]}'
    )
    assert record == Record("a", "cropped", width=9, height=8, score=1.0, box=(0.0, 1.0, 2.0, 3.0))
