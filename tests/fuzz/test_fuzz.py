"""Every target of the fuzzer on good inputs and some damaged ones; `make fuzz` goes on for longer."""

from __future__ import annotations

import random
import time

import pytest

from tests.fuzz.targets import TARGETS
from tests.kit.mutations import mutate

MUTATIONS = 200
MOST_SECONDS = 20.0
"""Of a processor, for one input; most take a thousandth of one."""


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_and_damaged_ones(name: str) -> None:
    target = TARGETS[name]
    good = list(target.corpus())
    chance = random.Random(name)
    damaged = (mutate(chance, chance.choice(good)) for _ in range(MUTATIONS))
    for how, data in [*(("as it is", data) for data in good), *damaged]:
        began = time.thread_time()
        try:
            target.read(data)
        except BaseException as error:
            error.add_note(f"{how}: {data[:2000]!r}")
            raise
        assert time.thread_time() - began < MOST_SECONDS, (how, data[:2000])
