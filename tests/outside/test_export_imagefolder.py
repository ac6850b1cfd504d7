"""Class folders, as torchvision, timm and Hugging Face datasets read them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from tests.kit.folders import crop, rows_of
from tests.kit.photos import write_photo
from tests.kit.processes import run_python
from tests.kit.verdicts import give_verdict

pytestmark = pytest.mark.slow

SPECIES = ("beluga", "blue whale", "minke/antarctic")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of three species in folders of equal file names, one without a species, one rejected."""
    folder = tmp_path_factory.mktemp("imagefolder")
    lines = ["image,species"]
    for number in range(13):
        key = f"day{number % 3}/Foto ä {number // 3}.jpg"
        write_photo(folder / "in" / key, number, width=90, height=70)
        lines.append(f"{key},{SPECIES[number % 3] if number < 12 else ''}")
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    crop(folder / "in", folder / "cropped", labels=folder / "labels.csv")
    give_verdict(folder / "cropped", "day0/Foto ä 0.jpg", "rejected")
    api.apply(folder / "cropped", quiet=True)
    result = api.export(folder / "cropped", "imagefolder", folder / "out")
    assert (result.count, result.left_out) == (11, {"rejected": 1, "without species": 1})
    return folder / "out"


def expected(exported: Path) -> dict[str, str]:
    """Name of the photo → species, of those with a crop and a species."""
    rows = rows_of(exported.parent / "cropped")
    return {row["image"]: row["species"] for row in rows if row["species"] and row["crop"]}


def test_torchvision(exported: Path) -> None:
    datasets: Any = importlib.import_module("torchvision.datasets")
    data = datasets.ImageFolder(str(exported))
    assert data.classes == ["beluga", "blue whale", "minke_antarctic"]
    assert len(data) == 11
    counts = [sum(target == number for _, target in data.samples) for number in range(3)]
    assert counts == [3, 4, 4]
    assert {image.size for image, _ in data} == {(32, 32)}


def test_timm(exported: Path) -> None:
    timm_data: Any = importlib.import_module("timm.data")
    reader = timm_data.create_dataset("folder", root=str(exported), split="train").reader
    assert reader.class_to_idx == {"beluga": 0, "blue whale": 1, "minke_antarctic": 2}
    assert len(reader) == 11


def test_hugging_face(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own: the library asks the environment once, where its cache is."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    program = f"""
import json
from datasets import load_dataset
data = load_dataset("imagefolder", data_dir={str(exported)!r}, split="train")
data = data.class_encode_column("label")
names = data.features["label"].names
print(json.dumps([
    [row["photo"], row["species"], names[row["label"]], list(row["image"].size), row["box"], row["score"]]
    for row in data
]))
"""
    rows = json.loads(run_python(program).splitlines()[-1])
    assert {photo: species for photo, species, *_ in rows} == expected(exported)
    assert {label for _, _, label, *_ in rows} == set(SPECIES)
    assert all(species == label for _, species, label, *_ in rows)
    table = {row["image"]: row for row in rows_of(exported.parent / "cropped")}
    for photo, _, _, size, box, score in rows:
        assert size == [32, 32]
        assert box == ([int(edge) for edge in table[photo]["box"].split()] or None)
        assert (score is None) == (table[photo]["score"] == "")
