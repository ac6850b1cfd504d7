"""Rows of audit.csv → the photos of the page, each once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detic_crop.boxes.detections import BOX_DECIMALS
from detic_crop.boxes.geometry import clip
from detic_crop.config import CropConfig
from detic_crop.folder.journal import Record
from detic_crop.folder.verdicts import Verdict
from detic_crop.report.html.markup import utf8
from detic_crop.report.suspicion import Doubts
from detic_crop.report.table import Row, row_doubts


@dataclass(frozen=True, slots=True)
class PagePhoto:
    """One photo of the run, with every label row that names it, and what a reviewer said of it."""

    record: Record
    labels: tuple[Sequence[str], ...]
    doubts: Doubts
    verdict: Verdict | None = None

    @property
    def anchor(self) -> str:
        """Its id in the page: the same whatever else the page shows."""
        return "p" + hashlib.blake2s(utf8(self.record.image), digest_size=6).hexdigest()

    @property
    def is_crop(self) -> bool:
        """Whether an animal was cut out."""
        return self.record.status == "cropped"

    @property
    def is_whole(self) -> bool:
        """Whether all of it was resized, for whatever reason."""
        return self.record.status == "resized"

    @property
    def is_not_found(self) -> bool:
        """Whether all of it was resized because no animal was found."""
        return self.is_whole and self.record.reason not in ("reviewed_whole", "not_listed")

    @property
    def is_not_listed(self) -> bool:
        """Whether all of it was resized because the boxes file does not name it: nobody looked."""
        return self.is_whole and self.record.reason == "not_listed"

    @property
    def waits(self) -> bool:
        """Whether its verdict, or that it was taken back, changes the crop and has not been applied yet."""
        record, verdict = self.record, self.verdict
        if verdict is None or verdict.verdict == "accepted":
            return record.verdict not in ("", "accepted")
        if record.verdict != verdict.verdict or verdict.box is None:
            return record.verdict != verdict.verdict
        kept = (round(edge, BOX_DECIMALS) for edge in clip(verdict.box, (record.width, record.height)))
        return tuple(kept) != record.box

    @property
    def rank(self) -> tuple[bool, float]:
        """Sorts what is most worth a look first: by falling suspicion, what has been reviewed last."""
        return self.verdict is not None, -self.doubts.suspicion


def photos_of(
    rows: Sequence[Row],
    config: CropConfig,
    verdicts: Mapping[str, Verdict],
    doubts: Mapping[str, Doubts] | None = None,
) -> list[PagePhoto]:
    """Each photo once, in the order of the rows; `doubts` as for `table_cells`."""
    records: dict[str, Record] = {}
    labels: dict[str, list[Sequence[str]]] = {}
    for row in rows:
        key = row.record.image
        records.setdefault(key, row.record)
        if row.label:
            labels.setdefault(key, []).append(row.label)
    doubts = row_doubts(rows, config) if doubts is None else doubts
    return [
        PagePhoto(record, tuple(labels.get(key, ())), doubts[key], verdicts.get(key))
        for key, record in records.items()
    ]
