"""How unusual a box is among its like: worked by hand, a slow count, and what must not matter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from detic_crop.config import CropConfig
from detic_crop.folder.records import Record
from detic_crop.photos.labels import Labels
from detic_crop.report import unusual
from detic_crop.report.groups import SPECIES_COLUMNS, find_column, label_groups
from detic_crop.report.photos import judge
from detic_crop.report.rows import Row, table_rows
from detic_crop.report.suspicion import Doubts, doubts_of
from detic_crop.report.unusual import MIN_GROUP, fisher, unusual_shares

CONFIG = CropConfig(model="lite", conf=0.5, size=40)
Floats = NDArray[np.float64]


def doubts_in(rows: Sequence[Row], config: CropConfig) -> dict[str, Doubts]:
    """What is doubtful about each photo among all others, by key."""
    return {key: photo.doubts for key, photo in judge(rows, config).items()}


def shares(
    boxes: Sequence[Sequence[float]],
    groups: Sequence[Sequence[str]] | None = None,
    min_group: int = 1,
    size: tuple[int, int] = (100, 100),
) -> Floats:
    return unusual_shares(
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array([size] * len(boxes), np.float64).reshape(-1, 2),
        groups or [()] * len(boxes),
        min_group,
    )


def centred(width: float, height: float) -> list[float]:
    return [50 - width / 2, 50 - height / 2, 50 + width / 2, 50 + height / 2]


whole = st.integers(1, 12).map(float)
a_box = st.builds(
    lambda x, y, w, h: [x, y, x + w, y + h], st.integers(0, 80), st.integers(0, 80), whole, whole
)


def by_counting(boxes: Sequence[Sequence[float]]) -> list[float]:
    """The docstring's words, one box at a time, in a photo of 100 × 100."""

    def measures(box: Sequence[float]) -> tuple[float, float, float]:
        width, height = box[2] - box[0], box[3] - box[1]
        x, y = (box[0] + box[2]) / 200 - 0.5, (box[1] + box[3]) / 200 - 0.5
        return round(width * height / 10_000, 6), round(width / height, 4), round(math.hypot(x, y), 4)

    found = [measures(box) for box in boxes]
    result = []
    for area, shape, offset in found:
        small = sum(other[0] <= area for other in found) / len(found)
        large = sum(other[0] >= area for other in found) / len(found)
        size = min(1.0, 2 * min(small, large))
        narrow = sum(other[1] <= shape for other in found) / len(found)
        far = sum(other[2] >= offset for other in found) / len(found)
        product = size * narrow * far
        log = -math.log(product)
        result.append(min(1.0, product * (1 + log + log**2 / 2)))
    return result


# --- the number


def test_a_small_narrow_box_aside_by_hand() -> None:
    """Three of four boxes are equal; the fourth is the smallest, the narrowest and the farthest out."""
    found = shares([centred(40, 20)] * 3 + [[0, 0, 10, 10]])
    # Size: twice one in four. Shape: one in four. Place: one in four. P = 1/32.
    log = math.log(32)
    assert found[3] == pytest.approx((1 + log + log**2 / 2) / 32)
    # The others: 3 of 4 are as large, twice that is no share at all; all are as narrow, all as far out.
    assert found[:3].tolist() == [1.0, 1.0, 1.0]


def test_fisher_by_hand() -> None:
    half = fisher(np.array([[0.5, 1.0, 1.0], [1.0, 1.0, 1.0], [0.1, 0.1, 0.1]]))
    ln2, ln1000 = math.log(2), math.log(1000)
    assert half[0] == pytest.approx(0.5 * (1 + ln2 + ln2**2 / 2))
    assert half[1] == 1
    assert half[2] == pytest.approx((1 + ln1000 + ln1000**2 / 2) / 1000)


def test_fisher_is_the_distribution_of_the_product() -> None:
    """An independent oracle: 200,000 products of three even numbers; four standard errors."""
    random = np.random.default_rng(0)
    products = random.random((200_000, 3)).prod(axis=1)
    for shape in ([0.5, 0.5, 0.5], [0.9, 0.2, 0.1], [0.05, 0.4, 0.3]):
        expected = float(fisher(np.array([shape]))[0])
        seen = float((products <= math.prod(shape)).mean())
        assert abs(seen - expected) < 4 * math.sqrt(expected * (1 - expected) / len(products))


