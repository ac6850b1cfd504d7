"""Names and words of others: NUL stops nothing, and no control character reaches a terminal."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.errors import UsageError
from detic_crop.folder.typed_json import decode_any
from detic_crop.naming import clean_path
from detic_crop.photos.find import discover
from detic_crop.photos.keys import STATE, normalise_key, printable
from detic_crop.photos.location import LocalFile, locate, parse
from detic_crop.wording import visible, visible_lines
from tests.kit.errors import refused
from tests.kit.folders import crop, product, rows_of
from tests.kit.helpers import write
from tests.kit.photos import photo_bytes, write_boxes, write_photo, write_photos, write_tar
from tests.kit.processes import posix
from tests.kit.servers import memory_store, web_server
from tests.kit.verdicts import give_verdict

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\nFORGED\tline\x7f\x9b31m\u202egpj.\u2066\u2028end"
"""Sets the title, clears the screen, forges a line, colours, turns the order of what follows."""

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


# ---------------------------------------------------------------- NUL


def test_nul_is_spelled_in_keys_and_nothing_else_changes() -> None:
    assert normalise_key("a\0b/c\0.jpg") == "a%00b/c%00.jpg"
    assert normalise_key("\0") == "%00"
    for kept in ("new\nline.jpg", HOSTILE + ".jpg", "a%00b.jpg", "é\u2028.jpg"):
        assert normalise_key(kept) == kept
    assert printable("\udce9\0é") == "%E9%00é"
    assert clean_path("./in//a\0b.jpg") == "in/a%00b.jpg"
    assert clean_path("https://example.org/a%00b.jpg") == "example.org/a%00b.jpg"


@pytest.mark.parametrize("read", [parse, locate])
def test_no_location_on_this_machine_has_a_nul(read: Callable[[str], Any]) -> None:
    assert read("photos\0/b.jpg") == LocalFile("photos%00/b.jpg")
    assert read("file:///photos/a%00b.jpg") in (
        LocalFile("/photos/a%00b.jpg"),
        parse("file:///photos/a%00b.jpg"),
    )


def test_a_list_with_nul_gives_a_row_each(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg")
    (tmp_path / "list.csv").write_bytes(b'path\nin/a.jpg\n"in/sub\0dir/q.jpg"\n"in/q\0.jpg"\n"\0"\n')
    for out in ("one", "one", "two"):
        crop(tmp_path / "list.csv", tmp_path / out)
    reasons = {row["image"]: row["reason"] for row in rows_of(tmp_path / "one")}
    missing = ["in/sub%00dir/q.jpg", "in/q%00.jpg", "%00"]
    assert reasons == {"in/a.jpg": reasons["in/a.jpg"], **dict.fromkeys(missing, "missing_file")}
    assert product(tmp_path / "one") == product(tmp_path / "two")


def test_a_web_list_with_nul(tmp_path: Path) -> None:
    with web_server({"/a\0b/c.jpg": photo_bytes(1)}) as web:
        (tmp_path / "list.txt").write_text(f"{web.address}/a%00b/c.jpg\n{web.address}/x%00/y.jpg\n")
        crop(tmp_path / "list.txt", tmp_path / "out")
    keys = {row["image"].partition("/")[2]: row["reason"] for row in rows_of(tmp_path / "out")}
    assert keys["x%00/y.jpg"] == "missing_file"
    assert keys["a%00b/c.jpg"] not in ("missing_file", "")


def test_a_tar_file_with_nul(tmp_path: Path) -> None:
    write_tar(tmp_path / "in.tar", {"a\0b/../q\0é.jpg": photo_bytes(1), "plain.jpg": photo_bytes(2)})
    result = crop(tmp_path / "in.tar", tmp_path / "out")
    assert result.counts["failed"] == 0
    assert [row["image"] for row in rows_of(tmp_path / "out")] == ["a%00b/q%00é.jpg", "plain.jpg"]
    assert (tmp_path / "out" / "a%00b").is_dir()


def test_labels_and_boxes_with_nul_find_their_photo(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a%00b.jpg")
    (tmp_path / "labels.csv").write_bytes(b'image,species\n"a\0b.jpg",whale\0\n')
    coco = {
        "images": [{"id": 1, "file_name": "a\0b.jpg", "width": 60, "height": 40}],
        "categories": [{"id": 1, "name": "Whale"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 20]}],
    }
    boxes = write(tmp_path / "boxes.json", json.dumps(coco).encode())
    settings = {"detector": None, "model": f"boxes:{boxes}", "labels": tmp_path / "labels.csv"}
    crop(tmp_path / "in", tmp_path / "out", **settings)
    (row,) = rows_of(tmp_path / "out")
    assert (row["image"], row["species"]) == ("a\0b.jpg", "whale\0")
    assert row["status"] == "cropped"


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"])
def test_files_that_cannot_be(tmp_path: Path, name: str) -> None:
    write_photo(tmp_path / "in" / "a.jpg")
    boxes = write_boxes(tmp_path / "boxes.csv", ["a.jpg"])
    for code, settings in {
        "labels_unreadable": {"labels": name},
        "unreadable_boxes": {"model": f"boxes:{name}"},
        "missing_weights": {"model": "detic-r18", "weights_file": name},
    }.items():
        with refused(code):
            crop(
                tmp_path / "in", tmp_path / "out", **{"detector": None, "model": f"boxes:{boxes}"} | settings
            )


def test_folders_with_nul_are_refused(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg")
    crop(tmp_path / "in", tmp_path / "out")
    calls: list[Callable[[], object]] = [
        lambda: crop(tmp_path / "in", "a\0b"),
        lambda: crop(tmp_path / "in", "a\ud800b"),
        lambda: crop(tmp_path / "in", "memory://a\0b"),
        lambda: api.recrop("a\0b", tmp_path / "other"),
        lambda: api.recrop(tmp_path / "out", "a\0b"),
        lambda: api.write_audit("a\0b"),
        lambda: api.apply("a\0b"),
        lambda: api.merge("a\0b"),
        lambda: api.review("a\0b"),
    ]
    for call in calls:
        with refused("no_path", UsageError):
            call()
    for name in ("a\0b", "a\ud800"):
        with refused("missing_input", UsageError):
            discover(name)


@pytest.mark.parametrize("host", ["a\0b", "é" * 80, "a..b"])
def test_hosts_that_are_none(host: str) -> None:
    from detic_crop.web.server import listen

    with refused("host_unusable", UsageError):
        listen(host, 0)


# ---------------------------------------------------------------- control characters


def test_visible() -> None:
    assert visible("a\x1b[2J\r\n\t\0\x7f\x9b\u202e\u2066\u2028é鯨🐋") == (
        "a\\x1b[2J\\r\\n\\t\\x00\\x7f\\x9b\\u202e\\u2066\\u2028é鯨🐋"
    )
    assert visible_lines("one\ttwo\nthree\r\x1b") == "one\ttwo\nthree\\r\\x1b"
    assert CONTROLS.search(visible("".join(map(chr, range(0x3000))))) is None
    assert "\n" not in visible("".join(map(chr, range(0x3000))))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, folders, tables, boxes and tar files whose names and words are hostile."""
    root = tmp_path_factory.mktemp("hostile")
    names = [f"{HOSTILE}{number}.jpg" for number in range(3)]
    keys = [*names, f"{HOSTILE}/{names[0]}"]
    for key in keys:
        write_photo(root / "in" / key)
    (root / "in" / f"bad{HOSTILE}.jpg").write_bytes(b"no photo")
    (root / "in" / f"other{HOSTILE}.txt").write_bytes(b"")
    write_boxes(root / "boxes.csv", keys)
    boxes = (root / "boxes.csv").read_bytes().replace(b"Dolphin", f'"Dolphin{HOSTILE}"'.encode())
    write(root / f"boxes{HOSTILE}.csv", boxes)
    quoted = '"' + names[0] + '"'
    (root / "labels.csv").write_text(
        f'image,"{HOSTILE}"\n{quoted},"{HOSTILE}"\n"gone{HOSTILE}",x\n', newline=""
    )
    write_tar(root / f"photos{HOSTILE}.tar", {key: photo_bytes(1) for key in [*keys, keys[0]]})
    (root / f"list{HOSTILE}.csv").write_text(f'path\n"in/{names[0]}"\n"gone/{HOSTILE}"\n', newline="")
    return root


