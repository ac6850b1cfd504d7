"""Copies in a run: the first is the original; near ones against a slow comparison of all pairs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from detic_crop.folder.records import Record
from detic_crop.report import similar_hashes
from detic_crop.report.duplicates import Fingerprints
from detic_crop.report.similar_hashes import MAX_DIFFERENT_BITS, different_bits, first_similar

PICTURE = 0x0123456789ABCDEF


def photo(name: str, picture: int = PICTURE, **values: Any) -> Record:
    known = {"width": 300, "height": 200, "file_size": 1000, "checksum": 1, "crop_hash": f"{picture:016x}"}
    return Record(name, "cropped", **{**known, **values})


class Copy(NamedTuple):
    """What a photo repeats."""

    flag: str
    of: str


def copies(records: list[Record]) -> dict[str, Copy]:
    """The photos that repeat an earlier one, by key."""
    prints = Fingerprints()
    for record in records:
        prints.add(record)
    originals, same_file = prints.copies()
    return {
        record.image: Copy("duplicate" if same else "near_duplicate", records[original].image)
        for record, original, same in zip(records, originals.tolist(), same_file.tolist(), strict=True)
        if original >= 0
    }


def flipped(*bits: int) -> int:
    picture = PICTURE
    for bit in bits:
        picture ^= 1 << bit
    return picture


def by_comparing(hashes: list[int], ratios: list[float]) -> list[int]:
    """The first earlier one that is similar, all pairs tried."""
    result = []
    for later, (hash_later, ratio_later) in enumerate(zip(hashes, ratios, strict=True)):
        like = [
            earlier
            for earlier in range(later)
            if (hashes[earlier] ^ hash_later).bit_count() <= MAX_DIFFERENT_BITS
            and abs(ratios[earlier] / ratio_later - 1) <= 0.02
        ]
        result.append(like[0] if like else -1)
    return result


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    """Hashes of which many are near each other, some equal."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3))
    hashes, ratios = [], []
    bits = st.integers(0, draw(st.sampled_from([3, 7, 12, 63])))
    usual = draw(st.lists(st.sampled_from([1.5, 1.51, 1.53, 1.54, 1.56, 0.667]), min_size=1, max_size=4))
    for _ in range(draw(st.integers(0, 24))):
        hash_ = draw(st.sampled_from(centres))
        for bit in draw(st.lists(bits, max_size=5)):
            hash_ ^= 1 << bit
        hashes.append(hash_)
        ratios.append(draw(st.sampled_from(usual)))
    return hashes, ratios


# What is otherwise done with thousands of hashes, done with a few; a way that costs nothing is taken.
SMALL = {"_PIVOTS": 1, "_FEW_PAIRS": 1, "_ROWS": 3, "_COLUMNS": 4, "_SHORT_RUN": 2, "_CUBE_BITS": 14}
WAYS: dict[str, dict[str, Any]] = {
    "few are compared at once": {},
    "all are compared": {**SMALL, "_MATRIX_PAIR": 0.0},
    "a table": {**SMALL, "_CUBE_CELL": 0.0},
    "four blocks": {**SMALL, "_MATRIX_PAIR": 1e9, "_BLOCKS": range(4, 5)},
    "five blocks": {**SMALL, "_MATRIX_PAIR": 1e9, "_BLOCKS": range(5, 6)},
    "seven blocks": {**SMALL, "_MATRIX_PAIR": 1e9, "_BLOCKS": range(7, 8), "_CUBE_BITS": -1},
}


@pytest.mark.parametrize("way", WAYS)
@given(crowd=crowds())
def test_it_is_what_comparing_all_pairs_gives(way: str, crowd: tuple[list[int], list[float]]) -> None:
    hashes, ratios = crowd
    with pytest.MonkeyPatch.context() as patch:
        for name, value in WAYS[way].items():
            patch.setattr(similar_hashes, name, value)
        found = first_similar(np.array(hashes, np.uint64), np.array(ratios, np.float64))
    assert found.tolist() == by_comparing(hashes, ratios)


@pytest.mark.parametrize("bits", [(), (0,), (0, 16, 32), (61, 62, 63), (15, 16, 47)])
def test_three_bits_are_near(bits: tuple[int, ...]) -> None:
    later = photo("b", flipped(*bits), checksum=2)
    assert copies([photo("a"), later]) == {"b": Copy("near_duplicate", "a")}


@pytest.mark.parametrize("bits", [(0, 1, 2, 3), (0, 16, 32, 48), tuple(range(64))])
def test_four_are_not(bits: tuple[int, ...]) -> None:
    assert copies([photo("a"), photo("b", flipped(*bits), checksum=2)]) == {}


def test_the_same_file_is_a_duplicate_and_the_first_is_the_original() -> None:
    found = copies([photo("c"), photo("a"), photo("b")])
    assert found == {"a": Copy("duplicate", "c"), "b": Copy("duplicate", "c")}


