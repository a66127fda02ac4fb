"""``df.write.format("twolane")`` and ``writeStream``: what is in the log, what the driver is told, also after faults.

One Spark for all of them: its start takes longer than any test. Read back by confluent-kafka's consumer.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient

from tests.packaging.sources import ROOT
from tests.support import jobs
from tests.support.readers import read_all
from tests.support.schema_registry import SchemaRegistry
from twolane.sinks.reports import OffsetRange
from twolane.sinks.task import MARK
from twolane.testing import ApiKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults.proxy import FaultProxy
    from twolane.testing import EmbeddedCluster

pyspark = pytest.importorskip("pyspark", reason="engines are not installed: make test-engines")
# PySpark's own: sockets that are left to the collector, versions of pandas that it does not know.
pytestmark = [
    pytest.mark.engines,
    pytest.mark.slow,
    *(pytest.mark.filterwarnings(f"ignore::{name}Warning") for name in ("Resource", "Deprecation", "Future")),
]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    # Its workers are to find the tests' interpreter, twolane and this folder.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    session = (
        SparkSession.builder.master("local[2,3]")  # each task is attempted three times
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .config("spark.log.level", "OFF")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture(scope="module")
def metrics(spark: Any) -> Any:
    import twolane.spark

    return twolane.spark.register(spark)


def write(df: Any, cluster: Any, topic: str = "t", **options: str) -> None:
    writer = df.write.format("twolane").mode("append").option("topic", topic)
    writer = writer.option("kafka.bootstrap.servers", cluster.bootstrap_servers)
    writer.options(**options).save()


def ids(log: Any) -> Counter[int]:
    return Counter(json.loads(record.value)["id"] for record in log)


@pytest.mark.parametrize("lane", ["safe", "throughput"])
def test_a_dataframe_is_written_and_told_of(
    spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path, lane: str
) -> None:
    embedded_cluster.create_topic("t", partitions=3)
    before = metrics.written.value
    df = spark.range(1000).selectExpr("id", "concat('name ', id) AS name", "timestamp_millis(id + 1) AS at")
    options = {"lane": lane, "key": "id", "headers": "name", "timestamp": "at", "without": "at"}
    write(df, embedded_cluster, report=str(tmp_path / "report.json"), **options)
    log = read_all(embedded_cluster.bootstrap_servers, "t")
    assert ids(log) == Counter(range(1000))
    for record in log:
        value = json.loads(record.value)
        assert record.key == b"%d" % value["id"]
        assert record.headers == [("name", value["name"].encode())]
        assert record.timestamp == (1, value["id"] + 1)
        assert set(value) == {"id", "name"}
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["tasks"], report["rows"], report["written"], report["maybe_twice"]) == (2, 1000, 1000, 0)
    places: dict[int, list[int]] = {}
    for record in log:
        places.setdefault(record.partition, []).append(record.offset)
    assert report["ranges"] == [
        {"topic": "t", "partition": place, **OffsetRange(min(at), max(at), len(at))._asdict()}
        for place, at in sorted(places.items())
    ]
    assert metrics.written.value - before == 1000


def test_avro_of_the_rows_own_schema(spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster) -> None:
    import fastavro

    embedded_cluster.create_topic("t")
    schema = {"type": "record", "name": "R", "fields": [{"name": "id", "type": "long"}]}
    write(spark.range(10), embedded_cluster, serializer=f"avro:{json.dumps(schema)}")
    log = read_all(embedded_cluster.bootstrap_servers, "t")
    assert sorted(fastavro.schemaless_reader(BytesIO(record.value), schema)["id"] for record in log) == list(range(10))


def test_avro_of_a_registry(spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster) -> None:
    """The tasks' processes register the rows' own schema, and frame records with its id."""
    import fastavro

    embedded_cluster.create_topic("t")
    with SchemaRegistry() as registry:
        write(spark.range(0, 100, 1, 4), embedded_cluster, serializer="avro", registry=registry.url)
        log = read_all(embedded_cluster.bootstrap_servers, "t")
        with SchemaRegistryClient({"url": registry.url}) as client:
            (version,) = client.get_versions("t-value")
            registered = client.get_version("t-value", version)
    schema = json.loads(registered.schema.schema_str)
    assert {record.value[:5] for record in log} == {b"\0" + registered.schema_id.to_bytes(4, "big")}
    read = [fastavro.schemaless_reader(BytesIO(record.value[5:]), schema) for record in log]
    assert sorted(row["id"] for row in read) == list(range(100))


def test_a_producer_is_used_by_the_tasks_of_its_process(
    spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster
) -> None:
    embedded_cluster.create_topic("t", partitions=1)
    embedded_cluster.clear_requests()
    write(spark.range(0, 200, 1, 20), embedded_cluster)
    asked = [request for request in embedded_cluster.requests() if request.api_key == ApiKey.INIT_PRODUCER_ID]
    assert 0 < len(asked) < 20  # each producer asks for its id
    assert len(embedded_cluster.records("t")) == 200


def test_rows_of_a_key_in_two_tasks_are_found(spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster) -> None:
    embedded_cluster.create_topic("t", partitions=2)
    df = spark.range(0, 100, 1, 2).selectExpr("id", "concat('k', id % 5) AS k")
    with pytest.raises(Exception, match="order_by_key: 5 keys have rows in more than one task"):
        write(df, embedded_cluster, key="k", order_by_key="true")
    write(df.repartition(2, "k").sortWithinPartitions("id"), embedded_cluster, key="k", order_by_key="true")


def test_the_example_runs(spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    embedded_cluster.create_topic("flights", partitions=3)
    example = runpy.run_path(str(ROOT / "examples/spark/write.py"))
    flights = spark.range(1000).selectExpr(
        "concat('N', id % 7) AS tailnum", "timestamp_seconds(1356998400 + id * 60) AS time_hour", "id AS distance"
    )
    report = example["write_flights"](flights, embedded_cluster.bootstrap_servers, "flights", tmp_path / "report.json")
    assert report["written"] == 1000
    log = read_all(embedded_cluster.bootstrap_servers, "flights")
    times: dict[bytes, list[int]] = {}
    for record in log:
        times.setdefault(record.key, []).append(record.timestamp[1])
    assert {key: sorted(each) for key, each in times.items()} == times
    assert len(times) == 7


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused_at_the_driver(spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster) -> None:
    df = spark.range(3)
    cases = [
        ({"key": "who"}, "key: no column 'who'; the columns are 'id'"),
        ({"topics": "a"}, "unknown option 'topics'"),
        ({"kafka.acks": "0", "kafka.sasl.password": "hidden"}, "acks=0 breaks SafeProducer"),
    ]
    for options, message in cases:
        with pytest.raises(Exception, match="ConfigError") as caught:
            write(df, embedded_cluster, **options)
        assert message in str(caught.value)
        assert "hidden" not in str(caught.value)
    with pytest.raises(Exception, match=r"use mode\('append'\)"):
        df.write.format("twolane").mode("overwrite").option("topic", "t").option(
            "kafka.bootstrap.servers", embedded_cluster.bootstrap_servers
        ).save()


def test_no_plan_shows_a_secret(spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster) -> None:
    embedded_cluster.create_topic("t")
    write(spark.range(3), embedded_cluster, **{"kafka.sasl.password": "hidden", "kafka.ssl.key.password": "hidden"})
    store = spark._jsparkSession.sharedState().statusStore()
    executions = store.executionsList()
    plans = [executions.apply(i).physicalPlanDescription() for i in range(executions.size())]
    assert any("twolane" in plan for plan in plans)
    assert not any("hidden" in plan for plan in plans)


# ---- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lane", ["safe", "throughput"])
def test_a_bad_row_in_one_task(
    spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path, lane: str
) -> None:
    embedded_cluster.create_topic("t")
    schema = {"type": "record", "name": "R", "fields": [{"name": "id", "type": "int"}]}
    df = spark.range(0, 100, 1, 2).selectExpr("IF(id = 70, 5000000000, id) AS id")
    with pytest.raises(Exception, match="TaskError") as caught:
        report = tmp_path / "report.json"
        write(df, embedded_cluster, serializer=f"avro:{json.dumps(schema)}", lane=lane, report=str(report))
    text = str(caught.value)
    assert "attempt 2: 0 of 50 rows written" in text
    assert "record 20, field 'id'" in text
    told = json.loads(report.read_text())
    # The other task, unless it was ended before it began.
    assert told["written"] in (0, 50)
    assert len(embedded_cluster.records("t")) >= told["written"]
    assert told["failed"]


@pytest.mark.parametrize(("code", "name"), [(3, "UNKNOWN_TOPIC"), (29, "TOPIC_AUTHORIZATION_FAILED")])
@pytest.mark.parametrize("lane", ["safe", "throughput"])
def test_a_topic_that_is_absent_or_without_rights(
    spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster, lane: str, code: int, name: str
) -> None:
    embedded_cluster.create_topic("t")
    embedded_cluster.set_topic_error("t", code)
    with pytest.raises(Exception, match="TaskError") as caught:
        write(spark.range(0, 10, 1, 1), embedded_cluster, lane=lane)
    assert "0 of 10 rows written, 0 not written, 0 unknown" in str(caught.value)
    assert name in str(caught.value)


def killing(spark: Any, servers: str, topic: str, killed: Path) -> Any:
    """Return a thousand rows in one task; behind the first that are in the log, the task's Python worker is killed."""

    def kill_the_writer(batches: Any) -> Any:
        import psutil

        for number, batch in enumerate(batches):
            if number == 5 and not killed.exists():
                killed.touch()
                # Waits for the first record.
                assert read_all(servers, topic, [0], expected=1, timeout=120, isolation_level="read_uncommitted")
                for other in psutil.Process().parent().children():
                    if other.pid != os.getpid():
                        other.send_signal(signal.SIGKILL)
            yield batch

    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "100")
    # Batches larger than Spark's buffers; the embedded cluster keeps 5 MB of a partition.
    df = spark.range(0, 1000, 1, 1).selectExpr("id", "repeat('x', 1000) AS filler")
    return df.mapInArrow(kill_the_writer, "id long, filler string")


