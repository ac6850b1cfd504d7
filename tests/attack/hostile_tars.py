"""Tar files made by hand, each wrong in a way that readers have stumbled over."""

from __future__ import annotations

from collections.abc import Mapping

from tests.kit.photos import photo_bytes

PHOTO = photo_bytes(3)
END = bytes(1024)
GNU, USTAR, OLD = b"ustar  \0", b"ustar\x0000", bytes(8)


def filled(data: bytes) -> bytes:
    """`data` up to whole blocks."""
    return data + bytes(-len(data) % 512)


def header(
    name: bytes,
    size: int | bytes = 0,
    kind: bytes = b"0",
    *,
    time: bytes = b"00000000000",
    mode: bytes = b"0000644",
    magic: bytes = USTAR,
    link: bytes = b"",
    prefix: bytes = b"",
    sum_off_by: int = 0,
) -> bytes:
    """The 512 bytes before a file; a size in bytes stands as it is."""
    sizes = size if isinstance(size, bytes) else b"%011o" % size
    fields = (
        *((name, 100), (mode, 8), (b"0000000", 8), (b"0000000", 8), (sizes, 12), (time, 12), (b" " * 8, 8)),
        *((kind, 1), (link, 100), (magic, 8), (b"", 32), (b"", 32), (b"", 8), (b"", 8), (prefix, 155)),
    )
    block = b"".join(value[:length].ljust(length, b"\0") for value, length in fields).ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % (sum(block) + sum_off_by) + block[156:]


def member(name: bytes, data: bytes = PHOTO) -> bytes:
    """A whole file."""
    return header(name, len(data)) + filled(data)


def binary(number: int) -> bytes:
    """A size in binary, as GNU tar writes large ones; it may be negative."""
    return bytes([0xFF if number < 0 else 0x80]) + (number % (1 << 88)).to_bytes(11, "big")


def pax(*kind: bytes, **values: str | bytes) -> bytes:
    """An extended header, of all that follows with b"g"; a dot in a name is spelled __."""
    lines = b""
    for name, value in values.items():
        value = value.encode() if isinstance(value, str) else value
        rest = b" %b=%b\n" % (name.replace("__", ".").encode(), value)
        length = len(rest)
        while length != len(rest) + len(str(length)):
            length = len(rest) + len(str(length))
        lines += b"%d%b" % (length, rest)
    return raw_pax(lines, *kind)


def raw_pax(lines: bytes, kind: bytes = b"x") -> bytes:
    """An extended header of these lines."""
    return header(b"pax", len(lines), kind) + filled(lines)


def long_name(name: bytes) -> bytes:
    """A name of its own block, as GNU tar writes long ones."""
    return header(b"././@LongLink", len(name) + 1, b"L", magic=GNU) + filled(name + b"\0")


GOOD = member(b"good.jpg")


def _sizes() -> Mapping[str, bytes]:
    sizes: dict[str, int | bytes] = {
        "of 8 GiB": 8**11 - 1,
        "of 1 TiB": binary(1 << 40),
        "of 2 to the 80": binary(1 << 80),
        **{f"of {number}": binary(number) for number in (-1, -512, -1024, -(1 << 70))},
        "not octal": b"99999999999\0",
        "empty": b"",
        "of blanks": b" " * 12,
        "with a sign": b"-0000000777",
    }
    made = {
        f"size {name}": GOOD + header(b"odd.jpg", size) + filled(PHOTO) + END for name, size in sizes.items()
    }
    for text in ("-2048", "-512", "9" * 60, "abc", "", "1e3", "0x10", " 5", "nan", "5_0"):
        made[f"pax size {text[:9]}"] = GOOD + pax(size=text) + member(b"odd.jpg") + END
    return made


def _times() -> Mapping[str, bytes]:
    made = {
        f"pax time {text}": GOOD + pax(mtime=text) + member(b"odd.jpg") + END
        for text in ("inf", "-inf", "nan", "1e300", "-1e15", "1e18", "x", "", "9" * 400, "1_0", "-0.5")
    }
    for name, time in {"letters": b"zzzzzzzzzzz", "binary": binary(1 << 70), "negative": binary(-5)}.items():
        made[f"time {name}"] = GOOD + header(b"odd.jpg", len(PHOTO), time=time) + filled(PHOTO) + END
    return made


def _names() -> Mapping[str, bytes]:
    plain = (
        b"../../up.jpg",
        b"/etc/up.jpg",
        b"a/../../b.jpg",
        b"C:\\up.jpg",
        b".hidden.jpg",
        b"",
        b"/",
        b".jpg",
    )
    odd = (b"new\nline.jpg", b"\x1b[31mred.jpg", b"\xff\xfe.jpg", b"con.jpg", b"a" * 100, b"a//b/./c.jpg")
    pax_names = (
        "../../up.jpg",
        "nul\0in/it.jpg",
        "",
        "x" * 70_000 + ".jpg",
        "d/" * 300 + "x.jpg",
        ("e" * 200 + "/") * 15 + "x.jpg",
        ".",
        "/",
    )
    return {
        "names": b"".join(map(member, (*plain, *odd))) + GOOD + END,
        "one name three times": member(b"a.jpg") * 3 + member(b"./a.jpg") + member(b"//a.jpg") + GOOD + END,
        "pax names": b"".join(pax(path=name) + member(b"x.jpg") for name in pax_names) + GOOD + END,
        "pax name not UTF-8": pax(path=b"\xff\xfe\xfd.jpg") + member(b"x.jpg") + GOOD + END,
        "long names": b"".join(long_name(name) + member(b"x.jpg") for name in plain + odd) + GOOD + END,
        "prefix": header(b"x.jpg", len(PHOTO), prefix=b"../" * 40) + filled(PHOTO) + GOOD + END,
    }


