"""How good is `lite`? `python -m benchmarks.lite_quality SET [SET …] [--folds DIR] [--sheet OUT.png]`.

Each SET is a folder of labelled photos (see `labelled_photos`). Measured are `lite` as shipped, which was
fitted on some or all of these photos, and `lite` cross-validated: each photo is shown to weights that never
saw its source (or outing). With `--folds DIR` these are the files `fold-K.safetensors` of
`benchmarks.train_lite`, where `folds.json` says which photo is in which fold; the option may be repeated.
Without it their boxes are those that were kept in `data/lite_cross_validated.jsonl`, if there are any of
every photo; else only `lite` as shipped is measured.

A positive whose boxes all score below conf counts with the whole photo as its box. Figures are given with
their 95 % interval by bootstrap over sources: 2,000 draws, always the same ones.

`--predictions FILE` keeps all boxes, and `--saved FILE` makes the tables from such a file again. `--before
FILE` adds the rows of an earlier version's file, and what has changed since, photo by photo.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.labelled_photos import NEGATIVE, Box, LabelledPhoto, read_sets
from benchmarks.lite_metrics import (
    COVERED,
    Bools,
    Figure,
    Floats,
    Measured,
    Prediction,
    Statistic,
    at_reached,
    auroc_of,
    calibration_error,
    chosen_box,
    draws_of,
    figure,
    mean_over,
    measure,
    ratio,
    read_predictions,
    reliability,
    write_predictions,
)
from benchmarks.spoiled_rows import RIGHT_IOU
from detic_crop.detectors.lite.detector import LiteDetector, load_lite

CROSS_VALIDATED = Path(__file__).with_name("data") / "lite_cross_validated.jsonl"
"""Boxes in photos of three sets by weights that never saw their sources, kept with --predictions."""
SHIPPED = "as shipped"
SIZES = (("box below 5 % of the photo", 0.0, 0.05), ("5 to 25 %", 0.05, 0.25), ("25 % and more", 0.25, 1.01))
TARGET = ("target", "≥ 0.73", "≥ 0.86", "≥ 0.87", "≥ 0.97", "≥ 0.93", "≤ 0.06", "≥ 0.80")
HEADINGS = ("", "mean IoU", "IoU ≥ 0.5", "cov90", "AUROC", "found", "false alarms", "suspicion")


@dataclass(frozen=True, eq=False)
class Row:
    """A detector in the tables.

    Attributes:
        name: what it is called.
        predictions: one for each photo.
        measured: the same, compared with the truth.
    """

    name: str
    predictions: Sequence[Prediction]
    measured: Measured

    @classmethod
    def of(cls, name: str, photos: Sequence[LabelledPhoto], said: Mapping[str, Prediction]) -> Row:
        """Return the row of these photos.

        Raises:
            SystemExit: nothing was said of one of them.
        """
        missing = [photo.key for photo in photos if photo.key not in said]
        if missing:
            raise SystemExit(
                f"expected predictions of all {len(photos)} photos for {name!r}, got none of {missing[0]} "
                f"and {len(missing) - 1} more; make them again with --predictions, from the same sets"
            )
        predictions = [said[photo.key] for photo in photos]
        return cls(name, predictions, measure(photos, predictions))


# ---------------------------------------------------------------- the detectors


def shipped(photos: Sequence[LabelledPhoto], detector: LiteDetector) -> list[Prediction]:
    """What pip installs."""
    conf = detector.info.default_conf
    return [Prediction(SHIPPED, photo.key, conf, detector.detect(photo.pixels())) for photo in photos]


def from_folds(photos: Sequence[LabelledPhoto], folder: Path) -> list[Prediction]:
    """Each photo's boxes by the weights of its fold, at their own conf."""
    fold_of = read_folds(folder, photos)
    name = f"cross-validated, by {kept_together(fold_of, photos)}"
    found = {}
    for fold in sorted(set(fold_of.values())):
        detector = load_fold(folder, fold)
        conf = detector.info.default_conf
        for photo in photos:
            if fold_of[photo.key] == fold:
                found[photo.key] = Prediction(name, photo.key, conf, detector.detect(photo.pixels()))
    return [found[photo.key] for photo in photos]