@pytest.mark.parametrize("lane", ["safe", "throughput"])
def test_a_worker_killed_in_mid_task(
    spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path, lane: str
) -> None:
    """The killed attempt's records are in the log a second time; the report says how many may be, the marks which."""
    embedded_cluster.create_topic("t")
    servers, report = embedded_cluster.bootstrap_servers, tmp_path / "report.json"
    df = killing(spark, servers, "t", tmp_path / "killed")
    write(df, embedded_cluster, lane=lane, mark="true", chunk="100", report=str(report))
    told = json.loads(report.read_text())
    log = read_all(servers, "t")
    attempts = Counter(int(record.headers[0][1].decode().split("/")[-1]) for record in log)
    assert (told["retried"], told["maybe_twice"], told["written"]) == (1, 1000, 1000)
    (_, killed_wrote), (_, rest) = sorted(attempts.items())
    assert rest == 1000
    assert 0 < killed_wrote <= told["maybe_twice"]
    assert set(ids(log)) == set(range(1000))


@pytest.mark.cluster
@pytest.mark.parametrize("lane", ["safe", "throughput"])
def test_a_worker_killed_in_a_transaction(
    spark: Any, metrics: Any, kafka_cluster: Any, twolane_topic: Any, tmp_path: Path, lane: str
) -> None:
    """The next attempt ends the transaction that the killed one left open: each row can be read once."""
    topic, report = twolane_topic(kafka_cluster), tmp_path / "report.json"
    df = killing(spark, kafka_cluster.bootstrap_servers, topic, tmp_path / "killed")
    options = {"kafka.transactional.id": topic, "lane": lane, "chunk": "100", "report": str(report)}
    write(df, kafka_cluster, topic, job="nightly", **options)
    told = json.loads(report.read_text())
    assert (told["retried"], told["maybe_twice"], told["written"], told["repeated"]) == (1, 0, 1000, 0)
    log = read_all(kafka_cluster.bootstrap_servers, topic, isolation_level="read_committed")
    assert ids(log) == Counter(range(1000))
    # A job that is started again by its name finds its task committed.
    write(df, kafka_cluster, topic, job="nightly", **options)
    assert json.loads(report.read_text())["repeated"] == 1
    assert ids(read_all(kafka_cluster.bootstrap_servers, topic)) == Counter(range(1000))


