"""Records whose topic's partitions are not known yet: ``produce()`` must not wait for the brokers, the core has to."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import KafkaError

from twolane.common.record import payload_of
from twolane.errors import DeliveryError, SerializationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.confluent.core import Core
    from twolane.confluent.records import Sent

# Seconds between two looks for room.
STEP = 0.1


class _Waiting(NamedTuple):
    sent: Sent
    partition: int
    size: int  # bytes of value and key, as the core's buffer counts them
    expires: float  # time.monotonic()


class UnknownTopics:
    """Keeps records until their topic's partitions are known, then sends them in order; a thread per topic.

    Parameters
    ----------
    core : Core

    Attributes
    ----------
    known : set of str
        Topics whose partitions are known, and for which nothing waits.
    failure : KafkaError or None
        The last one reported here, which librdkafka has not heard of.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._bytes = 0  # of all of them
        self._lock = threading.Lock()
        self.known: set[str] = set()
        self.failure: KafkaError | None = None

    def __len__(self) -> int:
        return sum(map(len, list(self._waiting.values())))

    def take(self, topic: str, sent: Sent, partition: int, room: Callable[[], int]) -> bool:
        """Keep a record if its topic is not known; return whether it was kept."""
        if topic in self.known:
            return False
        with self._lock:
            waiting = self._waiting.get(topic)
            if waiting is None:
                if self._core._handle.open_topic(topic).partition_count:
                    self.known.add(topic)
                    return False
                waiting = deque()
            try:  # what send() would refuse is refused at once
                size = payload_of(topic, sent.value, sent.key, sent.headers, self._core._max_bytes)
            except SerializationError as error:
                raise TypeError(str(error)) from error
            if room() <= 0 or self._bytes + size > self._core._buffer.bytes:
                raise BufferError(KafkaError(KafkaError._QUEUE_FULL).str())
            if not sent.timestamp:  # the time of produce(), however long it waits here
                sent = sent._replace(timestamp=time.time_ns() // 1_000_000)
            waiting.append(_Waiting(sent, partition, size, sent.started + self._core._timeout))
            self._bytes += size
            if topic not in self._waiting:
                self._waiting[topic] = waiting
                threading.Thread(target=self._resolve, args=(topic,), name="twolane-topic", daemon=True).start()
        return True

    def purge(self) -> None:
        """Report all of them as purged."""
        with self._lock:
            for topic, waiting in self._waiting.items():
                while waiting:
                    self._failed(topic, self._pop(waiting), KafkaError(KafkaError._PURGE_QUEUE))

    def _pop(self, waiting: deque[_Waiting]) -> _Waiting:
        record = waiting.popleft()
        self._bytes -= record.size
        return record

    def _resolve(self, topic: str) -> None:
        """Ask for a topic's partitions, then send what waits for them, in order. Runs in a thread of its own."""
        waiting = self._waiting[topic]
        is_known = False
        while True:
            with self._lock:
                if not waiting:
                    if is_known:
                        self.known.add(topic)
                    del self._waiting[topic]
                    return
                first = self._pop(waiting) if is_known else waiting[0]
            try:
                if is_known:
                    self._send_when_there_is_room(topic, first)
                else:
                    self._core.partitions_for(topic, max(0.0, first.expires - time.monotonic()))
                    is_known = True
            except DeliveryError as error:
                if is_known:
                    self._failed(topic, first, error.error)
                else:
                    self._give_up(topic, waiting, error.error.code())
            except RuntimeError:  # closed
                if is_known:
                    self._failed(topic, first, KafkaError(KafkaError._PURGE_QUEUE))
                self.purge()

    def _send_when_there_is_room(self, topic: str, record: _Waiting) -> None:
        while True:
            try:
                self._core.send_on(topic, record.sent, record.partition)
                return
            except BufferError:  # the record was counted when it came
                self._core._buffer.wait_for_space(STEP)

    def _give_up(self, topic: str, waiting: deque[_Waiting], code: int) -> None:
        """Report the records that cannot wait any longer; all of them where the brokers do not know the topic."""
        is_unknown = code == KafkaError.UNKNOWN_TOPIC_OR_PART
        error = KafkaError(KafkaError._UNKNOWN_TOPIC if is_unknown else KafkaError._MSG_TIMED_OUT)
        with self._lock:
            while waiting and (is_unknown or waiting[0].expires <= time.monotonic()):
                self._failed(topic, self._pop(waiting), error)

    def _failed(self, topic: str, record: _Waiting, error: KafkaError) -> None:
        self.failure = error
        self._core.reports.refuse(topic, record.sent, record.partition, error)
