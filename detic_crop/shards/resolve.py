"""Which shard a command is asked to do: ``--shard k/N``, or what an array job is told."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from detic_crop.errors import UsageError
from detic_crop.folder.shard import Shard

MOST_SHARDS = 100_000


def resolve_shard(text: str | None, environment: Mapping[str, str] | None = None) -> Shard | None:
    """Return the shard that ``--shard`` names: ``k/N`` with k from 0, or ``auto``; None without a shard.

    ``auto`` reads the variables of array jobs: Kubernetes' JOB_COMPLETION_INDEX, with DETIC_CROP_SHARDS for
    the count; or Slurm's SLURM_ARRAY_TASK_ID with _COUNT, _MIN, _MAX and _STEP. With DETIC_CROP_SHARDS, Slurm
    tasks are numbered from 0, so that single ones can be run again.

    Args:
        text: the option's value.
        environment: variables; None takes those of this process.

    Raises:
        UsageError: the text is not a shard, or the environment does not say which one of how many.
    """
    if text is None:
        return None
    if str(text).strip().lower() == "auto":
        return _from_environment(os.environ if environment is None else environment)
    found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", str(text), flags=re.ASCII)
    if not found:
        raise UsageError("bad_shard", f"--shard must be k/N such as 0/16, or auto, got {text!r}")
    return _checked(int(found[1]), int(found[2]), "--shard", f"got {text}")


def _checked(index: int, count: int, where: str, got: str) -> Shard:
    if not 1 <= count <= MOST_SHARDS:
        raise UsageError(
            "bad_shard", f"{where}: expected 1 to {MOST_SHARDS} shards, {got}; e.g. --shard 0/16"
        )
    if index >= count:
        raise UsageError(
            "bad_shard",
            f"{where}: {count} shards are numbered from 0 to {count - 1}, {got}; "
            f"the last one is --shard {count - 1}/{count}",
        )
    return Shard(index, count)


def _from_environment(environment: Mapping[str, str]) -> Shard:
    kubernetes, slurm = "JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID"
    index, task = _whole(environment, kubernetes), _whole(environment, slurm)
    count = _whole(environment, "DETIC_CROP_SHARDS")
    if index is not None and task is not None:
        raise UsageError(
            "bad_shard", f"--shard auto: both {kubernetes} and {slurm} are set; pass --shard k/N"
        )
    if index is not None:
        if count is None:
            raise UsageError(
                "bad_shard",
                f"--shard auto: {kubernetes} is {index}, but the number of shards is not known; set "
                "DETIC_CROP_SHARDS to the job's completions, or pass --shard k/N",
            )
        return _checked(index, count, "--shard auto", f"got {kubernetes}={index}, DETIC_CROP_SHARDS={count}")
    if task is not None:
        return _from_slurm(task, count, environment)
    raise UsageError(
        "bad_shard",
        f"--shard auto: neither {kubernetes} (a Kubernetes indexed job) nor {slurm} (a Slurm array job) is "
        "set; pass --shard k/N, e.g. 0/16",
    )


def _from_slurm(task: int, given_count: int | None, environment: Mapping[str, str]) -> Shard:
    of_array = {
        name: _whole(environment, f"SLURM_ARRAY_TASK_{name}") for name in ("COUNT", "MIN", "MAX", "STEP")
    }
    count, first, last = of_array["COUNT"], of_array["MIN"], of_array["MAX"]
    got = f"got SLURM_ARRAY_TASK_ID={task}, " + ", ".join(
        f"_{name}={value}" for name, value in of_array.items() if value is not None
    )
    if given_count is not None:
        highest = task if last is None else last  # so that all tasks of an array are refused, or none
        if 0 <= highest < given_count or given_count < 1:
            return _checked(task, given_count, "--shard auto", f"{got}, DETIC_CROP_SHARDS={given_count}")
        raise UsageError(
            "bad_shard",
            f"--shard auto: with DETIC_CROP_SHARDS={given_count} tasks are numbered from 0 to "
            f"{given_count - 1}, {got}; pass --array=0-{given_count - 1} or some of these",
        )
    if count is None or first is None:
        raise UsageError(
            "bad_shard",
            f"--shard auto: SLURM_ARRAY_TASK_ID is {task}, but SLURM_ARRAY_TASK_COUNT and _MIN are not set; "
            "set DETIC_CROP_SHARDS to the number of shards, or pass --shard k/N",
        )
    step = of_array["STEP"] or 1
    index, rest = divmod(task - first, step)
    # Of a list such as 1,5,9 a task is told the ends and the count, not which of them it is.
    if rest or index < 0 or (last is not None and last - first != step * (count - 1)):
        raise UsageError(
            "bad_shard",
            f"--shard auto: the tasks of this array are not a range, {got}; pass --array=0-15,"
            " or set DETIC_CROP_SHARDS to the number of shards and number the tasks from 0: then --array=3,7 "
            "runs shards 3 and 7 again",
        )
    return _checked(index, count, "--shard auto", got)


def _whole(environment: Mapping[str, str], name: str) -> int | None:
    """Return the whole number in a variable; None if it is not set or empty."""
    text = environment.get(name, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"\d{1,9}", text, flags=re.ASCII):
        raise UsageError("bad_shard", f"--shard auto: {name} must be a whole number, got {text!r}")
    return int(text)
