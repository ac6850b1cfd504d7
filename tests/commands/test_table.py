"""audit.csv and what it doubts: the columns, each flag on both sides of its threshold, the one number."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from detic_crop import api
from detic_crop.config import CropConfig
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from detic_crop.folder.state import load_labels, save_labels
from detic_crop.photos.labels import Labels, parse_labels
from detic_crop.report.model import Audit
from detic_crop.report.photos import judge
from detic_crop.report.rows import Row, missing_record, table_rows
from detic_crop.report.suspicion import FLAGS, IMAGE_CHECKS, area_fraction, doubts_of, flags_of
from detic_crop.report.table import COLUMNS, row_cells, write_table
from tests.kit.errors import refused

CONFIG = CropConfig(model="lite", conf=0.5, size=400)

# A crop nothing is wrong with: 400 × 400 in 1000 × 800, far from every edge, surely a whale.
GOOD = Record(
    image="d/a.png",
    status="cropped",
    reason="largest_box",
    crop="d/a.jpg",
    width=1000,
    height=800,
    class_name="Whale",
    score=0.9,
    presence=0.9,
    box=(300.0, 200.0, 700.0, 600.0),
    crop_box=(260, 160, 740, 640),
    n_candidates=1,
    best_class="Whale",
    best_score=0.9,
    best_box=(300.0, 200.0, 700.0, 600.0),
    model="lite",
)
NOT_FOUND = Record(
    image="b.png",
    status="resized",
    reason="not_found",
    crop="b.jpg",
    width=640,
    height=480,
    presence=0.25,
    crop_box=(0, 0, 640, 480),
    model="lite",
)
NOT_LISTED = replace(NOT_FOUND, reason="not_listed", unlisted=True, presence=None)
FAILED = Record(image="c.png", status="failed", reason="unreadable", error="it is torn", stage="decode")


def at(left: float, top: float, right: float, bottom: float) -> Record:
    return replace(GOOD, box=(left, top, right, bottom))


# For every flag: records that just miss it, and records that just earn it.
EDGES: dict[str, tuple[list[Record], list[Record]]] = {
    "smaller_box_more_confident": (
        [GOOD, replace(GOOD, best_score=None), replace(GOOD, score=None, best_score=0.99)],
        [replace(GOOD, best_score=0.900001)],
    ),
    # Half of the score of 0.9.
    "larger_box_less_confident": (
        [replace(GOOD, larger_score=0.449999)],
        [replace(GOOD, larger_score=0.45)],
    ),
    # --conf 0.5: the lowest fifth ends at 0.6.
    "low_score": (
        [replace(GOOD, score=0.6, best_score=0.6), replace(GOOD, score=None)],
        [replace(GOOD, score=0.599999)],
    ),
    # 1 % of 800,000 px is 8,000 px.
    "tiny_box": ([at(300, 300, 400, 380)], [at(300, 300, 400, 379.99), at(300, 300, 301, 301)]),
    # 95 % is 760,000 px.
    "whole_image": ([at(25, 0, 975, 800)], [at(25, 0, 975.01, 800), at(0, 0, 1000, 800)]),
    # 0.5 % of the longer side is 5 px, on each of the four sides.
    "touches_edge": (
        [
            at(5.01, 200, 700, 600),
            at(300, 5.01, 700, 600),
            at(300, 200, 994.99, 600),
            at(300, 200, 700, 794.99),
        ],
        [at(5, 200, 700, 600), at(300, 0, 700, 600), at(300, 200, 995, 600), at(300, 200, 700, 800)],
    ),
    "extreme_aspect": (
        [at(100, 200, 900, 300), at(300, 80, 380, 720)],
        [at(100, 200, 900.1, 300), at(300, 80, 379.9, 720)],
    ),
    # --size 400: as long as one side of the rectangle is shrunk or kept, nothing is invented.
    "upscaled": (
        [replace(GOOD, crop_box=(300, 200, 700, 500)), replace(GOOD, crop_box=(300, 200, 310, 600))],
        [replace(GOOD, crop_box=(300, 200, 699, 599))],
    ),
    "several_animals": (
        [replace(GOOD, n_candidates=5)],
        [replace(GOOD, n_apart=1), replace(GOOD, n_apart=9)],
    ),
    "class_conflict": (
        [replace(GOOD, rival_class="Boat", rival_score=0.9), replace(GOOD, score=None, rival_score=0.99)],
        [replace(GOOD, rival_class="Boat", rival_score=0.900001)],
    ),
    "truncated_file": (
        [GOOD, NOT_FOUND],
        [replace(GOOD, truncated=True), replace(NOT_FOUND, truncated=True)],
    ),
    "damaged_file": (
        [GOOD, NOT_FOUND, replace(GOOD, damaged=False), replace(GOOD, damaged=None)],
        [replace(GOOD, damaged=True), replace(NOT_FOUND, damaged=True)],
    ),
    "not_found": ([GOOD, replace(NOT_FOUND, reason="reviewed_whole"), NOT_LISTED], [NOT_FOUND]),
    "not_listed": ([GOOD, NOT_FOUND, replace(NOT_LISTED, reason="reviewed_whole")], [NOT_LISTED]),
    "blurry": ([replace(GOOD, blur=0.55)], [replace(GOOD, blur=0.551), replace(NOT_FOUND, blur=1.0)]),
    "dark": ([replace(GOOD, brightness=40.0)], [replace(GOOD, brightness=39.9)]),
    "low_information": ([replace(GOOD, entropy=5.0)], [replace(GOOD, entropy=4.99)]),
    "shrunk": ([GOOD], [replace(GOOD, is_shrunk=True)]),
}
OF_ALL_ROWS = {"duplicate", "near_duplicate"}

scores = st.none() | st.integers(0, 10**6).map(lambda n: n / 10**6)
confs = st.none() | st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.999, 1.0])


@st.composite
def any_records(draw: st.DrawFn) -> Record:
    """A record that a run could have written, good or bad."""
    width, height = draw(st.integers(1, 5000)), draw(st.integers(1, 5000))
    x = sorted(draw(st.tuples(*[st.integers(0, width * 100)] * 2)))
    y = sorted(draw(st.tuples(*[st.integers(0, height * 100)] * 2)))
    box = (x[0] / 100, y[0] / 100, (x[1] + 1) / 100, (y[1] + 1) / 100)
    return Record(
        image="a.png",
        status=draw(st.sampled_from(["cropped", "resized", "failed", "rejected"])),
        reason=draw(st.sampled_from(["largest_box", "not_found", "unreadable"])),
        width=width,
        height=height,
        score=draw(scores),
        presence=draw(scores),
        box=draw(st.none() | st.just(box)),
        crop_box=draw(st.none() | st.just((0, 0, width, height))),
        best_score=draw(scores),
        n_apart=draw(st.integers(0, 3)),
        rival_score=draw(scores),
        truncated=draw(st.booleans()),
        damaged=draw(st.none() | st.booleans()),
        larger_score=draw(scores),
    )


def table(
    tmp_path: Path, rows: Sequence[Row], labels: Labels | None = None, config: CropConfig = CONFIG
) -> Path:
    folder = OutputFolder(tmp_path / "out")
    write_table(folder, Audit(config, rows, judge(rows, config), labels))
    return folder.layout.audit_csv


def read(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode(), newline=""), strict=True))


# --- the table


def test_the_columns_are_the_documented_ones(tmp_path: Path) -> None:
    documented = (
        "image crop status reason width height class_name score presence box crop_box n_candidates "
        "best_class best_score best_box area_frac flags suspicion duplicate_of verdict detector_box "
        "model error"
    )
    assert list(COLUMNS) == documented.split()
    assert all(COLUMNS.values())
    assert read(table(tmp_path, [])) == [documented.split()]
    assert list(row_cells(GOOD, doubts_of(GOOD, CONFIG))) == list(COLUMNS)


def test_no_table_to_read_is_an_error_in_words(tmp_path: Path) -> None:
    with refused("no_audit_csv"):
        api.read_audit(tmp_path)


def test_rows_by_hand(tmp_path: Path) -> None:
    record = replace(
        GOOD, box=(300.5, 200.25, 700.0, 600.75), best_box=(0.0, 0.01, 9.99, 9.0), n_candidates=2
    )
    path = table(tmp_path, [Row(record), Row(NOT_FOUND), Row(FAILED)])
    assert path.read_bytes().decode().splitlines()[1:] == [
        "d/a.png,d/a.jpg,cropped,largest_box,1000,800,Whale,0.9000,0.9000,300 200 700 601,260 160 740 640,"
        "2,Whale,0.9000,0 0 10 9,0.2000,,0.1900,,,,lite,",
        "b.png,b.jpg,resized,not_found,640,480,,,0.2500,,0 0 640 480,0,,,,,not_found,0.2500,,,,lite,",
        "c.png,,failed,unreadable,,,,,,,,,,,,,,1.0000,,,,,it is torn",
    ]


def test_the_box_column_reads_with_the_one_liner_of_the_original_data_set(tmp_path: Path) -> None:
    p = table(tmp_path, [Row(GOOD), Row(NOT_FOUND), Row(FAILED)])
    boxes = pd.read_csv(p).box.map(lambda s: list(map(int, s.split())) if s == s else None)
    assert boxes[0] == [300, 200, 700, 600]
    assert boxes.isna().tolist() == [False, True, True]
    empty = pd.read_csv(table(tmp_path, [Row(NOT_FOUND)])).box
    assert empty.map(lambda s: list(map(int, s.split())) if s == s else None).isna().all()


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=8)


@given(st.lists(names, min_size=1, max_size=5), st.data())
def test_any_name_survives_the_table(
    tmp_path_factory: pytest.TempPathFactory, images: list[str], data: st.DataObject
) -> None:
    rows = [Row(replace(GOOD, image=image, crop=image, error=data.draw(names))) for image in images]
    cells = read(table(tmp_path_factory.mktemp("t"), rows))
    assert [row[:2] for row in cells[1:]] == [[image, image] for image in images]
    assert [row[-1] for row in cells[1:]] == [row.record.error for row in rows]


@pytest.mark.parametrize(
    "name", ["=1+1.jpg", "+a.jpg", "-a.jpg", "@SUM(A1).jpg", "a\rb.jpg", "a\nb.jpg", 'a"b,c.jpg', "🐋.jpg"]
)
def test_odd_names_stand_as_they_are(tmp_path: Path, name: str) -> None:
    path = table(tmp_path, [Row(replace(GOOD, image=name)), Row(NOT_FOUND)])
    assert [row[0] for row in read(path)] == ["image", name, "b.png"]
    assert pd.read_csv(path).image.tolist() == [name, "b.png"]


def test_odd_column_names_stand_as_they_are(tmp_path: Path) -> None:
    columns = ["file", "a\rb", "c\nd", 'e"f', "=1"]
    labels = Labels(columns, [["x"] * 5], "file")
    header, row = read(table(tmp_path, [Row(GOOD, labels.rows[0])], labels))
    assert header == [*columns, *COLUMNS]
    assert row[:5] == ["x"] * 5


def test_text_that_is_no_text_does_not_stop_the_table(tmp_path: Path) -> None:
    path = table(tmp_path, [Row(replace(FAILED, error="cannot read 'a\udcff.jpg'"))])
    assert read(path)[1][0] == "c.png"


# --- rows and labels


def test_rows_are_in_input_order_without_labels() -> None:
    records = {record.image: record for record in (FAILED, GOOD, NOT_FOUND)}
    order = ["b.png", "not done yet.png", "d/a.png"]
    rows = table_rows(records, order, None, [])
    assert [row.record.image for row in rows] == [
        "b.png",
        "d/a.png",
        "c.png",
    ]  # what left the input comes last
    assert table_rows({}, [], None, []) == []
    assert table_rows({}, ["a"], None, []) == []


def test_rows_follow_the_label_file() -> None:
    labels = Labels(
        ["n", "image"], [["1", "b"], ["2", "gone"], ["3", "b"], ["4", "later"], ["5", "a"]], "image"
    )
    records = {record.image: record for record in (GOOD, NOT_FOUND)}
    rows = table_rows(records, ["d/a.png", "b.png"], labels, ["b.png", None, "b.png", "e.png", "d/a.png"])
    assert [(row.record.image, row.label[0]) for row in rows] == [
        ("b.png", "1"),
        ("gone", "2"),
        ("b.png", "3"),
        ("d/a.png", "5"),
    ]
    assert rows[1].record == missing_record("gone")


def test_label_columns_come_first_and_stand_as_they_are(tmp_path: Path) -> None:
    labels = Labels(["id", "image", "species"], [["007", "a", " minke, "], ["8", "gone.jpg", '"x"']], "image")
    rows = [Row(GOOD, labels.rows[0]), Row(missing_record("gone.jpg"), labels.rows[1])]
    header, good, missing = read(table(tmp_path, rows, labels))
    assert header == ["id", "image", "species", *list(COLUMNS)[1:]]
    assert good[:4] == ["007", "a", " minke, ", "d/a.jpg"]  # `image` as its owner spells it
    assert missing[:7] == ["8", "gone.jpg", '"x"', "", "failed", "missing_file", ""]
    assert missing[-1] == "no such photo in --in; add it, or leave it out of --labels"
    assert missing[header.index("suspicion")] == "1.0000"


def test_colliding_label_columns_are_renamed(tmp_path: Path) -> None:
    columns = ["image", "box", "status", "label_status", "label_label_status", "BOX"]
    labels = Labels(columns, [[f"{i}" for i in range(6)]], "image")
    header, row = read(table(tmp_path, [Row(GOOD, labels.rows[0])], labels))
    renamed = ["image", "label_box", "label_label_label_status", "label_status", "label_label_status", "BOX"]
    assert header == [*renamed, *list(COLUMNS)[1:]]
    assert len(set(header)) == len(header)
    assert row[:6] == ["0", "1", "2", "3", "4", "5"]
    assert row[header.index("status")] == "cropped"


def test_labels_with_another_key_column_leave_our_image_column(tmp_path: Path) -> None:
    labels = Labels(["file"], [["a"]], "file")
    header, row = read(table(tmp_path, [Row(GOOD, labels.rows[0])], labels))
    assert header == ["file", *COLUMNS]
    assert row[:2] == ["a", "d/a.png"]


def test_labels_are_kept_byte_for_byte_and_forgotten(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "out")
    assert load_labels(folder) == (None, [])
    data = b"\xef\xbb\xbffile,n\r\na.jpg,1\r\ngone,2\r\n"
    labels = parse_labels(data, "file", "labels.csv")
    save_labels(folder, labels, ["a.jpg", None])
    assert folder.layout.labels.read_bytes() == data
    assert load_labels(folder) == (labels, ["a.jpg", None])
    save_labels(folder, None, [])
    assert load_labels(folder) == (None, [])


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'"x"', b"{}", b'{"keys": []}', b'{"key_column": "file", "keys": []}', None]
)
def test_damaged_label_matches_are_an_error_in_words(tmp_path: Path, damage: bytes | None) -> None:
    folder = OutputFolder(tmp_path / "out")
    save_labels(folder, parse_labels(b"file\na.jpg\n", "file", "labels.csv"), ["a.jpg"])
    if damage is None:
        folder.layout.label_matches.unlink()
    else:
        folder.layout.label_matches.write_bytes(damage)
    with refused("labels_damaged"):
        load_labels(folder)


def test_the_rows_worth_a_look_are_flagged_crops() -> None:
    doubtful = replace(GOOD, n_apart=1)
    records = (
        GOOD,
        doubtful,
        NOT_FOUND,
        FAILED,
        replace(doubtful, status="rejected"),
        replace(GOOD, blur=1.0, brightness=0.0, entropy=0.0),  # says nothing against its box
    )
    photos = judge([Row(replace(record, image=str(n))) for n, record in enumerate(records)], CONFIG)
    assert [key for key, photo in photos.items() if photo.is_flagged] == ["1"]
    assert judge([], CONFIG) == {}


# --- flags


def test_every_flag_has_its_edges_tested() -> None:
    assert set(EDGES) | OF_ALL_ROWS == set(FLAGS)
    assert all(FLAGS.values())
    assert flags_of(GOOD, CONFIG) == ()


@pytest.mark.parametrize(
    ("flag", "record", "applies"),
    [
        (flag, record, applies)
        for flag, sides in EDGES.items()
        for applies, records in zip((False, True), sides, strict=True)
        for record in records
    ],
)
def test_each_side_of_each_rule(flag: str, record: Record, applies: bool) -> None:
    assert (flag in flags_of(record, CONFIG)) == applies


@pytest.mark.parametrize(
    ("conf", "limit"), [(0.0, 0.2), (0.05, 0.24), (0.3, 0.44), (0.5, 0.6), (0.9, 0.92), (None, 0.2)]
)
def test_a_low_score_depends_on_conf(conf: float | None, limit: float) -> None:
    config = CropConfig(conf=conf, size=400)
    for score, low in ((limit + 1e-6, False), (limit - 1e-6, True)):
        record = replace(GOOD, score=score, best_score=score)
        assert ("low_score" in flags_of(record, config)) == low


def test_a_score_on_the_limit_is_not_low() -> None:
    for conf, limit in ((0.05, 0.24), (0.1, 0.28), (0.3, 0.44), (0.5, 0.6), (0.7, 0.76)):
        record = replace(GOOD, score=limit, best_score=limit)
        assert "low_score" not in flags_of(record, CropConfig(conf=conf, size=400))


def test_flags_are_listed_in_the_documented_order() -> None:
    worst = Record(
        image="a",
        status="cropped",
        reason="not_found",
        width=1000,
        height=800,
        score=0.5,
        box=(0.0, 0.0, 90.0, 1.0),
        crop_box=(0, 0, 9, 9),
        best_score=0.7,
        n_apart=1,
        rival_score=0.6,
        larger_score=0.4,
        truncated=True,
        damaged=True,
        blur=1.0,
        brightness=0.0,
        entropy=0.0,
        is_shrunk=True,
    )
    impossible = {"whole_image", "not_listed", *OF_ALL_ROWS}  # it is not_found already
    assert flags_of(worst, CONFIG) == tuple(flag for flag in FLAGS if flag not in impossible)
    assert row_cells(worst, doubts_of(worst, CONFIG))["flags"] == ";".join(flags_of(worst, CONFIG))


def test_a_failed_photo_has_no_flags() -> None:
    assert flags_of(replace(FAILED, truncated=True, damaged=True), CONFIG) == ()
    assert flags_of(missing_record("a"), CONFIG) == ()


def test_the_part_of_the_photo() -> None:
    assert area_fraction(GOOD) == 0.2
    assert area_fraction(at(0, 0, 1000, 800)) == 1
    assert area_fraction(NOT_FOUND) is None
    assert area_fraction(replace(GOOD, width=0, height=0)) is None
    assert area_fraction(replace(GOOD, height=0)) is None  # a damaged record


# --- suspicion


@pytest.mark.parametrize(
    ("record", "suspicion"),
    [
        (FAILED, 1),
        (NOT_FOUND, 0.25),
        (replace(NOT_FOUND, presence=None), 0),
        (GOOD, 1 - 0.9**2),  # d = 0.1 / 0.5; half of it, twice
        (replace(GOOD, score=1.0), 0),
        (replace(GOOD, score=None), 0),  # drawn by a person
        (replace(GOOD, score=0.75), 1 - 0.75**2 * (1 - 0.6)),  # the best score is higher: 0.6
        (replace(GOOD, score=1.0, n_apart=1), 0.2),
        (replace(GOOD, larger_score=0.27), 1 - 0.9**2 * (1 - 0.5 * 0.3)),  # 0.27 / 0.9
        (replace(GOOD, score=1.0, blur=1.0, brightness=0.0, entropy=0.0), 0),
        (replace(GOOD, score=1.0, n_apart=1, truncated=True), 1 - 0.8 * 0.7),
    ],
)
def test_suspicion_by_hand(record: Record, suspicion: float) -> None:
    assert doubts_of(record, CONFIG).suspicion == pytest.approx(suspicion)


def test_an_unusual_box_by_hand() -> None:
    """A quarter of what is ordinary leaves its root, a half, of the trust; what is ordinary leaves all."""
    sure, quarter = replace(GOOD, score=1.0), 0.3 / 4
    assert doubts_of(sure, CONFIG, unusual=quarter).suspicion == pytest.approx(0.5)
    assert doubts_of(GOOD, CONFIG, unusual=quarter).suspicion == pytest.approx(1 - 0.9**2 * 0.5)
    assert doubts_of(NOT_FOUND, CONFIG, unusual=quarter).suspicion == 0.25
    assert doubts_of(sure, CONFIG, unusual=0.3).suspicion == 0
    assert doubts_of(GOOD, CONFIG, unusual=0.6) == doubts_of(GOOD, CONFIG)


def test_a_copy_names_its_original_and_is_no_more_suspicious() -> None:
    doubts = doubts_of(replace(GOOD, n_apart=1, blur=1.0), CONFIG, copy="duplicate", of="first.jpg")
    assert doubts.flags == ("several_animals", "blurry", "duplicate")
    assert doubts.against_the_crop == ("several_animals",)
    assert doubts.suspicion == doubts_of(replace(GOOD, n_apart=1), CONFIG).suspicion
    assert row_cells(GOOD, doubts)["duplicate_of"] == "first.jpg"


@given(any_records(), confs)
def test_suspicion_is_between_zero_and_one(record: Record, conf: float | None) -> None:
    assert 0 <= doubts_of(record, CropConfig(conf=conf)).suspicion <= 1


@pytest.mark.parametrize(
    "record", [replace(GOOD, score=1.0000001), replace(GOOD, score=7.0), replace(NOT_FOUND, presence=1.5)]
)
def test_scores_above_one_do_not_take_suspicion_out_of_its_range(record: Record) -> None:
    """A file of percentages, or a detector whose float32 sum is a hair above 1."""
    assert 0 <= doubts_of(record, CONFIG).suspicion <= 1


@given(
    any_records(), confs, st.sampled_from(["truncated", "damaged", "n_apart", "rival_score", "larger_score"])
)
def test_one_more_doubt_never_makes_a_row_less_suspicious(
    record: Record, conf: float | None, doubt: str
) -> None:
    config = CropConfig(conf=conf)
    values: dict[str, Any] = {"truncated": (False, True), "n_apart": (0, 1), "rival_score": (None, 1.0)}
    values |= {"larger_score": (None, 0.5), "damaged": (None, True)}
    calm, doubted = (
        doubts_of(replace(record, **{doubt: value}), config).suspicion for value in values[doubt]
    )
    assert doubted >= calm


@given(any_records(), st.sampled_from([0.0, 0.3, 0.5]))
def test_a_lower_score_is_never_less_suspicious(record: Record, conf: float) -> None:
    ladder = [
        doubts_of(replace(record, score=score / 20), CropConfig(conf=conf)).suspicion for score in range(21)
    ]
    assert all(lower >= higher for lower, higher in pairwise(ladder))


def test_the_known_problem_leads() -> None:
    """A smaller, more confident box outweighs every other single doubt at the same score."""
    known = doubts_of(replace(GOOD, best_score=0.95), CONFIG).suspicion
    for flag, (_, records) in EDGES.items():
        if flag not in ("smaller_box_more_confident", "not_found", "not_listed", "low_score", *IMAGE_CHECKS):
            for record in records:
                doubts = doubts_of(record, CONFIG)
                if doubts.flags == (flag,):
                    assert doubts.suspicion < known
