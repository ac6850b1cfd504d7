"""Folders that systems and programs make next to photos: thumbnails, bins, snapshots and caches.

What is in them looks like photos, but is a small copy of one, or thrown away. They are ignored where
photos are searched for, and counted; a photo or a folder that is named itself is taken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

_NAMES = frozenset(
    {
        *("@eadir", "@tmp", "@sharebin", "#recycle", "#snapshot"),  # Synology
        *("@recycle", "@recently-snapshot", ".@__thumb", "@__thumb", ".@upload_cache", "@transcode"),  # QNAP
        *("$recycle.bin", "recycler", "recycled", "system volume information", "_gsdata_"),  # Windows
        *("__macosx", ".appledouble", ".trashes", ".fseventsd", ".spotlight-v100"),  # Mac
        *(".temporaryitems", "temporary items", "network trash folder"),  # a Mac's, on a network disk
        *("lost+found", ".thumbnails", ".snapshot", "~snapshot", ".snapshots", ".zfs"),  # Linux, NetApp, ZFS
        *(".picasaoriginals", ".dtrash", ".bridgecache", "ipod photo cache"),  # photo programs
        *(".stversions", ".dropbox.cache", "paxheader", "paxheaders"),  # Syncthing, Dropbox, tar
    }
)
# .Trash-1000; Lightroom's Previews.lrdata; PaxHeaders.1234; FOUND.000 of chkdsk; darktable's mipmaps-….d
_PATTERN = re.compile(r"\.trash.*|.*\.lrdata|paxheaders\.\d+|found\.\d{3}|mipmaps-.*\.d")
_LIBRARY = re.compile(
    r".*\.(photoslibrary|migratedphotolibrary|photolibrary|aplibrary|cocatalog|cosessiondb)"
    r"|iphoto library|captureone"
)
_IN_LIBRARY = frozenset(
    {
        *("resources", "derivatives", "thumbnails", "previews", "proxies", "caches", "cache"),
        *("data", "data.noindex", "private", "database"),
    }
)


def is_system_folder(name: str, above: str = "") -> bool:
    """Return whether a folder of that name is one of a system's or a program's.

    Args:
        name: name of the folder.
        above: name of the folder that it is in: only in a photo library ``resources`` are copies.
    """
    name = name.casefold()
    if name in _NAMES or _PATTERN.fullmatch(name):
        return True
    return name in _IN_LIBRARY and _LIBRARY.fullmatch(above.casefold()) is not None


def system_folder_of(path: str, root_name: str = "", named: Collection[str] = ()) -> str:
    """Return the outermost such folder that a file is in, as a path; empty when there is none.

    Args:
        path: path of the file, with ``/``, relative to the folder that was given.
        root_name: name of the folder that was given.
        named: folders that were asked for by name.
    """
    above, folders = root_name, path.split("/")[:-1]
    for number, name in enumerate(folders, start=1):
        if is_system_folder(name, above) and name not in named:
            return "/".join(folders[:number])
        above = name
    return ""


def note_of(folders: Collection[str]) -> str:
    """Return a note on system folders that were ignored; empty for none.

    Args:
        folders: paths of the folders, each once.
    """
    if not folders:
        return ""
    counts = Counter(folder.rpartition("/")[2] for folder in folders)
    names = ", ".join(f"{name}{f' ({n})' if n > 1 else ''}" for name, n in sorted(counts.items())[:8])
    more = " …" if len(counts) > 8 else ""
    return f"system folders ignored: {len(folders):,} ({names}{more}); name one as --in to have its photos"
