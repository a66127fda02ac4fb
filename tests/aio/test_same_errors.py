"""What a blocking producer takes, raises or returns, the awaited one does."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect

import pytest
from confluent_kafka import KafkaError

from tests.aio.conftest import run_in
from twolane import AsyncSafeProducer, AsyncThroughputProducer, Json, SafeProducer, Struct, ThroughputProducer

PRODUCE = 0

SENDS = {
    "plain": ((b"v",), {}),
    "key, headers, opaque": ((b"v",), {"key": "k", "headers": {"a": b"1", "b": None}, "opaque": 7}),
    "tombstone": ((), {"key": b"k"}),
    "partition": ((b"v",), {"partition": 1}),
    "partition of another type": ((b"v",), {"partition": "one"}),
    "partition that is not": ((b"v",), {"partition": 7}),
    "negative partition": ((b"v",), {"partition": -2}),
    "value": ((12,), {}),
    "surrogate": (("\ud800",), {}),
    "key": ((b"v",), {"key": 1.5}),
    "header": ((b"v",), {"headers": {1: b"x"}}),
    "header value": ((b"v",), {"headers": {"a": 1}}),
    "headers": ((b"v",), {"headers": b"ab"}),
    "timestamp": ((b"v",), {"timestamp": 10}),
    "naive": ((b"v",), {"timestamp": dt.datetime(2026, 1, 1)}),  # noqa: DTZ001 - that is the point
    "timestamp header": ((b"v",), {"timestamp": 1_700_000_000_000, "timestamp_header": "t"}),
    "too large": ((b"x" * 2_000_000,), {}),
    "serializer": (({"a": 1},), {"serializer": Json()}),
    "serializer's refusal": (({"a": object()},), {"serializer": Json()}),
    "key serializer's refusal": ((b"v",), {"key": {"a": "b"}, "key_serializer": Struct([("a", "<i4")])}),
    "timeout": ((b"v",), {"timeout": "soon"}),
}
BATCHES = {
    "plain": (([b"1", b"2"],), {"keys": [b"a", None], "opaque": "x"}),
    "empty": (([],), {}),
    "skip": (([b"1", 2, b"3"],), {"on_bad_row": "skip"}),
    "bad row": (([b"1", 2, b"3"],), {}),
    "partitions": (([b"1"] * 4,), {"partitions": [0, 1, 0, 1]}),
    "partition that is not": (([b"1"] * 4,), {"partitions": [0, 1, 9, 1]}),
    "not a sequence": ((12,), {}),
    "columns": (({"a": [1, 2]},), {"serializer": Struct([("a", "<i4")])}),
    "keys": (([b"1", b"2"],), {"keys": [b"1"]}),
    "on_bad_row": (([b"1"],), {"on_bad_row": "what"}),
}


def described(result):
    """Return what two calls' ends have in common."""
    if isinstance(result, BaseException):
        facts = {
            name: getattr(result, name, None) for name in ("verdict", "topic", "partition", "index", "field", "opaque")
        }
        metadata = getattr(result, "metadata", None)
        return type(result), str(result), facts, None if metadata is None else repr(metadata)
    offsets = getattr(result, "offsets", None)
    if offsets is not None:
        return repr(result), len(result.partitions), repr(result.refused), result.opaque  # sticky partitions vary
    return type(result), result._replace(offset=0, timestamp=0, partition=0), result.opaque


def ended(call, *arguments, **keywords):
    try:
        return call(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 - it is compared
        return error


async def ended_async(call, *arguments, **keywords):
    try:
        return await call(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 - it is compared
        return error


@pytest.fixture
def pair(embedded_cluster):
    settings = {
        "bootstrap_servers": embedded_cluster.bootstrap_servers,
        "retry_backoff_ms": 20,
        "retries": 1,
        "message_timeout_ms": 4_000,
        "check_topics": False,
    }
    with SafeProducer(**settings) as blocking:
        yield blocking, lambda: AsyncSafeProducer(**settings)


def parameters(function):
    return [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(
    ("blocking", "awaited"), [(SafeProducer, AsyncSafeProducer), (ThroughputProducer, AsyncThroughputProducer)]
)
def test_every_method_and_argument(blocking, awaited):
    public = [name for name, _ in inspect.getmembers(blocking) if not name.startswith("_")]
    assert not [name for name in public if not hasattr(awaited, name)]
    callables = ["__init__", *(name for name in public if callable(getattr(blocking, name)))]
    different = {
        name for name in callables if parameters(getattr(blocking, name)) != parameters(getattr(awaited, name))
    }
    assert not different


def compare(pair, method, name, arguments, keywords, before=lambda: None):
    blocking, make = pair

    async def main():
        async with make() as producer:
            before()
            return await ended_async(getattr(producer, method), name, *arguments, **keywords)

    awaited = run_in("asyncio", main())
    before()
    assert described(awaited) == described(ended(getattr(blocking, method), name, *arguments, **keywords))
    return awaited


@pytest.mark.parametrize("case", SENDS)
def test_send(embedded_cluster, pair, topic, case):
    arguments, keywords = SENDS[case]
    compare(pair, "send", topic(embedded_cluster, 2), arguments, keywords)


@pytest.mark.parametrize("case", BATCHES)
def test_send_batch(embedded_cluster, pair, topic, case):
    arguments, keywords = BATCHES[case]
    compare(pair, "send_batch", topic(embedded_cluster, 2), arguments, keywords)


@pytest.mark.parametrize("name", ["", "no such topic?", 12])
@pytest.mark.parametrize("method", ["send", "send_batch"])
def test_names_of_topics(pair, method, name):
    compare(pair, method, name, ([b"v"] if method == "send_batch" else b"v",), {})


@pytest.mark.parametrize("method", ["send", "send_batch"])
@pytest.mark.parametrize(
    "code", [KafkaError.INVALID_RECORD, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.REQUEST_TIMED_OUT]
)
def test_refusals_of_brokers(embedded_cluster, pair, topic, code, method):
    name = topic(embedded_cluster)
    values = [b"1", b"2"] if method == "send_batch" else b"1"

    def refuse():
        embedded_cluster.clear_errors(PRODUCE)
        embedded_cluster.push_errors(PRODUCE, [code] * 4)

    try:
        assert isinstance(compare(pair, method, name, (values,), {}, refuse), Exception)
    finally:
        embedded_cluster.clear_errors(PRODUCE)


def test_a_refused_record_does_not_fail_its_neighbours(embedded_cluster, pair, topic):
    name = topic(embedded_cluster)

    async def main():
        async with pair[1]() as producer:
            await producer.send(name, b"warm")
            embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD, KafkaError.INVALID_RECORD])
            return await asyncio.gather(*(producer.send(name, b"%d" % i) for i in range(5)), return_exceptions=True)

    results = run_in("asyncio", main())
    assert [isinstance(result, Exception) for result in results] == [True, False, False, False, False]
    assert [result.offset for result in results[1:]] == [1, 2, 3, 4]
