"""The Ray cluster of a run: connecting to it or starting one, its nodes, and whether it still answers."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from detic_crop.errors import DeticCropError, UsageError, one_line

_log = logging.getLogger(__name__)

_GROUP = 8
"""Cores of one process on a CPU; few, since its photos are done again when it dies."""
_FEEDING_CORES = 4
"""Cores that keep one GPU busy."""
_HEAD_PERIOD = 2.0
"""Seconds between looks at the head."""
_HEAD_PATIENCE = 10.0
"""Seconds without an answer of the head; Ray itself ends this process after 60."""
_NODES_PERIOD = 10.0
"""Seconds between looks for new nodes."""


def import_ray(address: str | None) -> Any:
    """Return the module ray, told not to send statistics.

    Args:
        address: address of the cluster to be used, see `connected`.

    Raises:
        UsageError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # As later versions of Ray do, which it otherwise warns of: leave CUDA_VISIBLE_DEVICES alone without GPUs.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        with _this_machine_alone() if _starts_one(address) else contextlib.nullcontext():
            return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise UsageError(
            "missing_extra",
            "--executor ray needs Ray, which is not installed: pip install 'detic-crop[ray]'",
        ) from error


def _starts_one(address: str | None) -> bool:
    return (address or os.environ.get("RAY_ADDRESS") or "local") == "local"


@dataclass(frozen=True, slots=True)
class Group:
    """Cores, and perhaps a GPU, for one worker.

    Attributes:
        node: Ray's id of the node.
        cores: cores to reserve.
        gpus: GPUs to reserve, 0 or 1.
        on_node: workers for which the node has such groups.
    """

    node: str
    cores: int
    gpus: int
    on_node: int


