"""`detic-crop export`: what the next program reads, made from a finished folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from detic_crop.commands.run_json import version_of, versions_in
from detic_crop.commands.settings import PathLike, require_finished
from detic_crop.commands.tables import with_further_columns
from detic_crop.commands.told import Told
from detic_crop.errors import UsageError
from detic_crop.exports.base import BOXES, PART, PICTURES, Asked, Boxes, Export, Of, Part, Pictures
from detic_crop.exports.formats import export_named
from detic_crop.exports.job import Job
from detic_crop.exports.target import Target, new_folder
from detic_crop.folder.folder import OutputFolder, open_folder
from detic_crop.folder.journal import replay
from detic_crop.folder.state import load_listing
from detic_crop.folder.verdicts import read_review
from detic_crop.folder.whereabouts import PASS_INPUT, look_for_photos
from detic_crop.report.model import Audit
from detic_crop.report.paper import Origin, commands_of
from detic_crop.wording import counted
from detic_crop.work.progress import counting_bar


@dataclass(slots=True, repr=False)
class ExportResult(Told):
    """What `export` wrote.

    Attributes:
        to: name of the export.
        out: the folder.
        of: ``photos`` or ``crops``.
        count: number of these in it.
        left_out: why others were left out → how many.
        notes: sentences that a person should read.
        linked: number of files that are second names of files that were there.
    """

    to: str
    out: Path
    of: str
    count: int
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    linked: int = 0

    def lines(self, *, quiet: bool = False) -> list[str]:
        """Return the notes, what was left out, and in one line what was written."""
        if quiet:
            return []
        said = list(dict.fromkeys(self.notes))
        if self.left_out.total():
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.left_out.most_common())
            said.append(f"left out: {self.left_out.total():,} ({reasons})")
        linked = f" ({self.linked:,} as links)" if self.linked else ""
        return [*said, f"{self.to}: {counted(self.count, self.of[:-1])}{linked} in {self.out}"]


def export(
    output: PathLike,
    to: str,
    out: PathLike,
    *,
    input: PathLike | None = None,
    of: Of | None = None,
    boxes: Boxes | None = None,
    pictures: Pictures | None = None,
    label: str | None = None,
    individual: str | None = None,
    species: str | None = None,
    part: Part | None = None,
    test: PathLike | None = None,
    files: int | None = None,
    title: str | None = None,
    user: str | None = None,
    licence: str | None = None,
    quiet: bool = True,
) -> ExportResult:
    """Write what another program reads, from the photos and crops of a finished folder.

    A crop that was rejected is in none, and a box that was corrected in all of them.

    Args:
        output: the output folder of a run, or its address.
        to: name of the export; see ``detic-crop export --help``.
        out: the folder that is made; there may be nothing yet.
        input: where the photos are now, if they have moved.
        of: ``photos`` or ``crops``; None takes what suits the format. Each format takes some of the settings
            that follow, and refuses the others.
        boxes: ``chosen``, as corrected by review; ``all`` that were kept; ``reviewed``: of reviewed photos
            only.
        pictures: ``link``: hard links where the disk can, which share their bytes; ``copy``; ``none``.
        label: label column that names the class; ``folder`` takes the photo's folder.
        individual: label column that names the individual; None takes one that is usually called so.
        species: likewise.
        part: ``train`` or ``test``, where the consumer tells them apart by name.
        test: a second output folder, which becomes the part ``test`` beside this one.
        files: number of files, where there are several.
        title: title of the data set.
        user: name of the account to which it will be uploaded.
        licence: licence of the data set.
        quiet: no progress bar.

    Raises:
        UsageError: there is no finished run, verdicts are not applied yet, or the export cannot be made of it
            or does not know a setting; nothing was written.
        OutputError: something cannot be read or written; nothing is left behind.
    """
    kind = export_named(to)
    asked = Asked(
        of=of,
        boxes=boxes,
        pictures=pictures,
        label=label,
        individual=individual,
        species=species,
        part=part,
        test=test,
        files=files,
        title=title,
        user=user,
        licence=licence,
    )
    _check(kind, asked)
    with ExitStack() as stack:
        sources = [stack.enter_context(_source(output, input))]
        if asked.test is not None:
            sources.append(stack.enter_context(_source(asked.test, None)))
        outside_of = [held for source in sources for held in _not_inside(source.folder)]
        with new_folder(out, outside_of) as target, ExitStack() as parts:
            jobs = [
                parts.enter_context(closing(_job(kind, part, source, target, quiet)))
                for source, part in zip(sources, _parts(kind, asked, output), strict=True)
            ]
            for source, job in zip(sources, jobs, strict=True):
                _refuse_empty(kind, source.folder, job)
            for job in jobs:
                kind.write(job)
            for source, job in zip(sources, jobs, strict=True):
                _refuse_empty(kind, source.folder, job)
            kind.finish(jobs)
        result = ExportResult(to, Path(os.fspath(out)), jobs[0].of, 0, linked=target.linked)
        for source, job in zip(sources, jobs, strict=True):
            result.count += job.count
            result.left_out += job.left_out
            result.notes += [*source.notes, *_unfinished(source.folder, source.audit), *job.notes]
            result.notes += job.ambiguous_labels()
            if job.has_read and job.of == "photos":
                result.notes += source.audit.whereabouts.sentences("they are left out", PASS_INPUT)
        return result


@dataclass(frozen=True, slots=True)
class _Source:
    """A finished folder of which an export is made.

    Attributes:
        folder: the output folder.
        audit: its photos, with labels, verdicts and all columns.
        notes: sentences that a person should read.
    """

    folder: OutputFolder
    audit: Audit
    notes: list[str]


@contextmanager
def _source(output: PathLike, input: PathLike | None) -> Iterator[_Source]:
    """Open a folder and read what it knows.

    Raises:
        UsageError: there is no finished run, or verdicts are not applied yet.
    """
    with open_folder(output) as folder:
        folder.require_run()
        state = replay(folder.layout.journal)
        config = require_finished(state.config if state.records else None, folder.shown)
        audit = Audit.of(folder, state.records, config, look_for_photos(folder, state.records, input))
        _refuse_waiting(audit, folder)
        notes = [*state.sentences(), *audit.damage]
        audit, _ = with_further_columns(folder, audit, notes)
        yield _Source(folder, audit, notes)


def _parts(kind: Export, wanted: Asked, output: PathLike) -> list[Asked]:
    """Return what is asked for of the folder, and of that of ``--test``."""
    if wanted.test is None:
        return [wanted]
    if os.path.realpath(wanted.test) == os.path.realpath(output):
        raise UsageError(
            "test_is_train",
            f"--test {os.fspath(wanted.test)} is the folder of the part train itself, and what is trained on "
            "says nothing as a test; pass another",
        )
    if wanted.part == "test":
        raise UsageError(
            "option_not_applicable",
            f"--part test does not apply to --to {kind.name} with --test {os.fspath(wanted.test)}, which is "
            "that part; leave it out",
        )
    return [replace(wanted, part="train"), wanted.of_test]


def _job(kind: Export, wanted: Asked, source: _Source, target: Target, quiet: bool) -> Job:
    folder, audit = source.folder, source.audit
    origin = Origin(
        commands_of(audit.config, audit.inputs, audit.labels),
        {},
        versions_in(folder),
        version_of("detic-crop"),
    )
    return Job(
        kind, wanted, folder, audit, target, origin, lambda total, doing: counting_bar(total, doing, quiet)
    )


def _refuse_empty(kind: Export, folder: OutputFolder, job: Job) -> None:
    """Refuse an export without any picture: there is none, or none that can be read.

    Raises:
        UsageError: there is none; says why.
    """
    if not job.count:
        why = ", ".join(f"{reason} {count}" for reason, count in job.left_out.items())
        moved = job.has_read and job.of == "photos"
        hint = "; pass --in FOLDER if the photos have moved" if moved else ""
        raise UsageError(
            "nothing_to_export",
            f"--to {kind.name}: nothing of {folder.shown} is left to export ({why}){hint}",
        )


_CHOICES: dict[str, Sequence[str]] = {"boxes": BOXES, "pictures": PICTURES, "part": PART}


def _check(kind: Export, asked: Asked) -> None:
    """Check what an export is asked for.

    Raises:
        UsageError: this export does not know one of the settings, or it has no such value.
    """
    takes = set(kind.takes) | ({"of"} if len(kind.of) > 1 else set())
    for name in (of_asked.name for of_asked in fields(Asked)):
        value = getattr(asked, name)
        if value is None:
            continue
        if name not in takes and not (name == "of" and value in kind.of):
            have = ", ".join(f"--{taken}" for taken in sorted(takes)) or "none"
            raise UsageError(
                "option_not_applicable",
                f"--{name} {value} does not apply to --to {kind.name} (of such options it takes: {have}); "
                "leave it out",
            )
        choices: Sequence[str] | None = kind.of if name == "of" else _CHOICES.get(name)
        if choices is not None and value not in choices:
            raise UsageError("bad_value", f"--{name} must be one of {', '.join(choices)}, got {value}")
        if name == "files" and (not isinstance(value, int) or value < 1):
            raise UsageError("bad_value", f"--files must be a whole number of at least 1, got {value}")


def _refuse_waiting(audit: Audit, folder: OutputFolder) -> None:
    """Refuse a folder in which crops do not follow the last verdicts.

    Raises:
        UsageError: there are verdicts to apply.
    """
    photos = audit.photos
    keys = {key for key in audit.verdicts if key in photos and photos[key].is_waiting}
    for key, last in read_review(folder.layout.review).last.items():
        if key in photos and photos[key].record.viewpoint != last.viewpoint:
            keys.add(key)
    if waiting := len(keys):
        raise UsageError(
            "verdicts_wait",
            f"{counted(waiting, 'verdict waits', 'verdicts wait')} to be applied, so crops and boxes would "
            f"be those of before the review; run: detic-crop apply {folder.layout.quoted}",
        )


def _not_inside(folder: OutputFolder) -> Iterator[tuple[str, str]]:
    """Yield the folders that an export must lie outside of."""
    yield os.fspath(folder.layout.root), "the crops"
    for given in load_listing(folder).inputs:
        if given.where and os.path.isdir(given.where):
            yield given.where, "the photos"


def _unfinished(folder: OutputFolder, audit: Audit) -> list[str]:
    """Return how much the run has not done yet, in a sentence."""
    if audit.labels is not None:  # photos that they do not name were not asked for
        left, one, several = len(audit.labels.rows) - len(audit.rows), "label row is", "label rows are"
        what = f"{counted(left, one, several)} of photos that are not done yet, which are left out"
    else:
        done = audit.photos
        left = sum(key not in done for key in load_listing(folder).keys)
        what = f"{counted(left, 'photo is', 'photos are')} not done yet and left out"
    return [what] if left else []
