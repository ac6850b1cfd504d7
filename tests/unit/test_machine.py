"""How much of the machine a run takes: what a container or job owns, not what the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detic_crop.system import machine


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group, empty yet, on a machine of eight cores."""
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "memory").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("1600000 100000", 8),
    ],
)
def test_a_quota_of_processor_time_counts(group: Path, quota: str, cores: int) -> None:
    (group / "cpu.max").write_text(f"{quota}\n")
    assert machine.cpus() == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("300000", 3)])
def test_so_does_one_of_the_first_version(group: Path, quota: str, cores: int) -> None:
    (group / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (group / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert machine.cpus() == cores


@pytest.mark.parametrize("text", [None, "", "nonsense", "1 0", "1"])
def test_without_a_quota_that_can_be_read_the_cores_count(group: Path, text: str | None) -> None:
    if text is not None:
        (group / "cpu.max").write_text(text)
    assert machine.cpus() == 8
    assert machine.default_workers(thread_safe=True) == 8


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_limit_of_memory_counts(group: Path, name: str) -> None:
    whole = machine.memory_bytes()
    (group / name).write_text("max\n")
    assert machine.memory_bytes() == whole
    (group / name).write_text("1000000\n")
    assert machine.memory_bytes() == 1_000_000
    # Two photos fit into 60 % of it.
    assert machine.threads_per_photo(250_000) == 4
