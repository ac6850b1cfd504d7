"""The random sample that a person reviews so that the rest can be judged by it.

The population is what the detector left: crops, and photos without a found animal, whatever a reviewer has
changed since. It is cut into strata by rank of suspicion or presence, so that the places where mistakes are
likely are looked at more often without tilting the estimate.

Every photo has a random number that depends on the seed and its name alone, and a stratum's sample is those
with the smallest ones (permanent random numbers: Ohlsson 1995, Coordination of samples using permanent random
numbers, in Business Survey Methods, Wiley). So drawing again gives the same photos, a larger sample adds to
the smaller one, and after new photos have come most of the old sample is drawn again.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detic_crop.columns import Column, Texts, ascending, numbers
from detic_crop.config import CropConfig
from detic_crop.errors import UsageError
from detic_crop.folder.decisions import as_detected
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import replay
from detic_crop.folder.records import Record
from detic_crop.folder.state import Drawn, StratumName
from detic_crop.report.suspicion import doubts_of

MIN_SAMPLE = 10
_FEW = 5  # photos drawn of every stratum first, as far as the sample and the stratum allow


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the population.

    Attributes:
        status: ``cropped`` or ``resized``.
        meaning: description in words.
        until: end of the stratum, as a share of the photos of that status, most suspicious first.
        assumed: share of mistakes assumed for the allocation; a wrong one makes the estimate less precise,
            not wrong.
    """

    status: str
    meaning: str
    until: float
    assumed: float


STRATA: Mapping[StratumName, Stratum] = {
    "cropped_high": Stratum("cropped", "the tenth of the crops with the highest suspicion", 0.1, 0.3),
    "cropped_middle": Stratum("cropped", "the next fifth", 0.3, 0.1),
    "cropped_low": Stratum("cropped", "all other crops", 1.0, 0.02),
    "resized_high": Stratum("resized", "the uncropped fifth with the highest presence", 0.2, 0.5),
    "resized_low": Stratum("resized", "all other uncropped photos", 1.0, 0.2),
}  # fmt: skip


def detected_records(
    folder: OutputFolder, records: Mapping[str, Record], config: CropConfig
) -> Mapping[str, Record]:
    """Return what the detector left of each photo: the last record before a reviewer's part in it.

    A photo that the boxes file does not name is left out: no detector looked, so none missed an animal.

    Args:
        folder: the output folder.
        records: last record of each photo that is asked for, by key. A recrop that follows a verdict writes
            no other; what the detector left is then in the record itself.
        config: the settings as resolved.
    """
    return _DetectedRecords(replay(folder.layout.journal, reviewed=False).records, records, config)


class _DetectedRecords(Mapping[str, Record]):
    """Key → what the detector left of each photo, made when it is read; see `detected_records`."""

    def __init__(
        self, unreviewed: Mapping[str, Record], records: Mapping[str, Record], config: CropConfig
    ) -> None:
        self._unreviewed, self._records, self._config = unreviewed, records, config

    def __getitem__(self, key: str) -> Record:
        found = self._unreviewed.get(key)
        record = self._records[key]
        if found is None or found.status == "failed":
            found = as_detected(record, self._config) or found
        if found is None or found.unlisted:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._records if key in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def draw(detected: Mapping[str, Record], config: CropConfig, size: int, seed: int) -> list[Drawn]:
    """Return a stratified random sample, in random order.

    Args:
        detected: key → record that the detector left; cropped and not-found photos are the population.
        config: settings of the folder, as resolved.
        size: number of photos to draw; if there are fewer, all are drawn.
        seed: seed of the random numbers.

    Raises:
        UsageError: `size` is too small to tell anything, or there is nothing to draw from.
    """
    if size < MIN_SAMPLE:
        raise UsageError(
            "sample_too_small",
            f"--sample {size} is too few to tell anything; pass {MIN_SAMPLE} or more, e.g. 200",
        )
    strata = strata_in(detected, config)
    if not strata:
        raise UsageError(
            "nothing_to_sample", "--sample: no photo is cropped or resized yet; run the `run` command first"
        )
    shares = allocate({name: len(keys) for name, keys in strata.items()}, size)
    sample = [
        Drawn(key, name, len(keys), seed)
        for name, keys in strata.items()
        for key in heapq.nsmallest(shares[name], keys, key=lambda key: _random(key, seed))
    ]
    return sorted(sample, key=lambda drawn: _random(drawn.image, seed))


def sampled_as(record: Record) -> str:
    """Return the status under which a photo is sampled: one without any crop may hide an animal, too."""
    return "resized" if record.status == "skipped" else record.status


def strata_in(detected: Mapping[str, Record], config: CropConfig) -> dict[StratumName, Sequence[str]]:
    """Return name → keys of the strata that are not empty."""
    ranked = {"cropped": _Ranked(), "resized": _Ranked()}
    for key, record in detected.items():
        if (status := sampled_as(record)) in ranked:
            ranked[status].add(key, doubts_of(record, config).suspicion)
    keys_of = {status: some.keys() for status, some in ranked.items()}
    begin = dict.fromkeys(ranked, 0)
    strata: dict[StratumName, Sequence[str]] = {}
    for name, stratum in STRATA.items():
        keys = keys_of[stratum.status]
        end = math.ceil(stratum.until * len(keys))
        if begin[stratum.status] < end:
            strata[name] = keys[begin[stratum.status] : end]
        begin[stratum.status] = end
    return strata


class _Ranked:
    """Keys by suspicion, the highest first; equal ones by name."""

    def __init__(self) -> None:
        self._keys, self._suspicion = Texts(), array("d")

    def add(self, key: str, suspicion: float) -> None:
        self._keys.append(key)
        self._suspicion.append(suspicion)

    def keys(self) -> Column:
        by_name = np.array(ascending(self._keys), np.intp)
        order = np.argsort(-np.array(self._suspicion)[by_name], kind="stable")
        return self._keys.of(numbers(by_name[order].astype(np.int64)))


def allocate(sizes: Mapping[StratumName, int], n: int) -> dict[StratumName, int]:
    """Return how many photos to draw of each stratum.

    Each stratum gets a few; each further photo goes where it lowers the variance most, as in Neyman's
    allocation with the assumed shares (Wright 2012, The equivalence of Neyman optimum allocation for sampling
    and equal proportions for apportionment, The American Statistician 66: 217–224). A larger sample never has
    fewer photos of any stratum.
    """
    drawn = dict.fromkeys(sizes, 0)

    def turn(name: StratumName) -> tuple[bool, float, StratumName]:
        have, share = drawn[name], STRATA[name].assumed
        if have < _FEW:
            return False, have, name
        return True, -sizes[name] * math.sqrt(share * (1 - share) / (have * (have + 1))), name

    queue = [turn(name) for name in sizes]
    heapq.heapify(queue)
    for _ in range(min(n, sum(sizes.values()))):
        name = heapq.heappop(queue)[2]
        drawn[name] += 1
        if drawn[name] < sizes[name]:
            heapq.heappush(queue, turn(name))
    return drawn


def _random(key: str, seed: int) -> bytes:
    """Return the random number of a photo: the same on every machine and whatever other photos there are."""
    return hashlib.blake2b(f"{seed}\0{key}".encode(errors="surrogatepass"), digest_size=8).digest()
