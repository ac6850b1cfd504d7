"""Pascal VOC: one XML for each photo; and XML that nobody should read."""

from __future__ import annotations

from pathlib import Path

import pytest

from detic_crop.detectors.boxes_file import load_boxes_file
from tests.kit.labelling import failure, found, photo, refusal, whole, write


def bndbox(xmin: object, ymin: object, xmax: object, ymax: object) -> str:
    return f"<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>"


def voc(*objects: str, filename: str = "a.jpg", size: str = "") -> str:
    items = "".join(f"<object>{item}</object>" for item in objects)
    return f"<annotation><filename>{filename}</filename>{size}{items}</annotation>\n"


BOX = "<name>dolphin</name>" + bndbox(101, 51, 300, 200)
AS_FOUND = whole(100, 50, 300, 200, name="dolphin")


def test_a_folder_of_xml(tmp_path: Path) -> None:
    boat = "<name>boat</name><difficult>1</difficult><truncated>1</truncated>" + bndbox(1, 1, 10, 10)
    write(
        tmp_path,
        {
            "Annotations/cam1/a.xml": voc(BOX, boat),
            "Annotations/cam1/b.XML": voc(filename="b.jpg"),
            "JPEGImages/cam1/a.jpg": b"",
        },
    )
    for given in (tmp_path, tmp_path / "Annotations"):
        detector = load_boxes_file(given)
        for key in ("cam1/a.jpg", "JPEGImages/cam1/a.jpg", "a.png"):
            assert found(detector, key) == [AS_FOUND, whole(0, 0, 10, 10, name="boat")]
        assert found(detector, "cam1/b.jpg") == []
        assert (detector.listed, detector.problems) == (2, ())
        assert detector.info.class_names == ("boat", "dolphin")


def test_one_xml_is_of_the_photo_that_it_is_named_after(tmp_path: Path) -> None:
    write(tmp_path, {"a.b.xml": voc(BOX, filename="old name.png")})
    detector = load_boxes_file(tmp_path / "a.b.xml")
    assert found(detector, "survey/a.b.jpg") == [AS_FOUND]
    assert detector.info.name == "boxes:a.b.xml"
    assert any("labels of one photo" in note for note in detector.notes())


@pytest.mark.parametrize("filename", ["a.b.jpg", "a.b", "A.B.PNG", "C:\\old\\a.b.jpg"])
def test_what_names_the_same_photo_is_not_remarked(tmp_path: Path, filename: str) -> None:
    write(tmp_path, {"a.b.xml": voc(BOX, filename=filename)})
    assert load_boxes_file(tmp_path).notes() == []


def test_a_renamed_pair_keeps_its_boxes(tmp_path: Path) -> None:
    """<filename> is of another day; a photo of that name has labels of its own."""
    write(tmp_path, {"1.xml": voc(BOX, filename="2.jpg"), "2.xml": voc(filename="2.jpg")})
    detector = load_boxes_file(tmp_path)
    assert found(detector, "1.jpg") == [AS_FOUND]
    assert found(detector, "2.jpg") == []
    assert any(
        "label files that state another photo than the one they are named after: 1" in note
        for note in detector.notes()
    )
    assert any("1.xml says 2.jpg" in note for note in detector.notes())


@pytest.mark.parametrize(
    ("item", "box"),
    [
        (bndbox(1, 1, 1000, 500), (0, 0, 1000, 500)),  # the whole photo of 1000 x 500
        (bndbox(0, 0, 1000, 500), (0, 0, 1000, 500)),  # by somebody who counts from 0
        (bndbox(101, 51, 101, 51), (100, 50, 101, 51)),  # one pixel
        (bndbox(101.5, " 51.25 ", "3e2", 200.75), (100.5, 50.25, 300, 200.75)),
        (
            f"<part><name>head</name>{bndbox(1, 1, 2, 2)}</part>{bndbox(101, 51, 300, 200)}",
            (100, 50, 300, 200),
        ),
        (
            "<robndbox><cx>200</cx><cy>100</cy><w>80</w><h>40</h><angle>1.5707963</angle></robndbox>",
            (180, 60, 220, 140),
        ),
        (
            "<polygon><x1>100</x1><y1>50</y1><x2>300</x2><y2>80</y2><x3>200</x3><y3>200</y3></polygon>",
            (100, 50, 300, 200),
        ),
        (
            "<polygon><username>x</username><pt><x>100</x><y>50</y></pt><pt><x>300</x><y>200</y></pt></polygon>",
            (100, 50, 300, 200),
        ),
    ],
)
def test_boxes(tmp_path: Path, item: str, box: tuple[float, ...]) -> None:
    write(tmp_path, {"a.xml": voc(item)})
    [(corners, _, name)] = found(load_boxes_file(tmp_path), "a.jpg")
    assert corners == pytest.approx(list(box), abs=1e-3)
    assert name == "unknown"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("<name>dolphin</name>", "expected a <bndbox>, got none"),
        (bndbox(300, 51, 101, 200), "expected xmin <= xmax and ymin <= ymax, got 300 51 101 200"),
        (bndbox("left", 51, 101, 200), "expected a number, got 'left'"),
        ("<bndbox><xmin>1</xmin></bndbox>", "expected a number, got none"),
        (bndbox("nan", 51, 101, 200), "expected xmin <= xmax"),
        (bndbox(1, 51, "1e999", 200), "expected finite numbers"),
    ],
)
def test_a_bad_object_spoils_its_photo_alone(tmp_path: Path, item: str, message: str) -> None:
    write(tmp_path, {"a.xml": voc(BOX, item), "b.xml": voc(BOX, filename="b.jpg")})
    detector = load_boxes_file(tmp_path)
    reason, text = failure(detector, "a.jpg")
    assert reason == "bad_boxes"
    assert f"a.xml object 2 of {tmp_path.name}: {message}" in text
    assert found(detector, "b.jpg") == [AS_FOUND]