@pytest.mark.cluster
@pytest.mark.parametrize("lane", ["safe", "throughput"])
def test_a_broker_bounced_in_mid_job(
    spark: Any,
    metrics: Any,
    kafka_cluster: Any,
    fault_proxy: FaultProxy,
    twolane_topic: Any,
    tmp_path: Path,
    lane: str,
) -> None:
    topic, report = twolane_topic(kafka_cluster), tmp_path / "report.json"
    options = {f"kafka.{key}": value for key, value in jobs.CONFIG.items()}
    options |= {"lane": lane, "chunk": "100", "report": str(report)}
    jobs.bounce(kafka_cluster, fault_proxy, topic, lambda: write(spark.range(1000), fault_proxy, topic, **options))
    told = json.loads(report.read_text())
    assert (told["rows"], told["written"], told["retried"]) == (1000, 1000, 0)
    jobs.check_log(kafka_cluster.bootstrap_servers, topic, 1000, once=lane == "safe")


# ---- streams ---------------------------------------------------------------------------------------------------------


def run_query(spark: Any, folder: Path, cluster: Any, topic: str = "t", **options: str) -> None:
    rows = spark.readStream.schema("id long").json(str(folder / "rows"))
    query = rows.writeStream.format("twolane").option("checkpointLocation", str(folder / "checkpoint"))
    query = query.option("topic", topic).option("kafka.bootstrap.servers", cluster.bootstrap_servers)
    query.options(**options).trigger(availableNow=True).start().awaitTermination()


