"""AsyncThroughputProducer: accepted when awaited, acknowledged when its delivery is; the loop never waits for room."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest
from confluent_kafka import KafkaError

from tests.aio.conftest import run_in, until
from tests.aio.test_same_errors import BATCHES, SENDS, described, ended, ended_async
from tests.support.readers import read_all, read_values
from tests.support.waiting import HELD
from twolane import AsyncThroughputProducer, ClosedProducerError, DeliveryError, QueueFullError, ThroughputProducer

PRODUCE = 0


@pytest.fixture
def made(embedded_cluster):
    def make(**settings):
        return AsyncThroughputProducer(
            **{"bootstrap_servers": embedded_cluster.bootstrap_servers, "linger_ms": 1, **settings}
        )

    return make


def test_records_and_batches_keep_the_order_of_their_calls(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            calls = []
            for i in range(200):
                calls.append(producer.send(name, b"%d" % i))
                if i % 50 == 0:
                    calls.append(producer.send_batch(name, [b"%d.%d" % (i, n) for n in range(3)]))
            await asyncio.gather(*calls)
            assert await producer.flush() == 0
            for i in range(200, 1000):
                await producer.send(name, b"%d" % i)

    run(main())
    expected = []
    for i in range(1000):
        expected += [b"%d" % i, *(b"%d.%d" % (i, n) for n in range(3) if i % 50 == 0 and i < 200)]
    assert read_values(embedded_cluster.bootstrap_servers, name) == expected


def test_deliveries_are_awaited(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster, 3)

    async def main():
        async with made() as producer:

            async def work(i):
                return await (await producer.submit(name, b"%d" % i, key=b"k%d" % i))

            results = await asyncio.gather(*(work(i) for i in range(1000)))
            metadata = await (await producer.send_batch(name, [b"a", b"b"]))
            assert metadata.written == 2
            return results

    results = run(main())
    log = {
        (record.partition, record.offset): record.value for record in read_all(embedded_cluster.bootstrap_servers, name)
    }
    assert [log[result.partition, result.offset] for result in results] == [b"%d" % i for i in range(1000)]


@pytest.mark.parametrize("case", SENDS)
def test_send_raises_what_the_blocking_one_does(embedded_cluster, made, topic, case):
    compare(embedded_cluster, made, topic, "send", SENDS[case])


@pytest.mark.parametrize("case", SENDS)
def test_submit_raises_what_the_blocking_one_does(embedded_cluster, made, topic, case):
    compare(embedded_cluster, made, topic, "submit", SENDS[case])


@pytest.mark.parametrize("case", BATCHES)
def test_send_batch_raises_what_the_blocking_one_does(embedded_cluster, made, topic, case):
    compare(embedded_cluster, made, topic, "send_batch", BATCHES[case])


def compare(cluster, made, topic, method, case):
    name = topic(cluster, 2)
    arguments, keywords = case

    async def main():
        async with made() as producer:
            result = await ended_async(getattr(producer, method), name, *arguments, **keywords)
            if result is not None and not isinstance(result, BaseException):
                result = await result
            return result

    awaited = run_in("asyncio", main())
    with ThroughputProducer(bootstrap_servers=cluster.bootstrap_servers, linger_ms=1) as producer:
        result = ended(getattr(producer, method), name, *arguments, **keywords)
        if result is not None and not isinstance(result, BaseException):
            result = result.result(20)
    assert awaited is result is None or described(awaited) == described(result)


def test_a_full_window_holds_up_the_task_and_not_the_loop(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made(queue_buffering_max_messages=10) as producer:
            await producer.send(name, b"0")
            await producer.flush()
            embedded_cluster.set_rtt(200)
            turns = 0

            async def count():
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            counting = asyncio.create_task(count())
            for i in range(1, 31):
                await producer.send(name, b"%d" % i)
            embedded_cluster.set_rtt(0)
            counting.cancel()
            assert turns > 100
            await producer.flush()

    run(main())
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"%d" % i for i in range(31)]


def test_on_full_raise_and_timeouts(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        for settings, timeout in (({"on_full": "raise"}, None), ({}, 0.05)):
            async with made(queue_buffering_max_messages=5, **settings) as producer:
                await producer.send(name, b"warm")
                await producer.flush()
                embedded_cluster.set_rtt(HELD)
                with pytest.raises(QueueFullError):
                    for _ in range(6):
                        await producer.send(name, b"v", timeout=timeout)
                embedded_cluster.set_rtt(0)

    run(main())


def test_a_wait_for_room_is_cancelled_and_withdrawn(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made(queue_buffering_max_messages=5) as producer:
            await producer.send(name, b"warm")
            await producer.flush()
            embedded_cluster.set_rtt(HELD)
            for i in range(5):
                await producer.send(name, b"%d" % i)
            first = asyncio.create_task(producer.send(name, b"first"))
            await until(lambda: not producer._line.is_idle and not len(producer._line))
            second = asyncio.create_task(producer.send(name, b"second"))
            await until(lambda: len(producer._line) == 1)
            second.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await second
            embedded_cluster.set_rtt(0)
            await first

    run(main())
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", *(b"%d" % i for i in range(5)), b"first"]


def test_failures_without_a_delivery_are_raised_by_flush(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made(retries=0) as producer:
            embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD])
            await producer.send(name, b"v")
            with pytest.raises(DeliveryError):
                await producer.flush()

    run(main())


def test_a_loop_of_sends_lets_other_tasks_run(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")
            ran = asyncio.Event()
            task = asyncio.create_task(set_soon(ran))
            for _ in range(1000):
                await producer.send(name, b"v")
            assert ran.is_set()
            await task

    run(main())


async def set_soon(event):
    event.set()


def test_close_ends_a_wait_for_room_and_drains(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        producer = made(queue_buffering_max_messages=5)
        await producer.send(name, b"warm")
        await producer.flush()
        embedded_cluster.set_rtt(HELD)
        for i in range(5):
            await producer.send(name, b"%d" % i)
        waiting = asyncio.create_task(producer.send(name, b"never"))
        await until(lambda: not producer._line.is_idle)
        closing = asyncio.create_task(producer.close())
        with pytest.raises(ClosedProducerError):
            await waiting
        embedded_cluster.set_rtt(0)
        await closing
        with pytest.raises(ClosedProducerError):
            await producer.flush()

    run(main())
    assert read_values(embedded_cluster.bootstrap_servers, name)[1:] == [b"%d" % i for i in range(5)]


def test_its_threads_end_with_it(embedded_cluster, made, topic, run):
    before = set(threading.enumerate())
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(name, b"v")
            await producer.flush()
            assert await producer.partitions_for(name) == {0}
            await producer.purge()

    run(main())
    deadline = time.monotonic() + 10
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
        assert not thread.is_alive()
