"""Who waits for the turn of a safe producer, and signals that come when a test's condition holds."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from tests.support.waiting import PATIENCE, wait_until
from twolane.common.fair_lock import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from twolane import SafeProducer


def warm_up(producer: SafeProducer, topic: str, partitions: Sequence[int] = (0,)) -> None:
    """Have a record written to each partition, however short a time the producer gives its records.

    librdkafka connects, and asks for a producer id, when a record waits for that: on a busy machine for over a second.
    """
    sender = producer._ordered_sender
    usual, sender.batch_timeout = sender.batch_timeout, PATIENCE
    producer.send_batch(topic, [b"warm"] * len(partitions), partitions=list(partitions), timeout=PATIENCE)
    sender.batch_timeout = usual


def until_in_line(producer: SafeProducer, n: int) -> None:
    """Return once so many callers wait for their turn."""
    wait_until(lambda: len(producer._fair_lock) >= n)


@contextlib.contextmanager
def turn_held(producer: SafeProducer) -> Iterator[Callable[[], None]]:
    """Keep all callers waiting: another thread has the turn until the end, or until the function given is called."""
    took, over = threading.Event(), threading.Event()

    def hold() -> None:
        turn = Waiter(math.inf)
        assert producer._fair_lock.acquire(turn)
        took.set()
        over.wait()
        producer._fair_lock.release(turn)

    thread = threading.Thread(target=hold)
    thread.start()
    took.wait()
    try:
        yield over.set
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def signal_when(condition: Callable[[], object], number: int = signal.SIGINT) -> Iterator[list[float]]:
    """Send this process a signal once a condition holds; the list given has the ``time.monotonic()`` of it then."""
    sent: list[float] = []

    def send() -> None:
        wait_until(condition)
        sent.append(time.monotonic())
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        thread.join()