def put_rows(folder: Path, name: str, numbers: range) -> None:
    (folder / "rows").mkdir(exist_ok=True)
    (folder / "rows" / name).write_text("".join(f'{{"id": {i}}}\n' for i in numbers))


def forget_commit(folder: Path, batch: int) -> None:
    """Have Spark begin with this batch again, as after a crash between its last task and its commit."""
    for file in (folder / "checkpoint" / "commits").glob(f"*{batch}*"):
        file.unlink()


def test_a_replayed_micro_batch_can_be_told(
    spark: Any, metrics: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    embedded_cluster.create_topic("t")
    put_rows(tmp_path, "a.json", range(10))
    run_query(spark, tmp_path, embedded_cluster)
    put_rows(tmp_path, "b.json", range(10, 15))
    run_query(spark, tmp_path, embedded_cluster)
    forget_commit(tmp_path, 1)
    run_query(spark, tmp_path, embedded_cluster)
    by_batch: dict[str, list[int]] = {}
    queries = set()
    for record in read_all(embedded_cluster.bootstrap_servers, "t"):
        ((name, mark),) = record.headers
        assert name == MARK
        query, batch, _, _ = mark.decode().split("/")
        queries.add(query)
        by_batch.setdefault(batch, []).append(json.loads(record.value)["id"])
    assert len(queries) == 1
    assert sorted(by_batch["0"]) == list(range(10))
    assert sorted(by_batch["1"]) == sorted([*range(10, 15)] * 2)


@pytest.mark.cluster
def test_a_replayed_micro_batch_is_not_written_again(
    spark: Any, metrics: Any, kafka_cluster: Any, twolane_topic: Any, tmp_path: Path
) -> None:
    topic, report = twolane_topic(kafka_cluster, partitions=2), tmp_path / "report.json"
    options = {"kafka.transactional.id": topic, "report": str(report)}
    put_rows(tmp_path, "a.json", range(10))
    run_query(spark, tmp_path, kafka_cluster, topic, **options)
    put_rows(tmp_path, "b.json", range(10, 15))
    run_query(spark, tmp_path, kafka_cluster, topic, **options)
    forget_commit(tmp_path, 1)
    run_query(spark, tmp_path, kafka_cluster, topic, **options)
    told = json.loads(report.read_text())
    assert (told["repeated"], told["written"], told["tasks"]) == (1, 0, 1)
    log = read_all(kafka_cluster.bootstrap_servers, topic, isolation_level="read_committed")
    assert ids(log) == Counter(range(15))
