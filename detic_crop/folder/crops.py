"""Crops that are files of their own: how one is put in place, looked at, moved and removed.

The other kind is `tars.TarCrops`, which has the same methods.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Container, Iterable, Sequence

from detic_crop.folder.inside import Inside
from detic_crop.folder.known import Known, OfPhoto
from detic_crop.folder.layout import Layout
from detic_crop.folder.mirror import Mirror
from detic_crop.folder.names import FILE_RULES
from detic_crop.folder.records import Record
from detic_crop.folder.there import status_of
from detic_crop.folder.writer import Writer

_MOST_BYTES = 1 << 31  # of a crop: the most that OpenCV's encoders can return, for a `native` one in PNG


class Places:
    """Where crops go that are files: where their names say."""

    def place(self, name: str, before: str) -> str:
        """Return the path of the crop of the photo that is done next.

        Args:
            name: path as `names.CropNames` gives it.
            before: path in the journal, which stays; empty for none.
        """
        return name

    def refuse_foreign(self, files: Container[str], unfinished: Iterable[str]) -> None:
        """Refuse files of others in the place of these crops; the names of file crops avoid them.

        Args:
            files: paths of all files in the folder that are none of our crops.
            unfinished: crops that a killed run was about to write.

        Raises:
            UsageError: there is such a file; nothing was changed.
        """


class FileCrops:
    """The crops of one output folder. Making one touches nothing.

    A crop is named by its path below the folder, with ``/``: ``day1/whale.jpg``.

    Args:
        layout: paths of the folder.
        inside: through which all of it is written.
        writer: makes temporary files.
        mirror: the store that the folder stands for.
    """

    def __init__(self, layout: Layout, inside: Inside, writer: Writer, mirror: Mirror) -> None:
        self._root = layout.root
        self._prefix = os.path.join(layout.root, "")
        self._inside = inside
        self._writer = writer
        self._mirror = mirror
        self._replaceable: Collection[str] | None = None

    rules = FILE_RULES

    def places(self, recorded: Iterable[str], per_tar: int) -> Places:
        """Return what says where each crop goes; a file goes where its name says.

        Args:
            recorded: the crops of the journal.
            per_tar: most photos in one tar file.
        """
        return Places()

    def replace_only(self, crops: Collection[str]) -> None:
        """Let `put` replace an existing file only if it is one of these crops."""
        self._replaceable = crops

    def size(self, name: str) -> int | None:
        """Return the bytes of a crop; None where there is none."""
        if not name:
            return None
        status = status_of(self._prefix + name)  # hot: a shard asks for every photo of a resume
        return self._mirror.size(name) if status is None else status.st_size

    def read(self, name: str) -> bytes:
        """Return the bytes of a crop.

        Raises:
            OSError: it is not there; a name that leads out of the folder is not there either.
        """
        try:
            with self._inside.open_read(self._root / name) as file:
                if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                    raise OSError(errno.EFBIG, "it is far too large for a crop", name)
                return file.read()
        except FileNotFoundError:
            return self._mirror.read(name)

    def names_in(self, file: str) -> Sequence[str]:
        """Return the crops that a file of the folder is, or holds, whether ours or not."""
        return (file,)

    def waiting(self) -> int:
        """Return how many changes wait to be packed into tar files."""
        return 0

    def path_of(self, name: str) -> str | None:
        """Return the path of the picture file that a crop is, for links to it; None where it is not one."""
        return name or None

    def put(self, name: str, data: bytes, record: Record) -> None:
        """Put a crop in place at once: no half of one is ever seen, also after a kill.

        Args:
            name: path of the crop, relative to the folder.
            data: bytes of the crop.
            record: record of its photo.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
            FileExistsError: something that may not be replaced lies there.
            OSError: this crop cannot be put there.
            UsageError: the path is, or leads through, a link inside the folder.
        """
        self._refuse_replacing(name)
        self._writer.rename(self._writer.write_temporary(data), self._root / name)
        self._mirror.put(name)

    def move(self, name: str, target: str, record: Record) -> None:
        """Move a crop to another path; see `put`."""
        self._refuse_replacing(target)
        self._mirror.fetch(name)
        self._inside.replace(self._root / name, self._root / target, make=True)
        self._mirror.put(target)
        self._mirror.remove(name)

    def _refuse_replacing(self, name: str) -> None:
        if self._replaceable is None or name in self._replaceable:
            return
        if os.path.lexists(self._prefix + name) or self._mirror.size(name) is not None:
            raise FileExistsError(
                errno.EEXIST, "this shard did not make this file (merge, then run again)", self._prefix + name
            )

    def discard(self, name: str) -> None:
        """Remove a crop, if it is there.

        Raises:
            OSError: it cannot be removed.
        """
        self._inside.remove(self._root / name)
        self._mirror.remove(name)

    def forget(self, name: str) -> None:
        """Drop a crop that was put and will not be recorded, where it is not in its place yet.

        A file is: the boxes announce it, and the next run replaces it.

        Raises:
            OSError: it cannot be removed.
        """

    def recover(self, records: Known[OfPhoto]) -> None:
        """Forget the crops that a killed run put and did not record.

        Args:
            records: records of the journal.

        Raises:
            OutputError: one cannot be removed.
        """

    def rename_earlier(self) -> None:
        """Give the crops that an earlier version left on their way the names that they have now.

        Raises:
            OSError: one cannot be renamed.
        """

    def flush(self) -> None:
        """Bring all crops to where they are to be: into tar files.

        Raises:
            OSError: it cannot be done; nothing is lost.
        """
