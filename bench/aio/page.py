"""Put the newest figures of ``bench.aio`` into docs/asyncio.md: ``python -m bench.aio.page``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import pages
from bench.clusters import EMBEDDED, OWN

if TYPE_CHECKING:
    from pathlib import Path

PLACES = {EMBEDDED: "Embedded cluster, 2 ms a round trip", OWN: "Three real brokers on the same machine"}


def _figures(run: dict[str, Any]) -> str:
    return f"{pages.thousands(run['sends_per_second'])} · {run['cpu_us_per_record']} · {run['p50_ms']}"


def _runs(part: dict[str, Any]) -> list[str]:
    """Return a row per contender, a column per number of tasks."""
    cells = {(run["contender"], run["tasks"]): _figures(run) for run in part["runs"]}
    names = dict.fromkeys(name for name, _ in cells)
    tasks = sorted({n for _, n in cells})
    head = ["", *(f"{n} task{'s' if n > 1 else ''}" for n in tasks)]
    return pages.table([head, *([name, *(cells.get((name, n), "") for n in tasks)] for name in names)])


def text(path: Path) -> str:
    """Return the page's lines on one JSON."""
    report = pages.read(path)
    lines = ["Sends per second · microseconds of CPU per record, all threads · median wait in milliseconds:", ""]
    for kind, where in PLACES.items():
        if kind in report:
            lines += [f"**{where}**", "", *_runs(report[kind])]
            goals = [[row["target"], row["to"], row["bound"], row["measured"]] for row in report[kind]["targets"]]
            lines += pages.table([["ratio", "to", "goal", "measured"], *goals])
    return "\n".join([*lines, pages.source(path)]) + "\n"


def write(path: Path) -> None:
    """Put one JSON's figures into the page."""
    pages.put("asyncio.md", "bench.aio", text(path))


if __name__ == "__main__":
    write(pages.newest("aio.json"))
