"""The labels of a folder: they stay while runs continue, until others come; what is said, and when."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detic_crop import Detections, api
from detic_crop.cli import main as cli
from detic_crop.config import RunOptions
from detic_crop.errors import UsageError
from detic_crop.photos.keys import STATE
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.folders import crop, product, product_and_state, rows_of
from tests.kit.label_tables import Table, separated, workbook
from tests.kit.photos import write_boxes, write_photos

KEPT = "labels: as in the earlier run; --labels FILE replaces them, --no-labels forgets them"


@pytest.fixture
def table(tmp_path: Path) -> list[list[str]]:
    """Labels of three of six photos, and of one that is not there."""
    keys = write_photos(tmp_path / "in", 6)
    return [["image", "id"], [keys[4], "0012"], ["gone.jpg", "x"], [keys[1], "7"], [keys[4], "1e5"]]


def labels_of(out: Path, column: str = "id") -> list[tuple[str, str]]:
    return [(row["image"], row.get(column, "")) for row in rows_of(out)]


# --- the same table in any file gives the same folder


@pytest.mark.parametrize(
    "data_of",
    [
        pytest.param(lambda table: separated(table, ";", "cp1252"), id="; cp1252"),
        pytest.param(lambda table: separated(table, "\t", "utf-16"), id="tab utf-16"),
        pytest.param(lambda table: workbook({"S": table}), id="xlsx"),
    ],
)
def test_the_same_table_in_another_file(
    tmp_path: Path, table: list[list[str]], data_of: Callable[[Table], bytes]
) -> None:
    (tmp_path / "plain.csv").write_bytes(separated(table))
    (tmp_path / "other").write_bytes(data_of(table))
    crop(tmp_path / "in", tmp_path / "plain", labels=tmp_path / "plain.csv")
    crop(tmp_path / "in", tmp_path / "other_out", labels=tmp_path / "other")
    assert product(tmp_path / "other_out") == product(tmp_path / "plain")
    audit = product(tmp_path / "plain")
    for out in ("plain", "other_out"):  # read again from what the folder keeps
        api.write_audit(tmp_path / out)
        assert product(tmp_path / out)["audit.csv"] == audit["audit.csv"]


# --- before the first photo


class Watched(FakeDetector):
    """Notes what was logged when the first photo came."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        super().__init__()
        self.log = log
        self.before: list[str] | None = None

    def detect(self, image: np.ndarray, key: str = "") -> Detections:
        if self.before is None:
            self.before = list(self.log.messages)
        return super().detect(image, key)


def test_the_match_is_said_before_the_first_photo(
    tmp_path: Path, table: list[list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "l.csv").write_bytes(separated(table))
    detector = Watched(caplog)
    with caplog.at_level(logging.INFO, "detic_crop"):
        result = crop(tmp_path / "in", tmp_path / "out", detector=detector, labels=tmp_path / "l.csv")
    said = (
        "labels: 4 rows, 3 match a photo (2 photos in all), 1 does not (first: gone.jpg), "
        "4 photos have no label and are left out"
    )
    assert said in (detector.before or [])
    assert said in result.notes


def test_a_match_of_hardly_any_row_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = write_photos(tmp_path / "in", 12)
    rows = [[f"id{number}", keys[number], "x"] for number in range(12)]
    rows[3][0] = keys[3]
    (tmp_path / "l.csv").write_bytes(separated([["image", "file", "x"], *rows]))
    with caplog.at_level(logging.WARNING, "detic_crop"):
        crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "l.csv", dry_run=True)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning == (
        "labels: hardly any row names a photo by its column 'image'; is --in the folder of these photos? "
        "Else pass --labels-key 'file', which names photos here (12 of the first 12 rows)"
    )


def test_a_table_of_many_more_photos_is_no_reason_to_warn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = write_photos(tmp_path / "in", 2)
    names = [*keys, *(f"other{number}.jpg" for number in range(100))]
    (tmp_path / "l.csv").write_bytes(separated([["image"], *([name] for name in names)]))
    with caplog.at_level(logging.WARNING, "detic_crop"):
        crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "l.csv", dry_run=True)
    assert caplog.messages == []


def test_no_match_proposes_the_column(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 3)
    (tmp_path / "l.csv").write_bytes(separated([["image", "file"], *([f"id{key}", key] for key in keys)]))
    with refused("no_label_matches", names=["pass --labels-key 'file', which names photos here (3 of the"]):
        crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "l.csv")
    assert not (tmp_path / "out").exists()


def test_file_names_in_another_case(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 4)
    (tmp_path / "l.csv").write_bytes(separated([["IMAGE", "id"], *([key.upper(), "1"] for key in keys)]))
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "l.csv")
    assert [row["status"] == "failed" for row in rows_of(tmp_path / "out")] == [False] * 4


# --- they stay


def test_the_same_command_without_them_keeps_them(tmp_path: Path, table: list[list[str]]) -> None:
    (tmp_path / "l.xlsx").write_bytes(workbook({"S": [["Image", "id"], *table[1:]]}))
    crop(tmp_path / "in", tmp_path / "whole", labels=tmp_path / "l.xlsx")
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "l.xlsx", limit=1)
    (tmp_path / "l.xlsx").unlink()
    result = crop(tmp_path / "in", tmp_path / "out")
    assert KEPT in result.notes
    assert product_and_state(tmp_path / "out") == product_and_state(tmp_path / "whole")
    assert crop(tmp_path / "in", tmp_path / "out", labels_key="IMAGE").skipped == 2
    with refused("option_not_applicable", UsageError, names=["'Image'"]):
        crop(tmp_path / "in", tmp_path / "out", labels_key="id")


