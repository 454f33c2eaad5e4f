"""What all tests share: Hypothesis profiles and small helpers."""

from __future__ import annotations

import os

from hypothesis import settings

# At least 200 examples a law. In CI the same ones every time; elsewhere new ones.
settings.register_profile("default", max_examples=200, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
