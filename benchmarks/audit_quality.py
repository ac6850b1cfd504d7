"""Does `suspicion` put wrong crops first? `python -m benchmarks.audit_quality PHOTOS [--kaggle FOLDER]`.

`lite` looks at each photo of the folder once, with weights that never saw the photo's source (as it was kept
in `data/lite_cross_validated.jsonl`, or anew with --folds), so that it has right and wrong boxes. Its right
crops, drawn with replacement, make a run of 1,000 rows of which 3 % are spoiled in the ways the original
data set fails (see `spoiled_rows`, equally often), with scores drawn from lite's own wrong boxes. Every row
goes the way of a real one: candidates, choice, record, flags, suspicion. The photos themselves are drawn
anew in each of 200 seeded draws, so the intervals (2.5 to 97.5 % of the draws) include the chance of having
these photos and no others.

What it cannot show: the right rows are a few dozen photos repeated, so odd right crops are rarer than in a
run of as many photos, which flatters all numbers. With --kaggle (by default the folder `kaggle` beside the
photos, if there is one) the same simulation runs on the geometry of 400 different Happywhale photos, and
lite's own wrong crops are ranked as they are.

Exit code 1 when a target is missed, or nothing is known of a photo.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from benchmarks.labelled_photos import LabelledPhoto, read_set
from benchmarks.lite_metrics import auroc
from benchmarks.lite_quality import cross_validated, from_folds
from benchmarks.spoiled_rows import (
    ASSUMPTIONS,
    MECHANISMS,
    RIGHT_IOU,
    Animal,
    Scores,
    boxes,
    record_of,
    spoiled,
)
from detic_crop.boxes.crop_size import crop_size
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import Box
from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.config import CropConfig
from detic_crop.detectors.lite.detector import load_lite
from detic_crop.folder.records import Record
from detic_crop.images.checks import check_crop, perceptual_hash
from detic_crop.images.crop import cut_and_resize
from detic_crop.report.comparison import doubts_of_all
from detic_crop.report.similar_hashes import different_bits, first_similar
from detic_crop.report.suspicion import IMAGE_CHECKS, doubts_of, flags_of

DRAWS = 200
ROWS = 1000
SPOILED = 30
REVIEWED = 0.10
LEAST_FOUND, LEAST_AUROC = 0.80, 0.90

Floats = NDArray[np.float64]
Suspicions = Callable[[Sequence[Record], Sequence[Sequence[str]], CropConfig], Floats]


def by_record(records: Sequence[Record], groups: Sequence[Sequence[str]], config: CropConfig) -> Floats:
    """What flags and score alone say."""
    return np.array([doubts_of(record, config).suspicion for record in records])


def in_the_run(records: Sequence[Record], groups: Sequence[Sequence[str]], config: CropConfig) -> Floats:
    """The same among all rows of the run, labels unknown."""
    return by_group(records, [()] * len(records), config)


def by_group(records: Sequence[Record], groups: Sequence[Sequence[str]], config: CropConfig) -> Floats:
    """The same among the rows of a group, as with --labels; this is what audit.csv holds."""
    return doubts_of_all(zip(records, groups, strict=True), config).suspicion


VARIANTS: dict[str, Suspicions] = {
    "flags and score alone": by_record,
    "suspicion, no labels": in_the_run,
    "suspicion, labels": by_group,
}


def found_share(suspicion: Floats, wrong: NDArray[np.bool_], reviewed: int) -> Floats:
    """(wrong,) the chance of each wrong row to be among the `reviewed` most suspicious; ties are drawn."""
    bar = np.sort(suspicion)[-reviewed]
    above = int((suspicion > bar).sum())
    at_bar = (reviewed - above) / int((suspicion == bar).sum())
    return np.where(suspicion[wrong] > bar, 1.0, np.where(suspicion[wrong] == bar, at_bar, 0.0))


def simulate(
    animals: Sequence[Animal],
    right: Sequence[Record],
    scores: Scores,
    config: CropConfig,
    variants: Sequence[str] = tuple(VARIANTS),
) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Variant → mechanism (and ``all``) → (found, AUROC) of each draw."""
    results: dict[str, dict[str, list[tuple[float, float]]]] = {}
    names = list(MECHANISMS)
    for seed in range(DRAWS):
        random = np.random.default_rng(seed)
        sample = random.integers(len(animals), size=len(animals))  # the photos of this draw
        picks = sample[random.integers(len(sample), size=ROWS - SPOILED)]
        rows = [(replace(right[i], image=f"{k}"), animals[i].group) for k, i in enumerate(picks)]
        kinds = [names[k % len(names)] for k in range(SPOILED)]
        here = [animals[i] for i in sample]
        rows += [
            spoiled(f"s{k}", MECHANISMS[kind], here, scores, config, random) for k, kind in enumerate(kinds)
        ]
        wrong = np.arange(ROWS) >= ROWS - SPOILED
        records, groups = [record for record, _ in rows], [(f"species {group}",) for _, group in rows]
        for variant in variants:
            suspicion = VARIANTS[variant](records, groups, config)
            found = found_share(suspicion, wrong, round(REVIEWED * ROWS))
            per_kind = results.setdefault(variant, {})
            for kind in ("all", *names):
                these = np.array([kind in ("all", other) for other in kinds])
                pair = (
                    float(found[these].mean()),
                    auroc(suspicion[wrong][these], suspicion[~wrong]),
                )
                per_kind.setdefault(kind, []).append(pair)
    return results


