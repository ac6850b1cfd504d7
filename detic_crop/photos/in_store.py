"""The photos of a store: what lies below an address, or matches a pattern."""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Iterable

from detic_crop.errors import UsageError
from detic_crop.photos.earlier_output import is_taken, was_ignored
from detic_crop.photos.keys import STATE, normalise_key, printable
from detic_crop.photos.location import FileOrObject, Location, StoreObject
from detic_crop.photos.photo import Photo, distinct, is_photo_name
from detic_crop.photos.table import Listing, Photos
from detic_crop.stores.addresses import is_address, is_web, join, redact
from detic_crop.stores.store import EXTRAS, ObjectInfo, Store, store_of
from detic_crop.system.system_folders import note_of, system_folder_of


def from_address(address: str, output: Location | None) -> Listing:
    """Return the photos below an address as a folder's: by key, without hidden ones and earlier output.

    Args:
        address: address of a photo, of a folder, or a pattern such as ``s3://bucket/day*/*.jpg``.
        output: the output folder, which is not read as input.

    Raises:
        UsageError: there is nothing, or the store cannot be asked.
    """
    _refuse_web_pattern(address)
    if is_web(address):
        page = StoreObject(address)
        return Listing(Photos([Photo.at(printable(page.name) or "photo", page)]))
    root, found = _objects(address)
    if "" in found:  # the address of one object
        photo = StoreObject(root)
        return Listing(Photos([Photo(printable(photo.name), photo, *found[""])]))
    extension = posixpath.splitext(address)[1] if glob.has_magic(address) else ""
    is_explicit = bool(extension) and not glob.has_magic(extension)  # the pattern names files
    notes: list[str] = []
    visible = _visible(found, address, root, output, notes)
    paths = [path for path in visible if is_explicit or is_photo_name(path)]
    keys = distinct(map(normalise_key, paths))
    photos = Photos(
        Photo(key, StoreObject(join(root, path)), *found[path]) for key, path in zip(keys, paths, strict=True)
    )
    is_of_crops = any(path.startswith(f"{STATE}/") for path in found)
    return Listing(
        photos, len(visible) - len(paths), notes, None, [is_taken(redact(root))] if is_of_crops else []
    )


def tars_that_match(pattern: str) -> list[FileOrObject]:
    """Return the tar files that match a pattern, by path; see `from_address` for the errors."""
    _refuse_web_pattern(pattern)
    root, found = _objects(pattern)
    paths = [""] if "" in found else _visible(found, pattern, root, None, [])
    return [StoreObject(join(root, path)) for path in paths]


def _refuse_web_pattern(address: str) -> None:
    if is_web(address) and glob.has_magic(redact(address)):  # the "?" of a query is a wildcard, too
        raise UsageError(
            "web_pattern", f"--in {redact(address)}: the web has no patterns; pass a .txt list of addresses"
        )


def _objects(address: str) -> tuple[str, dict[str, ObjectInfo]]:
    """Return the address above some objects, and each by its path below: what matches, or all there is."""
    store = store_of(address)
    pattern = root = address.rstrip("/")
    while glob.has_magic(root):
        root = root.rpartition("/")[0]
    if store.scheme in EXTRAS and not is_address(root):
        raise UsageError(
            "no_bucket", f"--in {redact(address)} names no bucket; pass {store.scheme}://BUCKET/FOLDER"
        )
    try:
        return _listed(store, pattern, root)
    except OSError as error:
        raise UsageError(
            "unreadable_input",
            f"--in {redact(address)} cannot be listed: {error.strerror}; check the address and the "
            "credentials",
        ) from error


def _listed(store: Store, pattern: str, root: str) -> tuple[str, dict[str, ObjectInfo]]:
    if root != pattern and (found := store.glob(pattern, root) or store.glob(f"{pattern}/**", root)):
        return root, found
    return pattern, store.list(pattern)  # the characters of patterns may stand in names


def _visible(
    found: Iterable[str], address: str, root: str, output: Location | None, notes: list[str]
) -> list[str]:
    """Return the sorted paths without hidden ones, earlier output and folders of a system or a program."""
    visible: list[str] = []
    outputs = _output_folders(found, root, output, notes)
    system_folders: set[str] = set()
    named = set(address.split("/"))
    for path in sorted(found):
        if folder := system_folder_of(path, posixpath.basename(root), named):
            system_folders.add(printable(folder))
        elif not any(part.startswith(".") for part in path.split("/")) and not path.startswith(outputs):
            visible.append(path)
    notes += filter(None, [note_of(system_folders)])
    return visible


def _output_folders(
    found: Iterable[str], root: str, output: Location | None, notes: list[str]
) -> tuple[str, ...]:
    """Return the folders, each with its ``/``, that hold the output of this or an earlier run."""
    folders = set()
    if isinstance(output, StoreObject) and output.address.startswith(root + "/"):
        folders.add(output.address.removeprefix(root + "/").strip("/") + "/")
    for path in found:
        above, inside, _ = path.partition(f"/{STATE}/")
        if inside and f"{above}/" not in folders:
            folders.add(f"{above}/")
            notes.append(was_ignored(above))
    return tuple(folders)
