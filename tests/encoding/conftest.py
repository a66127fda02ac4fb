"""Hypothesis profiles (`HYPOTHESIS_PROFILE=fuzz` for the long run)."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.encoding.tally import PROFILE, Tally

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# One tally counts all examples of its test: that the fixture is the same for all of them is the point.
HEALTHY = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
# CI takes the same examples every time: a change is judged by what it changed. Here and in `make fuzz` they are new.
settings.register_profile(
    "default",
    max_examples=300,
    deadline=None,
    suppress_health_check=HEALTHY,
    derandomize=bool(os.environ.get("CI")),
)
settings.register_profile("fuzz", settings.get_profile("default"), print_blob=True, derandomize=False)
settings.load_profile(PROFILE)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that count, so that `make fuzz` finds them."""
    if "tally" in getattr(item, "fixturenames", ()):
        item.add_marker("fuzz")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    return Tally(request.node.name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Hold a test that passed to the number of values it has to check."""
    result = yield
    if "tally" in getattr(item, "funcargs", {}):
        item.funcargs["tally"].check()
    return result


@pytest.fixture
def eager() -> Iterator[None]:
    """With the GIL, let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
