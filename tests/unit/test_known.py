"""What is known of each photo, read from its file when asked: as a dict of all records would say it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from detic_crop.errors import OutputError
from detic_crop.folder import known as known_module
from detic_crop.folder.journal import replay
from detic_crop.folder.known import Both, InMemory, Known, both
from detic_crop.folder.lines import to_line
from detic_crop.folder.records import Record
from tests.kit.errors import refused

KEYS = ["a.jpg", "b.jpg", "é/🐋.jpg", "a\udcff.jpg", "", "x\n.jpg"]
one_record = st.builds(
    Record,
    image=st.sampled_from(KEYS) | st.text(max_size=3),
    status=st.sampled_from(["cropped", "resized", "failed"]),
    width=st.integers(1, 9),
    height=st.integers(1, 9),
    candidates=st.none() | st.tuples(st.integers(0, 99), st.integers(0, 99)),
)
pieces = st.lists(
    one_record.map(Record.to_line) | st.sampled_from([b"\n", b"{}\n", b"torn", b"\r\n"]), max_size=30
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that each example of a property overwrites."""
    return tmp_path_factory.mktemp("known") / "journal.jsonl"


@pytest.fixture(params=["own hashes", "all alike", "some alike"], autouse=True, scope="module")
def _hashes(request: pytest.FixtureRequest) -> object:
    """Hashes that are the same for several keys, which must not matter."""
    with pytest.MonkeyPatch.context() as patch:
        alike: dict[str, Callable[[str], int]] = {
            "all alike": lambda key: 7,
            "some alike": lambda key: len(key) - 3,
        }
        if request.param in alike:
            patch.setattr(known_module, "hash", alike[request.param], raising=False)
        yield


def model_of(data: bytes) -> dict[str, Record]:
    """What a dict would have: the last record of each photo, in the order in which they came first."""
    model: dict[str, Record] = {}
    for line in data.split(b"\n")[:-1]:
        try:
            record = Record.from_line(line)
        except ValueError:
            continue
        model[record.image] = record
    return model


def assert_same(known: Known[Record], model: dict[str, Record]) -> None:
    assert len(known) == len(model)
    assert list(known) == list(known.keys()) == list(model)
    assert list(known.items()) == list(model.items())
    assert list(known.values()) == list(model.values())
    assert known == model
    for key in [*model, *reversed(model), *KEYS, "absent"]:
        assert (key in known) == (key in model)
        assert known.get(key) == model.get(key)
    spans = [record.candidates for record in model.values() if record.candidates]
    assert sorted(map(tuple, known.spans().tolist())) == sorted(spans)


@given(pieces)
def test_a_file_says_what_a_dict_of_its_lines_would(scratch: Path, lines: list[bytes]) -> None:
    data = b"".join(lines)
    scratch.write_bytes(data)
    assert_same(replay(scratch).records, model_of(data))


@given(pieces, pieces)
def test_two_are_joined_as_two_dicts_would(scratch: Path, first: list[bytes], second: list[bytes]) -> None:
    found, models = list[Known[Record]](), list[dict[str, Record]]()
    for lines in (first, second):
        scratch.write_bytes(b"".join(lines))
        found.append(replay(scratch).records)
        models.append(model_of(b"".join(lines)))
        scratch.unlink()  # what was read stays
    assert_same(both(*found), models[0] | models[1])
    assert_same(Both(*found), models[0] | models[1])
    assert_same(Both(found[0], InMemory(models[1])), models[0] | models[1])


def test_many_lines_in_any_order(scratch: Path) -> None:
    records = [Record(f"{i % 700}.jpg", "resized", width=i + 1, height=1) for i in range(1500)]
    data = b"".join(record.to_line() for record in records)
    scratch.write_bytes(data)
    known, model = replay(scratch).records, model_of(data)
    assert_same(known, model)
    for step in (1, 7, -1):
        for key in list(model)[::step]:
            assert known[key] == model[key]


def test_what_is_appended_later_is_not_seen_and_what_is_removed_is(scratch: Path) -> None:
    records = [Record(f"{i}.jpg", "resized", width=1, height=1) for i in range(20)]
    scratch.write_bytes(b"".join(record.to_line() for record in records))
    known = replay(scratch).records
    with open(scratch, "ab") as file:
        file.write(replace(records[0], width=5).to_line() + Record("new.jpg", "failed").to_line())
    assert_same(known, {record.image: record for record in records})
    scratch.unlink()
    scratch.write_bytes(b"another file\n")
    assert_same(known, {record.image: record for record in records})


def test_a_file_that_was_cut_meanwhile_is_said(scratch: Path) -> None:
    scratch.write_bytes(b"".join(Record(f"{i}.jpg", "failed").to_line() for i in range(600)))
    known = replay(scratch).records
    with open(scratch, "r+b") as file:
        file.truncate(20_000)
    assert "3.jpg" in known
    with refused("journal_changed", OutputError):
        list(known.values())
    with refused("journal_changed", OutputError):
        known["599.jpg"]


def test_a_photo_takes_few_bytes(scratch: Path) -> None:
    """There may be ten million of them."""
    count = 50_000
    with open(scratch, "wb") as file:
        for i in range(count):
            record = Record(f"survey/day 1/IMG_{i:08}.jpg", "cropped", width=4000, height=3000)
            file.write(
                replace(record, crop=record.image, candidates=(i * 300, 300), crop_hash="0" * 16).to_line()
            )
    tracemalloc.start()
    state = replay(scratch)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(state.records) == count
    assert kept < 60 * count


def test_lines_keep_their_order_of_words(scratch: Path) -> None:
    """A record of a later version with other fields is read as ours."""
    scratch.write_bytes(to_line({"later": 1, "status": "failed", "image": "a.jpg"}))
    assert list(replay(scratch).entries) == ["a.jpg"]
