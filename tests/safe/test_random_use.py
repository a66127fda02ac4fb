"""A safe producer driven at random over the embedded cluster, held against a model of what the log must be.

The model keeps, per partition, what was handed over in order with the verdict it got. At the end the log is read with
confluent-kafka's consumer: everything written is at its offset, nothing called not written is there, the written
records are in order, and every batch is a prefix in every partition.
"""

from __future__ import annotations

import itertools

import pytest
from confluent_kafka import KafkaError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.machines import run_machine
from tests.support.readers import read_all
from twolane import BatchError, ClosedProducerError, DeliveryError, SafeProducer, Verdict

PRODUCE = 0
PARTITIONS = 3
RETRIABLE = [
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
]
PERMANENT = [KafkaError.INVALID_RECORD, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN]
_numbers = itertools.count()


class SafeProducerMachine(RuleBasedStateMachine):
    """Sends, faults and time-outs in any order."""

    cluster = None
    idempotent = True

    def __init__(self) -> None:
        super().__init__()
        self.producer = None
        self.sent: dict[int, list[tuple[bytes, Verdict, int]]] = {p: [] for p in range(PARTITIONS)}

    @initialize()
    def open(self) -> None:
        self.topic = f"machine-{next(_numbers)}"
        self.cluster.clear_errors(PRODUCE)
        self.cluster.set_rtt(0)
        self.cluster.create_topic(self.topic, PARTITIONS)
        self.counter = itertools.count()
        self.reopen()

    def reopen(self) -> None:
        self.producer = SafeProducer(
            {
                "bootstrap.servers": self.cluster.bootstrap_servers,
                "enable.idempotence": self.idempotent,
                "retry.backoff.ms": 5,
                "retry.backoff.max.ms": 10,
                "reconnect.backoff.ms": 5,
                "reconnect.backoff.max.ms": 20,
                "message.timeout.ms": 5000,
            },
            check_topics=False,
        )

    def value(self) -> bytes:
        return b"%d" % next(self.counter)

    def note(self, partition: int, value: bytes, verdict: Verdict, offset: int = -1) -> None:
        self.sent[partition].append((value, verdict, offset))
        if verdict is Verdict.UNKNOWN:
            self.producer.resume(self.topic, partition)

    @rule(partition=st.integers(0, PARTITIONS - 1), timeout=st.sampled_from([None, None, None, 0.05]))
    def send(self, partition: int, timeout: float | None) -> None:
        value = self.value()
        try:
            metadata = self.producer.send(self.topic, value, partition=partition, timeout=timeout)
        except DeliveryError as error:
            self.note(partition, value, error.verdict)
        else:
            assert metadata.partition == partition
            self.note(partition, value, Verdict.WRITTEN, metadata.offset)

    @rule(n=st.integers(1, 300), spread=st.booleans(), timeout=st.sampled_from([None, None, None, 0.05]))
    def send_batch(self, n: int, spread: bool, timeout: float | None) -> None:
        values = [self.value() for _ in range(n)]
        partitions = [i % PARTITIONS if spread else 0 for i in range(n)]
        try:
            metadata = self.producer.send_batch(self.topic, values, partitions=partitions, timeout=timeout)
            verdicts = {}
        except BatchError as error:
            metadata = error.metadata
            verdicts = dict(metadata.failures.verdicts())
            assert metadata.written + len(verdicts) == n
            assert error.index == min(verdicts)
        except DeliveryError as error:
            # Time ran out before the topic's partitions were known, or in the queue: nothing was sent.
            assert error.verdict is Verdict.NOT_WRITTEN
            for value, partition in zip(values, partitions, strict=True):
                self.note(partition, value, Verdict.NOT_WRITTEN)
            return
        for partition in range(PARTITIONS):
            ends = [verdicts.get(i, Verdict.WRITTEN) for i in range(n) if partitions[i] == partition]
            written = ends.count(Verdict.WRITTEN)
            assert all(end is Verdict.WRITTEN for end in ends[:written]), "the written records are no prefix"
            unknown = ends.count(Verdict.UNKNOWN)
            assert all(end is Verdict.UNKNOWN for end in ends[written : written + unknown]), "unknown not next to it"
        for i, value in enumerate(values):
            self.note(partitions[i], value, verdicts.get(i, Verdict.WRITTEN), int(metadata.offsets[i]))

    @rule(codes=st.lists(st.sampled_from([0, *RETRIABLE]), min_size=1, max_size=5))
    def push_retriable(self, codes: list[int]) -> None:
        self.cluster.push_errors(PRODUCE, codes)

    @rule(skip=st.integers(0, 2), code=st.sampled_from(PERMANENT))
    def push_permanent(self, skip: int, code: int) -> None:
        self.cluster.push_errors(PRODUCE, [0] * skip + [code])

    @rule(ms=st.sampled_from([0, 0, 5, 100]))
    def set_rtt(self, ms: int) -> None:
        self.cluster.set_rtt(ms)

    @rule(broker=st.integers(1, 3))
    def bounce(self, broker: int) -> None:
        self.cluster.stop_broker(broker)
        self.cluster.start_broker(broker)

    @rule()
    def close_and_reopen(self) -> None:
        self.producer.close()
        with pytest.raises(ClosedProducerError):
            self.producer.send(self.topic, b"after close")
        self.reopen()

    @invariant()
    def counters_add_up(self) -> None:
        if self.producer is not None:
            counted = self.producer.stats()
            assert counted.in_queue == 0
            assert counted.accepted == counted.written + counted.not_written + counted.unknown

    def teardown(self) -> None:
        if self.producer is None:
            return
        self.producer.close()
        self.cluster.clear_errors(PRODUCE)
        self.cluster.set_rtt(0)
        log = read_all(self.cluster.bootstrap_servers, self.topic)
        for partition, sent in self.sent.items():
            records = [record for record in log if record.partition == partition]
            by_offset = {record.offset: record.value for record in records}
            present = {record.value for record in records}
            offsets = []
            for value, verdict, offset in sent:
                if verdict is Verdict.WRITTEN:
                    assert by_offset.get(offset) == value, f"{value!r} was reported at {offset}"
                    offsets.append(offset)
                elif verdict is Verdict.NOT_WRITTEN:
                    assert value not in present, f"{value!r} was called not written"
            assert offsets == sorted(set(offsets)), "written records out of order"


@pytest.mark.slow
@pytest.mark.parametrize("idempotent", [True, False], ids=["idempotent", "plain"])
def test_any_sequence_of_calls_and_faults_keeps_the_promises(embedded_cluster, idempotent):
    run_machine(SafeProducerMachine, embedded_cluster, examples=40, steps=12, idempotent=idempotent)
