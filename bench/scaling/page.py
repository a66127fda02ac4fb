"""Make tables and picture of docs/scaling.md from the newest ``scaling.json``: ``python -m bench.scaling.page``."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import pages
from bench.scaling import footprint
from bench.scaling.model import FLOW, Cluster, Job, Prices, at, cores_of, predictions, prices_of, scale
from bench.scaling.workers import ONE
from twolane.cli.advising.costs import number

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME, PAGE, PICTURE = "scaling.json", "scaling.md", "docs/scaling.svg"
# More than this much to do for each core before the run began: its clocks say little, CPU seconds somewhat more.
BUSY = 0.5
PAPER = Cluster(brokers=3, partitions=48, rtt=0.001)
MANY = 1_000
JOBS: dict[str, tuple[Job, Cluster]] = {
    "service: `send()` of 10 records a second each": (Job(MANY, "safe", 1, rate=10), PAPER),
    "a loop of `send()`": (Job(MANY, "safe", 1), PAPER),
    "safe, calls of 100, a partition each": (Job(MANY, "safe", 100, spread=False), PAPER),
    "safe, calls of 65 536 over 48 partitions": (Job(MANY, "safe"), PAPER),
    "throughput, 48 partitions": (Job(MANY, "throughput", idempotence=False), PAPER),
    "throughput, 1 000 partitions": (
        Job(MANY, "throughput", idempotence=False),
        Cluster(brokers=3, partitions=1_000, rtt=0.001),
    ),
    "transactions of 1 000 records": (Job(MANY, "safe", 1_000, transaction=1_000, rate=1_000), PAPER),
    "transactions of 1 000 000 records": (Job(MANY, "safe", transaction=1_000_000, rate=1_000), PAPER),
    "a new producer every minute, 1 000 partitions, 1 000 records/s": (
        Job(MANY, "safe", rate=1_000, starts_per_day=1_440),
        Cluster(brokers=3, partitions=1_000, rtt=0.001),
    ),
}


def _source(report: Mapping[str, Any]) -> str:
    load, cpus = report["load_before"], report["machine"]["cpus"]
    if load <= BUSY * cpus:
        return pages.source(pages.newest(NAME))
    return (
        f"**The machine was busy: load {load} on {cpus} cores before the run.** On a quiet one rates are higher, "
        f"CPU seconds lower. {pages.source(pages.newest(NAME))}"
    )


def _producers(report: Mapping[str, Any]) -> list[str]:
    head = [
        *("lane", "idempotence", "producers", "processes", "private MiB", "of it `malloc`", "shared fairly (PSS) MiB"),
        *("threads", "descriptors", "connections idle", "connections"),
    ]
    rows = []
    for row in report["footprint"]:
        idle, sent = (footprint.summary(row, stage) for stage in ("idle", "sent"))
        cells = [f"{sent[key]:.2f}" for key in ("private", "malloc", "pss")]
        counts = [f"{sent[key]:g}" for key in ("threads", "descriptors")]
        counts += [f"{one['connections']:g}" for one in (idle, sent)]
        safety = "on" if row["idempotence"] else "off"
        rows.append([row["lane"], safety, row["producers"], row["processes"], *cells, *counts])
    return pages.table([head, *rows])


def _requests(report: Mapping[str, Any]) -> list[str]:
    head = ["", "a second here", "CPU of the brokers, µs", "a core bears a second", "bytes of the answer"]
    rows = []

    def add(name: str, rate: float, cpu: float, answer: Any = "") -> None:
        rows.append([name, number(rate), number(cpu), number(1e6 / cpu), answer])

    for row in report["requests"]:
        add(row["request"], row["per_second"], row["broker_cpu_us"], row["answer_bytes"] or "")
    for row in report["transactions"]:
        name = f"transaction of one record ({row['producers']} at once, {row['ms_each']:.0f} ms each)"
        add(name, row["per_second"], row["broker_cpu_us"])
    for row in report["sending"]:
        if row["call"] == 1:
            kind = "one shared" if row["share"] == ONE else "a producer each"
            name = f"request of `send()` (threads: {row['workers']}, {kind}; replicas: {row['replication']})"
            add(name, row["requests_per_second"], row["broker_cpu_us_per_request"])
    lines = pages.table([head, *rows])
    for row in report["producer_ids"]:
        lines += [
            f"A producer id takes {row['bytes_per_entry']:.0f} bytes of a broker's heap in each replica of a partition "
            f"that it has written to ({row['producers']} producers, {row['partitions']} partitions).",
            "",
        ]
    return lines


def _workers(report: Mapping[str, Any]) -> list[str]:
    head = [
        *("workers", "lane", "records of a call", "partitions", "replicas", "RTT added, ms", "records/s", "model"),
        *("off by", "records of a request", "CPU µs a record: client", "brokers"),
    ]
    rows = []
    found = predictions(report)
    for one in found:
        row = one.row
        threads = " (threads)" if row["share"] == "threads" else ""
        where = row["partitions"] if row["spread"] else "1 each"
        rows.append(
            [f"{row['workers']}{threads}", row["lane"], pages.thousands(row["call"]), where, row["replication"]]
            + [row["rtt_ms"], number(row["records_per_second"]), number(one.predicted), f"{one.error:+.0%}"]
            + [number(row["records_per_request"])]
            + [number(row[f"{side}_cpu_us_per_record"]) for side in ("client", "broker")]
        )
    errors = sorted(abs(one.error) for one in found)
    middle = (errors[(len(errors) - 1) // 2] + errors[len(errors) // 2]) / 2
    said = f"The model over these {len(errors)} runs: median error {middle:.0%}, largest {errors[-1]:.0%}. "
    said += f"Workers and brokers had {cores_of(report):.1f} cores."
    return [*pages.table([head, *rows]), said, ""]


def _paper(prices: Prices) -> list[str]:
    head = [
        *("1 000 workers", "records/s", "paced by", "cores: workers", "brokers", "requests/s of a broker"),
        *("connections of a broker", "first bound", "workers that meet it", "next bound", "workers"),
    ]
    rows = []
    for name, (job, cluster) in JOBS.items():
        found = scale(job, cluster, prices)
        first, second = sorted(found.bounds, key=lambda bound: -bound.use)[:2]
        paced = first.name if first.use > 1 and first.name in FLOW else found.paced_by
        rows.append(
            [name, number(found.records_per_second), paced, number(found.client_cores), number(found.broker_cores)]
            + [number(found.requests_per_second / cluster.brokers), number(found.connections / cluster.brokers)]
            + [cell for one in (first, second) for cell in (one.name, number(job.workers / one.use))]
        )
    return pages.table([head, *rows])


def _shared(report: Mapping[str, Any]) -> list[str]:
    head = [
        *("lane", "records of a call", "workers", "producers", "connections of a host", "records/s", "requests/s"),
        *("CPU µs a record: client", "brokers"),
    ]
    rows = []
    for shared in report["sending"]:
        if shared["share"] != ONE:
            continue
        same = [
            row
            for row in report["sending"]
            if all(row[key] == shared[key] for key in ("lane", "call", "workers", "rtt_ms", "replication"))
        ]
        for row in sorted(same, key=lambda row: row["share"] == ONE):
            producers = 1 if row["share"] == ONE else row["workers"]
            kind = {"processes": "in a process each", "threads": "in one process", ONE: "shared by threads"}
            rows.append(
                [row["lane"], pages.thousands(row["call"]), row["workers"], f"{producers} {kind[row['share']]}"]
                + [3 * producers, number(row["records_per_second"]), number(row["requests_per_second"])]
                + [number(row[f"{side}_cpu_us_per_record"]) for side in ("client", "broker")]
            )
    return pages.table([head, *rows])


def engines(report: Mapping[str, Any]) -> list[str]:
    """Return a row for each engine and lane: its workers, the first number of them first."""
    if not report.get("engines"):
        return ["Not measured yet: `python -m bench.sinks`, then `python -m bench.scaling.page --engines FILE`.", ""]
    runs: dict[tuple[str, str], list[Any]] = {}
    for run in report["engines"]:
        runs.setdefault((run["engine"], run["contender"]), []).append(run)
    rows = []
    for (engine, contender), found in runs.items():
        few, *_, many = sorted(found, key=lambda run: int(run["workers"])) if len(found) > 1 else found * 2
        gain = many["records_per_second"] / few["records_per_second"]
        pairs = [f"{number(few[key])}, {number(many[key])}" for key in ("records_per_second", "cpu_us_per_record")]
        workers = f"{few['workers']}, {many['workers']}"
        rows.append([engine, contender.removeprefix("twolane, "), workers, pairs[0], f"{gain:.2f}", pairs[1]])
    head = ["engine", "format, lane", "workers", "records/s", "times", "CPU µs a record, engine and all"]
    return pages.table([head, *rows])


def add_engines(source: Path) -> None:
    """Put our runs of a JSON file of ``bench.sinks`` into the newest ``scaling.json``."""
    path = pages.ROOT / pages.newest(NAME)
    report = json.loads(path.read_text())
    runs = json.loads(source.read_text())["runs"]
    report["engines"] = [run for run in runs if run["contender"].startswith("twolane")]
    path.write_text(json.dumps(report, indent=2) + "\n")


def texts() -> dict[str, str]:
    """Return the page's tables by their places."""
    report = pages.read(pages.newest(NAME))
    prices = prices_of(report)
    parts = {
        "producers": [*_producers(report), _source(report), ""],
        "requests": _requests(report),
        "workers": _workers(report),
        "engines": engines(report),
        "paper": _paper(prices),
        "shared": _shared(report),
    }
    return {f"bench.scaling: {name}": "\n".join(lines) for name, lines in parts.items()}


