"""Write what a paper says of a data set: estimate.json and datacard.md."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from detic_crop.commands.result import RunResult
from detic_crop.commands.run_json import version_of, versions_in
from detic_crop.config import CropConfig
from detic_crop.folder.state import Drawn
from detic_crop.folder.tables import HEAD_BYTES, is_made_here
from detic_crop.report.model import Audit
from detic_crop.report.paper import Origin, write_card, write_estimate

_NOT_SETTINGS = {"weights", "algorithm"}


def write_paper(result: RunResult, audit: Audit, sample: Sequence[Drawn]) -> None:
    """Write estimate.json and datacard.md of a folder that has a sample.

    Args:
        result: what the command left behind, with its counts; notes are added.
        audit: what is known of the data set.
        sample: the sample as it was drawn; empty without one.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    folder = result.folder
    if not sample:
        paths = (folder.layout.estimate_json, folder.layout.datacard)
        result.notes += [
            f"{path.name} is older than this table; `detic-crop audit` with --sample 200 writes a new one"
            for path in paths
            if folder.exists(path) and is_made_here(path.name, folder.read_at_most(path, HEAD_BYTES))
        ]
        return
    versions = result.versions or versions_in(folder)
    commands = commands_of(audit.config, audit.inputs)
    origin = Origin(commands, dict(sorted(result.counts.items())), versions, version_of("detic-crop"))
    write_estimate(folder, audit, sample, origin)
    write_card(folder, audit, sample, origin)


def commands_of(config: CropConfig, inputs: Sequence[str]) -> list[str]:
    """Return the commands that make a data set, with ``CROPPED`` as its folder.

    Args:
        config: settings of the folder, as resolved; those that differ from the defaults are spelled out.
        inputs: short names of the inputs.
    """
    words: list[str] = []
    for setting in dataclasses.fields(config):
        value = getattr(config, setting.name)
        if setting.name not in _NOT_SETTINGS and value != setting.default:
            words += [f"--{setting.name.replace('_', '-')}", *([] if value is True else [str(value)])]
    first, *more = inputs or ["PHOTOS"]
    begin = ["detic-crop", "run", "--in", first, "--out", "CROPPED"]
    added = [["detic-crop", "run", "--in", name, "--out", "CROPPED", "--add"] for name in more]
    return [shlex.join([*begin, *words]), *map(shlex.join, added)]
