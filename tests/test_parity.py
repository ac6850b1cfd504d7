"""The four Detic models against the reference implementation, see `tests/data/README.md`.

Filled weights on the synthetic image, float32 on the CPU. The bounds are in `parity_checks`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detic_crop.detectors.detic.build import VARIANTS
from detic_crop.detectors.detic.detector import DeticDetector
from detic_crop.detectors.detic.optimise import optimise
from detic_crop.detectors.detic.preprocess import normalise
from detic_crop.detectors.detic.select import select
from tests.filled_weights import DATA, SHORT_NAMES
from tests.parity_checks import FEATURE_BOUND, SCORE_FLOOR, agreement, filled_detector

# Of the maps with many cells only every n-th channel is kept.
_CHANNEL_STEPS = {"p3": 16, "p4": 16, "p5": 8, "p6": 2, "p7": 1}


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


def test_the_comparison_notices_differences() -> None:
    """A check that cannot fail proves nothing: one moved box, one other class, one other score."""
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 300, (200, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + generator.uniform(10, 90, (200, 2))], axis=1).astype(
        np.float32
    )
    scores = generator.uniform(0.3, 1, 200).astype(np.float32)
    classes = generator.integers(0, 5, 200)
    same = agreement(boxes, scores, classes, boxes[::-1], scores[::-1], classes[::-1])
    assert (same.n_matched, same.score_difference, same.pixels, same.holds) == (200, 0.0, 0.0, True)

    moved, other, weaker = boxes.copy(), classes.copy(), scores.copy()
    moved[0] += 1
    other[1] += 1
    weaker[2] -= 0.002
    changed = agreement(moved, weaker, other, boxes, scores, classes)
    assert (changed.n_matched, changed.holds) == (197, False)
    assert not agreement(boxes[3:], scores[3:], classes[3:], boxes, scores, classes).holds
