"""`detic-crop split`: folds that part no encounter, no burst and no copies."""

from __future__ import annotations

from dataclasses import dataclass, field

from detic_crop.commands.meetings import look_for_meetings
from detic_crop.commands.result import RunResult
from detic_crop.commands.settings import PathLike, require_finished
from detic_crop.commands.tables import write_report
from detic_crop.commands.told import Told
from detic_crop.config import parse_encounter
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder, open_folder
from detic_crop.folder.folds_file import Asked, save_folds
from detic_crop.folder.journal import replay
from detic_crop.folder.state import load_table_settings
from detic_crop.folder.times_file import save_times
from detic_crop.folder.whereabouts import PASS_INPUT, look_for_photos
from detic_crop.photos.labels import columns_named
from detic_crop.report.meetings import NO_ENCOUNTERS, check_encounter
from detic_crop.report.model import Audit
from detic_crop.report.splitting import Division, check_asked, divide, individual_column

_OF_FOLDER = "encounter"


@dataclass(slots=True, repr=False)
class SplitResult(Told):
    """What `split` did.

    Attributes:
        division: the folds, their sizes, and what a random split would have leaked.
        tables: the tables that were written, with their notes.
        notes: sentences that a person should read about what belongs together.
    """

    division: Division
    tables: RunResult
    notes: list[str] = field(default_factory=list)

    def lines(self, *, quiet: bool = False) -> list[str]:
        """Return the folds, what stayed together, and what a random split would have leaked."""
        if quiet:
            return []
        layout = self.tables.folder.layout
        said = dict.fromkeys([*self.tables.notes, *self.notes, *self.division.sentences])
        return [*said, f"column fold: {layout.shown_of(layout.audit_csv)}"]


def split(
    output: PathLike,
    folds: int = 5,
    *,
    by: str | None = None,
    individual: str | None = None,
    unseen: float = 0.0,
    seed: int = 0,
    input: PathLike | None = None,
    quiet: bool = True,
) -> SplitResult:
    """Give each photo of a folder that has a crop a fold, in the column ``fold`` of its tables.

    Photos of one burst, copies and near copies are in one fold, and so is all that `by` names. The
    individuals that labels name are spread over the folds. The same call gives the same folds.

    Args:
        output: the output folder of a run, or its address.
        folds: number of folds, 2 or more.
        by: what stays together, too: ``encounter`` for the encounters of the folder, or what
            ``--encounter`` takes: ``folder``, ``gap:30min``, a column of the labels; None for nothing.
        individual: column of the labels that names the individual; None takes one that is called so.
        unseen: share of the individuals to hold out; their photos get fold -1.
        seed: of the random numbers.
        input: where the photos are now, if they have moved; only asked for times that no run recorded.
        quiet: no progress bar.

    Raises:
        UsageError: there is no finished run, a value or a column does not fit, or there are fewer groups of
            photos than folds; nothing was changed.
        OutputError: it cannot be written or is in use.
    """
    check_asked(folds, unseen, seed)
    with open_folder(output) as folder:
        folder.require_run()
        with folder.locked():
            state = replay(folder.layout.journal)
            config = require_finished(state.config, folder.shown)
            audit = Audit.of(folder, state.records, config, look_for_photos(folder, state.records, input))
            column = individual_column(audit.labels, individual)
            how = _kept_together(by, folder, audit)
            meetings, times = look_for_meetings(folder, audit, how, quiet)
            name = "" if column is None or audit.labels is None else audit.labels.columns[column]
            kept = "" if how == NO_ENCOUNTERS else how
            asked = Asked(folds, kept, name, float(unseen), seed)
            division = divide(audit.photos, meetings, asked, column, folder.shown)

            if times is not None:
                save_times(folder, times)
            save_folds(folder, division.saved)
            tables = RunResult(folder, config)
            tables.notes += state.sentences()
            write_report(tables, audit, PASS_INPUT)
    return SplitResult(division, tables, meetings.notes)


def _kept_together(by: str | None, folder: OutputFolder, audit: Audit) -> str:
    """Return what is to stay together, as `config.parse_encounter` has it.

    Raises:
        UsageError: the folder has no encounters, or the labels no such column.
    """
    if by is None:
        return NO_ENCOUNTERS
    how = load_table_settings(folder).encounter if by.lower() == _OF_FOLDER else parse_encounter(by, "--by")
    if by.lower() == _OF_FOLDER and how == NO_ENCOUNTERS:
        if audit.labels is None or not columns_named(audit.labels.columns, _OF_FOLDER):
            raise UsageError(
                "no_encounters",
                f"--by encounter: {folder.shown} has no encounters; pass --by gap:30min, --by folder or --by "
                "COLUMN",
            )
        how = _OF_FOLDER
    check_encounter(how, audit.labels, "--by")
    return how
