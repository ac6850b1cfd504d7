"""The photos of a folder, or of a pattern of files and folders."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from detic_crop.columns import ascending
from detic_crop.photos.earlier_output import is_output, is_taken, was_ignored
from detic_crop.photos.keys import printable
from detic_crop.photos.location import LocalFile, Location
from detic_crop.photos.photo import Photo, distinct, is_photo_name
from detic_crop.photos.table import Listing, Photos
from detic_crop.system.system_folders import is_system_folder, note_of, system_folder_of

_DEEPEST = 200


def from_folder(root: str, output: Location | None) -> Listing:
    """Return the photos in a folder and its subfolders, by key; `output` is not searched."""
    root = os.fspath(Path(root))  # without doubled or trailing slashes
    walk = _Walk(output)
    return _sorted_listing(root, walk.files(root), walk)


def from_glob(pattern: str, output: Location | None) -> Listing:
    """Return the files that match, and the photos of folders that match.

    Keys are relative to the folders before the first wildcard.
    """
    root = Path(pattern)
    while glob.has_magic(str(root)):
        root = root.parent
    walk = _Walk(output)
    # A pattern that spells its extension names files explicitly: `*.dat` gives a row for each.
    explicit = Path(pattern).suffix and not glob.has_magic(Path(pattern).suffix)
    named = set(re.split(r"[/\\]", pattern))
    matches = [
        match
        for match in glob.glob(pattern, recursive=True)
        if not walk.in_output(match, root) and not walk.in_system_folder(match, root, named)
    ]
    folders = {match.rstrip(os.sep) for match in matches if os.path.isdir(match)}
    files = [match for match in matches if match.rstrip(os.sep) not in folders]
    paths = [file for file in files if explicit or walk.wants(os.path.basename(file))]
    walk.links.update(paths)
    for folder in sorted(folders):
        if not any(str(parent) in folders for parent in Path(folder).parents):
            paths += walk.files(folder)
    if "**" in pattern:  # glob follows links in circles; of several ways to a file the shortest is kept
        paths.sort(key=lambda path: (path.count(os.sep), path))
        paths = list({os.path.realpath(path): path for path in reversed(paths)}.values())
    return _sorted_listing(os.fspath(root), dict.fromkeys(paths), walk)


def _sorted_listing(root: str, paths: Iterable[str], walk: _Walk) -> Listing:
    """Return the photos at some paths, each given once, by key."""
    above = os.path.join(root, "")
    photos, last = Photos(), ""
    is_sorted = is_printable = True
    for path in paths:
        name = _below(path, above)
        is_sorted = is_sorted and last <= name
        is_printable = is_printable and printable(name) == name
        photos.append(Photo.at(name, LocalFile(path)))
        last = name
    if not is_sorted:
        photos = photos.of(ascending(photos.keys))
    if not is_printable:
        keys = distinct(photos.keys)
        photos = Photos(replace(photo, key=key) for key, photo in zip(keys, photos, strict=True))
        photos = photos.of(ascending(keys))
    notes = [*walk.notes, *filter(None, [note_of(walk.system_folders)])]
    return Listing(photos, walk.ignored, notes, walk.links, [is_taken(root)] if is_output(root) else [])


def _below(path: str, above: str) -> str:
    """Return a path relative to the folder `above`, with ``/``."""
    # `relpath` asks for the working folder and takes both paths apart, which takes longer than all the rest.
    relative = path[len(above) :] if path.startswith(above) else os.path.relpath(path, above)
    return relative if os.sep == "/" else relative.replace(os.sep, "/")


class _Walk:
    """A search through folders that counts what it leaves out.

    Attributes:
        ignored: number of files that are not photos.
        notes: sentences about folders that were not read.
        links: paths of photos that are links, or of which that is not known.
        system_folders: paths of folders of a system or a program, which are not searched.
    """

    def __init__(self, output: Location | None) -> None:
        self._output = os.path.realpath(output.path) if isinstance(output, LocalFile) else None
        self._judged: dict[str, bool] = {}
        self._followed: set[tuple[int, int]] = set()
        self.ignored = 0
        self.notes: list[str] = []
        self.links: set[str] = set()
        self.system_folders: set[str] = set()

    def files(
        self, folder: str, ancestors: tuple[tuple[int, int], ...] = (), linked: bool = False
    ) -> Iterator[str]:
        """Yield the image files below a folder, sorted by path.

        Links are followed unless they lead back to a folder above, and to each folder only once: folders full
        of links to each other would multiply.

        Args:
            folder: path.
            ancestors: device and inode of each folder above.
            linked: the folder was reached by a link.
        """
        try:
            status = os.stat(folder)
            entries = sorted(os.scandir(folder), key=_place)
        except OSError as error:
            self.notes.append(f"folder {printable(folder)} could not be read: {error.strerror}")
            return
        identity = (status.st_dev, status.st_ino)
        # Some network file systems give every folder the number 0: then only real paths reveal a loop.
        if identity[1] != 0 and (identity in ancestors or (linked and identity in self._followed)):
            return
        if linked:
            self._followed.add(identity)
        if len(ancestors) > _DEEPEST:
            self.notes.append(f"folder {printable(folder)} is more than {_DEEPEST} deep and was not read")
            return
        folder_name = os.path.basename(folder.rstrip(os.sep))
        for entry in entries:
            if is_system_folder(entry.name, folder_name) and _is_folder(entry):
                self.system_folders.add(printable(entry.path))
                continue
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                if not self._is_output(entry.path):
                    yield from self.files(entry.path, (*ancestors, identity), entry.is_symlink())
            elif not is_photo_name(entry.name):
                self.ignored += 1
            else:
                if entry.is_symlink():
                    self.links.add(entry.path)
                yield entry.path

    def wants(self, name: str) -> bool:
        """Return whether a file is taken for a photo; count it if not."""
        wanted = is_photo_name(name)
        self.ignored += not wanted
        return wanted

    def in_system_folder(self, path: str, root: Path, named: Collection[str]) -> bool:
        """Return whether what a pattern below `root` matched is a system's folder, or is inside one."""
        below = _below(path.rstrip(os.sep), os.path.join(root, ""))
        if os.path.isdir(path):
            below += "/"
        folder = system_folder_of(below, root.name, named)
        if folder:
            self.system_folders.add(printable(folder))
        return bool(folder)

    def in_output(self, folder: str, root: Path) -> bool:
        """Return whether `folder`, below `root`, lies in an output folder of this or an earlier run."""
        if folder not in self._judged:
            parent = os.path.dirname(folder)
            above = parent != folder and Path(folder) != root and self.in_output(parent, root)
            self._judged[folder] = above or (Path(folder) != root and self._is_output(folder))
        return self._judged[folder]

    def _is_output(self, folder: str) -> bool:
        if self._output and os.path.realpath(folder) == self._output:
            return True
        if is_output(folder):
            self.notes.append(was_ignored(folder))
            return True
        return False


def _place(entry: os.DirEntry[str]) -> str:
    """Return what an entry is sorted by, so that all paths below come sorted, too."""
    return f"{entry.name}/" if _is_folder(entry) else entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
