"""The reader: a process of its own that finds every record again and compares it with the row it was made from.

It shares no code with the library: confluent-kafka's consumer reads, fastavro decodes, and the rows come from the data
set once more. Being another process, its CPU time is not in the demo's figures.
"""

from __future__ import annotations

import io
import multiprocessing
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, TopicPartition

from bench.demo import flights

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from types import TracebackType

    from numpy.typing import NDArray

PATIENCE = 30.0  # seconds without one more record


@dataclass(frozen=True)
class Slice:
    """Rows ``start`` to ``start + len(offsets)`` of the data set, and where the producer says they are."""

    topic: str
    start: int
    partitions: NDArray[np.int32]
    offsets: NDArray[np.int64]


@dataclass
class Finding:
    """What the reader found of one slice."""

    records: int = 0
    problems: list[str] = field(default_factory=list)


class Reader:
    """The parent's end: hands slices to the reading process and takes its findings.

    Parameters
    ----------
    bootstrap : str
    records : int, optional
        How many flights the data set was cut to.
    """

    def __init__(self, bootstrap: str, records: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, bootstrap, records), daemon=True)
        self._process.start()
        theirs.close()

    def check(self, part: Slice) -> Finding:
        """Find every record of `part` in the log and compare it with its row."""
        self._connection.send(part)
        finding = self._connection.recv()
        assert isinstance(finding, Finding)
        return finding

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()


def _serve(connection: Connection, bootstrap: str, records: int | None) -> None:
    rows = flights.rows(table := flights.load(records))
    schema = fastavro.parse_schema(flights.schema(table))
    log = Log(bootstrap)
    try:
        while True:
            connection.send(log.compare(connection.recv(), rows, schema))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass
    finally:
        log.close()


class Log:
    """The brokers' log, read slice by slice; remembers how far each partition was read."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"demo-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "check.crcs": True,
                "fetch.wait.max.ms": 10,
            }
        )
        self._next: dict[tuple[str, int], int] = {}

    def close(self) -> None:
        """Leave the cluster."""
        self._consumer.close()

    def compare(self, part: Slice, rows: list[dict[str, Any]], schema: Any) -> Finding:
        """Read what the slice added to the log, record by record; see ``Reader.check``."""
        finding = Finding()
        expected, ends = self._expected(part, finding)
        self._consumer.assign([TopicPartition(part.topic, p, self._next.get((part.topic, p), 0)) for p in ends])
        deadline = time.monotonic() + PATIENCE
        while expected and time.monotonic() < deadline:
            messages = self._consumer.consume(10_000, timeout=0.5)
            for message in messages:
                if message.error():
                    finding.problems.append(str(message.error()))
                    return finding
                place = message.partition(), message.offset()
                index = expected.pop(place, None)
                if index is None:
                    if place[1] >= ends[place[0]]:
                        finding.problems.append(f"partition {place[0]} offset {place[1]}: this record was not reported")
                    continue
                finding.records += 1
                if problem := _difference(message, rows[index], schema):
                    finding.problems.append(f"row {index}, partition {place[0]} offset {place[1]}: {problem}")
            if messages:
                deadline = time.monotonic() + PATIENCE
        finding.problems += [
            f"row {index}: not found at partition {partition} offset {offset}"
            for (partition, offset), index in expected.items()
        ]
        self._check_ends(part.topic, ends, finding)
        return finding

    def _expected(self, part: Slice, finding: Finding) -> tuple[dict[tuple[int, int], int], dict[int, int]]:
        """Return the row of each place, and where each partition should end; order and gaps are checked here."""
        expected: dict[tuple[int, int], int] = {}
        ends: dict[int, int] = {}
        for number in np.unique(part.partitions):
            partition = int(number)
            indices = np.flatnonzero(part.partitions == partition)
            offsets = part.offsets[indices]
            first = self._next.get((part.topic, partition), 0)
            if not np.array_equal(offsets, first + np.arange(len(offsets))):
                finding.problems.append(f"partition {partition}: order or gaps from offset {first} on")
            expected.update(zip(((partition, int(o)) for o in offsets), (part.start + indices).tolist(), strict=True))
            ends[partition] = int(offsets.max()) + 1
        return expected, ends

    def _check_ends(self, topic: str, ends: dict[int, int], finding: Finding) -> None:
        for partition, end in ends.items():
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            if low > self._next.get((topic, partition), 0):
                finding.problems.append(
                    f"partition {partition}: records below {low} were deleted before they were read"
                )
            if high != end:
                finding.problems.append(f"partition {partition}: ends at {high}, the reports end at {end}")
            self._next[topic, partition] = high


def _difference(message: Any, row: dict[str, Any], schema: Any) -> str | None:
    """Return what differs between a record and its row, or None."""
    value = fastavro.schemaless_reader(io.BytesIO(message.value()), schema, None)
    if value != row:
        fields = [name for name in row if value.get(name, ...) != row[name]]
        return ", ".join(f"{name} is {value.get(name)!r}, not {row[name]!r}" for name in fields)
    if message.key() != row[flights.KEY].encode():
        return f"key is {message.key()!r}, not {row[flights.KEY]!r}"
    stamp = TIMESTAMP_CREATE_TIME, int(row[flights.TIME].timestamp()) * 1000
    if message.timestamp() != stamp:
        return f"timestamp is {message.timestamp()}, not {stamp}"
    return None
