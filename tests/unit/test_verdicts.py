"""The file of verdicts: nothing that was said is lost, whatever the names and whoever else writes."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.errors import OutputError
from detic_crop.folder.verdicts import HEADER, Verdict, VerdictLog, read_review, read_verdicts
from tests.kit.errors import refused

ODD_NAMES = [
    "a.jpg",
    "=cmd().jpg",
    "day 1/a,b.jpg",
    'quo"te.jpg',
    "new\nline.jpg",
    "car\rriage.jpg",
    "é 鯨.jpg",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "review.csv"


def test_an_absent_file_holds_none(path: Path) -> None:
    assert read_verdicts(path) == {}
    assert VerdictLog(path).refresh() == []
    assert not path.exists()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_survive(path: Path, name: str) -> None:
    said = [
        Verdict(name, "box", (1.0, 2.25, 30.5, 40.0), name, "2026-11-25T01:20:08+0000"),
        Verdict("other.jpg", "accepted", None, "me", "t"),
    ]
    VerdictLog(path).append(*said)
    assert list(read_verdicts(path).values()) == said
    with open(path, newline="", encoding="utf-8") as file:
        table = list(csv.reader(file, strict=True))
    assert table[0] == list(HEADER)
    assert table[1] == [name, "box", "1 2.25 30.5 40", name, "2026-11-25T01:20:08+0000"]


def test_the_last_word_counts(path: Path) -> None:
    log = VerdictLog(path)
    for word in ("accepted", "rejected", "whole"):
        log.append(Verdict("a.jpg", word), Verdict("b.jpg", word))
    log.append(Verdict("b.jpg", "undone"))
    assert {image: last.verdict for image, last in read_verdicts(path).items()} == {"a.jpg": "whole"}
    assert read_review(path).last["b.jpg"].verdict == "undone"


def test_each_line_is_read_once_whoever_wrote_it(path: Path) -> None:
    ours, theirs = VerdictLog(path), VerdictLog(path)
    a, b, c = (Verdict(f"{name}.jpg", "whole") for name in "abc")
    assert theirs.append(a) == [a]
    assert ours.append(b) == [a, b]
    assert theirs.refresh() == [b]
    assert theirs.append(c) == [c]
    assert ours.refresh() == [c]
    assert ours.refresh() == []


@given(st.data())
def test_a_torn_line_is_dropped_and_the_next_one_counts(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("torn") / "review.csv"
    said = [Verdict(name, "box", (1.0, 2.0, 3.0, 4.0), "me", "t") for name in ODD_NAMES]
    VerdictLog(path).append(*said)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)), label="bytes left")])
    left = list(read_verdicts(path).values())
    assert left == said[: len(left)]
    later = Verdict("later.jpg", "rejected")
    VerdictLog(path).append(later)
    VerdictLog(path).append(later)
    assert list(read_verdicts(path).values()) == [*left, later]
    assert VerdictLog(path).refresh() == [*left, later, later]


@pytest.mark.parametrize(
    "line",
    [
        "a.jpg,splendid,,me,t",
        "a.jpg,box,1 2 3,me,t",
        "a.jpg,box,,me,t",
        "a.jpg,accepted,1 2 3 4,me,t",
        "a.jpg,box,1 2 3 x,me,t",
        "a.jpg,accepted",
        "",
        "\x00",
    ],
)
def test_what_is_not_a_verdict_is_ignored(path: Path, line: str) -> None:
    path.write_text(f"image,verdict,box,reviewer,time\n{line}\nb.jpg,whole,,me,t\n")
    assert list(read_verdicts(path)) == ["b.jpg"]


def test_bytes_that_are_not_text_are_ignored(path: Path) -> None:
    path.write_bytes(b"image,verdict,box,reviewer,time\n\xff.jpg,whole,,me,t\nb.jpg,whole,,me,t\n")
    assert list(read_verdicts(path)) == ["b.jpg"]


def test_a_file_begun_anew_is_read_anew(path: Path) -> None:
    log = VerdictLog(path)
    log.append(Verdict("a.jpg", "whole"), Verdict("b.jpg", "whole"))
    path.unlink()
    assert log.refresh() == []
    assert log.append(Verdict("c.jpg", "whole")) == [Verdict("c.jpg", "whole")]
    assert list(read_verdicts(path)) == ["c.jpg"]


MANY = """
import sys
from pathlib import Path
from detic_crop.folder.verdicts import Verdict, VerdictLog
log = VerdictLog(Path(sys.argv[1]))
sys.stdin.read(1)
for n in range(40):
    log.append(Verdict(f"{sys.argv[2]}\\n{n}.jpg", "accepted", None, "x" * 3000))
"""


def test_two_processes_lose_nothing(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", MANY, str(path), name], stdin=subprocess.PIPE)
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write(b"go")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    said = VerdictLog(path).refresh()
    assert {verdict.image for verdict in said} == {f"{w}\n{n}.jpg" for w in ("one", "two") for n in range(40)}
    assert len(said) == 80


def test_a_full_disk_is_told_and_costs_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = VerdictLog(path)
    log.append(Verdict("a.jpg", "whole"))

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with refused("review_not_saved", OutputError) as caught:
            log.append(Verdict("b.jpg", "whole"))
        assert "No space left" in str(caught.value)
    log.append(Verdict("c.jpg", "whole"))
    assert {"a.jpg", "c.jpg"} <= set(read_verdicts(path))
