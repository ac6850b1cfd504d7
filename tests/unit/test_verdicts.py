"""The file of verdicts: nothing that was said is lost, whatever the names and whoever else writes."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.errors import OutputError
from detic_crop.folder.verdict_lines import CHECKSUM, HEADER, VIEWPOINTS, Found, Verdict, VerdictLines
from detic_crop.folder.verdicts import VerdictLog, read_review, read_verdicts
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
        Verdict(name, "box", ((1.0, 2.25, 30.5, 40.0),), name, "2026-11-25T01:20:08+0000"),
        Verdict("other.jpg", "accepted", (), "me", "t"),
    ]
    VerdictLog(path).append(*said)
    assert list(read_verdicts(path).values()) == said
    with open(path, newline="", encoding="utf-8") as file:
        table = list(csv.reader(file, strict=True))
    assert table[0] == [*HEADER, CHECKSUM]
    assert table[1][:5] == [name, "box", "1 2.25 30.5 40", name, "2026-11-25T01:20:08+0000"]
    assert re.fullmatch("crc-[0-9a-f]{8}", table[1][7])


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
def test_of_a_torn_line_only_the_time_is_cut_and_the_next_one_counts(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("torn") / "review.csv"
    said = [Verdict(name, "box", ((1.0, 2.0, 3.0, 4.0),), "me", "t") for name in ODD_NAMES]
    VerdictLog(path).append(*said)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)), label="bytes left")])
    left = list(read_verdicts(path).values())
    assert [verdict._replace(time="t") for verdict in left] == said[: len(left)]
    later = Verdict("later.jpg", "rejected")
    VerdictLog(path).append(later)
    VerdictLog(path).append(later)
    assert list(read_verdicts(path).values()) == [*left, later]
    assert VerdictLog(path).refresh() == [*left, later, later]


def write_lines(path: Path, n: int) -> list[bytes]:
    """A file of `n` verdicts; returns its lines, the header first."""
    VerdictLog(path).append(*(Verdict(f"day 1/{i}.jpg", "whole", (), "me", "t") for i in range(1, n + 1)))
    return path.read_bytes().splitlines(keepends=True)


def images(n: int, *without: int) -> list[str]:
    return [f"day 1/{i}.jpg" for i in range(1, n + 1) if i not in without]


STRAY = {
    "a quotation mark in it": lambda line: line.replace(b" ", b'"'),
    "one before it": lambda line: b'"' + line,
    "one behind it": lambda line: line[:-1] + b'"\n',
    "one for a comma": lambda line: line.replace(b",", b'"', 1),
    "NUL": lambda line: line.replace(b" ", b"\0"),
    "a lone CR": lambda line: line.replace(b" ", b"\r"),
    "a line end in it": lambda line: line.replace(b" ", b"\n"),
    "half of it": lambda line: line[:9] + b"\n",
    "torn and ended": lambda line: line[:9] + b",,,,,torn\n",
    "not UTF-8": lambda line: line.replace(b" ", b"\xff"),
    "rubbish": lambda line: bytes(range(32, 256)) + b"\n",
    "30 MB": lambda line: b"x" * 30_000_000 + b"\n",
    "30 MB in quotes": lambda line: b'"' + b"x" * 30_000_000 + b'"\n',
    "another photo": lambda line: line.replace(b"5", b"6", 1),
    "another verdict": lambda line: line.replace(b"whole", b"rejected"),
    "another delimiter": lambda line: line.replace(b",", b";"),
}


@pytest.mark.parametrize("stray", STRAY.values(), ids=STRAY)
@pytest.mark.parametrize("place", [1, 5, 9], ids=["first", "middle", "last"])
def test_one_damaged_line_costs_itself_alone_and_is_counted(
    path: Path, stray: Callable[[bytes], bytes], place: int
) -> None:
    lines = write_lines(path, 9)
    lines[place] = stray(lines[place].replace(f"/{place}.".encode(), b"/5."))
    path.write_bytes(b"".join(lines))
    review = read_review(path)
    left = images(9, place)
    assert list(review.last) == left
    assert review.damaged in (1, 2)
    assert review.first_damaged in (place + 1, place + 2)
    assert "(the first is line" in review.sentences("review.csv")[0]
    log = VerdictLog(path)
    log.append(Verdict("later.jpg", "whole"))
    log.append(Verdict("last.jpg", "whole"))
    assert list(read_verdicts(path)) == [*left, "later.jpg", "last.jpg"]


def test_a_line_for_each_stray_mark_is_lost_however_many(path: Path) -> None:
    lines = write_lines(path, 60)
    astray = {3, 4, 7, 20, 21, 22, 40, 60}
    for number in astray:
        lines[number] = lines[number].replace(b" ", b'"')
    path.write_bytes(b"".join(lines))
    review = read_review(path)
    assert list(review.last) == images(60, *astray)
    assert (review.damaged, review.first_damaged) == (len(astray), 4)


@pytest.mark.parametrize("every", [1, 2, 1000])
def test_the_work_grows_with_the_lines_and_no_faster(
    path: Path, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = write_lines(path, 1000)
    lines[1::every] = [line.replace(b" ", b'"') for line in lines[1::every]]
    path.write_bytes(b"".join(lines))
    read = 0
    plain = VerdictLines.read

    def counting(self: VerdictLines, line: bytes) -> Found:
        nonlocal read
        read += len(line)
        return plain(self, line)

    monkeypatch.setattr(VerdictLines, "read", counting)
    read_review(path)
    assert 0 < read < 4 * path.stat().st_size


def test_a_flipped_bit_never_makes_another_verdict(path: Path) -> None:
    said = [Verdict(name, "box", ((1.0, 2.0, 30.5, 4.0),), "me", "t") for name in ODD_NAMES]
    said += [Verdict("b.jpg", word) for word in ("accepted", "whole", "rejected", "undone")]
    said += [Verdict("c.jpg", "whole", note="a calf", viewpoint=word) for word in VIEWPOINTS]
    VerdictLog(path).append(*said)
    data = path.read_bytes()
    expected = {verdict._replace(time="", reviewer="") for verdict in said}
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        log = VerdictLog(path)
        found = [verdict._replace(time="", reviewer="") for verdict in log.read_all()]
        assert expected.issuperset(found)
        assert len(found) >= len(said) - 2  # two where the end of a line is gone
        assert len(found) == len(said) or log.damaged


def rewritten(
    data: bytes, delimiter: str = ",", end: str = "\n", encoding: str = "utf-8", **more: Any
) -> bytes:
    """The file as a spreadsheet or an editor saves it."""
    text = io.StringIO(newline="")
    rows = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
    csv.writer(text, delimiter=delimiter, lineterminator=end, **more).writerows(rows)
    return text.getvalue().encode(encoding)


@pytest.mark.parametrize(
    "form",
    [
        {"end": "\r\n"},
        {"end": "\r\n", "delimiter": ";", "encoding": "utf-8-sig"},
        {"quoting": csv.QUOTE_ALL, "delimiter": "\t"},
        {"quoting": csv.QUOTE_ALL, "end": "\r"},
        {"quoting": csv.QUOTE_ALL, "encoding": "utf-8-sig"},
        {"end": ",,,\r\n"},
    ],
    ids=str,
)
def test_a_file_that_a_spreadsheet_or_an_editor_rewrote_says_the_same(
    path: Path, form: dict[str, Any]
) -> None:
    said = [Verdict(name, "box", ((1.0, 2.0, 30.5, 4.0),), "me, too", "t") for name in ODD_NAMES]
    log = VerdictLog(path)
    log.append(*said)
    path.write_bytes(rewritten(path.read_bytes(), **form))
    review = read_review(path)
    assert (list(review.last.values()), review.damaged) == (said, 0)
    later = Verdict("later.jpg", "rejected")
    assert log.append(later)[-1] == later
    review = read_review(path)
    assert (list(review.last.values()), review.damaged) == ([*said, later], 0)


def test_a_cut_last_line_is_counted_before_and_after_the_next_verdict(path: Path) -> None:
    lines = write_lines(path, 3)
    path.write_bytes(b"".join(lines)[:-12])
    review = read_review(path)
    assert (list(review.last), review.damaged, review.first_damaged) == (images(2), 1, 4)
    VerdictLog(path).append(Verdict("later.jpg", "whole"))
    review = read_review(path)
    assert (list(review.last), review.damaged, review.first_damaged) == ([*images(2), "later.jpg"], 1, 4)


def test_a_line_that_a_person_wrote_needs_neither_checksum_nor_end(path: Path) -> None:
    write_lines(path, 1)
    with open(path, "a", encoding="utf-8") as file:
        file.write("b.jpg,rejected,,me,t,\nc.jpg,box,1 2 3 4,me,t")
    assert list(read_verdicts(path)) == [*images(1), "b.jpg", "c.jpg"]
    VerdictLog(path).append(Verdict("d.jpg", "whole"))
    review = read_review(path)
    assert (list(review.last), review.damaged) == ([*images(1), "b.jpg", "c.jpg", "d.jpg"], 0)


def test_a_file_of_an_earlier_version_keeps_its_columns(path: Path) -> None:
    path.write_bytes(b'image,verdict,box,reviewer,time\na.jpg,whole,,me,t\n"new\nli,,,,,torn\n')
    VerdictLog(path).append(Verdict("b.jpg", "whole", (), "me", "t"))
    assert path.read_bytes().endswith(b"\nb.jpg,whole,,me,t\n")
    assert list(read_verdicts(path)) == ["a.jpg", "b.jpg"]


EARLIER = {
    "without notes": "image,verdict,box,reviewer,time",
    "without viewpoints": "image,verdict,box,reviewer,time,note",
    "with checksums": "image,verdict,box,reviewer,time,note,crc",
}


@pytest.mark.parametrize("header", EARLIER.values(), ids=EARLIER)
def test_a_viewpoint_is_kept_in_a_file_of_an_earlier_version(path: Path, header: str) -> None:
    path.write_text(f"{header}\na.jpg,whole,,me,t\n")
    said = [
        Verdict("a.jpg", "whole", (), "me", "t"),
        Verdict("b.jpg", "rejected", (), "me", "t"),
        Verdict("c.jpg", "undone", (), "me", "t", "", "left"),
        Verdict("d.jpg", "box", ((1.0, 2.0, 3.0, 4.0),), "me", "t", "a calf", "fluke"),
        Verdict("e.jpg", "whole", (), "me", "t"),
    ]
    for verdict in said[1:]:
        VerdictLog(path).append(verdict)
    headers = [line for line in path.read_text().splitlines() if line.startswith("image")]
    assert headers == [header, "image,verdict,box,reviewer,time,note,viewpoint,crc"]
    review = read_review(path)
    assert (list(review.last.values()), review.damaged) == (said, 0)
    # A spreadsheet makes all rows as long as the longest one.
    path.write_bytes(rewritten(path.read_bytes(), end=",,\r\n"))
    review = read_review(path)
    assert (list(review.last.values()), review.damaged) == (said, 0)


@pytest.mark.parametrize("viewpoint", VIEWPOINTS)
def test_a_viewpoint_that_a_person_wrote_counts(path: Path, viewpoint: str) -> None:
    write_lines(path, 1)
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"a.jpg,undone,,,,,{viewpoint}\nb.jpg,accepted,,me,t,seen twice,{viewpoint},\n")
    last = read_review(path).last
    assert last["a.jpg"] == Verdict("a.jpg", "undone", viewpoint=viewpoint)
    assert last["b.jpg"][4:] == ("t", "seen twice", viewpoint)


def test_a_word_that_is_no_viewpoint_damages_its_line_alone(path: Path) -> None:
    lines = write_lines(path, 2)
    for word in ("Left", "l", "up", "left;right", " left"):
        path.write_bytes(b"".join(lines) + f"a.jpg,whole,,me,t,,{word}\nb.jpg,whole,,me,t,,top\n".encode())
        review = read_review(path)
        assert (list(review.last), review.damaged) == ([*images(2), "b.jpg"], 1)


def test_a_viewpoint_that_was_changed_by_damage_is_noticed(path: Path) -> None:
    VerdictLog(path).append(Verdict("a.jpg", "whole", (), "me", "t", "", "left"))
    path.write_bytes(path.read_bytes().replace(b",left,", b",right,"))
    assert (read_review(path).last, read_review(path).damaged) == ({}, 1)


def test_a_name_that_holds_a_verdict_is_a_name(path: Path) -> None:
    name = "x\na.jpg,rejected,,me,t\n.jpg"
    VerdictLog(path).append(Verdict(name, "accepted"), Verdict("b.jpg", "whole"))
    review = read_review(path)
    assert (list(review.last), review.damaged) == ([name, "b.jpg"], 0)


@given(st.lists(st.sampled_from(ODD_NAMES), max_size=8), st.lists(st.integers(1, 60)))
def test_a_file_that_grows_by_any_bytes_is_read_as_one(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], steps: list[int]
) -> None:
    path = tmp_path_factory.mktemp("grown") / "review.csv"
    said = [Verdict(name, "box", ((1.0, 2.0, 3.0, 4.0),), "me", "t") for name in names]
    VerdictLog(path).append(*said)
    data = path.read_bytes()
    path.unlink()
    log = VerdictLog(path)
    found = []
    for step in (*steps, len(data)):
        size = path.stat().st_size if path.exists() else 0
        with open(path, "ab") as file:
            file.write(data[size : size + step])
        found += log.refresh()
    assert (found, log.damaged) == (said, 0)


def test_a_file_that_is_replaced_by_a_longer_one_is_read_anew(path: Path) -> None:
    log = VerdictLog(path)
    log.append(Verdict("a.jpg", "whole"))
    path.write_text("image,verdict,box,reviewer,time\n" + "".join(f"{i}.jpg,whole,,me,t\n" for i in range(9)))
    assert [verdict.image for verdict in log.refresh()] == [f"{i}.jpg" for i in range(9)]


@pytest.mark.parametrize(
    "line",
    [
        "a.jpg,splendid,,me,t",
        "a.jpg,box,1 2 3,me,t",
        "a.jpg,box,,me,t",
        "a.jpg,accepted,1 2 3 4,me,t",
        "a.jpg,box,1 2 3 x,me,t",
        "a.jpg,box,1 2 3 nan,me,t",
        "a.jpg,box,1 2 3 1e999,me,t",
        "a.jpg,box,3 2 1 4,me,t",
        "a.jpg,box,1 2 3 1_0,me,t",
        "a.jpg,box,1 2 3 4 5,me,t",
        "a.jpg,whole,,me,t,crc-00000000",
        "a.jpg,whole,,me,t,more",
        ",whole,,me,t",
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
    log.append(Verdict(f"{sys.argv[2]}\\n{n}.jpg", "accepted", (), "x" * 3000))
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


def test_nobody_writes_between_what_is_decided_on_and_what_is_written(path: Path) -> None:
    ours, theirs = VerdictLog(path), VerdictLog(path)
    theirs._file_lock.timeout = 0.01
    theirs.append(Verdict("a.jpg", "rejected", (), "Ann"))

    def decide(new: list[Verdict]) -> list[Verdict]:
        assert [verdict.reviewer for verdict in new] == ["Ann"]
        with refused("review_in_use", OutputError):
            theirs.append(Verdict("b.jpg", "rejected", (), "Ann"))
        return [Verdict("b.jpg", "accepted"), Verdict("c.jpg", "accepted")]

    written = ours.append_decided(decide)
    assert [(verdict.image, verdict.verdict) for verdict in written] == [
        *(("a.jpg", "rejected"), ("b.jpg", "accepted"), ("c.jpg", "accepted"))
    ]
    assert theirs.refresh()[-2:] == written[1:]
    assert ours.append_decided(lambda new: []) == []
    assert len(read_verdicts(path)) == 3


def test_what_is_decided_knows_a_last_line_without_an_end(path: Path) -> None:
    path.write_text(
        "image,verdict,box,reviewer,time,note\na.jpg,accepted,,Ann,t\nb.jpg,rejected,,Ann,t,no fin"
    )
    log = VerdictLog(path)
    known: list[Verdict] = []

    def decide(new: list[Verdict]) -> list[Verdict]:
        known.extend(new)
        return [Verdict("c.jpg", "whole")]

    written = log.append_decided(decide)
    assert known == [
        Verdict("a.jpg", "accepted", (), "Ann", "t"),
        Verdict("b.jpg", "rejected", (), "Ann", "t", "no fin"),
    ]
    assert written == [*known, Verdict("c.jpg", "whole")]


def test_a_full_disk_is_told_and_costs_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = VerdictLog(path)
    log.append(Verdict("a.jpg", "whole"))

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with refused("review_not_saved", OutputError) as caught:
            log.append(Verdict("b.jpg", "whole"))
        assert "No space left" in caught.value.message
    log.append(Verdict("c.jpg", "whole"))
    assert {"a.jpg", "c.jpg"} <= set(read_verdicts(path))
