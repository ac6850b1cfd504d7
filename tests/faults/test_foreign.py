"""Files with names of ours that somebody else made or changed: none is lost, and none goes unsaid."""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
import zipfile
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.folder.inside import Inside
from detic_crop.photos.keys import STATE
from tests.kit.earlier import RUN, copy_earlier
from tests.kit.errors import complained, refused
from tests.kit.folders import comparable, files_of, product, records_of
from tests.kit.photos import write_boxes, write_photo, write_photos
from tests.kit.processes import posix
from tests.kit.verdicts import give_verdicts

ALWAYS = ["audit.csv", "audit.html", "run.json"]
FOREIGN = {
    "audit.csv": b"account,amount\n1,2\n",
    "audit.html": b"<!doctype html><title>Audit of 2025</title>",
    "audit.xlsx": b"PK\x03\x04 my own workbook",
    "run.json": b'{"settings": 5}',
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_boxes(tmp_path / "boxes.csv", write_photos(tmp_path / "in", 6))
    return tmp_path


def run(base: Path, *words: str) -> int:
    boxes = f"boxes:{base / 'boxes.csv'}"
    given = ["run", "--in", str(base / "in"), "--out", str(base / "out"), "--model", boxes, "--size", "32"]
    return cli.main([*given, "--quiet", *words])


@pytest.mark.parametrize("name", ALWAYS)
@pytest.mark.parametrize("state", ["empty", "finished", "shards"])
def test_a_file_of_somebody_else_is_refused_before_anything_is_done(
    name: str, state: str, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = base / "out"
    if state == "empty":
        (out / STATE).mkdir(parents=True)
    elif state == "finished":
        assert run(base) == 0
    else:
        for k in range(2):
            assert run(base, "--shard", f"{k}/2") == 0
    (out / name).unlink(missing_ok=True)
    (out / name).write_bytes(FOREIGN[name])
    before = files_of(out)
    commands = [["merge", str(out)]] if state == "shards" else [["audit", str(out)], ["apply", str(out)]]
    capsys.readouterr()
    for command in commands if state != "empty" else ():
        assert cli.main(command) == 2
        assert str(out / name) in complained("foreign_table", capsys.readouterr().err)
    for words in ([], ["--overwrite"], ["--shard", "0/2"]):
        if state == "shards" or "--shard" not in words:
            assert run(base, *words) == 2
            assert str(out / name) in complained("foreign_table", capsys.readouterr().err)
    assert files_of(out) == before
    (out / name).rename(base / name)
    assert run(base, *([] if state != "shards" else ["--shard", "0/2"])) == 0


def edited(name: str, data: bytes) -> bytes:
    """A file of ours as a person leaves it."""
    if name == "audit.csv":  # a spreadsheet with other delimiters
        text = io.StringIO()
        csv.writer(text, delimiter=";").writerows(csv.reader(io.StringIO(data.decode())))
        return text.getvalue().encode("utf-8-sig")
    if name == "run.json":
        return data.replace(b"{", b'{"comment": "the good one", ', 1)
    if name == "audit.xlsx":
        return data + b"more"
    return data.replace(b"</body>", b"<p>see page 3</p></body>")


@pytest.mark.parametrize("command", ["run", "audit", "apply", "overwrite"])
def test_what_a_person_has_changed_is_kept_beside_the_new_one(
    command: str, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = base / "out"
    assert run(base) == 0
    assert cli.main(["audit", str(out), "--xlsx"]) == 0
    plain = product(out)
    changed = {name: edited(name, (out / name).read_bytes()) for name in FOREIGN}
    for name, data in changed.items():
        assert data != (out / name).read_bytes()
        (out / name).write_bytes(data)
    capsys.readouterr()

    def again() -> int:
        if command in ("run", "overwrite"):
            return run(base, *(["--overwrite"] if command == "overwrite" else []))
        return cli.main([command, str(out), *(["--xlsx"] if command == "audit" else [])])

    replaced = {
        "run": set(ALWAYS),
        "audit": {"audit.csv", "audit.html", "audit.xlsx"},
        "apply": {"audit.csv", "audit.html"},
        "overwrite": set(FOREIGN),
    }[command]
    assert again() == 0
    said = capsys.readouterr().err
    for name in FOREIGN:
        path = out / name
        aside = path.with_name(f"{path.stem}.edited{path.suffix}")
        if name in replaced:
            assert aside.read_bytes() == changed[name]
            assert (
                f"{path} was changed after detic-crop wrote it; that version is kept as {aside.name}" in said
            )
        else:
            assert path.read_bytes() == changed[name]
            assert not aside.exists()
    for name in replaced - {"run.json", "audit.xlsx"}:
        assert comparable(name, (out / name).read_bytes()) == plain[name]
    after = files_of(out)
    assert again() == 0
    assert "was changed after detic-crop wrote it" not in capsys.readouterr().err
    assert set(files_of(out)) == set(after)


def test_each_edit_is_kept(base: Path) -> None:
    path = base / "out" / "audit.csv"
    assert run(base) == 0
    for number in range(3):
        path.write_bytes(path.read_bytes() + b"note %d\n" % number)
        assert run(base) == 0
    kept = [path.with_name(f"audit.edited{n}.csv").read_bytes() for n in ("", "-2", "-3")]
    assert [data.splitlines()[-1] for data in kept] == [b"note 0", b"note 1", b"note 2"]


def test_a_workbook_of_somebody_else_is_in_nobodys_way(base: Path) -> None:
    path = base / "out" / "audit.xlsx"
    assert run(base) == 0
    path.write_bytes(FOREIGN["audit.xlsx"])
    assert run(base) == 0
    assert cli.main(["audit", str(base / "out")]) == 0
    assert path.read_bytes() == FOREIGN["audit.xlsx"]
    assert run(base, "--overwrite") == 0
    assert path.with_name("audit.edited.xlsx").read_bytes() == FOREIGN["audit.xlsx"]
    assert not path.exists()
    assert cli.main(["audit", str(base / "out"), "--xlsx"]) == 0
    assert zipfile.is_zipfile(path)


def test_a_copy_of_a_folder_is_gone_on_with_in_silence(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(base) == 0
    shutil.copytree(base / "out", base / "copy", copy_function=shutil.copyfile)  # other times
    shutil.rmtree(base / "out")
    (base / "copy").rename(base / "out")
    names = set(files_of(base / "out"))
    capsys.readouterr()
    assert run(base) == 0
    assert "kept as" not in capsys.readouterr().err
    assert set(files_of(base / "out")) == names


@pytest.mark.parametrize("name", ["finished", "merged_in_part"])
def test_a_folder_of_an_earlier_version_is_gone_on_with_in_silence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    copy_earlier(tmp_path)
    (tmp_path / name / "audit.html").write_text("<!doctype html>\n<title>detic-crop audit</title>")
    if name == "finished":
        assert cli.main([*RUN, "--out", name, "--labels", "labels.csv"]) == 0
    else:
        assert cli.main(["merge", name, "--partial"]) == 0
    assert "kept as" not in capsys.readouterr().err
    assert not list((tmp_path / name).glob("*.edited*"))


def test_a_table_of_another_run_in_an_empty_folder_is_kept(base: Path) -> None:
    assert run(base) == 0
    table = (base / "out" / "audit.csv").read_bytes()
    shutil.rmtree(base / "out")
    (base / "out" / STATE).mkdir(parents=True)
    (base / "out" / "audit.csv").write_bytes(table + b"mine\n")
    assert run(base) == 0
    assert (base / "out" / "audit.edited.csv").read_bytes() == table + b"mine\n"


def test_what_somebody_put_among_the_rejected_crops_stays(base: Path) -> None:
    out = base / "out"
    assert run(base) == 0
    give_verdicts(out, dict.fromkeys(list(records_of(out))[:2], "rejected"))
    assert cli.main(["apply", str(out)]) == 0
    folder = out / STATE / "rejected"
    ours = set(files_of(folder))
    assert len(ours) == 2
    (folder / "notes.txt").write_text("why")
    write_photo(folder / "day9" / "mine.jpg")
    write_photo(folder / "day9" / "mine.jpg.rejected")
    theirs = {name: data for name, data in files_of(folder).items() if name not in ours}
    give_verdicts(out, {next(iter(records_of(out))): "undone"})
    for command in (["apply", str(out)], ["audit", str(out)]):
        assert cli.main(command) == 0
    assert run(base) == 0
    assert len(set(files_of(folder)) & ours) == 1
    assert run(base, "--overwrite", "--discard-review") == 0
    assert files_of(folder) == theirs


@pytest.mark.parametrize("at", range(1, 8))
def test_an_edited_table_and_an_end_at_any_moment_lose_nothing(
    at: int, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = base / "out" / "audit.csv"
    assert run(base) == 0
    plain = path.read_bytes()
    path.write_bytes(plain + b"note\n")
    replace, done = os.replace, count(1)

    def dying(*given: Any, **more: Any) -> None:
        if next(done) == at:
            raise KeyboardInterrupt
        replace(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        cli.main(["audit", str(base / "out")])
    assert run(base) == 0
    assert path.read_bytes() == plain
    (kept,) = path.parent.glob("audit.edited*.csv")
    assert kept.read_bytes() == plain + b"note\n"


@posix
def test_a_pipe_in_the_place_of_a_table_is_refused(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base) == 0
    (base / "out" / "audit.csv").unlink()
    os.mkfifo(base / "out" / "audit.csv")
    assert run(base) == 2
    complained("strange_state", capsys.readouterr().err)


@pytest.mark.parametrize("name", ["audit.csv", "written.json"])
def test_a_table_that_cannot_be_read_is_said_to_be_that(
    base: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Not that a person has changed it, and not that it cannot be written."""
    assert run(base) == 0
    out = base / "out"
    before = (out / "audit.csv").read_bytes()
    real = Inside.open_read

    def open_read(inside: Inside, path: Path) -> io.FileIO:
        if path.name == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(inside, path)

    with monkeypatch.context() as patch:
        patch.setattr(Inside, "open_read", open_read)
        with refused("cannot_read_output", names=[name]):
            api.write_audit(out)
    assert api.write_audit(out).counts.total() == 6
    assert (out / "audit.csv").read_bytes() == before
    assert not list(out.glob("*edited*"))
