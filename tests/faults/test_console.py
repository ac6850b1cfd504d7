"""Standard streams that are closed, full, gone, slow or missing end no work."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

import pytest

import detic_crop
from detic_crop.cli import main as cli
from detic_crop.system.console import Forgiving
from tests.kit.faults import cli_command
from tests.kit.folders import product, rows_of
from tests.kit.photos import write_boxes, write_damaged, write_photos
from tests.kit.processes import ROOT, posix, run_python

full_disk = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos in ``in``, their boxes, and what a run with usual streams makes of them in ``reference``."""
    folder = tmp_path_factory.mktemp("console")
    keys = write_photos(folder / "in", 6)
    write_damaged(folder / "in")
    write_boxes(folder / "boxes.csv", keys)
    assert cli.main([*command(folder), "--out", str(folder / "reference")]) == 0
    return folder


def command(place: Path) -> list[str]:
    return cli_command(place / "in", place / "boxes.csv")


# ---------------------------------------------------------------- streams that cannot be written


class Broken(io.StringIO):
    """A stream that somebody else made."""

    def write(self, text: str) -> int:
        raise RuntimeError("no console")


def _closed() -> TextIO:
    stream = io.StringIO()
    stream.close()
    return stream


def _of_a_gone_reader() -> TextIO:
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w")


def _of_a_full_disk() -> TextIO:
    return open("/dev/full", "w")


STREAMS: dict[str, Callable[[], TextIO | None]] = {
    "none": lambda: None,
    "closed": _closed,
    "broken": Broken,
    "gone": _of_a_gone_reader,
    "full": _of_a_full_disk,
}
STREAMS_HERE = [pytest.param(name, marks=full_disk) if name == "full" else name for name in STREAMS]


@contextmanager
def replaced(kind: str, *names: str) -> Iterator[None]:
    """`sys.stdout` or `sys.stderr` is such a stream."""
    with pytest.MonkeyPatch.context() as patch:
        streams = [STREAMS[kind]() for _ in names]
        for name, stream in zip(names, streams, strict=True):
            patch.setattr(sys, name, stream)
        yield
    for stream in filter(None, streams):
        with suppress(OSError):  # what is still buffered
            stream.close()


@pytest.mark.parametrize("kind", STREAMS_HERE)
@pytest.mark.parametrize("which", [("stderr",), ("stdout",), ("stdout", "stderr")])
def test_every_command_does_its_work(place: Path, tmp_path: Path, kind: str, which: tuple[str, ...]) -> None:
    out, other = str(tmp_path / "out"), str(tmp_path / "other")
    commands: list[tuple[int, list[str]]] = [
        (0, [*command(place), "--out", out]),
        (0, [*command(place), "--out", out, "--dry-run"]),
        (0, ["recrop", out, "--out", other, "--size", "16"]),
        (0, ["apply", out]),
        (0, ["audit", out]),
        (0, [*command(place), "--out", str(tmp_path / "shard"), "--shard", "0/1"]),
        (0, ["merge", str(tmp_path / "shard")]),
        (0, ["weights", "list"]),
        (0, ["--help"]),
        (0, ["--version"]),
        (2, []),
        (2, ["run", "--in", "nowhere", "--out", other]),
        (2, ["weights", "pull", "nothing"]),
    ]
    for expected, arguments in commands:
        with replaced(kind, *which):
            assert cli.main(arguments) == expected, arguments
    assert product(tmp_path / "out") == product(place / "reference")
    assert len(rows_of(tmp_path / "other")) == len(rows_of(place / "reference"))


@full_disk
def test_what_could_not_be_printed_is_said_on_the_other_stream(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for kind, said in (("full", "No space left on device"), ("gone", None), ("none", None)):
        with replaced(kind, "stdout"):
            assert cli.main(["weights", "list"]) == 0
        line = f"detic-crop: what was to be printed could not be written: {said}\n"
        assert capsys.readouterr().err == (line if said else "")


@pytest.mark.parametrize("kind", STREAMS_HERE)
def test_a_program_that_calls_us(place: Path, tmp_path: Path, kind: str) -> None:
    with replaced(kind, "stderr"):
        result = detic_crop.run(place / "in", tmp_path / "out", model=f"boxes:{place / 'boxes.csv'}", size=32)
    assert result.counts.total() == len(rows_of(place / "reference"))


@pytest.mark.slow
@posix
@pytest.mark.parametrize(
    "redirection",
    [
        "2>&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
        pytest.param(">/dev/full 2>&1", marks=full_disk),
        "2>&1 | head -c 30 >&2",
        "2>&1 | exit",
    ],
)
def test_a_process_of_its_own(place: Path, tmp_path: Path, redirection: str) -> None:
    """As a shell or a job manager starts it: nothing of the interpreter's end fails either."""
    shell = f'set -o pipefail; "$0" -m detic_crop "$@" {redirection}'
    arguments = [*command(place), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr, "Exception" in done.stderr) == (0, False, False)
    assert product(tmp_path / "out") == product(place / "reference")


@posix
def test_what_c_code_prints_gets_into_no_file_of_ours(tmp_path: Path) -> None:
    """The first files that are opened would be number 0, 1 and 2 for it."""
    code = """
import os, sys
for number in (0, 1, 2):
    os.close(number)
from detic_crop.system.console import open_descriptors
open_descriptors()
file = open(sys.argv[1], "w")
for number in (1, 2):
    os.write(number, b"remark")
file.write(f"{file.fileno() > 2} {os.read(0, 1)} {os.get_inheritable(2)}")
"""
    place = tmp_path / "file"
    subprocess.run([sys.executable, "-c", code, str(place)], cwd=ROOT, check=True)
    assert place.read_text() == "True b'' True"
    run_python(
        "from detic_crop.system.console import open_descriptors; open_descriptors(); print('here still')"
    )


# ---------------------------------------------------------------- one stream


@posix
def test_a_terminal_that_takes_nothing_for_the_moment_gets_all() -> None:
    """As another program leaves it, non-blocking, with a reader that is behind."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    got: list[bytes] = []

    def read() -> None:
        with open(reader, "rb", buffering=0) as file:
            while data := file.read(1 << 16):
                got.append(data)

    with open(writer, "w") as stream:
        forgiving = Forgiving(stream)
        while forgiving.failure is None:  # fill the pipe, before anybody reads
            try:
                os.write(writer, b"x" * 4096)
            except BlockingIOError:
                break
        forgiving.write("the end\n")
        thread = threading.Thread(target=read)
        thread.start()
        forgiving.flush()
        assert forgiving.usable
    thread.join()
    assert b"".join(got).lstrip(b"x") == b"the end\n"


def test_letters_that_a_stream_lacks_are_spelt() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    forgiving = Forgiving(stream)
    forgiving.write("1.2× é\n")
    forgiving.flush()
    assert raw.getvalue() == b"1.2\\xd7 \\xe9\n"
    assert forgiving.usable


def test_it_is_a_text_stream_to_click_and_to_logging() -> None:
    stream = io.StringIO()
    forgiving = Forgiving(stream)
    with pytest.raises(TypeError):
        forgiving.write(cast(Any, b""))
    with pytest.raises(AttributeError):
        _ = forgiving.buffer
    assert (forgiving.isatty(), Forgiving(None).isatty(), Forgiving(None).usable) == (False, False, False)
    assert forgiving.write("text") == 4
    assert stream.getvalue() == "text"
