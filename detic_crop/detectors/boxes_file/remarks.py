"""What a person should know of a boxes file and the settings it is used with, a sentence each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.table import BoxesTable
from detic_crop.wording import counted, either

NEAR_ZERO = 0.1
"""A file whose scores reach down to this has not been thresholded for use."""

USUAL_CONF = 0.25
"""What is proposed then: the threshold at which common detectors show their boxes."""

_NOT_ANIMALS = ("person", "human", "vehicle", "boat", "ship", "vessel", "car", "truck", "surfboard")
_NO_CHOICE = {*_NOT_ANIMALS, UNKNOWN_CLASS}
_SHOWN = 6


def remarks(table: BoxesTable, file_name: str, classes: Sequence[str] | None, conf: float) -> list[str]:
    """Return sentences about the whole file, whether or not its photos are in the input.

    Args:
        table: content of the file.
        file_name: name of the file.
        classes: wanted class names, None for any.
        conf: lowest score that counts.
    """
    said = [f"{file_name}: {note}" for note in table.notes]
    for what, count in table.left_out.items():
        said.append(f"{file_name}: {what} do not count: {count:,}")
    boxes = [box for entry in table.entries.values() for box in entry.boxes]
    counts = Counter(box.class_name for box in boxes)
    said += _of_classes(table, file_name, counts, classes)
    if boxes:
        said += _of_scores(table, file_name, [box.score for box in boxes], conf)
    return said


def _of_classes(
    table: BoxesTable, file_name: str, counts: Counter[str], classes: Sequence[str] | None
) -> list[str]:
    if classes is not None:
        out = Counter({name: n for name, n in counts.items() if name not in (*classes, UNKNOWN_CLASS)})
        said = []
        if out:
            said.append(f"{file_name}: boxes left out because --classes does not name them: {_listed(out)}")
        if unknown := counts[UNKNOWN_CLASS]:
            said.append(
                f"{file_name}: boxes without a class, which count whatever --classes says: {unknown:,}"
            )
        return said
    others = Counter({name: n for name, n in counts.items() if name.casefold() in _NOT_ANIMALS})
    if not others:
        return []
    rest = sorted(name for name in table.class_names if name.casefold() not in _NO_CHOICE)
    choice = f"--classes '{','.join(rest)}'" if 0 < len(rest) <= _SHOWN else "--classes and the others"
    return [
        f"{file_name}: boxes of every class count, also {_listed(others)}; to leave these out pass {choice}"
    ]


def _of_scores(table: BoxesTable, file_name: str, scores: Sequence[float], conf: float) -> list[str]:
    usual = USUAL_CONF if table.default_conf is None else table.default_conf
    kept = sum(score >= usual for score in scores)
    if table.default_conf is not None and conf == usual:
        left_out = len(scores) - kept
        what = f"{left_out:,} of {counted(len(scores), 'box', 'boxes')} {either(left_out, 'scores', 'score')}"
        what += f" below the file's own typical threshold, {usual:g}"
        return [f"{file_name}: {what}, and {either(left_out, 'does', 'do')} not count"] if left_out else []
    lowest = min(scores)
    if conf > 0 or lowest > NEAR_ZERO:
        return []
    return [
        f"{file_name}: scores reach down to {lowest:.2g} and every box counts; "
        f"--conf {usual:g} would keep {kept:,} of {len(scores):,}"
    ]


def _listed(counts: Counter[str]) -> str:
    shown = [f"{n} {name}" for name, n in counts.most_common(_SHOWN)]
    if more := len(counts) - len(shown):
        rest = counts.total() - sum(n for _, n in counts.most_common(_SHOWN))
        shown.append(f"{rest} of {more} more classes")
    return ", ".join(shown)
