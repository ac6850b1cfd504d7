"""compare.csv: a row for each animal, and for each photo without any."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from detic_crop.report.compare.columns import SideColumns, State
from detic_crop.report.compare.numbers import Labelling, is_right
from detic_crop.report.compare.pairs import AgainstTruth, Agreed, Rows
from detic_crop.report.compare.photos import SidesOfPhotos

_TRUTH = ("truth_state", "truth_class", "truth_box", "a_truth_iou", "b_truth_iou", "right")
_OF_SIDE = ("state", "class", "score", "box")


def header(has_truth: bool, labelling: Labelling | None) -> list[str]:
    """Return the names of the columns."""
    return [
        *("image", "verdict", "iou"),
        *(f"{side}_{name}" for side in "ab" for name in _OF_SIDE),
        *(_TRUTH if has_truth else ()),
        *("width", "height"),
        *(("label",) if labelling is not None else ()),
    ]


def table_cells(
    sides: SidesOfPhotos, rows: Rows, against: AgainstTruth | None, labelling: Labelling | None
) -> Iterator[list[str]]:
    """Yield the header, then the cells of each row."""
    yield header(against is not None, labelling)
    right = None if against is None else is_right(rows, against)
    last, key = -1, ""
    for row in range(len(rows)):
        photo = int(rows.photos[row])
        if photo != last:
            last, key = photo, sides.keys[photo]
        a, b = int(rows.a[row]), int(rows.b[row])
        cells = [key, Agreed(int(rows.agreed[row])).word, _number(rows.iou[row])]
        cells += [*_of_side(sides.a, photo, a), *_of_side(sides.b, photo, b)]
        if against is not None and sides.truth is not None and right is not None:
            true = int(rows.truth[row])
            of_truth = _of_side(sides.truth, photo, true)
            known = bool(against.photos[photo])
            cells += [of_truth[0], of_truth[1], of_truth[3]]
            cells += [
                _overlap(against.box_a, a, known and true >= 0),
                _overlap(against.box_b, b, known and true >= 0),
                _right(bool(right[0][row]), bool(right[1][row])) if known else "",
            ]
        cells += [str(side or "") for side in sides.sizes[photo].tolist()]
        if labelling is not None:
            code = int(labelling.codes[photo])
            cells.append(labelling.names[code] if code >= 0 else "")
        yield cells


def _of_side(side: SideColumns, photo: int, box: int) -> list[str]:
    """Return the cells of one side: state, class, score and box."""
    if box < 0:
        return [state_word(side, photo), "", "", ""]
    score = float(side.scores[box])
    return [
        state_word(side, photo),
        side.class_names[int(side.classes[box])],
        _number(score),
        _box(side.xyxy[box].tolist()),
    ]


def state_word(side: SideColumns, photo: int) -> str:
    """Return what a side did with a photo: found, nothing, failed or not_looked."""
    state = State(int(side.states[photo]))
    if state != State.LOOKED:
        return state.name.lower()
    return "found" if side.starts[photo + 1] > side.starts[photo] else "nothing"


def _overlap(overlaps: NDArray[np.float64], box: int, is_known: bool) -> str:
    """Return the overlap of a side's box with the true one; 0 where it has none."""
    return _number(float(overlaps[box]) if box >= 0 else 0.0) if is_known else ""


def _right(a: bool, b: bool) -> str:
    return {(True, True): "both", (True, False): "a", (False, True): "b"}.get((a, b), "neither")


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _box(xyxy: Sequence[float]) -> str:
    """Return a box as audit.csv does: the whole pixels that contain it."""
    left, top, right, bottom = xyxy
    return f"{math.floor(left)} {math.floor(top)} {math.ceil(right)} {math.ceil(bottom)}"
