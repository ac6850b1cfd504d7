"""What a reviewer decided about the photos of a folder."""

from __future__ import annotations

from collections.abc import Sequence

from detic_crop.folder.decisions import Decision, followed_by
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.same_photo import is_same_photo
from detic_crop.folder.state import load_listing
from detic_crop.folder.verdicts import Verdict, VerdictLog, now, read_verdicts
from detic_crop.photos.photo import Photo
from detic_crop.shards.state import known_records
from detic_crop.wording import counted, either


def decisions_to_keep(folder: OutputFolder, chosen: Sequence[Photo], notes: list[str]) -> dict[str, Decision]:
    """Applied decisions, which a run keeps where it must crop such a photo again.

    A verdict about a photo that has changed since says nothing of the new one: it is taken back, in writing,
    before the new one can be cropped.
    """
    verdicts = read_verdicts(folder.layout.review)
    if not verdicts:
        return {}
    records = known_records(folder)
    were = load_listing(folder.whole).locations() | load_listing(folder).locations()
    decisions, changed = {}, []
    for photo in chosen:
        record = records.get(photo.key)
        # Only of these may the bytes be read.
        reviewed = record is not None and (record.verdict or photo.key in verdicts)
        if record is None or photo.size < 0 or not reviewed:
            continue
        moved = were.get(photo.key) != photo.location.absolute().redact()
        if is_same_photo(record, photo, moved):
            decisions[photo.key] = followed_by(record)
        elif photo.key in verdicts:
            changed.append(Verdict(photo.key, "undone", None, "detic-crop run: the photo has changed", now()))
    if changed:
        VerdictLog(folder.layout.review).append(*changed)
        notes.append(
            f"{counted(len(changed), 'reviewed photo has', 'reviewed photos have')} changed since; "
            f"{either(len(changed), 'its verdict no longer counts', 'their verdicts no longer count')}"
        )
    return decisions
