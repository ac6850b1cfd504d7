"""Boxes that an earlier run kept, instead of a detector: for other crops of the same photos."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import kept_floor
from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.vocabulary import resolve_classes, wanted_classes
from detic_crop.errors import PhotoError, UsageError
from detic_crop.folder.animals import boxes_of
from detic_crop.folder.decisions import Decision, detected_boxes
from detic_crop.folder.journal import read_candidates
from detic_crop.folder.records import Record
from detic_crop.folder.there import is_there
from detic_crop.folder.typed_json import decode_any, is_sealed
from detic_crop.folder.write_errors import reading_errors
from detic_crop.work.record_of import record_as_detected


class KeptCandidates(Detector):
    """A detector that answers with the boxes an earlier run kept.

    Args:
        config: settings of the earlier run.
        records: records of that run, by key.
        candidates_path: `candidates.jsonl` of that run.
        sizes: size of each photo now, in bytes, by key; another size is another photo.
        same_classes: True if the same classes are wanted now; otherwise the saved presence is not used.
    """

    def __init__(
        self,
        config: CropConfig,
        records: Mapping[str, Record],
        candidates_path: Path,
        sizes: Mapping[str, int],
        same_classes: bool,
    ) -> None:
        self._records = records
        self._sizes = sizes
        self._same_classes = same_classes
        self._path = os.fspath(candidates_path)
        self._file = open(candidates_path, "rb")  # noqa: SIM115 - closed by `close`
        self._lock = threading.Lock()
        self.info = DetectorInfo(
            name=config.model,
            class_names=(),
            default_conf=config.conf or 0.0,
            weights=config.weights,
            thread_safe=True,
            needs_pixels=False,
        )

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return the kept boxes of photo `key`; of the image only the size is used.

        Raises:
            PhotoError: the earlier run failed on it, or the photo has changed.
            OutputError: what the earlier run kept cannot be read now.
        """
        with reading_errors(self._path):
            record, kept = self._kept(key)
        height, width = image.shape[:2]
        then = (record.width, record.height, record.file_size)
        now = (width, height, self._sizes.get(key, record.file_size))
        if then != now:
            raise PhotoError(
                "photo_changed",
                "expected {}×{} px in {} bytes as in the earlier run, got {}×{} px in {} bytes; "
                "run `detic-crop run` again".format(*then, *now),
            )
        return kept if self._same_classes else replace(kept, presence=None)

    def _kept(self, key: str) -> tuple[Record, Detections]:
        record = self._records.get(key)
        if record is None or record.status == "failed" or record.candidates is None:
            raise PhotoError(
                "no_candidates", "the earlier run kept no boxes of this photo; run `detic-crop run` again"
            )
        try:
            with self._lock:
                return record, read_candidates(self._file, record)
        except (ValueError, KeyError) as error:
            raise PhotoError(
                "no_candidates", "the kept boxes of this photo are damaged; run `detic-crop run` again"
            ) from error

    def close(self) -> None:
        """Close the candidates file."""
        self._file.close()


def carried_decisions(
    decisions: Mapping[str, Decision],
    records: Mapping[str, Record],
    candidates_path: Path,
    config: CropConfig,
    classes: tuple[str, ...] | None,
) -> tuple[dict[str, Decision], int]:
    """Return what a review of the earlier folder means for the new one.

    Whoever accepted a photo accepted the boxes that were chosen then. If the new settings choose others,
    nobody has seen them, and the photo counts as not reviewed; its note and viewpoint stay.

    Args:
        decisions: decisions of the earlier folder, by key.
        records: its records, by key.
        candidates_path: its `candidates.jsonl`.
        config: the new settings, as resolved.
        classes: classes of the new settings; None for any.

    Returns:
        (decisions by key, number of acceptances that no longer count).

    Raises:
        OutputError: what the earlier run kept cannot be read.
    """
    carried = dict(decisions)
    lapsed = 0
    with reading_errors(os.fspath(candidates_path)), open(candidates_path, "rb") as file:
        for key, decision in decisions.items():
            record = records.get(key)
            if decision.verdict != "accepted" or record is None or record.status == "failed":
                continue
            with contextlib.suppress(ValueError, KeyError):  # damaged boxes: the photo fails, and says so
                kept = read_candidates(file, record)
                blank = Record(key, "failed", width=record.width, height=record.height)
                chosen, _ = record_as_detected(blank, kept, config, classes, config.conf or 0.0)
                if boxes_of(chosen) != detected_boxes(record):
                    carried[key] = decision.without_verdict()
                    lapsed += 1
    return carried, lapsed


def check_policy(old: CropConfig, new: CropConfig, candidates_path: Path) -> tuple[str, ...] | None:
    """Return the classes that the new settings want; None for any.

    Args:
        old: settings of the earlier run.
        new: settings asked for.
        candidates_path: the earlier run's `candidates.jsonl`; if that run looked for any class, it tells
            which ones there are.

    Raises:
        UsageError: kept boxes cannot answer for these settings: ``--conf`` is below what was kept, or a class
            was never looked for.
    """
    floor = max(kept_floor(conf) for conf in (old.confs.values() or [old.conf or 0.0]))
    if new.conf is not None and new.conf < floor:
        raise UsageError(
            "conf_below_kept",
            f"--conf {new.conf} is below {floor}, the lowest score this run kept; "
            f"pass {floor} or more, or run `detic-crop run` again with --conf {new.conf}",
        )
    recorded = old.classes or "any"  # a journal always has them
    looked_for = wanted_classes(recorded)
    wanted = new.classes or recorded
    if wanted == recorded:
        return looked_for
    if not is_there(candidates_path):
        raise UsageError(
            "no_candidates",
            f"{candidates_path} is gone: no other classes can be chosen; run `detic-crop run` again",
        )
    if looked_for is not None and wanted.strip().casefold() == "any":
        raise UsageError(
            "classes_not_kept",
            f"--classes any: this run looked for {', '.join(looked_for)} only; "
            "run `detic-crop run` again with --classes any",
        )
    if looked_for is None:
        return resolve_classes(wanted, _classes_seen(candidates_path), f"{old.model} in this run")
    try:
        return resolve_classes(wanted, looked_for, old.model)
    except UsageError as error:
        raise UsageError(
            "classes_not_kept",
            f"--classes {wanted}: this run looked for {', '.join(looked_for)} only; "
            f"pass some of these, or run `detic-crop run` again with --classes {wanted!r}",
        ) from error


def _classes_seen(candidates_path: Path) -> list[str]:
    names: set[str] = set()
    with open(candidates_path, "rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a torn or damaged line
                is_sealed(line)
                names.update(decode_any(line)["class_names"])
    return sorted(names)
