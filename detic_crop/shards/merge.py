"""Joining what shards did: first check that it is one whole, then append it to the journal of the folder.

Everything is only appended, in the order of an unsharded run, and what is there already is passed over. So a
merge that was killed is mended by giving it again.
"""

from __future__ import annotations

import errno
import json
import shlex
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from msgspec.structs import replace

from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder, read_json
from detic_crop.folder.inputs import Given, parts_of, recorded_inputs
from detic_crop.folder.journal import Journal, Replay, replay, unfinished_crops, unfinished_photos
from detic_crop.folder.listing import photo_paths, read_listing
from detic_crop.folder.names import fold_name
from detic_crop.folder.records import Record
from detic_crop.folder.shard import Shard, owner
from detic_crop.folder.tar_crops import Place, place_of, within
from detic_crop.photos.photo import Photo
from detic_crop.shards.state import Input, Merged, Part, digest_of, read_part
from detic_crop.wording import counted


@dataclass(frozen=True, slots=True)
class Done:
    """What one shard left.

    Attributes:
        folder: the shard's.
        shard: which.
        part: of the input; None where it was stopped before it kept that.
        journal: what it recorded; of the records only until they are gathered.
    """

    folder: OutputFolder
    shard: Shard
    part: Part | None
    journal: Replay[Record]

    def __str__(self) -> str:
        return f"shard {self.shard} of {self.folder.shown}"


@dataclass(slots=True)
class Gathered:
    """What some shards of one run did, all together.

    Attributes:
        done: each of them; the same shard may come from several folders.
        count: shards there should be.
        input: which photos they share.
        config: their settings.
        keys: the photos of the whole input, as far as its shards are known, in input order.
        places: where in the whole input these are, ascending; what has none is of an earlier merge that was
            of other photos, and comes last.
        complete: these are all of them.
        known: the shards whose photos these are, as ``k/N``; an earlier merge may know some.
        unlike: where the earlier merge or run was of other photos, how many these were.
        outdated: the shards that it knew of these.
        records: of each photo the record and which of `done` made it.
        unfinished: crop → photo, of those that a shard was about to write when it was killed.
        twice: photos recorded by two, alike.
        damaged: journal lines that could not be read.
    """

    done: list[Done]
    count: int
    input: Input
    config: CropConfig
    keys: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    complete: bool = False
    known: set[str] = field(default_factory=set)
    unlike: int | None = None
    outdated: set[str] = field(default_factory=set)
    records: dict[str, tuple[Record, int]] = field(default_factory=dict)
    unfinished: dict[str, str] = field(default_factory=dict)
    twice: int = 0
    damaged: int = 0

    @property
    def version(self) -> str:
        """Of this package, that the first of them was begun with."""
        return next((each.journal.version for each in self.done if each.journal.version), "")

    def command_of(self, shard: Shard, instead: OutputFolder) -> str:
        """The command that does a shard; empty where it was given from Python.

        Args:
            shard: which.
            instead: where it writes to when it was never run.
        """
        known = [done for done in self.done if done.part is not None and done.part.words]
        if not known:
            return ""
        done = next((done for done in known if done.shard == shard), known[0])
        shown = done.folder.shown if done.shard == shard else instead.shown
        assert done.part is not None
        words = ["detic-crop", "run", *done.part.words, "--out", shown, "--shard", str(shard)]
        return shlex.join(words)

    @property
    def unlike_before(self) -> str:
        """That the earlier merge was of other photos; empty where it was not."""
        if self.unlike is None:
            return ""
        return f"what was merged before were {other_photos(self.unlike, self.input.photos)}"

    @property
    def listed(self) -> list[Done]:
        """Of each shard that has kept its part of the input one."""
        return list({done.shard: done for done in self.done if done.part is not None}.values())


@dataclass(frozen=True, slots=True)
class Gap:
    """A shard that is not done.

    Attributes:
        shard: which.
        photos: that it has no record of; None where that is not known.
        why: that is not known.
    """

    shard: Shard
    photos: int | None
    why: str = ""

    def __str__(self) -> str:
        return f"shard {self.shard} {self.why or 'has ' + counted(self.photos or 0, 'photo') + ' to do'}"


