"""Tests that need what a machine lacks are left out by name, or fail; `make test` brings what it may."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit import programs
from tests.kit.left_out import VARIABLE
from tests.kit.processes import ROOT, posix

TESTS = """
import pytest
from tests.kit.programs import needed

@pytest.fixture(scope="module")
def office():
    return needed("LibreOffice Calc")

def test_one(office): ...
def test_two(office): ...
def test_three(): ...
"""


def ran(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_some.py").write_text(TESTS)
    plugins = ["-p", "tests.kit.left_out", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, "test_some.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": str(folder), VARIABLE: "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_they_are_named_in_the_last_lines(tmp_path: Path) -> None:
    done = ran(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2] == (
        "left out: 2 tests, since LibreOffice Calc is not installed (apt-get install --no-install-recommends "
        "libreoffice-calc-nogui): test_some.py (2)"
    )
    assert "1 passed, 2 skipped" in done.stdout.splitlines()[-1]


def test_they_fail_where_all_must_run(tmp_path: Path) -> None:
    done = ran(tmp_path, **{VARIABLE: "1"})
    assert done.returncode == 1
    assert f"left out, which {VARIABLE} forbids: LibreOffice Calc is not installed" in done.stdout
    assert "1 passed, 2 errors" in done.stdout


@posix
@pytest.mark.parametrize("works", [True, False])
def test_what_is_missing_is_brought_or_the_failure_told(
    tmp_path: Path, works: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an apt-get that notes what it is asked, and that brings a program which answers, or cannot."""
    asked = tmp_path / "asked"
    brings = f'printf "#!/bin/sh\\n" > "{tmp_path}/soffice"; /bin/chmod +x "{tmp_path}/soffice"'
    fails = 'echo "E: Unable to locate package" >&2; exit 100'
    script = f'#!/bin/sh\necho "$*" >> "{asked}"\n{brings if works else fails}\n'
    (tmp_path / "apt-get").write_text(script)
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CHROMIUM", sys.executable)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    programs.install()
    said = capsys.readouterr()
    assert said.out == "installing what tests need: libreoffice-calc-nogui (apt-get)\n"
    lines = asked.read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["update", "libreoffice-calc-nogui"]
    failed = "apt-get install libreoffice-calc-nogui failed, going on without: E: Unable to locate package\n"
    assert said.err.endswith(failed) is not works
    programs.install()
    assert len(asked.read_text().splitlines()) == (2 if works else 4)  # once it is there, nobody is asked


@posix
def test_without_root_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(programs, "_apt", lambda command: pytest.fail("asked"))
    programs.install()
