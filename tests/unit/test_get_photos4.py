"""The fourth set of labelled photos, fetched from a web server."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.get_photos4 import LIST, get_photos
from benchmarks.labelled_photos import read_set
from tests.kit.photos import photo_bytes
from tests.kit.servers import web_server

COLUMNS = "folder,file,repository,commit,path,xmin,ymin,xmax,ymax,label,kind,notes,width,height,left\n"
LINES = """\
images,a_one.jpg,some/one,c0,img/a whale (1).png,10,20,50,60,orca,leap,multi,1600,800,
images,b_gone.jpg,some/two,c1,gone.jpg,1,2,3,4,orca,land,,60,40,
negatives,c_sea.jpg,some/two,c1,sea.jpg,,,,,,,,300,400,200
"""


def test_photos_come_as_the_list_describes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed, folder = tmp_path / "list.csv", tmp_path / "set"
    listed.write_text(COLUMNS + LINES)
    files = {
        "/some/one/c0/img/a whale (1).png": photo_bytes(1, ".png", 2400, 1200),
        "/some/two/c1/sea.jpg": photo_bytes(2, ".jpg", 400, 600),  # on its side
    }
    with web_server(files) as web:
        assert not get_photos(folder, web.address, listed)
        said = capsys.readouterr().out.splitlines()
        assert said[-1] == (
            f"{folder}: 1 of 3 photos are there; 1 could not be had; "
            "1 are other pictures than the list describes"
        )
        assert "/some/two/c1/gone.jpg: the server answers 404" in said[0]
        assert said[1].startswith(
            "c_sea.jpg: expected 300 × 400 px, got 200 × 600 px from a picture of 400 × 600 px"
        )
        [photo] = read_set(folder)
        assert (photo.path.name, photo.size, photo.box) == ("a_one.jpg", (1600, 800), (10, 20, 50, 60))
        assert (photo.label, photo.kind, photo.several) == ("orca", "leap", True)

        files["/some/two/c1/sea.jpg"] = sea = photo_bytes(2, ".jpg", 600, 400)
        files["/some/two/c1/gone.jpg"] = photo_bytes(3)
        web.asked.clear()
        web.answers["/some/two/c1/gone.jpg"] = [503]
        assert get_photos(folder, web.address, listed)  # the second try
        assert sorted(web.asked.values()) == [1, 2]  # what was there is not asked for

    photos = read_set(folder)
    assert [photo.path.name for photo in photos] == ["a_one.jpg", "b_gone.jpg", "c_sea.jpg"]
    assert sorted(path.name for path in folder.iterdir()) == ["boxes.csv", "images", "negatives"]
    whole = cv2.imdecode(np.frombuffer(sea, np.uint8), cv2.IMREAD_COLOR)
    assert whole is not None
    assert np.mean(cv2.absdiff(photos[2].pixels(), whole[:, 200:500])) < 3  # the bars are cut off


def test_the_list_names_each_photo_once_and_its_boxes_are_inside() -> None:
    with open(LIST, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [(row["folder"], row["file"]) for row in rows]
    assert len(names) == len(set(names))
    for row in rows:
        edges = [row[edge] for edge in ("xmin", "ymin", "xmax", "ymax")]
        if row["folder"] == "images":
            left, top, right, bottom = map(float, edges)
            assert 0 <= left < right <= int(row["width"])
            assert 0 <= top < bottom <= int(row["height"])
        else:
            assert edges == [""] * 4
