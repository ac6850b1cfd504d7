"""Tar files as no honest program writes them: by hand, block by block, and by chance."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Iterator

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)


def header(
    name: bytes,
    size: int = 0,
    kind: bytes = b"0",
    *,
    raw_size: bytes = b"",
    raw_time: bytes = b"00000000000\0",
    magic: bytes = b"ustar\x0000",
) -> bytes:
    """A header with a right checksum; `raw_size` and `raw_time` stand there as they are."""
    block = bytearray(BLOCK)
    for start, value in (
        (0, name),
        (100, b"0000644\x000000000\x000000000\0"),
        (124, raw_size or b"%011o\0" % size),
        (136, raw_time),
        (156, kind),
        (257, magic),
        (148, b" " * 8),
    ):
        block[start : start + len(value)] = value
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def filled(data: bytes) -> bytes:
    """Data up to the next block."""
    return data + bytes(-len(data) % BLOCK)


def member(name: bytes, data: bytes) -> bytes:
    """A file."""
    return header(name, len(data)) + filled(data)


def pax(fields: dict[bytes, bytes], kind: bytes = b"x") -> bytes:
    """A header of the next header (``x``), or of all that follow (``g``)."""
    body = b""
    for key, value in fields.items():
        length = len(key) + len(value) + 3
        while len(b"%d %s=%s\n" % (length, key, value)) != length:
            length = len(b"%d %s=%s\n" % (length, key, value))
        body += b"%d %s=%s\n" % (length, key, value)
    return header(b"pax", len(body), kind) + filled(body)


def long_name(name: bytes) -> bytes:
    """GNU tar's header of a long name."""
    return header(b"././@LongLink", len(name) + 1, b"L", magic=b"ustar  \0") + filled(name + b"\0")


def base_256(number: int) -> bytes:
    """A number in the form that GNU tar has for large and negative ones."""
    return (
        b"\x80" + number.to_bytes(11, "big")
        if number >= 0
        else b"\xff" + number.to_bytes(11, "big", signed=True)
    )


def hostile_tars(photo: bytes) -> dict[str, tuple[bytes, list[str] | None]]:
    """Name → tar file, and the keys of the photos that a listing finds; None where it is refused.

    `photo` is the content of every photo.
    """
    a, b = member(b"a.jpg", photo), member(b"b.jpg", photo)
    sparse = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"9" * 11}
    return {
        "negative size": (a + header(b"n.jpg", raw_size=base_256(-1024)) + filled(photo) + END, ["a.jpg"]),
        "negative size that leads back": (a + header(b"n.jpg", raw_size=base_256(-512)) + b + END, ["a.jpg"]),
        "negative size first": (header(b"n.jpg", raw_size=base_256(-512)) + b + END, []),
        "octal minus": (a + header(b"n.jpg", raw_size=b"-0000001000\0") + b + END, ["a.jpg"]),
        "size beyond counting": (a + header(b"n.jpg", raw_size=base_256(1 << 80)) + b + END, ["a.jpg"]),
        "size beyond the end": (a + header(b"n.jpg", 8**11 - 1) + b + END, ["a.jpg", "n.jpg"]),
        "size of a link": (a + header(b"s.jpg", 1 << 30, b"2") + b + END, ["a.jpg", "b.jpg"]),
        "pax: negative size": (a + pax({b"size": b"-2048"}) + b + END, ["a.jpg", "b.jpg"]),
        "pax: size of 60 digits": (a + pax({b"size": b"9" * 60}) + b + END, ["a.jpg", "b.jpg"]),
        "pax: size of 5,000 digits": (a + pax({b"size": b"9" * 5000}) + b + END, ["a.jpg", "b.jpg"]),
        "pax: size in words": (a + pax({b"size": b"abc"}) + b + END, ["a.jpg", "b.jpg"]),
        **{
            f"pax: time {time.decode()}": (a + pax({b"mtime": time}) + b + END, ["a.jpg", "b.jpg"])
            for time in (b"inf", b"-inf", b"nan", b"1e300", b"-1e15", b"", b"yesterday", b"1_0")
        },
        "time of 80 bits": (
            a + header(b"n.jpg", 1, raw_time=base_256(1 << 80)) + filled(b"x") + END,
            ["a.jpg", "n.jpg"],
        ),
        "time before 1970": (
            a + header(b"n.jpg", 1, raw_time=base_256(-(1 << 80))) + filled(b"x") + END,
            ["a.jpg", "n.jpg"],
        ),
        "3,000 pax headers": (pax({b"path": b"q.jpg"}) * 3000 + a + END, ["q.jpg"]),
        "3,000 long names": (long_name(b"q.jpg") * 3000 + a + END, ["q.jpg"]),
        "3,000 of both": ((long_name(b"q.jpg") + pax({b"mtime": b"1"})) * 3000 + a + END, ["q.jpg"]),
        "pax header of 2 GB": (header(b"pax", 2 << 30, b"x") + a + END, []),
        "long name of 2 GB": (header(b"././@LongLink", 2 << 30, b"L") + a + END, []),
        "global header of 2 GB": (a + header(b"pax", 2 << 30, b"g") + b + END, ["a.jpg"]),
        "pax header of negative size": (
            a + header(b"pax", kind=b"x", raw_size=base_256(-512)) + b + END,
            ["a.jpg"],
        ),
        **{
            f"pax record {record.decode()}": (
                header(b"p", 30, b"x") + filled(record + b" path=x.png\n") + a + END,
                ["a.jpg"],
            )
            for record in (b"-5", b"0", b"1", b"99999999999", b"99999999999999999999", b"x")
        },
        "pax header alone": (a + pax({b"path": b"x.jpg"}), ["a.jpg"]),
        "long name alone": (a + long_name(b"x.jpg"), ["a.jpg"]),
        "path of 70,000 bytes": (pax({b"path": b"x" * 70_000 + b".jpg"}) + a + END, ["x" * 70_000 + ".jpg"]),
        "path that is empty": (pax({b"path": b""}) + a + END, ["a.jpg"]),
        "path of no UTF-8": (pax({b"path": b"\xff\xfe.jpg"}) + a + END, ["%FF%FE.jpg"]),
        "path that leads out": (pax({b"path": b"../../\0/../x.jpg"}) + a + END, ["%00/x.jpg"]),
        "sparse by pax": (
            a + pax(sparse) + header(b"s.jpg", 512) + filled(b"9\n0\n9\n") + b + END,
            ["a.jpg", "b.jpg"],
        ),
        "sparse by pax, wrong map": (a + pax({b"GNU.sparse.map": b"0,1,x"}) + b + a + END, ["a.jpg"]),
        "sparse": (
            a + header(b"s.jpg", 512, b"S", magic=b"ustar  \0") + filled(b"x") + b + END,
            ["a.jpg", "b.jpg"],
        ),
        "unknown kind": (
            a + header(b"u.jpg", len(photo), b"Z") + filled(photo) + b + END,
            ["a.jpg", "b.jpg"],
        ),
        "the same name again": (
            a * 3 + member(b"./a.jpg", photo) + member(b"//a.jpg", photo) + END,
            ["a.jpg"],
        ),
        "links in a circle": (a + header(b"x.jpg", 0, b"2") + header(b"y.jpg", 0, b"1") + END, ["a.jpg"]),
        "wrong checksum": (a + b"x" * BLOCK + b + END, ["a.jpg"]),
        "cut in a photo": (a + header(b"b.jpg", len(photo)) + photo[:100], ["a.jpg", "b.jpg"]),
        "cut in a header": (a + header(b"b.jpg", 5)[:300], ["a.jpg"]),
        "no end": (a + b, ["a.jpg", "b.jpg"]),
        "zeros": (bytes(10240), []),
        "empty": (b"", None),
        "one byte": (b"\0", None),
        "text": (b"no tar file\n" * 100, None),
        "time in letters": (header(b"a.jpg", 1, raw_time=b"zzzzzzzzzzz\0") + filled(b"x") + END, None),
        "size with a nine": (header(b"a.jpg", raw_size=b"99999999999\0") + END, None),
    }


