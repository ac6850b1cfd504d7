"""Lines with a checksum: a flipped bit is found, and lines of earlier versions are read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.folder.lines import LineCheck, to_line
from detic_crop.folder.typed_json import is_sealed
from tests.kit.journals import values_of

values = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name != "crc"),
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.integers(), max_size=3),
    min_size=1,
    max_size=4,
)


@given(values)
def test_a_line_is_an_object_of_json_that_ends_with_its_checksum(value: dict[str, object]) -> None:
    line = to_line(value)
    assert values_of(line) == value
    assert list(json.loads(line))[-1] == "crc"
    assert line.count(b"\n") == 1
    assert is_sealed(line)
    assert is_sealed(line[:-1])
    assert is_sealed(line[:-1] + b"\r\n")  # as an editor may leave it


@given(values)
def test_a_line_of_an_earlier_version_has_none(value: dict[str, object]) -> None:
    assert not is_sealed(json.dumps(value, separators=(",", ":")).encode())


@given(values, st.data())
def test_any_flipped_bit_is_found_or_says_the_same(value: dict[str, object], data: st.DataObject) -> None:
    line = bytearray(to_line(value))
    bit = data.draw(st.integers(0, 8 * (len(line) - 1) - 1))
    line[bit // 8] ^= 1 << bit % 8
    try:
        is_sealed(bytes(line))
        found = json.loads(line)
    except ValueError:
        return
    # Only the checksum is hit, and the line looks like one of an earlier version, with the same content.
    assert {name: found[name] for name in value} == value


def test_once_a_line_had_a_checksum_later_ones_must() -> None:
    old, new = b'{"a":1}\n', to_line({"a": 1})
    check = LineCheck()
    for line in (old, old, new, new):
        check(line)
    for line in (old, new.replace(b"1", b"2"), b"", new.replace(b"crc", b"crd")):
        with pytest.raises(ValueError, match=r"checksum"):
            check(line)
    check(new)


def test_text_that_looks_like_a_checksum_is_text() -> None:
    assert not is_sealed(b'{"a":"x,\\"crc\\":\\"01234567\\"}"}')
    assert is_sealed(to_line({"a": ',"crc":"01234567"}'}))
