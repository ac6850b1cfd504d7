"""What a notebook shows of the result of a command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from detic_crop.report.html.notebook import result_html
from detic_crop.report.sheet import with_pictures
from detic_crop.stores.addresses import is_address
from detic_crop.system.memory_budget import MemoryBudget

if TYPE_CHECKING:
    from detic_crop.commands.result import RunResult

_MOST_SENTENCES = 8


def html_of_result(result: RunResult) -> str:
    """Return the counts, what a person should know, the most suspicious crops, and links to the tables."""
    sentences, shown = result.sentences, result.most_suspicious
    if not is_address(result.folder.shown):  # of a store each one would be a request
        shown = with_pictures(shown, result.folder, MemoryBudget.of_machine(result.memory))
    return result_html(
        {
            "title": result.folder.shown,
            "summary": result.summary,
            "failures": result.failures.most_common(),
            "sentences": sentences[:_MOST_SENTENCES],
            "n_left_out": max(0, len(sentences) - _MOST_SENTENCES),
            "links": _links(result),
        },
        shown,
    )


def _links(result: RunResult) -> list[tuple[str, str]]:
    """Return (name, address) of the tables that are there; no address where a browser cannot open them."""
    layout = result.folder.layout
    tables = (layout.audit_html, layout.audit_csv)
    if is_address(result.folder.shown):
        return [(layout.shown_of(table), "") for table in tables if result.counts]
    return [(layout.shown_of(table), _address(table)) for table in tables if table.is_file()]


def _address(path: Path) -> str:
    """Return the address of a file for a link: a notebook's server only opens what lies below its folder."""
    absolute = Path(os.path.abspath(path))
    if absolute.is_relative_to(here := Path.cwd()):
        return quote(absolute.relative_to(here).as_posix(), errors="surrogateescape")
    return absolute.as_uri()
