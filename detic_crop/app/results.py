"""What an output folder has to show, and what is next."""

from __future__ import annotations

import msgspec

from detic_crop.app.folders import is_output, query_of
from detic_crop.app.job_files import read_json
from detic_crop.app.refusals import RefusedError
from detic_crop.app.roots import Roots
from detic_crop.folder.layout import Layout


class Results(msgspec.Struct):
    """What an output folder has to show.

    Attributes:
        path, query: the folder.
        counts: photos by status, as the last run counted them.
        flagged: crops with something to doubt.
        has_audit: whether audit.html is there.
    """

    path: str
    query: str
    counts: dict[str, int]
    flagged: int
    has_audit: bool


def results_of(roots: Roots, given: str) -> Results:
    """Return what an output folder has to show.

    Raises:
        RefusedError: it is none.
    """
    path = roots.folder(given)
    if not is_output(path):
        raise RefusedError(409, "no_output_folder", f"expected an output folder of detic-crop, got {path}")
    layout = Layout(path)
    told = read_json(layout.run_json)
    told = told if isinstance(told, dict) else {}
    counts = told.get("counts", {})
    return Results(
        path=path,
        query=query_of(path),
        counts={str(k): v for k, v in counts.items() if isinstance(v, int)}
        if isinstance(counts, dict)
        else {},
        flagged=told["flagged"] if isinstance(told.get("flagged"), int) else 0,
        has_audit=layout.audit_html.is_file(),
    )
