"""The lanes as contenders, beside the bare C loop: ``python -m bench.lanes NAME TASK``."""

from __future__ import annotations

import os
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import twolane
from bench.contender import SCHEMA, Clock, Contender, Records, Result, Task, quantiles
from bench.floor.__main__ import build
from bench.measure import line_of
from twolane import Avro, SafeProducer, ThroughputProducer
from twolane.client import library

if TYPE_CHECKING:
    from collections.abc import Callable

# What a task decides; the rest of a producer's settings is its lane's own.
SHOWN = (
    "acks",
    "retries",
    "max.in.flight.requests.per.connection",
    "enable.idempotence",
    "linger.ms",
    "batch.num.messages",
    "batch.size",
    "compression.type",
)
BUILD = Path("build/bench")
SAFE_SEND, SAFE_BATCH = "SafeProducer.send", "SafeProducer.send_batch"
BATCH, SEND = "ThroughputProducer.send_batch", "ThroughputProducer.send"
CALLBACK = "ThroughputProducer.send, callback"
FLOOR = "C loop over rd_kafka_produceva"


def safe(task: Task) -> SafeProducer:
    """Make the safe lane's producer; the lane itself fixes acks, in-flight and linger."""
    return SafeProducer(
        {
            **task.connection(),
            "enable.idempotence": task.idempotence,
            "batch.size": task.batch_bytes,
            "compression.type": task.compression,
        },
        check_topics=False,
    )


def throughput(task: Task) -> ThroughputProducer:
    """Make the throughput lane's producer."""
    return ThroughputProducer(task.librdkafka())


class Columns:
    """Arguments of ``send_batch`` for any part of a task's records, made before the clocks start."""

    def __init__(self, task: Task) -> None:
        total = task.warmup + task.records
        records = Records.of(task, 0, total)
        self._parts: dict[str, Any] = {
            "values": records.values,
            "partitions": np.array(records.partitions, dtype=np.int32),
            "timestamps": np.array(records.timestamps, dtype=np.int64),
        }
        if records.keys is not None:
            self._parts["keys"] = records.keys
        self._fixed: dict[str, Any] = {}
        if task.data == "avro":
            self._table = _readings(total, task.first_timestamp)
            self._fixed = {"serializer": Avro(SCHEMA, schema_id=1)}
        else:
            self._table = {}

    def calls(self, first: int, count: int, size: int) -> list[dict[str, Any]]:
        """Return the arguments of the calls that send records `first` to ``first + count - 1``."""
        return [self._slice(start, min(start + size, first + count)) for start in range(first, first + count, size)]

    def _slice(self, start: int, stop: int) -> dict[str, Any]:
        parts = {name: part[start:stop] for name, part in self._parts.items()}
        if self._table:
            parts["values"] = {name: column[start:stop] for name, column in self._table.items()}
        return {**parts, **self._fixed}


def _readings(total: int, first_timestamp: int) -> dict[str, Any]:
    """Return `bench.contender.reading` as columns."""
    index = np.arange(total)
    return {
        "id": index,
        "sensor": np.array([f"s{i:04}" for i in range(1000)], dtype="S5")[index % 1000],
        "temp": index % 997 / 8,
        "flag": index % 2 == 0,
        "ts": first_timestamp + index,
    }


def batches(task: Task, make: Callable[[Task], Any]) -> Result:
    """Send calls of columns; wait for each (mode "wait", and the safe lane always) or for all at the end."""
    columns = Columns(task)
    warm = columns.calls(0, task.warmup, max(task.call, task.partitions))
    calls = columns.calls(task.warmup, task.records, task.call)
    latencies: list[float] = []
    written = 0
    with make(task) as producer:
        for call in warm:
            _wait(producer.send_batch(task.topic, **call), task.timeout)
        pending = []
        waits = task.mode == "wait" or isinstance(producer, SafeProducer)
        clock = Clock()
        for call in calls:
            started = time.perf_counter()
            delivery = producer.send_batch(task.topic, **call)
            if waits:
                written += _wait(delivery, task.timeout)
                latencies.append(time.perf_counter() - started)
            else:
                pending.append(delivery)
        written += sum(_wait(delivery, task.timeout) for delivery in pending)
        times = clock.stop()
        return _result(task, producer, written, times, latencies)


