"""Sends awaited at one moment share requests, wake the loop once, and stand in the order of their calls."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from tests.aio.conftest import held, run_in, until
from tests.support.readers import read_all, read_values
from tests.support.waiting import HELD

PRODUCE = 0


def test_a_hundred_tasks_share_one_request_in_the_order_of_their_calls(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")
            embedded_cluster.clear_requests()
            async with held(producer) as let_go:
                tasks = [asyncio.create_task(producer.send(name, b"%d" % i)) for i in range(100)]
                await until(lambda: len(producer._line) == 100)
                let_go()
            return [await task for task in tasks]

    results = run(main())
    assert len(embedded_cluster.requests(PRODUCE)) == 1
    assert [result.offset for result in results] == list(range(1, 101))
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", *(b"%d" % i for i in range(100))]


def test_gathered_sends_share_a_request_without_any_waiting(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")
            embedded_cluster.clear_requests()
            await asyncio.gather(*(producer.send(name, b"%d" % i) for i in range(50)))

    run(main())
    assert len(embedded_cluster.requests(PRODUCE)) == 1


def test_the_loop_is_woken_once_for_a_group(embedded_cluster, made, topic, monkeypatch):
    name = topic(embedded_cluster)
    woken = []

    async def main():
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def count(*arguments, **keywords):
            woken.append(arguments)
            return wake(*arguments, **keywords)

        monkeypatch.setattr(loop, "call_soon_threadsafe", count)
        async with made() as producer:
            await producer.send(name, b"warm")
            before = len(woken)
            await asyncio.gather(*(producer.send(name, b"%d" % i) for i in range(200)))
            return len(woken) - before

    assert run_in("asyncio", main()) == 1


def test_tasks_that_a_group_woke_go_along_with_those_that_waited(embedded_cluster, made, topic):
    """Else two halves of the tasks would wait for each other's requests for ever."""
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")
            embedded_cluster.set_rtt(HELD)
            embedded_cluster.clear_requests()

            async def twice(i):
                await producer.send(name, b"a%d" % i)
                await producer.send(name, b"b%d" % i)

            first = [asyncio.create_task(twice(i)) for i in range(10)]
            await until(lambda: producer.stats().in_queue == 10)
            others = [asyncio.create_task(producer.send(name, b"c%d" % i)) for i in range(10)]
            await until(lambda: len(producer._line) == 10)
            embedded_cluster.set_rtt(0)
            await asyncio.gather(*first, *others)

    run_in("asyncio", main())
    assert len(embedded_cluster.requests(PRODUCE)) == 2


def test_a_thousand_tasks_have_their_own_records(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster, 3)

    async def main():
        async with made() as producer:

            async def work(i):
                return [
                    await producer.send(name, b"%d" % n, key=b"task-%d" % i, headers={"n": b"%d" % n}) for n in range(3)
                ]

            results = await asyncio.gather(*(work(i) for i in range(1000)))
            return results, producer.stats()

    results, stats = run(main())
    assert stats.written == 3000
    log = {(record.partition, record.offset): record for record in read_all(embedded_cluster.bootstrap_servers, name)}
    assert len(log) == 3000
    for i, mine in enumerate(results):
        for n, metadata in enumerate(mine):
            record = log[metadata.partition, metadata.offset]
            assert (record.key, record.value, record.headers) == (b"task-%d" % i, b"%d" % n, [("n", b"%d" % n)])
        assert [metadata.offset for metadata in mine] == sorted(metadata.offset for metadata in mine)


def test_batches_and_records_keep_the_order_of_their_calls(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            calls = []
            for i in range(5):
                calls.append(producer.send(name, b"%d" % i))
                calls.append(producer.send_batch(name, [b"%d.%d" % (i, n) for n in range(3)]))
            await asyncio.gather(*calls)  # the first of them asks for the partitions, the others wait behind it

    run(main())
    expected = [value for i in range(5) for value in (b"%d" % i, *(b"%d.%d" % (i, n) for n in range(3)))]
    assert read_values(embedded_cluster.bootstrap_servers, name) == expected


def test_topics_of_one_group_have_their_own_verdicts(embedded_cluster, made, topic, run):
    names = [topic(embedded_cluster, 2) for _ in range(3)]

    async def main():
        async with made() as producer:
            await asyncio.gather(*(producer.send(names[i % 3], b"%d" % i, partition=0) for i in range(30)))

    run(main())
    for number, name in enumerate(names):
        assert [record.value for record in read_all(embedded_cluster.bootstrap_servers, name)] == [
            b"%d" % i for i in range(number, 30, 3)
        ]


def test_flush_waits_for_the_sends_before_it(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            tasks = [asyncio.create_task(producer.send(name, b"%d" % i)) for i in range(20)]
            await asyncio.sleep(0)  # each has called
            assert await producer.flush() == 0
            assert producer.stats().written == 20
            await asyncio.gather(*tasks)
            async with held(producer):
                waiting = asyncio.create_task(producer.send(name, b"late"))
                await asyncio.sleep(0)
                assert await producer.flush(0) >= 1
            await waiting

    run(main())


def test_a_task_that_ends_the_loop_takes_none_of_its_group_along(embedded_cluster, made, topic):
    """SystemExit passes through a task's step: the steps behind it, and the line, go on when the loop does."""
    name = topic(embedded_cluster)
    loop = asyncio.new_event_loop()
    producer = made()
    done = []

    async def send(i):
        await producer.send(name, b"%d" % i)
        done.append(i)
        if i == 1:
            raise SystemExit
        if i == 3:
            await producer.send(name, b"behind")
            done.append("behind")

    async def main():
        await producer.send(name, b"warm")
        await asyncio.wait([loop.create_task(send(i)) for i in range(5)])

    waiting = loop.create_task(main())
    with pytest.raises(SystemExit):
        loop.run_until_complete(waiting)
    assert done == [0, 1]
    loop.run_until_complete(waiting)
    assert done == [0, 1, 2, 3, 4, "behind"]
    loop.run_until_complete(producer.close())
    loop.close()


def test_every_task_keeps_its_own_context(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)
    number = contextvars.ContextVar("number")

    async def send(producer, i):
        number.set(i)
        await producer.send(name, b"%d" % i)
        return number.get(), asyncio.current_task()

    async def main():
        async with made() as producer:
            tasks = [asyncio.create_task(send(producer, i)) for i in range(10)]
            assert await asyncio.gather(*tasks) == list(enumerate(tasks))

    run(main())


def test_it_is_a_future_as_far_as_a_debugging_loop_can_tell(embedded_cluster, made, topic):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await asyncio.gather(*(asyncio.wait_for(producer.send(name, b"x"), 30) for _ in range(10)))
            task = asyncio.create_task(producer.send(name, b"y"))
            await asyncio.sleep(0)
            assert "Wakeup" in repr(task)
            await task

    asyncio.run(main(), debug=True)
