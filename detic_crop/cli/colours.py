"""Colours of what the commands print, where there is a terminal that shows them and nobody forbids it."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import click

_STYLES: tuple[tuple[re.Pattern[str], dict[str, Any]], ...] = (
    (re.compile(r"^detic-crop:"), {"fg": "red", "bold": True}),
    (re.compile(r"(?<=`)detic-crop [^`]+(?=`)"), {"bold": True}),
    (re.compile(r"(?<=: )detic-crop [^`;]+$|(?<=: )detic-crop [^`;]+(?=;)"), {"bold": True}),
    (re.compile(r"\b[1-9][\d,]* crops? to look at\b"), {"fg": "yellow"}),
    (re.compile(r"\b[1-9][\d,]* failed\b"), {"fg": "red"}),
)
"""What is shown how, wherever a line says it: errors, the next command, how many crops are doubtful."""


def shows_colours(stream: Any) -> bool:
    """Return whether a stream is a terminal that shows colours, and the user wants them (NO_COLOR, TERM)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        if not stream.isatty():
            return False
    except Exception:  # somebody's own stream
        return False
    # An old console of Windows prints the codes themselves.
    return sys.platform != "win32" or any(
        os.environ.get(name) for name in ("WT_SESSION", "ANSICON", "ConEmuANSI", "TERM_PROGRAM", "TERM")
    )


def coloured(line: str, *, warning: bool = False) -> str:
    """Return a line of plain text with the codes that colour it.

    Args:
        line: without control characters.
        warning: colour all of it.
    """
    if warning:
        return click.style(line, fg="yellow")
    for pattern, style in _STYLES:
        line = pattern.sub(lambda found, style=style: click.style(found[0], **style), line)  # type: ignore[misc]
    return line
