"""Was it written? Counted by the partitions' offsets, and read back with confluent-kafka's consumer."""

from __future__ import annotations

import time
import uuid

from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench import verify
from bench.sinks import data
from bench.verify import UnverifiedError

# Records compared of a run that is not read whole.
SAMPLE = 2_000
ANSWER = 30.0


class Log:
    """What a topic holds; `close` it."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._partitions = range(partitions)
        self._counted = verify.Log(bootstrap)
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"twolane-bench-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "check.crcs": True,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )

    def ends(self, topic: str) -> list[int]:
        """Return where each partition ends."""
        return self._counted.ends(topic, len(self._partitions))

    def check(self, topic: str, before: list[int], rows: int, reader: str, *, is_whole: bool) -> None:
        """Count what was added to a topic, and compare records with the rows that they were made of.

        Parameters
        ----------
        topic : str
        before : list of int
            Where each partition ended before the run.
        rows : int
            How many records there have to be.
        reader : str
            Which of `data.READERS` reads them.
        is_whole : bool
            Whether all are read, and each row has to be there once; else some at the front of what each partition got.

        Raises
        ------
        UnverifiedError
        """
        ends = self.ends(topic)
        if sum(ends) - sum(before) != rows:
            raise UnverifiedError(f"{sum(ends) - sum(before)} records in the log, of {rows}: no figures")
        reach = rows if is_whole else SAMPLE // len(self._partitions)
        stops = {p: min(end, start + reach) for p, (start, end) in enumerate(zip(before, ends, strict=True))}
        left = {p for p, stop in stops.items() if stop > before[p]}
        due = sum(stops[p] - before[p] for p in left)
        found: set[int] = set()
        self._consumer.assign([TopicPartition(topic, p, before[p]) for p in left])
        deadline = time.monotonic() + ANSWER
        while left:
            if time.monotonic() > deadline:
                raise UnverifiedError(f"partitions {sorted(left)} cannot be read back")
            for message in self._consumer.consume(10_000, 0.05):
                if message.error():
                    raise KafkaException(message.error())
                partition, offset = message.partition(), message.offset()
                if offset < stops[partition]:
                    row = data.READERS[reader](message.value())
                    if row != data.row(row["id"]) or message.key() != row[data.KEY].encode():
                        raise UnverifiedError(f"partition {partition} offset {offset}: {message.key()!r}, {row}")
                    found.add(row["id"])
                if offset + 1 >= stops[partition]:
                    left.discard(partition)
        self._consumer.unassign()
        if len(found) != due:
            raise UnverifiedError(f"{due} records have {len(found)} rows: some are there twice")

    def close(self) -> None:
        """Close the consumers."""
        self._counted.close()
        self._consumer.close()