@dataclass(slots=True)
class Cluster:
    """A connected cluster.

    Attributes:
        ray: the module ray.
        address: HOST:PORT of its head.
        on_gpus: there is a worker for each GPU; else for each group of cores.
        split: the cores of one node may be several groups.
        workers: threads of a worker, if given.
    """

    ray: Any
    address: str
    on_gpus: bool
    split: bool
    workers: int | None
    _seen: set[str] = field(default_factory=set)
    _alive: set[str] = field(default_factory=set)
    _looked: float = float("-inf")
    _tried: float = float("-inf")
    _heard: float = float("inf")

    def new_groups(self) -> list[Group]:
        """Return groups for nodes that were not there before; looks every `_NODES_PERIOD`."""
        if time.monotonic() - self._looked < _NODES_PERIOD or not _answers(self.address):
            return []
        self._looked = time.monotonic()
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        self._alive = {node["NodeID"] for node in nodes}
        new = [node for node in nodes if node["NodeID"] not in self._seen]
        self._seen |= self._alive
        return [group for node in new for group in self._groups_of(node)]

    def _groups_of(self, node: dict[str, Any]) -> list[Group]:
        cores = int(node["Resources"].get("CPU", 0))
        name = node["NodeID"]
        if self.on_gpus:
            gpus = int(node["Resources"].get("GPU", 0))
            each = min(self.workers or _FEEDING_CORES, cores // gpus) if gpus else 0
            return [Group(name, each, 1, gpus)] * gpus
        if not cores:  # a head that is only that
            return []
        size = min(self.workers or _GROUP, cores) if self.split else cores
        count = max(1, cores // size)
        return [Group(name, size if self.workers else cores // count, 0, count)] * count

    def has(self, node: str) -> bool:
        """Return whether a node was there at the last look."""
        return node in self._alive

    def check_head(self) -> None:
        """Look whether the head answers, every `_HEAD_PERIOD`; Ray has no call that asks without waiting.

        Raises:
            DeticCropError: it has not answered for `_HEAD_PATIENCE`.
        """
        now = time.monotonic()
        if now - self._tried < _HEAD_PERIOD:
            return
        self._tried = now
        if _answers(self.address):
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > _HEAD_PATIENCE:
            raise DeticCropError(
                "head_lost",
                f"the head of the Ray cluster at {self.address} does not answer any more; what was finished "
                "is kept: start the cluster and run the command again",
            )


def _answers(address: str) -> bool:
    """Return whether anything listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


def device_of(device: str, needs_pixels: bool) -> str:
    """Return what --device means on a cluster: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: it names single devices.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(
            "single_device_on_ray",
            f"--device {device} cannot go with --executor ray, which gives each process a GPU of its own; "
            "pass auto, cpu or cuda",
        )
    return device if needs_pixels else "cpu"


@contextlib.contextmanager
def connected(address: str | None, device: str, *, split: bool, workers: int | None) -> Iterator[Cluster]:
    """Yield Ray as the caller has initialised it; else the cluster at `address`; else one on this machine.

    Only what was started here is ended.

    Args:
        address: as for `ray.init`; None takes RAY_ADDRESS, else starts a Ray on this machine alone.
        device: from `device_of`.
        split: the cores of one node may be several groups.
        workers: threads of a worker, if given.

    Raises:
        UsageError: there is no such cluster, it cannot be used, or it has no GPU and one was asked for.
    """
    ray = import_ray(address)
    ours = not ray.is_initialized()
    if not ours and address:
        raise UsageError(
            "ray_initialised", "Ray is initialised already in this process; leave ray_address out"
        )
    if address and address.startswith("ray://"):
        raise UsageError(
            "ray_client",
            f"--ray-address {address} is Ray's client, which cannot write crops here; run the command on "
            "a node of the cluster, with --ray-address auto or HOST:6379",
        )
    try:
        with _signals_kept():
            if ours:
                _init(ray, address)
        yield _describe_cluster(ray, device, split, workers)
    finally:
        if ours:
            with _signals_kept():
                ray.shutdown()


@contextlib.contextmanager
def _this_machine_alone() -> Iterator[None]:
    """Let a Ray that is started here listen on the loopback interface only.

    Ray has no option for it. On Windows and macOS it does so by itself, by a constant that this variable
    overrides on any system; it is read on import and by the processes that are started.
    """
    name = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    given = name in os.environ
    os.environ.setdefault(name, "0")
    try:
        yield
    finally:
        if not given:
            del os.environ[name]


def _init(ray: Any, address: str | None) -> None:
    _hush()
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    alone: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if _starts_one(address):
        settings |= {"include_dashboard": False}
        alone = _this_machine_alone()
    address = address or os.environ.get("RAY_ADDRESS")
    # Ray itself tries an address that does not answer for minutes.
    if address not in (None, "local", "auto") and not _answers(str(address)):
        raise UsageError(
            "no_ray_cluster",
            f"--ray-address {address} does not answer; expected auto, local or HOST:PORT of a head",
        )
    try:
        with alone, warnings.catch_warnings():
            # Of changes that Ray plans; nothing that the caller could do.
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"ray\b")
            ray.init(address=address or "local", **settings)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = f"--ray-address {address}" if address else "Ray"
        raise UsageError("no_ray_cluster", f"{where} cannot be used: {one_line(error, 400)}") from error


def _hush() -> None:
    """Log what Ray prints on standard output about its processes, even with ``log_to_driver=False``."""
    worker = importlib.import_module("ray._private.worker")
    if hasattr(worker, "print_to_stdstream"):

        def log(data: Any, *args: Any, **settings: Any) -> None:
            _log.debug("ray: %s", data)

        worker.print_to_stdstream = log  # type: ignore[attr-defined]


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep our handler of SIGTERM, which ends in order; Ray installs its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _describe_cluster(ray: Any, device: str, split: bool, workers: int | None) -> Cluster:
    gpus = int(ray.cluster_resources().get("GPU", 0))
    address = ray.get_runtime_context().gcs_address
    if device == "cuda" and not gpus:
        raise UsageError("no_gpu", f"the Ray cluster at {address} has no GPU; pass --device auto or cpu")
    on_gpus = gpus > 0 and device != "cpu"
    return Cluster(ray, address, on_gpus, split, workers)
