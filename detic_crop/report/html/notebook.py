"""HTML for the cell of a notebook: without a style sheet, in the colours of the page around it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from detic_crop.report.html.rendering import environment
from detic_crop.report.sheet import SheetCrop
from detic_crop.wording import utf8


def result_html(values: Mapping[str, Any], crops: Sequence[SheetCrop]) -> str:
    """Return what a command did, with its most suspicious crops; `notebook.html.j2` names the values."""
    return _rendered("result", **values, crops=_pictured(crops))


def lines_html(lines: Sequence[str]) -> str:
    """Return what a command did as the lines that it prints."""
    return _rendered("lines", lines)


def sheet_html(title: str, crops: Sequence[SheetCrop]) -> str:
    """Return a contact sheet."""
    return _rendered("sheet", title, _pictured(crops))


def sheet_page(title: str, crops: Sequence[SheetCrop]) -> str:
    """Return a contact sheet as a page of its own."""
    return _rendered("page", title, _pictured(crops))


def _rendered(macro: str, *args: Any, **values: Any) -> str:
    html = getattr(environment().get_template("notebook.html.j2").module, macro)(*args, **values)
    return utf8(html).decode()  # half of a surrogate pair would spoil the whole notebook


def _pictured(crops: Sequence[SheetCrop]) -> list[tuple[SheetCrop, str]]:
    return [(crop, base64.b64encode(crop.jpeg or b"").decode()) for crop in crops]