def commands(root: Path) -> list[list[str]]:
    """Every command, with hostile words wherever it takes or meets some."""
    out = str(root / f"out{HOSTILE}")
    run = ["run", "--size", "32", "--model", f"boxes:{root / 'boxes.csv'}", "--in", str(root / "in")]
    return [
        [*run, "--out", out, "--dry-run"],
        [*run, "--out", out, "--profile", "--labels", str(root / "labels.csv")],
        [*run, "--out", out, "--size", "48"],
        [*run, "--out", out, "--size", HOSTILE],
        [*run, "--out", out, "--classes", HOSTILE],
        [*run, "--out", out, "--" + HOSTILE],
        [*run, "--out", out, HOSTILE],
        [HOSTILE],
        [*run[:-2], "--in", str(root / HOSTILE), "--out", out],
        [*run[:-2], "--in", str(root / f"list{HOSTILE}.csv"), "--out", str(root / "of_list")],
        [*run[:-2], "--in", str(root / f"photos{HOSTILE}.tar"), "--out", str(root / "of_tar")],
        [
            *run,
            "--model",
            f"boxes:{root / f'boxes{HOSTILE}.csv'}",
            "--classes",
            "any",
            "--out",
            str(root / "any"),
        ],
        [*run, "--model", HOSTILE, "--out", str(root / "none")],
        [*run, "--shard", "0/2", "--out", str(root / f"shards{HOSTILE}")],
        ["merge", str(root / f"shards{HOSTILE}")],
        ["merge", "--partial", str(root / f"shards{HOSTILE}")],
        [*run, "--shard", "1/2", "--out", str(root / f"shards{HOSTILE}")],
        ["merge", str(root / f"shards{HOSTILE}")],
        ["apply", out, "--dry-run"],
        ["apply", out],
        ["audit", out, "--sample", "2"],
        ["audit", out, "--xlsx"],
        ["recrop", out, "--size", "24", "--out", str(root / f"again{HOSTILE}")],
        ["recrop", str(root / HOSTILE), "--out", str(root / "none")],
        ["review", str(root / HOSTILE)],
        ["weights", "list"],
        ["weights", "path"],
        ["weights", "path", HOSTILE],
        ["weights", "pull", HOSTILE],
        ["weights", "pull", "openimages", "--mirror", HOSTILE],
        ["weights", "verify", "detic-r18"],
        ["weights", "verify"],
        ["weights", "rm", "openimages"],
    ]


