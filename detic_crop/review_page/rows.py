"""The photos of a run in the order of review, with what the page filters and steps by.

What each step needs is an array over the photos, so that a hundred thousand of them stay fast and the page
itself never holds more than a few.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detic_crop.folder.verdict_lines import VIEWPOINTS, Verdict
from detic_crop.folder.verdicts import verdict_followed_by
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.suspicion import FLAGS
from detic_crop.wording import utf8

Mask = NDArray[np.bool_]

_STATUSES = ("cropped", "resized", "skipped", "rejected", "failed")
_MAX_VALUES = 300  # values of a label column that is offered as a filter
_MAX_COLUMNS = 3
_MAX_FOUND = 20

REVIEWED = ("", "no", "yes", "unsure", "note")
_VIEWED = ("none", *VIEWPOINTS)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which photos to show; an empty field admits all.

    Attributes:
        flag: a name in `FLAGS`.
        status: cropped, resized, skipped, rejected or failed.
        class_name: class of the chosen box.
        labels: label column → value.
        reviewed: ``no``, ``yes``, ``unsure`` where the reviewer could not tell, ``note`` where somebody wrote
            one, or empty.
        sample: True for photos of the drawn sample only.
        viewpoint: one of `VIEWPOINTS`, or ``none`` where nothing was said of it.
    """

    flag: str = ""
    status: str = ""
    class_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    reviewed: str = ""
    sample: bool = False
    viewpoint: str = ""


@dataclass(frozen=True, slots=True)
class _Coded:
    """One text per photo, stored as numbers."""

    values: tuple[str, ...]
    codes: NDArray[np.int32]  # (N,) index into values

    @classmethod
    def of(cls, texts: Sequence[str]) -> _Coded:
        place: dict[str, int] = {}
        codes = np.fromiter((place.setdefault(text, len(place)) for text in texts), np.int32, len(texts))
        return cls(tuple(place), codes)

    def mask(self, value: str) -> Mask:
        wanted = self.values.index(value) if value in self.values else -1
        return np.equal(self.codes, wanted)

    def counts(self) -> list[tuple[str, int]]:
        """Return (value, number of photos), the most frequent first."""
        counted = np.bincount(self.codes, minlength=len(self.values)).tolist()
        return sorted(zip(self.values, counted, strict=True), key=lambda item: (-item[1], item[0]))


def photo_id(key: str) -> str:
    """Return the id of a photo: short, safe in any URL, and useless for files that are not in the journal."""
    return hashlib.blake2s(utf8(key), digest_size=8).hexdigest()


