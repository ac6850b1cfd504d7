"""What the reviewed sample says of the whole run: right crops, missed animals, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from detic_crop.folder.records import Record
from detic_crop.folder.state import Drawn, StratumName
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import decision_of
from detic_crop.report.intervals import LEVEL, Count, Interval, stratified_total
from detic_crop.report.sample import STRATA, sampled_as

MAX_LEFT = 0.05
"""Share of a sample that may be without a verdict; with more there is no estimate."""

_WRONG_CROP = frozenset({"whole", "box", "rejected"})
_MISSED = frozenset({"box"})
_WITH_ANIMAL = frozenset({"accepted", "box"})


class StratumCount(NamedTuple):
    """What a reviewer said of the sample of one stratum.

    Attributes:
        name: the stratum, one of `STRATA`.
        size: number of photos in it when the sample was drawn.
        drawn: number of these in the sample.
        reviewed: number of drawn photos with a verdict other than unsure.
        right: number of reviewed photos of which the detector left the right thing: a crop that was accepted,
            or no crop where the reviewer gave no box.
    """

    name: StratumName
    size: int
    drawn: int
    reviewed: int
    right: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the sample says so far.

    Attributes:
        drawn: number of photos in the sample.
        left: number of these that have no verdict.
        crops: number of crops that the detector had made when the sample was drawn.
        uncropped: number of photos that were only resized then.
        come_since: number of photos that have been added to both since; the estimate does not cover them.
        precision: share of right crops, as the detector left them; None while too few were reviewed.
        missed: share of the uncropped photos that show an animal; None while too few were reviewed.
        missed_animals: missed animals as a share of all animals, found or missed; None while too few were
            reviewed.
        corrected: number of crops that a reviewer has changed or rejected since.
        crops_now: number of crops after that.
        uncropped_now: number of photos that are only resized after that.
        precision_now: share of right crops among `crops_now`; None if nothing was changed.
        missed_now: share of `uncropped_now` that show an animal; None if nothing was changed.
        seed: seed of the draw.
        strata: what was said of each stratum.
    """

    drawn: int
    left: int
    crops: int
    uncropped: int
    come_since: int = 0
    precision: Interval | None = None
    missed: Interval | None = None
    missed_animals: Interval | None = None
    corrected: int = 0
    crops_now: int = 0
    uncropped_now: int = 0
    precision_now: Interval | None = None
    missed_now: Interval | None = None
    seed: int = 0
    strata: Sequence[StratumCount] = ()

    @property
    def sentences(self) -> list[str]:
        """What is missing, what is known, and the sentence for a data-set card."""
        said = []
        if self.left:
            said.append(
                f"sample: photos without a verdict yet (unsure is none): {self.left:,} of {self.drawn:,}; "
                "look at them with `detic-crop review`, filter `sample only`"
            )
        if self.come_since:
            said.append(
                f"sample: it was drawn from {self.crops + self.uncropped} photos, now there are "
                f"{self.crops + self.uncropped + self.come_since}; draw again with --sample {self.drawn}"
            )
        if card := self.card:
            said.append(f"for the data-set card: {card}")
        return said

    @property
    def card(self) -> str:
        """A paragraph for the card of the data set; empty while nothing is known."""
        parts = []
        if self.precision is not None:
            parts.append(f"{_percent(self.precision)} of the {self.crops:,} crops are right")
        if self.missed is not None and self.uncropped:
            parts.append(
                f"{_percent(self.missed)} of the {self.uncropped:,} photos without a crop show an animal"
                + (f", {_percent(self.missed_animals)} of all animals" if self.missed_animals else "")
            )
        if not parts:
            return ""
        text = f"As the detector left them, {'; '.join(parts)}."
        now = []
        if self.precision_now is not None:
            now.append(f"{_percent(self.precision_now)} of {self.crops_now:,} crops are right")
        if self.missed_now is not None:
            now.append(
                f"{_percent(self.missed_now)} of {self.uncropped_now:,} photos without a crop show an animal"
            )
        if now:
            text += f" After review, {'; '.join(now)}."
        reviewed = self.drawn - self.left
        unjudged = f"; {self.left} more that were not judged count both ways" if self.left else ""
        whole = reviewed == self.crops + self.uncropped
        how = (
            f"All {reviewed:,} photos were reviewed by a person."
            if whole
            else f"Estimated from a stratified random sample of {reviewed:,} photos reviewed by a person"
            f"{unjudged}; in brackets {100 * LEVEL:.0f} % confidence intervals."
        )
        return f"{text} {how}"


