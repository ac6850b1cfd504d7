"""What audit.html draws: the map of the frame, scores by species, photos by time; and its head."""

from __future__ import annotations

import dataclasses
from array import array
from datetime import date

import numpy as np
import pytest
from msgspec.structs import replace

from detic_crop.folder.records import Record
from detic_crop.folder.times_file import Times
from detic_crop.photos.labels import Labels
from detic_crop.report.html.frame_map import COLUMNS, ROWS, frame_map
from detic_crop.report.html.head import Made
from detic_crop.report.html.histograms import Plot
from detic_crop.report.html.photo_times import PhotoTimes, times_plot
from detic_crop.report.html.score_rows import score_rows
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.rates import Rates
from detic_crop.report.suspicion import Doubts

# ---------------------------------------------------------------- the map of the frame


def cells(boxes: list[tuple[float, float, float, float]]) -> np.ndarray:
    """Opacity of each cell, (ROWS, COLUMNS)."""
    found = frame_map(array("f", [edge for box in boxes for edge in box]))
    assert found is not None
    shades = np.zeros((ROWS, COLUMNS))
    for run in found.runs:
        assert not shades[run.row, run.column : run.column + run.width].any()
        shades[run.row, run.column : run.column + run.width] = run.shade
    return shades


def test_each_cell_counts_the_boxes_over_its_middle() -> None:
    chance = np.random.default_rng(3)
    corners = np.sort(chance.uniform(-0.1, 1.1, (200, 2, 2)), axis=1)  # some beyond the edges
    boxes = [(a[0], a[1], b[0], b[1]) for a, b in corners.astype(np.float32).tolist()]
    counts = np.zeros((ROWS, COLUMNS))
    for row in range(ROWS):
        for column in range(COLUMNS):
            x, y = (column + 0.5) / COLUMNS, (row + 0.5) / ROWS
            counts[row, column] = sum(
                left <= x < right and top <= y < bottom for left, top, right, bottom in boxes
            )
    expected = np.ceil(counts / counts.max() * 20) / 20
    assert np.allclose(cells(boxes), expected)


def test_a_box_over_all_of_the_photo_fills_the_frame() -> None:
    assert (cells([(0, 0, 1, 1)]) == 1).all()
    found = frame_map(array("f", [0.0, 0.0, 0.4, 0.4] * 3 + [0.1, 0.1, 0.2, 0.2]))
    assert found is not None
    assert (found.number, found.highest) == (4, 1.0)
    assert found.about == "most boxes, 100 % of them, cover the upper left of the photo"


@pytest.mark.parametrize("boxes", [[], [0.5, 0.5, 0.5, 0.5], [2.0, 2.0, 3.0, 3.0]])
def test_no_box_no_map(boxes: list[float]) -> None:
    assert frame_map(array("f", boxes)) is None


# ---------------------------------------------------------------- scores


def crop(species: str, score: float, **values: object) -> AuditPhoto:
    record = Record(
        "a.jpg", "cropped", class_name="Whale", score=score, box=(0.0, 0.0, 5.0, 5.0), width=9, height=9
    )
    return AuditPhoto(replace(record, **values), (("a.jpg", species),), Doubts((), 0.0))


LABELS = Labels(["image", "Species"], [], "image")


def test_rows_are_the_most_frequent_species_with_their_quartiles() -> None:
    rates = Rates(LABELS)
    for number in range(41):
        rates.add(crop("orca", number / 40))
    for number in range(3):
        rates.add(crop("beluga", 0.2 * number))
    for number in range(20):
        rates.add(crop(f"rare {number}", 0.5))
    found = score_rows(rates, 0.25)
    assert found is not None
    assert found.by == "Species"
    orca, beluga, *_ = found.rows
    assert (orca.name, orca.number, orca.words) == ("orca", 41, "median 0.50, half from 0.25 to 0.75")
    assert [orca.low, orca.lower, orca.median, orca.upper, orca.high] == pytest.approx(
        [8 + 304 * share for share in (0.05, 0.25, 0.5, 0.75, 0.95)]
    )
    assert orca.dots == []
    assert beluga.dots == pytest.approx([8, 8 + 304 * 0.2, 8 + 304 * 0.4])
    assert found.conf == pytest.approx(8 + 304 * 0.25)
    assert len(found.rows) + found.left_out == 22


