"""Numbers in sentences, text as bytes, commands to be typed, and text that is safe to print."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Iterable

# What moves the cursor, forges lines, changes colours or the order of what follows: C0, DEL, C1, marks and
# overrides of direction, separators of lines and paragraphs.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNPRINTABLE = re.compile(f"{_CONTROLS.pattern[:-1]}\ud800-\udfff]")
_CONTROLS_IN_LINES = re.compile(_CONTROLS.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def either(number: int, one: str, many: str) -> str:
    """Return the word that goes with a number: ``is`` with 1, ``are`` with 0 and 2."""
    return one if number == 1 else many


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun; `many` is needed if the plural is not `one` with an s."""
    return f"{number:,} {either(number, one, many or f'{one}s')}"


def utf8(text: str) -> bytes:
    """Return a text in UTF-8; undecodable bytes of a file name are spelled out, ``\\udce9``."""
    return text.encode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """Return a text as one line that can be printed: control characters are spelled, ``\\x1b``, ``\\n``."""
    return _CONTROLS.sub(_spelled, text)


def visible_lines(text: str) -> str:
    """Return a text of several lines like `visible`; line feeds and tabs stay."""
    return _CONTROLS_IN_LINES.sub(_spelled, text)


def typed(*words: str) -> str:
    """Return words as they are typed in a shell: those with blanks and the like are quoted.

    On Windows in double quotes, which cmd and PowerShell both take; elsewhere as `shlex.quote` does, or as
    bash and zsh read ``$'…'``, where a word holds what cannot be printed.
    """
    if os.name != "nt":
        return " ".join(map(_quoted, words))
    return " ".join(word if re.fullmatch(r"[\w\\/:.+=@~-]+", word) else f'"{word}"' for word in words)


def _quoted(word: str) -> str:
    if not _UNPRINTABLE.search(word):
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_UNPRINTABLE.sub(_escaped, escaped)}'"


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known word that a misspelt one probably means; empty if none is near."""
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(word.lower(), by_lower, 1, cutoff)
    return by_lower[near[0]] if near else ""


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def span(seconds: float) -> str:
    """Return a time as people say it: ``45 s``, ``12 min``, ``3 h 28 min``, ``2 d 4 h``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def memory_size(size: int) -> str:
    """Return a number of bytes as ``--memory`` takes it, rounded up: ``1.5GB``, ``120MB``."""
    return f"{-(-size // 10**6)}MB" if size < 10**9 else f"{-(-size // 10**8) / 10:g}GB"
