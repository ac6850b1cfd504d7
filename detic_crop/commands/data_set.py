"""The photos that a run is asked for, among all that its output folder was given."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from detic_crop.columns import Column, numbers
from detic_crop.config import SETTINGS, RunOptions
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inputs import KnownInputs, describe_move, photos_left
from detic_crop.folder.same_photo import SamePhoto
from detic_crop.folder.state import Given, SavedListing, has_labels, load_labels, load_listing
from detic_crop.folder.there import is_there
from detic_crop.photos.find import root_of
from detic_crop.photos.labels import (
    Labels,
    advice_on_key,
    is_hardly_any,
    match_labels,
    read_labels,
    report_on,
)
from detic_crop.photos.location import FileOrObject
from detic_crop.photos.table import Listing, OwnPaths, Photos
from detic_crop.system.system_folders import system_folder_of
from detic_crop.wording import counted, either


@dataclass(frozen=True, slots=True)
class DataSet:
    """The photos of an output folder, and those that a run is asked for.

    Attributes:
        inputs: the inputs of the folder, that of this call among them.
        photos: all of their photos, in input order.
        chosen: photos of this call, in the order of audit.csv.
        labels: the label table; None without one.
        matches: key of the photo of each label row; None where there is none.
        notes: sentences that a person should read.
        reported: those of them that are said before the first photo is worked on: what the labels match, and
            whether the photos come from elsewhere now.
        warnings: those of `reported` that say that something is probably wrong.
    """

    inputs: Sequence[Given]
    photos: Photos
    chosen: Photos
    labels: Labels | None = None
    matches: Sequence[str | None] = ()
    notes: list[str] = field(default_factory=list)
    reported: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def keys(self) -> Column:
        """Keys of all photos, in input order."""
        return self.photos.keys


def data_set_of(where: FileOrObject, listing: Listing, folder: OutputFolder, options: RunOptions) -> DataSet:
    """Return what the folder holds once the input of this call is in it, and the photos that are asked for.

    Args:
        where: the input.
        listing: photos of the input.
        folder: the output folder, whose inputs and photos so far are known by its listing.
        options: the label table, the limit, and whether the input may be added to others.

    Raises:
        UsageError: the folder has other photos and they are not to be added, or no label row names a photo.
    """
    asked = _asked_labels(folder, listing.photos.keys, options)
    whole = folder.whole
    told, warnings = list(asked.notes), list(listing.warnings)
    given = Given(str(where.absolute().redact()), root_of(where), listing.photos.keys)
    inputs, photos, earlier_notes = [given], listing.photos, list[str]()
    if not options.overwrite:
        saved = load_listing(whole)
        known = KnownInputs(saved, folder.shown)
        inputs = known.with_input(given, listing.photos, SamePhoto(whole), options.add)
        photos = known.photos_of(inputs, listing.photos)
        left = photos_left(saved, photos.keys)
        if moved := describe_move(saved.inputs, inputs, left, folder.shown):
            (warnings if left else told).append(moved)
        earlier_notes = _earlier_notes(saved, photos, [] if moved else left)
    notes = list(listing.notes)
    if listing.ignored:
        notes.append(f"other files ignored: {listing.ignored:,}")
    if asked.labels is None:
        chosen, matches = listing.photos, list[str | None]()
    else:
        found = _labelled(asked, asked.labels, listing, photos)
        chosen, matches = found.chosen, list(found.matches)
        told += found.notes
        warnings += found.warnings
    reported = [*told, *warnings]
    notes += [*reported, *earlier_notes]
    return DataSet(inputs, photos, chosen[: options.limit], asked.labels, matches, notes, reported, warnings)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The labels that a run follows.

    Attributes:
        labels: the label table; None without one.
        notes: where they are from, if that needs saying, and how they were read.
        are_kept: True if they are those of an earlier call.
    """

    labels: Labels | None
    notes: list[str]
    are_kept: bool = False


