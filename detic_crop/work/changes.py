"""Which crops do not follow the reviewer's last word yet, and what each of them needs.

Three kinds of change: a line in the journal is enough (accepted, or rejected and back: the detector's crop
stays the same file, here or set aside); the photo must be cropped again (another box, the whole photo); or
neither is possible, because the photo is gone or has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from detic_crop.folder.decisions import KEEPS_DETECTOR_CROP, Decision, followed_by
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record, files_of
from detic_crop.folder.same_photo import is_same_photo
from detic_crop.photos.location import Location
from detic_crop.photos.photo import Photo


class Change(NamedTuple):
    """A photo whose crop does not follow the reviewer's last word yet.

    Attributes:
        image: key of the photo.
        before: the decision that the crop follows now.
        after: the decision that it is to follow.
        needs_recrop: True if a crop must be cut from the photo; False if a record will do.
    """

    image: str
    before: Decision
    after: Decision
    needs_recrop: bool

    @property
    def keeps_verdict(self) -> bool:
        """Whether only what was said beside the verdict is new: the note or the viewpoint."""
        is_same = (self.before.verdict, self.before.boxes) == (self.after.verdict, self.after.boxes)
        return is_same and self.before.remarks != self.after.remarks


def changes_of(
    records: Mapping[str, Record], decisions: Mapping[str, Decision], folder: OutputFolder
) -> list[Change]:
    """Return the photos whose decision is not applied yet, in the order of `decisions`.

    Args:
        records: last record of each photo, by key.
        decisions: the reviewer's last word by key; keys without a record are ignored.
        folder: the output folder, which knows where crops are.
    """
    return [
        Change(key, followed_by(record), decision, not needs_only_a_record(record, decision, folder))
        for key, decision in decisions.items()
        if (record := records.get(key)) is not None and not decision.is_followed_by(record)
    ]


def needs_only_a_record(record: Record, after: Decision, folder: OutputFolder) -> bool:
    """Return whether the crop that is there, or was set aside, is the one that a decision wants."""
    if record.status == "failed":
        return False
    if not after.needs_other_crops_than(record):
        return True
    if followed_by(record).verdict in KEEPS_DETECTOR_CROP:
        return after.verdict in (*KEEPS_DETECTOR_CROP, "rejected")
    return (
        record.verdict == "rejected"
        and after.verdict in KEEPS_DETECTOR_CROP
        and _is_set_aside(record, folder)
    )


def _is_set_aside(record: Record, folder: OutputFolder) -> bool:
    """Return whether the crops of a rejected record are there: set aside or, after a kill, back already."""
    return all(
        file.size in map(folder.crops.size, (folder.aside.find(record, file.name), file.name))
        for file in files_of(record)
    )


def why_not_croppable(record: Record, location: Location, moved: bool) -> str:
    """Return why a photo cannot be cropped again; empty if it can.

    Args:
        record: last record of the photo.
        location: where the photo is now.
        moved: the photos are elsewhere than at the time of the run: copies may have new times.
    """
    if record.status == "failed":
        return "the run could not read this photo; run `detic-crop run` again"
    photo = Photo.at(record.image, location)
    if photo.size < 0:
        return f"expected the photo at {location.describe()}, found none; pass --in FOLDER where it is now"
    if not is_same_photo(record, photo, moved):
        return "the photo has changed since the run; run `detic-crop run` again, then review it"
    return ""
