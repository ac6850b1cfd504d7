"""The key of a photo: its name in every table, a relative path that can be written to any file."""

from __future__ import annotations

import os
import re

STATE = ".detic-crop"
"""The folder in an output folder that holds everything but the crops and the tables."""


def normalise_key(path: str) -> str:
    """Return a relative path with `/` that cannot leave a folder, made from any path in a list.

    Drive letters, leading slashes, `.` and `..` are removed; the rest keeps its spelling. Bytes that are not
    UTF-8 and NUL become `%XX`, so that a key can be written to any file and be the name of one.
    """
    if os.sep == "\\" or re.match(r"[A-Za-z]:[\\/]|\\\\", path):
        path = re.sub(r"^[A-Za-z]:(?=/)", "", path.replace("\\", "/"))
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return printable("/".join(parts)) or "_"


def printable(text: str) -> str:
    """Return the text with undecodable bytes (surrogates) and NUL, which no file has, as `%XX`."""
    if text.isascii() and "\0" not in text:  # nearly all
        return text
    return re.sub("[\0\ud800-\udfff]", lambda m: f"%{ord(m[0]) & 0xFF:02X}", text)
