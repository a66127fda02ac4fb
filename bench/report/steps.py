"""What each guarantee costs, as ratios: the step from one setting to the next, taken round by round."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.headline import LATENCY, THROUGHPUT
from bench.matrix import RTT_MS
from bench.report.tables import NOTHING, markdown, ratios
from bench.results import CPU, P50, P99, WALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.headline import Step
    from bench.matrix import Case
    from bench.results import Row


def _cell(rows: dict[Case, Row], step: Step, rtt_ms: int, figure: str) -> str:
    before, after = (rows.get(replace(case, rtt_ms=rtt_ms)) for case in (step.before, step.after))
    if before is None or after is None:
        return NOTHING
    # Records per second are the inverse of the time that one takes.
    found = ratios(before, after, figure) if figure == WALL else ratios(after, before, figure)
    if not found:
        return NOTHING
    low, middle, high = (_times(value) for value in (min(found), statistics.median(found), max(found)))
    return f"{middle} ({low} to {high})" if len(found) > 1 else middle


def _times(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 20 else f"{ratio:.1f}" if ratio >= 2 else f"{ratio:.2f}"


def table(rows: Iterable[Row], steps: Sequence[Step], figure: str) -> str:
    """Return a table with a column for each round-trip time: the median ratio, and the least and most of a round."""
    found = {row.case: row for row in rows}
    cells = [[step.name, *(_cell(found, step, rtt, figure) for rtt in RTT_MS)] for step in steps]
    filled = [i for i in range(1, len(RTT_MS) + 1) if any(line[i] for line in cells)]
    headings = ["", *(f"+{RTT_MS[i - 1]} ms" if RTT_MS[i - 1] else "as is" for i in filled)]
    return markdown(headings, ([line[0], *(line[i] for i in filled)] for line in cells if any(line[1:])))


def sections(rows: Sequence[Row]) -> Iterable[tuple[str, str]]:
    """Yield title and table of all ratios."""
    yield "What it costs: records/s, times those before the step", table(rows, THROUGHPUT, WALL)
    yield "What it costs: CPU per record, times that before the step", table(rows, THROUGHPUT, CPU)
    yield "What it costs: p50 of a record that is waited for", table(rows, LATENCY, P50)
    yield "What it costs: p99 of a record that is waited for", table(rows, LATENCY, P99)
