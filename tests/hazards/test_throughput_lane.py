"""The throughput lane on real brokers behind a proxy that misbehaves at random: its promises, kept to the letter."""

from __future__ import annotations

import functools
import time

import pytest

from tests.support.checkers import Sent, disorder, lost_writes, phantom_writes
from tests.support.proxy import close_after, close_before, delay, drop, falsify, mixed, refuse
from tests.support.readers import read_all
from twolane import BatchError, ThroughputProducer, Verdict

PARTITIONS = 3
ROUNDS, BATCHES, RECORDS = 8, 6, 60
# Refused before the append, an error after it, and connections that break on either side.
FAULTS = [refuse(6), refuse(19), refuse(7), falsify(7), falsify(6), delay(0.2), close_before(), close_after()]


def what_became(delivery, values):
    """Return a Sent for every record of a batch, in the order of sending."""
    try:
        metadata = delivery.result(60)
    except BatchError as error:
        metadata = error.metadata
    verdicts = dict(metadata.failures.verdicts()) if metadata.failed else {}
    return [
        Sent(
            int(metadata.partitions[i]),
            value,
            verdicts.get(i, Verdict.WRITTEN),
            int(metadata.offsets[i]) if metadata.offsets[i] >= 0 else None,
        )
        for i, value in enumerate(values)
    ]


def note(sent, value, partition, err, metadata):
    """Be a record's on_delivery."""
    sent.append(Sent(partition, value, err.verdict if err else Verdict.WRITTEN, metadata.offset if metadata else None))


@pytest.mark.slow
@pytest.mark.parametrize("idempotent", [False, True])
def test_random_faults(fault_proxy, kafka_cluster, topic, idempotent):
    """What is called written stands at its offset, what is called not written nowhere."""
    told = dict.fromkeys(Verdict, 0)
    for round_ in range(ROUNDS):
        name = topic(kafka_cluster, PARTITIONS)
        fault_proxy.clear()
        settings = {
            "enable.idempotence": idempotent,
            "message.timeout.ms": 1_000,
            "retry.backoff.ms": 50,
            "socket.timeout.ms": 2_000,
            "reconnect.backoff.ms": 20,
            "batch.num.messages": 7,
            "linger.ms": 1,
        }
        sent, callbacks = [], []
        with ThroughputProducer(settings, bootstrap_servers=fault_proxy.bootstrap_servers) as producer:
            producer.partitions_for(name)
            fault_proxy.at_random(1_000 * idempotent + round_, mixed(FAULTS, often=70))
            deliveries = []
            for batch in range(BATCHES):
                values = [b"%d %d" % (batch, i) for i in range(RECORDS)]
                partitions = [i % PARTITIONS for i in range(RECORDS)]
                deliveries.append((producer.send_batch(name, values, partitions=partitions, timeout=30), values))
                for i in range(5):
                    noted = functools.partial(note, callbacks, b"one %d %d" % (batch, i), i % PARTITIONS)
                    producer.send(
                        name, b"one %d %d" % (batch, i), partition=i % PARTITIONS, timeout=30, on_delivery=noted
                    )
                time.sleep(0.02)
            if round_ == 0:
                # No answer at all: some end is unknown, whatever chance did before.
                fault_proxy.rule = lambda seen: drop()
                values = [b"%d %d" % (BATCHES, i) for i in range(RECORDS)]
                deliveries.append((producer.send_batch(name, values, timeout=30), values))
            for delivery, values in deliveries:
                sent += what_became(delivery, values)
            assert producer.flush(60) == 0
            stats = producer.stats()
        fault_proxy.clear()
        sent += callbacks
        assert len(sent) == stats.accepted == BATCHES * (RECORDS + 5) + (RECORDS if round_ == 0 else 0)
        for verdict in Verdict:
            told[verdict] += sum(one.verdict is verdict for one in sent)
        log = read_all(kafka_cluster.bootstrap_servers, name)
        problems = lost_writes(sent, log) + phantom_writes(sent, log)
        if idempotent and not any(one.verdict is not Verdict.WRITTEN for one in sent):
            # In the order of sending: each batch, then the five behind it.
            ordered = sorted(sent, key=lambda one: _moment(one.value))
            problems += disorder(ordered, log)
        assert not problems, f"round {round_}: {problems[:10]}"
    # Neither kind of end is missing, or the rounds would prove nothing.
    assert told[Verdict.WRITTEN]
    assert told[Verdict.UNKNOWN]


def _moment(value):
    """Return when a value was sent: (batch, one by one or not, number)."""
    words = value.split()
    return (int(words[-2]), len(words) == 3, int(words[-1]))
