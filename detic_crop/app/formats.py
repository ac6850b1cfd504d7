"""The formats of exports, as a form shows them."""

from __future__ import annotations

import msgspec

from detic_crop.exports.formats import FORMATS, export_named


class FormatView(msgspec.Struct):
    """One format.

    Attributes:
        name: value of the setting ``to``.
        about: what it is, in one line.
        takes: settings of ``export`` that mean something here.
    """

    name: str
    about: str
    takes: list[str]


def formats() -> list[FormatView]:
    """Return every format that `export` writes."""
    found = []
    for name, known in FORMATS.items():
        kind = export_named(name)
        takes = kind.takes | ({"of"} if len(kind.of) > 1 else set())
        found.append(FormatView(name, known.about, sorted(takes)))
    return found
