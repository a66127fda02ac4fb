"""A fixture: the test leaves no native object behind and, in a debug build, no accounting error.

The traceback of a failed test keeps its frames, and they its producers, until the next test runs. What such a test left
open is therefore closed and freed at its own end, so that no later test gets the warnings.
"""

from __future__ import annotations

import gc
import sys
import time
import warnings

import pytest

from twolane.client import handle
from twolane.common.base import BaseProducer
from twolane.reports import reader

_failed: pytest.StashKey[bool] = pytest.StashKey()


def _live() -> tuple[int, ...]:
    return (*handle.live(), *reader.live())


def _free_what_failed() -> None:
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for left in gc.get_objects():
            if issubclass(type(left), BaseProducer):
                left.close(0)
        del left
        gc.collect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    item.stash[_failed] = report.failed or item.stash.get(_failed, False)
    return report


@pytest.fixture(autouse=True)
def no_leaks(request):
    """Handles, topics and slots made are freed; a producer that was dropped unclosed gets a moment to drain."""
    before = _live()
    yield
    if request.node.stash.get(_failed, False):
        _free_what_failed()
        return
    # A question that a broker does not answer keeps its handle for as long as topics.MOST_PATIENCE says.
    deadline = time.monotonic() + 60
    while any(now > then for now, then in zip(_live(), before, strict=True)):
        gc.collect()
        assert time.monotonic() < deadline, f"(handles, topics, slots, violations): {before} before, {_live()} after"
        time.sleep(0.01)
