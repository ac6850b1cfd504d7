"""How much memory there is: of the machine, of the container or job, and of this process."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath

if sys.platform != "win32":
    import resource

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_OWN_PAGES = Path("/proc/self/statm")
_LIMITS_V2 = ("memory.max", "memory.high")
_LIMITS_V1 = ("memory.limit_in_bytes",)
# Of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK = 15 << 20  # bytes; Pillow's pictures are made of blocks a little larger
_UNKNOWN = 8 << 30
"""Bytes of a machine that does not tell."""


def memory_bytes() -> int:
    """Return the bytes of memory of the machine, or what a container or job is granted of it."""
    return min([_physical_memory(), *_granted()])


def usable_bytes() -> int:
    """Return the bytes that this process can still be given.

    That is `memory_bytes`, or what is left of its address space where that is limited (``ulimit -v``).
    """
    total = memory_bytes()
    if sys.platform == "win32":
        return total
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return total if limit == resource.RLIM_INFINITY else max(1, min(total, limit - _address_space()))


@cache
def return_freed_memory() -> None:
    """Let this process give large blocks back to the system as soon as they are free, where glibc is used.

    By itself it keeps them for the thread that used them: some gigabytes after a few large photos.
    Smaller blocks are kept as before, so photos of a few megapixels are as fast.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):  # other C libraries
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE_BLOCK)


def _granted() -> Iterator[int]:
    """Yield every limit of this process's control groups and the groups above them."""
    for folder, names in _groups():
        for name in names:
            try:
                yield int((folder / name).read_text())
            except (OSError, ValueError):  # no such group, no limit ("max"), or not readable
                continue


def _groups() -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield the folders that may hold limits, and the names of these in versions 2 and 1.

    In a container its own group is where the outermost one is elsewhere, whatever path the kernel states.
    """
    above = {Path("/"), *_above(_own_path(""))}
    yield from ((_CGROUPS / str(path).lstrip("/"), _LIMITS_V2) for path in above)
    above = {Path("/"), *_above(_own_path("memory"))}
    yield from ((_CGROUPS / "memory" / str(path).lstrip("/"), _LIMITS_V1) for path in above)


def _own_path(controller: str) -> str:
    """Return the path of this process's group, of version 2 where no controller is named; `/` if unknown."""
    try:
        lines = _OWN_CGROUPS.read_text(errors="replace").splitlines()
    except OSError:  # not Linux
        return "/"
    for line in lines:  # number:controllers:path
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            return path
    return "/"


def _above(path: str) -> Iterator[Path]:
    pure = PurePosixPath("/" + path.strip("/"))
    if ".." not in pure.parts:  # a group outside of the container's view
        yield from map(Path, (pure, *pure.parents))


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows does not tell this way
        return _UNKNOWN


def _address_space() -> int:
    """Return the bytes of address space that this process has taken; 0 if unknown."""
    try:
        return int(_OWN_PAGES.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
