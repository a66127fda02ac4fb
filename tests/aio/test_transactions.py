"""Transactions awaited, on real brokers: all visible, or nothing; a cancelled block is aborted."""

from __future__ import annotations

import asyncio

import pytest

from tests.aio.conftest import run_in
from tests.support.transactions import values
from twolane import AsyncSafeProducer, AsyncThroughputProducer, ConfigError, TransactionError


@pytest.fixture(params=[AsyncSafeProducer, AsyncThroughputProducer])
def made(request, kafka_cluster, topic):
    def make():
        return request.param(bootstrap_servers=kafka_cluster.bootstrap_servers, transactional_id=topic(kafka_cluster))

    return make


def test_a_block_is_visible_when_it_ends_and_not_when_it_raises_or_is_cancelled(kafka_cluster, made, topic):
    name = topic(kafka_cluster)

    async def main():
        async with made() as producer:
            with pytest.raises(TransactionError, match="init_transactions"):
                async with producer.transaction():
                    pass
            await producer.init_transactions(30)
            async with producer.transaction():
                await asyncio.gather(producer.send(name, b"one"), producer.send_batch(name, [b"two", b"three"]))
                assert values(kafka_cluster, name) == []
            with pytest.raises(ZeroDivisionError):
                async with producer.transaction():
                    await producer.send(name, b"never")
                    await producer.flush()  # an abort right behind a commit, before the partition is in: F35
                    raise ZeroDivisionError
            has_sent = asyncio.Event()

            async def endless():
                async with producer.transaction():
                    await producer.send(name, b"cancelled")
                    await producer.flush()
                    has_sent.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(endless())
            await has_sent.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(None) as limit, producer.transaction():
                    await producer.send(name, b"timed out")
                    await producer.flush()
                    limit.reschedule(asyncio.get_running_loop().time())
                    await asyncio.Event().wait()
            async with producer.transaction():
                await producer.send(name, b"by itself")
                await producer.commit_transaction()
            async with producer.transaction():
                await producer.send(name, b"aborted by itself")
                await producer.flush()
                await producer.abort_transaction()
            with pytest.raises(TransactionError, match="no transaction is open"):
                await producer.commit_transaction()

    run_in("asyncio", main())
    assert values(kafka_cluster, name, 4) == [b"one", b"two", b"three", b"by itself"]


def test_a_block_that_is_cancelled_while_it_begins_leaves_none_open(kafka_cluster, made, topic):
    name = topic(kafka_cluster)

    async def main():
        async with made() as producer:
            await producer.init_transactions(30)

            async def block():
                async with producer.transaction():
                    pytest.fail("it was cancelled before")

            for _ in range(3):
                task = asyncio.create_task(block())
                while producer._loop is None or producer._line.is_idle:
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            async with producer.transaction():
                await producer.send(name, b"after")

    run_in("asyncio", main())
    assert values(kafka_cluster, name, 1) == [b"after"]


def test_without_an_id_it_is_a_config_error(embedded_cluster):
    async def main():
        async with AsyncSafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
            with pytest.raises(ConfigError, match=r"transactional\.id"):
                await producer.init_transactions()

    run_in("asyncio", main())
