"""The photos of a store: what lies below an address, or matches a pattern."""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Iterable

from detic_crop.errors import UsageError
from detic_crop.photos.keys import STATE, normalise_key, printable
from detic_crop.photos.location import is_path, kept, name_of
from detic_crop.photos.photo import Listing, Photo, distinct, is_photo_name
from detic_crop.stores.store import (
    EXTRAS,
    WEB,
    ObjectInfo,
    Store,
    is_address,
    join,
    map_parallel,
    redact,
    scheme_of,
    store_of,
)
from detic_crop.system.system_folders import note_of, system_folder_of


def from_address(address: str, output: str | None, tars: bool = False) -> Listing:
    """The photos below an address, as a folder's: sorted by key, without hidden ones and earlier output.

    Args:
        address: of a photo, of what has photos below it, or a pattern such as ``s3://bucket/day*/*.jpg``.
        output: the address of the output, which is not read as input.
        tars: find the tar files that match a pattern, not photos.

    Raises:
        UsageError: there is nothing, or the store cannot be asked.
    """
    store = store_of(address)
    if store.scheme in WEB:
        if glob.has_magic(redact(address)):  # a query begins with one of their characters
            raise UsageError(f"--in {kept(address)}: the web has no patterns; pass a .txt list of addresses")
        return Listing([Photo.at(printable(name_of(address)) or "photo", address)])
    root, found = _objects(store, address)
    if "" in found:  # the address of one object
        return Listing([Photo(printable(name_of(root)), root, *found[""])])
    extension = posixpath.splitext(address)[1] if glob.has_magic(address) else ""
    explicit = extension and not glob.has_magic(extension)  # as of a pattern of files
    notes: list[str] = []
    hidden = _output_folders(found, root, output, notes)
    located, passed_over = [], 0
    system_folders: set[str] = set()
    named = set(address.split("/"))
    for path in sorted(found):
        if folder := system_folder_of(path, posixpath.basename(root), named):
            system_folders.add(printable(folder))
            continue
        if any(part.startswith(".") for part in path.split("/")) or path.startswith(hidden):
            continue
        if tars or explicit or is_photo_name(path):
            located.append(path)
        else:
            passed_over += 1
    notes += filter(None, [note_of(system_folders)])
    keys = distinct(map(normalise_key, located))
    photos = [Photo(key, join(root, path), *found[path]) for key, path in zip(keys, located, strict=True)]
    return Listing(photos, passed_over, notes)


def _objects(store: Store, address: str) -> tuple[str, dict[str, ObjectInfo]]:
    """(The address above some objects, path below it → object): what matches a pattern, or all there is."""
    pattern = root = address.rstrip("/")
    while glob.has_magic(root):
        root = root.rpartition("/")[0]
    if store.scheme in EXTRAS and not is_address(root):
        raise UsageError(f"--in {kept(address)} names no bucket; pass {store.scheme}://BUCKET/FOLDER")
    try:
        found = {}
        if root != pattern:
            found = store.glob(pattern, root) or store.glob(f"{pattern}/**", root)
        if found:
            return root, found
        return pattern, store.list(pattern)  # the characters of patterns may stand in names
    except OSError as error:
        raise UsageError(
            f"--in {kept(address)} cannot be listed: {error.strerror}; check the address and the credentials"
        ) from error


def _output_folders(found: Iterable[str], root: str, output: str | None, notes: list[str]) -> tuple[str, ...]:
    """The folders, each with its ``/``, that hold the output of this or an earlier run."""
    folders = set()
    if output is not None and output.startswith(root + "/"):
        folders.add(output.removeprefix(root + "/").strip("/") + "/")
    for path in found:
        above, inside, _ = path.partition(f"/{STATE}/")
        if inside and f"{above}/" not in folders:
            folders.add(f"{above}/")
            notes.append(f"folder {printable(above)} holds crops of an earlier run and was passed over")
    return tuple(folders)


def looked_at(located: Iterable[tuple[str, str]]) -> list[Photo]:
    """The photos at some places, by key; stores and tar files are asked some at a time.

    Raises:
        UsageError: no package for some address is installed; says what to install.
    """
    photos = [Photo.of_file(key, where) if is_path(where) else Photo(key, where) for key, where in located]
    slow = [index for index, photo in enumerate(photos) if not is_path(photo.location)]
    addresses = (photos[index].location for index in slow if is_address(photos[index].location))
    for address in {scheme_of(address): address for address in addresses}.values():
        store_of(address)  # if its package is missing, that is what to say, once
    looked = map_parallel(lambda index: Photo.at(photos[index].key, photos[index].location), slow)
    for index, photo in zip(slow, looked, strict=True):
        photos[index] = photo
    return photos
