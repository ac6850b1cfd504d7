"""The file that `detic-crop teach` writes: numbers of a taught `lite`, and what they were fitted on.

A safetensors file with one entry of metadata, JSON: safetensors writes several in any order, and the same
lessons shall give the same file. It has a checksum of the numbers, which safetensors has not, and the hashes
of the weights that it was taught on: it is of no use with others. It names no photo.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from detic_crop.errors import OutputError, WeightsError, one_line

FORMAT = 1
_ENTRY = "detic_crop_taught_lite"
"""Name of the entry of metadata; by it the file is known."""
_LENGTH = 8
"""Bytes at the start of a safetensors file that say how long its header is, the lowest first."""
_MOST_HEADER = 1 << 20
_MOST_BYTES = 64 << 20
"""More than any such file has."""

Numbers = Mapping[str, NDArray[Any]]


class Taught(NamedTuple):
    """What such a file holds.

    Attributes:
        numbers: arrays by name.
        about: what was said about them when it was written.
        base: file name → SHA-256 of the weights that were taught.
        sha256: hash of the file.
    """

    numbers: dict[str, NDArray[Any]]
    about: dict[str, str]
    base: dict[str, str]
    sha256: str


def is_taught_file(path: Path) -> bool:
    """Return whether a file is of this kind, whatever its numbers and version.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return _ENTRY in _metadata(file.read(_LENGTH + _MOST_HEADER))


def write_taught(path: Path, numbers: Numbers, about: Mapping[str, str], base: Mapping[str, str]) -> str:
    """Write the file at once, so that there is an earlier one or all of it; return its SHA-256.

    Args:
        path: where it goes.
        numbers: arrays by name.
        about: what is to be known of them, for people.
        base: file name → SHA-256 of the weights that were taught.

    Raises:
        OutputError: it cannot be written.
    """
    arrays = {name: np.asarray(numbers[name], order="C") for name in sorted(numbers)}
    entry = {
        "format": FORMAT,
        "about": dict(about),
        "base": dict(base),
        "checksum": _checksum(arrays),
    }
    data = safetensors.numpy.save(arrays, {_ENTRY: json.dumps(entry, sort_keys=True)})
    temporary = _temporary(path)
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise _not_written(path, error) from error
    return hashlib.sha256(data).hexdigest()


def require_writable(path: Path) -> None:
    """Make the file that `write_taught` begins with, and remove it: a folder's rights do not tell everything.

    Raises:
        OutputError: no file can be made there.
    """
    temporary = _temporary(path)
    try:
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise _not_written(path, error) from error


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _not_written(path: Path, error: OSError) -> OutputError:
    return OutputError(
        "taught_not_written",
        f"cannot write {path}: {error.strerror or error}; pass another --out",
        out="out",
    )


def read_taught(path: Path, base: Mapping[str, str]) -> Taught:
    """Read such a file.

    Args:
        path: the file.
        base: file name → SHA-256 of the weights that are installed.

    Raises:
        WeightsError: it is not there, not of this kind, damaged, or was taught on other weights.
    """
    data = _read(path)
    metadata = _metadata(data)
    if _ENTRY not in metadata:
        raise _other_file(path)
    try:
        numbers = safetensors.numpy.load(data)
    except Exception as error:  # its own, and what numpy says of kinds of numbers that it does not know
        raise _damaged(path, one_line(error, 200)) from error
    try:
        entry = json.loads(metadata[_ENTRY])
        format = int(entry["format"])
        about = {str(name): str(value) for name, value in entry["about"].items()}
        taught_on = {str(name): str(value) for name, value in entry["base"].items()}
        checksum = str(entry["checksum"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise _damaged(path, one_line(error, 200)) from error
    if format != FORMAT:
        raise WeightsError(
            "other_taught_format",
            f"{path} was written by another version of detic-crop (format {format}, expected {FORMAT}); use "
            "that version, or teach again",
        )
    if checksum != _checksum(numbers):
        raise _damaged(path, "its numbers are not those that were written")
    if taught_on != dict(base):
        raise WeightsError(
            "other_base",
            f"{path} was taught on other weights of lite (detic-crop {about.get('version', '?')}) than are "
            "installed here; run `detic-crop teach` again with this version, or use that one",
        )
    return Taught(numbers, about, taught_on, hashlib.sha256(data).hexdigest())


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise WeightsError(
            "missing_weights",
            f"expected a file of `detic-crop teach` at {path}, got nothing there; check the path",
        ) from error
    except (OSError, ValueError) as error:
        raise WeightsError(
            "unreadable_weights",
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}; expected a file of "
            "`detic-crop teach`; check the path",
        ) from error
    if len(data) > _MOST_BYTES:
        raise _other_file(path)
    return data


def _metadata(data: bytes) -> dict[str, Any]:
    """Return the metadata of a safetensors file that begins with these bytes; nothing of any other file."""
    length = int.from_bytes(data[:_LENGTH], "little")
    if length > _MOST_HEADER:
        return {}
    try:
        header = json.loads(data[_LENGTH : _LENGTH + length])
    except (ValueError, RecursionError):
        return {}
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _other_file(path: Path) -> WeightsError:
    return WeightsError(
        "not_taught",
        f"expected a file that `detic-crop teach` wrote, got {path}, which it did not write; pass the file "
        "of its --out: --model lite:FILE",
        out="out",
    )


def _damaged(path: Path, why: str) -> WeightsError:
    return WeightsError("damaged_weights", f"{path} is damaged ({why}); copy it again, or teach again")


def _checksum(numbers: Numbers) -> str:
    """Return a SHA-256 over names, kinds, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(numbers):
        array = np.asarray(numbers[name], order="C")
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
