"""How far a second person, who judged the sample unseen, agrees with the review: verdicts and boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from detic_crop.boxes.geometry import Box, area_of
from detic_crop.boxes.overlap import best_pairs
from detic_crop.config import CropConfig
from detic_crop.errors import PhotoError
from detic_crop.folder.animals import boxes_of
from detic_crop.folder.records import Record
from detic_crop.folder.second_review import SecondReview, is_same_person
from detic_crop.folder.state import Drawn
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import decision_of
from detic_crop.report.estimate import word_for
from detic_crop.report.intervals import LEVEL
from detic_crop.report.kappa import Kappa, cohens_kappa
from detic_crop.wording import counted

WORDS = ("accepted", "box", "whole", "rejected", "unsure")
"""What can be said of a photo, in the order of the tables."""

_GOOD = 0.5  # IoU from which two boxes are taken for the same, as in PASCAL VOC


@dataclass(frozen=True, slots=True)
class BoxAgreement:
    """How the boxes agree, of the photos where both persons accepted or gave one.

    Attributes:
        photos: number of these photos.
        ious: IoU of each pair of boxes; 0 for an animal that only one of the two has.
        same: number of photos where both left the detector's boxes as they were.
    """

    photos: int
    ious: Sequence[float]
    same: int

    @property
    def mean(self) -> float:
        """Mean IoU."""
        return fmean(self.ious)

    @property
    def median(self) -> float:
        """Median IoU."""
        return median(self.ious)

    @property
    def good(self) -> float:
        """Share of the pairs with an IoU of 0.5 or more."""
        return fmean(value >= _GOOD for value in self.ious)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two persons said of the same photos.

    Attributes:
        first: name of whoever reviewed the sample; several names joined.
        second: name of the person who judged it unseen.
        photos: number of photos that both judged.
        one_only: number of photos of the sample that only one of the two judged.
        table: number of photos, (5, 5): what the first said by what the second said, in the order of `WORDS`.
        kappa: Cohen's kappa of the table; None where it is not defined.
        boxes: how the boxes agree; None where there is no photo on which both have one.
    """

    first: str
    second: str
    photos: int
    one_only: int
    table: Sequence[Sequence[int]]
    kappa: Kappa | None
    boxes: BoxAgreement | None

    @property
    def same(self) -> int:
        """Number of photos of which both said the same."""
        return sum(row[place] for place, row in enumerate(self.table))

    @property
    def rows(self) -> list[tuple[str, Sequence[int]]]:
        """Rows of the table: what the first person said → counts by what the second said."""
        return list(zip(WORDS, self.table, strict=True))

    @property
    def sentence(self) -> str:
        """All of it in a sentence."""
        who = f"agreement of {self.first} and {self.second} (blind)"
        alone = f", {self.one_only:,} by one of the two only" if self.one_only else ""
        if not self.photos:
            return f"{who}: no photo of the sample is judged by both yet{alone}"
        said = [
            f"{who}: {counted(self.photos, 'photo')} judged by both{alone}",
            self.kappa_in_words,
            f"the same verdict on {self.same:,} ({100 * self.same / self.photos:.1f} %)",
        ]
        if self.boxes is not None:
            said.append(self.boxes_in_words)
        return "; ".join(said)

    @property
    def kappa_in_words(self) -> str:
        """Cohen's kappa and its interval."""
        if self.kappa is None:
            return "Cohen's kappa is not defined, because both said the same of every photo, and only that"
        value, low, high = self.kappa
        if low is None or high is None:
            return f"Cohen's kappa {value:.2f} (both agree on every photo, so it has no interval)"
        value, low, high = (round(number, 2) + 0.0 for number in (value, low, high))  # no -0.00
        return f"Cohen's kappa {value:.2f} ({100 * LEVEL:.0f} % interval {low:.2f} to {high:.2f})"

    @property
    def boxes_in_words(self) -> str:
        """How the boxes agree."""
        if self.boxes is None:
            return "no photo on which both have a box"
        boxes = self.boxes
        return (
            f"boxes: {counted(len(boxes.ious), 'pair')}, mean IoU {boxes.mean:.2f}, "
            f"median {boxes.median:.2f}, {100 * boxes.good:.1f} % with {_GOOD} or more (on {boxes.same:,} of "
            f"{counted(boxes.photos, 'photo')} both left the detector's)"
        )

    def values(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        kappa = self.kappa
        boxes = self.boxes
        return {
            "first": self.first,
            "second": self.second,
            "photos": self.photos,
            "judged_by_one_only": self.one_only,
            "same_verdict": self.same,
            "kappa": None if kappa is None else kappa._asdict(),
            "verdicts": {
                word: dict(zip(WORDS, counts, strict=True)) for word, counts in self.rows if self.photos
            },
            "boxes": None
            if boxes is None
            else {
                "photos": boxes.photos,
                "pairs": len(boxes.ious),
                "left_as_detected": boxes.same,
                "mean_iou": boxes.mean,
                "median_iou": boxes.median,
                "share_of_iou_from_0.5": boxes.good,
            },
        }


def agreements(
    sample: Sequence[Drawn],
    detected: Mapping[str, Record],
    verdicts: Mapping[str, Verdict],
    second: SecondReview,
    config: CropConfig,
) -> list[Agreement]:
    """Return how each person who judged the sample unseen agrees with the review.

    The photos are those of the sample as it is now. Whoever gave the standing verdict on a photo is not held
    against themselves.

    Args:
        sample: the sample as it was drawn.
        detected: key → record that the detector left.
        verdicts: key → the reviewer's last word.
        second: what was said unseen.
        config: settings of the folder, as resolved.
    """
    keys = [drawn.image for drawn in sample if drawn.image in detected]
    return [
        _agreement({key: detected[key] for key in keys}, verdicts, name, said, config)
        for name, said in second.by_person.items()
        if not said.keys().isdisjoint(keys)
    ]


def _agreement(
    detected: Mapping[str, Record],
    verdicts: Mapping[str, Verdict],
    name: str,
    said: Mapping[str, Verdict],
    config: CropConfig,
) -> Agreement:
    first = {
        key: verdicts[key]
        for key in detected
        if key in verdicts and not is_same_person(verdicts[key].reviewer, name)
    }
    both = [key for key in detected if key in first and key in said]
    pairs = Counter((_word(first[key], detected[key]), _word(said[key], detected[key])) for key in both)
    table = [[pairs[one, other] for other in WORDS] for one in WORDS]
    return Agreement(
        first=names_in(first.values()) or "the reviewer",
        second=name or "a second person",
        photos=len(both),
        one_only=sum((key in first) != (key in said) for key in detected),
        table=table,
        kappa=cohens_kappa(table) if both else None,
        boxes=_boxes([(first[key], said[key], detected[key]) for key in both], config),
    )


def names_in(verdicts: Iterable[Verdict]) -> str:
    """Return the names of those who gave some verdicts, the most frequent first."""
    counted_names = Counter(verdict.reviewer for verdict in verdicts if verdict.reviewer)
    return ", ".join(sorted(counted_names, key=lambda name: (-counted_names[name], name)))


def _word(verdict: Verdict, detected: Record) -> str:
    """Return what a verdict says; to want the whole of a photo without a box is to accept that."""
    word = word_for(verdict, detected)
    return "accepted" if word == "whole" and not boxes_of(detected) else word


def _boxes(pairs: Sequence[tuple[Verdict, Verdict, Record]], config: CropConfig) -> BoxAgreement | None:
    photos = same = 0
    ious: list[float] = []
    for first, second, detected in pairs:
        one, other = _wanted(first, detected, config), _wanted(second, detected, config)
        if one and other:
            photos += 1
            same += _word(first, detected) == _word(second, detected) == "accepted"
            ious += matched_ious(one, other)
    return BoxAgreement(photos, ious, same) if photos else None


def _wanted(verdict: Verdict, detected: Record, config: CropConfig) -> Sequence[Box]:
    """Return the boxes that a verdict accepts or gives; of one crop per photo the largest."""
    boxes: Sequence[Box] = ()
    if verdict.verdict == "accepted":
        boxes = boxes_of(detected)
    elif verdict.verdict == "box":
        try:
            boxes = decision_of(verdict).clipped((detected.width, detected.height)).boxes
        except PhotoError:  # outside of the photo
            return ()
    return boxes if config.animals == "all" or not boxes else (max(boxes, key=area_of),)


def matched_ious(one: Sequence[Box], other: Sequence[Box]) -> list[float]:
    """Return the IoU of each pair of boxes, and 0 for each box that has no partner.

    The two boxes that overlap most are a pair, then the two that do of the rest.

    Args:
        one, other: boxes of one photo, xyxy in pixels; at least one each.
    """
    found = [overlap for _, _, overlap in best_pairs(one, other)]
    return found + [0.0] * abs(len(one) - len(other))