class ReviewRows:
    """The photos by rank: crops by falling suspicion, then resized, skipped, rejected and failed photos.

    Args:
        photos: all photos of the run, in any order.
        columns: names of the label columns.
        verdicts: all verdicts that were given, the latest last.
        sample: keys of the drawn sample.
    """

    def __init__(
        self,
        photos: Sequence[AuditPhoto],
        columns: Sequence[str],
        verdicts: Iterable[Verdict],
        sample: Sequence[str] = (),
    ) -> None:
        self.photos = self._in_order(photos)
        self.rank_of = {photo_id(photo.record.image): rank for rank, photo in enumerate(self.photos)}
        records = [photo.record for photo in self.photos]
        self._rank_of_key = {record.image: rank for rank, record in enumerate(records)}
        self._names = [record.image.casefold() for record in records]
        self._flags = {flag: np.zeros(len(records), bool) for flag in FLAGS}
        for rank, photo in enumerate(self.photos):
            for flag in photo.doubts.flags:
                self._flags[flag][rank] = True
        self._status = _Coded.of([record.status for record in records])
        self._class = _Coded.of([record.class_name for record in records])
        self._labels = _label_columns(self.photos, columns)
        drawn = set(sample)
        self._sample = np.fromiter((record.image in drawn for record in records), bool, len(records))
        self._last: dict[int, Verdict] = {}
        self._notes: dict[int, str] = {}  # to be searched
        self._reviewed, self._unsure, self._noted = np.zeros((3, len(records)), bool)
        self._viewed = np.zeros(len(records), np.uint8)  # index into _VIEWED
        self._changed: list[int] = []
        self._lock = threading.Lock()
        for rank, record in enumerate(records):
            # Applied, perhaps in the folder that this one was recropped from.
            if record.says_something:
                self._note(rank, verdict_followed_by(record))
        self.note(verdicts)
        self._changed.clear()

    def __len__(self) -> int:
        return len(self.photos)

    def _in_order(self, photos: Sequence[AuditPhoto]) -> list[AuditPhoto]:
        """Return the photos in the order of review."""
        return sorted(photos, key=_order)

    # ------------------------------------------------------------ verdicts

    def note(self, verdicts: Iterable[Verdict]) -> None:
        """Take in verdicts, the latest last; those about unknown photos are ignored."""
        with self._lock:
            for verdict in verdicts:
                rank = self._rank_of_key.get(verdict.image)
                if rank is not None:
                    self._note(rank, verdict)

    def _note(self, rank: int, verdict: Verdict) -> None:
        if verdict.says_something:
            self._last[rank] = verdict
        else:
            self._last.pop(rank, None)
        if verdict.note:
            self._notes[rank] = verdict.note.casefold()
        else:
            self._notes.pop(rank, None)
        self._reviewed[rank] = verdict.verdict not in ("undone", "unsure")
        self._unsure[rank] = verdict.verdict == "unsure"
        self._noted[rank] = bool(verdict.note)
        self._viewed[rank] = _VIEWED.index(verdict.viewpoint or "none")
        self._changed.append(rank)

    def last(self, rank: int) -> Verdict | None:
        """Return the last word on a photo: a verdict, or a remark without one; None if nothing is said."""
        return self._last.get(rank)

    def changes(self, since: int) -> tuple[int, list[int]]:
        """Return the number of verdicts noted so far, and the ranks of those after the first `since`."""
        with self._lock:
            recent = self._changed[max(0, since) :]
            return len(self._changed), list(dict.fromkeys(recent))

    # ------------------------------------------------------------ filters and steps

    def mask(self, wanted: Filter) -> Mask:
        """Return a mask, (N,), of the photos that a filter admits."""
        mask = np.ones(len(self.photos), bool)
        if wanted.flag:
            mask &= self._flags.get(wanted.flag, np.zeros(len(mask), bool))
        if wanted.status:
            mask &= self._status.mask(wanted.status)
        if wanted.class_name:
            mask &= self._class.mask(wanted.class_name)
        for column, value in wanted.labels.items():
            mask &= self._labels[column].mask(value) if column in self._labels else False
        if wanted.sample:
            mask &= self._sample
        if wanted.viewpoint:
            mask &= self._viewed == _VIEWED.index(wanted.viewpoint) if wanted.viewpoint in _VIEWED else False
        if wanted.reviewed:
            mask &= {
                "no": ~(self._reviewed | self._unsure),
                "yes": self._reviewed,
                "unsure": self._unsure,
                "note": self._noted,
            }[wanted.reviewed]
        return mask

    def progress(self, mask: Mask) -> dict[str, int]:
        """Return how many photos are reviewed, how many left a reviewer unsure, and how many there are."""
        counted = {"reviewed": mask & self._reviewed, "unsure": mask & self._unsure, "total": mask}
        return {name: int(photos.sum()) for name, photos in counted.items()}

    def first(self, mask: Mask) -> int | None:
        """Return the rank to begin at: the first photo of which nothing was said, else the first."""
        new = _first(mask & ~(self._reviewed | self._unsure))
        return _first(mask) if new is None else new

    def after(self, mask: Mask, rank: int) -> int | None:
        """Return the rank of the next photo in a filter."""
        later = _first(mask[rank + 1 :])
        return None if later is None else rank + 1 + later

    def before(self, mask: Mask, rank: int) -> int | None:
        """Return the rank of the previous photo in a filter."""
        back = _first(mask[:rank][::-1])
        return None if back is None else rank - 1 - back

    def choices(self) -> dict[str, list[tuple[str, int]]]:
        """Return what can be filtered by: name of the filter → (value, number of photos)."""
        flags = [(flag, int(mask.sum())) for flag, mask in self._flags.items()]
        found = {
            "flag": [(flag, count) for flag, count in flags if count],
            "status": sorted(self._status.counts(), key=lambda item: _STATUSES.index(item[0])),
            "class": [(name, count) for name, count in self._class.counts() if name],
        }
        found |= {f"label:{column}": coded.counts() for column, coded in self._labels.items()}
        if self._sample.any():
            found["sample"] = [("yes", int(self._sample.sum()))]
        return found

    def find(self, text: str) -> list[int]:
        """Return photos whose name or note contains a text, in any case.

        Whole names and beginnings go first, notes last.
        """
        wanted = text.strip().casefold()
        if not wanted:
            return []
        found = {rank for rank, name in enumerate(self._names) if wanted in name}
        with self._lock:
            found |= {rank for rank, note in self._notes.items() if wanted in note}

        def order(rank: int) -> tuple[bool, bool, bool, str]:
            name = self._names[rank]
            file_name = name.rpartition("/")[2]
            return name != wanted, wanted not in name, not file_name.startswith(wanted), name

        return sorted(found, key=order)[:_MAX_FOUND]


def _order(photo: AuditPhoto) -> tuple[int, float]:
    return _STATUSES.index(photo.record.status), -photo.doubts.suspicion


def _first(mask: Mask) -> int | None:
    return int(mask.argmax()) if mask.any() else None


def _label_columns(photos: Sequence[AuditPhoto], columns: Sequence[str]) -> dict[str, _Coded]:
    """Return label columns with a handful of values, such as the species, but not names of single photos."""
    coded = {}
    for index, column in enumerate(columns):
        texts = [photo.labels[0][index] if photo.labels else "" for photo in photos]
        n_values = len(Counter(texts))
        if 2 <= n_values <= min(_MAX_VALUES, max(2, len(photos) // 2)):
            coded[column] = _Coded.of(texts)
    return dict(sorted(coded.items(), key=lambda item: len(item[1].values))[:_MAX_COLUMNS])
