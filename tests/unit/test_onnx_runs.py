"""Runs with ``--model onnx:FILE`` on the command line: from photos to crops, continued, in parts, again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detic_crop.cli import main as cli
from tests.kit.errors import complained
from tests.kit.folders import assert_same, product, rows_of
from tests.kit.onnx_models import HEADS, SIDE, ULTRALYTICS, square, v8, write_square

BOXES = {
    "a/one.png": (32, 64, 64, 96),
    "a/two.png": (0, 0, 32, 32),
    "b.png": (96, 32, 128, 64),
    "c.png": (64, 96, 96, 128),
    "d.png": (32, 0, 64, 32),
}
"""Photo → the cell that is red in it."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos in `in`, and squares.onnx."""
    for name in [name for name in os.environ if name.startswith("DETIC_CROP_")]:
        monkeypatch.delenv(name)
    for key, box in BOXES.items():
        write_square(tmp_path / "in" / key, box)
    (tmp_path / "in" / "empty.png").write_bytes(b"")
    v8(tmp_path / "squares.onnx")
    return tmp_path


def run(place: Path, *options: str, out: str = "out") -> int:
    command = ["run", "--in", str(place / "in"), "--out", str(place / out), "--size", "32"]
    return cli.main([*command, "--model", f"onnx:{place / 'squares.onnx'}", *options])


def boxes_of(out: Path) -> dict[str, tuple[int, ...]]:
    return {row["image"]: tuple(map(int, row["box"].split())) for row in rows_of(out) if row["box"]}


def test_a_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place) == 0
    assert boxes_of(place / "out") == BOXES
    rows = {row["image"]: row for row in rows_of(place / "out")}
    assert {row["model"] for row in rows.values()} == {"onnx:squares.onnx"}
    assert rows["b.png"]["class_name"] == "red"
    assert float(rows["b.png"]["score"]) == 1
    assert rows["empty.png"]["status"] == "failed"
    said = capsys.readouterr()
    assert "squares.onnx: YOLOv8 or later, 2 classes (red, blue); photos are shown as 128x128" in (
        said.out + said.err
    )
    settings = json.loads((place / "out" / "run.json").read_text())["settings"]
    assert list(settings["weights"]) == ["squares.onnx"]
    assert settings["classes"] == "any"


@pytest.mark.parametrize("head", sorted(HEADS))
def test_a_run_with_every_head(head: str, place: Path) -> None:
    HEADS[head](place / "squares.onnx")
    assert run(place) == 0
    assert boxes_of(place / "out") == BOXES


def test_the_same_whatever_the_workers_and_shards(place: Path) -> None:
    assert run(place, "--workers", "1") == 0
    reference = product(place / "out")
    assert run(place, "--workers", "3", out="three") == 0
    assert_same(place / "three", reference)
    for shard in ("0/2", "1/2"):
        assert run(place, "--shard", shard, out="parts") == 0
    assert cli.main(["merge", str(place / "parts")]) == 0
    assert boxes_of(place / "parts") == BOXES
    crops = {name: data for name, data in reference.items() if name.endswith(".jpg")}
    assert {name: data for name, data in product(place / "parts").items() if name.endswith(".jpg")} == crops


def test_a_run_is_continued_with_the_same_file_only(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "--limit", "2") == 0
    (place / "in" / "empty.png").unlink()
    assert run(place) == 0
    assert boxes_of(place / "out") == BOXES
    capsys.readouterr()
    v8(place / "squares.onnx", {**ULTRALYTICS, "author": "somebody else"})
    assert run(place) == 2
    assert "squares.onnx" in complained("other_settings", capsys.readouterr().err)
    v8(place / "squares.onnx")
    assert run(place, "--onnx-input", "bgr") == 2
    assert "onnx_input was not given, now 'bgr'" in complained("other_settings", capsys.readouterr().err)
    same = ["run", "--in", str(place / "in"), "--out", str(place / "out"), "--size", "32"]
    assert cli.main(same) == 2
    assert "onnx:squares.onnx" in complained("model_needs_path", capsys.readouterr().err)


