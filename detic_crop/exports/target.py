"""The folder that `export` or `compare` writes: made beside its place, and put there once it is whole."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import filelock

from detic_crop.errors import OutputError, UsageError
from detic_crop.folder.write_errors import output_errors
from detic_crop.report.table import csv_parts
from detic_crop.stores.addresses import is_address, redact

_LOCK = ".detic-crop-export"
"""In the folder while it is made: only one that has it is removed as left behind by a killed export."""


class Target:
    """A folder that is being written. Names of files have ``/`` and lie below it.

    Args:
        root: where the files go meanwhile.
        shown: name of the folder in messages.
    """

    def __init__(self, root: Path, shown: str) -> None:
        self._root = root
        self.shown = shown
        self.linked = 0
        self._folders: set[str] = set()

    def path(self, name: str) -> str:
        """Return the path of a file of the export, whose folder is made."""
        parts = name.split("/")
        if (
            any(part in ("", ".", "..") or (os.sep != "/" and os.sep in part) for part in parts)
            or "\0" in name
        ):
            raise ValueError(f"expected a path below the export, got {name!r}")
        path = os.path.join(self._root, *parts)  # no Path: it keeps each name for a while
        folder = name.rpartition("/")[0]
        if folder not in self._folders:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._folders.add(folder)
        return path

    def final(self, name: str) -> str:
        """Return the absolute path that a file of the export will have, once it is in its place."""
        return os.path.join(os.path.abspath(self.shown), *name.split("/"))

    def link(self, source: str, name: str) -> None:
        """Put a file there as a second name of another one; as a copy where the disk cannot."""
        path = self.path(name)
        try:
            os.link(os.path.realpath(source), path)  # on Linux a link to a link would be made
        except FileExistsError:
            raise
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOSPC):
                raise
            self.copy(source, name)
        else:
            self.linked += 1

    def copy(self, source: str, name: str) -> None:
        """Put a copy of a file there."""
        with open(source, "rb") as old, open(self.path(name), "xb") as new:
            shutil.copyfileobj(old, new, 1 << 20)

    def put(self, data: bytes, name: str) -> None:
        """Put a file there; there may be none of that name."""
        with open(self.path(name), "xb") as file:
            file.write(data)

    def open(self, name: str) -> BinaryIO:
        """Open a new file to write bytes to."""
        return open(self.path(name), "xb")

    def rename(self, name: str, new: str) -> None:
        """Give a file that was written another name, which is free."""
        os.rename(self.path(name), self.path(new))

    def text(self, name: str) -> TextIO:
        """Open a new file to write text to: UTF-8, lines end as in Unix."""
        return open(self.path(name), "x", encoding="utf-8", errors="surrogateescape", newline="\n")

    def table(self, name: str, rows: Iterable[Sequence[str]]) -> None:
        """Write a CSV table, row by row, the header first."""
        with self.open(name) as file:
            file.writelines(csv_parts(rows))

    def json(self, name: str, value: Any) -> None:
        """Write a small JSON file for people."""
        with self.text(name) as file:
            json.dump(value, file, indent=2, ensure_ascii=False)
            file.write("\n")


@contextlib.contextmanager
def new_folder(
    out: str | os.PathLike[str],
    outside_of: Iterable[tuple[str, str]],
    *,
    command: str = "export",
    replaces: Callable[[Path], bool] = lambda _: False,
) -> Iterator[Target]:
    """Yield a folder to be filled, and put it into its place when all went well; else nothing is left.

    It is made beside its place, which takes it in one step. A folder that is there stays itself, since a
    shell may be in it, or it is a link or a mounted disk: it is filled from a folder made within it.

    Args:
        out: where it is to be: a path that is free, or an empty folder.
        outside_of: folders that it may not lie in, each with what it holds.
        command: the command that writes it.
        replaces: returns whether all that a folder holds may be replaced by files of the same names.

    Raises:
        UsageError: there is something already, or it is an address, or lies in one of those folders.
        OutputError: it cannot be written, or another export is at work on it.
    """
    given = os.fspath(out)
    if not given or "\0" in given:
        raise UsageError(
            "no_path", f"the output folder must be a path that a disk can have, got {given!r}; pass another"
        )
    if is_address(given):
        raise UsageError(
            "out_not_writable",
            f"{command} writes to a disk, got --out {redact(given)}; pass a folder, then copy it",
            out="out",
        )
    path = Path(os.path.abspath(given))
    for folder, what in outside_of:
        _refuse_inside(path, folder, what, given)
    partial = (path if path.is_dir() else path.parent) / f".{path.name}.partial"
    if os.path.lexists(path) and not (
        path.is_dir() and (all(held == partial for held in path.iterdir()) or replaces(path))
    ):
        raise UsageError(
            "out_not_empty",
            f"--out {given} is there already, and what {command} writes is not mixed with anything; pass "
            "another, or remove it first",
            out="out",
        )
    with output_errors(given, kept=f"nothing of the {command} is left"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(partial, given, command):
            try:
                yield Target(partial, given)
                (partial / _LOCK).unlink()
                _put_in_place(partial, path)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise


def _put_in_place(partial: Path, path: Path) -> None:
    if not path.is_dir():
        partial.rename(path)
        return
    moved: list[Path] = []
    try:
        for made in sorted(partial.iterdir()):
            moved.append(path / made.name)
            made.replace(moved[-1])
        partial.rmdir()
    except BaseException:
        for name in filter(os.path.lexists, moved):
            _remove(name)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextlib.contextmanager
def _alone(partial: Path, given: str, command: str) -> Iterator[None]:
    """Make an empty folder, alone of all processes; what a killed export left there is removed."""
    if os.path.lexists(partial) and not (partial / _LOCK).is_file():
        raise UsageError(
            "foreign_partial",
            f"{partial} was not made by detic-crop, which makes --out {given} there first; move it away",
            out="out",
        )
    partial.mkdir(exist_ok=True)
    lock = filelock.FileLock(partial / _LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise OutputError("in_use", f"another {command} is at work on {given}; wait for it to end") from error
    try:
        for left in partial.iterdir():
            if left.name != _LOCK:
                _remove(left)
        yield
    finally:
        lock.release()


def _refuse_inside(path: Path, folder: str, what: str, given: str) -> None:
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise UsageError(
            "out_not_apart",
            f"--out {given} lies in the folder of {what} ({folder}), where the next run would meet it; pass "
            "a folder outside",
            out="out",
        )