def draw() -> None:
    """Draw the model over the measured points, and to a thousand workers."""
    from bench.report import charts

    report = pages.read(pages.newest(NAME))
    prices, points = prices_of(report), predictions(report)
    lines = {
        "throughput, calls of 65 536": (Job(1, "throughput", 65_536), 0, charts.ONE),
        "safe, calls of 65 536": (Job(1, "safe", 65_536), 0, charts.ALL),
        "safe, calls of 100, 20 ms": (Job(1, "safe", 100, spread=False), 20, charts.SAFE),
        "safe, send()": (Job(1, "safe", 1, spread=False), 0, charts.NONE),
    }
    with charts.mpl.rc_context({**charts.STYLE, "font.size": 10}):
        figure, (here, paper) = charts.plt.subplots(2, 1, figsize=(5.6, 7.6), layout="constrained")
        added = max((row["round_trip_s"] for row in report["sending"] if row["rtt_ms"]), default=0.02)
        for name, (job, rtt, colour) in lines.items():
            cluster = Cluster(partitions=12, rtt=added if rtt else 0.0, shared_cores=cores_of(report))
            fits = (job.lane, job.call, rtt, 12, 3)
            own = [
                (one.row["workers"], one.row["records_per_second"])
                for one in points
                if tuple(one.row[key] for key in ("lane", "call", "rtt_ms", "partitions", "replication")) == fits
            ]
            many = range(1, 17)
            here.plot(many, [scale(at(job, n), cluster, prices).records_per_second for n in many], color=colour)
            here.plot(*zip(*own, strict=True), "o", color=colour, markersize=5)
            here.annotate(
                name,
                (16, scale(at(job, 16), cluster, prices).records_per_second),
                **_at_line(colour, is_below=colour == charts.ALL),
            )
        _axes(here, "On the measuring machine: points measured, lines the model", [1, 2, 4, 8, 16])
        for name, colour in (
            ("throughput, 48 partitions", charts.ONE),
            ("safe, calls of 65 536 over 48 partitions", charts.ALL),
            ("safe, calls of 100, a partition each", charts.SAFE),
            ("a loop of `send()`", charts.NONE),
        ):
            job, cluster = JOBS[name]
            counts = [round(10 ** (step / 20)) for step in range(61)]
            rates = [scale(at(job, n), cluster, prices).records_per_second for n in counts]
            paper.plot(counts, rates, color=colour)
            full = scale(job, cluster, prices)
            uses = [bound.use for bound in full.bounds if bound.name in FLOW]
            if max(uses) > 1:
                paper.plot([job.workers / max(uses)], [rates[-1]], "|", color=colour, markersize=14, markeredgewidth=2)
            paper.annotate(name.replace("`", ""), (MANY, rates[-1]), **_at_line(colour, is_below=colour == charts.ALL))
        _axes(paper, "On paper: 3 brokers of 8 cores, 1 ms; | brokers are busy", [1, 10, 100, 1_000])
        figure.savefig(pages.ROOT / PICTURE, metadata={"Date": None, "Creator": None})
        charts.plt.close(figure)
    _without_trailing_spaces()


def _at_line(colour: str, *, is_below: bool) -> dict[str, Any]:
    where = {"xytext": (0, -4), "va": "top"} if is_below else {"xytext": (0, 4)}
    return {**where, "textcoords": "offset points", "ha": "right", "color": colour, "fontsize": 9}


def _axes(axes: Any, title: str, ticks: list[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(y=0.12)
    axes.set_xticks(ticks, [pages.thousands(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("workers")
    axes.set_ylabel("records/s")
    axes.set_title(title, fontsize=10)


def _without_trailing_spaces() -> None:
    path = pages.ROOT / PICTURE
    path.write_text(re.sub(r"[ \t]+$", "", path.read_text(), flags=re.M))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling.page", description=__doc__)
    parser.add_argument("--engines", type=Path, metavar="FILE", help="of bench.sinks: keep its runs of ours, too")
    given = parser.parse_args()
    if given.engines:
        add_engines(given.engines)
    for place, text in texts().items():
        pages.put(PAGE, place, text)
    draw()


if __name__ == "__main__":
    main()
