"""Progress for who sits in front of it: a bar that nothing is typed into, or one line a minute."""

from __future__ import annotations

import io
import logging
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from detic_crop.folder.records import Record
from detic_crop.system.console import Forgiving
from detic_crop.work import progress
from detic_crop.work.progress import counting_bar, progress_bar
from tests.kit.photos import write_photos
from tests.kit.processes import ROOT, posix


class Terminal(io.StringIO):
    """What a program prints to a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "detic_crop"):
        yield caplog


def screen(written: str, columns: int = 80) -> list[str]:
    """What a terminal shows in the end, line by line, where nothing but line feeds and returns move it."""
    lines = [""]
    column = 0
    for character in written:
        if character == "\n":
            lines.append("")
            column = 0
        elif character == "\r":
            column = 0
        else:
            if column == columns:
                lines.append("")
                column = 0
            lines[-1] = lines[-1][:column].ljust(column) + character + lines[-1][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


# ---------------------------------------------------------------- no terminal


def test_one_line_a_minute(
    clock: list[float], logged: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar(60_000, 0, quiet=False) as report:
        for number in range(1200):
            clock[0] += 0.2
            report(Record(str(number), "failed" if number in (3, 500) else "cropped"))
    assert len(logged.messages) == 4  # in 240 seconds
    assert logged.messages[-1] == "cropping: 1,200 of 60,000 (2 %), 5 photos/s, 3 h 16 min left, 2 failed"
    assert "\r" not in capsys.readouterr().err


def test_slow_photos_and_those_done_before(clock: list[float], logged: pytest.LogCaptureFixture) -> None:
    with progress_bar(3, 1000, quiet=False) as report:
        for number in range(3):
            clock[0] += 100
            report(Record(str(number), "cropped"))
    assert logged.messages == [
        "cropping (1,000 done before): 1 of 3 (33 %), 0.01 photos/s, 3 min left",
        "cropping (1,000 done before): 2 of 3 (66 %), 0.01 photos/s, 2 min left",
        "cropping (1,000 done before): 3 of 3 (100 %), 0.01 photos/s",
    ]


def test_where_the_log_goes_nowhere_the_line_is_printed(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logging.getLogger("detic_crop").setLevel(logging.WARNING)
    with counting_bar(2, "verifying", quiet=False) as step:
        clock[0] += 60
        step()
    logging.getLogger("detic_crop").setLevel(logging.NOTSET)
    assert stream.getvalue() == "verifying: 1 of 2 (50 %), 0.0167 photos/s, 1 min left\n"


@pytest.mark.parametrize("stream", [None, Terminal(), io.StringIO()])
def test_quiet_is_quiet(
    stream: io.StringIO | None, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(2, 0, quiet=True) as report:
        clock[0] += 100
        report(Record("a", "cropped"))
    assert stream is None or stream.getvalue() == ""


# ---------------------------------------------------------------- a terminal


@pytest.mark.parametrize("is_command", [True, False])
def test_what_is_logged_stands_above_the_bar(is_command: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    stderr = Forgiving(terminal, spell=True) if is_command else terminal
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("COLUMNS", "80")
    handler = logging.StreamHandler(cast(io.StringIO, stderr))
    logger = logging.getLogger("detic_crop.something")
    logging.getLogger("detic_crop").addHandler(handler)
    try:
        with progress_bar(10, 0, quiet=False) as report:
            report(Record("a", "failed"))
            terminal.write("^C")  # as the terminal itself does
            logger.warning("stopping")
            logger.warning("two\nlines")
            report(Record("b", "cropped"))
    finally:
        logging.getLogger("detic_crop").removeHandler(handler)
    *above, bar, end = screen(terminal.getvalue())
    assert above == ["stopping", "two", "lines"]
    assert bar.startswith("cropping:")
    assert "2/10" in bar
    assert "failed=1" in bar
    assert end == ""
    assert handler.stream is stderr


def test_half_a_line_is_not_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    stream = Forgiving(terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    with counting_bar(10, "looking", quiet=False):
        stream.write("half")
        stream.write(" and half\n")
    assert screen(terminal.getvalue())[0] == "half and half"


_INTERRUPTED_RUN = """
import signal, sys
from detic_crop.cli import main as cli
from detic_crop.commands import choose_detector
from tests.kit.detectors import FakeDetector

class Interrupted(FakeDetector):
    def detect(self, image, key=""):
        if self.calls.total() == 3:
            print("^C", end="", file=sys.__stderr__, flush=True)
            signal.raise_signal(signal.SIGINT)
        return super().detect(image, key)

choose_detector.load_detector = lambda name, device, **given: Interrupted(name=name)
sys.exit(cli.main(sys.argv[1:]))
"""


@posix
@pytest.mark.slow
@pytest.mark.parametrize("columns", [0, 15, 100])
def test_ctrl_c_on_a_terminal(columns: int, tmp_path: Path) -> None:
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
    write_photos(tmp_path / "in", 40)
    command = ["run", "--in", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--size", "32"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED_RUN, *command, "--workers", "1"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while part := _read(ours):
        written += part
    assert process.wait() == 130, written
    shown = screen(written.decode(), columns=10_000)
    assert "stopping (SIGINT) when the photos at work are finished" in shown
    assert sum(line.startswith("cropping:") for line in shown) == 1, written.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end is closed
        return b""
