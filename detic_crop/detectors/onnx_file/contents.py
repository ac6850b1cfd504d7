"""What an ONNX file says of itself, read without running it: metadata, operators, files of weights beside it.

An ONNX file is one message of protobuf. Its wire format: https://protobuf.dev/programming-guides/encoding/;
the numbers of the fields: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Weights are stepped over.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from detic_crop.detectors.records import sha256_of
from detic_crop.errors import WeightsError

_MOST_BYTES = 2**31 - 1
"""A message of protobuf may not be longer; larger models keep their weights in files beside it."""
_MOST_DEPTH = 20  # of graphs within graphs; real ones have three
_MOST_TEXT = 1 << 20
_ZIP = b"PK\x03\x04"
_VARINT, _EIGHT, _TEXT, _FOUR = 0, 1, 2, 5
_STANDARD = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "org.pytorch.aten")
_EXTERNAL = 1


@dataclass(slots=True)
class Contents:
    """
    Attributes:
        metadata: what the exporter wrote into the file, key → text.
        foreign: operators that onnxruntime does not have by itself, ``domain.name``.
        external: files, relative to the folder of the file, that hold weights.
        opset: version of ONNX's own operators; 0 if it is not said.
        nodes: number of operators.
    """

    metadata: dict[str, str] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    external: set[str] = field(default_factory=set)
    opset: int = 0
    nodes: int = 0


def read_contents(path: Path) -> Contents:
    """Return what the file says of itself.

    Raises:
        WeightsError: it cannot be read, is not an ONNX file, is cut off, or is too large to be loaded.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            if size > _MOST_BYTES:
                raise unusable(
                    path,
                    f"expected at most 2 GB in one file, got {size} bytes; export it with its weights in a "
                    "file beside it (external data)",
                )
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except FileNotFoundError as error:
        raise WeightsError(
            "missing_weights", f"expected an ONNX file at {path}, got nothing there; check the path"
        ) from error
    except IsADirectoryError as error:
        raise unusable(path, f"expected an ONNX file, got the folder {path}; pass the file in it") from error
    except OSError as error:
        raise WeightsError(
            "unreadable_weights", f"cannot read {path}: {error.strerror or error}; check its rights"
        ) from error
    if data[:4] == _ZIP:
        raise unusable(
            path,
            "expected an ONNX file, got a zip file, as PyTorch's checkpoints are; export the model as ONNX, "
            "see docs/models.md",
        )
    contents = Contents()
    try:
        _read_model(memoryview(data), contents)
    except ValueError as error:
        raise unusable(
            path, f"expected an ONNX file, got one that is damaged, cut off or of another kind ({error})"
        ) from error
    if not contents.nodes:
        raise unusable(path, "expected an ONNX file, got one without a graph of operators")
    return contents


def external_files(path: Path, contents: Contents) -> list[Path]:
    """Return the files of weights beside the file, in order.

    Raises:
        WeightsError: one is not there, or is not in the folder of the file.
    """
    folder = path.parent.resolve()
    found = []
    for name in sorted(contents.external):
        other = (folder / name).resolve()
        if not other.is_relative_to(folder) or Path(name).is_absolute():
            raise unusable(
                path,
                f"its weights are said to be in {name!r:.200}, outside of its folder; export it again",
            )
        if not other.is_file():
            raise WeightsError(
                "missing_weights",
                f"{path.name} has its weights in {name!r:.200}, which is not here; put that file beside it",
            )
        found.append(folder / name)
    return found


def hashes_of(path: Path, others: list[Path]) -> dict[str, str]:
    """Return file name → SHA-256 of the file and of those beside it."""
    folder = path.parent.resolve()
    beside = {other.relative_to(folder).as_posix(): sha256_of(other) for other in others}
    return {path.name: sha256_of(path), **beside}


def unusable(path: Path, why: str) -> WeightsError:
    """Return the error of a file that is there but cannot be used."""
    return WeightsError("unusable_onnx_file", f"{path.name}: {why}")


def _read_model(data: memoryview, found: Contents) -> None:
    for number, value in _fields(data):
        if number == 7:  # graph
            _read_graph(_message(value), found, 0)
        elif number == 8:  # opset_import: domain, version
            parts = dict(_fields(_message(value)))
            version = parts.get(2)
            if isinstance(version, int) and _text(parts.get(1, b"")) in ("", "ai.onnx"):
                found.opset = version
        elif number == 14:  # metadata_props: key, value
            parts = dict(_fields(_message(value)))
            found.metadata[_text(parts.get(1, b""))] = _text(parts.get(2, b""))
        elif number == 25:  # functions of the file's own
            own = dict(_fields(_message(value)))
            for part, node in _fields(_message(value)):
                if part == 7:
                    _read_node(_message(node), found, 1)
            found.foreign.discard(_operator(own.get(10, b""), own.get(1, b"")))


def _read_graph(data: memoryview, found: Contents, depth: int) -> None:
    if depth > _MOST_DEPTH:
        raise ValueError(f"graphs within graphs, more than {_MOST_DEPTH} deep")
    for number, value in _fields(data):
        if number == 1:
            _read_node(_message(value), found, depth)
        elif number == 5:
            _read_tensor(_message(value), found)
        elif number == 15:
            _read_sparse(_message(value), found)


def _read_node(data: memoryview, found: Contents, depth: int) -> None:
    found.nodes += 1
    name: memoryview | bytes | int = b""
    domain: memoryview | bytes | int = b""
    for number, value in _fields(data):
        if number == 4:
            name = value
        elif number == 7:
            domain = value
        elif number == 5:  # attribute: tensors and graphs of its own
            for part, held in _fields(_message(value)):
                if part in (5, 10):
                    _read_tensor(_message(held), found)
                elif part in (6, 11):
                    _read_graph(_message(held), found, depth + 1)
                elif part in (22, 23):
                    _read_sparse(_message(held), found)
    if _text(domain) not in _STANDARD:
        found.foreign.add(_operator(domain, name))


def _read_sparse(data: memoryview, found: Contents) -> None:
    for _, tensor in _fields(data):
        if isinstance(tensor, memoryview):
            _read_tensor(tensor, found)


def _read_tensor(data: memoryview, found: Contents) -> None:
    location, entries = 0, {}
    for number, value in _fields(data):
        if number == 14 and isinstance(value, int):
            location = value
        elif number == 13:
            entry = dict(_fields(_message(value)))
            entries[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
    if location == _EXTERNAL:
        found.external.add(entries.get("location", ""))


def _operator(domain: memoryview | bytes | int, name: memoryview | bytes | int) -> str:
    return f"{_text(domain)}.{_text(name)}".lstrip(".")


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _text(value: memoryview | bytes | int) -> str:
    if isinstance(value, int):
        raise ValueError("a number where a text belongs")
    return bytes(value[:_MOST_TEXT]).decode("utf-8", "replace")


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield the fields of a message: number, and bytes or a whole number."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _TEXT:
            length, at = _varint(data, at)
        elif kind in (_EIGHT, _FOUR):
            length = 8 if kind == _EIGHT else 4
        else:
            raise ValueError(f"byte {at} begins no field")
        if not number or length > len(data) - at:
            raise ValueError(f"a field of {length} bytes, of which {len(data) - at} are there")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number that does not end")
