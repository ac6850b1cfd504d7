"""The files that a folder has for people, and whether they are still as detic-crop wrote them.

Their names are such as anybody may use: audit.csv, audit.html, manifest.csv, datacard.md, run.json. What
somebody else made is refused before anything is done; what a person has changed, or put there meanwhile, is
set aside before a new one comes. What was written is known by size and CRC-32, which `written.json` in the
state folder keeps.
"""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from io import FileIO
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO

import msgspec

from detic_crop.errors import UsageError
from detic_crop.folder.inside import Inside
from detic_crop.folder.layout import Layout
from detic_crop.folder.shard_states import shard_layouts
from detic_crop.folder.there import is_there
from detic_crop.folder.typed_json import decode_sealed, encode_sealed
from detic_crop.folder.write_errors import as_folder_error

_log = logging.getLogger(__name__)

HEAD_BYTES = 1 << 20
"""Bytes at the beginning of a file that `is_made_here` looks at, at most."""

_COLUMNS = {
    "audit.csv": {"image", "crop", "status", "suspicion"},
    "animals.csv": {"image", "animal", "crop", "suspicion"},
    "manifest.csv": {"image", "photo_sha256", "crop", "crop_sha256"},
}
_TITLES = (
    b"<title>detic-crop audit</title>",
    b"<title>detic-crop audit: ",
)  # of earlier versions, of this one
_RUN_FIELDS = (rb'"settings"\s*:\s*\{', rb'"fingerprint"\s*:\s*"')
_XLSX_TITLE = b">detic-crop audit<"

ESTIMATE = "detic-crop estimate"
"""What the first field of estimate.json is."""
CARD = "<!-- detic-crop data card -->"
"""What stands in the first line of datacard.md."""


class Stamp(msgspec.Struct, frozen=True):
    """What a file is known by: its size in bytes and its CRC-32."""

    size: int
    crc: int

    @classmethod
    def of(cls, parts: Iterable[bytes]) -> Stamp:
        """Return what a file is known by that consists of some parts."""
        size = crc = 0
        for part in parts:
            size, crc = size + len(part), zlib.crc32(part, crc)
        return cls(size, crc)


class _Written(msgspec.Struct, frozen=True):
    """written.json: name → what was written: the file there is, and the one that was about to replace it."""

    tables: dict[str, list[Stamp]] = msgspec.field(default_factory=dict)


_written = msgspec.json.Decoder(_Written)


def is_made_here(name: str, head: bytes) -> bool:
    """Return whether a file looks like one that detic-crop wrote, perhaps changed since; an empty one does.

    Args:
        name: ``audit.csv``, ``animals.csv``, ``manifest.csv``, ``audit.html``, ``estimate.json``,
            ``datacard.md`` or ``run.json``.
        head: the first bytes of the file.
    """
    if not head:
        return True
    if name in _COLUMNS:
        line = re.split(r"[\r\n]", head.decode("utf-8-sig", "replace"), maxsplit=1)[0]
        return any(_COLUMNS[name].issubset(_cells(line, delimiter)) for delimiter in ",;\t")
    if name == "audit.html":
        return any(title in head for title in _TITLES)
    if name == "estimate.json":
        return ESTIMATE.encode() in head
    if name == "datacard.md":
        return CARD.encode() in head
    return all(re.search(field, head) for field in _RUN_FIELDS)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(line), delimiter=delimiter), [])
    except csv.Error:
        return []


def foreign_table(shown: str) -> UsageError:
    """Return the error of a file of somebody else that every run would replace."""
    return UsageError(
        "foreign_table",
        f"{shown} was not made by detic-crop, which writes a file of that name; move it away or pass another "
        "--out, nothing was changed",
    )


