"""What a command returns."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from detic_crop.commands.in_words import (
    counts_in_words,
    dry_run_in_words,
    no_tables_in_words,
    stop_in_words,
    transitions_in_words,
    verdicts_in_words,
)
from detic_crop.config import CropConfig
from detic_crop.errors import Interrupted, Terminated
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record, files_of
from detic_crop.keywords import in_python
from detic_crop.report.agreement import Agreement
from detic_crop.report.estimate import Estimate
from detic_crop.report.sheet import SheetCrop
from detic_crop.wording import counted
from detic_crop.work.changes import Change

Result = TypeVar("Result", bound="RunResult")


@dataclass(slots=True, repr=False)
class RunResult:
    """What a run left behind. A notebook shows the counts, the most suspicious crops and links to the tables.

    Attributes:
        folder: the output folder; `folder.shown` is its path or address. Of an address the files are gone.
        config: settings as resolved.
        model_reason: why this model was chosen.
        counts: number of photos in audit.csv by status.
        failures: number of failed photos by reason.
        reviewed_whole: number of resized photos that a reviewer wanted whole.
        not_listed: number of resized photos that the boxes file does not name.
        crops: number of crops of the cropped photos.
        flagged: number of cropped photos with at least one flag.
        done: number of photos finished by this call.
        skipped: number of photos finished by an earlier call.
        remaining: number of photos of this call still to do.
        seconds: wall time of the work.
        unplaced: key → why a new crop could not be put in place; the photo keeps its earlier crop and row,
            and the next call tries again.
        stopped: empty, ``time_limit``, ``SIGINT`` or ``SIGTERM``.
        notes: sentences that a person should read.
        reported: those of `notes` that were logged before the first photo was worked on.
        transitions: after `recrop`, (old status, new status) → number of photos.
        profile: with ``profile=True``, a table of where the time went.
        memory: bytes that photos may take together, as it was told; None: half of what there is.
        estimate: what a reviewed random sample says of all crops; None without a sample.
        most_suspicious: the crops that most deserve a look, as far as the tables were written.
        dry_run: nothing was written.
        agreements: how persons who judged that sample unseen agree with the review.
        versions: package → version, of a command that writes run.json; else empty.
        started: when such a command began, ISO 8601; else empty.
    """

    folder: OutputFolder
    config: CropConfig
    model_reason: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    reviewed_whole: int = 0
    not_listed: int = 0
    crops: int = 0
    flagged: int = 0
    done: int = 0
    skipped: int = 0
    remaining: int = 0
    unplaced: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: str = ""
    notes: list[str] = field(default_factory=list)
    reported: Sequence[str] = ()
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    profile: str = ""
    memory: int | None = None
    estimate: Estimate | None = None
    agreements: Sequence[Agreement] = ()
    versions: dict[str, str] = field(default_factory=dict)
    started: str = ""
    most_suspicious: Sequence[SheetCrop] = ()
    dry_run: bool = False

    @property
    def summary(self) -> str:
        """What was done, or with ``dry_run`` would be, in one line."""
        return dry_run_in_words(self) if self.dry_run else counts_in_words(self)

    @property
    def sentences(self) -> list[str]:
        """What a person should know: how to go on, the estimate, the notes, photos that keep earlier crops.

        Options are named as keyword arguments; `notes` has them as the command line does.
        """
        estimated = () if self.estimate is None else self.estimate.sentences
        said = [
            stop_in_words(self, "make the same call"),
            no_tables_in_words(self),
            transitions_in_words(self) if self.transitions else "",
            *estimated,
            *(agreement.sentence for agreement in self.agreements),
            *self.notes,
            *(f"{key} keeps its earlier crop: {why}" for key, why in self._kept().items()),
        ]
        return [in_python(sentence) for sentence in said if sentence]

    def _kept(self) -> Mapping[str, str]:
        return self.unplaced

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.folder.shown}: {self.summary}>"

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows; None: it shows the text, for instance when the folder is gone."""
        try:
            from detic_crop.commands.in_notebook import html_of_result

            return html_of_result(self)
        except Exception:  # to look at a result never stops a notebook
            return None

    @property
    def photos_per_second(self) -> float:
        """Photos finished by this call per second of work."""
        return self.done / self.seconds if self.seconds else 0.0

    def count(self, records: Iterable[Record]) -> None:
        """Count photos by what was done with them; the records are read once through."""
        self.counts, self.failures = Counter(), Counter()
        reasons: Counter[str] = Counter()
        self.crops = 0
        for record in records:
            self.counts[record.status] += 1
            reasons[record.reason] += record.status == "resized"
            if record.status == "cropped":
                self.crops += len(files_of(record))
            self.failures[record.reason] += record.status == "failed"
        self.failures = +self.failures  # without what did not fail
        self.reviewed_whole, self.not_listed = reasons["reviewed_whole"], reasons["not_listed"]


@dataclass(slots=True, repr=False)
class ApplyResult(RunResult):
    """What `apply` did, or with ``dry_run`` would do.

    Attributes:
        changes: photos whose crop or verdict did not follow the reviewer yet.
        problems: key → why the row of that photo keeps its earlier state.
    """

    changes: list[Change] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """What was done, or with ``dry_run`` would be, in one line."""
        if self.dry_run:
            return f"dry run, nothing written: {counted(len(self.changes), 'verdict')} to apply"
        return f"{verdicts_in_words(self)}; {counts_in_words(self)}"

    def _kept(self) -> Mapping[str, str]:
        return self.problems


def unless_stopped(result: Result) -> Result:
    """Return the result; but let a signal that ended the work take its course, now that all is recorded."""
    if result.stopped == "SIGINT":
        raise Interrupted(result)
    if result.stopped in ("SIGTERM", "SIGBREAK"):
        number = signal.Signals[result.stopped]
        if signal.getsignal(number) in (signal.SIG_DFL, None):
            raise Terminated(result)
        signal.raise_signal(number)
    return result
