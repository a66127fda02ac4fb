"""What the safe lane notices about its topics, on real brokers."""

from __future__ import annotations

import time
from itertools import product

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from tests.support.waiting import wait_until
from twolane import DeliveryError, SafeProducer, ThroughputProducer, Verdict
from twolane.safe import topic_monitor


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
        for producer in (strict, easy):  # each may ask a broker that has not heard of it yet
            wait_until(lambda producer=producer: producer.partitions_for(name) == {0, 1, 2, 3, 4})
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
        deadline = time.monotonic() + 60
        while True:
            try:
                producer.send(name, b"y", timeout=5)
                break
            except DeliveryError:
                assert time.monotonic() < deadline
        wait_for(producer, "offset regression")


def set_limit(cluster, name, limit):
    entry = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    admin.incremental_alter_configs([resource])[resource].result(20)


# The largest values that a batch of 10 000 bytes holds, by Kafka's record format: 61 bytes of the batch, 11 of the
# record, of a key and of headers what they take.
EDGES = [({}, 9_928), ({"key": b"k" * 100}, 9_827), ({"headers": {"h": b"12345", "n": None}}, 9_917)]


@pytest.mark.parametrize("codec", ["producer", "gzip"])
def test_a_topics_limit_refuses_exactly_what_the_broker_refuses(kafka_cluster, topic, codec):
    """Also where the topic compresses: what arrives is held against the limit before."""
    name = topic(kafka_cluster, 1, config={"max.message.bytes": 10_000, "compression.type": codec})
    settings = {"bootstrap.servers": kafka_cluster.bootstrap_servers}
    with SafeProducer(settings) as checked, SafeProducer(settings, check_topics=False) as unchecked:
        for producer in (checked, unchecked):
            producer.send(name, b"x")
        wait_until(lambda: not checked._topic_monitor.check._is_running)
        for producer, (given, edge) in product((checked, unchecked), EDGES):
            columns = {f"{what}s" if what == "key" else what: [value] for what, value in given.items()}
            for call in (
                lambda n, producer=producer, given=given: producer.send(name, bytes(n), **given),
                lambda n, producer=producer, given=columns: producer.send_batch(name, [bytes(n)], **given),
            ):
                sent = producer._handle.produce_requests
                with pytest.raises(DeliveryError, match=r"max\.message\.bytes") as caught:
                    call(edge + 1)
                assert caught.value.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
                assert caught.value.verdict is Verdict.NOT_WRITTEN
                assert ("10001 bytes" in str(caught.value)) is (producer is checked)
                assert (producer._handle.produce_requests == sent) is (producer is checked)
                call(edge)


def test_a_limit_that_was_raised_is_learned_after_a_refusal(kafka_cluster, topic, monkeypatch):
    monkeypatch.setattr(topic_monitor, "ASK_AGAIN", 0.0)
    name = topic(kafka_cluster, 1, config={"max.message.bytes": 10_000})
    with SafeProducer(bootstrap_servers=kafka_cluster.bootstrap_servers) as producer:
        producer.send(name, b"x")
        wait_until(lambda: producer._handle.open_topic(name).max_message_bytes == 10_000)
        set_limit(kafka_cluster, name, 20_000)

        def is_written():
            try:
                return producer.send(name, bytes(15_000))
            except DeliveryError as error:
                assert error.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
                return False

        wait_until(is_written)


@pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer])
def test_with_compression_the_brokers_judge(kafka_cluster, topic, lane):
    name = topic(kafka_cluster, 1, config={"max.message.bytes": 10_000})
    with lane(bootstrap_servers=kafka_cluster.bootstrap_servers, compression_type="lz4") as producer:
        for _ in range(2):
            sent = producer.send_batch(name, [bytes(100_000), b"small"])
            assert (sent if lane is SafeProducer else sent.result(20)).written == 2
            if lane is SafeProducer:
                wait_until(lambda: not producer._topic_monitor.check._is_running)


def test_a_limit_that_was_lowered_is_learned_from_the_brokers_refusal(kafka_cluster, topic, monkeypatch):
    """The first record is refused by the broker, a later one before it is sent; small ones go on."""
    monkeypatch.setattr(topic_monitor, "ASK_AGAIN", 0.0)
    name = topic(kafka_cluster, 1)
    with SafeProducer(bootstrap_servers=kafka_cluster.bootstrap_servers) as producer:
        assert producer.send_batch(name, [bytes(15_000)]).written == 1
        known = producer._handle.open_topic(name)
        wait_until(lambda: known.max_message_bytes < 2**31 - 1)
        assert known.max_message_bytes > 15_000
        set_limit(kafka_cluster, name, 10_000)

        def is_refused_before():
            before = producer._handle.produce_requests
            try:
                return not producer.send(name, bytes(15_000))
            except DeliveryError as error:
                assert error.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
                assert error.verdict is Verdict.NOT_WRITTEN
                return producer._handle.produce_requests == before

        wait_until(is_refused_before)
        assert producer.send_batch(name, [b"small"]).written == 1


def test_the_throughput_lane_leaves_it_to_the_broker(kafka_cluster, topic):
    name = topic(kafka_cluster, 1, config={"max.message.bytes": 10_000})
    with ThroughputProducer(bootstrap_servers=kafka_cluster.bootstrap_servers) as producer:
        for _ in range(2):
            with pytest.raises(DeliveryError, match=r"max\.message\.bytes") as caught:
                producer.send_batch(name, [bytes(15_000)]).result(20)
            assert caught.value.verdict is Verdict.NOT_WRITTEN
