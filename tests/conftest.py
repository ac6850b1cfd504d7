"""What all tests share: a Hypothesis profile, so that all machines try the same cases; and the last lines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from detic_crop.stores.store import Store
from tests.kit.left_out import pytest_runtest_makereport, pytest_terminal_summary
from tests.kit.servers import memory_store

__all__ = ["pytest_runtest_makereport", "pytest_terminal_summary"]

settings.register_profile(
    "detic-crop",
    derandomize=True,
    deadline=None,
    max_examples=80,
    database=None,
    # How long the first cases take to make says how busy the machine is: they are the same ones everywhere.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("detic-crop")


@pytest.fixture
def memory() -> Iterator[Store]:
    """An empty ``memory://``, which holds what a test puts into it."""
    with memory_store() as store:
        yield store
