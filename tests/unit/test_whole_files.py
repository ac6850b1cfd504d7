"""Tables of a user are read whole, but no further than memory allows."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from detic_crop.detectors.boxes_file.detector import load_boxes_file
from detic_crop.errors import UsageError
from detic_crop.photos.labels import read_labels
from detic_crop.photos.list_file import names_in
from detic_crop.photos.location import LocalFile
from detic_crop.system import whole_files
from detic_crop.system.whole_files import read_whole
from tests.kit.errors import refused
from tests.kit.helpers import counting_file

LIMIT = 1 << 16


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_files, "usable_bytes", lambda: 4 * LIMIT)


@pytest.fixture
def sizes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each reading of a file that `whole_files` opens has given."""
    sizes: list[int] = []
    counting = counting_file(sizes)
    monkeypatch.setattr(whole_files, "open", lambda path, _: counting(path), raising=False)
    return sizes


def sparse(path: Path, size: int = LIMIT + 1) -> Path:
    path.touch()
    os.truncate(path, size)
    return path


@pytest.mark.usefixtures("little_memory")
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, sizes_read: list[int]) -> None:
    assert read_whole(sparse(tmp_path / "fits", LIMIT)) == b"\0" * LIMIT
    sizes_read.clear()
    with pytest.raises(OSError, match=f"at most {LIMIT:,} bytes"):
        read_whole(sparse(tmp_path / "large"))
    assert not sizes_read


@pytest.mark.usefixtures("little_memory")
@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="the system has no /dev/zero")
def test_what_has_no_end_is_read_up_to_the_limit(tmp_path: Path, sizes_read: list[int]) -> None:
    with pytest.raises(OSError, match=f"at most {LIMIT:,} bytes"):
        read_whole("/dev/zero")
    assert sum(sizes_read) <= LIMIT + (1 << 20)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_may_be_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(b"name\n" * 50_000))
    writer.start()
    assert read_whole(pipe) == b"name\n" * 50_000
    writer.join()


def test_too_little_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def fileno(self) -> int:
            return 0

        def read(self, _: int) -> bytes:
            raise MemoryError

    monkeypatch.setattr(whole_files, "open", lambda *_: Full(), raising=False)
    with pytest.raises(OSError, match="too little memory"):
        read_whole(tmp_path)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("read", "code"),
    [
        (lambda path: read_labels(path, "image"), "labels_unreadable"),
        (lambda path: names_in(LocalFile(str(path)), []), "unreadable_input"),
        (load_boxes_file, "unreadable_boxes"),
    ],
)
def test_a_table_that_is_too_large_is_refused_in_one_line(
    tmp_path: Path, read: Callable[[Path], object], code: str
) -> None:
    with refused(code, UsageError) as caught:
        read(sparse(tmp_path / "table.csv"))
    assert f"at most {LIMIT:,} bytes" in caught.value.message
