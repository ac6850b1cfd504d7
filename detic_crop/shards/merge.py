"""Joining what shards did: check that it is one whole, then append it to the journal of the folder.

Everything is appended in the order of an unsharded run, and what is there already is left out. So a merge
that was killed is completed by the same command.
"""

from __future__ import annotations

import contextlib
import json
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from detic_crop.boxes.detections import Detections
from detic_crop.columns import Column, Texts, numbers, rows_alike
from detic_crop.config import CropConfig
from detic_crop.errors import UsageError
from detic_crop.folder.crop_paths import within
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inputs import parts_of
from detic_crop.folder.journal import Journal, Replay, replay, unfinished_crops, unfinished_photos
from detic_crop.folder.known import Known
from detic_crop.folder.names import fold_name
from detic_crop.folder.records import Record, ResumeEntry, names_of
from detic_crop.folder.reread import Reread
from detic_crop.folder.shard import Shard, owner
from detic_crop.folder.state import Given, Part, SavedListing, WholeInput, load_listing, load_part
from detic_crop.folder.there import is_there
from detic_crop.folder.typed_json import is_sealed
from detic_crop.photos.location import Location
from detic_crop.photos.photo import Photo
from detic_crop.photos.table import Photos
from detic_crop.shards.shard_records import ShardRecords
from detic_crop.shards.state import digest_of
from detic_crop.wording import counted, typed


@dataclass(frozen=True, slots=True)
class ShardWork:
    """What one shard left.

    Attributes:
        folder: the output folder as the shard sees it.
        shard: index and count of the shard.
        part: part of the input that the shard has; None if it was stopped before it saved that.
        listing: the photos of that part.
        journal: what its journal says.
    """

    folder: OutputFolder
    shard: Shard
    part: Part | None
    listing: SavedListing
    journal: Replay

    def __str__(self) -> str:
        return f"shard {self.shard} of {self.folder.shown}"


@dataclass(slots=True)
class Gathered:
    """What the shards of one folder did, all together.

    Attributes:
        shards: work of each shard that was begun, in order.
        count: number of shards there should be.
        input: the input they share.
        config: settings of the shards.
        records: the last record of each photo, of all shards.
        keys: photos of the input in input order, as far as they are known.
        positions: index of each key in the whole input, ascending.
        unfinished: crop → photo, of crops that a shard was about to write when it was killed.
        damaged: number of journal lines that could not be read.
    """

    shards: list[ShardWork]
    count: int
    input: WholeInput
    config: CropConfig
    records: ShardRecords
    keys: Column = field(default_factory=Texts)
    positions: Sequence[int] = ()
    unfinished: dict[str, str] = field(default_factory=dict)
    damaged: int = 0

    @property
    def complete(self) -> bool:
        """True if all photos of the input are known."""
        return len(self.keys) == self.input.photos

    @property
    def listed(self) -> list[ShardWork]:
        """The shards that saved their part of the input."""
        return [work for work in self.shards if work.part is not None]

    @property
    def version(self) -> str:
        """The version of this package that the first shard was begun with."""
        return next((work.journal.version for work in self.shards if work.journal.version), "")

    def command_of(self, shard: Shard) -> str:
        """Return the command that does a shard; empty if the run was started from Python."""
        told = [work for work in self.shards if work.part is not None and work.part.words]
        if not told:
            return ""
        like = next((work for work in told if work.shard == shard), told[0])
        assert like.part is not None
        return typed("detic-crop", "run", *like.part.words, "--out", like.folder.shown, "--shard", str(shard))


@dataclass(frozen=True, slots=True)
class Gap:
    """A shard that is not done.

    Attributes:
        shard: index and count of the shard.
        photos: number of its photos without a record; None if that is not known.
        why: the reason why it is not known.
    """

    shard: Shard
    photos: int | None
    why: str = ""

    def __str__(self) -> str:
        return f"shard {self.shard} {self.why or 'has ' + counted(self.photos or 0, 'photo') + ' to do'}"


# ---------------------------------------------------------------- what the shards did


def gather(folder: OutputFolder) -> Gathered:
    """Read what the shards of a folder did, and check that it belongs together.

    Args:
        folder: the unsharded folder, locked by the caller.

    Raises:
        UsageError: the shards have different photos, settings or numbers of shards.
    """
    shards = [_work_of(folder.with_shard(shard), shard) for shard in folder.shards()]
    listed = [work for work in shards if work.part is not None]
    if not listed:
        raise UsageError(
            "shards_not_listed",
            f"the shards of {folder.shown} were stopped before they listed the photos; "
            "run their commands again",
        )
    first = listed[0]
    assert first.part is not None
    _check_same_settings(shards, first)
    _check_same_input(listed, first.part.input)
    assert first.journal.config is not None
    records = ShardRecords([work.shard for work in shards], [work.journal for work in shards])
    gathered = Gathered(shards, first.shard.count, first.part.input, first.journal.config, records)
    for work in shards:
        gathered.damaged += work.journal.ignored
        gathered.unfinished |= unfinished_photos(work.folder.layout.candidates, work.journal.entries)
    _collect_photos(gathered, load_listing(folder).keys)
    return gathered


