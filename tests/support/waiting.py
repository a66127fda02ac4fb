"""Wait for what a test can see, instead of for some time: how fast a machine is changes no result.

A test that needs requests to be on their way holds the answers, with ``cluster.set_rtt(HELD)`` until ``set_rtt(0)``,
which lets all of them go at once, or with `hold_answers`, and waits until the requests are there (`until_requests`).
That something does not happen is best seen by a later thing that would come behind it. Where there is none, `stays`
looks for a moment: on a slow machine it may miss a fault, but invents none.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from twolane.testing import ApiKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.testing import EmbeddedCluster

# Milliseconds, longer than any test waits.
HELD = 120_000
PATIENCE = 60.0
MOMENT = 0.1
T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Return what a condition gave once it holds; fail after so many seconds, which only a hanging program takes."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.001)
    return found


def hold_answers(cluster: EmbeddedCluster, ms: int = HELD, requests: int = 1_000) -> None:
    """Let the next Produce requests be carried out and answered late, or never as far as a test is concerned.

    Unlike ``set_rtt()`` this leaves the handshakes of new connections alone. It lasts until the cluster's ``reset()``.
    """
    for broker in cluster.broker_ids:
        cluster.push_broker_errors(broker, ApiKey.PRODUCE, [(0, ms)] * requests)


def until_requests(cluster: EmbeddedCluster, n: int = 1, api_key: int = ApiKey.PRODUCE) -> None:
    """Return once so many requests have arrived since tracking began or `clear_requests()`."""
    wait_until(lambda: len(cluster.requests(api_key)) >= n)


def stays(condition: Callable[[], object], seconds: float = MOMENT) -> bool:
    """Whether a condition holds for a moment."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            return False
        time.sleep(0.005)
    return True


def in_thread(call: Callable[[], object]) -> tuple[threading.Thread, list[Any]]:
    """Run a call in a thread; return the thread and the list that its result or error goes to."""
    ends: list[Any] = []

    def run() -> None:
        try:
            ends.append(call())
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ends
