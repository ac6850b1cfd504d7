"""Crops in tar files, as WebDataset reads them: ``name.jpg`` and ``name.json`` for each photo.

A crop's path begins with the name of its tar file: ``crops-00012.tar/day1/whale.jpg``. It is decided before
the photo is done and never changes, so which photos a tar file holds does not depend on when they were done.

Crops are small files first, in ``.detic-crop/pending`` (``day1/whale.jpg.wait``, which no reader of pictures
takes for one), and are recorded as such. When a tar file's photos
are done, or the run ends, it is made anew from what it held and what is pending, in the order of the names,
and put in place at once. So a kill at any moment loses nothing, and the same crops give the same bytes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

from detic_crop.folder.inside import Inside
from detic_crop.folder.layout import INDEXES, PENDING
from detic_crop.folder.records import Record
from detic_crop.folder.shard import Shard

_WAITS = ".wait"  # after the name of a crop
_GONE = ".gone"  # a pending file of that name says that a sample is to leave its tar file
_DIGITS_AND_SUFFIX = len("00000.tar")
_NAME = re.compile(r"crops-(?:\d{4,}-of-\d{4,}-)?\d{5,}\.tar")
_FIELDS = (
    *("image", "status", "reason", "width", "height", "class_name", "score", "presence", "box", "crop_box"),
    *("n_candidates", "truncated", "damaged", "model"),
)


class Place(NamedTuple):
    """A crop's tar file and its name there."""

    tar: str
    name: str


def tar_name(number: int, shard: Shard | None) -> str:
    """What the tar file of that number is called, of a whole run or of a shard: ``crops-00012.tar``."""
    return f"crops-{'' if shard is None else f'{shard.folder_name}-'}{number:05}.tar"


def is_tar_name(name: str) -> bool:
    """Whether one of our tar files may be called so."""
    return _NAME.fullmatch(name) is not None


def place_of(crop: str) -> Place | None:
    """Where in which tar file a crop is; None of one that is a file of its own."""
    if not crop.startswith("crops-"):  # nearly all
        return None
    tar, _, name = crop.partition("/")
    return Place(tar, name) if name and is_tar_name(tar) else None


def within(crop: str) -> str:
    """A crop's path without the name of a tar file."""
    place = place_of(crop)
    return place.name if place else crop


