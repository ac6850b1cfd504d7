"""Killed in the middle of a command: the same commands again end as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from detic_crop.cli import main as cli
from detic_crop.photos.keys import STATE
from tests.attack.killer import Killer, die_when_a_file_has
from tests.attack.runner import Trial, in_child
from tests.kit.faults import Scene, difficult_run, fresh, overwritten, recropped, resumed, reviewed
from tests.kit.folders import differing, leftovers, product


@dataclass(frozen=True)
class Story:
    """Commands that follow each other.

    Attributes:
        name: of its folder.
        make: makes there what it needs; returns the commands, OUT for the output folder, and what that holds
            when the first one begins.
        environment: variables of all of its commands.
    """

    name: str
    make: Callable[[Path], tuple[list[list[str]], Path | None]]
    environment: Mapping[str, str]


def _of_scene(scene: Callable[[Path], Scene]) -> Callable[[Path], tuple[list[list[str]], Path | None]]:
    def make(folder: Path) -> tuple[list[list[str]], Path | None]:
        made = scene(folder)
        named = made.command if "OUT" in made.command else [*made.command, "--out", "OUT"]
        return [named], made.base

    return make


def _shards(folder: Path) -> tuple[list[list[str]], None]:
    run = difficult_run(folder, 5)
    shards = [[*run, "--out", "OUT", "--shard", f"{index}/2"] for index in range(2)]
    return [*shards, ["merge", "OUT", "--quiet"]], None


def _sample(folder: Path) -> tuple[list[list[str]], Path]:
    ((apply,), base) = _of_scene(reviewed)(folder)
    assert base is not None
    return [apply, ["audit", "OUT", "--sample", "10", "--seed", "3", "--xlsx"]], base


TARS = {"DETIC_CROP_OUT_FORMAT": "tar", "DETIC_CROP_PER_TAR": "2"}
ANIMALS = {"DETIC_CROP_ANIMALS": "all", "DETIC_CROP_NOT_FOUND": "skip"}
FORMS = {"files": {}, "tars": TARS, "animals": ANIMALS, "animals in tars": TARS | ANIMALS}
STORIES = tuple(
    Story(f"{name} {form}", make, environment)
    for name, make in {
        "fresh": _of_scene(fresh),
        "resumed": _of_scene(resumed),
        "overwritten": _of_scene(overwritten),
        "recropped": _of_scene(recropped),
        "applied": _of_scene(reviewed),
        "shards": _shards,
        "sample": _sample,
    }.items()
    for form, environment in FORMS.items()
)


class Kills:
    """A command is killed, sometimes again when it is given again; in the end all is as without."""

    name = "kills"
    usual = 200

    def prepare(self, base: Path) -> None:
        for story in STORIES:
            os.environ.update(story.environment)
            folder = base / story.name
            folder.mkdir()
            commands, begun = story.make(folder)
            out = folder / "reference"
            if begun is not None:
                shutil.copytree(begun, out, symlinks=True)
            calls = [_counted(command, out, folder / "count") for command in commands]
            plan = {"commands": commands, "begun": begun and str(begun), "calls": calls}
            (folder / "plan.json").write_text(json.dumps(plan))
            for name in story.environment:
                del os.environ[name]

    def attempt(self, trial: Trial) -> str:
        random = trial.random
        story = random.choice(STORIES)
        os.environ.update(story.environment)
        folder, out = trial.base / story.name, trial.place / "out"
        plan = json.loads((folder / "plan.json").read_text())
        if plan["begun"]:
            shutil.copytree(plan["begun"], out, symlinks=True)
        (fated,) = random.choices(range(len(plan["calls"])), plan["calls"])
        kills = 0
        for number, command in enumerate(plan["commands"]):
            if number == fated:
                while kills < 3:
                    if not _killed(trial, _on(command, out), plan["calls"][number]):
                        break
                    kills += 1
                    if random.random() < 0.6:
                        break
            code = in_child(lambda command=command: cli.main(_on(command, out)))  # type: ignore[misc]
            assert code == 0, f"{command}: exit {code}"
        _assert_as_without(out, folder / "reference")
        return story.name if kills else f"{story.name}, not killed"


def _on(command: list[str], out: Path) -> list[str]:
    return [str(out) if word == "OUT" else word for word in command]


def _counted(command: list[str], out: Path, told: Path) -> int:
    """Give a command; return how often it can be killed."""

    def count() -> int:
        killer = Killer()
        killer.install()
        code = cli.main(_on(command, out))
        told.write_text(str(killer.count))
        return code

    assert in_child(count) == 0, command
    return int(told.read_text())


def _killed(trial: Trial, command: list[str], calls: int) -> bool:
    """Give a command that is to be killed; return False if it ended before."""
    random = trial.random
    in_a_write = random.random() < 0.3
    at = (
        random.choice((random.randrange(1, 600), random.randrange(1, 30_000)))
        if in_a_write
        else random.randint(1, calls)
    )
    print("kill", "at bytes" if in_a_write else "at call", at, command, flush=True)

    def doomed() -> int:
        if in_a_write:
            die_when_a_file_has(at)
        else:
            Killer(at).install()
        return cli.main(command)

    code = in_child(doomed)
    assert code in (0, -signal.SIGKILL, -signal.SIGXFSZ), f"exit {code}"
    return code != 0


def _assert_as_without(out: Path, reference: Path) -> None:
    made, expected = product(out), product(reference)
    for workbook in (made.pop("audit.xlsx", None), expected.pop("audit.xlsx", None)):  # holds the time
        assert workbook is None or zipfile.is_zipfile(out / "audit.xlsx")
    assert differing(made, expected) == []
    assert leftovers(out) == []
    assert not (out / STATE / "pending").exists()
