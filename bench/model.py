"""What a rate should be: a few measured costs, and arithmetic.

A partition that may have K requests in flight, each of at most b records, cannot be faster than ::

    K * b / (RTT + request + b * record)

where *request* is what a request costs when nothing is delayed (the brokers' work and the way there and back), and
*record* what every record in it adds. Nor can a producer be faster than its own work: ``cpu_request / b + cpu_record``
seconds of CPU for each record. The rate is the smaller of the two.

The costs are taken from runs without a delay only. What the model then says of other round-trip times is a prediction,
and the report draws it over what was measured there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.matrix import BATCH, PIPELINE, SAFE, WAIT
from twolane.cli.advising.costs import Costs, fit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.matrix import Case
    from bench.results import Row

IDEMPOTENT_RECORDS = 5


@dataclass(frozen=True)
class Prediction:
    """A measured case and what the model says of it, in records per second."""

    row: Row
    predicted: float

    @property
    def error(self) -> float:
        """How far off the prediction is, as a part of the measured rate."""
        return self.predicted / self.row.rate - 1


def _family(case: Case) -> tuple[object, ...]:
    return case.contender, case.mode, case.acks, case.idempotence


def _is_plain(case: Case) -> bool:
    return (case.compression, case.partitions, case.size, case.data) == ("none", 1, 100, "bytes")


def costs_of(rows: Iterable[Row]) -> dict[tuple[object, ...], Costs]:
    """Return the costs of each family (contender, mode, acks, idempotence) that was measured without a delay."""
    points: dict[tuple[object, ...], list[tuple[int, float, float]]] = {}
    for row in rows:
        case = row.case
        if _is_plain(case) and case.rtt_ms == 0 and case.in_flight == 1 and case.contender in (*SAFE, BATCH):
            points.setdefault(_family(case), []).append((case.batch, row.median("wall"), row.median("cpu")))
    return {family: fit(found) for family, found in points.items() if len({batch for batch, *_ in found}) > 1}


def requests_in_flight(case: Case) -> int | None:
    """Return how many requests of a partition can really be on their way at once; None: no limit.

    With idempotence librdkafka 2.16 holds its limit of five against the *records* on their way: its pull request 4989.
    """
    if case.mode == WAIT:
        return 1
    if case.idempotence and case.in_flight is not None:
        return min(case.in_flight, math.ceil(IDEMPOTENT_RECORDS / case.batch))
    return case.in_flight


def predictions(rows: Sequence[Row]) -> list[Prediction]:
    """Return what the model says of every case with a delay, from the cases without.

    With several requests in flight the brokers' own pace is a limit too; it is taken from the same case without a
    delay. A pipeline's last answer is one round trip behind its last request.
    """
    costs = costs_of(rows)
    near = {row.case: row for row in rows if row.case.rtt_ms == 0}
    found = []
    for row in rows:
        case = row.case
        base = near.get(replace(case, rtt_ms=0))
        if case.rtt_ms and base is not None and _is_plain(case) and _family(case) in costs:
            added = row.metadata["round_trip_s"] - base.metadata["round_trip_s"]
            in_flight = requests_in_flight(case)
            rate = costs[_family(case)].rate(case.batch, added, in_flight)
            if in_flight != 1:
                rate = min(rate, base.rate)
            if case.mode == PIPELINE:
                records = row.metadata["records"]
                rate = records / (records / rate + added)
            found.append(Prediction(row, rate))
    return found
