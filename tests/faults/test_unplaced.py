"""A crop that the disk does not take: the photo keeps its earlier crop and row, is named, and counts."""

from __future__ import annotations

import errno
import os
from io import FileIO
from pathlib import Path
from typing import Any, cast

import pytest

from detic_crop.cli import main as cli
from detic_crop.folder.inside import Inside, Written, write_all
from tests.kit.faults import cli_command
from tests.kit.folders import product, row_of
from tests.kit.photos import write_boxes, write_photo, write_photos
from tests.kit.verdicts import give_verdicts

TARS = ["--out-format", "tar", "--per-tar", "2"]


class Refusing:
    """Lets renames to a path that ends so fail with an errno."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._replace = Inside.replace

    def refuse(self, ending: str, code: int) -> None:
        replace = self._replace

        def refused(inside: Inside, source: Path, target: Path, make: bool = False) -> None:
            if str(target).endswith(ending):
                raise OSError(code, os.strerror(code), str(source), None, str(target))
            replace(inside, source, target, make)

        self._patch.setattr(Inside, "replace", refused)

    def agree(self) -> None:
        self._patch.setattr(Inside, "replace", self._replace)


def without_page(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name != "audit.html"}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    return Refusing(monkeypatch)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    keys = write_photos(tmp_path / "in", 3)
    run = cli_command(tmp_path / "in", write_boxes(tmp_path / "boxes.csv", keys))
    return [*run, "--out", str(tmp_path / "out"), "--workers", "1"]


@pytest.mark.parametrize("code", [errno.ETIMEDOUT, errno.ENOMEM, errno.EBUSY, errno.EINVAL, errno.ENOTCONN])
@pytest.mark.parametrize("form", [[], TARS])
def test_apply_keeps_what_it_cannot_replace(
    command: list[str],
    form: list[str],
    code: int,
    disk: Refusing,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert cli.main([*command, *form]) == 0
    before, row = product(out), row_of(out, "photo000.jpg")
    give_verdicts(out, {"photo000.jpg": "box", "day1/photo001.jpg": "accepted"})
    disk.refuse("photo000.jpg.wait" if form else "photo000.jpg", code)
    for strict, expected in (([], 1), (["--strict"], 3)):
        capsys.readouterr()
        assert cli.main(["apply", str(out), *strict]) == expected
        said = capsys.readouterr()
        (line,) = [line for line in said.err.splitlines() if line.startswith("photo000.jpg keeps its crop: ")]
        assert os.strerror(code) in line
        assert line.endswith("run the same command again")
        assert "1 not possible" in said.out
        assert row_of(out, "photo000.jpg") == row
        assert row_of(out, "day1/photo001.jpg")["verdict"] == "accepted"
        crops = {name: data for name, data in product(out).items() if not name.startswith("audit.")}
        assert crops == {name: before[name] for name in crops}
    disk.agree()
    assert cli.main(["apply", str(out)]) == 0
    assert "verdicts applied: 1 another box" in capsys.readouterr().out
    assert row_of(out, "photo000.jpg")["verdict"] == "box"


@pytest.mark.parametrize("form", [[], TARS])
def test_a_rejected_crop_that_cannot_be_set_aside_stays(
    command: list[str], form: list[str], disk: Refusing, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert cli.main([*command, *form]) == 0
    row = row_of(out, "photo000.jpg")
    give_verdicts(out, {"photo000.jpg": "rejected", "day1/photo001.jpg": "rejected"})
    disk.refuse("photo000.jpg.rejected", errno.ETIMEDOUT)
    assert cli.main(["apply", str(out)]) == 1
    assert row_of(out, "photo000.jpg") == row
    assert row_of(out, "day1/photo001.jpg")["status"] == "rejected"
    disk.agree()
    assert cli.main(["apply", str(out), "--strict"]) == 0
    assert row_of(out, "photo000.jpg")["status"] == "rejected"


@pytest.mark.parametrize("form", [[], TARS])
def test_a_run_keeps_what_it_cannot_replace(
    command: list[str],
    form: list[str],
    disk: Refusing,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert cli.main([*command, *form]) == 0
    before = product(out)
    write_photo(tmp_path / "in" / "photo000.jpg", 77)
    disk.refuse("photo000.jpg.wait" if form else "photo000.jpg", errno.ETIMEDOUT)
    assert cli.main([*command, *form, "--strict"]) == 3
    assert "photo000.jpg keeps its earlier crop: " in capsys.readouterr().err
    kept = product(out)
    assert without_page(kept) == without_page(before)  # the page shows no picture of another photo
    assert cli.main([*command, *form]) == 0
    disk.agree()
    assert cli.main([*command, *form, "--strict"]) == 0
    made = product(out)
    assert made != before
    assert cli.main([*command[:-3], str(tmp_path / "new"), *form]) == 0
    assert made == product(tmp_path / "new")


def test_without_an_earlier_crop_it_is_a_failed_row(
    command: list[str], disk: Refusing, tmp_path: Path
) -> None:
    disk.refuse("photo000.jpg", errno.ETIMEDOUT)
    assert cli.main([*command, "--strict"]) == 3
    row = row_of(tmp_path / "out", "photo000.jpg")
    assert (row["status"], row["reason"], row["crop"]) == ("failed", "write_error", "")
    disk.agree()
    assert cli.main([*command, "--strict"]) == 0


def test_a_tar_file_that_cannot_be_packed_costs_no_photo(
    command: list[str], disk: Refusing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main([*command, *TARS]) == 0
    before = product(out)
    give_verdicts(out, {"day1/photo001.jpg": "box", "photo000.jpg": "box"})
    disk.refuse("crops-00000.tar", errno.ETIMEDOUT)
    capsys.readouterr()
    assert cli.main(["apply", str(out)]) == 1
    assert "crops-00000.tar" in capsys.readouterr().err
    assert (out / "crops-00000.tar").read_bytes() == before["crops-00000.tar"]
    disk.agree()
    assert cli.main(["apply", str(out)]) == 0
    assert {row_of(out, key)["verdict"] for key in ("day1/photo001.jpg", "photo000.jpg")} == {"box"}


class Stubborn(FileIO):
    """Answers writes as it is told, then takes them."""

    answers: list[Any]

    def write(self, data: Any, /) -> int:
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, OSError):
                raise answer
            if not answer:
                return cast(int, answer)
            data = memoryview(data)[:answer]
        return super().write(data)


def test_a_disk_that_takes_nothing_ends_the_writing(tmp_path: Path) -> None:
    """None is what Python answers for EAGAIN."""
    with Stubborn(str(tmp_path / "file"), "w") as file:
        file.answers = [2, InterruptedError(), 1]
        write_all(file, b"whole")
        for answer, code in ((None, errno.EAGAIN), (0, errno.EIO)):
            file.answers = [answer]
            with pytest.raises(OSError, match=os.strerror(code)):
                write_all(file, b"more")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_an_error_of_writing_names_the_file(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with Written(writer, tmp_path / "file") as file, pytest.raises(BrokenPipeError) as caught:
        file.write(b"text")
    assert caught.value.filename == str(tmp_path / "file")