def test_a_score(tmp_path: Path) -> None:
    write(tmp_path, {"a.xml": voc(f"<score>0.25</score>{BOX}"), "b.xml": voc(f"<score>sure</score>{BOX}")})
    detector = load_boxes_file(tmp_path)
    assert [score for _, score, _ in found(detector, "a.jpg")] == [0.25]
    assert "expected a number, got 'sure'" in failure(detector, "b.jpg")[1]


def test_lists_of_photos_beside_the_annotations_are_no_labels(tmp_path: Path) -> None:
    files = {"Annotations/a.xml": voc(BOX), "ImageSets/Main/train.txt": "1 0.5 0.5 0.5 0.5\n"}
    write(tmp_path, files)
    assert found(load_boxes_file(tmp_path), "a.jpg") == [AS_FOUND]


def test_deleted_objects_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, {"a.xml": voc(f"<deleted>1</deleted>{BOX}", BOX)})
    assert found(load_boxes_file(tmp_path), "a.jpg") == [AS_FOUND]


def test_the_size_that_the_file_states(tmp_path: Path) -> None:
    size = "<size><width>2000</width><height>1000</height><depth>3</depth></size>"
    write(tmp_path, {"a.xml": voc(BOX, size=size)})
    detector = load_boxes_file(tmp_path)
    assert found(detector, "a.jpg", photo(2000, 1000)) == [AS_FOUND]
    none = "<size><width>0</width><height>0</height></size>"
    write(tmp_path, {"a.xml": voc(BOX, size=none)})
    assert found(load_boxes_file(tmp_path), "a.jpg", photo(1234, 567)) == [AS_FOUND]


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB + voc("<name>&i;</name>" + bndbox(1, 1, 2, 2)), "got a <!DOCTYPE"),
        (
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + voc("<name>&x;</name>"),
            "got a <!DOCTYPE",
        ),
        (voc(BOX)[:-20], "expected XML, got text that cannot be read as such"),
        ("<annotation>", "expected XML"),
        ("<annotation>\x01</annotation>", "expected XML"),
        ('<?xml version="1.0" encoding="none"?><annotation/>', "expected XML"),
        ("<html><body/></html>", "got <html>"),
    ],
)
def test_xml_that_is_not_read(tmp_path: Path, content: str, message: str) -> None:
    write(tmp_path, {"labels/a.xml": content, "labels/b.xml": voc(BOX, filename="b.jpg")})
    assert message in refusal(tmp_path / "labels" / "a.xml")
    detector = load_boxes_file(tmp_path / "labels")
    assert found(detector, "b.jpg") == [AS_FOUND]
    if "html" in content:
        assert any(
            ".xml files that are not Pascal VOC XML: 1 (first: a.xml)" in note for note in detector.notes()
        )
    else:
        assert failure(detector, "a.jpg")[0] == "bad_boxes"


def test_deep_xml_is_no_trouble(tmp_path: Path) -> None:
    write(tmp_path, {"a.xml": "<annotation>" + "<b>" * 100_000 + "</b>" * 100_000 + "</annotation>"})
    assert found(load_boxes_file(tmp_path / "a.xml"), "a.jpg") == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings_that_xml_declares(tmp_path: Path, encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?>' + voc(BOX.replace("dolphin", "grémille"))
    write(tmp_path, {"a.xml": text.encode(encoding)})
    assert found(load_boxes_file(tmp_path), "a.jpg") == [whole(100, 50, 300, 200, name="grémille")]
