"""`detic-crop export --to tfrecord`: read as the TPU notebooks of the Happywhale competition read it."""

from __future__ import annotations

import builtins
import importlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from detic_crop import api
from detic_crop.exports import tf_example, tfrecord
from detic_crop.exports.tfrecord import dealt
from tests.kit.errors import refused
from tests.kit.exif import ORIENTATION, exif
from tests.kit.folders import animals_of, crop, files_of, rows_of
from tests.kit.photos import picture, write_photo, write_photos
from tests.kit.verdicts import DRAWN, give_verdict

TFRECORD = importlib.import_module("tfrecord")  # has no types

FEATURES = {"image_name": "byte", "image": "byte", "target": "int", "detic_box": "int"}


def in_order(out: Path, part: str = "train") -> list[str]:
    """The files as notebooks list them: by a pattern, as texts in their order."""
    return sorted(str(path) for path in out.glob(f"happywhale-2022-{part}*.tfrec"))


def count_data_items(paths: Sequence[str]) -> int:
    """As notebooks count pictures: by the first number of the path between - and a full stop."""
    found = [re.compile(r"-([0-9]*)\.").search(path) for path in paths]
    return sum(int(match[1]) for match in found if match)


def read(path: str) -> list[dict[str, Any]]:
    """Records of a file as `tfrecord` reads them, pictures decoded and cut out as notebooks do it."""
    records = []
    for found in TFRECORD.tfrecord_loader(path, None, FEATURES):
        assert found["image"][:3] == b"\xff\xd8\xff"
        shown = cv2.imdecode(
            np.frombuffer(found["image"], np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
        (target,), box = found["target"].tolist(), found["detic_box"].tolist()
        assert shown is not None
        records.append(
            {
                "name": bytes(found["image_name"]).decode(),
                "target": target,
                "box": box,
                "whole": shown,
                "data": bytes(found["image"]),
                "cut": decode_and_crop(shown, box),
            }
        )
    return records


def decode_and_crop(shown: NDArray[Any], box: list[int]) -> NDArray[Any]:
    """As TensorFlow cuts out a box, which it refuses if it reaches outside or is empty."""
    if box[0] == -1:
        assert box == [-1] * 4
        return shown
    left, top, right, bottom = box
    height, width = shown.shape[:2]
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    return shown[top:bottom, left:right]


def labelled(folder: Path, individuals: Sequence[str]) -> Path:
    """A finished run of a photo for each individual; those without a name have an empty cell."""
    lines = ["image,species,individual_id"]
    for number, name in enumerate(individuals):
        write_photo(folder / "in" / f"{number:04}.jpg", number)
        lines.append(f"{number:04}.jpg,beluga,{name}")
    (folder / "labels.csv").write_text("\n".join(lines))
    crop(folder / "in", folder / "cropped", labels=folder / "labels.csv")
    return folder / "cropped"


WHO = [*("b",) * 10, *("a",) * 7, *("007",) * 5, "once", ""]


@pytest.fixture(scope="module")
def cropped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 photos of four individuals; one without a name, one rejected, one corrected."""
    out = labelled(tmp_path_factory.mktemp("tfrecord"), WHO)
    give_verdict(out, "0003.jpg", "rejected")
    give_verdict(out, "0004.jpg", "box", DRAWN)
    api.apply(out, quiet=True)
    return out


def test_notebooks_read_every_crop_with_its_individual(cropped: Path, tmp_path: Path) -> None:
    result = api.export(cropped, "tfrecord", tmp_path / "out")
    paths = in_order(tmp_path / "out")
    assert len(paths) == 5
    assert [Path(path).name.rpartition("-")[0] for path in paths] == [
        f"happywhale-2022-train-{number}" for number in range(5)
    ]
    assert count_data_items(paths) == result.count == 22
    assert result.left_out == {"rejected": 1, "without individual_id": 1}
    numbers = json.loads((tmp_path / "out" / "individual_ids.json").read_text())
    assert numbers == {"007": 0, "a": 1, "b": 2, "once": 3}
    individual_of = {number: name for name, number in numbers.items()}
    rows = {row["image"]: row for row in rows_of(cropped)}
    seen = []
    for path in paths:
        records = read(path)
        assert len(records) == count_data_items([path])
        for record in records:
            row = rows[record["name"]]
            seen.append(record["name"])
            assert individual_of[record["target"]] == row["individual_id"]
            assert record["data"] == (cropped / row["crop"]).read_bytes()
            assert (record["box"][0] == -1) == (row["status"] != "cropped")
    assert sorted(seen) == sorted(name for name, row in rows.items() if row["crop"] and row["individual_id"])


def test_each_file_has_its_share_of_each_individual(cropped: Path, tmp_path: Path) -> None:
    api.export(cropped, "tfrecord", tmp_path / "out")
    shares: defaultdict[int, list[int]] = defaultdict(list)
    for path in in_order(tmp_path / "out"):
        counts = Counter(record["target"] for record in read(path))
        for target in range(4):
            shares[target].append(counts[target])
    assert all(max(found) - min(found) <= 1 for found in shares.values())


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=80), st.integers(1, 4))
def test_dealing_breaks_no_fold_and_spreads_every_individual(
    rows: list[tuple[int, int]], per_fold: int
) -> None:
    individuals, folds = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    files = dealt(individuals, folds, 4 * per_fold, 4)
    assert (files % 4 == folds).all()
    assert files.max() < 4 * per_fold
    for fold in range(4):
        of_fold = np.bincount(files[folds == fold] // 4, minlength=per_fold)
        assert of_fold.max() - of_fold.min() <= 1
        for individual in range(7):
            counts = np.bincount(
                files[(folds == fold) & (individuals == individual)] // 4, minlength=per_fold
            )
            assert counts.max() - counts.min() <= 1


def test_boxes_of_photos_lie_in_the_picture_that_is_stored(tmp_path: Path) -> None:
    names = ("plain.jpg", "other.jpg", "flat.tif", "drawn.png", "web.webp", "grey.jpg")
    for seed, name in enumerate(names):
        write_photo(tmp_path / "in" / name, seed)
    cv2.imwrite(str(tmp_path / "in" / "grey.jpg"), picture(5)[..., 0])
    turned = tmp_path / "in" / "turned.jpg"
    Image.fromarray(picture(7)).save(turned, exif=b"Exif\0\0" + exif({ORIENTATION: 6}))
    (tmp_path / "in" / "cut.jpg").write_bytes((tmp_path / "in" / "plain.jpg").read_bytes()[:-300])
    crop(tmp_path / "in", tmp_path / "cropped", classes="any", conf=0.05)
    give_verdict(tmp_path / "cropped", "turned.jpg", "box", (0.2, 3.4, 39.9, 60.0))
    api.apply(tmp_path / "cropped", quiet=True)
    result = api.export(tmp_path / "cropped", "tfrecord", tmp_path / "out", of="photos", part="test")
    records = {record["name"]: record for path in in_order(tmp_path / "out", "test") for record in read(path)}
    rows = {row["image"]: row for row in rows_of(tmp_path / "cropped")}
    assert records.keys() == rows.keys()
    assert result.count == len(rows)
    for name, record in records.items():
        row = rows[name]
        assert record["whole"].shape == (int(row["height"]), int(row["width"]), 3)
        expected = [int(edge) for edge in row["box"].split()] or [-1] * 4
        assert record["box"] == expected
        assert record["target"] == 0
    assert records["turned.jpg"]["box"] == [0, 3, 40, 60]
    kept = {name for name in records if records[name]["data"] == (tmp_path / "in" / name).read_bytes()}
    assert kept == {"plain.jpg", "other.jpg", "grey.jpg"}


def test_test_files_have_targets_but_no_individuals(cropped: Path, tmp_path: Path) -> None:
    result = api.export(cropped, "tfrecord", tmp_path / "out", part="test")
    assert count_data_items(in_order(tmp_path / "out", "test")) == result.count == 23
    assert {record["target"] for path in in_order(tmp_path / "out", "test") for record in read(path)} == {0}
    assert not (tmp_path / "out" / "individual_ids.json").exists()
    api.export(cropped, "tfrecord", tmp_path / "ten", part="test", files=10)
    assert len(in_order(tmp_path / "ten", "test")) == 10
    with refused("not_a_multiple"):
        api.export(cropped, "tfrecord", tmp_path / "two", part="test", files=2)


def test_train_and_test_files_in_one_folder(cropped: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 7)
    crop(tmp_path / "in", tmp_path / "tested")
    result = api.export(cropped, "tfrecord", tmp_path / "out", test=tmp_path / "tested")
    assert count_data_items(in_order(tmp_path / "out")) == 22
    assert count_data_items(in_order(tmp_path / "out", "test")) == 7
    assert result.count == 29
    assert len(in_order(tmp_path / "out", "test")) == 5
    assert (tmp_path / "out" / "individual_ids.json").exists()


def test_each_crop_has_the_box_of_its_own_animal(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 9)
    crop(tmp_path / "in", tmp_path / "cropped", animals="all", classes="any", conf=0.05, scale=3)
    api.export(tmp_path / "cropped", "tfrecord", tmp_path / "out", part="test")
    found = [record for path in in_order(tmp_path / "out", "test") for record in read(path)]
    listed = [row for row in animals_of(tmp_path / "cropped") if row["crop"]]
    assert sorted(record["name"] for record in found) == sorted(row["image"] for row in listed)
    crops = {(tmp_path / "cropped" / row["crop"]).read_bytes(): row for row in listed}
    for record in found:
        row = crops[record["data"]]
        if not row["box"]:
            assert record["box"] == [-1] * 4
            continue
        box, cut = ([int(edge) for edge in row[name].split()] for name in ("box", "crop_box"))
        across, down = 32 / (cut[2] - cut[0]), 32 / (cut[3] - cut[1])
        expected = [
            (box[0] - cut[0]) * across,
            (box[1] - cut[1]) * down,
            (box[2] - cut[0]) * across,
            (box[3] - cut[1]) * down,
        ]
        assert record["box"] == pytest.approx(expected, abs=1 + max(across, down))


def test_names_are_in_order_and_files_many(
    cropped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord, "_MOST_OPEN", 3)
    api.export(cropped, "tfrecord", tmp_path / "out", files=20)
    paths = in_order(tmp_path / "out")
    assert [int(path.split("-")[-2]) for path in paths] == list(range(20))
    assert sum(len(read(path)) for path in paths) == count_data_items(paths) == 22


def test_files_become_as_large_as_they_should(
    cropped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = sum(len(data) for name, data in files_of(cropped).items() if name.endswith(".jpg"))
    monkeypatch.setattr(tfrecord, "_FILE_BYTES", sizes // 15)
    api.export(cropped, "tfrecord", tmp_path / "out")
    assert len(in_order(tmp_path / "out")) == 15


def test_the_same_bytes_every_time(cropped: Path, tmp_path: Path) -> None:
    api.export(cropped, "tfrecord", tmp_path / "one")
    api.export(cropped, "tfrecord", tmp_path / "two")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_files_are_folds_where_the_folder_was_split(tmp_path: Path) -> None:
    out = labelled(tmp_path, [f"id{number % 8}" for number in range(48)])
    api.split(out, folds=3, unseen=0.2, seed=1)
    fold_of = {row["image"]: int(row["fold"]) for row in rows_of(out)}
    with refused("not_a_multiple", names=["--files 5", "multiple of 3", "pass 3 or 6"]):
        api.export(out, "tfrecord", tmp_path / "out", files=5)
    result = api.export(out, "tfrecord", tmp_path / "out", files=6)
    for number, path in enumerate(in_order(tmp_path / "out")):
        assert {fold_of[record["name"]] for record in read(path)} == {number % 3}
    unseen = in_order(tmp_path / "out" / "unseen")
    assert {fold_of[record["name"]] for path in unseen for record in read(path)} == {-1}
    assert count_data_items([*in_order(tmp_path / "out"), *unseen]) == result.count == 48
    assert any("number % 3" in note for note in result.notes)


@pytest.mark.parametrize(
    ("out", "counted"), [("set-12.v2", "12"), ("set-12.v2/deep", "12"), ("crops-.x", "")]
)
def test_a_path_by_which_readers_would_miscount_is_refused(
    cropped: Path, tmp_path: Path, out: str, counted: str
) -> None:
    with refused("count_in_path", names=[out]):
        api.export(cropped, "tfrecord", tmp_path / out)
    assert not (tmp_path / out).exists()
    found = re.compile(r"-([0-9]*)\.").search(f"{tmp_path / out}/happywhale-2022-train-0-7.tfrec")
    assert found
    assert found[1] == counted  # so it would be


def test_what_cannot_be_made_is_refused(cropped: Path, tmp_path: Path) -> None:
    with refused("not_a_multiple", names=["--files 7", "pass 5 or 10"]):
        api.export(cropped, "tfrecord", tmp_path / "out", files=7)
    with refused("empty_files", names=["25 files", "--files 20"]):
        api.export(cropped, "tfrecord", tmp_path / "out", files=25)
    few = labelled(tmp_path / "few", ["a", "b", "a"])
    with refused("empty_files", match="export more photos"):
        api.export(few, "tfrecord", tmp_path / "out")
    crop(tmp_path / "few" / "in", tmp_path / "bare")
    with refused("no_individual", names=["--individual", "--part test"]):
        api.export(tmp_path / "bare", "tfrecord", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_can_be_the_individuals(tmp_path: Path) -> None:
    for number in range(10):
        write_photo(tmp_path / "in" / f"ID{number % 2}" / f"{number}.jpg", number)
    crop(tmp_path / "in", tmp_path / "cropped")
    api.export(tmp_path / "cropped", "tfrecord", tmp_path / "out", label="folder")
    records = [record for path in in_order(tmp_path / "out") for record in read(path)]
    assert {record["name"] for record in records} == {row["image"] for row in rows_of(tmp_path / "cropped")}
    assert all(record["name"].startswith(f"ID{record['target']}/") for record in records)


def test_without_the_package_one_is_told_which(
    cropped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "google_crc32c":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    tf_example.crc32c.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with refused("no_tfrecord"):
        api.export(cropped, "tfrecord", tmp_path / "out")


def test_an_example_is_as_protocol_buffers_have_it() -> None:
    """Held against the messages that `tfrecord` brings along."""
    numbers = [0, 1, -1, 127, 128, 300, 2**31, -(2**63), 2**63 - 1]
    read_back = TFRECORD.example_pb2.Example()
    read_back.ParseFromString(tf_example.example({"b": b"\x00" * 300, "a": numbers, "empty": b""}))
    found = read_back.features.feature
    assert list(found["a"].int64_list.value) == numbers
    assert list(found["b"].bytes_list.value) == [b"\x00" * 300]
    assert list(found["empty"].bytes_list.value) == [b""]
    assert read_back.SerializeToString(deterministic=True) == tf_example.example(
        {"a": numbers, "b": b"\x00" * 300, "empty": b""}
    )


def test_checksums_are_those_of_the_other_writer() -> None:
    writer = TFRECORD.TFRecordWriter
    length, of_length, data, of_data = tf_example.record({"a": b"picture", "n": (3,)})
    assert of_length == writer.masked_crc(length)
    assert of_data == writer.masked_crc(data)
