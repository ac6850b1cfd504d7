"""The journal: any prefix replays, a torn line costs one photo, a full disk leaves whole lines only."""

from __future__ import annotations

import errno
import io
import json
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.errors import UsageError
from detic_crop.folder import inside as inside_module
from detic_crop.folder.finished import PLAIN_FIELDS, Finished, Span, plain_lines
from detic_crop.folder.journal import (
    Journal,
    Record,
    Recorded,
    Replay,
    read_candidates,
    recorded_config,
    replay,
    replay_finished,
    unfinished_crops,
)
from detic_crop.folder.names import is_crop_path
from tests.kit.helpers import as_found, detections

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
    verdict="box",
    reviewer="Ann",
    detected=Record("día 1/x.jpg", "cropped", "largest_box", score=0.25, box=(1.5, 2.5, 3.5, 4.5)),
    detector_box=(1.5, 2.5, 3.5, 4.5),
    candidates=(1000, 200),
)

boxes = st.tuples(*[st.integers(-100, 10_000_000).map(lambda n: n / 100)] * 4)
scores = st.integers(0, 10**6).map(lambda n: n / 10**6)
counts = st.integers(0, 10**12)
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
    width=counts,
    file_time=counts,
    truncated=st.booleans(),
    damaged=st.none() | st.booleans(),
    candidates=st.none() | st.tuples(counts, counts),
    detected=st.none() | st.builds(Record, crop=crops, status=st.just("cropped"), detected=st.none()),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def plain(value: Any) -> Any:
    """A record as JSON has it: tuples and lists are one kind."""
    return json.loads(json.dumps(value))


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
    for name, default in Record._field_defaults.items():
        assert getattr(FULL, name) != default


def test_a_record_survives_its_line_with_every_field() -> None:
    line = FULL.to_line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert set(json.loads(line)) == set(Record._fields)
    assert Record.from_json(json.loads(line)) == FULL


def test_boxes_come_back_as_the_tuples_they_are_declared_to_be() -> None:
    again = Record.from_json(json.loads(FULL.to_line()))
    for name in ("box", "crop_box", "best_box", "candidates"):
        assert isinstance(getattr(again, name), tuple)


@given(records)
def test_a_record_survives_its_line(record: Record) -> None:
    assert plain(Record.from_json(json.loads(record.to_line()))) == plain(record)


def test_a_line_holds_only_what_is_said() -> None:
    assert Record("a.jpg", "resized").to_line() == b'{"image":"a.jpg","status":"resized"}\n'
    zero = json.loads(Record("a.jpg", "resized", presence=0.0, score=0.0).to_line())
    assert (zero["presence"], zero["score"]) == (0.0, 0.0)


def test_names_that_are_no_text_survive() -> None:
    record = Record("a\udcff.jpg", "failed", error="\ud800")
    assert Record.from_json(json.loads(record.to_line())) == record


def test_texts_that_repeat_are_kept_once() -> None:
    """There may be millions of records."""
    one, other = (Record.from_json(json.loads(FULL._replace(crop=FULL.image).to_line())) for _ in range(2))
    for name in ("status", "reason", "class_name", "best_class", "rival_class", "model"):
        assert getattr(one, name) is getattr(other, name), name
    assert one.crop is one.image
    assert one == other


def test_fields_of_a_later_version_are_ignored() -> None:
    values = {**json.loads(FULL.to_line()), "colour": "blue", "nested": {"a": [1]}}
    assert plain(Record.from_json(values)) == plain(FULL)


