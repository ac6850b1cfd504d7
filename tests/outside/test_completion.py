"""Completion in a bash that somebody types in."""

from __future__ import annotations

import os
import re
import select
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit.processes import ROOT, posix

pytestmark = [
    pytest.mark.outside,
    posix,
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed"),
]
PATIENCE = 120.0  # seconds without a word, on a machine that is very busy
TO_THE_START = "\x01"


class Bash:
    """A bash on a terminal of its own."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._unread = ""

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def until(self, pattern: str) -> re.Match[str]:
        """Return what the shell shows up to a match of a pattern."""
        while (found := re.search(pattern, self._unread)) is None:
            assert select.select([self._terminal], [], [], PATIENCE)[0], self._unread
            self._unread += os.read(self._terminal, 65536).decode(errors="replace")
        self._unread = self._unread[found.end() :]
        return found

    def completed(self, begun: str) -> list[str]:
        """Return the words of a command line once its last word was completed with Tab."""
        self.type(f"{begun}\t{TO_THE_START}printf '<%s>' {chr(13)}")
        shown = self.until(r"\n((?:\x1b\[\?2004l\r?)?<detic-crop>[^\n]*?)\x1b?\[?[?0-9hl]*ready>")[1]
        return re.findall(r"<(.*?)>", shown)


@contextmanager
def bash(folder: Path) -> Iterator[Bash]:
    """Open a bash in a folder, in which `detic-crop` is found."""
    import pty

    programs = folder / "bin"
    programs.mkdir()
    program = programs / "detic-crop"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m detic_crop "$@"\n')
    program.chmod(0o755)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "TERM": "xterm",
        "PS1": "ready>",
        "LANG": "C.UTF-8",
        "INPUTRC": "/dev/null",
    }
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.chdir(folder / "here")
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    try:
        shell = Bash(terminal)
        shell.until("ready>")
        shell.type('bind "set bell-style none"; eval "$(detic-crop completion bash)"; stty columns 200\r')
        shell.until("\n[^\n]*ready>")
        yield shell
    finally:
        os.close(terminal)
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_bash_completes_commands_paths_and_values(tmp_path: Path) -> None:
    for name in ("my photos", "cropped", "elsewhere"):
        (tmp_path / "here" / name).mkdir(parents=True)
    (tmp_path / "here" / "my table.csv").write_text("image\n")
    (tmp_path / "here" / "cropped" / "audit.csv").write_text("image,individual_id\n")
    with bash(tmp_path) as shell:
        for begun, *expected in (
            ("rev", "review"),
            ("review cr", "review", "cropped/"),
            ("review my", "review", "my photos/"),  # a table is no folder
            ("run 'my ph", "run", "my photos/"),
            ("run --labels my\\ t", "run", "--labels", "my table.csv"),
            ("run --in=my\\ p", "run", "--in=my photos/"),
            ("run x --model boxes:my\\ t", "run", "x", "--model", "boxes:my table.csv"),
            ("run x --model bo", "run", "x", "--model", "boxes:"),
            ("run x --fit sq", "run", "x", "--fit", "square"),
            ("run x --encounter gap:3", "run", "x", "--encounter", "gap:30min"),
            ("export cropped --to imagef", "export", "cropped", "--to", "imagefolder"),
            ("split cropped --individual ind", "split", "cropped", "--individual", "individual_id"),
        ):
            assert shell.completed(f"detic-crop {begun}") == ["detic-crop", *expected]
