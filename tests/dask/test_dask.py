"""``to_kafka()`` of a Dask DataFrame, with threads and with processes; read back by confluent-kafka's consumer."""

from __future__ import annotations

import json
import os
import runpy
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from tests.packaging.sources import ROOT
from tests.support import jobs
from tests.support.readers import read_all
from tests.support.waiting import HELD, in_thread, until_requests
from twolane import ConfigError, TaskError
from twolane.sinks import process
from twolane.testing import ApiKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults.proxy import FaultProxy
    from twolane.testing import EmbeddedCluster

dask = pytest.importorskip("dask", reason="engines are not installed: make test-engines")
pytestmark = [pytest.mark.engines, pytest.mark.slow, pytest.mark.filterwarnings("default")]
lanes = pytest.mark.parametrize("lane", ["safe", "throughput"])


@pytest.fixture(autouse=True)
def no_producers() -> Iterator[None]:
    yield
    process._close_all()


def frame(n: int) -> Any:
    import dask.dataframe as dd

    rows = {"id": range(n), "user": [f"user {i % 50}" for i in range(n)], "at": [i * 7919 % n for i in range(n)]}
    return dd.from_pandas(pd.DataFrame(rows), npartitions=4)


def write(cluster: Any, ddf: Any, topic: str = "t", **options: Any) -> Any:
    from twolane.dask import to_kafka

    config = {"bootstrap.servers": cluster.bootstrap_servers, **options.pop("config", {})}
    return to_kafka(ddf, topic, config, **options)


@lanes
@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_every_row_is_written_once(embedded_cluster: EmbeddedCluster, lane: str, scheduler: str) -> None:
    embedded_cluster.create_topic("t", partitions=3)
    with dask.config.set(scheduler=scheduler, num_workers=2):
        report = write(embedded_cluster, frame(1000), lane=lane, key="user")
    log = read_all(embedded_cluster.bootstrap_servers, "t")
    assert sorted(json.loads(record.value)["id"] for record in log) == list(range(1000))
    assert {record.key for record in log} == {b"user %d" % i for i in range(50)}
    assert (report.tasks, report.rows, report.written, report.refused) == (4, 1000, 1000, 0)
    assert sum(place.records for place in report.ranges.values()) == 1000


@lanes
def test_rows_of_a_key_are_in_one_task_and_in_order(embedded_cluster: EmbeddedCluster, lane: str) -> None:
    embedded_cluster.create_topic("t", partitions=3)
    with dask.config.set(scheduler="threads", num_workers=2):
        report = write(
            embedded_cluster, frame(2000), lane=lane, key="user", order_by_key=True, order_by="at", chunk=100, mark=True
        )
    assert report.written == 2000
    jobs.check_order_by_key(read_all(embedded_cluster.bootstrap_servers, "t"), keys=50)


@lanes
def test_a_bad_row_names_its_task_and_its_column(embedded_cluster: EmbeddedCluster, lane: str) -> None:
    embedded_cluster.create_topic("t")
    schema = '{"type":"record","name":"R","fields":[{"name":"at","type":"int"}]}'
    ddf = frame(100).assign(at=lambda rows: rows["id"].where(rows["id"] != 60, 2**40))
    with (
        dask.config.set(scheduler="processes", num_workers=2),
        pytest.raises(TaskError, match=f"task 2 of .*10 of .* rows written.*field 'at'.*{2**40}") as caught,
    ):
        write(embedded_cluster, ddf, lane=lane, serializer=f"avro:{schema}", without=("id", "user"), chunk=1)
    assert caught.value.report.written == 10


def test_options_are_checked_before_a_row_is_written(embedded_cluster: EmbeddedCluster) -> None:
    embedded_cluster.create_topic("t")
    with pytest.raises(ConfigError, match="key: no column 'x'; the columns are 'id', 'user', 'at'"):
        write(embedded_cluster, frame(10), key="x")
    assert read_all(embedded_cluster.bootstrap_servers, "t") == []


@lanes
@pytest.mark.parametrize("error", ["TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART"])
def test_a_topic_that_cannot_be_written(embedded_cluster: EmbeddedCluster, lane: str, error: str) -> None:
    embedded_cluster.create_topic("t")
    embedded_cluster.set_topic_error("t", error)
    # Of an unknown topic librdkafka tells in its own time: a busy machine may see the call's end first.
    said = error if "AUTHORIZATION" in error else "not written"
    with (
        dask.config.set(scheduler="threads"),
        pytest.raises(TaskError, match=said) as caught,
    ):
        write(embedded_cluster, frame(10), lane=lane, config={"message.timeout.ms": 10_000})
    assert (caught.value.report.written, caught.value.report.unknown) == (0, 0)


