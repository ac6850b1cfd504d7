"""The audit of a folder: what its tables and pages are written from, made once and passed as one thing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from urllib.parse import quote

from detic_crop.boxes.detections import BOX_DECIMALS
from detic_crop.boxes.geometry import clip
from detic_crop.config import CropConfig
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inputs import short_names
from detic_crop.folder.records import Record
from detic_crop.folder.state import load_labels, load_listing
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import read_review, standing_verdicts
from detic_crop.folder.whereabouts import Whereabouts
from detic_crop.photos.labels import Labels
from detic_crop.report.estimate import Estimate
from detic_crop.report.groups import label_groups
from detic_crop.report.suspicion import Doubts, doubts_of_all
from detic_crop.wording import utf8


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the audit.

    Attributes:
        record: last record of the photo.
        label: cells of the label row that the row answers; empty without labels.
        groups: names of the groups that the label row puts the photo in, the narrowest first.
    """

    record: Record
    label: Sequence[str] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditPhoto:
    """A photo of the run, with every label row that names it.

    Attributes:
        record: last record of the photo.
        labels: cells of each of its label rows.
        doubts: what is doubtful about it, compared with all others.
        verdict: the reviewer's last word on it; None without one.
    """

    record: Record
    labels: tuple[Sequence[str], ...]
    doubts: Doubts
    verdict: Verdict | None = None

    @property
    def anchor(self) -> str:
        """Id of the photo in audit.html; it depends on the key alone."""
        return "p" + hashlib.blake2s(utf8(self.record.image), digest_size=6).hexdigest()

    @property
    def is_crop(self) -> bool:
        """True if an animal was cut out."""
        return self.record.status == "cropped"

    @property
    def is_flagged(self) -> bool:
        """True for a crop that nobody has reviewed and at least one flag speaks against."""
        return self.is_crop and not self.record.verdict and bool(self.doubts.against_the_crop)

    @property
    def is_whole(self) -> bool:
        """True if the whole photo was resized, for whatever reason."""
        return self.record.status == "resized"

    @property
    def is_not_found(self) -> bool:
        """True if the whole photo was resized because no animal was found."""
        return self.is_whole and self.record.reason not in ("reviewed_whole", "not_listed")

    @property
    def is_not_listed(self) -> bool:
        """True if the whole photo was resized because the boxes file does not name it: nobody looked."""
        return self.is_whole and self.record.reason == "not_listed"

    @property
    def is_waiting(self) -> bool:
        """True if its verdict, or taking one back, changes the crop and has not been applied yet."""
        record, verdict = self.record, self.verdict
        if verdict is None or verdict.verdict == "accepted":
            return record.verdict not in ("", "accepted")
        if record.verdict != verdict.verdict or verdict.box is None:
            return record.verdict != verdict.verdict
        box = (round(edge, BOX_DECIMALS) for edge in clip(verdict.box, (record.width, record.height)))
        return tuple(box) != record.box

    @property
    def rank(self) -> tuple[bool, float]:
        """Sort key: most suspicious first, reviewed photos last."""
        return self.verdict is not None, -self.doubts.suspicion


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything that audit.csv, audit.xlsx, audit.html and the review page show.

    Attributes:
        config: settings of the folder, as resolved.
        rows: rows of audit.csv, in its order.
        photos: key → photo; each photo once, in the order of the rows.
        labels: the label table, or None.
        whereabouts: where the photos are now.
        inputs: short names of the inputs that the photos are from.
        estimate: what the reviewed sample says of the whole run; None without a sample.
        damage: what a person should know of damaged lines of review.csv, in sentences.
    """

    config: CropConfig
    rows: Sequence[Row]
    photos: Mapping[str, AuditPhoto]
    labels: Labels | None = None
    whereabouts: Whereabouts = field(default_factory=Whereabouts)
    inputs: Sequence[str] = ()
    estimate: Estimate | None = None
    damage: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        folder: OutputFolder,
        records: Mapping[str, Record],
        config: CropConfig,
        whereabouts: Whereabouts,
    ) -> Audit:
        """Read listing, labels and verdicts of a folder, and judge its photos.

        Args:
            folder: the output folder.
            records: last record of each photo, by key.
            config: settings of the folder, as resolved.
            whereabouts: where the photos are now.

        Raises:
            UsageError: a file of the folder is damaged.
        """
        labels, matches = load_labels(folder)
        listing = load_listing(folder)
        rows = table_rows(records, listing.keys, labels, matches)
        review = read_review(folder.layout.review)
        photos = judge(rows, config, standing_verdicts(records, review.last))
        inputs = short_names(listing.inputs)
        damage = review.sentences(folder.layout.shown_of(folder.layout.review))
        return cls(config, rows, photos, labels, whereabouts, inputs, damage=damage)

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Key → the reviewer's last word."""
        return {key: photo.verdict for key, photo in self.photos.items() if photo.verdict is not None}


def table_rows(
    records: Mapping[str, Record], order: Sequence[str], labels: Labels | None, matches: Sequence[str | None]
) -> list[Row]:
    """Return the rows of audit.csv: in the order of the label file, else of the listing, else of the keys.

    Args:
        records: last record of each photo, by key.
        order: keys in input order.
        labels: the label table, or None.
        matches: key of the photo of each label row, None where there is none.
    """
    if labels is None:
        known = set(order)
        later = sorted(key for key in records if key not in known)
        return [Row(records[key]) for key in (*order, *later) if key in records]
    rows = []
    parts = zip(labels.names(), matches, labels.rows, label_groups(labels), strict=True)
    for name, key, label, groups in parts:
        if key is None:
            rows.append(Row(missing_record(name), label, groups))
        elif key in records:
            rows.append(Row(records[key], label, groups))
    return rows


def missing_record(name: str) -> Record:
    """Return the failed record of a label row that has no photo."""
    return Record(
        image=name,
        status="failed",
        reason="missing_file",
        stage="discover",
        error="no such photo in --in; add it, or leave it out of --labels",
    )


def judge(
    rows: Iterable[Row], config: CropConfig, verdicts: Mapping[str, Verdict] = MappingProxyType({})
) -> dict[str, AuditPhoto]:
    """Return each photo once, judged among all others; the first of its label rows groups it.

    Args:
        rows: rows of audit.csv.
        config: settings of the folder, as resolved.
        verdicts: key → the reviewer's last word.
    """
    first: dict[str, Row] = {}
    labels: dict[str, list[Sequence[str]]] = {}
    for row in rows:
        key = row.record.image
        first.setdefault(key, row)
        if row.label:
            labels.setdefault(key, []).append(row.label)
    doubts = doubts_of_all(
        [row.record for row in first.values()], [row.groups for row in first.values()], config
    )
    return {
        key: AuditPhoto(row.record, tuple(labels.get(key, ())), doubtful, verdicts.get(key))
        for (key, row), doubtful in zip(first.items(), doubts, strict=True)
    }


def crop_link(crop: str | None) -> str:
    """Return the address of a crop relative to the output folder; empty where no program can follow it.

    The whole path is quoted, so that no name can be read as an address elsewhere.
    """
    if not crop:  # there is none, or it is in a tar file
        return ""
    path = PurePosixPath(crop)
    if path.is_absolute() or ".." in path.parts:
        return ""
    return quote(crop, errors="surrogateescape")
