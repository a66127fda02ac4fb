"""What a request and a record cost, fitted to measured calls; a partition's rate follows from them, see bench/model.py.

A partition that may have K requests in flight, each of at most b records, cannot be faster than ::

    K * b / (RTT + request + b * record)
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

# What librdkafka reserves for a record beside value and key when it fills a request, and the suite's keys.
RESERVED, KEY = 36, 8
REQUEST_BYTES = 1_000_000


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


def number(value: float) -> str:
    """Return a number with three digits that count, thousands apart."""
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value / 10**digits) * 10**digits:,}".replace(",", " ")
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