def _kinds() -> Mapping[str, bytes]:
    links = b"".join(
        header(b"%b.jpg" % kind, 0, kind, link=b"/etc/passwd") for kind in (b"1", b"2", b"3", b"6")
    )
    return {
        "links": links + GOOD + END,
        "a link of 1 GiB": header(b"link.jpg", 1 << 30, b"2", link=b"x") + GOOD + END,
        "a hard link to itself": header(b"a.jpg", 0, b"1", link=b"a.jpg") + GOOD + END,
        "a folder of a photo's name": header(b"d.jpg/", 0, b"5")
        + header(b"e.jpg/", len(PHOTO))
        + filled(PHOTO)
        + GOOD
        + END,
        "an unknown kind": header(b"u.jpg", len(PHOTO), b"Z") + filled(PHOTO) + GOOD + END,
        "a contiguous file": header(b"u.jpg", len(PHOTO), b"7") + filled(PHOTO) + GOOD + END,
        "an old folder": header(b"old.jpg/", len(PHOTO), b"\0", magic=OLD) + filled(PHOTO) + GOOD + END,
    }


def _extended() -> Mapping[str, bytes]:
    ends = {"of nothing": b"", "before the end": END, "before a photo": GOOD + END}
    made = {f"pax header {name}": pax(path="x.jpg") + rest for name, rest in ends.items()}
    made |= {f"long name {name}": long_name(b"x.jpg") + rest for name, rest in ends.items()}
    for length in ("99999999999", "-5", "0", "x", "", "5", "4"):
        made[f"pax line of length {length}"] = raw_pax(f"{length} path=x\n".encode()) + GOOD + END
    return made | {
        "3000 pax headers": pax(path="q.jpg") * 3000 + GOOD + END,
        "3000 long names": long_name(b"q.jpg") * 3000 + GOOD + END,
        "3000 of both": (pax(path="q.jpg") + long_name(b"q.jpg")) * 1500 + GOOD + END,
        "3000 global headers": pax(b"g", comment="x") * 3000 + GOOD + END,
        "20000 pax values": raw_pax(b"12 a=bcdefg\n" * 20_000) + GOOD + END,
        "global names": pax(b"g", path="all.jpg") + member(b"a.jpg") + member(b"b.jpg") + GOOD + END,
        "global size": pax(b"g", size="-512") + member(b"a.jpg") + GOOD + END,
        "binary names": pax(b"g", hdrcharset="BINARY") + member(b"a.jpg") + GOOD + END,
        "pax header that ends early": header(b"pax", 5000, b"x") + b"20 path=x\n",
    }


def _sparse() -> Mapping[str, bytes]:
    version = {"GNU__sparse__major": "1", "GNU__sparse__minor": "0"}
    huge = {**version, "GNU__sparse__realsize": "99999999999", "GNU__sparse__name": "sp.jpg"}
    return {
        "sparse of 93 GiB": pax(**huge) + member(b"sp", b"1\n0\n99999999999\n") + GOOD + END,
        "sparse with a billion parts": pax(**huge) + member(b"sp", b"999999999\n0\n1\n") + GOOD + END,
        "sparse with letters": pax(**version) + member(b"sp.jpg", b"abc\n") + GOOD + END,
        "sparse without a map": pax(**version) + member(b"sp.jpg", b"") + GOOD + END,
        "sparse negative": pax(**version) + member(b"sp.jpg", b"1\n-5\n-7\n") + GOOD + END,
        "sparse map of text": pax(GNU__sparse__map="0,1,x,y") + member(b"sp.jpg") + GOOD + END,
        "sparse map of one": pax(GNU__sparse__map="0") + member(b"sp.jpg") + GOOD + END,
        "sparse of the first kind": header(b"sp.jpg", 512, b"S", magic=GNU) + filled(b"x") + GOOD + END,
    }


def _ends() -> Mapping[str, bytes]:
    return {
        "empty": b"",
        "one byte": b"\0",
        "zeros": bytes(10_240),
        "no end": GOOD,
        "cut in a photo": GOOD + header(b"b.jpg", len(PHOTO)) + PHOTO[:100],
        "cut in a header": GOOD + header(b"b.jpg", 5)[:300],
        "rubbish between": GOOD + b"x" * 512 + member(b"b.jpg") + END,
        "rubbish first": b"\x01" * 512 + GOOD + END,
        "wrong sum": GOOD + header(b"b.jpg", len(PHOTO), sum_off_by=1) + filled(PHOTO) + END,
        "an end in the middle": GOOD + END + member(b"b.jpg") + END,
        "gzip": b"\x1f\x8b\x08" + bytes(600),
    }


HOSTILE: Mapping[str, bytes] = {
    name: data
    for make in (_sizes, _times, _names, _kinds, _extended, _sparse, _ends)
    for name, data in make().items()
}

# Too large to be held: what is before a hole, the size of the hole, and what is behind it.
WITH_HOLES: Mapping[str, tuple[bytes, int, bytes]] = {
    "pax header of 2 GiB": (header(b"pax", 2 << 30, b"x"), 2 << 30, GOOD + END),
    "long name of 2 GiB": (header(b"././@LongLink", 2 << 30, b"L", magic=GNU), 2 << 30, GOOD + END),
    "8 GiB of zeros": (b"", 8 << 30, b""),
    "a photo of 4 GiB": (GOOD + header(b"large.jpg", 4 << 30), 4 << 30, END),
}
