"""Training `lite`: what is drawn and asked, what is fitted, and that the same photos give the same file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import train_lite
from benchmarks.fit_judgement import logistic_regression
from benchmarks.labelled_photos import NEGATIVE, LabelledPhoto
from benchmarks.lite_pictures import Edges, Picture, Pictures, Prepared, prepare, windowed
from benchmarks.train_lite import as_weights, generalised_iou, targets_of
from detic_crop.detectors.lite.network import CELL
from detic_crop.detectors.lite.views import jittered
from detic_crop.detectors.lite.weights import load_network, read_weights
from tests.kit.seas import back_and_fin, sea

WIDTH, HEIGHT = 360, 240


@pytest.fixture
def photos(tmp_path: Path) -> list[Prepared]:
    """Two drawn backs and an empty sea."""
    found = []
    for number in range(3):
        image, box = back_and_fin(HEIGHT, WIDTH, (120 + 60 * number, 150), 150)
        path = tmp_path / f"source_{number}.png"
        cv2.imwrite(str(path), image if number < 2 else sea(HEIGHT, WIDTH))
        left, top, right, bottom = (float(edge) for edge in box)
        truth = (left, top, right, bottom) if number < 2 else None
        kind = "surface" if truth else NEGATIVE
        found.append(prepare(LabelledPhoto("set", path, (WIDTH, HEIGHT), truth, "source", "source", kind)))
    return found


def test_the_cells_of_an_animal_are_asked_for_its_edges() -> None:
    box = np.array([20.0, 30.0, 100.0, 70.0])
    targets = targets_of([Picture(np.zeros((96, 128, 3), np.uint8), [box])])
    row, column = (int(i) for i in np.unravel_index(int(targets.middle[0].argmax()), (12, 16)))
    x, y = (column + 0.5) * CELL, (row + 0.5) * CELL
    assert abs(x - 60) <= CELL / 2
    assert abs(y - 50) <= CELL / 2
    assert targets.edges[0, :, row, column].tolist() == [x - 20, y - 30, 100 - x, 70 - y]
    assert float(targets.edges_asked.sum()) == pytest.approx(1)
    assert float(targets.inside.sum()) * CELL**2 == pytest.approx(80 * 40)
    assert targets.present.tolist() == targets.present_asked.tolist() == [1.0]


def test_nothing_is_asked_where_nobody_knows() -> None:
    unknown = Picture(np.zeros((64, 64, 3), np.uint8), all_known=False)
    hidden = Picture(np.zeros((64, 64, 3), np.uint8), ignored=[np.array([0.0, 0.0, 32.0, 64.0])])
    nothing = Picture(np.zeros((64, 64, 3), np.uint8))
    targets = targets_of([unknown, hidden, nothing])
    assert targets.asked.mean((1, 2)).tolist() == [0.0, 0.5, 1.0]
    assert targets.present_asked.tolist() == [0.0, 0.0, 1.0]
    assert targets.present.tolist() == [0.0, 0.0, 0.0]


def test_boxes_go_with_the_pixels_of_a_window(photos: Sequence[Prepared]) -> None:
    """The drawn back is the darkest thing in every window, whatever its zoom and mirroring."""
    random = np.random.default_rng(0)
    for number in range(20):
        picture = windowed(photos[0], 384, 320, number % 2 == 0, random)
        for box in picture.boxes:
            left, top, right, bottom = box.round().astype(int)
            dark = picture.pixels.astype(int).sum(2) < 190
            dark[picture.pixels.sum(2) == 0] = False  # the border of the photo
            assert dark[top:bottom, left:right].mean() > 0.2


def test_a_jittered_box_is_near_the_box() -> None:
    random = np.random.default_rng(0)
    box: Edges = np.array([100.0, 100.0, 200.0, 150.0])
    drawn = np.array([jittered(box, 1000, 800, random) for _ in range(500)])
    np.testing.assert_allclose(np.median(drawn, 0), [94, 97, 206, 153], atol=6)  # a little larger


def test_the_same_seed_draws_the_same_pictures(photos: Sequence[Prepared]) -> None:
    first, second = (Pictures(photos).batch(6, np.random.default_rng(3)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.pixels.tobytes() == other.pixels.tobytes()
        assert [box.tolist() for box in one.boxes] == [box.tolist() for box in other.boxes]


def test_generalised_iou_is_1_of_the_same_box_and_falls_with_the_gap() -> None:
    ours = torch.tensor([[2.0, 2.0, 2.0, 2.0], [-3.0, 2.0, 5.0, 2.0], [-9.0, 2.0, 11.0, 2.0]])[
        :, :, None, None
    ]
    theirs = torch.tensor([[2.0, 2.0, 2.0, 2.0]] * 3)[:, :, None, None]
    same, near, far = generalised_iou(ours, theirs).flatten().tolist()
    assert same == pytest.approx(1)
    assert 0 > near > far


def test_logistic_regression_finds_the_curve_that_drew_the_labels() -> None:
    random = np.random.default_rng(0)
    features = random.normal(5, 3, (4000, 2))
    chance = 1 / (1 + np.exp(-(0.8 * features[:, 0] - 0.4 * features[:, 1] - 1)))
    weights = logistic_regression(features, (random.random(4000) < chance).astype(float))
    np.testing.assert_allclose(weights, [0.8, -0.4, -1], atol=0.25)


@pytest.mark.slow
def test_the_same_photos_give_the_same_weights_that_can_be_loaded(
    photos: Sequence[Prepared],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(train_lite, "PICTURES", 2)
    monkeypatch.setattr(train_lite, "BATCH", 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trained = [train_lite.train(photos, "fold 7", epochs=1) for _ in range(2)]
    torch.set_num_threads(threads)
    assert "fold 7: epoch 1 of 1" in capsys.readouterr().out
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
    weights = as_weights(trained[0], read_weights().measure)
    file = tmp_path / "trained.safetensors"
    file.write_bytes(weights.to_bytes())
    assert read_weights(file).sha256 == train_lite.write(weights, tmp_path / "again.safetensors")
    load_network(read_weights(file))
