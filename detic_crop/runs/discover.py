"""Which photos: a folder, one file, a glob, a list, tar files, or a store → sources with stable keys."""

from __future__ import annotations

import codecs
import csv
import glob
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from operator import attrgetter, itemgetter
from pathlib import Path

from detic_crop.collecting import collector_paused
from detic_crop.errors import UsageError
from detic_crop.runs import places
from detic_crop.runs.discover_stores import from_address, looked_at
from detic_crop.runs.discover_tars import expanded, from_tars
from detic_crop.runs.names import STATE, normalise_key, printable
from detic_crop.runs.sources import Listing, Source, distinct, is_photo_name
from detic_crop.runs.stores import beside, is_address, path_of, store_of
from detic_crop.runs.system_folders import is_system_folder, note_of, system_folder_of

LIST_EXTENSIONS = (".txt", ".lst", ".csv")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
LIST_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path")
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
    if not listing.sources:
        said = "".join(f"{note}; " for note in listing.notes[:2])
        raise UsageError(
            f"--in {places.kept(text)} holds no photos ({listing.passed_over} other files); {said}{_known()}"
        )
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
        return _from_list(text)
    if is_address(text):
        return from_address(text, output)
    if there:
        path = Path(places.as_path(text))
        return Listing([Source.of_file(printable(path.name), os.fspath(path))])
    if glob.has_magic(text):
        return _from_glob(text, output)
    raise UsageError(f"--in {text} does not exist; pass {_EXPECTED}")


def _matching_tars(pattern: str) -> list[str]:
    """The tar files that a pattern names, in order."""
    tars: list[str] = []
    for name in expanded(pattern):
        if is_address(name):
            found = (
                from_address(name, None, tars=True).sources if glob.has_magic(name) else [Source("", name)]
            )
            tars += [source.where for source in found]
        else:
            tars += sorted(glob.glob(name)) if glob.has_magic(name) else [name]
    absent = [tar for tar in tars if not is_address(tar) and not os.path.isfile(tar)]
    if absent or not tars:
        first = absent[0] if absent else pattern
        more = f" ({len(absent)} of {len(tars)} tar files are missing)" if len(tars) > 1 else ""
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
        sources = [Source.of_file(key, path) for key, (_, path) in zip(keys, located, strict=True)]
        if keys != names:
            sources.sort(key=itemgetter(0))
    notes = [*walk.notes, *filter(None, [note_of(walk.system_folders)])]
    return Listing(sources, walk.passed_over, notes, walk.plain)


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


def _from_list(where: str) -> Listing:
    """The photos that a list names, in its order; an address may stand in any list."""
    notes: list[str] = []
    name = printable(places.name_of(where))
    lines = _read_column(where, notes) if name.lower().endswith(".csv") else _read_lines(where)
    lines = [places.given(line) for line in lines]
    unique: dict[str, str] = {}  # place → its name, from which its key is made
    for line in lines:
        if is_address(line):
            unique.setdefault(line, line)
        elif is_address(where):
            unique.setdefault(beside(where, line), line)
        else:
            folder = Path(where).parent
            line = _existing_spelling(line, folder)
            unique.setdefault(os.path.abspath(folder / line), line)
    repeats = len(lines) - len(unique)
    if repeats:
        notes.append(f"{repeats} lines of {name} repeat a photo")
    if unique and all(_is_tar(place) for place in unique):
        listing = from_tars(list(unique))
        listing.notes[:0] = notes
        return listing
    return Listing(looked_at(zip(_list_keys(list(unique.values())), unique, strict=True)), notes=notes)


def _is_tar(place: str) -> bool:
    return places.name_of(place).lower().endswith(".tar")


def _list_keys(names: Sequence[str]) -> list[str]:
    """A key for every name of a list. Of addresses the query plays no part unless it alone tells two apart:
    it may hold a signature, which is secret and another one tomorrow."""
    keys = [normalise_key(path_of(name)) if is_address(name) else normalise_key(name) for name in names]
    addresses = Counter(key for key, name in zip(keys, names, strict=True) if is_address(name))
    for index, name in enumerate(names):
        if is_address(name) and addresses[keys[index]] > 1:
            stem, extension = os.path.splitext(keys[index])
            digest = hashlib.blake2b(name.partition("?")[2].encode(errors="surrogateescape"), digest_size=4)
            keys[index] = f"{stem}~{digest.hexdigest()}{extension}"
    return distinct(keys)


def _existing_spelling(line: str, folder: Path) -> str:
    """Lists made on Windows have backslashes; a file that really has one in its name goes first."""
    return line if "\\" not in line or os.path.exists(folder / line) else line.replace("\\", "/")


def _read_text(where: str) -> str:
    data = places.read_text(where)
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # what PowerShell's `>` writes
            return data.decode("utf-16")
        return data.decode("utf-8-sig", errors="surrogateescape")
    except UnicodeDecodeError as error:
        raise UsageError(f"--in {places.kept(where)} is no text; save it as UTF-8") from error


def _read_lines(where: str) -> list[str]:
    return [line.strip() for line in re.split(r"\r\n|\r|\n", _read_text(where)) if line.strip()]


def _read_column(where: str, notes: list[str]) -> list[str]:
    rows = csv.DictReader(io.StringIO(_read_text(where), newline=""))
    try:
        columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
        table = list(rows)
    except csv.Error as error:
        raise UsageError(f"--in {places.kept(where)} is not a CSV table: {error}") from error
    column = next((columns[name] for name in LIST_COLUMNS if name in columns), None)
    if column is None:
        raise UsageError(
            f"--in {places.kept(where)} has the columns {', '.join(columns) or '(none)'}; "
            f"expected one of {', '.join(LIST_COLUMNS)}"
        )
    cells = [(row[column] or "").strip() for row in table]
    if "" in cells:
        notes.append(
            f"{cells.count('')} rows of {places.name_of(where)} have no {column} and were passed over"
        )
    return [cell for cell in cells if cell]