def mutated_tars(seed: int, photo: bytes) -> Iterator[bytes]:
    """Honest and hostile tar files with blocks and bytes changed, most with right checksums; without end."""
    chance = random.Random(seed)
    pool = [data for data, _ in hostile_tars(photo).values() if len(data) < 40_000]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        for name in ("a.jpg", "ü" * 40 + ".png"):
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode="w", format=form) as opened:
                for suffix in ("", ".jpg", ".tif"):
                    info = tarfile.TarInfo(name + suffix)
                    info.size, info.mtime = len(photo), 1_600_000_000
                    opened.addfile(info, io.BytesIO(photo))
            pool.append(content.getvalue())
    while True:
        blocks = list(_blocks(chance.choice(pool)))
        for _ in range(chance.randint(1, 6)):
            _mutate(blocks, chance, pool)
        data = b"".join(blocks)
        yield data[: chance.randrange(len(data) + 1)] if chance.random() < 0.1 else data


def _blocks(data: bytes) -> Iterator[bytearray]:
    return (bytearray(data[start : start + BLOCK]) for start in range(0, len(data), BLOCK))


def _mutate(blocks: list[bytearray], chance: random.Random, pool: list[bytes]) -> None:
    if not blocks:
        blocks += _blocks(chance.choice(pool))
        return
    place = chance.randrange(len(blocks))
    block = blocks[place]
    kind = chance.randrange(7)
    if kind == 0:
        blocks[place:place] = list(_blocks(chance.choice(pool)))[: chance.randint(1, 8)]
    elif kind == 1:
        del blocks[place : place + chance.randint(1, 4)]
    elif kind == 2:
        blocks[place:place] = [bytearray(part) for part in blocks[place : place + 3]]
    elif kind == 3:
        for _ in range(chance.randint(1, 5)):
            block[chance.randrange(len(block))] = chance.randrange(256)
    else:  # a field of a header
        start, end = chance.choice(
            [(0, 100), (124, 136), (124, 136), (136, 148), (156, 157), (257, 265), (345, 500)]
        )
        width = end - start
        value = chance.choice(
            [
                chance.randbytes(width),
                b"%0*o\0" % (width - 1, chance.randrange(1 << 16)),
                base_256(chance.choice([-1, 1]) * chance.getrandbits(chance.randint(1, 80))),
                chance.choice([b"x", b"g", b"L", b"K", b"S", b"0", b"\0", b"5", b"7", b"X"]) * width,
            ]
        )[:width]
        block[start : start + len(value)] = value
    if len(block) == BLOCK and chance.random() < 0.8:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
