"""Which kind of input this is: a folder, one photo, a pattern, a list, tar files, or something in a store."""

from __future__ import annotations

import glob
import os
from pathlib import PurePosixPath

from detic_crop.errors import UsageError
from detic_crop.photos.in_folder import from_folder, from_glob
from detic_crop.photos.in_list import from_list
from detic_crop.photos.in_store import from_address
from detic_crop.photos.in_tars import from_tars, matching_tars
from detic_crop.photos.keys import printable
from detic_crop.photos.list_file import LIST_EXTENSIONS
from detic_crop.photos.location import FileOrObject, LocalFile, StoreObject, file_or_object, locate
from detic_crop.photos.photo import Photo
from detic_crop.photos.table import Listing, Photos
from detic_crop.stores.addresses import path_of, redact
from detic_crop.stores.store import store_of
from detic_crop.system.near_names import near_path
from detic_crop.wording import counted

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".7z", ".rar", ".gz", ".zst")
# What people pass by mistake, and what to do instead.
_NOT_PHOTOS = {
    (".json", ".jsonl", ".ndjson", ".xml", ".yaml", ".yml"): (
        "has no photos; pass their folder as --in, and boxes as --model boxes:FILE"
    ),
    (".xlsx", ".xls", ".ods", ".numbers", ".parquet", ".feather"): (
        "is not a list that can be read; save it as CSV (UTF-8), or pass the folder of the photos"
    ),
    (".mp4", ".mov", ".avi", ".mkv", ".mts", ".m4v", ".webm"): (
        "is a video; extract pictures from it first, e.g. ffmpeg -i VIDEO -r 1 pictures/%06d.jpg"
    ),
    (".pdf", ".html", ".htm", ".docx", ".pptx", ".ipynb", ".py", ".pt", ".pth", ".npy", ".npz", ".db"): (
        "is not a photo; pass a photo, or the folder of the photos"
    ),
}
_EXPECTED = "a folder, a photo, a glob, a list of paths, tar files or the address of a store"
_KNOWN = (
    "photos are files ending in .jpg, .jpeg, .png, .webp, .tif, .tiff, .bmp, .heic or similar; "
    "tar files are given as 'FOLDER/*.tar'"
)


def discover(where: str | os.PathLike[str], output: str | os.PathLike[str] | None = None) -> Listing:
    """Find the photos of ``--in``.

    Args:
        where: a folder (searched with its subfolders, links are followed), a photo, a pattern such as
            ``day*/*.jpg``, a ``.txt`` or ``.csv`` list of paths (relative to the list's own folder) or
            addresses, of photos or of tar files; tar files (``photos-{000..099}.tar`` or ``photos-*.tar``);
            or the address of any of these in a store: ``s3://bucket/photos``.
        output: the output folder, which is not read as input when it lies inside the input.

    Raises:
        UsageError: there is nothing there, or it cannot be looked at.
    """
    location = locate(where)
    if not location.own_path:
        raise UsageError("empty_input", f"--in is empty; pass {_EXPECTED}")
    listing = _find(location, None if output is None else file_or_object(os.fspath(output)))
    if not listing.photos:
        notes = "".join(f"{note}; " for note in listing.notes[:2])
        others = f" ({counted(listing.ignored, 'other file')})" if listing.ignored else ""
        raise UsageError("no_photos", f"--in {location.describe()} holds no photos{others}; {notes}{_KNOWN}")
    return listing


def root_of(where: FileOrObject) -> str:
    """Return the folder or address that most keys are relative to, absolute and without secrets."""
    if isinstance(where, StoreObject):
        address = where.address
        is_folder = not PurePosixPath(path_of(address)).suffix and not glob.has_magic(address)
        return redact(address.rstrip("/") if is_folder else address.rpartition("/")[0])
    root = os.path.abspath(where.path)
    return root if os.path.isdir(root) else os.path.dirname(root)


def _find(where: FileOrObject, output: FileOrObject | None) -> Listing:
    is_stored = isinstance(where, StoreObject)
    if isinstance(where, StoreObject):
        store_of(where.address)  # if its package is missing, that is the first thing to say
    elif os.path.isdir(where.path):
        return from_folder(where.path, output)
    exists = isinstance(where, LocalFile) and os.path.exists(where.path)
    name = where.name.lower()
    if name.endswith(_COMPRESSED):
        raise UsageError(
            "compressed_input",
            f"--in {where.describe()} is compressed; unpack it, or make a plain .tar of it: photos are "
            "compressed already",
        )
    if name.endswith(".tar"):
        return from_tars([where] if exists else matching_tars(where))
    if name.endswith(LIST_EXTENSIONS) and (exists or (is_stored and not glob.has_magic(where.own_path))):
        return from_list(where)
    if isinstance(where, StoreObject):
        return from_address(where.address, output)
    if exists:
        return _one_photo(where)
    if glob.has_magic(where.path):
        return from_glob(where.path, output)
    near = near_path(where.path)
    raise UsageError("missing_input", f"--in {where.path} does not exist; pass {_EXPECTED}{near}")


def _one_photo(file: LocalFile) -> Listing:
    for extensions, advice in _NOT_PHOTOS.items():
        if file.name.lower().endswith(extensions):
            raise UsageError("not_photos", f"--in {file.path} {advice}")
    return Listing(Photos([Photo.at(printable(file.name), file)]))
