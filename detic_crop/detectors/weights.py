"""Weights files of this machine: where they are, pulling them, and knowing that they are what they were.

A file has a hash that is published, or the one it had when it was first seen here. It is compared before
every load; the hashing itself is spared while size and time stay the same (`verify` always hashes).
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from detic_crop.detectors.catalogue import ModelEntry, catalogue, named
from detic_crop.detectors.download import (
    DownloadError,
    Sleep,
    download,
    finish,
    forget,
    size_of,
    unfinished,
    writing,
)
from detic_crop.detectors.records import Records, locked, sha256_of
from detic_crop.detectors.torch_files import damage_of
from detic_crop.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Check",
    "InstalledModel",
    "ModelEntry",
    "Progress",
    "PulledFile",
    "best_installed",
    "catalogue",
    "check_checkpoint",
    "convert",
    "installed",
    "missing_message",
    "named",
    "pull",
    "remove",
    "require",
    "unfinished_download",
    "verify",
    "weights_dir",
]

FOLDER_VARIABLE = "DETIC_CROP_WEIGHTS_DIR"
Progress = Callable[[str, int, int | None], None]
"""Called with a file name, the bytes that are there and the bytes that there will be."""
Check = Callable[[ModelEntry, Path], None]
"""Raises WeightsError unless the file can be used for the model."""

_SOURCE = "source_sha256"
_LARGER = 4  # times the estimated size of a file: more of it is not taken
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """Files that are there and have the right hashes.

    Attributes:
        entry: entry of the catalogue.
        path: the checkpoint; of a vocabulary, its embeddings.
        converted: the safetensors copy of the checkpoint, when there is one.
        vocabulary: the embeddings of the model's default vocabulary.
        sha256: published file name → hash, of all files above but the copy; what a run records.
    """

    entry: ModelEntry
    path: Path
    converted: Path | None
    vocabulary: Path | None
    sha256: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PulledFile:
    """One file after `pull`: `downloaded` now, or there before."""

    path: Path
    sha256: str
    downloaded: bool


_PACKAGE = Path(__file__).parents[1]


def weights_dir() -> Path:
    """Return the folder of the weights: `DETIC_CROP_WEIGHTS_DIR`, `weights/` of a checkout, or the cache.

    Raises:
        UsageError: the variable names something that is not a folder.
    """
    if given := os.environ.get(FOLDER_VARIABLE):
        folder = Path(given).expanduser().absolute()
        if folder.exists() and not folder.is_dir():
            raise UsageError(
                "bad_weights_folder", f"{FOLDER_VARIABLE} must be a folder, got the file {folder}"
            )
        return folder
    root = _PACKAGE.parent
    if (root / "pyproject.toml").is_file() and (root / "weights" / "README.md").is_file():
        return root / "weights"
    return platformdirs.user_cache_path("detic-crop", appauthor=False) / "weights"


def installed(
    name: str, *, folder: Path | None = None, with_vocabulary: bool = True
) -> InstalledModel | None:
    """Return the files of a model or vocabulary, None when they are not all there.

    A file put there by hand is as good as a pulled one: its hash is recorded now if none is published.

    Args:
        name: name in the catalogue.
        folder: instead of `weights_dir`.
        with_vocabulary: True if a model needs its default vocabulary, too.

    Raises:
        UsageError: there is no such name.
        WeightsError: a file is damaged, or is not what it was.
    """
    return _look_up(name, folder or weights_dir(), with_vocabulary=with_vocabulary, always_hash=False)


def require(name: str, *, folder: Path | None = None, with_vocabulary: bool = True) -> InstalledModel:
    """Return what `installed` does; if files are missing, raise an error that says how to get them."""
    found = installed(name, folder=folder, with_vocabulary=with_vocabulary)
    if found is None:
        raise WeightsError(
            "missing_weights", missing_message(name, folder=folder, with_vocabulary=with_vocabulary)
        )
    return found


def best_installed(folder: Path | None = None) -> str | None:
    """Return the best Detic model whose files are all there. Only looks, so it is cheap.

    A COCO model is never the best: it knows no marine animal.
    """
    folder = folder or weights_dir()
    models = (entry for entry in catalogue().values() if entry.kind == "model")
    return next((entry.name for entry in models if not _missing(entry, folder, True)), None)


def verify(name: str, *, folder: Path | None = None, with_vocabulary: bool = True) -> InstalledModel:
    """Hash every file of a model or vocabulary again.

    Raises:
        UsageError: there is no such name.
        WeightsError: a file is missing, damaged, or is not what it was.
    """
    folder = folder or weights_dir()
    found = _look_up(name, folder, with_vocabulary=with_vocabulary, always_hash=True)
    if found is None:
        raise WeightsError(
            "missing_weights", missing_message(name, folder=folder, with_vocabulary=with_vocabulary)
        )
    return found


def missing_message(name: str, *, folder: Path | None = None, with_vocabulary: bool = True) -> str:
    """Return what to do when the files of `name` are not there, with and without a network; one line."""
    folder = folder or weights_dir()
    entry = _single(name)
    missing = _missing(entry, folder, with_vocabulary)
    files = ", ".join(other.file for other in missing)
    return (
        f"{name} is not installed: {folder} lacks {files}; "
        f"run `detic-crop weights pull {name}`, or {_by_hand(missing, folder)}"
    )


def check_checkpoint(entry: ModelEntry, path: Path) -> None:
    """Open a checkpoint, without running anything in it, and hold every tensor against the model.

    Raises:
        WeightsError: it cannot be opened or does not fit.
    """
    if entry.kind == "vocabulary":
        return
    from detic_crop.detectors.checkpoints import read_checkpoint

    if entry.kind == "torchvision":
        from detic_crop.detectors.torchvision_models.build import build_filled

        build_filled(entry.architecture, read_checkpoint(path, bare=True), entry.file)
        return
    from detic_crop.detectors.detic.build import build
    from detic_crop.detectors.detic.checkpoint import fill_network

    fill_network(build(entry.name), read_checkpoint(path), entry.file)


def pull(
    name: str,
    *,
    mirror: str | None = None,
    folder: Path | None = None,
    progress: Progress = lambda file, there, total: None,
    check: Check | None = None,
    sleep: Sleep = time.sleep,
) -> list[PulledFile]:
    """Download what is not there yet: a model and its default vocabulary, a vocabulary, or all of them.

    Args:
        name: name in the catalogue, or ``vocabularies``.
        mirror: address of a folder with files of the same names, instead of the published addresses.
        folder: instead of `weights_dir`.
        progress: called with every block.
        check: asked about every file before it gets its name; None: `check_checkpoint`.
        sleep: waits between tries.

    Raises:
        UsageError: there is no such name, or the mirror is not an address.
        DownloadError: a file could not be downloaded (what has arrived is kept for the next pull), or what
            arrived is not that file and was removed.
        WeightsError: `check` refuses the file; it is kept unfinished, so that the next pull checks it again.
        OutputError: the disk is full or the folder cannot be written.
    """
    folder = folder or weights_dir()
    entries = [needed for entry in named(name) for needed in _needed(entry, True)]
    addresses = [entry.address_at(mirror) for entry in entries]  # says a wrong mirror before anything is done
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        return [
            _pull_file(entry, address, folder, progress, check or check_checkpoint, sleep)
            for entry, address in zip(entries, addresses, strict=True)
        ]
    except DownloadError as error:
        missing = [entry for entry in entries if not (folder / entry.file).exists()]
        raise DownloadError(
            error.code, f"{error.message}; or {_by_hand(missing or entries, folder)}"
        ) from error


def remove(name: str, *, folder: Path | None = None, forget_hash: bool = False) -> list[Path]:
    """Remove the files of a model (not its vocabulary) or of a vocabulary, unfinished ones and copies too.

    The recorded hash stays, so that pulling again is held against it, unless `forget_hash`.

    Returns:
        What was removed.
    """
    folder = folder or weights_dir()
    removed = []
    for entry in named(name):
        path = folder / entry.file
        if not folder.is_dir():
            continue
        with writing(folder), locked(path, f"another process is downloading {path.name}; waiting for it"):
            ours = (path, _converted(path), _temporary(_converted(path)), _part(path))
            present = [file for file in ours if file.exists()]
            forget(_part(path))
            for file in present:
                file.unlink(missing_ok=True)
            removed += present
        Records(folder).forget(_converted(path).name, *([path.name] if forget_hash else []))
    return removed


def convert(path: Path, tensors: Mapping[str, Tensor], sha256: str) -> Path | None:
    """Write the tensors of a checkpoint as safetensors next to it: no pickle, and a faster start.

    Args:
        path: the checkpoint they come from.
        tensors: tensors from `read_checkpoint`.
        sha256: hash of the checkpoint; a copy of another checkpoint is never used.

    Returns:
        The copy, or None when it cannot be written (a read-only folder, a full disk): the checkpoint serves.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    target = _converted(path)
    temporary = _temporary(target)
    try:
        with locked(target):
            try:
                save_file(_separate(tensors), temporary, {"format": "pt", _SOURCE: sha256})
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        _log.debug("no safetensors copy of %s: %s", path, error)
        return None
    Records(path.parent).remember(target, sha256_of(target), f"converted from {path.name}")
    return target


