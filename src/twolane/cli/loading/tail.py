"""What the log holds: where partitions end, and which of a load's records are at their ends."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from twolane.cli.loading.state import Ends, Ranges

# A producer's settings that a consumer takes, too.
SHARED = (
    *("bootstrap.", "security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "client.", "socket.", "broker."),
    *("reconnect.", "metadata.", "api.version.", "connections.", "resolve.", "allow.auto."),
)
SECONDS = 30.0

# What makes a record this one and no other: topic, key, value, headers.
Content = tuple[str, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]


def content_of(topic: str, key: Any, value: Any, headers: Iterable[Any] | None) -> Content:
    """Return what two records have in common that are the same."""
    return topic, key, value, tuple((name, content) for name, content in headers or ())


def ranges_of(metadata: Any) -> Ranges:
    """Return where records were written: of each partition the ranges without a gap."""
    found: Ranges = []
    for part in getattr(metadata, "by_topic", {"": metadata}).values():
        for partition in np.unique(part.partitions[part.offsets >= 0]).tolist():
            offsets = np.sort(part.offsets[(part.partitions == partition) & (part.offsets >= 0)])
            for run in np.split(offsets, np.flatnonzero(np.diff(offsets) != 1) + 1):
                found.append((part.topic, partition, int(run[0]), int(run[-1])))
    return found


class LogTail:
    """Reads ends of partitions.

    Parameters
    ----------
    settings : mapping
        The producer's.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._consumer = Consumer(
            {
                **{key: value for key, value in settings.items() if key.startswith(SHARED)},
                "group.id": "twolane-load",  # asked for by librdkafka; no group is joined, nothing is committed
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_uncommitted",
                "fetch.wait.max.ms": 20,
                "log_level": 2,
            }
        )

    def ends(self, topic: str, partitions: Iterable[int]) -> dict[str, int]:
        """Return the offset that the next record of each partition gets.

        Raises
        ------
        KafkaException
        """
        return {str(partition): self._end(topic, partition)[1] for partition in partitions}

    def _end(self, topic: str, partition: int) -> tuple[int, int]:
        found: tuple[int, int] = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), SECONDS)
        return found

    def contents(self, ends: Ends, others: set[tuple[str, int, int]]) -> Counter[Content]:
        """Count the records from these offsets to the ends there are now, without `others`.

        Raises
        ------
        KafkaException
            No broker answered, or they do not let the user read.
        """
        found: Counter[Content] = Counter()
        for message in self._messages(ends):
            if (message.topic(), message.partition(), message.offset()) in others:
                continue
            found[content_of(message.topic(), message.key(), message.value(), message.headers())] += 1
        return found

    def _messages(self, ends: Ends) -> Iterator[Any]:
        starts = []
        for topic, offsets in ends.items():
            for text, offset in offsets.items():
                low, high = self._end(topic, int(text))
                if high > offset:
                    starts.append(TopicPartition(topic, int(text), max(low, offset)))
        if not starts:
            return
        self._consumer.assign(starts)
        open_partitions = {(start.topic, start.partition) for start in starts}
        while open_partitions:
            message = self._consumer.poll(SECONDS)
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer from the brokers"))
            problem = message.error()
            if problem is None:
                yield message
            elif problem.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard((message.topic(), message.partition()))
            elif not problem.retriable():
                raise KafkaException(problem)

    def close(self) -> None:
        """End the consumer."""
        self._consumer.close()
