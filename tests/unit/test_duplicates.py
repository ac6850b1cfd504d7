"""Copies in a run: the first is the original; near ones against a slow comparison of all pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from detic_crop.folder.records import Record
from detic_crop.report import duplicates
from detic_crop.report.duplicates import MAX_DIFFERENT_BITS, Copy, copies, different_bits, first_similar

PICTURE = 0x0123456789ABCDEF


def photo(name: str, picture: int = PICTURE, **values: Any) -> Record:
    known = {"width": 300, "height": 200, "file_size": 1000, "checksum": 1, "crop_hash": f"{picture:016x}"}
    return Record(name, "cropped", **{**known, **values})


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
    for _ in range(draw(st.integers(0, 14))):
        hash_ = draw(st.sampled_from(centres))
        for bit in draw(st.lists(st.integers(0, 63), max_size=5)):
            hash_ ^= 1 << bit
        hashes.append(hash_)
        ratios.append(draw(st.sampled_from([1.5, 1.51, 1.54, 0.667])))
    return hashes, ratios


@given(crowds())
def test_it_is_what_comparing_all_pairs_gives(crowd: tuple[list[int], list[float]]) -> None:
    hashes, ratios = crowd
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


@pytest.mark.parametrize("kind", ["different", "all equal"])
def test_a_hundred_thousand_photos_are_not_compared_pair_by_pair(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared are 4 · N² / 2 / 65536 pairs of different hashes (here 305 thousand) of 5 billion."""
    compared = 0
    original = different_bits

    def counting(xor: np.typing.NDArray[np.uint64]) -> np.typing.NDArray[np.uint8]:
        nonlocal compared
        compared += len(xor)
        return original(xor)

    monkeypatch.setattr(duplicates, "different_bits", counting)
    random = np.random.default_rng(0)
    hashes = random.integers(0, 1 << 64, 100_000, np.uint64)
    if kind == "all equal":
        hashes[:] = 0
    found = first_similar(hashes, np.full(len(hashes), 1.5))
    assert compared < 400_000
    assert (found[1:] == 0).all() if kind == "all equal" else (found == -1).all()
