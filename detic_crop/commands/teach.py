"""`detic-crop teach`: the embedded detector learns from what reviewers said."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

import detic_crop
from detic_crop.commands.settings import PathLike, require_finished
from detic_crop.commands.told import Told
from detic_crop.config import DEFAULT_MAX_PIXELS, CropConfig, RunOptions
from detic_crop.errors import PhotoError, UsageError
from detic_crop.folder.folder import OutputFolder, open_on_disk
from detic_crop.folder.journal import replay
from detic_crop.folder.records import Record
from detic_crop.folder.state import load_labels
from detic_crop.folder.truths import Source, Truth, truths_of
from detic_crop.folder.verdicts import latest_decisions, read_review
from detic_crop.folder.whereabouts import Whereabouts, look_for_photos
from detic_crop.photos.photo import Photo
from detic_crop.report.groups import encounters
from detic_crop.stores.addresses import is_address
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import counted, typed
from detic_crop.work.changes import why_not_croppable
from detic_crop.work.progress import counting_bar

if TYPE_CHECKING:
    from detic_crop.detectors.lite.judging import CrossValidation, Figures, Grade
    from detic_crop.detectors.lite.teaching import Lesson, Pupil

LEAST_BOXES = 5
"""Photos with an animal from which it is worth teaching at all."""
MOST_LESSONS = 500
"""Photos that are taken; each takes a megabyte of memory and two seconds."""
_LEAST_GROUPS = 2
"""Groups with an animal that can be left out in turn."""
_RUNS = 5
"""Runs of neighbouring names that stand for groups, where there are none."""

GroupedBy: TypeAlias = Literal["encounter", "folder", "name"]


@dataclass(slots=True, repr=False)
class TeachResult(Told):
    """What `teach` measured and did.

    Attributes:
        before: figures of the detector as it was shipped, on the photos of the lessons.
        after: figures of the taught one, each photo answered by one that was taught without its group.
        corrected_before, corrected_after: the same of the photos whose box a person picked or drew.
        sources: number of lessons by what was said: ``accepted``, ``corrected`` or ``empty``.
        groups: number of groups; photos of one were left out together.
        grouped_by: what makes a group: an ``encounter`` of the labels, a ``folder``, or neighbours by
            ``name``.
        strength: how much the lessons count against the shipped weights; 0: not at all.
        helps: whether teaching makes it better, by more than chance.
        conf: lowest score of a box that counts, in all figures.
        written: the file; None if none was written.
        sha256: hash of that file; empty without one.
        left_out: key → why a photo with a verdict is no lesson.
        notes: sentences that a person should read.
        out: the file as it was named.
    """

    before: Figures
    after: Figures
    corrected_before: Figures
    corrected_after: Figures
    sources: Counter[Source]
    groups: int
    grouped_by: GroupedBy
    strength: float
    helps: bool
    conf: float
    written: Path | None = None
    sha256: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    out: str = ""

    def lines(self, *, quiet: bool = False) -> list[str]:
        """Return what was taught, how good it is before and after, and what to do; `quiet`: if it helps."""
        said = [] if quiet else [*self.notes, *self._measured()]
        if not self.helps:
            so = "written all the same (--force)" if self.written else "nothing was written"
            said.append(f"on these photos teaching does not help: {so}; review more photos, then teach again")
        if self.written:
            model = typed(f"lite:{self.out}")
            said.append(f"wrote {self.out}; now run: detic-crop run --in PHOTOS --out FOLDER --model {model}")
        return said

    def _measured(self) -> list[str]:
        sources = self.sources
        animals = sources["accepted"] + sources["corrected"]
        return [
            f"taught from {counted(sources.total(), 'photo')}: {animals:,} with an animal "
            f"({sources['corrected']:,} with a box that you picked or drew), {sources['empty']:,} without",
            *_figures_table(self),
            f"measured on photos that were left out, by {self.grouped_by} "
            f"({counted(self.groups, 'group')}); a box counts from --conf {self.conf:g}",
        ]


def teach(
    output: PathLike,
    out: PathLike,
    *,
    input: PathLike | None = None,
    force: bool = False,
    memory: int | None = None,
    quiet: bool = False,
) -> TeachResult:
    """Teach `lite` what reviewers said of a folder's photos, if that makes it better on others like them.

    That is measured by cross-validation: photos of one encounter or folder are answered by a detector that
    was taught from the others. Nothing is written if that is no better than what was shipped, nor before the
    end.

    Args:
        output: the output folder of a run with verdicts.
        out: the file for ``--model lite:FILE``; one of an earlier call is replaced.
        input: where the photos are now, if they have moved.
        force: write it even if it does not help.
        memory: see `RunOptions`; a photo that needs more is left out.
        quiet: no progress bar.

    Raises:
        UsageError: there are no verdicts, or too few; `out` is a file of another kind.
        OutputError: `out` cannot be written.
        WeightsError: the weights of `lite` are missing or damaged.
    """
    options = RunOptions(memory=memory, quiet=quiet)
    with open_on_disk(output, "teach") as folder:
        folder.require_run()
        target = _target(out)
        look = _look(folder, input)
        _refuse_few(look.truths, look.left_out, folder.shown)

        from detic_crop.detectors.lite.teaching import STRENGTHS, Pupil

        pupil = Pupil()
        truths, lessons = _learn(pupil, look, options)
        _refuse_few(truths, look.left_out, folder.shown)
        groups, grouped_by = groups_of(truths, encounters(*load_labels(folder)))
        measured, conf = _judge(pupil, truths, lessons, groups, options.quiet)
        if force and not measured.strength:  # the figures shall be those of what is written
            measured = replace(measured, after=measured.weakest, strength=STRENGTHS[1], gain=0.0)
        result = _result(truths, groups, grouped_by, measured, conf)
        result.left_out, result.out = look.left_out, os.fspath(out)
        result.notes = [*look.notes, *_notes(result)]
        if result.helps or force:
            heads = pupil.fit(lessons, result.strength)
            result.sha256 = pupil.save(heads, target, _about(result))
            result.written = target
    return result


class _Look(NamedTuple):
    """What a look at the folder found.

    Attributes:
        config: settings of the run.
        records: last record of each photo, by key.
        truths: what reviewers said.
        whereabouts: where the photos are.
        left_out: key → why a photo with a verdict is no lesson.
        notes: sentences that a person should read.
    """

    config: CropConfig
    records: Mapping[str, Record]
    truths: list[Truth]
    whereabouts: Whereabouts
    left_out: dict[str, str]
    notes: list[str]


def _look(folder: OutputFolder, input: PathLike | None) -> _Look:
    state = replay(folder.layout.journal)
    config = require_finished(state.config, folder.shown)
    review = read_review(folder.layout.review)
    truths, left_out = truths_of(state.records, latest_decisions(state.records, review.last))
    if not truths and not left_out:
        raise UsageError(
            "no_verdicts",
            f"{folder.shown} has no verdicts to teach from; run `detic-crop review`, judge a hundred "
            "photos or so, then teach",
        )
    whereabouts = look_for_photos(folder, state.records, input)
    notes = [
        *state.sentences(),
        *review.sentences(folder.layout.shown_of(folder.layout.review)),
        *whereabouts.sentences("they cannot be taught from"),
    ]
    if config.model.startswith("lite:"):
        notes.append(
            f"{folder.shown} was made with {config.model}, but teaching begins with lite as it was shipped: "
            "what that file learnt from other photos is not in the new one; to keep it, review those photos "
            "in this folder, too (`detic-crop run --add`)"
        )
    if len(truths) > MOST_LESSONS:
        notes.append(
            f"photos with verdicts: {len(truths):,}; {MOST_LESSONS:,} of them, evenly spread, are taken"
        )
        truths = [truths[i * len(truths) // MOST_LESSONS] for i in range(MOST_LESSONS)]
    return _Look(config, state.records, truths, whereabouts, left_out, notes)


def _target(out: PathLike) -> Path:
    """Return where the file goes.

    Raises:
        UsageError: there is no such folder, or something is there that `teach` has not written.
        OutputError: no file can be made there.
    """
    given = os.fspath(out)
    if is_address(given):
        raise UsageError(
            "needs_disk",
            f"teach needs --out on a disk, got {given}; copy the file there afterwards",
            out="out",
        )
    target = Path(os.path.realpath(os.path.expanduser(given)))
    if not os.path.isdir(target.parent):
        raise UsageError(
            "no_folder_for_out",
            f"--out {given}: there is no folder {target.parent}; make it, or pass another --out",
            out="out",
        )
    from detic_crop.detectors.lite.taught_file import is_taught_file, require_writable

    if os.path.lexists(target):
        try:
            is_ours = target.is_file() and is_taught_file(target)
        except OSError:
            is_ours = False
        if not is_ours:
            raise UsageError(
                "out_is_not_taught",
                f"--out {given} exists and was not written by `detic-crop teach`, so it is left as it is; "
                "pass another --out",
                out="out",
            )
    require_writable(target)  # now, rather than after all the work
    return target


def _refuse_few(truths: Sequence[Truth], left_out: Mapping[str, str], shown: str) -> None:
    boxes = sum(truth.box is not None for truth in truths)
    if boxes >= LEAST_BOXES:
        return
    why = next(iter(left_out.items()), None)
    others = (
        "" if why is None else f" ({counted(len(left_out), 'photo')} left out, the first: {why[0]}: {why[1]})"
    )
    what_to_do = "see to those" if boxes + len(left_out) >= LEAST_BOXES else "review more"
    raise UsageError(
        "too_few_lessons",
        f"expected at least {LEAST_BOXES} photos of {shown} with a box that a reviewer accepted, picked or "
        f"drew, got {boxes}{others}; {what_to_do}, then teach",
    )


def _learn(pupil: Pupil, look: _Look, options: RunOptions) -> tuple[list[Truth], list[Lesson]]:
    """Look at the photos, one at a time; those that cannot be read are noted in `look.left_out`."""
    truths, lessons = [], []
    with counting_bar(len(look.truths), "looking", options.quiet) as step:
        for seed, truth in enumerate(look.truths):
            try:
                lessons.append(pupil.look_at(_pixels(truth, look, options.memory), truth.box, seed))
                truths.append(truth)
            except PhotoError as error:
                look.left_out[truth.image] = error.message
            step()
    return truths, lessons


def _pixels(truth: Truth, look: _Look, memory: int | None) -> NDArray[np.uint8]:
    """Return the upright photo.

    Raises:
        PhotoError: it cannot be read, or is not the one that was reviewed.
    """
    record, location = look.records[truth.image], look.whereabouts.locations[truth.image]
    if why_not := why_not_croppable(record, location, moved=look.whereabouts.given):
        raise PhotoError("photo_changed", why_not)
    photo = Photo.at(truth.image, location)
    # What the run accepted is accepted again.
    max_pixels = max(DEFAULT_MAX_PIXELS, record.width * record.height)
    file = photo.open(max_pixels, look.config.truncated, MemoryBudget.of_machine(memory))
    try:
        image = file.decode().image
    finally:
        file.give_back()
    if (image.shape[1], image.shape[0]) != (record.width, record.height):
        raise PhotoError("photo_changed", "the photo has another size than in the run")
    return image


def groups_of(truths: Sequence[Truth], encounter_of: Mapping[str, str]) -> tuple[list[str], GroupedBy]:
    """Return the group of each photo, and what makes a group: what varies least within one encounter.

    Encounters where the labels name them for every photo, else folders, if there are two or more with an
    animal. Else runs of neighbouring names: a camera counts, so neighbours were taken after each other.

    Args:
        truths: what is known of the photos, by key.
        encounter_of: key → encounter.
    """
    keys = [truth.image for truth in truths]
    named: list[tuple[GroupedBy, list[str]]] = [("folder", [key.rpartition("/")[0] for key in keys])]
    if all(key in encounter_of for key in keys):
        named.insert(0, ("encounter", [encounter_of[key] for key in keys]))
    for kind, groups in named:
        animals = {group for group, truth in zip(groups, truths, strict=True) if truth.box is not None}
        if len(animals) >= _LEAST_GROUPS:
            return groups, kind
    # By animals, so that each run has some; the photos without one go with their neighbours.
    animals_before = np.cumsum([truth.box is not None for truth in truths])
    runs = (np.maximum(animals_before - 1, 0) * _RUNS) // max(int(animals_before[-1]), 1)
    return [f"run {run}" for run in runs], "name"


def _judge(
    pupil: Pupil, truths: Sequence[Truth], lessons: Sequence[Lesson], groups: Sequence[str], quiet: bool
) -> tuple[CrossValidation, float]:
    """Return what cross-validation says, and the lowest score of a box that counts."""
    from detic_crop.detectors.lite.judging import folds_of, grade, judge
    from detic_crop.detectors.lite.teaching import STRENGTHS

    folds = folds_of(groups, [truth.box is not None for truth in truths])
    conf = pupil.detector(pupil.fit((), 0.0)).info.default_conf
    with counting_bar(len(truths) * len(STRENGTHS), "judging", quiet) as step:

        def grades(taught: Sequence[int], asked: Sequence[int], strength: float) -> Iterator[Grade]:
            heads = pupil.fit([lessons[i] for i in taught], strength)
            least = pupil.detector(heads).info.default_conf
            for i in asked:
                yield grade(pupil.answer(lessons[i], heads), truths[i].box, least)
                step()

        return judge(folds, groups, STRENGTHS, grades), conf


def _result(
    truths: Sequence[Truth],
    groups: Sequence[str],
    grouped_by: GroupedBy,
    measured: CrossValidation,
    conf: float,
) -> TeachResult:
    from detic_crop.detectors.lite.judging import Figures

    def figures(grades: Sequence[Grade], source: Source | None = None) -> Figures:
        chosen = [i for i, truth in enumerate(truths) if source in (None, truth.source)]
        return Figures.of([truths[i].box for i in chosen], [grades[i] for i in chosen])

    return TeachResult(
        figures(measured.before),
        figures(measured.after),
        figures(measured.before, "corrected"),
        figures(measured.after, "corrected"),
        Counter(truth.source for truth in truths),
        len(set(groups)),
        grouped_by,
        measured.strength,
        measured.helps,
        conf,
    )


def _figures_table(result: TeachResult) -> list[str]:
    before, after = result.before, result.after
    rows = [
        ("mean IoU of the chosen box", f"{before.mean_iou:.2f}", f"{after.mean_iou:.2f}"),
        *(
            [
                (
                    "  where you picked or drew one",
                    f"{result.corrected_before.mean_iou:.2f}",
                    f"{result.corrected_after.mean_iou:.2f}",
                )
            ]
            if result.sources["corrected"]
            else []
        ),
        ("IoU of 0.5 or more", f"{before.good:.0%}", f"{after.good:.0%}"),
        ("animals found", f"{before.found:.0%}", f"{after.found:.0%}"),
    ]
    if result.sources["empty"]:
        rows.append(("false alarms", f"{before.false_alarms:.0%}", f"{after.false_alarms:.0%}"))
    return [f"{name:32}{first:>8}{second:>8}" for name, first, second in [("", "before", "after"), *rows]]


def _notes(result: TeachResult) -> list[str]:
    notes = []
    if result.grouped_by == "name":
        notes.append(
            "all photos with an animal are of one folder: runs of neighbouring names were left out in place "
            "of encounters, which flatters the figures if one encounter spans several runs"
        )
    if result.left_out:
        key, why = next(iter(result.left_out.items()))
        notes.append(
            f"photos with a verdict that were left out: {len(result.left_out):,} (the first: {key}: {why})"
        )
    if not result.sources["empty"]:
        notes.append(
            "no photo without an animal was reviewed (x, or Enter where nothing was found), so false alarms "
            "are not known and not taught"
        )
    return notes


def _about(result: TeachResult) -> dict[str, str]:
    """Return what the file says of itself: no names of photos."""
    return {
        "version": detic_crop.__version__,
        "photos": json.dumps(dict(sorted(result.sources.items()))),
        "groups": f"{result.groups} by {result.grouped_by}",
        "strength": f"{result.strength:g}",
        "before": json.dumps(asdict(result.before)),
        "after": json.dumps(asdict(result.after)),
    }