def test_without_species_the_classes_are_compared_if_there_are_two() -> None:
    rates = Rates(None)
    rates.add(crop("", 0.5))
    assert score_rows(rates, 0.25) is None
    rates.add(crop("", 0.5, class_name="Dolphin"))
    found = score_rows(rates, None)
    assert found is not None
    assert (found.by, found.conf, len(found.rows)) == ("class", None, 2)


# ---------------------------------------------------------------- times


def taken(*times: str, known: Times | None = None) -> Plot | None:
    counted = PhotoTimes(known or Times())
    for number, time in enumerate(times):
        photo = crop("orca", 0.5, image=f"{number}.jpg", taken=time)
        counted.add(photo)
    return times_plot(counted)


def bars(plot: Plot | None) -> dict[str, int]:
    """Name → number of photos."""
    assert plot is not None
    return {
        words.rpartition(": ")[0]: int(words.rpartition(": ")[2])
        for words in (bar.words for bar in plot.bars)
    }


@pytest.mark.parametrize(
    ("times", "title", "expected"),
    [
        (
            ("2019-06-12T09:10:11", "2019-06-12T09:59:59", "2019-06-12T14:00:00"),
            "Photos by hour",
            {"12 June 2019, 9:00": 2, "12 June 2019, 14:00": 1},
        ),
        (
            ("2019-06-30T09:10:11", "2019-07-03T09:10:11.25+02:00"),
            "Photos by day",
            {"30 June 2019": 1, "3 July 2019": 1},
        ),
        (
            ("2019-12-30T09:10:11", "2020-04-03T09:10:11"),
            "Photos by month",
            {"December 2019": 1, "April 2020": 1},
        ),
        (("1999-12-30T09:10:11", "2020-04-03T09:10:11"), "Photos by year", {"1999": 1, "2020": 1}),
        (
            ("1900-01-01T00:00:00", "2020-04-03T09:10:11"),
            "Photos by year",
            {"1900 and later": 1, "2020 and later": 1},
        ),
    ],
)
def test_the_bars_are_as_long_as_fits(times: tuple[str, ...], title: str, expected: dict[str, int]) -> None:
    plot = taken(*times)
    assert bars(plot) == expected
    assert plot is not None
    assert plot.title == title
    assert all(bar.x >= 7 and bar.x + bar.width <= 313 for bar in plot.bars)


def test_cropped_photos_and_others_are_told_apart() -> None:
    counted = PhotoTimes(Times())
    for number, status in enumerate(("cropped", "resized", "failed", "rejected")):
        counted.add(
            crop("orca", 0.5, image=f"{number}.jpg", status=status, taken=f"2019-06-12T0{number}:00:00")
        )
    plot = times_plot(counted)
    assert plot is not None
    assert [bar.kind for bar in plot.bars] == ["first", "second"]
    assert plot.total == 2


def test_times_that_were_looked_up_later_count_too() -> None:
    known = Times()
    known.add(Record("1.jpg", "cropped"), "2019-06-12T14:00:00", "camera")
    assert bars(taken("2019-06-12T09:00:00", "", "", known=known)) == {
        "12 June 2019, 9:00": 1,
        "12 June 2019, 14:00": 1,
    }


@pytest.mark.parametrize(
    "times", [(), ("",), ("2019-06-12T09:00:00",) * 3, ("nonsense, but long", "2019-06-12T09")]
)
def test_nothing_is_drawn_of_less_than_two_times(times: tuple[str, ...]) -> None:
    assert taken(*times) is None


# ---------------------------------------------------------------- the head


def test_the_day_is_that_of_the_run() -> None:
    made = Made.of("cropped", "2026-11-29T23:59:59+0100", "1.2")
    assert made == Made("cropped", date(2026, 11, 29), "1.2")
    assert made.day_in_words == "29 November 2026"


@pytest.mark.parametrize("started", ["", "yesterday", "2026-13-01T00:00:00", "<b>"])
def test_what_is_no_time_is_no_day(started: str) -> None:
    assert Made.of("cropped", started, "").day_in_words == ""


@pytest.mark.parametrize(
    ("folder", "word"),
    [
        ("cropped", "cropped"),
        ("my crops", "'my crops'"),
        ("-rf", "./-rf"),
        ("$(x)", "'$(x)'"),
        ("s3://bucket/cropped", "s3://bucket/cropped"),
    ],
)
def test_commands_name_the_folder_as_a_shell_reads_it(folder: str, word: str) -> None:
    assert dataclasses.replace(Made("x"), folder=folder).quoted == word