class Tables:
    """The files for people of one folder on a disk. Making one touches nothing.

    Args:
        layout: paths of the folder.
        inside: through which they are changed.
    """

    def __init__(self, layout: Layout, inside: Inside) -> None:
        self._layout = layout
        self._inside = inside

    def refuse_foreign(self) -> None:
        """Refuse a file of somebody else that every run would replace.

        Raises:
            UsageError: there is one; says what to do.
            OutputError: one cannot be read.
        """
        for path in self._layout.for_people:
            if path not in self._layout.occasional_tables and self._is_ours(path) is False:
                raise foreign_table(str(path))

    def begin(self) -> None:
        """Note which files are here, in a folder in which that was never noted.

        In one that an earlier version made, what looks like its tables counts as written.

        Raises:
            OSError: the folder cannot be written.
        """
        layout = self._layout
        if is_there(layout.written):
            return
        is_earlier = any(is_there(own.journal) for own in (layout.unsharded, *shard_layouts(layout)))
        ours = [path for path in layout.for_people if is_earlier and self._is_ours(path)]
        stamps = {path.name: self._stamp(path) for path in ours}
        self._note({name: [stamp] for name, stamp in stamps.items() if stamp is not None})

    @contextlib.contextmanager
    def replacing(self, path: Path, temporary: Path) -> Iterator[None]:
        """Enclose the renaming of a new file to `path`, which may be one of those for people.

        One that is not as it was written is set aside. The new one is noted beside the one that is there:
        killed at any moment, what is there is known.

        Args:
            path: where the file comes.
            temporary: the new file.

        Raises:
            OSError: the folder cannot be written.
        """
        if path not in self._layout.for_people:
            yield
            return
        written = self._written()
        here, new = self._settled(path, written), self._stamp(temporary)
        stamps = list(dict.fromkeys(stamp for stamp in (here, new) if stamp is not None))
        if stamps != written.get(path.name):
            self._note(written | {path.name: stamps})
        yield
        if len(stamps) > 1:
            self._note(written | {path.name: stamps[-1:]})

    def remove(self, path: Path) -> None:
        """Remove a file of the folder; one of ours that is not as it was written is set aside.

        Raises:
            OSError: the folder cannot be written.
        """
        if path in self._layout.for_people:
            self._settled(path, self._written())
        self._inside.remove(path)

    def _settled(self, path: Path, written: dict[str, list[Stamp]]) -> Stamp | None:
        """Return what is known of a file; None where there is none, or was: it has been set aside."""
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode) or not os.path.getsize(path):
                return None
        except FileNotFoundError:
            return None
        here = self._stamp(path)
        if here is not None and here in written.get(path.name, ()):
            return here
        numbers = chain([""], map("-{}".format, count(2)))
        names = (f"{path.stem}.edited{number}{path.suffix}" for number in numbers)
        aside = next(place for place in map(path.with_name, names) if not os.path.lexists(place))
        self._inside.replace(path, aside)
        _log.warning("%s was changed after detic-crop wrote it; that version is kept as %s", path, aside.name)
        return None

    def _is_ours(self, path: Path) -> bool | None:
        """Return whether a file looks like one that detic-crop wrote; None where there is no plain file."""
        try:
            with self._open(path) as file:
                if path == self._layout.audit_xlsx:
                    return _has_our_title(file)
                return is_made_here(path.name, file.read(HEAD_BYTES) or b"")
        except FileNotFoundError:  # nor is a link or a folder
            return None

    def _stamp(self, path: Path) -> Stamp | None:
        """Return what a file is known by; None where there is no plain file.

        Raises:
            OutputError: it cannot be read, so nobody knows whether it was changed.
        """
        with contextlib.suppress(FileNotFoundError), self._open(path) as file:
            return Stamp.of(iter(lambda: file.read(1 << 20), b""))
        return None

    def written(self) -> dict[str, list[Stamp]] | None:
        """Return what each file may be known by, by name; None in a folder in which that was never noted.

        Raises:
            ValueError: that is damaged.
            OutputError: it cannot be read.
        """
        try:
            with self._open(self._layout.written) as file:
                return decode_sealed(file.read() or b"", _written).tables
        except FileNotFoundError:
            return None

    def _written(self) -> dict[str, list[Stamp]]:
        """Return what was written; nothing where that is not known any more, so that all is kept."""
        with contextlib.suppress(ValueError):
            return self.written() or {}
        return {}

    @contextlib.contextmanager
    def _open(self, path: Path) -> Iterator[FileIO]:
        """Open a file to be read. An error says that it cannot be read, though the command is writing here.

        Raises:
            FileNotFoundError: there is no plain file.
            OutputError: it cannot be read.
        """
        try:
            with self._inside.open_read(path) as file:
                yield file
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.filename is None:
                error.filename = os.fspath(path)
            raise as_folder_error(error, self._layout.shown) from error

    def _note(self, tables: dict[str, list[Stamp]]) -> None:
        temporary = self._layout.temporary / f"{os.getpid()}-{self._layout.written.name}"
        self._inside.mkdir(self._layout.temporary)
        self._inside.remove(temporary)
        self._inside.write_new(temporary, encode_sealed(_Written(tables)))
        try:
            self._inside.replace(temporary, self._layout.written)
        except OSError:
            with contextlib.suppress(OSError):
                self._inside.remove(temporary)
            raise


def _has_our_title(file: BinaryIO) -> bool:
    """Return whether a workbook has the title that ours have, which spreadsheets keep."""
    try:
        with zipfile.ZipFile(file) as workbook:
            properties = workbook.getinfo("docProps/core.xml")
            return properties.file_size < HEAD_BYTES and _XLSX_TITLE in workbook.read(properties)
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, zlib.error):
        return False
