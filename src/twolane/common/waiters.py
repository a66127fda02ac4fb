"""Waiting without a lock that a signal handler could find held by the very thread it runs in."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Waiters:
    """Threads that wait for a change.

    A signal handler runs between any two steps of the main thread, and may wait itself. The lock of a Condition or an
    Event may be held by what it interrupted, and the thread that would wake it then waits for that lock. Here each
    waiting thread has a lock of its own, and what is shared is one dict, each step on which is atomic.
    """

    def __init__(self) -> None:
        self._waiting: dict[threading.Lock, None] = {}

    def wait(self, has_come: Callable[[], bool], timeout: float | None) -> bool:
        """Wait for `has_come()`, or for the next ``wake()``, or for `timeout` seconds. Returns whether it has come."""
        mine = threading.Lock()
        mine.acquire()
        self._waiting[mine] = None
        try:
            # Entered first, looked then: the thread that wakes does it the other way round.
            if not has_come():
                mine.acquire(timeout=-1 if timeout is None else min(max(0.0, timeout), threading.TIMEOUT_MAX))
            return has_come()
        finally:
            self._waiting.pop(mine, None)

    def wake(self) -> None:
        """Let all waiting threads look again."""
        for waiting in list(self._waiting):
            with contextlib.suppress(RuntimeError):  # woken already, by another thread
                waiting.release()
