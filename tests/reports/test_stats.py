"""``stats()`` of both lanes: counters, latencies, and librdkafka's statistics where they are turned on."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import time

import pytest

from tests.support.waiting import wait_until
from twolane import SafeProducer, Stats, ThroughputProducer
from twolane.stats import ClientStats, LatencyHistogram

PRODUCE = 0


@pytest.fixture(params=[SafeProducer, ThroughputProducer])
def make(request, embedded_cluster):
    made = []

    def make(**settings):
        made.append(request.param(settings, bootstrap_servers=embedded_cluster.bootstrap_servers))
        return made[-1]

    yield make
    for producer in made:
        producer.close(10)


def send(producer, name, values):
    made = producer.send_batch(name, values)
    return made.result(10) if hasattr(made, "result") else made


def test_the_counters_and_the_latency(embedded_cluster, make, topic):
    name = topic(embedded_cluster)
    producer = make()
    assert len(producer.stats().latency) == 0
    assert producer.stats().latency.mean == producer.stats().latency.percentile(99) == 0.0
    send(producer, name, [b"warm"])
    embedded_cluster.set_rtt(200)
    send(producer, name, [b"value"] * 999)
    embedded_cluster.set_rtt(0)
    stats = producer.stats()
    assert isinstance(stats, Stats)
    assert (stats.accepted, stats.written, stats.in_queue) == (1_000, 1_000, 0)
    assert stats.accepted_bytes == 4 + 999 * 5
    assert stats.client is None
    assert len(stats.latency) == 1_000
    assert 0.2 <= stats.latency.percentile(50) <= stats.latency.percentile(100) == stats.latency.maximum < 60
    assert 0.19 < stats.latency.mean < 60
    assert "1000 records" in repr(stats.latency)
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.accepted = 0


def test_they_are_still_there_after_close(embedded_cluster, make, topic):
    producer = make()
    send(producer, topic(embedded_cluster), [b"v"] * 10)
    producer.close(10)
    assert producer.stats().written == 10


def test_librdkafkas_statistics(embedded_cluster, make, topic):
    name = topic(embedded_cluster)
    embedded_cluster.set_leader(name, 0, 2)
    producer = make(**{"statistics.interval.ms": 100})
    send(producer, name, [b"warm"])
    embedded_cluster.set_rtt(50)
    # What the client tells is about its last interval only.
    client = None

    def tells_all():
        nonlocal client
        send(producer, name, [b"value"] * 1_000)
        client = producer.stats().client
        # A client tells of brokers and topics once it knows them.
        return (
            client
            and len(client.brokers) == 3
            and client.brokers[1].rtt.maximum > 0.045
            and any(one.batch_records.maximum == 1_000 for one in client.topics)
        )

    wait_until(tells_all)
    embedded_cluster.set_rtt(0)
    assert [broker.id for broker in client.brokers] == [1, 2, 3]
    leader = client.brokers[1]
    assert leader.state == "UP"
    assert 0.045 < leader.rtt.maximum < 60
    assert leader.rtt.minimum <= leader.rtt.mean <= leader.rtt.maximum
    assert leader.requests >= 2
    assert leader.bytes > 5_000
    assert leader.errors == 0
    assert [topic.name for topic in client.topics] == [name]
    assert client.topics[0].batch_records.maximum == 1_000
    assert client.topics[0].batch_bytes.maximum > 5_000
    assert abs(client.time - time.time()) < 60


def test_the_client_its_requests_and_what_was_sent_of_each_topic(embedded_cluster, make, topic):
    """Records that are sent again are in new requests: librdkafka counts no retry of them."""
    first, second = topic(embedded_cluster), topic(embedded_cluster)
    assert make().stats().retries is None
    producer = make(**{"statistics.interval.ms": 50, "client.id": "orders", "retry.backoff.ms": 20})
    send(producer, first, [b"warm"])
    before = producer.stats().requests
    embedded_cluster.push_errors(PRODUCE, ["NOT_ENOUGH_REPLICAS"] * 2)
    send(producer, first, [b"v"])
    send(producer, second, [b"12345"])
    wait_until(lambda: (client := producer.stats().client) and sum(one.records for one in client.topics) >= 5)
    stats = producer.stats()
    assert stats.client_id.startswith("orders#producer-")
    assert stats.requests - before == 4
    assert stats.retries == 0
    sent = {one.name: one.records for one in stats.client.topics}
    assert sent == {first: 4, second: 1}


def test_statistics_of_a_client_without_brokers():
    assert ClientStats.of(json.dumps({"time": 7, "brokers": {}, "topics": {"t": {}}})).topics[0].batch_bytes.count == 0


def test_every_time_is_in_the_bucket_that_its_bounds_say(embedded_cluster, make, topic):
    """The compiled buckets against the bounds that Python computes for them."""
    bounds = LatencyHistogram.of([1] * 136, 0, 0).bounds
    assert list(bounds) == sorted(set(bounds))
    assert all(high / low <= 2 if low < 4e-6 else high / low <= 1.25 + 1e-9 for low, high in itertools.pairwise(bounds))
    assert bounds[-1] > 9 * 3600
    producer = make()
    name = topic(embedded_cluster)
    send(producer, name, [b"warm"])
    generator = random.Random(7)
    for _ in range(5):
        embedded_cluster.set_rtt(generator.randrange(1, 150))
        before = producer.stats().latency
        send(producer, name, [b"v"])
        after = producer.stats().latency
        embedded_cluster.set_rtt(0)
        padded = before.counts + (0,) * (len(after.counts) - len(before.counts))
        (bucket,) = [i for i, (a, b) in enumerate(zip(padded, after.counts, strict=True)) if a != b]
        took = after.total - before.total
        assert (after.bounds[bucket - 1] if bucket else 0) <= took + 1e-9 < after.bounds[bucket] + 2e-9
