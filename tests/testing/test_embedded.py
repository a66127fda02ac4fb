"""The embedded cluster does what its docstrings say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests.support.processes import alive, assert_gone
from tests.support.readers import read_all, read_values
from twolane.testing import ApiKey, ClusterError, EmbeddedCluster
from twolane.testing.codes import error_code

SRC = Path(__file__).parents[2] / "src"


def producer_of(cluster, **config):
    settings = {"bootstrap.servers": cluster.bootstrap_servers, "linger.ms": 0, "log_level": 0, "retry.backoff.ms": 20}
    return Producer({**settings, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, **config})


def send(producer, topic, value, timeout=10):
    """Produce one record to partition 0; return (error, message, seconds)."""
    report = []
    start = time.monotonic()
    producer.produce(topic, value, partition=0, on_delivery=lambda error, message: report.append((error, message)))
    assert producer.flush(timeout) == 0
    return *report[0], time.monotonic() - start


def test_what_is_sent_can_be_read(embedded_cluster, topic):
    name = topic(embedded_cluster, partitions=3)
    producer = producer_of(embedded_cluster)
    for partition in range(3):
        for i in range(5):
            producer.produce(
                name, b"v%d" % i, key=b"k", headers=[("h", b"1")], partition=partition, timestamp=1_700_000_000_000 + i
            )
    assert producer.flush(10) == 0
    records = read_all(embedded_cluster.bootstrap_servers, name, expected=15)
    assert [(r.partition, r.offset, r.value) for r in records] == [
        (p, i, b"v%d" % i) for p in range(3) for i in range(5)
    ]
    assert {(r.key, tuple(r.headers)) for r in records} == {(b"k", (("h", b"1"),))}
    assert [r.timestamp for r in records[:5]] == [(1, 1_700_000_000_000 + i) for i in range(5)]


def test_reader_reports_what_is_missing(embedded_cluster, topic):
    name = topic(embedded_cluster)
    assert read_all(embedded_cluster.bootstrap_servers, name) == []
    with pytest.raises(TimeoutError, match=r"0 records .* 1 expected"):
        read_all(embedded_cluster.bootstrap_servers, name, expected=1, timeout=0.5)


def test_brokers_and_topics_as_asked():
    with EmbeddedCluster(brokers=2) as cluster:
        cluster.create_topic("a", partitions=5)
        metadata = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0}).list_topics(timeout=5)
        assert sorted(metadata.brokers) == list(cluster.broker_ids) == [1, 2]
        assert len(metadata.topics["a"].partitions) == 5
        with pytest.raises(ClusterError, match="TOPIC_ALREADY_EXISTS") as refused:
            cluster.create_topic("a")
        assert refused.value.code == error_code("TOPIC_ALREADY_EXISTS") == 36


def test_errors_come_once_each_in_order_and_are_not_appended(embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer = producer_of(embedded_cluster, retries=0)
    embedded_cluster.push_errors(ApiKey.PRODUCE, ["NOT_ENOUGH_REPLICAS", 0, 10])
    outcomes = [send(producer, name, value)[0] for value in (b"a", b"b", b"c", b"d")]
    assert [error and error.name() for error in outcomes] == ["NOT_ENOUGH_REPLICAS", None, "MSG_SIZE_TOO_LARGE", None]
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"b", b"d"]


def test_errors_can_be_cleared(embedded_cluster, topic):
    name = topic(embedded_cluster)
    embedded_cluster.push_errors(ApiKey.PRODUCE, [10] * 5)
    embedded_cluster.clear_errors(ApiKey.PRODUCE)
    assert send(producer_of(embedded_cluster), name, b"a")[0] is None


def test_broker_errors_can_be_late_answers(embedded_cluster, topic):
    name = topic(embedded_cluster)
    embedded_cluster.set_leader(name, 0, 2)
    producer = producer_of(embedded_cluster, **{"socket.timeout.ms": 300})
    assert send(producer, name, b"warm")[0] is None
    embedded_cluster.push_broker_errors(2, ApiKey.PRODUCE, [(0, 1500)])
    assert embedded_cluster.pending_broker_errors(2, ApiKey.PRODUCE) == 1
    assert send(producer, name, b"a")[0] is None
    assert embedded_cluster.pending_broker_errors(2, ApiKey.PRODUCE) == 0
    # Appended, answered too late, sent again: the mock keeps both.
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"a", b"a"]


def test_rtt_delays_answers(embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer = producer_of(embedded_cluster)
    send(producer, name, b"warm")
    embedded_cluster.set_rtt(1_000)
    slow = send(producer, name, b"a")[2]
    embedded_cluster.set_rtt(0)
    fast = send(producer, name, b"b")[2]
    assert fast < 1.0 <= slow


def test_stopped_broker_answers_again_when_started(embedded_cluster, topic):
    name = topic(embedded_cluster)
    embedded_cluster.set_leader(name, 0, 1)
    producer = producer_of(embedded_cluster, **{"message.timeout.ms": 500})
    assert send(producer, name, b"a")[0] is None
    embedded_cluster.stop_broker(1)
    assert send(producer, name, b"b")[0].name() in ("_MSG_TIMED_OUT", "_TRANSPORT")
    embedded_cluster.start_broker(1)
    assert send(producer_of(embedded_cluster), name, b"c")[0] is None


def test_leader_can_move_and_vanish(embedded_cluster, topic):
    name = topic(embedded_cluster)
    admin = AdminClient({"bootstrap.servers": embedded_cluster.bootstrap_servers, "log_level": 0})
    for leader, seen in ((3, 3), (1, 1), (None, -1)):
        embedded_cluster.set_leader(name, 0, leader)
        assert admin.list_topics(name, timeout=5).topics[name].partitions[0].leader == seen
    with pytest.raises(ClusterError):
        embedded_cluster.set_leader(name, 7, 1)


def test_topic_error_shows_in_metadata(embedded_cluster, topic):
    name = topic(embedded_cluster)
    embedded_cluster.set_topic_error(name, "TOPIC_AUTHORIZATION_FAILED")
    admin = AdminClient({"bootstrap.servers": embedded_cluster.bootstrap_servers, "log_level": 0})
    assert admin.list_topics(name, timeout=5).topics[name].error.name() == "TOPIC_AUTHORIZATION_FAILED"


def test_requests_are_witnessed(embedded_cluster, topic):
    name = topic(embedded_cluster)
    embedded_cluster.set_leader(name, 0, 3)
    producer = producer_of(embedded_cluster, retries=3)
    send(producer, name, b"warm")
    embedded_cluster.clear_requests()
    embedded_cluster.push_errors(ApiKey.PRODUCE, ["NOT_ENOUGH_REPLICAS"] * 2)
    before = time.monotonic()
    send(producer, name, b"a")
    seen = embedded_cluster.requests(ApiKey.PRODUCE)
    assert [(r.api_key, r.broker) for r in seen] == [(0, 3)] * 3
    assert before <= seen[0].timestamp < seen[1].timestamp < seen[2].timestamp <= time.monotonic()
    embedded_cluster.stop_tracking()
    with pytest.raises(ClusterError, match="start_tracking"):
        embedded_cluster.requests()


def test_reset_forgets_everything(embedded_cluster):
    cluster = embedded_cluster
    cluster.create_topic("a")
    cluster.push_broker_errors(1, ApiKey.PRODUCE, [(7, 0)])
    before = cluster.bootstrap_servers
    cluster.reset()
    assert cluster.bootstrap_servers != before
    assert cluster.pending_broker_errors(1, ApiKey.PRODUCE) == 0
    cluster.create_topic("a")


@pytest.mark.parametrize("name", ["NO_SUCH_ERROR", "code"])
def test_unknown_error_names_are_refused(embedded_cluster, name):
    with pytest.raises(ValueError, match="unknown Kafka error name"):
        embedded_cluster.push_errors(0, name)


def test_unknown_brokers_are_refused(embedded_cluster):
    with pytest.raises(ClusterError, match="BROKER_NOT_AVAILABLE"):
        embedded_cluster.stop_broker(9)
    with pytest.raises(ValueError, match="at least one broker"):
        EmbeddedCluster(brokers=0)


def test_close_ends_the_child_and_can_be_repeated():
    cluster = EmbeddedCluster()
    cluster.close()
    cluster.close()
    assert not alive(cluster.pid)
    with pytest.raises(ClusterError, match="closed"):
        cluster.create_topic("a")


def test_dead_child_is_an_error_not_a_hang():
    with EmbeddedCluster() as cluster:
        os.kill(cluster.pid, signal.SIGKILL)
        with pytest.raises(ClusterError, match="gone"):
            cluster.create_topic("a")


def test_child_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")
    with pytest.raises(ClusterError, match="it said: "):
        EmbeddedCluster()


PARENT = """
import os, sys, time
from twolane.testing import EmbeddedCluster
cluster = EmbeddedCluster()
print(cluster.pid, flush=True)
{ending}
"""


def run_parent(ending):
    code = PARENT.format(ending=ending)
    return subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(SRC)}, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param("", id="end of the program"),
        pytest.param("os.kill(os.getpid(), 9)", id="SIGKILL"),
        pytest.param("os._exit(0)", id="os._exit"),
        pytest.param("raise SystemError", id="exception"),
        # The grandchild keeps a copy of the pipe open for longer than the test waits.
        pytest.param("os.fork() or (os.close(1), time.sleep(20), os._exit(0)); os.kill(os.getpid(), 9)", id="fork"),
    ],
)
def test_child_dies_with_its_parent(ending):
    with run_parent(ending) as parent:
        pid = int(parent.stdout.readline())
        parent.wait(60)
    assert_gone(pid)


def test_ctrl_c_in_the_terminal_leaves_the_brokers_up():
    with EmbeddedCluster() as cluster:
        assert os.getsid(cluster.pid) != os.getsid(0)
        assert os.getpgid(cluster.pid) != os.getpgid(0)
