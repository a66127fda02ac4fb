"""A peer that cheats on demand, and rows of results made by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.contender import Contender, Result, write_values
from bench.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.matrix import Case

CHEAT = Path(__file__).with_name("cheat.py")
FACTS: dict[str, str | int] = {"cluster": "own brokers", "brokers": 3, "broker_version": "none", "delay": "by hand"}


@pytest.fixture
def values(tmp_path: Path) -> str:
    """A file of 100-byte values."""
    path = tmp_path / "values"
    write_values(path, 100)
    return str(path)


def cheat(how: str) -> Contender:
    """Return a contender of confluent-kafka that does everything right but one thing."""
    return Contender(f"cheat, {how}", lambda: [sys.executable, str(CHEAT), how], modes=("pipeline", "wait"))


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., Path]:
    """Write results as a run would: case, seconds per record of each round, CPU seconds per record, a p50."""

    def write(
        name: str,
        rows: Sequence[tuple[Case, Sequence[float], float, float | None]],
        round_trips: dict[int, float] | None = None,
    ) -> Path:
        results = Results(tmp_path / name / "brokers.json", FACTS)
        for case, walls, cpu, p50 in rows:
            for turn, wall in enumerate(walls):
                latencies = {"p50": p50, "p99": 2 * p50} if p50 else {}
                result = Result(1000, 0, wall * 1000, cpu * 1000, latencies)
                results.add(case, result, (round_trips or {}).get(case.rtt_ms, case.rtt_ms / 1000), turn)
        results.save()
        return results.path.parent

    return write
