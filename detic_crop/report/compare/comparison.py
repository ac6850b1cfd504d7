"""A comparison: what is compared, which boxes belong together, and what that comes to; made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from detic_crop.errors import UsageError
from detic_crop.report.compare.numbers import Labelling, Numbers, PhotoCounts, SideScore, numbers_of
from detic_crop.report.compare.pairs import AgainstTruth, Rows, compare_boxes
from detic_crop.report.compare.photos import SidesOfPhotos
from detic_crop.wording import counted, either


class SideName(NamedTuple):
    """A side, for people.

    Attributes:
        name: short name.
        about: what it is.
    """

    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What compare.html, compare.csv and compare.json are written from.

    Attributes:
        a, b: the sides, for people.
        truth: likewise; None without a truth.
        sides: what they say.
        several: whether every box counts; False: the largest of each photo.
        rows: which boxes belong together.
        against: how they lie to the true ones; None without a truth.
        labelling: groups of the photos; None without labels.
        numbers: what it comes to.
        notes: sentences that a person should read.
    """

    a: SideName
    b: SideName
    truth: SideName | None
    sides: SidesOfPhotos
    several: bool
    rows: Rows
    against: AgainstTruth | None
    labelling: Labelling | None
    numbers: Numbers
    notes: Sequence[str]

    @property
    def unit(self) -> str:
        """What a row stands for."""
        return "animal" if self.several else "photo"

    @property
    def missing(self) -> list[str]:
        """Which photos were not compared, and why, in words."""
        return missing_in_words(self.numbers.photos)

    def values(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return {
            "a": self.a._asdict(),
            "b": self.b._asdict(),
            "truth_from": None if self.truth is None else self.truth._asdict(),
            "boxes": "all" if self.several else "largest",
            **self.numbers.values(),
            "notes": list(self.notes),
        }


def compare_sides(
    names: tuple[SideName, SideName, SideName | None],
    sides: SidesOfPhotos,
    several: bool,
    labelling: Labelling | None,
    notes: Sequence[str],
) -> Comparison:
    """Compare two sides.

    Args:
        names: A, B and the truth, for people.
        sides: what they say.
        several: every box counts; else the largest one of each photo.
        labelling: groups of the photos; None without labels.
        notes: sentences that a person should read.

    Raises:
        UsageError: there is no photo that both sides looked at, or the truth knows none of these.
    """
    if not several:
        truth = None if sides.truth is None else sides.truth.first()
        sides = replace(sides, a=sides.a.first(), b=sides.b.first(), truth=truth)
    rows, against = compare_boxes(sides)
    numbers = numbers_of(sides, rows, against, labelling)
    if not numbers.photos.compared:
        why = "; ".join([*missing_in_words(numbers.photos), *notes])
        raise UsageError(
            "nothing_to_compare",
            f"expected photos that both A and B have looked at, got none of {numbers.photos.all:,}: {why}; "
            "pass results for the same photos",
        )
    if numbers.truth is not None and not numbers.truth.photos:
        raise UsageError(
            "nothing_to_compare",
            f"expected the truth of photos that both A and B have looked at, got that of none of the "
            f"{numbers.photos.compared:,}; pass the truth of these photos, or leave --truth out",
        )
    return Comparison(*names, sides, several, rows, against, labelling, numbers, notes)


def missing_in_words(photos: PhotoCounts) -> list[str]:
    """Return which photos were not compared, and why."""
    reasons = (
        (photos.only_a, "B never looked at"),
        (photos.only_b, "A never looked at"),
        (photos.by_none, "neither looked at"),
        (photos.failed_a, "A could not use"),
        (photos.failed_b, "B could not use"),
    )
    return [f"{counted(number, 'photo')} that {why}" for number, why in reasons if number]


def sentences_of(comparison: Comparison) -> list[str]:
    """Return the numbers in sentences."""
    counts, photos = comparison.numbers.counts, comparison.numbers.photos
    said = []
    if comparison.missing:
        said.append(f"not compared: {', '.join(comparison.missing)}")
    where = "" if counts.mean_iou is None else f"; mean IoU {counts.mean_iou:.2f}"
    said.append(
        f"{counted(photos.compared, 'photo')} compared: agree {counts.agree:,} (IoU 0.5 or more), differ "
        f"{counts.differ:,}, only A {counts.only_a:,}, only B {counts.only_b:,}, nothing found by either "
        f"{photos.without_animal:,}{where}"
    )
    truth = comparison.numbers.truth
    if truth is not None:
        animals = f"{counted(truth.a.animals, 'animal')}, {truth.a.negatives:,} without"
        said.append(f"truth of {counted(truth.photos, 'photo')}: {animals}")
        said += [_score_in_words(called, score) for called, score in (("A", truth.a), ("B", truth.b))]
        said.append(
            f"both right {truth.both:,}, only A {truth.only_a:,}, only B {truth.only_b:,}, neither "
            f"{truth.neither:,} (exact McNemar test: p = {truth.chance:.2g})"
        )
    return said


def _score_in_words(called: str, score: SideScore) -> str:
    said = []
    if score.recall is not None and score.close_recall is not None and score.mean_iou is not None:
        value, low, high = score.recall.percents()
        said.append(f"finds {score.found:,} of {score.animals:,} ({value} %, {low} to {high})")
        said.append(f"{score.close_recall.percents()[0]} % with IoU 0.75, mean IoU {score.mean_iou:.2f}")
    if score.negatives:
        photos = either(score.false_photos, "photo", "photos")
        said.append(f"false alarms in {score.false_photos:,} {photos}")
    if score.precision is not None:
        said.append(f"AP50 {score.precision.at_50:.3f}, AP {score.precision.mean:.3f}")
    return f"{called}: {'; '.join(said)}"
