"""The short price list of a cluster, measured by producers of this process and checked against the log."""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from twolane.cli.advising.advice import Measured, Survey
from twolane.cli.advising.costs import fitting
from twolane.cli.exits import Exit, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Values of each case; the cases take turns, so that a bad moment does not meet one of them alone.
ROUNDS = 2
# Calls of each case and round, however long they take.
FEWEST, WAITING, PIPELINED = 10, 100, 10_000


class Surveyor:
    """Measures on one topic.

    Parameters
    ----------
    make : callable(lane, settings)
        Make a producer.
    topic : str
        Records go to its partition 0.
    end : callable
        Return the offset behind the last record of that partition.
    seconds : float
        For each case and round.
    on_step : callable(name)
        Called before each case.
    """

    def __init__(
        self,
        make: Callable[[str, Mapping[str, Any]], Any],
        topic: str,
        end: Callable[[], int],
        seconds: float,
        on_step: Callable[[str], None],
    ) -> None:
        self._make, self._topic, self._end = make, topic, end
        self._seconds, self._on_step = seconds, on_step

    def survey(self, rtt: float, size: int) -> Survey:
        """Measure everything; takes seven cases of `ROUNDS` times `seconds`.

        Raises
        ------
        Stop
            The log holds fewer records than were acknowledged.
        TwolaneError
            Records were not written.
        """
        sizes = sorted({1, 100, fitting(size)})
        cases: dict[str, Callable[[], list[Measured]]] = {
            "SafeProducer.send()": lambda: self._waits("safe", {}, size, None),
            **{
                f"SafeProducer.send_batch() of {batch}": partial(self._waits, "safe", {}, size, batch)
                for batch in sizes
            },
            "ThroughputProducer.send_batch(), waited for": lambda: self._waits("throughput", {}, size, WAITING),
            "ThroughputProducer.send_batch(), idempotent": lambda: self._pipeline(size, idempotence=True),
            "ThroughputProducer.send_batch()": lambda: self._pipeline(size, idempotence=False),
        }
        found: dict[str, list[Measured]] = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for name, measure in cases.items():
                self._on_step(name)
                found[name] += measure()
        one, *calls, waiting, idempotent, plain = (_median(values) for values in found.values())
        return Survey(rtt, size, one, tuple(calls), waiting, {True: idempotent, False: plain})

    def _waits(self, lane: str, settings: Mapping[str, Any], size: int, batch: int | None) -> list[Measured]:
        """Make calls that wait, of so many records, or ``send()`` of one."""
        values = [b"x" * size] * (batch or 1)
        with self._make(lane, settings) as producer:

            def call() -> None:
                if batch is None:
                    producer.send(self._topic, values[0], partition=0)
                    return
                delivery = producer.send_batch(self._topic, values, partitions=0)
                if lane == "throughput":
                    delivery.result()

            call()  # connects
            first = self._end()
            taken: list[float] = []
            cpu, started = time.process_time(), time.perf_counter()
            while len(taken) < FEWEST or time.perf_counter() - started < self._seconds:
                began = time.perf_counter()
                call()
                taken.append(time.perf_counter() - began)
            wall, cpu = time.perf_counter() - started, time.process_time() - cpu
            records = len(taken) * len(values)
            self._check(first, records)
        taken.sort()
        p99 = taken[min(len(taken) - 1, int(len(taken) * 0.99))]
        return [Measured(len(values), wall / records, cpu / records, statistics.median(taken), p99)]

    def _pipeline(self, size: int, *, idempotence: bool) -> list[Measured]:
        """Make calls one after the other and wait at the end."""
        values = [b"x" * size] * min(PIPELINED, fitting(size))
        with self._make("throughput", {"enable.idempotence": idempotence}) as producer:
            producer.send_batch(self._topic, values[:1], partitions=0).result()
            first, calls = self._end(), 0
            cpu, started = time.process_time(), time.perf_counter()
            while calls < FEWEST or time.perf_counter() - started < self._seconds:
                producer.send_batch(self._topic, values, partitions=0)
                calls += 1
            producer.flush()
            wall, cpu = time.perf_counter() - started, time.process_time() - cpu
            records = calls * len(values)
            self._check(first, records)
        return [Measured(len(values), wall / records, cpu / records)]

    def _check(self, first: int, records: int) -> None:
        """Stop unless the log has grown by what was acknowledged."""
        grown = self._end() - first
        if grown < records:
            raise Stop(Exit.FOUND, f"{records} records were acknowledged, the log grew by {grown}: no figures")


def _median(values: list[Measured]) -> Measured:
    """Return the medians of one case's rounds."""
    parts = zip(*((one.seconds, one.cpu, one.p50, one.p99) for one in values), strict=True)
    return Measured(values[0].batch, *map(statistics.median, parts))
