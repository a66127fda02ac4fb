"""Was it written? Counted and read back with confluent-kafka's consumer, which shares nothing with who sent.

Every record of a run is counted by the partitions' offsets. The first and the last ones of each partition are read and
compared: value, key, timestamp, and that they are in the order they were sent.
"""

from __future__ import annotations

import io
import json
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, KafkaError, KafkaException, TopicPartition

from bench.contender import SCHEMA, key_of, properties, reading

if TYPE_CHECKING:
    from confluent_kafka import Message

    from bench.contender import Result, Task

# Records compared at each end of the run, over all partitions.
SAMPLE = 1_000
# Seconds until the high watermarks have caught up: with acks=0 and acks=1 they trail behind the client.
CATCH_UP = 5.0
ANSWER = 10.0
# What brokers under load say of a topic just made, until all of them know it.
NOT_YET = (
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
PARSED = fastavro.parse_schema(SCHEMA)


class UnverifiedError(Exception):
    """What a contender reported is not what the log holds; its figures must not be shown."""


def count(bootstrap: str, topic: str, partitions: int) -> int:
    """Return how many records a topic has ever got, transactions' markers included."""
    with Log(bootstrap) as log:
        return sum(log.ends(topic, partitions))


class Log:
    """The brokers' log; a context manager.

    Parameters
    ----------
    bootstrap : str
    settings : str, optional
        Path of a file of further client settings.
    """

    def __init__(self, bootstrap: str, settings: str = "") -> None:
        self._consumer = Consumer(
            {
                **properties(settings),
                "bootstrap.servers": bootstrap,
                "group.id": f"twolane-bench-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "check.crcs": True,
                "fetch.wait.max.ms": 10,
                # A sample is wanted, not the topic.
                "max.partition.fetch.bytes": 65_536,
                "queued.min.messages": SAMPLE,
                "queued.max.messages.kbytes": 1_024,
                "log_level": 0,
            }
        )
        self._met: set[str] = set()
        self._values: dict[str, list[bytes]] = {}

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def ends(self, topic: str, partitions: int) -> list[int]:
        """Return where each partition ends."""
        if topic not in self._met:
            self._meet(topic, partitions)
        return [self._watermarks(topic, p)[1] for p in range(partitions)]

    def _meet(self, topic: str, partitions: int) -> None:
        """Have the consumer learn of a topic.

        The first broker that it asks may not have heard of a new one, and librdkafka then keeps to "unknown partition".
        """
        deadline = time.monotonic() + ANSWER
        while len(self._consumer.list_topics(topic, timeout=ANSWER).topics[topic].partitions) != partitions:
            if time.monotonic() > deadline:
                raise UnverifiedError(f"topic {topic} has no partitions to count")
            time.sleep(0.05)
        self._met.add(topic)

    def _watermarks(self, topic: str, partition: int) -> tuple[int, int]:
        deadline = time.monotonic() + ANSWER
        while True:
            try:
                low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER)
                return low, high
            except KafkaException as error:
                if error.args[0].code() not in NOT_YET or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def check(self, task: Task, result: Result, before: list[int]) -> None:
        """Compare the log with what was asked and what was reported.

        Parameters
        ----------
        task : Task
        result : Result
        before : list of int
            Where each partition ended before the run.

        Raises
        ------
        UnverifiedError
            Records failed, are missing, are too many, or are not the ones that were to be sent.
        """
        if result.failed or result.records != task.records:
            raise UnverifiedError(f"{result.records} of {task.records} records acknowledged, {result.failed} failed")
        expected = task.warmup + task.records
        ends = self._caught_up(task, sum(before) + expected)
        added = [end - start for start, end in zip(before, ends, strict=True)]
        if sum(added) != expected:
            raise UnverifiedError(f"{sum(added)} records in the log, {expected} were reported: no figures")
        if "partition" not in result.lacks:
            due = [len(range(p, expected, task.partitions)) for p in range(task.partitions)]
            if added != due:
                raise UnverifiedError(f"{added} records in the partitions, {due} were due")
        reach = max(1, SAMPLE // task.partitions)
        heads = {p: (start, min(start + reach, end)) for p, (start, end) in enumerate(zip(before, ends, strict=True))}
        tails = {p: (max(start, end - reach), end) for p, (start, end) in enumerate(zip(before, ends, strict=True))}
        for windows in (heads, tails):
            self._compare(task, result, before, windows)

    def _caught_up(self, task: Task, total: int) -> list[int]:
        deadline = time.monotonic() + CATCH_UP
        while True:
            ends = self.ends(task.topic, task.partitions)
            if sum(ends) >= total or time.monotonic() > deadline:
                return ends
            time.sleep(0.02)

    def _compare(self, task: Task, result: Result, before: list[int], windows: dict[int, tuple[int, int]]) -> None:
        """Read some offsets of every partition and compare them with the records that belong there."""
        left: dict[int, int] = {}  # partition -> offset where its window ends
        places = []
        for partition, (start, stop) in windows.items():
            kept = max(start, self._watermarks(task.topic, partition)[0])  # the embedded cluster forgets old records
            if kept < stop:
                left[partition] = stop
                places.append(TopicPartition(task.topic, partition, kept))
        self._consumer.assign(places)
        deadline = time.monotonic() + ANSWER
        try:
            while left:
                if time.monotonic() > deadline:
                    raise UnverifiedError(f"partitions {sorted(left)}: records cannot be read back")
                message = self._consumer.poll(0.1)
                if message is None:
                    continue
                if message.error():
                    raise KafkaException(message.error())
                partition, offset = int(message.partition()), int(message.offset())
                if offset < left.get(partition, 0):
                    index = partition + (offset - before[partition]) * task.partitions
                    if problem := self._difference(task, result, message, index):
                        raise UnverifiedError(f"partition {partition} offset {offset}: {problem}")
                if offset + 1 >= left.get(partition, 0):
                    left.pop(partition, None)
        finally:
            self._consumer.unassign()

    def _difference(self, task: Task, result: Result, message: Message, index: int) -> str | None:
        """Return how a record differs from record `index` of the task, or None."""
        in_order = not {"partition", "order"} & set(result.lacks)
        value: Any = message.value()
        if task.data == "avro":
            if "avro" in result.lacks:
                value = json.loads(value)
            else:
                value = fastavro.schemaless_reader(io.BytesIO(value[5:]), PARSED, None)
                value["ts"] = round(value["ts"].timestamp() * 1000)
            index = index if in_order else value["id"]
            wanted: Any = reading(index, task.first_timestamp)
        else:
            lines = self._lines(task.values)
            wanted = lines[index % len(lines)]
            if not in_order:
                return None if value in lines else f"the value {value[:40]!r} was not sent"
        if value != wanted:
            return f"the value is {str(value)[:40]!r}, not {str(wanted)[:40]!r}"
        key = key_of(index, task.keys) if task.keys else None
        if "key" not in result.lacks and message.key() != key:
            return f"the key is {message.key()!r}, not {key!r}"
        stamp = TIMESTAMP_CREATE_TIME, task.first_timestamp + index
        if "timestamp" not in result.lacks and message.timestamp() != stamp:
            return f"the timestamp is {message.timestamp()}, not {stamp}"
        return None

    def _lines(self, path: str) -> list[bytes]:
        if path not in self._values:
            self._values = {path: Path(path).read_bytes().splitlines()}
        return self._values[path]
