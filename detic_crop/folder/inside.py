"""Write, rename and remove below an output folder, so that nothing outside of it is ever touched.

A path is walked from the folder down, each component opened in the one above it and never through a link;
the last one is changed in the folder that was reached so. What a list, a journal or a tar file says, what
lies in the folder, and what is put there while a run is at work cannot lead anywhere else. The folder itself,
and what is above it, may be links.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import weakref
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from detic_crop.errors import UsageError
from detic_crop.folder.held import Identity, identity
from detic_crop.folder.write_errors import writing

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

# Else (on Windows) each component is looked at, and then the path is used.
_DESCRIPTORS = hasattr(os, "O_NOFOLLOW") and os.supports_dir_fd >= {
    *(os.open, os.stat, os.mkdir, os.rmdir, os.unlink, os.rename, os.link)
}
# O_PATH: no rights to read are needed, and a network disk isn't asked.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class Inside:
    """A folder, and what can be done to the files below it. Making one touches nothing.

    Everything that detic-crop writes, renames or removes in an output folder goes through this class. Every
    method takes paths below the folder, and raises `UsageError` where one leaves it: by `..`, as another
    absolute path, or through a link. Errors of the disk are `OSError`, with the whole path.

    Safe from several threads.

    Args:
        root: the folder.
        shown: name of the folder in messages; None takes its path.
    """

    def __init__(self, root: Path, shown: str | None = None) -> None:
        self.root = root
        self._shown = str(root) if shown is None else shown
        self._prefix = os.path.join(root, "") if root != Path() else ""
        self._root_fd: int | None = None
        self._guard: Callable[[], None] = _no_guard

    @contextlib.contextmanager
    def guarded(self, check: Callable[[], None]) -> Iterator[None]:
        """Call `check` before whatever is changed; it raises where nothing may be changed any more."""
        before, self._guard = self._guard, check
        try:
            yield
        finally:
            self._guard = before

    def check(self) -> None:
        """Refuse to go on in a folder in which nothing may be changed any more; see `guarded`.

        For those who go on writing to a file that they have open.
        """
        self._guard()

    def identity(self) -> Identity:
        """Return which folder this is, wherever it is now."""
        if not _DESCRIPTORS:
            return identity(self.root)
        status = os.fstat(self._opened_root(False))
        return status.st_dev, status.st_ino

    # ------------------------------------------------------------ folders

    def mkdir(self, path: Path) -> None:
        """Make a folder and those above it, where they are not there yet."""
        if path == self.root:
            self._guard()
            with writing(path):
                os.makedirs(self.root, exist_ok=True)
            return
        with self._above(path, make=True) as (fd, name):
            _mkdir(name, fd)
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if _is_link(status):
                raise self._refused(path)
            if not stat.S_ISDIR(status.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)

    def rmdir(self, path: Path) -> None:
        """Remove an empty folder."""
        with self._above(path) as (fd, name):
            os.rmdir(name, dir_fd=fd)

    def remove_tree(self, path: Path, ignore_errors: bool = False) -> None:
        """Remove a folder with all that is in it; links in it go, and what they lead to stays.

        A link in its place is refused. Nothing happens where there is none.
        """
        try:
            with self._above(path) as (fd, name):
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if _is_link(status):
                    raise self._refused(path)
                if not stat.S_ISDIR(status.st_mode):  # `rmtree` would open a pipe, and wait for ever
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
                # Goes down by descriptors, too, and follows no link.
                shutil.rmtree(name, ignore_errors, dir_fd=fd)
        except FileNotFoundError:
            pass
        except OSError:
            if not ignore_errors:
                raise

    def files(self, path: Path) -> list[Path]:
        """Return every plain file below a folder, the deepest first; nothing where it is absent."""
        found: list[Path] = []
        for folder, _, names in self.walk(path):
            with os.scandir(folder) as entries:
                plain = {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
            found += [folder / name for name in names if name in plain]
        return found

    def walk(self, path: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
        """Walk a folder from the bottom up as `os.walk` does; a link in its place is refused.

        Raises:
            OSError: a folder cannot be read. What is in it counts: it may be a crop that waits to be packed.
        """
        self.refuse_links(path)
        for folder, folders, names in os.walk(path, topdown=False, onerror=_unless_gone):
            yield Path(folder), folders, names

    def refuse_links(self, path: Path) -> None:
        """Refuse a path that is a link or leads through one; an absent one is accepted.

        Raises:
            UsageError: it is, or leaves the folder.
        """
        if path == self.root:
            return
        place = self.root
        for part in self._parts(path):
            place /= part
            try:
                if _is_link(os.lstat(place)):
                    raise self._refused(place)
            except (FileNotFoundError, NotADirectoryError):
                return

    # ------------------------------------------------------------ files

    def replace(self, source: Path, target: Path, make: bool = False) -> None:
        """Rename a file, over one that may be there.

        Args:
            source: the file.
            target: new path of the file. A link there is replaced itself, not what it leads to.
            make: make the folders above the target.
        """
        with self._above(source) as (source_fd, source_name), self._above(target, make) as (fd, name):
            try:
                os.replace(source_name, name, src_dir_fd=source_fd, dst_dir_fd=fd)
            except OSError as error:
                error.filename, error.filename2 = os.fspath(source), os.fspath(target)
                raise

    def remove(self, path: Path) -> None:
        """Remove a file, or a link itself, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            try:
                with self._above(path) as (fd, name):
                    os.unlink(name, dir_fd=fd)
            except NotADirectoryError:  # a file in the place of a folder above it: it is not there
                return

    def open_read(self, path: Path) -> FileIO:
        """Open a plain file to read it.

        Raises:
            FileNotFoundError: it is not there, or is a link, lies behind one, or is not a plain file.
        """
        flags = os.O_RDONLY | _NO_LINK | _BINARY | getattr(os, "O_NONBLOCK", 0)
        try:
            with self._reached(path) as (fd, name):
                opened = os.open(name, flags, dir_fd=fd)
        except UsageError as error:
            raise FileNotFoundError(errno.ENOENT, "no plain file", os.fspath(path)) from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, getattr(errno, "EMLINK", None)):
                raise FileNotFoundError(errno.ENOENT, "no plain file", os.fspath(path)) from error
            raise
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise FileNotFoundError(errno.ENOENT, "no plain file", os.fspath(path))
        return FileIO(opened, "r")

    def create(self, path: Path, make: bool = False) -> Written:
        """Make a new file, open to be written, unbuffered.

        Args:
            path: path of the new file; nothing may be there yet, not even a link.
            make: make the folders above it.
        """
        with self._above(path, make) as (fd, name):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK | _BINARY
            return Written(os.open(name, flags, 0o666, dir_fd=fd), path)

    def write_new(self, path: Path, data: bytes, make: bool = False) -> None:
        """Make a new file of some bytes; one that cannot be written whole is removed again."""
        with self.create(path, make) as file:
            try:
                write_all(file, data)
            except OSError:
                with contextlib.suppress(OSError):
                    self.remove(path)
                raise

    def open_grown(self, path: Path) -> Written:
        """Open a file that is continued in place, made if need be; unbuffered, to read and write.

        A file with a second name, such as one in a backup made by `cp -al`, is first replaced by a copy of
        it, so that the other stays as it is.
        """
        with self._above(path) as (fd, name):
            file = self._opened(path, name, fd)
            if os.fstat(file.fileno()).st_nlink <= 1:
                return file
            with file:
                copy = path.with_name(f"{path.name}.copy")  # one that was begun before is begun again
                self.remove(copy)
                with self.create(copy) as new:
                    while part := file.read(1 << 20):
                        write_all(new, part)
                    new.sync()
            self.replace(copy, path)
            return self._opened(path, name, fd)

    def _opened(self, path: Path, name: str, fd: int | None) -> Written:
        flags = os.O_RDWR | os.O_CREAT | _NO_LINK | _BINARY | getattr(os, "O_NONBLOCK", 0)
        try:
            opened = os.open(name, flags, 0o666, dir_fd=fd)
        except OSError as error:
            if error.errno in (errno.ELOOP, getattr(errno, "EMLINK", None)):
                raise self._refused(path) from error
            raise
        if stat.S_ISREG(os.fstat(opened).st_mode):
            return Written(opened, path)
        os.close(opened)
        raise UsageError("not_a_file", f"{path} is not a file; remove it, then run the same command again")

    # ------------------------------------------------------------ the way there

    @contextlib.contextmanager
    def _above(self, path: Path, make: bool = False) -> Iterator[tuple[int | None, str]]:
        """Yield what `_reached` does, to change something there."""
        self._guard()
        with writing(path), self._reached(path, make) as place:
            yield place

    @contextlib.contextmanager
    def _reached(self, path: Path, make: bool = False) -> Iterator[tuple[int | None, str]]:
        """Yield the open folder that a path is in, and the name there; or None and the whole path."""
        parts = self._parts(path)
        fd: int | None = None
        try:
            if not _DESCRIPTORS:
                self.refuse_links(path.parent)
                if make:
                    path.parent.mkdir(parents=True, exist_ok=True)
                yield None, os.fspath(path)
                return
            fd = self._walked(parts[:-1], make)
            yield fd, parts[-1]
        except OSError as error:
            if error.filename is not None and error.filename in parts:  # the name of one component
                error.filename = os.fspath(path)
            raise
        finally:
            if fd is not None:
                os.close(fd)

    def _walked(self, parts: list[str], make: bool) -> int:
        fd = os.dup(self._opened_root(make))
        place = self.root
        for part in parts:
            place /= part
            try:
                below = self._down(part, fd, place, make)
            finally:
                os.close(fd)
            fd = below
        return fd

    def _down(self, part: str, fd: int, place: Path, make: bool) -> int:
        """Return a folder in an open one, open itself."""
        if make:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return os.open(part, _FOLDER | _NO_LINK, dir_fd=fd)
            _mkdir(part, fd)
        try:
            return os.open(part, _FOLDER | _NO_LINK, dir_fd=fd)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_link(
                os.stat(part, dir_fd=fd, follow_symlinks=False)
            ):
                raise self._refused(place) from error
            raise

    def _opened_root(self, make: bool) -> int:
        """Return the folder itself, kept open: also renamed during a run it is still the same one."""
        if self._root_fd is None:
            if make:
                os.makedirs(self.root, exist_ok=True)
            fd = os.open(self.root, _FOLDER)
            self._root_fd = fd  # of two threads one wins; the other's is closed with this object as well
            weakref.finalize(self, os.close, fd)
        return self._root_fd

    def _parts(self, path: Path) -> list[str]:
        text = os.fspath(path)
        parts = text.removeprefix(self._prefix).split(os.sep) if text.startswith(self._prefix) else []
        if not parts or not {"", os.curdir, os.pardir}.isdisjoint(parts):
            raise UsageError(
                "outside_output", f"{path} lies outside of --out {self._shown}; nothing is changed there"
            )
        return parts

    def _refused(self, path: Path) -> UsageError:
        return UsageError(
            "link_in_output",
            f"{path} is a link; inside --out {self._shown} none is followed, so that no file elsewhere is "
            "touched: remove the link, then run the same command again",
        )


