"""Hostile tar files as --in: a row for each photo, or one line."""

from __future__ import annotations

from pathlib import Path

from tests.attack.commands import assert_whole, give, memory_within
from tests.attack.hostile_tars import HOSTILE, WITH_HOLES
from tests.attack.runner import Trial
from tests.kit.faults import cli_command
from tests.kit.folders import rows_of
from tests.kit.mutations import mutate

MEMORY = 500 << 20  # bytes that none may take; most take a few million


class Tars:
    """First each of those made by hand; then some of them put together, and damaged."""

    name = "tars"
    usual = len(HOSTILE) + len(WITH_HOLES) + 60

    def prepare(self, base: Path) -> None:
        (base / "boxes.csv").write_text("image,xmin,ymin,xmax,ymax\ngood.jpg,10,10,30,30\n")

    def attempt(self, trial: Trial) -> str:
        path = trial.place / "photos.tar"
        print(_write(trial, path), flush=True)
        command = cli_command(path, trial.base / "boxes.csv", size=16)
        out = trial.place / "out"
        with memory_within(MEMORY):
            ended = give(*command, "--out", out)
        if ended.error:
            return f"refused: {ended.error}"
        keys = sorted({row["image"] for row in rows_of(out)})
        assert_whole(out, keys)
        assert not give(*command, "--out", out).error
        assert_whole(out, keys)
        return "a row for each photo"


def _write(trial: Trial, path: Path) -> str:
    """Write the tar file of a trial; return what it is."""
    names = [*HOSTILE, *WITH_HOLES]
    if trial.number < len(names):
        name = names[trial.number]
        if name in HOSTILE:
            path.write_bytes(HOSTILE[name])
        else:
            before, hole, behind = WITH_HOLES[name]
            with open(path, "wb") as file:
                file.write(before)
                file.truncate(len(before) + hole)
                file.seek(0, 2)
                file.write(behind)
        return name
    parts = trial.random.sample(sorted(HOSTILE), trial.random.randint(1, 3))
    data = b"".join(HOSTILE[name][: trial.random.choice((None, -1024))] for name in parts)
    how = ""
    if trial.random.random() < 0.8:
        how, data = mutate(trial.random, data)
    path.write_bytes(data)
    return f"{', '.join(parts)}; {how}"
