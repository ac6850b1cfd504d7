"""Average precision, against pycocotools on random sets, and by hand."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detic_crop.boxes.average_precision import BoxesOfPhotos, average_precision


def of_photos(boxes: list[tuple[int, list[float], float]]) -> BoxesOfPhotos:
    photos, xyxy, scores = zip(*boxes, strict=True) if boxes else ((), (), ())
    return BoxesOfPhotos(
        np.array(photos, np.int64), np.array(xyxy, np.float64).reshape(-1, 4), np.array(scores, np.float64)
    )


def random_set(seed: int) -> tuple[BoxesOfPhotos, BoxesOfPhotos, int]:
    """Found boxes, near true ones and elsewhere, true ones, and the number of photos; scores have ties."""
    random = np.random.default_rng(seed)
    n_photos = int(random.integers(1, 60))
    found, truth = [], []
    for photo in range(n_photos):
        for _ in range(int(random.integers(0, 4))):
            left, top = random.uniform(0, 500, 2)
            box = np.array([left, top, *(np.array([left, top]) + random.uniform(20, 400, 2))])
            truth.append((photo, box.tolist(), 1.0))
            for _ in range(int(random.integers(0, 3))):
                sides = np.tile(box[2:] - box[:2], 2)
                near = box + random.normal(0, random.choice([0.0, 0.02, 0.1, 0.3]), 4) * sides
                near = np.array([*np.minimum(near[:2], near[2:]), *np.maximum(near[:2], near[2:]) + 1])
                found.append((photo, near.tolist(), round(float(random.uniform()), 2)))
        many = 130 if random.uniform() < 0.05 else 2
        for _ in range(int(random.integers(0, many))):
            left, top = random.uniform(0, 500, 2)
            sides = random.uniform(10, 300, 2)
            box = np.array([left, top, left + sides[0], top + sides[1]])
            found.append((photo, box.tolist(), round(float(random.uniform()), 2)))
    return of_photos(found), of_photos(truth), n_photos


def by_pycocotools(found: BoxesOfPhotos, truth: BoxesOfPhotos, n_photos: int) -> NDArray[np.float64]:
    """AP, AP at 0.5 and AP at 0.75."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")

    def items(boxes: BoxesOfPhotos) -> list[dict[str, Any]]:
        return [
            {
                "id": number + 1,
                "image_id": int(photo) + 1,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "area": (box[2] - box[0]) * (box[3] - box[1]),
                "score": score,
            }
            for number, (photo, box, score) in enumerate(
                zip(boxes.photos, boxes.xyxy.tolist(), boxes.scores.tolist(), strict=True)
            )
        ]

    with contextlib.redirect_stdout(io.StringIO()):
        true, detected = coco.COCO(), coco.COCO()
        for made, boxes in ((true, truth), (detected, found)):
            images = [{"id": number + 1} for number in range(n_photos)]
            made.dataset = {
                "images": images,
                "categories": [{"id": 1, "name": "animal"}],
                "annotations": items(boxes),
            }
            made.createIndex()
        evaluated = cocoeval.COCOeval(true, detected, "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    stats: NDArray[np.float64] = evaluated.stats[:3]
    return stats


@pytest.mark.parametrize("seed", range(25))
def test_it_is_that_of_pycocotools(seed: int) -> None:
    found, truth, n_photos = random_set(seed)
    ours = average_precision(found, truth)
    theirs = by_pycocotools(found, truth, n_photos)
    if ours is None:
        assert (theirs == -1).all()
    else:
        assert np.allclose([ours.mean, ours.at_50, ours.at_75], theirs, rtol=0, atol=1e-9)


def test_without_boxes() -> None:
    true = of_photos([(0, [0, 0, 10, 10], 1.0)])
    assert average_precision(true, of_photos([])) is None
    assert average_precision(of_photos([]), true) == (0.0, 0.0, 0.0)


def test_a_sure_false_alarm_halves_the_precision() -> None:
    truth = of_photos([(0, [0, 0, 10, 10], 1.0)])
    right, wrong = (0, [0.0, 0, 10, 10], 0.5), (1, [0.0, 0, 10, 10], 0.9)
    assert average_precision(of_photos([right, wrong]), truth) == (0.5, 0.5, 0.5)
    unsure = (1, [0.0, 0, 10, 10], 0.4)
    assert average_precision(of_photos([right, unsure]), truth) == (1.0, 1.0, 1.0)


def test_the_overlap_decides_which_thresholds_a_box_passes() -> None:
    truth = of_photos([(0, [0, 0, 10, 10], 1.0)])
    found = average_precision(of_photos([(0, [0, 0, 10, 8], 0.5)]), truth)  # IoU 0.8: 0.5 … 0.8 of ten
    assert found is not None
    assert found == pytest.approx((0.7, 1.0, 1.0))


def test_a_true_box_is_hit_once() -> None:
    truth = of_photos([(0, [0, 0, 10, 10], 1.0), (0, [100, 0, 110, 10], 1.0)])
    twice = [(0, [0.0, 0, 10, 10], 0.9), (0, [0.0, 0, 10, 10], 0.8)]
    found = average_precision(of_photos(twice), truth)
    assert found is not None
    assert found.at_50 == pytest.approx(51 / 101)  # recall 0.5 at precision 1: 0, 0.01 … 0.5
