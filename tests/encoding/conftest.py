"""Hypothesis profiles: `HYPOTHESIS_PROFILE=fuzz` for the long run."""

import os

from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("default", max_examples=300, **COMMON)
settings.register_profile("more", max_examples=3000, **COMMON)
settings.register_profile("ci", max_examples=10_000, **COMMON)
settings.register_profile("fuzz", max_examples=1_000_000, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