def one_by_one(task: Task, make: Callable[[Task], Any], *, callback: bool = False) -> Result:
    """Call ``send()`` for each record: the safe lane waits inside it, the throughput lane at the end."""
    records = Records.of(task, 0, task.warmup + task.records)
    keys = records.keys or [None] * len(records.values)
    rows = list(zip(records.values, keys, records.partitions, records.timestamps, strict=True))
    latencies: list[float] = []
    reported = 0

    def on_delivery(err: Any, metadata: Any) -> None:
        nonlocal reported
        reported += err is None

    with make(task) as producer:
        waits = isinstance(producer, SafeProducer)
        send = partial(producer.send, on_delivery=on_delivery) if callback else producer.send
        for value, key, partition, timestamp in rows[: task.warmup]:
            send(task.topic, value, key=key, partition=partition, timestamp=timestamp)
        producer.flush(task.timeout)
        before, reported = producer.stats().written, 0
        timed = rows[task.warmup :]
        topic = task.topic
        clock = Clock()
        if waits:
            for value, key, partition, timestamp in timed:
                started = time.perf_counter()
                send(topic, value, key=key, partition=partition, timestamp=timestamp)
                latencies.append(time.perf_counter() - started)
        else:
            for value, key, partition, timestamp in timed:
                send(topic, value, key=key, partition=partition, timestamp=timestamp)
            producer.flush(task.timeout)
        times = clock.stop()
        written = reported if callback else producer.stats().written - before
        return _result(task, producer, written, times, latencies)


def _wait(delivery: Any, timeout: float) -> int:
    metadata = delivery.result(timeout=timeout) if hasattr(delivery, "result") else delivery
    return int(metadata.written)


def floor(task: Task) -> Result:
    """Let the C loop send the same values; its key is always the same, its timestamps are its own."""
    settings = {
        **task.librdkafka(),
        "queue.buffering.max.messages": "10000000",
        "queue.buffering.max.kbytes": "2147483647",
        "socket.nagle.disable": "true",
        "enable.metrics.push": "false",
    }
    del settings["bootstrap.servers"]
    command = [str(build(BUILD)), library.PATH, task.bootstrap_servers, task.topic, str(task.partitions)]
    command += [str(task.records), f"@{task.values}", task.mode, *(f"{key}={value}" for key, value in settings.items())]
    line = line_of("floor", command)
    times = {name: line[name] for name in ("p50", "p99") if name in line}
    return Result(
        records=line["records"],
        failed=line["failed"],
        wall=line["wall"],
        cpu=line["cpu"],
        latencies=times,
        lacks=["key", "timestamp"],
        versions={"librdkafka": library.VERSION_TEXT},
        settings={key: settings[key] for key in SHOWN if key in settings},
    )


def _result(task: Task, producer: Any, written: int, times: dict[str, float], latencies: list[float]) -> Result:
    config = producer.config
    return Result(
        records=written,
        failed=task.records - written,
        latencies=quantiles(latencies) if latencies else {},
        versions={"twolane": twolane.__version__, "librdkafka": library.VERSION_TEXT, "numpy": np.__version__},
        settings={key: config[key] for key in SHOWN if key in config},
        **times,
    )


RUNS: dict[str, Callable[[Task], Result]] = {
    SAFE_SEND: partial(one_by_one, make=safe),
    SAFE_BATCH: partial(batches, make=safe),
    BATCH: partial(batches, make=throughput),
    SEND: partial(one_by_one, make=throughput),
    CALLBACK: partial(one_by_one, make=throughput, callback=True),
    FLOOR: floor,
}


def _no_compiler() -> str | None:
    return None if shutil.which(os.environ.get("CC", "cc")) else "no C compiler (cc)"


def _command(name: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", "bench.lanes", name]


CONTENDERS = (
    Contender(SAFE_SEND, _command(SAFE_SEND), modes=("wait",)),
    Contender(SAFE_BATCH, _command(SAFE_BATCH), modes=("wait",), data=("bytes", "avro")),
    Contender(BATCH, _command(BATCH), modes=("pipeline", "wait"), data=("bytes", "avro")),
    Contender(SEND, _command(SEND)),
    Contender(CALLBACK, _command(CALLBACK)),
    # One record to each partition is all that it sends before its clocks start.
    Contender(FLOOR, _command(FLOOR), _no_compiler, modes=("pipeline", "wait"), lacks=("key", "timestamp"), warmup=1),
)


def main() -> None:
    print(RUNS[sys.argv[1]](Task.from_argv()).to_json())


if __name__ == "__main__":
    main()
