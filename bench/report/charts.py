"""Pictures in SVG: the price of safety, CPU against peers, growth. The same results give the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from bench.lanes import BATCH, SAFE_BATCH, SAFE_SEND
from bench.matrix import PIPELINE, WAIT
from bench.model import costs_of
from bench.report.tables import of_matrix, of_peers
from bench.results import P50, P99, WALL

mpl.use("svg")

from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.matrix import Case
    from bench.results import Row

STYLE: dict[str, Any] = {
    "svg.hashsalt": "twolane",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
# What is drawn of the price list: label -> which cases. Forty lines cannot be read.
LINES: dict[str, Callable[[Case], bool]] = {
    "safe send(), one by one": lambda c: c.contender == SAFE_SEND and c.idempotence,
    "safe send_batch of 100": lambda c: c.contender == SAFE_BATCH and c.batch == 100 and c.idempotence,
    "safe send_batch of 10 000": lambda c: c.contender == SAFE_BATCH and c.batch == 10_000 and c.idempotence,
    "acks=1, 1 in flight, requests of 100": lambda c: _pipeline(c, "1", 1, 100),
    "acks=all, 1 in flight, requests of 100": lambda c: _pipeline(c, "all", 1, 100),
    "acks=all, 5 in flight, requests of 100": lambda c: _pipeline(c, "all", 5, 100),
    "acks=1, no limit, requests of 10 000": lambda c: _pipeline(c, "1", None, 10_000),
    "acks=all, no limit, requests of 10 000": lambda c: _pipeline(c, "all", None, 10_000),
}
WAITING: dict[str, Callable[[Case], bool]] = {
    "safe lane, acks=all, idempotent": lambda c: c.contender == SAFE_SEND and c.idempotence,
    "acks=all": lambda c: c.contender == BATCH and c.acks == "all" and not c.idempotence,
    "acks=1": lambda c: c.contender == BATCH and c.acks == "1",
    "acks=0 (nothing is awaited)": lambda c: c.contender == BATCH and c.acks == "0",
}


def _pipeline(case: Case, acks: str, in_flight: int | None, batch: int) -> bool:
    wanted = (BATCH, PIPELINE, acks, in_flight, batch, False)
    return (case.contender, case.mode, case.acks, case.in_flight, case.batch, case.idempotence) == wanted


def price(rows: Sequence[Row]) -> Figure:
    """Draw records/s and the latency of a call against the round-trip time."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    matrix = of_matrix(rows)
    for label, chosen in LINES.items():
        line = sorted((row for row in matrix if chosen(row.case)), key=lambda row: row.case.rtt_ms)
        _line(left, line, [row.rate for row in line], label, [_spread(row, WALL) for row in line])
    for label, chosen in WAITING.items():
        line = [row for row in matrix if row.case.mode == WAIT and row.case.batch == 1 and chosen(row.case)]
        line.sort(key=lambda row: row.case.rtt_ms)
        if line:
            p50 = [row.median(P50) * 1e3 for row in line]
            p99 = [row.median(P99) * 1e3 for row in line]
            drawn = _line(right, line, p50, label)
            right.plot(_times(line), p99, marker="_", linestyle=":", color=drawn)
    _axes(left, "records/s, one partition, 100-byte values", "Throughput")
    _axes(right, "ms: p50, dotted p99", "A call of one record, waited for")
    for axes in (left, right):
        if axes.lines:
            axes.set_xlabel("round-trip time added, ms")
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xticks([0, 1, 5, 20], ["0", "1", "5", "20"])
            axes.legend(loc="best")
    return figure


def _line(axes: Axes, rows: Sequence[Row], values: list[float], label: str, spread: list[float] | None = None) -> Any:
    """Draw one line, with bars of its noise; return its colour."""
    if not rows:
        return None
    bars = [value * part for value, part in zip(values, spread, strict=True)] if spread else None
    drawn = axes.errorbar(_times(rows), values, yerr=bars, marker="o", markersize=3, capsize=2, label=label)
    return drawn.lines[0].get_color()


