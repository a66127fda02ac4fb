"""The report of a folder of results: one page of tables and pictures, and the short tables of the README."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyperf

from bench.matrix import PIPELINE, WAIT
from bench.report import steps, tables
from bench.results import WALL, files_of, is_unstable, load, noise, read_notes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.results import Row

ROOT = Path(__file__).parents[2]
PAGE = "README.md"
TITLES = {
    "brokers": "Real brokers",
    "embedded": "The embedded cluster (librdkafka's mock: the client's cost only)",
}


def report(folder: Path) -> Path:
    """Draw the pictures and write the page of a folder of results; return the page.

    Raises
    ------
    FileNotFoundError
        The folder holds no results.
    """
    from bench.report.charts import draw  # it takes a second to import, and only this needs it

    found = files_of(folder)
    if not found:
        raise FileNotFoundError(f"{folder}: no results of pyperf there")
    parts = ["# Results\n", f"Made by `python -m bench report` from the JSON beside it. {tables.MARKED}\n"]
    for path in sorted(found, key=lambda path: (path.stem not in TITLES, path.stem != "brokers", path.stem)):
        rows = load(path)
        if rows:
            pictures = draw(rows, folder, path.stem)
            parts.append(_section(path, rows, read_notes([path]), pictures))
        else:
            parts.append(_script(path))
    page = folder / PAGE
    page.write_text("\n".join(parts))
    return page


def _section(path: Path, rows: Sequence[Row], notes: Mapping[str, Mapping[str, str]], pictures: Sequence[str]) -> str:
    parts = [f"## {TITLES.get(path.stem, path.stem)}\n", tables.setting(rows)]
    parts += [f"![{name}]({name})\n" for name in pictures]
    missing = notes.get("missing", {})
    for title, text in (
        *steps.sections(rows),
        ("Price list: records/s", tables.by_round_trip(rows, tables.rate)),
        (
            "Price list: p50 / p99 of a call, ms",
            tables.by_round_trip([row for row in rows if row.case.mode == WAIT], tables.latency),
        ),
        ("Price list: CPU ns per record", tables.by_round_trip(rows, tables.cpu)),
        (
            "Peers: 100 ready bytes, as fast as each can",
            tables.peers(tables.of_peers(rows, PIPELINE), missing, with_latency=False),
        ),
        ("Peers: Avro", tables.peers(tables.of_avro(rows), {}, with_latency=False)),
        ("Peers: one record, wait, the next", tables.peers(tables.of_peers(rows, WAIT), {}, with_latency=True)),
        ("Record sizes", tables.sizes(rows)),
        ("Compression", tables.compression(rows)),
        ("Codecs and TLS: librdkafka, Go, Java", tables.coders(rows)),
        ("The model against what was measured with a delay", tables.model(rows)),
    ):
        if len(text.splitlines()) > 2:
            parts.append(f"### {title}\n\n{text}")
    for kind, title in (("failed", "No figure: failed"), ("ended", "Ended early"), ("void", "Void combinations")):
        if notes.get(kind):
            parts.append(f"### {title}\n\n" + "".join(f"- {what}: {why}\n" for what, why in notes[kind].items()))
    return "\n".join(parts)


def _script(path: Path) -> str:
    """Return the table of one of pyperf's own scripts."""
    rows = []
    for benchmark in pyperf.BenchmarkSuite.load(str(path)):
        if benchmark.get_unit() != "second":
            continue
        values = benchmark.get_values()
        mark = f"{tables.UNSTABLE} " if is_unstable(values) else ""
        spread = noise(values)
        nanoseconds = f"{mark}{tables.number(benchmark.median() * 1e9)}"
        rows.append([f"`{benchmark.get_name()}`", nanoseconds, f"{spread:.0%}" if spread is not None else ""])
    return f"## {path.stem}\n\n" + tables.markdown(["", "ns per value", "deviation"], rows)


# ---- README ---------------------------------------------------------------------------------------------------------

PLACE = re.compile(r"(<!-- bench -->\n).*(<!-- /bench -->)", re.S)


def newest() -> Path | None:
    """Return the newest committed folder that holds results of this suite, None before there is one."""
    folders = [path.parent for path in ROOT.glob("bench/results/*/brokers.json")]
    return max(folders) if folders else None


def readme(folder: Path) -> str:
    """Return the README's lines on a folder of results."""
    rows = load(folder / "brokers.json")
    place = folder.relative_to(ROOT).as_posix()
    cheapest = ", ".join(f"{row.case.contender} {tables.cpu(row)}" for row in tables.of_peers(rows, PIPELINE))
    return (
        f"{steps.table(rows, steps.THROUGHPUT, WALL)}\n![The price of safety]({place}/brokers-price-of-safety.svg)\n\n"
        f"CPU ns per record, all with `acks=all`, no limit in flight, three partitions: {cheapest}.\n\n"
        f"{tables.setting(rows)}{tables.MARKED} All of it: [{place}]({place}/{PAGE}).\n"
    )


def write_readme(folder: Path) -> None:
    """Put the figures of a folder into the README."""
    page = ROOT / "README.md"
    page.write_text(PLACE.sub(lambda found: found[1] + readme(folder) + found[2], page.read_text()))
