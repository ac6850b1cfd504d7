"""Commands in any order, some of them killed, while photos and verdicts come and change.

Whatever the order was, in the end every photo has the row and the crop that it would have in a new folder,
with the verdicts that still stand.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from detic_crop.photos.keys import STATE
from tests.attack.commands import assert_whole, give
from tests.attack.killer import Killer
from tests.attack.runner import Trial, in_child
from tests.kit.faults import cli_command
from tests.kit.folders import TABLES, animals_of, crops_in, leftovers, product, records_of, rows_of, samples
from tests.kit.photos import write_boxes, write_photo, write_photos
from tests.kit.verdicts import give_verdicts

VERDICTS = ("accepted", "whole", "box", "boxes", "rejected", "unsure", "note", "undone")
SHARDS = (("--shard", "0/2"), ("--shard", "1/2"))
TARS = ("--out-format", "tar", "--per-tar", "3")
ANIMALS = ("--animals", "all", "--not-found", "skip")
MOST_CALLS = 900
"""Calls that change a file, of a command that is not killed; most have fewer."""


@dataclass
class Story:
    """What has happened so far.

    Attributes:
        random: what decides how it goes on.
        place: folder of everything.
        out: the output folder.
        options: of every run.
        verdicts: photo → the last verdict on it, if it was not taken back.
        changed: photos that have changed since they were last cropped.
        told: what was done.
    """

    random: random.Random
    place: Path
    out: Path
    options: tuple[str, ...]
    verdicts: dict[str, str] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)

    @property
    def photos(self) -> Path:
        """Folder of the photos."""
        return self.place / "in"

    @property
    def keys(self) -> list[str]:
        """The photos that are there now."""
        return sorted(path.relative_to(self.photos).as_posix() for path in self.photos.rglob("*.*"))

    def run(self, *more: str) -> list[str]:
        """Return the command of a run."""
        command = cli_command(self.photos, self.place / "boxes.csv", size=16)
        return [*command, "--out", str(self.out), *self.options, *more]

    # ------------------------------------------------------------ commands

    def command(self, *words: str) -> bool:
        """Give a command, perhaps killed; return whether it did all of its work."""
        at = self.random.randint(1, MOST_CALLS) if self.random.random() < 0.4 else 0
        self.told.append(f"{' '.join(words)}{f' (killed at {at})' if at else ''}")
        print(self.told[-1], flush=True)

        def carried_out() -> int:
            Killer(at).install()
            return give(*words).code

        code = in_child(carried_out)
        assert code in (0, 1, 2, -signal.SIGKILL), f"exit {code}"
        return code == 0

    def go_on(self) -> None:
        """The same run again."""
        workers = str(self.random.choice((1, 2)))
        if self.command(*self.run("--workers", workers)):
            self._cropped()

    def share(self) -> None:
        """The two shards of a run, and their merge."""
        done = [self.command(*self.run("--workers", "1", *shard)) for shard in SHARDS]
        if all(done) and self.command("merge", str(self.out), "--quiet"):
            self._cropped()

    def merge(self) -> None:
        """Perhaps there is something to merge."""
        self.command("merge", str(self.out), "--quiet")

    def apply(self) -> None:
        """Let the crops follow the verdicts."""
        self.command("apply", str(self.out), "--quiet")

    def audit(self) -> None:
        """Only the tables."""
        more = self.random.choice(((), ("--sample", "10"), ("--xlsx",), ("--manifest",)))
        self.command("audit", str(self.out), *more)

    def recrop(self) -> None:
        """Another folder from this one, which it must not touch."""
        before = product(self.out)
        other = self.random.choice((("--scale", "1.5"), ("--animals", "all"), ("--animals", "largest")))
        self.command("recrop", str(self.out), "--out", str(self.place / "other"), *other, "--quiet")
        assert product(self.out) == before
        shutil.rmtree(self.place / "other", ignore_errors=True)

    def begin_again(self) -> None:
        """Everything anew, without what reviewers said."""
        again = self.run("--workers", "1", "--overwrite", "--discard-review")
        while not self.command(*again):
            assert "killed" in self.told[-1]
        self.verdicts.clear()
        self._cropped()

    def _cropped(self) -> None:
        for key in self.changed:
            self.verdicts.pop(key, None)
        self.changed.clear()

    # ------------------------------------------------------------ what people do meanwhile

    def judge(self) -> None:
        """Verdicts on some photos that have crops."""
        if not (self.out / "audit.csv").exists():
            return
        able = [row["image"] for row in rows_of(self.out) if row["status"] != "failed"]
        able = sorted(set(able) & set(self.keys) - self.changed)
        given = {key: self.random.choice(VERDICTS) for key in self.random.sample(able, min(2, len(able)))}
        print("verdicts", given, flush=True)
        give_verdicts(self.out, given)
        self.verdicts |= given
        for key in [key for key, verdict in given.items() if verdict == "undone"]:
            del self.verdicts[key]

    def change_photo(self) -> None:
        """Another picture, or none any more."""
        key = self.random.choice(self.keys)
        print("changed", key, flush=True)
        if self.random.random() < 0.3:
            (self.photos / key).write_bytes(b"broken" * self.random.randint(1, 9))
        else:
            write_photo(self.photos / key, self.random.randint(100, 10**6))
        self.changed.add(key)

    def add_photo(self) -> None:
        """A new one, perhaps beside one of its name."""
        key = self.random.choice(("new.jpg", "new.png", "day1/new.jpg", "photo000.webp", "PHOTO000.jpg"))
        if not (self.photos / key).exists():
            print("added", key, flush=True)
            write_photo(self.photos / key, self.random.randint(100, 10**6))
            self.changed.add(key)

    def lose_crop(self) -> None:
        """One is removed or cut."""
        crops = sorted(product(self.out).keys() - set(TABLES))
        if crops and "tar" not in self.options:  # shards do not make another's tar file again
            name = self.random.choice(crops)
            print("lost", name, flush=True)
            path = self.out / name
            path.write_bytes(path.read_bytes()[: self.random.choice((-7, 0, 300))])

    def move(self) -> None:
        """The output folder gets another name."""
        if self.out.exists():
            self.out = self.out.rename(self.place / f"out{len(self.told)}")
            print("moved to", self.out, flush=True)


STEPS: tuple[Callable[[Story], None], ...] = (
    *(Story.go_on, Story.go_on, Story.go_on, Story.share, Story.merge, Story.apply, Story.apply),
    *(Story.audit, Story.recrop, Story.begin_again, Story.judge, Story.judge, Story.judge),
    *(Story.change_photo, Story.add_photo, Story.lose_crop, Story.move),
)


class Stories:
    """Some steps, and then a run and an `apply` that are not killed."""

    name = "stories"
    usual = 40

    def prepare(self, base: Path) -> None:
        keys = write_photos(base / "in", 5)
        added = ["new.jpg", "new.png", "day1/new.jpg", "photo000.webp", "PHOTO000.jpg"]
        write_boxes(base / "boxes.csv", [*keys, *added])

    def attempt(self, trial: Trial) -> str:
        options = (*trial.random.choice(((), (), TARS)), *trial.random.choice(((), ANIMALS)))
        story = Story(trial.random, trial.place, trial.place / "out", options)
        shutil.copytree(trial.base, trial.place, dirs_exist_ok=True)
        story.go_on()
        for _ in range(trial.random.randint(3, 9)):
            trial.random.choice(STEPS)(story)
        _end(story)
        _assert_as_new(story)
        kills = sum("killed" in told for told in story.told)
        form = f"{'tars' if 'tar' in options else 'files'}{' of all animals' if 'all' in options else ''}"
        return f"{form}, {min(kills, 3)}{'+' * (kills > 2)} killed"


def _end(story: Story) -> None:
    """Give the commands that finish, as their messages say."""
    for _ in range(4):
        ended = give(*story.run("--workers", "1"))
        if not ended.error:
            break
        assert ended.error in ("not_merged", "merge_cut_off"), ended.said
        while (merged := give("merge", story.out, "--quiet")).error:
            assert merged.error in ("shards_not_done", "shards_not_listed", "other_input"), merged.said
            for shard in SHARDS:
                assert not give(*story.run("--workers", "1", *shard)).error
    assert not ended.error, ended.said
    story._cropped()
    assert not give("apply", story.out, "--quiet").error


def _assert_as_new(story: Story) -> None:
    """The folder is as a new one would be; but crops keep the names that they got first."""
    made, keys = _content(story.out), story.keys
    assert_whole(story.out, keys)
    assert leftovers(story.out) == []
    assert not (story.out / STATE / "pending").exists()
    assert not give("audit", story.out, "--manifest").error
    verified = give("verify", story.out)
    assert verified.code == 0, verified.said
    story.out = story.place / "new"
    assert not give(*story.run("--workers", "1")).error
    give_verdicts(story.out, story.verdicts)
    assert not give("apply", story.out, "--quiet").error
    expected = _content(story.out)
    assert made.keys() == expected.keys()
    for key, (row, crop) in expected.items():
        assert made[key][0] == row
        assert made[key][1] == crop, key


def _content(out: Path) -> dict[str, tuple[list[dict[str, str]], list[bytes]]]:
    """Photo → its rows in the tables, but for the names of its crops, and the crops.

    Raises:
        AssertionError: there are other crops, too.
    """
    files = {name: data for name, data in product(out).items() if name not in TABLES}
    if any(name.endswith(".tar") for name in files):
        files = {name: data for name, (data, _) in samples(out).items()}
    rows = {row["image"]: [row | {"crop": ""}] for row in rows_of(out)}
    for row in animals_of(out) if (out / "animals.csv").exists() else ():
        rows[row["image"]].append(row | {"crop": ""})
    crops = {key: [files.pop(file.name) for file in crops_in(records_of(out)[key])] for key in rows}
    assert not files, f"crops of nobody: {sorted(files)}"
    return {key: (rows[key], crops[key]) for key in rows}
