"""An output folder in an object store: a local folder for the time of one call, carried up as it grows.

The store is the truth: each call begins with an empty local folder and brings what it has to know. What is
recorded goes up in batches, in the background, in an order that a kill at any moment leaves whole: first the
boxes, which announce the crops; then the crops; last their lines of the journal.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detic_crop.errors import DeticCropError, OutputError, UsageError
from detic_crop.folder.folder import OutputFolder, as_output_error, output_errors
from detic_crop.folder.layout import OWNER, REJECTED, SHARDS
from detic_crop.folder.names import ASIDE, aside_name
from detic_crop.folder.records import Record
from detic_crop.folder.shard import Shard
from detic_crop.folder.store_lock import STALE_AFTER, StoreLock, refuse_held
from detic_crop.folder.store_state import StoreState
from detic_crop.folder.store_tars import StoreTarCrops
from detic_crop.folder.tar_crops import Place, place_of
from detic_crop.photos.location import Location, StoreObject
from detic_crop.stores.addresses import is_address, is_web, path_of, redact, scheme_of
from detic_crop.stores.store import store_of

BATCH = 256  # crops that go up together
SECONDS = 15.0  # after which fewer do
_STALE = round(STALE_AFTER / 60)
_SAME = {"s3a": "s3", "gcs": "gs"}


@contextlib.contextmanager
def open_folder(
    output: str | os.PathLike[str], shard: Shard | None = None, *, anew: bool = False
) -> Iterator[OutputFolder]:
    """The output folder that a path or an address names.

    Args:
        output: as given to ``--out``.
        shard: which of several runs that write to it.
        anew: what a run left there is to be removed.

    Raises:
        UsageError: the address is of no store that can be written to, or cannot be read.
    """
    given = os.fspath(output)
    if not is_address(given):
        yield OutputFolder(output, shard)
        return
    if is_web(given) or not path_of(given).strip("/"):
        raise UsageError(
            f"--out {redact(given)} cannot be written to; "
            "pass s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or a folder"
        )
    store = store_of(given)
    with output_errors(redact(given)):
        root = Path(tempfile.mkdtemp(prefix="detic-crop-"))
    try:
        folder = StoreFolder(StoreState(store, given.rstrip("/"), root), shard, anew)
        folder.load()
        with contextlib.closing(folder):
            yield folder
    finally:
        shutil.rmtree(root, ignore_errors=True)


def copied_here(folder: str | os.PathLike[str], command: str) -> str | os.PathLike[str]:
    """The path of a folder for what works on this machine's disk only.

    Raises:
        UsageError: it is an address; says what to do.
    """
    given = os.fspath(folder)
    if is_address(given):
        raise UsageError(
            f"{command} needs the folder on a disk: copy {redact(given)} here first (for S3: aws s3 sync "
            f"{redact(given)} cropped), then give the command with the copy"
        )
    return folder


@dataclass(frozen=True, slots=True)
class _Batch:
    """What goes up together: crops to place and to remove, tar files, and how much of the growing files."""

    crops: dict[str, bool]
    tars: set[str]
    candidates: int
    journal: int


class StoreFolder(OutputFolder):
    """An output folder at an address; its paths are those of a local folder that is gone with the call."""

    def __init__(self, state: StoreState, shard: Shard | None, anew: bool) -> None:
        super().__init__(state.root, shard, shown=redact(state.address))
        self._remote = state
        self.tars: StoreTarCrops = StoreTarCrops(state, self.inside, self._new_temporary, shard)
        self._in_tars = False
        self._recorded = 0  # bytes of the journal about crops that are files, or in tar files that are packed
        self._anew = anew
        self._lock: StoreLock | None = None
        self._crops: dict[str, bool] = {}  # since the last batch: placed, or to be removed
        self._count = 0  # photos since then
        self._since = time.monotonic()
        self._flight: Future[None] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._failed: OutputError | None = None

    def with_shard(self, shard: Shard | None) -> StoreFolder:
        """The same folder as another shard's, or as that of the whole."""
        return StoreFolder(self._remote, shard, self._anew)

    def load(self) -> None:
        """Bring what the store has of the run.

        Raises:
            UsageError: it cannot be read, or a part of the journal is missing.
            OutputError: the store does not answer.
        """
        try:
            self._remote.load(self.shard, self._anew)
        except (FileNotFoundError, PermissionError) as error:
            raise UsageError(
                f"--out {self.shown} cannot be read: {error.strerror}; nothing was changed: look at the "
                "bucket's name and at the credentials"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{self.shown} cannot be read: {error.strerror}; nothing was changed: give the same command "
                "again when the store answers"
            ) from error

    def close(self) -> None:
        """Wait for what is on its way."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    # ------------------------------------------------------------ what is checked before anything is written

    def check_usable(self) -> None:
        """Refuse an address that is not ours; see `OutputFolder.check_usable`."""
        if self._remote.found:
            return
        with self._reading():
            others = self._remote.outside()
        if "" in others:
            raise UsageError(f"--out {self.shown} is an object; pass the address of a folder")
        if others:
            raise UsageError(
                f"--out {self.shown} is not empty and was not made by detic-crop; "
                "pass a new folder, nothing was changed"
            )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.shown} cannot be read: {error.strerror}; what was finished is kept: give the same "
                "command again"
            ) from error

    def complete(self) -> None:
        """Segments are put together when the folder is opened."""

    def check_apart(self, where: Location) -> None:
        """Refuse an output that is the input, or has it inside; one inside the input is not read as input."""
        if not isinstance(where, StoreObject):
            return
        ours, theirs = _plain(self._remote.address), _plain(re.split(r"[*?\[]", where.address)[0])
        if theirs.startswith(ours):
            raise UsageError(
                f"--in {where.describe()} is --out {self.shown}, or lies inside; "
                "pass another --out, your photos stay as they are"
            )

    def check_safe(
        self, photos: Iterable[str | Path], crops: Iterable[str], plain: Container[str] = frozenset()
    ) -> None:
        """Refuse to start where photos lie inside the folder; a store has no links."""
        ours = _plain(self._remote.address)
        for photo in (os.fspath(photo) for photo in photos):
            if "://" in photo and _plain(photo).startswith(ours):
                raise UsageError(
                    f"photos of --in lie inside --out {self.shown}; "
                    "pass another --out, your photos stay as they are"
                )

    # ------------------------------------------------------------ crops and tables

    def has_workbook(self) -> bool:
        """Whether audit.xlsx is there."""
        with self._reading(), contextlib.suppress(FileNotFoundError):
            self._remote.store.stat(self._remote.where(self.layout.audit_xlsx.name))
            return True
        return False

    def read_page(self, most: int) -> bytes:
        """audit.html as it is; see `OutputFolder.read_page`."""
        with contextlib.suppress(OSError):
            address = self._remote.where(self.layout.audit_html.name)
            if self._remote.store.stat(address).size <= most:
                return self._remote.store.read_at_most(address, most)
        return b""

    def crop_size(self, crop: str) -> int:
        """Bytes of a crop in its place; -1 where there is none."""
        if tar_place := place_of(crop):
            with self._reading():
                return self.tars.size(tar_place)
        found = self._remote.outside().get(crop)
        return -1 if found is None else found.size

    def files(self) -> dict[str, int]:
        """Every object below the folder but outside `.detic-crop`, and its size; see `OutputFolder.files`."""
        with self._reading():
            return {name: found.size for name, found in self._remote.outside().items()}

    def read_crop(self, crop: str) -> bytes:
        """A crop's bytes; see `OutputFolder.read_crop`."""
        if not place_of(crop):
            self._remote.bring_crop(crop)
        return super().read_crop(crop)

    def place(self, temporary: Path, crop: str, record: Record | None = None) -> None:
        """Put a finished crop where the next batch takes it from; see `OutputFolder.place`."""
        if self.ours is not None and crop not in self.ours and crop in self._remote.outside():
            raise FileExistsError(
                errno.EEXIST, "this shard did not make this object (merge, then run again)", crop
            )
        if tar_place := place_of(crop):
            self._put(temporary, tar_place, crop, record)
            return
        super().place(temporary, crop, record)
        self._crops[crop] = True

    def _put(self, temporary: Path, tar_place: Place, crop: str, record: Record | None) -> None:
        self._in_tars = True
        if self.tars.goes_on(tar_place):
            super().place(temporary, crop, record)
            return
        self._wait()  # what is on its way is removed here when it is there
        recorded = _size(self.layout.journal)  # this photo is not yet
        super().place(temporary, crop, record)
        self._recorded = recorded

    def discard(self, crop: str) -> None:
        """Remove an earlier crop with the next batch."""
        if tar_place := place_of(crop):
            if self.shard is not None and self.shard.folder_name not in tar_place.tar:
                raise UsageError(
                    f"{crop} is in a tar file that this shard did not make; give `run` without --shard"
                )
            self._in_tars = True
            super().discard(crop)
            return
        super().discard(crop)
        self._crops[crop] = False

    def remove_stale_rejected(self, records: Mapping[str, Record]) -> None:
        """Remove crops that were set aside and whose photos are not rejected any more."""
        by_name = {aside_name(record.crop): record for record in records.values() if record.crop}
        with output_errors(self.shown):
            for name in [name for name in self._remote.found if name.startswith(f"{REJECTED}/")]:
                aside = name.removeprefix(f"{REJECTED}/")
                is_new = aside.endswith(ASIDE)  # earlier versions left a crop its own name
                record = by_name.get(aside if is_new else aside_name(aside))
                is_rejected = record is not None and record.status == "rejected"
                if is_rejected and is_new:
                    continue
                if record is not None and (is_rejected or self._is_last(name, record)):
                    self._remote.put_back(name, self.place_for(record))
                self._remote.remove([name])

    def _is_last(self, name: str, record: Record) -> bool:
        """Whether the crop that was set aside under a name is the only one there is."""
        return self.crop_size(record.crop) < 0 and self._remote.found[name].size == record.crop_bytes

    # ------------------------------------------------------------ to and fro

    def on_commit(self) -> None:
        """A photo is recorded: with the next batch it goes up.

        Raises:
            OutputError: an earlier batch could not be brought; another run has taken over.
        """
        self._count += 1
        if self._failed is not None:
            raise self._failed
        if self._lock is not None:
            self._lock.check()
        if self._in_tars:  # nothing is recorded there before its tar file is
            if not self.tars.packed:
                return
        elif self._count < BATCH and time.monotonic() - self._since < SECONDS:
            return
        if self._flight is not None and not self._flight.done() and self._count < 2 * BATCH:
            return  # no more than two batches wait on this disk
        self._wait()
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="detic-crop-carry")
        self._flight = self._pool.submit(self._carry, self._taken())

    def flush(self) -> None:
        """Bring all that is recorded, and the tables, to the store.

        Raises:
            OutputError: it cannot be; what was brought before is kept.
        """
        self._wait()
        with self._noting_failure():
            self.tars.pack_all()
            self._recorded = _size(self.layout.journal)
            self._carry(self._taken())
            self._remote.send_changed(
                (self.layout.audit_csv, self.layout.audit_html, self.layout.audit_xlsx, self.layout.run_json)
            )

    def _wait(self) -> None:
        if self._failed is not None:
            raise self._failed
        flight, self._flight = self._flight, None
        if flight is not None:
            with self._noting_failure():
                flight.result()

    @contextlib.contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except OutputError as error:
            self._failed = error
            raise
        except FileExistsError as error:
            self._failed = OutputError(
                f"another run writes to {self.shown}: {error.filename} is not what this one wrote; what was "
                "finished is kept: stop one of the two, then give the same command again"
            )
            raise self._failed from error
        except OSError as error:
            self._failed = as_output_error(error, self.shown)
            raise self._failed from error

    def _taken(self) -> _Batch:
        recorded = self._recorded if self._in_tars else _size(self.layout.journal)
        tars, self.tars.packed = self.tars.packed, set()
        batch = _Batch(self._crops, tars, _size(self.layout.candidates), recorded)
        self._crops, self._count, self._since = {}, 0, time.monotonic()
        return batch

    def _carry(self, batch: _Batch) -> None:
        remote = self._remote
        if self._lock is not None:
            self._lock.check(ask=True)  # this process may have slept for long
        plain = (
            self.layout.listing,
            self.layout.part,
            self.layout.labels,
            self.layout.label_matches,
            self.layout.sample,
            self.layout.review,
        )
        remote.send_changed(plain)
        remote.send_growth(self.layout.candidates, batch.candidates)
        placed = [crop for crop, is_placed in batch.crops.items() if is_placed]
        remote.send_crops(placed)
        remote.remove(crop for crop, is_placed in batch.crops.items() if not is_placed)
        self.tars.send(sorted(batch.tars))
        remote.send_growth(self.layout.journal, batch.journal)
        for crop in placed:
            self.inside.remove(self.root / crop)

    # ------------------------------------------------------------ one writer

    @contextlib.contextmanager
    def locked(self, begin: Callable[[], None] = lambda: None, merging: bool = False) -> Iterator[None]:
        """Hold the folder for one run, as far as a store can tell; see `OutputFolder.locked`."""

        def begin_aloud() -> None:
            begin()
            if self.shard is not None:
                self.flush()  # the settings, for shards that begin now

        with super().locked(begin_aloud, merging):
            yield

    def refuse_running(self, shards: Iterable[Shard]) -> None:
        """Refuse shards of which a process holds one."""
        for shard in shards:
            folder = self.with_shard(shard)
            with self._reading():
                refuse_held(self._remote.store, folder._lock_address, folder._in_use)

    def _in_use(self, owner: Mapping[str, Any]) -> str:
        return f"{super()._in_use(owner)}; one that was killed counts as gone {_STALE} minutes after"

    @property
    def _lock_address(self) -> str:
        return self._remote.where(self._remote.name_of(self.layout.owner))

    @contextlib.contextmanager
    def _held(self, begins: Shard | None = None) -> Iterator[None]:
        with super()._held(begins):
            if begins is not None:  # the shard looks at this one's lock when it has its own
                yield
                return
            lock = StoreLock(self._remote.store, self._lock_address, self._in_use)
            try:
                with output_errors(self.shown):
                    lock.take()
                self.load()  # what another run did since this one began to look
                self._refuse_others()
                self._finish_removal()
                self._lock = lock
                try:
                    yield
                except DeticCropError:
                    if self._failed is None:
                        self.flush()
                    raise
                self.flush()
            finally:
                self._lock = None
                lock.release()

    def _refuse_others(self) -> None:
        """Shards beside a run that is alone, or that one beside a shard; both hold their own lock already."""
        if self.shard is not None:
            whole = self.with_shard(None)
            with self._reading():
                refuse_held(self._remote.store, whole._lock_address, whole._in_use)
            return
        parts = (name.split("/") for name in self._remote.found if name.endswith(f"/{OWNER}"))
        named = (Shard.of_folder(part[2]) for part in parts if len(part) == 4 and part[1] == SHARDS)
        self.refuse_running(filter(None, named))

    def _finish_removal(self) -> None:
        if not self._remote.cut_off:
            return
        if self.shard is not None:
            raise UsageError(
                f"a merge of {self.shown} was cut off; first give: detic-crop merge {self.layout.quoted}"
            )
        with output_errors(self.shown):
            self._remote.remove_merged_shards()

    # ------------------------------------------------------------ removing

    def remove_run(self) -> None:
        """Remove what a run made; see `OutputFolder.remove_run`."""
        with self._reading():
            made = self.made_crops()
            made |= {place.tar for place in map(place_of, made) if place}
            crops = made & self._remote.outside().keys()
        super().remove_run()
        with output_errors(self.shown):
            self._remote.remove(crops)
            if self.shard is None:
                tables = (
                    self.layout.audit_csv,
                    self.layout.audit_html,
                    self.layout.audit_xlsx,
                    self.layout.run_json,
                )
                names = map(self._remote.name_of, tables)
                self._remote.remove([name for name in names if name in self._remote.outside()])
            self._remote.remove_state(self._remote.name_of(self.layout.own_state))

    def remove_shards(self) -> None:
        """Drop the shards' states, when all that was made of them is in the store."""
        self.flush()
        super().remove_shards()
        with output_errors(self.shown):
            self._remote.remove_merged_shards()


def _plain(address: str) -> str:
    """An address to compare: one name for each scheme, with a slash at its end."""
    scheme = scheme_of(address)
    return f"{_SAME.get(scheme, scheme)}://{path_of(address).strip('/')}/"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
