"""What a comparison comes to: how often both agree, by groups of photos, and how often each is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.average_precision import AveragePrecision, BoxesOfPhotos, average_precision
from detic_crop.report.compare.columns import SideColumns, State
from detic_crop.report.compare.pairs import GOOD, AgainstTruth, Agreed, Rows
from detic_crop.report.compare.photos import SidesOfPhotos
from detic_crop.report.intervals import LEVEL, Interval, share_of, sign_test

TIGHT = 0.75
"""IoU of a box that fits closely."""

SIZES: Mapping[str, float] = {
    "below 1 %": 0.01,
    "1 to 5 %": 0.05,
    "5 to 20 %": 0.2,
    "20 to 50 %": 0.5,
    "above 50 %": np.inf,
}
"""Groups by the share of the photo that the animal's box covers → where each ends."""

_UNKNOWN = -1
_MOST_CLASSES = 40


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows there are of each kind, among some that were compared.

    Attributes:
        agree, differ, only_a, only_b, neither: number of rows, see `Agreed`.
        mean_iou: mean IoU of the pairs; None without any.
    """

    agree: int
    differ: int
    only_a: int
    only_b: int
    neither: int
    mean_iou: float | None

    @property
    def found(self) -> int:
        """Number of animals that A or B found."""
        return self.agree + self.differ + self.only_a + self.only_b

    @property
    def agreement(self) -> Interval | None:
        """Share of these that both found in one place; None without any."""
        return share_of(self.agree, self.found) if self.found else None


@dataclass(frozen=True, slots=True)
class Group:
    """What A and B say of the animals of one group.

    Attributes:
        name: of the group.
        counts: how many rows there are.
        animals: number of true animals in it.
        found_a, found_b: how many of them each side found, with an IoU of 0.5 or more.
    """

    name: str
    counts: Counts
    animals: int = 0
    found_a: int = 0
    found_b: int = 0


class ClassPair(NamedTuple):
    """What A and B call the animals of which both have a box.

    Attributes:
        a, b: names of the classes.
        pairs: number of animals.
        mean_iou: mean IoU of their boxes.
    """

    a: str
    b: str
    pairs: int
    mean_iou: float


@dataclass(frozen=True, slots=True)
class PhotoCounts:
    """How many photos there are, by who has looked at them.

    Attributes:
        all: number of photos.
        compared: looked at by both.
        without_animal: of these, photos in which neither found anything.
        only_a, only_b: photos that the other side was never asked about.
        by_none: photos that neither has looked at.
        failed_a, failed_b: photos of which that side could not use the photo or its boxes.
    """

    all: int
    compared: int
    without_animal: int
    only_a: int
    only_b: int
    by_none: int
    failed_a: int
    failed_b: int


@dataclass(frozen=True, slots=True)
class SideScore:
    """How good one side is.

    Attributes:
        found: true animals that it found with an IoU of 0.5 or more.
        found_closely: with 0.75 or more.
        animals: number of true animals.
        mean_iou: mean IoU over the true animals, 0 for one that has no box; None without any.
        false_photos: photos without an animal in which it found one.
        negatives: number of photos without an animal.
        boxes: number of its boxes.
        hits: of these, boxes on an animal, with an IoU of 0.5 or more.
        precision: average precision; None without a true animal.
        has_scores: whether its scores tell boxes apart, without which that says little.
    """

    found: int
    found_closely: int
    animals: int
    mean_iou: float | None
    false_photos: int
    negatives: int
    boxes: int
    hits: int
    precision: AveragePrecision | None
    has_scores: bool

    @property
    def recall(self) -> Interval | None:
        """Share of the true animals found with an IoU of 0.5 or more; None without any."""
        return share_of(self.found, self.animals) if self.animals else None

    @property
    def close_recall(self) -> Interval | None:
        """The same from an IoU of 0.75."""
        return share_of(self.found_closely, self.animals) if self.animals else None

    @property
    def false_alarms(self) -> Interval | None:
        """Share of the photos without an animal in which it found one; None without any."""
        return share_of(self.false_photos, self.negatives) if self.negatives else None

    @property
    def hit_share(self) -> Interval | None:
        """Share of its boxes that are on an animal; None without any."""
        return share_of(self.hits, self.boxes) if self.boxes else None

    def values(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "recall_50": _interval(self.recall),
            "recall_75": _interval(self.close_recall),
            "mean_iou": self.mean_iou,
            "false_alarms": {
                "photos": self.false_photos,
                "of": self.negatives,
                "share": _interval(self.false_alarms),
            },
            "boxes": {"number": self.boxes, "on_an_animal": self.hits, "share": _interval(self.hit_share)},
            "ap": None if self.precision is None else self.precision.mean,
            "ap_50": None if self.precision is None else self.precision.at_50,
            "ap_75": None if self.precision is None else self.precision.at_75,
        }


@dataclass(frozen=True, slots=True)
class TruthNumbers:
    """How good both sides are, on the photos that both and the truth have.

    A case is a true animal, or a photo without one; a side is right about it if it found the animal with an
    IoU of 0.5 or more, or nothing.

    Attributes:
        photos: number of these photos.
        a, b: how good each side is.
        both: cases about which both are right.
        only_a, only_b: about which one of them is.
        neither: about which neither is.
    """

    photos: int
    a: SideScore
    b: SideScore
    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def chance(self) -> float:
        """How likely chance alone makes the sides as unequal; see `sign_test`."""
        return sign_test(self.only_a, self.only_b)

    def values(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "photos": self.photos,
            "animals": self.a.animals,
            "photos_without_animal": self.a.negatives,
            "a": self.a.values(),
            "b": self.b.values(),
            "right": {
                "both": self.both,
                "only_a": self.only_a,
                "only_b": self.only_b,
                "neither": self.neither,
                "p": self.chance,
            },
        }


@dataclass(frozen=True, slots=True)
class Numbers:
    """All numbers of a comparison.

    Attributes:
        photos: how many photos there are.
        counts: how many rows.
        groups: what the groups are by → the groups.
        classes: what both call the animals, the most frequent first.
        truth: how good both are; None without a truth.
    """

    photos: PhotoCounts
    counts: Counts
    groups: Mapping[str, Sequence[Group]]
    classes: Sequence[ClassPair]
    truth: TruthNumbers | None

    def values(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "level": LEVEL,
            "photos": asdict(self.photos),
            "animals": asdict(self.counts) | {"agreement": _interval(self.counts.agreement)},
            "groups": {
                by: [
                    {"name": group.name, **asdict(group.counts)}
                    | (
                        {"animals": group.animals, "found_a": group.found_a, "found_b": group.found_b}
                        if self.truth is not None
                        else {}
                    )
                    for group in groups
                ]
                for by, groups in self.groups.items()
            },
            "classes": [pair._asdict() for pair in self.classes],
            "truth": None if self.truth is None else self.truth.values(),
        }


class Labelling(NamedTuple):
    """A group for each photo.

    Attributes:
        by: what the groups are by.
        codes: (N,) int32, place of each photo's group in `names`; -1 for none.
        names: names of the groups.
    """

    by: str
    codes: NDArray[np.int32]
    names: Sequence[str]


def numbers_of(
    sides: SidesOfPhotos, rows: Rows, against: AgainstTruth | None, labelling: Labelling | None
) -> Numbers:
    """Count what a comparison comes to.

    Args:
        sides: what both sides say.
        rows: which boxes belong together.
        against: how they lie to the true ones; None without a truth.
        labelling: groups of the photos; None without labels.
    """
    groups: dict[str, Sequence[Group]] = {}
    if labelling is not None:
        of_true = None if against is None else labelling.codes[against.of_photo]
        groups[labelling.by] = _groups(labelling.names, labelling.codes[rows.photos], of_true, rows, against)
    if against is not None and sides.truth is not None:
        classes = sides.truth.classes
        of_rows = np.where(rows.truth >= 0, _taken(classes, rows.truth), _UNKNOWN)
        if len(sides.truth.class_names) > 1 or not {"", "unknown"}.issuperset(sides.truth.class_names):
            groups["class in the truth"] = _groups(
                sides.truth.class_names, of_rows, classes[against.boxes], rows, against
            )
    by_size = _groups(
        list(SIZES),
        _size_codes(_area_shares(sides, rows)),
        None if against is None else _size_codes(_true_shares(sides, against)),
        rows,
        against,
        by_name=False,
    )
    if by_size:
        groups["size of the animal"] = by_size
    truth = None if against is None else _truth_numbers(sides, against)
    return Numbers(_photo_counts(sides, rows), _counts(rows), groups, _class_pairs(sides, rows), truth)


def is_right(rows: Rows, against: AgainstTruth) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return whether A and B are right about each row, (R,) each; photos without a truth count as neither."""
    known = against.photos[rows.photos]
    found = []
    for own, overlaps in ((rows.a, against.box_a), (rows.b, against.box_b)):
        hits = (own >= 0) & (np.nan_to_num(_taken(overlaps, own)) >= GOOD)
        found.append(known & np.where(rows.truth >= 0, hits, own < 0))
    return found[0], found[1]


