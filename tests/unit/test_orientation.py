"""Orientation in EXIF, in XMP and in PNG's raw profiles, against Pillow's `exif_transpose` and by hand."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from detic_crop.images import orientation
from detic_crop.images.decode import decode
from detic_crop.images.headers.read import read_header
from detic_crop.images.orientation import png_text_orientation, xmp_orientation

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
TIFF = "http://ns.adobe.com/tiff/1.0/"


def xmp(description: str) -> str:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>{description}</rdf:RDF></x:xmpmeta>'


def attribute(orientation: int, prefix: str = "tiff") -> str:
    return xmp(
        f'<rdf:Description rdf:about="" xmlns:{prefix}="{TIFF}" {prefix}:Orientation="{orientation}"/>'
    )


def element(orientation: int, prefix: str = "tiff") -> str:
    inside = f"<{prefix}:Orientation>\n {orientation} </{prefix}:Orientation>"
    return xmp(f'<rdf:Description rdf:about="" xmlns:{prefix}="{TIFF}">{inside}</rdf:Description>')


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[274] = orientation
    block = tags.tobytes()
    return block if block.startswith(b"Exif") else b"Exif\0\0" + block


def raw_profile(name: str, content: bytes) -> str:
    digits = content.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"\n{name}\n{len(content):8d}\n{lines}\n"


def picture() -> Image.Image:
    y, x = np.mgrid[:24, :40]
    return Image.fromarray(np.stack([x * 6, y * 10, (x > 20) * 200], -1).astype(np.uint8))


def png(*texts: tuple[str, str, str], **options: object) -> bytes:
    """A PNG with (how, keyword, text); how is tEXt, zTXt, iTXt or iTXt deflated."""
    info = PngImagePlugin.PngInfo()
    for how, keyword, text in texts:
        if how.startswith("iTXt"):
            info.add_itxt(keyword, text, zip=how.endswith("deflated"))
        else:
            info.add_text(keyword, text, zip=how == "zTXt")
    file = io.BytesIO()
    picture().save(file, "PNG", pnginfo=info, **options)
    return file.getvalue()


def other(format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture().save(file, format, **({"lossless": True} if format == "WEBP" else {}), **options)
    return file.getvalue()


WAYS: dict[str, Callable[[int], bytes]] = {
    "png tEXt exif": lambda n: png(("tEXt", "Raw profile type exif", raw_profile("exif", exif(n)))),
    "png zTXt exif": lambda n: png(("zTXt", "Raw profile type exif", raw_profile("exif", exif(n)))),
    "png iTXt exif": lambda n: png(("iTXt", "Raw profile type exif", raw_profile("exif", exif(n)))),
    "png APP1": lambda n: png(("zTXt", "Raw profile type APP1", raw_profile("generic", exif(n)))),
    "png xmp": lambda n: png(("iTXt", "XML:com.adobe.xmp", attribute(n))),
    "png xmp deflated": lambda n: png(("iTXt deflated", "XML:com.adobe.xmp", element(n))),
    "png raw xmp": lambda n: png(("zTXt", "Raw profile type xmp", raw_profile("xmp", element(n).encode()))),
    "jpeg xmp": lambda n: other("JPEG", xmp=attribute(n).encode()),
    "webp xmp": lambda n: other("WEBP", xmp=attribute(n).encode()),
    "tiff xmp": lambda n: other("TIFF", tiffinfo={700: attribute(n).encode()}),
    "webp exif": lambda n: other("WEBP", exif=exif(n)),
    "png eXIf": lambda n: other("PNG", exif=exif(n)),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("way", WAYS)
def test_every_way(way: str, orientation: int) -> None:
    data = WAYS[way](orientation)
    assert read_header(data).orientation == orientation
    if way == "jpeg xmp":
        return  # not lossless
    expected = {
        1: picture(),
        **{n: picture().transpose(turn) for n, turn in zip(range(2, 9), TURNS, strict=True)},
    }[orientation]
    np.testing.assert_array_equal(decode(data).image[..., ::-1], np.asarray(expected))


TURNS = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)


@pytest.mark.parametrize(
    "way", sorted(WAYS.keys() - {"png APP1", "png raw xmp", "png xmp deflated", "tiff xmp"})
)
def test_pillow_agrees(way: str) -> None:
    data = WAYS[way](6)
    theirs = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert theirs.size == decode(data).image.shape[1::-1] == (24, 40)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (other("JPEG", exif=exif(3), xmp=attribute(6).encode()), 3),
        (other("WEBP", exif=exif(3), xmp=attribute(6).encode()), 3),
        (png(("iTXt", "XML:com.adobe.xmp", attribute(6)), exif=exif(3)), 3),
        (
            png(
                ("iTXt", "XML:com.adobe.xmp", attribute(6)),
                ("zTXt", "Raw profile type exif", raw_profile("exif", exif(3))),
            ),
            3,
        ),
        (png(("zTXt", "Raw profile type exif", raw_profile("exif", exif(6))), exif=exif(3)), 3),
        (other("JPEG", exif=exif(0), xmp=attribute(6).encode()), 6),  # EXIF says nothing
        (other("JPEG", exif=exif(1), xmp=attribute(6).encode()), 1),  # EXIF says upright
    ],
)
def test_exif_comes_first(data: bytes, expected: int) -> None:
    assert read_header(data).orientation == expected


XMPS = {
    "attribute": attribute(6),
    "element": element(6),
    "another prefix": attribute(6, "t"),
    "another prefix, element": element(6, "ns1"),
    "no prefix": xmp(f'<rdf:Description xmlns="{TIFF}"><Orientation>6</Orientation></rdf:Description>'),
    "single quotes": attribute(6).replace('"', "'"),
    "in the second description": xmp(
        f'<rdf:Description rdf:about=""/><rdf:Description xmlns:tiff="{TIFF}" tiff:Orientation="6"/>'
    ),
    "with qualifiers": xmp(
        f'<rdf:Description xmlns:tiff="{TIFF}"><tiff:Orientation rdf:parseType="Resource">'
        "<rdf:value>6</rdf:value></tiff:Orientation></rdf:Description>"
    ),
    "a character reference": attribute(6).replace('"6"', '"&#54;"'),
    "a packet": f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{attribute(6)}'
    + " " * 200
    + '<?xpacket end="w"?>',
    "a declaration": '<?xml version="1.0" encoding="UTF-8"?>\n' + attribute(6),
    "without its wrapper": f'<rdf:RDF {RDF}><rdf:Description xmlns:t="{TIFF}" t:Orientation="6"/></rdf:RDF>',
    "badly formed": '<x:xmpmeta><rdf:Description tiff:Orientation="6">',
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("form", XMPS)
def test_forms_of_xmp(form: str, encoding: str) -> None:
    packet = XMPS[form].encode(encoding)
    assert xmp_orientation(packet) == 6
    assert xmp_orientation(packet + b"\0\0") == 6


@pytest.mark.parametrize(
    "packet",
    [
        "",
        "<",
        xmp(""),
        attribute(0),
        attribute(9),
        attribute(66),
        element(0),
        attribute(6).replace(TIFF, "http://example.com/"),
        xmp(f'<!-- <rdf:Description xmlns:tiff="{TIFF}" tiff:Orientation="6"/> -->'),
        # Of a picture that this one was made from.
        xmp(
            '<rdf:Description xmlns:p="http://example.com/"><p:Pantry><rdf:Bag><rdf:li>'
            f'<rdf:Description xmlns:tiff="{TIFF}" tiff:Orientation="6"/>'
            "</rdf:li></rdf:Bag></p:Pantry></rdf:Description>"
        ),
        "<a>" * 1000 + "Orientation",
    ],
)
def test_xmp_that_says_nothing(packet: str) -> None:
    assert xmp_orientation(packet.encode()) == 0


def test_an_xmp_bomb_is_not_expanded() -> None:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    packet = f"<!DOCTYPE x [{entities}]>" + attribute(6).replace('"6"', '"&a9;"')
    assert xmp_orientation(packet.encode()) == 0


def test_a_text_chunk_bomb_is_inflated_only_so_far() -> None:
    bomb = zlib.compress(bytes(1 << 25))
    assert png_text_orientation([(b"zTXt", b"Raw profile type exif\0\0" + bomb)]) == 0
    assert png_text_orientation([(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)]) == 0


def test_many_text_chunks_are_not_inflated_one_after_the_other() -> None:
    small = b"Raw profile type exif\0\0" + zlib.compress(bytes(1 << 21))
    right = b"XML:com.adobe.xmp\0\0\0\0\0" + attribute(6).encode()
    assert png_text_orientation([(b"zTXt", small), (b"iTXt", right)]) == 6
    assert png_text_orientation([*[(b"zTXt", small)] * 100, (b"iTXt", right)]) == 0


@pytest.mark.parametrize(
    "text", ["", "exif", "\nexif\n", "\nexif\n 4\nzz\n", "\nexif\n 4\n123\n", "\nexif\n99999999\n00\n"]
)
def test_a_damaged_profile_says_nothing(text: str) -> None:
    assert read_header(png(("tEXt", "Raw profile type exif", text))).orientation == 1


def test_other_texts_are_not_looked_at() -> None:
    texts = [
        (b"tEXt", b"Comment\0" + attribute(6).encode()),
        (b"tEXt", b"no end"),
        (b"iTXt", b"XML:com.adobe.xmp"),
    ]
    assert png_text_orientation(texts) == 0


@pytest.mark.parametrize(
    "packet",
    [
        "<a>" * 590_000 + "Orientation" + "</a>" * 590_000,
        "<x>" + "<a/>" * 1_000_000 + "Orientation</x>",
        "<x Orientation='' " + " ".join(f"a{n}='1'" for n in range(300_000)) + "/>",
        xmp("<!-- Orientation " + "x" * 4_000_000 + "-->"),
    ],
    ids=["deep", "many", "wide", "long"],
)
def test_no_more_of_a_large_packet_is_read_than_may_be_of_use(
    packet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = 0
    real = orientation._XmpReader._start

    def counted(self: orientation._XmpReader, name: str, attributes: dict[str, str]) -> None:
        nonlocal seen
        seen += 1 + len(attributes)
        real(self, name, attributes)

    monkeypatch.setattr(orientation._XmpReader, "_start", counted)
    assert xmp_orientation(packet.encode()) == 0
    assert seen <= 20_001


def test_what_comes_early_in_a_large_packet_is_found() -> None:
    assert (
        xmp_orientation(attribute(6).replace("</x:xmpmeta>", " " * 1_000_000 + "</x:xmpmeta>").encode()) == 6
    )
