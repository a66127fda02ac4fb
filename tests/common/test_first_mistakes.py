"""What first-time users get wrong, and that each error says what to do in terms of the call that was made."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import re

import numpy as np
import polars as pl
import pytest

from twolane import (
    AsyncSafeProducer,
    AsyncThroughputProducer,
    Avro,
    BatchMetadata,
    ConfigError,
    DeliveryError,
    Json,
    SafeProducer,
    SerializationError,
    ThroughputProducer,
    TimestampError,
    TransactionError,
)
from twolane.common.arguments import BatchArguments
from twolane.testing import AsyncFakeProducer, AsyncFakeThroughputProducer, FakeProducer, FakeThroughputProducer

TABLE = {"a": np.arange(3), "b": np.arange(3)}
TIMES = np.array(["2024-01-01", "NaT"], "M8[ms]")
WHERE = {"bootstrap.servers": "127.0.0.1:1"}

CONFIGURATIONS = [
    (("localhost:9092",), {}, r"\{'bootstrap\.servers': 'localhost:9092'\}, or bootstrap_servers='localhost:9092'"),
    ((["localhost:9092"],), {}, r"settings are a mapping, .*got list"),
    ((), {"bootstrap_servers": ""}, r"bootstrap\.servers is empty: expected host:port"),
    ((), {"bootstrap_servers": " , "}, r"bootstrap\.servers is empty"),
    ((), {"bootstrap_servers": []}, r"bootstrap\.servers is empty"),
    ((WHERE,), {"ssl_cafile": "ca.pem"}, r"ssl\.cafile: use ssl\.ca\.location"),
    ((WHERE,), {"ssl_certfile": "a.pem"}, r"use ssl\.certificate\.location"),
    ((WHERE,), {"sasl_plain_username": "me"}, r"use sasl\.username"),
    ((WHERE,), {"sasl_oauth_token_provider": object()}, r"use oauth_cb"),
    *(
        ((WHERE,), {key: "/nowhere/a.pem"}, rf"{key.replace('_', '.')}: no such file: '/nowhere/a\.pem'")
        for key in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location", "ssl_keystore_location")
    ),
]

SERIALIZERS = [
    (Json, r"expected a serializer, such as Json\(\).*got the class Json: make one of it, Json\(\.\.\.\)"),
    ("json", r"expected a serializer, such as Json\(\), Avro\(schema\) or Struct\(layout\), got 'json'"),
    (5, "expected a serializer, .*got 5"),
]

# The call's arguments after the topic, batch or single; the error; what it says.
CALLS = [
    ("batch", (TABLE,), {}, SerializationError, r"a table .*'a', 'b': it needs a serializer, such as Json\(\)"),
    ("batch", ([b"1"] * 3,), {"keys": TABLE}, SerializationError, r"'keys'.*a table needs a serializer"),
    ("send", ({"a": 1},), {}, SerializationError, r"'value'.*a serializer takes more, such as serializer=Json\(\)"),
    ("send", (b"v",), {"timestamp": 1_700_000_000}, TimestampError, r"Timestamps\(\.\.\., unit='s'\).*pack_timestamps"),
    ("send", (b"v",), {"timestamp": "now"}, TimestampError, "expected a datetime, a datetime64 or milliseconds"),
    ("send", (b"v",), {"timestamp": dt.datetime(2026, 1, 1)}, TimestampError, r"Timestamps\(\.\.\., naive='utc'\)"),  # noqa: DTZ001
    ("batch", ([b"v", b"w"],), {"timestamps": TIMES}, TimestampError, r"record 1.*missing='now'"),
]


@pytest.fixture(params=[SafeProducer, ThroughputProducer], ids=["safe", "throughput"])
def lane(request):
    return request.param


@pytest.fixture
def producer(lane, embedded_cluster):
    embedded_cluster.create_topic("t")
    with lane(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        yield producer


@pytest.mark.parametrize(("arguments", "keywords", "said"), CONFIGURATIONS)
def test_a_configuration(lane, arguments, keywords, said):
    with pytest.raises(ConfigError, match=said):
        lane(*arguments, **keywords)


@pytest.mark.parametrize(("kind", "arguments", "keywords", "error", "said"), CALLS)
def test_a_call(producer, kind, arguments, keywords, error, said):
    with pytest.raises(error, match=said) as caught:
        (producer.send_batch if kind == "batch" else producer.send)("t", *arguments, **keywords)
    assert "topic 't'" in str(caught.value)


async def rows_to_come():
    yield {"a": 1}


# Polars warns that as_columns() has looked at the query's dtypes.
@pytest.mark.filterwarnings("ignore::polars.exceptions.PerformanceWarning")
@pytest.mark.parametrize("on_bad_row", ["raise", "skip"])
@pytest.mark.parametrize("source", [pl.LazyFrame({"a": [1]}), rows_to_come()], ids=["query", "async generator"])
def test_a_batch_of_what_is_read_piece_by_piece(producer, source, on_bad_row):
    with pytest.raises(SerializationError, match=r"topic 't'.*send_stream\(\) takes what is read piece by piece"):
        producer.send_batch("t", source, serializer=Json(), on_bad_row=on_bad_row)


@pytest.mark.parametrize(("serializer", "said"), SERIALIZERS)
@pytest.mark.parametrize("name", ["serializer", "key_serializer"])
@pytest.mark.parametrize("kind", ["batch", "send"])
def test_a_serializer(producer, serializer, said, name, kind):
    with pytest.raises(SerializationError, match=f"{name}: {said}") as caught:
        if kind == "batch":
            producer.send_batch("t", [{"a": 1}], keys=[1], **{"serializer": Json(), name: serializer})
        else:
            producer.send("t", {"a": 1}, key=1, **{"serializer": Json(), name: serializer})
    assert "topic 't'" in str(caught.value)


KINDS = [
    *(SafeProducer, ThroughputProducer, AsyncSafeProducer, AsyncThroughputProducer),
    *(FakeProducer, FakeThroughputProducer, AsyncFakeProducer, AsyncFakeThroughputProducer),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("key", "keys"), ("partition", "partitions"), ("timestamp", "timestamps"), ("header", "headers")),
        *(("serialiser", "serializer"), ("time_out", "timeout")),
    ],
)
def test_an_argument_of_a_batch_by_another_name(kind, name, meant):
    said = rf"send_batch\(\) got an unexpected keyword argument '{name}'; did you mean '{meant}'\?"

    async def send():
        with pytest.raises(TypeError, match=said):
            await producer.send_batch("t", [b"v"], **{name: None})
        with pytest.raises(
            TypeError, match=r"argument 'nonsense'; it has values, keys, headers, partitions, .*timeout$"
        ):
            await producer.send_batch("t", [b"v"], nonsense=None)
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'values'"):
            await producer.send_batch("t", value=[b"v"])
        await producer.close()

    producer = kind(bootstrap_servers="fake.invalid:9092")
    if inspect.iscoroutinefunction(kind.send_batch):
        asyncio.run(send())
        return
    with producer:
        with pytest.raises(TypeError, match=said):
            producer.send_batch("t", [b"v"], **{name: None})
        assert list(inspect.signature(producer.send_batch).parameters)[:-1] == [
            "topic",
            "values",
            *BatchArguments._fields[:-1],
            "timeout",
        ]


def test_what_a_serializer_of_the_users_raises_goes_on(producer):
    class Mine:
        def encode(self, record):
            raise TypeError("mine")

        def bind(self, values):
            raise AttributeError("mine too")

    with pytest.raises(TypeError, match=r"^mine$"):
        producer.send("t", {"a": 1}, serializer=Mine())
    with pytest.raises(AttributeError, match=r"^mine too$"):
        producer.send_batch("t", [{"a": 1}], serializer=Mine())


def test_transactions_in_the_wrong_order(lane, embedded_cluster):
    embedded_cluster.create_topic("t")
    with lane(bootstrap_servers=embedded_cluster.bootstrap_servers, transactional_id=lane.__name__) as producer:
        with pytest.raises(TransactionError, match=r"begin_transaction: call init_transactions\(\) first"):
            producer.transaction().__enter__()
        outside = re.escape("call init_transactions() once, and send inside `with producer.transaction():`")
        for _ in range(2):
            with pytest.raises(DeliveryError, match=outside):
                producer.send("t", b"v")
            with pytest.raises(DeliveryError, match=outside):
                producer.send_batch("t", [b"v"])
            if producer._transactions._is_ready:
                break
            producer.init_transactions()
        with pytest.raises(TransactionError, match="it was called already, and is called once"):
            producer.init_transactions()
        with producer.transaction():
            producer.send("t", b"v")


def test_an_avro_serializer_encodes_once_its_schemas_id_is_known():
    avro = Avro('"long"', registry={"url": "mock://first-mistakes"})
    with pytest.raises(SerializationError, match=r"asked of the registry by topic: send\(\)"):
        avro.encode(1)
    warm = avro.warm_up("a")
    assert avro.encode(1) == warm.encode(1)
    assert avro.encode_batch([1, 2])[1] == warm.encode(2)
    assert avro.encode_batch(np.arange(3))[2] == warm.encode(2)


def test_an_avro_serializer_with_several_ids_says_which_topics_they_are_of():
    class Registry:
        def resolve(self, schema, *, topic, **_):
            return ord(topic), schema

    avro = Avro('"long"', registry=Registry())
    avro.warm_up("a")
    avro.warm_up("b")
    with pytest.raises(SerializationError, match=r"several ids are known, of 'a', 'b'"):
        avro.encode(1)


def test_counts_have_the_same_names_everywhere(embedded_cluster):
    embedded_cluster.create_topic("t")
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        metadata = producer.send_batch("t", [b"v"] * 3)
        assert repr(metadata) == "BatchMetadata(topic='t', records=3, written=3)"
        embedded_cluster.push_errors(0, ["MSG_SIZE_TOO_LARGE"] * 5)
        with pytest.raises(DeliveryError) as caught:
            producer.send_batch("t", [b"v"] * 3)
        failed: BatchMetadata = caught.value.metadata
        stats = producer.stats()
    assert (failed.written, failed.not_written, failed.unknown, failed.failed) == (0, 3, 0, 3)
    assert "written=0, not_written=3, unknown=0" in repr(failed)
    assert (stats.written, stats.not_written, stats.unknown) == (3, 3, 0)


def test_a_partition_in_doubt_says_resume(embedded_cluster):
    embedded_cluster.create_topic("t")
    with SafeProducer(
        bootstrap_servers=embedded_cluster.bootstrap_servers, enable_idempotence=False, retries=0
    ) as producer:
        embedded_cluster.push_errors(0, ["REQUEST_TIMED_OUT"])
        with pytest.raises(DeliveryError):
            producer.send("t", b"v")
        with pytest.raises(DeliveryError, match=r"call resume\('t', 0\) first"):
            producer.send("t", b"v")
