"""The models that may be chosen: those that are there, and what others are called."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from detic_crop.app.roots import Roots
from detic_crop.detectors.catalogue import catalogue
from detic_crop.detectors.families import FAMILIES
from detic_crop.detectors.lite.taught_file import is_taught_file
from detic_crop.detectors.weights import best_installed, weights_dir

_MOST_TAUGHT = 100
_MOST_LOOKED_AT = 20_000
_MOST_FOLDERS = 200
_DEEPEST = 1


class ModelView(msgspec.Struct):
    """A model that is there.

    Attributes:
        name: value of the setting ``model``.
        about: what it is, in a line.
        is_auto: whether ``auto`` means it.
    """

    name: str
    about: str
    is_auto: bool


class KindView(msgspec.Struct):
    """A kind of models.

    Attributes:
        forms: names as people write them: ``onnx:FILE``.
        about: the kind in words.
        options: settings that go with it.
    """

    forms: list[str]
    about: str
    options: list[str]


class Models(msgspec.Struct):
    """What may be chosen.

    Attributes:
        installed: models that are there.
        kinds: every kind, with those that need a file or a download.
    """

    installed: list[ModelView]
    kinds: list[KindView]


def models_of(roots: Roots) -> Models:
    """Return the models that are there, and the kinds there are.

    Args:
        roots: where files that `teach` wrote are looked for: in a root or one of its folders.
    """
    best, folder = best_installed(), weights_dir()
    found = [ModelView("lite", "the small model that comes with the package", best is None)]
    for entry in catalogue().values():
        if entry.kind != "vocabulary" and (folder / entry.file).is_file():
            found.append(ModelView(entry.name, entry.about, entry.name == best))
    found += [ModelView(f"lite:{path}", "taught from a review", False) for path in _taught(roots)]
    kinds = [KindView(list(f.forms), f.what, sorted(f.options)) for f in FAMILIES]
    return Models(found, kinds)


def _taught(roots: Roots) -> list[str]:
    """Return the files that `teach` wrote; whether they are whole, a run says."""
    found = []
    for path in islice(_files(roots), _MOST_LOOKED_AT):
        if path.endswith(".safetensors"):
            with suppress(OSError, ValueError):
                if is_taught_file(Path(path)):
                    found.append(path)
    return sorted(found)[:_MOST_TAUGHT]


def _files(roots: Roots) -> Iterator[str]:
    """Yield the files in each root and in its folders, but not below these."""
    left = [(root, 0) for root in roots.paths]
    for folder, depth in left:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.is_symlink():
                    continue
                if not entry.is_dir():
                    yield entry.path
                elif depth < _DEEPEST and len(left) < _MOST_FOLDERS and not roots.is_closed(entry.path):
                    left.append((entry.path, depth + 1))
