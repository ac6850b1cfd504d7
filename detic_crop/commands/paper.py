"""Write what a paper says of a data set: estimate.json and datacard.md."""

from __future__ import annotations

from collections.abc import Sequence

from detic_crop.commands.result import RunResult
from detic_crop.commands.run_json import version_of, versions_in
from detic_crop.folder.state import Drawn
from detic_crop.folder.tables import HEAD_BYTES, is_made_here
from detic_crop.report.model import Audit
from detic_crop.report.paper import Origin, commands_of, write_card, write_estimate


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
    commands = commands_of(audit.config, audit.inputs, audit.labels)
    origin = Origin(commands, dict(sorted(result.counts.items())), versions, version_of("detic-crop"))
    write_estimate(folder, audit, sample, origin)
    write_card(folder, audit, sample, origin)
