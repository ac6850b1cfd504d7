"""Tar files of crops, as WebDataset reads them: after each crop comes the text of its row.

A crop's path begins with the name of its tar file: ``crops-00012.tar/day1/whale.jpg``. It is decided before
the photo is done and never changes, so which photos a tar file holds does not depend on when they were done.

Crops are small files first, in ``.detic-crop/pending`` (``day1/whale.jpg.wait``, which no reader of pictures
takes for one), and are recorded as such. When a tar file's photos are done, or the run ends, it is written
again from what it held and what is pending, in the order of the names, and put in place at once. So a kill at
any moment loses nothing, and the same crops give the same bytes.

In a store each tar file has an index beside it (``.detic-crop/tars/crops-00012.tar.json``), which says what
it holds, so that a resume asks for a few hundred kilobytes and not for the crops.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
import threading
from collections import Counter
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TypeAlias

from detic_crop.errors import UsageError
from detic_crop.folder.crop_paths import Place, file_of, is_tar_name, place_of
from detic_crop.folder.crops import FileCrops, Places
from detic_crop.folder.inside import Inside
from detic_crop.folder.journal import unfinished_crops
from detic_crop.folder.known import Known, OfPhoto
from detic_crop.folder.layout import Layout
from detic_crop.folder.mirror import Members, Mirror
from detic_crop.folder.names import TAR_RULES
from detic_crop.folder.records import Record, names_of
from detic_crop.folder.shard import Shard
from detic_crop.folder.there import is_there
from detic_crop.folder.typed_json import decode_any
from detic_crop.folder.write_errors import folder_errors
from detic_crop.folder.writer import Writer
from detic_crop.photos.tar_headers import TarHeaders

_WAITS = ".wait"  # after the name of a crop
_GONE = ".gone"  # a pending file of that name says that a sample is to leave its tar file
_DIGITS_AND_SUFFIX = len("00000.tar")
_FIELDS = (
    *("image", "status", "reason", "width", "height", "class_name", "score", "presence", "box", "crop_box"),
    *("n_candidates", "truncated", "damaged", "model"),
)
_FIELDS_OF_EXIF = ("taken", "camera", "lens", "focal_mm", "latitude", "longitude")


def tar_name(number: int, shard: Shard | None) -> str:
    """Return the name of the tar file of that number, of a whole run or a shard: ``crops-00012.tar``."""
    return f"crops-{'' if shard is None else f'{shard.folder_name}-'}{number:05}.tar"


class TarPlaces(Places):
    """Which tar file each crop goes to, photo by photo as they are done.

    What is recorded stays. But a shard leaves the tar files of other runs alone, which other shards may just
    change: it makes the crop in one of its own.

    Args:
        recorded: the crops of the journal.
        per_tar: most photos in each tar file. Those that came later and find theirs full go on in the next.
        shard: whose tar files they are.
    """

    def __init__(self, recorded: Iterable[str], per_tar: int, shard: Shard | None) -> None:
        self._per_tar = per_tar
        self._shard = shard
        self._own = tar_name(0, shard)[:-_DIGITS_AND_SUFFIX]
        self._filled = Counter(place.tar for place in map(place_of, recorded) if place)
        self._recorded = set(self._filled)
        self._used: set[str] = set()
        self._number = 0
        self._following = 0  # with room, for those whose own one has none

    def place(self, name: str, before: str) -> str:
        number = self._number // self._per_tar
        self._number += 1
        place = place_of(before)
        if place is not None and (self._shard is None or before.startswith(self._own)):
            self._used.add(place.tar)
            return before
        tar = tar_name(number, self._shard)
        if self._filled[tar] >= self._per_tar:
            self._following = max(self._following, number)
            while self._filled[tar := tar_name(self._following, self._shard)] >= self._per_tar:
                self._following += 1
        self._filled[tar] += 1
        self._used.add(tar)
        return f"{tar}/{name}"

    def refuse_foreign(self, files: Container[str], unfinished: Iterable[str]) -> None:
        """Refuse tar files in the place of ours that hold none of our crops."""
        for tar in sorted(self._used - self._recorded - set(map(file_of, unfinished))):
            if tar in files:
                raise UsageError(
                    "foreign_tar", f"{tar} in --out was not made by this run; move it, nothing was changed"
                )


def sample_of(record: Record) -> bytes:
    """Return the text that accompanies a crop: the fields of its row that a training needs, as JSON.

    ``box`` and ``crop_box`` are xyxy in pixels of the photo; what does not apply is null. What EXIF says is
    there where it was asked for and is known.
    """
    values = {name: getattr(record, name) for name in _FIELDS}
    if record.animals:  # of one of several crops of a photo the record is of one animal
        values["animal"] = record.animals[0].number
    values |= {name: value for name in _FIELDS_OF_EXIF if (value := getattr(record, name)) not in ("", None)}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


class TarCrops:
    """Crops in tar files; those that are set aside are files. Making one touches nothing.

    Args:
        layout: paths of the folder; a shard packs its own tar files only.
        inside: through which all of it is written.
        writer: makes temporary files.
        mirror: the store that the folder stands for.
    """

    def __init__(self, layout: Layout, inside: Inside, writer: Writer, mirror: Mirror) -> None:
        self._layout = layout
        self._inside = inside
        self._writer = writer
        self._mirror = mirror
        self._files = FileCrops(layout, inside, writer, mirror)
        self._open = ""  # the tar file that crops are put in now
        self._reading = threading.Lock()  # several threads may want a tar file that has to be fetched
        # Of a few tar files what is in them: a run goes through them in order.
        self._members = lru_cache(8)(self._read_members)

    rules = TAR_RULES

    def places(self, recorded: Iterable[str], per_tar: int) -> Places:
        """Return what says where each crop goes; see `FileCrops.places`."""
        return TarPlaces(recorded, per_tar, self._layout.shard)

    def replace_only(self, crops: Collection[str]) -> None:
        """Restrict what is set aside; a shard packs tar files of its own, so no crop needs it."""
        self._files.replace_only(crops)

    # ------------------------------------------------------------ one crop

    def size(self, name: str) -> int | None:
        """Return the bytes of a crop; None where there is none."""
        if (place := place_of(name)) is None:
            return self._files.size(name)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return os.lstat(self._waiting(place)).st_size
        if is_there(self._mark(place)):
            return None
        _, size = self._members(place.tar).get(place.name, (0, None))
        return size

    def read(self, name: str) -> bytes:
        """Return the bytes of a crop; see `FileCrops.read`."""
        if (place := place_of(name)) is None:
            return self._files.read(name)
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            self._inside.open_read(self._waiting(place)) as file,
        ):
            return file.read()
        if self.size(name) is None:
            raise FileNotFoundError(f"{place.tar} has no {place.name}")
        offset, size = self._members(place.tar)[place.name]
        try:
            with self._inside.open_read(self._layout.root / place.tar) as file:
                file.seek(offset)
                return file.read(size)
        except FileNotFoundError:
            return self._mirror.read(place.tar, offset, offset + size)

    def names_in(self, file: str) -> Sequence[str]:
        """Return the crops that a tar file holds, whether ours or not; see `FileCrops.names_in`."""
        if not is_tar_name(file):
            return (file,)
        held = self._all_members_here(file) or self._mirror.members(file)
        return [f"{file}/{name}" for name in held if not name.endswith(".json")]

    def waiting(self) -> int:
        """Return how many changes wait to be packed."""
        waiting = self._inside.files(self._layout.pending)
        return sum(path.name.endswith((_WAITS, _GONE)) for path in waiting)

    def path_of(self, name: str) -> str | None:
        """Return None: a browser does not look into tar files."""
        return None

    def put(self, name: str, data: bytes, record: Record) -> None:
        """Put a crop and the text of its row where the next packing finds them; see `FileCrops.put`."""
        if (place := place_of(name)) is None:
            self._files.put(name, data, record)
            return
        if self._open != place.tar:
            with folder_errors(self._layout.shown):  # not the fault of this crop
                self.flush()  # all that a run does there is done
        self._open = place.tar
        self._mirror.hold_back()
        temporary = self._writer.write_temporary(data)
        try:
            self._put_text(place, record)
        except OSError:
            with contextlib.suppress(OSError):
                self._inside.remove(temporary)
            raise
        self._writer.rename(temporary, self._waiting(place))
        with contextlib.suppress(OSError):  # what waits counts more than a mark
            self._inside.remove(self._mark(place))

    def _put_text(self, place: Place, record: Record) -> None:
        text = self._text(place)
        try:
            self._inside.write_new(text, sample_of(record), make=True)
        except FileExistsError:  # of a crop that was made before and is not packed yet
            self._writer.rename(self._writer.write_temporary(sample_of(record)), text)

    def move(self, name: str, target: str, record: Record) -> None:
        """Move a crop out of its tar file, or back."""
        if place_of(name) is None and place_of(target) is None:
            self._files.move(name, target, record)
            return
        self.put(target, self.read(name), record)
        self.discard(name)

    def discard(self, name: str) -> None:
        """Remove a crop, if it is there; its place in the tar file is given up at the next packing."""
        if (place := place_of(name)) is None:
            self._files.discard(name)
            return
        if not self._is_packed_here(place.tar):
            self._mirror.refuse_pending(name)
        self._mirror.hold_back()
        self.forget(name)  # first: where this fails, what is packed stays
        if place.name in self._members(place.tar):
            with contextlib.suppress(FileExistsError):
                self._inside.write_new(self._mark(place), b"", make=True)

    def forget(self, name: str) -> None:
        """Remove what waits to be packed of a crop; what is packed stays."""
        if place := place_of(name):
            self._inside.remove(self._waiting(place))
            self._inside.remove(self._text(place))

    def recover(self, records: Known[OfPhoto]) -> None:
        """Forget the crops that a killed run put and did not record: they must not get into a tar file."""
        with folder_errors(self._layout.shown):
            for crop in unfinished_crops(self._layout.candidates, records):
                self.forget(crop)
            for crop in self._strays(records):
                self.forget(crop)

    def _strays(self, records: Known[OfPhoto]) -> list[str]:
        """Return the waiting crops of photos that have another by now, as after shards of their own files."""
        pending = self._layout.pending
        names = (path.relative_to(pending).as_posix() for path in self._inside.files(pending))
        strays = []
        for name in (name.removesuffix(_WAITS) for name in names if name.endswith(_WAITS)):
            place = place_of(name)
            if place is None or not self._is_packed_here(place.tar):
                continue
            try:
                with self._inside.open_read(self._text(place)) as file:
                    record = records.get(decode_any(file.read())["image"])
            except (FileNotFoundError, ValueError, LookupError, TypeError):
                continue  # it has no text, so it will not be packed
            if record is not None and name not in names_of(record):
                strays.append(name)
        return strays

    def _waiting(self, place: Place) -> Path:
        """Return the path of a waiting crop; one of an earlier version has no ending."""
        folder = self._layout.pending / place.tar
        if f"{place.tar}/{place.name}" in self._earlier:
            return folder / place.name
        return folder / (place.name + _WAITS)

    def _text(self, place: Place) -> Path:
        return self._layout.pending / place.tar / _sample_name(place.name)

    def _mark(self, place: Place) -> Path:
        return self._layout.pending / place.tar / (place.name + _GONE)

    def rename_earlier(self) -> None:
        """Give the crops that an earlier version left waiting the names that they have now."""
        for name in self._of_earlier_version():
            path = self._layout.pending / name
            self._inside.replace(path, path.with_name(path.name + _WAITS))
        self._earlier = frozenset()

    def _of_earlier_version(self) -> frozenset[str]:
        """Return the crops that wait under their own names, as ``crops-00012.tar/day1/whale.jpg``."""
        pending = self._layout.pending
        names = (path.relative_to(pending).as_posix() for path in self._inside.files(pending))
        return frozenset(name for name in names if not name.endswith((".json", _GONE, _WAITS)))

    @cached_property
    def _earlier(self) -> frozenset[str]:
        return self._of_earlier_version()

    # ------------------------------------------------------------ tar files

    def flush(self) -> None:
        """Pack whatever waits; see `FileCrops.flush`."""
        self._open = ""
        self._mirror.wait()  # what has gone up is removed here
        try:
            waiting = sorted(os.listdir(self._layout.pending))
        except FileNotFoundError:
            waiting = []
        for tar in filter(is_tar_name, waiting):
            if self._is_packed_here(tar):
                self._pack(tar)
        with contextlib.suppress(OSError):  # it is not there, or other shards are at work
            self._inside.rmdir(self._layout.pending)
        self._mirror.catch_up()

    def _is_packed_here(self, tar: str) -> bool:
        shard = self._layout.shard
        return shard is None or shard.folder_name in tar

    def _pack(self, tar: str) -> None:
        """Write a tar file again from what it holds and what waits for it.

        Raises:
            OSError: it cannot be written; nothing is lost.
        """
        folder = self._layout.pending / tar
        target = self._layout.root / tar
        waiting = {
            name.removesuffix(_WAITS): path
            for path in self._inside.files(folder)
            for name in [path.relative_to(folder).as_posix()]
        }
        if not waiting:  # folders that a killed run emptied
            self._inside.remove_tree(folder)
            return
        self._mirror.fetch(tar)
        held = self._members(tar)
        names = {name for name in (*held, *waiting) if not name.endswith((".json", _GONE))}
        names -= {name.removesuffix(_GONE) for name in waiting if name.endswith(_GONE)} - waiting.keys()
        # What has no text beside it is not one of our crops.
        names = {name for name in names if _sample_name(name) in waiting or _sample_name(name) in held}
        temporary = self._writer.new_path()
        if names:
            try:
                self._write(temporary, tar, sorted(names), waiting, held)
            except OSError:
                with contextlib.suppress(OSError):
                    self._inside.remove(temporary)
                raise
            self._writer.rename(temporary, target)
        else:
            self._inside.remove(target)
        self._members.cache_clear()
        self._inside.remove(self._layout.indexes / f"{tar}.json")  # in a copy of a store
        if names:
            self._mirror.put_tar(tar, self._members_here(tar))
        else:
            self._mirror.remove_tar(tar)
        # Killed before this, the next packing makes the same again.
        self._inside.remove_tree(folder)

    def _write(
        self,
        path: Path,
        tar: str,
        names: Iterable[str],
        waiting: Mapping[str, Path],
        held: Members,
    ) -> None:
        with contextlib.ExitStack() as opened:
            before = opened.enter_context(self._inside.open_read(self._layout.root / tar)) if held else None
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

    def _read_members(self, tar: str) -> Members:
        """Return name → (offset, size) of what a tar file holds; nothing where there is none."""
        with self._reading:
            if found := self._members_here(tar) or self._mirror.members(tar):
                return found
            self._mirror.fetch(tar)  # its index does not fit it: something else has changed it
            return self._members_here(tar)

    def _members_here(self, tar: str) -> Members:
        """Return what of our samples a tar file on this disk holds."""
        found = self._all_members_here(tar)
        return {
            name: span
            for name, span in found.items()
            if name.endswith(".json") or _sample_name(name) in found
        }

    def _all_members_here(self, tar: str) -> Members:
        found: dict[str, tuple[int, int]] = {}
        with (
            contextlib.suppress(FileNotFoundError, tarfile.TarError),  # cut short: what is whole counts
            self._inside.open_read(self._layout.root / tar) as file,
            io.BufferedReader(file) as whole,
        ):
            end = os.fstat(file.fileno()).st_size
            for info in TarHeaders(whole):
                if info.is_file and info.offset + info.size <= end:
                    found[info.name] = info.offset, info.size
        return found


Crops: TypeAlias = FileCrops | TarCrops
"""The crops of an output folder; its settings decide which, and nothing outside of these classes asks."""


def _sample_name(name: str) -> str:
    return os.path.splitext(name)[0] + ".json"
