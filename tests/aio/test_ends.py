"""How an asyncio producer belongs to its loop, and how it ends: close, other loops, closed loops, fork, collection."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import threading

import pytest
from confluent_kafka import KafkaError

from tests.aio.conftest import run_in, until
from tests.support.readers import read_values
from tests.support.waiting import HELD
from twolane import ClosedProducerError


def test_it_can_be_made_before_there_is_a_loop(embedded_cluster, made, topic, run):
    name, producer = topic(embedded_cluster), made()

    async def main():
        async with producer:
            return await producer.send(name, b"v")

    assert run(main()).offset == 0


def test_another_loop_is_refused(embedded_cluster, made, topic):
    name, producer = topic(embedded_cluster), made()

    async def main():
        await producer.send(name, b"v")

        def elsewhere():
            with pytest.raises(RuntimeError, match="belongs to the event loop"):
                asyncio.run(producer.send(name, b"v"))
            with pytest.raises(RuntimeError, match="belongs to the event loop"):
                asyncio.run(producer.close())

        await asyncio.to_thread(elsewhere)

    run_in("asyncio", main())
    with pytest.raises(RuntimeError, match="which is closed"):
        run_in("asyncio", producer.send(name, b"v"))
    run_in("asyncio", producer.close())
    with pytest.raises(ClosedProducerError):
        run_in("asyncio", producer.send(name, b"v"))
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"v"]


def test_without_a_loop_python_says_so(made):
    producer = made()
    with pytest.raises(RuntimeError, match="no running event loop"):
        producer.send("t", b"v").send(None)
    run_in("asyncio", producer.close())


def test_a_loop_that_is_closed_while_sends_wait(embedded_cluster, made, topic, caplog):
    """Those on their way go on and are logged; those in line are not sent."""
    caplog.set_level(logging.INFO, "twolane")
    name, producer = topic(embedded_cluster), made()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(producer.send(name, b"warm"))
    embedded_cluster.set_rtt(HELD)
    flying = loop.create_task(producer.send(name, b"in flight"))
    loop.run_until_complete(until(lambda: producer.stats().in_queue == 1))
    waiting = loop.create_task(producer.send(name, b"in line"))
    loop.run_until_complete(until(lambda: len(producer._line) == 1))
    for task in (flying, waiting):
        task._log_destroy_pending = False
    loop.close()
    embedded_cluster.set_rtt(0)
    run_in("asyncio", until(lambda: producer.stats().written == 2))
    run_in("asyncio", until(lambda: "nothing awaits" in caplog.text))
    run_in("asyncio", producer.close())
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"in flight"]


def test_close_turns_away_those_in_line(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        producer = made()
        await producer.send(name, b"warm")
        embedded_cluster.set_rtt(HELD)
        flying = asyncio.create_task(producer.send(name, b"in flight"))
        await until(lambda: producer.stats().in_queue == 1)
        waiting = [asyncio.create_task(producer.send(name, b"in line")) for _ in range(3)]
        await until(lambda: len(producer._line) == 3)
        closing = [asyncio.create_task(producer.close()) for _ in range(2)]
        for task in waiting:
            with pytest.raises(ClosedProducerError):
                await task
        embedded_cluster.set_rtt(0)
        await asyncio.gather(*closing)
        assert (await flying).offset == 1
        with pytest.raises(ClosedProducerError):
            await producer.send(name, b"after")
        await producer.close()
        assert await producer.flush() == 0

    run(main())
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"in flight"]


def test_close_ends_calls_that_ask_for_their_topic(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)
    embedded_cluster.set_topic_error(name, KafkaError.UNKNOWN_TOPIC_OR_PART)  # asked for again and again for 3 s

    async def main():
        producer = made()
        tasks = [asyncio.create_task(producer.send(name, b"v")) for _ in range(2)]
        await until(lambda: producer._loop and name in producer._preparations.topics)
        await producer.close()
        for task in tasks:
            with pytest.raises(ClosedProducerError):
                await task

    run(main())


def test_a_call_that_knows_its_topic_only_after_close_is_refused(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)
    asked, answer = threading.Event(), threading.Event()

    async def main():
        producer = made()
        producer._enter()
        find = producer._preparations._resolve

        def find_late(*arguments):
            found = find(*arguments)
            asked.set()
            assert answer.wait(60)
            return found

        producer._preparations._resolve = find_late
        tasks = [asyncio.create_task(producer.send_batch(name, [b"v"]))]
        tasks.append(asyncio.create_task(producer.send(name, b"v")))
        await until(asked.is_set)
        await producer.close()
        answer.set()
        for task in tasks:
            with pytest.raises(ClosedProducerError):
                await asyncio.wait_for(task, 60)
        asked.clear()
        answer.clear()

    run(main())


def test_its_thread_ends_with_it(embedded_cluster, made, topic, run):
    name = topic(embedded_cluster)

    async def main():
        async with made() as producer:
            await producer.send(name, b"v")
            assert [thread for thread in threading.enumerate() if thread.name == "twolane-aio"]

    before = set(threading.enumerate())
    run(main())
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_a_producer_that_is_dropped_open_warns_and_drains(embedded_cluster, made, topic):
    name = topic(embedded_cluster)

    async def main():
        producer = made()
        await producer.send(name, b"warm")
        embedded_cluster.set_rtt(HELD)
        task = asyncio.create_task(producer.send(name, b"in flight"))
        await until(lambda: producer.stats().in_queue == 1)
        task.cancel()
        await asyncio.wait([task])
        embedded_cluster.set_rtt(0)

    with pytest.warns(ResourceWarning, match="unclosed <AsyncSafeProducer"):
        run_in("asyncio", main())
        gc.collect()
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"in flight"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_the_child_of_a_fork_gets_an_error_and_the_parent_goes_on(embedded_cluster, made, topic):
    name = topic(embedded_cluster)
    script = textwrap.dedent(
        """
        import asyncio, os, sys
        from twolane import AsyncSafeProducer, ForkedProducerError
        producer = AsyncSafeProducer(bootstrap_servers=sys.argv[1], check_topics=False)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(producer.send(sys.argv[2], b"before"))
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(producer.send(sys.argv[2], b"child"))
            except ForkedProducerError:
                asyncio.run(producer.close())
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        loop.run_until_complete(producer.send(sys.argv[2], b"after"))
        loop.run_until_complete(producer.close())
        loop.close()
        """
    )
    command = [sys.executable, "-W", "error", "-c", script, embedded_cluster.bootstrap_servers, name]
    subprocess.run(command, check=True, timeout=60)
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"before", b"after"]


def test_what_is_open_at_the_interpreters_end_is_drained(embedded_cluster, topic):
    name = topic(embedded_cluster)
    script = textwrap.dedent(
        """
        import asyncio, sys
        from twolane import AsyncSafeProducer
        producer = AsyncSafeProducer(bootstrap_servers=sys.argv[1], check_topics=False)
        async def main():
            await producer.send(sys.argv[2], b"warm")
            task = asyncio.create_task(producer.send(sys.argv[2], b"in flight"))
            while producer.stats().accepted < 2:
                await asyncio.sleep(0)
        asyncio.run(main())
        """
    )
    command = [sys.executable, "-W", "always", "-c", script, embedded_cluster.bootstrap_servers, name]
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert "AsyncSafeProducer" in done.stderr
    assert "ResourceWarning" in done.stderr
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"in flight"]


def test_it_cannot_be_pickled(made):
    producer = made()
    with pytest.raises(TypeError, match="AsyncSafeProducer cannot be pickled"):
        pickle.dumps(producer)
    run_in("asyncio", producer.close())


def test_a_topic_that_is_not_found_holds_up_no_other(embedded_cluster, made, topic, run):
    name, unknown = topic(embedded_cluster), topic(embedded_cluster)
    embedded_cluster.set_topic_error(unknown, KafkaError.UNKNOWN_TOPIC_OR_PART)  # asked for again and again for 3 s

    async def main():
        async with made() as producer:
            await producer.send(name, b"warm")
            tasks = [asyncio.create_task(producer.send(unknown, b"%d" % i)) for i in range(3)]
            await asyncio.sleep(0)
            await producer.send(name, b"v")
            assert not any(task.done() for task in tasks)
            embedded_cluster.set_topic_error(unknown, 0)
            assert [(await task).offset for task in tasks] == [0, 1, 2]

    run(main())
