"""Numbers in sentences, and text as bytes."""

from __future__ import annotations


def either(number: int, one: str, many: str) -> str:
    """Return the word that goes with a number: ``is`` with 1, ``are`` with 0 and 2."""
    return one if number == 1 else many


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun; `many` is needed if the plural is not `one` with an s."""
    return f"{number:,} {either(number, one, many or f'{one}s')}"


def utf8(text: str) -> bytes:
    """Return a text in UTF-8; undecodable bytes of a file name are spelled out, ``\\udce9``."""
    return text.encode("utf-8", "backslashreplace")
