"""Ids as JSON and CSV files spell them: 1, 1.0, "1" and "1.0" are one."""

from __future__ import annotations

import re
from decimal import Decimal

from detic_crop.naming import FLOAT_LIMIT

# "007" is a name and not the number 7; "1e3" is how some write a large id that has become a float.
_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)(?:\.0*)?(?:[eE]\+?\d{1,2})?|-?[1-9]\.\d+[eE]\+?\d{1,2}")


def id_of(value: object) -> str | None:
    """Return the one spelling of an id; None where it is none (null, NaN, true, a list, empty text).

    Nor is a float that may be that of several ids: which photo it meant nobody knows.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float):
        if not abs(value) < FLOAT_LIMIT:
            return None
        return str(int(value)) if value.is_integer() else str(value)
    return whole(value.strip()) or None if isinstance(value, str) else str(value)


def whole(text: str) -> str:
    """Return the text of a whole number without a point or an exponent; any other text as it stands."""
    if not _WHOLE.fullmatch(text) or text.lstrip("-").isdecimal():
        return text
    number = Decimal(text)
    return str(int(number)) if number == int(number) and abs(number) < FLOAT_LIMIT else text
