"""Encounters and bursts from times: gaps, clocks, zones, names."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detic_crop.columns import Texts
from detic_crop.splits.encounters import Moments, Numbered, by_text, told_apart

HALF_AN_HOUR = 1800.0


def moments(*photos: tuple[str, str, str]) -> Moments:
    """Return the moments of photos: folder, time, camera."""
    found = Moments()
    for folder, taken, camera in photos:
        found.add(folder, taken, camera)
    return found


def names(numbered: Numbered) -> list[str]:
    return [numbered.name_of(photo) for photo in range(len(numbered.numbers))]


def encounters(*photos: tuple[str, str, str], gap: float = HALF_AN_HOUR) -> list[str]:
    return names(moments(*photos).encounters(gap))


def test_an_encounter_is_called_by_folder_and_first_minute() -> None:
    assert encounters(
        ("day1", "2019-07-04T12:31:05", ""),
        ("day1", "2019-07-04T12:50:00", ""),
        ("day1", "2019-07-04T13:20:00", ""),
        ("day1", "2019-07-04T13:50:01", ""),
    ) == ["day1/2019-07-04_1231", "day1/2019-07-04_1231", "day1/2019-07-04_1231", "day1/2019-07-04_1350"]


def test_photos_need_not_come_in_order_of_time() -> None:
    found = encounters(
        ("", "2019-07-04T13:00:00", ""), ("", "2019-07-04T12:31:05", ""), ("", "2019-07-04T12:45:00", "")
    )
    assert found == ["2019-07-04_1231"] * 3


def test_a_gap_of_just_that_length_parts_nothing() -> None:
    times = ("", "2019-07-04T12:00:00", ""), ("", "2019-07-04T12:30:00", "")
    assert len(set(encounters(*times))) == 1
    assert len(set(encounters(*times, gap=1799.9))) == 2


def test_two_cameras_of_a_folder_are_apart_and_named() -> None:
    found = encounters(
        ("day1", "2019-07-04T12:31:05", "Canon EOS 7D"), ("day1", "2019-07-04T12:31:06", "NIKON D500")
    )
    assert found == ["day1/2019-07-04_1231_Canon-EOS-7D", "day1/2019-07-04_1231_NIKON-D500"]


def test_two_folders_are_apart() -> None:
    found = encounters(("a", "2019-07-04T12:31:05", ""), ("b", "2019-07-04T12:31:05", ""))
    assert found == ["a/2019-07-04_1231", "b/2019-07-04_1231"]


def test_photos_elsewhere_change_no_name() -> None:
    here = [("a", "2019-07-04T12:31:05", "X"), ("a", "2019-07-04T14:00:00", "X"), ("a", "", "")]
    more = [("b", "2019-07-04T12:31:05", "Y"), ("", "2018-01-01T00:00:00", "X"), ("b", "", "X")]
    assert encounters(*more, *here)[len(more) :] == encounters(*here)


def test_a_photo_without_a_time_has_none() -> None:
    photos = moments(
        ("", "", ""), ("", "2019-07-04T12:31:05", ""), ("", "no time", ""), ("", "0000:00:00 00:00:00", "")
    )
    assert names(photos.encounters(HALF_AN_HOUR)) == ["", "2019-07-04_1231", "", ""]
    assert names(photos.bursts()) == [""] * 4
    assert photos.unknown == 3


def test_one_without_a_time_makes_no_second_camera() -> None:
    photos = moments(("", "2019-07-04T12:31:05", "X"), ("", "", ""))
    assert names(photos.encounters(HALF_AN_HOUR)) == ["2019-07-04_1231", ""]
    assert photos.shared_folders == 0


def test_folders_of_several_cameras_are_counted() -> None:
    taken = "2019-07-04T12:31:05"
    assert moments(("a", taken, "X"), ("a", taken, "Y"), ("b", taken, "X")).shared_folders == 1


def test_zones_are_compared_where_all_have_one() -> None:
    # A journey to the west: the clock is set back by an hour between two photos a minute apart.
    found = encounters(("", "2019-07-04T12:59:00+02:00", ""), ("", "2019-07-04T12:00:00+01:00", ""))
    assert found == ["2019-07-04_1259"] * 2


def test_the_clock_counts_where_one_photo_has_no_zone() -> None:
    found = encounters(("", "2019-07-04T12:00:00+09:00", ""), ("", "2019-07-04T12:01:00", ""))
    assert found == ["2019-07-04_1200"] * 2


def test_encounters_that_begin_in_one_minute_are_numbered() -> None:
    found = encounters(("", "2019-07-04T12:31:05", ""), ("", "2019-07-04T12:31:45", ""), gap=10)
    assert found == ["2019-07-04_1231", "2019-07-04_1231-2"]


def test_a_numbered_name_is_no_other_name() -> None:
    assert list(told_apart(Texts(["a", "a-2", "a"]))) == ["a", "a-2", "a-3"]


def test_bursts_are_photos_two_seconds_apart_at_most() -> None:
    photos = moments(
        ("d", "2019-07-04T12:31:05", ""),
        ("d", "2019-07-04T12:31:07", ""),
        ("d", "2019-07-04T12:31:09.01", ""),
        ("d", "2019-07-04T12:31:09.51", ""),
        ("d", "2019-07-04T12:31:30", ""),
    )
    first, second = "d/2019-07-04_123105", "d/2019-07-04_123109"
    assert names(photos.bursts()) == [first, first, second, second, ""]


def test_no_photos() -> None:
    assert names(moments().encounters(HALF_AN_HOUR)) == names(moments().bursts()) == []


def test_by_text() -> None:
    found = by_text(Texts(["b", "", "a", "b"]))
    assert names(found) == ["b", "", "a", "b"]
    assert found.numbers.tolist() == [0, -1, 1, 0]


@settings(derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "a"]),
            st.integers(-1, 200),
            st.sampled_from(["", "X"]),
            st.sampled_from(["", "+02:00", "-03:30"]),
        )
    ),
    st.integers(1, 40),
)
def test_encounters_are_as_one_by_one(photos: list[tuple[str, int, str, str]], gap: int) -> None:
    start = datetime(2019, 7, 4, 12)
    given_photos = [
        (folder, "" if second < 0 else (start + timedelta(seconds=second)).isoformat() + zone, camera)
        for folder, second, camera, zone in photos
    ]
    found = moments(*given_photos).encounters(gap)
    assert len(set(found.names)) == len(found.names)
    series: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for number, (folder, taken, camera) in enumerate(given_photos):
        if taken:
            of_series = [t for f, t, c in given_photos if (f, c) == (folder, camera) and t]
            moment = datetime.fromisoformat(taken)
            if not all(datetime.fromisoformat(t).utcoffset() is not None for t in of_series):
                moment = moment.replace(tzinfo=None)
            instant = (moment.replace(tzinfo=None) - start) - (moment.utcoffset() or timedelta())
            series.setdefault((folder, camera), []).append((instant.total_seconds(), number))
        else:
            assert found.numbers[number] == -1
    parts = []
    for of_one in series.values():
        of_one.sort()
        part = [of_one[0][1]]
        for (before, _), (after, number) in itertools.pairwise(of_one):
            if after - before > gap:
                parts.append(part)
                part = []
            part.append(number)
        parts.append(part)
    expected = sorted(sorted(part) for part in parts)
    together: dict[int, list[int]] = {}
    for photo, number in enumerate(found.numbers.tolist()):
        if number >= 0:
            together.setdefault(number, []).append(photo)
    assert sorted(together.values()) == expected


@pytest.mark.parametrize("count", [0, 1, 5])
def test_numbers_are_an_array(count: int) -> None:
    found = moments(*[("", "2019-07-04T12:31:05", "")] * count).bursts()
    assert found.numbers.dtype == np.int64
    assert len(found.numbers) == count
