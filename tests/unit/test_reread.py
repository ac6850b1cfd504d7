"""Files that are read by turns, more than may be open at once."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

import pytest

from detic_crop.errors import OutputError
from detic_crop.folder import reread
from detic_crop.folder.reread import Reread
from tests.kit.errors import refused


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many may be open at once."""
    monkeypatch.setattr(reread, "most_open_files", lambda: 6)
    return 3


def opened(path: Path, data: bytes) -> Reread:
    path.write_bytes(data)
    return Reread(FileIO(path), path)


def test_many_are_read_by_turns_and_few_are_open(few: int, tmp_path: Path) -> None:
    files = [opened(tmp_path / str(number), b"%02d" % number) for number in range(20)]
    for _ in range(2):
        for number, file in enumerate(files):
            assert file.bytes_at(0, 2) == b"%02d" % number
            assert file.bytes_at(1, 9) == b"%d" % (number % 10)
            assert len(reread._opened) <= few
    del file, files
    assert not reread._opened


def test_one_that_is_open_is_read_as_it_was(tmp_path: Path) -> None:
    file = opened(tmp_path / "file", b"before")
    os.replace(opened(tmp_path / "other", b"another").path, tmp_path / "file")
    assert file.bytes_at(0, 9) == b"before"


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_one_that_was_closed_must_be_the_same(how: str, tmp_path: Path) -> None:
    file, *others = [opened(tmp_path / str(number), b"before") for number in range(9)]
    if how == "replaced":
        os.replace(others[0].path, file.path)
    else:
        file.path.unlink()
    with refused("journal_changed", OutputError):
        file.bytes_at(0, 9)
    assert others[1].bytes_at(0, 9) == b"before"
