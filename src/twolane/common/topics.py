"""A topic's partitions, asked of the brokers so that a slow answer is not lost."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from twolane.config.policy import BOOTSTRAP
from twolane.errors import ClosedProducerError, DeliveryError, TwolaneError, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.client.handle import Handle, Topic
    from twolane.common.client_events import EventHandler

# What a caller waits for an answer by itself: librdkafka drops one that comes later, and keeps Ctrl-C waiting as long.
FIRST_SECONDS = 0.9
# What the thread behind it waits at first, and at most: each question is twice as patient as the one before. There is
# one only where a broker is connected and does not answer: without a broker librdkafka says so after the first wait.
PATIENCE, MOST_PATIENCE = 10.0, 30.0
# How long a caller may not look at signals, and at whether the producer closes.
LOOK_SECONDS = 0.1
# How long a topic may be unknown before it is an error: a topic just created takes a moment to reach every broker.
PROPAGATION = 3.0
# A known topic's partitions are counted again within this, or later: a broker that is away for a moment stops no call.
RECOUNT_TIMEOUT, RECOUNT_AGAIN = 2.0, 10.0
# Seconds: a partition beyond an older count is looked for before it is refused.
RECOUNT_BEYOND = 1.0

NO_BROKER = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})
_NOT_YET = frozenset({KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART})


class Question:
    """One question to the brokers in a thread of its own, which outlasts its caller.

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


class Topics:
    """The topics of one producer, with their partitions counted, so that every record gets an explicit partition.

    A healthy broker answers the caller at once. Where none has, a thread asks on with more and more patience; it keeps
    the count also if its caller has left, and callers that come meanwhile wait for the same answer.

    Parameters
    ----------
    handle : Handle
        Kept. Waits end when it is `draining`.
    events : EventHandler
        Polled between questions; its last error goes into messages.
    servers : str
        ``bootstrap.servers``, for messages.

    Attributes
    ----------
    on_count : callable, optional
        Called after each count, in any thread: topic, partitions, replicas of the least replicated partition.
    """

    def __init__(self, handle: Handle, events: EventHandler, servers: str) -> None:
        self._handle = handle
        self._events = events
        self._servers = servers
        self._questions: dict[str, Question] = {}
        self.on_count: Callable[[str, int, int], None] | None = None

    def known(self, name: str, deadline: float) -> Topic:
        """Return the topic with its partitions counted; an old count is renewed if a broker answers soon.

        Raises
        ------
        DeliveryError
            Unknown topic, or no broker answered in time. Nothing was sent.
        """
        topic = self._handle.open_topic(name)
        if not topic.partition_count:
            self.count(topic, deadline)
        elif topic.recount or time.monotonic() - topic.counted_at > self._handle.recount_after:
            try:
                self.count(topic, min(deadline, time.monotonic() + RECOUNT_TIMEOUT))
            except DeliveryError as error:
                if error.error.code() not in NO_BROKER:
                    raise
                topic.counted_at = time.monotonic() - self._handle.recount_after + RECOUNT_AGAIN
        return topic

    def look_for(self, topic: Topic, partition: int, deadline: float) -> None:
        """Count again if a partition lies beyond the last count: the topic may have got more."""
        if partition >= topic.partition_count and time.monotonic() - topic.counted_at > RECOUNT_BEYOND:
            topic.recount = True
            self.known(topic.name, deadline)

    def count(self, topic: Topic, deadline: float) -> int:
        """Count the partitions now. Raises as `known` does."""
        started = time.monotonic()
        while True:
            if self._handle.draining:
                raise ClosedProducerError("the producer was closed while the call waited; nothing was sent")
            error = self.ask(topic, deadline)
            self._events.poll()
            if not error:
                return topic.partition_count
            now = time.monotonic()
            patience = deadline if error in NO_BROKER else min(deadline, started + PROPAGATION)
            if now >= patience or (error not in NO_BROKER and error not in _NOT_YET):
                raise self.not_found(topic.name, error)
            time.sleep(min(0.1, max(0.0, patience - now)))

    def not_found(self, name: str, error: int) -> DeliveryError:
        """Return the error of a call whose topic could not be counted."""
        if error in NO_BROKER:
            seen = f"; last error: {self._events.last_error}" if self._events.last_error else ""
            detail = f"no broker answered in time, {BOOTSTRAP}={self._servers}{seen}"
        else:
            detail = f"{KafkaError(error).str()} ({BOOTSTRAP}={self._servers})"
        return refused(name, error, detail)

    def ask(self, topic: Topic, deadline: float) -> int:
        """Count once, or wait for the count that is under way. Returns 0 or an error, and sets the topic's attributes.

        Parameters
        ----------
        deadline : float
            ``time.monotonic()``
        """
        question = self._questions.get(topic.name)
        if question is None or (question.answered.is_set() and question.error != KafkaError._TIMED_OUT):
            error = self._fetch(topic, max(0.001, min(FIRST_SECONDS, deadline - time.monotonic())))
            if error != KafkaError._TIMED_OUT or time.monotonic() >= deadline or self._handle.draining:
                return error
            question = self._open(topic, PATIENCE)
        elif question.answered.is_set():  # in vain: what it told is old
            question = self._open(topic, min(MOST_PATIENCE, 2 * question.patience))
        while not question.answered.wait(max(0.0, min(LOOK_SECONDS, deadline - time.monotonic()))):
            if self._handle.draining or time.monotonic() >= deadline:
                return int(KafkaError._TIMED_OUT)
        return question.error

    def _open(self, topic: Topic, patience: float) -> Question:
        question = self._questions[topic.name] = Question(lambda seconds: self._fetch(topic, seconds), patience)
        return question

    def _fetch(self, topic: Topic, seconds: float) -> int:
        topic.recount = False  # before: a report that comes meanwhile asks anew
        error, partitions = self._handle.fetch_partitions(topic, seconds)
        if error:
            return error
        if not partitions:
            return int(KafkaError.UNKNOWN_TOPIC_OR_PART)
        topic.counted(len(partitions))
        self._questions.pop(topic.name, None)
        if self.on_count is not None:
            self.on_count(topic.name, len(partitions), min(replicas for *_, replicas in partitions))
        return 0
