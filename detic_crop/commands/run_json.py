"""run.json: what the last run or merge of a folder did."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from detic_crop.commands.result import RunResult
from detic_crop.config import RunOptions
from detic_crop.detectors.families import packages_of
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.state import load_listing
from detic_crop.folder.typed_json import decode_any
from detic_crop.report.html.head import Made
from detic_crop.shards.merge import Gathered
from detic_crop.work.execute import Execution

_PACKAGES = ("detic-crop", "torch", "torchvision", "timm", "opencv-python-headless", "pillow", "numpy")
_NOT_INSTALLED = "not installed"

_MOST_BYTES = 1 << 26  # of run.json; more is not read

_SUMS = ("stage_seconds", "queue_seconds")
_OF_EACH_SHARD = (
    *("started", "seconds", "stopped", "photos_done_now", "photos_done_before", "photos_remaining"),
    *("counts", *_SUMS, "busy", "options", "notes", "versions", "platform"),
)


def run_json(
    result: RunResult, options: RunOptions, execution: Execution, origin: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what run.json says after a run or a recrop.

    Args:
        result: what the command left behind.
        options: how the work was done.
        execution: what was done, and where the time went.
        origin: where the photos came from.
    """
    return {
        **origin,
        "settings": result.config.to_dict(),
        "fingerprint": result.config.fingerprint(),
        "model_reason": result.model_reason,
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(options).items()},
        "counts": dict(result.counts),
        "flagged": result.flagged,
        "photos_done_now": result.done,
        "photos_done_before": result.skipped,
        "photos_remaining": result.remaining,
        "stopped": result.stopped,
        "notes": result.notes,
        "started": result.started,
        "seconds": round(execution.seconds, 3),
        "stage_seconds": {stage: round(s, 3) for stage, s in execution.usage.times.seconds.items()},
        "queue_seconds": {queue: round(s, 3) for queue, s in execution.usage.times.waited.items()},
        **({"ray": execution.where} if execution.where else {}),
        "busy": {who: round(share, 3) for who, share in execution.usage.busy().items()},
        "versions": result.versions,
        "platform": platform.platform(),
    }


def packages(model: str) -> dict[str, str]:
    """Return the versions of Python and of what the crops of a model depend on."""
    found = {package: version_of(package) for package in packages_of(model)}
    return {
        "python": platform.python_version(),
        **{package: version_of(package) for package in _PACKAGES},
        **{package: version for package, version in found.items() if version != _NOT_INSTALLED},
    }


def versions_in(folder: OutputFolder) -> dict[str, str]:
    """Return the versions that run.json of a folder names; nothing where it is gone or damaged."""
    return _said_in(folder).versions


def made_by(result: RunResult) -> Made:
    """Return where, when and with what the crops of a result were made, as its run.json says or will say."""
    said = _said_in(result.folder)
    versions = result.versions or said.versions
    return Made.of(
        result.folder.layout.mailable_name, result.started or said.started, versions.get("detic-crop", "")
    )


def started_of_shards(gathered: Gathered) -> str:
    """Return when the first of the shards began, as run.json says after a merge; empty if none says so."""
    told = (_read(work.folder.layout.run_json) for work in gathered.shards)
    return min((values["started"] for values in told if "started" in values), default="")


def _said_in(folder: OutputFolder) -> _Said:
    data = folder.read_at_most(folder.layout.run_json, _MOST_BYTES)
    try:
        return _said.decode(data)
    except ValueError:
        return _Said()


def version_of(package: str) -> str:
    """Return the version of an installed package; ``not installed`` without one."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return _NOT_INSTALLED


def run_json_of_merge(result: RunResult, gathered: Gathered) -> dict[str, Any]:
    """Return what run.json says after a merge: the sums of the shards' last runs, and each of them."""
    told = [(work, _read(work.folder.layout.run_json)) for work in gathered.shards]
    first = next((values for _, values in told if values), {})
    each = [
        {"shard": str(work.shard), **{name: values[name] for name in _OF_EACH_SHARD if name in values}}
        for work, values in told
    ]
    return {
        "input": first.get("input", ""),
        "settings": gathered.config.to_dict(),
        "fingerprint": gathered.config.fingerprint(),
        "model_reason": first.get("model_reason", ""),
        **{
            name: sum(values.get(name, 0) for _, values in told)
            for name in ("photos_done_now", "photos_done_before", "photos_remaining")
        },
        "stopped": next((values["stopped"] for _, values in told if values.get("stopped")), ""),
        "started": result.started,
        "seconds": round(sum(values.get("seconds", 0.0) for _, values in told), 3),
        **{name: _summed(values.get(name, {}) for _, values in told) for name in _SUMS},
        "shards": each,
        "inputs": [given.where for given in load_listing(result.folder).inputs],
        "counts": dict(result.counts),
        "flagged": result.flagged,
        "notes": result.notes,
        "versions": result.versions,
        "platform": platform.platform(),
    }


def _summed(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for part in parts:
        for name, seconds in part.items():
            total[name] += seconds  # type: ignore[assignment]
    return {name: round(seconds, 3) for name, seconds in total.items()}


class _Said(msgspec.Struct):
    """What other commands ask of a run.json."""

    versions: dict[str, str] = {}
    started: str = ""


_said = msgspec.json.Decoder(_Said)


class _Summed(msgspec.Struct):
    """The fields of a shard's run.json that a merge calculates with."""

    input: str = ""
    model_reason: str = ""
    photos_done_now: int = 0
    photos_done_before: int = 0
    photos_remaining: int = 0
    stopped: str = ""
    started: str = ""
    seconds: float = 0.0
    stage_seconds: dict[str, float] = {}
    queue_seconds: dict[str, float] = {}


def _read(path: Path) -> dict[str, Any]:
    """Return what a shard's run.json says; empty where it is gone, damaged, or of other types."""
    try:
        value = decode_any(path.read_bytes())
        msgspec.convert(value, _Summed)
    except (OSError, ValueError):
        return {}
    return dict(value)
