"""Ray Data into Kafka, on a local Ray of two workers; read back by confluent-kafka's consumer."""

from __future__ import annotations

import io
import json
import os
import runpy
import signal
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import fastavro
import psutil
import pyarrow as pa
import pytest

from tests.packaging.sources import ROOT
from tests.support import jobs
from tests.support.readers import read_all
from tests.support.waiting import HELD, in_thread, until_requests, wait_until
from twolane import ConfigError, TaskError, TwolaneError
from twolane.testing import ApiKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults.proxy import FaultProxy
    from twolane.testing import EmbeddedCluster

ray = pytest.importorskip("ray", reason="engines are not installed: make test-engines")
pytestmark = [pytest.mark.engines, pytest.mark.slow, pytest.mark.filterwarnings("default")]
lanes = pytest.mark.parametrize("lane", ["safe", "throughput"])


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def sink(cluster: Any, topic: str = "t", **options: Any) -> Any:
    from twolane.ray import KafkaDatasink

    config = {"bootstrap.servers": cluster.bootstrap_servers, **options.pop("config", {})}
    return KafkaDatasink(topic, config, **options)


def rows(n: int) -> Any:
    return ray.data.range(n, override_num_blocks=4)


def ids_of(log: Any) -> list[int]:
    return sorted(json.loads(record.value)["id"] for record in log)


@lanes
def test_every_row_is_written_once(embedded_cluster: EmbeddedCluster, lane: str) -> None:
    embedded_cluster.create_topic("t", partitions=3)
    made = sink(embedded_cluster, lane=lane, key="id")
    rows(1000).write_datasink(made)
    log = read_all(embedded_cluster.bootstrap_servers, "t")
    assert ids_of(log) == list(range(1000))
    assert all(record.key == b"%d" % json.loads(record.value)["id"] for record in log)
    assert (made.report.rows, made.report.written, made.report.tasks, made.report.maybe_twice) == (1000, 1000, 4, 0)
    assert sum(place.records for place in made.report.ranges.values()) == 1000


def test_blocks_of_pandas_become_avro(embedded_cluster: EmbeddedCluster) -> None:
    embedded_cluster.create_topic("t")
    as_pandas = rows(100).map_batches(lambda frame: frame.assign(name="é"), batch_format="pandas")
    as_pandas.write_datasink(sink(embedded_cluster, serializer="avro", rows_per_task=100))
    schema = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "id", "type": ["null", "long"]}, {"name": "name", "type": ["null", "string"]}],
    }
    read = [
        fastavro.schemaless_reader(io.BytesIO(record.value), schema, None)
        for record in read_all(embedded_cluster.bootstrap_servers, "t")
    ]
    assert sorted(row["id"] for row in read) == list(range(100))
    assert {row["name"] for row in read} == {"é"}


def test_options_are_checked_before_a_row_is_written(embedded_cluster: EmbeddedCluster) -> None:
    embedded_cluster.create_topic("t")
    with pytest.raises(ConfigError, match="lane: expected 'safe' or 'throughput', got 'fast'"):
        sink(embedded_cluster, lane="fast")
    with pytest.raises(ConfigError, match="order_by_key: needs the option key"):
        sink(embedded_cluster, order_by_key=True)
    with pytest.raises(ConfigError, match="key: no column 'x'; the columns are 'id'"):
        rows(10).materialize().write_datasink(sink(embedded_cluster, key="x"))
    assert read_all(embedded_cluster.bootstrap_servers, "t") == []


@lanes
def test_a_bad_row_names_its_task_and_its_column(embedded_cluster: EmbeddedCluster, lane: str) -> None:
    embedded_cluster.create_topic("t")
    schema = '{"type":"record","name":"R","fields":[{"name":"id","type":"int"}]}'
    one_is_large = rows(100).map(lambda row: {"id": row["id"] if row["id"] != 60 else 2**40})
    made = sink(embedded_cluster, lane=lane, serializer=f"avro:{schema}", chunk=1)
    with pytest.raises(TaskError) as caught:
        one_is_large.write_datasink(made)
    assert made.report is None
    assert str(made.failure) in str(caught.value)
    report = made.failure.report
    assert (report.task.number, report.written, report.unknown) == (2, 10, 0)
    assert "field 'id'" in str(made.failure)
    assert str(2**40) in str(made.failure)


@lanes
@pytest.mark.parametrize("error", ["TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART"])
def test_a_topic_that_cannot_be_written(embedded_cluster: EmbeddedCluster, lane: str, error: str) -> None:
    embedded_cluster.create_topic("t")
    embedded_cluster.set_topic_error("t", error)
    # Of an unknown topic librdkafka tells in its own time: a busy machine may see the call's end first.
    said = error if "AUTHORIZATION" in error else "not written"
    made = sink(embedded_cluster, lane=lane, config={"message.timeout.ms": 10_000})
    with pytest.raises(TaskError, match=said):
        rows(100).write_datasink(made)
    assert (made.failure.report.written, made.failure.report.unknown) == (0, 0)


