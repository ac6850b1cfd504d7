"""Keys and file names: where a crop goes, so that no photo meets another and none leaves the folder."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping

_DEVICE_NAMES = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10))}
_OURS = {"audit.csv", "audit.html", "run.json", ".detic-crop"}
_MAX_COMPONENT_BYTES = 255  # of ext4, APFS, NTFS (there in UTF-16 units, which are fewer)
_WINDOWS_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]')


def normalise_key(path: str) -> str:
    """A relative path with `/` that cannot leave a folder, made from any path a list may hold.

    Drive letters, leading slashes, `.` and `..` go; what is left keeps its spelling. Bytes that are no
    UTF-8 become `%XX`, so that a key can be written to any file.
    """
    path = re.sub(r"^[A-Za-z]:(?=[\\/])", "", path)
    if os.sep == "\\" or re.match(r"^\\\\", path):
        path = path.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return printable("/".join(parts)) or "_"


def printable(text: str) -> str:
    """`text` with undecodable bytes (surrogates) as `%XX`."""
    return re.sub("[\ud800-\udfff]", lambda m: f"%{ord(m[0]) & 0xFF:02X}", text)


def crop_names(
    keys: Iterable[str], extension: str, settled: Mapping[str, str], taken: Iterable[str] = ()
) -> dict[str, str]:
    """The output path of every photo, relative to the output folder.

    The first of colliding names in sorted order keeps ``stem.jpg``; the others become ``stem.EXT.jpg``,
    then numbered. Two names collide when a case-blind disk would take them for one.

    Args:
        keys: all photos of the input, so that every shard agrees.
        extension: of the crops, with its dot.
        settled: key → name, as journalled before; never changed.
        taken: paths in the output folder that are not ours to replace.
    """
    keys = sorted(keys)
    used = {_fold(name) for name in (*settled.values(), *taken)}
    used.update(map(_fold, _folders(settled.values())))
    plain = {key: _safe_path(key, extension) for key in keys if key not in settled}
    # A folder of crops must not be named like a crop: `a.jpg/b.jpg` beside `a.png`.
    used.update(map(_fold, _folders(plain.values())))
    names = dict(settled)
    for key, name in plain.items():
        number = 1
        while _fold(name) in used:
            name = _safe_path(key, extension, number)
            number += 1
        used.add(_fold(name))
        names[key] = name
    return names


def _safe_path(key: str, extension: str, attempt: int = 0) -> str:
    *folders, file_name = key.split("/")
    folders = [_safe_component(part) for part in folders]
    if folders and folders[0].casefold() in _OURS:
        folders[0] += "_"
    stem, suffix = os.path.splitext(file_name)
    if attempt:
        stem += suffix
    if attempt > 1:
        stem += f".{attempt}"
    return "/".join([*folders, _safe_component(stem, extension)])


def _safe_component(name: str, extension: str = "") -> str:
    if os.name == "nt":
        name = _WINDOWS_FORBIDDEN.sub("_", name)
    if name.split(".")[0].rstrip().casefold() in _DEVICE_NAMES:
        head, dot, tail = name.partition(".")
        name = f"{head}_{dot}{tail}"
    if not extension and name.rstrip(". ") != name:  # Windows drops trailing dots and spaces
        name = name.rstrip(". ") + "_"
    room = _MAX_COMPONENT_BYTES - len(extension)
    if len(name.encode()) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: room - 9].decode(errors="ignore") + "~" + digest
    return name + extension


def _folders(names: Iterable[str]) -> set[str]:
    """Every folder above any of the paths."""
    folders: set[str] = set()
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
