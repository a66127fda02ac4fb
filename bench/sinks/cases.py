"""Who is measured in which engine, and what is compared."""

from __future__ import annotations

from typing import NamedTuple

# The same job with a sink that drops the rows: what the engine costs by itself.
NO_SINK = "no sink"
TARGET = 8.0


class Case(NamedTuple):
    """One contender.

    Attributes
    ----------
    engine : str
    name : str
        As in the tables.
    serializer : str
        Ours: the option; a peer's: the format. Empty without a sink.
    lane : str
        Ours; empty otherwise.
    reader : str
        Of `data.READERS`.
    """

    engine: str
    name: str
    serializer: str = ""
    lane: str = ""
    reader: str = ""


def _ours(engine: str, serializer: str, lane: str) -> Case:
    title = {"json": "JSON", "avro": "Avro", "protobuf": "Protobuf"}[serializer]
    return Case(engine, f"twolane, {title}, {lane}", serializer, lane, serializer)


WRITE_KAFKA = Case("ray", "write_kafka, JSON", "json", reader="json")
SPARK_JSON = Case("spark", "Spark's sink, to_json", "json", reader="json")
SPARK_AVRO = Case("spark", "Spark's sink, to_avro", "avro", reader="spark-avro")
CASES = (
    Case("ray", NO_SINK),
    WRITE_KAFKA,
    *(_ours("ray", *how) for how in (("json", "safe"), ("json", "throughput"))),
    *(_ours("ray", serializer, "throughput") for serializer in ("avro", "protobuf")),
    Case("spark", NO_SINK),
    SPARK_JSON,
    SPARK_AVRO,
    *(_ours("spark", *how) for how in (("json", "safe"), ("json", "throughput"), ("avro", "throughput"))),
    Case("dask", NO_SINK),
    *(_ours("dask", *how) for how in (("json", "safe"), ("json", "throughput"), ("avro", "throughput"))),
    Case("pool", NO_SINK),
    *(_ours("pool", *how) for how in (("json", "safe"), ("json", "throughput"), ("avro", "throughput"))),
)
ENGINES = tuple(dict.fromkeys(case.engine for case in CASES))


class Comparison(NamedTuple):
    """Ours beside a peer of the same engine; how many times cheaper it should be, where that was promised."""

    ours: str
    peer: Case
    target: float | None = None


COMPARISONS = (
    *(Comparison(f"twolane, JSON, {lane}", WRITE_KAFKA, TARGET) for lane in ("safe", "throughput")),
    *(Comparison(f"twolane, {form}, throughput", WRITE_KAFKA) for form in ("Avro", "Protobuf")),
    *(Comparison(f"twolane, JSON, {lane}", SPARK_JSON) for lane in ("safe", "throughput")),
    Comparison("twolane, Avro, throughput", SPARK_AVRO),
)