@lanes
def test_a_worker_killed_in_mid_task_is_told_of(embedded_cluster: EmbeddedCluster, lane: str) -> None:
    """The third request is appended, its answer held, and the worker killed: Ray begins the task again."""
    embedded_cluster.create_topic("t")
    embedded_cluster.start_tracking()
    for broker in embedded_cluster.broker_ids:
        embedded_cluster.push_broker_errors(broker, ApiKey.PRODUCE, [(0, 0), (0, 0), (0, HELD)])
    made = sink(embedded_cluster, lane=lane, chunk=100, mark=True, config={"batch.num.messages": 100})
    one_task = ray.data.from_arrow(pa.table({"id": range(1000)}))
    thread, ends = in_thread(lambda: one_task.write_datasink(made))
    until_requests(embedded_cluster, 3)
    os.kill(worker_of("Write"), signal.SIGKILL)
    thread.join(60)
    assert ends == [None]
    log = read_all(embedded_cluster.bootstrap_servers, "t")
    seen = Counter(json.loads(record.value)["id"] for record in log)
    assert set(seen) == set(range(1000))
    by_attempt = Counter(dict(record.headers)["twolane-task"].rsplit(b"/")[-1] for record in log)
    assert by_attempt[b"1"] == 1000
    assert by_attempt[b"0"] >= 200
    assert (made.report.retried, made.report.maybe_twice, made.report.written) == (1, 1000, 1000)


@pytest.mark.cluster
@lanes
def test_a_worker_killed_in_a_transaction(
    kafka_cluster: Any, fault_proxy: FaultProxy, twolane_topic: Any, lane: str
) -> None:
    """The next attempt ends the transaction that the killed worker left open: each row can be read once."""
    topic, servers = twolane_topic(kafka_cluster), kafka_cluster.bootstrap_servers
    made = sink(fault_proxy, topic, lane=lane, chunk=100, config=jobs.transactional(topic))
    one_task = ray.data.from_arrow(pa.table({"id": range(1000)}))

    def kill() -> None:
        os.kill(worker_of("Write"), signal.SIGKILL)

    jobs.disturb(fault_proxy, kill, lambda: one_task.write_datasink(made))
    report = made.report
    assert (report.retried, report.maybe_twice, report.written, report.repeated) == (1, 0, 1000, 0)
    assert ids_of(read_all(servers, topic, isolation_level="read_committed")) == list(range(1000))
    assert len(read_all(servers, topic, isolation_level="read_uncommitted")) >= 1200


@pytest.mark.cluster
@lanes
def test_a_broker_bounced_in_mid_job(
    kafka_cluster: Any, fault_proxy: FaultProxy, twolane_topic: Any, lane: str
) -> None:
    topic = twolane_topic(kafka_cluster)
    made = sink(fault_proxy, topic, lane=lane, chunk=100, config=jobs.CONFIG)
    jobs.bounce(kafka_cluster, fault_proxy, topic, lambda: rows(1000).write_datasink(made))
    assert (made.report.rows, made.report.written, made.report.retried) == (1000, 1000, 0)
    jobs.check_log(kafka_cluster.bootstrap_servers, topic, 1000, once=lane == "safe")


def worker_of(what: str) -> int:
    """Return the process of Ray that has a task of this name in hand."""
    found: list[int] = []

    def look() -> bool:
        for process in psutil.Process().children(recursive=True):
            try:
                title = process.cmdline()[:1]
            except psutil.Error:
                continue
            if title and title[0].startswith("ray::") and what in title[0]:
                found.append(process.pid)
        return bool(found)

    wait_until(look)
    return found[0]


@lanes
def test_rows_of_a_key_are_in_one_task_and_in_order(embedded_cluster: EmbeddedCluster, lane: str) -> None:
    from twolane.ray import by_key

    embedded_cluster.create_topic("t", partitions=3)
    events = rows(2000).map(lambda row: {"user": f"user {row['id'] % 50}", "at": (row["id"] * 7919) % 2000})
    made = sink(embedded_cluster, lane=lane, key="user", order_by_key=True, chunk=100, mark=True)
    by_key(events, "user", tasks=4, order_by="at").write_datasink(made)
    log = read_all(embedded_cluster.bootstrap_servers, "t")
    assert len(log) == 2000
    jobs.check_order_by_key(log, keys=50)


def test_keys_in_several_tasks_are_told(embedded_cluster: EmbeddedCluster) -> None:
    embedded_cluster.create_topic("t", partitions=3)
    events = rows(100).map(lambda row: {"user": f"user {row['id'] % 10}"})
    made = sink(embedded_cluster, key="user", order_by_key=True)
    with pytest.raises(TwolaneError, match="order_by_key: 10 keys have rows in more than one task"):
        events.write_datasink(made)
    assert made.report.written == 100


def test_the_example_runs(embedded_cluster: EmbeddedCluster) -> None:
    embedded_cluster.create_topic("flights", partitions=2)
    program = runpy.run_path(str(ROOT / "examples/ray/write.py"))
    report = program["write_flights"](embedded_cluster.bootstrap_servers, "flights")
    assert (report.rows, report.written) == (1000, 1000)
    assert len(read_all(embedded_cluster.bootstrap_servers, "flights")) == 1000
