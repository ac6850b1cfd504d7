"""Models of the hub: which of their files are needed, and pulling those.

The only module of this package that uses a network.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detic_crop.detectors.download import DownloadError, writing
from detic_crop.detectors.hf.folder import (
    INDEX,
    SMALL_FILES,
    WEIGHTS,
    HubName,
    ModelFolder,
    Pulled,
    hashes_of,
    hub_folder,
    hub_name,
    is_revision,
    missing_message,
    no_weights_message,
    read_config,
    read_pulled,
    shards_of,
    write_pulled,
)
from detic_crop.detectors.hf.library import INSTALL
from detic_crop.detectors.places import Place, Row
from detic_crop.detectors.records import Records, locked, sha256_of
from detic_crop.detectors.weights import Progress
from detic_crop.errors import UsageError, WeightsError, one_line

_BEGINNING = "hf:"
_ADDRESS = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a model as the hub describes it.

    Attributes:
        name: its name.
        size: bytes.
        sha256: hash of its content; empty if the hub has only `blob`.
        blob: its name in git, see `_git_name`.
    """

    name: str
    size: int
    sha256: str
    blob: str

    def is_at(self, path: Path) -> bool:
        """Return whether a file has the hash that the hub says."""
        if self.sha256:
            return sha256_of(path) == self.sha256
        return _git_name(path) == self.blob


class Hub(Place):
    """The models that were pulled from the hub, and those that can be."""

    def answers_to(self, name: str) -> bool:
        """Return whether the name is one of the hub."""
        return name.startswith(_BEGINNING)

    def parts(self, name: str) -> list[str]:
        """Return the name; see `Place.parts`."""
        _named(name)
        return [name]

    def installed(self) -> list[str]:
        """Return the names of the models that are all there."""
        return [name for name, is_whole in _folders() if is_whole]

    def rows(self) -> list[Row]:
        """Return a row for each model that was pulled, or begun to be."""
        return [_row(name, is_whole) for name, is_whole in _folders()]

    def pull(self, part: str, mirror: str | None, progress: Progress) -> list[str]:
        """Download what a model needs: configuration, processor and safetensors, from one commit.

        Raises:
            UsageError: huggingface_hub is not installed.
            DownloadError: there is no such model, it needs a login, or it cannot be downloaded now; what has
                arrived is kept.
            WeightsError: it is no detector that can be used, or has no safetensors.
            OutputError: the disk is full or the folder cannot be written.
        """
        named = _named(part)
        hub = _hub_library()
        with writing(hub_folder()):
            hub_folder().mkdir(parents=True, exist_ok=True)
        with writing(hub_folder()), locked(named.folder, f"another process is at {named}; waiting for it"):
            if _is_there(named):
                folder = ModelFolder(named.folder, f"hf:{named.id}", named)
                hashes = hashes_of(folder)
                return [_said(folder.path / name, "was there already", hashes[name]) for name in hashes]
            return _pull(hub, named, mirror, progress)

    def verify(self, part: str, with_vocabulary: bool = True) -> list[str]:
        """Hash every file again; see `Place.verify`."""
        named = _named(part)
        if not _is_there(named):
            raise WeightsError("missing_weights", missing_message(named))
        hashes = hashes_of(ModelFolder(named.folder, f"hf:{named.id}", named), always_hash=True)
        return [_said(named.folder / name, "is as it was", sha256) for name, sha256 in hashes.items()]

    def path(self, part: str) -> Path:
        """Return the folder of a model; see `Place.path`."""
        named = _named(part)
        if not _is_there(named):
            raise WeightsError("missing_weights", missing_message(named))
        return named.folder

    def remove(self, part: str, forget: bool) -> list[Path]:
        """Remove a model's folder, and what is unfinished of it."""
        named = _named(part)
        removed = []
        if not hub_folder().is_dir():
            return []
        with writing(hub_folder()), locked(named.folder, f"another process is at {named}; waiting for it"):
            for folder in (named.folder, _unfinished(named)):
                if folder.is_dir():
                    shutil.rmtree(folder)
                    removed.append(folder)
        return removed


