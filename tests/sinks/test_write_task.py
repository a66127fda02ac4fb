"""One task's rows into the log, and what is told of them; read back by confluent-kafka's consumer."""

from __future__ import annotations

import json
import os
import pickle
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_all
from twolane import ConfigError, TaskError
from twolane.sinks import process
from twolane.sinks.options import SinkOptions
from twolane.sinks.reports import JobReport, OffsetRange, Task, TaskReport
from twolane.sinks.task import MARK, write_task
from twolane.testing import ApiKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twolane.testing import EmbeddedCluster

TASK = Task("job", 3)
lanes = pytest.mark.parametrize("lane", ["safe", "throughput"])


@pytest.fixture(autouse=True)
def no_producers() -> Iterator[None]:
    yield
    process._close_all()


def options(cluster: EmbeddedCluster, **given: Any) -> SinkOptions:
    config = {"bootstrap.servers": cluster.bootstrap_servers, **given.pop("config", {})}
    return SinkOptions(**{"topic": "t", "config": config, **given})


def batches(n: int, each: int = 100) -> Iterator[pa.RecordBatch]:
    for start in range(0, n, each):
        ids = list(range(start, min(n, start + each)))
        yield pa.record_batch({"id": ids, "name": [f"name {i}" for i in ids]})


@lanes
def test_rows_are_written_and_told_of(embedded_cluster: EmbeddedCluster, lane: str) -> None:
    embedded_cluster.create_topic("t", partitions=3)
    report = write_task(options(embedded_cluster, lane=lane, key="id", without=("name",)), TASK, batches(1000))
    log = read_all(embedded_cluster.bootstrap_servers, "t")
    assert (report.task, report.rows, report.written, report.unknown) == (TASK, 1000, 1000, 0)
    assert sorted(json.loads(record.value)["id"] for record in log) == list(range(1000))
    assert all(record.key == b"%d" % json.loads(record.value)["id"] for record in log)
    assert {tuple(json.loads(record.value)) for record in log} == {("id",)}
    places: dict[int, list[int]] = {}
    for record in log:
        places.setdefault(record.partition, []).append(record.offset)
    assert report.ranges == {
        ("t", place): OffsetRange(min(offsets), max(offsets), len(offsets)) for place, offsets in places.items()
    }


@lanes
def test_a_producer_is_used_again(embedded_cluster: EmbeddedCluster, lane: str) -> None:
    embedded_cluster.create_topic("t")
    given = options(embedded_cluster, lane=lane)
    write_task(given, TASK, batches(10))
    (producer,) = process.open_producers()
    write_task(pickle.loads(pickle.dumps(given)), Task("job", 4), batches(10))
    assert process.open_producers() == [producer]


@lanes
def test_a_bad_row_names_its_task(embedded_cluster: EmbeddedCluster, lane: str) -> None:
    embedded_cluster.create_topic("t")
    rows = [pa.record_batch({"at": [1.0, 2.0]}), pa.record_batch({"at": [3.0, float("nan")]})]
    schema = '{"type":"record","name":"R","fields":[{"name":"at","type":"int"}]}'
    with pytest.raises(TaskError) as caught:
        write_task(options(embedded_cluster, lane=lane, serializer=f"avro:{schema}", chunk=2), TASK, rows[1:])
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error).startswith("task 3 of job, attempt 0: 0 of 2 rows written")
    assert "field 'at'" in str(error)
    assert error.report.task == TASK
    assert process.open_producers() == []


def test_bad_rows_are_left_out_and_counted(embedded_cluster: EmbeddedCluster) -> None:
    embedded_cluster.create_topic("t")
    schema = '{"type":"record","name":"R","fields":[{"name":"id","type":"int"}]}'
    rows = [pa.record_batch({"id": [1, 2**40, 3]})]
    report = write_task(options(embedded_cluster, serializer=f"avro:{schema}", on_bad_row="skip"), TASK, rows)
    assert (report.rows, report.written, report.refused) == (3, 2, 1)


