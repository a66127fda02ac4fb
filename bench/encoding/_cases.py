"""How a script of this folder runs its cases under pyperf: each is made and checked in the process that times it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyperf

from twolane.serializers import Source

# Makes what is timed; raises if its result is not what another library says.
Case = Callable[[], Callable[[], object]]
Clock = Callable[[], float]
SLICE = 8192


def run(cases: dict[str, Case], n: int | dict[str, int], *, clock: Clock = time.process_time) -> None:
    """Run the cases as a pyperf script.

    Parameters
    ----------
    cases : dict
    n : int, or dict of int
        Records that a call of what is timed handles: pyperf's figures are seconds per record.
    clock : callable
        Seconds. The CPU time of all threads by default: others on the machine disturb it least.
    """
    runner = pyperf.Runner(processes=4, values=3)
    runner.metadata["clock"] = clock.__name__
    for name, case in cases.items():
        runner.bench_time_func(name, _timed(case, clock), inner_loops=n if isinstance(n, int) else n[name])


def _timed(case: Case, clock: Clock) -> Callable[[int], float]:
    made: list[Callable[[], object]] = []

    def timed(loops: int) -> float:
        if not made:
            made.append(case())
            # Twice before the clock runs: pyperf's warm-up is one value, malloc learns from the first frees.
            made[0]()
            made[0]()
        function = made[0]
        started = clock()
        for _ in range(loops):
            function()
        return clock() - started

    return timed


def through(source: Source) -> int:
    """Encode a bound call slice by slice, as the lanes do."""
    size = 0
    for start in range(0, len(source), SLICE):
        batch = source.slice(start, min(len(source), start + SLICE))
        size += len(batch)
        del batch
    return size


def each(function: Callable[..., Any], rows: list[Any]) -> None:
    """Call for each row and let the result go, as who hands it to a producer does."""
    for row in rows:
        function(row)
