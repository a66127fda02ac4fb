"""Workers that send as fast as they can: processes with a producer each, or threads that share one.

``python -m bench.scaling.workers TASK`` is a host of workers: a ProcessPoolExecutor, or threads of this process. All of
them wait for each other, send for some seconds, and wait for their last records; then one line of JSON.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np

from bench.machine import ROOT
from bench.scaling.footprint import LANES

SIZE, AHEAD = 100, 4
# Calls before the clock runs: the first ones over many partitions keep brokers that have just started busy for seconds.
WARM_CALLS = 3
ONE = "threads, one producer"
_barrier: Any = None


@functools.cache
def producer(pid: int, lane: str, settings: str, number: int) -> Any:
    """Return a process's producer; threads that do not share have one for each number."""
    return LANES[lane](json.loads(settings))


def begin(barrier: Any) -> None:
    """Keep what workers wait at for each other: it can be handed to a process only when that begins."""
    global _barrier
    _barrier = barrier


def work(task: dict[str, Any], number: int) -> dict[str, float]:
    """Send for some seconds; return what was written, the clock, and this process's CPU."""
    sender = _producer_of(task, number)
    topic, call = task["topic"], task["call"]
    if call == 1:
        send = functools.partial(sender.send, topic, b"v" * SIZE, partition=number % task["partitions"])
    else:
        spread = np.arange(call, dtype=np.int32) + number
        partitions = spread % task["partitions"] if task["spread"] else np.full(call, number % task["partitions"])
        values = np.frombuffer(np.random.default_rng(number).bytes(call * SIZE), dtype=f"V{SIZE}")
        send = functools.partial(sender.send_batch, topic, values, partitions=partitions.astype(np.int32))
    first = sum(_written(send()) for _ in range(WARM_CALLS))
    _barrier.wait(120)
    cpu, requests, started = time.process_time(), sender.stats().requests, time.perf_counter()
    began, written, ahead = time.time(), 0, []
    while time.perf_counter() - started < task["seconds"]:
        ahead.append(send())
        if len(ahead) > AHEAD:
            written += _written(ahead.pop(0))
    written += sum(map(_written, ahead))
    return {
        "warm": first,
        "written": written,
        "began": began,
        "ended": time.time(),
        "cpu": time.process_time() - cpu,
        "requests": sender.stats().requests - requests,
    }


def _producer_of(task: dict[str, Any], number: int) -> Any:
    return producer(os.getpid(), task["lane"], json.dumps(task["settings"]), 0 if task["share"] == ONE else number)


def _written(sent: Any) -> int:
    if hasattr(sent, "result"):
        sent = sent.result(120)
    return int(getattr(sent, "written", 1))


def host(task: dict[str, Any]) -> list[dict[str, float]]:
    """Run the workers of a task; a line of each."""
    n = task["workers"]
    if task["share"] == "processes":
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(n, context, initializer=begin, initargs=(context.Barrier(n),)) as pool:
            return list(pool.map(work, [task] * n, range(n)))
    begin(threading.Barrier(n))
    _producer_of(task, 0)  # several threads would make several
    with ThreadPoolExecutor(n) as pool:
        lines = list(pool.map(work, [task] * n, range(n)))
    # Threads measure the whole process, and those that share a producer all of its requests.
    of_process = {"cpu": max(line["cpu"] for line in lines)}
    if task["share"] == ONE:
        of_process["requests"] = max(line["requests"] for line in lines)
    return [{**line, **{key: value / n for key, value in of_process.items()}} for line in lines]


def run(task: dict[str, Any]) -> list[dict[str, float]]:
    """Run a host in a process of its own."""
    command = [sys.executable, "-m", "bench.scaling.workers", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    if done.returncode:
        sys.exit(f"{task}: {done.stderr or done.stdout}")
    lines: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return lines


if __name__ == "__main__":
    print(json.dumps(host(json.loads(sys.argv[1]))))
