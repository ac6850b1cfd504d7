"""Those who read the output: trainers, pandas, cv2, Pillow."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import detic_crop
from detic_crop import api
from detic_crop.boxes.detections import Detections
from tests.kit.detectors import FakeDetector, fake_boxes
from tests.kit.folders import crop, files_of, rows_of
from tests.kit.photos import picture, write_damaged, write_photo, write_photos

pytestmark = pytest.mark.slow

SIZE = 24


@pytest.fixture(scope="module")
def cropped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with labels, of which one has no photo, and with broken photos."""
    folder = tmp_path_factory.mktemp("consumers")
    keys = [*write_photos(folder / "in", 14), *write_damaged(folder / "in")]
    lines = [f"{key},{n % 3}" for n, key in enumerate(reversed(keys))]
    (folder / "train.csv").write_text("\n".join(["image,individual_id", *lines, "gone.jpg,7"]))
    crop(folder / "in", folder / "cropped", labels=folder / "train.csv", size=SIZE)
    return folder / "cropped"


class Crops(Dataset[tuple[torch.Tensor, int]]):
    """What a user writes on a Monday morning."""

    def __init__(self, folder: Path) -> None:
        table = pd.read_csv(folder / "audit.csv")
        self.folder = folder
        self.table = table[table.status.isin(["cropped", "resized"])].reset_index(drop=True)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        row = self.table.iloc[index]
        image = cv2.imread(str(self.folder / row.crop))
        assert image is not None
        return torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1), int(row.individual_id)


def test_a_torch_dataset_over_the_folder(cropped: Path) -> None:
    dataset = Crops(cropped)
    assert len(dataset) == 14
    batches = list(DataLoader(dataset, batch_size=4))
    assert [tuple(images.shape) for images, _ in batches][:3] == [(4, 3, SIZE, SIZE)] * 3
    assert all(images.dtype == torch.uint8 for images, _ in batches)
    assert torch.cat([labels for _, labels in batches]).tolist() == [
        int(row["individual_id"]) for row in rows_of(cropped) if row["status"] != "failed"
    ]


def test_a_loader_that_aligns_by_row(cropped: Path) -> None:
    labels = pd.read_csv(cropped.parent / "train.csv")
    audit = pd.read_csv(cropped / "audit.csv")
    assert len(labels) == len(audit)
    assert (labels.image == audit.image).all()
    assert (labels.individual_id == audit.individual_id).all()
    assert audit.status.iloc[-1] == "failed"
    assert audit.reason.iloc[-1] == "missing_file"


def test_the_one_liner_for_boxes(cropped: Path) -> None:
    boxes = pd.read_csv(cropped / "audit.csv").box.map(
        lambda s: list(map(int, s.split())) if s == s else None
    )
    table = api.read_audit(cropped)
    assert len(boxes) == len(table) == 19
    assert table.box.tolist() == [box if isinstance(box, list) else None for box in boxes]
    for row, box in zip(rows_of(cropped), table.box, strict=True):
        assert (box is not None) == (row["status"] == "cropped")
        if box:
            left, top, right, bottom = box
            assert 0 <= left < right <= 60
            assert 0 <= top < bottom <= 40


def test_read_audit_without_any_box(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 3)
    crop(tmp_path / "in", tmp_path / "out", conf=1.0)
    table = api.read_audit(tmp_path / "out")
    assert table.box.tolist() == [None] * 3
    assert table.crop_box.tolist() == [[0, 0, 60, 40]] * 3
    boxes = pd.read_csv(tmp_path / "out" / "audit.csv").box.map(
        lambda s: list(map(int, s.split())) if s == s else None
    )
    assert boxes.isna().all()


def test_read_audit_keeps_text_as_it_stands(tmp_path: Path) -> None:
    for seed, name in enumerate(("NA.jpg", "007.jpg", "null.jpg")):
        write_photo(tmp_path / "in" / name, seed)
    (tmp_path / "labels.csv").write_text("image,individual\nNA,007\n007,NA\nnull,1e5\n")
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "labels.csv")
    table = api.read_audit(tmp_path / "out")
    assert table.image.tolist() == ["NA", "007", "null"]


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
@pytest.mark.parametrize("fit", ["stretch", "pad", "square"])
def test_cv2_and_pillow_read_every_crop(tmp_path: Path, format: str, fit: str) -> None:
    write_photos(tmp_path / "in", 6)
    write_photo(tmp_path / "in" / "flat.png", 1, width=300, height=2)
    write_photo(tmp_path / "in" / "dot.png", 2, width=1, height=1)
    cv2.imwrite(str(tmp_path / "in" / "grey.png"), picture(3)[:, :, 0])
    crop(tmp_path / "in", tmp_path / "out", size=SIZE, fit=fit, format=format)
    crops = [row["crop"] for row in rows_of(tmp_path / "out")]
    assert len(crops) == 9
    for name in crops:
        path = tmp_path / "out" / name
        assert path.suffix == f".{format}"
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        assert pixels.shape == (SIZE, SIZE, 3)
        assert pixels.dtype == np.uint8
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == (FORMATS[format], "RGB", (SIZE, SIZE))
            assert np.asarray(image).shape == (SIZE, SIZE, 3)


FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_crops_tell_no_place_and_no_date(tmp_path: Path, format: str) -> None:
    exif = Image.Exif()
    exif[0x0110] = "SecretCamera"
    exif[0x0132] = "2022:04:16 12:00:00"
    exif.get_ifd(0x8825).update({1: "N", 2: (54.0, 10.0, 3.0), 3: "E", 4: (12.0, 5.0, 9.0)})
    (tmp_path / "in").mkdir()
    for name in ("gps.jpg", "gps.png", "gps.webp"):
        photo = Image.fromarray(picture(5))
        photo.save(tmp_path / "in" / name, exif=exif, icc_profile=b"profile", comment=b"SecretComment")
        with Image.open(tmp_path / "in" / name) as again:
            assert again.getexif().get_ifd(0x8825)[1] == "N"  # it was there
    crop(tmp_path / "in", tmp_path / "out", format=format)
    for row in rows_of(tmp_path / "out"):
        path = tmp_path / "out" / row["crop"]
        with Image.open(path) as image:
            assert dict(image.getexif()) == {}
            assert not {"exif", "icc_profile", "comment", "xmp"} & set(image.info)
        data = path.read_bytes()
        assert not [word for word in (b"Exif", b"EXIF", b"Secret", b"2022") if word in data]
    assert not any(b"SecretCamera" in data for data in files_of(tmp_path / "out").values())


def test_photos_are_turned_upright_first(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    Image.fromarray(picture(5)[:, :, ::-1]).save(tmp_path / "in" / "turned.png", exif=exif)
    crop(tmp_path / "in", tmp_path / "out", conf=1.0, size=40, format="png")
    (row,) = rows_of(tmp_path / "out")
    assert (row["width"], row["height"], row["crop_box"]) == ("40", "60", "0 0 40 60")


def test_pixels_are_those_of_the_box(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.png", 3, width=800, height=600)
    crop(tmp_path / "in", tmp_path / "out", format="png", size=16, classes="any", conf=0.0)
    (row,) = rows_of(tmp_path / "out")
    left, top, right, bottom = map(int, row["box"].split())
    x1, y1, x2, y2 = map(int, row["crop_box"].split())
    assert min(right - left, bottom - top) > 32
    grown = (right - left) * 0.1
    assert x1 == pytest.approx(max(0, left - grown), abs=2)
    assert x2 == pytest.approx(min(800, right + grown), abs=2)
    made = cv2.imread(str(tmp_path / "out" / row["crop"]))
    assert made is not None
    expected = cv2.resize(picture(3, 800, 600)[y1:y2, x1:x2], (16, 16), interpolation=cv2.INTER_AREA)
    assert (made == expected).all()


def test_a_crop_in_memory_is_that_of_a_run(tmp_path: Path) -> None:
    for seed in range(5):
        write_photo(tmp_path / "in" / f"{seed}.png", seed, width=200, height=100)
    crop(tmp_path / "in", tmp_path / "out", format="png", size=16, classes="any", fit="square", scale=1.5)
    for row in rows_of(tmp_path / "out"):
        image = picture(int(row["image"][0]), 200, 100)
        boxes = fake_boxes(row["image"], 200, 100)
        result = api.crop_photo(image, boxes, size=16, conf=0.3, fit="square", scale=1.5)
        assert result.status == row["status"]
        assert " ".join(map(str, result.crop_box)) == row["crop_box"]
        made = cv2.imread(str(tmp_path / "out" / row["crop"]))
        assert made is not None
        assert (result.crop == made).all()


def test_a_crop_in_memory_takes_what_a_run_takes_by_default(tmp_path: Path) -> None:
    """Marine life, and not the largest box of all."""

    class Boats(FakeDetector):
        def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
            boxes = np.array([[0, 0, 60, 40], [5, 5, 20, 20]], np.float32)
            return Detections(boxes, np.array([0.9, 0.8], np.float32), ("Boat", "Whale"))

    result = detic_crop.crop_photo(np.zeros((40, 60, 3), np.uint8), Boats())
    assert result.box == (5, 5, 20, 20)


def test_mistakes_in_a_notebook_are_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(detic_crop.UsageError, match="does the file that was read exist"):
        detic_crop.crop_photo(cv2.imread(str(tmp_path / "nowhere.jpg")), FakeDetector())  # type: ignore[arg-type]
    with pytest.raises(detic_crop.UsageError, match="expected a detector"):
        detic_crop.crop_photo(np.zeros((4, 4, 3), np.uint8), object())  # type: ignore[arg-type]
    with pytest.raises(detic_crop.UsageError, match="does not exist"):
        detic_crop.read_audit(tmp_path)
