"""Damaged state files: whatever is in them, commands end in order, and the photos can be finished."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from detic_crop.errors import DeticCropError
from detic_crop.folder.folder import open_on_disk
from tests.attack.commands import assert_whole, give
from tests.attack.folders import FOLDERS, Scenery, copy_of, state_files
from tests.attack.page import look_at_all
from tests.attack.runner import Trial
from tests.kit.mutations import mutate


class States:
    """A file of `.detic-crop` or run.json is damaged; some commands follow, and then those that finish."""

    name = "states"
    usual = 500

    def prepare(self, base: Path) -> None:
        scenery = Scenery(base)
        for folder in FOLDERS:
            (base / folder.name).mkdir()
            scenery.make(folder, base / folder.name / "out")

    def attempt(self, trial: Trial) -> str:
        random = trial.random
        scenery = Scenery(trial.base)
        folder = random.choice(FOLDERS)
        out = copy_of(trial.base, folder, trial.place)
        path = random.choice(state_files(out))
        print("damage:", path.relative_to(out), _damage(trial, path))
        for _ in range(random.randrange(4)):
            commands = ("dry run", "audit", "apply", "recrop", "merge", "review", "verify")
            self._look(trial, out, random.choice(commands))
        finished, how = scenery.finish(folder, out)
        assert_whole(finished, scenery.keys[:4] if folder.name == "stopped" else scenery.keys)
        return how

    def _look(self, trial: Trial, out: Path, command: str) -> None:
        """Give a command that may do its work or be refused."""
        print("command:", command)
        if command == "dry run":
            give(*Scenery(trial.base).command((), out, "--dry-run"))
        elif command == "apply":
            give("apply", out, *trial.random.choice(((), ("--dry-run",))))
        elif command == "recrop":
            give("recrop", out, "--out", trial.place / f"recropped{trial.random.random()}", "--scale", "1.5")
        elif command == "review":
            try:
                with open_on_disk(out, "review") as folder:
                    look_at_all(folder)
            except DeticCropError as error:
                print("refused:", error.code)
        else:
            give(command, out)


def _damage(trial: Trial, path: Path) -> str:
    """Damage a file, or put something else in its place; return how."""
    kind = trial.random.random()
    if kind < 0.04:
        path.unlink()
        return "removed"
    if kind < 0.08:
        path.unlink()
        other = trial.random.choice(("folder", "pipe", "link", "loop"))
        if other == "folder":
            path.mkdir()
        elif other == "pipe":
            os.mkfifo(path)
        else:
            shutil.copy(trial.base / "boxes.csv", trial.place / "linked")
            path.symlink_to(path if other == "loop" else trial.place / "linked")
        return other
    how, data = mutate(trial.random, path.read_bytes())
    path.write_bytes(data)
    return how
