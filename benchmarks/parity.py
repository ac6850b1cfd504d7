"""Hold the four Detic models against the reference implementation on the two shared photos.

    python -m benchmarks.parity ../shared [--model detic-r18] [--precision bfloat16] [--device cuda]

Filled weights instead of the published ones, through the whole preprocessing (shortest side 480 px). Prints a
table ("equal": to rounding; "near": the same box by class, score and place); exit code 1 when a box has no
partner (`tests.kit.parity_checks`), 2 on wrong use. Half precision is only reported: filled weights have many
boxes that are nearly tied.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from detic_crop.config import Precision
from detic_crop.detectors.detic.build import VARIANTS
from detic_crop.detectors.detic.detector import DEFAULT_CONF, DeticDetector
from detic_crop.detectors.detic.preprocess import longest_for, normalise, resize, resized_hw
from tests.kit.filled_weights import SHORT_NAMES
from tests.kit.parity_checks import SCORE_FLOOR, Agreement, agreement, filled_detector, pairwise_iou

_SHORTEST = 480
_COLUMNS = "{:<15} {:<24} {:<10} {:>6} {:>7} {:>7} {:>5} {:>10}  {}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", type=Path, help="the folder with parity/goldens and photos/parity")
    parser.add_argument("--model", choices=VARIANTS, action="append", help="only this one (may be repeated)")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plain", action="store_true", help="the network as it is written, not made fast")
    options = parser.parse_args()
    photos = sorted((options.shared / "photos" / "parity").iterdir())
    if not photos:
        parser.error(f"expected photos in {options.shared / 'photos' / 'parity'}, got none")
    if options.precision == "float32":
        print(
            _COLUMNS.format(
                "model", "photo", "what", "ours", "golden", "equal", "near", "|Δ score|", "|Δ edge| px"
            )
        )
    missed = 0
    for model in options.model or VARIANTS:
        detector = filled_detector(
            model, 0, _SHORTEST, options.precision, options.device, optimised=not options.plain
        )
        for photo in photos:
            golden = np.load(options.shared / "parity" / "goldens" / f"{SHORT_NAMES[model]}_{photo.stem}.npz")
            image = cv2.imread(str(photo))
            if image is None:
                parser.error(f"cannot read {photo}")
            pixels = np.asarray(image, np.uint8)
            if options.precision != "float32":
                print(f"{model:<15} {photo.stem:<24} {describe_rough(detector, pixels, golden)}", flush=True)
                continue
            started = time.perf_counter()
            results = {"boxes": compare_boxes(detector, pixels, golden)}
            seconds = time.perf_counter() - started
            results["proposals"] = compare_proposals(detector, pixels, golden)
            for what, result in results.items():
                missed += not result.holds
                edge = f"{result.pixels:.1e}{'' if result.holds else '  MISSED'}"
                counts = result.n_ours, result.n_golden, result.n_close, result.n_near
                print(
                    _COLUMNS.format(model, photo.stem, what, *counts, f"{result.score_difference:.1e}", edge)
                )
            print(f"{'':<15} {seconds:.2f} s", flush=True)
    return 1 if missed else 0


def compare_boxes(
    detector: DeticDetector, image: NDArray[np.uint8], golden: np.lib.npyio.NpzFile
) -> Agreement:
    """Final boxes, in pixels of the photo."""
    found = detector.detect(image)
    good = found.scores > SCORE_FLOOR
    classes = np.array([int(name) for name in found.class_names], np.int64)
    return agreement(
        found.xyxy[good],
        found.scores[good],
        classes[good],
        golden["boxes"],
        golden["scores"],
        golden["classes"],
    )


def compare_proposals(
    detector: DeticDetector, image: NDArray[np.uint8], golden: np.lib.npyio.NpzFile
) -> Agreement:
    """Boxes of the first stage, in pixels of the network's input."""
    small = resize(image, resized_hw((image.shape[0], image.shape[1]), _SHORTEST, longest_for(_SHORTEST)))
    if small.shape != tuple(golden["resized"]):
        print(f"expected a photo resized to {tuple(golden['resized'])}, got {small.shape}", file=sys.stderr)
    rgb = torch.from_numpy(small[:, :, ::-1].transpose(2, 0, 1).copy()).to(detector.vocabulary.device)
    with torch.inference_mode():
        network = detector.network
        found = network.propose(network.features(normalise(rgb)[None]))[0]
    boxes, scores = found.boxes.cpu().numpy(), found.scores.cpu().numpy()
    return agreement(
        boxes,
        scores,
        np.zeros(len(boxes), np.int64),
        golden["proposal_boxes"],
        golden["proposal_scores"],
        np.zeros(len(golden["proposal_boxes"]), np.int64),
    )


def describe_rough(detector: DeticDetector, image: NDArray[np.uint8], golden: np.lib.npyio.NpzFile) -> str:
    """How far half precision is from float32: the box that would be chosen, and all boxes."""
    found = detector.detect(image)
    good, sure = found.scores > SCORE_FLOOR, golden["scores"] >= DEFAULT_CONF
    overlap = pairwise_iou(found.xyxy[good], golden["boxes"])  # (N, M)
    near = float((overlap.max(axis=0) >= 0.9).mean())
    ours, theirs = found.areas[found.scores >= DEFAULT_CONF], golden["boxes"][sure]
    if not len(ours) or not len(theirs):
        return f"{len(ours)} sure boxes, {len(theirs)} expected"
    chosen = found.xyxy[found.scores >= DEFAULT_CONF][ours.argmax()][None]
    expected = theirs[(theirs[:, 2:] - theirs[:, :2]).prod(axis=1).argmax()][None]
    return (
        f"{len(overlap)} boxes, {overlap.shape[1]} expected, {near:.0%} of these with one of IoU ≥ 0.9; "
        f"largest sure box: IoU {pairwise_iou(chosen, expected)[0, 0]:.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
