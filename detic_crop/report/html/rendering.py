"""Jinja2 as the page uses it: every value is escaped, a name that is not defined is an error."""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from detic_crop.wording import counted, either

COLOURS = "colours.css"
"""The style sheet with the colours that all pages share."""

_MAX_TEXT = 300  # characters of one name, label or message


@cache
def environment() -> Environment:
    """Return the environment of the templates of this package."""
    made = plain_environment("detic_crop.report.html")
    made.globals |= {"counted": counted, "either": either}
    filters = (capitalize_first, percent, px, short, thousands, two_digits)
    made.filters |= {function.__name__: function for function in filters}
    return made


def plain_environment(package: str) -> Environment:
    """Return an environment for the templates of a package, without filters of ours."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style(*names: str) -> str:
    """Return style sheets of this package, joined."""
    folder = resources.files("detic_crop.report.html")
    return "".join(folder.joinpath(name).read_text("utf-8") for name in names)


def short(value: object, most: int = _MAX_TEXT) -> str:
    """Return a value as text, cut where it would be a page of its own."""
    text = str(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def capitalize_first(text: str) -> str:
    """Return a sentence with a capital letter at its beginning; the rest stays, unlike Jinja's own."""
    return text[:1].upper() + text[1:]


def thousands(number: int) -> str:
    """Return a number as text, ``1,234``."""
    return f"{number:,}"


def px(length: float) -> str:
    """Return a length in an SVG as text."""
    return f"{length:.1f}"


def two_digits(value: float | None) -> str:
    """Return a score, presence or suspicion as text."""
    return "–" if value is None else f"{value:.2f}"


def percent(share: float, digits: int = 1) -> Markup:
    """Return a share of 0 to 1 as HTML, in per cent."""
    return Markup(f"{100 * share:.{digits}f}&nbsp;%")
