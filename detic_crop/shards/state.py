"""What a shard keeps beside its journal, and how it begins beside others in one folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing

from detic_crop.config import CropConfig
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inputs import parts_of
from detic_crop.folder.journal import (
    Journal,
    recorded_config,
    replay,
    replay_entries,
    unfinished_crops,
)
from detic_crop.folder.records import Record, ResumeEntry
from detic_crop.folder.state import Given, Part, WholeInput, load_listing, load_part, save_listing, save_part
from detic_crop.photos.labels import Labels
from detic_crop.photos.photo import Photo


def whole_input(
    photos: Sequence[Photo], labels: Labels | None, matches: Sequence[str | None], limit: int | None
) -> WholeInput:
    """Return what the shards of a run have in common.

    Args:
        photos: all photos of the input in its order.
        labels: the label table; None without one.
        matches: the photo of each row of the table.
        limit: number of photos that were asked for; None for all.
    """
    keys = digest_of(photo.key for photo in photos)
    if labels is None:
        return WholeInput(len(photos), keys, "", limit)
    table = hashlib.blake2b(labels.data, digest_size=16).hexdigest()
    matched = digest_of(key or "" for key in matches)
    return WholeInput(len(photos), keys, f"{labels.key_column} {table} {matched}", limit)


def digest_of(texts: Iterable[str]) -> str:
    """A hash over some keys in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(text.encode(errors="surrogatepass") + b"\n\0")
    return digest.hexdigest()


def write_part(
    folder: OutputFolder,
    photos: Sequence[Photo],
    inputs: Sequence[Given],
    input: WholeInput,
    words: Sequence[str],
) -> None:
    """Keep which photos of an input fall to a shard, and where they are.

    Args:
        folder: the shard's.
        photos: all photos of the input in its order.
        inputs: what they were given as.
        input: what the shards have in common; see `whole_input`.
        words: of the command, but for ``--out`` and ``--shard``.
    """
    assert folder.shard is not None
    places = [place for place, photo in enumerate(photos) if folder.shard.owns(photo.key)]
    own = [photos[place] for place in places]
    part = Part(input, places, digest_of(photo.key for photo in own), list(words))
    save_listing(folder, own, parts_of(inputs, [photo.key for photo in own]))
    save_part(folder, part)


def check_same_count(folder: OutputFolder) -> None:
    """Refuse a shard beside shards of another number.

    Raises:
        UsageError: there are such ones.
    """
    for other in folder.whole.shards():
        if folder.shard is not None and other.count != folder.shard.count:
            raise UsageError(
                f"{folder.shown} holds shard {other}, so shard {folder.shard} does not fit; give --shard "
                f"k/{other.count}, another --out, or first: detic-crop merge {folder.layout.quoted}"
            )


def check_same_shards(
    folder: OutputFolder,
    inputs: Sequence[Given],
    photos: Sequence[Photo],
    add: bool,
    same_photo: Callable[[OutputFolder], Callable[[Photo], bool | None]],
) -> None:
    """Refuse a shard of other photos than the shards that wait beside it.

    Args:
        folder: the shard's.
        inputs: of this call.
        photos: all of their photos.
        add: another input is to be added.
        same_photo: of a folder, whether a photo is the one that it has under that key; None: not known.

    Raises:
        UsageError: they are others; a merge would refuse them, but only after the work.
    """
    digest = digest_of(photo.key for photo in photos)
    for shard in folder.whole.shards():
        other = folder.with_shard(shard)
        theirs, part = load_listing(other).inputs, load_part(other)
        if not theirs or [given.shown for given in theirs] == [given.shown for given in inputs]:
            continue
        is_same = same_photo(other)
        if strange := next((photo for photo in photos if is_same(photo) is False), None):
            raise UsageError(
                f"shard {shard} of {folder.shown} has the photos of {theirs[0].shown}, and {strange.key} of "
                f"{inputs[-1].shown} is another photo of that name; pass another --out"
            )
        if part is not None and part.input.digest == digest:  # the same photos at another place
            continue
        now = {photo.key for photo in photos if shard.owns(photo.key)}
        then = {key for given in theirs for key in given.keys}
        if len(now & then) * 2 < min(len(now), len(then)) or len(theirs) != len(inputs):
            names = [" and ".join(given.shown for given in several) for several in (theirs, inputs)]
            instead = f"first give: detic-crop merge {folder.layout.quoted}" if add else "pass another --out"
            raise UsageError(
                f"shard {shard} of {folder.shown} has the photos of {names[0]}, not those of {names[1]}; "
                f"{instead}"
            )


def folder_settings(folder: OutputFolder, overwrite: bool) -> CropConfig | None:
    """The settings that a folder was begun with, by whichever run; with `overwrite` not by this one."""
    found = None if overwrite else recorded_config(folder.layout.journal)
    if folder.shard is None or found is not None:
        return found
    others = (folder.with_shard(other) for other in folder.whole.shards() if other != folder.shard)
    for other in (folder.whole, *others):
        if (found := recorded_config(other.layout.journal)) is not None:
            return found
    return None


def begin_shard(folder: OutputFolder, config: CropConfig, version: str) -> None:
    """Note the settings of a shard; called while no other one begins."""
    if recorded_config(folder.layout.journal) is None:
        with closing(Journal(folder.layout.journal, folder.layout.candidates, folder.inside)) as journal:
            journal.begin(config, version)


def known_records(folder: OutputFolder) -> dict[str, Record]:
    """The last record of each photo: of a shard its own ones, and what was merged before."""
    own = replay(folder.layout.journal).records
    return own if folder.shard is None else replay(folder.whole.layout.journal).records | own


def finished_records(folder: OutputFolder) -> dict[str, ResumeEntry]:
    """The same, as far as a resume has to know it."""
    own = replay_entries(folder.layout.journal).records
    return own if folder.shard is None else replay_entries(folder.whole.layout.journal).records | own


def crops_of(
    folder: OutputFolder, own: Mapping[str, ResumeEntry], merged: Mapping[str, ResumeEntry]
) -> set[str]:
    """The crops that a shard may replace: its photos', and those that it was about to write when killed.

    Args:
        folder: the shard's.
        own: records of its journal.
        merged: records of the whole folder's journal.
    """
    assert folder.shard is not None
    crops = {record.crop for record in own.values() if record.crop}
    crops |= {record.crop for key, record in merged.items() if record.crop and folder.shard.owns(key)}
    return crops | unfinished_crops(folder.layout.candidates, own)
