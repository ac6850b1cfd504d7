"""Damage to the bytes of a file: by chance, by lines, and by values of JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

# Values that no field expects: other types, numbers at every edge, texts that lead elsewhere.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**400),
    *(float("nan"), float("inf"), float("-inf")),
    *("", "x", "0", "-1", "\0", "\n", "\r\n", '"', "é", "\ud800", "../../up.jpg", "/etc/passwd", "x" * 5000),
    *([], [[]], [None], {}, {"": ""}, [0] * 300, ["a", 1, None], {"image": "x", "status": "cropped"}),
)


def mutate(random: random.Random, data: bytes) -> tuple[str, bytes]:
    """Return what was done, and the damaged bytes; mostly one thing, sometimes several."""
    names = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        name = random.choice(list(MUTATIONS))
        data = MUTATIONS[name](random, data)
        names.append(name)
    return " + ".join(names), data


def flip_bit(random: random.Random, data: bytes) -> bytes:
    """One bit."""
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _set_byte(random: random.Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return (
        data[:at]
        + random.choice((b"\0", b"\n", b'"', b",", b"\xff", b"9", b"-", b"{", b"]"))
        + data[at + 1 :]
    )


def _insert(random: random.Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.randbytes(random.choice((1, 3, 100))) + data[at:]


def _cut_out(random: random.Random, data: bytes) -> bytes:
    start, stop = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    return data[:start] + data[stop:]


def _truncate(random: random.Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _duplicate_part(random: random.Random, data: bytes) -> bytes:
    start, stop = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    return data[:stop] + data[start:stop] + data[stop:]


def _lines(change: Callable[[random.Random, list[bytes]], None]) -> Callable[[random.Random, bytes], bytes]:
    def changed(random: random.Random, data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        if lines:
            change(random, lines)
        return b"".join(lines)

    return changed


@_lines
def _duplicate_line(random: random.Random, lines: list[bytes]) -> None:
    lines.insert(random.randrange(len(lines) + 1), random.choice(lines))


@_lines
def _delete_line(random: random.Random, lines: list[bytes]) -> None:
    del lines[random.randrange(len(lines))]


@_lines
def _shuffle_lines(random: random.Random, lines: list[bytes]) -> None:
    random.shuffle(lines)


@_lines
def _nest(random: random.Random, lines: list[bytes]) -> None:
    depth = random.choice((50, 5000, 200_000))
    lines[random.randrange(len(lines))] = (
        b'{"image":' * depth + b"\n" if random.random() < 0.5 else b"[" * depth
    )


@_lines
def _odd_json(random: random.Random, lines: list[bytes]) -> None:
    """Another value somewhere in one line that is JSON; of a file that is one document, in that."""
    at = random.randrange(len(lines))
    if (value := _parsed(b"".join(lines))) is not None:
        lines[:] = [_odd(random, value)]
    elif (value := _parsed(lines[at])) is not None:
        lines[at] = _odd(random, value) + b"\n"


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _odd(random: random.Random, value: Any) -> bytes:
    places: list[tuple[Any, Any]] = []
    _find_places(value, places)
    if places:
        container, key = random.choice(places)
        choice = random.random()
        if choice < 0.1:
            del container[key]
        elif choice < 0.2 and isinstance(container, dict):
            container["new"] = container.pop(key)
        elif choice < 0.3:  # what another place has
            other, there = random.choice(places)
            container[key] = json.loads(json.dumps(other[there]))
        else:
            container[key] = random.choice(ODD_VALUES)
    else:
        value = random.choice(ODD_VALUES)
    return json.dumps(value, ensure_ascii=random.random() < 0.5).encode(errors="surrogatepass")


def _find_places(value: Any, places: list[tuple[Any, Any]]) -> None:
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        places.append((value, key))
        _find_places(value[key], places)


def _odd_cell(random: random.Random, data: bytes) -> bytes:
    """Another value in one cell of a table; commas in quotes are not looked for."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    cells = lines[at].split(b",")
    odd = str(random.choice(ODD_VALUES)).encode(errors="surrogatepass")
    cells[random.randrange(len(cells))] = odd
    lines[at] = b",".join(cells)
    return b"\n".join(lines)


MUTATIONS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "bit flipped": flip_bit,
    "byte changed": _set_byte,
    "bytes inserted": _insert,
    "bytes cut out": _cut_out,
    "truncated": _truncate,
    "part doubled": _duplicate_part,
    "line doubled": _duplicate_line,
    "line deleted": _delete_line,
    "lines shuffled": _shuffle_lines,
    "nested": _nest,
    "odd JSON": _odd_json,
    "odder JSON": _odd_json,
    "oddest JSON": _odd_json,
    "odd cell": _odd_cell,
    "emptied": lambda random, data: b"",
    "binary": lambda random, data: random.randbytes(500),
    "zeros": lambda random, data: bytes(len(data)),
    "not UTF-8": lambda random, data: data.replace(b"a", b"\xe9\xff", random.randrange(1, 4)),
    "UTF-16": lambda random, data: data.decode(errors="replace").encode("utf-16"),
    "CRLF": lambda random, data: data.replace(b"\n", b"\r\n"),
    "byte order mark": lambda random, data: b"\xef\xbb\xbf" + data,
    "no final newline": lambda random, data: data.rstrip(b"\n"),
    "long line": lambda random, data: data + b'{"image":"' + b"x" * 3_000_000 + b'"}\n',
}
