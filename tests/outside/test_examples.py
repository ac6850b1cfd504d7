"""The sample photos are what their script and their table say; the examples run on what they are for."""

from __future__ import annotations

import csv
import importlib
import json
import math
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch.nn import functional

from detic_crop import api
from detic_crop.exports.base import Of
from tests.kit.folders import crop, rows_of
from tests.kit.photos import write_photo

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PHOTOS = EXAMPLES / "train_images"
WITHOUT_ANIMAL = {"boat_only.jpg"}
GPS_TAG = 0x8825


def _committed() -> dict[str, Path]:
    return {path.relative_to(PHOTOS).as_posix(): path for path in PHOTOS.rglob("*") if path.is_file()}


def _pixels(path: Path) -> NDArray[np.int16]:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(np.int16)


def test_the_table_names_every_photo_with_an_animal() -> None:
    with (EXAMPLES / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "species", "individual_id"]
    named = [row["image"] for row in rows]
    assert len(named) == len(set(named))
    assert set(named) == set(_committed()) - WITHOUT_ANIMAL
    assert all(row["species"] and row["individual_id"] for row in rows)


def test_photos_are_small_readable_and_without_position() -> None:
    photos = _committed()
    assert sum(path.stat().st_size for path in photos.values()) <= 2.5e6
    orientations = set()
    for path in photos.values():
        with Image.open(path) as image:
            image.load()
            exif = image.getexif()
        assert GPS_TAG not in exif
        orientations.add(exif.get(0x0112, 1))
    assert orientations == {1, 6}
    assert {path.suffix for path in photos.values()} == {".jpg", ".png"}
    assert any("/" in name for name in photos)


def test_the_script_makes_the_committed_photo(tmp_path: Path) -> None:
    # The way a user does it; far_fin.jpg is the quickest picture with sea, sky, coast and an animal.
    command = [sys.executable, str(EXAMPLES / "make_sample.py"), "far_fin.jpg", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    made, committed = _pixels(tmp_path / "far_fin.jpg"), _pixels(PHOTOS / "far_fin.jpg")
    assert made.shape == committed.shape
    # Another libjpeg, or another processor's sine, differs by a step or two; a changed script by far more. A
    # point that rounding moves to the next pixel may change one block of 8 × 8, hence not quite all.
    assert (np.abs(made - committed) <= 2).mean() > 0.999


@pytest.mark.slow
def test_the_grid_shows_the_crops_as_they_are(tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLES / "make_grid.py"))["main"](tmp_path / "grid.jpg")
    made, committed = _pixels(tmp_path / "grid.jpg"), _pixels(EXAMPLES / "grid.jpg")
    assert made.shape == committed.shape
    # Another processor's rounding may move an edge by a pixel; another box or rendering changes whole crops.
    assert np.abs(made - committed).mean() < 3


def test_the_dataset_skips_failed_rows(tmp_path: Path) -> None:
    for name, colour in (("a.jpg", (255, 0, 0)), ("b.jpg", (0, 0, 255))):
        Image.new("RGB", (8, 8), colour).save(tmp_path / name, quality=95)
    (tmp_path / "audit.csv").write_text(
        "image,species,crop,status\n"
        "a.jpg,killer_whale,a.jpg,cropped\nx.jpg,beluga,,failed\nb.jpg,,b.jpg,resized\n",
        encoding="utf-8",
    )
    crops = runpy.run_path(str(EXAMPLES / "crops_dataset.py"))["Crops"](tmp_path)
    assert len(crops) == 2
    image, label = crops[0]
    assert tuple(image.shape) == (3, 8, 8)
    assert image[0].mean().item() == pytest.approx(1, abs=0.02)  # JPEG's loss
    assert image[2].mean().item() == pytest.approx(0, abs=0.02)
    assert (crops.species, label, crops[1][1]) == (["killer_whale"], 0, -1)


# ---------------------------------------------------------------- what reads our exports