@lanes
def test_failures_are_counted_by_their_verdicts(embedded_cluster: EmbeddedCluster, lane: str) -> None:
    embedded_cluster.create_topic("t")
    embedded_cluster.push_errors(ApiKey.PRODUCE, [KafkaError.TOPIC_AUTHORIZATION_FAILED] * 20)
    with pytest.raises(TaskError, match="TOPIC_AUTHORIZATION_FAILED") as caught:
        write_task(options(embedded_cluster, lane=lane, chunk=50), TASK, batches(200))
    report = caught.value.report
    assert report.written == len(embedded_cluster.records("t"))
    counted = report.written + report.not_written + report.unknown
    # Once the topic's error is known, the throughput lane's call ends in the middle of a chunk.
    assert counted == report.rows if lane == "safe" else report.rows - 50 < counted <= report.rows
    assert report.not_written > 0


@pytest.mark.parametrize("task, mark", [(Task("a/7", 3, 1), b"a/7/3/1"), (Task("a/7", 3, 0, "15"), b"a/7/3/15")])
def test_a_record_says_its_task(embedded_cluster: EmbeddedCluster, task: Task, mark: bytes) -> None:
    embedded_cluster.create_topic("t")
    write_task(options(embedded_cluster, mark=True, headers=("name",)), task, batches(2))
    assert [record.headers for record in read_all(embedded_cluster.bootstrap_servers, "t")] == [
        [(MARK, mark), ("name", b"name 0")],
        [(MARK, mark), ("name", b"name 1")],
    ]


def test_a_child_process_gets_producers_of_its_own(embedded_cluster: EmbeddedCluster) -> None:
    embedded_cluster.create_topic("t")
    given = options(embedded_cluster)
    write_task(given, TASK, batches(10))
    child = os.fork()
    if not child:  # pragma: no cover
        code = 1
        try:
            assert process.open_producers() == []
            code = 0 if write_task(given, Task("job", 5), batches(10)).written == 10 else 2
            process._close_all()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert len(embedded_cluster.records("t")) == 20


def test_a_job_sums_up_its_tasks() -> None:
    one = TaskReport(Task("j", 0), 5, 5, ranges={("t", 0): OffsetRange(0, 2, 3), ("t", 1): OffsetRange(0, 1, 2)})
    two = TaskReport(Task("j", 1, 2), 4, 4, ranges={("t", 0): OffsetRange(3, 9, 4)})
    job = JobReport.of("j", [one, two])
    assert (job.tasks, job.rows, job.written, job.retried, job.maybe_twice) == (2, 9, 9, 1, 4)
    assert job.ranges == {("t", 0): OffsetRange(0, 9, 7), ("t", 1): OffsetRange(0, 1, 2)}
    assert job.shared == (("t", 0),)
    assert "1 tasks were attempted again, 4 rows may be in the log twice" in str(job)


# ---- transactions ----------------------------------------------------------------------------------------------------


@pytest.mark.cluster
@lanes
def test_a_task_that_was_committed_is_recognised(kafka_cluster: Any, twolane_topic: Any, lane: str) -> None:
    topic = twolane_topic(kafka_cluster, partitions=2)
    given = options(kafka_cluster, topic=topic, lane=lane, config={"transactional.id": topic})
    first = write_task(given, Task("job", 0), batches(300))
    again = write_task(given, Task("job", 0, 1), batches(300))
    other = write_task(given, Task("another job", 0), batches(10))
    assert (first.written, first.repeated, first.in_transaction) == (300, False, True)
    assert (again.written, again.repeated) == (0, True)
    assert other.written == 10
    log = read_all(kafka_cluster.bootstrap_servers, topic, isolation_level="read_committed")
    assert Counter(json.loads(record.value)["id"] for record in log) == Counter([*range(300), *range(10)])


@pytest.mark.cluster
def test_an_attempt_that_fails_leaves_nothing_to_see(kafka_cluster: Any, twolane_topic: Any) -> None:
    topic = twolane_topic(kafka_cluster)
    given = options(kafka_cluster, topic=topic, chunk=50, config={"transactional.id": topic})

    def broken() -> Iterator[pa.RecordBatch]:
        yield from batches(100)
        yield pa.record_batch({"other": [{1: 2}]}, schema=pa.schema({"other": pa.map_(pa.int64(), pa.int64())}))

    with pytest.raises(TaskError) as caught:
        write_task(given, Task("job", 0), broken())
    assert (caught.value.report.written, caught.value.report.not_written) == (0, 100)
    assert write_task(given, Task("job", 0, 1), batches(10)).written == 10
    log = read_all(kafka_cluster.bootstrap_servers, topic, isolation_level="read_committed")
    assert len(log) == 10


