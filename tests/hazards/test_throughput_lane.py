"""The throughput lane on real brokers behind a proxy that misbehaves at random: its promises hold word for word."""

from __future__ import annotations

import functools
import time

import pytest
from confluent_kafka import KafkaError

from faults.proxy import close_after, close_before, delay, drop, falsify, mixed, once, refuse
from tests.support.checkers import Sent, disorder, lost_writes, phantom_writes
from tests.support.readers import read_all, read_values
from twolane import BatchError, FatalProducerError, ThroughputProducer, Verdict

PARTITIONS = 3
ROUNDS, BATCHES, RECORDS = 4, 6, 60
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
    """What is called written is at its offset, what is called not written nowhere."""
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


# ---- F13: what idempotence does not do on this lane -------------------------------------------------------------

SLOW_RETRY = {"retry.backoff.ms": 1_000, "retry.backoff.max.ms": 1_000, "linger.ms": 0}


def fail_while_another_waits(proxy):
    """Let partition 0's record be appended and answered with an error, and partition 1's be refused meanwhile."""
    proxy.rule = once(
        {b"record A": falsify(KafkaError.REQUEST_TIMED_OUT), b"record B": refuse(KafkaError.INVALID_RECORD, after=0.3)}
    )


def test_f13_a_failure_doubles_what_waits_for_a_retry_and_nothing_else(fault_proxy, kafka_cluster, topic):
    """The hazard that docs/throughput-lane.md names. Purging, as the safe lane does, would drop the whole queue."""
    name = topic(kafka_cluster, 3)
    settings = {**SLOW_RETRY, "enable.idempotence": True}
    with ThroughputProducer(settings, bootstrap_servers=fault_proxy.bootstrap_servers) as producer:
        producer.send_batch(name, [b"warm"] * 3, partitions=[0, 1, 2]).result(30)
        fail_while_another_waits(fault_proxy)
        delivery = producer.send_batch(name, [b"record A", b"record B", b"record C"], partitions=[0, 1, 2])
        with pytest.raises(BatchError) as caught:
            delivery.result(30)
        metadata = caught.value.metadata
        later = producer.send_batch(name, [b"later"] * 3, partitions=[0, 1, 2]).result(30)
    # The healthy partition lost nothing, and whatever is called written is where its offset says.
    assert list(dict(metadata.failures.verdicts())) == [1]
    assert read_values(kafka_cluster.bootstrap_servers, name, 1) == [b"warm", b"later"]
    assert read_values(kafka_cluster.bootstrap_servers, name, 2) == [b"warm", b"record C", b"later"]
    log = read_values(kafka_cluster.bootstrap_servers, name, 0)
    assert log == [b"warm", b"record A", b"record A", b"later"]
    assert log[int(metadata.offsets[0])] == b"record A"
    assert log[int(later.offsets[0])] == b"later"


def test_f13_a_transaction_shows_no_double(fault_proxy, kafka_cluster, topic):
    """The same failure aborts a transaction: neither copy is ever read, and what is sent again is there once."""
    name = topic(kafka_cluster, 2)
    settings = {**SLOW_RETRY, "bootstrap.servers": fault_proxy.bootstrap_servers, "transactional.id": name}
    with ThroughputProducer(settings) as producer:
        producer.init_transactions(30)
        with producer.transaction():
            producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
        fail_while_another_waits(fault_proxy)
        with pytest.raises(BatchError), producer.transaction():
            producer.send_batch(name, [b"record A", b"record B"], partitions=[0, 1])
        fault_proxy.clear()
        with pytest.raises(FatalProducerError), producer.transaction():  # F37
            raise AssertionError
    with ThroughputProducer(settings) as producer:
        producer.init_transactions(30)
        with producer.transaction():
            producer.send_batch(name, [b"record A", b"record B"], partitions=[0, 1])
    log = read_all(kafka_cluster.bootstrap_servers, name, expected=4)
    assert [record.value for record in log if record.partition == 0] == [b"warm", b"record A"]
