"""The photos of a run in the order of review, with what the page filters and steps by.

What each step needs is an array over the photos, so that a hundred thousand of them stay fast and the page
itself never holds more than a few.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detic_crop.folder.verdict_lines import VERDICTS, VIEWPOINTS, Verdict
from detic_crop.folder.verdicts import decision_of, verdict_followed_by
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.suspicion import FLAGS
from detic_crop.review_page.individuals import Individuals
from detic_crop.wording import utf8

Mask = NDArray[np.bool_]
CountBoth = Callable[[Mask, Mask], dict[str, tuple[int, int]]]
"""Counts the photos of two masks by the values of a filter: value → (of the one, of the other)."""

_STATUSES = ("cropped", "resized", "skipped", "rejected", "failed")
_MAX_VALUES = 300  # values of a label column that is offered as a filter
_MAX_COLUMNS = 3
_MAX_FOUND = 20

REVIEWED = ("", "no", "yes", "unsure", "note")
_NOTHING = VERDICTS.index("undone")
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
        individual: name of an individual in the labels.
        photos: ids of photos, of which no other is shown.
        viewpoint: one of `VIEWPOINTS`, or ``none`` where nothing was said of it.
    """

    flag: str = ""
    status: str = ""
    class_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    reviewed: str = ""
    sample: bool = False
    individual: str = ""
    photos: tuple[str, ...] = ()
    viewpoint: str = ""

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> Filter:
        """Return the filter that an address asks for; what nothing can be filtered by is ignored."""
        reviewed = query.get("reviewed", "")
        return cls(
            flag=query.get("flag", ""),
            status=query.get("status", ""),
            class_name=query.get("class", ""),
            labels={n.removeprefix("label:"): v for n, v in query.items() if n.startswith("label:")},
            reviewed=reviewed if reviewed in REVIEWED else "",
            sample=query.get("sample") == "yes",
            individual=query.get("individual", ""),
            photos=tuple(filter(None, query.get("photos", "").split(","))),
            viewpoint=query.get("viewpoint", ""),
        )


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

    def count_both(self, left: Mask, all: Mask) -> dict[str, tuple[int, int]]:
        """Return value → (number of photos of the one mask, of the other); the empty value: of any value."""
        of_left, of_all = (
            np.bincount(self.codes[mask], minlength=len(self.values)).tolist() for mask in (left, all)
        )
        of_values = dict(zip(self.values, zip(of_left, of_all, strict=True), strict=True))
        return {**of_values, "": (_number(left), _number(all))}

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

    Attributes:
        individuals: whom the photos show, by the labels.
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
        self.individuals = Individuals(self.photos, columns)
        drawn = set(sample)
        self._sample = np.fromiter((record.image in drawn for record in records), bool, len(records))
        self._last: dict[int, Verdict] = {}
        self._notes: dict[int, str] = {}  # to be searched
        self._said = np.full(len(records), _NOTHING, np.int8)  # index into VERDICTS
        self._viewed = np.zeros(len(records), np.int8)  # index into _VIEWED
        self._reviewed, self._unsure, self._noted, self._waiting = np.zeros((4, len(records)), bool)
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
        self._said[rank] = VERDICTS.index(verdict.verdict)
        self._waiting[rank] = not decision_of(verdict).is_followed_by(self.photos[rank].record)
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
        return self._all_of(self._masks(wanted).values())

    def _all_of(self, masks: Iterable[Mask]) -> Mask:
        return reduce(np.logical_and, masks, np.ones(len(self.photos), bool))

    def _masks(self, wanted: Filter) -> dict[str, Mask]:
        """Return what each part of a filter admits, by the name that the part has on the page."""
        masks = {}
        if wanted.flag:
            masks["flag"] = self._flags.get(wanted.flag, self._none())
        if wanted.status:
            masks["status"] = self._status.mask(wanted.status)
        if wanted.class_name:
            masks["class"] = self._class.mask(wanted.class_name)
        for column, value in wanted.labels.items():
            coded = self._labels.get(column)
            masks[f"label:{column}"] = self._none() if coded is None else coded.mask(value)
        if wanted.sample:
            masks["sample"] = self._sample
        if wanted.individual:
            masks["individual"] = self.individuals.mask(wanted.individual)
        if wanted.photos:
            ranks = [self.rank_of[id] for id in wanted.photos if id in self.rank_of]
            masks["photos"] = np.isin(np.arange(len(self.photos)), ranks)
        if wanted.viewpoint:
            masks["viewpoint"] = self._by_viewpoint().get(wanted.viewpoint, self._none())
        if wanted.reviewed:
            masks["reviewed"] = self._by_review()[wanted.reviewed]
        return masks

    def _by_review(self) -> dict[str, Mask]:
        return {"no": self._new(), "yes": self._reviewed, "unsure": self._unsure, "note": self._noted}

    def _by_viewpoint(self) -> dict[str, Mask]:
        return {viewpoint: self._viewed == code for code, viewpoint in enumerate(_VIEWED)}

    def _new(self) -> Mask:
        """Return the photos of which nothing was said."""
        return ~(self._reviewed | self._unsure)

    def _none(self) -> Mask:
        return np.zeros(len(self.photos), bool)

    def progress(self, mask: Mask) -> dict[str, int]:
        """Return how many photos are reviewed, how many left a reviewer unsure, and how many there are."""
        counted = {"reviewed": mask & self._reviewed, "unsure": mask & self._unsure, "total": mask}
        return {name: int(photos.sum()) for name, photos in counted.items()}

    def both_progresses(self, mask: Mask) -> dict[str, Any]:
        """Return how far the review of a filter is, and of all photos."""
        return {**self.progress(mask), "all": self.progress(np.ones(len(self), bool))}

    def first(self, mask: Mask) -> int | None:
        """Return the rank to begin at: the first photo of which nothing was said, else the first."""
        new = _first(mask & self._new())
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

    def counts(self, wanted: Filter) -> dict[str, dict[str, tuple[int, int]]]:
        """Return what each choice of each filter would show beside the other filters that are set.

        Args:
            wanted: the filters that are set.

        Returns:
            Name of the filter → value → (photos left to review, all photos); the empty value admits all.
            Whether a photo is reviewed does not count as another filter: it is what the numbers say.
        """
        masks = self._masks(wanted)
        masks.pop("reviewed", None)
        new = self._new()
        found = {}
        for name, choices in self._choices().items():
            others = self._all_of(mask for other, mask in masks.items() if other != name)
            found[name] = choices(others & new, others)
        here = self._all_of(masks.values())
        found["reviewed"] = _count_masks(self._by_review(), here & new, here)
        return found

    def _choices(self) -> dict[str, CountBoth]:
        """Return what counts the photos of each filter by its values."""
        return {
            "flag": lambda left, all: _count_masks(self._flags, left, all),
            "status": self._status.count_both,
            "class": self._class.count_both,
            **{f"label:{column}": coded.count_both for column, coded in self._labels.items()},
            "sample": lambda left, all: _count_masks({"yes": self._sample}, left, all),
            "viewpoint": lambda left, all: _count_masks(self._by_viewpoint(), left, all),
        }

    def flags_left(self) -> list[tuple[str, int]]:
        """Return (flag, number of its photos of which nothing was said), the most first, without zeros."""
        new = self._new()
        left = [(flag, int(np.count_nonzero(mask & new))) for flag, mask in self._flags.items()]
        return sorted([item for item in left if item[1]], key=lambda item: -item[1])

    @property
    def waiting(self) -> int:
        """Number of photos whose crop does not follow the last word on it yet."""
        return int(self._waiting.sum())

    def overview(self) -> dict[str, Any]:
        """Return what was said of all photos, in numbers: `said` by verdict, `left`, `noted`, `waiting`."""
        said = np.bincount(self._said, minlength=len(VERDICTS)).tolist()
        return {
            "said": {word: said[i] for i, word in enumerate(VERDICTS) if i != _NOTHING},
            "left": said[_NOTHING],
            "noted": int(self._noted.sum()),
            "waiting": self.waiting,
            "total": len(self.photos),
        }

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


def _count_masks(masks: Mapping[str, Mask], left: Mask, all: Mask) -> dict[str, tuple[int, int]]:
    """Count the photos of two masks by further masks; see `CountBoth`."""
    of_masks = {name: (_number(mask & left), _number(mask & all)) for name, mask in masks.items()}
    return {"": (_number(left), _number(all)), **of_masks}


def _number(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


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