def cross_validated(photos: Sequence[LabelledPhoto]) -> list[Prediction]:
    """Each photo's boxes by weights that never saw its source, as they were when the weights were made.

    None at all, and a line that says why, where those of a photo were not kept.
    """
    (kept,) = read_predictions(CROSS_VALIDATED).values()
    missing = [photo.key for photo in photos if photo.key not in kept]
    if missing:
        print(
            f"not cross-validated: no boxes of {missing[0]} and {len(missing) - 1} more of {len(photos)} "
            f"photos are kept in {CROSS_VALIDATED.name}; pass --folds\n"
        )
        return []
    return [kept[photo.key] for photo in photos]


def load_fold(folder: Path, fold: int) -> LiteDetector:
    """Load the detector whose weights never saw the photos of this fold."""
    return load_lite(file=fold_file(folder, fold))


def fold_file(folder: Path, fold: int) -> Path:
    """Return the file of weights that never saw the photos of this fold."""
    return folder / f"fold-{fold}.safetensors"


def read_folds(folder: Path, photos: Sequence[LabelledPhoto]) -> dict[str, int]:
    """Photo → fold, from `folds.json`.

    Raises:
        SystemExit: a photo has no fold.
    """
    fold_of = {str(key): int(fold) for key, fold in json.loads((folder / "folds.json").read_bytes()).items()}
    missing = [photo.key for photo in photos if photo.key not in fold_of]
    if missing:
        raise SystemExit(
            f"expected a fold for each of {len(photos)} photos in {folder / 'folds.json'}, got none for "
            f"{missing[0]} and {len(missing) - 1} more; train the folds on the same sets"
        )
    return fold_of


def kept_together(fold_of: Mapping[str, int], photos: Sequence[LabelledPhoto]) -> str:
    """What no two folds share: ``source``, or else ``outing``.

    Raises:
        SystemExit: photos of one outing are in several folds, so nothing was left out.
    """

    def apart(names: Sequence[str]) -> bool:
        pairs = {(name, fold_of[photo.key]) for name, photo in zip(names, photos, strict=True)}
        return len(pairs) == len(set(names))

    if apart([photo.source for photo in photos]):
        return "source"
    if apart([photo.outing for photo in photos]):
        return "outing"
    raise SystemExit(
        "expected folds that keep the photos of an outing together, got one that is in several; make them "
        "with labelled_photos.folds"
    )


