"""The photos in tar files: which, and where in them."""

from __future__ import annotations

import glob
import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing

from msgspec.structs import replace

from detic_crop.errors import UsageError
from detic_crop.photos.in_store import tars_that_match
from detic_crop.photos.keys import normalise_key, printable
from detic_crop.photos.location import Container, LocalFile, StoreObject, TarMember
from detic_crop.photos.photo import Listing, Photo, distinct, is_photo_name
from detic_crop.system.system_folders import note_of, system_folder_of
from detic_crop.wording import counted, either

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def expanded(pattern: str) -> list[str]:
    """``photos-{000..099}.tar`` → the 100 names; a pattern without such a range is itself the one name.

    Raises:
        UsageError: a range runs backwards.
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
    width = len(found[1]) if found[1].startswith("0") else 0
    return [f"{head}{number:0{width}}{tail}" for number in range(first, last + 1) for tail in tails]


def matching_tars(pattern: Container) -> list[Container]:
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


def _matching(name: Container) -> list[Container]:
    if not glob.has_magic(name.own_path):
        return [name]
    if isinstance(name, StoreObject):
        return tars_that_match(name.address)
    return [LocalFile(path) for path in sorted(glob.glob(name.path))]


def from_tars(tars: Sequence[Container]) -> Listing:
    """The photos in some tar files, in the order in which they stand there.

    A photo's key is its path inside; where several tar files have it, the file's name goes before it.

    Args:
        tars: files or objects.

    Raises:
        UsageError: one cannot be read, or is not a tar file.
    """
    passed_over = 0
    notes: list[str] = []
    system_folders: set[str] = set()
    found: list[tuple[str, Photo]] = []  # (name of the tar file, photo)
    for tar in tars:
        inside: dict[str, Photo] = {}
        repeated = 0
        for name, photo in _members(tar, notes):
            if folder := system_folder_of(name):
                system_folders.add(printable(folder))
                continue
            if photo is None or not is_photo_name(name):
                passed_over += 1
                continue
            repeated += photo.key in inside
            inside.pop(photo.key, None)
            inside[photo.key] = photo  # what was added later replaces what was there, as for `tar -r`
        if repeated:
            notes.append(
                f"photos that stand in {printable(tar.name)} several times, "
                f"of which the last is taken: {repeated:,}"
            )
        found += [(os.path.splitext(tar.name)[0], photo) for photo in inside.values()]
    notes += filter(None, [note_of(system_folders)])
    times = Counter(photo.key for _, photo in found)
    keys = distinct(
        photo.key if times[photo.key] == 1 else normalise_key(f"{stem}/{photo.key}") for stem, photo in found
    )
    photos = [replace(photo, key=key) for key, (_, photo) in zip(keys, found, strict=True)]
    return Listing(photos, passed_over, notes)


def _members(tar: Container, notes: list[str]) -> Iterator[tuple[str, Photo | None]]:
    """What is in a tar file and not hidden: (name, photo), None for what is no file of its own.

    Of one that was cut short the photos up to there are taken, the last of them as far as it goes.
    """
    name, count = printable(tar.name), 0
    try:
        with (
            closing(tar.open()) as file,
            tarfile.open(fileobj=file, mode="r:") as opened,
        ):
            while (info := _next(opened)) is not None:
                count += 1
                if _is_hidden(info.name) or info.isdir():
                    continue
                if info.isreg() and not info.issparse():
                    member = TarMember(info.offset_data, info.size, max(0, int(info.mtime)), tar)
                    yield info.name, Photo(normalise_key(info.name), member, *member.info)
                else:
                    yield info.name, None
            file.seek(opened.offset)
            end = file.read(tarfile.BLOCKSIZE)
            if end.strip(b"\0") or len(end) < tarfile.BLOCKSIZE:
                files = counted(count, "file")
                notes.append(f"{name} is cut short or damaged after {files}; what is before that is taken")
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
    except ValueError as error:  # fsspec's, of a stream in which it cannot seek
        raise UsageError(
            "no_ranges",
            f"--in {tar.describe()} cannot be read in parts, because the server sends only whole files; "
            "download it, then pass the file",
        ) from error


def _next(opened: tarfile.TarFile) -> tarfile.TarInfo | None:
    """The next header; None at the end, or where what follows is not whole."""
    try:
        info = opened.next()
    except tarfile.ReadError:
        return None
    opened.members = []  # type: ignore[attr-defined]  # it would keep every one
    return info


def _is_hidden(name: str) -> bool:
    """Whether it, or a folder above it, begins with a dot; ``./`` and ``../`` say nothing."""
    return any(part.startswith(".") and part.strip(".") for part in name.split("/"))