def unfinished_download(entry: ModelEntry, folder: Path) -> tuple[int, int | None] | None:
    """Return (bytes there, bytes in all) of a broken download; None if there is none."""
    return unfinished(_part(folder / entry.file))


def _pull_file(
    entry: ModelEntry, address: str, folder: Path, progress: Progress, check: Check, sleep: Sleep
) -> PulledFile:
    path = folder / entry.file
    part = _part(path)
    with _alone_with(path):
        if path.exists():
            try:
                return PulledFile(path, _known_sha256(entry, folder, always_hash=True), downloaded=False)
            except WeightsError as error:
                _log.info("%s; downloading it again", error.message)
        download(
            address,
            part,
            size=entry.size,
            most=entry.size or _LARGER * (entry.about_bytes or 0) or None,
            report=lambda there, total: progress(entry.file, there, total),
            sleep=sleep,
        )
        sha256 = _accept(entry, part, folder, check)
        with writing(folder):
            finish(part, path)
    Records(folder).remember(path, sha256, address)
    return PulledFile(path, sha256, downloaded=True)


@contextlib.contextmanager
def _alone_with(path: Path) -> Iterator[None]:
    """Keep other processes from pulling or removing the same file."""
    with contextlib.ExitStack() as stack:
        with writing(path.parent):  # taking the lock only: the work inside explains its own errors
            stack.enter_context(locked(path, f"another process is at {path.name}; waiting for it"))
        yield