def gather(folders: Sequence[OutputFolder]) -> Gathered:
    """Read what the shards in some folders did, and check that it belongs together.

    Args:
        folders: whole ones, locked by the caller.

    Raises:
        UsageError: they were not made from the same photos, by the same settings, in as many shards; or some
            photo was done twice, and not alike.
    """
    done = []
    for folder in folders:
        for shard in folder.shards():
            own = folder.with_shard(shard)
            done.append(Done(own, shard, _whole_part(own), replay(own.layout.journal)))
    known = [each for each in done if each.part is not None]
    if not known:
        raise UsageError(
            f"the shards of {folders[0].shown} were stopped before they listed the photos; "
            "give their commands again"
        )
    first = known[0]
    for other in done:
        if other.shard.count != first.shard.count:
            raise UsageError(f"{other} and {first} do not fit: one is of another number of shards")
        config = other.journal.config
        expected = first.journal.config
        if config is None and (other is first or other.journal.records):
            raise UsageError(f"the journal of {other} is damaged; give its command again")
        if config is not None and expected is not None and config.fingerprint() != expected.fingerprint():
            raise UsageError(
                f"{other} and {first} were made with different settings "
                f"({'; '.join(config.differences(expected))}); make one of them again"
            )
    _check_same_input(known)
    assert first.part is not None
    assert first.journal.config is not None
    gathered = Gathered(done, first.shard.count, first.part.input, first.journal.config)
    gathered.damaged = sum(each.journal.ignored for each in done)
    _unite_records(gathered)
    _unite_listings(gathered)
    return gathered


def _whole_part(folder: OutputFolder) -> Part | None:
    """The shard's part of the input, where its listing is the one that belongs to it."""
    part = read_part(folder)
    keys = read_listing(folder)["keys"] if part is not None else []
    return part if part is not None and part.keys == digest_of(keys) else None


def _check_same_input(known: Sequence[Done]) -> None:
    first = known[0]
    assert first.part is not None
    for other in known[1:]:
        assert other.part is not None
        ours, theirs = first.part.input, other.part.input
        if ours == theirs:
            continue
        if (ours.photos, ours.digest) != (theirs.photos, theirs.digest):
            what = other_photos(theirs.photos, ours.photos)
        elif ours.labels != theirs.labels:
            what = "other --labels"
        else:
            what = f"--limit {theirs.limit or '(none)'} instead of {ours.limit or '(none)'}"
        raise UsageError(
            f"{other} was run with {what}, unlike {first}; give the commands of all shards again, which does "
            "only what is new"
        )


def other_photos(count: int, expected: int) -> str:
    """How an input differs from the expected one; they may have as many photos."""
    return f"other photos ({count}, not {expected}, or of other names)"


def _unite_records(gathered: Gathered) -> None:
    records = gathered.records
    conflicts: list[tuple[str, int, int]] = []
    for number, done in enumerate(gathered.done):
        for key, record in done.journal.records.items():
            before = records.get(key)
            if before is None:
                records[key] = record, number
                continue
            gathered.twice += 1
            if "failed" in (before[0].status, record.status):
                if record.status != "failed":  # the other one could not
                    records[key] = record, number
            elif not alike(before[0], record):
                conflicts.append((key, before[1], number))
        gathered.unfinished |= unfinished_photos(done.folder.layout.candidates, done.journal.records)
        done.journal.records = {}  # kept once: there may be millions
    if conflicts:
        key, *numbers = conflicts[0]
        one, other = (gathered.done[number] for number in numbers)
        layout = other.folder.layout
        raise UsageError(
            f"photos that were done twice, and not alike: {len(conflicts)} (first: {key}, by {one} and by "
            f"{other}); remove one of the two, e.g. {layout.shown_of(layout.own_state)}, and merge again"
        )


