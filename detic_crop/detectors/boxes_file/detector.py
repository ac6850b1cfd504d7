"""The `boxes:FILE` detector: boxes that somebody already has, looked up by the photo's path.

`read` and the modules that it calls know the dialects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.detections import Detections
from detic_crop.config import BoxFormat
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.boxes_file.numbered import name_photos
from detic_crop.detectors.boxes_file.paths import PathIndex
from detic_crop.detectors.boxes_file.read import read_boxes
from detic_crop.detectors.boxes_file.remarks import remarks
from detic_crop.detectors.boxes_file.sizes import SizeWH, difference, same_shape
from detic_crop.detectors.boxes_file.table import BoxesTable, Entry, FormatError
from detic_crop.errors import PhotoError, UsageError
from detic_crop.wording import counted

# A box that reaches further past its photo is cut off like any other, but somebody should look.
_FAR_SHARE = 0.05
_FAR_PIXELS = 2.0
# So many boxes that all end here, in photos whose sides are above the other, may be in per cent.
_PERCENT = 100
_LEAST_BOXES = 3
_LARGE = 300


def load_boxes_file(path: Path, box_format: BoxFormat | None = None) -> BoxesFileDetector:
    """Read a boxes file, or a folder of label files, once, whole.

    Args:
        path: the file or folder.
        box_format: meaning of its four numbers; None judges it by the file.

    Raises:
        UsageError: it cannot be read, is of no known format, or has no usable row at all. Single rows that
            cannot be used are `BoxesFileDetector.problems`.
    """
    try:
        table, sha256 = read_boxes(path, box_format)
    except FileNotFoundError as error:
        raise UsageError(
            "missing_boxes",
            f"expected a boxes file or folder at {error.filename or path}, got nothing there; check the path",
        ) from error
    except OSError as error:
        raise UsageError(
            "unreadable_boxes",
            f"expected readable boxes, got {error.filename or path}: {error.strerror or error}",
        ) from error
    except FormatError as error:
        kind = "folder" if path.is_dir() else "file"
        raise UsageError("bad_boxes_file", f"boxes {kind} {path}: {error}") from error
    return BoxesFileDetector(path.name or path.resolve().name, sha256, table)


class BoxesFileDetector(Detector):
    """Answers with the boxes that a file has for a photo; computes nothing.

    Safe to use from several threads.

    Args:
        file_name: the boxes file's name without folders.
        sha256: hash of the file's bytes, in hexadecimal.
        table: content of the file.
    """

    def __init__(self, file_name: str, sha256: str, table: BoxesTable) -> None:
        self._file_name = file_name
        self._table = table
        self._paths = PathIndex(table.entries, file_name)
        # Keys and not a number: asking for a photo twice, or from two threads, must not count it twice.
        self._unlisted: set[str] = set()
        self._scaled: dict[str, tuple[SizeWH, SizeWH]] = {}
        self._far: dict[str, str] = {}
        self._larger: set[str] = set()
        self._may_be_percent = _may_be_percent(table)
        self._asked_next = ""
        self._policy: tuple[Sequence[str] | None, float] = (None, 0.0)
        self.info = DetectorInfo(
            name=f"boxes:{file_name}",
            class_names=table.class_names,
            default_conf=table.default_conf or 0.0,
            weights={file_name: sha256},
            default_classes="any",
            thread_safe=True,
            needs_pixels=False,
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """Every row that cannot be used, in the file's order: "line 17: expected …, got …"."""
        return tuple(f"{place}: {text}" for place, text in self._table.problems)

    @property
    def listed(self) -> int:
        """Number of photos that the file names."""
        return len(self._table.entries)

    @property
    def names(self) -> Sequence[str]:
        """The photos that the file names, in its order."""
        return list(self._table.entries)

    @property
    def left(self) -> Sequence[str]:
        """Those of `names` that mean no photo which `expect` was told of."""
        return self._paths.left()

    @property
    def unlisted(self) -> int:
        """Number of the photos asked for so far that are not in the file."""
        return len(self._unlisted)

    def expect(self, photos: Mapping[str, str] | Iterable[str]) -> None:
        """Match all photos of the input, so that none takes the boxes of another of the same name.

        Raises:
            UsageError: the file names none of them.
        """
        photos = photos if isinstance(photos, Mapping) else list(photos)
        if self._table.numbers:
            name_photos(self._table, photos)
            self._paths = PathIndex(self._table.entries, self._file_name)
        self._paths.asked_next = self._asked_next
        self._paths.expect(photos)

    def ask_for(self, classes: Sequence[str] | None, conf: float = 0.0) -> None:
        """Take note of what counts, so that `notes` can say what does not."""
        self._policy = (classes, conf)

    def followed_by(self, name: str) -> None:
        """Take note of it, so that `notes` can say who looked at photos that are not listed."""
        self._asked_next = self._paths.asked_next = name

    def notes(self) -> list[str]:
        """Return how the file was read, what was left out or scaled, and which rows cannot be used."""
        return [
            *remarks(self._table, self._file_name, *self._policy),
            *self._paths.notes(),
            *self._notes_on_boxes(),
        ]

    def notes_on_file(self) -> list[str]:
        """Return the same without which photos the file does not name."""
        return [
            *remarks(self._table, self._file_name, *self._policy),
            *self._paths.notes_on_matching(),
            *self._notes_on_boxes(),
        ]

    def _notes_on_boxes(self) -> list[str]:
        notes = []
        if self._scaled:
            key, (stated, size) = min(self._scaled.items())
            sizes = "{} x {} px in the file, {} x {} px in fact".format(*stated, *size)
            notes.append(
                f"photos whose boxes were scaled because {self._file_name} gives another size for them: "
                f"{len(self._scaled)} (first: {key}, {sizes})"
            )
        if self._far:
            key, box = min(self._far.items())
            notes.append(
                f"photos with boxes that reach far beyond their edges and were cut off there: "
                f"{len(self._far)} (first: {key}, {box}); {self._doubt}"
            )
        if self._larger:
            notes.append(
                f"no box of {self._file_name} reaches beyond {_PERCENT} px although the photos are much "
                "larger: if its numbers are percentages, convert them to pixels"
            )
        if self.problems:
            shown = "; ".join(self.problems[:5]) + (" …" if len(self.problems) > 5 else "")
            notes.append(f"{counted(len(self.problems), 'row')} of {self._file_name} cannot be used: {shown}")
        return notes

    @property
    def _doubt(self) -> str:
        if self._table.normalised:
            return "check these boxes"
        return "were the boxes made on photos of another size, or is --box-format wrong?"

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return the file's boxes of one photo; `listed` tells whether the file names the photo.

        Args:
            image: upright (H, W, 3) uint8; only its size is used.
            key: the photo's relative path.

        Raises:
            PhotoError: `ambiguous_boxes`, several entries could be meant; `bad_boxes`, a row of this photo
                cannot be used or a box lies outside the photo.
        """
        height, width = image.shape[:2]
        found = self.of_photo(key, (width, height))
        if not found.listed:
            self._unlisted.add(key)
        return found

    def of_photo(self, key: str, size_wh: SizeWH | None, name: str | None = None) -> Detections:
        """Return the file's boxes of one photo; see `detect`.

        Args:
            key: the photo's relative path.
            size_wh: width and height of the photo, pixels; None where only the file may state them. Then
                boxes are not checked against the photo.
            name: which of `names` it is, where that is known.

        Raises:
            PhotoError: see `detect`; also `unknown_size`, boxes are shares of a photo of unknown size.
        """
        path = self._paths.find(key) if name is None else name
        if path is None:
            return Detections.empty(listed=False)
        entry = self._table.entries[path]
        self._check_rows(entry)
        if not entry.boxes:
            return Detections.empty()
        size_wh = size_wh or entry.size_wh
        if size_wh is not None:
            return self._detections(entry, key, *size_wh)
        if self._table.normalised:
            raise PhotoError(
                "unknown_size",
                f"expected the photo's width and height, since {self._file_name} has boxes in shares of "
                "them, got neither; pass --in PHOTOS",
            )
        return _as_detections(entry, (1, 1, 1, 1))

    def stated_size(self, key: str, name: str | None = None) -> SizeWH | None:
        """Return width and height of a photo in pixels, where the file states them; see `of_photo`."""
        try:
            path = self._paths.find(key) if name is None else name
        except PhotoError:
            return None
        return None if path is None else self._table.entries[path].size_wh

    def _check_rows(self, entry: Entry) -> None:
        if entry.problems:
            place, text = entry.problems[0]
            more = f" (and {len(entry.problems) - 1} more)" if len(entry.problems) > 1 else ""
            raise PhotoError("bad_boxes", f"{place} of {self._file_name}: {text}{more}")

    def _detections(self, entry: Entry, key: str, width: int, height: int) -> Detections:
        scale = self._scale_to(entry, key, (width, height))
        if self._table.normalised:
            scale = width * scale[0], height * scale[1], width * scale[2], height * scale[3]
        found = _as_detections(entry, scale)
        self._check_inside(found, width, height)
        self._note_size(found, key, width, height)
        return found

    def _scale_to(self, entry: Entry, key: str, photo_wh: SizeWH) -> tuple[float, float, float, float]:
        """Return the factors from the stated size to the photo's; 1 if none is stated or boxes are shares.

        Raises:
            PhotoError: `bad_boxes`, that size is of another shape.
        """
        stated = entry.size_wh
        if stated is None or stated == photo_wh:
            return 1, 1, 1, 1
        if not same_shape(stated, photo_wh):
            raise PhotoError("bad_boxes", f"{self._file_name}: {difference(stated, photo_wh)}")
        if self._table.normalised:
            return 1, 1, 1, 1
        self._scaled[key] = (stated, photo_wh)
        x, y = photo_wh[0] / stated[0], photo_wh[1] / stated[1]
        return x, y, x, y

    def _note_size(self, found: Detections, key: str, width: int, height: int) -> None:
        limits = np.array([width, height], np.float64)
        past = limits * _FAR_SHARE + _FAR_PIXELS
        low, high = found.xyxy[:, :2], found.xyxy[:, 2:]
        for i in np.flatnonzero(np.any((low < -past) | (high > limits + past), axis=1))[:1]:
            self._far[key] = " ".join(f"{edge:.10g}" for edge in found.rounded().xyxy[i])
        if self._may_be_percent and min(width, height) > _LARGE:
            self._larger.add(key)

    def _check_inside(self, found: Detections, width: int, height: int) -> None:
        """Refuse a box that shows nothing of the photo; the pipeline clips what reaches past its edges."""
        # Rounded, because that is what the rest of the run sees: a box must not vanish there.
        rounded = found.rounded()
        low, high = rounded.xyxy[:, :2], rounded.xyxy[:, 2:]
        outside = np.any((low >= (width, height)) | (high <= 0), axis=1)
        for i in np.flatnonzero(outside | (rounded.areas <= 0))[:1]:
            edges = " ".join(f"{edge:.10g}" for edge in rounded.xyxy[i])
            where = "lies outside" if outside[i] else "has no area in"
            raise PhotoError(
                "bad_boxes",
                f"the box {edges} of {self._file_name} {where} the photo of {width} x {height} px; "
                "were the boxes made on a photo of another size?",
            )


def _as_detections(entry: Entry, scale: tuple[float, float, float, float]) -> Detections:
    """Return the boxes of an entry, each edge multiplied by its factor."""
    # The same row twice is one animal: audit.csv has a row per label row, and labels may repeat a photo.
    boxes = list(dict.fromkeys(entry.boxes))
    xyxy = np.array([box[:4] for box in boxes], dtype=np.float64) * scale  # (N, 4)
    return Detections(
        xyxy.astype(np.float32),
        np.array([box.score for box in boxes], dtype=np.float32),
        tuple(box.class_name for box in boxes),
    )


def _may_be_percent(table: BoxesTable) -> bool:
    boxes = {box[:4] for entry in table.entries.values() for box in entry.boxes}
    return (
        not table.normalised
        and len(boxes) >= _LEAST_BOXES
        and max(map(max, boxes)) <= _PERCENT
        and any(not edge.is_integer() for box in boxes for edge in box)
    )