@pytest.mark.cluster
def test_an_attempt_that_the_engine_gave_up_is_fenced(kafka_cluster: Any, twolane_topic: Any) -> None:
    topic = twolane_topic(kafka_cluster)
    given = options(kafka_cluster, topic=topic, chunk=50, config={"transactional.id": topic})

    def overtaken() -> Iterator[pa.RecordBatch]:
        yield from batches(100)
        assert write_task(given, Task("job", 0, 1), batches(100)).written == 100

    with pytest.raises(TaskError) as caught:
        write_task(given, Task("job", 0), overtaken())
    assert caught.value.report.written == 0
    log = read_all(kafka_cluster.bootstrap_servers, topic, isolation_level="read_committed")
    assert Counter(json.loads(record.value)["id"] for record in log) == Counter(range(100))


# ---- options ---------------------------------------------------------------------------------------------------------

CONFIG = {"bootstrap.servers": "localhost:9092"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lane": "fast"}, "lane: expected 'safe' or 'throughput', got 'fast'"),
        ({"topic": ""}, "topic: expected"),
        ({"key": 7}, "key: expected the name of a column, got 7"),
        ({"headers": "a"}, "headers: expected names of columns"),
        ({"serializer": "xml"}, "serializer: expected one of json, avro"),
        ({"serializer": "avro:{}"}, "serializer: "),
        ({"serializer": "avro:missing.avsc"}, "serializer: cannot read 'missing.avsc'"),
        ({"config": {**CONFIG, "linger": 3}}, "unknown setting 'linger'"),
        ({"config": {**CONFIG, "acks": "1"}}, "acks=1 breaks SafeProducer"),
        ({"chunk": 0}, "chunk: expected a number of rows, got 0"),
        ({"registry": 5}, "registry: expected a URL"),
    ],
)
def test_an_option_is_refused_where_the_sink_is_made(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SinkOptions(**{"topic": "t", "config": CONFIG, **given})
    assert message in str(caught.value)


def test_a_map_of_strings_says_the_same() -> None:
    text = {
        "topic": "t",
        "headers": "a, b",
        "chunk": "10",
        "lane": "throughput",
        "mark": "true",
        "kafka.bootstrap.servers": "localhost:9092",
        "twolane.linger.ms": "7",
        "registry": "http://localhost:1",
        "registry.basic.auth.user.info": "user:hidden",
    }
    made = SinkOptions.from_strings(text)
    assert (made.headers, made.chunk, made.lane, made.mark) == (("a", "b"), 10, "throughput", True)
    assert made.config == {"bootstrap.servers": "localhost:9092", "linger.ms": "7"}
    assert made.registry == {"basic.auth.user.info": "user:hidden", "url": "http://localhost:1"}
    with pytest.raises(ConfigError, match="unknown option 'topics': expected one of chunk, headers"):
        SinkOptions.from_strings({**text, "topics": "t"})


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SinkOptions(
        "t",
        {**CONFIG, "security.protocol": "SASL_SSL", "sasl.username": "me", "sasl.password": "hidden"},  # type: ignore[arg-type]
        registry={"url": "http://u:hidden@localhost", "basic.auth.user.info": "u:hidden"},  # type: ignore[arg-type]
    )
    assert "hidden" not in repr(made) + str(made.config) + str(made.registry)
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(ConfigError) as caught:
        SinkOptions("t", {**CONFIG, "sasl.password": "hidden", "sasl.passwort": "hidden"})  # type: ignore[arg-type]
    assert "hidden" not in str(caught.value)


def test_a_secret_may_stay_in_the_environment_of_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SinkOptions("t", {**CONFIG, "sasl.password": "${env:SINK_PASSWORD}"})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"sasl\.password: this process has no environment variable SINK_PASSWORD"):
        made.config.resolved()
    monkeypatch.setenv("SINK_PASSWORD", "hidden")
    assert made.config.resolved()["sasl.password"] == "hidden"


def test_columns_are_looked_for_where_the_sink_is_made() -> None:
    with pytest.raises(ConfigError, match="key: no column 'who'; the columns are 'id', 'name'"):
        SinkOptions("t", CONFIG, key="who").check_columns(["id", "name"])  # type: ignore[arg-type]
