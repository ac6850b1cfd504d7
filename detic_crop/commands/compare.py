"""`detic-crop compare`: two results for the same photos, held against each other and against the truth."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from detic_crop.commands.settings import PathLike, require_finished
from detic_crop.commands.told import Told
from detic_crop.config import SETTINGS, BoxFormat, CropConfig
from detic_crop.detectors.boxes_file import BoxesFileDetector, load_boxes_file
from detic_crop.detectors.boxes_file.sizes import SizeWH
from detic_crop.detectors.boxes_file.table import StatedFormatError
from detic_crop.detectors.vocabulary import resolve_classes
from detic_crop.errors import PhotoError, UsageError
from detic_crop.exports.target import Target, new_folder
from detic_crop.folder.folder import STATE, open_folder
from detic_crop.folder.journal import replay
from detic_crop.folder.state import load_labels, load_listing
from detic_crop.folder.verdicts import read_review, standing_verdicts
from detic_crop.folder.whereabouts import locations_now, look_for_photos
from detic_crop.photos.find import discover
from detic_crop.photos.location import NOWHERE, Location
from detic_crop.photos.photo import upright_size
from detic_crop.photos.table import Locations, Photos
from detic_crop.report.compare.comparison import Comparison, SideName, compare_sides, sentences_of
from detic_crop.report.compare.labelling import labelling_of
from detic_crop.report.compare.numbers import Numbers
from detic_crop.report.compare.photos import read_sides
from detic_crop.report.compare.sides import FileSide, FolderSide, LabelsOfSide, ReviewedSide, Side
from detic_crop.report.compare.table import table_cells
from detic_crop.report.compare.worst import worst_photos
from detic_crop.report.html.compare_page import compare_page
from detic_crop.report.rows import recorded_in_order
from detic_crop.stores.addresses import is_address, redact
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import counted, either
from detic_crop.work.progress import counting_bar

Which: TypeAlias = Literal["largest", "all"]

PAGE, TABLE, NUMBERS = "compare.html", "compare.csv", "compare.json"

_MADE_BY = "detic-crop compare"
_MOST_PICTURES = 1000


@dataclass(slots=True, repr=False)
class CompareResult(Told):
    """What `compare` found.

    Attributes:
        out: the folder with compare.html, compare.csv and compare.json.
        numbers: what the comparison comes to.
        comparison: all that the page and the table are made from.
        notes: sentences that a person should read.
    """

    out: Path
    numbers: Numbers
    comparison: Comparison
    notes: list[str] = field(default_factory=list)

    @property
    def page(self) -> Path:
        """The page."""
        return self.out / PAGE

    @property
    def table(self) -> Path:
        """The table."""
        return self.out / TABLE

    def lines(self, *, quiet: bool = False) -> list[str]:
        """Return the notes, the numbers, and where the page is."""
        if quiet:
            return []
        return [*dict.fromkeys(self.notes), *sentences_of(self.comparison), f"page: {self.page}"]


def compare(
    a: PathLike,
    b: PathLike,
    out: PathLike,
    *,
    truth: PathLike | None = None,
    input: PathLike | None = None,
    animals: Which | None = None,
    classes: str | None = None,
    conf: float | None = None,
    box_format: BoxFormat | None = None,
    label: str | None = None,
    pictures: int = 60,
    quiet: bool = True,
) -> CompareResult:
    """Compare two results for the same photos: how far they agree, and with a truth, which is better.

    Each of `a`, `b` and `truth` is the output folder of a run, or a boxes file or folder of label files in
    any format that ``--model boxes:`` reads. It writes compare.html, compare.csv and compare.json.

    Args:
        a: one result.
        b: the other.
        out: the folder that is made. An earlier comparison there is replaced if nothing else is in it.
        truth: where the animals are. Of an output folder that somebody reviewed, the reviewed photos count.
        input: where the photos are: for pictures and sizes, where no folder knows them, or they have moved.
        animals: ``largest``: the chosen box, or the largest of each photo; ``all``: every box. None: every
            box where both results and the truth have all animals: folders of ``animals="all"``, files with
            several boxes of a photo.
        classes: classes of boxes files that count, joined by commas, as ``--classes`` of a run.
        conf: lowest score of boxes files that counts; None takes what a file proposes, else all.
        box_format: ``xyxy`` or ``xywh`` for boxes files that do not say what their four numbers are.
        label: label column to group by; ``folder`` takes the photo's folder. None takes one that names the
            species.
        pictures: number of photos to show.
        quiet: no progress bar.

    Raises:
        UsageError: something cannot be read, no photo is in both, or `out` holds something else; nothing was
            written.
        OutputError: something cannot be read or written; nothing is left behind.
    """
    _check(a, b, animals, conf, pictures)
    given = [("A", a), ("B", b), *([("truth", truth)] if truth is not None else [])]
    with ExitStack() as stack:
        opened = [_open(stack, called, path, input, box_format) for called, path in given]
        sides = [side for side, _ in opened]
        _count_only(sides[:2], classes, conf)
        photos = _photos(input, sides)
        outside_of = [folder for _, folders in opened for folder in folders]
        if input is not None and os.path.isdir(input):
            outside_of.append((os.fspath(input), "the photos"))
        with new_folder(out, outside_of, command="compare", replaces=_is_earlier) as target:
            memory = MemoryBudget.of_machine()
            comparison = _compare(sides, given, photos, animals, label, memory, quiet)
            if truth is not None and _place(truth) in (_place(a), _place(b)):
                called = "A" if _place(truth) == _place(a) else "B"
                comparison = _with_note(comparison, f"the truth is {called} itself, which is so always right")
            _write(target, comparison, sides, photos, pictures, memory, quiet)
        return CompareResult(Path(os.fspath(out)), comparison.numbers, comparison, list(comparison.notes))


def _check(a: PathLike, b: PathLike, animals: str | None, conf: float | None, pictures: int) -> None:
    if _place(a) == _place(b):
        raise UsageError(
            "compared_with_itself",
            f"expected two results, got {_shown(a)} twice, which agrees with itself everywhere; pass another "
            "one as B",
        )
    if animals not in (None, "largest", "all"):
        raise UsageError("bad_value", f"--animals must be one of largest, all, got {animals}")
    SETTINGS[CropConfig]["conf"].check(conf)
    if isinstance(pictures, bool) or not isinstance(pictures, int) or not 0 <= pictures <= _MOST_PICTURES:
        raise UsageError(
            "bad_value", f"--pictures must be a whole number from 0 to {_MOST_PICTURES}, got {pictures!r}"
        )


def _place(path: PathLike) -> str:
    """Return where something is, in one spelling."""
    text = os.fspath(path)
    return text.rstrip("/") if is_address(text) else os.path.realpath(os.path.expanduser(text))


def _shown(path: PathLike) -> str:
    text = os.fspath(path)
    return redact(text) if is_address(text) else text


# --- the sides


_Opened: TypeAlias = tuple[Side, list[tuple[str, str]]]
"""A side, and the folders that the comparison must lie outside of, each with what it holds."""


def _open(
    stack: ExitStack, called: str, path: PathLike, input: PathLike | None, box_format: BoxFormat | None
) -> _Opened:
    """Open a side: an output folder, or else boxes.

    Raises:
        UsageError: it is neither, or there is no finished run.
    """
    text = os.fspath(path)
    if is_address(text) or os.path.lexists(os.path.join(text, STATE)):
        return _open_folder(stack, called, path, input)
    where = Path(os.path.expanduser(text))
    side = FileSide(_shown(path), _load_boxes(where, box_format))
    return side, [(os.fspath(where), "the labels")] if where.is_dir() else []


def _load_boxes(path: Path, box_format: BoxFormat | None) -> BoxesFileDetector:
    """Read boxes; what a file says of its four numbers itself counts."""
    try:
        return load_boxes_file(path, box_format)
    except UsageError as error:
        if box_format is None or not isinstance(error.__cause__, StatedFormatError):
            raise
    return load_boxes_file(path)


def _open_folder(stack: ExitStack, called: str, path: PathLike, input: PathLike | None) -> _Opened:
    folder = stack.enter_context(open_folder(path))
    folder.require_run()
    state = replay(folder.layout.journal)
    config = require_finished(state.config if state.records else None, folder.shown)
    listing = load_listing(folder)
    keys = recorded_in_order(state.records, listing.keys)
    table, matches = load_labels(folder)
    review = read_review(folder.layout.review)
    if input is None:
        locations = locations_now(listing, state.records, None)
    else:
        locations = look_for_photos(folder, state.records, input).locations
    kind = ReviewedSide if called == "truth" else FolderSide
    side = kind(
        folder.shown,
        state.records,
        keys,
        config,
        locations,
        None if table is None else LabelsOfSide(table, matches),
        standing_verdicts(state.records, review.last),
    )
    side.notes += [*state.sentences(), *review.sentences(folder.layout.review.name)]
    left = sum(key not in state.records for key in listing.keys)
    if left:
        side.notes.append(f"{counted(left, 'photo')} {either(left, 'is', 'are')} not done yet")
    outside_of = [(os.fspath(folder.layout.root), "the crops")]
    outside_of += [(given.where, "the photos") for given in listing.inputs if os.path.isdir(given.where)]
    return side, outside_of


def _count_only(sides: Sequence[Side], classes: str | None, conf: float | None) -> None:
    """Tell the boxes files among A and B which of their boxes count.

    Raises:
        UsageError: none of them is a boxes file, or none has one of the classes.
    """
    files = [side for side in sides if isinstance(side, FileSide)]
    for option, value in (("--classes", classes), ("--conf", conf)):
        if value is not None and not files:
            raise UsageError(
                "option_not_applicable",
                f"{option} {value} goes with boxes files, and both A and B are output folders; leave it out",
            )
    wanted = None
    if classes is not None:
        names = dict.fromkeys(name for side in files for name in side.class_names)
        wanted = resolve_classes(classes, tuple(names), " and ".join(side.given for side in files))
    for side in files:
        side.count_only(wanted, conf)


def _photos(input: PathLike | None, sides: Sequence[Side]) -> Photos | None:
    """Return the photos of ``--in`` where neither A nor B knows them itself; None where they do."""
    if input is None or any(side.has_sizes for side in sides[:2]):
        return None
    return discover(input).photos


# --- the comparison


def _compare(
    sides: Sequence[Side],
    given: Sequence[tuple[str, PathLike]],
    photos: Photos | None,
    animals: Which | None,
    label: str | None,
    memory: MemoryBudget,
    quiet: bool,
) -> Comparison:
    a, b = sides[:2]
    truth = sides[2] if len(sides) > 2 else None
    with counting_bar(0 if photos is None else len(photos), "looking", quiet or photos is None) as step:

        def size_of(row: int) -> SizeWH | None:
            assert photos is not None
            step()
            try:
                return upright_size(photos[row], memory)
            except PhotoError:  # the boxes may be pixels; the page will say what is wrong with the photo
                return None

        found = read_sides(a, b, truth, photos, None if photos is None else size_of)
    names = _names([_shown(path) for _, path in given])
    shown = [SideName(name, side.about) for name, side in zip(names, sides, strict=True)]
    notes = [line for (called, _), side in zip(given, sides, strict=True) for line in side.sentences(called)]
    said = [found.a, found.b, *([] if found.truth is None else [found.truth])]
    gives_all = all(side.gives_all(columns) for side, columns in zip(sides, said, strict=True))
    several = gives_all if animals is None else animals == "all"
    return compare_sides(
        (shown[0], shown[1], shown[2] if truth is not None else None),
        found,
        several,
        labelling_of(found.keys, sides, label),
        notes,
    )


def _with_note(comparison: Comparison, note: str) -> Comparison:
    return replace(comparison, notes=[*comparison.notes, note])


def _names(paths: Sequence[str]) -> list[str]:
    """Return the last parts of some paths, as many as tell them apart: the page may go to somebody else."""
    parts = [path.replace("\\", "/").rstrip("/").split("/") for path in paths]
    depth = 1
    while depth < max(map(len, parts)) and len({tuple(part[-depth:]) for part in parts}) < len(parts):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]


# --- what is written


def _write(
    target: Target,
    comparison: Comparison,
    sides: Sequence[Side],
    photos: Photos | None,
    pictures: int,
    memory: MemoryBudget,
    quiet: bool,
) -> None:
    given = None if photos is None else Locations(photos)

    def photo_of(key: str) -> tuple[Location, int]:
        if given is not None:
            return given[key], 0
        for side in sides:
            location = side.location(key)
            if location != NOWHERE:
                return location, side.file_size(key)
        return NOWHERE, 0

    worst = worst_photos(comparison.sides, comparison.rows, comparison.against, pictures)
    with counting_bar(sum(len(some.photos) for some in worst), "showing", quiet or not worst) as step:
        page = compare_page(comparison, worst, photo_of, memory, step)
    target.put(page, PAGE)
    target.table(
        TABLE, table_cells(comparison.sides, comparison.rows, comparison.against, comparison.labelling)
    )
    target.json(NUMBERS, {"made_by": _MADE_BY, **comparison.values()})


def _is_earlier(folder: Path) -> bool:
    """Return whether a folder holds an earlier comparison and nothing else."""
    names = {held.name for held in _files(folder)}
    if not {NUMBERS} <= names <= {PAGE, TABLE, NUMBERS}:
        return False
    try:
        told: Any = json.loads((folder / NUMBERS).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("made_by") == _MADE_BY


def _files(folder: Path) -> Iterator[Path]:
    return (held for held in folder.iterdir() if held.name != f".{folder.name}.partial")