def print_results(results: dict[str, dict[str, list[tuple[float, float]]]]) -> None:
    """One table per variant: mean and interval over the draws."""
    for variant, per_kind in results.items():
        print(f"\n{variant:<24}{'found in 10 %':>24}{'AUROC':>26}")
        for kind, pairs in per_kind.items():
            found, ranked = np.array(pairs).T
            print(f"  {kind:<22}{_interval(found):>24}{_interval(ranked):>26}")


def _interval(values: Floats) -> str:
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def missed_targets(results: dict[str, dict[str, list[tuple[float, float]]]]) -> int:
    """Say which targets are met; returns how many are not."""
    missed = 0
    print()
    for variant in ("suspicion, no labels", "suspicion, labels"):
        found, ranked = np.array(results[variant]["all"]).mean(axis=0)
        for name, value, least in (("found", found, LEAST_FOUND), ("AUROC", ranked, LEAST_AUROC)):
            verdict = "met" if value >= least else "MISSED"
            missed += value < least
            print(f"target {name} ≥ {least:.2f} ({variant}): {value:.3f} {verdict}")
    return missed


# ---------------------------------------------------------------- lite and its photos


def lite_population(
    photos: Sequence[LabelledPhoto], found: Sequence[Detections], config: CropConfig
) -> tuple[list[Animal], list[Record], list[Record], Scores]:
    """Right crops with their animals, wrong crops, and the scores of both."""
    animals: list[Animal] = []
    right: list[Record] = []
    wrong: list[Record] = []
    splits: list[tuple[float, float, float]] = []
    conf = config.conf or 0.0
    for photo, detections in zip(photos, found, strict=True):
        if photo.box is None:
            continue
        size = photo.size
        record = record_of(photo.path.name, detections, size, config)
        ranked = sorted(detections.scores.tolist(), reverse=True)
        if len(ranked) > 1 and ranked[0] >= conf > ranked[1]:
            splits.append((detections.presence or 0.0, ranked[0], ranked[1]))
        if record.box is None:
            continue
        if iou_of_pair(record.box, photo.box) >= RIGHT_IOU:
            animals.append(Animal(photo.box, record.box, size, photo.source))
            right.append(record)
        else:
            wrong.append(record)
    nothing = [(p, d) for p, d in zip(photos, found, strict=True) if p.box is None and len(d)]
    scores = Scores(
        right=_scores(right),
        wrong=_scores(wrong),
        alarms=false_alarms([max(d.scores.tolist()) for _, d in nothing], conf),
        splits=splits,
        elsewhere=[_shares(d, p.size) for p, d in nothing],
    )
    return animals, right, wrong, scores


