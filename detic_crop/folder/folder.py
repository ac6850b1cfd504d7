"""The output folder: what it is made of, and which implementation of each part it takes."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from detic_crop.config import OutFormat
from detic_crop.errors import DeticCropError, UsageError
from detic_crop.folder.aside import Aside
from detic_crop.folder.checks import Checks, DiskChecks, StoreChecks
from detic_crop.folder.crops import FileCrops
from detic_crop.folder.inside import Inside
from detic_crop.folder.journal import recorded_config
from detic_crop.folder.layout import Layout
from detic_crop.folder.lock import FileLock, Lock, StoreLease
from detic_crop.folder.mirror import Mirror, NoMirror, StoreMirror
from detic_crop.folder.shard import Shard
from detic_crop.folder.shard_states import shard_layouts, waiting_shards
from detic_crop.folder.store_state import StoreState
from detic_crop.folder.tables import Tables
from detic_crop.folder.tars import Crops, TarCrops
from detic_crop.folder.there import is_there
from detic_crop.folder.write_errors import folder_errors, output_errors
from detic_crop.folder.writer import Writer
from detic_crop.photos.keys import STATE as STATE
from detic_crop.photos.location import Location
from detic_crop.stores.addresses import is_address, is_web, path_of, redact
from detic_crop.stores.store import store_of
from detic_crop.system.near_names import near_path
from detic_crop.wording import counted

_PART = 1 << 23  # bytes of a table that are read together


class OutputFolder:
    """One output folder, or a shard's part of it. Making one touches nothing.

    Args:
        root: path of the folder.
        shard: the shard that this call works on; None for an unsharded run.
        out_format: format of the crops if this call may begin the folder; None takes the journal's.
        state: objects of the store that the folder stands for; None for a folder on a disk.

    Attributes:
        layout: paths of the folder.
        inside: writes, renames and removes files below the folder.
        write, write_parts, write_json: replace a file in one step, see `Writer`.
        clear_temporary: removes unfinished files.
        on_commit: notes that a photo is recorded, see `Mirror`.
        tables: its files for people, see `Tables`.
        crops: crops of the folder, see `Crops`.
        aside: crops that were set aside.
        mirror: the store that the folder stands for, see `Mirror`.
        checks: refuse unusable folders and photos before anything is written, see `Checks`.
        private_locations: key → location of a photo of this call that holds a secret; never saved.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        shard: Shard | None = None,
        out_format: OutFormat | None = None,
        state: StoreState | None = None,
    ) -> None:
        shown = None if state is None else redact(state.address)
        self.layout = layout = Layout(root, shard, shown)
        self.root, self.shown = layout.root, layout.shown
        self.inside = inside = Inside(layout.root)
        self.private_locations: dict[str, Location] = {}
        self._out_format = out_format
        self._state = state
        self.tables = tables = Tables(layout, inside)
        self._writer = Writer(layout, inside, tables)
        self.write, self.write_json = self._writer.write, self._writer.write_json
        self.write_parts = self._writer.write_parts
        self.clear_temporary = self._writer.clear
        self._lock: Lock
        self.mirror: Mirror
        self.checks: Checks
        if state is None:
            self._lock = lock = FileLock(layout, inside)
            self.mirror = NoMirror(layout, inside, lock)
            self.checks = DiskChecks(layout, inside, tables)
        else:
            self._lock = lease = StoreLease(state.store, state.address, layout)
            self.mirror = StoreMirror(state, layout, inside, lease)
            self.checks = StoreChecks(layout, state)
        self.on_commit = self.mirror.on_commit

    @cached_property
    def crops(self) -> Crops:
        """The crops: files or in tar files, as this call or the journal says."""
        kind = TarCrops if self._recorded_format() == "tar" else FileCrops
        return kind(self.layout, self.inside, self._writer, self.mirror)

    def _recorded_format(self) -> OutFormat:
        if self._out_format is not None:
            return self._out_format
        for layout in (self.layout, self.layout.unsharded, *shard_layouts(self.layout)):
            if (config := recorded_config(layout.journal)) is not None:
                return config.out_format
        return "files"

    @cached_property
    def aside(self) -> Aside:
        """The crops that were set aside."""
        return Aside(self.layout, self.inside, self.crops, self.mirror)

    @property
    def whole(self) -> OutputFolder:
        """The folder without a shard."""
        return self if self.layout is self.layout.unsharded else self.with_shard(None)

    def with_shard(self, shard: Shard | None) -> OutputFolder:
        """Return the same folder as another shard sees it; None for an unsharded run."""
        return OutputFolder(self.root, shard, self._out_format, self._state)

    @contextlib.contextmanager
    def preview(self) -> Iterator[OutputFolder]:
        """Yield the same folder with a journal of its own, which begins as a copy and is removed at the end.

        Tables can be made from what it is given, and the folder's own journal stays as it is.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        view = self.with_shard(None)
        ours, theirs = self.layout, self.layout.preview()
        view.layout = theirs
        try:
            with folder_errors(self.shown):
                self.inside.mkdir(theirs.own_state)
                for path, target in (
                    (ours.journal, theirs.journal),
                    (ours.candidates, theirs.candidates),
                    (ours.listing, theirs.listing),
                ):
                    if is_there(path):
                        with open(path, "rb") as file, self.inside.create(target) as copy:
                            shutil.copyfileobj(file, copy)
            yield view
        finally:
            self.clear_temporary()

    # ------------------------------------------------------------ before anything is written

    def check_usable(self) -> None:
        """Refuse a folder that is not ours, and put together what is in parts; see `complete`."""
        self.checks.usable()
        self.complete()

    def complete(self) -> None:
        """Look at what lies there; of a copy of a folder in a store, put together what is in segments.

        Raises:
            UsageError: something in `.detic-crop` is a link, or not a file where one is expected; or the
                segments do not fit what was done here since.
            OutputError: a run is at work here, or the folder cannot be written.
        """
        self.checks.state()
        self.mirror.complete()

    def shards(self) -> list[Shard]:
        """Return the shards that wait to be merged, in order."""
        return waiting_shards(self.layout)

    def require_merged(self) -> None:
        """Refuse a folder in which shards are at work, or wait to be merged.

        Raises:
            OutputError: a shard is at work; names the process.
            UsageError: they have all ended.
        """
        if shards := self.shards():
            self._lock.refuse_running(shards)
            raise UsageError(
                "not_merged",
                f"{self.shown} holds {len(shards)} of {counted(shards[0].count, 'shard')} that are not "
                f"merged yet; run: detic-crop merge {self.layout.quoted}",
            )

    def refuse_running(self) -> None:
        """Refuse a folder in which shards are at work; shards that wait to be merged are accepted.

        Raises:
            OutputError: a shard is at work; names the process.
        """
        self._lock.refuse_running(self.shards())

    def require_run(self) -> None:
        """Refuse a folder without a journal.

        Raises:
            UsageError: no run was ever begun there, or its shards are not merged yet.
            OutputError: its shards are at work.
        """
        self.complete()
        self.require_merged()
        if not is_there(self.layout.journal):
            raise self.no_run()

    def no_run(self) -> UsageError:
        """Return that no run was ever begun here."""
        is_folder = is_there(self.root)
        found = f"is no folder of crops (it has no {STATE}/journal.jsonl)" if is_folder else "does not exist"
        near = "" if is_folder else near_path(self.shown)
        return UsageError("no_run", f"{self.shown} {found}; pass the --out folder of a detic-crop run{near}")

    # ------------------------------------------------------------ writing

    @contextlib.contextmanager
    def locked(self, begin: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the folder, or the shard's part of it, for one command.

        Args:
            begin: called once it is held, and may refuse to go on; of shards on a disk one at a time. None
                refuses shards that wait to be merged.

        Raises:
            OutputError: another run holds it; names the process.
        """

        def begin_here() -> None:
            with folder_errors(self.shown):
                self.mirror.pull()  # what another run did since this one began to look
                self.inside.mkdir(self.layout.temporary)
                self.tables.begin()
                (begin or self.require_merged)()
                self.mirror.check()
                self.crops.rename_earlier()
                self.aside.rename_earlier()
                self.mirror.flush()  # for shards that begin now

        with self._lock.hold(begin_here):
            try:
                yield
            except DeticCropError:
                if self.mirror.failed is None:
                    self.mirror.flush()
                raise
            self.mirror.flush()

    def flush(self) -> None:
        """Bring all that is recorded to where it is to be: into tar files, into a store.

        Raises:
            OutputError: it cannot be; what was before is kept.
        """
        with folder_errors(self.shown):
            self.crops.flush()
        self.mirror.flush()

    def exists(self, path: Path) -> bool:
        """Return whether a table is there."""
        return is_there(path) or self.mirror.size(self.layout.name_of(path)) is not None

    def read_at_most(self, path: Path, most: int) -> bytes:
        """Return the bytes of a table; none of one that is larger, or where there is none."""
        try:
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode):
                return path.read_bytes() if status.st_size <= most else b""
        except OSError:
            pass
        return self.mirror.read_at_most(self.layout.name_of(path), most)

    def read_parts(self, path: Path) -> Iterator[bytes]:
        """Yield the bytes of a table, some at a time.

        Raises:
            FileNotFoundError: there is no plain file.
            OSError: it cannot be read.
        """
        name = self.layout.name_of(path)
        if (size := self.mirror.size(name)) is not None and not is_there(path):
            for start in range(0, size, _PART):
                yield self.mirror.read(name, start, min(start + _PART, size))
            return
        with self.inside.open_read(path) as file:
            while part := file.read(_PART):
                yield part