def _pull(hub: Any, named: HubName, mirror: str | None, progress: Progress) -> list[str]:
    from detic_crop.detectors.hf.loading import check_detects  # imports torch

    address = (mirror or os.environ.get("HF_ENDPOINT") or _ADDRESS).rstrip("/")
    with _explained(named, address), _quietly(hub):
        info = hub.HfApi(endpoint=address).model_info(
            named.id, revision=named.revision or None, files_metadata=True
        )
    offered = {
        one.rfilename: RemoteFile(
            one.rfilename, one.size or 0, one.lfs.sha256 if one.lfs else "", one.blob_id or ""
        )
        for one in info.siblings
    }
    licence = str((info.card_data or {}).get("license") or "")
    pulled = Pulled(named.id, named.revision, str(info.sha), licence)
    if "config.json" not in offered:
        raise WeightsError(
            "unusable_hf_model",
            f"{named} has no config.json, so it is no model of transformers; its files: "
            f"{', '.join(sorted(offered)[:5]) or 'none'}; pull another one",
        )
    unfinished = _unfinished(named)
    with writing(hub_folder()):
        before = read_pulled(unfinished)
        if before is None or before.commit != pulled.commit:
            shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(exist_ok=True)
        write_pulled(unfinished, pulled)
    get = _Download(hub, named, address, pulled, unfinished, progress)
    try:
        get(offered["config.json"])
        check_detects(str(read_config(unfinished).get("model_type", "")), str(named))
        names = _weights_of(named, offered, get)
    except WeightsError as error:
        if not isinstance(error, DownloadError):  # another try would find the same
            shutil.rmtree(unfinished, ignore_errors=True)
        raise
    wanted = [offered[name] for name in SMALL_FILES if name in offered] + [offered[name] for name in names]
    hashes = {file.name: get(file) for file in wanted}
    return _finish(named, unfinished, hashes, f"{address}/{named.id}, commit {pulled.commit}")


def _weights_of(named: HubName, offered: dict[str, RemoteFile], get: _Download) -> list[str]:
    """Return the names of the files that the weights are in."""
    if WEIGHTS in offered:
        return [WEIGHTS]
    if INDEX not in offered:
        raise WeightsError(
            "missing_weights",
            f"{no_weights_message(str(named), list(offered))}; the hub's own conversion may be at "
            f"hf:{named.id}@refs/pr/NUMBER, see {_ADDRESS}/{named.id}/discussions",
        )
    get(offered[INDEX])
    names = shards_of(get.folder / INDEX)
    lacking = [name for name in names if name not in offered]
    if lacking:
        raise WeightsError(
            "missing_weights", f"{named} lacks {lacking[0]}, which {INDEX} names; pull another revision"
        )
    return [INDEX, *names]


@dataclass(frozen=True, slots=True)
class _Download:
    """Downloads files of one commit into a folder, and holds them against their hashes."""

    hub: Any
    named: HubName
    address: str
    pulled: Pulled
    folder: Path
    progress: Progress

    def __call__(self, file: RemoteFile) -> str:
        """Return the sha256 of the file, which is there now."""
        path = self.folder / file.name
        options: dict[str, Any] = {}
        if "tqdm_class" in inspect.signature(self.hub.hf_hub_download).parameters:
            options["tqdm_class"] = _bar_that_tells(file.name, self.progress)
        with writing(self.folder), _explained(self.named, self.address), _quietly(self.hub):
            self.hub.hf_hub_download(
                self.named.id,
                file.name,
                revision=self.pulled.commit,
                local_dir=self.folder,
                endpoint=self.address,
                **options,
            )
        if not file.is_at(path):
            path.unlink()
            raise DownloadError(
                "not_the_file",
                f"what came as {file.name} has not the hash that {self.address} says; it was removed again: "
                "run the same command once more, or try another --mirror",
            )
        return sha256_of(path)


def _finish(named: HubName, unfinished: Path, hashes: dict[str, str], origin: str) -> list[str]:
    """Give a finished download its name, in place of another revision if there is one."""
    records = Records(unfinished)
    for name, sha256 in hashes.items():
        records.remember(unfinished / name, sha256, origin)
    with writing(hub_folder()):
        shutil.rmtree(unfinished / ".cache", ignore_errors=True)  # of huggingface_hub
        if named.folder.exists():
            shutil.rmtree(named.folder)
        os.replace(unfinished, named.folder)
    return [_said(named.folder / name, "downloaded", sha256) for name, sha256 in hashes.items()]