def test_other_labels_replace_them_and_that_is_said(tmp_path: Path, table: list[list[str]]) -> None:
    (tmp_path / "l.csv").write_bytes(separated(table))
    (tmp_path / "same.csv").write_bytes(separated(table))
    (tmp_path / "new.csv").write_bytes(separated([["image", "id"], [table[3][0], "new"]]))
    said = f"labels: those of {tmp_path / 'new.csv'} replace the ones that {tmp_path / 'out'} has kept so far"
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "l.csv")
    assert not [
        n for n in crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "same.csv").notes if "rep" in n
    ]
    assert said in crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "new.csv").notes
    assert labels_of(tmp_path / "out") == [(table[3][0], "new")]
    crop(tmp_path / "in", tmp_path / "out")
    assert labels_of(tmp_path / "out") == [(table[3][0], "new")]


def test_they_are_forgotten_when_told_so(tmp_path: Path, table: list[list[str]]) -> None:
    (tmp_path / "l.csv").write_bytes(separated(table))
    crop(tmp_path / "in", tmp_path / "plain")
    for forget in ({"no_labels": True}, {"overwrite": True}):
        crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "l.csv")
        result = crop(tmp_path / "in", tmp_path / "out", **forget)
        assert ("labels: those that the folder has kept are forgotten (--no-labels)" in result.notes) == (
            "no_labels" in forget
        )
        assert labels_of(tmp_path / "out") == labels_of(tmp_path / "plain")
        assert not (tmp_path / "out" / STATE / "labels.csv").exists()
    with refused("option_not_applicable"):
        RunOptions(labels=Path("l.csv"), no_labels=True)


def test_kept_labels_that_name_no_photo_of_another_input(tmp_path: Path, table: list[list[str]]) -> None:
    (tmp_path / "l.csv").write_bytes(separated(table))
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "l.csv")
    before = product_and_state(tmp_path / "out")
    write_photos(tmp_path / "more" / "new", 2)
    with refused("kept_labels_match_none", UsageError, names=["--no-labels"]):
        crop(tmp_path / "more", tmp_path / "out", add=True)
    assert product_and_state(tmp_path / "out") == before
    assert crop(tmp_path / "more", tmp_path / "out", add=True, no_labels=True).done == 2


def test_damaged_labels_are_replaced_by_those_of_the_command(tmp_path: Path, table: list[list[str]]) -> None:
    (tmp_path / "l.csv").write_bytes(separated(table))
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "l.csv")
    whole = product(tmp_path / "out")
    with open(tmp_path / "out" / STATE / "labels.csv", "ab") as file:
        file.write(b"more.jpg,1\n")
    with refused("labels_damaged"):
        crop(tmp_path / "in", tmp_path / "out")
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "l.csv")
    assert product(tmp_path / "out") == whole


def test_a_table_that_cannot_be_read_changes_nothing(
    tmp_path: Path, table: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = write_boxes(tmp_path / "boxes.csv", [table[1][0]])
    (tmp_path / "l.csv").write_bytes(separated(table, ";"))
    command = ["run", "--in", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--size", "32"]
    command += ["--model", f"boxes:{boxes}", "--quiet", "--labels"]
    assert cli.main([*command, str(tmp_path / "l.csv")]) == 0
    before = product_and_state(tmp_path / "out")
    capsys.readouterr()
    (tmp_path / "bad.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    (tmp_path / "two.csv").write_bytes(b"Image;IMAGE\na.jpg;b.jpg\n")
    for name in ("bad.xls", "two.csv"):
        assert cli.main([*command, str(tmp_path / name)]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert len(told.err.splitlines()) == 1
    assert product_and_state(tmp_path / "out") == before


# --- shards, merge, recrop


@pytest.mark.slow
def test_shards_keep_them_and_so_do_merge_and_recrop(tmp_path: Path, table: list[list[str]]) -> None:
    (tmp_path / "l.csv").write_bytes(separated([["IMAGE", "id"], *table[1:]], ";", "cp1252"))
    crop(tmp_path / "in", tmp_path / "plain", labels=tmp_path / "l.csv")
    for shard in ("0/2", "1/2"):
        crop(tmp_path / "in", tmp_path / "out", shard=shard, labels=tmp_path / "l.csv", limit=1)
    (tmp_path / "l.csv").unlink()
    for shard in ("0/2", "1/2"):  # the same commands without --labels and the limit
        crop(tmp_path / "in", tmp_path / "out", shard=shard)
    api.merge(tmp_path / "out")
    assert product(tmp_path / "out") == product(tmp_path / "plain")
    api.recrop(tmp_path / "out", tmp_path / "larger", size=48, quiet=True)
    assert labels_of(tmp_path / "larger") == labels_of(tmp_path / "plain")
    crop(tmp_path / "in", tmp_path / "out", shard="0/2")  # after a merge the folder's labels hold
    assert KEPT in crop(tmp_path / "in", tmp_path / "out", shard="1/2").notes
    api.merge(tmp_path / "out")
    assert labels_of(tmp_path / "out") == labels_of(tmp_path / "plain")
