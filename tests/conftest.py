"""What every test file shares: one Hypothesis profile, so that every machine tries the same cases."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("detic-crop", derandomize=True, deadline=None, max_examples=80, database=None)
settings.load_profile("detic-crop")