def test_recrop_needs_no_model(place: Path) -> None:
    assert run(place) == 0
    (place / "squares.onnx").unlink()
    again = ["recrop", str(place / "out"), "--out", str(place / "again"), "--scale", "2", "--size", "48"]
    assert cli.main(again) == 0
    assert boxes_of(place / "again") == BOXES
    crop = cv2.imread(str(place / "again" / "b.jpg"))
    assert crop is not None
    assert crop.shape == (48, 48, 3)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_boxes_are_of_the_upright_photo(orientation: int, place: Path) -> None:
    upright = cv2.cvtColor(square((0, 64, 64, 96), 192, 128), cv2.COLOR_BGR2RGB)
    stored = np.rot90(upright, {1: 0, 3: 2, 6: 1, 8: 3}[orientation])  # what turns it back is in the EXIF
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(place / "in" / "turned.png", exif=exif)
    v8(place / "squares.onnx", {**ULTRALYTICS, "imgsz": [128, 192]}, width=192, height=128)
    assert run(place) == 0
    row = next(row for row in rows_of(place / "out") if row["image"] == "turned.png")
    assert (row["width"], row["height"]) == ("192", "128")
    # Of the two red cells of the coarsest level one is chosen.
    assert row["box"] in ("0 64 32 96", "32 64 64 96")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_photos_of_every_kind_are_shown(mode: str, place: Path) -> None:
    picture = Image.fromarray(cv2.cvtColor(square(BOXES["b.png"]), cv2.COLOR_BGR2RGB)).convert(mode)
    path = place / "in" / ("kind.png" if mode != "CMYK" else "kind.tif")
    picture.save(path)
    assert run(place) == 0
    row = next(row for row in rows_of(place / "out") if row["image"] == path.name)
    assert row["status"] == ("resized" if mode == "L" else "cropped")  # a grey photo has nothing red
    if mode in ("RGBA", "P"):
        assert row["box"] == "96 32 128 64"


def test_reduced_decoding_gives_the_same_boxes(place: Path) -> None:
    side = 16 * SIDE
    write_square(place / "in" / "large.jpg", (512, 1024, 1024, 1536), side, side)
    assert run(place) == 0
    assert run(place, "--decode", "scaled", out="scaled") == 0
    assert boxes_of(place / "out")["large.jpg"] == (512, 1024, 1024, 1536)
    assert boxes_of(place / "scaled") == boxes_of(place / "out")


def test_classes_of_ones_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = place / "names.txt"
    names.write_text("dolphin\nboat\n")
    write_square(place / "in" / "b.png", BOXES["b.png"])
    blue = square(BOXES["b.png"], colour="blue")
    cv2.imwrite(str(place / "in" / "b.png"), blue)
    assert run(place, "--names", str(names)) == 0
    expected = {key: box for key, box in BOXES.items() if key != "b.png"}
    assert boxes_of(place / "out") == expected  # boats do not count
    assert run(place, "--names", str(names), "--classes", "boat", out="boats") == 0
    assert boxes_of(place / "boats") == {"b.png": BOXES["b.png"]}
    capsys.readouterr()
    assert run(place, "--classes", "whale", out="none") == 2
    assert "red, blue" in complained("unknown_class", capsys.readouterr().err)
    assert not (place / "none").exists()


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        (["--device", "cuda"], "missing_device", "--device cuda"),
        (["--detector-size", "640"], "bad_value", "128x128"),
        (["--onnx-input", "640x640,purple"], "bad_value", "--onnx-input"),
        (["--batch-size", "4"], "bad_value", "at most 1"),
        (["--vocabulary", "coco"], "option_not_applicable", "--vocabulary"),
        (["--names", "nothing.txt"], "unreadable_names", "nothing.txt"),
        (["--conf", "0.01"], "conf_below_floor", "0.05"),
    ],
)
def test_what_is_refused(
    options: list[str], code: str, named: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, *options) == 2
    line = complained(code, capsys.readouterr().err)
    assert named in line
    assert not (place / "out").exists()


def test_a_file_that_is_no_model_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "squares.onnx").write_bytes(b"<html>")
    assert run(place) == 2
    said = capsys.readouterr()
    complained("unusable_onnx_file", said.err)
    assert "Traceback" not in said.err
    begun, _ = said.err.splitlines()
    assert begun.startswith("cropping ")
    assert not (place / "out").exists()


def test_a_dry_run_says_what_is_to_be_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    v8(place / "squares.onnx", {}, n_classes=3)
    assert run(place, "--dry-run") == 0
    said = capsys.readouterr()
    assert "does not name its 3 classes; pass --names TXT" in said.out + said.err
