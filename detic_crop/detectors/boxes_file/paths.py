"""Which entry of a boxes file is meant by a photo's key."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from detic_crop.detectors.boxes_file.table import clean_path
from detic_crop.errors import PhotoError

# `.jpg`, `.JP2`, `.webp`; but `whale.001` is a name with a dot in it.
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")


class PathIndex:
    """Which entry is meant by a photo's key.

    In this order: the same path; the same file name, since the file may have been made below another folder;
    the same without the key's extension, for entries that have none (ids).
    """

    def __init__(self, entries: Mapping[str, object]) -> None:
        self._entries = entries
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        for path in entries:
            self._by_name[_file_name(path)].append(path)
        self._reserved: set[str] = set()
        self._shared: set[str] = set()

    def reserve(self, keys: Iterable[str]) -> None:
        """Keep the entries that name one of `keys` exactly for just that photo.

        Else a file with boxes for ``day1/1.jpg`` alone would lend them to ``day2/1.jpg``.
        """
        paths = [clean_path(key) for key in keys]
        self._reserved = {path for path in paths if "/" in path and path in self._entries}
        counts = Counter(map(_file_name, paths))
        self._shared = {name for name, count in counts.items() if count > 1}

    def find(self, key: str) -> str | None:
        """The entry's path, or None when the file does not name the photo.

        Raises:
            PhotoError: `ambiguous_boxes`, several entries have this file name and none this path.
        """
        path = clean_path(key)
        found = self._find(path)
        stem = _EXTENSION.sub("", path)
        if found is None and stem != path and not _EXTENSION.search(stem):
            found = self._find(stem)
        return found

    def _find(self, path: str) -> str | None:
        if path in self._entries:
            return path
        # .get: a look-up must not add to the defaultdict.
        same_name = [
            other for other in self._by_name.get(_file_name(path), []) if other not in self._reserved
        ]
        if same_name == [_file_name(path)] and same_name[0] in self._shared:
            raise PhotoError(
                "ambiguous_boxes",
                f"the boxes file says only {same_name[0]}, and several photos have that name; "
                "write relative paths in it",
            )
        if len(same_name) <= 1:
            return same_name[0] if same_name else None
        same_end = [other for other in same_name if _same_end(path, other)]
        if len(same_end) == 1:
            return same_end[0]
        raise PhotoError(
            "ambiguous_boxes",
            f"expected one entry for {path} in the boxes file, got {len(same_name)} with that file "
            f"name ({', '.join(same_name[:3])}{', …' * (len(same_name) > 3)}); "
            "write the photo's relative path in it",
        )


def _same_end(path: str, other: str) -> bool:
    """Whether one path is the other below more folders; bare file names do not count, they fit any folder."""
    short, long = sorted((path, other), key=len)
    return "/" in short.strip("/") and f"/{long}".endswith(f"/{short.lstrip('/')}")


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]