@given(st.lists(a_box, min_size=1, max_size=12))
def test_it_is_what_counting_gives(boxes: list[list[float]]) -> None:
    assert shares(boxes).tolist() == pytest.approx(by_counting(boxes))


def test_no_boxes() -> None:
    assert shares([]).tolist() == []


def test_equal_boxes_are_not_unusual_whatever_they_look_like() -> None:
    assert shares([[0, 0, 1, 90]] * 30, min_group=20).tolist() == [1.0] * 30


@given(st.lists(a_box, min_size=1, max_size=10), st.integers(1, 50))
def test_the_size_of_the_photos_does_not_matter(boxes: list[list[float]], times: int) -> None:
    larger = [[edge * times for edge in box] for box in boxes]
    assert shares(larger, size=(100 * times, 100 * times)).tolist() == pytest.approx(shares(boxes).tolist())


@given(st.lists(a_box, min_size=1, max_size=10))
def test_left_and_right_do_not_matter(boxes: list[list[float]]) -> None:
    mirrored = [[100 - box[2], box[1], 100 - box[0], box[3]] for box in boxes]
    assert shares(mirrored).tolist() == pytest.approx(shares(boxes).tolist())


@given(st.lists(a_box, min_size=1, max_size=10).flatmap(lambda b: st.tuples(st.just(b), st.permutations(b))))
def test_the_order_of_the_rows_does_not_matter(pair: tuple[list[list[float]], list[list[float]]]) -> None:
    boxes, shuffled = pair
    known = dict(zip(map(tuple, boxes), shares(boxes).tolist(), strict=True))
    assert [known[tuple(box)] for box in shuffled] == shares(shuffled).tolist()


# --- groups


def test_a_group_is_judged_apart() -> None:
    """A small box is odd among humpbacks, and usual among belugas."""
    boxes = [centred(60 + i, 30) for i in range(30)] + [centred(6 + i / 10, 3) for i in range(30)]
    species = [("species humpback",)] * 30 + [("species beluga",)] * 30
    small = len(boxes)
    boxes.append(centred(7, 3))
    as_humpback = shares(boxes, [*species, ("species humpback",)], MIN_GROUP)[small]
    as_beluga = shares(boxes, [*species, ("species beluga",)], MIN_GROUP)[small]
    assert as_humpback < 0.3
    assert as_beluga > 2 * as_humpback


def test_a_group_that_is_too_small_is_not_asked() -> None:
    boxes = [centred(20 + i, 10) for i in range(19)] + [centred(80, 60)] * 30
    species = [("species rare",)] * 19 + [("species common",)] * 30
    widened = shares(boxes, species, 20)
    assert widened[:19].tolist() == shares(boxes, None, 20)[:19].tolist()  # the whole run instead
    with_one_more = shares([*boxes, centred(39, 10)], [*species, ("species rare",)], 20)
    alone = shares([*boxes[:19], centred(39, 10)], None, 20)
    assert [*with_one_more[:19], with_one_more[-1]] == alone.tolist()


def test_the_narrowest_group_that_is_large_enough_is_asked() -> None:
    boxes = [centred(20 + i, 10) for i in range(40)]
    both = [("individual a", "species s")] * 20 + [("individual b", "species s")] * 19 + [("species s",)]
    found = shares(boxes, both, 20)
    assert found[:20].tolist() == shares(boxes[:20], None, 20).tolist()
    assert found[20:].tolist() == shares(boxes, None, 20)[20:].tolist()  # b is too small: its species


def test_a_small_run_says_nothing() -> None:
    boxes = [centred(20 + i, 10) for i in range(MIN_GROUP)]
    assert shares(boxes[1:], min_group=MIN_GROUP).tolist() == [1.0] * (MIN_GROUP - 1)
    assert min(shares(boxes, min_group=MIN_GROUP)) < 1