def in_tars(
    names: Mapping[str, str],
    order: Sequence[str],
    recorded: Mapping[str, str],
    per_tar: int,
    shard: Shard | None,
) -> dict[str, str]:
    """The path of every crop, with its tar file.

    Args:
        names: key → path in whichever tar file; no two are alike.
        order: the keys of this run's photos in the order in which they are done; only these are answered.
        recorded: key → path as journalled before, which stays. But a shard leaves the tar files of other
            runs alone, which other shards may just change: it makes the crop in one of its own.
        per_tar: photos in each, at most. Those that came later and find theirs full go on in the next.
        shard: whose tar files they are.
    """
    own = tar_name(0, shard)[:-_DIGITS_AND_SUFFIX]
    filled = Counter(place.tar for place in map(place_of, recorded.values()) if place)
    paths = {}
    following = 0  # with room, for those whose own one has none
    for number, key in enumerate(order):
        before = recorded.get(key, "")
        if place_of(before) is not None and (shard is None or before.startswith(own)):
            paths[key] = before
            continue
        tar = tar_name(number // per_tar, shard)
        if filled[tar] >= per_tar:
            following = max(following, number // per_tar)
            while filled[tar := tar_name(following, shard)] >= per_tar:
                following += 1
        filled[tar] += 1
        paths[key] = f"{tar}/{names[key]}"
    return paths


def sample_of(record: Record) -> bytes:
    """What stands beside a crop: the fields of its row that a training needs, as JSON.

    ``box`` and ``crop_box`` are xyxy in pixels of the photo; what does not apply is null.
    """
    values = {name: getattr(record, name) for name in _FIELDS}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


class TarCrops:
    """The tar files of one output folder. Making one touches nothing.

    Args:
        inside: of the output folder.
        home: its ``.detic-crop``.
        new_file: makes the name of a temporary file on the same disk.
        shard: whose tar files are packed; None packs all.
    """

    def __init__(self, inside: Inside, home: Path, new_file: Callable[[], Path], shard: Shard | None) -> None:
        self._shard = shard
        self._inside = inside
        self._root = inside.root
        self._pending = home / PENDING
        self._new_file = new_file
        self._open = ""  # the tar file that crops are placed in now
        self.packed: set[str] = set()  # since somebody emptied it
        # Of a few tar files what is in them: a run goes through them in order.
        self._members = lru_cache(8)(self._read_members)

    # ------------------------------------------------------------ one crop

    def put(self, temporary: Path, place: Place, record: Record) -> None:
        """Rename a finished crop to where the next packing finds it.

        Raises:
            OSError: it cannot be written.
        """
        if self._open != place.tar:
            self.pack_all()  # all that a run does there is done
        self._open = place.tar
        text = self._text(place)
        try:
            self._inside.write_new(text, sample_of(record), make=True)
        except FileExistsError:  # of a crop that was made before and is not packed yet
            new = self._new_file()
            self._inside.write_new(new, sample_of(record))
            self._inside.replace(new, text)
        self._inside.replace(temporary, self._waiting(place))
        self._inside.remove(self._mark(place))

    def size(self, place: Place) -> int:
        """Bytes of a crop; -1 where there is none."""
        with contextlib.suppress(OSError):
            return os.lstat(self._waiting(place)).st_size
        if self._mark(place).exists():
            return -1
        return self._members(place.tar).get(place.name, (0, -1))[1]

    def read(self, place: Place) -> bytes:
        """A crop's bytes.

        Raises:
            OSError: it is not there.
        """
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            self._inside.open_read(self._waiting(place)) as file,
        ):
            return file.read()
        if self.size(place) < 0:
            raise FileNotFoundError(f"{place.tar} has no {place.name}")
        return self._packed(place.tar, *self._members(place.tar)[place.name])

    def _packed(self, tar: str, offset: int, size: int) -> bytes:
        with self._inside.open_read(self._root / tar) as file:
            file.seek(offset)
            return file.read(size)

    def discard(self, place: Place) -> None:
        """Remove a crop, if it is there; its place in the tar file is given up at the next packing.

        Raises:
            OSError: it cannot be removed.
        """
        if place.name in self._members(place.tar):
            with contextlib.suppress(FileExistsError):
                self._inside.write_new(self._mark(place), b"", make=True)
        self.forget(place)

    def forget(self, place: Place) -> None:
        """Remove what waits to be packed of a crop; what is packed stays.

        Raises:
            OSError: it cannot be removed.
        """
        self._inside.remove(self._waiting(place))
        self._inside.remove(self._text(place))

    def _waiting(self, place: Place) -> Path:
        """The crop itself, or that of an earlier version, until it is renamed."""
        folder = self._pending / place.tar
        if f"{place.tar}/{place.name}" in self._earlier:
            return folder / place.name
        return folder / (place.name + _WAITS)

    def _text(self, place: Place) -> Path:
        return self._pending / place.tar / _sample_name(place.name)

    def _mark(self, place: Place) -> Path:
        return self._pending / place.tar / (place.name + _GONE)

    def goes_on(self, place: Place) -> bool:
        """Whether `put` packs nothing before it takes this crop."""
        return self._open == place.tar

    # ------------------------------------------------------------ tar files

    def pack_all(self) -> None:
        """Pack whatever waits.

        Raises:
            OSError: a tar file cannot be written; nothing is lost.
        """
        self._open = ""
        try:
            waiting = sorted(os.listdir(self._pending))
        except FileNotFoundError:
            return
        for tar in filter(is_tar_name, waiting):
            if self._shard is None or self._shard.folder_name in tar:
                self.pack(tar)
        with contextlib.suppress(OSError):  # other shards are at work
            self._inside.rmdir(self._pending)

    def pack(self, tar: str) -> None:
        """Make a tar file anew from what it holds and what waits for it.

        Raises:
            OSError: it cannot be written; nothing is lost.
        """
        waiting = {
            name.removesuffix(_WAITS): path
            for path in self._inside.files(self._pending / tar)
            for name in [path.relative_to(self._pending / tar).as_posix()]
        }
        if not waiting:
            return
        self._bring(tar)
        held = self._members(tar)
        names = {name for name in (*held, *waiting) if not name.endswith((".json", _GONE))}
        names -= {name.removesuffix(_GONE) for name in waiting if name.endswith(_GONE)} - waiting.keys()
        # What has no text beside it is no crop of ours.
        names = {name for name in names if _sample_name(name) in waiting or _sample_name(name) in held}
        temporary = self._new_file()
        try:
            if names:
                self._write(temporary, tar, sorted(names), waiting, held)
                self._inside.replace(temporary, self._root / tar)
            else:
                self._inside.remove(self._root / tar)
        except OSError:
            with contextlib.suppress(OSError):
                self._inside.remove(temporary)
            raise
        self._members.cache_clear()
        self.packed.add(tar)
        self._inside.remove(self._pending.parent / INDEXES / f"{tar}.json")  # in a copy of a store
        # Killed before this, the next packing makes the same again.
        self._inside.remove_tree(self._pending / tar)

    def _write(
        self,
        path: Path,
        tar: str,
        names: Iterable[str],
        waiting: Mapping[str, Path],
        held: Mapping[str, tuple[int, int]],
    ) -> None:
        with contextlib.ExitStack() as opened:
            before = opened.enter_context(self._inside.open_read(self._root / tar)) if held else None
            file = opened.enter_context(self._inside.create(path, make=True))
            whole = opened.enter_context(io.BufferedWriter(file))
            made = opened.enter_context(tarfile.open(fileobj=whole, mode="w", format=tarfile.PAX_FORMAT))
            for name in names:
                for part in (name, _sample_name(name)):
                    # Killed while it removed what it had packed, a run leaves a half, and both are held.
                    if name in waiting and (part in waiting or part not in held):
                        with self._inside.open_read(waiting[part]) as waited:
                            data = waited.read()
                    else:
                        assert before is not None
                        offset, size = held[part]
                        before.seek(offset)
                        data = before.read(size)
                    info = tarfile.TarInfo(part)  # no owner and no time: the same crops, the same bytes
                    info.size = len(data)
                    made.addfile(info, io.BytesIO(data))

    def _read_members(self, tar: str) -> dict[str, tuple[int, int]]:
        """Name → (offset, size) of what a tar file holds; nothing where there is none."""
        found: dict[str, tuple[int, int]] = {}
        with (
            contextlib.suppress(FileNotFoundError, tarfile.TarError),  # cut short: what is whole counts
            self._inside.open_read(self._root / tar) as file,
            io.BufferedReader(file) as whole,
            tarfile.open(fileobj=whole, mode="r:") as opened,
        ):
            end = os.fstat(file.fileno()).st_size
            for info in opened:
                if info.offset_data + info.size <= end:
                    found[info.name] = info.offset_data, info.size
        return {
            name: span
            for name, span in found.items()
            if name.endswith(".json") or _sample_name(name) in found
        }

    def _bring(self, tar: str) -> None:
        """See to it that a tar file can be read here, if there is one."""

    def rename_pictures(self) -> None:
        """Give the crops that an earlier version left here the names that they have now.

        Raises:
            OSError: one cannot be renamed.
        """
        for name in self._of_earlier_version():
            path = self._pending / name
            self._inside.replace(path, path.with_name(path.name + _WAITS))
        self._earlier = frozenset()

    def _of_earlier_version(self) -> frozenset[str]:
        """The crops that wait under their own names, as ``crops-00012.tar/day1/whale.jpg``."""
        paths = self._inside.files(self._pending)
        names = (path.relative_to(self._pending).as_posix() for path in paths)
        return frozenset(name for name in names if not name.endswith((".json", _GONE, _WAITS)))

    @cached_property
    def _earlier(self) -> frozenset[str]:
        return self._of_earlier_version()

    def remove(self, crops: Iterable[str]) -> None:
        """Remove the tar files that hold some crops, whole, and all that waits.

        Raises:
            OSError: one cannot be removed.
        """
        for tar in {place.tar for place in map(place_of, crops) if place}:
            self._inside.remove(self._root / tar)
            self._inside.remove_tree(self._pending / tar, ignore_errors=True)
        self._members.cache_clear()


def _sample_name(name: str) -> str:
    return os.path.splitext(name)[0] + ".json"
