"""Calls as code written for confluent-kafka makes them: they mean the same on both lanes, or say what to write."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from tests.support.readers import read_all
from twolane import AsyncSafeProducer, AsyncThroughputProducer, DeliveryError, SafeProducer, ThroughputProducer
from twolane.testing import AsyncFakeProducer, FakeProducer, FakeThroughputProducer

KINDS = [
    *(SafeProducer, AsyncSafeProducer, FakeProducer, AsyncFakeProducer),
    *(ThroughputProducer, AsyncThroughputProducer, FakeThroughputProducer),
]
WAITING = [kind for kind in KINDS if "Throughput" not in kind.__name__]


def with_producer(kind, cluster, call):
    """Return what the call of a producer returns, awaited where the producer's are."""
    settings = {} if "Fake" in kind.__name__ else {"bootstrap_servers": cluster.bootstrap_servers}
    if not inspect.iscoroutinefunction(kind.close):
        with kind(**settings) as producer:
            return call(producer)

    async def main():
        async with kind(**settings) as producer:
            return await call(producer)

    return asyncio.run(main())


@pytest.fixture
def cluster(embedded_cluster):
    embedded_cluster.create_topic("t")
    return embedded_cluster


@pytest.mark.parametrize("kind", KINDS)
def test_the_third_argument_is_the_key(cluster, kind):
    with_producer(kind, cluster, lambda producer: producer.send("t", b"value", b"key"))
    if "Fake" not in kind.__name__:
        assert [(one.key, one.value) for one in read_all(cluster.bootstrap_servers, "t")] == [(b"key", b"value")]


@pytest.mark.parametrize("kind", WAITING)
@pytest.mark.parametrize("name", ["callback", "on_delivery"])
def test_a_callback_is_refused_where_the_call_waits(cluster, kind, name):
    says = rf"{name}: send\(\) returns the record's metadata once it is written.*ThroughputProducer.send\(\) has on_del"
    with pytest.raises(TypeError, match=says):
        with_producer(kind, cluster, lambda producer: producer.send("t", b"value", **{name: print}))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in WAITING])
def test_a_callback_has_one_name_where_there_is_one(cluster, kind):
    with pytest.raises(TypeError, match="unexpected keyword argument 'callback'"):
        with_producer(kind, cluster, lambda producer: producer.send("t", b"value", callback=print))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_batch", [False, True], ids=["send", "send_batch"])
def test_partition_minus_one_says_to_leave_it_out(cluster, kind, is_batch):
    def call(producer):
        if is_batch:
            return producer.send_batch("t", [b"value"], partitions=-1)
        return producer.send("t", b"value", partition=-1)

    with pytest.raises(DeliveryError, match="-1 does not exist, the topic has 1; to let the key choose, leave it out"):
        with_producer(kind, cluster, call)