def _asked_labels(folder: OutputFolder, keys: Column, options: RunOptions) -> _Asked:
    """Return the labels that this call names, else those that the folder keeps.

    Args:
        folder: the output folder; the labels of a shard are its own, else those of an earlier merge.
        keys: photos of the input.
        options: which labels are asked for.

    Raises:
        UsageError: they cannot be read.
    """
    homes = [] if options.overwrite else [folder, folder.whole]
    home = next((home for home in homes if is_there(home.layout.labels)), None)
    if options.labels is not None:
        labels = read_labels(options.labels, options.labels_key, keys)
        notes = list(labels.notes)
        if home is not None and not has_labels(home, labels):
            notes.append(
                f"labels: those of {options.labels} replace the ones that {folder.shown} has kept so far"
            )
        return _Asked(labels, notes)
    if home is None:
        return _Asked(None, [])
    if options.no_labels:
        return _Asked(None, ["labels: those that the folder has kept are forgotten (--no-labels)"])
    kept, _ = load_labels(home)
    assert kept is not None
    unasked = SETTINGS[RunOptions]["labels_key"].default
    if options.labels_key.strip().lower() not in (unasked, kept.key_column.strip().lower()):
        raise UsageError(
            "option_not_applicable",
            f"--labels-key {options.labels_key} needs --labels; the labels that {folder.shown} has kept name "
            f"their photos in the column {kept.key_column!r}",
        )
    return _Asked(
        kept, ["labels: as in the earlier run; --labels FILE replaces them, --no-labels forgets them"], True
    )


@dataclass(frozen=True, slots=True)
class _Labelled:
    """What labels match.

    Attributes:
        chosen: photos of the input that rows name, in the order of the rows.
        matches: key of the photo of each row; None where there is none.
        notes: how many there are, and how they were found.
        warnings: that hardly any row has a photo.
    """

    chosen: Photos
    matches: Sequence[str | None]
    notes: list[str]
    warnings: list[str]


def _labelled(asked: _Asked, labels: Labels, listing: Listing, photos: Photos) -> _Labelled:
    """Return what the labels match; rows may also name photos of other inputs.

    Raises:
        UsageError: no row names a photo of the input.
    """
    keys, names = photos.keys, labels.names()
    matched = match_labels(names, OwnPaths(photos))
    rows = _distinct(keys.find(key) for key in matched.keys if key is not None)
    of_input = listing.photos.keys
    own = rows if of_input == keys else array("q", (row for row in rows if keys.text(row) in of_input))
    if not rows or (asked.are_kept and not own):
        raise _no_match(asked, labels, names, keys if not rows else of_input, matched.notes)
    notes = [report_on(names, matched.keys, len(rows), len(keys)), *matched.notes]
    warnings = []
    n_matched = len(names) - matched.keys.count(None)
    if is_hardly_any(len(names), n_matched, len(keys), len(rows)):
        advice = advice_on_key(labels.columns, labels.rows, keys, labels.key_column)
        warnings.append(
            f"labels: hardly any row names a photo by its column {labels.key_column!r}; is --in the folder "
            f"of these photos? Else {advice}"
        )
    return _Labelled(photos.of(own), matched.keys, notes, warnings)


def _distinct(rows: Iterable[int | None]) -> array[int]:
    """Return each row once, in the order in which they come."""
    found = np.fromiter((row for row in rows if row is not None), np.int64)
    _, first = np.unique(found, return_index=True)
    return numbers(found[np.sort(first)])


def _no_match(
    asked: _Asked, labels: Labels, names: Sequence[str], keys: Column, notes: Sequence[str]
) -> UsageError:
    """Return the error for labels of which no row names a photo of the input."""
    first = f"(first row: {names[0]!r}, first photo: {keys[0]!r})"
    if asked.are_kept:
        return UsageError(
            "kept_labels_match_none",
            f"no row of the labels of the earlier run names a photo of --in {first}; pass --labels FILE with "
            "these photos, or --no-labels",
        )
    advice = advice_on_key(labels.columns, labels.rows, keys, labels.key_column)
    return UsageError(
        "no_label_matches",
        f"--labels: no row of {len(names):,} names a photo of --in {first}; {advice}"
        + "".join(f"; {note}" for note in notes),
    )


def _earlier_notes(saved: SavedListing, photos: Photos, left: Sequence[str]) -> list[str]:
    """Return what stays in the folder, though this call does not mention it.

    Args:
        saved: the listing of the folder before this call.
        photos: all photos of its inputs now.
        left: photos that were in them at the last call and are not any more, unless that is said elsewhere.
    """
    before, now = saved.known_keys, photos.keys
    gone = () if before == now else (key for key in before if key not in now)
    old = sorted(key for key in gone if system_folder_of(key))
    left = [key for key in left if not system_folder_of(key)]
    notes = []
    if left:
        notes.append(
            f"{counted(len(left), 'photo')} of the last call {either(len(left), 'is', 'are')} no longer in "
            f"the input (first: {left[0]}); "
            f"{either(len(left), 'it keeps its row and crop', 'they keep their rows and crops')}"
        )
    if not old:
        return notes
    return [
        *notes,
        f"photos of system folders that an earlier version took: {len(old):,} (first: {old[0]}); they keep "
        "rows and crops, as every photo does that has left the input; reject them in `detic-crop review`, or "
        "start over with --overwrite",
    ]
