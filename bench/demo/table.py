"""The demo's table, and its rows as JSON has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from bench.demo.lanes import Run


def figures(run: Run) -> dict[str, Any]:
    """Return one row of the table."""
    return {
        "lane": run.lane,
        "call": run.call,
        "records": run.records,
        "records_per_second": round(run.records / run.seconds),
        "cpu_ns_per_record": round(run.cpu_seconds * 1e9 / run.records),
        "seconds": round(run.seconds, 6),
        "verified": run.is_verified,
    }


def table(runs: list[Run], *, markdown: bool) -> Table:
    """Return the table for a terminal, or in Markdown."""
    shown = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    for heading in ("lane", "call", "records", "records/s", "CPU ns/record", "verified"):
        shown.add_column(heading, justify="left" if heading in ("lane", "call", "verified") else "right")
    for run in runs:
        row = figures(run)
        shown.add_row(
            row["lane"],
            row["call"],
            f"{row['records']:,}".replace(",", " "),
            f"{row['records_per_second']:,}".replace(",", " "),
            f"{row['cpu_ns_per_record']:,}".replace(",", " "),
            "yes" if run.is_verified else "NO",
        )
    return shown