@contextlib.contextmanager
def open_folder(
    output: str | os.PathLike[str], shard: Shard | None = None, out_format: OutFormat | None = None
) -> Iterator[OutputFolder]:
    """Open the output folder that a path or an address names.

    Args:
        output: value of ``--out``.
        shard: which of several runs that write to it.
        out_format: format of the crops if this call may begin the folder; None takes the journal's.

    Raises:
        UsageError: the address is of no store that can be written to, or cannot be read; a path is too long.
        OutputError: something in the folder cannot be read or written, at any time until it is left.
    """
    given = _given(output)
    if not is_address(given):
        with folder_errors(given):
            yield OutputFolder(output, shard, out_format)
        return
    if is_web(given) or not path_of(given).strip("/"):
        raise UsageError(
            "out_not_writable",
            f"--out {redact(given)} cannot be written to; "
            "pass s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or a folder",
        )
    store = store_of(given)
    with output_errors(redact(given)):
        root = Path(tempfile.mkdtemp(prefix="detic-crop-"))
    try:
        folder = OutputFolder(root, shard, out_format, StoreState(store, given.rstrip("/"), root))
        folder.mirror.pull()
        with contextlib.closing(folder.mirror), folder_errors(folder.shown):
            yield folder
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextlib.contextmanager
def open_on_disk(folder: str | os.PathLike[str], command: str) -> Iterator[OutputFolder]:
    """Open a folder for a command that works on this machine's disk only; errors are as of `open_folder`.

    Raises:
        UsageError: an address is given; says what to do.
    """
    given = _given(folder)
    if is_address(given):
        raise UsageError(
            "needs_disk",
            f"{command} needs the folder on a disk: copy {redact(given)} here first (for S3: aws s3 sync "
            f"{redact(given)} cropped), then run the command on the copy",
        )
    with folder_errors(given):
        yield OutputFolder(folder)


def _given(folder: str | os.PathLike[str]) -> str:
    """Return a path or an address as text; raise UsageError of one that cannot be any."""
    given = os.fspath(folder)
    if not given:  # as a path it would mean the working folder
        raise UsageError("empty_output", "the output folder has an empty name; pass a folder, e.g. cropped")
    if "\0" in given or not _can_be_encoded(given):
        raise UsageError(
            "no_path", f"the output folder must be a path that a disk can have, got {given!r}; pass another"
        )
    return given


def _can_be_encoded(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
