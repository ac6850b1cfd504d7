"""The pieces of HTML that every part of the page is made of.

`html` is the one place where values come into HTML: what is no `Markup` is escaped there, whatever it is and
wherever it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import LiteralString

from markupsafe import Markup

_MAX_TEXT = 300  # characters of one name, label or message


def html(template: LiteralString, /, **values: object) -> Markup:
    """Fill a template as `str.format` does; every value but `Markup` is escaped.

    Args:
        template: HTML with ``{name}`` where a value goes, between tags or in a quoted attribute.
        **values: by name.
    """
    return Markup(template).format(**values)


def joined(pieces: Iterable[Markup], between: LiteralString = "") -> Markup:
    """Some pieces, one after the other."""
    return Markup(between).join(pieces)


def escaped(value: object, most: int = _MAX_TEXT) -> Markup:
    """A text, cut where it would be a page of its own."""
    text = str(value)
    return Markup.escape(text if len(text) <= most else text[: most - 1] + "…")


def two_digits(value: float | None) -> str:
    """A score, presence or suspicion."""
    return "–" if value is None else f"{value:.2f}"


def percent(share: float, digits: int = 1) -> Markup:
    """A share of 0 to 1 in words."""
    return html("{number}&nbsp;%", number=f"{100 * share:.{digits}f}")


def meter(share: float) -> Markup:
    """A share of 0 to 1 as a bar and in words."""
    return html(
        '<span class="meter"><i style="width:{share:.1%}"></i></span> {words}',
        share=share,
        words=percent(share),
    )


def table(header: Sequence[str], rows: Iterable[Markup], n_rows: int, more: str = "") -> Markup:
    """A table that scrolls on a narrow screen.

    Args:
        header: column names; one that begins with # is of numbers.
        rows: ``<tr>`` elements.
        n_rows: how many there would be, had none been left out.
        more: where to find those left out.
    """
    cells = (
        html('<th scope="col" class="n">{name}</th>', name=escaped(name[1:]))
        if name.startswith("#")
        else html('<th scope="col">{name}</th>', name=escaped(name))
        for name in header
    )
    body = list(rows)
    # A keyboard can scroll only what it can reach.
    scrolled = html(
        '<div class="scroll" tabindex="0"><table><thead><tr>{cells}</tr></thead><tbody>\n'
        "{body}</tbody></table></div>\n",
        cells=joined(cells),
        body=joined(body),
    )
    if n_rows <= len(body):
        return scrolled
    left = html('<p class="soft">{left:,} more; {more}.</p>\n', left=n_rows - len(body), more=more)
    return joined((scrolled, left))
