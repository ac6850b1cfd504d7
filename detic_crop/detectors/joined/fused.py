"""Detectors whose boxes are fused, see `fusion`: all are asked about every photo."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import UNKNOWN_CLASS, presence_of
from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import Detector
from detic_crop.detectors.joined.fusion import SAME_IOU, Boxes, FusedBox, most_confident, weighted_box_fusion
from detic_crop.detectors.joined.several import Several, ask, default_wanted, described, prepared_for


class _Said(NamedTuple):
    """One model's answer about one photo, its scores on the common scale.

    Attributes:
        found: the answer.
        kinds: what each box is, see `Several.kinds_of`.
        scores: (N,) float64.
        presence: on the common scale, too.
        weight: of the model.
    """

    found: Detections
    kinds: list[str]
    scores: NDArray[np.float64]
    presence: float
    weight: float


class Fused(Several):
    """Asks every detector about every photo and fuses their boxes.

    All wanted classes are one thing, an animal, since one model's `Whale` is another's `Marine mammal`; of a
    model's own boxes of one animal the most confident stands for it. Boxes of unwanted classes are fused
    class by class. A fused box has the class of its most confident source that has one.

    Scores of different models mean different things. Before they are compared, each is mapped by two straight
    lines, through (0, 0), (the model's default confidence, the mean of all models' defaults) and (1, 1): what
    just counts for one model, just counts for the other. Models with equal defaults keep their scores. The
    mean of the defaults is the default of the fused score, which a box of few of the models reaches only if
    they are sure, see `weighted_box_fusion`. A boxes file of which every box counts, whatever its score, has
    no part in that mean: its boxes just count, or more.

    A model that does not list a photo has not looked at it, and is not counted. One detector alone is
    answered for as it is.

    Args:
        members: the detectors.
        weights: weight of each; positive.
    """

    def __init__(self, members: Iterable[Detector], weights: Sequence[float]) -> None:
        super().__init__(members)
        self._weights = tuple(weights)
        infos = [member.info for member in self.members]
        pairs = list(zip(infos, self._weights, strict=True))
        names = (info.name if weight == 1 else f"{info.name}*{weight:g}" for info, weight in pairs)
        bars = [(info.default_conf, weight) for info, weight in pairs if info.default_conf > 0]
        bar = sum(conf * weight for conf, weight in bars) / sum(weight for _, weight in bars) if bars else 0.0
        self.info = replace(described(f"wbf({','.join(names)})", self.members, bar), floor=0.0)
        self.classes = default_wanted(self.info)

    def ask_for(self, classes: Sequence[str] | None, conf: float = 0.0) -> None:
        """Tell each detector which classes are wanted; the lowest score is one of the fused boxes."""
        self.classes = None if classes is None else tuple(classes)
        for member in self.members:
            member.ask_for(classes, member.info.default_conf)

    def prepare(
        self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
    ) -> list[Any]:
        """Return what each detector makes of a photo."""
        photo_hw = photo_hw or (image.shape[0], image.shape[1])
        return [prepared_for(member, image, key, photo_hw) for member in self.members]

    def group_of(self, prepared: Sequence[Any]) -> Hashable:
        """Return each detector's group of the photo."""
        pairs = zip(self.members, prepared, strict=True)
        return tuple(member.group_of(photo) for member, photo in pairs)

    def detect_batch(self, prepared: Sequence[Sequence[Any]]) -> list[Detections]:
        """Return the boxes in several photos, in order; see `Detector`."""
        said = [
            ask(member, [photo[number] for photo in prepared]) for number, member in enumerate(self.members)
        ]
        if len(self.members) == 1:
            return [replace(found, found_by="") for found in said[0]]
        return [self._fuse([answers[i] for answers in said]) for i in range(len(prepared))]

    def _fuse(self, answers: Sequence[Detections]) -> Detections:
        looked = [
            self._on_common_scale(found, member, weight)
            for found, member, weight in zip(answers, self.members, self._weights, strict=True)
            if found.listed
        ]
        if not looked:
            return Detections.empty(listed=False)
        kinds = sorted({kind for said in looked for kind in said.kinds})
        fused = [box for kind in kinds for box in _fuse_kind(looked, kind)]
        total = sum(said.weight for said in looked)
        return Detections(
            np.array([box.xyxy for box, _ in fused], np.float32).reshape(-1, 4),
            np.array([box.score for box, _ in fused], np.float32),
            tuple(name for _, name in fused),
            presence=min(1.0, sum(said.presence * said.weight for said in looked) / total),
        )

    def _on_common_scale(self, found: Detections, member: Detector, weight: float) -> _Said:
        conf = member.info.confs.get(found.found_by, member.info.default_conf)
        bar = self.info.default_conf
        presence = presence_of(found.rounded(), self.classes) or 0.0
        return _Said(
            found,
            self.kinds_of(found),
            _mapped(found.scores.astype(np.float64), conf, bar),
            float(_mapped(np.array([presence]), conf, bar)[0]),
            weight,
        )


def _fuse_kind(looked: Sequence[_Said], kind: str) -> list[tuple[FusedBox, str]]:
    """Return the fused boxes of a kind, and the class of each."""
    xyxy, scores, weights, names = [], [], [], list[str]()
    for said in looked:
        own = np.flatnonzero([each == kind for each in said.kinds])
        edges = said.found.xyxy[own].astype(np.float64)
        kept = own[most_confident(edges, said.scores[own], SAME_IOU)]
        xyxy.append(said.found.xyxy[kept].astype(np.float64))
        scores.append(said.scores[kept])
        weights.append(np.full(len(kept), said.weight))
        names += [said.found.class_names[i] for i in kept]
    boxes = Boxes(np.concatenate(xyxy), np.concatenate(scores), np.concatenate(weights))
    total = sum(said.weight for said in looked)
    return [(box, _class_of([names[i] for i in box.sources])) for box in weighted_box_fusion(boxes, total)]


def _class_of(names: Sequence[str]) -> str:
    """Return the class of a fused box, of those of its sources, the most confident first."""
    return next((name for name in names if name != UNKNOWN_CLASS), UNKNOWN_CLASS)


def _mapped(scores: NDArray[np.float64], conf: float, bar: float) -> NDArray[np.float64]:
    """Return scores mapped by two straight lines, so that `conf` becomes `bar`; see `Fused`."""
    if conf == bar:  # to the last bit
        return scores
    below = scores * (bar / conf) if conf > 0 else np.full_like(scores, bar)
    above = bar + (scores - conf) * ((1 - bar) / (1 - conf)) if conf < 1 else np.ones_like(scores)
    mapped: NDArray[np.float64] = np.clip(np.where(scores < conf, below, above), 0, 1)
    return mapped
