"""The folder of a model: where it is, which of its files its answers depend on, and their hashes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from detic_crop.detectors.records import Records, sha256_of
from detic_crop.detectors.weights import weights_dir
from detic_crop.errors import UsageError, WeightsError

SMALL_FILES = (
    *("config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"),
)
"""What transformers reads of a detector beside its weights."""

_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
"""Files of which a tokenizer needs one."""

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
"""Says which files the weights are in, if there are several."""

_PULLED = "pulled.json"
_ID = re.compile(
    r"(?P<id>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@(?P<revision>[A-Za-z0-9][\w./-]{0,200}))?"
)


@dataclass(frozen=True, slots=True)
class HubName:
    """A model of the hub.

    Attributes:
        id: ``OWNER/NAME``.
        revision: branch, tag or commit; empty if none was named.
    """

    id: str
    revision: str = ""

    @property
    def folder(self) -> Path:
        """Where `pull` puts it."""
        return hub_folder() / self.id.replace("/", "--")

    def __str__(self) -> str:
        return f"hf:{self.id}@{self.revision}" if self.revision else f"hf:{self.id}"


class Pulled(msgspec.Struct, frozen=True):
    """What is recorded of a pulled model.

    Attributes:
        id: ``OWNER/NAME``.
        revision: branch, tag or commit that was asked for; empty: the main one.
        commit: the commit that it was.
        licence: as the hub says; empty if it does not.
    """

    id: str
    revision: str
    commit: str
    licence: str = ""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's files on this machine.

    Attributes:
        path: the folder.
        name: what a run records, ``hf:OWNER/NAME`` or ``hf:FOLDERNAME``.
        hub_name: what it was pulled as; None for a folder of the user.
    """

    path: Path
    name: str
    hub_name: HubName | None = None


def hub_folder() -> Path:
    """Return the folder of all pulled models."""
    return weights_dir() / "hf"


def hub_name(text: str) -> HubName | None:
    """Return the model of the hub that ``OWNER/NAME`` or ``OWNER/NAME@REVISION`` means; None if neither."""
    found = _ID.fullmatch(text)
    return HubName(found["id"], found["revision"] or "") if found else None


def is_path(text: str) -> bool:
    """Return whether what follows ``hf:`` is a path of this machine, rather than a model of the hub."""
    return hub_name(text) is None or os.path.isdir(os.path.expanduser(text))


def find_folder(text: str) -> ModelFolder:
    """Return the folder that is meant by what follows ``hf:``.

    Raises:
        UsageError: there is no such folder, or it is not one of transformers.
        WeightsError: the model has not been pulled.
    """
    if not text.strip():
        raise UsageError(
            "no_hf_path", "expected a folder or OWNER/NAME of the hub after hf:, got nothing; write hf:FOLDER"
        )
    if text.startswith(("http://", "https://")):
        raise UsageError(
            "no_hf_folder",
            f"--model hf:{text}: expected a folder or OWNER/NAME, got an address; write hf:OWNER/NAME",
        )
    named = hub_name(text)
    if named is None or is_path(text):
        return _own_folder(Path(os.path.abspath(os.path.expanduser(text))))
    pulled = read_pulled(named.folder)
    if pulled is None and not (named.folder / "config.json").is_file():
        raise WeightsError("missing_weights", missing_message(named))
    if named.revision and pulled and not is_revision(named.revision, pulled):
        raise WeightsError(
            "missing_weights",
            f"{named} is not pulled: here is {pulled.revision or 'the main revision'}, commit "
            f"{pulled.commit}; run `detic-crop weights pull {named}`, which takes its place",
        )
    return ModelFolder(named.folder, f"hf:{named.id}", named)


def missing_message(named: HubName) -> str:
    """Return what to do where a model has not been pulled; one line."""
    return (
        f"{named} is neither a folder here nor pulled; run `detic-crop weights pull {named}`, or without a "
        f"network put config.json, the processor's files and {WEIGHTS} into {named.folder}"
    )


def read_pulled(folder: Path) -> Pulled | None:
    """Return what is recorded of a pulled model; None if `pull` did not make the folder."""
    try:
        return msgspec.json.decode((folder / _PULLED).read_bytes(), type=Pulled)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None


def write_pulled(folder: Path, pulled: Pulled) -> None:
    """Record where a model came from."""
    (folder / _PULLED).write_bytes(msgspec.json.encode(pulled))


def is_revision(revision: str, pulled: Pulled) -> bool:
    """Return whether a branch, tag or commit, or the beginning of one, is what was pulled."""
    return revision == pulled.revision or (len(revision) >= 7 and pulled.commit.startswith(revision))


