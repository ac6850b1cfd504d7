"""How a command of its own ends when somebody presses Ctrl-C again and again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from detic_crop.photos.keys import STATE
from detic_crop.system.leaving import end_pool
from tests.kit.detectors import FakeDetector
from tests.kit.folders import assert_same, crop, product
from tests.kit.photos import write_photos
from tests.kit.processes import ROOT, posix

pytestmark = pytest.mark.slow


# A run whose detector never comes back from the fourth photo, as from a server or a decoder that has no end.
def started(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that runs a script, with its output to read."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


STUCK = """
import contextlib, signal, sys, threading, time
from detic_crop.cli import main as cli
from detic_crop.commands import choose_detector, scope
from detic_crop.system.signals import stop_signals
from tests.kit.detectors import FakeDetector

stops = []

class Stuck(FakeDetector):
    def detect(self, image, key=""):
        if len(self.calls) == 3:
            print("stuck", flush=True)
            told = False
            while True:  # Python runs handlers in the main thread, which may have to be woken
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
                time.sleep(0.01)
                if stops[0].reason and not told:
                    told = True
                    print("told", flush=True)
        return super().detect(image, key)

@contextlib.contextmanager
def spied():
    with stop_signals() as stop:
        stops.append(stop)
        yield stop

signal.signal(signal.SIGUSR1, lambda number, frame: None)
scope.stop_signals = spied
choose_detector.load_detector = lambda name, device, **given: Stuck(name=name)
sys.argv = ["detic-crop", *sys.argv[1:]]
sys.exit(cli.main())
"""


@posix
@pytest.mark.parametrize(
    ("first", "more", "code"),
    [
        (signal.SIGINT, [signal.SIGINT], 130),
        (signal.SIGINT, [signal.SIGINT, signal.SIGINT], 130),
        (signal.SIGTERM, [signal.SIGTERM], 143),
        (signal.SIGTERM, [signal.SIGINT], 130),
        (signal.SIGINT, [signal.SIGTERM], 143),
    ],
)
def test_a_second_signal_does_not_wait_for_a_stuck_worker(
    tmp_path: Path, first: signal.Signals, more: list[signal.Signals], code: int
) -> None:
    """One more is enough; that a third one comes in the midst of it does no harm."""
    write_photos(tmp_path / "in", 10)
    arguments = ["run", "--in", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--size", "32"]
    with started(STUCK, *arguments, "--workers", "1", "--model", "lite") as process:
        assert process.stdout
        assert process.stdout.readline() == "stuck\n"
        journal = tmp_path / "out" / STATE / "journal.jsonl"
        while journal.read_bytes().count(b"\n") < 4:  # three photos, and the settings
            time.sleep(0.001)
        process.send_signal(first)
        assert process.stdout.readline() == "told\n"  # else two signals may count as one
        for number in more:
            process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == code
    assert out == ""
    assert err.count("detic-crop: interrupted; run the same command to continue") == 1
    assert "Traceback" not in err
    assert "terminate called" not in err
    for folder in ("out", "reference"):
        crop(tmp_path / "in", tmp_path / folder, detector=FakeDetector(name="lite"))
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


# The main thread waits in C code, where no handler of Python runs.
STUCK_IN_C = """
import ctypes, sys
from detic_crop.cli import main as cli
from detic_crop.commands import run

def stuck(*given):
    print("stuck", flush=True)
    mutex = ctypes.create_string_buffer(128)
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    lock(mutex)  # for ever, whatever signals come

run.discover = stuck
sys.argv = ["detic-crop", *sys.argv[1:]]
sys.exit(cli.main())
"""


@posix
def test_a_main_thread_that_hears_nothing_is_ended(tmp_path: Path) -> None:
    arguments = ["run", "--in", str(tmp_path), "--out", str(tmp_path / "out")]
    with started(STUCK_IN_C, *arguments) as process:
        assert process.stdout
        assert process.stdout.readline() == "stuck\n"
        while process.poll() is None:  # two that come together may count as one
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        _, err = process.communicate()
    assert process.returncode == 130
    assert err.startswith(f"cropping {tmp_path} into ")  # what it began with
    assert err.endswith("\n\ndetic-crop: interrupted; run the same command to continue\n")
    assert len(err.splitlines()) == 3


# A process of a device never answers; it would go on without its parent.
STUCK_DEVICE = """
import os, sys
from detic_crop.cli import main as cli
from detic_crop.work.executors import processes
from tests.kit.processes import ROOT

class Stuck(processes._Process):
    def __init__(self, *given):
        super().__init__(*given)
        print(self._process.pid, flush=True)

processes._Process = Stuck
code = "import time; time.sleep(10**6)"
popen = processes.subprocess.Popen

def started(command, *given, **options):
    device = command[-1] == "detic_crop.work.executors.device_process"
    return popen([sys.executable, "-c", code] if device else command, *given, **options)

processes.subprocess.Popen = started
sys.argv = ["detic-crop", *sys.argv[1:]]
sys.exit(cli.main())
"""


@posix
def test_no_process_of_a_device_outlives_the_end(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    write_photos(tmp_path / "in", 3)
    arguments = ["run", "--in", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--model", "lite"]
    with started(STUCK_DEVICE, *arguments, "--device", "cpu,cpu", "--quiet") as process:
        assert process.stdout
        devices = [psutil.Process(int(process.stdout.readline())) for _ in range(2)]
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.01)
        process.communicate()
    assert process.returncode in (143, -signal.SIGTERM)
    while any(device.is_running() and device.status() != psutil.STATUS_ZOMBIE for device in devices):
        time.sleep(0.01)


@posix
def test_an_interrupt_ends_the_waiting_for_a_thread_and_not_the_thread() -> None:
    """At the end of the interpreter it is waited for then; taken down within C++ code it would abort all."""
    ending, may_end = threading.Event(), threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, *arguments: Any, **options: Any) -> None:
            ending.set()
            super().shutdown(*arguments, **options)

    def work() -> threading.Thread:
        ending.wait()
        main = threading.main_thread().ident
        while not may_end.wait(0.05):  # until the interrupt has come through
            if not interrupted:
                signal.pthread_kill(main or 0, signal.SIGINT)
        return threading.current_thread()

    interrupted: list[bool] = []
    pool = Pool(1)
    thread = pool.submit(work)
    before = signal.signal(signal.SIGINT, lambda *_: _interrupt(interrupted))
    try:
        with pytest.raises(KeyboardInterrupt):
            end_pool(pool)
        (worker,) = [one for one in threading.enumerate() if one.name.startswith("ThreadPoolExecutor")]
        assert worker.is_alive()
        may_end.set()
        assert thread.result() is worker
    finally:
        may_end.set()
        signal.signal(signal.SIGINT, before)


def _interrupt(interrupted: list[bool]) -> None:
    if not interrupted:
        interrupted.append(True)
        raise KeyboardInterrupt
