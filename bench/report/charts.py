"""Pictures in SVG: the price of safety, CPU against peers, growth. The same results give the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl

from bench.lanes import BATCH, SAFE_BATCH, SAFE_SEND
from bench.matrix import PIPELINE, WAIT
from bench.model import costs_of
from bench.report.tables import OURS, of_matrix, of_peers
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

# Readable on white and on black: the background is nobody's, text and axes are grey.
INK = "#808080"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "twolane",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.transparent": True,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}
# A guarantee has one colour in every panel.
SAFE, ALL_ONE, ALL, ONE, NONE = "#e6550d", "#9e6fd0", "#3b8bd0", "#2ca25f", "#808080"
OTHERS = "#a0a0a0"


class Line(NamedTuple):
    """One line of the price list: which cases it goes through."""

    label: str
    colour: str
    style: str
    chosen: Callable[[Case], bool]


def _safe(label: str, batch: int, style: str) -> Line:
    contender = SAFE_SEND if batch == 1 else SAFE_BATCH
    return Line(label, SAFE, style, lambda c: (c.contender, c.batch, c.idempotence) == (contender, batch, True))


def _pipeline(label: str, colour: str, acks: str, in_flight: int | None, batch: int = 10_000) -> Line:
    wanted = (BATCH, PIPELINE, acks, in_flight, batch, False)
    style = "-" if batch == 10_000 else "--"
    return Line(
        label,
        colour,
        style,
        lambda c: (c.contender, c.mode, c.acks, c.in_flight, c.batch, c.idempotence) == wanted,
    )


# What is drawn of the price list. Forty lines cannot be read.
LINES = (
    _pipeline("acks=1", ONE, "1", None),
    _pipeline("acks=all", ALL, "all", None),
    _pipeline("acks=all, 1 in flight", ALL_ONE, "all", 1),
    _pipeline("acks=all, 1 in flight, requests of 100", ALL_ONE, "all", 1, 100),
    _safe("safe send_batch of 10 000", 10_000, "-"),
    _safe("safe send_batch of 100", 100, "--"),
    _safe("safe send()", 1, ":"),
)
WAITING = (
    Line("acks=0: no answer", NONE, "-", lambda c: c.contender == BATCH and c.acks == "0"),
    Line("acks=1", ONE, "-", lambda c: c.contender == BATCH and c.acks == "1"),
    Line("acks=all", ALL_ONE, "-", lambda c: c.contender == BATCH and c.acks == "all" and not c.idempotence),
    Line("safe send()", SAFE, ":", lambda c: c.contender == SAFE_SEND and c.idempotence),
)


def price(rows: Sequence[Row]) -> Figure:
    """Draw records/s and the latency of a call against the round-trip time."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", width_ratios=(3, 2))
    matrix = of_matrix(rows)
    waited = [row for row in matrix if row.case.mode == WAIT and row.case.batch == 1]
    ends = _lines(left, matrix, LINES, lambda row: row.rate)
    _axes(left, "records/s, one partition, 100-byte values", "Throughput", ends)
    ends = _lines(right, waited, WAITING, lambda row: row.median(P50) * 1e3)
    _lines(right, waited, WAITING, lambda row: row.median(P99) * 1e3, thin=True)
    _axes(right, "ms: p50, thin p99", "A call of one record, waited for", ends)
    for axes in (left, right):
        if axes.lines:
            axes.set_xlabel("round-trip time added, ms")
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xticks([0, 1, 5, 20], ["0", "1", "5", "20"])
            axes.margins(x=0.03)
    return figure


def _lines(
    axes: Axes, rows: Iterable[Row], lines: Iterable[Line], value: Callable[[Row], float], *, thin: bool = False
) -> list[tuple[Line, int, float]]:
    """Draw lines against the round-trip time; return where each ends."""
    found, ends = list(rows), []
    for line in lines:
        points = sorted((row for row in found if line.chosen(row.case)), key=lambda row: row.case.rtt_ms)
        if points:
            times, values = [row.case.rtt_ms for row in points], [value(row) for row in points]
            width, alpha, mark = (0.7, 0.6, "") if thin else (1.6, 1.0, "o")
            axes.plot(
                times, values, line.style, color=line.colour, linewidth=width, alpha=alpha, marker=mark, markersize=3
            )
            ends.append((line, times[-1], values[-1]))
    return ends


def _axes(axes: Axes, label: str, title: str, ends: Sequence[tuple[Line, int, float]] = ()) -> None:
    """Name the axes, and the lines at their ends, where a legend would lie over them."""
    axes.set_yscale("log")
    axes.set_ylabel(label)
    axes.set_title(title)
    apart, lowest = 1.0, 0.0
    if ends:
        low, high = axes.get_ylim()
        apart = (high / low) ** (1 / 22)  # a line of text, on this scale
    for line, at, value in sorted(ends, key=lambda end: end[2]):
        lowest = max(value, lowest * apart)
        axes.annotate(
            line.label,
            (at, value),
            xytext=(1.03, lowest),
            textcoords=axes.get_yaxis_transform(),
            color=line.colour,
            fontsize=8,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": line.colour, "alpha": 0.4, "linewidth": 0.6},
        )


def _spread(row: Row, figure: str) -> float:
    return row.noise(figure) or 0.0


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
        colours = [SAFE if row.case.contender in OURS else OTHERS for row in found]
        bars = axes.barh([row.case.contender for row in found], values, color=colours)
        axes.bar_label(bars, [f"{value:,.0f}".replace(",", " ") for value in values], padding=3, fontsize=8)
        axes.set_title(f"{title}: CPU ns per record of the producing process")
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.15)
    return figure


def growth(rows: Sequence[Row]) -> Figure:
    """Draw records/s of the safe lane against the size of a call, the model's curve over the measured points."""
    figure, axes = plt.subplots(figsize=(7.4, 4.4), layout="constrained")
    found = [row for row in of_matrix(rows) if row.case.contender == SAFE_BATCH and row.case.idempotence]
    costs = next((c for family, c in costs_of(found).items()), None)
    near = min((row.metadata["round_trip_s"] for row in found if row.case.rtt_ms == 0), default=0.0)
    ends = []
    for nth, rtt in enumerate(sorted({row.case.rtt_ms for row in found})):
        points = sorted((row for row in found if row.case.rtt_ms == rtt), key=lambda row: row.case.batch)
        batches, rates = [row.case.batch for row in points], [row.rate for row in points]
        bars, alpha = [_spread(row, WALL) * row.rate for row in points], 1 - 0.2 * nth
        axes.errorbar(batches, rates, yerr=bars, fmt="o", capsize=2, color=SAFE, alpha=alpha)
        if costs is not None:
            added = points[0].metadata["round_trip_s"] - near
            curve = [round(10 ** (step / 10)) for step in range(41)]
            axes.plot(curve, [costs.rate(batch, added) for batch in curve], color=SAFE, alpha=alpha)
        line = Line(f"+{rtt} ms" if rtt else "no delay", SAFE, "-", lambda _: True)
        ends.append((line, batches[-1], rates[-1]))
    axes.set_xscale("log")
    axes.set_xlabel("records of a call")
    _axes(axes, "records/s, one partition", "SafeProducer.send_batch: points measured, lines the model's", ends)
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