@pytest.mark.parametrize(
    "values",
    [{}, {"image": "a"}, {"status": "failed"}, {"image": 1, "status": "failed"}, {"image": "a", "status": 2}],
)
def test_a_line_without_image_or_status_is_no_record(values: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Record.from_json(values)


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
        *(FULL._replace(image=n, width=i).to_line() for i, n in enumerate(names)),
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
    assert (state.end, state.ignored) == (len(whole), 0)
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
    assert journal.state == before
    journal.append(Record("new.jpg", "resized"))
    journal.close()
    after = replay(path)
    assert after.records == {**before.records, "new.jpg": Record("new.jpg", "resized")}
    assert after.ignored == 0
    assert path.stat().st_size == after.end


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
    assert (state.ignored, state.end) == (1, sum(map(len, lines)))


@given(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_line_stops_a_replay(scratch: Path, garbage: bytes) -> None:
    data = Record("a", "resized").to_line() + garbage + b"\n" + Record("b", "resized").to_line()
    state = replay_bytes(scratch, data)
    assert {"a", "b"} <= set(state.records)
    assert state.end == len(data)


def test_a_hundred_thousand_lines(scratch: Path) -> None:
    n = 100_000
    record = Record("NUMBER.jpg", "cropped", box=(1.0, 2.0, 3.0, 4.0), candidates=(12, 300))
    line = record.to_line()
    state = replay_bytes(scratch, b"".join(line.replace(b"NUMBER", b"%d" % i) for i in range(n)))
    assert len(state.records) == n
    assert list(state.records)[:: n - 1] == ["0.jpg", f"{n - 1}.jpg"]
    assert state.records["77777.jpg"] == record._replace(image="77777.jpg")
    assert state.end == scratch.stat().st_size


def test_settings_of_another_version_are_refused(scratch: Path) -> None:
    state = replay_bytes(scratch, b'{"config":{"hue":1}}\n' + Record("a", "resized").to_line())
    assert set(state.records) == {"a"}
    with pytest.raises(UsageError, match="another version"):
        _ = state.config


# --- writing


def test_what_was_appended_is_there_at_once_and_after_reopening(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.begin(CropConfig(size=99), "1.2.3")
    assert recorded_config(tmp_path / "journal.jsonl") == CropConfig(size=99)
    journal.append(FULL)
    assert journal.state.records == {FULL.image: FULL}
    assert set(replay(tmp_path / "journal.jsonl").records) == {FULL.image}  # not held back by a buffer
    journal.close()
    journal.close()
    again = open_journal(tmp_path)
    assert again.state.config == CropConfig(size=99)
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


class SmallDisk(io.FileIO):
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
    monkeypatch.setattr(inside_module, "FileIO", SmallDisk)


@pytest.mark.parametrize("room", [0, 1, 6, 7, 8, 30, 60, 70, 71, 72, 100])
def test_a_full_disk_leaves_whole_lines_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    path = tmp_path / "journal.jsonl"
    line = Record("a.jpg", "resized").to_line()  # 36 bytes
    small_disk(monkeypatch, room)
    journal = open_journal(tmp_path)
    for i in range(room // len(line)):
        journal.append(Record(f"{i}.jpg", "resized"))
    with pytest.raises(OSError, match="No space left"):
        journal.append(Record("x.jpg", "resized"))
    assert path.stat().st_size == room // len(line) * len(line)
    assert (
        set(replay(path).records)
        == set(journal.state.records)
        == {f"{i}.jpg" for i in range(room // len(line))}
    )
    SmallDisk.room = 1000  # somebody made room
    journal.append(Record("late.jpg", "resized"))
    offset, length = journal.append_candidates("late.jpg", "late.jpg", Detections.empty())
    assert (offset, length) == (0, (tmp_path / "candidates.jsonl").stat().st_size)
    journal.close()
    state = replay(path)
    assert list(state.records)[-1] == "late.jpg"
    assert (state.ignored, state.end) == (0, path.stat().st_size)


def test_boxes_that_did_not_fit_leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_disk(monkeypatch, 150)
    journal = open_journal(tmp_path)
    first = journal.append_candidates("a", "a.jpg", Detections.empty())
    with pytest.raises(OSError, match="No space left"):
        journal.append_candidates("b", "b.jpg", Detections.empty())
    SmallDisk.room = 1000
    second = journal.append_candidates("c", "c.jpg", Detections.empty())
    journal.close()
    assert second[0] == first[1]
    assert unfinished_crops(tmp_path / "candidates.jsonl", {}) == {"a.jpg", "c.jpg"}


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
    assert unfinished_crops(path, journal.state.records) == expected
    assert unfinished_crops(path, replay(folder / "journal.jsonl").records) == expected


def test_records_of_this_run_and_of_an_earlier_one_mix(tmp_path: Path) -> None:
    """Those read from the file had lists for spans, those appended since have tuples."""
    journal = open_journal(tmp_path)
    journal.append(
        Record("a", "cropped", candidates=journal.append_candidates("a", "a.jpg", Detections.empty()))
    )
    journal.close()
    journal = open_journal(tmp_path)
    journal.append(
        Record("b", "cropped", candidates=journal.append_candidates("b", "b.jpg", Detections.empty()))
    )
    journal.append_candidates("c", "c.jpg", Detections.empty())
    journal.close()
    assert unfinished_crops(tmp_path / "candidates.jsonl", journal.state.records) == {"c.jpg"}


def test_no_candidates_file_means_nothing_unfinished(tmp_path: Path) -> None:
    assert unfinished_crops(tmp_path / "absent", {"a": FULL}) == set()
    (tmp_path / "empty").touch()
    assert unfinished_crops(tmp_path / "empty", {}) == set()


def plain_record(number: int, **values: Any) -> Record:
    """As a run leaves it, every field that may stand in a plain line filled in."""
    fields = {name: value for name, value in FULL._asdict().items() if name in PLAIN_FIELDS}
    fields |= {"image": f"{number}.png", "status": "cropped"}
    return Record(**{**fields, **values})


def test_what_a_resume_reads_is_what_the_records_say(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    reviewed = plain_record(3, verdict="accepted", reviewer="me")
    records = [plain_record(1), Record("2.png", "failed", "unreadable"), reviewed, plain_record(1, width=7)]
    records += [
        plain_record(4, score=None, best_box=None, truncated=False),
        plain_record(5, crop='\\"é🐋\n".jpg'),
    ]
    header = json.dumps({"config": CropConfig(size=64).to_dict()}).encode() + b"\n"
    path.write_bytes(header + b"".join(record.to_line() for record in records) + b'{"image":"torn.png"')
    state, finished = replay_finished(path)
    whole = replay(path)
    assert (state.config, state.end, state.ignored, state.records) == (whole.config, whole.end, 0, {})
    assert finished.keys() == whole.records.keys()
    assert [key for key, known in finished.items() if isinstance(known, Finished)] == [
        "1.png",
        "4.png",
        "5.png",
    ]
    for key, known in finished.items():
        record = whole.records[key]
        assert known == record or known == tuple(getattr(record, name) for name in Finished._fields)


def test_a_line_is_plain_for_every_ordinary_photo(tmp_path: Path) -> None:
    """Or a resume would be slow: every field that a record may have, alone and with all the others."""
    least = Record(
        "a.png", "resized", crop="a.jpg", width=1, height=1, file_size=1, file_time=1, crop_bytes=1
    )
    least = least._replace(candidates=(0, 1))
    assert plain_lines(least.to_line()) == [
        Finished(*(getattr(least, name) for name in Finished._fields)),
    ]
    for name in PLAIN_FIELDS:
        one = least._replace(**{name: getattr(plain_record(1), name)})
        assert len(plain_lines(one.to_line())) == 1, name
    assert len(plain_lines(plain_record(1).to_line())) == 1
    # What is left to the parser: a reviewer's part, and what a crop that is there cannot have.
    assert set(Record._fields) - set(PLAIN_FIELDS) - {"image", "status"} == {
        *("verdict", "reviewer", "detector_box", "detected"),
    }


@given(st.data())
def test_a_damaged_line_is_never_taken_for_more_than_the_parser_takes_it(data: st.DataObject) -> None:
    """A photo that only the quick reader knew would be skipped by the run and missing in the table."""
    line = bytearray(plain_record(1).to_line())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(line) - 2))
        line[place] = data.draw(
            st.sampled_from(b'0123456789-+.eE,:[]{}"\\ aZ\x00\n\xc3') | st.integers(0, 255)
        )
    whole, (_, finished) = replayed(bytes(line))
    assert finished.keys() == whole.records.keys()
    for key, known in finished.items():
        assert tuple(getattr(known, name) for name in Finished._fields) == tuple(
            getattr(whole.records[key], name) for name in Finished._fields
        )


def replayed(lines: bytes) -> tuple[Replay, tuple[Replay, dict[str, Recorded]]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(lines)
        return replay(path), replay_finished(path)


def test_a_slim_journal_keeps_nothing_that_it_appends(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append(plain_record(1))
    journal.append(plain_record(2))
    journal.close()
    slim = Journal(tmp_path / "journal.jsonl", tmp_path / "candidates.jsonl", slim=True)
    assert set(slim.finished) == {"1.png", "2.png"}
    slim.append(plain_record(2, width=9))
    slim.append(plain_record(3))
    slim.close()
    assert (set(slim.finished), slim.state.records) == ({"1.png"}, {})
    assert replay(tmp_path / "journal.jsonl").records["2.png"].width == 9
