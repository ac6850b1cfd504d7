"""How many photos a person has to look at, for the share of right crops to be known well enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from detic_crop.errors import UsageError
from detic_crop.folder.state import StratumName
from detic_crop.report.estimate import StratumCount
from detic_crop.report.intervals import LEVEL, hypergeometric_limits
from detic_crop.report.sample import MIN_SAMPLE, STRATA, allocate

_LOWEST, _HIGHEST = 0.5, 50.0  # percentage points
_WEIGHT = 5  # reviewed photos that the assumed share of a stratum counts as


@dataclass(frozen=True, slots=True)
class Needed:
    """How large a sample has to be.

    Attributes:
        margin: half the width of the interval, in percentage points.
        photos: number of photos to draw.
        crops: number of these that have a crop.
        all: number of photos there are to draw from.
        observed: number of reviewed crops that the expected shares of mistakes rest on; 0: on assumptions.
    """

    margin: float
    photos: int
    crops: int
    all: int
    observed: int

    def sentences(self, quoted: str, drawn: int, reviewed: int) -> list[str]:
        """Return what to do, in sentences.

        Args:
            quoted: the output folder as a word of a command line.
            drawn: number of photos in the sample there is.
            reviewed: number of these that have a verdict.
        """
        basis = (
            f"as many mistakes as {self.observed:,} reviewed crops show"
            if self.observed
            else "the mistakes that are assumed before any photo is reviewed"
        )
        said = (
            f"for a {100 * LEVEL:.0f} % interval of about ± {self.margin:g} percentage points around the "
            f"share of right crops: {self.photos:,} of {self.all:,} photos, {self.crops:,} of them with a "
            f"crop ({basis})"
        )
        if drawn < self.photos:
            command = f"detic-crop audit {quoted} --sample {self.photos}"
            drawn_so_far = f" ({drawn:,} are drawn)" if drawn else ""
            return [f"{said}; draw them{drawn_so_far} and look at {self.photos - reviewed:,}: {command}"]
        if reviewed < drawn:
            return [f"{said}; {drawn:,} are drawn: look at the {drawn - reviewed:,} left"]
        return [f"{said}; {drawn:,} are drawn and reviewed, which is enough"]


def check_margin(margin: float) -> None:
    """Refuse a margin that no sample of photos can have.

    Raises:
        UsageError: it is too small or too large.
    """
    if not _LOWEST <= margin <= _HIGHEST:
        raise UsageError(
            "bad_margin",
            f"--margin must be {_LOWEST:g} to {_HIGHEST:g} percentage points, got {margin:g}; pass e.g. 3",
        )


def needed_for(
    margin: float, sizes: Mapping[StratumName, int], counts: Sequence[StratumCount] = ()
) -> Needed:
    """Return how large a sample has to be for the share of right crops to have a narrow enough interval.

    It is the smallest one for which neither limit of `intervals.stratified_total` is expected to be further
    than `margin` from the estimate, if each stratum has the expected share of mistakes. That is how Cochran
    1977, Sampling Techniques, 3rd edition, section 5.9, finds the size of a stratified sample for a given
    variance; here with the exact limits that the estimate gets in the end, which are wider than his normal
    ones. How a sample is divided among the strata is as in `sample.draw`.

    The share of mistakes is the one that reviewed photos show, with the assumed one of the stratum counted as
    five photos more, so that a stratum without a mistake so far is not taken for one without any. A sample
    that is drawn then may show more mistakes than expected, and its interval be wider.

    Args:
        margin: half the width of the interval, in percentage points.
        sizes: name → number of photos of the strata that are not empty.
        counts: what was said of the strata so far.

    Raises:
        UsageError: the margin is none that a sample can have, or there is no crop.
    """
    check_margin(margin)
    crops = [name for name in sizes if STRATA[name].status == "cropped"]
    if not crops:
        raise UsageError(
            "no_crop_for_margin", "--margin is about the share of right crops, and there is no crop yet"
        )
    said = {count.name: count for count in counts}
    shares = {name: _share(name, said.get(name)) for name in crops}
    total = sum(sizes[name] for name in crops)

    def is_enough(size: int) -> bool:
        drawn = allocate(sizes, size)
        return 100 * _reach([(sizes[name], drawn[name], shares[name]) for name in crops]) / total <= margin

    everything = sum(sizes.values())
    size = _first(min(MIN_SAMPLE, everything), everything, is_enough)
    return Needed(
        margin=margin,
        photos=size,
        crops=sum(map(allocate(sizes, size).__getitem__, crops)),
        all=everything,
        observed=sum(said[name].reviewed for name in crops if name in said),
    )


def _share(name: StratumName, count: StratumCount | None) -> float:
    """Return the share of mistakes that is expected of a stratum."""
    assumed = STRATA[name].assumed
    if count is None or not count.reviewed:
        return assumed
    wrong = count.reviewed - count.right
    return (wrong + _WEIGHT * assumed) / (count.reviewed + _WEIGHT)


def _reach(strata: Sequence[tuple[int, int, float]]) -> float:
    """Return how far the limits are expected to be from the estimated number of mistakes, the further one.

    Args:
        strata: of each its size, how many of it are drawn, and the share of mistakes.
    """
    below = above = 0.0
    for size, drawn, share in strata:
        if not drawn:
            return math.inf
        # Between the limits of the two whole numbers of mistakes around the expected one.
        hits = share * drawn
        low, high = 0.0, 0.0
        for whole, weight in ((math.floor(hits), 1 - hits % 1), (math.ceil(hits), hits % 1)):
            limits = hypergeometric_limits(size, drawn, whole) if weight else (0, 0)
            low, high = low + weight * limits[0], high + weight * limits[1]
        below += (size * share - low) ** 2
        above += (high - size * share) ** 2
    return math.sqrt(max(below, above))


def _first(low: int, high: int, is_enough: Callable[[int], bool]) -> int:
    """Return the first number that is enough, as all that follow are, or else `high`; few are tried."""
    size = low
    while size < high and not is_enough(size):
        low, size = size + 1, min(2 * size, high)
    high = size
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return high
