"""A task as one transaction, which its later attempts recognise.

The transactional id names the task, not the attempt: an attempt that begins fences those before it, which includes
executors that the engine has given up and that still run, and ends the transaction that they left open. In the same
transaction a consumer group of the id's name gets an offset that stands for the job: what is written and the note of
it are committed together. A later attempt reads the note first, and writes nothing where it is that of its own job.

The offset is no place in the topic but 62 bits of the job's hash: librdkafka does not return an offset's metadata.
"""

from __future__ import annotations

import contextlib
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from twolane.errors import TransactionError, Verdict
from twolane.sinks.options import TRANSACTIONAL_ID
from twolane.sinks.process import close_quietly, open_producer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twolane.safe.producer import SafeProducer
    from twolane.sinks.options import SinkOptions
    from twolane.sinks.reports import Task
    from twolane.throughput.producer import ThroughputProducer

# What a group's coordinator says while it moves, or is made together with the topic of offsets.
PASSING = (
    *(KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
    *(KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError._WAIT_COORD, KafkaError._TRANSPORT, KafkaError._TIMED_OUT),
)


@contextlib.contextmanager
def task_transaction(options: SinkOptions, task: Task) -> Iterator[SafeProducer | ThroughputProducer | None]:
    """Yield a producer in a transaction that ends with the block; None where the task was committed before.

    A producer and a consumer are made for each attempt: what another attempt has fenced is of no more use.

    Raises
    ------
    TransactionError, FatalProducerError
        Another attempt has taken the task over, or the transaction failed.
    """
    name = f"{options.transactional_id}-{task.number}"
    producer = open_producer(options, **{TRANSACTIONAL_ID: name})
    try:
        producer.init_transactions()
        with contextlib.closing(_Notes(producer, name, options.topic)) as notes:
            if notes.last() == note_of(task.job):
                yield None
                return
            with producer.transaction():
                yield producer
                notes.add(task.job)
    finally:
        close_quietly(producer)


def note_of(job: str) -> int:
    """Return the offset that stands for a job."""
    return int.from_bytes(blake2b(job.encode(), digest_size=8).digest(), "big") >> 2


class _Notes:
    """The offset of a group, which says what job was committed last."""

    def __init__(self, producer: Any, group: str, topic: str) -> None:
        self._producer = producer
        settings: dict[str, Any] = producer._settings.connection()
        if producer._tokens is not None:
            settings["oauth_cb"] = producer._tokens.for_another_client
        self._consumer = Consumer({**settings, "group.id": group, "enable.auto.commit": False, "log_level": 0})
        self._topic = topic

    def last(self) -> int:
        """Return the note of the transaction that was committed last. The one before this has ended: init waited."""
        deadline = time.monotonic() + self._producer._timeout
        while True:
            try:
                left = max(0.1, deadline - time.monotonic())
                (place,) = self._consumer.committed([TopicPartition(self._topic, 0)], left)
                return int(place.offset)
            except KafkaException as exception:
                error = exception.args[0]
                passes = error.code() in PASSING
                if passes and time.monotonic() < deadline:
                    time.sleep(0.1)  # librdkafka asks for the coordinator meanwhile
                    continue
                raise TransactionError(
                    error, what="committed", retriable=passes, must_abort=False, verdict=Verdict.NOT_WRITTEN
                ) from None

    def add(self, job: str) -> None:
        """Add the note to the transaction that is open."""
        place = TopicPartition(self._topic, 0, note_of(job))
        self._producer.send_offsets_to_transaction([place], self._consumer.consumer_group_metadata())

    def close(self) -> None:
        """Close the consumer, which has joined nothing."""
        self._consumer.close()
