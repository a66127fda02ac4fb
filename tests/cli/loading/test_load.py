"""``twolane load``: every kind of source in every format, read back by other libraries."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import fastavro
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from tests.support.avro import record_of
from twolane.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run
    from twolane.testing import EmbeddedCluster

N = 100
ROWS = [{"id": i, "name": f"name {i}", "score": i / 4} for i in range(N)]
SCHEMA = record_of("Row", id="long", name="string", score="double")


def table() -> pa.Table:
    return pa.Table.from_pylist(ROWS)


def write_avro(path: Path) -> None:
    with path.open("wb") as file:
        fastavro.writer(file, SCHEMA, ROWS)


def write_stream(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table().schema) as writer:
        writer.write_table(table())


FILES: dict[str, Callable[[Path], Any]] = {
    "rows.parquet": lambda path: pyarrow.parquet.write_table(table(), path),
    "rows.arrow": lambda path: pyarrow.feather.write_feather(table(), path),
    "rows.arrows": write_stream,
    "rows.csv": lambda path: pyarrow.csv.write_csv(table(), path),
    "rows.tsv": lambda path: pyarrow.csv.write_csv(table(), path, pyarrow.csv.WriteOptions(delimiter="\t")),
    "rows.jsonl": lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in ROWS)),
    "rows.avro": write_avro,
}


def read_avro(value: bytes, schema: Any = SCHEMA) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(value), fastavro.parse_schema(schema))


@pytest.fixture
def load(run: Run, embedded_cluster: EmbeddedCluster) -> Any:
    """Load into topic "t" of one partition; returns click's result."""
    embedded_cluster.create_topic("t", partitions=1)

    def call(*arguments: object, **options: Any) -> Any:
        return run("load", "-b", embedded_cluster.bootstrap_servers, "-t", "t", *arguments, **options)

    return call


@pytest.mark.parametrize("lane", ["safe", "throughput"])
@pytest.mark.parametrize("name", FILES)
def test_files(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path, name: str, lane: str) -> None:
    FILES[name](tmp_path / name)
    done = load(tmp_path / name, "--key", "id", "--lane", lane, "--json", "--chunk", 30)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["written"], result["position"], result["refused"]) == (N, N, 0)
    records = embedded_cluster.records("t")
    assert [json.loads(record.value) for record in records] == ROWS
    assert [record.key for record in records] == [b"%d" % i for i in range(N)]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.jsonl", "rows.avro"])
def test_avro_by_a_schema_of_ones_own(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / name)
    (tmp_path / "row.avsc").write_text(json.dumps(SCHEMA))
    assert load(tmp_path / name, "--format", f"avro:{tmp_path / 'row.avsc'}").exit_code == 0
    assert [read_avro(record.value) for record in embedded_cluster.records("t")] == ROWS


