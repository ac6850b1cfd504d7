"""What is refused before anything is written: folders that are not ours, and ways to reach other files.

Two implementations, as the folder is on a disk or in a store.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from detic_crop.errors import UsageError
from detic_crop.folder.inside import Inside
from detic_crop.folder.layout import INDEXES, OWNER, PENDING, SHARDS, Layout
from detic_crop.folder.shard_states import shard_layouts
from detic_crop.folder.store_state import StoreState
from detic_crop.folder.tables import HEAD_BYTES, Tables, foreign_table, is_made_here
from detic_crop.folder.write_errors import reading_errors
from detic_crop.photos.location import Location, StoreObject, addresses, local_files
from detic_crop.stores.addresses import path_of, scheme_of

_FILES = (
    *("journal.jsonl", "candidates.jsonl", "listing.json", "labels.csv", "labels.json", "part.json"),
    *("run.json", "sample.csv", "review.csv", "second_review.csv", "review.lock", "lock", OWNER),
    *("tables.json", "folds.json", "times.json", "written.json", "progress.json"),
)
_FOLDERS = ("journal", "candidates", "rejected", SHARDS, "tmp", PENDING, INDEXES)
_SAME_SCHEMES = {"s3a": "s3", "gcs": "gs"}


class DiskChecks:
    """Checks of a folder on a disk. Every method raises `UsageError`; nothing is changed by any.

    Args:
        layout: paths of the folder.
        inside: through which it is changed later.
        tables: its files for people.
    """

    def __init__(self, layout: Layout, inside: Inside, tables: Tables) -> None:
        self._layout = layout
        self._inside = inside
        self._tables = tables

    def usable(self) -> None:
        """Refuse a file, and a folder that holds something but no `.detic-crop`."""
        root, shown = self._layout.root, self._layout.shown
        if re.match(r"[a-z][a-z0-9+]+:/", root.as_posix()):
            raise UsageError(
                "address_as_path",
                f"--out {shown} looks like the address of a store, or a part of one; "
                "pass s3://BUCKET/FOLDER or gs://BUCKET/FOLDER as text, or the path of a folder",
            )
        if os.path.exists(root) and not os.path.isdir(root):
            raise UsageError("out_is_file", f"--out {shown} is a file; pass a folder")
        try:
            filled = os.path.isdir(root) and _holds_anything(root)
            # In this order: other shards may just make it.
            foreign = filled and not os.path.isdir(self._layout.root_state)
        except OSError as error:
            raise UsageError(
                "cannot_read_output", f"--out {shown} cannot be read: {error.strerror}; pass another"
            ) from error
        if foreign:
            raise _foreign(shown)

    def state(self) -> None:
        """Refuse what is not a plain file or folder in a place of ours before it is read or waited for.

        `inside` follows no link anyway; this says so before the work begins.
        """
        layout = self._layout
        state = layout.root_state
        self._inside.refuse_links(state)
        if state.exists() and not state.is_dir():
            raise UsageError(
                "strange_state", f"{state} is not a folder, and was not made by detic-crop; move it away"
            )
        for path in layout.for_people:
            if not path.is_symlink():  # that is replaced itself, not what it leads to
                self._refuse_other(path, stat.S_ISREG, "a file")
        self._tables.refuse_foreign()
        for folder in (state, layout.shards, *(own.own_state for own in shard_layouts(layout))):
            self._inside.refuse_links(folder)
            for name in _FILES:
                self._refuse_other(folder / name, stat.S_ISREG, "a file")
            for name in _FOLDERS:
                self._refuse_other(folder / name, stat.S_ISDIR, "a folder")
        for lock in (state / "lock", state / "review.lock"):
            with contextlib.suppress(OSError):
                if (status := lock.stat()).st_size and status.st_nlink > 1:  # to take it may empty it
                    raise UsageError(
                        "strange_state", f"{lock} is another name of a file that is not a lock; remove it"
                    )

    def _refuse_other(self, path: Path, is_expected: Callable[[int], bool], expected: str) -> None:
        try:
            mode = path.lstat().st_mode
        except OSError:  # not there, or not to be read, which is said where it is needed
            return
        self._inside.refuse_links(path)
        if not is_expected(mode):
            raise UsageError(
                "strange_state",
                f"{path} is not {expected}, and was not made by detic-crop; move it away, then run the same "
                "command again",
            )

    def apart(self, where: Location) -> None:
        """Refuse an output folder that is the input folder."""
        path, root = where.local_path, self._layout.root
        if path is not None and os.path.isdir(path) and os.path.realpath(path) == os.path.realpath(root):
            raise UsageError(
                "out_is_input",
                f"--out is the same folder as --in ({self._layout.shown}); pass another --out, "
                "your photos stay as they are",
            )

    def photos_outside(self, photos: Iterable[Location], links: Container[str] | None = None) -> None:
        """Refuse photos in the folder, also behind links.

        Args:
            photos: where the photos are.
            links: paths of files that may be links; None if any may be one.
        """
        real_root = os.path.realpath(self._layout.root)
        for place in _places_of(local_files(photos), links):
            if Path(os.path.realpath(place)).is_relative_to(real_root):
                raise UsageError(
                    "photos_in_output",
                    f"photos of --in lie in {place}, inside --out {self._layout.shown}; "
                    "pass another --out, your photos stay as they are",
                )

    def check_of_crops(self) -> Callable[[str, bool], None]:
        """Return what refuses a crop whose path leads out of the folder.

        It takes the path of a crop, relative to the folder, and whether there is something at that path that
        is known not to be a link.
        """
        root, above = self._layout.root, os.path.join(self._layout.root, "")
        real_root = os.path.realpath(root)
        seen = {""}

        def check(crop: str, is_plain: bool) -> None:
            folder = crop.rpartition("/")[0]
            if folder not in seen:
                seen.add(folder)
                self._inside.refuse_links(root / folder)
            if is_plain or not os.path.islink(path := above + crop):
                return
            if not Path(os.path.realpath(path)).is_relative_to(real_root):
                raise UsageError(
                    "link_outside",
                    f"{path} is a link that leads out of --out {self._layout.shown}; "
                    "nothing is written there: remove the link",
                )

        return check


class StoreChecks:
    """`DiskChecks` of a folder in a store, which has no links.

    Args:
        layout: paths of the local folder.
        state: objects of the store.
    """

    def __init__(self, layout: Layout, state: StoreState) -> None:
        self._layout = layout
        self._state = state

    def usable(self) -> None:
        """Refuse an object, and an address below which something lies but no `.detic-crop`."""
        shown = self._layout.shown
        if self._state.found:
            return
        with reading_errors(shown):
            others = self._state.outside()
        if "" in others:
            raise UsageError("out_is_file", f"--out {shown} is an object; pass the address of a folder")
        if others:
            raise _foreign(shown)

    def state(self) -> None:
        """Refuse objects of others with the names of tables; there are no links or folders in a store."""
        if not self._state.found:
            return
        for path in self._layout.for_people:
            if path not in self._layout.occasional_tables:
                with reading_errors(self._layout.shown), contextlib.suppress(FileNotFoundError):
                    head = self._state.read(path.name, 0, HEAD_BYTES)
                    if not is_made_here(path.name, head):
                        raise foreign_table(self._layout.shown_of(path))

    def apart(self, where: Location) -> None:
        """Refuse an output that is the input, or has it inside; one inside the input is not read as input."""
        if not isinstance(where, StoreObject):
            return
        ours, theirs = _comparable(self._state.address), _comparable(re.split(r"[*?\[]", where.address)[0])
        if theirs.startswith(ours):
            raise UsageError(
                "out_is_input",
                f"--in {where.describe()} is --out {self._layout.shown}, or lies inside; "
                "pass another --out, your photos stay as they are",
            )

    def photos_outside(self, photos: Iterable[Location], links: Container[str] | None = None) -> None:
        """Refuse photos whose addresses lie inside the folder's."""
        ours = _comparable(self._state.address)
        for address in addresses(photos):
            if _comparable(address).startswith(ours):
                raise UsageError(
                    "photos_in_output",
                    f"photos of --in lie inside --out {self._layout.shown}; "
                    "pass another --out, your photos stay as they are",
                )

    def check_of_crops(self) -> Callable[[str, bool], None]:
        """Return what does nothing: the name of an object cannot lead elsewhere."""
        return lambda crop, is_plain: None


Checks: TypeAlias = DiskChecks | StoreChecks


def _foreign(shown: str) -> UsageError:
    return UsageError(
        "foreign_folder",
        f"--out {shown} is not empty and was not made by detic-crop; pass a new folder, nothing was changed",
    )


def _holds_anything(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entries)


def _places_of(paths: Iterable[str], links: Container[str] | None) -> Iterator[str]:
    """Yield the folders of some paths, each once, and those paths that are links."""
    seen = set()
    for path in paths:
        # `dirname` takes three times as long.
        folder = os.path.dirname(path) if os.altsep else path[: path.rfind(os.sep) + 1]
        if folder not in seen:
            seen.add(folder)
            yield folder
        if (links is None or path in links) and os.path.islink(path):
            yield path


def _comparable(address: str) -> str:
    """Return an address fit to be compared: one name for each scheme, and a slash at its end."""
    scheme = scheme_of(address)
    return f"{_SAME_SCHEMES.get(scheme, scheme)}://{path_of(address).strip('/')}/"
