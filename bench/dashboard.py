"""The picture of docs/grafana.json: its panels over metrics scraped from a run with two outages, drawn by matplotlib.

``python -m bench.dashboard docs/grafana.png`` takes two minutes, and needs Java and the groups bench and test. There
is no Grafana in it: titles, units and queries are the dashboard's, and the few functions of PromQL in them are computed
here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import threading
import time
import urllib.request
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("agg")

import confluent_kafka
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from matplotlib import pyplot as plt
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from twolane import DeliveryError, SafeProducer, ThroughputProducer, __version__
from twolane.contrib.prometheus import ProducerCollector
from twolane.testing import KafkaCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DASHBOARD = Path(__file__).parents[1] / "docs" / "grafana.json"
# Seconds: between two scrapes, and the window of rates ($__rate_interval).
EVERY, WINDOW = 1.0, 5.0
# Seconds after the start: one broker of three is down, then two are stopped (no record can be written).
DOWN, STOPPED, END = (20.0, 40.0), (60.0, 75.0), 100.0

Labels = frozenset[tuple[str, str]]
# Of one scrape: (metric, labels) -> figure.
Samples = dict[tuple[str, Labels], float]
Scrapes = list[tuple[float, Samples]]
# (labels) -> times and values.
Series = dict[Labels, list[tuple[float, float]]]


def run() -> Scrapes:
    """Send with both lanes while brokers go and come; scrape meanwhile."""
    registry = CollectorRegistry()
    scrapes: Scrapes = []
    with KafkaCluster() as cluster, contextlib.ExitStack() as stack:
        servers = {"bootstrap_servers": cluster.bootstrap_servers, "message_timeout_ms": 8_000}
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
        for future in admin.create_topics([NewTopic(name, 3, 3) for name in ("clicks", "orders")]).values():
            future.result(30)
        settings: Any = {**servers, "statistics_interval_ms": 1_000}
        throughput = stack.enter_context(ThroughputProducer(**settings, client_id="clicks", linger_ms=50))
        safe = stack.enter_context(SafeProducer(**settings, client_id="orders", retries=1))
        ProducerCollector(throughput, safe, registry=registry)
        server, thread = start_http_server(0, "127.0.0.1", registry)
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        ends = threading.Event()
        senders = [
            threading.Thread(target=_repeat, args=(ends, 0.05, lambda: _send_clicks(throughput))),
            threading.Thread(target=_repeat, args=(ends, 0.02, lambda: safe.send("orders", b"o" * 200, key=b"k"))),
        ]
        for sender in senders:
            sender.start()
        started = time.monotonic()
        actions = [
            (DOWN[0], lambda: cluster.kill_broker(2)),
            (DOWN[1], lambda: cluster.start_broker(2, wait=False)),
            (STOPPED[0], lambda: [cluster.pause_broker(broker) for broker in (1, 3)]),
            (STOPPED[1], lambda: [cluster.resume_broker(broker) for broker in (1, 3)]),
        ]
        while (now := time.monotonic() - started) < END:
            if actions and now >= actions[0][0]:
                actions.pop(0)[1]()
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
                scrapes.append((now, _parsed(answer.read().decode())))
            time.sleep(max(0.0, EVERY - (time.monotonic() - started - now)))
        ends.set()
        for sender in senders:
            sender.join()
        with contextlib.suppress(DeliveryError):
            throughput.flush()
    return scrapes


def _repeat(ends: threading.Event, pause: float, send: Callable[[], Any]) -> None:
    while not ends.wait(pause):
        with contextlib.suppress(DeliveryError):
            send()


def _send_clicks(producer: ThroughputProducer) -> None:
    producer.send_batch("clicks", [b"c" * 100] * 100, keys=[b"%d" % i for i in range(100)])


def _parsed(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# ---- as much of PromQL as the dashboard has -------------------------------------------------------------------------


def evaluate(expression: str, scrapes: Scrapes) -> Series:
    """Return the series of a panel's query."""
    text = expression.replace(" ", "")
    if found := re.fullmatch(r"(sum\(.+?\]\)\))/(sum\(.+\]\)\))", text):
        above, below = (evaluate(part, scrapes) for part in found.groups())
        (top,), (bottom,) = above.values(), below.values()
        counts = dict(bottom)
        return {frozenset(): [(at, value / counts[at]) for at, value in top if counts.get(at)]}
    if found := re.fullmatch(r"histogram_quantile\(([\d.]+),(.*)\)", text):
        return _quantile(float(found[1]), evaluate(found[2], scrapes))
    if found := re.fullmatch(r"sum(?:by\(([\w,]*)\))?\((.*)\)", text):
        return _summed(set((found[1] or "").split(",")), evaluate(found[2], scrapes))
    if found := re.fullmatch(r"(rate|increase)\((.*)\[\$__rate_interval\]\)", text):
        return _grown(evaluate(found[2], scrapes), WINDOW if found[1] == "rate" else 1.0)
    found = re.fullmatch(r"(\w+)\{(.*)\}", text)
    if found is None:
        raise ValueError(f"{expression!r} is more PromQL than is known here")
    unlike = dict(re.findall(r'(\w+)!="(\w+)"', found[2]))
    series: Series = defaultdict(list)
    for at, samples in scrapes:
        for (name, labels), value in samples.items():
            if name == found[1] and not any(item in labels for item in unlike.items()):
                series[labels].append((at, value))
    return series


