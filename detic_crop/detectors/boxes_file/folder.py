"""A folder of label files: which there are, their bytes, and one hash of all that were read."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from detic_crop.detectors.boxes_file.table import clean_path
from detic_crop.system.system_folders import is_system_folder
from detic_crop.system.whole_files import read_whole

# A network disk answers slowly and to many at once; a local one is no faster with 16 threads, and no slower.
_READERS = 16
# In the layouts that tools write: a folder of labels → the folder of photos beside it.
_LABEL_FOLDERS = {
    "labels": "images",
    "annotations": "JPEGImages",
    "ann": "img",
    **dict.fromkeys(("label", "annotation", "xml", "xmls", "json", "jsons", "txt", "txts"), "images"),
    **dict.fromkeys(("obj_train_data", "obj_valid_data", "obj_test_data"), "images"),  # CVAT's YOLO 1.1
}
_PHOTO_FOLDERS = ("images", "JPEGImages", "img", "imgs", "photos")
_OURS = ".detic-crop"


class LabelFolder:
    """Files below a folder, by relative path with `/`, sorted; without hidden ones and system folders.

    Args:
        root: the folder.
        deep: include all folders below it.

    Raises:
        OSError: the folder, or a file that is asked for, cannot be read.
    """

    def __init__(self, root: Path, *, deep: bool = True) -> None:
        self.root = root
        self.files = sorted(_files_below(root, deep))
        self._folders = {file.rpartition("/")[0] for file in self.files}
        self._digests: dict[str, bytes] = {}

    @property
    def is_output(self) -> bool:
        """True for an output folder of this program, whose files are not labels."""
        return (self.root / _OURS).exists()

    @property
    def read(self) -> Collection[str]:
        """The files that were read so far."""
        return self._digests.keys()

    def ending(self, *suffixes: str) -> list[str]:
        """Return the files whose name ends with a suffix, in upper or lower case."""
        return [file for file in self.files if file.lower().endswith(suffixes)]

    def bytes_of(self, files: Sequence[str], together: int = 1) -> Iterator[tuple[str, bytes]]:
        """Yield each file's content, in that order; a bounded number of them is in memory.

        Args:
            files: relative paths.
            together: number of small files that one thread reads at a time; larger is faster for small files.
        """
        waiting: deque[Future[list[tuple[str, bytes]]]] = deque()
        with ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, len(files), together):
                waiting.append(pool.submit(self._read, files[start : start + together]))
                if len(waiting) > _READERS:
                    yield from self._noted(waiting.popleft().result())
            while waiting:
                yield from self._noted(waiting.popleft().result())

    def _read(self, files: Sequence[str]) -> list[tuple[str, bytes]]:
        return [(file, read_whole(self.root / file)) for file in files]

    def _noted(self, files: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        self._digests.update((file, hashlib.sha256(data).digest()) for file, data in files)
        return files

    def sample(self, files: Sequence[str], most: int = 20) -> Iterator[tuple[str, bytes]]:
        """Yield some of the files, spread evenly; they do not count as read."""
        step = max(1, len(files) // most)
        for file in files[::step][:most]:
            yield file, read_whole(self.root / file)

    def add_other(self, other: LabelFolder) -> None:
        """Count what was read in another folder as read here."""
        for file, digest in other._digests.items():
            self._digests[os.path.relpath(other.root / file, self.root).replace(os.sep, "/")] = digest

    @property
    def sha256(self) -> str:
        """Hash of the paths and contents of all files that were read, in hexadecimal."""
        whole = hashlib.sha256()
        for file, digest in sorted(self._digests.items()):
            path = file.encode("utf-8", "surrogateescape")
            whole.update(len(path).to_bytes(8, "big") + path + digest)
        return whole.hexdigest()

    def photo_of(self, file: str) -> str:
        """Return the path, without extension, of the photo that a label file is named after.

        The outermost folder of labels is left out if it is the first of the path; a later one
        (`train/labels/x.txt`) is replaced by the folder of photos next to it. One within it is the photos'.
        """
        *parts, name = file.split("/")
        for i in range(len(parts)):
            usual = _LABEL_FOLDERS.get(parts[i].lower())
            if usual is not None:
                parts[i : i + 1] = [self._photos_in("/".join(parts[:i]), usual)] if i else []
                break
        return clean_path("/".join([*parts, name.rpartition(".")[0] or name]))

    def _photos_in(self, folder: str, usual: str) -> str:
        """Return the name of the folder of photos there: one that there is, else the usual one."""
        names = (usual, *_PHOTO_FOLDERS)
        return next((name for name in names if f"{folder}/{name}" in self._folders), usual)

    def contents(self) -> str:
        """Return what kinds of files there are, for a message: "105 .jpg, 2 .csv"."""
        kinds = Counter(PurePosixPath(file).suffix.lower() or "without an extension" for file in self.files)
        return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(4)) or "no files"


def _files_below(root: Path, deep: bool) -> Iterator[str]:
    """Yield the files below a folder, through links to folders, each folder once; pipes are left out."""
    waiting, seen = [(str(root), "")], set[str]()
    while waiting:
        at, below = waiting.pop()
        with os.scandir(at) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        real = os.path.realpath(at)
        if real in seen or any(entry.name == _OURS for entry in entries):  # an output folder of ours
            continue
        seen.add(real)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if deep and not is_system_folder(entry.name, os.path.basename(at)):
                    waiting.append((entry.path, f"{below}{entry.name}/"))
            elif entry.is_file() or not os.path.exists(entry.path):  # a link to nothing is to be said
                yield f"{below}{entry.name}"
