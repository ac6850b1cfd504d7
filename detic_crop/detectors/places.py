"""Where weights come from: the packages, the catalogue and the hub, behind one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from detic_crop.detectors import weights
from detic_crop.detectors.catalogue import VOCABULARIES, ModelEntry, catalogue, named
from detic_crop.detectors.lite import package as lite_package
from detic_crop.detectors.weights import Progress
from detic_crop.errors import UsageError, WeightsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What `weights list` says of a model.

    Attributes:
        name: name as a user types it.
        installed: ``yes``, ``no`` or how far it is.
        bytes: size of its files.
        is_estimate: the size is not known exactly.
        licence: SPDX identifier, or what the publisher says.
        speed_ms: published time per photo.
        box_ap: published accuracy.
        about: one phrase for a person.
    """

    name: str
    installed: str
    bytes: int
    is_estimate: bool = False
    licence: str = ""
    speed_ms: float | None = None
    box_ap: float | None = None
    about: str = ""


class Place(ABC):
    """A place of weights. What was done to a file is told as a sentence."""

    @abstractmethod
    def answers_to(self, name: str) -> bool:
        """Return whether a name is for this place to judge."""

    @abstractmethod
    def parts(self, name: str) -> list[str]:
        """Return the single models or vocabularies that a name stands for.

        Raises:
            UsageError: there is none of that name.
        """

    @abstractmethod
    def installed(self) -> list[str]:
        """Return the names of what is here, for a check of everything."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """Return a row for each model to list."""

    @abstractmethod
    def pull(self, part: str, mirror: str | None, progress: Progress) -> list[str]:
        """Download what is not there yet; return a sentence for each file."""

    @abstractmethod
    def verify(self, part: str, with_vocabulary: bool = True) -> list[str]:
        """Hash every file again; return a sentence for each.

        Raises:
            WeightsError: a file is missing, damaged, or is not what it was.
        """

    @abstractmethod
    def path(self, part: str) -> Path:
        """Return where it is.

        Raises:
            WeightsError: it is not there.
        """

    @abstractmethod
    def remove(self, part: str, forget: bool) -> list[Path]:
        """Remove it; return what was removed."""

    def check_removable(self, name: str) -> None:
        """Refuse to remove what was not pulled.

        Raises:
            UsageError: says how to remove it, or that there is no such name.
        """
        self.parts(name)


class Package(Place):
    """`lite`, which pip installs."""

    def answers_to(self, name: str) -> bool:
        return name == lite_package.NAME

    def parts(self, name: str) -> list[str]:
        return [name]

    def installed(self) -> list[str]:
        return []  # pip answers for it

    def rows(self) -> list[Row]:
        try:
            there = lite_package.weights_path().exists()
        except WeightsError:
            there = False
        return [
            Row(
                name=lite_package.NAME,
                installed="yes" if there else "no",
                bytes=lite_package.WEIGHTS_BYTES,
                licence=lite_package.LICENCE,
                about="a small network that finds marine mammals; came with this package",
            )
        ]

    def pull(self, part: str, mirror: str | None, progress: Progress) -> list[str]:
        return [f"lite is not pulled, it came with this package: {lite_package.weights_path()}"]

    def verify(self, part: str, with_vocabulary: bool = True) -> list[str]:
        place = lite_package.weights_path()
        lite_package.read_weights(place)
        return [f"{place} is as it was, sha256 {lite_package.WEIGHTS_SHA256}"]

    def path(self, part: str) -> Path:
        return lite_package.weights_path()

    def remove(self, part: str, forget: bool) -> list[Path]:
        self.check_removable(part)
        return []

    def check_removable(self, name: str) -> None:
        raise UsageError(
            "lite_not_pulled",
            "lite came with this package and stays; it is a Python package of its own, removed by: "
            f"pip uninstall {lite_package.DISTRIBUTION}",
        )


class Catalogue(Place):
    """The files of `catalogue.toml`, in the folder of the weights."""

    def answers_to(self, name: str) -> bool:
        return True  # a name that nobody else knows is refused here, with close ones

    def parts(self, name: str) -> list[str]:
        return [entry.name for entry in named(name)]

    def installed(self) -> list[str]:
        folder = weights.weights_dir()
        return [entry.name for entry in catalogue().values() if (folder / entry.file).exists()]

    def rows(self) -> list[Row]:
        folder = weights.weights_dir()
        return [_row(entry, folder) for entry in catalogue().values()]

    def pull(self, part: str, mirror: str | None, progress: Progress) -> list[str]:
        return [
            f"{file.path} {'downloaded' if file.downloaded else 'was there already'}, sha256 {file.sha256}"
            for file in weights.pull(part, mirror=mirror, progress=progress)
        ]

    def verify(self, part: str, with_vocabulary: bool = True) -> list[str]:
        folder = weights.weights_dir()
        found = weights.verify(part, folder=folder, with_vocabulary=with_vocabulary)
        return [f"{folder / file} is as it was, sha256 {sha256}" for file, sha256 in found.sha256.items()]

    def path(self, part: str) -> Path:
        file = weights.weights_dir() / catalogue()[part].file
        if not file.exists():
            raise WeightsError("missing_weights", weights.missing_message(part, with_vocabulary=False))
        return file

    def remove(self, part: str, forget: bool) -> list[Path]:
        return weights.remove(part, forget_hash=forget)


def places() -> list[Place]:
    """Return every place of weights, in the order in which they are asked for a name."""
    from detic_crop.detectors.hf.hub import Hub

    return [Package(), Hub(), Catalogue()]


def place_of(name: str) -> Place:
    """Return the place that a name is for."""
    return next(place for place in places() if place.answers_to(name))


def known_names() -> list[str]:
    """Return what can be pulled, as people write it."""
    return [*catalogue(), VOCABULARIES, "hf:OWNER/NAME"]


def _row(entry: ModelEntry, folder: Path) -> Row:
    file = folder / entry.file
    size = file.stat().st_size if file.exists() else entry.size
    return Row(
        name=entry.name,
        installed=_state(entry, folder),
        bytes=size if size is not None else entry.about_bytes or 0,
        is_estimate=size is None,
        licence=entry.licence,
        speed_ms=entry.speed_ms,
        box_ap=entry.lvis_box_ap,
        about=entry.about,
    )


def _state(entry: ModelEntry, folder: Path) -> str:
    if not (folder / entry.file).exists():
        begun = weights.unfinished_download(entry, folder)
        if begun is None:
            return "no"
        there, total = begun
        return f"{there / total:.0%} pulled" if total else "begun"
    if entry.vocabulary and not (folder / catalogue()[entry.vocabulary].file).exists():
        return f"lacks {entry.vocabulary}"
    return "yes"