def model_files(folder: Path) -> list[str]:
    """Return the names of the files that the answers depend on, those there are.

    Raises:
        WeightsError: the weights are missing, or only there as a pickle.
    """
    there = [name for name in SMALL_FILES if (folder / name).is_file()]
    if (folder / WEIGHTS).is_file():
        return [*there, WEIGHTS]
    if (folder / INDEX).is_file():
        names = shards_of(folder / INDEX)
        for name in names:
            if not (folder / name).is_file():
                raise WeightsError(
                    "missing_weights", f"{folder} lacks {name}, which {INDEX} names; copy it there, too"
                )
        return [*there, INDEX, *names]
    raise WeightsError("missing_weights", no_weights_message(str(folder), os.listdir(folder)))


def no_weights_message(where: str, files: Sequence[str]) -> str:
    """Return why there are no weights that can be used, given all files that there are; one line."""
    pickles = sorted(name for name in files if name.endswith((".bin", ".pt", ".pth")))
    if pickles:
        return (
            f"{where} has its weights as a pickle only ({pickles[0]}), and reading one may run a program; "
            "if you trust it, load it in Python, e.g. with AutoModelForObjectDetection.from_pretrained, and "
            f"write {WEIGHTS} with its save_pretrained"
        )
    return f"{where} has no {WEIGHTS}; write it with the model's save_pretrained"


def shards_of(index: Path) -> list[str]:
    """Return the weights files that an index names.

    Raises:
        WeightsError: it cannot be read, or names a file elsewhere.
    """
    try:
        mapping = msgspec.json.decode(index.read_bytes(), type=dict[str, Any])["weight_map"]
        names = sorted(set(mapping.values()))
    except (OSError, msgspec.MsgspecError, RecursionError, KeyError, AttributeError, TypeError) as error:
        raise WeightsError(
            "damaged_weights", f"{index} is damaged ({error or type(error).__name__}); get it again"
        ) from error
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise WeightsError(
                "damaged_weights", f"{index} names {name!r}, expected files beside it; get it again"
            )
    return names


def check_has_tokenizer(folder: Path) -> None:
    """Refuse a folder without a tokenizer: transformers would make one to which all words are unknown.

    Raises:
        WeightsError: says which file is missing.
    """
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        raise WeightsError(
            "unusable_hf_model",
            f"{folder} has no tokenizer ({_VOCABULARIES[0]}), without which the words to look for cannot be "
            "read; save it into the folder, too, e.g. with AutoProcessor.from_pretrained and save_pretrained",
        )


def read_config(folder: Path) -> dict[str, Any]:
    """Return the `config.json` of a model.

    Raises:
        WeightsError: it is not there, or no JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
        if not isinstance(config, dict):
            raise ValueError("expected an object")
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError("damaged_weights", f"{path} cannot be read ({error}); get it again") from error
    return config


def hashes_of(folder: ModelFolder, *, always_hash: bool = False) -> dict[str, str]:
    """Return file name → sha256 of every file that the answers depend on.

    A file is hashed only if its size or time is not as when it was hashed before. A pulled one must be what
    it was; a folder of the user is as it is.

    Raises:
        WeightsError: a file is missing, cannot be read, or is not what was pulled.
    """
    records = _records_of(folder)
    hashes = {}
    for name in model_files(folder.path):
        path = folder.path / name
        record = records.get(name)
        try:
            known = record is not None and not always_hash and records.untouched(path)
            sha256 = record.sha256 if record and known else sha256_of(path)
        except OSError as error:
            raise WeightsError(
                "unreadable_weights",
                f"cannot read {path}: {error.strerror or error}; check its rights and the disk",
            ) from error
        if folder.hub_name and record and sha256 != record.sha256:
            raise WeightsError(
                "damaged_weights",
                f"{path} has sha256 {sha256}, expected {record.sha256} as on {record.since}, when it was "
                f"first seen ({record.origin}); get it again: `detic-crop weights rm {folder.name}`, then "
                f"`detic-crop weights pull {folder.name}`",
            )
        if not known:
            records.remember(path, sha256, "put there by hand")
        hashes[name] = sha256
    return hashes


def _own_folder(path: Path) -> ModelFolder:
    if not path.is_dir():
        raise UsageError(
            "no_hf_folder",
            f"--model hf:{path}: there is no such folder; pass the folder that save_pretrained wrote, or "
            "OWNER/NAME of a model that was pulled",
        )
    if not (path / "config.json").is_file():
        inside = sorted(found.parent.name for found in path.glob("*/config.json"))
        hint = f"; did you mean the folder {inside[0]} in it?" if inside else ""
        raise UsageError(
            "no_hf_folder",
            f"--model hf:{path}: expected a folder that save_pretrained wrote, this one has no config.json"
            f"{hint or '; pass the one that has'}",
        )
    return ModelFolder(path, f"hf:{path.name}")


def _records_of(folder: ModelFolder) -> Records:
    """Return where hashes are remembered: beside pulled files, but never in a folder of the user."""
    if folder.hub_name:
        return Records(folder.path)
    key = hashlib.sha256(os.fsencode(folder.path)).hexdigest()[:16]
    return Records(hub_folder() / ".seen" / key)
