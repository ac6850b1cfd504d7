"""What `benchmarks.busy` says about other work on the machine."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.busy import Clock, Others, read_clock, share_of_others


@pytest.mark.parametrize(
    ("everyone", "own", "share"),
    [(10, 10, 0), (15, 10, 0.25), (20, 0, 1), (9, 10, 0), (30, 0, 1)],
)
def test_the_share_of_others(everyone: float, own: float, share: float) -> None:
    """Ten seconds of two processors; clocks that tick unevenly give no nonsense."""
    begun = Clock(5, 100, 20)
    assert share_of_others(begun, Clock(15, 100 + everyone, 20 + own), 2) == share


def test_no_time_has_no_others() -> None:
    clock = Clock(5, 100, 20)
    assert share_of_others(clock, clock, 2) == 0


def test_what_it_says() -> None:
    with Others() as others:
        begun = time.process_time()
        while time.process_time() < begun + 0.05:
            pass
    assert 0 <= others.share <= 1
    others.share = 0.04
    assert str(others) == "others used 4% of the processors"
    others.share = 0.5
    assert str(others) == "BUSY: others used 50% of the processors; trust processor time only"


def test_a_child_that_is_still_at_work_counts_as_own() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        server = psutil.Process(child.pid)
        while sum(server.cpu_times()[:2]) < 0.1:
            time.sleep(0.01)
        without = read_clock().own
        assert read_clock(server).own - without >= 0.1
        child.kill()
