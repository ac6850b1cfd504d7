"""Numbers in sentences: one is singular, everything else plural."""

from __future__ import annotations

import pytest

from detic_crop.wording import counted, either


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 photos"), (1, "1 photo"), (2, "2 photos"), (1234, "1,234 photos")]
)
def test_a_number_and_its_noun(number: int, said: str) -> None:
    assert counted(number, "photo") == said


def test_irregular_plurals() -> None:
    assert [counted(n, "box is", "boxes are") for n in (0, 1, 2)] == [
        "0 boxes are",
        "1 box is",
        "2 boxes are",
    ]
    assert [either(n, "is", "are") for n in (0, 1, 2)] == ["are", "is", "are"]
