"""Requests as bytes, to a server that a test looks at: right ones, and ones that no client would send."""

from __future__ import annotations

import contextlib
import random
import re
import select
import socket
from collections.abc import Iterator, Sequence

LONG = 60.0
"""Seconds that are never needed."""

BAD_HOSTS = (
    *("evil@localhost", "localhost#x", "localhost/x", "localhost?x", "localhost:x", "localhost:99999999"),
    *("[::1", "[localhost]", "::1", "127.0.0.1 evil", "localhost,evil.example", "x" * 300, "."),
)
"""Hosts that only look like ours."""

BAD_ORIGINS = (
    *("http://[::1", "http://[", "null", "\xff\xfe", "http://evil@127.0.0.1", "x" * 20_000, "//"),
    "http://a]",
)

ODD_METHODS = ("PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH", "PROPFIND", "X" * 500)

_PIECES = (
    *(b"\0", b"\r\n", b"%00", b"%ff%fe", b"[", b"]", b"@", b"#", b"../", b"//", b"\xff", b"\xc3\xa9"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Expect: 100-continue\r\n"),
    *(b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Host: a\r\n", b"Range: bytes=0-\r\n"),
    *(b"[" * 3000, b'{"a":' * 900, b"NaN", b"1e999", b"\\ud800", b'"', b"9" * 400, b"\xed\xa0\x80", b"?"),
)


def opened(port: int, data: bytes = b"") -> socket.socket:
    """A connection that has sent some bytes."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=LONG)
    with contextlib.suppress(OSError):
        connection.sendall(data)
    return connection


def answer(connection: socket.socket, patience: float = LONG) -> bytes:
    """What comes first; nothing if it is closed, or nothing comes."""
    with contextlib.closing(connection), contextlib.suppress(OSError):
        if select.select([connection], [], [], patience)[0]:
            return connection.recv(65536)
    return b""


def whole_answer(connection: socket.socket) -> bytes:
    """An answer with its body; what came of it, if the connection ends before."""
    said = b""
    with contextlib.closing(connection), contextlib.suppress(OSError):
        while part := connection.recv(65536):
            said += part
            head, _, body = said.partition(b"\r\n\r\n")
            found = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            if found and b"\r\n\r\n" in said and len(body) >= int(found[1]):
                break
    return said


def status(data: bytes) -> int:
    """The status of an answer."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", data)
    assert found, data
    return int(found[1])


def refuses_more(connection: socket.socket) -> bool:
    """Send until the other side has closed."""
    with contextlib.closing(connection), contextlib.suppress(OSError):
        while True:
            connection.sendall(bytes(65536))
    return True


def closed(connection: socket.socket) -> bool:
    """Wait until the other side closes a connection."""
    with contextlib.suppress(OSError):
        return connection.recv(1) == b""
    return True


def mutated(whole: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Requests with bytes and lines changed; without end."""
    chance = random.Random(seed)
    while True:
        made = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(made))
            kind = chance.randrange(4)
            if kind == 0:
                made[place] = chance.randrange(256)
            elif kind == 1:
                made[place:place] = chance.choice(_PIECES)
            elif kind == 2:
                start = made.rfind(b"\r\n", 0, place) + 2
                made[start:start] = chance.choice(_PIECES)
            else:
                del made[place : place + chance.randint(1, 20)]
        yield bytes(made)