@posix
def test_no_command_prints_a_control_character(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path / f"weights{HOSTILE}"))
    (tmp_path / f"weights{HOSTILE}").mkdir()
    for number, arguments in enumerate(commands(place)):
        if arguments[:1] == ["apply"]:
            give_verdict(place / f"out{HOSTILE}", f"{HOSTILE}0.jpg", ("rejected", "undone")[number % 2])
        cli.main(arguments)
        for said in capsys.readouterr():
            shown = re.sub(r"\r(?=cropping)", "", said)  # of the progress bar
            assert CONTROLS.search(shown) is None, (arguments, shown)
            assert "\nFORGED" not in shown, (arguments, shown)


def test_logged_words_stay_on_their_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(*arguments: object, **options: object) -> int:
        logging.getLogger("detic_crop.anything").warning("a server said %s", HOSTILE)
        sys.stderr.write(f"a library said {HOSTILE}\n")
        return 0

    monkeypatch.setattr(cli.cli, "main", warn)
    cli.main([])
    logged, printed = capsys.readouterr().err.split("\n", 1)
    assert "FORGED" in logged
    assert CONTROLS.search(logged + printed) is None


OUR_COLOURS = re.compile(r"\x1b\[(?:0|1|31|33)m")  # as the commands print them on a terminal


@posix
@pytest.mark.slow
def test_nothing_raw_on_a_terminal(place: Path, tmp_path: Path) -> None:
    """The same in a process with a terminal of its own, which a traceback would reach, too."""
    import pty

    program = (
        "import sys; from detic_crop.cli.main import main, cli\n"
        f"@cli.command('fail')\ndef fail():\n    raise RuntimeError({HOSTILE!r})\n"
        "sys.exit(main())"
    )
    out = str(place / "on_a_terminal")
    run = ["run", "--size", "32", "--model", f"boxes:{place / 'boxes.csv'}", "--in", str(place / "in")]
    for arguments, code in (([*run, "--out", out], 0), ([*run, "--out", out, HOSTILE], 2), (["fail"], 1)):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        assert process.wait() == code, said
        shown = said.decode().replace("\r\n", "\n")
        plain = re.sub(r"\r(?=cropping)", "", OUR_COLOURS.sub("", shown))
        assert CONTROLS.search(plain) is None, shown
        assert code == 1 or "\nFORGED" not in shown  # a traceback has lines of its own


# ---------------------------------------------------------------- JSON

DEEP = b"[" * 100_000


def test_json_deeper_than_python_goes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fewer levels"):
        decode_any(DEEP)
    write_photos(tmp_path / "in", 3)
    crop(tmp_path / "in", tmp_path / "out", shard="0/1")
    state = tmp_path / "out" / STATE
    for path in [*state.rglob("run.json"), *state.rglob("lock-owner.json")]:
        path.write_bytes(DEEP)
    api.merge(tmp_path / "out")
    (tmp_path / "out" / "run.json").write_bytes(DEEP)
    with refused("table_of_run"):
        discover(tmp_path / "out" / "audit.csv")


@pytest.mark.parametrize(
    "members", [DEEP.decode(), '{"a.jpg": [-1, 5]}', '{"a.jpg": ["0", "5"]}', '{"a.jpg": 5}', "[]", "{}"]
)
def test_an_index_of_a_tar_file_that_was_changed(tmp_path: Path, members: str) -> None:
    write_photos(tmp_path / "in", 3)
    with memory_store() as store:
        crop(tmp_path / "in", "memory://out", out_format="tar")
        address = "memory://out/.detic-crop/tars/crops-00000.tar.json"
        index = json.loads(store.read(address))
        text = json.dumps(index | {"members": None}).replace("null", members)
        store.write(address, text.encode())
        result = crop(tmp_path / "in", "memory://out", out_format="tar")
    assert result.counts["failed"] == 0
    assert result.skipped == 3