def _work_of(folder: OutputFolder, shard: Shard) -> ShardWork:
    part, listing = load_part(folder), load_listing(folder)
    if part is not None and part.keys != digest_of(listing.keys):
        part = None  # killed between the two: the listing is that of another call
    return ShardWork(folder, shard, part, listing, replay(folder.layout.journal))


def _check_same_settings(shards: Sequence[ShardWork], first: ShardWork) -> None:
    expected = first.journal.config
    for work in shards:
        if work.shard.count != first.shard.count:
            raise UsageError(
                "other_shard_count", f"{work} and {first} do not fit: one is of another number of shards"
            )
        config = work.journal.config
        if config is None and (work is first or work.journal.records):
            raise UsageError(
                "damaged_journal", f"the journal of {work} is damaged; run the command of that shard again"
            )
        if config is not None and expected is not None and config.fingerprint() != expected.fingerprint():
            raise UsageError(
                "other_settings",
                f"{work} and {first} were made with different settings "
                f"({'; '.join(config.differences(expected))}); make one of them again",
            )


def _check_same_input(listed: Sequence[ShardWork], expected: WholeInput) -> None:
    for work in listed:
        assert work.part is not None
        found = work.part.input
        if found == expected:
            continue
        if (found.photos, found.digest) != (expected.photos, expected.digest):
            what = f"other photos ({found.photos}, not {expected.photos}, or of other names)"
        elif found.labels != expected.labels:
            what = "other --labels"
        else:
            what = f"--limit {found.limit or '(none)'} instead of {expected.limit or '(none)'}"
        raise UsageError(
            "other_input",
            f"{work} was run with {what}, unlike {listed[0]}; run the commands of all shards again: they do "
            "only what is new",
        )


def _collect_photos(gathered: Gathered, merged: Column) -> None:
    """Put the photos of all shards in the order of the input.

    Args:
        gathered: gets the keys and their positions.
        merged: the photos of an earlier merge or run in input order; if these are the very photos of this
            input, the shards that were not run again have nothing to add.
    """
    keys, positions = Texts(), array("q")
    for work in gathered.listed:
        assert work.part is not None
        keys.extend(work.listing.keys)
        positions.extend(work.part.places)
    fits = len(keys) == len(positions)
    if fits:
        in_order, first = np.unique(np.array(positions, np.int64), return_index=True)
        gathered.keys, gathered.positions = keys.of(numbers(first)), numbers(in_order)
        fits = not gathered.complete or digest_of(gathered.keys) == gathered.input.digest
    if not fits or (len(gathered.listed) == gathered.count and not gathered.complete):
        raise UsageError(
            "shard_listings_differ",
            "the listings of the shards do not make up the input; run the commands of all shards again",
        )
    if not gathered.complete and digest_of(merged) == gathered.input.digest:
        gathered.keys, gathered.positions = merged, range(len(merged))


# ---------------------------------------------------------------- what is missing


def chosen_keys(gathered: Gathered, matches: Sequence[str | None]) -> Column:
    """Return the photos that the run was to do, in its order, as far as they are known.

    Args:
        gathered: the work of the shards.
        matches: the photo of each label row; empty without labels.
    """
    limit = gathered.input.limit
    if gathered.input.labels:
        return Texts(dict.fromkeys(key for key in matches if key is not None))[:limit]
    return gathered.keys if limit is None else gathered.keys[: bisect_left(gathered.positions, limit)]


def gaps(gathered: Gathered, chosen: Iterable[str], merged: Container[str]) -> list[Gap]:
    """Return the shards that are not done.

    Args:
        gathered: the work of the shards.
        chosen: the photos that were to be done.
        merged: photos of which the folder has a record already.
    """
    to_do = Counter(
        owner(key, gathered.count) for key in chosen if key not in gathered.records and key not in merged
    )
    begun = {work.shard for work in gathered.shards}
    listed = {work.shard for work in gathered.listed}
    found = []
    for shard in (Shard(index, gathered.count) for index in range(gathered.count)):
        if shard not in listed and not gathered.complete:
            why = "was stopped before it listed photos" if shard in begun else "was not run"
            found.append(Gap(shard, None, why))
        elif to_do[shard.index]:
            found.append(Gap(shard, to_do[shard.index]))
    return found


# ---------------------------------------------------------------- one journal


