"""The audit of a folder: what its tables and pages are written from, made once and passed as one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import quote

from detic_crop.config import CropConfig
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inputs import short_names
from detic_crop.folder.records import Record
from detic_crop.folder.state import load_labels, load_listing
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import read_review, standing_verdicts
from detic_crop.folder.whereabouts import Whereabouts
from detic_crop.photos.labels import Labels
from detic_crop.report.agreement import Agreement
from detic_crop.report.estimate import Estimate
from detic_crop.report.metadata_columns import MetadataColumns
from detic_crop.report.more_columns import CropCount, CropQuality, FoundBy, MoreColumns, Remarks
from detic_crop.report.photos import JudgedPhotos, judge
from detic_crop.report.rows import Row, table_rows


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
        agreements: how persons who judged the sample unseen agree with the review.
        more: further columns of the tables.
        damage: what a person should know of damaged lines of review.csv, in sentences.
    """

    config: CropConfig
    rows: Sequence[Row]
    photos: JudgedPhotos
    labels: Labels | None = None
    whereabouts: Whereabouts = field(default_factory=Whereabouts)
    inputs: Sequence[str] = ()
    estimate: Estimate | None = None
    agreements: Sequence[Agreement] = ()
    more: Sequence[MoreColumns] = ()
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
        photos = judge(rows, config, standing_verdicts(records, review.last), rows.images)
        inputs = short_names(listing.inputs)
        damage = review.sentences(folder.layout.shown_of(folder.layout.review))
        more: list[MoreColumns] = []
        if config.confs:
            more.append(FoundBy())
        if config.animals == "all":
            more.append(CropCount())
        if config.max_bytes is not None and config.format != "png":
            more.append(CropQuality(config.quality))
        if photos.remarks:
            more.append(Remarks(photos.remarks))
        if config.metadata:
            more.append(MetadataColumns(config.gps))
        return cls(config, rows, photos, labels, whereabouts, inputs, more=more, damage=damage)

    @property
    def verdicts(self) -> Mapping[str, Verdict]:
        """Key → the reviewer's last word."""
        return self.photos.verdicts


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
