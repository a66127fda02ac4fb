"""The real brokers do what their docstrings say, and go when the tests go."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.support.processes import alive, assert_gone
from tests.support.readers import read_all
from tests.support.waiting import wait_until
from twolane.testing import ClusterError, ClusterUnavailableError, ExternalCluster, KafkaCluster, broker
from twolane.testing.wire import ask_metadata

SRC = Path(__file__).parents[2] / "src"
TIME = 1_386_000_000_000  # 2013: older than any default retention

pytestmark = pytest.mark.cluster


def produce(cluster, topic, values, **config):
    """Produce to partition 0 with acks=all; return the reports as (error, offset)."""
    reports = []
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "acks": "all", "log_level": 0, **config})
    for i, value in enumerate(values):
        producer.produce(
            topic,
            value,
            key=b"k%d" % i,
            headers=[("h", b"1")],
            partition=0,
            timestamp=TIME + i,
            on_delivery=lambda error, message: reports.append((error, message.offset())),
        )
    assert producer.flush(30) == 0
    return reports


def test_three_readers_agree(kafka_cluster, topic):
    name = topic(kafka_cluster, partitions=3)
    assert produce(kafka_cluster, name, [b"a b", b"c", None]) == [(None, 0), (None, 1), (None, 2)]
    read = read_all(kafka_cluster.bootstrap_servers, name, expected=3)
    assert [(r.partition, r.offset, r.key, r.value, r.headers, r.timestamp) for r in read] == [
        (0, i, b"k%d" % i, value, [("h", b"1")], (1, TIME + i)) for i, value in enumerate([b"a b", b"c", None])
    ]
    texts = [(i, "CreateTime", TIME + i, f"k{i}", value) for i, value in enumerate(["a b", "c", None])]
    # Every replica holds them: acks=all has waited for all that are in sync.
    for node in kafka_cluster.broker_ids:
        dumped = kafka_cluster.dump_log(name, broker=node)
        assert [(r.offset, r.timestamp_type, r.timestamp, r.key, r.value) for r in dumped] == texts
        assert {tuple(r.header_keys) for r in dumped} == {("h",)}
    consumed = kafka_cluster.console_consume(name, 3)
    assert [(r.offset, r.timestamp_type, r.timestamp, r.key, r.value) for r in consumed] == texts
    assert {r.headers for r in consumed} == {"h:1"}


def test_topic_settings_reach_the_broker(kafka_cluster, topic):
    name = topic(kafka_cluster, config={"message.timestamp.type": "LogAppendTime"})
    before = int(time.time() * 1000)
    produce(kafka_cluster, name, [b"a"])
    ((kind, at),) = (record.timestamp for record in read_all(kafka_cluster.bootstrap_servers, name))
    assert kind == 2
    assert before - 1000 <= at <= time.time() * 1000 + 1000


def test_topics_are_never_made_by_accident(kafka_cluster):
    producer = Producer(
        {"bootstrap.servers": kafka_cluster.bootstrap_servers, "log_level": 0, "message.timeout.ms": 2000}
    )
    reports = []
    producer.produce("nobody-made-this", b"a", on_delivery=lambda error, message: reports.append(error.name()))
    producer.flush(10)
    assert reports in (["_UNKNOWN_TOPIC"], ["_MSG_TIMED_OUT"])


def test_refusals_are_errors(kafka_cluster, topic):
    name = topic(kafka_cluster)
    with pytest.raises(ClusterError, match="already exists") as refused:
        kafka_cluster.create_topic(name)
    assert refused.value.code == 36
    with pytest.raises(ClusterError, match="replication factor"):
        kafka_cluster.create_topic("too-many-replicas", replication=9)
    with pytest.raises(ClusterError, match="has no partition 7"):
        kafka_cluster.leader(name, 7)
    kafka_cluster.delete_topic(name)
    with pytest.raises(ClusterError):
        kafka_cluster.delete_topic(name)


@pytest.mark.slow
def test_leader_moves_when_its_broker_is_killed(kafka_cluster, topic):
    name = topic(kafka_cluster)
    leader = kafka_cluster.leader(name)
    kafka_cluster.kill_broker(leader)
    assert kafka_cluster.pid(leader) is None
    # Default patience outlives the election.
    assert produce(kafka_cluster, name, [b"a"]) == [(None, 0)]
    assert kafka_cluster.leader(name) not in (leader, -1)
    with pytest.raises(ClusterError, match="not running"):
        kafka_cluster.kill_broker(leader)
    kafka_cluster.start_broker(leader)
    kafka_cluster.wait_in_sync(name)
    assert [record.value for record in kafka_cluster.dump_log(name, broker=leader)] == ["a"]
    with pytest.raises(ClusterError, match="is running"):
        kafka_cluster.start_broker(leader)


def test_one_broker_of_three_is_too_few_to_write(kafka_cluster, topic):
    name = topic(kafka_cluster)
    leader = kafka_cluster.leader(name)
    others = [node for node in kafka_cluster.broker_ids if node != leader]
    for node in others:
        kafka_cluster.pause_broker(node)
    ((error, _),) = produce(kafka_cluster, name, [b"a"], **{"message.timeout.ms": 6000})
    assert error is not None
    for node in others:
        kafka_cluster.resume_broker(node)


def test_every_broker_runs_again_after_such_tests(kafka_cluster, topic):
    name = topic(kafka_cluster)
    kafka_cluster.stop_broker(1)
    kafka_cluster.pause_broker(2)
    kafka_cluster.heal()
    for node, (_, port) in kafka_cluster.proxied.items():
        assert set(ask_metadata(port).brokers) == {1, 2, 3}, node
    kafka_cluster.wait_in_sync(name)
    assert produce(kafka_cluster, name, [b"a"]) == [(None, 0)]


def test_proxied_listeners_send_clients_to_the_proxies(kafka_cluster):
    for _, behind in kafka_cluster.proxied.values():
        brokers = ask_metadata(behind).brokers
        assert {node: port for node, (_, port) in brokers.items()} == {
            node: proxy for node, (proxy, _) in kafka_cluster.proxied.items()
        }


def test_unknown_brokers_are_refused(kafka_cluster):
    with pytest.raises(ClusterError, match="no broker 9"):
        kafka_cluster.kill_broker(9)


def test_ports_are_kept_from_other_clusters(monkeypatch):
    monkeypatch.setattr(broker, "PORTS", range(21_000, 21_008))
    first = broker.Ports(3)
    second = broker.Ports(2)
    assert not set(first.numbers) & set(second.numbers)
    with pytest.raises(ClusterError, match="fewer than 6 free ports"):
        broker.Ports(6)
    first.release()
    third = broker.Ports(3)
    second.release()
    third.release()


PARENT = """
import os
from twolane.testing import KafkaCluster
cluster = KafkaCluster(brokers=1)
print(cluster.pid(1), cluster._folder, flush=True)
{ending}
"""


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param("", id="end of the program"),
        pytest.param("os.kill(os.getpid(), 9)", id="SIGKILL"),
        pytest.param("raise SystemExit(0) if os.fork() == 0 else os.wait() and cluster.wait_ready()", id="fork"),
    ],
)
def test_brokers_die_with_their_parent(ending, kafka_cluster):
    if isinstance(kafka_cluster, ExternalCluster):
        pytest.skip("no brokers of our own")
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    command = [sys.executable, "-c", PARENT.format(ending=ending)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        pid, folder = parent.stdout.readline().split()
        parent.wait(60)
    assert_gone(int(pid))
    wait_until(lambda: not Path(folder).exists())
    assert not alive(int(pid))


def test_somebody_elses_cluster_serves_but_is_not_controlled(kafka_cluster, topic):
    external = ExternalCluster(kafka_cluster.bootstrap_servers)
    name = topic(external, partitions=2)
    assert produce(external, name, [b"a"]) == [(None, 0)]
    assert external.leader(name) in (1, 2, 3)
    with pytest.raises(ClusterUnavailableError, match="kill_broker needs brokers of the tests' own"):
        external.kill_broker(1)
    with pytest.raises(AttributeError):
        external.no_such_method()


def test_broken_settings_show_the_log():
    with pytest.raises(ClusterError, match=r"listener\.security\.protocol\.map"):
        KafkaCluster(brokers=1, config={"listener.security.protocol.map": "NONSENSE"})
