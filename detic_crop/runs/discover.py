"""Which photos: a folder, one file, a glob, or a list of paths → sources with stable keys."""

from __future__ import annotations

import codecs
import csv
import glob
import io
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import NamedTuple

from detic_crop.collecting import collector_paused
from detic_crop.errors import UsageError
from detic_crop.images.decode import IMAGE_EXTENSIONS
from detic_crop.runs.names import normalise_key, printable

LIST_EXTENSIONS = (".txt", ".lst", ".csv")
_PACKED = (".tar", ".tar.gz", ".tgz", ".zip")
LIST_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path")


class Source(NamedTuple):
    """One photo of the input. A named tuple of plain text, since a run lists a hundred thousand of them.

    Attributes:
        key: its name in every table: relative path with ``/``.
        where: its path.
        size: bytes; -1 when it could not be looked at.
        mtime_ns: modification time; with `size` it tells a changed photo.
    """

    key: str
    where: str
    size: int = -1
    mtime_ns: int = -1

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.where)

    @classmethod
    def at(cls, key: str, path: str | Path) -> Source:
        """The photo at `path`; one that cannot be looked at keeps -1, decoding will say what is wrong."""
        where = os.fspath(path)
        try:
            status = os.stat(where)
        except (OSError, ValueError):  # ValueError: a NUL in a name from a list
            return cls(key, where)
        if not stat.S_ISREG(status.st_mode):
            return cls(key, where)
        return cls(key, where, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Listing:
    """The photos of an input, in input order.

    Attributes:
        sources: in the order of the audit's rows.
        passed_over: files in folders that are no images.
        notes: sentences for the summary: folders that could not be read, repeated list lines.
        plain: paths that are known not to be links.
    """

    sources: list[Source]
    passed_over: int = 0
    notes: list[str] = field(default_factory=list)
    plain: set[str] = field(default_factory=set)


def discover(where: str | os.PathLike[str], output: Path | None = None) -> Listing:
    """Find the photos of ``--in``.

    Args:
        where: a folder (searched through, links followed), a photo, a pattern such as ``day*/*.jpg``, or a
            ``.txt`` or ``.csv`` list of paths relative to the list's own folder.
        output: the output folder, which is not read as input when it lies inside the input.

    Raises:
        UsageError: there is nothing there.
    """
    text = os.fspath(where)
    if not text:
        raise UsageError("--in is empty; pass a folder, a photo, a glob or a list of paths")
    path = Path(text)
    if os.path.isdir(path):
        listing = _from_folder(path, output)
    elif os.path.exists(path) and path.suffix.lower() in LIST_EXTENSIONS:
        listing = _from_list(path)
    elif os.path.exists(path) and not text.lower().endswith(_PACKED):
        listing = Listing([Source.at(printable(path.name), path)])
    elif glob.has_magic(text):
        listing = _from_glob(text, output)
    elif re.match(r"[a-z][a-z0-9+]+://", text):
        raise UsageError(f"--in {text} is an address; pass a folder: copy the photos to this machine first")
    elif text.lower().endswith(_PACKED):
        raise UsageError(f"--in {text} is packed; unpack it and pass the folder")
    else:
        raise UsageError(f"--in {text} does not exist; pass a folder, a photo, a glob or a list of paths")
    if not listing.sources:
        raise UsageError(f"--in {text} holds no photos ({listing.passed_over} other files); {_known()}")
    return listing


def _known() -> str:
    return "photos are files ending in .jpg, .jpeg, .png, .webp, .tif, .tiff, .bmp, .heic or the like"


def _from_folder(root: Path, output: Path | None) -> Listing:
    walk = _Walk(output)
    return _sorted_listing(root, list(walk.files(root)), walk)


def _from_glob(pattern: str, output: Path | None) -> Listing:
    """Files that match, and the photos of folders that match; keys are relative to the fixed first part."""
    root = Path(pattern)
    while glob.has_magic(str(root)):
        root = root.parent
    walk = _Walk(output)
    # A pattern that spells its extension names files explicitly: `*.dat` wants a row for each.
    explicit = Path(pattern).suffix and not glob.has_magic(Path(pattern).suffix)
    matches = [m for m in glob.glob(pattern, recursive=True) if not walk.in_output(m, root)]
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
        located = sorted((_below(path, above), path) for path in paths)
        keys = _distinct(key for key, _ in located)
        sources = [Source.at(key, path) for key, (_, path) in zip(keys, located, strict=True)]
        sources.sort(key=itemgetter(0))
    return Listing(sources, walk.passed_over, walk.notes, walk.plain)


def _below(path: str, above: str) -> str:
    """A path relative to the folder `above`, with ``/``."""
    # `relpath` asks for the working folder and takes both paths apart, which takes longer than all the rest.
    relative = path[len(above) :] if path.startswith(above) else os.path.relpath(path, above)
    return relative.replace(os.sep, "/")


class _Walk:
    """Searches folders; counts what it passes over."""

    def __init__(self, output: Path | None) -> None:
        self._output = os.path.realpath(output) if output else None
        self._judged: dict[str, bool] = {}
        self._followed: set[tuple[int, int]] = set()
        self.passed_over = 0
        self.notes: list[str] = []
        self.plain: set[str] = set()

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
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                if not self._is_output(entry.path):
                    yield from self.files(Path(entry.path), (*ancestors, identity), entry.is_symlink())
            elif self.wants(entry.name):
                if not entry.is_symlink():
                    self.plain.add(entry.path)
                yield entry.path

    def wants(self, name: str) -> bool:
        """Whether a file found in a folder is taken for a photo."""
        _, dot, extension = name.rpartition(".")
        wanted = dot + extension.lower() in IMAGE_EXTENSIONS
        self.passed_over += not wanted
        return wanted

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
        state = os.path.join(folder, ".detic-crop")
        if any(os.path.exists(os.path.join(state, name)) for name in ("journal.jsonl", "shards")):
            self.notes.append(f"folder {printable(folder)} holds crops of an earlier run and was passed over")
            return True
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _from_list(path: Path) -> Listing:
    notes: list[str] = []
    lines = _read_column(path, notes) if path.suffix.lower() == ".csv" else _read_lines(path)
    unique: dict[str, str] = {}  # absolute path → the line that named it first
    for line in lines:
        name = _existing_spelling(line, path.parent)
        unique.setdefault(os.path.abspath(path.parent / name), name)
    repeats = len(lines) - len(unique)
    if repeats:
        notes.append(f"{repeats} lines of {path.name} repeat a photo")
    keys = _distinct(normalise_key(name) for name in unique.values())
    return Listing([Source.at(key, Path(p)) for key, p in zip(keys, unique, strict=True)], notes=notes)


def _existing_spelling(line: str, folder: Path) -> str:
    """Lists made on Windows have backslashes; a file that really has one in its name goes first."""
    return line if "\\" not in line or os.path.exists(folder / line) else line.replace("\\", "/")


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # what PowerShell's `>` writes
            return data.decode("utf-16")
        return data.decode("utf-8-sig", errors="surrogateescape")
    except UnicodeDecodeError as error:
        raise UsageError(f"--in {path} is no text; save it as UTF-8") from error
    except OSError as error:
        raise UsageError(f"--in {path} cannot be read: {error.strerror}") from error


def _read_lines(path: Path) -> list[str]:
    return [line.strip() for line in re.split(r"\r\n|\r|\n", _read_text(path)) if line.strip()]


def _read_column(path: Path, notes: list[str]) -> list[str]:
    rows = csv.DictReader(io.StringIO(_read_text(path), newline=""))
    try:
        columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
        table = list(rows)
    except csv.Error as error:
        raise UsageError(f"--in {path} is not a CSV table: {error}") from error
    column = next((columns[name] for name in LIST_COLUMNS if name in columns), None)
    if column is None:
        raise UsageError(
            f"--in {path} has the columns {', '.join(columns) or '(none)'}; "
            f"expected one of {', '.join(LIST_COLUMNS)}"
        )
    cells = [(row[column] or "").strip() for row in table]
    if "" in cells:
        notes.append(f"{cells.count('')} rows of {path.name} have no {column} and were passed over")
    return [cell for cell in cells if cell]


def _distinct(keys: Iterable[str]) -> list[str]:
    """Printable keys, each once; a key that two files would share is numbered."""
    result: dict[str, None] = {}
    for key in map(printable, keys):
        if key not in result:
            result[key] = None
            continue
        stem, suffix = os.path.splitext(key)
        number, name = 1, key
        while name in result:
            number += 1
            name = f"{stem}~{number}{suffix}"
        result[name] = None
    return list(result)
