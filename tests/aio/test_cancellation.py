"""Cancelling a wait ends the wait: what was not handed over is withdrawn, all else goes on and is accounted for."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
import time

import pytest

from tests.aio.conftest import held, run_in, until
from tests.support.readers import read_values
from tests.support.waiting import HELD
from twolane import RecordMetadata, Verdict


async def outcome_of(task):
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return caught.value.twolane_result


def test_a_record_that_was_not_handed_over_is_withdrawn(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")
            async with held(producer) as let_go:
                tasks = [asyncio.create_task(producer.send(name, b"%d" % i)) for i in range(3)]
                await until(lambda: len(producer._line) == 3)
                tasks[1].cancel()
                outcome = await outcome_of(tasks[1])
                let_go()
            assert outcome.verdict is Verdict.NOT_WRITTEN
            await asyncio.gather(tasks[0], tasks[2])
            assert producer.stats().accepted == 3

    run(main())
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"0", b"2"]


def test_a_record_in_a_group_is_withdrawn_until_its_own_request_is_built(embedded_cluster, made, topic):
    """A group of two topics sends one after the other."""
    first, second = topic(embedded_cluster), topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(first, b"warm")
            await producer.send(second, b"warm")
            embedded_cluster.set_rtt(HELD)
            tasks = [asyncio.create_task(producer.send(name, b"x")) for name in (first, second)]
            await until(lambda: producer.stats().in_queue == 1)
            tasks[1].cancel()
            outcome = await outcome_of(tasks[1])
            embedded_cluster.set_rtt(0)
            await tasks[0]
            assert outcome.verdict is Verdict.NOT_WRITTEN

    run_in("asyncio", main())
    assert read_values(embedded_cluster.bootstrap_servers, second) == [b"warm"]


def test_a_record_in_flight_goes_on_and_its_end_is_logged(embedded_cluster, made, topic, run, caplog):
    name = topic(embedded_cluster)
    caplog.set_level(logging.INFO, "twolane")

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")
            embedded_cluster.set_rtt(HELD)
            task = asyncio.create_task(producer.send(name, b"in flight"))
            await until(lambda: producer.stats().in_queue == 1)
            task.cancel()
            outcome = await outcome_of(task)
            assert outcome.verdict is Verdict.UNKNOWN
            embedded_cluster.set_rtt(0)
            assert await producer.flush() == 0
            assert producer.stats().written == 2

    run(main())
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"in flight"]
    assert any("nothing awaits" in line and "offset=1" in line for line in caplog.messages)


def test_a_record_that_is_written_when_its_task_is_cancelled_says_so(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")

            async def neighbour():
                await producer.send(name, b"neighbour")
                task.cancel()  # it is in the same group, and steps behind this one

            first = asyncio.create_task(neighbour())
            task = asyncio.create_task(producer.send(name, b"done"))
            outcome = await outcome_of(task)
            await first
            assert type(outcome) is RecordMetadata
            assert outcome.offset == 2

    run(main())


def test_a_call_that_asks_for_its_topic_is_withdrawn(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            embedded_cluster.set_rtt(HELD)
            task = asyncio.create_task(producer.send(name, b"never"))
            await until(lambda: name in producer._preparations.topics)
            task.cancel()
            outcome = await outcome_of(task)
            embedded_cluster.set_rtt(0)
            assert outcome.verdict is Verdict.NOT_WRITTEN
            await producer.send(name, b"after")

    run(main())
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"after"]


def test_timeout_and_wait_for_cancel(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")
            async with held(producer):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await producer.send(name, b"timeout")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(producer.send(name, b"wait_for"), 0.01)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(producer.send_batch(name, [b"batch"]), 0.01)

    run(main())
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm"]


def test_a_task_group_withdraws_the_others(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")

            async def fail():
                await until(lambda: len(producer._line) == 2)
                raise ZeroDivisionError

            async with held(producer):
                with pytest.raises(ExceptionGroup) as caught:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(producer.send(name, b"1"))
                        group.create_task(producer.send(name, b"2"))
                        group.create_task(fail())
                assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]

    run(main())
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm"]


@pytest.mark.timing
def test_a_timeout_in_line_is_the_blocking_lanes_error(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")
            async with held(producer):
                started = time.monotonic()
                with pytest.raises(Exception, match="timed out waiting for the calls before it") as caught:
                    await producer.send(name, b"late", timeout=0.05)
                assert time.monotonic() - started < 1.5
                assert caught.value.verdict is Verdict.NOT_WRITTEN

    run(main())
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs pthread_kill()")
def test_ctrl_c_in_asyncio_run_cancels_the_wait(embedded_cluster, made, topic):
    name = topic(embedded_cluster)
    outcomes = []

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")
            embedded_cluster.set_rtt(HELD)
            task = asyncio.create_task(producer.send(name, b"in flight"))
            await until(lambda: producer.stats().in_queue == 1)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            try:
                await task
            except asyncio.CancelledError as error:
                outcomes.append(error.twolane_result)
                embedded_cluster.set_rtt(0)
                raise

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert [outcome.verdict for outcome in outcomes] == [Verdict.UNKNOWN]
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"in flight"]
    gc.collect()
