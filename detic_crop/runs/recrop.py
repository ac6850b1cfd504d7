"""Another policy from the kept candidates: the detector's answers, read back instead of computed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import kept_floor
from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.detectors.base import DetectorInfo
from detic_crop.errors import PhotoError, UsageError
from detic_crop.runs.journal import Record, read_candidates


class KeptCandidates:
    """A detector that answers with the boxes an earlier run kept.

    Args:
        config: the earlier run's settings.
        records: its records by key.
        candidates_path: its `candidates.jsonl`.
        same_classes: whether the same classes are wanted as then; else the presence of then says nothing.
    """

    def __init__(
        self, config: CropConfig, records: Mapping[str, Record], candidates_path: Path, same_classes: bool
    ) -> None:
        self._records = records
        self._same_classes = same_classes
        self._file = open(candidates_path, "rb")  # noqa: SIM115 - closed by `close`
        self._lock = threading.Lock()
        self._info = DetectorInfo(
            name=config.model, class_names=(), default_conf=config.conf or 0.0, weights=config.weights
        )

    @property
    def info(self) -> DetectorInfo:
        """The earlier run's model."""
        return self._info

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """The kept boxes of photo `key`; see `Detector`.

        Raises:
            PhotoError: the earlier run failed on it, or the photo is another one now.
        """
        record = self._records.get(key)
        if record is None or record.candidates is None:
            raise PhotoError("no_candidates", "the earlier run kept no boxes of this photo; give `run` again")
        height, width = image.shape[:2]
        if (width, height) != (record.width, record.height):
            raise PhotoError(
                "photo_changed",
                f"expected {record.width}×{record.height} px as in the earlier run, got {width}×{height}; "
                "give `run` again",
            )
        with self._lock:
            kept = read_candidates(self._file, record.candidates)
        return kept if self._same_classes else replace(kept, presence=None)

    def close(self) -> None:
        """Let go of the candidates file."""
        self._file.close()


def check_policy(old: CropConfig, new: CropConfig) -> tuple[str, ...] | None:
    """Whether kept candidates can answer for the new settings; returns the wanted classes.

    Raises:
        UsageError: ``--conf`` is below what was kept, or a class was never looked for.
    """
    floor = kept_floor(old.conf or 0.0)
    if new.conf is not None and new.conf < floor:
        raise UsageError(
            f"--conf {new.conf} is below {floor}, the lowest score this run kept; "
            f"pass {floor} or more, or give `run` again with --conf {new.conf}"
        )
    looked_for = [name.strip() for name in old.classes.split(",")]
    if looked_for == ["any"]:
        return None if new.classes == "any" else tuple(name.strip() for name in new.classes.split(","))
    spelling = {name.casefold(): name for name in looked_for}
    chosen = []
    for word in (word.strip() for word in new.classes.split(",")):
        if word.casefold() not in spelling:
            raise UsageError(
                f"--classes {word}: this run looked for {', '.join(looked_for)} only; "
                f"pass some of these, or give `run` again with --classes {word!r}"
            )
        chosen.append(spelling[word.casefold()])
    return tuple(dict.fromkeys(chosen))