def _times(rows: Iterable[Row]) -> list[int]:
    return [row.case.rtt_ms for row in rows]


def _spread(row: Row, figure: str) -> float:
    return row.noise(figure) or 0.0


def _axes(axes: Axes, label: str, title: str) -> None:
    axes.set_yscale("log")
    axes.set_ylabel(label)
    axes.set_title(title)


def cpu_bars(rows: Sequence[Row]) -> Figure:
    """Draw the CPU per record of everybody who sent the same records."""
    groups = [("100 ready bytes", of_peers(rows, PIPELINE)), ("Avro", of_peers(rows, PIPELINE, "avro"))]
    shown = [(title, found) for title, found in groups if found]
    heights = [len(found) for _, found in shown]
    figure, all_axes = plt.subplots(
        len(shown) or 1,
        1,
        figsize=(8, 0.9 + 0.34 * sum(heights)),
        layout="constrained",
        squeeze=False,
        height_ratios=heights or [1],
    )
    for axes, (title, found) in zip(all_axes[:, 0], shown, strict=False):
        found = found[::-1]
        values = [row.cpu_ns for row in found]
        colours = ["tab:orange" if "Producer.send" in row.case.contender else "tab:gray" for row in found]
        bars = axes.barh([row.case.contender for row in found], values, color=colours)
        axes.bar_label(bars, [f"{value:,.0f}".replace(",", " ") for value in values], padding=3, fontsize=8)
        axes.set_xscale("log")
        axes.set_xlim(left=100)
        axes.set_title(f"{title}: CPU ns per record of the producing process")
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.15)
    return figure


def growth(rows: Sequence[Row]) -> Figure:
    """Draw records/s of the safe lane against the size of a call, the model's curve over the measured points."""
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    found = [row for row in of_matrix(rows) if row.case.contender == SAFE_BATCH and row.case.idempotence]
    costs = next((c for family, c in costs_of(found).items()), None)
    near = min((row.metadata["round_trip_s"] for row in found if row.case.rtt_ms == 0), default=0.0)
    for rtt in sorted({row.case.rtt_ms for row in found}):
        points = sorted((row for row in found if row.case.rtt_ms == rtt), key=lambda row: row.case.batch)
        batches, rates = [row.case.batch for row in points], [row.rate for row in points]
        drawn = axes.errorbar(batches, rates, yerr=[_spread(r, WALL) * r.rate for r in points], fmt="o", capsize=2)
        colour = drawn.lines[0].get_color()
        label = f"+{rtt} ms" if rtt else "no delay"
        if costs is not None:
            added = points[0].metadata["round_trip_s"] - near
            curve = [round(10 ** (step / 10)) for step in range(41)]
            axes.plot(curve, [costs.rate(batch, added) for batch in curve], color=colour, alpha=0.6, label=label)
        else:
            drawn.set_label(label)
    axes.set_xscale("log")
    axes.set_xlabel("records of a call")
    _axes(axes, "records/s, one partition", "SafeProducer.send_batch: points measured, lines the model's")
    if axes.lines:
        axes.legend()
    return figure


PICTURES: dict[str, Callable[[Sequence[Row]], Figure]] = {
    "price-of-safety": price,
    "cpu-per-record": cpu_bars,
    "growth": growth,
}


def draw(rows: Sequence[Row], folder: Path, stem: str) -> list[str]:
    """Write those pictures that the results have something for; return their names."""
    names = []
    with mpl.rc_context(STYLE):
        for name, picture in PICTURES.items():
            figure = picture(rows)
            if any(axes.has_data() for axes in figure.axes):
                path = folder / f"{stem}-{name}.svg"
                # No date: the same results give the same file.
                figure.savefig(path, metadata={"Date": None, "Creator": None})
                names.append(path.name)
            plt.close(figure)
    return names
