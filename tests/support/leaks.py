"""A fixture: the test leaves no native object behind and, in a debug build, no accounting error."""

from __future__ import annotations

import gc
import time

import pytest

from twolane.client import handle
from twolane.reports import reader


def _live() -> tuple[int, ...]:
    return (*handle.live(), *reader.live())


@pytest.fixture(autouse=True)
def no_leaks():
    """Handles, topics and slots made are freed; a producer that was dropped unclosed gets a moment to drain."""
    before = _live()
    yield
    deadline = time.monotonic() + 10
    while any(now > then for now, then in zip(_live(), before, strict=True)):
        gc.collect()
        assert time.monotonic() < deadline, f"(handles, topics, slots, violations): {before} before, {_live()} after"
        time.sleep(0.01)
