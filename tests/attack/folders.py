"""Small output folders of every kind, and how a person ends what was begun in one."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detic_crop.photos.keys import STATE
from tests.attack.commands import Ended, give
from tests.kit.faults import cli_command
from tests.kit.photos import write_boxes, write_photo, write_photos
from tests.kit.verdicts import give_verdicts


@dataclass(frozen=True)
class Folder:
    """An output folder as commands made it.

    Attributes:
        name: of the folder.
        commands: those that made it, without ``--out``; the same finish it.
        review: whether verdicts were given, and some of them applied.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    review: bool = False


SHARDS: tuple[tuple[str, ...], ...] = (("--shard", "0/2"), ("--shard", "1/2"))
MERGE: tuple[str, ...] = ("merge",)
ANIMALS = ("--animals", "all", "--not-found", "skip")
FOLDERS = (
    Folder("plain", (("--labels",),), review=True),
    Folder("tar", (("--labels", "--out-format", "tar", "--per-tar", "3"),), review=True),
    Folder("animals", (("--labels", *ANIMALS),), review=True),
    Folder("animals in tars", ((*ANIMALS, "--out-format", "tar", "--per-tar", "3"),), review=True),
    Folder("stopped", (("--limit", "4"),)),
    Folder("shards", SHARDS),
    Folder("merged", (*SHARDS, MERGE), review=True),
)


@dataclass
class Scenery:
    """The photos and output folders that all trials start from.

    Args:
        base: folder that holds them.
    """

    base: Path
    keys: list[str] = field(init=False)

    def __post_init__(self) -> None:
        photos = self.base / "in"
        if not photos.exists():
            write_photos(photos, 6)
            write_photo(photos / "photo000.png", 9)
            (photos / "text.jpg").write_bytes(b"no photo")
        self.keys = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.*"))
        self._boxes = self.base / "boxes.csv"
        self._labels = self.base / "labels.csv"
        if not self._boxes.exists():
            write_boxes(self._boxes, self.keys)
            with open(self._labels, "w", newline="", encoding="utf-8") as file:
                rows = [(key, f"id{number % 3}") for number, key in enumerate(self.keys)]
                csv.writer(file).writerows([("image", "individual"), *rows])

    def command(self, words: Sequence[str], out: Path, *more: str) -> list[str]:
        """Return a command of a `Folder` as the command line takes it."""
        if tuple(words) == MERGE:
            return ["merge", str(out), "--quiet"]
        run = [word for word in cli_command(self.base / "in", self._boxes, size=16) if word != "--quiet"]
        words = [
            word
            for given in words
            for word in ((given, str(self._labels)) if given == "--labels" else (given,))
        ]
        return [*run, "--workers", "1", *words, *more, "--out", str(out)]

    def make(self, folder: Folder, out: Path) -> None:
        """Make an output folder that does not exist."""
        for words in folder.commands:
            assert not give(*self.command(words, out)).error
        if not folder.review:
            return
        give_verdicts(out, dict(zip(self.keys, ("boxes", "whole", "rejected", "accepted"), strict=False)))
        assert not give("apply", out, "--quiet").error
        assert not give("audit", out, "--sample", "10").error
        give_verdicts(out, dict(zip(self.keys, ("undone", "rejected", "box", "note"), strict=False)))

    def finish(self, folder: Folder, out: Path) -> tuple[Path, str]:
        """Give the commands again; do what their messages say until they succeed.

        Returns:
            The folder with the result, and what had to be done to get it.

        Raises:
            AssertionError: doing what the messages say does not help.
        """
        cure = _Cure(self, folder, out)
        for words in folder.commands:
            cure.carry_out(words)
        if folder.commands == SHARDS:
            cure.carry_out(MERGE)
        return cure.out, ", ".join(cure.done) or "went on"


class _Cure:
    """What a person who reads the messages does."""

    def __init__(self, scenery: Scenery, folder: Folder, out: Path) -> None:
        self.out = out
        self.done: list[str] = []
        self._scenery, self._folder = scenery, folder
        self._options: list[str] = []

    def carry_out(self, words: Sequence[str]) -> None:
        for _ in range(5):
            options = [] if tuple(words) == MERGE else self._options
            ended = give(*self._scenery.command(words, self.out, *options))
            if not ended.code:
                return
            self._follow(ended)
            self.done.append(f"{ended.error} cured")
        raise AssertionError(f"no cure helps: {ended.said}")

    def _follow(self, ended: Ended) -> None:
        said = ended.said
        if damaged := re.search(r"(/\S+) is damaged; delete it", said):
            Path(damaged[1]).unlink()
        elif strange := re.search(r"(/\S+) .*(move it away|remove it|remove the link)", said):
            Path(strange[1]).rename(self.out.parent / f"aside{len(self.done)}")
        elif "--discard-review" in said:
            self._options.append("--discard-review")
        elif "--overwrite" in said:
            self._options.append("--overwrite")
        elif "of that shard again" in said or "of all shards again" in said or "their commands again" in said:
            for words in SHARDS:
                self.carry_out(words)
        elif "another --out" in said:
            self.out = self.out.parent / "another"
            for words in self._folder.commands:
                self.carry_out(words)
        else:
            raise AssertionError(f"no cure in: {said}")


def copy_of(base: Path, folder: Folder, place: Path) -> Path:
    """Return a copy of an output folder, in `place`."""
    return shutil.copytree(base / folder.name / "out", place / "out", symlinks=True)


def state_files(out: Path) -> list[Path]:
    """Return the files that an output folder is gone on with by, not those that are pictures."""
    found = [path for path in (out / STATE).rglob("*") if path.is_file() and "rejected" not in path.parts]
    return sorted([*found, out / "run.json"] if (out / "run.json").exists() else found)
