"""A topic's partitions, asked of the brokers so that a slow answer is not lost."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from twolane.errors import TwolaneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.client.handle import Handle, Topic

# What a caller waits for an answer by itself: librdkafka drops one that comes later, and keeps Ctrl-C waiting as long.
FIRST_SECONDS = 0.9
# What the thread behind it waits at first, and at most: each question is twice as patient as the one before. There is
# one only where a broker is connected and does not answer: without a broker librdkafka says so after the first wait.
PATIENCE, MOST_PATIENCE = 10.0, 30.0
# How long a caller may not look at signals, and at whether the producer closes.
LOOK_SECONDS = 0.1


class Question:
    """One question to the brokers in a thread of its own, which outlasts whoever asked.

    Attributes
    ----------
    answered : threading.Event
    error : int
        0, or why there is no count.
    """

    def __init__(self, ask: Callable[[float], int], patience: float) -> None:
        self._ask = ask
        self.patience = patience
        self.answered = threading.Event()
        self.error = int(KafkaError._TIMED_OUT)
        try:
            threading.Thread(target=self._run, name="twolane-count", daemon=True).start()
        except RuntimeError:  # no more threads: it is asked again later
            self.answered.set()

    def _run(self) -> None:
        try:
            self.error = self._ask(self.patience)
        except TwolaneError:  # closed
            pass
        finally:
            self.answered.set()


class Counter:
    """Counts the partitions of topics.

    A healthy broker answers the caller at once. Where none has, a thread asks on with more and more patience; it takes
    the count over also if its caller has left, and whoever comes meanwhile waits for the same answer.

    Parameters
    ----------
    counted : callable
        Takes notice of a count: topic, replicas of the least replicated partition. In any thread.
    """

    def __init__(self, handle: Handle, counted: Callable[[Topic, int], None]) -> None:
        self._handle = handle
        self._counted = counted
        self._questions: dict[str, Question] = {}

    def ask(self, topic: Topic, deadline: float, is_closed: Callable[[], bool]) -> int:
        """Count once, or wait for the count that is under way. Returns 0 or an error, and sets the topic's attributes.

        Parameters
        ----------
        deadline : float
            ``time.monotonic()``
        is_closed : callable
            Whether the producer closes: nothing is waited for any more.
        """
        question = self._questions.get(topic.name)
        if question is None or (question.answered.is_set() and question.error != KafkaError._TIMED_OUT):
            error = self._count(topic, max(0.001, min(FIRST_SECONDS, deadline - time.monotonic())))
            if error != KafkaError._TIMED_OUT or time.monotonic() >= deadline or is_closed():
                return error
            question = self._open(topic, PATIENCE)
        elif question.answered.is_set():  # in vain: what it told is old
            question = self._open(topic, min(MOST_PATIENCE, 2 * question.patience))
        while not question.answered.wait(max(0.0, min(LOOK_SECONDS, deadline - time.monotonic()))):
            if is_closed() or time.monotonic() >= deadline:
                return int(KafkaError._TIMED_OUT)
        return question.error

    def _open(self, topic: Topic, patience: float) -> Question:
        question = self._questions[topic.name] = Question(lambda seconds: self._count(topic, seconds), patience)
        return question

    def _count(self, topic: Topic, seconds: float) -> int:
        topic.recount = False  # before: a report that comes meanwhile asks anew
        error, partitions = self._handle.fetch_partitions(topic, seconds)
        if error:
            return error
        if not partitions:
            return int(KafkaError.UNKNOWN_TOPIC_OR_PART)
        topic.partition_count = len(partitions)
        topic.counted_at = time.monotonic()
        self._questions.pop(topic.name, None)
        self._counted(topic, min(replicas for *_, replicas in partitions))
        return 0
