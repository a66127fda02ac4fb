"""A client that is killed, and calls that have no time: what was acknowledged is in the log, what was refused is not.

Rounds of an adversary's review, which found nothing; kept at a modest length.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.checkers import Sent, disorder, lost_writes, phantom_writes
from tests.support.readers import read_all
from twolane import BatchError, DeliveryError, SafeProducer, ThroughputProducer, Verdict

ROOT = Path(__file__).parents[2]
PARTITIONS = 3

# Tells of what is acknowledged, one line a batch, until it is killed.
KILLED = """
    import sys
    import twolane
    lane, servers, name = sys.argv[1:]
    more = {"check_topics": False} if lane == "SafeProducer" else {}
    producer = getattr(twolane, lane)(bootstrap_servers=servers, **more)
    deliveries, batch = [], 0
    while True:
        values = [b"%d %d" % (batch, i) for i in range(300)]
        sent = producer.send_batch(name, values, partitions=[i % 3 for i in range(300)])
        deliveries.append(sent)
        if lane == "ThroughputProducer" and len(deliveries) < 20:
            batch += 1
            continue
        metadata = deliveries.pop(0)
        if lane == "ThroughputProducer":
            metadata = metadata.result()
        print(batch - len(deliveries), *metadata.offsets[:3], flush=True)
        batch += 1
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("lane", ["SafeProducer", "ThroughputProducer"])
def test_what_a_killed_client_had_acknowledged_is_in_the_log(embedded_cluster, topic, lane):
    chance = random.Random(15)
    for _ in range(4):
        name = topic(embedded_cluster, PARTITIONS)
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), lane, embedded_cluster.bootstrap_servers, name],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            told = [process.stdout.readline() for _ in range(chance.randrange(1, 60))]
            process.kill()
            told += process.stdout.readlines()
        # The last line may be cut short.
        lines = [line.split() for line in told if line.endswith("\n")]
        assert lines
        sent = [
            Sent(
                i % PARTITIONS, b"%d %d" % (int(batch), i), Verdict.WRITTEN, int(offsets[i]) if i < PARTITIONS else None
            )
            for batch, *offsets in lines
            for i in range(300)
        ]
        log = read_all(embedded_cluster.bootstrap_servers, name)
        assert not lost_writes(sent, log)
        assert not disorder(sent, log)
        values = [record.value for record in log]
        assert len(values) == len(set(values))


def ends_of(partitions, values, metadata):
    """Return a Sent for every record of a call."""
    verdicts = dict(metadata.failures.verdicts()) if metadata.failed else {}
    return [
        Sent(
            partition,
            value,
            verdicts.get(i, Verdict.WRITTEN),
            int(metadata.offsets[i]) if metadata.offsets[i] >= 0 else None,
        )
        for i, (partition, value) in enumerate(zip(partitions, values, strict=True))
    ]


@pytest.mark.parametrize("idempotent", [True, False])
def test_the_safe_lane_tells_the_truth_of_calls_with_hardly_any_time(embedded_cluster, topic, idempotent):
    chance = random.Random(16)
    name = topic(embedded_cluster, PARTITIONS)
    sent = []
    with SafeProducer(
        bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False, enable_idempotence=idempotent
    ) as producer:
        producer.send_batch(name, [b"warm"] * PARTITIONS, partitions=range(PARTITIONS))
        sent += [Sent(partition, b"warm", Verdict.WRITTEN) for partition in range(PARTITIONS)]
        for round_ in range(60):
            if round_ % 6 == 0:
                embedded_cluster.set_rtt(chance.choice([0, 5, 20]))
            timeout = chance.uniform(0, 0.03)
            partitions = [chance.randrange(PARTITIONS) for _ in range(chance.choice([1, 1, 40]))]
            values = [b"%d %d" % (round_, i) for i in range(len(partitions))]
            try:
                if len(values) == 1:
                    metadata = producer.send(name, values[0], partition=partitions[0], timeout=timeout)
                    sent.append(Sent(partitions[0], values[0], Verdict.WRITTEN, metadata.offset))
                else:
                    metadata = producer.send_batch(name, values, partitions=partitions, timeout=timeout)
                    sent += ends_of(partitions, values, metadata)
            except BatchError as error:
                sent += ends_of(partitions, values, error.metadata)
            except DeliveryError as error:  # of one record, or of a batch that had no time to begin
                sent += [Sent(place, value, error.verdict) for place, value in zip(partitions, values, strict=True)]
            for place in producer.in_doubt:
                producer.resume(*place)
        embedded_cluster.set_rtt(0)
        producer.send_batch(name, [b"end"] * PARTITIONS, partitions=range(PARTITIONS), timeout=20)
        sent += [Sent(partition, b"end", Verdict.WRITTEN) for partition in range(PARTITIONS)]
    log = read_all(embedded_cluster.bootstrap_servers, name)
    assert not lost_writes(sent, log) + phantom_writes(sent, log) + disorder(sent, log)
    assert len({one.verdict for one in sent}) > 1  # or the rounds would prove nothing


def test_the_throughput_lane_tells_the_truth_of_records_with_hardly_any_time(embedded_cluster, topic):
    chance = random.Random(17)
    name = topic(embedded_cluster, PARTITIONS)
    sent = []
    settings = {"message_timeout_ms": 30, "linger_ms": 1, "reconnect_backoff_ms": 20, "retry_backoff_ms": 5}
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, **settings) as producer:
        producer.partitions_for(name, 10)
        deliveries = []
        for round_ in range(60):
            if round_ % 6 == 0:
                embedded_cluster.set_rtt(chance.choice([0, 10, 60]))
            partitions = [chance.randrange(PARTITIONS) for _ in range(40)]
            values = [b"%d %d" % (round_, i) for i in range(40)]
            deliveries.append(
                (producer.send_batch(name, values, partitions=partitions, timeout=10), partitions, values)
            )
            if chance.random() < 0.2:
                producer.purge(in_flight=chance.random() < 0.5)
            if chance.random() < 0.5:
                producer.flush(0.02)
        for delivery, partitions, values in deliveries:
            try:
                metadata = delivery.result(10)
            except BatchError as error:
                metadata = error.metadata
            sent += ends_of(partitions, values, metadata)
        stats = producer.stats()
        embedded_cluster.set_rtt(0)
    assert stats.accepted == stats.written + stats.not_written + stats.unknown == len(sent)
    log = read_all(embedded_cluster.bootstrap_servers, name)
    assert not lost_writes(sent, log) + phantom_writes(sent, log)
    assert len({one.verdict for one in sent}) > 1  # or the rounds would prove nothing
