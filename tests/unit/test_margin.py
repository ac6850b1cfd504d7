"""How many photos --margin asks for: by simulation, by Cochran's formula, and at the ends."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from detic_crop.folder.state import StratumName
from detic_crop.report.estimate import StratumCount
from detic_crop.report.intervals import Count, stratified_total
from detic_crop.report.margin import needed_for
from detic_crop.report.sample import STRATA, allocate
from tests.kit.errors import refused

SIZES: Mapping[StratumName, int] = {
    "cropped_high": 500,
    "cropped_middle": 1000,
    "cropped_low": 3500,
    "resized_high": 200,
    "resized_low": 800,
}
CROPS: tuple[StratumName, ...] = ("cropped_high", "cropped_middle", "cropped_low")
SEEN: Mapping[StratumName, float] = {"cropped_high": 0.6, "cropped_middle": 0.3, "cropped_low": 0.1}


def reaches(size: int, shares: Mapping[StratumName, float], trials: int = 200) -> list[float]:
    """Of seeded samples of that size, how far the further limit is from the estimate, in points."""
    rng = np.random.default_rng(11)
    drawn = allocate(SIZES, size)
    total = sum(SIZES[name] for name in CROPS)
    found = []
    for _ in range(trials):
        counts = []
        for name in CROPS:
            wrong = round(SIZES[name] * shares[name])
            hits = int(rng.hypergeometric(wrong, SIZES[name] - wrong, drawn[name]))
            counts.append(Count(SIZES[name], drawn[name], drawn[name], hits))
        value, low, high = stratified_total(counts)
        found.append(100 * max(value - low, high - value) / total)
    return found


def counts_of(shares: Mapping[StratumName, float], reviewed: int) -> list[StratumCount]:
    """As many reviewed crops of each stratum, with those shares of mistakes."""
    return [
        StratumCount(name, SIZES[name], reviewed, reviewed, round(reviewed * (1 - shares[name])))
        for name in CROPS
    ]


@pytest.mark.slow
@pytest.mark.parametrize("margin", [2, 3, 5])
def test_with_the_assumed_mistakes_the_interval_is_as_wide_as_asked_for(margin: float) -> None:
    """The mean of 200 samples is within a tenth of it: they scatter by a tenth, their mean by a hundredth."""
    assumed = {name: STRATA[name].assumed for name in CROPS}
    needed = needed_for(margin, SIZES)
    assert needed.observed == 0
    assert np.mean(reaches(needed.photos, assumed)) == pytest.approx(margin, rel=0.1)
    assert np.mean(reaches(needed.photos // 2, assumed)) > 1.25 * margin


@pytest.mark.slow
@pytest.mark.parametrize("margin", [3, 5])
def test_once_photos_are_reviewed_the_mistakes_they_show_count(margin: float) -> None:
    needed = needed_for(margin, SIZES, counts_of(SEEN, 100))
    assert needed.observed == 300
    assert needed.photos > 1.5 * needed_for(margin, SIZES).photos
    assert np.mean(reaches(needed.photos, SEEN)) == pytest.approx(margin, rel=0.1)


@pytest.mark.parametrize(("margin", "times", "nearest"), [(3, 1, 0.6), (0.8, 40, 0.85)])
def test_it_is_above_cochrans_formula_and_nears_it(margin: float, times: int, nearest: float) -> None:
    """Cochran 1977, section 5.9, for this allocation: his normal limits are narrower."""
    level = 1.959964
    sizes = {name: times * size for name, size in SIZES.items()}
    needed = needed_for(margin, sizes)
    drawn = allocate(sizes, needed.photos)
    total = sum(sizes[name] for name in CROPS)
    variance = sum(
        (sizes[name] / total) ** 2
        * (1 - drawn[name] / sizes[name])
        * STRATA[name].assumed
        * (1 - STRATA[name].assumed)
        / drawn[name]
        for name in CROPS
    )
    assert nearest * margin < 100 * level * math.sqrt(variance) < margin
    assert needed.crops == sum(drawn[name] for name in CROPS)


def test_one_photo_fewer_is_not_enough() -> None:
    needed = needed_for(4, SIZES)
    for wider in (4.1, 5, 8, 20):
        assert needed_for(wider, SIZES).photos <= needed.photos
    assert needed_for(50, SIZES).photos >= 10


def test_no_mistake_so_far_is_not_taken_for_none_at_all() -> None:
    few = needed_for(3, SIZES, counts_of(dict.fromkeys(CROPS, 0.0), 5))
    many = needed_for(3, SIZES, counts_of(dict.fromkeys(CROPS, 0.0), 500))
    assert many.photos < few.photos < needed_for(3, SIZES).photos


def test_a_small_folder_is_looked_at_as_a_whole() -> None:
    needed = needed_for(1, {"cropped_high": 2, "cropped_middle": 4, "cropped_low": 14, "resized_low": 3})
    assert (needed.photos, needed.crops, needed.all) == (23, 20, 23)
    assert needed_for(1, {"cropped_high": 1}).photos == 1


def test_what_it_says() -> None:
    needed = needed_for(3, SIZES)
    (none_drawn,) = needed.sentences("cropped", 0, 0)
    assert none_drawn.startswith(
        "for a 95 % interval of about ± 3 percentage points around the share of right"
    )
    command = f"detic-crop audit cropped --sample {needed.photos}"
    assert none_drawn.endswith(f"draw them and look at {needed.photos:,}: {command}")
    (some_drawn,) = needed.sentences("cropped", 100, 60)
    assert some_drawn.endswith(f"draw them (100 are drawn) and look at {needed.photos - 60:,}: {command}")
    (all_drawn,) = needed.sentences("cropped", 5000, 4000)
    assert all_drawn.endswith("; 5,000 are drawn: look at the 1,000 left")
    (done,) = needed.sentences("cropped", 5000, 5000)
    assert done.endswith("; 5,000 are drawn and reviewed, which is enough")


@pytest.mark.parametrize("margin", [-1.0, 0.0, 0.4, 51.0, math.nan, math.inf])
def test_a_margin_that_no_sample_has_is_refused(margin: float) -> None:
    with refused("bad_margin"):
        needed_for(margin, SIZES)
    with refused("no_crop_for_margin"):
        needed_for(3, {"resized_low": 100})
