"""The ways in which calls, producers and streams of records end, each as something that can be done again and again.

A path is a generator: what it yields, called with a number that counts up, does it once and checks the error. Fuzz
targets are paths, too: 200 hostile inputs of each parser and encoder.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, KafkaException

from tests.common.test_any_argument import calls
from tests.encoding.test_any_value import escaped
from tests.fuzz import engine
from tests.serializers.test_registry_failures import serving
from tests.support.hostile import held
from tests.support.waiting import HELD
from twolane import (
    AsyncSafeProducer,
    Avro,
    BatchError,
    ClosedProducerError,
    ConfigError,
    DeliveryError,
    FatalProducerError,
    Json,
    QueueFullError,
    SafeProducer,
    SerializationError,
    Struct,
    ThroughputProducer,
)
from twolane.confluent import Producer
from twolane.testing import ApiKey, EmbeddedCluster

Once = Callable[[int], object]
Open = Callable[[EmbeddedCluster], Iterator[Once]]
LANES = {"safe": SafeProducer, "throughput": ThroughputProducer}
NOBODY = "127.0.0.1:1"
# Hostile inputs that go round, fewer than `Path.warm`.
ROUND = 200
DENIED = KafkaError.TOPIC_AUTHORIZATION_FAILED
FEW = {"warm": 3, "quick": 5}
# What is in flight at most is kept for the next time; a small window has been full before the first measurement.
WINDOW = {"queue_buffering_max_messages": 10_000}
RECORDS_EACH = 65_536
ROWS = np.zeros(RECORDS_EACH, [("id", "<i8"), ("reading", "<f8")])


@dataclass(frozen=True)
class Path:
    """One way that something ends.

    Attributes
    ----------
    name : str
    open : callable
        Takes the cluster; a context manager of what goes the way once.
    each : int
        Errors or records of one execution.
    most : int
        How many can be had in reasonable time.
    warm : int
        Executions before the first measurement: caches are full then, and whatever goes round has been round.
    quick : int
        Executions in the normal tests.
    """

    name: str
    open: Callable[[EmbeddedCluster], contextlib.AbstractContextManager[Once]]
    each: int = 1
    most: int = 2**62
    warm: int = 500
    quick: int = 1_300

    def times(self, asked: int) -> int:
        """Return how many executions make so many records or errors."""
        return max(min(asked, self.most) // self.each, 1)


ERRORS: dict[str, Path] = {}
PRODUCERS: dict[str, Path] = {}
RECORDS: dict[str, Path] = {}
GROUPS = {"errors": ERRORS, "producers": PRODUCERS, "records": RECORDS}


def path(group: dict[str, Path], name: str, **limits: int) -> Callable[[Open], Open]:
    """Register a path under a name."""

    def add(opened: Open) -> Open:
        group[name] = Path(name, contextlib.contextmanager(opened), **limits)
        return opened

    return add


def on_both_lanes(group: dict[str, Path], name: str, **limits: int) -> Callable[[Any], Any]:
    """Register a path of each lane."""

    def add(opened: Any) -> Any:
        for lane, made in LANES.items():
            path(group, f"{name}, {lane}", **limits)(lambda cluster, made=made: opened(cluster, made))
        return opened

    return add


def refused(kind: type[BaseException], call: Callable[[], object]) -> None:
    """Do what has to raise an error of a kind."""
    try:
        call()
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


def producer_of(cluster: EmbeddedCluster, lane: Any, **settings: Any) -> Any:
    """Return a producer for the cluster; without a topic check, which has a client for a while (F22 has its tests)."""
    if lane is not ThroughputProducer:
        settings["check_topics"] = False
    return lane(bootstrap_servers=cluster.bootstrap_servers, **settings)


# ---- what is refused before anything is sent ------------------------------------------------------------------------


SLOW = ("descriptors", "json_schemas")


def add_target(target: str) -> None:
    @path(ERRORS, f"fuzz target {target}", quick=200 if target in SLOW else 1_300)
    def opened(_: EmbeddedCluster) -> Iterator[Once]:
        run = engine.load(target)
        inputs = list(islice(engine.inputs(random.Random(target)), ROUND))
        yield lambda i: run(inputs[i % ROUND])


for one in engine.TARGETS:
    add_target(one)


@on_both_lanes(ERRORS, "arguments of any kind")
def arguments(cluster: EmbeddedCluster, lane: Any) -> Iterator[Once]:
    values = list(held())
    with producer_of(cluster, lane) as producer:
        known = list(calls(producer, "t").values())
        cases = [(call, make) for _, make in values for call in known][:: len(values) * len(known) // ROUND]

        def once(i: int) -> None:
            call, make = cases[i % len(cases)]
            found = escaped(call, make())
            assert not found, found

        yield once


@on_both_lanes(ERRORS, "a serializer that raises")
def serializers(cluster: EmbeddedCluster, lane: Any) -> Iterator[Once]:
    with producer_of(cluster, lane) as producer:
        avro, rows = Avro("long"), [1, 2, "three"]

        def once(_: int) -> None:
            refused(SerializationError, lambda: producer.send("t", "text", serializer=avro))
            refused(SerializationError, lambda: producer.send_batch("t", rows, serializer=avro))
            refused(SerializationError, lambda: producer.send_batch("t", [object()], serializer=Json()))

        yield once


@on_both_lanes(ERRORS, "settings")
def settings(_: EmbeddedCluster, lane: Any) -> Iterator[Once]:
    wrong = [{"acks": "none"}, {"compresion.type": "lz4"}, {"message.max.bytes": "many"}, {"client.id": "a\0b"}]

    def once(i: int) -> None:
        refused(ConfigError, lambda: lane({"bootstrap.servers": NOBODY, **wrong[i % 4]}))

    yield once


@path(ERRORS, "a closed producer")
def closed(cluster: EmbeddedCluster) -> Iterator[Once]:
    producers = [producer_of(cluster, lane) for lane in LANES.values()]
    front = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    for producer in (*producers, front):
        producer.close()

    def once(_: int) -> None:
        for producer in producers:
            refused(ClosedProducerError, lambda producer=producer: producer.send("t", b"v"))
            refused(ClosedProducerError, lambda producer=producer: producer.send_batch("t", [b"v"]))
            refused(ClosedProducerError, lambda producer=producer: producer.partitions_for("t"))
        refused(RuntimeError, lambda: front.produce("t", b"v"))

    yield once


# ---- full, late, refused by brokers ---------------------------------------------------------------------------------


@path(ERRORS, "a full queue")
def full(cluster: EmbeddedCluster) -> Iterator[Once]:
    with contextlib.ExitStack() as stack:
        blocking = stack.enter_context(producer_of(cluster, ThroughputProducer, queue_buffering_max_messages=10))
        raising = stack.enter_context(
            producer_of(cluster, ThroughputProducer, queue_buffering_max_messages=10, on_full="raise")
        )
        front = Producer({"bootstrap.servers": cluster.bootstrap_servers, "queue.buffering.max.messages": 10})
        stack.callback(front.close)
        for producer in (blocking, raising):
            producer.send_batch("t", [b"warm"]).result(60)
        front.produce("t", b"warm")
        assert front.flush(60) == 0
        cluster.set_rtt(HELD)
        stack.callback(cluster.set_rtt, 0)
        blocking.send_batch("t", [b"v"] * 10)
        raising.send_batch("t", [b"v"] * 10)
        for _ in range(10):
            front.produce("t", b"v")

        def once(_: int) -> None:
            refused(QueueFullError, lambda: blocking.send("t", b"v", timeout=0))
            refused(QueueFullError, lambda: raising.send("t", b"v"))
            refused(QueueFullError, lambda: raising.send_batch("t", [b"v"] * 20))
            refused(BufferError, lambda: front.produce("t", b"v"))

        yield once


@on_both_lanes(ERRORS, "no broker in time", quick=200)
def unreachable(_: EmbeddedCluster, lane: Any) -> Iterator[Once]:
    with lane(bootstrap_servers=NOBODY) as producer:

        def once(_: int) -> None:
            refused(DeliveryError, lambda: producer.send("t", b"v", timeout=0.001))
            refused(DeliveryError, lambda: producer.send_batch("t", [b"v"] * 3, timeout=0.001))
            refused(DeliveryError, lambda: producer.partitions_for("t", timeout=0.001))

        yield once


@path(ERRORS, "records that time out", each=1_000, warm=5, quick=3)
def late(cluster: EmbeddedCluster) -> Iterator[Once]:
    """librdkafka looks for them once a second."""
    settings = {"message_timeout_ms": 50}
    with contextlib.suppress(BatchError), producer_of(cluster, ThroughputProducer, **settings) as producer:
        producer.partitions_for("t", timeout=60)  # where a call had to ask, 50 ms would be its time as well
        with contextlib.suppress(BatchError):
            producer.send_batch("t", [b"warm"]).result(60)
        cluster.set_rtt(HELD)
        yield lambda _: refused(BatchError, lambda: producer.send_batch("t", [b"v"] * 1_000).result(60))
        cluster.set_rtt(0)


def denying(cluster: EmbeddedCluster, send: Once, code: int = DENIED) -> Once:
    """Return a call whose one Produce request is denied."""

    def once(i: int) -> None:
        cluster.push_errors(ApiKey.PRODUCE, [code])
        send(i)

    return once


@path(ERRORS, "a denied record, safe")
def denied_record(cluster: EmbeddedCluster) -> Iterator[Once]:
    with producer_of(cluster, SafeProducer) as producer:
        producer.send("t", b"warm", partition=0)
        yield denying(cluster, lambda _: refused(DeliveryError, lambda: producer.send("t", b"v", partition=0)))


@path(ERRORS, "a denied batch, safe")
def denied_batch(cluster: EmbeddedCluster) -> Iterator[Once]:
    with producer_of(cluster, SafeProducer) as producer:
        producer.send("t", b"warm", partition=0)
        yield denying(
            cluster, lambda _: refused(BatchError, lambda: producer.send_batch("t", [b"v"] * 20, partitions=0))
        )


@path(ERRORS, "a denied record, awaited")
def denied_awaited(cluster: EmbeddedCluster) -> Iterator[Once]:
    with asyncio.Runner() as runner:
        producer = producer_of(cluster, AsyncSafeProducer)

        async def send() -> None:
            with contextlib.suppress(DeliveryError):
                await producer.send("t", b"v", partition=0)

        runner.run(send())
        yield denying(cluster, lambda _: runner.run(send()))
        runner.run(producer.close())


@path(ERRORS, "a cancelled call")
def cancelled(cluster: EmbeddedCluster) -> Iterator[Once]:
    with asyncio.Runner() as runner:
        producer = producer_of(cluster, AsyncSafeProducer)

        async def send(steps: int) -> None:
            task = asyncio.create_task(producer.send("t", b"v", partition=0))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        runner.run(producer.send("t", b"warm", partition=0))
        yield lambda i: runner.run(send(i % 4))
        runner.run(producer.close())


@path(ERRORS, "refused records and callbacks that raise, throughput", warm=100, quick=200)
def refused_callbacks(cluster: EmbeddedCluster) -> Iterator[Once]:
    def raise_it(*_: object) -> None:
        raise ValueError("the user's own")

    with producer_of(cluster, ThroughputProducer) as producer:
        producer.send_batch("t", [b"warm"], partitions=0).result(60)

        def send(i: int) -> None:
            if i % 2:
                producer.send("t", b"v", partition=0, on_delivery=raise_it)
                refused(ValueError, lambda: producer.flush(60))
            else:
                refused(BatchError, lambda: producer.send_batch("t", [b"v"] * 20, partitions=0).result(60))

        yield denying(cluster, send, KafkaError.POLICY_VIOLATION)


@on_both_lanes(ERRORS, "a fatal error")
def fatal(cluster: EmbeddedCluster, lane: Any) -> Iterator[Once]:
    producer = producer_of(cluster, lane, enable_idempotence=True)
    with contextlib.suppress(DeliveryError), producer:
        end(cluster, producer)

        def once(_: int) -> None:
            refused(FatalProducerError, lambda: producer.send("t", b"v", partition=0))
            refused(FatalProducerError, lambda: producer.send_batch("t", [b"v"] * 3, partitions=0))

        yield once


def end(cluster: EmbeddedCluster, producer: Any) -> None:
    """Have an idempotent producer end with a fatal error."""
    for code in (0, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER):
        if code:
            cluster.push_errors(ApiKey.PRODUCE, [code])
        with contextlib.suppress(DeliveryError):
            sent = producer.send_batch("t", [b"v"], partitions=0)
            if isinstance(producer, ThroughputProducer):
                sent.result(60)


@path(ERRORS, "an aborted transaction, throughput", warm=50, quick=50)
def aborted(cluster: EmbeddedCluster) -> Iterator[Once]:
    with producer_of(cluster, ThroughputProducer, transactional_id="leaks") as producer:
        producer.init_transactions()

        def transact() -> None:
            with producer.transaction():
                producer.send_batch("t", [b"v"] * 3)
                producer.flush(60)
                raise KeyError

        yield lambda _: refused(KeyError, transact)


@path(ERRORS, "answers of a registry", warm=60, quick=60)
def registry(_: EmbeddedCluster) -> Iterator[Once]:
    """Each by HTTP, from a serializer of its own or the same one."""
    answers: list[Any] = [{"id": -1}, {"id": "text"}, {}, [], "text", None]
    given: list[Any] = [None]
    with serving(lambda *_: given[0]) as url:
        avro = Avro("long", registry={"url": url, "max.retries": 0})

        def once(i: int) -> None:
            given[0] = answers[i % len(answers)]
            made = avro if i % 2 else Avro("long", registry={"url": url, "max.retries": 0})
            refused(SerializationError, lambda: made.warm_up("t"))

        yield once


# ---- producers ------------------------------------------------------------------------------------------------------


@on_both_lanes(PRODUCERS, "a producer that succeeds", **FEW)
def succeeding(cluster: EmbeddedCluster, lane: Any) -> Iterator[Once]:
    def once(_: int) -> None:
        with producer_of(cluster, lane) as producer:
            producer.send("t", b"v")
            producer.send_batch("t", [b"v"] * 3)
            assert producer.flush(60) == 0

    yield once


@on_both_lanes(PRODUCERS, "a producer that is denied", **FEW)
def denied(cluster: EmbeddedCluster, lane: Any) -> Iterator[Once]:
    def once(_: int) -> None:
        cluster.push_errors(ApiKey.PRODUCE, [DENIED])
        with producer_of(cluster, lane) as producer, contextlib.suppress(DeliveryError):
            sent = producer.send_batch("t", [b"v"] * 3, partitions=0)
            if lane is ThroughputProducer:
                sent.result(60)

    yield once


@on_both_lanes(PRODUCERS, "a producer that ends with a fatal error", **FEW)
def ended(cluster: EmbeddedCluster, lane: Any) -> Iterator[Once]:
    def once(_: int) -> None:
        with contextlib.suppress(DeliveryError), producer_of(cluster, lane, enable_idempotence=True) as producer:
            end(cluster, producer)

    yield once


@on_both_lanes(PRODUCERS, "a producer without brokers", **FEW)
def alone(_: EmbeddedCluster, lane: Any) -> Iterator[Once]:
    def once(_: int) -> None:
        with lane(bootstrap_servers=NOBODY) as producer:
            refused(DeliveryError, lambda: producer.send("t", b"v", timeout=0.001))

    yield once


@on_both_lanes(PRODUCERS, "a producer that is dropped open", **FEW)
def dropped(cluster: EmbeddedCluster, lane: Any) -> Iterator[Once]:
    def once(_: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            producer = producer_of(cluster, lane)
            producer.send("t", b"v")
            del producer

    yield once


@path(PRODUCERS, "an awaited producer", **FEW)
def awaited(cluster: EmbeddedCluster) -> Iterator[Once]:
    async def use() -> None:
        async with producer_of(cluster, AsyncSafeProducer) as producer:
            await producer.send("t", b"v")

    yield lambda _: asyncio.run(use())


@path(PRODUCERS, "a Producer of twolane.confluent", **FEW)
def front(cluster: EmbeddedCluster) -> Iterator[Once]:
    def once(_: int) -> None:
        producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
        producer.produce("t", b"v", on_delivery=lambda *_: None)
        with contextlib.suppress(KafkaException):
            producer.flush(60)
        producer.close()

    yield once


# ---- records --------------------------------------------------------------------------------------------------------


@on_both_lanes(RECORDS, "send_batch()", each=RECORDS_EACH, warm=20, quick=20)
def batches(cluster: EmbeddedCluster, lane: Any) -> Iterator[Once]:
    layout = Struct(ROWS.dtype)
    window = WINDOW if lane is ThroughputProducer else {}
    with producer_of(cluster, lane, **window) as producer:
        yield lambda _: producer.send_batch("t", ROWS, serializer=layout)
        assert producer.flush(60) == 0


@path(RECORDS, "send() with a callback, throughput", each=1_000, most=10**7, warm=300, quick=200)
def singles(cluster: EmbeddedCluster) -> Iterator[Once]:
    ended = [0, 0]

    def told(error: Any, _: Any) -> None:
        ended[error is not None] += 1

    with producer_of(cluster, ThroughputProducer, **WINDOW) as producer:

        def once(_: int) -> None:
            for _ in range(1_000):
                producer.send("t", b"value", key=b"key", on_delivery=told)

        yield once
        assert producer.flush(60) == 0
    assert ended[0]
    assert not ended[1]