def _accept(entry: ModelEntry, part: Path, folder: Path, check: Check) -> str:
    """Return the hash of a finished download that is what it should be; anything else is removed."""
    sha256 = sha256_of(part)
    problem = _difference(entry, part, sha256, folder) or _damage(entry, part)
    if problem:
        forget(part)
        raise DownloadError(
            "not_the_file",
            f"what came as {entry.file} {problem}; it was removed again: "
            f"run the same command once more, or try another --mirror{_if_replaced(entry, folder)}",
        )
    try:
        check(entry, part)
    except WeightsError as error:
        raise WeightsError(
            "damaged_download",
            f"{error.message}; the download is kept as {part} and checked again by the next pull, "
            f"`detic-crop weights rm {entry.name}` removes it",
        ) from error
    return sha256


def _look_up(name: str, folder: Path, *, with_vocabulary: bool, always_hash: bool) -> InstalledModel | None:
    entry = _single(name)
    if _missing(entry, folder, with_vocabulary):
        return None
    needed = _needed(entry, with_vocabulary)
    hashes = {other.file: _known_sha256(other, folder, always_hash=always_hash) for other in needed}
    path = folder / entry.file
    return InstalledModel(
        entry,
        path,
        _usable_copy(path, hashes[entry.file], always_hash=always_hash),
        next((folder / other.file for other in needed if other is not entry), None),
        hashes,
    )


