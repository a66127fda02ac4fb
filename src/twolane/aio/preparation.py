"""Preparations: what a call has to ask the brokers or a registry before it is put in line, beside the loop.

A call that need not ask is put in line at once. Behind one to the same topic that must, it waits for that one: the
order of a topic's records is the order of their calls. Calls to other topics are not held up.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from twolane.common.topics import NO_BROKER
from twolane.errors import DeliveryError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from twolane.aio.awaited_call import AwaitedCall
    from twolane.common.logs import ClientLog


class Preparation(NamedTuple):
    """A call, what may block before it (in a thread), and what takes it over then (in the loop)."""

    call: AwaitedCall
    prepare: Callable[[], None]
    go_on: Callable[[AwaitedCall], None]


class Preparations:
    """Of one event loop; for its thread.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
    resolve : callable
        ``(topic, deadline)``: returns when the topic's partitions are known, or raises DeliveryError.
    say : ClientLog

    Attributes
    ----------
    topics : dict of str to deque of Preparation
        Topics whose calls are being prepared, each with those that wait for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, resolve: Callable[[str, float], Any], say: ClientLog) -> None:
        self._say = say
        self._loop = loop
        self._resolve = resolve
        self.topics: dict[str, deque[Preparation]] = {}

    def append(self, topic: str, one: Preparation) -> None:
        """Prepare a call behind those to the same topic."""
        waiting = self.topics.get(topic)
        if waiting is None:
            self.topics[topic] = deque([one])
            self._begin(topic)
        else:
            waiting.append(one)

    def _begin(self, topic: str) -> None:
        taken = list(self.topics[topic])
        self.topics[topic].clear()
        try:
            threading.Thread(target=self._run, args=(topic, taken), name="twolane-prepare", daemon=True).start()
        except RuntimeError as error:  # no more threads
            for one in taken:
                one.call.end_unsent(error)
            self._go_on(topic, taken)

    def _run(self, topic: str, taken: list[Preparation]) -> None:
        """Prepare the calls of a topic; each that cannot go has its outcome then. A thread."""
        open_ones = taken
        while open_ones := [one for one in open_ones if one.call.outcome is None]:
            try:
                self._resolve(topic, min(one.call.deadline for one in open_ones))
            except DeliveryError as error:
                waits = error.error.code() in NO_BROKER
                now = time.monotonic()
                for one in open_ones:
                    if not waits or one.call.deadline <= now:
                        one.call.end_unsent(copy.copy(error))
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                for one in open_ones:
                    one.call.end_unsent(copy.copy(error))
            else:
                for one in open_ones:
                    _prepare(one)
                break
        try:
            self._loop.call_soon_threadsafe(self._go_on, topic, taken)
        except RuntimeError:  # the loop is closed: nothing was sent
            self._say(logging.WARNING, "%d calls to %r were not made: their event loop was closed", len(taken), topic)

    def _go_on(self, topic: str, taken: list[Preparation]) -> None:
        for one in taken:
            if one.call.outcome is None:
                one.go_on(one.call)
            else:
                one.call.tell(self._say)
        if self.topics[topic]:
            self._begin(topic)
        else:
            del self.topics[topic]


def _prepare(one: Preparation) -> None:
    if one.call.outcome is None:
        try:
            one.prepare()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            one.call.end_unsent(error)
