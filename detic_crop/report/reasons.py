"""Why a photo deserves a look, in words with numbers: for people, beside its picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from detic_crop.boxes.choose import wanted_mask
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import iou
from detic_crop.config import CropConfig
from detic_crop.detectors.vocabulary import wanted_classes
from detic_crop.folder.records import Record
from detic_crop.report.crowd import Standing
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.suspicion import EDGE_FRACTION, FLAGS, area_fraction
from detic_crop.wording import counted, either

_LOWEST = ((0.01, "hundredth"), (0.05, "twentieth"), (0.1, "tenth"))
_STANDS_OUT = 0.95  # share of the others that a box is smaller, larger, narrower … than
_NEARLY = 0.9  # of the chosen score: a box of such a score might as well have been chosen
_SAME_SPOT = 0.5  # IoU


class _Seen(NamedTuple):
    """What is known of one photo.

    Attributes:
        record: its record.
        config: settings of the folder, as resolved.
        standing: how its box compares with the others; None if there is nothing to compare it with.
        duplicate_of: key of the photo that it repeats; empty if it repeats none.
        candidates: every box that was kept of it; None if they are not at hand.
    """

    record: Record
    config: CropConfig
    standing: Standing | None
    duplicate_of: str
    candidates: Detections | None


def reasons_for(
    photo: AuditPhoto, config: CropConfig, standing: Standing | None, candidates: Detections | None
) -> list[str]:
    """Return why a photo deserves a look, in words with numbers; of a crop, which has none, what is usual.

    Args:
        photo: the photo.
        config: settings of the folder, as resolved.
        standing: how its box compares with the others; None if there is nothing to compare it with.
        candidates: every box that was kept of it; None if they are not at hand.
    """
    seen = _Seen(photo.record, config, standing, photo.doubts.duplicate_of, candidates)
    flags = photo.doubts.flags
    found = [_score_words(seen, "low_score" in flags), _size_words(seen, flags), _rival_words(seen)]
    found += [_WORDS[flag](seen) for flag in FLAGS if flag in flags and flag in _WORDS]
    found += [_shape_words(seen) if "extreme_aspect" not in flags else "", _place_words(seen)]
    reasons = [words for words in found if words]
    if not reasons and photo.is_crop:
        reasons = [_usual_words(seen)]
    return [words for words in reasons if words]


# --- compared with the others


def _score_words(seen: _Seen, is_low: bool) -> str:
    score, standing = seen.record.score, seen.standing
    if score is None or seen.record.verdict == "box":
        return ""
    above = f"not far above conf {seen.config.conf_of(seen.record.found_by):g}" if is_low else ""
    low = 1.0 if standing is None or standing.scored_higher is None else round(1 - standing.scored_higher, 9)
    part = next((part for share, part in _LOWEST if low <= share), "")
    among = "" if standing is None or not part else f"in the lowest {part} of {standing.kind}"
    said = ", ".join(filter(None, (among, above)))
    return f"score {score:.2f}, {said}" if said else ""


def _size_words(seen: _Seen, flags: tuple[str, ...]) -> str:
    fraction, standing = area_fraction(seen.record), seen.standing
    if fraction is None:
        return ""
    compared = ""
    if standing is not None:
        for share, word in ((standing.larger, "smaller"), (standing.smaller, "larger")):
            if share >= _STANDS_OUT:
                compared = f"{word} than {_most(share)} of {standing.kind}"
    if {"tiny_box", "whole_image"}.intersection(flags):
        return f"the box covers {_percent(fraction)} of the photo" + (f", {compared}" if compared else "")
    return f"the box is {compared}: {_percent(fraction)} of the photo" if compared else ""


def _shape_words(seen: _Seen) -> str:
    standing = seen.standing
    if standing is None or standing.wider < _STANDS_OUT:
        return ""
    return f"the box is narrower for its height than {_most(standing.wider)} of {standing.kind}"


def _place_words(seen: _Seen) -> str:
    standing = seen.standing
    if standing is None or standing.more_central < _STANDS_OUT:
        return ""
    return f"the box lies further from the middle than {_most(standing.more_central)} of {standing.kind}"


def _usual_words(seen: _Seen) -> str:
    """Return what can be said of a crop that nothing speaks against."""
    record, standing = seen.record, seen.standing
    if record.verdict == "box":
        return "a person gave the box"
    if record.score is None:
        return "nothing speaks against it"
    if standing is None or standing.scored_higher is None:
        return f"nothing speaks against it; its score is {record.score:.2f}"
    higher = _percent(standing.scored_higher)
    return f"nothing stands out; {higher} of {standing.kind} score higher than {record.score:.2f}"


# --- what each flag says of this very photo


def _rival_words(seen: _Seen) -> str:
    """Return that another eligible box elsewhere scores nearly as high, where that is no reason to flag."""
    record, found = seen.record, seen.candidates
    if (
        record.box is None
        or record.score is None
        or found is None
        or record.verdict == "box"
        or record.animals
    ):
        return ""
    if record.best_score is not None and record.best_score > record.score:
        return ""  # that is a flag
    eligible = wanted_mask(found, wanted_classes(seen.config.classes))
    eligible &= found.scores >= np.float32(max(seen.config.conf_of(record.found_by), _NEARLY * record.score))
    others = found.scores[eligible & (iou(record.box, found.xyxy) < _SAME_SPOT)]
    if not len(others):
        return ""
    return f"two boxes of nearly the same score ({record.score:.2f} and {float(others.max()):.2f})"


def _confident_words(seen: _Seen) -> str:
    record = seen.record
    mine = "the chosen one has none" if record.score is None else f"the chosen one {record.score:.2f}"
    return f"a smaller box scores {record.best_score or 0:.2f}, {mine}"


def _larger_words(seen: _Seen) -> str:
    conf = seen.config.conf_of(seen.record.found_by)
    larger = seen.record.larger_score or 0
    return f"a larger box around it scores {larger:.2f}, below conf {conf:g}: this may be a part"


def _edge_words(seen: _Seen) -> str:
    record = seen.record
    left, top, right, bottom = record.box or (0.0, 0.0, 0.0, 0.0)
    most = EDGE_FRACTION * max(record.width, record.height)
    gaps = {"left": left, "top": top, "right": record.width - right, "bottom": record.height - bottom}
    touched = [side for side, gap in gaps.items() if gap <= most]
    if len(touched) == 4:
        return "the box touches all four edges of the photo"
    sides = " and ".join([", ".join(touched[:-1]), touched[-1]] if touched[1:] else touched)
    return f"the box touches the {sides} edge: the animal may be cut off"


def _aspect_words(seen: _Seen) -> str:
    left, top, right, bottom = seen.record.box or (0.0, 0.0, 0.0, 0.0)
    width, height = right - left, bottom - top
    long, short = max(width, height), max(1e-9, min(width, height))
    return f"the box is {long / short:.0f} times as {'wide as high' if width > height else 'high as wide'}"


def _upscaled_words(seen: _Seen) -> str:
    x1, y1, x2, y2 = seen.record.crop_box or (0, 0, 0, 0)
    return f"only {x2 - x1} × {y2 - y1} pixels were cut out, and then enlarged"


def _several_words(seen: _Seen) -> str:
    number = seen.record.n_apart
    return (
        f"{counted(number, 'more box', 'more boxes')} {either(number, 'lies', 'lie')} elsewhere in the photo"
    )


def _class_words(seen: _Seen) -> str:
    record = seen.record
    return f"the same spot scores higher as {record.rival_class} ({record.rival_score or 0:.2f})"


def _presence_words(seen: _Seen) -> str:
    presence, conf = seen.record.presence, seen.config.conf
    if presence is None:
        return "no animal was found"
    likely = ": likely missed" if conf is not None and presence >= conf else ""
    return f"no animal was found; presence {presence:.2f}{likely}"


_WORDS: Mapping[str, Callable[[_Seen], str]] = {
    "smaller_box_more_confident": _confident_words,
    "larger_box_less_confident": _larger_words,
    "touches_edge": _edge_words,
    "extreme_aspect": _aspect_words,
    "upscaled": _upscaled_words,
    "several_animals": _several_words,
    "class_conflict": _class_words,
    "truncated_file": lambda seen: FLAGS["truncated_file"],
    "damaged_file": lambda seen: FLAGS["damaged_file"],
    "not_found": _presence_words,
    "not_listed": lambda seen: "the boxes file does not name the photo: nobody looked at it",
    "blurry": lambda seen: f"the crop is blurry: {seen.record.blur or 0:.2f} of 1 (above 0.55)",
    "dark": lambda seen: f"the crop is dark: mean grey level {seen.record.brightness or 0:.0f} of 255",
    "low_information": lambda seen: (
        f"the crop shows little: {seen.record.entropy or 0:.1f} of 8 bits of entropy"
    ),
    "duplicate": lambda seen: f"the same file as {seen.duplicate_of}",
    "near_duplicate": lambda seen: f"nearly the crop of {seen.duplicate_of}",
    "shrunk": lambda seen: "the crop is smaller than --size asks, to keep to --max-bytes",
}
"""Flag → what it says of a photo; the others are told where the box is compared."""


def _percent(share: float) -> str:
    per_cent = 100 * share
    return f"{per_cent:.0f}\u00a0%" if per_cent >= 1 or not per_cent else f"{per_cent:.1g}\u00a0%"


def _most(share: float) -> str:
    """Return a share of others in per cent, rounded down: the box itself is one of them, so never 100."""
    return f"{min(99, int(100 * share))}\u00a0%"
