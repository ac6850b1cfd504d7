"""The programs that tests need beside the Python packages: where they are, and how they get there.

    python -m tests.kit.programs

brings those that are missing as Debian packages, where it may (root, and apt-get); `make test` begins with
it. Whatever happens, it says so in a line and exits with 0: tests whose program is still missing are left
out, see `left_out`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Program:
    """Something that is no Python package.

    Attributes:
        package: Debian's name of it.
        find: its path, None where it is not installed.
    """

    package: str
    find: Callable[[], str | None]


def _chromium() -> str | None:
    """CHROMIUM, a browser of the system, or the one that `playwright install chromium` brought."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("CHROMIUM") or _first_that_answers(*names)
    if found is None:
        folders = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright"
        own = sorted(Path(folders).glob("chromium-*/chrome-linux*/chrome"))
        found = str(own[-1]) if own else None
    return found


def _libreoffice() -> str | None:
    return _first_that_answers("soffice", "libreoffice")


def _first_that_answers(*names: str) -> str | None:
    """Asked for its version, since Ubuntu's `chromium-browser` may be a script that only names a snap."""
    for name in names:
        if (path := shutil.which(name)) is not None:
            asked = subprocess.run(
                [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            if asked.returncode == 0:
                return path
    return None


PROGRAMS = {
    "Chromium": Program("chromium", _chromium),
    "LibreOffice Calc": Program("libreoffice-calc-nogui", _libreoffice),
}


@cache  # of a path; a missing program is looked for again
def needed(name: str) -> str:
    """The path of one of `PROGRAMS`; where it is not installed, the test that asks is left out."""
    program = PROGRAMS[name]
    path = program.find()
    if path is None:
        pytest.skip(f"{name} is not installed (apt-get install --no-install-recommends {program.package})")
    return path


def install() -> None:
    """Bring what is missing, one package after the other: one that is not to be had keeps no other away."""
    missing = [program.package for program in PROGRAMS.values() if program.find() is None]
    apt = shutil.which("apt-get")
    if not missing or apt is None or os.name != "posix" or os.geteuid() != 0:
        return  # the tests that are left out say what is missing
    print(f"installing what tests need: {', '.join(missing)} (apt-get)", flush=True)
    # A machine without network is told so soon; one whose apt is at work elsewhere is waited for.
    options = [
        "-qq",
        "-o",
        "Acquire::Retries=1",
        "-o",
        "Acquire::http::Timeout=30",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]
    _apt([apt, *options, "update"])
    for package in missing:
        _apt([apt, *options, "install", "-y", "--no-install-recommends", package])


def _apt(command: list[str]) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no word"]
        what = " ".join(word for word in command[1:] if word in ("update", "install") or word is command[-1])
        print(f"apt-get {what} failed, going on without: {said[-1]}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    install()
