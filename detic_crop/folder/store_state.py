"""The objects of a folder in a store, and the local files that stand for some of them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec

from detic_crop.errors import UsageError
from detic_crop.folder.inside import Inside, write_all
from detic_crop.folder.layout import INDEXES, SHARDS
from detic_crop.folder.segments import continuing, pieces, segment_name, segments_folder
from detic_crop.folder.shard import Shard
from detic_crop.folder.typed_json import decode_any
from detic_crop.photos.keys import STATE
from detic_crop.stores.addresses import join, redact
from detic_crop.stores.store import PARALLEL, ObjectInfo, Store, map_parallel

MERGED = f"{STATE}/shards-merged.json"
"""Exists while merged shards are removed: what is left of them counts as gone."""

_PLAIN = (
    *("listing.json", "part.json", "labels.csv", "labels.json", "review.csv", "sample.csv", "run.json"),
    *("tables.json", "folds.json", "times.json", "written.json", "second_review.csv", "progress.json"),
)
_GROWING = ("journal.jsonl", "candidates.jsonl")
_Signature = tuple[int, int, int]
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]


class StoreState:
    """The objects of one folder in a store, and the local files that stand for some of them.

    Attributes:
        store: the store.
        address: address of the folder.
        root: the local folder.
        found: path relative to the folder → what the store says of it, for everything in `.detic-crop`.
        cut_off: whether a removal of merged shards was not finished.
    """

    def __init__(self, store: Store, address: str, root: Path) -> None:
        self.store, self.address, self.root = store, address, root
        self._below = Inside(root)
        self.found: dict[str, ObjectInfo] = {}
        self.cut_off = False
        self._inside: dict[str, dict[str, ObjectInfo]] = {}  # the same by folder
        self._loaded: set[str] = set()  # state folders
        self._outside: dict[str, ObjectInfo] | None = None
        self._parts: dict[Path, dict[str, ObjectInfo]] = {}  # what a local growing file was made of
        self._damage: dict[Path, UsageError] = {}  # of a growing file
        self._sent: dict[Path, int] = {}  # bytes of it that the store has
        self._known: dict[Path, ObjectInfo] = {}  # of plain files: what was downloaded
        self._signatures: dict[Path, _Signature] = {}  # and what it looked like here

    def where(self, name: str) -> str:
        """Return the address of an object."""
        return join(self.address, name)

    def name_of(self, path: Path) -> str:
        """Return the name of the object that a local file stands for."""
        return path.relative_to(self.root).as_posix()

    def outside(self) -> dict[str, ObjectInfo]:
        """Return every object of the folder but those in `.detic-crop`; listed once, when first asked for."""
        if self._outside is None:
            everything = self.store.list(self.address)
            self._outside = {n: f for n, f in everything.items() if not n.startswith(f"{STATE}/")}
        return self._outside

    @property
    def damage(self) -> UsageError | None:
        """What is wrong with the segments that were loaded: one is missing, or two overlap."""
        return next(iter(self._damage.values()), None)

    def stat(self, name: str) -> ObjectInfo | None:
        """Return what the store said of an object; None where there is none."""
        return self.found.get(name) if name.startswith(f"{STATE}/") else self.outside().get(name)

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes of an object, or some of them.

        Raises:
            OSError: it cannot be read.
        """
        return self.store.read(self.where(name), start, end)

    def read_at_most(self, name: str, most: int) -> bytes:
        """Return the bytes of an object; none of a larger one.

        Raises:
            OSError: it cannot be read.
        """
        address = self.where(name)
        return self.store.read_at_most(address, most) if self.store.stat(address).size <= most else b""

    def load(self, shard: Shard | None) -> None:
        """Download what a run has to know, or what of it is new; note what is wrong with it in `damage`.

        Args:
            shard: downloads its own state, the records of the unsharded folder, and of other shards only the
                settings.

        Raises:
            OSError: the store cannot be read.
        """
        listed = self.store.list(self.where(STATE))
        self.found = {f"{STATE}/{name}": found for name, found in listed.items() if name}
        self._inside = {}
        for path, found in self.found.items():
            folder, _, name = path.rpartition("/")
            self._inside.setdefault(folder, {})[name] = found
        self.cut_off = MERGED in self.found
        self._outside = None
        homes = self._homes()
        for home in self._loaded - set(homes):  # merged meanwhile
            self._forget_home(home)
            self._below.remove_tree(self.root / home, ignore_errors=True)
        self._loaded = set(homes)
        for home in homes:
            own = home == (STATE if shard is None else f"{STATE}/{SHARDS}/{shard.folder_name}")
            near = own or shard is None or home == STATE
            if near:
                self._load_plain(home)
            for file in _GROWING:
                if near and (file == "journal.jsonl" or own or shard is None):
                    self._load_growing(self.root / home / file)
                elif file == "journal.jsonl":
                    self._load_head(self.root / home / file)

    def _homes(self) -> list[str]:
        """Return the state folders: that of the whole and those of shards."""
        parts = (name.split("/") for name in self.found)
        names = {
            part[2] for part in parts if len(part) > 3 and part[1] == SHARDS and Shard.of_folder(part[2])
        }
        return [STATE] if self.cut_off else [STATE, *(f"{STATE}/{SHARDS}/{name}" for name in sorted(names))]

    def _load_plain(self, home: str) -> None:
        for path in (self.root / home / file for file in _PLAIN):
            found = self.found.get(self.name_of(path))
            if found == self._known.get(path):
                continue
            if found is None:
                self.forget(path)
                self._below.remove(path)
                continue
            self._write(path, self.store.read(self.where(self.name_of(path))))
            self._known[path] = found
            self._signatures[path] = _signature(path)

    def _load_growing(self, path: Path) -> None:
        parts = self._parts_of(path)
        before = self._parts.get(path, {})
        if parts == before:
            return
        changed = any(parts.get(name) != found for name, found in before.items())
        if changed or path in self._damage:  # begun again meanwhile, or repaired
            self.forget(path)
            self._below.remove(path)
        base = path.name
        if path not in self._sent and base in parts:  # of a folder that was copied here
            data = self.store.read(self.where(self.name_of(path)))
            self._write(path, data[: data.rfind(b"\n") + 1])
            self._sent[path] = path.stat().st_size
        end = self._sent.get(path, 0)
        sizes = {name: found.size for name, found in parts.items() if name != base}
        try:
            names = continuing(sizes, end, redact(self.where(self.name_of(path))))
        except UsageError as error:
            self._damage[path] = error
            names = sorted(sizes.keys() - before.keys())  # whoever removes the run has to know what they name
        self._parts[path] = parts
        if not names:
            return
        self._below.mkdir(path.parent)
        folder = self.name_of(segments_folder(path))
        with self._below.open_grown(path) as file:
            file.seek(0, os.SEEK_END)
            for some in _some(self.where(f"{folder}/{name}") for name in names):
                for data in map_parallel(self.store.read, some):
                    write_all(file, data)
        self._sent[path] = path.stat().st_size

    def _load_head(self, path: Path) -> None:
        """Download the first line of a journal: its settings."""
        parts = self._parts_of(path)
        if path.exists() or not parts:
            return
        first = path if path.name in parts else segments_folder(path) / segment_name(0)
        data = self.store.read(self.where(self.name_of(first)), 0, 1 << 20)
        self._write(path, data[: data.find(b"\n") + 1])

    def _parts_of(self, path: Path) -> dict[str, ObjectInfo]:
        """Return the parts of a growing file: segments by name, and the file itself if it was copied."""
        parts = dict(self._inside.get(self.name_of(segments_folder(path)), {}))
        if (whole := self.found.get(self.name_of(path))) is not None:
            parts[path.name] = whole
        return parts

    def forget(self, path: Path) -> None:
        """Forget what the store has of a file."""
        for known in (self._parts, self._damage, self._sent, self._known, self._signatures):
            known.pop(path, None)

    def send_changed(self, paths: Iterable[Path]) -> None:
        """Upload plain files that are new or have changed; remove the objects of those that are gone.

        Raises:
            OSError: the store cannot be written.
        """
        for path in paths:
            try:
                signature = _signature(path)
            except FileNotFoundError:
                if path in self._signatures:
                    self.remove([self.name_of(path)])
                    self.forget(path)
                continue
            if signature != self._signatures.get(path):
                data = path.read_bytes()
                self.store.write(self.where(self.name_of(path)), data)
                self._signatures[path] = signature

    def send_growth(self, path: Path, end: int) -> None:
        """Upload what a growing file has grown by, up to a byte, as immutable segments.

        Raises:
            FileExistsError: another run has continued it.
            OSError: the store cannot be written.
        """
        start = self._sent.get(path, 0)
        if end <= start:
            return
        folder = self.name_of(segments_folder(path))
        with open(path, "rb") as file:
            file.seek(start)
            grown = file.read(end - start)
        for data in pieces(grown):
            self.store.create(self.where(f"{folder}/{segment_name(start)}"), data)
            start += len(data)
            self._sent[path] = start

    def send_crops(self, crops: Iterable[str]) -> None:
        """Upload crops.

        Raises:
            OSError: the store cannot be written.
        """
        map_parallel(self._send_crop, crops)

    def _send_crop(self, crop: str) -> None:
        data = (self.root / crop).read_bytes()
        self.store.write(self.where(crop), data)
        if crop.startswith(f"{STATE}/"):
            self.found[crop] = ObjectInfo(len(data), 0)
        elif self._outside is not None:
            self._outside[crop] = ObjectInfo(len(data), 0)

    def send_tar(self, tar: str, members: Mapping[str, tuple[int, int]]) -> None:
        """Upload a tar file, and its index: what it holds.

        Raises:
            OSError: the store cannot be written.
        """
        self._send_crop(tar)
        # The sizes of other crops may add up to the same: only the store can tell two versions apart.
        found = self.store.stat(self.where(tar))
        if self._outside is not None:
            self._outside[tar] = found
        index = {"size": found.size, "stamp": found.version, "members": members}
        data = json.dumps(index, ensure_ascii=False, separators=(",", ":")).encode()
        self.store.write(self.where(_index_of(tar)), data)
        self.found[_index_of(tar)] = ObjectInfo(len(data), 0)

    def remove_tar(self, tar: str) -> None:
        """Remove a tar file and its index.

        Raises:
            OSError: the store cannot be written.
        """
        self.remove([tar, _index_of(tar)])

    def members(self, tar: str) -> dict[str, tuple[int, int]]:
        """Return what a tar file holds by its index; nothing where there is none that fits it.

        Raises:
            OSError: the store cannot be read.
        """
        there = self.outside().get(tar)
        if there is None:
            return {}
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            index = decode_any(self.read(_index_of(tar)))
            if there.version and (index["size"], index["stamp"]) == there:
                return msgspec.convert(index["members"], dict[str, tuple[_Bytes, _Bytes]])
        return {}

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects.

        Raises:
            OSError: the store cannot be written.
        """
        names = list(names)
        self.store.remove(map(self.where, names))
        for name in names:
            self.found.pop(name, None)
            if self._outside is not None:
                self._outside.pop(name, None)

    def remove_state(self, home: str) -> None:
        """Remove what runs keep in a state folder, the journal last.

        Raises:
            OSError: the store cannot be written.
        """
        kinds: dict[str, list[str]] = {"": [], "candidates": [], "journal": []}
        for name in self.found:
            if name.startswith(f"{home}/"):
                first = name.removeprefix(f"{home}/").partition("/")[0]
                if first in (*_PLAIN, "rejected", INDEXES, SHARDS):
                    kinds[""].append(name)
                elif first.removesuffix(".jsonl") in kinds:
                    kinds[first.removesuffix(".jsonl")].append(name)
        for names in kinds.values():
            self.remove(names)
        self._forget_home(home)

    def _forget_home(self, home: str) -> None:
        for file in (*_PLAIN, *_GROWING):
            self.forget(self.root / home / file)

    def remove_merged_shards(self) -> None:
        """Remove the states of all shards, or what an earlier call left of them.

        Raises:
            OSError: the store cannot be written.
        """
        # First noted, then done: half of them would look like shards of which the others never ran.
        if not self.cut_off:
            self.store.write(self.where(MERGED), b"{}\n")
        self.remove([name for name in self.found if name.startswith(f"{STATE}/{SHARDS}/")])
        self.remove([MERGED])
        self.cut_off = False

    def bring(self, name: str) -> None:
        """Download an object to where it would be in a local folder.

        Raises:
            OSError: it cannot be read.
        """
        self._write(self.root / name, self.store.read(self.where(name)))

    def _write(self, path: Path, data: bytes) -> None:
        self._below.remove(path)
        self._below.write_new(path, data, make=True)


def _index_of(tar: str) -> str:
    return f"{STATE}/{INDEXES}/{tar}.json"


def _signature(path: Path) -> _Signature:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size, status.st_ino


def _some(items: Iterable[str]) -> Iterator[list[str]]:
    """Yield the items in groups: the contents of one group are in memory together."""
    rest = iter(items)
    while some := list(islice(rest, PARALLEL)):
        yield some
