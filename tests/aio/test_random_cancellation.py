"""Many tasks, cancelled at any step: what each is told is what stands in the log."""

from __future__ import annotations

import asyncio
import random

import pytest
from confluent_kafka import KafkaError

from tests.support.checkers import Sent, assert_kept_its_word
from tests.support.readers import read_all
from twolane import DeliveryError, Verdict

PRODUCE = 0
TASKS, EACH = 60, 8


@pytest.mark.parametrize("seed", range(4))
def test_every_verdict_is_true(embedded_cluster, made, topic, run, seed):
    name = topic(embedded_cluster, 3)
    steps = random.Random(seed)
    sent: list[Sent] = []

    async def send(producer, partition, value):
        try:
            offset = (await producer.send(name, value, partition=partition)).offset
            verdict = Verdict.WRITTEN
        except asyncio.CancelledError as error:
            result = error.twolane_result
            offset = getattr(result, "offset", None)
            verdict = getattr(result, "verdict", Verdict.WRITTEN)
        except DeliveryError as error:
            offset, verdict = None, error.verdict
        sent.append(Sent(partition, value, verdict, offset))

    async def work(producer, number):
        for i in range(EACH):
            task = asyncio.create_task(send(producer, number % 3, b"%d.%d" % (number, i)))
            if steps.random() < 0.4:
                for _ in range(steps.randrange(1, 12)):  # after none it has called nothing yet
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            if steps.random() < 0.02:
                embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD])

    async def main():
        async with made(retry_backoff_ms=20) as producer:
            await asyncio.gather(*(work(producer, number) for number in range(TASKS)))
            await producer.flush()
            return producer.stats()

    try:
        stats = run(main())
    finally:
        embedded_cluster.clear_errors(PRODUCE)
    log = read_all(embedded_cluster.bootstrap_servers, name)
    told = {verdict: sum(one.verdict is verdict for one in sent) for verdict in Verdict}
    assert len(sent) == TASKS * EACH
    assert told[Verdict.WRITTEN] and told[Verdict.NOT_WRITTEN]
    assert stats.written == len(log)
    # Orders of tasks are their own: each task waits for its records one by one.
    for number in range(TASKS):
        mine = [one for one in sent if one.value.split(b".")[0] == b"%d" % number]
        records = [record for record in log if record.value.split(b".")[0] == b"%d" % number]
        assert_kept_its_word(mine, records, once=True)
