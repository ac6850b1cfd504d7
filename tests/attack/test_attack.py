"""A seeded slice of the attacks; `python -m tests.attack --help` says how to make more of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.processes import ROOT, posix

pytestmark = [pytest.mark.slow, posix]


def attacked(*words: str, work: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.attack", *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(work)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["states", "flips", "kills", "tars", "bombs", "stories"])
def test_holds(name: str, tmp_path: Path) -> None:
    done = attacked(name, work=tmp_path)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-10_000:]


def test_every_attack_is_among_them(tmp_path: Path) -> None:
    from tests.attack.attacks import ATTACKS  # forks, and so is for POSIX only

    (parameters,) = [mark.args[1] for mark in test_holds.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert parameters == list(ATTACKS)
