"""Futures of event loops, ended from other threads: a loop is woken once for all that end before it comes to look."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from weakref import WeakKeyDictionary


class LoopWaker:
    """Ends the futures of one loop."""

    def __init__(self) -> None:
        self._ended: deque[asyncio.Future[None]] = deque()
        self._is_woken = False

    def end(self, future: asyncio.Future[None]) -> None:
        """Let the tasks that await a future go on. From any thread; nothing happens where its loop is closed."""
        self._ended.append(future)
        # Added first, looked then; _run() does it the other way round.
        if not self._is_woken:
            self._is_woken = True
            with suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(self._run)

    def _run(self) -> None:
        self._is_woken = False
        while self._ended:
            future = self._ended.popleft()
            if not future.done():
                future.set_result(None)


_wakers: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWaker] = WeakKeyDictionary()


def waker_of(loop: asyncio.AbstractEventLoop) -> LoopWaker:
    """Return the loop's waker; in the loop's thread."""
    waker = _wakers.get(loop)
    if waker is None:
        waker = _wakers[loop] = LoopWaker()
    return waker
