"""The photos in tar files, and where they are inside."""

from __future__ import annotations

import glob
import os
import re
import tarfile
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from operator import itemgetter

from msgspec.structs import replace

from detic_crop.columns import hashes_of, rows_alike
from detic_crop.errors import UsageError
from detic_crop.photos.in_store import tars_that_match
from detic_crop.photos.keys import normalise_key, printable
from detic_crop.photos.location import FileOrObject, LocalFile, StoreObject, TarMember
from detic_crop.photos.photo import Photo, distinct, is_photo_name
from detic_crop.photos.table import Listing, Photos
from detic_crop.photos.tar_headers import MemberHeader, TarHeaders
from detic_crop.system.system_folders import note_of, system_folder_of
from detic_crop.wording import counted, either

_RANGE = re.compile(r"\{(\d{1,18})\.\.(\d{1,18})\}")
_MOST_NAMES = 1_000_000


def expanded(pattern: str) -> list[str]:
    """Return the 100 names of ``photos-{000..099}.tar``; a pattern without a range is its only name.

    Raises:
        UsageError: a range runs backwards, or names too many.
    """
    found = _RANGE.search(pattern)
    if found is None:
        return [pattern]
    first, last = int(found[1]), int(found[2])
    if last < first:
        raise UsageError(
            "backward_range", f"--in {pattern}: {found[0]} runs backwards; write the smaller number first"
        )
    head, tails = pattern[: found.start()], expanded(pattern[found.end() :])
    if (last - first + 1) * len(tails) > _MOST_NAMES:
        raise UsageError(
            "large_range",
            f"--in {pattern}: {found[0]} names more than {_MOST_NAMES:,} tar files; write a smaller range, "
            "or a pattern with *",
        )
    width = len(found[1]) if found[1].startswith("0") else 0
    return [f"{head}{number:0{width}}{tail}" for number in range(first, last + 1) for tail in tails]


def matching_tars(pattern: FileOrObject) -> list[FileOrObject]:
    """Return the tar files that ``photos-{000..099}.tar`` or ``photos-*.tar`` names, in order.

    Raises:
        UsageError: a named file is missing, or none matches.
    """
    make = type(pattern)
    names = [make(text) for text in expanded(pattern.own_path)]
    tars = [tar for name in names for tar in _matching(name)]
    missing = [tar for tar in tars if isinstance(tar, LocalFile) and not os.path.isfile(tar.path)]
    if missing or not tars:
        first = missing[0] if missing else pattern
        verb = either(len(missing), "is", "are")
        more = f" ({len(missing):,} of {len(tars):,} tar files {verb} missing)" if len(tars) > 1 else ""
        raise UsageError(
            "missing_input",
            f"--in {first.describe()} does not exist{more}; pass tar files that do, e.g. 'photos-*.tar'",
        )
    return tars


def _matching(name: FileOrObject) -> list[FileOrObject]:
    if not glob.has_magic(name.own_path):
        return [name]
    if isinstance(name, StoreObject):
        return tars_that_match(name.address)
    return [LocalFile(path) for path in sorted(glob.glob(name.path))]


def from_tars(tars: Sequence[FileOrObject]) -> Listing:
    """Return the photos in some tar files, in their order.

    A photo's key is its path inside; if several tar files have that path, the file's name is put before it.

    Args:
        tars: files or objects.

    Raises:
        UsageError: one cannot be read, or is not a tar file.
    """
    search = _Search()
    found, rows, stems = Photos(), array("q"), list[tuple[int, str]]()  # (rows so far, name of the tar file)
    for tar in tars:
        with _usage_errors(tar):
            rows.extend(search.append_photos(tar, found))
        stems.append((len(rows), os.path.splitext(tar.name)[0]))
    found = found.of(rows)
    keys = found.keys
    alike = rows_alike(hashes_of(keys)).tolist()
    times = Counter(keys[row] for row in alike)
    longer = {
        row: normalise_key(f"{stems[bisect_right(stems, row, key=itemgetter(0))][1]}/{keys[row]}")
        for row in alike
        if times[keys[row]] > 1
    }
    new = distinct(longer.get(row, key) for row, key in enumerate(keys))
    if new != keys:
        found = Photos(replace(photo, key=key) for key, photo in zip(new, found, strict=True))
    notes = [*search.notes, *filter(None, [note_of(search.system_folders)])]
    return Listing(found, search.ignored, notes)


class _Search:
    """A search through tar files that counts what it leaves out.

    Attributes:
        ignored: number of members that are not photos.
        notes: sentences about repeated photos and damaged tar files.
        system_folders: paths of folders of a system or a program, which are not searched.
    """

    def __init__(self) -> None:
        self.ignored = 0
        self.notes: list[str] = []
        self.system_folders: set[str] = set()

    def append_photos(self, tar: FileOrObject, found: Photos) -> Iterable[int]:
        """Put the photos in one tar file at the end of a table; return the rows of those that count.

        Of several with the same path it is the last, as `tar -r` means it.
        """
        first = len(found)
        for info in self._members(tar):
            if folder := system_folder_of(info.name):
                self.system_folders.add(printable(folder))
            elif not info.is_file or not is_photo_name(info.name):
                self.ignored += 1
            else:
                member = TarMember(info.offset, info.size, info.time, tar)
                found.append(Photo(normalise_key(info.name), member, *member.info))
        keys = found.keys[first:]
        last: dict[str, int] = {}
        replaced = set[int]()
        for row in rows_alike(hashes_of(keys)).tolist():
            if (before := last.get(keys[row])) is not None:
                replaced.add(before)
            last[keys[row]] = row
        if replaced:
            self.notes.append(
                f"photos that are in {printable(tar.name)} several times, of which the last is taken: "
                f"{len(replaced):,}"
            )
        return (first + row for row in range(len(keys)) if row not in replaced)

    def _members(self, tar: FileOrObject) -> Iterator[MemberHeader]:
        """Yield what is in a tar file, except folders and hidden files.

        If it was cut short, all photos before the cut are taken, the last one as far as it goes.
        """
        count = 0
        with closing(tar.open()) as file:
            headers = TarHeaders(file)
            for info in headers:
                count += 1
                if not info.is_folder and not _is_hidden(info.name):
                    yield info
        if not headers.is_whole:
            self.notes.append(
                f"{printable(tar.name)} is cut short or damaged after {counted(count, 'file')}; "
                "what is before that is taken"
            )


@contextmanager
def _usage_errors(tar: FileOrObject) -> Iterator[None]:
    """Turn what reading a tar file raises into errors for the user."""
    try:
        yield
    except tarfile.TarError as error:
        raise UsageError(
            "not_a_tar",
            f"--in {tar.describe()} is not a plain tar file ({error}); make it with tar -cf, without "
            "compression",
        ) from error
    except OSError as error:
        raise UsageError(
            "unreadable_input", f"--in {tar.describe()} cannot be read: {error.strerror or error}"
        ) from error
    except UsageError:
        raise
    except ValueError as error:  # fsspec's, of a stream that cannot seek
        if isinstance(tar, LocalFile):
            raise
        raise UsageError(
            "no_ranges",
            f"--in {tar.describe()} cannot be read in parts, because the server sends only whole files; "
            "download it, then pass the file",
        ) from error


def _is_hidden(name: str) -> bool:
    """Return whether the file, or a folder above it, begins with a dot; ``./`` and ``../`` do not count."""
    return any(part.startswith(".") and part.strip(".") for part in name.split("/"))