def alike(one: Record, other: Record) -> bool:
    """Whether two records say the same, wherever their boxes are kept and when the photo was copied."""
    return replace(one, candidates=None, file_time=0) == replace(other, candidates=None, file_time=0)


def _unite_listings(gathered: Gathered) -> None:
    """Put the photos of all shards in the order of the input."""
    keys: list[str] = []
    places: list[int] = []
    for done in gathered.listed:
        assert done.part is not None
        keys += read_listing(done.folder)["keys"]
        places += done.part.places
    gathered.known = {str(done.shard) for done in gathered.listed}
    fits = _arrange(gathered, keys, places)
    if not fits or (len(gathered.listed) == gathered.count and not gathered.complete):
        raise UsageError("the listings of the shards do not make up the input; give their commands again")


def _arrange(gathered: Gathered, keys: Sequence[str], places: Sequence[int]) -> bool:
    """Note photos in the order of the input, each once; False where they do not fit it."""
    if len(keys) != len(places):
        return False
    ascending, first = np.unique(np.array(places, np.int64), return_index=True)
    gathered.keys = [keys[index] for index in first.tolist()]
    gathered.places = ascending.tolist()
    gathered.complete = len(gathered.keys) == gathered.input.photos
    return not gathered.complete or digest_of(gathered.keys) == gathered.input.digest


def chosen_keys(gathered: Gathered, matches: Sequence[str | None]) -> list[str]:
    """The photos that the run was to do, in its order, as far as they are known.

    Args:
        gathered: from `gather`.
        matches: the photo of each label row; empty without labels.
    """
    limit = gathered.input.limit
    if gathered.input.labels:
        return list(dict.fromkeys(key for key in matches if key is not None))[:limit]
    return gathered.keys if limit is None else gathered.keys[: bisect_left(gathered.places, limit)]


def gaps(gathered: Gathered, chosen: Iterable[str], merged: Mapping[str, Record]) -> list[Gap]:
    """The shards that are not done.

    Args:
        gathered: from `gather`.
        chosen: the photos that were to be done.
        merged: records that the folder has already.
    """
    count = gathered.count
    missing = Counter(
        owner(key, count) for key in chosen if key not in gathered.records and key not in merged
    )
    begun = {done.shard for done in gathered.done}
    found = []
    for shard in (Shard(index, count) for index in range(count)):
        if not gathered.complete and str(shard) not in gathered.known:
            why = "was stopped before it listed photos" if shard in begun else "was never run"
            if shard not in begun and str(shard) in gathered.outdated:
                why = "was merged with other photos"
            found.append(Gap(shard, None, why))
        elif missing[shard.index]:
            found.append(Gap(shard, missing[shard.index]))
    return found


def know_earlier_merge(gathered: Gathered, folder: OutputFolder) -> None:
    """Take over the photos of shards that were not run again from what a merge or a run before has listed.

    Args:
        gathered: from `gather`; its photos become more, if the earlier ones are of the same input.
        folder: the whole one.

    Raises:
        UsageError: its listing is damaged.
    """
    listing = read_listing(folder)
    keys, whole = listing["keys"], gathered.input
    if gathered.complete or not keys:
        return
    merged = Merged.of_listing(listing)
    if (merged.photos, merged.digest) == (whole.photos, whole.digest):
        gathered.known |= set(merged.shards)
        keys = gathered.keys + keys[: len(merged.places)]
        if not _arrange(gathered, keys, gathered.places + merged.places):
            raise UsageError(
                f"{folder.layout.listing} does not fit the shards; give the commands of all shards again"
            )
    else:
        gathered.unlike, gathered.outdated = merged.photos, set(merged.shards)
        listed = {done.shard.index for done in gathered.listed}
        gathered.keys += [key for key in keys if owner(key, gathered.count) not in listed]


def merged_part(gathered: Gathered) -> dict[str, Any]:
    """What is to be kept with the listing for a later merge; nothing where all photos are known."""
    if gathered.complete:
        return {}
    whole = gathered.input
    return asdict(Merged(whole.photos, whole.digest, sorted(gathered.known), gathered.places))