class Written(FileIO):
    """A file of the folder that is open to be written, unbuffered. Errors of writing it say so, and name it.

    Args:
        descriptor: the open file; closed with this object.
        path: path of the file, for messages.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, "r+")
        self._path = path

    def write(self, data: Buffer, /) -> int:
        """Write at least a byte of `data`; return how many.

        Raises:
            OSError: the disk takes none.
        """
        with writing(self._path):
            return _at_least_one(super().write(data), data)

    def truncate(self, size: int | None = None, /) -> int:
        """Cut the file off."""
        with writing(self._path):
            return super().truncate(size)

    def sync(self) -> None:
        """Wait until all of it is on the disk."""
        with writing(self._path):
            os.fsync(self.fileno())


def write_all(file: FileIO, data: bytes) -> None:
    """Write to an unbuffered file, which may take it in pieces.

    Raises:
        OSError: it takes no more, for good or for the moment.
    """
    view = memoryview(data)
    while view:
        with contextlib.suppress(InterruptedError):
            view = view[_at_least_one(file.write(view), view) :]


def _at_least_one(written: int | None, data: Buffer) -> int:
    """Return how many bytes were written; none of some is an error, or whoever goes on goes on for ever."""
    if not written and memoryview(data).nbytes:
        code = errno.EAGAIN if written is None else errno.EIO
        raise OSError(code, os.strerror(code))
    return written or 0


def _no_guard() -> None:
    """Let everything be changed."""


def _unless_gone(error: OSError) -> None:
    """Raise an error of a folder's listing, unless there is no such folder."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _mkdir(name: str, fd: int | None) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=fd)


def _is_link(status: os.stat_result) -> bool:
    """Return whether something is a symbolic link or, on Windows, a junction or similar."""
    tag = getattr(status, "st_reparse_tag", 0)
    return stat.S_ISLNK(status.st_mode) or tag == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)
