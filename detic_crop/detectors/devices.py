"""Which device a model runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from detic_crop.errors import UsageError


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch use one core in this thread.

    For a small network more cores inside an operator cost more than they give, and their number changes the
    last bits of a sum; with one, a photo gives the same bits on any machine of the kind, and the cores are
    there for other photos.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def resolve_device(device: str) -> str:
    """Return the best device of this machine for ``auto``, else the device of that name.

    Raises:
        UsageError: the device is not there; says which are.
    """
    import torch

    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if device == "auto":
        return "cuda" if n_cuda else "mps" if has_mps else "cpu"
    kind, _, index = device.partition(":")
    present = {"cpu": True, "cuda": int(index or 0) < n_cuda, "mps": has_mps}
    if not present.get(kind, False):
        there = ["cpu", *(f"cuda:{i}" for i in range(n_cuda)), *(["mps"] if has_mps else [])]
        raise UsageError(
            "missing_device", f"--device {device} is not on this machine; it has {', '.join(there)}"
        )
    return device


def resolve_devices(devices: str) -> list[str]:
    """Return every GPU for ``auto``, else the one best device; for names joined by commas, those devices.

    Raises:
        UsageError: a device is not there; says which are.
    """
    import torch

    if devices == "auto" and torch.cuda.is_available() and torch.cuda.device_count() > 1:
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [resolve_device(device) for device in devices.split(",")]
