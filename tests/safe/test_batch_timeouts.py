"""The time of a batch in flight: the lane keeps it, so that what was sent together is given up as a whole."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_values
from tests.support.safe_lane import warm_up
from twolane import BatchError, DeliveryError, SafeProducer, Verdict

PRODUCE = 0


@pytest.fixture(params=[True, False], ids=["idempotent", "plain"])
def producer(request, embedded_cluster):
    with SafeProducer(
        bootstrap_servers=embedded_cluster.bootstrap_servers,
        enable_idempotence=request.param,
        message_timeout_ms=1000,
        reconnect_backoff_max_ms=100,
        check_topics=False,
    ) as made:
        yield made


def codes_of(error: BatchError) -> set[int]:
    return {failure.error.code() for failure in error.metadata.failures}


@pytest.mark.timing
@pytest.mark.parametrize("timeout", [None, 30])
def test_a_chunk_in_flight_is_given_up_whole_and_in_time(embedded_cluster, producer, topic, timeout):
    name = topic(embedded_cluster)
    warm_up(producer, name)
    embedded_cluster.set_rtt(60_000)
    started = time.monotonic()
    with pytest.raises(BatchError) as caught:
        producer.send_batch(name, [b"%d" % i for i in range(5000)], timeout=timeout)
    took = time.monotonic() - started
    embedded_cluster.set_rtt(0)
    assert 0.9 < took < 1.0 + 1.5
    assert codes_of(caught.value) == {KafkaError._MSG_TIMED_OUT}
    assert [verdict for _, verdict in caught.value.metadata.failures.verdicts()] == [Verdict.UNKNOWN] * 5000


@pytest.mark.timing
def test_a_chunk_that_waits_for_its_broker_is_given_up_whole(embedded_cluster, producer, topic):
    """The leader comes back at the moment when time is over: all of the chunk is in the log, or nothing."""
    name = topic(embedded_cluster)
    embedded_cluster.set_leader(name, 0, 2)
    warm_up(producer, name)
    embedded_cluster.stop_broker(2)
    started = time.monotonic()
    with pytest.raises(BatchError) as caught:
        producer.send_batch(name, [b"%d" % i for i in range(5000)])
    took = time.monotonic() - started
    embedded_cluster.start_broker(2)
    assert 0.9 < took < 1.0 + 1.5
    assert codes_of(caught.value) == {KafkaError._MSG_TIMED_OUT}
    assert {verdict for _, verdict in caught.value.metadata.failures.verdicts()} == {Verdict.NOT_WRITTEN}
    # What another producer sends now would come behind a chunk that is still on its way.
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as other:
        other.send(name, b"later")
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"later"]


@pytest.mark.timing
@pytest.mark.parametrize("timeout", [None, 0.5, 30])
def test_a_lone_record_is_given_up_in_time(embedded_cluster, producer, topic, timeout):
    name = topic(embedded_cluster)
    warm_up(producer, name)
    embedded_cluster.set_rtt(60_000)
    started = time.monotonic()
    with pytest.raises(DeliveryError) as caught:
        producer.send(name, b"x", timeout=timeout)
    took = time.monotonic() - started
    embedded_cluster.set_rtt(0)
    assert took < min(timeout or 1.0, 1.0) + 1.5
    assert caught.value.error.code() == KafkaError._MSG_TIMED_OUT
    assert caught.value.verdict is Verdict.UNKNOWN


def test_other_partitions_chunks_end_by_themselves(embedded_cluster, producer, topic):
    """One leader does not answer; the other's chunk, begun later, is not cut off with it."""
    name = topic(embedded_cluster, 2)
    embedded_cluster.set_leader(name, 0, 1)
    embedded_cluster.set_leader(name, 1, 2)
    warm_up(producer, name, [0, 1])
    embedded_cluster.push_broker_errors(2, PRODUCE, [(0, 5000)])
    embedded_cluster.set_rtt(80, 1)
    n = 60_000
    with pytest.raises(BatchError) as caught:
        producer.send_batch(name, [b"%0200d" % i for i in range(n)], partitions=[0] * (n - 1) + [1])
    embedded_cluster.set_rtt(0)
    metadata = caught.value.metadata
    verdicts = dict(metadata.failures.verdicts())
    assert verdicts.pop(n - 1) is Verdict.UNKNOWN
    # What was in flight in partition 0 ended; what had not begun by then was not sent, or there was nothing left.
    assert set(verdicts.values()) <= {Verdict.NOT_WRITTEN}
    assert metadata.written > 0


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({}, 40_000),
        ({"message.timeout.ms": 5_000}, 15_000),
        ({"message.timeout.ms": 0}, 0),
        ({"message.timeout.ms": 2**31 - 1}, 2**31 - 1),
        ({"transactional.id": "t"}, 40_000),
        ({"transactional.id": "t", "message.timeout.ms": 55_000}, 60_000),
        ({"transactional.id": "t", "message.timeout.ms": 9_000, "transaction.timeout.ms": 9_500}, 9_500),
    ],
)
def test_librdkafkas_own_clock_runs_later(settings, given):
    with SafeProducer(settings, bootstrap_servers="127.0.0.1:9", check_topics=False) as producer:
        assert producer._for_librdkafka(producer._settings.native)["message.timeout.ms"] == str(given)
        assert producer.config["message.timeout.ms"] == str(settings.get("message.timeout.ms", 30_000))
