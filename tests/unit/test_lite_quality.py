"""What the figures of `lite` are made of: labelled photos and their folds, measures, intervals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.labelled_photos import LabelledPhoto, folds, outing_of, read_sets
from benchmarks.lite_metrics import (
    Bools,
    Floats,
    Prediction,
    Statistic,
    at_reached,
    auroc,
    auroc_of,
    calibration_error,
    chosen_box,
    covered,
    draws_of,
    figure,
    mean_over,
    measure,
    ratio,
    read_predictions,
    reliability,
    write_predictions,
)
from benchmarks.lite_quality import (
    CROSS_VALIDATED,
    cross_validated,
    kept_together,
    read_folds,
    statistics,
    subsets,
)
from detic_crop.boxes.detections import Detections
from tests.kit.helpers import detections

MARINE = ("Marine mammal",)


def photo(
    name: str,
    box: tuple[float, float, float, float] | None = (10, 10, 50, 30),
    *,
    kind: str = "surface",
    set_name: str = "one",
    several: bool = False,
    further: tuple[tuple[float, float, float, float], ...] = (),
) -> LabelledPhoto:
    """A photo of 100 × 50 px."""
    source = name.split("_")[0]
    return LabelledPhoto(
        set_name,
        Path(name),
        (100, 50),
        box,
        source,
        source,
        "negative" if box is None else kind,
        "whale",
        several,
        further,
    )


def once(count: int) -> Floats:
    return np.ones((1, count))


# --- reading ---------------------------------------------------------------------------------------------


def a_set(folder: Path, rows: str, images: dict[str, tuple[int, int]], negatives: list[str]) -> Path:
    """Write a set of black photos."""
    for place in ("images", "negatives"):
        (folder / place).mkdir(parents=True)
    header = "image,xmin,ymin,xmax,ymax,label,kind,notes\n"
    (folder / "boxes.csv").write_text(header + rows, encoding="utf-8")
    for name, (width, height) in images.items():
        cv2.imwrite(str(folder / "images" / name), np.zeros((height, width, 3), np.uint8))
    for name in negatives:
        cv2.imwrite(str(folder / "negatives" / name), np.zeros((8, 8, 3), np.uint8))
    return folder


def test_sets_are_read_with_what_is_known_of_each_photo(tmp_path: Path) -> None:
    first = a_set(
        tmp_path / "photos",
        "naukma_train_IMG_4903.jpg,2,1,12,6,dolphin,above_water,\n"
        "zythe_3.jpg,0,0,5,5,whale,other,aerial top-down\n"
        "caltech101_image_0031.jpg,0,0,5,5,dolphin,aquarium,pool\n",
        {"naukma_train_IMG_4903.jpg": (40, 20), "zythe_3.jpg": (9, 9), "caltech101_image_0031.jpg": (9, 9)},
        ["caltech101_boat_image_0002.jpg", "caltech101_boat_image_0001.jpg"],
    )
    second = a_set(tmp_path / "more", "a_1.png,0,0,5,5,seal,land,multi; far\n", {"a_1.png": (9, 9)}, [])
    further = tmp_path / "further.csv"
    further.write_text(
        "set,image,xmin,ymin,xmax,ymax,what\n"
        "more,a_1.png,5,5,9,9,animal\nmore,a_1.png,0,5,4,9,ignore\nelsewhere,b.png,0,0,1,1,animal\n",
        encoding="utf-8",
    )
    photos = read_sets([first, second], further)
    assert [p.key for p in photos] == [
        "photos/naukma_train_IMG_4903.jpg",
        "photos/zythe_3.jpg",
        "photos/caltech101_image_0031.jpg",
        "photos/caltech101_boat_image_0001.jpg",
        "photos/caltech101_boat_image_0002.jpg",
        "more/a_1.png",
    ]
    assert [p.kind for p in photos] == ["surface", "aerial", "underwater", "negative", "negative", "land"]
    assert [p.source for p in photos] == ["naukma", "zythe", *["caltech101"] * 3, "a"]
    assert photos[0].outing == "IMG_49"
    assert photos[0].size == (40, 20)
    assert photos[0].share == pytest.approx(50 / 800)
    assert photos[3].box is None
    assert photos[3].outing == photos[4].outing == "caltech101_boat"
    assert photos[5].several
    assert photos[5].label == "seal"
    assert photos[5].further == ((5, 5, 9, 9),)
    assert photos[5].ignored == ((0, 5, 4, 9),)
    assert not photos[0].further
    assert photos[0].pixels().shape == (20, 40, 3)


def test_a_photo_on_its_side_has_its_upright_size(tmp_path: Path) -> None:
    from PIL import Image

    folder = a_set(tmp_path / "set", "a_1.jpg,0,0,5,5,seal,land,\n", {}, [])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(folder / "images" / "a_1.jpg", exif=exif)
    (only,) = read_sets([folder], None)
    assert only.size == (20, 30)
    assert only.pixels().shape == (30, 20, 3)


def test_two_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="got set twice"):
        read_sets([tmp_path / "a" / "set", tmp_path / "b" / "set"])


@pytest.mark.parametrize(
    ("name", "set_name", "outing"),
    [
        ("naukma_val_SB17-1650_2.jpg", "photos", "SB17-1650"),
        ("naresh_5.jpg", "photos", "naresh"),
        ("imagenet_n0207_killer_whale.jpg", "photos", "imagenet_n0207_killer_whale.jpg"),
        ("caltech101_ferry_image_0012.jpg", "photos", "caltech101_ferry"),
        ("orcasound_a.jpg", "photos2", "orcasound"),
    ],
)
def test_outings(name: str, set_name: str, outing: str) -> None:
    assert outing_of(name, set_name) == outing


# --- folds -----------------------------------------------------------------------------------------------


def many_photos() -> list[LabelledPhoto]:
    """Sources of 1 to 20 photos of three kinds, over two sets."""
    random = np.random.default_rng(3)
    photos = []
    for source in range(60):
        kind = ("surface", "aerial", "leap")[source % 3]
        for number in range(20 if source == 0 else int(random.integers(1, 6))):
            box = None if random.random() < 0.3 else (0.0, 0.0, 9.0, 9.0)
            name = ("one", "two")[number % 2]
            photos.append(photo(f"s{source}_{number}.jpg", box, kind=kind, set_name=name))
    return photos


def test_folds_keep_a_source_together_and_are_alike() -> None:
    photos = many_photos()
    found = folds(photos, 5, seed=1)
    assert set(found.tolist()) == set(range(5))
    for source in {p.source for p in photos}:
        assert len({fold for p, fold in zip(photos, found, strict=True) if p.source == source}) == 1
    for kind in ("surface", "aerial", "leap", "negative"):
        counts = Counter(int(fold) for p, fold in zip(photos, found, strict=True) if p.kind == kind)
        assert max(counts.values()) - min(counts[fold] for fold in range(5)) <= 10  # the source of 20 photos
    rest = Counter(int(fold) for p, fold in zip(photos, found, strict=True) if p.box is not None)
    assert max(rest.values()) - min(rest.values()) <= 8


def test_folds_depend_on_the_seed_and_not_on_the_order() -> None:
    photos = many_photos()
    once_more, other = folds(photos, 5, seed=1), folds(photos, 5, seed=2)
    assert folds(photos, 5, seed=1).tolist() == once_more.tolist()
    assert folds(photos[::-1], 5, seed=1)[::-1].tolist() == once_more.tolist()
    assert other.tolist() != once_more.tolist()


def test_more_folds_than_sources_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 to 1 folds"):
        folds([photo("a_1.jpg"), photo("a_2.jpg")], 2)


def test_folds_by_another_group() -> None:
    photos = [photo("a_1.jpg"), photo("a_2.jpg")]
    assert sorted(folds(photos, 2, group=lambda p: p.path.name).tolist()) == [0, 1]


def test_what_folds_keep_together_is_found_out() -> None:
    photos = [photo("a_1.jpg"), photo("a_2.jpg"), photo("b_1.jpg")]
    first, second, third = (p.key for p in photos)
    assert kept_together({first: 0, second: 0, third: 1}, photos) == "source"
    with pytest.raises(SystemExit, match="one that is in several"):
        kept_together({first: 0, second: 1, third: 1}, photos)


def test_a_photo_without_a_fold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folds.json").write_text(json.dumps({"one/a_1.jpg": 2}), encoding="utf-8")
    assert read_folds(tmp_path, [photo("a_1.jpg")]) == {"one/a_1.jpg": 2}
    with pytest.raises(SystemExit, match=r"none for one/b_1\.jpg and 0 more"):
        read_folds(tmp_path, [photo("a_1.jpg"), photo("b_1.jpg")])


def test_photos_that_were_not_cross_validated_leave_that_row_out(capsys: pytest.CaptureFixture[str]) -> None:
    (kept,) = read_predictions(CROSS_VALIDATED).values()
    ours = [photo(Path(key).name, set_name=key.split("/")[0]) for key in list(kept)[:3]]
    assert [said.photo for said in cross_validated(ours)] == list(kept)[:3]
    assert capsys.readouterr().out == ""
    assert cross_validated([*ours, photo("b_1.jpg"), photo("b_2.jpg")]) == []
    assert "no boxes of one/b_1.jpg and 1 more of 5 photos are kept" in capsys.readouterr().out


# --- one photo -------------------------------------------------------------------------------------------


def test_the_whole_photo_counts_where_nothing_was_found() -> None:
    found = detections(((10, 5, 50, 30), 0.4, MARINE[0]), presence=0.4)
    assert chosen_box(found, 0.4, (100, 50)) == (10, 5, 50, 30)
    assert chosen_box(found, 0.5, (100, 50)) == (0, 0, 100, 50)


def test_what_a_crop_of_1_2_holds() -> None:
    assert covered((10, 10, 20, 20), (10, 10, 20, 20), (100, 100)) == 1
    # 20 px wide, so the crop goes 2 px beyond each side; of 30 px of animal 22 are inside.
    assert covered((10, 0, 30, 50), (10, 0, 40, 50), (100, 50)) == pytest.approx(22 / 30)


def test_predictions_come_back_as_they_were_written(tmp_path: Path) -> None:
    found = detections(((10, 5, 50, 30.25), 0.4, MARINE[0]), ((1, 2, 3, 4), 0.1, MARINE[0]), presence=0.45)
    written = [
        Prediction("a", "one/x.jpg", 0.45, found),
        Prediction("b", "one/y.jpg", 0.5, Detections.empty(0.1)),
    ]
    write_predictions(tmp_path / "p.jsonl", written)
    rows = read_predictions(tmp_path / "p.jsonl")
    assert {name: list(row) for name, row in rows.items()} == {"a": ["one/x.jpg"], "b": ["one/y.jpg"]}
    back = rows["a"]["one/x.jpg"]
    assert back.conf == 0.45
    assert back.found.presence == 0.45
    assert back.found.xyxy.tolist() == found.xyxy.tolist()
    assert back.found.scores.tolist() == found.scores.tolist()
    assert len(rows["b"]["one/y.jpg"].found) == 0


# --- all photos ------------------------------------------------------------------------------------------


def test_measures_by_hand() -> None:
    photos = [
        photo("a_1.jpg", (10, 10, 50, 30), several=True, further=((60, 10, 90, 40), (0, 40, 9, 49))),
        photo("b_1.jpg", (0, 0, 100, 50)),
        photo("c_1.jpg", None),
    ]
    found = [
        detections(((10, 10, 50, 30), 0.9, MARINE[0]), ((60, 10, 90, 40), 0.5, MARINE[0]), presence=0.95),
        Detections.empty(0.2),
        detections(((0, 0, 9, 9), 0.6, MARINE[0]), presence=0.6),
    ]
    said = [Prediction("x", p.key, 0.4, f) for p, f in zip(photos, found, strict=True)]
    measured = measure(photos, said)
    # Of two boxes of photo a the larger one is chosen: 900 px² against 800.
    assert measured.ious.tolist() == [0, 1, 0]
    assert measured.passed.tolist() == [True, False, True]
    assert measured.presence.tolist() == [0.95, 0.2, 0.6]
    assert measured.further.tolist() == [2, 0, 0]
    assert measured.further_found.tolist() == [1, 0, 0]
    assert measured.surest_right.tolist() == [True, False, False]
    assert np.isnan(measured.surest[1])
    values = {name: float(statistic(once(3))[0]) for name, statistic in statistics(measured).items()}
    assert values["mean IoU"] == 0.5
    assert values["found"] == 0.5
    assert values["false alarms"] == 1
    assert values["AUROC"] == 0.5
    assert values["further animals found"] == 0.5


def test_suspicion_is_that_of_the_audit() -> None:
    photos = [photo("a_1.jpg"), photo("b_1.jpg")]
    sure = detections(((10, 10, 50, 30), 1.0, MARINE[0]), presence=1.0)
    unsure = detections(((10, 10, 50, 30), 0.41, MARINE[0]), presence=0.41)
    measured = measure(
        photos, [Prediction("x", p.key, 0.4, f) for p, f in zip(photos, (sure, unsure), strict=True)]
    )
    assert 0 < measured.suspicion[0] < measured.suspicion[1] < 1


def test_subsets_cover_all_photos() -> None:
    photos = [photo("a_1.jpg", several=True), photo("b_1.jpg", None), photo("c_1.jpg", kind="aerial")]
    masks = {name: mask.tolist() for name, mask in subsets(photos).items()}
    assert masks == {
        "all": [True, True, True],
        "set one": [True, True, True],
        "aerial": [False, False, True],
        "surface": [True, False, False],
        "5 to 25 %": [True, False, True],  # 800 of 5,000 px²
        "one animal": [False, False, True],
        "several animals": [True, False, False],
    }


# --- figures ---------------------------------------------------------------------------------------------


def test_auroc_against_all_pairs() -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, 6, 40) / 5  # with ties
    positive, weights = random.random(40) < 0.4, random.integers(0, 3, (5, 40)).astype(float)
    got = auroc_of(values, positive, ~positive)(weights)
    for row, weight in zip(got, weights, strict=True):
        high = np.repeat(values, (weight * positive).astype(int))
        low = np.repeat(values, (weight * ~positive).astype(int))
        difference = high[:, None] - low[None]
        assert row == pytest.approx(((difference > 0) + 0.5 * (difference == 0)).mean())
    assert auroc(np.array([0.9, 0.5, 0.1]), np.array([0.5, 0.5])) == pytest.approx((2 + 1 + 0) / 6)


def test_what_passes_where_so_many_positives_do() -> None:
    values = np.array([0.9, 0.8, 0.7, 0.6, 0.65, 0.75, 0.1])
    positive = np.array([True, True, True, True, False, False, False])
    # Three of four positives reach 0.7; so does one of three negatives.
    assert at_reached(values, positive, ~positive, 0.75)(once(7)) == pytest.approx(1 / 3)
    assert at_reached(values, positive, positive, 0.75)(once(7)) == pytest.approx(3 / 4)
    assert at_reached(values, positive, ~positive, 1.0)(once(7)) == pytest.approx(2 / 3)


def test_weights_count_photos_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    values, positive = random.random(30), random.random(30) < 0.5
    weights = random.integers(0, 4, 30)
    again = np.repeat(np.arange(30), weights)
    makers: tuple[Callable[[Floats, Bools], Statistic], ...] = (
        mean_over,
        lambda v, p: ratio(v, v + p),
        lambda v, p: auroc_of(v, p, ~p),
        lambda v, p: at_reached(v, p, ~p, 0.8),
    )
    for make in makers:
        weighted = make(values, positive)(weights[None].astype(float))[0]
        repeated = make(values[again], positive[again])(once(len(again)))[0]
        assert weighted == pytest.approx(repeated)


def test_without_such_photos_there_is_no_figure() -> None:
    nothing = np.zeros(3, bool)
    weights = draws_of(["a", "b", "c"], draws=10)
    for statistic in (
        mean_over(np.ones(3), nothing),
        auroc_of(np.ones(3), ~nothing, nothing),
        at_reached(np.ones(3), nothing, ~nothing),
    ):
        found = figure(statistic, weights)
        assert np.isnan(found.value)
        assert str(found) == "–"


def test_draws_take_whole_sources() -> None:
    weights = draws_of(["a", "b", "a", "c", "b"], draws=500, seed=4)
    assert weights.shape == (500, 5)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()
    assert (draws_of(["a", "b", "a", "c", "b"], draws=500, seed=4) == weights).all()


def test_an_interval_holds_the_chance_of_the_sources() -> None:
    """Of 100 independent values of deviation 1 the mean is off by 0.1; twice that on either side."""
    random = np.random.default_rng(0)
    values = random.normal(size=100)
    alone = figure(mean_over(values, np.ones(100, bool)), draws_of([f"{i}" for i in range(100)]))
    assert alone.value == pytest.approx(values.mean())
    assert alone.high - alone.low == pytest.approx(4 * 0.1 * 0.98, rel=0.15)
    # The same values four times each: no more is known for it.
    fourfold = figure(
        mean_over(np.tile(values, 4), np.ones(400, bool)), draws_of([f"{i % 100}" for i in range(400)])
    )
    assert fourfold.value == pytest.approx(alone.value)
    assert fourfold.high - fourfold.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert str(alone) == f"{alone.value:.2f} [{alone.low:.2f}, {alone.high:.2f}]"


def test_reliability_by_hand() -> None:
    scores = np.array([0.05, 0.09, 0.55, 1.0])
    right = np.array([False, True, True, True])
    assert reliability(scores, right) == [
        (2, pytest.approx(0.07), 0.5),
        (1, 0.55, 1.0),
        (1, 1.0, 1.0),
    ]
    assert calibration_error(scores, right) == pytest.approx((2 * 0.43 + 0.45 + 0) / 4)
