"""Put the newest figures of ``bench.sinks`` into docs/spark.md and docs/ray-dask.md: ``python -m bench.sinks.page``.

A page without a place for them gets a section at its end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import pages
from bench.sinks.cases import NO_SINK

NAME, PLACE, TITLE = "sinks.json", "bench.sinks", "## What it costs"
PAGES = {"spark.md": ("spark",), "ray-dask.md": ("ray", "dask")}
TITLES = {"ray": "Ray", "spark": "Spark", "dask": "Dask"}
_PEERS = {
    "spark.md": """\
Spark's own sink is `spark-sql-kafka-0-10` {connector} beside Spark {spark}, with the value made by `to_json`, or by
`to_avro` of `spark-avro`, over all columns.""",
    "ray-dask.md": """\
`write_kafka` is Ray's own (Ray {ray}), as it comes: `json.dumps` of a dict per row, confluent-kafka's `produce()`. Dask
({dask}, workers of `distributed`) has no sink of its own.""",
}
_METHOD = """\
`python -m bench.sinks` starts three brokers, and an engine with two and with four workers whose {rows} rows of
{columns} columns are in its memory before, in {tasks} parts. Each contender is a job that writes them with a key to a
topic of {partitions} partitions, {rounds} rounds in turn behind one that does not count; each job's records are counted
in the log, and read back as a sample (all of them in the first round). {peers}

CPU is user and system time per record. *Whole job*: of the whole process tree, driver, workers and JVM, from the call
to its return. *Above the engine*: without what the same job takes with a sink that drops the rows.{task} In brackets:
the distance of the quartiles as part of the median. The brokers run on the same machine and are not in the CPU, but
they are in the records/s."""
_TASK = """ *In the task*: of the worker's
process, while it is in the sink's `write()`."""


def _figure(row: dict[str, Any], key: str) -> str:
    return f"{row[key]:.2f} ({row[f'{key}_iqr']:.0%})"


def _runs(report: dict[str, Any], engine: str) -> list[str]:
    rows = [row for row in report["runs"] if row["engine"] == engine]
    has_tasks = any(row["task_cpu_us"] is not None for row in rows)
    head = ["", "workers", "records a second", "CPU us, whole job", "above the engine"] + ["in the task"] * has_tasks
    lines = [
        [
            "a sink that drops the rows" if row["contender"] == NO_SINK else row["contender"],
            row["workers"],
            f"{pages.thousands(row['records_per_second'])} ({row['records_per_second_iqr']:.0%})",
            _figure(row, "cpu_us_per_record"),
            f"{row['above_engine_us']:.2f}" if row["above_engine_us"] is not None else "",
            *([f"{row['task_cpu_us']:.2f}"] if has_tasks else []),
        ]
        for row in rows
    ]
    return [f"**{TITLES[engine]}**", "", *pages.table([head, *lines])]


def _targets(report: dict[str, Any], engine: str) -> list[str]:
    """Return how many times cheaper, a row per pair and number of workers, a column per count."""
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in report["targets"]:
        if one["engine"] == engine:
            pair = (one["ours"], one["peer"], one["workers"], one["target"] or "")
            lines.setdefault(pair, {})[one["count"]] = one["times_cheaper"]
    if not lines:
        return []
    counts = list(dict.fromkeys(count for found in lines.values() for count in found))
    head = ["times less CPU", "than", "workers", "promised", *counts]
    return pages.table([head, *([*pair, *(found.get(count, "") for count in counts)] for pair, found in lines.items())])


def text(page: str) -> str:
    """Return a page's lines on the newest JSON."""
    path = pages.newest(NAME)
    report = pages.read(path)
    settings, engines = report["settings"], report["engines"]
    peers = _PEERS[page].format(
        connector=engines.get("spark-sql-kafka"),
        spark=engines.get("spark"),
        ray=engines.get("ray"),
        dask=engines.get("dask"),
    )
    facts = {**settings, "rows": pages.thousands(settings["rows"])}
    lines = [_METHOD.format(**facts, peers=peers, task=_TASK if "ray" in PAGES[page] else ""), ""]
    for engine in PAGES[page]:
        lines += _runs(report, engine) + _targets(report, engine)
    return "\n".join([*lines, pages.source(path), ""])


def has_place(page: str) -> bool:
    """Return whether a page shows figures."""
    return f"<!-- {PLACE} -->" in (pages.ROOT / "docs" / page).read_text()


def write() -> None:
    """Put the figures into both pages."""
    for page in PAGES:
        if not has_place(page):
            path = Path(pages.ROOT / "docs" / page)
            path.write_text(f"{path.read_text()}\n{TITLE}\n\n<!-- {PLACE} -->\n<!-- /{PLACE} -->\n")
        pages.put(page, PLACE, text(page))


if __name__ == "__main__":
    write()
