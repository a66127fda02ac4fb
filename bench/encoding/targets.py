"""What the encoders are asked to reach, and the table that says whether a run reached it: from its JSON alone."""

from __future__ import annotations

from dataclasses import dataclass

import pyperf

MIB = 1 << 20
SIZES = [f"1e{power}" for power in range(3, 8)]
GROWING = {"avro5": "Avro from columns", "json5": "JSON from columns", "pack": "pack_timestamps"}
GROWTH = {**GROWING, "numpy": "numpy's astype"}


@dataclass(frozen=True, slots=True)
class Target:
    """A quotient of two benchmarks, or where there is no `below` a value, and its bound.

    Attributes
    ----------
    above, below : tuple of str
        Names; of several above the smallest counts, of several below too.
    bound : float
        At least this for ``at_least``, else at most.
    unit : str
        Of a value: "ns" or "MiB".
    """

    what: str
    above: tuple[str, ...]
    below: tuple[str, ...]
    bound: float
    at_least: bool = True
    unit: str = ""

    def value(self, means: dict[str, float]) -> float:
        """Return what was reached, from means by name (seconds per record, bytes)."""
        above = min(means[name] for name in self.above)
        if self.below:
            return above / min(means[name] for name in self.below)
        return above * 1e9 if self.unit == "ns" else above / MIB

    def is_met(self, value: float) -> bool:
        """Tell whether `value` keeps within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


TARGETS = [
    *(
        Target(f"Avro from {kind} columns, 5 fields", (f"avro5_{kind}_columns",), (), 25, False, "ns")
        for kind in ("numpy", "arrow")
    ),
    Target("fastavro's rows / Avro from columns", ("avro5_fastavro_rows",), ("avro5_numpy_columns",), 100),
    Target("fastavro's rows / Avro from columns, 30 fields", ("avro30_fastavro_rows",), ("avro30_arrow_columns",), 100),
    Target(
        "arrow-kafka-pyo3's whole path (CPU) / Avro from columns",
        ("whole_path5_arrow_kafka_cpu",),
        ("avro5_arrow_columns",),
        20,
    ),
    Target("fastavro / Avro from dict rows", ("avro5_fastavro_rows",), ("avro5_rows",), 6),
    Target("fastavro / Avro from dict rows, 30 fields", ("avro30_fastavro_rows",), ("avro30_rows",), 6),
    *(
        Target(
            f"Avro from dataclasses{' with slots' * bool(slots)} / from dicts, {fields} fields",
            (f"avro{fields}_dataclasses{slots}",),
            (f"avro{fields}_rows",),
            1.2,
            False,
        )
        for fields in (5, 30)
        for slots in ("", "_slots")
    ),
    *(
        Target(
            f"confluent's Protobuf rows / Protobuf from columns, {fields} fields",
            (f"protobuf{fields}_confluent_rows",),
            (f"protobuf{fields}_arrow_columns",),
            20,
        )
        for fields in (5, 30)
    ),
    *(
        Target(
            f"Protobuf from messages / SerializeToString, {fields} fields",
            (f"protobuf{fields}_messages",),
            (f"protobuf{fields}_google_rows",),
            1.2,
            False,
        )
        for fields in (5, 30)
    ),
    Target("orjson's rows / JSON from columns", ("json5_orjson_rows",), ("json5_arrow_columns",), 1.5),
    Target("orjson's rows / JSON from columns, 30 fields", ("json30_orjson_rows",), ("json30_arrow_columns",), 1.5),
    Target("making rows and orjson / JSON from columns", ("json5_make_rows_then_orjson",), ("json5_arrow_columns",), 4),
    *(
        Target(
            f"JSON from dict rows / orjson or msgspec, {fields} fields",
            (f"json{fields}_rows",),
            (f"json{fields}_orjson_rows", f"json{fields}_msgspec_rows"),
            1.0,
            False,
        )
        for fields in (5, 30)
    ),
    *(
        Target(
            f"numpy's astype / pack_timestamps, {size} datetime64[ns]",
            (f"datetime64ns_{size}_numpy_astype",),
            (f"datetime64ns_{size}_pack",),
            4,
        )
        for size in ("1e4", "1e6")
    ),
    Target("Python loop / pack_timestamps, datetimes", ("datetimes_python_loop",), ("datetimes_pack",), 5),
    *(
        Target(
            f"{what}, {size} records / the best size",
            (f"{kind}_flat_{size}",),
            tuple(f"{kind}_flat_{other}" for other in SIZES),
            1.5,
            False,
        )
        for kind, what in GROWING.items()
        for size in SIZES
    ),
    *(
        Target(f"{what}, memory beyond 1e7 records and the result", (f"{kind}_memory_1e7",), (), 64, False, "MiB")
        for kind, what in GROWING.items()
    ),
]


def table(suite: pyperf.BenchmarkSuite) -> list[str]:
    """Return the lines of the table; what the suite lacks is left out."""
    means = {bench.get_name(): bench.mean() for bench in suite}
    lines = [f"{'':62s} {'reached':>10s} {'target':>10s}"]
    for target in TARGETS:
        if not {*target.above, *target.below} <= set(means):
            continue
        value = target.value(means)
        bound = f"{'>=' if target.at_least else '<='} {target.bound:g}"
        reached = f"{value:.2f}{' ' + target.unit if target.unit else 'x'}"
        lines.append(
            f"{target.what:62s} {reached:>10s} {bound:>10s}  {'' if target.is_met(value) else 'MISSED'}".rstrip()
        )
    return lines


def growth(suite: pyperf.BenchmarkSuite) -> list[str]:
    """Return the lines of a second table: time per record and memory, by the number of records."""
    means = {bench.get_name(): bench.mean() for bench in suite}
    lines = ["per record, and memory beyond input and result", f"{'records':8s}"]
    lines[1] += "".join(f"{what:>28s}" for what in GROWTH.values())
    for size in SIZES:
        line = f"{size:8s}"
        for kind in GROWTH:
            cost, memory = means.get(f"{kind}_flat_{size}"), means.get(f"{kind}_memory_{size}")
            if cost is not None and memory is not None:
                line += f"{cost * 1e9:14.2f} ns {memory / MIB:7.2f} MiB"
        lines.append(line)
    return lines
