"""What trainers' own readers find in an output folder: the crops, and nothing else."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.keys import STATE
from tests.kit.folders import crop, rows_of
from tests.kit.photos import write_damaged, write_photo
from tests.kit.verdicts import verdict_log

DOCUMENT = Path(__file__).parents[2] / "docs" / "loaders.md"
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two individuals, one crop rejected, two photos broken, and a run in files and one in tars."""
    folder = tmp_path_factory.mktemp("loaders")
    for number in range(10):
        write_photo(folder / "photos" / f"ID{number % 2}" / f"{number}.jpg", number)
    write_damaged(folder / "photos" / "ID1")
    for out, form in (("cropped", "files"), ("cropped-tars", "tar")):
        crop(folder / "photos", folder / out, out_format=form)
        verdict_log(folder / out).append(Verdict("ID0/0.jpg", "rejected"))
        assert api.apply(folder / out, quiet=True).counts["rejected"] == 1
    return folder


def blocks() -> dict[str, str]:
    """Heading → its code, of the document."""
    parts = re.split(r"^## (.+)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        if code := re.search(r"```python\n(.+?)```", text, flags=re.DOTALL):
            found[heading] = code[1]
    return found


@pytest.mark.parametrize("heading", ["By the table, with pandas", "By the files", "torchvision", "timm"])
def test_the_documented_lines_read_the_crops(
    work: Path, heading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    names: dict[str, Any] = {}
    exec(compile(blocks()[heading], str(DOCUMENT), "exec"), names)
    assert len(names["data"]) == sum(bool(row["crop"]) for row in rows_of(work / "cropped")) == 9


def test_torchvision_has_the_classes_of_the_photos(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    names: dict[str, Any] = {}
    exec(compile(blocks()["torchvision"], str(DOCUMENT), "exec"), names)
    assert names["data"].class_to_idx == {"ID0": 0, "ID1": 1}


@pytest.mark.parametrize("out", ["cropped", "cropped-tars"])
def test_nothing_in_the_state_folder_ends_like_a_picture(work: Path, out: str) -> None:
    paths = list((work / out / STATE).rglob("*"))
    assert [path for path in paths if path.name.endswith(".rejected")] != []
    assert [path for path in paths if path.suffix.lower() in PICTURES] == []


def test_timm_finds_no_rejected_crop(work: Path) -> None:
    timm_data: Any = importlib.import_module("timm.data")
    reader = timm_data.ImageDataset(str(work / "cropped")).reader
    assert reader.class_to_idx == {"ID0": 0, "ID1": 1}
    assert len(reader) == 9
