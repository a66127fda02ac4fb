"""What a guarantee costs is the ratio of two cases, round by round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.lanes import BATCH
from bench.matrix import Case, void
from bench.report import steps
from bench.results import CPU, WALL, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_ratios_are_taken_within_a_round(recorded: Callable[..., Path]) -> None:
    rows = [(Case(BATCH, acks="1"), [1e-6, 4e-6, 2e-6], 1e-6, None), (Case(BATCH), [2e-6, 4e-6, 8e-6], 3e-6, None)]
    found = load(recorded("steps", rows) / "brokers.json")
    text = steps.table(found, steps.THROUGHPUT, WALL)
    assert "| `acks=1` to `acks=all`, requests of 10 000 | 0.50 (0.25 to 1.00) |" in text
    assert text.count("\n") == 3, "steps without figures are left out"
    assert "| 3.0 (3.0 to 3.0) |" in steps.table(found, steps.THROUGHPUT, CPU)
    assert list(found[0].rounds) == [0, 1, 2]


def test_a_step_changes_one_thing_and_is_measured() -> None:
    for step in (*steps.THROUGHPUT, *steps.LATENCY):
        differ = [name for name in vars(step.before) if getattr(step.before, name) != getattr(step.after, name)]
        assert len(differ) == 1 or differ == ["contender", "batch"], step
        assert not any(void(case, "own") for case in (step.before, step.after)), step