def _named(name: str) -> HubName:
    named = hub_name(name.removeprefix(_BEGINNING))
    if named is None:
        raise UsageError(
            "unknown_weights",
            f"there are no weights named {name!r}: expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION, "
            "as the hub calls a model",
        )
    return named


def _is_there(named: HubName) -> bool:
    if not (named.folder / "config.json").is_file():
        return False
    pulled = read_pulled(named.folder)
    return not named.revision or (pulled is not None and is_revision(named.revision, pulled))


def _unfinished(named: HubName) -> Path:
    return named.folder.with_name(f"{named.folder.name}.part")


def _folders() -> list[tuple[str, bool]]:
    """Return the name of each model that is here, and whether it is whole."""
    if not hub_folder().is_dir():
        return []
    found = []
    for folder in sorted(hub_folder().iterdir()):
        owner, dashes, rest = folder.name.partition("--")
        if dashes and (folder / "config.json").is_file():
            name = f"hf:{owner}/{rest.removesuffix('.part')}"
            found.append((name, not rest.endswith(".part")))
    return found


def _row(name: str, is_whole: bool) -> Row:
    named = _named(name)
    folder = named.folder if is_whole else _unfinished(named)
    pulled = read_pulled(folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    what = str((read_config(folder).get("architectures") or ["?"])[0])
    return Row(
        name=name,
        installed="yes" if is_whole else "begun",
        bytes=size,
        licence=pulled.licence if pulled else "",
        about=f"{what}, commit {pulled.commit[:12]}" if pulled else f"{what}, put there by hand",
    )


def _said(path: Path, what: str, sha256: str) -> str:
    return f"{path} {what}, sha256 {sha256}"


def _git_name(path: Path) -> str:
    """Return the name that git gives to a file of this content: SHA-1 over a header and the bytes."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _hub_library() -> Any:
    try:
        importlib.import_module("transformers")
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise UsageError(
            "missing_extra",
            f"weights pull hf:… needs huggingface_hub and transformers, which are not both installed "
            f"({one_line(error, 200)}); {INSTALL}",
        ) from error


@contextmanager
def _quietly(hub: Any) -> Iterator[None]:
    """Keep huggingface_hub from writing warnings; errors tell what matters."""
    logging: Any = importlib.import_module("huggingface_hub.utils.logging")
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextmanager
def _explained(named: HubName, address: str) -> Iterator[None]:
    """Turn errors of huggingface_hub into one line."""
    errors: Any = importlib.import_module("huggingface_hub.errors")
    try:
        yield
    except DownloadError:
        raise
    except errors.GatedRepoError as error:
        raise DownloadError(
            "gated_model",
            f"{named} is given only to people who accepted its terms: do that at {_ADDRESS}/{named.id}, then "
            "log in with `hf auth login` or set HF_TOKEN, and run the same command again",
        ) from error
    except (errors.RevisionNotFoundError, errors.RepositoryNotFoundError) as error:
        what = "revision of it" if isinstance(error, errors.RevisionNotFoundError) else "such model"
        raise DownloadError(
            "download_failed",
            f"could not download {named}: {address} has no {what}, or it is private; check the name, or "
            "log in with `hf auth login` or HF_TOKEN",
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise DownloadError(
            "download_failed", f"could not download {named}: HF_HUB_OFFLINE is set; unset it to pull"
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise  # of the disk; `writing` explains it
        raise DownloadError(
            "download_failed",
            f"could not download {named} from {address}: {one_line(_root(error), 200)}; what has come "
            "is kept, and the same command continues",
        ) from error


def _root(error: BaseException) -> BaseException:
    """Return the first cause, which says more than what was made of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _bar_that_tells(file: str, progress: Progress) -> type[Any]:
    """Return a class that huggingface_hub takes for tqdm, and that reports to `progress`."""

    class Bar:
        """Counts bytes."""

        def __init__(self, *args: Any, total: int | None = None, initial: int = 0, **options: Any) -> None:
            self.total = total
            self.n = initial
            progress(file, self.n, self.total)

        def update(self, count: float | None = 1) -> None:
            self.n += int(count or 0)
            progress(file, self.n, self.total)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *error: object) -> None:
            return None

        def __getattr__(self, name: str) -> Any:
            return lambda *args, **options: None

    return Bar