def sources_of(gathered: Gathered, folder: OutputFolder) -> tuple[list[Photo], list[Given]]:
    """All photos in input order, where they are, and what they were given as."""
    listing = read_listing(folder)
    paths: dict[str, str] = photo_paths(listing)
    told = [recorded_inputs(listing)]
    for done in gathered.listed:
        listing = read_listing(done.folder)
        told.insert(-1, recorded_inputs(listing))  # what was merged before comes last
        paths.update(photo_paths(listing))
    inputs: list[Given] = []
    for several in zip_longest(*told):
        known = [given for given in several if given is not None]
        keys = [key for given in known for key in given.keys]
        inputs.append(Given(known[0].where, known[0].root, keys))
    return [Photo(key, paths[key]) for key in gathered.keys], parts_of(inputs, gathered.keys)


def check_target(gathered: Gathered, records: Mapping[str, Record], folder: OutputFolder) -> None:
    """Refuse to merge into a folder that holds anything else than an earlier merge of the same.

    Raises:
        UsageError: it does.
    """
    for key, record in records.items():
        ours = gathered.records.get(key)
        if ours is None or (record.status != "failed" and not alike(record, ours[0])):
            raise UsageError(
                f"{folder.shown} holds {key} of another run, or as a reviewer changed it; pass a new --out"
            )


def fold(
    gathered: Gathered,
    chosen: Sequence[str],
    records: dict[str, Record],
    journal: Journal,
    folder: OutputFolder,
    bring: bool,
) -> None:
    """Append the shards' records to the journal of the whole folder, in the order of an unsharded run.

    Args:
        gathered: from `gather`.
        chosen: the photos that were to be done, in order.
        records: what the journal of the whole folder has, by key; kept up to date.
        journal: of the whole folder, begun.
        folder: that folder, held by the caller.
        bring: the crops lie in other folders, and are linked or copied.

    Raises:
        UsageError: a crop to bring is gone, or a strange file lies in its place.
        OutputError: the folder cannot be written; what was done is kept.
    """
    _check_names(records, gathered)
    if bring:
        folder.ours = {record.crop for record in records.values() if record.crop}
        folder.ours |= unfinished_crops(folder.layout.candidates, records)
    order = [key for key in chosen if key in gathered.records]
    order += sorted(gathered.records.keys() - set(order))
    with ExitStack() as opened:
        files = [_opened(done.folder.layout.candidates, opened) for done in gathered.done]
        left_over = _left_over(folder.layout.candidates, records)
        for key in order:
            record, number = gathered.records.pop(key)
            before = records.get(key)
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
            if bring and record.crop:
                _bring(record, gathered.done[number].folder, folder)
            records[key] = replace(record, candidates=span)
            journal.append(records[key])
    if not bring:
        _announce(gathered.unfinished, records, journal, folder)


def _check_names(merged: Mapping[str, Record], gathered: Gathered) -> None:
    """Refuse two photos with one crop, of which one would replace the other.

    Shards in folders of their own do not see each other's earlier names: photos that were added between two
    commands can get a name that another shard has given away.
    """
    last = {**merged, **{key: record for key, (record, _) in gathered.records.items()}}
    owners: dict[str, str] = {}
    for key, record in last.items():
        other = owners.setdefault(fold_name(within(record.crop)), key) if record.crop else key
        if other != key:
            raise UsageError(
                f"the crops of {other} and {key} have one name, {record.crop}, since photos were added after "
                "a shard was begun; give the commands of all shards again with --overwrite, then merge "
                "into a new --out"
            )


def _announce(
    unfinished: Mapping[str, str], records: Mapping[str, Record], journal: Journal, folder: OutputFolder
) -> None:
    """Note which crops without a record are ours, or the next run would take them for somebody else's."""
    known = unfinished_crops(folder.layout.candidates, records) | {record.crop for record in records.values()}
    for crop, key in unfinished.items():
        if crop not in known:
            journal.append_candidates(
                key, crop, Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ())
            )


