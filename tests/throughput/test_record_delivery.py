"""RecordDelivery, the future of one record; what it shares with BatchDelivery: awaiting, tasks, one wake-up."""

from __future__ import annotations

import asyncio
import gc

import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_all
from tests.support.waiting import HELD, wait_until
from twolane import DeliveryError, ThroughputProducer, Verdict

PRODUCE = 0


@pytest.fixture
def producer(embedded_cluster):
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, linger_ms=1, retries=0) as made:
        yield made


def test_its_result_is_the_metadata(embedded_cluster, producer, topic):
    name = topic(embedded_cluster, 2)
    deliveries = [producer.submit(name, b"%d" % i, key=b"k", opaque=i) for i in range(100)]
    results = [delivery.result(20) for delivery in deliveries]
    assert [result.opaque for result in results] == list(range(100))
    log = {
        (record.partition, record.offset): record.value for record in read_all(embedded_cluster.bootstrap_servers, name)
    }
    assert [log[result.partition, result.offset] for result in results] == [b"%d" % i for i in range(100)]
    assert all(delivery.done() for delivery in deliveries)
    assert deliveries[0].result(0) == results[0]


def test_its_failure_is_raised_each_time_and_is_then_no_news(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD])
    delivery = producer.submit(name, b"v", opaque="mine")
    for _ in range(2):
        with pytest.raises(DeliveryError) as caught:
            delivery.result(20)
        assert caught.value.verdict is Verdict.NOT_WRITTEN
        assert caught.value.opaque == "mine"
    del delivery, caught
    gc.collect()
    assert producer.flush() == 0


def test_a_failure_that_nobody_looked_at_is_raised_by_flush(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD])
    producer.submit(name, b"v")
    wait_until(lambda: producer._delivery_thread.problems._errors)  # its report has come and it is collected
    with pytest.raises(DeliveryError):
        producer.flush()
    assert producer.flush() == 0


def test_what_is_refused_has_no_future(producer, topic, embedded_cluster):
    with pytest.raises(DeliveryError):
        producer.submit(topic(embedded_cluster), b"v", partition=7)
    assert producer.stats().accepted == 0


@pytest.mark.parametrize("many", [False, True], ids=["record", "batch"])
def test_it_can_be_awaited_made_a_task_and_given_a_time(embedded_cluster, producer, topic, many):
    name = topic(embedded_cluster)

    def send():
        return producer.send_batch(name, [b"v"]) if many else producer.submit(name, b"v")

    async def main():
        delivery = send()
        assert asyncio.iscoroutine(delivery)
        first, second = asyncio.create_task(delivery), asyncio.create_task(delivery)
        result = await delivery
        assert await first == result == await second
        assert await delivery == result
        assert await asyncio.wait_for(send(), 20) is not None
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(send()) for _ in range(3)]
        assert all(task.result() for task in tasks)
        embedded_cluster.set_rtt(HELD)
        slow = send()
        task = asyncio.create_task(slow)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await slow
        embedded_cluster.set_rtt(0)
        assert await slow is not None  # it went on
        return result

    asyncio.run(main())
    assert asyncio.run(send()) is not None
    assert len(read_all(embedded_cluster.bootstrap_servers, name)) == 7


def test_a_failure_is_raised_where_it_is_awaited(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)

    async def main():
        embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD])
        with pytest.raises(DeliveryError):
            await asyncio.create_task(producer.submit(name, b"v"))

    asyncio.run(main())


def test_records_that_are_reported_together_wake_the_loop_once(embedded_cluster, producer, topic, monkeypatch):
    name = topic(embedded_cluster)
    producer.submit(name, b"warm").result(20)
    woken = []

    async def main():
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def count(*arguments):
            woken.append(arguments)
            return wake(*arguments)

        monkeypatch.setattr(loop, "call_soon_threadsafe", count)
        embedded_cluster.set_rtt(HELD)
        deliveries = [producer.submit(name, b"%d" % i) for i in range(500)]
        tasks = [asyncio.create_task(delivery) for delivery in deliveries]
        await asyncio.sleep(0)  # all await
        assert not any(delivery.done() for delivery in deliveries)
        embedded_cluster.set_rtt(0)
        producer.flush()  # in the loop's thread, which so cannot look: all are reported before it does
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert len(woken) == 1


def test_it_is_awaited_in_a_loop_of_uvloop(embedded_cluster, producer, topic):
    uvloop = pytest.importorskip("uvloop")
    name = topic(embedded_cluster)

    async def main():
        return await asyncio.gather(*(producer.submit(name, b"%d" % i) for i in range(10)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert [result.offset for result in runner.run(main())] == list(range(10))


def test_a_loop_that_is_closed_meanwhile_harms_nobody(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.partitions_for(name)
    embedded_cluster.set_rtt(HELD)
    delivery = producer.submit(name, b"v")
    loop = asyncio.new_event_loop()
    task = loop.create_task(delivery)
    task._log_destroy_pending = False
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    embedded_cluster.set_rtt(0)
    assert delivery.result(20).offset == 0
    assert producer.flush() == 0
