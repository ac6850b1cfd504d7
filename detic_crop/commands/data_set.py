"""The photos that a run is asked for, among all that its output folder was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from detic_crop.columns import Column
from detic_crop.config import RunOptions
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inputs import KnownInputs
from detic_crop.folder.same_photo import SamePhoto
from detic_crop.folder.state import Given, SavedListing, load_listing
from detic_crop.folder.there import is_there
from detic_crop.photos.find import root_of
from detic_crop.photos.labels import Labels, match_labels, read_labels
from detic_crop.photos.location import FileOrObject
from detic_crop.photos.table import Listing, OwnPaths, Photos
from detic_crop.system.system_folders import system_folder_of
from detic_crop.wording import counted


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
    """

    inputs: Sequence[Given]
    photos: Photos
    chosen: Photos
    labels: Labels | None = None
    matches: Sequence[str | None] = ()
    notes: list[str] = field(default_factory=list)

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
    labels = None if options.labels is None else read_labels(options.labels, options.labels_key)
    whole = folder.whole
    given = Given(str(where.absolute().redact()), root_of(where), listing.photos.keys)
    inputs, photos, earlier_notes = [given], listing.photos, list[str]()
    if not options.overwrite:
        saved = load_listing(whole)
        known = KnownInputs(saved, folder.shown)
        inputs = known.with_input(given, listing.photos, SamePhoto(whole), options.add)
        photos = known.photos_of(inputs, listing.photos)
        earlier_notes = _earlier_notes(whole, saved, photos, labels)
    notes = list(listing.notes)
    if listing.ignored:
        notes.append(f"other files ignored: {listing.ignored:,}")
    matches: list[str | None] = []
    chosen = listing.photos
    if labels is not None:
        chosen, matches, label_notes = _labelled(labels, listing, photos)
        notes += label_notes
    notes += earlier_notes
    return DataSet(inputs, photos, chosen[: options.limit], labels, matches, notes)


def _labelled(labels: Labels, listing: Listing, photos: Photos) -> tuple[Photos, list[str | None], list[str]]:
    """Return the photos of this input that rows name, the photo of each row, and notes.

    Rows may also name photos of other inputs.
    """
    keys = photos.keys
    matched = match_labels(labels.names(), OwnPaths(photos))
    labelled = list(dict.fromkeys(key for key in matched.keys if key is not None))
    count = len(matched.keys)
    if not labelled:
        raise UsageError(
            "no_label_matches",
            f"--labels: no row of {count:,} names a photo of --in "
            f"(first row: {labels.names()[0]!r}, first photo: {keys[0]!r}); pass --labels-key COLUMN"
            + "".join(f"; {note}" for note in matched.notes),
        )
    missing, left_out = matched.keys.count(None), len(keys) - len(labelled)
    note = (
        f"labels: {counted(count, 'row')}, {counted(len(labelled), 'photo')} matched, "
        f"{counted(missing, 'row')} without a photo, {counted(left_out, 'photo')} without a row left out"
    )
    of_input = listing.photos.keys
    rows = (keys.find(key) for key in labelled if key in of_input)
    chosen = photos.of([row for row in rows if row is not None])
    return chosen, matched.keys, [note, *matched.notes]


def _earlier_notes(
    folder: OutputFolder, saved: SavedListing, photos: Photos, labels: Labels | None
) -> list[str]:
    """Return what stays in the folder, or goes, though this call does not mention it."""
    notes = []
    before, now = saved.known_keys, photos.keys
    left = () if before == now else (key for key in before if key not in now)
    if old := sorted(key for key in left if system_folder_of(key)):
        notes.append(
            f"photos of system folders that an earlier version took: {len(old):,} (first: {old[0]}); they "
            "keep rows and crops, as every photo does that has left the input; reject them in `detic-crop "
            "review`, or start over with --overwrite"
        )
    if labels is None and is_there(folder.layout.labels):
        notes.append("audit.csv follows no labels any more; pass --labels to have them back")
    return notes
