"""One record that a broker refuses for what it is: its partition ends there, the others go on; each has a verdict."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_all
from twolane import BatchError, SafeProducer, Verdict

PRODUCE = 0
PARTITIONS = 12
VALUES = [b"%d" % i for i in range(4 * PARTITIONS)]
PLACES = np.arange(len(VALUES), dtype=np.int32) % PARTITIONS


@pytest.fixture
def name(embedded_cluster, topic):
    """A topic of which each broker leads four partitions: their requests go one by one."""
    name = topic(embedded_cluster, PARTITIONS)
    for partition in range(PARTITIONS):
        embedded_cluster.set_leader(name, partition, partition % 3 + 1)
    return name


def check_against_log(metadata, bootstrap_servers, name, values):
    """Hold every verdict against what the topic has, and the prefix of each partition."""
    log = {(record.partition, record.offset): record.value for record in read_all(bootstrap_servers, name)}
    written = metadata.offsets >= 0
    for index in np.flatnonzero(written):
        assert log.pop((int(metadata.partitions[index]), int(metadata.offsets[index]))) == values[index]
    assert not log  # neither twice, nor what is called not written
    assert metadata.unknown == 0
    assert {failure.verdict for failure in metadata.failures} == {Verdict.NOT_WRITTEN}
    for partition in range(PARTITIONS):
        of_partition = written[metadata.partitions == partition]
        assert sorted(of_partition, reverse=True) == list(of_partition)


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_it_costs_the_rest_of_its_partition(embedded_cluster, name, idempotent, at):
    settings = {"bootstrap.servers": embedded_cluster.bootstrap_servers, "enable.idempotence": idempotent}
    with SafeProducer(settings, check_topics=False) as producer:
        producer.send(name, b"warm", partition=0)
        embedded_cluster.push_broker_errors(1, PRODUCE, [*[(0, 20)] * at, ("MSG_SIZE_TOO_LARGE", 20)])
        with pytest.raises(BatchError) as caught:
            producer.send_batch(name, VALUES, partitions=PLACES)
        stats = producer.stats()
    metadata = caught.value.metadata
    assert caught.value.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert len({failure.partition for failure in metadata.failures}) == 1
    assert metadata.written >= len(VALUES) - 4
    log = [record for record in read_all(embedded_cluster.bootstrap_servers, name) if record.value != b"warm"]
    assert Counter(record.value for record in log) == Counter(VALUES[i] for i in np.flatnonzero(metadata.offsets >= 0))
    assert metadata.unknown == 0
    assert (stats.written, stats.unknown, stats.in_queue) == (metadata.written + 1, 0, 0)
    assert stats.accepted == stats.written + stats.not_written


def test_it_ends_the_batch_where_that_is_asked_for(embedded_cluster, name):
    with SafeProducer(
        bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False, on_refusal="batch"
    ) as producer:
        embedded_cluster.push_broker_errors(1, PRODUCE, [("MSG_SIZE_TOO_LARGE", 20)])
        with pytest.raises(BatchError) as caught:
            producer.send_batch(name, VALUES, partitions=PLACES)
    metadata = caught.value.metadata
    assert len({failure.partition for failure in metadata.failures}) > 1
    assert metadata.unknown == 0  # what was purged from a queue was never in a request
    check_against_log(metadata, embedded_cluster.bootstrap_servers, name, VALUES)


def test_later_slices_leave_its_partition_out(embedded_cluster, name, monkeypatch):
    monkeypatch.setattr("twolane.safe.batch_call.SLICE", 2 * PARTITIONS)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        embedded_cluster.push_broker_errors(1, PRODUCE, [("MSG_SIZE_TOO_LARGE", 20)])
        with pytest.raises(BatchError) as caught:
            producer.send_batch(name, VALUES, partitions=PLACES)
    metadata = caught.value.metadata
    assert metadata.written == len(VALUES) - 4
    [partition] = {failure.partition for failure in metadata.failures}
    assert [failure.index for failure in metadata.failures] == [i for i in range(len(VALUES)) if PLACES[i] == partition]
    check_against_log(metadata, embedded_cluster.bootstrap_servers, name, VALUES)


def test_any_other_error_ends_the_batch(embedded_cluster, name):
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        embedded_cluster.push_broker_errors(1, PRODUCE, [("POLICY_VIOLATION", 20)])
        with pytest.raises(BatchError) as caught:
            producer.send_batch(name, VALUES, partitions=PLACES)
    assert len({failure.partition for failure in caught.value.metadata.failures}) > 1
    check_against_log(caught.value.metadata, embedded_cluster.bootstrap_servers, name, VALUES)


def test_what_waits_for_a_retry_stays_unknown(embedded_cluster, name):
    """NOT_LEADER_OR_FOLLOWER may come after the append (F3): a record that got it and is purged then may be written."""
    settings = {"bootstrap.servers": embedded_cluster.bootstrap_servers, "retry.backoff.ms": 10_000}
    with SafeProducer(settings, check_topics=False) as producer:
        for partition in range(PARTITIONS):
            producer.send(name, b"warm", partition=partition)
        embedded_cluster.push_broker_errors(2, PRODUCE, [("NOT_LEADER_FOR_PARTITION", 0)])
        embedded_cluster.push_broker_errors(1, PRODUCE, [("MSG_SIZE_TOO_LARGE", 300)])
        with pytest.raises(BatchError) as caught:
            producer.send_batch(name, VALUES[:PARTITIONS], partitions=PLACES[:PARTITIONS])
    failures = caught.value.metadata.failures
    assert caught.value.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert Verdict.UNKNOWN in {failure.verdict for failure in failures if failure.partition % 3 + 1 == 2}
    log = Counter(record.value for record in read_all(embedded_cluster.bootstrap_servers, name))
    assert not {failure.index for failure in failures} & {VALUES.index(value) for value in log if value != b"warm"}
    assert set(log.values()) == {1, PARTITIONS}


@pytest.mark.cluster
@pytest.mark.parametrize("idempotent", [True, False])
def test_one_record_too_large_for_its_topic(kafka_cluster, topic, idempotent):
    name = topic(kafka_cluster, PARTITIONS, config={"max.message.bytes": 20_000})
    settings = {"bootstrap.servers": kafka_cluster.bootstrap_servers, "enable.idempotence": idempotent}
    with SafeProducer(settings, check_topics=False) as producer:
        # The brokers of a new topic may ask for a retry, behind which a refusal without idempotence is *unknown*.
        written = producer.send_batch(name, [b"warm"] * PARTITIONS, partitions=PLACES[:PARTITIONS]).written
        for bad in (5, 17, 23):
            values = [b"%d" % i for i in range(2 * PARTITIONS)]
            values[bad] = b"x" * 30_000
            with pytest.raises(BatchError) as caught:
                producer.send_batch(name, values, partitions=PLACES[: len(values)])
            metadata = caught.value.metadata
            # The record before it in its partition may be in the MessageSet that the broker refuses.
            assert {bad} <= set(metadata.failures.indices) <= {bad % PARTITIONS, bad % PARTITIONS + PARTITIONS}
            written += metadata.written
            assert {failure.verdict for failure in metadata.failures} == {Verdict.NOT_WRITTEN}
            assert caught.value.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert len(read_all(kafka_cluster.bootstrap_servers, name)) == written


def test_f40_a_denied_topic_is_told_of_by_the_call_alone(embedded_cluster, name, caplog):
    """librdkafka has an error for the consumer of each partition that was paused; it logs it after the next success."""
    caplog.set_level(logging.DEBUG, "twolane")
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        for _ in range(3):
            producer.send_batch(name, VALUES, partitions=PLACES)
            embedded_cluster.push_errors(PRODUCE, ["TOPIC_AUTHORIZATION_FAILED"])
            with pytest.raises(BatchError, match="TOPIC_AUTHORIZATION_FAILED"):
                producer.send_batch(name, VALUES[:4], partitions=0)
        producer.send_batch(name, VALUES, partitions=PLACES)
        producer.send_batch(name, VALUES, partitions=PLACES)  # each takes what came behind the one before
        assert producer.flush(60) == 0
        assert "desired" not in producer._events.last_error
    assert not [line for line in caplog.messages if "desired" in line]
    assert any("PARTCNT" in line for line in caplog.messages)  # librdkafka's lines are seen
