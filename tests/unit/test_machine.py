"""How much of the machine a run takes: what a container or job owns, not what the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detic_crop.system import machine, memory


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group, empty yet, on a machine of eight cores."""
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_OWN_CGROUPS", tmp_path / "own")
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


@pytest.mark.parametrize("name", ["memory.max", "memory.high", "memory/memory.limit_in_bytes"])
def test_a_limit_of_memory_counts(group: Path, name: str) -> None:
    whole = memory.memory_bytes()
    (group / name).write_text("max\n")
    assert memory.memory_bytes() == whole
    (group / name).write_text("1000000\n")
    assert memory.memory_bytes() == 1_000_000
    # Two photos fit into 60 % of it.
    assert machine.threads_per_photo(250_000) == 4


@pytest.mark.parametrize(
    ("own", "limited"),
    [
        ("0::/user.slice/job", "user.slice/job/memory.max"),
        ("0::/user.slice/job", "user.slice/memory.max"),
        ("0::/user.slice/job", "user.slice/memory.high"),
        ("0::/not/in/this/container", "memory.max"),
        ("0::/../../elsewhere", "memory.max"),
        ("1:cpu:/\n4:blkio,memory:/slurm/job_1/step_0\n0::/", "memory/slurm/job_1/memory.limit_in_bytes"),
        ("4:memory:/docker/abc\n", "memory/memory.limit_in_bytes"),
        ("", "memory.max"),
    ],
)
def test_a_limit_of_the_own_group_or_of_one_above_it_counts(group: Path, own: str, limited: str) -> None:
    (group / "own").write_text(own)
    (group / limited).parent.mkdir(parents=True, exist_ok=True)
    (group / limited).write_text("1000000\n")
    assert memory.memory_bytes() == 1_000_000


@pytest.mark.parametrize(
    ("own", "limited"),
    [
        ("0::/mine", "other/memory.max"),
        ("4:memory:/mine", "memory/other/memory.limit_in_bytes"),
        ("0::/mine", "mine/memory.current"),
        ("nonsense", "nonsense/memory.max"),
    ],
)
def test_a_limit_of_others_does_not(group: Path, own: str, limited: str) -> None:
    whole = memory.memory_bytes()
    (group / "own").write_text(own)
    (group / limited).parent.mkdir(parents=True, exist_ok=True)
    (group / limited).write_text("1000000\n")
    assert memory.memory_bytes() == whole


def test_the_address_space_counts(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    (group / "memory.max").write_text(f"{8 << 30}\n")
    (group / "statm").write_text("1000 500 100 1 0 300 0\n")  # pages
    monkeypatch.setattr(memory, "_OWN_PAGES", group / "statm")
    taken = 1000 * os.sysconf("SC_PAGE_SIZE")
    for limit, left in ((resource.RLIM_INFINITY, 8 << 30), (1 << 30, (1 << 30) - taken), (taken // 2, 1)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, resource.RLIM_INFINITY))
        assert memory.usable_bytes() == left
