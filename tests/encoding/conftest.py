"""The mark `fuzz`: tests that count the values they check; and threads that take turns often."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.encoding.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


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
