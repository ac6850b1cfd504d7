"""What is doubtful about a crop: flags with a rule each, and one number to sort by.

`doubts_of` judges by the record of one photo alone; `comparison.doubts_of_all` compares those of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pow, prod

from detic_crop.boxes.crop_size import CropSize
from detic_crop.boxes.geometry import area_of
from detic_crop.config import CropConfig
from detic_crop.folder.records import Record

FLAGS: Mapping[str, str] = {
    "smaller_box_more_confident": "another box that counts is smaller and more confident than the chosen one",
    "larger_box_less_confident": "a larger box around the chosen one missed --conf and has half its score",
    "low_score": "the score is in the lowest fifth between --conf and 1",
    "tiny_box": "the box covers less than 1 % of the photo",
    "whole_image": "the box covers more than 95 % of the photo",
    "touches_edge": "the box comes within 0.5 % of an edge of the photo: the animal may be cut off",
    "extreme_aspect": "one side of the box is more than 8 times the other",
    "upscaled": "both sides of the rectangle had to be enlarged to reach --size",
    "several_animals": "another box that counts hardly touches the chosen one (IoU below 0.1)",
    "class_conflict": "a class that was not asked for scores higher on the same spot (IoU of 0.5 or more)",
    "truncated_file": "the file ends early; what was missing is filled in",
    "damaged_file": "the photo's data are damaged: some of what it shows may be wrong",
    "not_found": "no box that counts: the whole photo was resized, or skipped",
    "not_listed": "the boxes file does not name the photo: nobody looked at it, the whole photo was resized",
    "blurry": "hardly any fine detail in the crop (blur effect of Crete et al. 2007 above 0.55)",
    "dark": "the crop's mean grey level is below 40 of 255",
    "low_information": "the crop's grey levels hold less than 5 bits of entropy (of 8)",
    "duplicate": "the same file as an earlier photo",
    "near_duplicate": "nearly the crop of an earlier photo (3 of 64 hash bits differ at most)",
    "shrunk": "the crop is smaller than --size asks, so that its file has no more than --max-bytes",
}
"""Every flag and its rule, in the order in which a row lists them."""

IMAGE_CHECKS = frozenset({"blurry", "dark", "low_information", "duplicate", "near_duplicate", "shrunk"})
"""Flags that describe the photo and say nothing against its box: they add no suspicion."""

# The suspicion of a crop with one flag and no other doubt. The known failure of the original data set weighs
# most; a flag that is common among good crops (touching an edge, upscaled) weighs little.
_WEIGHTS: Mapping[str, float] = {
    "smaller_box_more_confident": 0.6,
    "class_conflict": 0.5,
    "whole_image": 0.5,
    "tiny_box": 0.4,
    "extreme_aspect": 0.4,
    "truncated_file": 0.3,
    "damaged_file": 0.3,
    "several_animals": 0.2,
    "low_score": 0.2,
    "touches_edge": 0.1,
    "upscaled": 0.1,
}

_LOW_SCORE_PART = 0.2
_TINY_FRACTION = 0.01
_WHOLE_FRACTION = 0.95
EDGE_FRACTION = 0.005
_EXTREME_ASPECT = 8.0
_LARGER_PART = 0.5  # share of the chosen score that the larger box reaches
_LARGER_WEIGHT = 0.5
_SCORE_POWER = 2
_ORDINARY = 0.3  # boxes that so many others are as unusual as are ordinary
_UNUSUAL_POWER = 0.5
# Of the crops of 105 varied photos only one, a soft one, is beyond these.
_BLURRY = 0.55
_DARK = 40.0
_LOW_ENTROPY = 5.0


@dataclass(frozen=True, slots=True)
class Doubts:
    """What is doubtful about one photo.

    Attributes:
        flags: codes that apply, in the order of `FLAGS`; none for a failed photo.
        suspicion: how much the photo deserves a look, in [0, 1].
        duplicate_of: key of the earlier photo that it repeats; empty if it repeats none.
    """

    flags: tuple[str, ...]
    suspicion: float
    duplicate_of: str = ""

    @property
    def against_the_crop(self) -> tuple[str, ...]:
        """The flags that are not in `IMAGE_CHECKS`."""
        return tuple(flag for flag in self.flags if flag not in IMAGE_CHECKS)


def doubts_of(
    record: Record, config: CropConfig, unusual: float = 1.0, copy: str = "", of: str = ""
) -> Doubts:
    """Return the flags of one photo, and the suspicion that follows from them, its score and its box.

    The suspicion of a crop is ``1 − (1 − d/2)² · (1 − m/2) · ∏(1 − weight of each flag) · √min(1, u/0.3)``:
    each doubt multiplies the trust that is left.

    - ``d = (1 − score) / (1 − conf)``: 0 for a score of 1, 1 for a score of `conf`.
    - ``m = larger score / score``, at most 1, where a larger box around the chosen one fell below ``--conf``;
      else 0.
    - ``u`` is the share of ordinary boxes that are as unusual; see `unusual_shares`. 0.3 or more is
      ordinary and takes nothing, so that it does not drown what the score says; 1 in 10 takes two fifths of
      the trust, 1 in 100 four fifths.

    The suspicion of a photo without a box is its `presence`, how sure the model is that it missed an animal.
    It is 1 for failed photos and for those that nobody looked at (`not_listed`), and 0 for reviewed ones.

    Args:
        record: record of the photo.
        config: settings of the folder, as resolved.
        unusual: ``u``; 1 if nothing is known of the other photos.
        copy: ``duplicate`` or ``near_duplicate`` of the photo `of`; empty for an original.
        of: key of the photo that it repeats.
    """
    flags = flags_of(record, config)
    if copy:
        flags = tuple(flag for flag in FLAGS if flag in (*flags, copy))
    return Doubts(flags, _suspicion(record, config, flags, unusual), of)


def area_fraction(record: Record) -> float | None:
    """Return the area of the chosen box / area of the photo; None without a box."""
    if record.box is None or not record.width or not record.height:
        return None
    return area_of(record.box) / (record.width * record.height)


def flags_of(record: Record, config: CropConfig) -> tuple[str, ...]:
    """Return the flags that apply to one photo, in the order of `FLAGS`; none for a failed one."""
    if record.status == "failed":
        return ()
    applies = {"truncated_file": record.truncated, "damaged_file": bool(record.damaged)}
    applies |= {reason: record.reason == reason for reason in ("not_found", "not_listed")}
    applies |= _picture_flags(record)
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
    edge = EDGE_FRACTION * max(record.width, record.height)
    nearest = min(left, top, record.width - right, record.height - bottom)
    return {
        "smaller_box_more_confident": record.best_score is not None and record.best_score > score,
        "larger_box_less_confident": (record.larger_score or 0.0) >= _LARGER_PART * score,
        "low_score": score < _low_score_limit(config.conf_of(record.found_by)),
        "tiny_box": fraction < _TINY_FRACTION,
        "whole_image": fraction > _WHOLE_FRACTION,
        "touches_edge": nearest <= edge,
        "extreme_aspect": max(width, height) > _EXTREME_ASPECT * min(width, height),
        "upscaled": record.crop_box is not None and CropSize.of(config).enlarges((x2 - x1, y2 - y1)),
        "several_animals": record.n_apart > 0,
        "class_conflict": record.rival_score is not None and record.rival_score > score,
    }


def _picture_flags(record: Record) -> dict[str, bool]:
    """Return the flags of the crop as a picture; records of older versions have no numbers and get none."""
    return {
        "blurry": record.blur is not None and record.blur > _BLURRY,
        "dark": record.brightness is not None and record.brightness < _DARK,
        "low_information": record.entropy is not None and record.entropy < _LOW_ENTROPY,
        "shrunk": record.is_shrunk,
    }


def _low_score_limit(conf: float) -> float:
    return conf + _LOW_SCORE_PART * (1 - conf)


def _suspicion(record: Record, config: CropConfig, flags: Sequence[str], unusual: float) -> float:
    """Return the suspicion; see `doubts_of`."""
    settled = suspicion_without_a_box(record)
    if settled is not None:
        return settled
    by_scores, by_flags = trust_of(record, config, flags)
    return 1 - by_scores * trust_in_usual(unusual) * by_flags


def suspicion_without_a_box(record: Record) -> float | None:
    """Return the suspicion of a photo where it does not depend on a box; None where it does."""
    if record.verdict and record.verdict != "unsure":
        return 0.0
    if record.status == "failed":
        return 1.0
    if record.status == "skipped" and record.box is not None:  # there is no crop that could be wrong
        return 0.0
    if record.reason == "not_listed":
        return 1.0
    if record.box is None:
        return min(1.0, record.presence or 0.0)
    return None


def trust_of(record: Record, config: CropConfig, flags: Sequence[str]) -> tuple[float, float]:
    """Return what the scores of a box leave of the trust in it, and what its flags leave."""
    conf = config.conf_of(record.found_by)
    score = 1.0 if record.score is None else record.score
    doubt = min(1.0, max(0.0, 1 - score) / (1 - conf)) if conf < 1 else 0.0
    larger = record.larger_score or 0.0
    missed = larger / score if score > larger else float(larger > 0)
    by_scores = pow(1 - doubt / 2, _SCORE_POWER) * (1 - _LARGER_WEIGHT * missed)
    return by_scores, prod(1 - _WEIGHTS.get(flag, 0.0) for flag in flags)


def trust_in_usual(unusual: float) -> float:
    """Return what an unusual box leaves of the trust in it, by the share of boxes that are as unusual."""
    return pow(min(1.0, unusual / _ORDINARY), _UNUSUAL_POWER)
