"""A blind review: a second person judges the sample without knowing what was said and thought of it.

The page shows each photo with the boxes that the detector left, whatever review has changed since, in a
random order of this person's own. It has no earlier verdict, note, viewpoint, flag, suspicion, score or
label, and no crop file, since after an applied verdict that is the first reviewer's. What is said goes into a
file of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detic_crop.errors import UsageError
from detic_crop.folder.decisions import detected_boxes, unsaid
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from detic_crop.folder.second_review import OwnVerdicts, is_same_person, plain_name, read_second_review
from detic_crop.folder.state import load_sample
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import VerdictLog
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.sample import detected_records
from detic_crop.report.suspicion import Doubts
from detic_crop.review_page.describe import GONE, START_AGAIN, TAKEN_BACK, Describer, Judgeable
from detic_crop.review_page.grid import NoGrid
from detic_crop.review_page.page import ReviewPage, audit_to_review
from detic_crop.review_page.rows import CountBoth, Filter, Mask, ReviewRows
from detic_crop.wording import utf8


class BlindRows(ReviewRows):
    """The photos in a random order, which depends on the person; there is nothing to filter them by.

    Args:
        photos: photos of the sample, as the detector left them.
        verdicts: what this person said of them before.
        reviewer: name of the person.
    """

    def __init__(self, photos: Sequence[AuditPhoto], verdicts: Iterable[Verdict], reviewer: str) -> None:
        self._person = plain_name(reviewer)
        super().__init__(photos, (), verdicts)

    def _in_order(self, photos: Sequence[AuditPhoto]) -> list[AuditPhoto]:
        return sorted(photos, key=self._random)

    def _random(self, photo: AuditPhoto) -> bytes:
        """Return the random number of a photo: another one for each person, the same on each day."""
        return hashlib.blake2b(utf8(f"blind\0{self._person}\0{photo.record.image}"), digest_size=8).digest()

    def choices(self) -> dict[str, list[tuple[str, int]]]:
        """Return that the photos can be filtered by nothing."""
        return {}

    def _choices(self) -> dict[str, CountBoth]:
        return {}

    def _masks(self, wanted: Filter) -> dict[str, Mask]:
        """Return the masks without that of the class, which is what the detector thought of it."""
        return super()._masks(dataclasses.replace(wanted, class_name=""))

    @property
    def waiting(self) -> int:
        """Number of photos whose verdict is to be applied: none, these change no crop."""
        return 0


class BlindDescriber(Describer):
    """Reads what a blind page shows of a photo: the photo, and the boxes that the detector left."""

    is_blind = True

    def describe(self, photo: AuditPhoto, last: Verdict | None) -> dict[str, Any]:
        """Return what the page says about one photo, without what might sway the person."""
        return {**super().describe(photo, last), "suspicion": None, "presence": None, "found_by": ""}

    def _reasons(self, photo: AuditPhoto) -> list[str]:
        return []

    def _judgeable_by_crop(self, record: Record) -> Judgeable:
        return Judgeable(TAKEN_BACK, f"{GONE}, and a blind review needs it. {START_AGAIN}")

    def _place_of(self, record: Record, crop: str) -> str | None:
        return None

    def _candidates(self, record: Record) -> list[dict[str, Any]]:
        return [
            {"box": box, "score": None, "class": "detector", "eligible": True, "own": True}
            for box in detected_boxes(record)
        ]


def open_blind_page(folder: OutputFolder, input: str | os.PathLike[str] | None, reviewer: str) -> ReviewPage:
    """Return the page on which a second person judges the sample of a folder.

    Args:
        folder: the output folder of a run.
        input: where the photos are now, if they have moved.
        reviewer: name of the person who judges.

    Raises:
        UsageError: there is no sample, this person has judged it already with all that is known, none of the
            photos is in `input`, or a file of the folder is damaged.
    """
    audit, records, journal_size = audit_to_review(folder, input)
    sample = [drawn.image for drawn in load_sample(folder)]
    if not sample:
        raise UsageError(
            "blind_without_sample",
            f"--blind is for a random sample, and {folder.shown} has none; draw one first: "
            f"detic-crop audit {folder.layout.quoted} --sample 200",
        )
    _refuse_same_person(folder, sample, audit.verdicts, reviewer)
    path = folder.layout.second_review
    damage = read_second_review(path).damage.sentences(folder.layout.shown_of(path))
    audit = dataclasses.replace(audit, damage=damage)
    detected = detected_records(folder, records, audit.config)
    photos = [
        AuditPhoto(unsaid(detected[image]), (), Doubts((), 0.0))
        for image in sample
        if image in records and image in detected
    ]
    log = OwnVerdicts(VerdictLog(path), reviewer)
    rows = BlindRows(photos, log.refresh(), reviewer)
    return ReviewPage(folder, audit, rows, BlindDescriber(folder, audit), log, reviewer, journal_size, NoGrid)


def _refuse_same_person(
    folder: OutputFolder, sample: Sequence[str], verdicts: Mapping[str, Verdict], reviewer: str
) -> None:
    known = {verdicts[image].reviewer for image in sample if image in verdicts}
    if any(is_same_person(name, reviewer) for name in known if name):
        raise UsageError(
            "same_reviewer",
            f"--blind is for a second person, and {reviewer} has judged photos of this sample already; pass "
            "another name with --reviewer",
        )
