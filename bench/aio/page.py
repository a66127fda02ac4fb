"""Put the newest figures of ``bench.aio`` into docs/asyncio.md: ``python -m bench.aio.page``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bench.clusters import EMBEDDED, OWN

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "asyncio.md"
PLACE = re.compile(r"(<!-- bench.aio -->\n).*(<!-- /bench.aio -->)", re.S)
PLACES = {EMBEDDED: "Embedded cluster, 2 ms a round trip", OWN: "Three real brokers on the same machine"}


def newest() -> Path:
    """Return the newest JSON, relative to the project's root."""
    return max(ROOT.glob("bench/results/*/aio.json")).relative_to(ROOT)


def _table(rows: list[list[str]]) -> list[str]:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|" + " --- |" * len(rows[0]), *body, ""]


def _figures(run: dict[str, Any]) -> str:
    sends = f"{run['sends_per_second']:,}".replace(",", " ")
    return f"{sends} · {run['cpu_us_per_record']} · {run['p50_ms']}"


def _runs(part: dict[str, Any]) -> list[str]:
    """Return a row per contender, a column per number of tasks."""
    cells = {(run["contender"], run["tasks"]): _figures(run) for run in part["runs"]}
    names = dict.fromkeys(name for name, _ in cells)
    tasks = sorted({n for _, n in cells})
    head = ["", *(f"{n} task{'s' if n > 1 else ''}" for n in tasks)]
    return _table([head, *([name, *(cells.get((name, n), "") for n in tasks)] for name in names)])


def text(path: Path) -> str:
    """Return the page's lines on one JSON."""
    report = json.loads((ROOT / path).read_text())
    machine, versions = report["machine"], report["versions"]
    lines = ["Sends per second · microseconds of CPU per record, all threads · median wait in milliseconds:", ""]
    for kind, where in PLACES.items():
        if kind in report:
            lines += [f"**{where}**", "", *_runs(report[kind])]
            goals = [[row["target"], row["to"], row["bound"], str(row["measured"])] for row in report[kind]["targets"]]
            lines += _table([["ratio", "to", "goal", "measured"], *goals])
    lines.append(
        f"{report['date'][:10]}, {machine['cpus']} shared CPUs ({machine['cpu']}, load {machine['load_1min']}), Python "
        f"{versions['python']}, librdkafka {versions['librdkafka']}; raw: [{path.name}](../{path.as_posix()})."
    )
    return "\n".join(lines) + "\n"


def write(path: Path) -> None:
    """Put one JSON's figures into the page; LookupError if it has no place for them."""
    written, places = PLACE.subn(lambda found: found[1] + text(path) + found[2], PAGE.read_text())
    if not places:
        raise LookupError(f"{PAGE.name} has no place for the figures: two lines, {PLACE.pattern}")
    PAGE.write_text(written)


if __name__ == "__main__":
    write(newest())
