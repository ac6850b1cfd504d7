"""How much of an output folder a run works on: all of it, or the part of one shard; chosen once.

It is here and not with the shards because finishing means tables, of which the shards know nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from detic_crop.commands.data_set import DataSet
from detic_crop.commands.result import RunResult
from detic_crop.commands.run_json import version_of
from detic_crop.commands.settings import check_same_settings
from detic_crop.commands.tables import write_tables
from detic_crop.config import CropConfig, RunOptions
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import Journal, recorded_config, replay
from detic_crop.folder.known import Known, both
from detic_crop.folder.records import Record, ResumeEntry
from detic_crop.folder.removal import reset
from detic_crop.folder.shard import Shard
from detic_crop.folder.state import Given, save_labels, save_listing
from detic_crop.folder.there import is_there
from detic_crop.photos.table import Photos
from detic_crop.shards.state import (
    check_same_count,
    check_same_shards,
    replaceable_crops,
    save_shard_input,
    whole_input,
)
from detic_crop.system.console import open_descriptors
from detic_crop.system.signals import Stop, stop_signals


class Scope(Protocol):
    """What a run may read, do and write in an output folder.

    Attributes:
        folder: the folder, with the journal that the run writes.
        options: how the work is done.
    """

    @property
    def folder(self) -> OutputFolder: ...

    @property
    def options(self) -> RunOptions: ...

    def begun_with(self) -> CropConfig | None:
        """Return the settings that the folder was begun with; None if the run begins it."""
        ...

    def check_alone(self) -> None:
        """Refuse a run that does not fit what the folder has, before anything is begun.

        Raises:
            UsageError: shards wait to be merged, or there are shards of another number.
            OutputError: a shard is at work.
        """
        ...

    def check_settings(self, recorded: CropConfig | None, config: CropConfig) -> None:
        """Refuse to mix crops of two settings in one folder.

        Raises:
            UsageError: names what differs.
        """
        ...

    def check_photos(self, inputs: Sequence[Given], photos: Photos) -> None:
        """Refuse photos that do not fit those of other shards.

        Raises:
            UsageError: names the first one.
        """
        ...

    def select(self, photos: Photos) -> Photos:
        """Return the photos that this run does, of all that were asked for."""
        ...

    def held(self, config: CropConfig) -> AbstractContextManager[Stop]:
        """Hold the folder, remove what was there with ``overwrite``; yield what says when to stop.

        Raises:
            OutputError: another run is at work.
            UsageError: the run cannot begin; nothing was changed.
        """
        ...

    def save_input(self, data_set: DataSet, command: Sequence[str]) -> None:
        """Save which photos were asked for, and where they are.

        Args:
            data_set: the photos.
            command: words of the command, without ``--out`` and ``--shard``; empty if run from Python.
        """
        ...

    def finished(self, own: Known[ResumeEntry]) -> Known[ResumeEntry]:
        """Return what is recorded of each photo, by key, as far as a resume has to know it.

        Args:
            own: entries of the run's own journal, by key.
        """
        ...

    def records(self) -> Known[Record]:
        """Return the last record of each photo that this run may know, by key."""
        ...

    def files_in_the_way(self) -> Iterable[tuple[str, int]]:
        """Yield the files that the names of new crops avoid, and their bytes; -1 for a link."""
        ...

    def describe(self) -> dict[str, str]:
        """Return what run.json says of the scope."""
        ...

    def finish(self, result: RunResult, photos: Photos) -> None:
        """Count what is recorded, and write the tables if nothing else has to be waited for."""
        ...


def scope_of(folder: OutputFolder, options: RunOptions) -> Scope:
    """Return the scope that ``--shard`` asks for."""
    shard = folder.layout.shard
    return WholeRun(folder, options) if shard is None else ShardRun(folder, options, shard)


@dataclass(frozen=True, slots=True)
class WholeRun:
    """A run that is alone in its folder."""

    folder: OutputFolder
    options: RunOptions = field(default_factory=RunOptions)

    def begun_with(self) -> CropConfig | None:
        return None if self.options.overwrite else recorded_config(self.folder.layout.journal)

    def check_alone(self) -> None:
        if not self.options.overwrite:
            self.folder.require_merged()

    def check_settings(self, recorded: CropConfig | None, config: CropConfig) -> None:
        check_same_settings(recorded, config, self.folder.shown)

    def check_photos(self, inputs: Sequence[Given], photos: Photos) -> None:
        pass

    def select(self, photos: Photos) -> Photos:
        return photos

    def held(self, config: CropConfig | None = None) -> AbstractContextManager[Stop]:
        folder = self.folder

        def begin() -> None:
            if self.options.overwrite:
                folder.refuse_running()
                _reset(folder, self.options)
            else:
                folder.require_merged()

        return _held(folder, begin)

    def save_input(self, data_set: DataSet, command: Sequence[str]) -> None:
        save_listing(self.folder, data_set.photos, data_set.inputs)
        save_labels(self.folder, data_set.labels, data_set.matches)

    def finished(self, own: Known[ResumeEntry]) -> Known[ResumeEntry]:
        return own

    def records(self) -> Known[Record]:
        return replay(self.folder.layout.journal).records

    def files_in_the_way(self) -> Iterable[tuple[str, int]]:
        return self.folder.mirror.files()

    def describe(self) -> dict[str, str]:
        return {}

    def finish(self, result: RunResult, photos: Photos) -> None:
        records = self.records()
        self.folder.aside.remove_stale(records)
        write_tables(result, records)


@dataclass(frozen=True, slots=True)
class ShardRun:
    """The run of one shard among others; `merge` writes the tables."""

    folder: OutputFolder
    options: RunOptions
    shard: Shard

    def begun_with(self) -> CropConfig | None:
        found = None if self.options.overwrite else recorded_config(self.folder.layout.journal)
        return found or self._begun_by_others()

    def _begun_by_others(self) -> CropConfig | None:
        """Return the settings of an earlier merge or of another shard, which this one has to share."""
        layout = self.folder.layout
        others = (layout.of_shard(other) for other in self.folder.shards() if other != self.shard)
        configs = (recorded_config(other.journal) for other in (layout.unsharded, *others))
        return next((config for config in configs if config is not None), None)

    def check_alone(self) -> None:
        check_same_count(self.folder, self.shard)
        if self.options.overwrite and is_there(self.folder.layout.unsharded.journal):
            raise UsageError(
                "shard_of_merged_folder",
                f"{self.folder.shown} was merged before, and a single shard cannot start over; pass another "
                "--out",
            )

    def check_settings(self, recorded: CropConfig | None, config: CropConfig) -> None:
        check_same_settings(recorded, config, self.folder.shown, "or another --out")

    def check_photos(self, inputs: Sequence[Given], photos: Photos) -> None:
        check_same_shards(self.folder, inputs, photos, self.options.add)

    def select(self, photos: Photos) -> Photos:
        return photos.of(self.shard.own_rows(photos.keys))

    def held(self, config: CropConfig) -> AbstractContextManager[Stop]:
        folder = self.folder

        def begin() -> None:  # one shard at a time
            self.check_alone()
            self.check_settings(self._begun_by_others(), config)
            if self.options.overwrite:
                _reset(folder, self.options)
            begin_journal(folder, config)

        return _held(folder, begin)

    def save_input(self, data_set: DataSet, command: Sequence[str]) -> None:
        whole = whole_input(data_set.photos, data_set.labels, data_set.matches, self.options.limit)
        save_shard_input(self.folder, self.shard, data_set.photos, data_set.inputs, whole, command)
        save_labels(self.folder, data_set.labels, data_set.matches)

    def finished(self, own: Known[ResumeEntry]) -> Known[ResumeEntry]:
        merged = replay(self.folder.layout.unsharded.journal).entries
        self.folder.crops.replace_only(replaceable_crops(self.folder, self.shard, own, merged))
        return both(merged, own)

    def records(self) -> Known[Record]:
        merged, own = map(replay, (self.folder.layout.unsharded.journal, self.folder.layout.journal))
        return both(merged.records, own.records)

    def files_in_the_way(self) -> Iterable[tuple[str, int]]:
        return ()  # names agree among shards, whatever the others have put there already

    def describe(self) -> dict[str, str]:
        return {"shard": str(self.shard)}

    def finish(self, result: RunResult, photos: Photos) -> None:
        records = self.records()
        result.count(record for record in map(records.get, photos.keys) if record is not None)


@contextmanager
def _held(folder: OutputFolder, begin: Callable[[], None]) -> Iterator[Stop]:
    """Hold the folder, which `begin` may still refuse; yield what says when to stop."""
    open_descriptors()  # before the journal is opened
    with folder.locked(begin), stop_signals() as stop:
        yield stop


def begin_journal(folder: OutputFolder, config: CropConfig) -> None:
    """Note the settings in a journal that has none yet."""
    layout = folder.layout
    if recorded_config(layout.journal) is None:
        with closing(Journal(layout.journal, layout.candidates, folder.inside)) as journal:
            journal.begin(config, version_of("detic-crop"))


def _reset(folder: OutputFolder, options: RunOptions) -> None:
    for path in (folder.layout.review, folder.layout.second_review):
        if is_there(path) and not options.discard_review:
            raise UsageError(
                "verdicts_would_be_lost",
                f"--overwrite would remove the verdicts in {folder.layout.shown_of(path)}; "
                "add --discard-review to allow that",
            )
    reset(folder)