def ran(script: str, *words: str | Path) -> str:
    """What an example prints."""
    command = [sys.executable, str(EXAMPLES / script), *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def labelled(folder: Path, individuals: int = 4, each: int = 5) -> Path:
    """A finished run of photos of some individuals."""
    lines = ["image,species,individual_id"]
    for number in range(individuals * each):
        write_photo(folder / "in" / f"{number:03}.jpg", number)
        lines.append(f"{number:03}.jpg,beluga,{'abcdefg'[number % individuals]}")
    (folder / "labels.csv").write_text("\n".join(lines))
    crop(folder / "in", folder / "cropped", labels=folder / "labels.csv")
    return folder / "cropped"


@pytest.mark.slow
def test_the_training_takes_a_step_on_an_export_with_folds(tmp_path: Path) -> None:
    cropped = labelled(tmp_path)
    api.split(cropped, folds=2, quiet=True)
    api.export(cropped, "imagefolder", tmp_path / "exported")
    held = sum(row["fold"] == "0" for row in rows_of(cropped))
    small = ["--backbone", "resnet10t", "--size", "64", "--batch-size", "4", "--workers", "0", "--steps", "2"]
    said = ran(
        "train_arcface.py", tmp_path / "exported", "--fold", "0", *small, "--out", tmp_path / "model.pt"
    )
    assert said.startswith(
        f"{20 - held} photos of 4 individuals to train on, {held} in fold 0\nepoch 1: loss "
    )
    [loss, score] = map(float, re.findall(r"loss (.*), MAP@5 (.*)", said)[0])
    assert 0 < loss < 40
    assert 0 <= score <= 1
    assert torch.load(tmp_path / "model.pt", weights_only=True)["classes"] == ["a", "b", "c", "d"]


def test_the_training_says_what_an_export_lacks(tmp_path: Path) -> None:
    api.export(labelled(tmp_path, each=1), "imagefolder", tmp_path / "exported")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        ran("train_arcface.py", tmp_path / "exported")
    assert "the export has no folds: run detic-crop split CROPPED first" in failed.value.stderr


def test_arcface_adds_its_margin_to_the_angle_of_the_true_class() -> None:
    head = runpy.run_path(str(EXAMPLES / "train_arcface.py"))["ArcFace"](2, 3, scale=10.0, margin=0.5)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]))
    embeddings = torch.tensor([[5.0, 0.0], [1.0, 1.0], [7.0, 0.0]], requires_grad=True)
    logits = head(embeddings, torch.tensor([0, 1, 2]))
    quarter = math.pi / 4
    expected = [
        [math.cos(0.5), 0.0, -1.0],
        [math.cos(quarter), math.cos(quarter + 0.5), math.cos(3 * quarter)],
        [1.0, 0.0, -1.0],  # the angle is π already: no more is added
    ]
    assert logits.tolist() == [pytest.approx([10 * cosine for cosine in row], abs=0.02) for row in expected]
    torch.autograd.backward(functional.cross_entropy(logits, torch.tensor([0, 1, 2])))
    assert embeddings.grad is not None
    assert bool(torch.isfinite(embeddings.grad).all())


def test_gem_goes_from_the_average_to_the_maximum() -> None:
    gem = runpy.run_path(str(EXAMPLES / "train_arcface.py"))["GeM"]
    features = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert gem(1.0)(features).item() == pytest.approx(3.0)
    assert gem(2.0)(features).item() == pytest.approx(math.sqrt((1 + 4 + 9 + 36) / 4))
    assert gem(30.0)(features).item() == pytest.approx(6.0, rel=0.05)


def test_the_measure_is_that_of_the_competition() -> None:
    precision = runpy.run_path(str(EXAMPLES / "train_arcface.py"))["precision_at_5"]
    known = torch.eye(7)
    names = torch.tensor([0, 0, 1, 2, 3, 4, 5])
    similar = torch.tensor([7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0])  # 0, 0, 1, 2, 3, 4 and 5, in this order
    for answer, expected in ((0, 1.0), (1, 1 / 2), (4, 1 / 5), (5, 0.0)):
        assert precision(known, names, similar[None], torch.tensor([answer])) == pytest.approx(expected)
    both = precision(known, names, similar.repeat(2, 1), torch.tensor([1, -1]))
    assert both == pytest.approx(1 / 2)  # an individual that nobody has taught does not count
    assert math.isnan(precision(known, names, similar[None], torch.tensor([-1])))