def _grown(series: Series, divisor: float) -> Series:
    """Return how much each counter rose in the window before each moment, by `divisor`."""

    def points(counted: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
        for at, value in counted:
            before = [early for early in counted if at - WINDOW <= early[0] < at]
            if before:
                (then, start) = before[0]
                yield at, (value - start) / (at - then) * WINDOW / divisor

    return {labels: list(points(counted)) for labels, counted in series.items()}


def _summed(by: set[str], series: Series) -> Series:
    sums: dict[Labels, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for labels, points in series.items():
        kept = frozenset(item for item in labels if item[0] in by)
        for at, value in points:
            sums[kept][at] += value
    return {labels: sorted(points.items()) for labels, points in sums.items()}


def _quantile(part: float, buckets: Series) -> Series:
    at_most: dict[float, list[tuple[float, float]]] = defaultdict(list)
    for labels, points in buckets.items():
        for at, value in points:
            at_most[at].append((float(dict(labels)["le"]), value))
    points = []
    for at, counts in sorted(at_most.items()):
        counts.sort()
        wanted = counts[-1][1] * part
        for (low, fewer), (high, more) in pairwise([(0.0, 0.0), *counts]):
            if more >= wanted > fewer:
                bound = low if high == float("inf") else low + (high - low) * (wanted - fewer) / (more - fewer)
                points.append((at, bound))
                break
    return {frozenset(): points}


# ---- the picture ----------------------------------------------------------------------------------------------------


def draw(scrapes: Scrapes, path: Path) -> None:
    """Draw the dashboard's panels, in its order."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    figure, axes = plt.subplots((len(panels) + 1) // 2, 2, figsize=(13, 14), layout="constrained")
    units = {"cps": "1/s", "Bps": "B/s", "s": "s", "short": ""}
    for panel, one in zip(panels, axes.flat, strict=False):
        for low, high in (DOWN, STOPPED):
            one.axvspan(low, high, color="tab:red", alpha=0.08)
        for target in panel["targets"]:
            for labels, points in sorted(evaluate(target["expr"], scrapes).items(), key=lambda item: sorted(item[0])):
                names = dict(labels)
                legend = re.sub(r"\{\{(\w+)\}\}", lambda found, n=names: n.get(found[1], ""), target["legendFormat"])
                one.plot(*_with_gaps(points), label=legend, linewidth=1.2)
        unit = units[panel["fieldConfig"]["defaults"]["unit"]]
        one.set_title(f"{panel['title']}{f' ({unit})' if unit else ''}", loc="left", fontsize=10, fontweight="bold")
        one.set_xlim(0, END)
        one.set_ylim(0, one.get_ylim()[1] * 1.35)  # room for the legend
        one.grid(alpha=0.3)
        one.spines[["top", "right"]].set_visible(False)
        if one.lines:
            one.legend(fontsize=7, ncols=2, frameon=False, loc="upper left")
    figure.suptitle(
        "Panels of docs/grafana.json over metrics scraped each second, drawn by matplotlib, not by Grafana. "
        f"twolane {__version__}, librdkafka {confluent_kafka.libversion()[0]},\nthree Kafka brokers on one machine, "
        f"{datetime.now(UTC):%Y-%m-%d}. Red: first one broker killed, then two stopped. Seconds since the start.",
        fontsize=9,
        ha="left",
        x=0.01,
    )
    figure.savefig(path, dpi=75)


def _with_gaps(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return times and values, with a gap where nothing was measured, as Grafana leaves one."""
    times, values = [], []
    for at, value in points:
        if times and at - times[-1] > 3 * EVERY:
            times.append(at)
            values.append(float("nan"))
        times.append(at)
        values.append(value)
    return times, values


def main() -> None:
    """Run and draw; with ``--scrapes`` keep the figures, or draw those that were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--scrapes", type=Path, help="a file for the figures; one that exists is drawn without a run")
    given = parser.parse_args()
    if given.scrapes is not None and given.scrapes.exists():
        kept = json.loads(given.scrapes.read_text())
        scrapes = [
            (at, {(name, frozenset(map(tuple, labels))): value for name, labels, value in samples})
            for at, samples in kept
        ]
    else:
        scrapes = run()
        if given.scrapes is not None:
            listed = [
                (at, [(name, sorted(labels), value) for (name, labels), value in samples.items()])
                for at, samples in scrapes
            ]
            given.scrapes.write_text(json.dumps(listed))
    draw(scrapes, given.picture)


if __name__ == "__main__":
    main()