def _interval(share: Interval | None) -> dict[str, float] | None:
    return None if share is None else share._asdict()


def _taken(values: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    """Return values at some places; any value where the place is -1."""
    return values[places] if len(values) else np.zeros(len(places), values.dtype)


def _photo_counts(sides: SidesOfPhotos, rows: Rows) -> PhotoCounts:
    a, b = sides.a.states, sides.b.states
    both = (a == State.LOOKED) & (b == State.LOOKED)
    nothing = both & (sides.a.counts == 0) & (sides.b.counts == 0)
    unasked_a, unasked_b = a == State.NOT_LOOKED, b == State.NOT_LOOKED
    return PhotoCounts(
        all=len(sides.keys),
        compared=int(both.sum()),
        without_animal=int(nothing.sum()),
        only_a=int((~unasked_a & unasked_b).sum()),
        only_b=int((unasked_a & ~unasked_b).sum()),
        by_none=int((unasked_a & unasked_b).sum()),
        failed_a=int((a == State.FAILED).sum()),
        failed_b=int((b == State.FAILED).sum()),
    )


def _counts(rows: Rows, places: NDArray[np.intp] | None = None) -> Counts:
    agreed, iou = rows.agreed, rows.iou
    if places is not None:
        agreed, iou = agreed[places], iou[places]
    several = np.bincount(agreed, minlength=len(Agreed))
    pairs = iou[(agreed == Agreed.AGREE) | (agreed == Agreed.DIFFER)]
    mean = float(pairs.mean()) if len(pairs) else None
    agree, differ, only_a, only_b, neither = several[: Agreed.NOT_COMPARED].tolist()
    return Counts(agree, differ, only_a, only_b, neither, mean)


def _groups(
    names: Sequence[str],
    of_rows: NDArray[Any],
    of_true: NDArray[Any] | None,
    rows: Rows,
    against: AgainstTruth | None,
    by_name: bool = True,
) -> list[Group]:
    """Return the groups that have a row, the largest first, or in the order of their names.

    Args:
        names: names of the groups.
        of_rows: (R,) place of each row's group; -1 for none.
        of_true: (T,) place of each true animal's group.
        rows, against: what is counted.
        by_name: False keeps the order of `names`.
    """
    compared = rows.agreed != Agreed.NOT_COMPARED
    places = np.flatnonzero(compared & (of_rows >= 0))
    places = places[np.argsort(of_rows[places], kind="stable")]
    codes = of_rows[places]
    found = []
    for code in np.unique(codes).tolist():
        low, high = np.searchsorted(codes, [code, code + 1])
        group = Group(names[code] or "(empty)", _counts(rows, places[low:high]))
        if against is not None and of_true is not None:
            true = of_true == code
            a, b = (int((one[true] >= GOOD).sum()) for one in (against.a, against.b))
            group = Group(group.name, group.counts, int(true.sum()), a, b)
        found.append((high - low, group))
    if by_name:
        found.sort(key=lambda pair: (-pair[0], pair[1].name))
    return [group for _, group in found]


def _area_shares(sides: SidesOfPhotos, rows: Rows) -> NDArray[np.float64]:
    """Return the share of the photo that the animal of each row covers, by the truth, else by A and B.

    NaN where there is no box, or the size of the photo is not known.
    """
    shares = np.stack(
        [
            _shares_of(side, own, sides.sizes[rows.photos])
            for side, own in ((sides.a, rows.a), (sides.b, rows.b))
        ]
    )
    known = ~np.isnan(shares)
    mean = np.full(len(rows), np.nan)
    np.divide(np.nansum(shares, axis=0), known.sum(axis=0), out=mean, where=known.any(axis=0))
    if sides.truth is None:
        return mean
    true = _shares_of(sides.truth, rows.truth, sides.sizes[rows.photos])
    return np.where(np.isnan(true), mean, true)


def _true_shares(sides: SidesOfPhotos, against: AgainstTruth) -> NDArray[np.float64]:
    assert sides.truth is not None
    return _shares_of(sides.truth, against.boxes, sides.sizes[against.of_photo])


def _shares_of(side: SideColumns, boxes: NDArray[np.int64], sizes: NDArray[np.int32]) -> NDArray[np.float64]:
    shares = np.full(len(boxes), np.nan)
    areas = sizes.astype(np.float64).prod(axis=1)
    has = (boxes >= 0) & (areas > 0)
    sides_of = side.xyxy[boxes[has], 2:] - side.xyxy[boxes[has], :2]
    shares[has] = sides_of.prod(axis=1) / areas[has]
    return shares


def _size_codes(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    codes = np.searchsorted(list(SIZES.values()), np.nan_to_num(shares), side="right")
    return np.where(np.isnan(shares), _UNKNOWN, codes)


def _class_pairs(sides: SidesOfPhotos, rows: Rows) -> list[ClassPair]:
    paired = (rows.agreed == Agreed.AGREE) | (rows.agreed == Agreed.DIFFER)
    a, b = sides.a.classes[rows.a[paired]], sides.b.classes[rows.b[paired]]
    iou = rows.iou[paired]
    codes, inverse, counts = np.unique(
        a.astype(np.int64) * max(1, len(sides.b.class_names)) + b, return_inverse=True, return_counts=True
    )
    sums = np.bincount(inverse, weights=iou, minlength=len(codes))
    pairs = [
        ClassPair(
            sides.a.class_names[code // len(sides.b.class_names)],
            sides.b.class_names[code % len(sides.b.class_names)],
            count,
            total / count,
        )
        for code, count, total in zip(codes.tolist(), counts.tolist(), sums.tolist(), strict=True)
    ]
    return sorted(pairs, key=lambda pair: (-pair.pairs, pair.a, pair.b))[:_MOST_CLASSES]


def _truth_numbers(sides: SidesOfPhotos, against: AgainstTruth) -> TruthNumbers:
    assert sides.truth is not None
    negatives = against.photos & (sides.truth.counts == 0)
    quiet = [negatives & (side.counts == 0) for side in (sides.a, sides.b)]
    right_a = np.concatenate([against.a >= GOOD, quiet[0][negatives]])
    right_b = np.concatenate([against.b >= GOOD, quiet[1][negatives]])
    true = _boxes_in(sides.truth, against.photos)
    scores = [
        _score(side, seen, overlaps, against.photos, int(negatives.sum()), int(one_quiet.sum()), true)
        for side, seen, overlaps, one_quiet in (
            (sides.a, against.a, against.box_a, quiet[0]),
            (sides.b, against.b, against.box_b, quiet[1]),
        )
    ]
    return TruthNumbers(
        photos=int(against.photos.sum()),
        a=scores[0],
        b=scores[1],
        both=int((right_a & right_b).sum()),
        only_a=int((right_a & ~right_b).sum()),
        only_b=int((right_b & ~right_a).sum()),
        neither=int((~right_a & ~right_b).sum()),
    )


def _score(
    side: SideColumns,
    seen: NDArray[np.float64],
    overlaps: NDArray[np.float64],
    photos: NDArray[np.bool_],
    n_negatives: int,
    n_quiet: int,
    true: BoxesOfPhotos,
) -> SideScore:
    """Return how good a side is.

    Args:
        side: what it says.
        seen: (T,) overlap of each true box with its own.
        overlaps: (M,) overlap of each of its boxes with the true one, NaN where nothing is known.
        photos: (N,) the photos that count.
        n_negatives: number of these without an animal.
        n_quiet: of these, photos in which it found nothing.
        true: the true boxes.
    """
    return SideScore(
        found=int((seen >= GOOD).sum()),
        found_closely=int((seen >= TIGHT).sum()),
        animals=len(seen),
        mean_iou=float(seen.mean()) if len(seen) else None,
        false_photos=n_negatives - n_quiet,
        negatives=n_negatives,
        boxes=int((~np.isnan(overlaps)).sum()),
        hits=int((np.nan_to_num(overlaps) >= GOOD).sum()),
        precision=average_precision(_boxes_in(side, photos), true),
        has_scores=side.has_scores,
    )


def _boxes_in(side: SideColumns, photos: NDArray[np.bool_]) -> BoxesOfPhotos:
    counts = np.where(photos, side.counts, 0)
    kept = np.repeat(photos, side.counts)
    return BoxesOfPhotos(np.repeat(np.arange(len(counts)), counts), side.xyxy[kept], side.ranking[kept])
