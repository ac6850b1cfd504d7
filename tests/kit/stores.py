"""Object stores for tests: one in memory, one behind a server, and file systems that stumble or die."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from detic_crop.folder import folder as folders
from detic_crop.folder.segments import segments_folder
from detic_crop.folder.store_state import MERGED
from detic_crop.photos.keys import STATE
from detic_crop.stores import store as stores
from detic_crop.stores.addresses import join
from detic_crop.stores.store import Store, store_of
from tests.kit.folders import files_of

CHANGING = ("pipe_file", "rm_file")


class Killed(BaseException):
    """The process is gone: nothing after this reaches the store."""


@dataclass
class Faulty:
    """A file system of fsspec in front of which something may happen at every request.

    Attributes:
        fs: the real one.
        before: called with the method's name and the path before it is asked.
        after: likewise, when it has answered.
    """

    fs: Any
    before: Callable[[str, str], None] = lambda method, path: None
    after: Callable[[str, str], None] = lambda method, path: None

    def __getattr__(self, name: str) -> Any:
        there = getattr(self.fs, name)
        if name not in (*CHANGING, "cat_file", "find", "info"):
            return there

        def ask(path: str, *arguments: Any, **settings: Any) -> Any:
            self.before(name, path)
            answer = there(path, *arguments, **settings)
            self.after(name, path)
            return answer

        return ask


@dataclass
class Death:
    """Kills at the n-th change of the store, before or after it is made; what follows is dead, too.

    Attributes:
        number: of the change, from 1.
        late: the change is made.
        count: changes so far.
    """

    number: int
    late: bool
    count: int = 0
    dead: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def before(self, method: str, path: str) -> None:
        """Count, and die."""
        with self.lock:
            if self.dead:
                raise Killed
            if method in CHANGING:
                self.count += 1
                if self.count == self.number and not self.late:
                    self.dead = True
                    raise Killed

    def after(self, method: str, path: str) -> None:
        """Die."""
        with self.lock:
            if self.dead or (method in CHANGING and self.count >= self.number):
                self.dead = True
                raise Killed


@dataclass
class Stumbling:
    """Fails one request in `each`, as if it had never come or as if only the answer were lost."""

    each: int
    chance: random.Random
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, method: str, path: str) -> None:
        """Perhaps fail."""
        with self.lock:
            failing = self.chance.randrange(2 * self.each) == 0
            self.count += failing
        if failing:
            raise OSError("500 Internal Server Error")


def put_before(monkeypatch: pytest.MonkeyPatch, before: Any, after: Any = None) -> None:
    """Everything that a run asks a store goes past these."""

    def faulty(address: str) -> Store:
        store = store_of(address)
        return Store(store.scheme, Faulty(store.fs, before, after or (lambda method, path: None)))

    monkeypatch.setattr(folders, "store_of", faulty)
    monkeypatch.setattr(stores, "_FIRST_PAUSE", 0.0)


def objects(address: str) -> dict[str, bytes]:
    """Relative name → content of everything below an address."""
    store = store_of(address)
    return {name: store.read(join(address, name)) for name in store.list(address)}


def set_objects(address: str, held: dict[str, bytes]) -> None:
    """Below an address are these, and nothing else."""
    store_of(address).remove(join(address, name) for name in objects(address))
    for name, data in held.items():
        store_of(address).write(join(address, name), data)


def as_folder(held: dict[str, bytes]) -> dict[str, bytes]:
    """What the objects of a folder would be on a disk: segments put together."""
    found: dict[str, bytes] = {}
    for name in sorted(held):
        folder, _, file = name.rpartition("/")
        if folder.startswith(STATE) and folder.endswith(("/journal", "/candidates")):
            if MERGED in held and "/shards/" in folder:
                continue  # they count as gone
            assert int(file.removesuffix(".jsonl")) == len(found.get(f"{folder}.jsonl", b"")), name
            found[f"{folder}.jsonl"] = found.get(f"{folder}.jsonl", b"") + held[name]
        else:
            found[name] = held[name]
    return found


def copy_down(address: str, folder: Path) -> Path:
    """Every object as a file, as ``aws s3 sync`` would bring it."""
    for name, data in objects(address).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def copy_up(folder: Path, address: str) -> None:
    """The other way round."""
    for name, data in files_of(folder).items():
        store_of(address).write(join(address, name), data)


def segment_names(address: str, growing: str) -> list[str]:
    """The segments of ``journal.jsonl`` or ``candidates.jsonl``, in order."""
    folder = segments_folder(Path(STATE) / growing).as_posix()
    return sorted(name for name in store_of(address).list(address) if name.startswith(f"{folder}/"))
