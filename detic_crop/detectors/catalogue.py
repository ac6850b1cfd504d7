"""The files that can be pulled: what `catalogue.toml` says, typed."""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias
from urllib.parse import quote, urlsplit

from detic_crop.detectors.lite import package as lite_package
from detic_crop.errors import UsageError

Kind: TypeAlias = Literal["model", "torchvision", "vocabulary"]

VOCABULARIES = "vocabularies"
"""Stands for every vocabulary wherever a name is asked for."""
TORCHVISION = "torchvision:"
"""Begins the name of a model whose code torchvision has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One downloadable file: a model's checkpoint or a vocabulary's embeddings.

    Attributes:
        name: name as a user types it.
        kind: ``model`` is Detic, ``torchvision`` one of COCO's classes, ``vocabulary`` is for Detic.
        about: one phrase for a person.
        file: the published file name, which is also its name in the folder.
        address: address at which the file is published.
        licence: SPDX identifier.
        size: bytes, None when not published.
        about_bytes: an estimate where `size` is None.
        sha256: None when not published.
        vocabulary: name of the vocabulary that a model takes by default.
        conf: default ``--conf`` of a model.
        speed_ms: published time per photo; see the catalogue for the settings.
        lvis_box_ap: published accuracy under the same settings.
    """

    name: str
    kind: Kind
    about: str
    file: str
    address: str
    licence: str
    size: int | None = None
    about_bytes: int | None = None
    sha256: str | None = None
    vocabulary: str | None = None
    conf: float | None = None
    speed_ms: float | None = None
    lvis_box_ap: float | None = None

    @property
    def architecture(self) -> str:
        """Torchvision's name of the model."""
        return self.name.removeprefix(TORCHVISION)

    @property
    def sha256_start(self) -> str:
        """First digits of the hash, in which torchvision's file names end; empty for other files."""
        return Path(self.file).stem.rpartition("-")[2] if self.kind == "torchvision" else ""

    def address_at(self, mirror: str | None) -> str:
        """Return where to get the file: as published, or the same file name below a mirror.

        Raises:
            UsageError: the mirror is not a plain http or https address.
        """
        if not mirror:
            return self.address
        check_mirror(mirror)
        # "+" must be quoted: some object stores read it as a space.
        return f"{mirror.rstrip('/')}/{quote(self.file)}"


@functools.cache
def catalogue() -> Mapping[str, ModelEntry]:
    """Return every entry by its name: Detic's models, best first, then COCO models, then vocabularies."""
    tables = tomllib.loads(files("detic_crop.detectors").joinpath("catalogue.toml").read_text("utf-8"))
    entries = [_entry(name, "model", values) for name, values in tables["models"].items()]
    for name, values in tables["torchvision"].items():
        entries.append(_entry(TORCHVISION + name, "torchvision", values))
    entries += [_entry(name, "vocabulary", values) for name, values in tables["vocabularies"].items()]
    return MappingProxyType({entry.name: entry for entry in entries})


def named(name: str) -> list[ModelEntry]:
    """Return the entries a name stands for: one, or all vocabularies.

    Raises:
        UsageError: there is none of that name; lists close ones.
    """
    known = catalogue()
    if name == lite_package.NAME:
        raise UsageError("lite_not_pulled", "lite came with this package; nothing of it is pulled or removed")
    if name == VOCABULARIES:
        return [entry for entry in known.values() if entry.kind == "vocabulary"]
    if name not in known:
        names = [lite_package.NAME, *known, VOCABULARIES]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            "unknown_weights", f"there are no weights named {name!r}; {meant}known: {', '.join(names)}"
        )
    return [known[name]]


def check_mirror(mirror: str) -> None:
    """Refuse what cannot be the beginning of a file's address.

    Raises:
        UsageError: expected, got.
    """
    try:
        parts = urlsplit(mirror)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number, an unclosed [
        usable = False
        parts = urlsplit("")
    if not usable or parts.query or parts.fragment or "@" in parts.netloc or set(mirror) & set(" \t\r\n"):
        raise UsageError(
            "bad_value",
            "--mirror must be an http:// or https:// address without a password, ? or #, "
            f"to which a file name is added, got {mirror!r}; files that you have already need no mirror: "
            "copy them into the folder that `detic-crop weights path` prints",
        )


def _entry(name: str, kind: Kind, values: dict[str, Any]) -> ModelEntry:
    return ModelEntry(name=name, kind=kind, size=values.pop("bytes", None), **values)
