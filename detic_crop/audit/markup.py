"""The pieces of HTML that every part of the page is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_MAX_TEXT = 300  # characters of one name, label or message


def escaped(value: str, most: int = _MAX_TEXT) -> str:
    """Safe in HTML, cut where it would be a page of its own."""
    return escape(value if len(value) <= most else value[: most - 1] + "…")


def utf8(html: str) -> bytes:
    """What stands in the file; a name that is no text is spelled out rather than refused."""
    return html.encode("utf-8", "backslashreplace")


def two_digits(value: float | None) -> str:
    """A score, presence or suspicion."""
    return "–" if value is None else f"{value:.2f}"


def percent(share: float, digits: int = 1) -> str:
    """A share of 0 to 1 in words."""
    return f"{100 * share:.{digits}f}&nbsp;%"


def meter(share: float) -> str:
    """A share of 0 to 1 as a bar and in words."""
    return f'<span class="meter"><i style="width:{share:.1%}"></i></span> {percent(share)}'


def table(header: Sequence[str], rows: Iterable[str], n_rows: int, more: str = "") -> str:
    """A table that scrolls on a narrow screen.

    Args:
        header: column names; one that begins with # is of numbers.
        rows: ``<tr>`` elements.
        n_rows: how many there would be, had none been left out.
        more: where to find those left out.
    """
    cells = (
        f'<th scope="col" class="n">{escaped(name[1:])}</th>'
        if name.startswith("#")
        else f'<th scope="col">{escaped(name)}</th>'
        for name in header
    )
    body = list(rows)
    left = f'<p class="soft">{n_rows - len(body):,} more; {more}.</p>\n' if n_rows > len(body) else ""
    head = f"<thead><tr>{''.join(cells)}</tr></thead>"
    # A keyboard can scroll only what it can reach.
    body_html = "".join(body)
    return f'<div class="scroll" tabindex="0"><table>{head}<tbody>\n{body_html}</tbody></table></div>\n{left}'