def milliseconds_per_photo(
    detector: LiteDetector,
    photos: Sequence[LabelledPhoto],
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


# ---------------------------------------------------------------- the tables


def statistics(measured: Measured, mask: Bools | None = None) -> dict[str, Statistic]:
    """The figures of the tables by heading, over the photos of the mask."""
    mask = np.ones(len(measured.photos), bool) if mask is None else mask
    animal, nothing = mask & measured.animal, mask & ~measured.animal
    boxed = animal & measured.passed
    right = measured.ious >= RIGHT_IOU
    return {
        "mean IoU": mean_over(measured.ious, animal),
        "IoU ≥ 0.5": mean_over(right, animal),
        "cov90": mean_over(measured.coverage >= COVERED, animal),
        "AUROC": auroc_of(measured.presence, animal, nothing),
        "found": mean_over(measured.passed, animal),
        "false alarms": mean_over(measured.passed, nothing),
        "suspicion": auroc_of(measured.suspicion, boxed & ~right, boxed & right),
        "suspicion, with false alarms": auroc_of(
            measured.suspicion, mask & measured.passed & ~right, boxed & right
        ),
        "false alarms there": at_reached(measured.presence, animal, nothing),
        "found there": at_reached(measured.presence, animal, animal),
        "further animals found": ratio(measured.further_found * mask, measured.further * mask),
    }


def subsets(photos: Sequence[LabelledPhoto]) -> dict[str, Bools]:
    """Mask of everything that is looked at by itself; what no photo is in is left out."""
    sets = np.array([photo.set for photo in photos])
    kinds = np.array([photo.kind for photo in photos])
    shares = np.array([photo.share for photo in photos])
    several = np.array([photo.several for photo in photos])
    animal = np.array([photo.box is not None for photo in photos])
    masks = {"all": np.ones(len(photos), bool)}
    masks |= {f"set {name}": sets == name for name in sorted({*sets.tolist()})}
    masks |= {kind: kinds == kind for kind in sorted({*kinds.tolist()} - {NEGATIVE})}
    masks |= {name: animal & (low <= shares) & (shares < high) for name, low, high in SIZES}
    masks |= {"one animal": animal & ~several, "several animals": animal & several}
    return {name: mask for name, mask in masks.items() if mask.any()}


def print_summary(rows: Sequence[Row], weights: Floats) -> None:
    """One line for each detector, all photos together."""
    lines: list[tuple[str, ...]] = [HEADINGS]
    for row in rows:
        figures = statistics(row.measured)
        lines.append((row.name, *(str(figure(figures[heading], weights)) for heading in HEADINGS[1:])))
    print_table([*lines, TARGET])


def print_row(row: Row, weights: Floats) -> None:
    """Everything about one detector."""
    measured = row.measured
    confs = [said.conf for said in row.predictions]
    print(f"\n\n=== {row.name} (conf {min(confs):.2f} to {max(confs):.2f}) ===\n")
    lines: list[tuple[str, ...]] = [("", "photos", *HEADINGS[1:6], "negatives", "false alarms")]
    for name, mask in subsets(measured.photos).items():
        figures = statistics(measured, mask)
        counts = [str(int((mask & here).sum())) for here in (measured.animal, ~measured.animal)]
        cells = [str(figure(figures[heading], weights)) for heading in HEADINGS[1:7]]
        lines.append((name, counts[0], *cells[:5], counts[1], cells[5]))
    print_table(lines)
    figures = statistics(measured)
    print("\nwhere 95 % of the animals are found (presence instead of conf):")
    for heading in ("found there", "false alarms there"):
        print(f"  {heading}: {figure(figures[heading], weights)}")
    wrong = int((measured.animal & measured.passed & (measured.ious < RIGHT_IOU)).sum())
    print(f"suspicion: does it rank wrong boxes (IoU < {RIGHT_IOU}) above right ones? AUROC")
    print(f"  {wrong} wrong boxes on photos with animals: {figure(figures['suspicion'], weights)}")
    print(f"  and those on negatives: {figure(figures['suspicion, with false alarms'], weights)}")
    if measured.further.any():
        print(
            f"further animals: {int(measured.further.sum())} with boxes on "
            f"{int((measured.further > 0).sum())} photos; found at IoU ≥ {RIGHT_IOU}: "
            f"{figure(figures['further animals found'], weights)}"
        )
    print_calibration(measured)


def print_calibration(measured: Measured) -> None:
    """Is the score of a photo's surest box the probability that it is right?"""
    boxed = ~np.isnan(measured.surest)
    scores, right = measured.surest[boxed], measured.surest_right[boxed]
    print(
        f"score of the surest box of each photo, and the share of right ones (IoU ≥ {RIGHT_IOU}); "
        f"calibration error {calibration_error(scores, right):.3f}"
    )
    bins = reliability(scores, right)
    print_table(
        [
            ("  mean score", *(f"{score:.2f}" for _, score, _ in bins)),
            ("  right", *(f"{share:.2f}" for _, _, share in bins)),
            ("  boxes", *(str(count) for count, _, _ in bins)),
        ]
    )


def print_changes(row: Row, before: Row, weights: Floats) -> None:
    """What has changed on the same photos: differences with the interval of the same draws."""
    print(f"\n{row.name}, less {before.name}:\n")
    headings = ("mean IoU", "IoU ≥ 0.5", "cov90", "AUROC", "found", "false alarms", "suspicion")
    lines: list[tuple[str, ...]] = [("", *headings)]
    for name, mask in subsets(row.measured.photos).items():
        new, old = statistics(row.measured, mask), statistics(before.measured, mask)
        lines.append((name, *(change(new[key], old[key], weights) for key in headings)))
    print_table(lines)


def change(new: Statistic, old: Statistic, weights: Floats) -> str:
    """The difference of two statistics, with sign and interval."""
    return signed(figure(lambda drawn: new(drawn) - old(drawn), weights))


def signed(difference: Figure) -> str:
    """Return it as ``+0.08 [+0.05, +0.11]``; a dash where there is nothing to measure."""
    if np.isnan(difference.value):
        return str(difference)
    return f"{difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"


def print_table(lines: Sequence[Sequence[str]]) -> None:
    """Print columns, aligned."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


# ---------------------------------------------------------------- the contact sheet


def contact_sheet(row: Row, path: Path) -> None:
    """The 24 worst positives and the six most animal-like negatives: truth green, chosen box white."""
    measured = row.measured
    worst = [int(i) for i in np.argsort(measured.ious, kind="stable") if measured.animal[i]][:24]
    alarms = [int(i) for i in np.argsort(-measured.presence, kind="stable") if not measured.animal[i]][:6]
    tiles = [_tile(row, i) for i in worst + alarms]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 6)
    cv2.imwrite(str(path), np.vstack([np.hstack(tiles[i : i + 6]) for i in range(0, len(tiles), 6)]))


def _tile(row: Row, index: int, width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    photo, said = row.measured.photos[index], row.predictions[index]
    pixels = photo.pixels()
    scale = min(width / pixels.shape[1], (height - 16) / pixels.shape[0])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    boxes: list[tuple[Box, tuple[int, int, int]]] = [
        *((box, (0, 160, 0)) for box in photo.further),
        *([(photo.box, (0, 255, 0))] if photo.box else []),
        (chosen_box(said.found, said.conf, photo.size), (255, 255, 255)),
    ]
    for box, colour in boxes:
        corners = [round(edge * scale) for edge in box]
        cv2.rectangle(small, (corners[0], corners[1]), (corners[2] - 1, corners[3] - 1), colour, 1)
    tile = np.zeros((height, width, 3), np.uint8)
    tile[16 : 16 + small.shape[0], : small.shape[1]] = small[: height - 16, :width]
    caption = f"p {row.measured.presence[index]:.2f}"
    if photo.box is not None:
        caption += f" IoU {row.measured.ious[index]:.2f}"
    text = f"{caption} {photo.path.stem[-28:]}"
    cv2.putText(tile, text, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1)
    return tile


# ---------------------------------------------------------------- the command


def predict(arguments: argparse.Namespace, photos: Sequence[LabelledPhoto]) -> list[Prediction]:
    """Show the photos to all detectors, and say how long that takes."""
    detector = load_lite()
    said = shipped(photos, detector)
    if arguments.folds:
        for folder in arguments.folds:
            said += from_folds(photos, folder)
    else:
        said += cross_validated(photos)
    processor = milliseconds_per_photo(detector, photos, 1, time.process_time)
    print(f"a JPEG of 4.6 MP takes {processor:.0f} ms of one core, decoding included (target ≤ 250)\n")
    return said


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", help="folders of labelled photos")
    parser.add_argument("--folds", type=Path, action="append", help="weights that never saw a fold")
    parser.add_argument("--sheet", type=Path, help="contact sheet of the worst cases of the last row")
    parser.add_argument("--predictions", type=Path, help="file to keep all boxes in")
    parser.add_argument("--saved", type=Path, help="take the boxes from such a file; no detector is run")
    parser.add_argument("--before", type=Path, help="such a file of an earlier version, to compare with")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    photos = read_sets(arguments.sets)
    weights = draws_of([photo.source for photo in photos])
    animals = sum(photo.box is not None for photo in photos)
    print(
        f"{animals} photos with animals and {len(photos) - animals} without, of "
        f"{len({photo.source for photo in photos})} sources, in {len(arguments.sets)} sets\n"
    )
    if arguments.saved:
        said = [p for row in read_predictions(arguments.saved).values() for p in row.values()]
    else:
        said = predict(arguments, photos)
    if arguments.predictions:
        write_predictions(arguments.predictions, said)
    by_row: dict[str, dict[str, Prediction]] = {}
    for prediction in said:
        by_row.setdefault(prediction.row, {})[prediction.photo] = prediction
    rows = [Row.of(name, photos, found) for name, found in by_row.items()]
    earlier = []
    if arguments.before:
        earlier = [
            Row.of(f"before: {name}", photos, found)
            for name, found in read_predictions(arguments.before).items()
        ]
    print_summary([*earlier, *rows], weights)
    for row in rows:
        print_row(row, weights)
    if earlier:
        print("\n\n=== what has changed ===")
        for before in earlier:
            print_changes(rows[-1], before, weights)
    if arguments.sheet:
        contact_sheet(rows[-1], arguments.sheet)


if __name__ == "__main__":
    main()
