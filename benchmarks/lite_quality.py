"""How good is `lite`? `python -m benchmarks.lite_quality PHOTOS_FOLDER [--sheet OUT.png]`.

Prints one table: the naive localiser, `lite` with heads that never saw the photo's outing, the same with
heads that never saw its whole source (harder: another camera, another sea), `lite` as shipped (fitted on
these very photos), and the target. Everything is computed here; the constants of `lite_boxes` and
`lite_evidence` were chosen by hand on the same photos, which no cross-validation shows.

A positive whose boxes all score below conf counts with the whole photo as its box. AUROC and false alarms use
`presence`; false alarms: negatives at or above the presence that 90 % of the positives reach.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.fit_lite import (
    Photo,
    best_score,
    calibrated_conf,
    cross_validate,
    gather,
    groups,
    read_photos,
)
from detic_crop.boxes.choose import choose
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.detectors.lite.backbone import LiteNetwork, load_network
from detic_crop.detectors.lite.boxes import area, overlap
from detic_crop.detectors.lite.detector import CLASS_NAME, LiteDetector, load_lite
from detic_crop.detectors.lite.evidence import Box, Pixels, look, overview_picture

NAIVE_CLASSES = (2, 3, 4, 147, 148, 149, 150)  # sharks and marine mammals
NAIVE_THRESHOLD = 0.3  # of the map's range
CROP_SCALE = 1.2
SUBSETS = ("above water", "under water/pool", "multi")
TARGET = ("target", "≥0.72", "≥0.85", "≥0.88", "≥0.97", "≤0.08", "≤200", "", "", "")
HEADINGS = ("lite", "mean IoU", "IoU≥0.5", "cov90", "AUROC", "false al.", "ms", *SUBSETS)


@dataclass(frozen=True)
class Result:
    """What one detector said about all photos."""

    name: str
    detections: Sequence[Detections]
    confs: Sequence[float]
    milliseconds: float | None = None


def naive(network: LiteNetwork, pixels: Pixels) -> Detections:
    """One scale, posterior of the classes per cell, fixed threshold, heaviest component."""
    view = look(network, overview_picture(pixels))
    with torch.inference_mode():
        logits = network.logits(view.coarse)[0]  # (h, w, 1000)
        posterior = logits.softmax(2)[..., list(NAIVE_CLASSES)].sum(2).numpy()
        presence = float(logits.mean((0, 1)).softmax(0)[list(NAIVE_CLASSES)].sum().clamp(0, 1))
    height, width = pixels.shape[:2]
    rows, columns = (16 * side for side in posterior.shape)
    evidence = cv2.resize(posterior, (columns, rows), interpolation=cv2.INTER_LINEAR)
    bar = evidence.min() + NAIVE_THRESHOLD * (evidence.max() - evidence.min())
    _, labels = cv2.connectedComponents((evidence > bar).astype(np.uint8))
    weights = np.bincount(labels.ravel(), evidence.ravel().astype(np.float64))
    if len(weights) < 2:
        return Detections.empty(presence)
    ys, xs = np.nonzero(labels == 1 + int(weights[1:].argmax()))
    cells = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    box = cells * np.array([width / columns, height / rows] * 2)
    return Detections(box[None].astype(np.float32), np.array([presence], np.float32), (CLASS_NAME,), presence)


def chosen_box(detections: Detections, conf: float, photo_size: tuple[int, int]) -> Box:
    """The raw box a run would choose; the whole photo (width, height) where it finds none."""
    index = choose(detections, (CLASS_NAME,), conf).index
    if index is None:
        return 0.0, 0.0, float(photo_size[0]), float(photo_size[1])
    left, top, right, bottom = (float(edge) for edge in detections.xyxy[index])
    return left, top, right, bottom


def covered(box: Box, truth: Box, photo_size: tuple[int, int]) -> float:
    """Share of the truth inside the box enlarged 1.2× (cut to the photo, which holds the truth anyway)."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_width, half_height = CROP_SCALE * (box[2] - box[0]) / 2, CROP_SCALE * (box[3] - box[1]) / 2
    crop = (
        max(0.0, x - half_width),
        max(0.0, y - half_height),
        min(float(photo_size[0]), x + half_width),
        min(float(photo_size[1]), y + half_height),
    )
    return overlap(crop, truth) / area(truth)


