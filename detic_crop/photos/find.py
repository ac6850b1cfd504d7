"""Which photos: a folder, one file, a glob, a list, tar files, or a store → a listing of them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterator
from operator import attrgetter, itemgetter
from pathlib import Path

from detic_crop.errors import UsageError
from detic_crop.photos import location as places
from detic_crop.photos.in_list import LIST_EXTENSIONS, from_list
from detic_crop.photos.in_store import from_address
from detic_crop.photos.in_tars import expanded, from_tars
from detic_crop.photos.keys import STATE, printable
from detic_crop.photos.photo import Listing, Photo, distinct, is_photo_name
from detic_crop.stores.store import is_address, path_of, store_of
from detic_crop.system.collecting import collector_paused
from detic_crop.system.system_folders import is_system_folder, note_of, system_folder_of
from detic_crop.wording import counted, either

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".7z", ".rar", ".gz", ".zst")
# What people pass by mistake, and what they want then.
_NO_PHOTOS = {
    (".json", ".jsonl", ".ndjson", ".xml", ".yaml", ".yml"): (
        "has no photos; pass their folder as --in, and boxes as --model boxes:FILE"
    ),
    (".xlsx", ".xls", ".ods", ".numbers", ".parquet", ".feather"): (
        "is no list that can be read; save it as CSV (UTF-8), or pass the folder of the photos"
    ),
    (".mp4", ".mov", ".avi", ".mkv", ".mts", ".m4v", ".webm"): (
        "is a video; take pictures out of it first, e.g. ffmpeg -i VIDEO -r 1 pictures/%06d.jpg"
    ),
    (".pdf", ".html", ".htm", ".docx", ".pptx", ".ipynb", ".py", ".pt", ".pth", ".npy", ".npz", ".db"): (
        "is no photo; pass a photo, or the folder of the photos"
    ),
}
_EXPECTED = "a folder, a photo, a glob, a list of paths, tar files or the address of a store"


def discover(where: str | os.PathLike[str], output: str | os.PathLike[str] | None = None) -> Listing:
    """Find the photos of ``--in``.

    Args:
        where: a folder (searched through, links followed), a photo, a pattern such as ``day*/*.jpg``, a
            ``.txt`` or ``.csv`` list of paths (relative to the list's own folder) or addresses, of photos or
            of tar files; tar files (``photos-{000..099}.tar`` or ``photos-*.tar``); or the address of what a
            store has of these: ``s3://bucket/photos``.
        output: the output folder, which is not read as input when it lies inside the input.

    Raises:
        UsageError: there is nothing there, or it cannot be looked at.
    """
    text = places.given(where)
    if not text:
        raise UsageError(f"--in is empty; pass {_EXPECTED}")
    listing = _found(text, None if output is None else os.fspath(output))
    if not listing.photos:
        said = "".join(f"{note}; " for note in listing.notes[:2])
        others = f" ({counted(listing.passed_over, 'other file')})" if listing.passed_over else ""
        raise UsageError(f"--in {places.kept(text)} holds no photos{others}; {said}{_known()}")
    return listing


def _found(text: str, output: str | None) -> Listing:
    name = text.lower()
    if is_address(text):
        store_of(text)  # if its package is missing, that is what to say
        name = path_of(text).lower()  # without the query of a signed address
    elif os.path.isdir(text):
        return _from_folder(Path(places.as_path(text)), output)
    there = not is_address(text) and os.path.exists(text)
    if name.endswith(_COMPRESSED):
        raise UsageError(
            f"--in {places.kept(text)} is compressed; unpack it, or make a plain .tar of it: photos are "
            "compressed already"
        )
    if name.endswith(".tar"):
        return from_tars([text] if there else _matching_tars(text))
    if name.endswith(LIST_EXTENSIONS) and (there or (is_address(text) and not glob.has_magic(text))):
        return from_list(text)
    if there:
        for extensions, what_to_do in _NO_PHOTOS.items():
            if name.endswith(extensions):
                raise UsageError(f"--in {places.kept(text)} {what_to_do}")
    if is_address(text):
        return from_address(text, output)
    if there:
        path = Path(places.as_path(text))
        return Listing([Photo.of_file(printable(path.name), os.fspath(path))])
    if glob.has_magic(text):
        return _from_glob(text, output)
    raise UsageError(f"--in {text} does not exist; pass {_EXPECTED}")


def _matching_tars(pattern: str) -> list[str]:
    """The tar files that a pattern names, in order."""
    tars: list[str] = []
    for name in expanded(pattern):
        if is_address(name):
            found = from_address(name, None, tars=True).photos if glob.has_magic(name) else [Photo("", name)]
            tars += [photo.location for photo in found]
        else:
            tars += sorted(glob.glob(name)) if glob.has_magic(name) else [name]
    absent = [tar for tar in tars if not is_address(tar) and not os.path.isfile(tar)]
    if absent or not tars:
        first = absent[0] if absent else pattern
        more = (
            f" ({len(absent):,} of {len(tars):,} tar files {either(len(absent), 'is', 'are')} missing)"
            if len(tars) > 1
            else ""
        )
        raise UsageError(f"--in {first} does not exist{more}; pass tar files that do, e.g. 'photos-*.tar'")
    return tars


def _known() -> str:
    return (
        "photos are files ending in .jpg, .jpeg, .png, .webp, .tif, .tiff, .bmp, .heic or the like; "
        "tar files are given as 'FOLDER/*.tar'"
    )


def _from_folder(root: Path, output: str | None) -> Listing:
    walk = _Walk(output)
    return _sorted_listing(root, list(walk.files(root)), walk)


def _from_glob(pattern: str, output: str | None) -> Listing:
    """Files that match, and the photos of folders that match; keys are relative to the fixed first part."""
    root = Path(pattern)
    while glob.has_magic(str(root)):
        root = root.parent
    walk = _Walk(output)
    # A pattern that spells its extension names files explicitly: `*.dat` wants a row for each.
    explicit = Path(pattern).suffix and not glob.has_magic(Path(pattern).suffix)
    named = set(re.split(r"[/\\]", pattern))
    matches = [
        m
        for m in glob.glob(pattern, recursive=True)
        if not walk.in_output(m, root) and not walk.in_system_folder(m, root, named)
    ]
    folders = {match.rstrip(os.sep) for match in matches if os.path.isdir(match)}
    files = [m for m in matches if m.rstrip(os.sep) not in folders]
    paths = [m for m in files if explicit or walk.wants(os.path.basename(m))]
    for folder in sorted(folders):
        if not any(str(parent) in folders for parent in Path(folder).parents):
            paths += walk.files(Path(folder))
    if "**" in pattern:  # glob runs in circles where links do; of several ways to a file the shortest is kept
        paths.sort(key=lambda path: (path.count(os.sep), path))
        paths = list({os.path.realpath(path): path for path in reversed(paths)}.values())
    return _sorted_listing(root, list(dict.fromkeys(paths)), walk)


def _sorted_listing(root: Path, paths: list[str], walk: _Walk) -> Listing:
    above = os.path.join(root, "")
    with collector_paused():
        located = sorted(zip(_below(paths, above), paths, strict=True))
        names = [name for name, _ in located]
        keys = distinct(names)
        photos = [Photo.of_file(key, path) for key, (_, path) in zip(keys, located, strict=True)]
        if keys != names:
            photos.sort(key=itemgetter(0))
    notes = [*walk.notes, *filter(None, [note_of(walk.system_folders)])]
    return Listing(photos, walk.passed_over, notes, walk.plain)


def _below(paths: list[str], above: str) -> list[str]:
    """Paths relative to the folder `above`, with ``/``."""
    cut = len(above)
    # `relpath` asks for the working folder and takes both paths apart, which takes longer than all the rest.
    relative = [path[cut:] if path.startswith(above) else os.path.relpath(path, above) for path in paths]
    return relative if os.sep == "/" else [path.replace(os.sep, "/") for path in relative]


class _Walk:
    """Searches folders; counts what it passes over."""

    def __init__(self, output: str | None) -> None:
        self._output = os.path.realpath(output) if output and not is_address(output) else None
        self._judged: dict[str, bool] = {}
        self._followed: set[tuple[int, int]] = set()
        self.passed_over = 0
        self.notes: list[str] = []
        self.plain: set[str] = set()
        self.system_folders: set[str] = set()

    def files(
        self, folder: Path, ancestors: tuple[tuple[int, int], ...] = (), linked: bool = False
    ) -> Iterator[str]:
        """Image files below `folder`.

        Links are followed unless they lead back to a folder above, and to one folder once only: folders full
        of links to each other would multiply.
        """
        try:
            status = os.stat(folder)
            entries = sorted(os.scandir(folder), key=attrgetter("name"))
        except OSError as error:
            self.notes.append(f"folder {printable(str(folder))} could not be read: {error.strerror}")
            return
        identity = (status.st_dev, status.st_ino)
        # Some network file systems give every folder the number 0: then only real paths tell a loop.
        if identity[1] != 0 and (identity in ancestors or (linked and identity in self._followed)):
            return
        if linked:
            self._followed.add(identity)
        if len(ancestors) > 200:
            self.notes.append(f"folder {printable(str(folder))} is more than 200 deep and was not read")
            return
        for entry in entries:
            if is_system_folder(entry.name, folder.name) and _is_folder(entry):
                self.system_folders.add(printable(entry.path))
                continue
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                if not self._is_output(entry.path):
                    yield from self.files(Path(entry.path), (*ancestors, identity), entry.is_symlink())
            elif not is_photo_name(entry.name):
                self.passed_over += 1
            else:
                if not entry.is_symlink():
                    self.plain.add(entry.path)
                yield entry.path

    def wants(self, name: str) -> bool:
        """Whether a file found in a folder is taken for a photo."""
        wanted = is_photo_name(name)
        self.passed_over += not wanted
        return wanted

    def in_system_folder(self, path: str, root: Path, named: Collection[str]) -> bool:
        """Whether what a pattern below `root` matched is in a system's folder, or is one."""
        (below,) = _below([path.rstrip(os.sep)], os.path.join(root, ""))
        if os.path.isdir(path):
            below += "/"
        folder = system_folder_of(below, root.name, named)
        if folder:
            self.system_folders.add(printable(folder))
        return bool(folder)

    def in_output(self, folder: str, root: Path) -> bool:
        """Whether `folder`, below `root`, lies in an output folder of this or an earlier run."""
        if folder not in self._judged:
            parent = os.path.dirname(folder)
            above = parent != folder and Path(folder) != root and self.in_output(parent, root)
            self._judged[folder] = above or (Path(folder) != root and self._is_output(folder))
        return self._judged[folder]

    def _is_output(self, folder: str) -> bool:
        if self._output and os.path.realpath(folder) == self._output:
            return True
        state = os.path.join(folder, STATE)
        if any(os.path.exists(os.path.join(state, name)) for name in ("journal.jsonl", "shards")):
            self.notes.append(f"folder {printable(folder)} holds crops of an earlier run and was passed over")
            return True
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
