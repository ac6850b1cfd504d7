"""One flipped bit in a journal or in the kept boxes: the same table, or the damage is said; never another."""

from __future__ import annotations

from pathlib import Path

from detic_crop.photos.keys import STATE
from detic_crop.report.more_columns import REMARKS
from tests.attack.commands import assert_whole, give
from tests.attack.folders import ANIMALS, Folder, Scenery, copy_of
from tests.attack.runner import Trial
from tests.kit.folders import rows_of
from tests.kit.mutations import flip_bit

FOLDERS = (
    Folder("flat", (("--labels",),)),
    Folder("reviewed", (("--labels",),), review=True),
    Folder("animals", (("--labels", *ANIMALS),), review=True),
    Folder("packed", (("--out-format", "tar", "--per-tar", "3"),)),
)
RECROP = ("--scale", "1.5")


class Flips:
    """A bit of a line is flipped, in what a run (or a recrop) goes by."""

    name = "flips"
    usual = 1000

    def prepare(self, base: Path) -> None:
        scenery = Scenery(base)
        for folder in FOLDERS:
            out = base / folder.name / "out"
            out.parent.mkdir()
            scenery.make(folder, out)
            scenery.finish(folder, out)
            assert not give("apply", out).error
            assert not give("recrop", out, "--out", base / folder.name / "recropped", *RECROP).error

    def attempt(self, trial: Trial) -> str:
        folder = trial.random.choice(FOLDERS)
        out = copy_of(trial.base, folder, trial.place)
        if trial.random.random() < 0.8:
            return self._of_journal(trial, folder, out)
        return self._of_candidates(trial, folder, out)

    def _of_journal(self, trial: Trial, folder: Folder, out: Path) -> str:
        _flip(trial, out / STATE / "journal.jsonl")
        scenery = Scenery(trial.base)
        ended = give(*scenery.command(folder.commands[0], out))
        assert_whole(out, scenery.keys)
        before = rows_of(trial.base / folder.name / "out")
        if rows_of(out) == before:
            return "journal: the same table"
        assert "damaged" in ended.said, f"another table without a word: {ended.said}"
        # The photo was cropped again, without what a reviewer said.
        assert not give("apply", out).error
        assert rows_of(out) == before
        return "journal: said, and the same table once applied"

    def _of_candidates(self, trial: Trial, folder: Folder, out: Path) -> str:
        _flip(trial, out / STATE / "candidates.jsonl")
        made = trial.place / "recropped"
        give("recrop", out, "--out", made, *RECROP)
        assert_whole(made, Scenery(trial.base).keys)
        before = rows_of(trial.base / folder.name / "recropped")
        # A column of remarks goes with the only photo that had one.
        other = [
            row
            for row, earlier in zip(rows_of(made), before, strict=True)
            if dict.fromkeys(REMARKS, "") | row != dict.fromkeys(REMARKS, "") | earlier
        ]
        assert all(row["reason"] == "no_candidates" for row in other), (
            f"another table without a word: {other}"
        )
        return "boxes: a row says that its boxes are damaged" if other else "boxes: the same table"


def _flip(trial: Trial, path: Path) -> None:
    """Flip a bit below the first line, which has the settings."""
    data = path.read_bytes()
    first = data.index(b"\n") + 1 if path.name == "journal.jsonl" else 0
    path.write_bytes(data[:first] + flip_bit(trial.random, data[first:]))
