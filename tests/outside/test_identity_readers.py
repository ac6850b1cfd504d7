"""Packages that identify individuals read our exports: wildlife-datasets, wildlife-tools, pyseter, MiewID.

The first three are installed, and their own classes and functions called; of MiewID, which is no package,
the rules of its reader are written again.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from detic_crop import api
from detic_crop.exports.base import Of
from detic_crop.folder.verdict_lines import Verdict
from tests.kit.sightings import BRIGHT, LABELS, crop_sightings
from tests.kit.verdicts import verdict_log

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:.*decoding and encoding capabilities of TorchVision:DeprecationWarning"
    ),
]

KNOWN = sorted(key for key, cells in LABELS.items() if cells[0] in ("anna", "berta", "007"))
WIDTH, HEIGHT = BRIGHT[2] - BRIGHT[0], BRIGHT[3] - BRIGHT[1]


@pytest.fixture(scope="module")
def cropped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_sightings(tmp_path_factory.mktemp("sightings"), animals="all", encounter="trip")


def package(name: str) -> Any:
    """A package that the tests do not need typed; it may warn of what it imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def wildlife_datasets() -> Iterator[Any]:
    """Their package without the modules of single data sets, which need what downloads and reads these."""
    for name in ("wildlife_datasets", "wildlife_datasets.datasets"):
        found = importlib.util.find_spec(name)
        assert found is not None
        sys.modules[name] = module = types.ModuleType(name)
        module.__path__ = list(found.submodule_search_locations or ())
    parts = types.SimpleNamespace(
        datasets=package("wildlife_datasets.datasets.datasets"), splits=package("wildlife_datasets.splits")
    )
    yield parts
    for name in [name for name in sys.modules if name.partition(".")[0] == "wildlife_datasets"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def metadata(cropped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of photos for WildlifeDatasets."""
    out = tmp_path_factory.mktemp("wildlife") / "out"
    api.export(cropped, "wildlife", out)
    return out


def dataset_of(wildlife_datasets: Any, root: Path, **settings: Any) -> Any:
    """A data set of theirs as docs/export.md shows it: boxes become lists, and they check the table."""

    def create_catalogue(self: Any) -> pd.DataFrame:
        table = pd.read_csv(os.path.join(self.root, "metadata.csv"))
        table["bbox"] = table["bbox"].map(json.loads)
        checked: pd.DataFrame = self.finalize_catalogue(table)
        return checked

    base = wildlife_datasets.datasets.WildlifeDataset
    return type("Cropped", (base,), {"create_catalogue": create_catalogue})(str(root), **settings)


def assert_bright(image: Image.Image | np.ndarray) -> None:
    """The animal fills the picture."""
    assert np.asarray(image)[3:-3, 3:-3].mean() > 200


def is_whole(row: Any) -> bool:
    """Not the photo of which half is missing, nor the one of two."""
    return row["photo"] not in ("cut.jpg", "two.jpg")


@pytest.mark.parametrize("of", ["photos", "crops"])
def test_wildlife_datasets_loads_the_animals(
    wildlife_datasets: Any, cropped: Path, tmp_path: Path, of: Of
) -> None:
    """It checks columns, types, unique ids, that files exist and how they are called; then it crops."""
    api.export(cropped, "wildlife", tmp_path / "out", of=of)
    dataset = dataset_of(wildlife_datasets, tmp_path / "out", img_load="bbox", load_label=True)
    assert len(dataset) == len(LABELS) + 1
    for number, row in dataset.df.iterrows():
        image, label = dataset[number]
        assert label == row["identity"]
        if is_whole(row):
            assert_bright(image)
            assert of == "crops" or image.size == (WIDTH, HEIGHT)
    full = dataset_of(wildlife_datasets, tmp_path / "out", img_load="full")
    assert {full[number].size for number in range(len(full))} == {(120, 80) if of == "photos" else (64, 64)}
    assert dataset_of(wildlife_datasets, tmp_path / "out", img_load="auto").img_load == "bbox"


def test_wildlife_datasets_knows_who_is_unknown_and_splits(wildlife_datasets: Any, metadata: Path) -> None:
    everybody = dataset_of(wildlife_datasets, metadata)
    known = dataset_of(wildlife_datasets, metadata, remove_unknown=True)
    assert len(everybody) - len(known) == 3
    assert set(known.df["identity"]) == {"anna", "berta", "007"}
    splits = wildlife_datasets.splits
    ((train, test),) = splits.ClosedSetSplit(0.5).split(known.df)
    assert set(known.df.loc[train, "identity"]) == set(known.df.loc[test, "identity"])
    assert not set(train) & set(test)
    ((train, test),) = splits.DisjointSetSplit(n_class_test=1).split(known.df)
    assert not set(known.df.loc[train, "identity"]) & set(known.df.loc[test, "identity"])
    dated = everybody.df[everybody.df["date"].notna()]
    assert pd.to_datetime(dated["date"]).dt.strftime("%Y-%m-%d").tolist() == dated["date"].tolist()
    later = splits.TimeCutoffSplit(2019).split(known.df)
    assert len(later) == 1


def test_wildlife_tools_loads_the_animals(metadata: Path) -> None:
    data = package("wildlife_tools.data")
    kind = getattr(data, "ImageDataset", None) or data.WildlifeDataset  # as later versions call it
    table = pd.read_csv(metadata / "metadata.csv")
    dataset = kind(table, str(metadata), img_load="bbox")
    assert dataset.num_classes == 4
    for number, row in table.iterrows():
        image, label = dataset[number]
        assert dataset.labels_map[label] == row["identity"]
        if is_whole(row):
            assert image.size == (WIDTH, HEIGHT)
            assert_bright(image)


def miewid_reads(csv: Path, images: Path, at_least: int) -> pd.DataFrame:
    """What MiewID's `preprocess_data` makes of a table, by its rules, in words of our own."""
    table = pd.read_csv(csv)
    table["bbox"] = table[["x", "y", "w", "h"]].to_numpy().tolist()
    table["name"] = [str(name) for name in table["name"]]
    table["name_species"] = table["name"] + "_" + table["species"]
    table = table.groupby("name_species").filter(lambda group: len(group) >= at_least)
    table["label"] = np.unique(table["name"], return_inverse=True)[1]
    table["file_path"] = [os.path.join(images, name) for name in table["file_name"]]
    return table.reset_index(drop=True)


def test_miewid_reads_the_annotations(cropped: Path, tmp_path: Path) -> None:
    api.export(cropped, "miewid", tmp_path / "out")
    stated = pd.read_csv(tmp_path / "out" / "annotations.csv")["file_path"].tolist()
    table = miewid_reads(tmp_path / "out" / "annotations.csv", tmp_path / "out" / "images", 1)
    assert table["file_path"].tolist() == stated
    assert sorted(set(table["photo"])) == KNOWN
    assert sorted(set(table["name"])) == ["007", "anna", "berta"]
    assert table["label"].nunique() == 3
    for _, row in table.iterrows():
        with Image.open(row["file_path"]) as file:
            pixels = np.array(file.convert("RGB"))
        x, y, w, h = (max(0, int(edge)) for edge in row["bbox"])
        assert abs(row["theta"]) < 0.1
        chip = pixels[y : y + h, x : x + w]
        assert min(chip.shape) >= 1
        if is_whole(row):
            assert chip.shape == (HEIGHT, WIDTH, 3)
            assert_bright(chip)
    several = miewid_reads(tmp_path / "out" / "annotations.csv", tmp_path / "out" / "images", 2)
    assert set(several["name_species"]) == {"anna_humpback_whale", "berta_killer_whale"}


def test_viewpoints_of_a_review_reach_their_readers(wildlife_datasets: Any, tmp_path: Path) -> None:
    out = crop_sightings(tmp_path)
    said = {"day 1/Wal ä.jpg": "top", "con.jpg": "fluke", "flat.tif": "left"}
    for key, viewpoint in said.items():
        verdict_log(out).append(Verdict(key, "undone", viewpoint=viewpoint))
    api.apply(out, quiet=True)
    api.export(out, "wildlife", tmp_path / "wildlife")
    table = dataset_of(wildlife_datasets, tmp_path / "wildlife").df.set_index("photo")
    assert table.loc[list(said), "position"].to_dict() == said
    assert table.loc["side.jpg", "position"] == "left"  # of the labels
    # MiewID keeps what its `viewpoint_list` names, in the words of Wild Me.
    api.export(out, "miewid", tmp_path / "miewid")
    table = miewid_reads(tmp_path / "miewid" / "annotations.csv", tmp_path / "miewid" / "images", 1)
    seen = {name: set(rows["photo"]) for name, rows in table.groupby("viewpoint")}
    assert seen["up"] == {"day 1/Wal ä.jpg"}
    assert seen["fluke"] == {"con.jpg"}
    assert "flat.tif" in seen["left"]


@pytest.mark.parametrize("of", ["photos", "crops"])
def test_pyseter_loads_the_animals(cropped: Path, tmp_path: Path, of: Of) -> None:
    extract = package("pyseter.extract")
    api.export(cropped, "pyseter", tmp_path / "out", of=of)
    folder, boxes = str(tmp_path / "out" / "all_images"), str(tmp_path / "out" / "bounding_boxes.csv")
    names = extract.list_images(folder)
    assert sorted(names) == sorted(extract.load_bounding_boxes(boxes))
    assert len(names) == len(LABELS) + 1
    loaded = extract.get_test_data(folder, batch_size=4, bbox_csv=boxes).dataset
    batch = [loaded[number] for number in range(len(loaded))]
    read, images = extract.collate_fn(batch)
    assert read == names  # none was skipped
    assert tuple(images.shape) == (len(names), 3, 768, 768)
    untransformed = extract.DorsalImageDataset(folder, bbox_csv=boxes)
    for number in range(len(untransformed)):
        name, image = untransformed[number]
        if not name.startswith("cut"):
            assert_bright(image.permute(1, 2, 0).numpy())


def test_pyseter_sorts_by_individual_and_encounter(cropped: Path, tmp_path: Path) -> None:
    sort = package("pyseter.sort")
    api.export(cropped, "pyseter", tmp_path / "out")
    encounters = pd.read_csv(tmp_path / "out" / "encounter_info.csv")
    sort.save_encounter_info(str(tmp_path), ["day1"], ["a.jpg"])
    assert list(encounters.columns) == list(pd.read_csv(tmp_path / "encounter_info.csv").columns)
    individuals = pd.read_csv(tmp_path / "out" / "individuals.csv", dtype=str)
    table = encounters.merge(individuals.rename(columns={"individual_id": "proposed_id"}), on="image")
    sort.sort_images(table, str(tmp_path / "out" / "all_images"), str(tmp_path / "sorted"))
    found = sorted(path.relative_to(tmp_path / "sorted").as_posix() for path in tmp_path.glob("sorted/*/*/*"))
    assert len(found) == len(table) == len(KNOWN) + 1
    assert "berta/encounter_3/cut.1.jpg" in found
    assert "007/north/day2_Wal_a.1.jpg" in found


def test_pyseter_finds_the_reference_of_each_individual(cropped: Path, tmp_path: Path) -> None:
    """`predict_ids` looks every reference picture up in the table of individuals."""
    api.export(cropped, "pyseter", tmp_path / "out")
    individuals = pd.read_csv(tmp_path / "out" / "individuals.csv", dtype=str)
    boxes = package("pyseter.extract").load_bounding_boxes(str(tmp_path / "out" / "bounding_boxes.csv"))
    names = [name for name in boxes if name in set(individuals["image"])]
    found = individuals.set_index("image").loc[names, "individual_id"]
    assert sorted(found.unique()) == ["007", "anna", "berta"]


def test_opencv_and_pillow_agree_on_every_picture(metadata: Path) -> None:
    """No reader has to heed an orientation."""
    for path in sorted((metadata / "images").iterdir()):
        image = cv2.imread(str(path))
        assert image is not None
        with Image.open(path) as file:
            assert (image.shape[1], image.shape[0]) == file.size == (120, 80)
