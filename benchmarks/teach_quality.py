"""What do a few reviewed photos teach `lite`? `python -m benchmarks.teach_quality SET [SET …] [--folds DIR]`.

For every source with enough photos: n of its photos with an animal (and as large a part of those without) are
taught as `detic-crop teach` would, which chooses the strength by cross-validation among them and teaches
nothing where that does not help; then the others are answered. That is repeated with photos drawn anew. Each
photo's figures are means over the draws in which it was not taught, before and after, so both are of the same
photos and draws. Intervals: bootstrap over photos; over sources in the lines of all sources together.

`--folds DIR` (see `lite_quality`) begins with weights that never saw the source. Without it the shipped ones
are taught, which saw some of these photos: their lines flatter the beginning.

A mixed collection is what is in one fold (without folds: all sets together), whatever the source: there a few
photos say little about the others, and teaching should do no harm.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.labelled_photos import LabelledPhoto, read_sets
from benchmarks.lite_metrics import (
    COVERED,
    Floats,
    chosen_box,
    covered,
    draws_of,
    figure,
    mean_over,
)
from benchmarks.lite_quality import fold_file, print_table, read_folds, signed
from benchmarks.spoiled_rows import RIGHT_IOU
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.commands.teach import LEAST_BOXES, groups_of
from detic_crop.detectors.lite.judging import Grade, folds_of, grade, judge
from detic_crop.detectors.lite.teaching import STRENGTHS, Lesson, Pupil
from detic_crop.folder.truths import Truth

TAUGHT = (5, 10, 20, 40)
LEAST_PHOTOS = 8  # with an animal, of a source that is looked at
LEAST_ASKED = 3  # of these, after n were taught
DRAWS = 5

Answers = Callable[[Sequence[int], Sequence[int], float], Iterable[tuple[Detections, float]]]
"""(photos to teach, photos to ask about, strength) → boxes and default conf for each of the latter."""


@dataclass(frozen=True, eq=False)
class Point:
    """A collection after n of its photos were taught; P photos were asked about at least once.

    Attributes:
        collection: name.
        taught: number of photos with an animal that were taught.
        sources: (P,) source of each photo.
        before, after: (P, 3) IoU, IoU ≥ 0.5 and cov90 of each photo, means over the draws.
        strengths: how often each strength was chosen.
    """

    collection: str
    taught: int
    sources: Sequence[str]
    before: Floats
    after: Floats
    strengths: Counter[float]


def collections_of(
    photos: Sequence[LabelledPhoto], least: int = LEAST_PHOTOS
) -> Iterator[tuple[str, list[int]]]:
    """Name and photos of every source with enough animals, the largest first."""
    animals = Counter(photo.source for photo in photos if photo.box is not None)
    for source, count in sorted(animals.items(), key=lambda item: (-item[1], item[0])):
        if count >= least:
            yield source, [i for i, photo in enumerate(photos) if photo.source == source]


def taught_and_asked(
    photos: Sequence[LabelledPhoto], indices: Sequence[int], count: int, seed: int
) -> tuple[list[int], list[int]]:
    """Draw `count` photos with an animal to teach, with their part of the others; ask about the rest.

    The photos of a larger count include those of a smaller one.

    Returns:
        (to teach, in the order of the photos; to ask about: those with an animal).
    """
    random = np.random.default_rng(seed)
    animals = random.permutation([i for i in indices if photos[i].box is not None]).tolist()
    empty = random.permutation([i for i in indices if photos[i].box is None]).tolist()
    part = round(count / len(animals) * len(empty))
    return sorted([*animals[:count], *map(int, empty[:part])]), sorted(animals[count:])


def strength_of(photos: Sequence[LabelledPhoto], taught: Sequence[int], answers: Answers) -> float:
    """Choose the strength as `detic-crop teach` does; 0 where it would write no file."""
    truths = [_truth(photos[i]) for i in taught]
    if sum(truth.box is not None for truth in truths) < LEAST_BOXES:
        return 0.0
    groups, _ = groups_of(truths, {})

    def grades(lessons: Sequence[int], asked: Sequence[int], strength: float) -> Iterator[Grade]:
        own = [taught[i] for i in asked]
        answered = answers([taught[i] for i in lessons], own, strength)
        for i, (found, conf) in zip(own, answered, strict=True):
            yield grade(found, photos[i].box, conf)

    folds = folds_of(groups, [truth.box is not None for truth in truths])
    measured = judge(folds, groups, STRENGTHS, grades)
    return measured.strength if measured.helps else 0.0


def point_of(
    collection: str,
    photos: Sequence[LabelledPhoto],
    indices: Sequence[int],
    count: int,
    answers: Answers,
    draws: int = DRAWS,
) -> Point:
    """Teach `count` photos of a collection, several times, and ask about the others."""
    sums = {state: np.zeros((len(photos), 3)) for state in ("before", "after")}
    times = np.zeros(len(photos))
    strengths: Counter[float] = Counter()
    for seed in range(draws):
        taught, asked = taught_and_asked(photos, indices, count, seed)
        strength = strength_of(photos, taught, answers)
        strengths[strength] += 1
        times[asked] += 1
        for state, used in (("before", 0.0), ("after", strength)):
            for i, (found, conf) in zip(asked, answers(taught, asked, used), strict=True):
                sums[state][i] += _measures(photos[i], found, conf)
    seen = np.flatnonzero(times)
    means = {state: total[seen] / times[seen, None] for state, total in sums.items()}
    return Point(
        collection,
        count,
        [photos[i].source for i in seen.tolist()],
        means["before"],
        means["after"],
        strengths,
    )


def together(points: Sequence[Point], name: str) -> list[Point]:
    """One point for each number of taught photos, over all collections that have it."""
    return [
        Point(
            name,
            count,
            [source for point in same for source in point.sources],
            np.concatenate([point.before for point in same]),
            np.concatenate([point.after for point in same]),
            sum((point.strengths for point in same), Counter[float]()),
        )
        for count in sorted({point.taught for point in points})
        if (same := [point for point in points if point.taught == count])
    ]


def line_of(point: Point, by_source: bool = False) -> tuple[str, ...]:
    """A line of the table."""
    units = point.sources if by_source else [str(i) for i in range(len(point.sources))]
    weights, everything = draws_of(units), np.ones(len(units), bool)
    cells = []
    for column in range(3):
        before, after = point.before[:, column], point.after[:, column]
        cells.append(f"{before.mean():.2f} → {after.mean():.2f}")
        cells.append(signed(figure(mean_over(after - before, everything), weights)))
    chosen = ", ".join(f"{strength:g}: {n}" for strength, n in sorted(point.strengths.items()))
    return (point.collection, str(point.taught), str(len(units)), *cells, chosen)


def print_points(title: str, points: Sequence[Point], by_source: bool = False) -> None:
    """A table of points."""
    print(f"\n{title}\n")
    headings = ("", "taught", "asked", "mean IoU", "change", "IoU ≥ 0.5", "change", "cov90", "change")
    print_table([(*headings, "strength: draws"), *(line_of(point, by_source) for point in points)])


class Classroom:
    """A pupil with its photos: looks at each once, and keeps what the untaught one says.

    Args:
        pupil: begins with weights that never saw the photos.
        photos: all photos; only those that are used are looked at.
    """

    def __init__(self, pupil: Pupil, photos: Sequence[LabelledPhoto]) -> None:
        self._pupil, self._photos = pupil, photos
        self._lessons: dict[int, Lesson] = {}
        self._untaught: dict[int, Detections] = {}

    def answers(
        self, taught: Sequence[int], asked: Sequence[int], strength: float
    ) -> Iterator[tuple[Detections, float]]:
        """See `Answers`."""
        heads = self._pupil.fit([self._lesson(i) for i in taught] if strength else (), strength)
        conf = self._pupil.detector(heads).info.default_conf
        for i in asked:
            if strength:
                yield self._pupil.answer(self._lesson(i), heads), conf
                continue
            if i not in self._untaught:
                self._untaught[i] = self._pupil.answer(self._lesson(i), heads)
            yield self._untaught[i], conf

    def _lesson(self, index: int) -> Lesson:
        if index not in self._lessons:
            photo = self._photos[index]
            self._lessons[index] = self._pupil.look_at(photo.pixels(), photo.box, index)
        return self._lessons[index]


def _truth(photo: LabelledPhoto) -> Truth:
    key = f"{photo.outing}/{photo.path.name}"  # an outing is a folder
    return Truth(key, photo.box, "empty" if photo.box is None else "corrected")


def _measures(photo: LabelledPhoto, found: Detections, conf: float) -> Floats:
    assert photo.box is not None
    box = chosen_box(found, conf, photo.size)
    iou = iou_of_pair(box, photo.box)
    return np.array([iou, iou >= RIGHT_IOU, covered(box, photo.box, photo.size) >= COVERED])


def main() -> None:
    """Print the curves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", help="folders of labelled photos")
    parser.add_argument("--folds", type=Path, help="weights that never saw a fold of the sources")
    parser.add_argument("--taught", type=int, nargs="+", default=TAUGHT, help="numbers of photos to teach")
    parser.add_argument("--draws", type=int, default=DRAWS, help="times that photos are drawn")
    parser.add_argument("--least", type=int, default=LEAST_PHOTOS, help="photos with animals of a source")
    parser.add_argument("--only", nargs="+", help="these sources, and `mixed`; by default all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    photos = read_sets(arguments.sets)
    fold_of = (
        read_folds(arguments.folds, photos)
        if arguments.folds
        else dict.fromkeys((photo.key for photo in photos), 0)
    )

    def classroom(fold: int) -> Classroom:
        return Classroom(Pupil(fold_file(arguments.folds, fold) if arguments.folds else None), photos)

    def curve(name: str, indices: Sequence[int], room: Classroom) -> Iterator[Point]:
        animals = sum(photos[i].box is not None for i in indices)
        for count in arguments.taught:
            if count <= animals - LEAST_ASKED:
                yield point_of(name, photos, indices, count, room.answers, arguments.draws)

    points: list[Point] = []
    for source, indices in collections_of(photos, arguments.least):
        if arguments.only is None or source in arguments.only:
            points += curve(source, indices, classroom(fold_of[photos[indices[0]].key]))
    if points:
        print_points("one source each", points)
        print_points("all of these sources", together(points, "all"), by_source=True)
    if arguments.only is None or "mixed" in arguments.only:
        mixed: list[Point] = []
        for fold in sorted(set(fold_of.values())):
            indices = [i for i, photo in enumerate(photos) if fold_of[photo.key] == fold]
            mixed += curve(f"fold {fold}", indices, classroom(fold))
        print_points("a mixed collection", together(mixed, "mixed"), by_source=True)


if __name__ == "__main__":
    main()
