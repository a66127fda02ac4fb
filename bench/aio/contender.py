"""One contender, one run, in a process of its own: its name, brokers, topic, partitions, tasks, seconds, idempotence.

Every task awaits one record after the other until the time is up. Prints one JSON line: records acknowledged (those of
the warm-up beside them), wall and CPU seconds, latencies.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from bench.aio.targets import AIOKAFKA, AIOPRODUCER, BATCHER, BLOCKING, POLL_THREAD, SAFE, SAFE_UVLOOP, SUBMIT
from bench.contender import Clock, quantiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

VALUE = bytes(i * 31 + 7 & 0xFF for i in range(100))
# Records that open connections and fetch metadata before the clocks start: of each task, and one by one before that.
WARMUP = 3


def key_of(task: int) -> bytes:
    return b"key-%04d" % task


async def measured(
    send: Callable[[bytes], Awaitable[Any]], partitions: int, tasks: int, seconds: float
) -> dict[str, Any]:
    for i in range(WARMUP * partitions * 8):  # keys enough for every partition
        await send(key_of(i))

    async def warm(task: int) -> None:
        for _ in range(WARMUP):
            await send(key_of(task))

    await asyncio.gather(*(warm(task) for task in range(tasks)))
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def work(key: bytes) -> None:
        now = time.perf_counter()
        while now < until:
            started = now
            await send(key)
            now = time.perf_counter()
            latencies.append(now - started)

    clock = Clock()
    await asyncio.gather(*(work(key_of(task)) for task in range(tasks)))
    times = clock.stop()
    warmed = WARMUP * partitions * 8 + WARMUP * tasks
    return {"records": len(latencies), "warmup": warmed, **times, **quantiles(latencies)}


async def safe(bootstrap: str, topic: str, idempotent: bool) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    from twolane import AsyncSafeProducer

    async with AsyncSafeProducer(
        bootstrap_servers=bootstrap, enable_idempotence=idempotent, check_topics=False
    ) as producer:
        yield lambda key: producer.send(topic, VALUE, key=key)


async def submit(bootstrap: str, topic: str, idempotent: bool) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    from twolane import AsyncThroughputProducer

    async with AsyncThroughputProducer(
        bootstrap_servers=bootstrap, enable_idempotence=idempotent, linger_ms=0
    ) as producer:

        async def send(key: bytes) -> None:
            await (await producer.submit(topic, VALUE, key=key))

        yield send


async def aiokafka(bootstrap: str, topic: str, idempotent: bool) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=idempotent, linger_ms=0)
    await producer.start()
    try:
        yield lambda key: producer.send_and_wait(topic, VALUE, key=key)
    finally:
        await producer.stop()


def confluent_settings(bootstrap: str, idempotent: bool) -> dict[str, Any]:
    return {
        "bootstrap.servers": bootstrap,
        "acks": "all",
        "enable.idempotence": idempotent,
        "linger.ms": 0,
        "socket.nagle.disable": True,
        "partitioner": "murmur2_random",
    }


async def aioproducer(bootstrap: str, topic: str, idempotent: bool) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    """Send with buffers of 5 ms: by default, a second, nobody would wait for a single record."""
    from confluent_kafka.aio import AIOProducer

    producer = AIOProducer(confluent_settings(bootstrap, idempotent), buffer_timeout=0.005)

    async def send(key: bytes) -> None:
        message = await (await producer.produce(topic, value=VALUE, key=key))
        assert message.error() is None

    yield send
    await producer.close()


async def poll_thread(bootstrap: str, topic: str, idempotent: bool) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    """Send as most do by hand: produce() in the loop, poll() in a thread, a future for each record."""
    from confluent_kafka import Producer

    producer, loop = Producer(confluent_settings(bootstrap, idempotent)), asyncio.get_running_loop()
    ends = threading.Event()

    def poll() -> None:
        while not ends.is_set():
            producer.poll(0.1)

    thread = threading.Thread(target=poll)
    thread.start()

    async def send(key: bytes) -> None:
        future = loop.create_future()

        def report(error: Any, message: Any) -> None:
            loop.call_soon_threadsafe(future.set_result, error)

        producer.produce(topic, VALUE, key, on_delivery=report)
        assert await future is None

    try:
        yield send
    finally:
        ends.set()
        thread.join()


async def batcher(bootstrap: str, topic: str, idempotent: bool) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    """Send with a micro-batcher by hand over the blocking send_batch(): what a user could write in 25 lines."""
    from twolane import SafeProducer

    loop = asyncio.get_running_loop()
    waiting: list[tuple[bytes, asyncio.Future[int]]] = []
    work = asyncio.Event()
    with SafeProducer(bootstrap_servers=bootstrap, enable_idempotence=idempotent, check_topics=False) as producer:

        async def drive() -> None:
            while True:
                await work.wait()
                work.clear()
                while waiting:
                    batch = waiting[:]
                    waiting.clear()
                    keys = [key for key, _ in batch]
                    metadata = await loop.run_in_executor(
                        None, lambda keys=keys: producer.send_batch(topic, [VALUE] * len(keys), keys=keys)
                    )
                    for (_, future), offset in zip(batch, metadata.offsets.tolist(), strict=True):
                        future.set_result(offset)

        async def send(key: bytes) -> None:
            future: asyncio.Future[int] = loop.create_future()
            waiting.append((key, future))
            work.set()
            await future

        driver = asyncio.create_task(drive())
        yield send
        driver.cancel()


def blocking(bootstrap: str, topic: str, partitions: int, seconds: float, idempotent: bool) -> dict[str, Any]:
    """Send one by one with the blocking lane: what awaiting is held to."""
    from twolane import SafeProducer

    with SafeProducer(bootstrap_servers=bootstrap, enable_idempotence=idempotent, check_topics=False) as producer:
        for i in range(WARMUP * partitions * 8):
            producer.send(topic, VALUE, key=key_of(i))
        latencies: list[float] = []
        clock = Clock()
        now = time.perf_counter()
        until = now + seconds
        while now < until:
            started = now
            producer.send(topic, VALUE, key=key_of(0))
            now = time.perf_counter()
            latencies.append(now - started)
        return {
            "records": len(latencies),
            "warmup": WARMUP * partitions * 8,
            **clock.stop(),
            **quantiles(latencies),
        }


CONTENDERS: dict[str, Callable[[str, str, bool], AsyncIterator[Callable[[bytes], Awaitable[Any]]]]] = {
    SAFE: safe,
    SAFE_UVLOOP: safe,
    SUBMIT: submit,
    AIOKAFKA: aiokafka,
    AIOPRODUCER: aioproducer,
    POLL_THREAD: poll_thread,
    BATCHER: batcher,
}


async def awaited(
    name: str, bootstrap: str, topic: str, partitions: int, tasks: int, seconds: float, idempotent: bool
) -> Any:
    result = None
    async for send in CONTENDERS[name](bootstrap, topic, idempotent):
        result = await measured(send, partitions, tasks, seconds)
    return result


def main() -> None:
    name, bootstrap, topic, partitions, tasks, seconds, idempotence = sys.argv[1:]
    idempotent = idempotence == "on"
    if name == BLOCKING:
        result = blocking(bootstrap, topic, int(partitions), float(seconds), idempotent)
    else:
        factory = None
        if name == SAFE_UVLOOP:
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            result = runner.run(
                awaited(name, bootstrap, topic, int(partitions), int(tasks), float(seconds), idempotent)
            )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
