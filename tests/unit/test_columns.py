"""Columns of texts and photos behave as the lists that they stand for; equal keys are numbered as ever."""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Iterable, Sequence

import pytest

from detic_crop.columns import Column, Texts, ascending
from detic_crop.photos.keys import printable
from detic_crop.photos.location import LocalFile, Location, StoreObject, TarMember
from detic_crop.photos.photo import Photo, distinct
from detic_crop.photos.table import Locations, OwnPaths, Photos

TEXTS = ["a.jpg", "", "é/ß.jpg", "\udce9\udcff", "a\n\0b", "𝔘.jpg", "a.jpg"]


@pytest.mark.parametrize("count", [0, 1, 5, 1023, 1024, 1025, 3000])
def test_a_column_is_the_list_of_its_texts(count: int) -> None:
    texts = [f"{TEXTS[i % len(TEXTS)]}{i // 9}" for i in range(count)]
    column = Texts(texts[: count // 2])
    column.extend(texts[count // 2 : -1])
    for text in texts[-1:] if count > 1 else texts[count // 2 :]:
        column.append(text)
    assert (list(column), len(column)) == (texts, count)
    assert column == texts == column
    assert column != [*texts, "more"]
    for part in (slice(None), slice(1, 4), slice(None, None, -2), slice(-3, None), slice(5, 2)):
        assert list(column[part]) == texts[part], part
        assert list(column[part][1:3]) == texts[part][1:3], part
    for row in (0, -1, count // 2):
        if count:
            assert column[row] == texts[row]
    with pytest.raises(IndexError):
        column[count]


def test_a_text_is_found_at_its_first_place() -> None:
    column = Texts(TEXTS)
    for several in (column, column[::-1], pickle.loads(pickle.dumps(column))):
        texts = list(several)
        for text in TEXTS:
            assert several.find(text) == texts.index(text)
            assert text in several
        assert several.find("b.jpg") is None
        assert 1 not in several
    column.append("b.jpg")
    assert column.find("b.jpg") == len(TEXTS)


def test_all_texts_of_a_long_column_are_found() -> None:
    column = Texts(f"{i % 40_000}.jpg" for i in range(50_000))
    assert [column.find(f"{i}.jpg") for i in range(40_000)] == list(range(40_000))
    assert column.find("40000.jpg") is None


@pytest.mark.parametrize("seed", range(20))
def test_rows_in_the_order_of_their_texts(seed: int) -> None:
    chance = random.Random(seed)
    texts = sorted(chance.choices(["a", "b", "é", "\udcff", "𝔘", "b/", "b-", "z", "~"], k=12))
    for _ in range(seed % 4):
        texts.insert(chance.randrange(len(texts)), chance.choice("abz"))
    expected = sorted(range(len(texts)), key=lambda row: (texts[row], row))
    assert list(ascending(Texts(texts))) == expected


# ---------------------------------------------------------------- photos

LOCATIONS: list[tuple[str, Location]] = [
    ("a.jpg", LocalFile("/in/a.jpg")),
    ("b/c.jpg", LocalFile("/in/b/c.jpg")),
    ("other.jpg", LocalFile("/elsewhere/x.jpg")),
    ("%FF.jpg", LocalFile("/in/\udcff.jpg")),
    ("nowhere.jpg", LocalFile("")),
    ("s.jpg", StoreObject("s3://bucket/in/s.jpg")),
    ("in/s.jpg", StoreObject("s3://bucket/in/s.jpg")),
    ("t.jpg", TarMember(512, 100, 1_700_000_000, LocalFile("/x.tar"))),
    ("u.jpg", TarMember(1536, 7, 0, StoreObject("s3://bucket/x.tar"))),
    ("v.jpg", TarMember(2**63, 2**70, 10, LocalFile("/x.tar"))),
]


@pytest.mark.parametrize(
    "infos", [[(-1, -1)], [(5, 10**18)], [(-1, -1), (5, 7)], [(0, 0), (2**70, 3), (3, 2**64), (4, -5)]]
)
def test_photos_in_columns_are_the_list_of_them(infos: Sequence[tuple[int, int]]) -> None:
    photos = [Photo(key, location, *infos[row % len(infos)]) for row, (key, location) in enumerate(LOCATIONS)]
    table = Photos(photos)
    assert table == photos == list(table)
    assert [table[row] for row in range(-3, 3)] == [photos[row] for row in range(-3, 3)]
    assert table.keys == [photo.key for photo in photos]
    part = table[1:9][::2]
    assert part == photos[1:9:2]
    assert part.keys == [photo.key for photo in photos[1:9:2]]
    assert table.of([3, 0, 3]) == [photos[3], photos[0], photos[3]]
    assert dict(Locations(table)) == dict(LOCATIONS)
    assert dict(OwnPaths(part)) == {photo.key: photo.location.own_path for photo in photos[1:9:2]}
    assert "a.jpg" not in Locations(part)


# ---------------------------------------------------------------- keys


def distinct_by_definition(keys: Iterable[str]) -> list[str]:
    """Number equal keys one after another, each from the beginning."""
    result: dict[str, None] = {}
    for key in map(printable, keys):
        stem, suffix = os.path.splitext(key)
        number, name = 1, key
        while name in result:
            number += 1
            name = f"{stem}~{number}{suffix}"
        result[name] = None
    return list(result)


@pytest.mark.parametrize("seed", range(60))
def test_equal_keys_are_numbered_as_by_definition(seed: int) -> None:
    chance = random.Random(seed)
    pool = ["a.jpg", "a~2.jpg", "a~3.jpg", "a~2~2.jpg", "b", "b~2", "\udcff", "%FF", "%FF~2", "c.jpg"]
    keys = chance.choices(pool, k=chance.randrange(1, 30))
    assert distinct(keys) == distinct_by_definition(keys)


def test_equal_keys_are_numbered_in_a_line() -> None:
    """Each from its last number: from the beginning it would be 800 million comparisons."""
    keys = distinct(["a.jpg"] * 40_000)
    assert isinstance(keys, Column)
    assert (keys[0], keys[1], keys[-1]) == ("a.jpg", "a~2.jpg", "a~40000.jpg")
