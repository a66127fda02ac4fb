"""Tables in Markdown."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING

from bench.lanes import BATCH, CALLBACK, FLOOR, SAFE_BATCH, SAFE_SEND, SEND
from bench.matrix import CODERS, PEER_PARTITIONS, PIPELINE, SAFE, WAIT
from bench.model import predictions
from bench.results import CPU, P50, P99, WALL
from twolane.cli.advising.costs import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bench.matrix import Case
    from bench.results import Row

UNSTABLE = "~"
NOTHING = ""
MARKED = (
    f"{UNSTABLE} marks what pyperf would call unstable: a deviation of 10 % or more, an outlier, or one value only."
)
# What a client cannot do or its contender leaves out, see `bench.contender.Result`.
LACKS = {
    "key": "its own keys",
    "timestamp": "no timestamps of ours",
    "partition": "no choice of partition",
    "order": "order not kept",
    "acknowledged": "hears of no failure",
    "avro": "JSON instead of Avro",
}
# Mode, data, size, partitions and round-trip time of the cases of `coders`.
CODED = (PIPELINE, "bytes", 100, PEER_PARTITIONS, 0)
OURS = (SAFE_SEND, SAFE_BATCH, BATCH, SEND, CALLBACK)


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Return a table; the first `left` columns are text."""
    lines = [f"| {' | '.join(headings)} |", f"| {' | '.join(['---'] * left + ['---:'] * (len(headings) - left))} |"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def rate(row: Row) -> str:
    """Return records per second."""
    return _marked(row, WALL) + number(row.rate)


def cpu(row: Row) -> str:
    """Return CPU nanoseconds per record."""
    return _marked(row, CPU) + number(row.cpu_ns)


def latency(row: Row) -> str:
    """Return p50 and p99 of a call in milliseconds."""
    return f"{_marked(row, P50)}{number(row.median(P50) * 1e3)} / {_marked(row, P99)}{number(row.median(P99) * 1e3)}"


def _marked(row: Row, figure: str) -> str:
    return f"{UNSTABLE} " if row.is_unstable(figure) else ""


def guarantee(case: Case) -> str:
    """Return acks, in-flight and idempotence as a table says them."""
    in_flight = "default" if case.in_flight is None else case.in_flight
    return f"acks={case.acks}, {in_flight} in flight{', idempotent' if case.idempotence else ''}"


def lane(case: Case) -> str:
    """Return who sends, and whether each call is waited for."""
    return f"`{case.contender}`{', waiting' if case.mode == WAIT and case.contender == BATCH else ''}"


# ---- the price of safety --------------------------------------------------------------------------------------------


def of_matrix(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of the matrix: one partition, 100 bytes, nothing compressed, the lanes."""
    return [
        row
        for row in rows
        if (row.case.partitions, row.case.size, row.case.compression, row.case.data) == (1, 100, "none", "bytes")
        and row.case.contender in (SAFE_SEND, SAFE_BATCH, BATCH)
    ]


def by_round_trip(rows: Iterable[Row], cell: Callable[[Row], str]) -> str:
    """Return a table with a column for each round-trip time."""
    found: dict[tuple[str, str, str], dict[int, Row]] = {}
    for row in sorted(of_matrix(rows), key=_order):
        case = row.case
        found.setdefault((lane(case), guarantee(case), number(case.batch)), {})[case.rtt_ms] = row
    times = sorted({rtt for cells in found.values() for rtt in cells})
    return markdown(
        ["", "guarantee", "batch", *(f"+{rtt} ms" if rtt else "as is" for rtt in times)],
        ([*name, *(cell(cells[rtt]) if rtt in cells else NOTHING for rtt in times)] for name, cells in found.items()),
        left=2,
    )


def _order(row: Row) -> tuple[int, int, str, int, bool, int, int]:
    case = row.case
    in_flight = 1_000_000 if case.in_flight is None else case.in_flight
    lane_of = (SAFE_SEND, SAFE_BATCH, BATCH).index(case.contender)
    return lane_of, case.mode == WAIT, case.acks, in_flight, case.idempotence, case.batch, case.rtt_ms


# ---- peers ----------------------------------------------------------------------------------------------------------


def of_peers(rows: Iterable[Row], mode: str, data: str = "bytes") -> list[Row]:
    """Return who sends the same records with the same guarantee at the most: everybody, nearest brokers."""
    found = [row for row in rows if row.case.mode == mode and row.case.data == data and _is_peers(row)]
    return sorted(found, key=lambda row: row.cpu_ns)


def _is_peers(row: Row) -> bool:
    case = row.case
    plain = (case.rtt_ms, coding(case)) == (0, "none") and (case.size == 100 or case.data == "avro")
    if not plain or case.acks == "0":
        return False
    if case.mode == PIPELINE:
        return case.partitions > 1
    # One record at a time; of the matrix only the strongest of each lane.
    return case.batch == 1 and case.in_flight == 1 and case.contender != SAFE_BATCH and _is_strongest(row)


def _is_strongest(row: Row) -> bool:
    if row.case.contender == SAFE_SEND:
        return row.case.idempotence
    return not row.case.idempotence and row.case.acks == ("1" if row.is_embedded else "all")


def of_avro(rows: Iterable[Row]) -> list[Row]:
    """Return who encodes and sends the same readings; the safe lane, which waits for its calls, too."""
    found = [row for row in rows if row.case.data == "avro"]
    return sorted(found, key=lambda row: row.cpu_ns)


def peers(rows: Sequence[Row], missing: Mapping[str, str], *, with_latency: bool) -> str:
    """Return the peers' table: CPU to the cheapest one's round by round, who is missing, and what a client lacks."""
    base = rows[0] if rows else None
    lines = []
    for row in rows:
        ratio = f"{ratio_of(row, base, CPU):.2f}" if base is not None else NOTHING
        line = [name_of(row.case), rate(row), cpu(row), ratio, _remarks(row)]
        lines.append([*line, latency(row)] if with_latency and P50 in row.values else line)
    width = max(map(len, lines), default=5)
    lines += [[f"`{name}`", *[NOTHING] * 3, why, *[NOTHING] * (width - 5)] for name, why in missing.items()]
    headings = ["", "records/s", "CPU ns/record", "CPU to the first", "remarks"]
    return markdown([*headings, "p50 / p99 ms"][:width], lines)


def _remarks(row: Row) -> str:
    lacks = row.metadata["lacks"]
    return NOTHING if lacks == "nothing" else ", ".join(LACKS.get(what, what) for what in lacks.split(", "))


def name_of(case: Case) -> str:
    """Return a contender's name, ours in bold."""
    return case.contender if case.contender == FLOOR or case.contender not in OURS else f"**`{case.contender}`**"


def ratios(row: Row, base: Row, figure: str) -> list[float]:
    """Return the ratio of two cases for each round that both have."""
    other = dict(zip(base.rounds, base.values[figure], strict=True))
    return [value / other[turn] for turn, value in zip(row.rounds, row.values[figure], strict=True) if turn in other]


def ratio_of(row: Row, base: Row, figure: str) -> float:
    """Return the median ratio of two cases, round by round where they share rounds."""
    pairs = ratios(row, base, figure)
    return statistics.median(pairs) if pairs else row.median(figure) / base.median(figure)


# ---- growth ---------------------------------------------------------------------------------------------------------


def sizes(rows: Iterable[Row]) -> str:
    """Return records and megabytes per second by record size."""
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for row in rows:
        case = row.case
        plain = (case.partitions, case.batch, case.rtt_ms, case.compression, case.data) == (
            1,
            10_000,
            0,
            "none",
            "bytes",
        )
        if plain and case.contender in (*SAFE, BATCH):
            found.setdefault((lane(case), guarantee(case)), {})[case.size] = row
    grown = {name: cells for name, cells in found.items() if len(cells) > 1}
    all_sizes = sorted({size for cells in grown.values() for size in cells})
    return markdown(
        ["", "guarantee", *(f"{number(size)} B" for size in all_sizes)],
        (
            [
                *name,
                *(f"{rate(cells[s])} ({cells[s].rate * s / 1e6:.0f} MB/s)" if s in cells else "" for s in all_sizes),
            ]
            for name, cells in grown.items()
        ),
        left=2,
    )


def compression(rows: Iterable[Row]) -> str:
    """Return what a codec costs and brings, near and far."""
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for row in rows:
        case = row.case
        if case.partitions == 1 and case.batch == 10_000 and case.size == 100 and case.data == "bytes":
            found.setdefault((f"{lane(case)}, {guarantee(case)}", case.compression), {})[case.rtt_ms] = row
    squeezed = {name for name, codec in found if codec != "none"}
    kept = {key: cells for key, cells in found.items() if key[0] in squeezed}
    times = sorted({rtt for (_, codec), cells in kept.items() if codec != "none" for rtt in cells})
    headings = [f"{what}, {f'+{rtt} ms' if rtt else 'as is'}" for rtt in times for what in ("records/s", "CPU ns")]
    return markdown(
        ["", "codec", *headings],
        (
            [
                *key,
                *(
                    text
                    for rtt in times
                    for text in ((rate(cells[rtt]), cpu(cells[rtt])) if rtt in cells else ("", ""))
                ),
            ]
            for key, cells in sorted(kept.items())
        ),
        left=2,
    )


def coding(case: Case) -> str:
    """Return what is done to a request's bytes."""
    return f"{case.compression}, TLS" if case.tls else case.compression


def coders(rows: Iterable[Row]) -> str:
    """Return what codecs and TLS cost clients that have their own, each beside the same client without."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        case = row.case
        if case.contender in CODERS and (case.mode, case.data, case.size, case.partitions, case.rtt_ms) == CODED:
            found.setdefault(name_of(case), {})[coding(case)] = row
    ways = list(dict.fromkeys(way for cells in found.values() for way in cells))
    if ways == ["none"]:
        return NOTHING
    return markdown(
        ["", *(f"{way}: {what}" for way in ways for what in ("records/s", "CPU ns"))],
        (
            [name, *(figure(cells[way]) if way in cells else NOTHING for way in ways for figure in (rate, cpu))]
            for name, cells in found.items()
        ),
    )


# ---- the model ------------------------------------------------------------------------------------------------------


def model(rows: Sequence[Row]) -> str:
    """Return how far the model's predictions were off, by lane."""
    errors: dict[str, list[float]] = {}
    for prediction in predictions(rows):
        errors.setdefault(lane(prediction.row.case), []).append(prediction.error)
    return markdown(
        ["", "cases", "median error", "worst"],
        (
            [name, str(len(off)), f"{statistics.median(map(abs, off)):.0%}", f"{max(off, key=abs):+.0%}"]
            for name, off in errors.items()
        ),
    )


# ---- around the tables ----------------------------------------------------------------------------------------------


def setting(rows: Sequence[Row]) -> str:
    """Return one paragraph: where, when, with what."""
    facts = rows[0].metadata
    client = json.loads(facts["client"])
    loads = [row.metadata["load_avg_1min"] for row in rows]
    values = sorted({len(row.rounds) for row in rows})
    where = "in the network" if facts["cluster"] == "running" else "on the same machine"
    parts = [
        str(facts["date"])[:10],
        f"{facts['cpu_count']} CPUs ({facts['cpu_model_name']}, {facts['memory_gib']} GiB, load {min(loads):.1f} to "
        f"{max(loads):.1f})",
        f"{facts['brokers']} brokers ({facts['broker_version']}) {where}",
        f"librdkafka {client.get('librdkafka', facts['librdkafka_version'])}, Python {facts['python_version']}",
        f"delay: {facts['delay']}",
        f"{' to '.join(dict.fromkeys((str(values[0]), str(values[-1]))))} values each",
    ]
    return "; ".join(parts) + ".\n"
