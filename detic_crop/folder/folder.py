"""The output folder: its layout, its lock, and the rules that keep other people's files safe."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from detic_crop.errors import OutputError, UsageError
from detic_crop.folder.crops import AnyCrops
from detic_crop.folder.inside import Inside
from detic_crop.folder.journal import Known, replay_entries, unfinished_crops
from detic_crop.folder.layout import INDEXES, OWNER, PENDING, REJECTED, SHARDS, Layout
from detic_crop.folder.names import ASIDE, aside_name
from detic_crop.folder.patience import Patience
from detic_crop.folder.records import Record
from detic_crop.folder.segments import complete, is_incomplete, segments_folder
from detic_crop.folder.shard import Shard
from detic_crop.folder.tar_crops import TarCrops, place_of
from detic_crop.photos.keys import STATE as STATE
from detic_crop.photos.location import Location
from detic_crop.stores.addresses import is_address
from detic_crop.wording import counted

# What lies in the state folder of a run or of a shard, and whether it is a folder.
_OURS_IN_STATE = {
    **dict.fromkeys(
        ("journal.jsonl", "candidates.jsonl", "listing.json", "labels.csv", "labels.json"), False
    ),
    **dict.fromkeys(("part.json", "run.json", "sample.csv", "review.csv", "review.lock"), False),
    **dict.fromkeys(("lock", OWNER), False),
    **dict.fromkeys(("journal", "candidates", "rejected", SHARDS, "tmp", PENDING, INDEXES), True),
}
_LOOK = 0.25  # seconds between looks at a lock

# The disk or the folder is at fault, not the photo: going on would fail every photo after this one.
_FATAL_ERRNOS = {
    getattr(errno, name)
    for name in (
        "ENOSPC",
        "EDQUOT",
        "EROFS",
        "EACCES",
        "EPERM",
        "EIO",
        "EMFILE",
        "ENFILE",
        "ESTALE",
        "ENODEV",
    )
    if hasattr(errno, name)
}


class OutputFolder:
    """Paths of one output folder. Making one touches nothing.

    The shards of a run share the crops, the verdicts and the tables, which `merge` writes; each has its own
    journal, candidates, listing, labels, lock and temporary files.

    Attributes:
        layout: its paths.
        crops: its crops.
        root: the folder with the crops.
        shown: what messages call it.
        inside: through which whatever is written, renamed or removed below it goes.
        shard: which of several runs that write to it; None for a run that is alone there.
        ours: of a shard, the crops that it may replace; None where names keep clear of what others left.
        private_locations: key → location of a photo of this call that holds a secret, so is not written down.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        shard: Shard | None = None,
        inside: Inside | None = None,
        shown: str | None = None,
    ) -> None:
        self.layout = Layout(root, shard, shown)
        self.root = self.layout.root
        self.shown = self.layout.shown
        self.inside = inside or Inside(self.root)
        self.shard = shard
        self.ours: set[str] | None = None
        self.private_locations: dict[str, Location] = {}
        self.crops = AnyCrops(self)
        self.tars = TarCrops(self.inside, self.layout.root_state, self._new_temporary, shard)
        self._counter = itertools.count()
        self._above = os.path.join(self.root, "")

    @property
    def whole(self) -> OutputFolder:
        """The folder without a shard."""
        return self if self.shard is None else self.with_shard(None)

    def with_shard(self, shard: Shard | None) -> OutputFolder:
        """The same folder as another shard's, or as that of the whole."""
        return OutputFolder(self.root, shard, self.inside)

    def preview(self) -> OutputFolder:
        """Return the same folder with a journal of its own, which begins as a copy.

        Tables can be made from it of what is not to stay; it is dropped with the temporary files.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        view = self.with_shard(None)
        view.layout = self.layout.preview()
        view.create()
        for name in ("journal", "candidates", "listing"):
            path, copy_path = getattr(self.layout, name), getattr(view.layout, name)
            if path.exists():
                with (
                    output_errors(self.shown),
                    open(path, "rb") as file,
                    self.inside.create(copy_path) as copy,
                ):
                    shutil.copyfileobj(file, copy)
        return view

    def shards(self) -> list[Shard]:
        """The shards that wait to be merged, in order."""
        try:
            names = os.listdir(self.layout.shards)
        except OSError:
            return []
        found = filter(None, map(Shard.of_folder, names))
        return sorted(shard for shard in found if self.with_shard(shard).layout.journal.exists())

    def require_merged(self) -> None:
        """Refuse a folder in which shards are at work, or wait to be merged.

        Raises:
            OutputError: a shard is at work; names the process.
            UsageError: they have all ended.
        """
        if shards := self.shards():
            self.refuse_running(shards)
            raise UsageError(
                f"{self.shown} holds {len(shards)} of {counted(shards[0].count, 'shard')} that are not "
                f"merged yet; give: detic-crop merge {self.layout.quoted}"
            )

    def refuse_running(self, shards: Iterable[Shard]) -> None:
        """Refuse shards of which a process holds one; none can begin while this folder is locked.

        Raises:
            OutputError: names the process.
        """
        for shard in shards:
            self.with_shard(shard).take_lock().release()

    def check_usable(self) -> None:
        """Refuse a folder that is not ours.

        Raises:
            UsageError: it is a file, or holds files but no `.detic-crop`.
        """
        if re.match(r"[a-z][a-z0-9+]+:/", self.root.as_posix()):
            raise UsageError(
                f"--out {self.shown} looks like the address of a store, or a part of one; "
                "pass s3://BUCKET/FOLDER or gs://BUCKET/FOLDER as text, or the path of a folder"
            )
        if os.path.exists(self.root) and not os.path.isdir(self.root):
            raise UsageError(f"--out {self.shown} is a file; pass a folder")
        try:
            filled = os.path.isdir(self.root) and _holds_anything(self.root)
            foreign = filled and not os.path.isdir(
                self.layout.root_state
            )  # in this order: other shards may just make it
        except OSError as error:
            raise UsageError(f"--out {self.shown} cannot be read: {error.strerror}; pass another") from error
        if foreign:
            raise UsageError(
                f"--out {self.shown} is not empty and was not made by detic-crop; "
                "pass a new folder, nothing was changed"
            )
        self.complete()

    def complete(self) -> None:
        """Look at what lies there; of a copy of a folder in a store, put together what is in segments.

        Raises:
            UsageError: something in `.detic-crop` is a link, or no file where one is expected; or the
                segments do not fit what was done here since.
            OutputError: a run is at work here, or it cannot be written.
        """
        self._refuse_strange_state()
        appended = [
            path for folder in (self.layout.root_state, *self._shard_homes()) for path in _append_only(folder)
        ]
        if any(map(is_incomplete, appended)):
            lock = self.take_lock()
            try:
                with output_errors(self.shown):
                    for path in appended:
                        complete(path, self.inside)
            finally:
                lock.release()

    def _shard_homes(self) -> list[Path]:
        try:
            names = os.listdir(self.layout.shards)
        except OSError:
            return []
        return [self.layout.shards / name for name in names if Shard.of_folder(name)]

    def _refuse_strange_state(self) -> None:
        """Refuse what is no plain file or folder in a place of ours before it is read or waited for.

        `inside` follows no link anyway; this says so before the work begins.

        Raises:
            UsageError: there is such a thing.
        """
        self.inside.refuse_links(self.layout.root_state)
        if self.layout.root_state.exists() and not self.layout.root_state.is_dir():
            raise UsageError(
                f"{self.layout.root_state} is not a folder, and was not made by detic-crop; move it away"
            )
        for path in (
            self.layout.audit_csv,
            self.layout.audit_html,
            self.layout.audit_xlsx,
            self.root / "run.json",
        ):
            if path.is_dir() and not path.is_symlink():
                raise UsageError(f"{path} is a folder where a table is to be; move it away")
        for home in (self.layout.root_state, self.layout.shards, *self._shard_homes()):
            self.inside.refuse_links(home)
            for name, is_folder in _OURS_IN_STATE.items():
                path = home / name
                try:
                    mode = path.lstat().st_mode
                except OSError:  # not there, or not to be read, which is said where it is needed
                    continue
                self.inside.refuse_links(path)
                if not (stat.S_ISDIR(mode) if is_folder else stat.S_ISREG(mode)):
                    expected = "a folder" if is_folder else "a file"
                    raise UsageError(
                        f"{path} is not {expected}, and was not made by detic-crop; move it away, then give "
                        "the same command again"
                    )
        for lock in (self.layout.root_state / name for name in ("lock", "review.lock")):
            with contextlib.suppress(OSError):
                if (status := lock.stat()).st_size and status.st_nlink > 1:  # to take it may empty it
                    raise UsageError(f"{lock} is another name of a file that is no lock; remove it")

    def require_run(self) -> None:
        """Refuse a folder without a journal.

        Raises:
            UsageError: no run was ever begun there, or its shards are not merged yet.
            OutputError: its shards are at work.
        """
        self.complete()
        self.require_merged()
        if not os.path.exists(self.layout.journal):
            raise UsageError(
                f"{self.shown} has no {STATE}/journal.jsonl; pass the --out folder of a detic-crop run"
            )

    def create(self) -> None:
        """Make the folder and its state folder."""
        with output_errors(self.shown):
            self.inside.mkdir(self.layout.temporary)

    @contextlib.contextmanager
    def locked(self, begin: Callable[[], None] = lambda: None, merging: bool = False) -> Iterator[None]:
        """Hold the folder for one run. The kernel frees the lock of a dead process.

        A shard holds its own lock only, and the whole folder's while it begins: so nothing begins beside a
        run that is alone there, nor that beside a shard.

        Args:
            begin: called once the lock is held; of shards one at a time.
            merging: shards that have ended may wait to be merged.

        Raises:
            OutputError: another run holds it; names the process.
            UsageError: shards wait to be merged.
        """
        with contextlib.ExitStack() as held:
            if self.shard is None:
                held.enter_context(self._held())
                if merging:
                    self.refuse_running(self.shards())
                else:
                    self.require_merged()
                with output_errors(self.shown):
                    begin()
            else:
                with self.whole._held(begins=self.shard):
                    held.enter_context(self._held())
                    with output_errors(self.shown):
                        begin()
            yield

    @contextlib.contextmanager
    def _held(self, begins: Shard | None = None) -> Iterator[None]:
        with output_errors(self.shown):
            self.inside.mkdir(self.layout.own_state)
        lock = self.take_lock(patient=begins is not None)
        owner_file = self.layout.owner
        try:
            with contextlib.suppress(OSError, UsageError):
                self.inside.remove(owner_file)  # of a killed run, which nobody need wait for
            # A killed run may have left files under the very names that this process will use.
            self.clear_temporary()
            if self.shard is None:
                with output_errors(self.shown):
                    self.rename_pictures()
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
            self.write_json(owner_file, owner if begins is None else owner | {"begins": str(begins)})
            yield
        finally:
            with contextlib.suppress(OSError, UsageError):  # a link may have come into the way
                self.inside.remove(owner_file)
            lock.release()

    def take_lock(self, patient: bool = False) -> filelock.BaseFileLock:
        """The folder's lock, to be released by the caller.

        Args:
            patient: wait while other shards begin.

        Raises:
            OutputError: another run holds it; names the process.
        """
        lock = filelock.FileLock(self.layout.lock, thread_local=False)
        patience = Patience()
        while True:
            try:
                lock.acquire(timeout=_LOOK if patient else 0, poll_interval=0.02)
                return lock
            except NotImplementedError as error:
                raise OutputError(
                    f"{self.shown} is on a file system without locks; pass --out elsewhere"
                ) from error
            except filelock.Timeout as error:  # before OSError, which it is one of
                owner = read_json(self.layout.owner)
                if patient and not patience.ends(owner, time.monotonic()):
                    continue
                raise OutputError(self._in_use(owner)) from error
            except OSError as error:
                raise as_output_error(error, self.shown) from error

    def _in_use(self, owner: Mapping[str, Any]) -> str:
        pid, host, since = (owner.get(name, "?") for name in ("pid", "host", "since"))
        who = f"process {pid} on {host}, since {since}"
        if self.shard is not None:
            return (
                f"shard {self.shard} of {self.shown} is at work ({who}); wait for it, stop it, "
                "or pass another --out"
            )
        return f"another run is writing to {self.shown} ({who}); wait for it, stop it, or pass another --out"

    def write(self, path: Path, data: bytes) -> None:
        """Replace a file by `data` at once: readers see the old file or the new one, never half.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        with output_errors(self.shown):
            self.inside.mkdir(self.layout.temporary)
            temporary = self.write_temporary(data)
            try:
                self.inside.replace(temporary, path)
            except OSError:
                self.inside.remove(temporary)
                raise

    def write_json(self, path: Path, value: Any) -> None:
        """`write` some JSON, indented for people."""
        self.write(
            path, json.dumps(value, indent=2, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
        )

    def write_temporary(self, data: bytes) -> Path:
        """A new file beside the journal, on the same disk as the crops; to be renamed into place.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        path = self._new_temporary()
        with output_errors(self.shown):
            self.inside.write_new(path, data)
        return path

    def _new_temporary(self) -> Path:
        return self.layout.temporary / f"{os.getpid()}-{next(self._counter)}"

    def clear_temporary(self) -> None:
        """Drop what was begun and will not be placed."""
        self.inside.remove_tree(self.layout.temporary, ignore_errors=True)

    def remove(self, path: Path) -> None:
        """Remove a file of the state, if it is there.

        Raises:
            OSError: it cannot be removed.
        """
        self.inside.remove(path)

    def place(self, temporary: Path, crop: str, record: Record | None = None) -> None:
        """Rename a finished crop to its path below the folder.

        Args:
            temporary: the crop.
            crop: its path, relative to the folder.
            record: of the photo; a crop that goes into a tar file needs it.

        Raises:
            FileExistsError: a shard would replace what is not its own.
            UsageError: the path is, or leads through, a link inside the folder.
        """
        if tar_place := place_of(crop):
            assert record is not None
            self.tars.put(temporary, tar_place, record)
            return
        target = self.root / crop
        if self.ours is not None and crop not in self.ours and os.path.lexists(target):
            raise FileExistsError(
                errno.EEXIST, "this shard did not make this file (merge, then run again)", str(target)
            )
        self.inside.replace(temporary, target, make=True)

    def place_for(self, record: Record) -> str:
        """Where the crop of a record is to be, relative to the folder: a rejected one is out of the way."""
        return f"{REJECTED}/{aside_name(record.crop)}" if record.status == "rejected" else record.crop

    def crop_place(self, record: Record) -> str:
        """Where the crop of a record is: earlier versions set it aside under its own name."""
        place = self.place_for(record)
        if record.status == "rejected" and self.crop_size(place) < 0:
            earlier = f"{REJECTED}/{record.crop}"
            return earlier if self.crop_size(earlier) >= 0 else place
        return place

    def rename_pictures(self) -> None:
        """Give what earlier versions kept in `.detic-crop` a name that no reader of pictures looks at.

        Raises:
            OSError: it cannot be renamed.
        """
        for path in self.inside.files(self.layout.rejected):
            if not path.name.endswith(ASIDE):
                crop = path.relative_to(self.layout.rejected).as_posix()
                self.inside.replace(path, self.layout.rejected / aside_name(crop))
        self.tars.rename_pictures()

    def remove_stale_rejected(self, records: Mapping[str, Record]) -> None:
        """Remove crops that were set aside and whose photos are not rejected any more.

        Killed between setting one aside and noting it, the crop is missing in its place: it goes back.

        Raises:
            OutputError: something cannot be removed.
        """
        with output_errors(self.shown):
            if not os.path.lexists(self.layout.rejected):
                return
            by_name = {aside_name(record.crop): record for record in records.values() if record.crop}
            for folder, _, names in self.inside.walk(self.layout.rejected):
                for path in (folder / name for name in names):
                    record = by_name.get(path.relative_to(self.layout.rejected).as_posix())
                    if record is not None and record.status == "rejected":
                        continue
                    is_last = record is not None and self.crop_size(record.crop) < 0
                    if is_last and record is not None and path.lstat().st_size == record.crop_bytes:
                        self.place(path, record.crop, record)
                    else:
                        self.inside.remove(path)
                with contextlib.suppress(OSError):  # not empty
                    self.inside.rmdir(folder)

    def has_workbook(self) -> bool:
        """Whether audit.xlsx is there."""
        return self.layout.audit_xlsx.exists()

    def read_page(self, most: int) -> bytes:
        """audit.html as it is; empty where there is none, or one of more than `most` bytes."""
        try:
            status = os.stat(self.layout.audit_html)
            if stat.S_ISREG(status.st_mode) and status.st_size <= most:
                return self.layout.audit_html.read_bytes()
        except OSError:
            pass
        return b""

    def crop_size(self, crop: str) -> int:
        """Bytes of a crop in its place; -1 where there is none."""
        if not crop:
            return -1
        if tar_place := place_of(crop):
            return self.tars.size(tar_place)
        try:
            return os.stat(self._above + crop).st_size
        except OSError:
            return -1

    def read_crop(self, crop: str) -> bytes:
        """A crop's bytes.

        Raises:
            OSError: it is not there; a name that leads out of the folder is not there either.
        """
        if tar_place := place_of(crop):
            return self.tars.read(tar_place)
        with self.inside.open_read(self.root / crop) as file:
            return file.read()

    def move_crop(self, before: Record, after: Record) -> None:
        """Put a crop aside or back, where it is not there already.

        Args:
            before: its record, which tells where it is.
            after: the record that it is to have.

        Raises:
            OSError: it cannot be moved.
        """
        start, target = self.crop_place(before), self.place_for(after)
        if start == target or self.crop_size(start) < 0:
            return
        if place_of(start):
            self.place(self.write_temporary(self.read_crop(start)), target, after)
            self.discard(start)
        else:
            self.place(self.root / start, target, after)

    def discard(self, crop: str) -> None:
        """Remove an earlier crop, if it is there.

        Raises:
            OSError: it cannot be removed.
        """
        if tar_place := place_of(crop):
            self.tars.discard(tar_place)
        else:
            self.inside.remove(self.root / crop)

    def forget_unfinished(self, records: Known) -> None:
        """Remove crops that a killed run placed without a journal line, before they get into a tar file.

        Raises:
            OutputError: one cannot be removed.
        """
        with output_errors(self.shown):
            for tar_place in map(place_of, unfinished_crops(self.layout.candidates, records)):
                if tar_place:
                    self.tars.forget(tar_place)

    def on_commit(self) -> None:
        """Told of every photo that is recorded: on a disk that is all there is to do.

        Raises:
            OutputError: of a folder that is carried elsewhere, what was recorded earlier could not be.
        """

    def flush(self) -> None:
        """Bring all that is recorded to where it is to be: into tar files, into a store.

        Raises:
            OutputError: it cannot be; what was before is kept.
        """
        with output_errors(self.shown):
            self.tars.pack_all()

    def _refuse_outside(self, path: Path) -> None:
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.root)):
            raise UsageError(
                f"{path} is a link that leads out of --out {self.shown}; "
                "nothing is written there: remove the link"
            )

    def check_apart(self, where: Location) -> None:
        """Refuse an output folder that is the input.

        Raises:
            UsageError: they are the same folder.
        """
        path = where.local_path
        if path is not None and os.path.isdir(path) and os.path.realpath(path) == os.path.realpath(self.root):
            raise UsageError(
                f"--out is the same folder as --in ({self.shown}); pass another --out, "
                "your photos stay as they are"
            )

    def check_safe(
        self, photos: Iterable[str | Path], crops: Iterable[str], plain: Container[str] = frozenset()
    ) -> None:
        """Refuse to start where a crop could reach a photo or leave the folder.

        Args:
            photos: the input files.
            crops: where their crops would go, relative to the folder.
            plain: paths of photos, and crops, that are known not to be links.

        Raises:
            UsageError: a photo lies inside the folder, or a link lies in it where crops are to go.
        """
        real_root = os.path.realpath(self.root)
        paths = [os.fspath(photo) for photo in photos]
        for place in {*_folders_of(paths), *_links(path for path in paths if path not in plain)}:
            if Path(os.path.realpath(place)).is_relative_to(real_root):
                raise UsageError(
                    f"photos of --in lie in {place}, inside --out {self.shown}; "
                    "pass another --out, your photos stay as they are"
                )
        crops = list(crops)
        targets = (os.path.join(self.root, crop) for crop in crops if crop not in plain)
        folders = {crop.rpartition("/")[0] for crop in crops}
        for folder in sorted(folders - {""}):
            self.inside.refuse_links(self.root / folder)
        for path in map(Path, _links(targets)):
            self._refuse_outside(path)

    def files(self) -> dict[str, int]:
        """Every file below the folder but outside `.detic-crop`: relative path with ``/`` → size in bytes,
        -1 of a link."""
        found: dict[str, int] = {}
        folders = [(os.fspath(self.root), "")]
        while folders:
            folder, prefix = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError:  # not there yet, or not ours to look into
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if prefix or entry.name != STATE:
                        folders.append((entry.path, f"{prefix}{entry.name}/"))
                elif not entry.is_symlink():
                    found[prefix + entry.name] = _size(entry)
                elif not _leads_to_folder(entry):
                    found[prefix + entry.name] = -1
        return found

    def made_crops(self) -> set[str]:
        """The crops that a run made here, and those that it was about to make when it was killed."""
        records = replay_entries(self.layout.journal).records
        crops = {record.crop for record in records.values() if record.crop}
        return crops | unfinished_crops(self.layout.candidates, records)

    def remove_run(self) -> None:
        """Remove what a run made: the crops its journal lists, the tables, the journal.

        Folders that this leaves empty go too; everything else stays. Of a shard only its own part goes; of a
        whole folder the shards that wait to be merged, too.

        Raises:
            OutputError: something cannot be removed.
        """
        if self.shard is None:
            for shard in self.shards():
                self.with_shard(shard).remove_run()
        with output_errors(self.shown):
            crops = self.made_crops()
            self.tars.remove(crops)
            for crop in crops:
                self._remove_crop(self.root / crop)
            self.inside.remove(self.layout.run_json)
            if self.shard is None:
                for path in (
                    self.layout.audit_csv,
                    self.layout.audit_html,
                    self.layout.audit_xlsx,
                    self.layout.sample,
                    self.layout.review,
                ):
                    self.inside.remove(path)
                for folder in (self.layout.rejected, self.layout.shards):
                    self.inside.remove_tree(folder, ignore_errors=True)
            for path in (self.layout.candidates, self.layout.journal):
                self.inside.remove_tree(segments_folder(path), ignore_errors=True)
            # The journal goes last: stopped half-way, the same command knows what is left to remove.
            inputs = (self.layout.listing, self.layout.part, self.layout.labels, self.layout.label_matches)
            for path in (*inputs, self.layout.candidates, self.layout.journal):
                self.inside.remove(path)

    def remove_shards(self) -> None:
        """Drop the shards' states at once, when all of them are merged.

        Raises:
            OutputError: they cannot be moved.
        """
        with output_errors(self.shown), contextlib.suppress(FileNotFoundError):
            self.inside.mkdir(self.layout.temporary)
            # First out of the way: half of them would look like shards of which the others never ran.
            self.inside.replace(self.layout.shards, self.layout.temporary / f"{os.getpid()}-{SHARDS}")
        self.clear_temporary()

    def _remove_crop(self, path: Path) -> None:
        try:
            self.inside.remove(path)
        except UsageError:  # a link leads there: it is none of the run's
            return
        for parent in path.parents:
            if parent == self.root:
                break
            try:
                self.inside.rmdir(parent)
            except OSError:  # not empty yet, or it holds somebody else's file
                break


def _append_only(state: Path) -> tuple[Path, Path]:
    return state / "journal.jsonl", state / "candidates.jsonl"


def _holds_anything(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entries)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return os.stat(entry.path).st_size  # quicker than `entry.stat`
    except OSError:  # gone meanwhile
        return -1


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _folders_of(paths: Iterable[str]) -> set[str]:
    if os.altsep:
        return set(map(os.path.dirname, paths))
    return {path[: path.rfind(os.sep) + 1] for path in paths}  # in a third of the time


def _links(paths: Iterable[str]) -> Iterator[str]:
    return filter(os.path.islink, paths)


@contextlib.contextmanager
def output_errors(shown: str) -> Iterator[None]:
    """Turn an error of the disk, the folder or the store into one clear line that ends the run.

    Args:
        shown: what to call the folder.
    """
    try:
        yield
    except OSError as error:
        raise as_output_error(error, shown) from error


def as_output_error(error: OSError, shown: str) -> OutputError:
    """The sentence for an error met while writing to a folder, called `shown`."""
    stored = is_address(shown)
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        disk = f"the disk of temporary files ({tempfile.gettempdir()})" if stored else f"the disk of {shown}"
        return OutputError(
            f"{disk} is full; what was finished is kept: "
            f"free some space{' or set TMPDIR' if stored else ''} and give the same command again"
        )
    given = error.filename2 or error.filename or shown
    where = os.fsdecode(given) if isinstance(given, str | bytes) else given
    hint = "" if is_address(str(where)) else " (is the file open in another program?)"
    return OutputError(
        f"cannot write {where}: {error.strerror or error}; what was finished is kept: "
        f"mend that{hint} and give the same command again"
    )


def is_fatal(error: OSError) -> bool:
    """Whether an error met while writing a crop would meet every later photo too."""
    return error.errno in _FATAL_ERRNOS


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file that is only good to know; empty where it is gone or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