def photos_of(gathered: Gathered, folder: OutputFolder) -> tuple[Photos, list[Given]]:
    """Return all photos in input order and where they are, and the inputs that were given.

    Args:
        gathered: the work of the shards.
        folder: the unsharded folder; what was merged before keeps its place and comes last.
    """
    merged = load_listing(folder)
    listings = [*(work.listing for work in gathered.listed), merged]
    inputs: list[Given] = []
    for several in zip_longest(*(listing.inputs for listing in listings)):
        known = [given for given in several if given is not None]
        keys = Texts(chain.from_iterable(given.keys for given in known))
        inputs.append(Given(known[0].where, known[0].root, keys))
    earlier = merged.locations()
    now = {work.shard.index: work.listing.locations() for work in gathered.listed}

    def location_of(key: str) -> Location:
        location = now.get(owner(key, gathered.count), earlier).get(key)
        return earlier[key] if location is None else location

    return Photos(Photo(key, location_of(key)) for key in gathered.keys), parts_of(inputs, gathered.keys)


def append_to_journal(
    gathered: Gathered, chosen: Column, merged: Replay, journal: Journal, folder: OutputFolder
) -> Known[Record]:
    """Append the shards' records to the journal of a folder, in the order of an unsharded run.

    Args:
        gathered: the work of the shards.
        chosen: the photos that were to be done, in order.
        merged: what the journal has.
        journal: the journal, begun.
        folder: its folder, held by the caller.

    Returns:
        What the journal has then.

    Raises:
        UsageError: two photos have the same crop.
        OutputError: the folder cannot be written; what was done is kept.
    """
    _check_names(merged.entries, gathered.records)
    files = [_reread(work.folder.layout.candidates) for work in gathered.shards]
    left_over = _left_over(folder.layout.candidates, merged.entries)
    for record, number in gathered.records.in_order(chosen):
        before = merged.records.get(record.image)
        if before is not None and replace(before, candidates=None) == replace(record, candidates=None):
            continue
        line = _candidates_line(files[number], record)
        if line is None:
            span = journal.candidates_end(), 0
        elif line == left_over:  # killed between this and the record
            span = journal.candidates_end() - len(line), len(line)
        else:
            span = journal.append_candidates_line(line)
        left_over = None
        journal.append(replace(record, candidates=span))
    records = replay(folder.layout.journal).records
    _declare_unfinished(gathered.unfinished, records, journal, folder)
    return records


def _check_names(merged: Known[ResumeEntry], shards: ShardRecords) -> None:
    """Refuse two photos with one crop, of which one has replaced the other.

    Shards that ran in folders of their own do not see each other's earlier names: photos that were added
    between two commands can get a name that another shard has given away.
    """
    hashes = array("q", (hash(_folded(entry)) for entry in _last_entries(merged, shards)))
    alike = set(rows_alike(np.array(hashes, np.int64)).tolist())
    owners: dict[str, str] = {}
    for row, entry in enumerate(_last_entries(merged, shards)) if alike else ():
        if row in alike and (other := owners.setdefault(_folded(entry), entry.image)) != entry.image:
            raise UsageError(
                "crop_name_taken",
                f"the crops of {other} and {entry.image} have the same name, {entry.crop}, because photos "
                "were added after a shard was begun; run the commands of all shards again, with a new --out, "
                "then merge",
            )


def _last_entries(merged: Known[ResumeEntry], shards: ShardRecords) -> Iterator[ResumeEntry]:
    """Yield what is known last of each photo that has a crop."""
    for entry in merged.values():
        if (last := shards.entry(entry.image) or entry).crop:
            yield last
    yield from (entry for entry in shards.entries() if entry.crop and entry.image not in merged)


def _folded(entry: ResumeEntry) -> str:
    return fold_name(within(entry.crop))


def _declare_unfinished(
    unfinished: Mapping[str, str], records: Known[Record], journal: Journal, folder: OutputFolder
) -> None:
    """Note the crops without a record, or the next run would take them for somebody else's."""
    if not unfinished:
        return
    known = unfinished_crops(folder.layout.candidates, records)
    known.update(name for record in records.values() for name in names_of(record) if name in unfinished)
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ())
    for crop, key in unfinished.items():
        if crop not in known:
            journal.append_candidates(key, crop, nothing)


def _reread(path: Path) -> Reread | None:
    return Reread(FileIO(path), path) if is_there(path) else None


def _left_over(candidates: Path, merged: Known[ResumeEntry]) -> bytes | None:
    """Return what stands in the candidates after the last line that a record points to."""
    end = int(merged.spans().sum(axis=1).max(initial=0))
    with open(candidates, "rb") as file:
        file.seek(end)
        return file.read(1 << 20) or None


def _candidates_line(file: Reread | None, record: Record) -> bytes | None:
    """Return the line that a record points to; None if it is damaged or another, as after a power cut."""
    if file is None or record.candidates is None or not record.candidates[1]:
        return None
    offset, length = record.candidates
    line = file.bytes_at(offset, length)
    begins = b'{"image":' + json.dumps(record.image).encode() + b","
    if not (line.startswith(begins) and line.endswith(b"}\n") and len(line) == length):
        return None
    with contextlib.suppress(ValueError):
        is_sealed(line)
        return line
    return None