def _known_sha256(entry: ModelEntry, folder: Path, *, always_hash: bool) -> str:
    """Return the hash of an installed file; WeightsError when it is not the published or the recorded one."""
    path, records = folder / entry.file, Records(folder)
    record = records.get(entry.file)
    try:
        known = record and not always_hash and records.untouched(path)
        sha256 = record.sha256 if record and known else sha256_of(path)
    except OSError as error:
        raise WeightsError(
            "unreadable_weights",
            f"cannot read {path}: {error.strerror or error}; check its rights and the disk",
        ) from error
    problem = _difference(entry, path, sha256, folder)
    if problem is None and record is None:
        problem = _damage(entry, path)
    if problem:
        raise WeightsError(
            "damaged_weights",
            f"{path} {problem}; get it again: `detic-crop weights pull {entry.name}`"
            f"{_if_replaced(entry, folder)}",
        )
    if record is None or not records.untouched(path):
        records.remember(path, sha256, "put there by hand")
    return sha256


def _difference(entry: ModelEntry, path: Path, sha256: str, folder: Path) -> str | None:
    """Return how a file differs from the published or else from the recorded one."""
    if entry.size is not None and size_of(path) != entry.size:
        return f"has {size_of(path)} bytes, expected {entry.size}: it is cut off or another file"
    if entry.sha256:
        return (
            None if sha256 == entry.sha256 else f"has sha256 {sha256}, expected {entry.sha256} as published"
        )
    if not sha256.startswith(entry.sha256_start):
        return f"has sha256 {sha256}, expected {entry.sha256_start}… as its name says"
    record = Records(folder).get(entry.file)
    if record is None or sha256 == record.sha256:
        return None
    return (
        f"has sha256 {sha256}, expected {record.sha256} as on {record.since}, "
        f"when it was first seen ({record.origin})"
    )


def _if_replaced(entry: ModelEntry, folder: Path) -> str:
    if entry.sha256 or Records(folder).get(entry.file) is None:
        return ""
    return (
        "; if the publisher has replaced it and you trust that, "
        f"first `detic-crop weights rm --forget {entry.name}`"
    )


def _damage(entry: ModelEntry, path: Path) -> str | None:
    """Return why this cannot be a whole PyTorch file: the only check if no hash is published."""
    if entry.sha256 or not entry.file.endswith(".pth"):
        return None
    return damage_of(path, thorough=True)


def _usable_copy(path: Path, sha256: str, *, always_hash: bool) -> Path | None:
    """Return the safetensors copy, when it was made from this very checkpoint and has not changed since."""
    copy, records = _converted(path), Records(path.parent)
    record = records.get(copy.name)
    if not copy.exists() or _source_of(copy) != sha256 or record is None:
        return None
    try:
        if records.untouched(copy) and not always_hash:
            return copy
        intact = sha256_of(copy) == record.sha256
    except OSError:
        return None
    if intact:
        records.remember(copy, record.sha256, record.origin)
        return copy
    _log.warning("%s is damaged and not used; the next load makes it again from %s", copy, path.name)
    with contextlib.suppress(OSError):
        copy.unlink()
    return None


def _source_of(copy: Path) -> str | None:
    from safetensors import safe_open

    try:
        with safe_open(copy, framework="numpy") as file:
            return (file.metadata() or {}).get(_SOURCE)
    except Exception:  # whatever a damaged file makes its reader raise
        return None


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors that share no memory, as safetensors needs them."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        own = tensor.detach().contiguous()
        storage = own.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != own.nbytes:
            own = own.clone()
        seen.add(own.untyped_storage().data_ptr())
        separate[name] = own
    return separate


def _single(name: str) -> ModelEntry:
    entries = named(name)
    if len(entries) > 1:
        raise UsageError(
            "ambiguous_weights",
            f"{name} stands for several: {', '.join(entry.name for entry in entries)}; name one",
        )
    return entries[0]


def _needed(entry: ModelEntry, with_vocabulary: bool) -> list[ModelEntry]:
    others = [catalogue()[entry.vocabulary]] if with_vocabulary and entry.vocabulary else []
    return [entry, *others]


def _missing(entry: ModelEntry, folder: Path, with_vocabulary: bool) -> list[ModelEntry]:
    return [other for other in _needed(entry, with_vocabulary) if not (folder / other.file).is_file()]


def _by_hand(entries: list[ModelEntry], folder: Path) -> str:
    files = ", ".join(entry.address for entry in entries)
    return f"without a network put these files into {folder}, under the names they have: {files}"


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _converted(path: Path) -> Path:
    return path.with_suffix(".safetensors")


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")
