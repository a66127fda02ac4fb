"""The three runs of the demo: what is sent how, and what it costs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.demo import flights
from bench.demo.verify import Slice
from twolane import Avro, SafeProducer, ThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from bench.demo.verify import Finding

    Check = Callable[[Slice], Finding]
    Advance = Callable[[int], None]

# The embedded cluster keeps 5 MiB of a partition: so much is sent, then read, then the next.
SLICE = 170_000
ONE_BY_ONE = 2_000
STEP = 100
TIMEOUT = 120.0


@dataclass
class Run:
    """One row of the demo's table."""

    lane: str
    call: str
    records: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    verified: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_verified(self) -> bool:
        """Whether every record was found, once, where and as it should be."""
        return self.records > 0 and self.verified == self.records and not self.problems

    def add(self, finding: Finding) -> None:
        """Count what the reader found."""
        self.verified += finding.records
        self.problems += finding.problems


class Meter:
    """Adds the wall and CPU time of a ``with`` block to a run: this process with all its threads, not the brokers."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._cpu = time.process_time()
        self._wall = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._run.seconds += time.perf_counter() - self._wall
        self._run.cpu_seconds += time.process_time() - self._cpu


def _slices(table: pd.DataFrame) -> Iterator[tuple[int, dict[str, np.ndarray[Any, Any]]]]:
    for start in range(0, len(table), SLICE):
        yield start, flights.columns(table[start : start + SLICE])


def throughput_batches(bootstrap: str, topic: str, table: pd.DataFrame, check: Check, advance: Advance) -> Run:
    """Send the table through the throughput lane, column batches with Avro values."""
    run = Run("throughput", "send_batch")
    avro = Avro(flights.schema(table))
    with ThroughputProducer({"bootstrap.servers": bootstrap}) as producer:
        producer.partitions_for(topic)
        for start, columns in _slices(table):
            with Meter(run):
                delivery = producer.send_batch(
                    topic, columns, keys=flights.KEY, timestamps=flights.TIME, serializer=avro
                )
                batch = delivery.result(timeout=TIMEOUT)
            run.records += len(batch)
            advance(len(batch))
            run.add(check(Slice(topic, start, batch.partitions, batch.offsets)))
    return run


def safe_one_by_one(bootstrap: str, topic: str, table: pd.DataFrame, check: Check, advance: Advance) -> Run:
    """Send the first 2 000 rows through the safe lane, waiting for the brokers after each."""
    run = Run("safe", "send")
    table = table[:ONE_BY_ONE]
    avro = Avro(flights.schema(table))
    rows = flights.rows(table)
    partitions, offsets = np.empty(len(rows), np.int32), np.empty(len(rows), np.int64)
    with SafeProducer({"bootstrap.servers": bootstrap}) as producer:
        producer.partitions_for(topic)
        for start in range(0, len(rows), STEP):
            step = rows[start : start + STEP]
            with Meter(run):
                for i, row in enumerate(step, start):
                    meta = producer.send(
                        topic, avro.encode(row), key=row[flights.KEY].encode(), timestamp=row[flights.TIME]
                    )
                    partitions[i], offsets[i] = meta.partition, meta.offset
            run.records += len(step)
            advance(len(step))
    run.add(check(Slice(topic, 0, partitions, offsets)))
    return run


def safe_batches(bootstrap: str, topic: str, table: pd.DataFrame, check: Check, advance: Advance) -> Run:
    """Send the table through the safe lane, column batches with Avro values; each call returns acknowledged."""
    run = Run("safe", "send_batch")
    avro = Avro(flights.schema(table))
    with SafeProducer({"bootstrap.servers": bootstrap}) as producer:
        producer.partitions_for(topic)
        for start, columns in _slices(table):
            with Meter(run):
                batch = producer.send_batch(
                    topic, columns, keys=flights.KEY, timestamps=flights.TIME, serializer=avro, timeout=TIMEOUT
                )
            run.records += len(batch)
            advance(len(batch))
            run.add(check(Slice(topic, start, batch.partitions, batch.offsets)))
    return run


# Topic of each run, and its number of records.
RUNS: dict[str, Callable[[str, str, pd.DataFrame, Check, Advance], Run]] = {
    "throughput": throughput_batches,
    "safe-one-by-one": safe_one_by_one,
    "safe": safe_batches,
}