def false_alarms(scores: Sequence[float], conf: float, count: int = 1000) -> list[tuple[float, float]]:
    """Scores of boxes on photos without an animal, had one passed `conf`; none of ours does.

    Peaks over threshold (Pickands 1975) on the log-odds: beyond their upper fifth the excess is taken as
    exponential, whose tail looks the same from every threshold, so also from `conf`.
    """
    odds = np.log(np.array(scores) / (1 - np.array(scores)))
    threshold = np.quantile(odds, 0.8)
    excess = float((odds[odds > threshold] - threshold).mean())
    tail = np.log(conf / (1 - conf)) - excess * np.log1p(-(np.arange(count) + 0.5) / count)
    return [(float(p), float(p)) for p in 1 / (1 + np.exp(-tail))]


def _scores(records: Sequence[Record]) -> list[tuple[float, float]]:
    return [(record.presence or 0.0, record.score or 0.0) for record in records]


def _shares(detections: Detections, size: tuple[int, int]) -> Box:
    left, top, right, bottom = detections.edges(int(detections.scores.argmax()))
    return left / size[0], top / size[1], right / size[0], bottom / size[1]


def print_own_failures(right: Sequence[Record], wrong: Sequence[Record], config: CropConfig) -> None:
    """No simulation: how lite's own wrong crops are ranked."""
    records = [*right, *wrong]
    for variant in ("flags and score alone", "suspicion, no labels"):
        suspicion = VARIANTS[variant](records, [()] * len(records), config)
        ours, theirs = suspicion[: len(right)], suspicion[len(right) :]
        random = np.random.default_rng(0)
        again = [
            auroc(random.choice(theirs, len(theirs)), random.choice(ours, len(ours))) for _ in range(2000)
        ]
        low, high = np.quantile(again, [0.025, 0.975])
        print(f"  {variant:<24} AUROC {auroc(theirs, ours):.3f} [{low:.3f}, {high:.3f}]")


# ---------------------------------------------------------------- Happywhale


def kaggle(folder: Path, elsewhere: Sequence[Box]) -> None:
    """What the public CSVs of the competition can say."""
    full = _table(folder / "fullbody_test_charm_sample.csv")
    theirs = {row["image"]: _numbers(row["bbox"]) for row in full}
    print("\nHappywhale: boxes of the original data set (Detic) against a full-body detector's")
    for name in ("train2_sample.csv", "test2_sample.csv"):
        table = _table(folder / name)
        joined = [(row["box"], theirs[row["image"]]) for row in table if row["image"] in theirs]
        overlaps = [iou_of_pair(_numbers(box), other) for box, other in joined if box]
        print(
            f"  {name}: {len(table)} rows, {len(joined)} joined by image, {len(overlaps)} with a box, "
            f"IoU {', '.join(f'{value:.2f}' for value in overlaps) or '-'}; it has no scores"
        )
    print(
        "  too few to rank anything. Instead the simulation on the geometry of the full-body boxes, taken as"
    )
    print(
        "  right; right and wrong boxes draw from the same scores, so that only geometry and flags can tell."
    )
    config = CropConfig(model="full body", conf=0.2)
    animals, right = [], []
    for row in full:
        box, size = theirs[row["image"]], (int(row["width"]), int(row["height"]))
        score = float(row["conf"].strip("[]"))
        animals.append(Animal(box, box, size, ""))
        right.append(record_of(row["image"], boxes(score, (box, score)), size, config))
    pool = _scores(right)
    splits = [(score, score, 0.05 + 0.15 * k / len(pool)) for k, (score, _) in enumerate(pool)]
    scores = Scores(pool, pool, pool, splits, elsewhere)
    print_results(simulate(animals, right, scores, config, tuple(VARIANTS)[:2]))


def _table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _numbers(text: str) -> Box:
    left, top, right, bottom = map(float, re.findall(r"\d+", text))
    return left, top, right, bottom


# ---------------------------------------------------------------- image checks


