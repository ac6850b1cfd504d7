"""What all tests share: a Hypothesis profile, so that all machines try the same cases; and the last lines."""

from __future__ import annotations

from hypothesis import settings

from tests.kit.left_out import pytest_runtest_makereport, pytest_terminal_summary

__all__ = ["pytest_runtest_makereport", "pytest_terminal_summary"]

settings.register_profile("detic-crop", derandomize=True, deadline=None, max_examples=80, database=None)
settings.load_profile("detic-crop")