def test_each_row_is_sorted_a_few_times_however_many_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elements given to sort, for 20 and for 2,000 groups: four times each row either way."""
    elements: list[int] = []
    original = unusual._share_as_large

    def counting(values: Floats) -> Floats:
        elements.append(len(values))
        return original(values)

    monkeypatch.setattr(unusual, "_share_as_large", counting)
    for n_groups in (20, 2000):
        elements.clear()
        count = 40_000
        random = np.random.default_rng(0)
        corners = random.uniform(0, 40, (count, 2))
        boxes = np.concatenate([corners, corners + random.uniform(1, 40, (count, 2))], axis=1)
        groups = [(f"species {i % n_groups}",) for i in range(count)]
        found = unusual_shares(boxes, np.full((count, 2), 100.0), groups)
        assert ((found > 0) & (found <= 1)).all()
        assert sum(elements) == 4 * count


# --- from labels to the table


def labels(columns: list[str], *rows: list[str]) -> Labels:
    return Labels(columns, [*rows], columns[0])


def test_groups_of_label_rows() -> None:
    table = labels(
        ["image", "Species ", "individual_id"], ["a", "orca", "7"], ["b", "", " "], ["c", "orca", ""]
    )
    found = list(map(label_groups(table), table.rows))
    assert found == [("individual 7", "species orca"), (), ("species orca",)]
    assert label_groups(labels(["image", "weather"], ["a", "fine"]))(["a", "fine"]) == ()


def test_columns_are_found_however_they_are_spelt() -> None:
    assert find_column(["image", "Common Name", "SPECIES"], SPECIES_COLUMNS) == 2
    assert find_column(["image"], SPECIES_COLUMNS) is None


def whale(name: str, width: int) -> Record:
    left, right = 500 - width // 2, 500 + width // 2
    return Record(
        image=name,
        status="cropped",
        reason="largest_box",
        crop=name,
        width=1000,
        height=1000,
        class_name="Whale",
        score=1.0,
        box=(float(left), 400.0, float(right), 600.0),
        crop_box=(left, 400, right, 600),
        n_candidates=1,
    )


def test_the_table_knows_the_groups_of_its_labels() -> None:
    records = {f"{i}": whale(f"{i}", 600 + i) for i in range(30)}
    records |= {f"s{i}": whale(f"s{i}", 60 + i) for i in range(30)}
    records["odd"] = whale("odd", 64)
    rows = [[key, "small" if key.startswith("s") else "large"] for key in records]
    table = labels(["image", "species"], *rows)
    order = list(records)
    grouped = doubts_in(table_rows(records, order, table, order), CONFIG)
    alone = doubts_in(table_rows(records, order, None, []), CONFIG)
    assert max(grouped, key=lambda key: grouped[key].suspicion) == "odd"
    assert grouped["odd"].suspicion > alone["odd"].suspicion
    assert grouped["odd"].flags == alone["odd"].flags  # rules do not depend on other rows


def test_of_several_label_rows_the_first_says_the_group_and_rows_without_photos_do_no_harm() -> None:
    records = [whale(f"{i}", 600 + i) for i in range(25)]
    rows = [Row(record, ("x",), ("species a",)) for record in records]
    twice = [*rows, Row(records[0], ("y",), ("species b",))]
    missing = Row(Record("gone", "failed", "missing_file"), ("z",), ("species a",))
    assert doubts_in([*twice, missing], CONFIG) == {
        **doubts_in(rows, CONFIG),
        "gone": doubts_of(missing.record, CONFIG),
    }
    assert doubts_in([], CONFIG) == {}


def test_only_crops_are_compared() -> None:
    crops = [whale(f"{i}", 600 + i) for i in range(25)]
    others = [
        Record("n", "resized", "not_found", width=10, height=10, presence=0.3),
        Record("f", "failed", "unreadable"),
        replace(whale("empty", 600), box=(5.0, 5.0, 5.0, 5.0)),
        replace(whale("thrown out", 2), status="rejected"),
    ]
    alone = list(doubts_in(list(map(Row, crops)), CONFIG).values())
    together = list(doubts_in(list(map(Row, [*crops, *others])), CONFIG).values())
    assert together[:25] == alone
    assert together[25].suspicion == 0.3
    assert together[26].suspicion == 1