@pytest.fixture
def workers() -> Iterator[Any]:
    """Start two workers, whose client is Dask's default as long as the test lasts."""
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local,
        local.get_client() as client,
    ):
        yield client


@lanes
def test_rows_are_written_by_workers_of_distributed(workers: Any, embedded_cluster: EmbeddedCluster, lane: str) -> None:
    embedded_cluster.create_topic("t", partitions=3)
    report = write(embedded_cluster, frame(1000), lane=lane, key="user")
    log = read_all(embedded_cluster.bootstrap_servers, "t")
    assert sorted(json.loads(record.value)["id"] for record in log) == list(range(1000))
    assert (report.tasks, report.written, report.retried, report.maybe_twice) == (4, 1000, 0, 0)


def kill_the_writer(workers: Any) -> None:
    (writer,) = [address for address, tasks in workers.processing().items() if tasks]
    (pid,) = workers.run(os.getpid, workers=[writer]).values()
    os.kill(pid, signal.SIGKILL)


@lanes
def test_a_worker_of_distributed_killed_in_mid_task(workers: Any, embedded_cluster: EmbeddedCluster, lane: str) -> None:
    """The third request is appended, its answer held, and the worker killed: the task is begun again in another."""
    embedded_cluster.create_topic("t")
    embedded_cluster.start_tracking()
    for broker in embedded_cluster.broker_ids:
        embedded_cluster.push_broker_errors(broker, ApiKey.PRODUCE, [(0, 0), (0, 0), (0, HELD)])
    config = {"batch.num.messages": 100}
    one_task = frame(1000).repartition(npartitions=1)

    def kill() -> None:
        until_requests(embedded_cluster, 3)
        kill_the_writer(workers)

    thread, ends = in_thread(kill)
    report = write(embedded_cluster, one_task, lane=lane, chunk=100, mark=True, config=config)
    thread.join()
    assert ends == [None]
    log = read_all(embedded_cluster.bootstrap_servers, "t")
    assert {json.loads(record.value)["id"] for record in log} == set(range(1000))
    by_attempt = Counter(dict(record.headers)["twolane-task"].rsplit(b"/")[-1] for record in log)
    assert by_attempt[b"1"] == 1000
    assert by_attempt[b"0"] >= 200
    assert (report.retried, report.maybe_twice, report.written) == (1, 1000, 1000)


@pytest.mark.cluster
@lanes
def test_a_worker_of_distributed_killed_in_a_transaction(
    workers: Any, kafka_cluster: Any, fault_proxy: FaultProxy, twolane_topic: Any, lane: str
) -> None:
    """The next attempt ends the transaction that the killed worker left open: each row can be read once."""
    topic, servers = twolane_topic(kafka_cluster), kafka_cluster.bootstrap_servers
    options = {"lane": lane, "chunk": 100, "config": jobs.transactional(topic)}
    one_task = frame(1000).repartition(npartitions=1)
    report = jobs.disturb(
        fault_proxy, lambda: kill_the_writer(workers), lambda: write(fault_proxy, one_task, topic, **options)
    )
    assert (report.retried, report.maybe_twice, report.written, report.repeated) == (1, 0, 1000, 0)
    log = read_all(servers, topic, isolation_level="read_committed")
    assert sorted(json.loads(record.value)["id"] for record in log) == list(range(1000))
    assert len(read_all(servers, topic, isolation_level="read_uncommitted")) >= 1200


@pytest.mark.cluster
@lanes
def test_a_broker_bounced_in_mid_job(
    kafka_cluster: Any, fault_proxy: FaultProxy, twolane_topic: Any, lane: str
) -> None:
    topic = twolane_topic(kafka_cluster)

    def job() -> Any:
        with dask.config.set(scheduler="processes", num_workers=2):
            return write(fault_proxy, frame(1000), topic, lane=lane, chunk=100, config=jobs.CONFIG)

    report = jobs.bounce(kafka_cluster, fault_proxy, topic, job)
    assert (report.rows, report.written) == (1000, 1000)
    jobs.check_log(kafka_cluster.bootstrap_servers, topic, 1000, once=lane == "safe")


def test_the_example_runs(embedded_cluster: EmbeddedCluster) -> None:
    embedded_cluster.create_topic("flights", partitions=2)
    program = runpy.run_path(str(ROOT / "examples/dask/write.py"))
    report = program["write_flights"](embedded_cluster.bootstrap_servers, "flights")
    assert (report.rows, report.written) == (1000, 1000)
    assert len(read_all(embedded_cluster.bootstrap_servers, "flights")) == 1000
