"""CallLine: calls of one event loop in their order, made by one thread beside it.

The loop hands over what has been awaited by then as one *group*; the thread makes the calls and wakes the loop once.
While a group is on its way, calls gather for the next one. That is handed over behind the tasks which the last group
woke, or at once where as many have sent again.
"""

from __future__ import annotations

import logging
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from twolane.aio._call import take_group, tell
from twolane.safe.group_commit import GROUP, GROUP_SPREAD

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from twolane.aio.awaited_call import AwaitedCall
    from twolane.common.logs import ClientLog

# Seconds between two looks at the deadlines of those in line.
LOOK = 0.25


class CallLine:
    """The calls of one loop.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
    make : callable
        Makes the calls of a group, in the thread: each has its ``outcome`` then. Must not refer to the line's owner,
        which may be collected while the thread waits.
    name : str
        Of the thread.
    say : ClientLog

    Notes
    -----
    All methods are for the loop's thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[list[AwaitedCall]], None],
        name: str,
        say: ClientLog,
    ) -> None:
        self._loop = loop
        self._say = say
        self._waiting: list[AwaitedCall] = []
        self._is_busy = False  # a group is on its way
        self._is_due = False  # the next one is about to be handed over
        self._clock: asyncio.TimerHandle | None = None
        self._refusal: Callable[[], BaseException] | None = None
        self._groups: SimpleQueue[tuple[list[AwaitedCall], Callable[[list[AwaitedCall]], None]] | None] = SimpleQueue()
        threading.Thread(target=_serve, args=(self._groups, make), name=name, daemon=True).start()

    def __len__(self) -> int:
        """Return the number of calls that wait, those not counted that are on their way."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether no call waits and none is on its way."""
        return not (self._waiting or self._is_busy)

    def append(self, call: AwaitedCall) -> None:
        """Put a call at the end of the line."""
        if self._refusal is not None:
            call.end_unsent(self._refusal())
            call.tell(self._say)
            return
        self._waiting.append(call)
        if not self._is_busy:
            if not self._is_due:
                self._is_due = True
                self._loop.call_soon(self._hand_over)
        elif self._clock is None:
            self._clock = self._loop.call_later(LOOK, self._look_at_deadlines)

    def refuse(self, refusal: Callable[[], BaseException]) -> None:
        """End all calls that wait or come, with what `refusal` makes; those on their way go on."""
        self._refusal = refusal
        left, self._waiting = self._waiting, []
        for call in left:
            call.end_unsent(refusal())
            call.tell(self._say)

    def stop(self) -> None:
        """Let the thread end behind what it has in hand."""
        self._groups.put(None)

    def _hand_over(self) -> None:
        self._is_due = False
        if not self._is_busy and (group := self._take()):
            self._is_busy = True
            self._groups.put((group, self._report))

    def _take(self) -> list[AwaitedCall]:
        """Take the next group off the line, and end the calls before it whose time is over."""
        group, late = take_group(self._waiting, GROUP, GROUP_SPREAD, time.monotonic())
        for call in late:
            call.end_unsent(call.late())
            call.tell(self._say)
        return group

    def _report(self, group: list[AwaitedCall]) -> None:
        """Take a group's outcomes over; called by the thread."""
        try:
            self._loop.call_soon_threadsafe(self._reported, group)
        except RuntimeError:  # the loop is closed, and no task of it goes on
            for call in group:
                call.log_outcome(self._say)
            left = sum(call.end_unsent(call.late()) for call in self._waiting)
            self._waiting.clear()
            if left:
                self._say(logging.WARNING, "%d calls were not made: their event loop was closed", left)

    def _reported(self, group: list[AwaitedCall]) -> None:
        self._is_busy = False
        self._is_due = True  # what the tasks send now goes together
        try:
            for call in tell(group):
                call.log_outcome(self._say)
        finally:
            if len(self._waiting) < len(group):
                # Behind the tasks that take another round of the loop to send again; perhaps none does.
                self._loop.call_soon(self._hand_over)
            else:
                self._hand_over()

    def _look_at_deadlines(self) -> None:
        """End the calls whose time ran out in line."""
        now = time.monotonic()
        for call in self._waiting:
            if call.deadline <= now and call.end_unsent(call.late()):
                call.tell(self._say)
        self._clock = None
        if any(call.outcome is None for call in self._waiting):
            self._clock = self._loop.call_later(LOOK, self._look_at_deadlines)


def _serve(groups: SimpleQueue[Any], make: Callable[[Sequence[AwaitedCall]], None]) -> None:
    """Make the calls of one group after the other: the thread."""
    while (item := groups.get()) is not None:
        group, report = item
        make(group)
        report(group)
        del item, group, report
