"""`detic-crop export`: what all formats have in common, seen on class folders and their table."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import detic_crop
from detic_crop import api
from detic_crop.boxes.crop_size import crop_size
from detic_crop.cli.main import main
from detic_crop.config import Fit
from detic_crop.exports.base import Asked, Export
from detic_crop.exports.formats import FORMATS, export_named
from detic_crop.exports.names import UniqueNames, flat, with_extension_of
from detic_crop.exports.picture import ExportedBox, in_crop, placed_in_crop
from tests.kit.errors import complained, refused
from tests.kit.exif import ORIENTATION, exif
from tests.kit.folders import crop, files_of, product, records_of, rows_of, untouched
from tests.kit.photos import picture, write_damaged, write_photo, write_photos
from tests.kit.verdicts import DRAWN, give_verdict

TO = "imagefolder"


def lines_of(out: Path) -> dict[str, dict[str, Any]]:
    """File name → line of metadata.jsonl."""
    lines = map(json.loads, (out / "metadata.jsonl").read_text(encoding="utf-8").splitlines())
    return {line["file_name"]: line for line in lines}


@pytest.fixture
def cropped(tmp_path: Path) -> Path:
    """Nine photos in three folders, and four that cannot be used."""
    write_photos(tmp_path / "in", 9)
    write_damaged(tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "cropped")
    return tmp_path / "cropped"


def test_links_share_the_crops_and_copies_do_not(cropped: Path, tmp_path: Path) -> None:
    before = product(cropped)
    linked = api.export(cropped, TO, tmp_path / "links", label="folder")
    copied = api.export(cropped, TO, tmp_path / "copies", label="folder", pictures="copy")
    bare = api.export(cropped, TO, tmp_path / "bare", label="folder", pictures="none")
    assert files_of(tmp_path / "links") == files_of(tmp_path / "copies")
    assert list(files_of(tmp_path / "bare")) == ["metadata.jsonl"]
    assert lines_of(tmp_path / "bare") == lines_of(tmp_path / "links")
    for row in rows_of(cropped):
        if row["crop"] and "/" in row["image"]:
            name = f"{row['image'].split('/')[-2]}/{row['crop'].replace('/', '__')}"
            assert os.path.samefile(tmp_path / "links" / name, cropped / row["crop"])
            assert not os.path.samefile(tmp_path / "copies" / name, cropped / row["crop"])
    assert (linked.linked, copied.linked, bare.linked) == (linked.count, 0, 0)
    assert linked.left_out == {"failed": 4, "without a folder": 3}
    assert product(cropped) == before


def test_photos_that_are_symbolic_links_are_linked_themselves(tmp_path: Path) -> None:
    write_photo(tmp_path / "elsewhere" / "a.jpg")
    (tmp_path / "in" / "day").mkdir(parents=True)
    (tmp_path / "in" / "day" / "a.jpg").symlink_to("../../elsewhere/a.jpg")
    crop(tmp_path / "in", tmp_path / "cropped")
    api.export(tmp_path / "cropped", TO, tmp_path / "deep" / "er" / "out", of="photos", label="folder")
    (made,) = (tmp_path / "deep").rglob("*.jpg")
    assert not made.is_symlink()
    assert made.read_bytes() == (tmp_path / "elsewhere" / "a.jpg").read_bytes()


def test_a_link_survives_what_is_done_to_the_folder(cropped: Path, tmp_path: Path) -> None:
    api.export(cropped, TO, tmp_path / "out", label="folder")
    made = files_of(tmp_path / "out")
    crop(tmp_path / "in", cropped, overwrite=True, size=48)
    assert files_of(tmp_path / "out") == made


def test_a_second_one_into_the_same_folder_is_refused(cropped: Path, tmp_path: Path) -> None:
    api.export(cropped, TO, tmp_path / "out", label="folder")
    with untouched(tmp_path / "out"), refused("out_not_empty", names=["--out"]):
        api.export(cropped, TO, tmp_path / "out", label="folder")
    (tmp_path / "empty").mkdir()
    api.export(cropped, TO, tmp_path / "empty", label="folder")
    assert files_of(tmp_path / "empty") == files_of(tmp_path / "out")


@pytest.mark.parametrize(
    ("out", "code"),
    [
        ("cropped/exported", "out_not_apart"),
        ("in/exported", "out_not_apart"),
        ("s3://bucket/exported", "out_not_writable"),
    ],
)
def test_places_that_are_refused(cropped: Path, tmp_path: Path, out: str, code: str) -> None:
    where = out if ":" in out else tmp_path / out
    before = files_of(tmp_path)
    with refused(code):
        api.export(cropped, TO, where, label="folder")
    assert files_of(tmp_path) == before


def test_settings_that_a_format_does_not_know(cropped: Path, tmp_path: Path) -> None:
    with refused("option_not_applicable", names=["--part test", "--label"]):
        api.export(cropped, TO, tmp_path / "out", part="test")
    with refused("no_such_export", match="did you mean imagefolder"):
        api.export(cropped, "imagefolders", tmp_path / "out")
    with refused("no_such_column"):
        api.export(cropped, TO, tmp_path / "out", label="species")
    misspelt: dict[str, Any] = {"lable": "species"}
    with pytest.raises(TypeError, match="lable"):
        api.export(cropped, TO, tmp_path / "out", **misspelt)
    assert not (tmp_path / "out").exists()


def test_nothing_is_left_behind(cropped: Path, tmp_path: Path) -> None:
    before = files_of(tmp_path)
    with refused("no_class", names=["--label"]):
        api.export(cropped, TO, tmp_path / "out")
    assert files_of(tmp_path) == before


def test_what_a_killed_export_left_is_removed_and_what_others_have_there_is_not(
    cropped: Path, tmp_path: Path
) -> None:
    partial = tmp_path / ".out.partial"
    (partial / "deep").mkdir(parents=True)
    (partial / "deep" / "theirs.jpg").write_bytes(b"theirs")
    with untouched(partial), refused("foreign_partial"):
        api.export(cropped, TO, tmp_path / "out", label="folder")
    (partial / ".detic-crop-export").touch()
    api.export(cropped, TO, tmp_path / "out", label="folder")
    assert not partial.exists()
    assert "deep/theirs.jpg" not in files_of(tmp_path / "out")


def test_verdicts_count_once_they_are_applied(cropped: Path, tmp_path: Path) -> None:
    rejected, redrawn, accepted = [row["image"] for row in rows_of(cropped) if row["status"] == "cropped"][:3]
    give_verdict(cropped, rejected, "rejected")
    give_verdict(cropped, redrawn, "box", DRAWN)
    give_verdict(cropped, accepted, "accepted")
    with refused("verdicts_wait", names=["2 verdicts", "detic-crop apply"]):
        api.export(cropped, TO, tmp_path / "out", label="folder")
    api.apply(cropped, quiet=True)
    result = api.export(cropped, TO, tmp_path / "out", label="folder")
    assert result.left_out["rejected"] == 1
    lines = {line["photo"]: line for line in lines_of(tmp_path / "out").values()}
    assert rejected not in lines
    if redrawn in lines:
        assert lines[redrawn]["box"] == [round(edge) for edge in DRAWN]


def test_numbers_boxes_and_what_is_missing(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 6)
    labels = ["image,species,file_name", *(f"{key},a/b,x" for key in write_photos(tmp_path / "in", 6))]
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv")
    api.export(tmp_path / "cropped", TO, tmp_path / "out")
    lines = lines_of(tmp_path / "out")
    rows = {row["image"]: row for row in rows_of(tmp_path / "cropped")}
    assert {name.split("/")[0] for name in lines} == {"a_b"}
    for line in lines.values():
        row = rows[line["photo"]]
        assert line["box"] == ([int(edge) for edge in row["box"].split()] or None)
        assert line["score"] == (float(row["score"]) if row["score"] else None)
        assert (line["species"], line["label_file_name"]) == ("a/b", "x")
        assert "image" not in line


def test_crops_in_tar_files_are_copied(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 9)
    crop(tmp_path / "in", tmp_path / "files")
    crop(tmp_path / "in", tmp_path / "tars", out_format="tar")
    api.export(tmp_path / "files", TO, tmp_path / "of_files", label="folder")
    result = api.export(tmp_path / "tars", TO, tmp_path / "of_tars", label="folder")
    assert result.linked == 0
    assert sorted(
        data for name, data in files_of(tmp_path / "of_files").items() if name.endswith(".jpg")
    ) == sorted(data for name, data in files_of(tmp_path / "of_tars").items() if name.endswith(".jpg"))


def test_every_animal_is_a_picture(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 9)
    crop(tmp_path / "in", tmp_path / "cropped", animals="all", classes="any", conf=0.05)
    result = api.export(tmp_path / "cropped", TO, tmp_path / "out", label="folder")
    records = records_of(tmp_path / "cropped")
    expected = sum(
        bool(animal.crop_bytes) for key, record in records.items() if "/" in key for animal in record.animals
    )
    assert result.count == expected > 6
    for line in lines_of(tmp_path / "out").values():
        animal = next(one for one in records[line["photo"]].animals if one.number == line["animal"])
        assert line["score"] == pytest.approx(animal.score, abs=1e-4)


def test_photos_that_readers_would_misread_are_encoded_anew(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "a"
    for seed, name in enumerate(("plain.jpg", "flat.tif", "wrong.png", "wanted.PNG", "grey.webp")):
        write_photo(folder / name, seed)
    (folder / "wrong.png").write_bytes((folder / "plain.jpg").read_bytes())  # its name lies
    Image.fromarray(picture(7)).save(folder / "turned.jpg", exif=b"Exif\0\0" + exif({ORIENTATION: 6}))
    cut = (folder / "plain.jpg").read_bytes()[:-300]
    (folder / "cut.jpg").write_bytes(cut)
    crop(tmp_path / "in", tmp_path / "cropped")
    result = api.export(tmp_path / "cropped", TO, tmp_path / "out", of="photos", label="folder")
    made = lines_of(tmp_path / "out")
    assert sorted(made) == [
        "a/a__cut.jpg",
        "a/a__flat.tif.jpg",
        "a/a__grey.webp.jpg",
        "a/a__plain.jpg",
        "a/a__turned.jpg",
        "a/a__wanted.PNG",
        "a/a__wrong.png",
    ]
    linked = {name for name in made if (tmp_path / "out" / name).stat().st_nlink > 1}
    assert linked == {"a/a__plain.jpg", "a/a__wanted.PNG"}
    assert result.linked == 2
    for name, line in made.items():
        with Image.open(tmp_path / "out" / name) as image:
            assert image.size == (line["width"], line["height"])
            assert image.getexif().get(0x0112, 1) == 1
            assert image.format == ("PNG" if name.lower().endswith(".png") else "JPEG")
            image.load()


def test_photos_that_are_gone_or_have_changed_are_left_out_and_said(
    cropped: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = sorted(path for path in (tmp_path / "in" / "day1").iterdir())
    keys[0].unlink()
    write_photo(keys[1], 77)
    code = main(
        [
            "export",
            str(cropped),
            "--to",
            TO,
            "--of",
            "photos",
            "--label",
            "folder",
            "--out",
            str(tmp_path / "o"),
        ]
    )
    said = capfd.readouterr().out
    assert code == 0
    assert "photo: missing_file 1" in said
    assert "photo: changed 1" in said
    assert "1 of 9 photos is not where the run found them" in said
    assert len(lines_of(tmp_path / "o")) == len(files_of(tmp_path / "o")) - 1 == 4


def test_crops_that_are_gone_or_cut_are_left_out_and_said(cropped: Path, tmp_path: Path) -> None:
    crops = sorted((cropped / "day1").iterdir())
    crops[0].unlink()
    crops[1].write_bytes(b"cut")
    result = api.export(cropped, TO, tmp_path / "out", label="folder")
    assert result.count == 4
    assert {why: count for why, count in result.left_out.items() if "crop" in why} == {
        "crop is gone; run the `run` command again": 1,
        "crop: not_an_image": 1,
    }


def test_moved_photos(cropped: Path, tmp_path: Path) -> None:
    (tmp_path / "in").rename(tmp_path / "moved")
    result = api.export(cropped, TO, tmp_path / "out", of="photos", label="folder", input=tmp_path / "moved")
    assert result.count == 6


def test_nothing_to_export(tmp_path: Path) -> None:
    write_damaged(tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "cropped")
    with refused("nothing_to_export", names=["failed 4"]):
        api.export(tmp_path / "cropped", TO, tmp_path / "out", label="folder")
    with refused("no_run"):
        api.export(tmp_path / "in", TO, tmp_path / "out")


def test_the_command_line(cropped: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(cropped), "--to", TO, "--out", str(tmp_path / "out"), "--quiet"]) == 2
    complained("no_class", capfd.readouterr().err)
    command = ["export", str(cropped), "--to", TO, "--out", str(tmp_path / "out"), "--label", "folder"]
    assert main(command) == 0
    said = capfd.readouterr()
    assert said.out.splitlines()[-1] == f"imagefolder: 6 crops (6 as links) in {tmp_path / 'out'}"
    assert "left out: 7 (failed 4, without a folder 3)" in said.out
    assert main(["export", "--help"]) == 0
    help = capfd.readouterr().out
    assert [name for name in FORMATS if name not in help] == []


# ------------------------------------------------------------ names


class _Named:
    """As much of a picture as names need."""

    def __init__(self, name: str) -> None:
        self.name, self.key, self.animal = name, name, None


def test_no_two_pictures_share_a_name() -> None:
    keys = ["a/b.jpg", "a__b.jpg", "A__B.jpg", "a__b-2.jpg", "c.jpg", "d/c.jpg"]
    pictures: list[Any] = [_Named(key) for key in keys]
    names = UniqueNames(pictures, lambda picture: flat(picture.name))
    found = [names(picture) for picture in pictures]
    assert found == ["a__b.jpg", "a__b-3.jpg", "A__B-4.jpg", "a__b-2.jpg", "c.jpg", "d__c.jpg"]
    assert len({name.casefold() for name in found}) == len(keys)
    assert names.changed == 2


def test_two_pictures_that_want_one_name_are_both_there(tmp_path: Path) -> None:
    for number, key in enumerate(["x/a/b.jpg", "x/a__b.jpg"]):
        write_photo(tmp_path / "in" / key, number)
    (tmp_path / "labels.csv").write_text("image,species\nx/a/b.jpg,orca\nx/a__b.jpg,orca\n")
    crop(tmp_path / "in" / "x", tmp_path / "cropped", labels=tmp_path / "labels.csv")
    assert api.export(tmp_path / "cropped", TO, tmp_path / "out").count == 2
    assert sorted(lines_of(tmp_path / "out")) == ["orca/a__b-2.jpg", "orca/a__b.jpg"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("a.JPEG", "a.JPEG"),
        ("a.png", "a.png"),
        ("a.tif", "a.tif.jpg"),
        ("a", "a.jpg"),
        ("a.webp", "a.webp.jpg"),
    ],
)
def test_extensions(name: str, expected: str) -> None:
    assert with_extension_of(name, ("JPEG", "PNG")) == expected


# ------------------------------------------------------------ boxes in crops


@pytest.mark.parametrize("fit", ["stretch", "pad", "square"])
@pytest.mark.parametrize("size", [64, "96x48", "long:40", "native"])
def test_a_box_lies_on_the_same_pixels_in_the_crop(tmp_path: Path, fit: Fit, size: Any) -> None:
    """A white rectangle in a black photo is the box; in the crop it is where the box is said to be."""
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[100:180, 120:280] = 255
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), photo)
    (tmp_path / "boxes.csv").write_text("image,xmin,ymin,xmax,ymax\na.png,120,100,280,180\n")
    api.run(
        tmp_path / "in",
        tmp_path / "out",
        model=f"boxes:{tmp_path / 'boxes.csv'}",
        fit=fit,
        size=size,
        format="png",
        scale=1.5,
        quiet=True,
    )
    (record,) = records_of(tmp_path / "out").values()
    assert record.crop_box is not None
    box = ExportedBox((120, 100, 280, 180), "a", None)
    (found,) = in_crop([box], record.crop_box, crop_size(size, fit))
    crop_made = cv2.imread(str(tmp_path / "out" / "a.png"), cv2.IMREAD_GRAYSCALE)
    assert crop_made is not None
    rows, columns = np.nonzero(crop_made > 127)
    seen = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert found.xyxy == pytest.approx(seen, abs=1.01)


def test_boxes_hardly_in_a_crop_are_left_out() -> None:
    size = crop_size(100, "stretch")
    inside, edge, outside = (ExportedBox(xyxy, "a", 1.0) for xyxy in (
        (10.0, 10.0, 20.0, 20.0), (90.0, 10.0, 130.0, 20.0), (195.0, 10.0, 300.0, 20.0)
    ))  # fmt: skip
    assert in_crop([inside, edge, outside], (0, 0, 100, 100), size) == (
        inside,
        edge._replace(xyxy=(90.0, 10.0, 100.0, 20.0)),
    )
    assert placed_in_crop((50, 50, 100, 100), (50, 50, 150, 250), size) == (0, 0, 50, 25)


# ------------------------------------------------------------ all formats


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_made_well(name: str) -> None:
    export = export_named(name)
    assert isinstance(export, Export)
    assert export.of
    assert export.takes <= set(Asked.__dataclass_fields__) - {"of"}
    assert ("pictures" in export.takes) == (export.pictures != "none") or export.pictures == "none"
    assert export.write.__doc__


def test_the_library_offers_it(cropped: Path, tmp_path: Path) -> None:
    result = detic_crop.export(cropped, TO, tmp_path / "out", label="folder")
    assert (result.to, result.out, result.of, result.count) == (TO, tmp_path / "out", "crops", 6)