def _as_tfrecord_reads(path: Path) -> list[dict[str, Any]]:
    package = importlib.import_module("tfrecord")  # has no types
    features = {"image_name": "byte", "image": "byte", "target": "int", "detic_box": "int"}
    return list(package.tfrecord_loader(str(path), None, features))


@pytest.mark.parametrize("of", ["crops", "photos"])
def test_tfrecords_become_batches(of: Of, tmp_path: Path) -> None:
    cropped = labelled(tmp_path)
    api.export(cropped, "tfrecord", tmp_path / "records", of=of)
    paths = sorted((tmp_path / "records").glob("*-train-*.tfrec"))
    example = runpy.run_path(str(EXAMPLES / "read_tfrecords.py"))
    assert example["count_items"](paths) == 20
    examples = list(example["read_examples"](paths))
    expected = [found for path in paths for found in _as_tfrecord_reads(path)]
    assert len(examples) == len(expected) == 20
    for got, theirs in zip(examples, expected, strict=True):
        assert got.name.encode() == bytes(theirs["image_name"])
        assert [got.target] == theirs["target"].tolist()
        assert list(got.box) == theirs["detic_box"].tolist()
    numbers = json.loads((tmp_path / "records" / "individual_ids.json").read_text())
    who = {row["image"]: numbers[row["individual_id"]] for row in rows_of(cropped)}
    assert {got.name: got.target for got in examples} == who
    with_box = [got for got in examples if got.box[0] >= 0]
    assert (of == "photos" and {got.box for got in examples} > {(-1, -1, -1, -1)}) or with_box
    pictures, targets, names = example["to_batch"](examples, 16)
    assert (tuple(pictures.shape), pictures.dtype, targets.dtype) == (
        (20, 3, 16, 16),
        torch.float32,
        torch.int64,
    )
    assert names == [got.name for got in examples]
    for got, picture in zip(examples, pictures, strict=True):
        left, top, right, bottom = got.box if got.box[0] >= 0 else (0, 0, *got.image.shape[1::-1])
        cut = got.image[top:bottom, left:right]
        assert cut.size
        small = np.asarray(Image.fromarray(cut).resize((16, 16), Image.Resampling.BILINEAR), np.float32) / 255
        back = picture.permute(1, 2, 0).numpy() * (0.229, 0.224, 0.225) + (0.485, 0.456, 0.406)
        assert np.abs(back - small).max() < 1e-5


def test_the_reader_of_tfrecords_is_a_command(tmp_path: Path) -> None:
    api.export(labelled(tmp_path), "tfrecord", tmp_path / "records")
    paths = sorted((tmp_path / "records").glob("*.tfrec"))
    said = ran("read_tfrecords.py", *paths, "--batch", "3", "--size", "24")
    assert said.splitlines()[0] == f"20 examples in {len(paths)} files"
    assert said.splitlines()[1].startswith("first batch (3, 3, 24, 24), targets [")


def test_items_are_counted_by_the_names_of_files() -> None:
    count = runpy.run_path(str(EXAMPLES / "read_tfrecords.py"))["count_items"]
    assert (
        count(["gs://bucket/happywhale-2022-train-00-2061.tfrec", "a/happywhale-2022-train-01-7.tfrec"])
        == 2068
    )


def test_numbers_of_a_record_are_read_as_they_were_written() -> None:
    """Against the encoder of `tfrecord`'s own package, with what Protocol Buffers may hold."""
    example = runpy.run_path(str(EXAMPLES / "read_tfrecords.py"))
    written = importlib.import_module("tfrecord.example_pb2").Example()
    values = [0, 1, -1, 127, 128, 2**62, -(2**63)]
    written.features.feature["numbers"].int64_list.value.extend(values)
    written.features.feature["texts"].bytes_list.value.extend([b"", b"x" * 300, "é".encode()])
    assert example["parse_example"](written.SerializeToString()) == {
        "numbers": values,
        "texts": [b"", b"x" * 300, "é".encode()],
    }