def test_avro_by_the_schema_of_its_file(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    write_avro(tmp_path / "rows.avro")
    assert load(tmp_path / "rows.avro", "--format", "avro").exit_code == 0
    assert [read_avro(record.value) for record in embedded_cluster.records("t")] == ROWS


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl"])
def test_avro_by_what_the_data_says(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / name)
    assert load(tmp_path / name, "--format", "avro", "--limit", 3).exit_code == 0
    nullable = {**SCHEMA, "fields": [{**field, "type": ["null", field["type"]]} for field in SCHEMA["fields"]]}  # type: ignore[index]
    assert [read_avro(record.value, nullable) for record in embedded_cluster.records("t")] == ROWS[:3]


def test_one_column_as_it_is(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    for name in ("rows.parquet", "rows.jsonl"):
        FILES[name](tmp_path / name)
        assert load(tmp_path / name, "--format", "bytes:name", "--key", "id").exit_code == 0
    records = embedded_cluster.records("t")
    assert [(record.key, record.value) for record in records] == 2 * [
        (b"%d" % row["id"], row["name"].encode()) for row in ROWS
    ]


def test_columns_with_a_role(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    times = pa.array([1_700_000_000_000 + i for i in range(N)], pa.timestamp("ms"))
    pyarrow.parquet.write_table(table().append_column("at", times), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text('{"id": 1, "at": 1700000000000, "to": 0, "name": "x"}\n')
    assert load(tmp_path / "a.parquet", "--timestamp", "at", "--header", "name", "--header", "id").exit_code == 0
    assert load(tmp_path / "b.jsonl", "--timestamp", "at", "--partition", "to").exit_code == 0
    records = embedded_cluster.records("t")
    assert [record.timestamp for record in records] == [
        *range(1_700_000_000_000, 1_700_000_000_000 + N),
        1_700_000_000_000,
    ]
    assert records[7].headers == [("name", b"name 7"), ("id", b"7")]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_times_that_are_text(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path, kind: str) -> None:
    texts = ["2013-01-01T10:00:00Z", "2013-01-01 10:00:00.250", "2013-01-01T11:00:00+01:00", "2013-01-02", "soon"]
    source = tmp_path / f"a.{kind}"
    if kind == "csv":
        source.write_text("\n".join(["at", *texts]) + "\n")
    else:
        source.write_text("".join(json.dumps({"at": text}) + "\n" for text in texts))
    done = load(source, "--timestamp", "at", "--csv-strings", "--on-bad-row", "skip", "--bad", tmp_path / "bad")
    assert done.exit_code == Exit.REFUSED, done.output
    records = embedded_cluster.records("t")
    assert [record.timestamp - 1_357_034_400_000 for record in records] == [0, 250, 0, 14 * 3_600_000]
    assert [json.loads(record.value)["at"] for record in records] == texts[:-1]
    (bad,) = map(json.loads, (tmp_path / "bad").read_text().splitlines())
    assert (bad["row"], bad["value"], "'soon'" in bad["error"]) == (4, {"at": "soon"}, True)


def test_standard_input_and_patterns(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        FILES["rows.jsonl"](tmp_path / name)
    assert load(f"{tmp_path}/*.jsonl").exit_code == 0
    assert load("-", "--input", "jsonl", input=json.dumps(ROWS[0])).exit_code == 0
    values = [json.loads(record.value) for record in embedded_cluster.records("t")]
    assert values == [*ROWS, *ROWS, ROWS[0]]


def test_a_query(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    FILES["rows.parquet"](tmp_path / "rows.parquet")
    done = load(
        f"duckdb:select id, name from '{tmp_path}/rows.parquet' where id % 2 = 0 order by id desc", "--limit", 5
    )
    assert done.exit_code == 0, done.output
    ids = [json.loads(record.value)["id"] for record in embedded_cluster.records("t")]
    assert ids == [98, 96, 94, 92, 90]


def test_csv_as_text(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,code\n1,007\n")
    assert load(tmp_path / "a.csv", "--csv-strings").exit_code == 0
    assert json.loads(embedded_cluster.records("t")[0].value) == {"id": "1", "code": "007"}


@pytest.mark.parametrize(
    ("form", "bytes_shown", "read_back"),
    [
        ("json", """b'{"id":1,"name":"name 1","score":0.25}'""", "{'id': 1, 'name': 'name 1', 'score': 0.25}"),
        ("avro", r"b'\x02\x02\x02\x0cname 1\x02", "{'id': 1, 'name': 'name 1', 'score': 0.25}"),
        ("bytes:name", "b'name 1'", None),
    ],
)
def test_a_dry_run_shows_records_and_sends_none(
    load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path, form: str, bytes_shown: str, read_back: str | None
) -> None:
    FILES["rows.parquet"](tmp_path / "rows.parquet")
    done = load(tmp_path / "rows.parquet", "--dry-run", "--format", form, "--key", "id", "--limit", 2)
    assert done.exit_code == 0
    assert bytes_shown in done.output
    assert "record 1: topic t, key b'1'" in done.output
    assert "record 2" not in done.output
    if read_back is not None:
        assert f"read back: {read_back}" in done.output
    assert embedded_cluster.records("t") == []


def test_what_is_skipped_goes_into_a_file(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"id": \n[2]\n{"id": 3, "to": 9}\n{"id": 4, "to": 0}\n')
    bad = tmp_path / "bad.jsonl"
    done = load(tmp_path / "a.jsonl", "--partition", "to", "--on-bad-row", "skip", "--bad", bad, "--chunk", 2, "--json")
    assert done.exit_code == Exit.REFUSED
    result = json.loads(done.stdout)
    lines = [json.loads(line) for line in bad.read_text().splitlines()]
    assert [json.loads(record.value)["id"] for record in embedded_cluster.records("t")] == [4]
    assert result["refused"] == len(lines) == 4
    assert sorted(str(line["row"]).rpartition(" ")[2] for line in lines) == ["0", "1", "2", "3"]
    assert [line["value"] for line in lines if line["row"] == 1] == [{"id": 3, "to": 9}]


def test_a_load_that_ended_is_not_done_again(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    FILES["rows.jsonl"](tmp_path / "rows.jsonl")
    state = tmp_path / "state"
    assert load(tmp_path / "rows.jsonl", "--state", state).exit_code == 0
    again = load(tmp_path / "rows.jsonl", "--state", state)
    assert (again.exit_code, "that load ended" in again.output) == (Exit.USAGE, True)
    resumed = load(tmp_path / "rows.jsonl", "--state", state, "--resume", "--json")
    assert (resumed.exit_code, json.loads(resumed.stdout)["written"]) == (0, 0)
    other = load(tmp_path / "rows.jsonl", "--state", state, "--resume", "--key", "id")
    assert (other.exit_code, "key was None, is 'id'" in other.output) == (Exit.USAGE, True)
    assert len(embedded_cluster.records("t")) == N


def test_a_rate(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    FILES["rows.jsonl"](tmp_path / "rows.jsonl")
    done = load(tmp_path / "rows.jsonl", "--rate", 1000, "--limit", 95, "--json")
    assert json.loads(done.stdout)["written"] == 95
    assert embedded_cluster.records("t")[-1].offset == 94


def test_each_row_to_its_own_topic(run: Run, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    source = tmp_path / "outbox.jsonl"
    rows = [{"id": i, "topic": ("orders", "clicks")[i % 2]} for i in range(N)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ("load", source, "-b", embedded_cluster.bootstrap_servers, "--topic-column", "topic", "--key", "id")
    done = run(*arguments, "--chunk", 30, "--state", tmp_path / "state", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["written"], result["topic"]) == (N, "clicks, orders")
    for topic in ("orders", "clicks"):
        found = sorted(json.loads(record.value)["id"] for record in embedded_cluster.records(topic))
        assert found == [row["id"] for row in rows if row["topic"] == topic]
    assert "topic clicks, key b'1'" in run(*arguments, "--dry-run").output
    both = run(*arguments, "-t", "t")
    assert (both.exit_code, "-t TOPIC or --topic-column" in both.output) == (Exit.USAGE, True)


def descriptor_file(path: Path) -> Any:
    """Write a compiled descriptor set of a message of the rows; return google's class of it."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="row.proto", package="test", syntax="proto3")
    message = file.message_type.add(name="Row")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, kind) in enumerate(
        (("id", kinds.TYPE_INT64), ("name", kinds.TYPE_STRING), ("score", kinds.TYPE_DOUBLE)), 1
    ):
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    path.write_bytes(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Row"))


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl", "rows.csv"])
def test_protobuf(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path, name: str) -> None:
    kind = descriptor_file(tmp_path / "row.desc")
    FILES[name](tmp_path / name)
    form = f"protobuf:{tmp_path / 'row.desc'}:test.Row"
    assert load(tmp_path / name, "--format", form).exit_code == 0
    read = [kind.FromString(record.value) for record in embedded_cluster.records("t")]
    assert [{"id": row.id, "name": row.name, "score": row.score} for row in read] == ROWS
    assert 'read back: id: 1 name: "name 1"' in load(tmp_path / name, "--format", form, "--dry-run").output
    wrong = load(tmp_path / name, "--format", f"protobuf:{tmp_path / 'row.desc'}:Other")
    assert (wrong.exit_code, "Other" in wrong.output) == (Exit.USAGE, True)
