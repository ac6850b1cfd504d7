"""The object store that an output folder stands for, if any.

A folder on a disk has none (`NoMirror`). With ``--out s3://…`` the store is the truth (`StoreMirror`): each
call begins with an empty local folder, pulls what it has to know, and brings up what is recorded, in batches,
in the background.

The order of writing is what survives a kill at any moment, on a disk and in a store alike:

1. **boxes** (`candidates.jsonl`): the line of a photo announces the crop that is about to appear;
2. **crops**: put in place at once, files or whole tar files; one that a kill left without a journal line is
   known by its announcement, and is made again;
3. **journal**: the line of a photo says that it is finished. It never runs ahead of its crop: while crops
   wait to be packed into a tar file, the lines about them wait too (`hold_back`, `catch_up`);
4. **tables** (audit.csv, audit.html, run.json): made of the journal, and made again by whoever comes next.

What is removed goes the other way round: first the crop, then the line, and of a whole run the journal last.
Two writers cannot both continue a journal in a store: its growth is objects that are only ever created, each
named by the byte it begins with, and the second writer finds the name taken.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from detic_crop.errors import OutputError, UsageError
from detic_crop.folder.inside import Inside
from detic_crop.folder.layout import Layout
from detic_crop.folder.lock import FileLock, StoreLease
from detic_crop.folder.segments import complete, is_incomplete
from detic_crop.folder.shard_states import shard_layouts
from detic_crop.folder.store_state import StoreState
from detic_crop.folder.there import is_there
from detic_crop.folder.write_errors import as_output_error, output_errors, reading_errors
from detic_crop.photos.keys import STATE

Members: TypeAlias = Mapping[str, tuple[int, int]]
"""Of a tar file: name → offset and bytes of what it holds."""

BATCH = 256  # crops that go up together
SECONDS = 15.0  # after which fewer do
TOLD_EACH = 60.0  # seconds between uploads of what a command is doing


class NoMirror:
    """The mirror of a folder on a disk, which is the only copy: most methods do nothing.

    Args:
        layout: paths of the folder.
        inside: changes the files below the folder.
        lock: lock of the folder.
    """

    failed: OutputError | None = None
    """The error after which nothing can be uploaded any more; None while all is well."""

    def __init__(self, layout: Layout, inside: Inside, lock: FileLock) -> None:
        self._layout = layout
        self._inside = inside
        self._lock = lock

    def complete(self) -> None:
        """Complete the journals in a copy of a folder in a store from the segments that came with it.

        Raises:
            UsageError: the segments do not fit what was done here since.
            OutputError: a run is at work here, or the folder cannot be written.
        """
        layouts = [self._layout.unsharded, *shard_layouts(self._layout)]
        grown = [path for layout in layouts for path in (layout.journal, layout.candidates)]
        if any(map(is_incomplete, grown)):
            with self._lock.taken(), output_errors(self._layout.shown):
                for path in grown:
                    complete(path, self._inside)

    def pull(self) -> None:
        """Bring what has to be known of the run.

        Raises:
            UsageError: it cannot be read.
            OutputError: the store does not answer.
        """

    def check(self) -> None:
        """Refuse to go on from what was pulled where a part is missing.

        Raises:
            UsageError: a part of the journal is missing, or a merge was cut off.
        """

    def on_commit(self) -> None:
        """Count a photo that is recorded, and begin a batch in the background when it is time.

        Raises:
            OutputError: an earlier batch could not be brought, or another run has taken over.
        """

    def tell(self, path: Path, *, is_due: bool) -> None:
        """Bring up a file that says what the command is doing, in the background.

        Nothing is said of it if that fails.

        Args:
            path: the file.
            is_due: it says something else than before; else once a minute is enough.
        """

    def flush(self) -> None:
        """Bring up all that is recorded, and the tables.

        Raises:
            OutputError: it cannot be; what was brought before is kept.
        """

    def wait(self) -> None:
        """Wait for what is on its way up; see `on_commit`."""

    def close(self) -> None:
        """Wait for what is on its way up, and say nothing of it."""

    # ------------------------------------------------------------ what is not on this disk

    def size(self, name: str) -> int | None:
        """Return the bytes of a file that is not on this disk; None where there is none."""
        return None

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes of a file that is not on this disk, or some of them.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        raise FileNotFoundError(f"{self._layout.root / name} is not there")

    def read_at_most(self, name: str, most: int) -> bytes:
        """Return the bytes of a file that is not on this disk; nothing of a larger or absent one."""
        return b""

    def fetch(self, name: str) -> None:
        """Bring a file to this disk, where it is not here yet and is there.

        Raises:
            OSError: it cannot be read.
        """

    def members(self, tar: str) -> Members:
        """Return what a tar file holds by its index; nothing where none fits it."""
        return {}

    def state_names(self, folder: str) -> list[str]:
        """Return what lies below a folder of `.detic-crop` and is not on this disk, relative to the root."""
        return []

    def files(self) -> Iterator[tuple[str, int]]:
        """Yield every file below the folder but outside `.detic-crop`, and its bytes; -1 of a link."""
        folders = [(os.fspath(self._layout.root), "")]
        while folders:
            folder, prefix = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue  # not there yet, or not ours to look into
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if prefix or entry.name != STATE:
                        folders.append((entry.path, f"{prefix}{entry.name}/"))
                elif not entry.is_symlink():
                    yield prefix + entry.name, _size_of(entry)
                elif not _leads_to_folder(entry):
                    yield prefix + entry.name, -1

    # ------------------------------------------------------------ what crops tell

    def put(self, name: str) -> None:
        """Note that a crop was put in its place."""

    def remove(self, name: str) -> None:
        """Note that a crop was removed."""

    def put_tar(self, name: str, members: Members) -> None:
        """Note that a tar file was put in its place, and what it holds."""

    def remove_tar(self, name: str) -> None:
        """Note that a tar file was removed."""

    def hold_back(self) -> None:
        """Note that further journal lines are about crops that are not in their place yet."""

    def catch_up(self) -> None:
        """Note that all crops of the journal are in their place."""

    def refuse_pending(self, crop: str) -> None:
        """Refuse to leave a change to be packed by another run.

        Raises:
            UsageError: nobody would learn of it.
        """

    # ------------------------------------------------------------ removing

    def clear(self, layout: Layout, made: Iterable[str]) -> None:
        """Remove what a run made, its journal last.

        Args:
            layout: paths of the run, which may be another shard.
            made: crops and tar files.

        Raises:
            OutputError: something cannot be removed.
        """

    def clear_shards(self) -> None:
        """Remove the states of all shards, after a merge.

        Raises:
            OutputError: something cannot be removed.
        """


@dataclass(slots=True)
class _Batch:
    """What is uploaded together.

    Attributes:
        crops: crop → True to upload it, False to remove it.
        tars: tar file → what it holds, or None to remove it.
        candidates: length in bytes up to which the candidates are uploaded.
        journal: length in bytes up to which the journal is uploaded.
    """

    crops: dict[str, bool] = field(default_factory=dict)
    tars: dict[str, Members | None] = field(default_factory=dict)
    candidates: int = 0
    journal: int = 0


class StoreMirror:
    """The mirror of a folder in a store; a temporary folder on this disk has what one call needs of it.

    See `NoMirror` for what each method promises.

    Args:
        state: objects of the store, and the local files that stand for them.
        layout: paths of the local folder.
        inside: changes the files below the local folder.
        lease: lease of the folder.
    """

    def __init__(self, state: StoreState, layout: Layout, inside: Inside, lease: StoreLease) -> None:
        self.failed: OutputError | None = None
        self._state = state
        self._layout = layout
        self._inside = inside
        self._lease = lease
        self._batch = _Batch()
        self._held_back: int | None = None  # bytes of the journal about crops in their place; None: all
        self._count = 0  # photos since the last batch
        self._since = time.monotonic()
        self._flight: Future[None] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._telling: Future[None] | None = None
        self._told = -TOLD_EACH

    # ------------------------------------------------------------ what the store has

    def complete(self) -> None:
        """Do nothing: segments are put together when they are pulled."""

    def pull(self) -> None:
        """Bring what the store has of the run."""
        shown = self._layout.shown
        try:
            self._state.load(self._layout.shard)
        except (FileNotFoundError, PermissionError) as error:
            raise UsageError(
                "cannot_read_output",
                f"--out {shown} cannot be read: {error.strerror}; nothing was changed: look at the bucket's "
                "name and at the credentials",
            ) from error
        except OSError as error:
            raise OutputError(
                "cannot_read_output",
                f"{shown} cannot be read: {error.strerror}; nothing was changed: run the same command again "
                "when the store answers",
            ) from error

    def check(self) -> None:
        """Refuse a journal with a gap; finish a merge that was cut off."""
        if damage := self._state.damage:
            raise damage
        if not self._state.cut_off:
            return
        if self._layout.shard is not None:
            raise UsageError(
                "merge_cut_off",
                f"a merge of {self._layout.shown} was cut off; first run: detic-crop merge "
                f"{self._layout.quoted}",
            )
        with output_errors(self._layout.shown):
            self._state.remove_merged_shards()

    def size(self, name: str) -> int | None:
        """Return the bytes of an object; None where there is none."""
        with reading_errors(self._layout.shown):
            found = self._state.stat(name)
        return None if found is None else found.size

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes of an object, or some of them."""
        return self._state.read(name, start, end)

    def read_at_most(self, name: str, most: int) -> bytes:
        """Return the bytes of an object; none of a larger one, or where there is none."""
        with contextlib.suppress(OSError):
            return self._state.read_at_most(name, most)
        return b""

    def fetch(self, name: str) -> None:
        """Bring an object to this disk."""
        if not is_there(self._layout.root / name) and self._state.stat(name) is not None:
            self._state.bring(name)

    def members(self, tar: str) -> Members:
        """Return what a tar file holds by its index; nothing where none fits it."""
        with reading_errors(self._layout.shown):
            return self._state.members(tar)

    def files(self) -> Iterator[tuple[str, int]]:
        """Yield every object below the folder but outside `.detic-crop`, and its bytes."""
        with reading_errors(self._layout.shown):
            found = self._state.outside()
        return ((name, info.size) for name, info in found.items())

    def state_names(self, folder: str) -> list[str]:
        """Return the objects below a folder of `.detic-crop`."""
        return [name for name in self._state.found if name.startswith(f"{folder}/")]

    # ------------------------------------------------------------ what goes up

    def put(self, name: str) -> None:
        """Upload a crop with the next batch."""
        self._batch.crops[name] = True

    def remove(self, name: str) -> None:
        """Remove a crop's object with the next batch."""
        self._batch.crops[name] = False

    def put_tar(self, name: str, members: Members) -> None:
        """Upload a tar file with the next batch."""
        self._batch.tars[name] = members

    def remove_tar(self, name: str) -> None:
        """Remove a tar file's object with the next batch."""
        self._batch.tars[name] = None

    def hold_back(self) -> None:
        """Keep what the journal grows by from now on here."""
        if self._held_back is None:
            self._held_back = _size(self._layout.journal)

    def catch_up(self) -> None:
        """Upload everything that the journal has with the next batch."""
        self._held_back = None

    def refuse_pending(self, crop: str) -> None:
        """Refuse a change to another run's tar file: what waits here is gone with this call."""
        raise UsageError(
            "other_shards_tar",
            f"{crop} is in a tar file that this shard did not make; run the command without --shard",
        )

    def on_commit(self) -> None:
        """Count a photo that is recorded, and begin a batch in the background when it is time."""
        self._count += 1
        if self.failed is not None:
            raise self.failed
        self._lease.check()
        if self._held_back is not None:  # nothing is recorded there before its tar file is
            if not self._batch.tars:
                return
        elif self._count < BATCH and time.monotonic() - self._since < SECONDS:
            return
        if self._flight is not None and not self._flight.done() and self._count < 2 * BATCH:
            return  # no more than two batches wait on this disk
        self.wait()
        self._flight = self._background().submit(self._send, self._taken())

    def tell(self, path: Path, *, is_due: bool) -> None:
        """Bring up a file that says what the command is doing, once a minute or as soon as it is due."""
        if is_due:
            self._told = -TOLD_EACH
        is_busy = self._telling is not None and not self._telling.done()
        if self.failed is None and not is_busy and time.monotonic() - self._told >= TOLD_EACH:
            self._told = time.monotonic()
            self._telling = self._background().submit(self._send_news, path)

    def _send_news(self, path: Path) -> None:
        with contextlib.suppress(OSError, OutputError):
            self._lease.ask()  # another run may have its own there
            self._state.send_changed([path])

    def _background(self) -> ThreadPoolExecutor:
        """Return the one thread in which things go up, one after another."""
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="detic-crop-mirror")
        return self._pool

    def flush(self) -> None:
        """Bring up all that is recorded, and the tables."""
        self.wait()
        layout = self._layout
        with self._noting_failure():
            self._send(self._taken())
            self._state.send_changed((*layout.tables, layout.run_json, layout.written, layout.progress))

    def wait(self) -> None:
        """Wait for what is on its way up."""
        if self.failed is not None:
            raise self.failed
        telling, self._telling = self._telling, None
        if telling is not None:
            telling.result()
        flight, self._flight = self._flight, None
        if flight is not None:
            with self._noting_failure():
                flight.result()

    def close(self) -> None:
        """Wait for what is on its way up, and say nothing of it."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    def _taken(self) -> _Batch:
        batch, self._batch = self._batch, _Batch()
        batch.candidates = _size(self._layout.candidates)
        batch.journal = _size(self._layout.journal) if self._held_back is None else self._held_back
        self._count, self._since = 0, time.monotonic()
        return batch

    def _send(self, batch: _Batch) -> None:
        """Bring up a batch in the order that this module's docstring gives."""
        layout, state = self._layout, self._state
        self._lease.ask()  # this process may have slept for long
        inputs = (layout.listing, layout.part, layout.labels, layout.label_matches)
        said = (layout.sample, layout.second_review, layout.review)
        state.send_changed((*inputs, layout.tables_json, layout.folds, layout.times, *said))
        state.send_growth(layout.candidates, batch.candidates)
        placed = [name for name, is_placed in batch.crops.items() if is_placed]
        state.send_crops(placed)
        state.remove(name for name, is_placed in batch.crops.items() if not is_placed)
        for tar, members in sorted(batch.tars.items()):
            if members is None:
                state.remove_tar(tar)
            else:
                state.send_tar(tar, members)
                placed.append(tar)
        state.send_growth(layout.journal, batch.journal)
        for name in placed:
            self._inside.remove(layout.root / name)

    @contextlib.contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except OutputError as error:
            self.failed = error
            raise
        except FileExistsError as error:
            self.failed = OutputError(
                "other_writer",
                f"another run writes to {self._layout.shown}: {error.filename} is not what this one wrote; "
                "what was finished is kept: stop one of the two, then run the same command again",
            )
            raise self.failed from error
        except OSError as error:
            self.failed = as_output_error(error, self._layout.shown)
            raise self.failed from error

    # ------------------------------------------------------------ removing

    def clear(self, layout: Layout, made: Iterable[str]) -> None:
        """Remove what a run made, its journal last."""
        state = self._state
        with reading_errors(layout.shown):
            there = state.outside()
        with output_errors(layout.shown):
            state.remove([name for name in made if name in there])
            names = map(layout.name_of, (*layout.shared_files, layout.run_json))
            state.remove([name for name in names if name in there])
            state.remove_state(layout.name_of(layout.own_state))

    def clear_shards(self) -> None:
        """Remove the states of all shards, after a merge."""
        with output_errors(self._layout.shown):
            self._state.remove_merged_shards()


Mirror: TypeAlias = NoMirror | StoreMirror


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return os.stat(entry.path).st_size  # quicker than `entry.stat`
    except OSError:  # gone meanwhile
        return -1


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