def auroc(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Share of pairs in the right order, ties half."""
    difference = positives[:, None] - negatives[None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def overlaps(
    result: Result, photos: Sequence[Photo], sizes: Sequence[tuple[int, int]]
) -> Sequence[float | None]:
    """IoU of the chosen box of each positive; None for negatives."""
    return [
        None if photo.box is None else iou_of_pair(chosen_box(found, conf, size), photo.box)
        for found, conf, photo, size in zip(result.detections, result.confs, photos, sizes, strict=True)
    ]


def row(result: Result, photos: Sequence[Photo], sizes: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """One line of the table."""
    found = [value for value in overlaps(result, photos, sizes) if value is not None]
    ious = np.array(found)
    positives = [i for i, photo in enumerate(photos) if photo.box is not None]
    coverage = np.array(
        [
            covered(chosen_box(result.detections[i], result.confs[i], sizes[i]), box, sizes[i])
            for i in positives
            if (box := photos[i].box) is not None
        ]
    )
    presence = np.array([float(found.presence or 0.0) for found in result.detections])
    here = np.array([photo.box is not None for photo in photos])
    bar = np.quantile(presence[here], 0.1)
    kinds = [photos[i].kind for i in positives]
    masks = (
        np.array([kind == "above_water" for kind in kinds]),
        np.array([kind in ("underwater", "aquarium") for kind in kinds]),
        np.array([photos[i].several for i in positives]),
    )
    return (
        result.name,
        f"{ious.mean():.3f}",
        f"{(ious >= 0.5).mean():.3f}",
        f"{(coverage >= 0.9).mean():.3f}",
        f"{auroc(presence[here], presence[~here]):.3f}",
        f"{(presence[~here] >= bar).mean():.3f}",
        "" if result.milliseconds is None else f"{result.milliseconds:.0f}",
        *(f"{ious[mask].mean():.3f} ({mask.sum()})" if mask.any() else "" for mask in masks),
    )


def left_out_confs(found: Sequence[Detections], photos: Sequence[Photo]) -> list[float]:
    """For each photo the conf calibrated on all other outings."""
    scores = np.array([best_score(detections) for detections in found])
    present = np.array([photo.box is not None for photo in photos])
    confs = np.zeros(len(photos))
    for indices in groups(photos, lambda photo: photo.outing):
        used = np.ones(len(photos), bool)
        used[indices] = False
        confs[indices] = calibrated_conf(scores[used], present[used])
    return confs.tolist()


def passes(result: Result, photos: Sequence[Photo]) -> tuple[float, float]:
    """Share of positives and of negatives with a box that reaches conf."""
    eligible = np.array(
        [
            best_score(found) >= np.float32(conf)
            for found, conf in zip(result.detections, result.confs, strict=True)
        ]
    )
    here = np.array([photo.box is not None for photo in photos])
    return float(eligible[here].mean()), float(eligible[~here].mean())


def milliseconds_per_photo(
    detector: LiteDetector,
    photos: Sequence[Photo],
    threads: int,
    clock: Callable[[], float],
    repeats: int = 7,
) -> float:
    """Fastest of several runs on a 4.6 MP JPEG, decoding included.

    Args:
        threads: for torch and OpenCV alike.
        clock: in seconds; `time.process_time` on one thread is fair even on a busy machine.
    """
    large = max(photos, key=lambda photo: photo.path.stat().st_size if photo.box else 0)
    pixels = cv2.resize(large.pixels(), (2628, 1752), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    spent = []
    for _ in range(repeats):
        start = clock()
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        detector.detect(np.asarray(decoded, np.uint8))
        spent.append(clock() - start)
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])
    return 1000 * min(spent)


def contact_sheet(
    result: Result, photos: Sequence[Photo], sizes: Sequence[tuple[int, int]], path: Path
) -> None:
    """The 24 worst positives and the six most animal-like negatives: truth green, chosen box white."""
    found = overlaps(result, photos, sizes)
    worst = sorted((i for i, value in enumerate(found) if value is not None), key=lambda i: found[i] or 0.0)[
        :24
    ]
    alarms = [i for i, value in enumerate(found) if value is None]
    alarms = sorted(alarms, key=lambda i: -float(result.detections[i].presence or 0.0))[:6]
    tiles = [
        _tile(
            photos[i], chosen_box(result.detections[i], result.confs[i], sizes[i]), _caption(result, found, i)
        )
        for i in worst + alarms
    ]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 6)
    rows = [np.hstack(tiles[i : i + 6]) for i in range(0, len(tiles), 6)]
    cv2.imwrite(str(path), np.vstack(rows))


def _caption(result: Result, found: Sequence[float | None], index: int) -> str:
    value = found[index]
    presence = float(result.detections[index].presence or 0.0)
    return f"p {presence:.2f}" + ("" if value is None else f" IoU {value:.2f}")


def _tile(photo: Photo, box: Box, caption: str, width: int = 320, height: int = 240) -> Pixels:
    pixels = photo.pixels()
    scale = min(width / pixels.shape[1], (height - 16) / pixels.shape[0])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for edges, colour in ((photo.box, (0, 255, 0)), (box, (255, 255, 255))):
        if edges is not None:
            corners = [round(edge * scale) for edge in edges]
            cv2.rectangle(small, (corners[0], corners[1]), (corners[2] - 1, corners[3] - 1), colour, 1)
    tile = np.zeros((height, width, 3), np.uint8)
    tile[16 : 16 + small.shape[0], : small.shape[1]] = small[: height - 16, :width]
    cv2.putText(
        tile,
        f"{caption} {photo.path.stem[-28:]}",
        (2, 12),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.38,
        (255, 255, 255),
        1,
    )
    return tile


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of the worst cross-validated cases")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    photos = read_photos(arguments.photos)
    network, shipped = load_network(), load_lite()
    sizes = [(pixels.shape[1], pixels.shape[0]) for pixels in (photo.pixels() for photo in photos)]
    evidence = gather(network, photos)
    by_outing = cross_validate(network, evidence, lambda photo: photo.outing)
    by_source = cross_validate(network, evidence, lambda photo: photo.source)
    everywhere = [shipped.info.default_conf] * len(photos)
    results = [
        Result("naive", [naive(network, photo.pixels()) for photo in photos], [0.0] * len(photos)),
        Result("cross-validated by outing", by_outing, left_out_confs(by_outing, photos)),
        Result("cross-validated by source", by_source, left_out_confs(by_source, photos)),
        Result(
            "as shipped (saw these)",
            [shipped.detect(photo.pixels()) for photo in photos],
            everywhere,
            milliseconds_per_photo(shipped, photos, 2, time.perf_counter),
        ),
    ]
    table = [HEADINGS, *(row(result, photos, sizes) for result in results), TARGET]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADINGS))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print(f"\ndefault conf as shipped: {shipped.info.default_conf:.2f}")
    for result in results[1:]:
        there, false = passes(result, photos)
        confs = f"conf {min(result.confs):.2f} to {max(result.confs):.2f}"
        print(f"{result.name}: {confs}, positives that pass {there:.3f}, false alarms {false:.3f}")
    processor = milliseconds_per_photo(shipped, photos, 1, time.process_time)
    print(
        f"ms is wall clock on two threads; on one thread a photo takes {processor:.0f} ms of processor time"
    )
    if arguments.sheet:
        contact_sheet(results[1], photos, sizes, arguments.sheet)


if __name__ == "__main__":
    main()
