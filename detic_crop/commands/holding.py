"""The output folder, held for the time of a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from detic_crop.commands.run_json import version_of
from detic_crop.config import CropConfig, RunOptions
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.removal import reset
from detic_crop.folder.write_errors import output_errors
from detic_crop.shards.state import begin_shard, check_same_count, folder_settings
from detic_crop.system.console import open_descriptors
from detic_crop.system.signals import Stop, stop_signals
from detic_crop.work.execute import check_same_settings


def check_alone(folder: OutputFolder, options: RunOptions) -> None:
    """Refuse a run beside shards, or a shard beside those of another number, before anything is begun."""
    if folder.shard is not None:
        check_same_count(folder)
        if options.overwrite and folder.whole.layout.journal.exists():
            raise UsageError(
                f"{folder.shown} was merged before, and one shard cannot begin that anew; pass another --out"
            )
    elif not options.overwrite:
        folder.require_merged()


@contextmanager
def hold(folder: OutputFolder, options: RunOptions, config: CropConfig | None = None) -> Iterator[Stop]:
    """The output folder, ours alone (or a shard's part of it) and ready; signals ask for an orderly end."""

    def begin() -> None:
        if folder.shard is not None and config is not None:
            check_alone(folder, options)
            check_same_settings(folder_settings(folder, overwrite=True), config, folder)
            if options.overwrite:
                _overwrite(folder, options)
            begin_shard(folder, config, version_of("detic-crop"))
        elif options.overwrite:
            folder.refuse_running()
            _overwrite(folder, options)
        else:
            folder.require_merged()

    open_descriptors()  # before the journal is opened
    with (
        folder.locked(begin),
        stop_signals() as stop,
        output_errors(folder.shown),
    ):
        yield stop


def _overwrite(folder: OutputFolder, options: RunOptions) -> None:
    if folder.layout.review.exists() and not options.discard_review:
        raise UsageError(
            f"--overwrite would remove the verdicts in {folder.layout.shown_of(folder.layout.review)}; "
            "add --discard-review to allow that"
        )
    reset(folder)
