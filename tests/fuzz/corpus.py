"""Small good files of every kind, for a fuzzer to begin with."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator

import numpy as np
from PIL import Image

from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.folder.lines import to_line
from detic_crop.folder.records import Record
from detic_crop.folder.verdict_lines import Verdict, VerdictLines
from tests.kit.exif import camera_exif, photo_with
from tests.kit.label_tables import workbook
from tests.kit.photos import photo_bytes, picture


def photos() -> Iterator[bytes]:
    """Every format that is read, in its kinds."""
    for extension in (".jpg", ".png", ".webp", ".bmp", ".tif"):
        yield photo_bytes(1, extension)
    pixels = Image.fromarray(picture(2, 40, 33))
    exif = Image.Exif()
    exif[0x0112] = 6
    yield _saved(pixels, "JPEG", exif=exif, restart_marker_rows=1)
    yield _saved(pixels, "JPEG", progressive=True, subsampling="4:2:0")
    yield _saved(pixels.convert("CMYK"), "JPEG")
    yield _saved(pixels.convert("L"), "JPEG", quality=20)
    yield _saved(pixels.convert("RGBA"), "PNG", exif=exif)
    yield _saved(pixels.convert("P"), "PNG")
    yield _saved(Image.fromarray(np.arange(800, dtype=np.uint16).reshape(20, 40)), "PNG")
    yield _saved(pixels, "WEBP", lossless=True, exif=exif)
    yield _saved(pixels, "WEBP", save_all=True, append_images=[pixels.rotate(90)])
    for packing in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        yield _saved(pixels, "TIFF", compression=packing)
    yield _saved(pixels.convert("1"), "TIFF", compression="group4")
    yield _saved(Image.fromarray(np.linspace(-1, 9, 800, dtype=np.float32).reshape(20, 40)), "TIFF")


def photos_with_metadata() -> Iterator[bytes]:
    """Every place in which a photo may keep its EXIF."""
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        yield photo_with(camera_exif(), format)
    yield camera_exif()


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


_DOCUMENTS: tuple[object, ...] = (
    {  # COCO
        "images": [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 30, 20], "iscrowd": 0}],
        "categories": [{"id": 2, "name": "Whale"}],
    },
    [{"image_id": "a.jpg", "category_id": 2, "bbox": [1, 2, 30, 20], "score": 0.5}],
    {  # MegaDetector
        "images": [
            {"file": "a.jpg", "detections": [{"category": "1", "conf": 0.5, "bbox": [0.1, 0.2, 0.3, 0.4]}]}
        ],
        "detection_categories": {"1": "animal"},
        "info": {"format_version": "1.3"},
    },
    {  # labelme
        "imagePath": "a.jpg",
        "imageWidth": 60,
        "imageHeight": 40,
        "shapes": [{"label": "Whale", "shape_type": "rectangle", "points": [[1, 2], [30, 20]]}],
    },
    [  # CreateML
        {
            "image": "a.jpg",
            "annotations": [{"label": "Whale", "coordinates": {"x": 9, "y": 8, "width": 7, "height": 6}}],
        }
    ],
    {  # VIA
        "a.jpg9": {
            "filename": "a.jpg",
            "size": 9,
            "regions": [
                {
                    "shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4},
                    "region_attributes": {},
                }
            ],
        }
    },
)


def _as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def boxes_files() -> Iterator[bytes]:
    """Tables, JSON and XML of several dialects."""
    yield b"image,xmin,ymin,xmax,ymax,score,class_name\na.jpg,1,2,30,40,0.5,Whale\nb.jpg,,,,,,\n"
    yield b"ImageID;Confidence;XMin;XMax;YMin;YMax;LabelName\nab;0.5;0.1;0.5;0.2;0.6;/m/084zz\n"
    yield b"filename\tbox\na.jpg\t1 2 30 40\nb.jpg\t[1, 2, 3, 4]\n"
    yield b"0 0.5 0.5 0.2 0.3 0.9\n1 0.1 0.2 0.1 0.1 0.8\n"
    yield from map(_as_json, _DOCUMENTS)
    yield (
        b"<annotation><filename>a.jpg</filename><size><width>60</width><height>40</height></size><object>"
        b"<name>Whale</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>20</ymax></bndbox>"
        b"</object></annotation>"
    )
    yield (
        b'<annotations><image id="0" name="a.jpg" width="60" height="40">'
        b'<box label="Whale" xtl="1" ytl="2" xbr="30" ybr="20"/></image></annotations>'
    )
    yield b'{"image": "a.jpg", "boxes": [[1, 2, 3, 4]]}\n{"image": "b.jpg", "boxes": []}\n'


def journals() -> Iterator[bytes]:
    """Journals, and boxes as they are kept beside them."""
    header = to_line({"config": CropConfig().to_dict(), "fingerprint": "x", "version": "1"})
    small = Record("a.jpg", "resized", "not_found", "a.jpg", 60, 40, crop_box=(0, 0, 60, 40))
    large = Record(
        image="day1/é\udcff.jpg",
        status="cropped",
        reason="largest_box",
        crop="day1/e.jpg",
        width=60,
        height=40,
        class_name="Whale",
        score=0.5,
        presence=0.5,
        box=(1.5, 2.0, 30.25, 20.0),
        crop_box=(0, 1, 33, 22),
        n_candidates=2,
        blur=0.25,
        crop_hash="0123456789abcdef",
        checksum=123,
        file_size=1000,
        file_time=1_700_000_000_000_000_000,
        crop_bytes=500,
        candidates=(0, 120),
    )
    failed = Record("bad.jpg", "failed", "unreadable", error="no photo", stage="decode")
    yield header + small.to_line() + large.to_line() + failed.to_line() + small.to_line()
    yield b'{"image":"a.jpg","status":"cropped","crop":"a.jpg","candidates":[0,9],"verdict":"box"}\n'
    found = Detections(np.ones((1, 4), np.float32), np.ones(1, np.float32), ("Whale",))
    kept = {"image": "a.jpg", "crop": "a.jpg", "presence": 0.5, "class_names": list(found.class_names)}
    yield to_line({**kept, "scores": [0.5], "xyxy": [[1, 2, 3, 4]]}) * 2 + to_line({**kept, "crop": "b.jpg"})


def reviews() -> Iterator[bytes]:
    """review.csv as this version and others leave it."""
    lines = VerdictLines()
    given = (
        Verdict("a.jpg", "box", ((1.5, 2.0, 30.0, 20.0),), "somebody", "2026-01-02T03:04:05+0000"),
        Verdict('day1/with "quotes", and commas.jpg', "rejected"),
        Verdict("two\nlines.jpg", "undone", (), "é"),
    )
    yield lines.header() + b"".join(map(lines.line, given))
    yield b'image,verdict,box,reviewer,time\na.jpg,accepted,,,\n"b, c.jpg",whole,,me,now\n'
    yield b"\xef\xbb\xbfimage;verdict;box\r\na.jpg;box;1 2 3 4\r\n"


def tars() -> Iterator[bytes]:
    """Tar files of every dialect; `tests.attack` has those that are wrong."""
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=format) as opened:
            for name in ("a.jpg", "day1/" + "b" * 90 + ".jpg", "day2/é.jpg"):
                info = tarfile.TarInfo(name)
                info.size, info.mtime = 700, 1_700_000_000
                opened.addfile(info, io.BytesIO(bytes(700)))
            link = tarfile.TarInfo("link.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, "a.jpg"
            opened.addfile(link)
        yield file.getvalue()[:8192]


def label_tables() -> Iterator[bytes]:
    """Label tables, and lists of photos."""
    yield b'image,species,individual_id\na.jpg,whale,1\nb.jpg,"a, b",2\n'
    yield b"\xef\xbb\xbfspecies,image\r\nwhale,day1/a.jpg\r\n\r\n"
    yield "image\né.jpg\n".encode()
    yield b'image,note\na.jpg,"two\nlines"\n'
    yield b"sep=;\r\nImage;Gewicht;\r\na.jpg;12,5;\r\nb.jpg\r\n;;\r\n"
    yield "IMAGE\tnaam\na.jpg\tZoë\n".encode("utf-16")
    yield "image|naam\na.jpg|Zoë\n".encode("cp1252")
    yield workbook({"other": [["x"]], "photos": [["image", "n"], ["a.jpg", 12], ["b.jpg", None]]})