def _opened(path: Path, opened: ExitStack) -> BinaryIO | None:
    return opened.enter_context(open(path, "rb")) if path.exists() else None


def _left_over(candidates: Path, records: Mapping[str, Record]) -> bytes | None:
    """What stands in the candidates after the last that a record points to."""
    end = max((sum(record.candidates) for record in records.values() if record.candidates), default=0)
    with open(candidates, "rb") as file:
        file.seek(end)
        return file.read(1 << 20) or None


def _candidates_line(file: BinaryIO | None, record: Record) -> bytes | None:
    """The line that a record points to; None where there is none of this photo, as after a power cut."""
    if file is None or record.candidates is None or not record.candidates[1]:
        return None
    offset, length = record.candidates
    file.seek(offset)
    line = file.read(length)
    begins = b'{"image":' + json.dumps(record.image).encode() + b","
    return line if line.startswith(begins) and line.endswith(b"}\n") and len(line) == length else None


def _bring(record: Record, shard: OutputFolder, folder: OutputFolder) -> None:
    place = shard.crop_place(record)
    path = shard.root / place
    try:
        if tar_place := place_of(place):
            _bring_tar(tar_place, record, shard, folder)
            return
        if path.lstat().st_size != record.crop_bytes:  # a link is no crop
            raise FileNotFoundError
        folder.place(folder.link_temporary(path), folder.place_for(record))
    except FileNotFoundError as error:
        raise UsageError(
            f"the crop {path} is gone or cut; give the command of shard {shard.shard} again, then merge"
        ) from error
    except FileExistsError as error:
        raise UsageError(f"{error.filename} was not made by detic-crop; move it, then merge again") from error


def _bring_tar(place: Place, record: Record, shard: OutputFolder, folder: OutputFolder) -> None:
    """The tar file that a crop is in, unless it was brought for another one."""
    if folder.crop_size(record.crop) == record.crop_bytes:
        return
    shard.tars.pack(place.tar)  # a killed shard left something that waits
    if shard.crop_size(record.crop) != record.crop_bytes:
        raise FileNotFoundError
    target = folder.root / place.tar
    ours = {known.tar for known in map(place_of, folder.ours or ()) if known}
    if target.exists() and place.tar not in ours:
        raise FileExistsError(errno.EEXIST, "not made by this merge", str(target))
    folder.tars.take(place.tar, folder.link_temporary(shard.root / place.tar))


_SUMS = ("stage_seconds", "queue_seconds")
_OF_EACH = (
    *("started", "seconds", "stopped", "photos_done_now", "photos_done_before", "photos_remaining"),
    *("counts", *_SUMS, "busy", "options", "notes", "versions", "platform"),
)


def merged_run_json(gathered: Gathered) -> dict[str, Any]:
    """What the shards said of their last runs, in sums and of each."""
    told = [(done, read_json(done.folder.layout.run_json)) for done in gathered.done]
    first = next((values for _, values in told if values), {})
    each = [
        {"shard": str(done.shard), **{name: values[name] for name in _OF_EACH if name in values}}
        for done, values in told
    ]
    return {
        "input": first.get("input", ""),
        "settings": gathered.config.to_dict(),
        "fingerprint": gathered.config.fingerprint(),
        "model_reason": first.get("model_reason", ""),
        **{
            name: sum(values.get(name, 0) for _, values in told)
            for name in ("photos_done_now", "photos_done_before", "photos_remaining")
        },
        "stopped": next((values["stopped"] for _, values in told if values.get("stopped")), ""),
        "started": min((values["started"] for _, values in told if "started" in values), default=""),
        "seconds": round(sum(values.get("seconds", 0.0) for _, values in told), 3),
        **{name: _summed(values.get(name, {}) for _, values in told) for name in _SUMS},
        "shards": each,
    }


def _summed(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for part in parts:
        for name, seconds in part.items():
            total[name] += seconds  # type: ignore[assignment]
    return {name: round(seconds, 3) for name, seconds in total.items()}