def estimate(
    sample: Sequence[Drawn],
    detected: Mapping[str, Record],
    current: Mapping[str, Record],
    verdicts: Mapping[str, Verdict],
) -> Estimate:
    """Estimate from the sample how many of all crops are right and how many animals were missed.

    A verdict judges what the detector left: a sampled crop is right if it was accepted, and wrong if the
    reviewer took the whole photo, another box or none. A sampled photo without a crop is a missed animal if
    the reviewer gave it a box. Strata and their sizes are those of the draw.

    Args:
        sample: the sample as it was drawn.
        detected: key → record that the detector left.
        current: key → record now, after review.
        verdicts: key → the reviewer's last word.
    """
    # A photo that is gone counts as not judged: there is nothing left to look at.
    judged = {
        drawn.image: _judged(verdicts[drawn.image], detected[drawn.image])
        if drawn.image in verdicts and drawn.image in detected
        else ""
        for drawn in sample
    }
    strata = strata_of(sample, judged)
    sizes = {drawn.stratum: drawn.stratum_size for drawn in sample}
    population = {
        status: sum(size for name, size in sizes.items() if STRATA[name].status == status)
        for status in ("cropped", "resized")
    }
    crops, uncropped = population["cropped"], population["resized"]
    now = Counter(sampled_as(record) for record in detected.values())

    def total(status: str, which: frozenset[str]) -> Interval | None:
        verdicts_by_stratum = {
            name: [judged[drawn.image] for drawn in sample if drawn.stratum == name]
            for name in sizes
            if STRATA[name].status == status
        }
        return _total(verdicts_by_stratum, sizes, which.__contains__)

    wrong, missed = total("cropped", _WRONG_CROP), total("resized", _MISSED)
    found = total("cropped", _WITH_ANIMAL)
    changed = _changes(detected, current)
    corrected = sum(n for (old, _), n in changed.items() if old == "cropped")
    rescued = changed["resized", "cropped"]
    crops_now = crops - corrected + changed["cropped", "cropped"] + rescued
    uncropped_now = uncropped - rescued - changed["resized", "rejected"] + changed["cropped", "resized"]
    return Estimate(
        drawn=len(sample),
        left=sum(not verdict for verdict in judged.values()),
        crops=crops,
        uncropped=uncropped,
        come_since=now["cropped"] + now["resized"] - crops - uncropped,
        precision=wrong.over(crops).complement() if wrong and crops else None,
        missed=missed.over(uncropped) if missed and uncropped else None,
        missed_animals=_share(missed, found) if missed and found else None,
        corrected=corrected,
        crops_now=crops_now,
        uncropped_now=uncropped_now,
        precision_now=(
            wrong.plus(-corrected).over(crops_now).complement()
            if wrong and crops_now and (corrected or rescued)
            else None
        ),
        missed_now=(
            missed.plus(-rescued).over(uncropped_now)
            if missed and uncropped_now and (corrected or rescued)
            else None
        ),
        seed=sample[0].seed if sample else 0,
        strata=strata,
    )


def strata_of(sample: Sequence[Drawn], judged: Mapping[str, str]) -> list[StratumCount]:
    """Return what was said of each stratum, in the order of `STRATA`.

    Args:
        sample: the sample as it was drawn.
        judged: key → what was said of the detector's work; empty where nothing was.
    """
    counts = []
    for name, stratum in STRATA.items():
        drawn = [photo for photo in sample if photo.stratum == name]
        if not drawn:
            continue
        said = [word for photo in drawn if (word := judged[photo.image])]
        wrong = _WRONG_CROP if stratum.status == "cropped" else _MISSED
        right = sum(word not in wrong for word in said)
        counts.append(StratumCount(name, drawn[0].stratum_size, len(drawn), len(said), right))
    return counts


def word_for(verdict: Verdict, detected: Record) -> str:
    """Return what a verdict says of the detector's work: a word of `VERDICTS`.

    A reviewer who chose the very box of the detector accepts it. This happens after a recrop whose settings
    choose what the reviewer had to draw before.
    """
    if verdict.verdict == "box" and decision_of(verdict).agrees_with(detected):
        return "accepted"
    return verdict.verdict


def _judged(verdict: Verdict, detected: Record) -> str:
    """Return `word_for` a verdict; empty of a photo that left the reviewer unsure: that says nothing."""
    return "" if verdict.verdict == "unsure" else word_for(verdict, detected)


def _changed(detected: Record, current: Record) -> bool:
    return (detected.status, detected.box) != (current.status, current.box)


def _changes(detected: Mapping[str, Record], current: Mapping[str, Record]) -> Counter[tuple[str, str]]:
    """Return (status as detected, status now) → number of photos that a reviewer changed."""
    return Counter(
        (sampled_as(record), sampled_as(current[key]))
        for key, record in detected.items()
        if key in current and _changed(record, current[key])
    )


def _total(
    by_stratum: Mapping[StratumName, Sequence[str]],
    sizes: Mapping[StratumName, int],
    hit: Callable[[str], bool],
) -> Interval | None:
    """Return how many photos of the strata have a verdict that is a `hit`; None while too few have any."""
    judged = {name: [verdict for verdict in said if verdict] for name, said in by_stratum.items()}
    n_drawn, n_judged = (sum(map(len, said.values())) for said in (by_stratum, judged))
    if not all(judged.values()) or n_drawn - n_judged > MAX_LEFT * n_drawn:
        return None
    return stratified_total(
        [
            Count(sizes[name], len(by_stratum[name]), len(said), sum(map(hit, said)))
            for name, said in judged.items()
        ]
    )


def _share(part: Interval, rest: Interval) -> Interval | None:
    """Return part / (part + rest), from estimates of different strata.

    Each limit pairs the extremes of both. This is wider than necessary, and so on the safe side.
    """
    if part.value + rest.value <= 0:
        return None
    low, high = max(0.0, part.low), max(0.0, part.high)
    most, least = max(0.0, rest.high), max(0.0, rest.low)
    return Interval(
        part.value / (part.value + rest.value),
        low / (low + most) if low + most else 0.0,
        high / (high + least) if high + least else 1.0,
    )


def _percent(share: Interval) -> str:
    """Return a share in words, with its limits in brackets unless it is known exactly."""
    value, low, high = share.percents()
    return f"{value} %" if low == high else f"{value} % ({low}–{high} %)"
