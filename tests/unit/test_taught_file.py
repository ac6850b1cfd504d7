"""The file that `teach` writes: the same for the same lessons, whole or not there, known as what it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from detic_crop.detectors.lite import taught_file
from detic_crop.detectors.lite.taught_file import is_taught_file, read_taught, write_taught
from detic_crop.errors import OutputError, WeightsError
from tests.kit.errors import refused

BASE = {"net.pth": "a" * 64}
ABOUT = {"photos": "12", "version": "0.1.0"}
NUMBERS = {"close_up": np.arange(5, dtype=np.float32), "conf": np.array(0.45)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    write_taught(path, NUMBERS, ABOUT, BASE)
    return path


def test_what_is_written_is_read_again(path: Path, tmp_path: Path) -> None:
    sha256 = write_taught(tmp_path / "again.safetensors", NUMBERS, ABOUT, BASE)
    found = read_taught(path, BASE)
    assert (found.about, found.base, found.sha256) == (ABOUT, BASE, sha256)
    assert {name: array.tolist() for name, array in found.numbers.items()} == {
        name: array.tolist() for name, array in NUMBERS.items()
    }
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["again.safetensors", "mine.safetensors"]
    assert is_taught_file(path)


def test_no_byte_can_change_unnoticed(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    changed = tmp_path / "changed.safetensors"
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        changed.write_bytes(data)
        try:
            found = read_taught(changed, BASE)
        except WeightsError:
            continue
        # What remains is text for people.
        assert found.base == BASE
        assert found.numbers["close_up"].tobytes() == NUMBERS["close_up"].tobytes()
        assert found.numbers["conf"].tobytes() == NUMBERS["conf"].tobytes()
    for length in range(0, len(whole), 7):
        changed.write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            read_taught(changed, BASE)


def test_each_kind_of_wrong_file_is_told(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    with refused("missing_weights", WeightsError, names=[str(other)]):
        read_taught(other, BASE)
    with refused("unreadable_weights", WeightsError):
        read_taught(tmp_path, BASE)
    for data in (b"", b"hello", safetensors.numpy.save(NUMBERS), safetensors.numpy.save(NUMBERS, {"a": "b"})):
        other.write_bytes(data)
        assert not is_taught_file(other)
        with refused("not_taught", WeightsError, names=[str(other)]):
            read_taught(other, BASE)
    with refused("other_base", WeightsError, names=["0.1.0"]):
        read_taught(path, {"net.pth": "b" * 64})
    whole = path.read_bytes()
    other.write_bytes(whole[:-4] + b"\1\2\3\4")
    with refused("damaged_weights", WeightsError, names=[str(other)]):
        read_taught(other, BASE)


@pytest.mark.parametrize("entry", ["", "[]", "{}", '{"format": "x"}', '{"format": 1e999}', "[" * 5000])
def test_an_entry_of_another_form_is_damage(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(safetensors.numpy.save(NUMBERS, {taught_file._ENTRY: entry}))
    with refused("damaged_weights", WeightsError):
        read_taught(path, BASE)


def test_another_format_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taught_file, "FORMAT", 2)
    with refused("other_taught_format", WeightsError, names=["format 1, expected 2"]):
        read_taught(path, BASE)


def test_numbers_of_an_unknown_kind_are_damage(path: Path) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["conf"]["dtype"] = "F4"
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with refused("damaged_weights", WeightsError):
        read_taught(path, BASE)


def test_what_cannot_be_written_leaves_the_earlier_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with refused("taught_not_written", OutputError, names=[str(path), "No space left"]):
        write_taught(path, {"other": np.zeros(3)}, ABOUT, BASE)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
