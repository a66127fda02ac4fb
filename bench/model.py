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

import bisect
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bench.matrix import BATCH, PIPELINE, SAFE, WAIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.matrix import Case
    from bench.results import Row

# What librdkafka reserves for a record beside value and key when it fills a request, and the suite's keys.
RESERVED, KEY = 36, 8
REQUEST_BYTES = 1_000_000
IDEMPOTENT_RECORDS = 5


@dataclass(frozen=True)
class Costs:
    """Seconds, all of them.

    Attributes
    ----------
    request, record : float
        Of the clock: a request's, without the added round-trip time, and what each of its records adds.
    cpu_request, cpu_record : float
        Of the producing process's CPU.
    """

    request: float
    record: float
    cpu_request: float
    cpu_record: float

    def call(self, records: int, rtt: float, size: int = 100) -> float:
        """Return the seconds of one call that waits: as many requests after each other as its records need."""
        requests = math.ceil(records / fitting(size))
        return requests * (rtt + self.request) + records * self.record

    def rate(self, batch: int, rtt: float, in_flight: int | None = 1, size: int = 100) -> float:
        """Return records per second of one partition.

        Parameters
        ----------
        batch : int
            Records of a request (or of a call that waits).
        rtt : float
            Seconds added to the round trip of the runs that the costs come from.
        in_flight : int or None
            None: no limit but the producer's own work.
        size : int, default 100
            Bytes of a value.
        """
        work = self.cpu_request / min(batch, fitting(size)) + self.cpu_record
        if in_flight is None:
            return 1 / work
        if in_flight == 1:
            return min(batch / self.call(batch, rtt, size), 1 / work)
        full = min(batch, fitting(size))
        return min(in_flight * full / self.call(full, rtt, size), 1 / work)

    def batch_for(self, rate: float, rtt: float = 0.0, size: int = 100) -> int | None:
        """Return the smallest call that reaches a rate with one request in flight, None if none does.

        Up to one full request a larger call is faster; several requests after each other are not.
        """
        batches = range(1, fitting(size) + 1)
        found = bisect.bisect_left(batches, rate, key=lambda batch: self.rate(batch, rtt, size=size))
        return batches[found] if found < len(batches) else None


def fitting(size: int) -> int:
    """Return how many records of `size`-byte values one request takes."""
    return max(1, REQUEST_BYTES // (size + KEY + RESERVED))


def fit(points: Sequence[tuple[int, float, float]], size: int = 100) -> Costs:
    """Return the costs behind some runs without a delay and with one request in flight.

    Parameters
    ----------
    points : sequence of (records of a call, seconds per record, CPU seconds per record)
        At least two different sizes of calls.
    size : int, default 100
        Bytes of a value.

    Raises
    ------
    ValueError
        All calls have the same size: the two costs cannot be told apart.
    """
    if len({batch for batch, _, _ in points}) < 2:
        raise ValueError("calls of at least two sizes are needed")
    batch = np.array([point[0] for point in points], dtype=float)
    requests = np.ceil(batch / fitting(size))
    clock = _least_squares(requests, batch, np.array([point[1] for point in points]) * batch)
    cpu = _least_squares(requests, batch, np.array([point[2] for point in points]) * batch)
    return Costs(*clock, *cpu)


def _least_squares(requests: np.ndarray, batch: np.ndarray, seconds: np.ndarray) -> tuple[float, float]:
    """Return what a request and a record cost, neither negative; deviations count in parts of what was measured."""
    parts = np.stack([requests / seconds, batch / seconds], axis=1)
    (request, record), *_ = np.linalg.lstsq(parts, np.ones(len(seconds)), rcond=None)
    if request < 0:
        return 0.0, float(parts[:, 1].sum() / (parts[:, 1] ** 2).sum())
    if record < 0:
        return float(parts[:, 0].sum() / (parts[:, 0] ** 2).sum()), 0.0
    return float(request), float(record)


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
