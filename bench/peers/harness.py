"""What contenders in Python have in common: which records are sent when, and what the clocks enclose."""

from __future__ import annotations

import sys
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bench.contender import Clock, Records, Result, Task, quantiles, reading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

# Records inside a client at once, where that can be set: what the throughput lane's window holds.
WINDOW = 500_000

# value (bytes, or a reading as a dict), key, partition, timestamp
Row = tuple[Any, bytes | None, int, int]


def missing(*modules: str) -> str | None:
    """Return which of some modules is not installed, else None."""
    for module in modules:
        if find_spec(module) is None:
            return f"{module} is not installed"
    return None


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def refuse_properties(task: Task) -> None:
    """End the run of a client that cannot read settings by librdkafka's names, rather than let it guess."""
    if task.properties:
        sys.exit("takes no further settings by librdkafka's names")


def rows(task: Task) -> list[Row]:
    """Return all records of a task; with ``data`` = "avro" the values are readings, not encoded yet."""
    total = task.warmup + task.records
    records = Records.of(task, 0, total)
    values: Sequence[Any] = records.values
    if task.data == "avro":
        values = [reading(i, task.first_timestamp) for i in range(total)]
    keys = records.keys or [None] * total
    return list(zip(values, keys, records.partitions, records.timestamps, strict=True))


def measured(task: Task, send: Callable[[list[Row]], None], settle: Callable[[], int]) -> dict[str, Any]:
    """Send a task's records and return what `Result` wants to know of it.

    Parameters
    ----------
    task : Task
    send : callable
        Hands records to the client.
    settle : callable
        Waits until all are acknowledged; returns how many were, since the producer was made.
    """
    everything = rows(task)
    warm, timed = everything[: task.warmup], everything[task.warmup :]
    send(warm)
    before = settle()
    latencies: list[float] = []
    clock = Clock()
    if task.mode == "wait":
        acknowledged = before
        for start in range(0, len(timed), task.call):
            started = time.perf_counter()
            send(timed[start : start + task.call])
            acknowledged = settle()
            latencies.append(time.perf_counter() - started)
    else:
        send(timed)
        acknowledged = settle()
    return _outcome(task, acknowledged - before, clock.stop(), latencies)


async def measured_async(
    task: Task, send: Callable[[list[Row]], Awaitable[None]], settle: Callable[[], Awaitable[int]]
) -> dict[str, Any]:
    """Do the same as `measured` with coroutines."""
    everything = rows(task)
    warm, timed = everything[: task.warmup], everything[task.warmup :]
    await send(warm)
    before = await settle()
    latencies: list[float] = []
    clock = Clock()
    if task.mode == "wait":
        acknowledged = before
        for start in range(0, len(timed), task.call):
            started = time.perf_counter()
            await send(timed[start : start + task.call])
            acknowledged = await settle()
            latencies.append(time.perf_counter() - started)
    else:
        await send(timed)
        acknowledged = await settle()
    return _outcome(task, acknowledged - before, clock.stop(), latencies)


def _outcome(task: Task, acknowledged: int, times: dict[str, float], latencies: list[float]) -> dict[str, Any]:
    return {
        "records": acknowledged,
        "failed": task.records - acknowledged,
        "latencies": quantiles(latencies) if latencies else {},
        **times,
    }


def result(measures: dict[str, Any], packages: dict[str, str], settings: dict[str, Any], *lacks: str) -> Result:
    """Put a run's result together; addresses are not shown."""
    shown = {key: value for key, value in settings.items() if "servers" not in key and "location" not in key}
    return Result(**measures, versions=packages, settings=shown, lacks=list(lacks))
