"""What is doubtful about a crop: flags with a rule each, and one number to sort by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from detic_crop.config import CropConfig
from detic_crop.runs.journal import Record

FLAGS: Mapping[str, str] = {
    "smaller_box_more_confident": "another eligible box is smaller and more confident than the chosen one",
    "low_score": "the score is in the lowest fifth between --conf and 1",
    "tiny_box": "the box covers less than 1 % of the photo",
    "whole_image": "the box covers more than 95 % of the photo",
    "touches_edge": "the box comes within 0.5 % of an edge of the photo: the animal may be cut off",
    "extreme_aspect": "one side of the box is more than 8 times the other",
    "upscaled": "both sides of the rectangle had to be enlarged to reach --size",
    "several_animals": "another eligible box hardly touches the chosen one (IoU below 0.1)",
    "class_conflict": "a class that was not asked for scores higher on the same spot (IoU of 0.5 or more)",
    "truncated_file": "the file ends early; what was missing is filled in",
    "not_found": "no eligible box: the whole photo was resized",
}
"""Every flag and its rule, in the order in which a row lists them."""

# How much one flag alone makes a person look. The known failure of the original data set leads; a flag that
# is common among good crops (an edge, an upscaled crop) weighs little.
_WEIGHTS: Mapping[str, float] = {
    "smaller_box_more_confident": 0.6,
    "class_conflict": 0.5,
    "whole_image": 0.5,
    "tiny_box": 0.4,
    "extreme_aspect": 0.4,
    "truncated_file": 0.3,
    "several_animals": 0.2,
    "low_score": 0.2,
    "touches_edge": 0.1,
    "upscaled": 0.1,
}

_LOW_SCORE_PART = 0.2
_TINY_FRACTION = 0.01
_WHOLE_FRACTION = 0.95
_EDGE_FRACTION = 0.005
_EXTREME_ASPECT = 8.0


@dataclass(frozen=True, slots=True)
class Doubts:
    """What is doubtful about one photo.

    Attributes:
        flags: the codes that apply, in the order of `FLAGS`; none for a failed photo.
        suspicion: how much the photo deserves a look, in [0, 1].
    """

    flags: tuple[str, ...]
    suspicion: float


def doubts_of(record: Record, config: CropConfig) -> Doubts:
    """The flags of one photo, and the suspicion that they and its score leave."""
    flags = flags_of(record, config)
    return Doubts(flags, _suspicion(record, config, flags))


def area_fraction(record: Record) -> float | None:
    """Chosen box area / photo area; None without a box."""
    if record.box is None or not record.width:
        return None
    left, top, right, bottom = record.box
    return (right - left) * (bottom - top) / (record.width * record.height)


def flags_of(record: Record, config: CropConfig) -> tuple[str, ...]:
    """The codes that apply to one photo, in the order of `FLAGS`; none for a failed one."""
    if record.status == "failed":
        return ()
    applies = {"truncated_file": record.truncated, "not_found": record.reason == "not_found"}
    if record.box is not None:
        applies |= _box_flags(record, config)
    return tuple(flag for flag in FLAGS if applies.get(flag))


def _box_flags(record: Record, config: CropConfig) -> dict[str, bool]:
    left, top, right, bottom = record.box or (0, 0, 0, 0)
    width, height = right - left, bottom - top
    x1, y1, x2, y2 = record.crop_box or (0, 0, 0, 0)
    fraction = area_fraction(record) or 0.0
    # A drawn box has no score, and a box that a person chose has nothing to be compared with.
    score = 1.0 if record.score is None or record.verdict == "box" else record.score
    edge = _EDGE_FRACTION * max(record.width, record.height)
    nearest = min(left, top, record.width - right, record.height - bottom)
    return {
        "smaller_box_more_confident": record.best_score is not None and record.best_score > score,
        "low_score": score < _low_score_limit(config.conf or 0.0),
        "tiny_box": fraction < _TINY_FRACTION,
        "whole_image": fraction > _WHOLE_FRACTION,
        "touches_edge": nearest <= edge,
        "extreme_aspect": max(width, height) > _EXTREME_ASPECT * min(width, height),
        "upscaled": max(x2 - x1, y2 - y1) < config.size,
        "several_animals": record.n_apart > 0,
        "class_conflict": record.rival_score is not None and record.rival_score > score,
    }


def _low_score_limit(conf: float) -> float:
    return conf + _LOW_SCORE_PART * (1 - conf)


def _suspicion(record: Record, config: CropConfig, flags: Sequence[str]) -> float:
    """How much a row deserves a look, in [0, 1].

    - reviewed: 0.
    - failed: 1.
    - no box: `presence`, how sure the model is that it missed an animal.
    - a box: ``1 − (1 − d/2) · ∏(1 − weight of each flag)``, where ``d = (1 − score) / (1 − conf)`` is the
      doubt that the score leaves: 0 for a score of 1, 1 for one that just passed.
    """
    if record.verdict:
        return 0.0
    if record.status == "failed":
        return 1.0
    if record.box is None:
        return min(1.0, record.presence or 0.0)
    conf = config.conf or 0.0
    score = 1.0 if record.score is None else record.score
    doubt = min(1.0, max(0.0, 1 - score) / (1 - conf)) if conf < 1 else 0.0
    return 1 - (1 - doubt / 2) * prod(1 - _WEIGHTS.get(flag, 0.0) for flag in flags)
