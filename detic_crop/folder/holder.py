"""Who holds a folder, or a shard's part of it, asked from outside: no lock is taken for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.layout import Layout
from detic_crop.folder.lock import is_alive
from detic_crop.folder.typed_json import decode_any
from detic_crop.system.processes import birth, is_there, process_space

Alive: TypeAlias = Literal["yes", "no", "unknown"]

_MOST_BYTES = 1 << 16


class Holder(msgspec.Struct, frozen=True):
    """The process that took hold of a folder and has not let go.

    Attributes:
        pid, host: the process, as it named itself.
        since: when it took hold, in its local time.
        alive: whether it is still there; ``unknown`` of another machine or container.
    """

    pid: int
    host: str
    since: str
    alive: Alive

    def __str__(self) -> str:
        return f"process {self.pid or '?'} on {self.host or '?'}"


def holder_of(folder: OutputFolder, layout: Layout) -> Holder | None:
    """Return who holds a folder; None if nobody does.

    Args:
        folder: the output folder.
        layout: paths of it, or of one of its shards.
    """
    data = folder.read_at_most(layout.owner, _MOST_BYTES)
    try:
        owner = decode_any(data) if data else None
    except ValueError:
        owner = {}
    if not isinstance(owner, dict) or "begins" in owner:  # a shard begins, and lets go at once
        return None
    pid, host, since = owner.get("pid"), owner.get("host"), owner.get("since")
    return Holder(
        pid if isinstance(pid, int) else 0,
        host if isinstance(host, str) else "",
        since if isinstance(since, str) else "",
        _alive(owner),
    )


def _alive(owner: Mapping[str, Any]) -> Alive:
    if "renewed" in owner:  # a store's lease
        return "yes" if is_alive(owner) else "no"
    if owner.get("host") != socket.gethostname() or owner.get("processes", "") != process_space():
        return "unknown"
    pid = owner.get("pid")
    if not isinstance(pid, int) or os.name == "nt":
        return "unknown"
    born = owner.get("birth")
    is_same = not born or born == birth(pid)
    return "yes" if is_there(pid) and is_same else "no"