def print_image_checks(
    photos: Sequence[LabelledPhoto], records: Sequence[Record], config: CropConfig
) -> None:
    """What they cost, and what they say of these photos."""
    large = max(photos, key=lambda photo: photo.path.stat().st_size)
    pixels = np.asarray(cv2.resize(large.pixels(), (2628, 1752), interpolation=cv2.INTER_AREA), np.uint8)
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    crop = cut_and_resize(pixels, (0, 0, 2628, 1752), crop_size(512, "stretch"))
    print("\nimage checks, ms of one core for a photo of 4.6 MP and its crop of 512 px:")
    print(
        f"  checksum {_milliseconds(lambda: zlib.crc32(data)):.2f} ({len(data) / 1e6:.1f} MB), "
        f"blur, brightness, entropy and perceptual hash {_milliseconds(lambda: check_crop(crop)):.2f}"
    )
    crops = [_crop_of(p, r) for p, r in zip(photos, records, strict=True)]
    checked = [replace(r, **check_crop(crop)._asdict()) for crop, r in zip(crops, records, strict=True)]
    flagged = {f: [r.image for r in checked if f in flags_of(r, config)] for f in sorted(IMAGE_CHECKS)}
    said = ", ".join(f"{flag} {len(names)}" for flag, names in flagged.items() if "duplicate" not in flag)
    print(f"  flags on these {len(photos)} photos: {said}")
    hashes = np.array([int(perceptual_hash(crop), 16) for crop in crops], np.uint64)
    pairs = np.array(
        [(different_bits(hashes[:i] ^ hashes[i])[j], i, j) for i in range(len(photos)) for j in range(i)], int
    )
    same = np.array([photos[i].outing == photos[j].outing for _, i, j in pairs])
    print(
        f"  least differing bits of two crops: {pairs[same, 0].min()} within an outing, "
        f"{pairs[~same, 0].min()} otherwise; flagged up to 3 of 64"
    )
    random = np.random.default_rng(0)
    many = random.integers(0, 1 << 64, 100_000, np.uint64)
    begun = time.process_time()
    first_similar(many, np.full(len(many), 1.5))
    print(f"  near duplicates among 100,000 photos: {time.process_time() - begun:.1f} s")


def _crop_of(photo: LabelledPhoto, record: Record) -> NDArray[np.uint8]:
    return cut_and_resize(photo.pixels(), record.crop_box or (0, 0, *photo.size), crop_size(512, "stretch"))


def _milliseconds(work: Callable[[], object], repeats: int = 9) -> float:
    spent = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return 1000 * min(spent)


def print_judging_time(right: Sequence[Record], config: CropConfig) -> None:
    """How long the doubts of a large run take."""
    many = [replace(right[i % len(right)], image=str(i), crop_hash="") for i in range(100_000)]
    begun = time.process_time()
    doubts_of_all(((record, (f"species {i % 26}",)) for i, record in enumerate(many)), config)
    print(f"  suspicion of 100,000 rows in 26 groups: {time.process_time() - begun:.1f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--folds", type=Path, help="folder of weights that never saw a fold")
    parser.add_argument("--kaggle", type=Path, help="folder with the CSVs of the competition")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    photos = read_set(arguments.photos)
    config = CropConfig(model="lite", conf=load_lite().info.default_conf)
    said = from_folds(photos, arguments.folds) if arguments.folds else cross_validated(photos)
    if not said:
        return 1
    found = [each.found for each in said]
    animals, right, wrong, scores = lite_population(photos, found, config)
    print(
        f"{ROWS} cropped rows drawn from {len(right)} right crops of lite (unseen sources, "
        f"--conf {config.conf}), {SPOILED} of them spoiled;\n"
        f"scores from {len(scores.wrong)} wrong boxes on photos with an animal, "
        f"{len(scores.splits)} photos with two boxes,\n"
        f"and the tail of {len(scores.elsewhere)} photos without an animal;\n"
        f"{DRAWS} draws; mean and 95 % interval; the label is the photo's source. The right rows are "
        "few photos\nrepeated: odd right crops are rarer than in a real run, which flatters the numbers\n\n"
        f"{ASSUMPTIONS}"
    )
    results = simulate(animals, right, scores, config)
    print_results(results)
    missed = missed_targets(results)
    print(f"\nnot simulated: lite's own {len(wrong)} wrong crops among its {len(right)} right ones")
    print_own_failures(right, wrong, config)
    folder = arguments.kaggle or arguments.photos.parent / "kaggle"
    if folder.is_dir():
        kaggle(folder, scores.elsewhere)
    records = [
        record_of(photo.path.name, detections, photo.size, config)
        for photo, detections in zip(photos, found, strict=True)
    ]
    print_image_checks(photos, records, config)
    print_judging_time(right, config)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
