"""The producers without brokers do what the real ones do: the same calls, side by side with the embedded cluster."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect

import numpy as np
import pytest

from twolane import (
    AsyncSafeProducer,
    AsyncThroughputProducer,
    Avro,
    BatchError,
    ClosedProducerError,
    ConfigError,
    DeliveryError,
    Json,
    SafeProducer,
    SerializationError,
    ThroughputProducer,
    TimestampError,
    TransactionError,
    Verdict,
)
from twolane.testing import AsyncFakeProducer, AsyncFakeThroughputProducer, FakeProducer, FakeThroughputProducer

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MS = 1_767_225_600_000
TABLE = {"id": np.arange(5), "at": np.full(5, "2026-01-01", "M8[ms]")}
AVRO = Avro(
    {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        ],
    }
)
# (method, arguments behind the topic, keywords)
CALLS = [
    ("send", (b"v",), {"key": b"k", "headers": {"a": b"1", "b": None}, "timestamp": AT}),
    ("send", (None,), {"key": "k", "timestamp": MS}),
    ("send", ({"id": 1},), {"serializer": Json(), "partition": 2, "timestamp": MS}),
    ("send", (b"v",), {"timestamp": AT, "timestamp_header": "ns", "partition": 1}),
    ("send_batch", ([b"a", None, b"c"],), {"keys": [b"1", b"2", b"3"], "timestamps": AT}),
    ("send_batch", (TABLE,), {"serializer": AVRO, "keys": "id", "key_serializer": Json(), "timestamps": "at"}),
    ("send_batch", ([b"a", b"b"],), {"headers": [{"x": "1"}, None], "timestamps": MS, "partitions": [0, 1]}),
    ("send_batch", ([b"a", b"b"],), {"headers": {"x": [b"1", b"2"], "y": b"3"}, "timestamps": MS, "partitions": 1}),
    (
        "send_batch",
        ([{"id": 1}, {"id": object()}],),
        {"serializer": Json(), "on_bad_row": "skip", "timestamps": MS, "partitions": 0},
    ),
]
REFUSED = [
    ("send", (5,), {}, SerializationError),
    ("send", (b"v",), {"timestamp": "now"}, TimestampError),
    ("send", (b"v",), {"headers": {"a": 1}}, SerializationError),
    ("send", (b"v",), {"partition": 9}, DeliveryError),
    ("send", (b"v" * 2_000_000,), {}, DeliveryError),
    ("send", ({"a": object()},), {"serializer": Json()}, SerializationError),
    ("send_batch", (TABLE,), {}, SerializationError),
    ("send_batch", ([b"a"],), {"keys": [b"1", b"2"]}, SerializationError),
    ("send_batch", ([b"a"],), {"partitions": [7]}, DeliveryError),
]
PAIRS = [(SafeProducer, FakeProducer), (ThroughputProducer, FakeThroughputProducer)]
AWAITED = [(AsyncSafeProducer, AsyncFakeProducer), (AsyncThroughputProducer, AsyncFakeThroughputProducer)]


def call(producer, method, arguments, keywords):
    told = getattr(producer, method)("t", *arguments, **keywords)
    if hasattr(told, "result"):
        told = told.result(20)
    producer.flush(20)
    return told


def shown(told):
    """What a call tells, but for times that the embedded cluster makes up, and for latencies."""
    if told is None:
        return None
    if hasattr(told, "offset"):
        return told.topic, told.partition, told.offset
    return told.topic, told.partitions.tolist(), told.offsets.tolist(), told.written, len(told.refused)


@pytest.mark.parametrize(("real", "fake"), PAIRS)
@pytest.mark.parametrize(("method", "arguments", "keywords"), CALLS)
def test_it_keeps_what_the_real_one_writes(embedded_cluster, real, fake, method, arguments, keywords):
    embedded_cluster.create_topic("t", 3)
    with real(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        told = call(producer, method, arguments, keywords)
    with fake(partitions={"t": 3}) as producer:
        assert shown(call(producer, method, arguments, keywords)) == shown(told)
        assert sorted(producer.records, key=lambda one: one[:3]) == embedded_cluster.records("t")
        assert producer.records_of("t") == producer.records
        stats = producer.stats()
    assert stats.accepted == stats.written == len(producer.records)


@pytest.mark.parametrize(("real", "fake"), PAIRS)
@pytest.mark.parametrize(("method", "arguments", "keywords", "kind"), REFUSED)
def test_it_refuses_what_the_real_one_refuses_in_the_same_words(
    embedded_cluster, real, fake, method, arguments, keywords, kind
):
    embedded_cluster.create_topic("t", 3)
    said = []
    for producer in (real(bootstrap_servers=embedded_cluster.bootstrap_servers), fake(partitions=3)):
        with producer, pytest.raises(kind) as caught:
            call(producer, method, arguments, keywords)
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(("real", "fake"), [*PAIRS, *AWAITED])
def test_it_has_the_same_signatures(real, fake):
    """Of every public method, and of the constructor but for `partitions`; what waits in one waits in the other."""

    def parameters(kind, name):
        found = inspect.signature(getattr(kind, name)).parameters.values()
        return [(one.name, one.kind, name != "__init__" and one.default) for one in found if one.name != "partitions"]

    names = [name for name in dir(real) if not name.startswith("_") and callable(getattr(real, name))]
    assert len(names) >= 10
    for name in ["__init__", *names]:
        assert parameters(fake, name) == parameters(real, name), name
        assert inspect.iscoroutinefunction(getattr(fake, name)) == inspect.iscoroutinefunction(getattr(real, name))
    assert issubclass(fake, real)


@pytest.mark.parametrize(
    ("blocking", "awaited"), [(FakeProducer, AsyncFakeProducer), (FakeThroughputProducer, AsyncFakeThroughputProducer)]
)
def test_those_for_asyncio_have_what_the_others_have(blocking, awaited):
    for name in ("records_of", "clear", "fail_next"):
        assert list(inspect.signature(getattr(awaited, name)).parameters) == list(
            inspect.signature(getattr(blocking, name)).parameters
        )
    assert isinstance(awaited.records, property)


def test_settings_are_checked():
    for fake in (FakeProducer, FakeThroughputProducer):
        with pytest.raises(ConfigError, match=r"did you mean 'linger\.ms'"):
            fake(linger_m=1)
    with pytest.raises(ConfigError, match="breaks SafeProducer"):
        FakeProducer({"acks": 1})
    with FakeProducer({"bootstrap.servers": "prod:9092", "client.id": "me"}) as producer:
        assert producer.config["bootstrap.servers"] == "prod:9092"


def test_failures_of_the_safe_lane():
    with FakeProducer(partitions=2) as producer:
        producer.fail_next(Verdict.UNKNOWN, in_log=True)
        with pytest.raises(DeliveryError) as caught:
            producer.send("t", b"a", partition=0, opaque="mine")
        assert (caught.value.verdict, caught.value.error.name(), caught.value.opaque) == (
            Verdict.UNKNOWN,
            "REQUEST_TIMED_OUT",
            "mine",
        )
        producer.fail_next(error="NOT_ENOUGH_REPLICAS")
        with pytest.raises(BatchError) as batch:
            producer.send_batch("t", [b"b", b"c", b"d", b"e"], partitions=[0, 1, 0, 1])
        metadata = batch.value.metadata
        assert (metadata.written, metadata.not_written, metadata.unknown) == (2, 2, 0)
        assert metadata.offsets.tolist() == [-1, 0, -1, 1]
        assert batch.value.error.name() == "NOT_ENOUGH_REPLICAS"
        assert [one.value for one in producer.records] == [b"a", b"c", b"e"]
        stats = producer.stats()
        assert (stats.accepted, stats.written, stats.not_written, stats.unknown) == (5, 2, 2, 1)
        producer.clear()
        assert producer.send("t", b"f", partition=1).offset == 2
        assert len(producer.records) == 1
        for wrong in ({"verdict": Verdict.WRITTEN}, {"in_log": True}, {"error": "NO_SUCH_ERROR"}):
            with pytest.raises(ValueError):
                producer.fail_next(**wrong)


def test_a_partition_in_doubt_without_idempotence():
    with FakeProducer(enable_idempotence=False) as producer:
        producer.fail_next(Verdict.UNKNOWN)
        with pytest.raises(DeliveryError):
            producer.send("t", b"a")
        with pytest.raises(DeliveryError, match="call resume"):
            producer.send("t", b"b")
        producer.resume("t", 0)
        assert producer.send("t", b"c").offset == 0


def test_failures_of_the_throughput_lane():
    told = []
    with FakeThroughputProducer() as producer:
        producer.send("t", b"a", on_delivery=lambda error, metadata: told.append((error, metadata)), opaque=7)
        producer.fail_next(Verdict.UNKNOWN)
        producer.send("t", b"b", on_delivery=lambda error, metadata: told.append((error, metadata)), opaque=8)
        assert told[0][0] is None
        assert (told[0][1].offset, told[0][1].opaque) == (0, 7)
        assert (told[1][0].verdict, told[1][0].opaque, told[1][1]) == (Verdict.UNKNOWN, 8, None)
        producer.fail_next()
        producer.send("t", b"c")
        with pytest.raises(DeliveryError, match="1 records sent without on_delivery"):
            producer.flush()
        producer.fail_next(count=2)
        batch = producer.send_batch("t", [b"d", b"e", b"f"])
        assert batch.done()
        with pytest.raises(BatchError) as caught:
            batch.result()
        assert caught.value.metadata.offsets.tolist() == [-1, -1, 1]

        def bad(error, metadata):
            raise ValueError("mine")

        producer.send("t", b"g", on_delivery=bad)
        with pytest.raises(ValueError, match="mine"):
            producer.flush()


@pytest.mark.parametrize("fake", [FakeProducer, FakeThroughputProducer])
def test_transactions(fake):
    with fake(transactional_id="x") as producer:
        with pytest.raises(TransactionError, match="call init_transactions"):
            producer.transaction().__enter__()
        producer.init_transactions()
        with pytest.raises(TransactionError, match="it was called already"):
            producer.init_transactions()
        with pytest.raises(DeliveryError, match="send inside"):
            producer.send("t", b"outside")
        with producer.transaction():
            producer.send("t", b"a")
            assert not producer.records
        with pytest.raises(KeyError), producer.transaction():
            producer.send("t", b"b")
            raise KeyError
        with producer.transaction():
            producer.send_batch("t", [b"c"])
        assert [(one.value, one.offset) for one in producer.records] == [(b"a", 0), (b"c", 2)]


@pytest.mark.parametrize("fake", [FakeProducer, FakeThroughputProducer])
def test_its_end(fake):
    producer = fake()
    producer.send("t", b"v")
    producer.close()
    for method, value in (("send", b"v"), ("send_batch", [b"v"])):
        with pytest.raises(ClosedProducerError):
            getattr(producer, method)("t", value)
    assert len(producer.records) == 1


def test_unknown_topics_where_the_topics_are_named():
    with FakeProducer(partitions={"t": 1}) as producer, pytest.raises(DeliveryError, match="UNKNOWN_TOPIC_OR_PART"):
        producer.send("u", b"v")


def test_awaited():
    async def main():
        async with AsyncFakeProducer(partitions=3) as producer:
            told = await asyncio.gather(*(producer.send("t", b"%d" % i, partition=i % 3) for i in range(9)))
            assert [one.offset for one in told] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
            metadata = await producer.send_batch("t", [b"a", b"b"], partitions=0)
            assert metadata.offsets.tolist() == [3, 4]
            producer.fail_next(Verdict.UNKNOWN, count=2)
            ends = await asyncio.gather(*(producer.send("t", b"x") for _ in range(3)), return_exceptions=True)
            assert [getattr(end, "verdict", None) for end in ends] == [Verdict.UNKNOWN, Verdict.UNKNOWN, None]
            with pytest.raises(SerializationError):
                await producer.send("t", 5)
            assert len(producer.records) == len(producer.records_of("t")) == 12

    asyncio.run(main())


def test_the_throughput_lane_awaited():
    async def main():
        seen = []
        async with AsyncFakeThroughputProducer(partitions=3) as producer:
            for i in range(9):
                await producer.send(
                    "t", b"%d" % i, partition=i % 3, on_delivery=lambda error, told: seen.append(told.offset)
                )
            assert seen == [0, 0, 0, 1, 1, 1, 2, 2, 2]
            assert (await (await producer.submit("t", b"a", partition=0, opaque="mine"))).opaque == "mine"
            delivery = await producer.send_batch("t", [b"b", b"c"], partitions=0)
            assert (await delivery).offsets.tolist() == [4, 5]
            producer.fail_next(Verdict.UNKNOWN)
            with pytest.raises(DeliveryError) as caught:
                await (await producer.submit("t", b"x"))
            assert caught.value.verdict is Verdict.UNKNOWN
            producer.fail_next()
            await producer.send("t", b"nobody looks")
            with pytest.raises(DeliveryError, match="1 records sent without on_delivery were not acknowledged"):
                await producer.flush()
            with pytest.raises(SerializationError):
                await producer.send("t", 5)
            assert len(producer.records) == len(producer.records_of("t")) == 12
            assert producer.stats().written == 12
            producer.clear()
            assert producer.records == []

    asyncio.run(main())


def test_the_throughput_lane_awaited_in_a_transaction():
    async def main():
        async with AsyncFakeThroughputProducer(transactional_id="id") as producer:
            await producer.init_transactions()
            with pytest.raises(ZeroDivisionError):
                async with producer.transaction():
                    await producer.send("t", b"never")
                    raise ZeroDivisionError
            async with producer.transaction():
                await producer.send("t", b"v")
            assert [record.value for record in producer.records] == [b"v"]

    asyncio.run(main())


def test_the_fixture(twolane_fake_producer):
    assert twolane_fake_producer.send("t", b"v").offset == 0