def test_a_duplicate_may_be_cropped_otherwise_but_has_the_same_size() -> None:
    other = flipped(*range(0, 64, 2))
    assert copies([photo("a"), photo("b", other)]) == {"b": Copy("duplicate", "a")}
    assert copies([photo("a"), photo("b", file_size=999)]) == {"b": Copy("near_duplicate", "a")}


def test_proportions_must_agree() -> None:
    assert copies([photo("a"), photo("b", checksum=2, width=600, height=400)]) != {}
    assert copies([photo("a"), photo("b", checksum=2, width=306)]) != {}
    assert copies([photo("a"), photo("b", checksum=2, width=310)]) == {}
    assert copies([photo("a"), photo("b", checksum=2, width=200, height=300)]) == {}


def test_a_copy_of_a_near_copy_names_the_first_like_it() -> None:
    """c is like b and not like a; the copy of b is like a, as b is."""
    b, c = flipped(0, 1, 2), flipped(0, 1, 2, 3, 4)
    found = copies(
        [photo("a"), photo("b", b, checksum=2), photo("c", c, checksum=3), photo("d", b, checksum=4)]
    )
    assert found == {
        "b": Copy("near_duplicate", "a"),
        "c": Copy("near_duplicate", "b"),
        "d": Copy("near_duplicate", "a"),
    }


def test_rows_of_older_runs_and_failed_ones_take_no_part() -> None:
    old = photo("old", crop_hash="", checksum=None)
    failed = Record("f", "failed", "unreadable")
    assert copies([old, failed, replace(old, image="older"), photo("a")]) == {}
    without_checksum = photo("b", checksum=None)
    assert copies([photo("a"), without_checksum]) == {"b": Copy("near_duplicate", "a")}
    assert copies([]) == {}


@given(st.integers(0, 2**64 - 1))
def test_bits_are_counted(number: int) -> None:
    assert different_bits(np.array([number], np.uint64)).tolist() == [number.bit_count()]


RANDOM = np.random.default_rng(0)


def some_bits(count: int, mask: int) -> np.typing.NDArray[np.uint64]:
    return RANDOM.integers(0, 1 << 64, count, np.uint64) & np.uint64(mask)


def around(centre: int, count: int, flips: int) -> np.typing.NDArray[np.uint64]:
    """Hashes that differ from one by a few bits."""
    bits = np.uint64(1) << RANDOM.integers(0, 64, (count, flips)).astype(np.uint64)
    return np.asarray(np.uint64(centre) ^ np.bitwise_xor.reduce(bits, axis=1), np.uint64)


def without_a_match(count: int, n_bits: int) -> np.typing.NDArray[np.uint64]:
    """Hashes of few bits of which any two differ by four or more: numbers with check bits, as in memory."""
    columns = [number for number in range(3, 128) if number.bit_count() % 2]
    numbers = RANDOM.permutation(1 << n_bits)[:count].astype(np.uint64)
    hashes = numbers.copy()
    for bit in range(n_bits):
        is_set = (numbers >> np.uint64(bit)) & np.uint64(1)
        hashes ^= is_set * np.uint64(columns[bit] << n_bits)
    return hashes


MANY = 20_000
KINDS = {
    "different": some_bits(MANY, -1 % 2**64),
    "equal": some_bits(MANY, 0),
    "a quarter alike": some_bits(MANY, 0xFFFFFFFFFFFF),
    "half alike": some_bits(MANY, 0xFFFFFFFF),
    "three quarters alike": some_bits(MANY, 0xFFFF),
    "bursts": np.concatenate([around(int(one), 20, 4) for one in some_bits(MANY // 20, -1 % 2**64)]),
    "like one picture": around(PICTURE, MANY, 3),
    "like each other": around(PICTURE, MANY, 6),
    "nearly like each other": without_a_match(MANY, 15),
}
RATIOS = {
    "equal": np.full(MANY, 1.5),
    "of two kinds": RANDOM.choice([1.5, 1.533], MANY),
    "of all kinds": np.exp(RANDOM.uniform(-3, 3, MANY)),
}


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("kind", KINDS)
def test_many_photos_are_not_compared_pair_by_pair(
    kind: str, ratio: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each photo is compared with some hundreds of 20,000, however alike they are."""
    compared = 0
    original = different_bits

    def counting(xor: np.typing.NDArray[np.uint64]) -> np.typing.NDArray[np.uint8]:
        nonlocal compared
        compared += xor.size
        return original(xor)

    monkeypatch.setattr(similar_hashes, "different_bits", counting)
    monkeypatch.setattr(similar_hashes, "_MATRIX_PAIR", similar_hashes._SHIFTED_PAIR)  # all count the same
    hashes, ratios = KINDS[kind], RATIOS[ratio]
    found = first_similar(hashes, ratios)
    assert compared < 500 * MANY
    for later in range(0, MANY, 97):
        like = different_bits(hashes[:later] ^ hashes[later]) <= MAX_DIFFERENT_BITS
        like &= np.abs(ratios[:later] / ratios[later] - 1) <= 0.02
        assert found[later] == (like.argmax() if like.any() else -1)
