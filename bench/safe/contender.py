"""One contender, one run, in a process of its own: its name, brokers, topic, records, and idempotence ("on", "off").

Prints one JSON line: records acknowledged, wall and CPU seconds, latencies where each record is waited for.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from bench.contender import Clock
from bench.safe.targets import ASYNC, BATCH, HUNDRED, LOOP, POLL, THREADS
from twolane import SafeProducer

if TYPE_CHECKING:
    from collections.abc import Callable

VALUE, KEY = bytes(i * 31 + 7 & 0xFF for i in range(100)), b"key-0000"
N_THREADS = 100


def safe_loop(bootstrap: str, topic: str, records: int, idempotent: bool) -> dict[str, Any]:
    with SafeProducer(bootstrap_servers=bootstrap, enable_idempotence=idempotent, check_topics=False) as producer:
        producer.send(topic, VALUE, key=KEY)

        def one() -> None:
            producer.send(topic, VALUE, key=KEY)

        return waited(one, records)


def safe_batch(size: int) -> Callable[..., dict[str, Any]]:
    def run(bootstrap: str, topic: str, records: int, idempotent: bool) -> dict[str, Any]:
        values = [VALUE] * size
        with SafeProducer(bootstrap_servers=bootstrap, enable_idempotence=idempotent, check_topics=False) as producer:
            producer.send(topic, VALUE, key=KEY)
            clock = Clock()
            done = sum(producer.send_batch(topic, values, keys=KEY).written for _ in range(records // size))
            return {"records": done, **clock.stop()}

    return run


def safe_threads(bootstrap: str, topic: str, records: int, idempotent: bool) -> dict[str, Any]:
    with SafeProducer(bootstrap_servers=bootstrap, enable_idempotence=idempotent, check_topics=False) as producer:
        producer.send(topic, VALUE, key=KEY)

        def work() -> None:
            for _ in range(records // N_THREADS):
                producer.send(topic, VALUE, key=KEY)

        threads = [threading.Thread(target=work) for _ in range(N_THREADS)]
        clock = Clock()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        times, stats = clock.stop(), producer.stats()
        return {"records": stats.written - 1, **times, "requests": stats.delivery_events - 1}


def confluent(bootstrap: str, idempotent: bool, linger: int) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": idempotent,
            "linger.ms": linger,
            "socket.nagle.disable": True,
            "queue.buffering.max.messages": 10_000_000,
        }
    )


def confluent_poll(bootstrap: str, topic: str, records: int, idempotent: bool) -> dict[str, Any]:
    producer = confluent(bootstrap, idempotent, 0)
    acknowledged: list[int] = []

    def note(error: Any, message: Any) -> None:
        acknowledged.append(message.offset() if error is None else -1)

    def one() -> None:
        expected = len(acknowledged) + 1
        producer.produce(topic, VALUE, KEY, partition=0, on_delivery=note)
        while len(acknowledged) < expected:
            producer.poll(1)

    one()
    result = waited(one, records)
    result["records"] = sum(offset >= 0 for offset in acknowledged) - 1
    return result


def confluent_async(bootstrap: str, topic: str, records: int, idempotent: bool) -> dict[str, Any]:
    producer = confluent(bootstrap, idempotent, 5)
    producer.produce(topic, VALUE, KEY, partition=0)
    producer.flush()
    clock = Clock()
    for i in range(records):
        producer.produce(topic, VALUE, KEY, partition=0)
        if i & 1023 == 0:
            producer.poll(0)
    left = producer.flush()
    return {"records": records - left, **clock.stop()}


def waited(one: Callable[[], None], records: int) -> dict[str, Any]:
    latencies = []
    clock = Clock()
    for _ in range(records):
        started = time.perf_counter()
        one()
        latencies.append(time.perf_counter() - started)
    result = {"records": records, **clock.stop()}
    latencies.sort()
    return result | {"p50": latencies[records // 2], "p99": latencies[records * 99 // 100]}


CONTENDERS: dict[str, Callable[..., dict[str, Any]]] = {
    LOOP: safe_loop,
    THREADS: safe_threads,
    HUNDRED: safe_batch(100),
    BATCH: safe_batch(100_000),
    ASYNC: confluent_async,
    POLL: confluent_poll,
}


def main() -> None:
    name, bootstrap, topic, records, idempotence = sys.argv[1:]
    print(json.dumps(CONTENDERS[name](bootstrap, topic, int(records), idempotence == "on")))


if __name__ == "__main__":
    main()
