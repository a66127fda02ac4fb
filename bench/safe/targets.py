"""What the safe lane is to reach, as ratios of one run, and what bounds it where it does not."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LOOP, THREADS = "SafeProducer.send, one by one", "SafeProducer.send, 100 threads"
HUNDRED, BATCH = "SafeProducer.send_batch of 100", "SafeProducer.send_batch of 100 000"
POLL, ASYNC = "confluent-kafka produce + poll, one by one", "confluent-kafka produce, asynchronous"
FLOOR, PIPE = "C loop, one by one", "C loop, all at once, one request in flight"

Line = dict[str, Any]
# (idempotence, contender) -> one line per round.
Runs = dict[tuple[str, str], list[Line]]


def rate(line: Line) -> float:
    return float(line["records"] / line["wall"])


def p50(line: Line) -> float:
    return float(line["p50"])


def between(runs: Runs, one: tuple[str, str], other: tuple[str, str], figure: Callable[[Line], float]) -> float:
    """Return the median of the rounds' ratios: the two are neighbours in time, whatever the machine does."""
    return statistics.median(figure(a) / figure(b) for a, b in zip(runs[one], runs[other], strict=True))


@dataclass(frozen=True)
class Target:
    """One ratio that is promised."""

    what: str
    one: str
    other: str
    figure: Callable[[Line], float]
    bound: float
    at_most: bool = False

    def row(self, runs: Runs, idempotence: str) -> dict[str, Any]:
        ratio = between(runs, (idempotence, self.one), (idempotence, self.other), self.figure)
        return row(idempotence, self.what, ratio, self.bound, self.at_most)


def row(idempotence: str, what: str, ratio: float, bound: float | None, at_most: bool = False) -> dict[str, Any]:
    wanted = "" if bound is None else f"{'<=' if at_most else '>='} {bound:g}"
    met = "" if bound is None else "yes" if (ratio <= bound if at_most else ratio >= bound) else "no"
    return {"idempotence": idempotence, "ratio of": what, "measured": round(ratio, 3), "target": wanted, "met": met}


TARGETS = (
    Target("send_batch of 100 000 to the send() loop, records/s", BATCH, LOOP, rate, 500),
    Target("send_batch of 100 000 to confluent-kafka's asynchronous produce, records/s", BATCH, ASYNC, rate, 1),
    Target("send_batch of 100 to the send() loop, records/s", HUNDRED, LOOP, rate, 60),
    Target("send() to the C loop, p50", LOOP, FLOOR, p50, 1.10, at_most=True),
    Target("send() to confluent-kafka's produce + poll, p50", LOOP, POLL, p50, 1.00, at_most=True),
    Target("100 threads in send() to one, records/s", THREADS, LOOP, rate, 15),
)


def rows(runs: Runs) -> list[dict[str, Any]]:
    """Return every target with its ratio; then what idempotence costs, the lane and those who promise less."""
    found = [target.row(runs, idempotence) for target in TARGETS for idempotence in ("on", "off")]

    def on_to_off(what: str, contender: str, figure: Callable[[Line], float], bound: float | None = None) -> None:
        ratio = between(runs, ("on", contender), ("off", contender), figure)
        found.append(row("on/off", what, ratio, bound))

    on_to_off("send_batch of 100 000, records/s", BATCH, rate, 0.90)
    on_to_off("the C loop, all at once, one request in flight, records/s", PIPE, rate)
    on_to_off("confluent-kafka's asynchronous produce, records/s", ASYNC, rate)
    on_to_off("send(), p50", LOOP, p50)
    on_to_off("the C loop, one by one, p50", FLOOR, p50)
    return found


def bounds_of_threads(runs: Runs, idempotence: str) -> dict[str, Any]:
    """Return what bounds the hundred threads: records a request, and how much of one processor the process uses."""
    lines = runs[idempotence, THREADS]
    return {
        "idempotence": idempotence,
        "records_per_request": round(statistics.median(line["records"] / line["requests"] for line in lines), 1),
        "share_of_one_processor": round(statistics.median(line["cpu"] / line["wall"] for line in lines), 2),
        "cpu_us_per_record": round(statistics.median(line["cpu"] / line["records"] for line in lines) * 1e6, 1),
    }
