"""The four Detic models against the reference implementation, see `tests/data/README.md`.

Filled weights on the synthetic image, float32 on the CPU. The bounds are in `parity_checks`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from detic_crop.detectors.detic.build import VARIANTS
from detic_crop.detectors.detic.detector import DeticDetector
from detic_crop.detectors.detic.optimise import optimise
from detic_crop.detectors.detic.preprocess import normalise
from detic_crop.detectors.detic.select import select
from tests.kit.filled_weights import DATA, SHORT_NAMES
from tests.kit.parity_checks import FEATURE_BOUND, SCORE_FLOOR, Agreement, agreement, filled_detector

# Of the maps with many cells only every n-th channel is kept.
_CHANNEL_STEPS = {"p3": 16, "p4": 16, "p5": 8, "p6": 2, "p7": 1}


@pytest.mark.slow
@pytest.mark.parametrize("model", VARIANTS)
def test_equals_the_reference(model: str) -> None:
    """As it is written, and then made fast."""
    detector = filled_detector(model, optimised=False)
    _check(detector, model)
    optimise(detector.network, "cpu")
    _check(detector, model)


def _check(detector: DeticDetector, model: str) -> None:
    golden = np.load(DATA / f"{SHORT_NAMES[model]}_synthetic.npz")
    rgb = np.load(DATA / "synthetic_image.npz")["image"]  # (320, 480, 3) uint8
    pixels = normalise(torch.from_numpy(rgb).permute(2, 0, 1))[None]
    assert pixels.shape == (1, 3, 320, 480)
    size = (320, 480)

    with torch.inference_mode():
        features = detector.network.features(pixels)
        proposals = detector.network.propose(features)
        ((boxes, scores),) = detector.network.refine(features, proposals, [size], detector.vocabulary)
        found = select(boxes, scores, size, SCORE_FLOOR)

    for (level, step), ours in zip(_CHANNEL_STEPS.items(), features, strict=True):
        expected = golden[f"feature_{level}"]
        assert ours.shape[1] == 256
        difference = np.abs(ours[0, ::step].numpy() - expected).max() / expected.std()
        assert difference <= FEATURE_BOUND, (level, difference)

    none = np.zeros(len(golden["proposal_scores"]), np.int64)
    first_stage = agreement(
        proposals[0].boxes.numpy(),
        proposals[0].scores.numpy(),
        np.zeros(len(proposals[0].scores), np.int64),
        golden["proposal_boxes"],
        golden["proposal_scores"],
        none,
    )
    assert first_stage.n_golden == 256
    assert first_stage.holds, first_stage

    final = agreement(
        found.boxes.numpy(),
        found.scores.numpy(),
        found.classes.numpy(),
        golden["boxes"],
        golden["scores"],
        golden["classes"],
    )
    assert final.n_golden > 250
    assert final.holds, final


Golden = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
"""(N, 4) xyxy boxes, (N,) scores, (N,) classes."""


@pytest.fixture
def golden() -> Golden:
    """200 boxes of 10 to 90 px a side, none of which overlap."""
    generator = np.random.default_rng(0)
    corners = np.stack([100 * (np.arange(200) % 20), 100 * (np.arange(200) // 20)], axis=1)
    boxes = np.concatenate([corners, corners + generator.uniform(10, 90, (200, 2))], axis=1)
    scores = generator.uniform(0.3, 1, 200)
    return boxes.astype(np.float32), scores.astype(np.float32), generator.integers(0, 5, 200)


def test_the_same_boxes_in_another_order_agree(golden: Golden) -> None:
    same = agreement(golden[0][::-1], golden[1][::-1], golden[2][::-1], *golden)
    assert same == Agreement(200, 200, n_close=200, n_near=0, score_difference=0.0, pixels=0.0)
    assert same.holds


def test_rounding_agrees(golden: Golden) -> None:
    """Every edge moved by less than 0.01 px, which is much of a sliver; or a few by more, at IoU ≥ 0.95."""
    boxes, scores, classes = golden
    slivers, near = boxes.copy(), boxes.copy()
    slivers[:, 2] = slivers[:, 0] + 0.2
    near[:10, 2] += 0.03 * (near[:10, 2] - near[:10, 0])
    result = agreement(slivers + 0.005, scores + 0.0005, classes, slivers, scores, classes)
    assert (result.n_close, result.n_near, result.holds) == (200, 0, True)
    result = agreement(near, scores, classes, *golden)
    assert (result.n_close, result.n_near, result.holds) == (190, 10, True)


def test_one_wrong_box_of_200_is_noticed(golden: Golden) -> None:
    """A check that cannot fail proves nothing."""
    boxes, scores, classes = golden
    assert not agreement(boxes[1:], scores[1:], classes[1:], *golden).holds  # dropped
    assert not agreement(*golden, boxes[1:], scores[1:], classes[1:]).holds  # invented
    moved, rescored, reclassed = boxes.copy(), scores.copy(), classes.copy()
    moved[7, [0, 2]] += 0.06 * (boxes[7, 2] - boxes[7, 0])
    rescored[7] -= 0.002
    reclassed[7] += 1
    for changed in (
        (moved, scores, classes),
        (boxes, rescored, classes),
        (boxes, scores, reclassed),
        # One found twice in another's stead, the counts being equal: partners are one to one.
        tuple(np.concatenate([values[1:], values[1:2]]) for values in golden),
    ):
        for one, other in ((changed, golden), (golden, changed)):
            result = agreement(*one, *other)
            assert result.n_close + result.n_near == 199
            assert not result.holds


def test_many_that_are_only_near_are_noticed(golden: Golden) -> None:
    boxes, scores, classes = golden
    near = boxes.copy()
    near[:11, 2] += 0.03 * (near[:11, 2] - near[:11, 0])
    result = agreement(near, scores, classes, *golden)
    assert (result.n_close, result.n_near, result.holds) == (189, 11, False)


def test_as_many_find_a_partner_as_can() -> None:
    """The first may have either, the second one of them only: each gets one, in whatever order they come."""
    wide, first, second = [0, 0, 100, 100], [0, 0, 104, 100], [0, 0, 97, 100]
    golden = np.array([wide, second], np.float32)
    scores, classes = np.ones(2, np.float32), np.zeros(2, np.int64)
    for order in ([0, 1], [1, 0]):
        ours = np.array([wide, first], np.float32)[order] + np.float32(0.02)
        result = agreement(ours, scores, classes, golden, scores, classes)
        assert (result.n_close, result.n_near) == (0, 2)


def test_no_boxes_agree() -> None:
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    one = np.array([[0, 0, 9, 9]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64)
    assert agreement(*none, *none).holds
    assert not agreement(*none, *one).holds
    assert not agreement(*one, *none).holds
