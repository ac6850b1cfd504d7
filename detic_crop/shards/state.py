"""What a shard saves next to its journal, and which shards fit together in one folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from detic_crop.columns import Column, Texts
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inputs import parts_of
from detic_crop.folder.journal import unfinished_crops
from detic_crop.folder.known import Known
from detic_crop.folder.records import ResumeEntry, names_of
from detic_crop.folder.same_photo import SamePhoto
from detic_crop.folder.shard import Shard
from detic_crop.folder.state import Given, Part, WholeInput, load_listing, load_part, save_listing, save_part
from detic_crop.photos.labels import Labels
from detic_crop.photos.table import Photos


def whole_input(
    photos: Photos, labels: Labels | None, matches: Sequence[str | None], limit: int | None
) -> WholeInput:
    """Return what the shards of a run have in common.

    Args:
        photos: all photos of the input in its order.
        labels: the label table; None without one.
        matches: the photo of each row of the table.
        limit: number of photos that were asked for; None for all.
    """
    keys = digest_of(photos.keys)
    if labels is None:
        return WholeInput(len(photos), keys, "", limit)
    table = hashlib.blake2b(labels.data, digest_size=16).hexdigest()
    matched = digest_of(key or "" for key in matches)
    return WholeInput(len(photos), keys, f"{labels.key_column} {table} {matched}", limit)


def digest_of(texts: Iterable[str]) -> str:
    """Return a hash of some keys in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(text.encode(errors="surrogatepass") + b"\n\0")
    return digest.hexdigest()


def save_shard_input(
    folder: OutputFolder,
    shard: Shard,
    photos: Photos,
    inputs: Sequence[Given],
    input: WholeInput,
    command: Sequence[str],
) -> None:
    """Save which photos of an input fall to a shard, and where they are.

    Args:
        folder: the output folder as the shard sees it.
        shard: shard that the photos fall to.
        photos: all photos of the input in its order.
        inputs: the inputs that they came from.
        input: what the shards have in common; see `whole_input`.
        command: words of the command, without ``--out`` and ``--shard``.
    """
    positions = shard.own_rows(photos.keys)
    own = photos.of(positions)
    save_listing(folder, own, parts_of(inputs, own.keys))
    save_part(folder, Part(input, positions, digest_of(own.keys), list(command)))


def check_same_count(folder: OutputFolder, shard: Shard) -> None:
    """Refuse a shard if the folder has shards of another count.

    Raises:
        UsageError: there are such shards.
    """
    for other in folder.shards():
        if other.count != shard.count:
            raise UsageError(
                "other_shard_count",
                f"{folder.shown} holds shard {other}, so shard {shard} does not fit; pass --shard "
                f"k/{other.count}, another --out, or first run: detic-crop merge {folder.layout.quoted}",
            )


def check_same_shards(folder: OutputFolder, inputs: Sequence[Given], photos: Photos, add: bool) -> None:
    """Refuse a shard of other photos than the shards that the folder has.

    Args:
        folder: the output folder as the shard sees it.
        inputs: inputs of this call.
        photos: all of their photos.
        add: True if another input is to be added.

    Raises:
        UsageError: the photos differ; a merge would refuse them, but only after the work.
    """
    digest = digest_of(photos.keys)
    for shard in folder.shards():
        other = folder.with_shard(shard)
        theirs, part = load_listing(other).inputs, load_part(other)
        if not theirs or [given.shown for given in theirs] == [given.shown for given in inputs]:
            continue
        is_same = SamePhoto(other)
        if strange := next((photo for photo in photos if is_same(photo) is False), None):
            raise UsageError(
                "same_name_other_photo",
                f"shard {shard} of {folder.shown} has the photos of {theirs[0].shown}, and {strange.key} of "
                f"{inputs[-1].shown} is another photo of that name; pass another --out",
            )
        if part is not None and part.input.digest == digest:  # the same photos at another place
            continue
        own = photos.of(shard.own_rows(photos.keys)).keys
        then = sum(len(given.keys) for given in theirs)
        common = sum(key in own for given in theirs for key in given.keys)
        if common * 2 < min(len(own), then) or len(theirs) != len(inputs):
            names = [" and ".join(given.shown for given in several) for several in (theirs, inputs)]
            instead = f"first run: detic-crop merge {folder.layout.quoted}" if add else "pass another --out"
            raise UsageError(
                "other_photos",
                f"shard {shard} of {folder.shown} has the photos of {names[0]}, not those of {names[1]}; "
                f"{instead}",
            )


def replaceable_crops(
    folder: OutputFolder,
    shard: Shard,
    own: Known[ResumeEntry],
    merged: Known[ResumeEntry],
) -> Column:
    """Return the crops that a shard may replace: of its photos, and those it was about to write when killed.

    Args:
        folder: the output folder as the shard sees it.
        shard: shard that replaces crops.
        own: records of its journal, by key.
        merged: records of the unsharded journal, by key.
    """
    crops = Texts(name for record in own.values() for name in names_of(record))
    crops.extend(name for key, record in merged.items() if shard.owns(key) for name in names_of(record))
    crops.extend(unfinished_crops(folder.layout.candidates, own))
    return crops
