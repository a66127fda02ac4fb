"""What awaiting is to reach, as ratios of one run."""

from __future__ import annotations

import statistics
from typing import Any

SAFE, SAFE_UVLOOP = "AsyncSafeProducer.send", "AsyncSafeProducer.send, uvloop"
SUBMIT = "AsyncThroughputProducer.submit, awaited"
AIOKAFKA = "aiokafka send_and_wait"
AIOPRODUCER = "confluent AIOProducer, 5 ms"
POLL_THREAD = "confluent produce, poll thread"
BATCHER = "micro-batcher by hand, SafeProducer.send_batch"
BLOCKING = "SafeProducer.send, blocking"

# One run: records, wall, cpu, p50, ...; runs of a case by round.
Runs = dict[tuple[str, int], list[dict[str, Any]]]


def rate(run: dict[str, Any]) -> float:
    return float(run["records"] / run["wall"])


def cpu(run: dict[str, Any]) -> float:
    return float(run["cpu"] / run["records"])


def p50(run: dict[str, Any]) -> float:
    return float(run["p50"])


# (what, tasks, contender, peer, figure, bound, whether it is a lower bound, only on real brokers)
TARGETS: list[tuple[str, int, str, str, Any, float, bool, bool]] = [
    ("50 tasks, sends/s", 50, SAFE, AIOKAFKA, rate, 1.5, True, False),
    ("50 tasks, CPU per record", 50, SAFE, AIOKAFKA, cpu, 0.5, False, False),
    ("1000 tasks, sends/s", 1000, SAFE, AIOKAFKA, rate, 4.0, True, False),
    ("1000 tasks, CPU per record", 1000, SAFE, AIOKAFKA, cpu, 0.25, False, False),
    ("one task, p50", 1, SAFE, BLOCKING, p50, 1.15, False, True),
]


def between(runs: Runs, one: tuple[str, int], other: tuple[str, int], figure: Any) -> float:
    """Return the median, over rounds, of one case's figure over another's."""
    return statistics.median(figure(a) / figure(b) for a, b in zip(runs[one], runs[other], strict=True))


def rows(runs: Runs, *, is_real: bool) -> list[dict[str, Any]]:
    """Return each target beside what was measured."""
    reached = []
    for what, tasks, contender, peer, figure, bound, is_lower, is_real_only in TARGETS:
        if (is_real_only and not is_real) or (contender, tasks) not in runs or (peer, tasks) not in runs:
            continue
        ratio = between(runs, (contender, tasks), (peer, tasks), figure)
        sign = ">=" if is_lower else "<="
        reached.append(
            {
                "target": what,
                "to": peer,
                "bound": f"{sign} {bound}",
                "measured": round(ratio, 3),
                "reached": ratio >= bound if is_lower else ratio <= bound,
            }
        )
    return reached
