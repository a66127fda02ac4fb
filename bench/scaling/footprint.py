"""What producers cost their host: memory, threads, descriptors, connections; each set of them in its own process.

``python -m bench.scaling.footprint TASK`` makes producers and prints a line of JSON at each stage, and goes on when a
line comes in: so the measures of many processes are taken while all of them are there.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil

from bench.machine import ROOT
from twolane import SafeProducer, ThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Sequence

LANES: dict[str, type[SafeProducer | ThroughputProducer]] = {"safe": SafeProducer, "throughput": ThroughputProducer}
STAGES = ("before", "idle", "sent")
STEADY_SECONDS, LONGEST_SECONDS = 0.6, 20.0
# (lane, idempotence, producers of a process, processes)
SETS = (
    *(("safe", True, n, 1) for n in (1, 10, 50, 200)),
    *(("throughput", False, n, 1) for n in (1, 10, 50, 200)),
    ("safe", False, 50, 1),
    ("throughput", True, 50, 1),
    *((lane, lane == "safe", 1, n) for n in (10, 50) for lane in LANES),
)


class _Heap(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "used", "free", "keepcost")
    ]


def malloc_bytes() -> int:
    """Return the bytes that glibc's malloc has given out; 0 with another C library."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return 0
    mallinfo2.restype = _Heap
    heap = mallinfo2()
    return int(heap.used + heap.hblkhd)


def usage() -> dict[str, int]:
    """Return what this process takes of its host."""
    process = psutil.Process()
    memory = process.memory_full_info()
    connections = [one for one in process.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]
    return {
        "rss": memory.rss,
        "pss": memory.pss,
        "private": memory.uss,
        "malloc": malloc_bytes(),
        "threads": process.num_threads(),
        "descriptors": process.num_fds(),
        "connections": len(connections),
    }


def settled() -> dict[str, int]:
    """Return `usage` when the number of connections has not changed for a while."""
    end, since, found = time.monotonic() + LONGEST_SECONDS, time.monotonic(), usage()
    while time.monotonic() - since < STEADY_SECONDS and time.monotonic() < end:
        time.sleep(0.05)
        now = usage()
        if now["connections"] != found["connections"]:
            since = time.monotonic()
        found = now
    return found


def stages(task: dict[str, Any]) -> None:
    """Make producers and say what they take: before the first, when they have connected, when each has sent."""
    _say(usage())
    settings = {"bootstrap.servers": task["bootstrap"], "enable.idempotence": task["idempotence"]}
    producers = [LANES[task["lane"]](settings) for _ in range(task["producers"])]
    _say(settled())
    every = list(range(task["partitions"]))
    for producer in producers:
        sent: Any = producer.send_batch(task["topic"], [b"v" * 100] * len(every), partitions=every)
        written = sent.result(60).written if hasattr(sent, "result") else sent.written
        if written != len(every):
            sys.exit(f"{written} of {len(every)} records were written")
    _say(settled())
    for producer in producers:
        producer.close()


def _say(line: dict[str, int]) -> None:
    print(json.dumps(line), flush=True)
    sys.stdin.readline()


def measure(bootstrap: str, topic: str, partitions: int, sets: Sequence[tuple[str, bool, int, int]]) -> list[Any]:
    """Measure sets of producers; sums over the processes of a set, and what one producer adds."""
    rows = []
    for lane, idempotence, producers, processes in sets:
        task = {
            "bootstrap": bootstrap,
            "topic": topic,
            "partitions": partitions,
            "lane": lane,
            "idempotence": idempotence,
            "producers": producers,
        }
        command = [sys.executable, "-m", "bench.scaling.footprint", json.dumps(task)]
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            for _ in range(processes)
        ]
        row: dict[str, Any] = {"lane": lane, "idempotence": idempotence, "producers": producers, "processes": processes}
        for stage in STAGES:
            lines = [json.loads(_answer(child)) for child in children]
            row[stage] = {key: sum(line[key] for line in lines) for key in lines[0]}
            for child in children:
                child.stdin.write("\n")  # type: ignore[union-attr]
                child.stdin.flush()  # type: ignore[union-attr]
        if any(child.wait(120) for child in children):
            sys.exit(f"{task}: a process failed")
        rows.append(row)
        print(summary(row), flush=True)
    return rows


def _answer(child: subprocess.Popen[str]) -> str:
    line = child.stdout.readline()  # type: ignore[union-attr]
    if not line:
        sys.exit("a process with producers ended early")
    return line


def summary(row: dict[str, Any], stage: str = "sent") -> dict[str, Any]:
    """Return what one producer of a row adds; of processes, what a whole process with one producer takes."""
    n = row["producers"] * row["processes"]
    before = row["before"] if row["processes"] == 1 else dict.fromkeys(row["before"], 0)
    added = {key: (row[stage][key] - before[key]) / n for key in before}
    return {
        **{key: row[key] for key in ("lane", "idempotence", "producers", "processes")},
        **{key: round(added[key] / 2**20, 3) for key in ("rss", "pss", "private", "malloc")},
        **{key: round(added[key], 2) for key in ("threads", "descriptors", "connections")},
    }


if __name__ == "__main__":
    stages(json.loads(sys.argv[1]))
