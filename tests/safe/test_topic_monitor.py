"""What the safe lane notices about its topics, on real brokers."""

from __future__ import annotations

import time

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.support.waiting import wait_until
from twolane import DeliveryError, SafeProducer, Verdict


def wait_for(producer, text):
    wait_until(lambda: any(text in notice for notice in producer.notices))


def add_partitions(cluster, name, count):
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    admin.create_partitions([NewPartitions(name, count)])[name].result(20)


def test_weak_topics_are_noticed_once(kafka_cluster, topic):
    name = topic(
        kafka_cluster,
        replication=1,
        config={"min.insync.replicas": "1", "unclean.leader.election.enable": "true"},
    )
    with SafeProducer(bootstrap_servers=kafka_cluster.bootstrap_servers) as producer:
        for _ in range(3):
            producer.send(name, b"x")
        wait_for(producer, "unclean.leader.election")
        notices = producer.notices
    assert len(notices) == 3
    assert any("replicas" in notice for notice in notices)
    assert any("min.insync.replicas=1" in notice for notice in notices)


def test_strong_topics_are_not_worth_a_word(kafka_cluster, topic):
    name = topic(kafka_cluster)
    with SafeProducer(bootstrap_servers=kafka_cluster.bootstrap_servers) as producer:
        producer.send(name, b"x")
        assert producer._topic_monitor.check._thread is not None
        wait_until(lambda: not producer._topic_monitor.check._is_running)
        assert producer.notices == []


def test_the_check_can_be_switched_off(kafka_cluster, topic):
    name = topic(kafka_cluster, replication=1, config={"min.insync.replicas": "1"})
    with SafeProducer(bootstrap_servers=kafka_cluster.bootstrap_servers, check_topics=False) as producer:
        producer.send(name, b"x")
        assert producer._topic_monitor.check._thread is None
        assert producer.notices == []


def test_more_partitions_are_a_notice_or_an_error(kafka_cluster, topic):
    name = topic(kafka_cluster, 2)
    settings = {"bootstrap.servers": kafka_cluster.bootstrap_servers}
    with (
        SafeProducer(settings, check_topics=False) as easy,
        SafeProducer(settings, check_topics=False, on_partition_change="error") as strict,
    ):
        easy.send(name, b"x", key=b"k")
        strict.send(name, b"x", key=b"k")
        add_partitions(kafka_cluster, name, 5)
        deadline = time.monotonic() + 10
        for producer in (strict, easy):  # each may ask a broker that has not heard of it yet
            while producer.partitions_for(name) != {0, 1, 2, 3, 4}:
                assert time.monotonic() < deadline
        wait_for(easy, "5 partitions now, 2 before")
        easy.send(name, b"y", key=b"k")
        for call in (
            lambda: strict.send(name, b"y", key=b"k"),
            lambda: strict.send_batch(name, [b"y"], keys=[b"k"]),
        ):
            with pytest.raises(DeliveryError, match="accept_partitions") as caught:
                call()
            assert caught.value.verdict is Verdict.NOT_WRITTEN
        strict.send(name, b"y", partition=4)
        strict.accept_partitions(name)
        strict.send(name, b"y", key=b"k")


def test_a_topic_made_anew_is_noticed_by_its_offsets(kafka_cluster, topic):
    name = topic(kafka_cluster)
    with SafeProducer(bootstrap_servers=kafka_cluster.bootstrap_servers, check_topics=False) as producer:
        producer.send_batch(name, [b"x"] * 100)
        kafka_cluster.delete_topic(name)
        kafka_cluster.create_topic(name, 1)
        deadline = time.monotonic() + 30
        while True:
            try:
                producer.send(name, b"y", timeout=5)
                break
            except DeliveryError:
                assert time.monotonic() < deadline
        wait_for(producer, "offset regression")
