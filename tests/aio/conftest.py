"""Loops of asyncio and uvloop; a line of calls that a test can hold."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from twolane import AsyncSafeProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

LOOPS = ["asyncio", "uvloop"]


def run_in(kind: str, main: Coroutine[Any, Any, Any]) -> Any:
    factory = None
    if kind == "uvloop":
        try:
            import uvloop
        except ImportError:
            main.close()  # or it would be told as a coroutine that was never awaited, under some other test
            pytest.skip("uvloop is not installed")
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


@pytest.fixture(params=LOOPS)
def run(request) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine to its end, in a loop of each kind."""
    return lambda main: run_in(request.param, main)


@pytest.fixture
def made(embedded_cluster):
    """Make a producer for an embedded cluster."""

    def make(**settings: Any) -> AsyncSafeProducer:
        return AsyncSafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False, **settings)

    return make


@contextlib.asynccontextmanager
async def held(producer):
    """Keep the producer's thread busy, so that calls gather in line; gives a function that lets it go."""
    go, has_begun = threading.Event(), threading.Event()

    def wait() -> None:
        has_begun.set()
        assert go.wait(60)

    holding = asyncio.ensure_future(producer._in_line("hold", wait, time.monotonic() + 30))
    await until(has_begun.is_set)
    try:
        yield go.set
    finally:
        go.set()
        await holding


async def until(is_so: Callable[[], object], seconds: float = 60) -> None:
    """Let the loop run until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.001)


if sys.platform == "win32":
    LOOPS.remove("uvloop")
