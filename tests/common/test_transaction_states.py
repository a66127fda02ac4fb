"""No state of a transaction is a dead end: whatever ends a call, there is a public way on, and it is the one told.

Hazard F19 of docs/hazards.md.
"""

from __future__ import annotations

import itertools
import math
import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.support.machines import run_machine
from tests.support.readers import read_all
from tests.support.waiting import HELD
from twolane import FatalProducerError, SafeProducer, ThroughputProducer, TransactionError, Verdict
from twolane.client import transaction_calls as native
from twolane.common.transactions import WAYS, State, Transactions
from twolane.testing import ApiKey

BOTH = pytest.mark.parametrize("kind", [SafeProducer, ThroughputProducer])
CALLS = ("begin_transaction", "commit_transaction", "abort_transaction")
_numbers = itertools.count()


def made(kind, bootstrap, **config):
    keywords = {"check_topics": False} if kind is SafeProducer else {"linger_ms": 0}
    return kind(
        {"reconnect.backoff.ms": 5, "reconnect.backoff.max.ms": 20, "retry.backoff.ms": 5, "retry.backoff.max.ms": 10},
        bootstrap_servers=bootstrap,
        transactional_id=f"states-{next(_numbers)}",
        **config,
        **keywords,
    )


class LateReader:
    """The last report lies ready, and nobody has read it: a callback keeps the thread that would."""

    left = 1

    def poll(self):
        self.left = 0

    def count(self):
        return {"in_queue": self.left}


def test_f39_a_report_that_lies_ready_is_not_lost():
    transactions = Transactions(None, LateReader(), "t", lambda: None)
    transactions.give_up_if_lost("transaction")
    assert not transactions.gave_up


@pytest.fixture
def producer(embedded_cluster, kind):
    with made(kind, embedded_cluster.bootstrap_servers) as one:
        one.init_transactions(10)
        yield one


@pytest.fixture
def on_brokers(kafka_cluster, kind):
    with made(kind, kafka_cluster.bootstrap_servers) as one:
        one.init_transactions(30)
        yield one


class Interrupted(BaseException):
    """What a signal handler raises."""


class Faults:
    """Signal handlers that raise right before or right behind one of librdkafka's calls, or keep it from answering."""

    def __init__(self, monkeypatch):
        self.planned = {}
        for name in CALLS:
            monkeypatch.setattr(native, name, self._wrapped(name, getattr(native, name)))

    def _wrapped(self, name, call):
        def wrapper(*arguments):
            when = self.planned.pop(name, None)
            if when == "before":
                raise Interrupted
            if when == "time out":
                return (KafkaError._TIMED_OUT, "timed out", False, True, False)
            told = call(*arguments)
            if when == "after":
                while told is not None and told[0] == KafkaError._TIMED_OUT:
                    told = call(*arguments)
                raise Interrupted
            return told

        return wrapper


@pytest.fixture
def faults(monkeypatch):
    return Faults(monkeypatch)


def send(producer, name, value):
    if isinstance(producer, SafeProducer):
        producer.send(name, value, partition=0)
    else:
        producer.send_batch(name, [value], partitions=0)


def committed(cluster, name, expected):
    return [record.value for record in read_all(cluster.bootstrap_servers, name, expected=expected)]


# ---- one by one, on real brokers: the outcome told is the one in the log ---------------------------------------------


@BOTH
def test_a_transaction_without_a_time_limit_commits(kafka_cluster, on_brokers, topic):
    name = topic(kafka_cluster)
    with on_brokers.transaction(timeout=math.inf):
        send(on_brokers, name, b"one")
    with pytest.raises(ZeroDivisionError), on_brokers.transaction(timeout=math.inf):
        send_all_now(on_brokers, name, b"never")  # F35
        raise ZeroDivisionError
    with on_brokers.transaction():
        send(on_brokers, name, b"two")
    assert committed(kafka_cluster, name, 2) == [b"one", b"two"]


@BOTH
@pytest.mark.parametrize("when", ["before", "after", "time out"])
def test_a_commit_that_was_broken_off_is_finished_by_a_second_one(kafka_cluster, on_brokers, topic, faults, when):
    name = topic(kafka_cluster)
    faults.planned["commit_transaction"] = when
    expected = TransactionError if when == "time out" else Interrupted
    with pytest.raises(expected) as caught, on_brokers.transaction(0 if when == "time out" else None):
        send_all_now(on_brokers, name, b"one")
    if when == "time out":
        assert caught.value.retriable
        assert caught.value.verdict is Verdict.UNKNOWN
        assert "commit_transaction()" in str(caught.value)
    else:
        assert any("commit_transaction()" in note for note in caught.value.__notes__)
    # Nothing else goes on, and each call says what does.
    for call in (on_brokers.abort_transaction, on_brokers.transaction().__enter__):
        with pytest.raises(TransactionError, match=r"commit_transaction\(\)") as refused:
            call()
        assert refused.value.verdict is Verdict.UNKNOWN
    on_brokers.commit_transaction(30)
    with on_brokers.transaction():
        send(on_brokers, name, b"two")
    assert committed(kafka_cluster, name, 2) == [b"one", b"two"]


def send_all_now(producer, name, value):
    """Send, and wait for the report: what follows has no time for it."""
    send(producer, name, value)
    producer.flush(30)


@BOTH
@pytest.mark.parametrize("when", ["before", "after", "time out"])
@pytest.mark.parametrize("way", ["abort_transaction", "transaction"])
def test_an_abort_that_was_broken_off_is_finished_by_whatever_comes_next(
    kafka_cluster, on_brokers, topic, faults, when, way
):
    name = topic(kafka_cluster)
    faults.planned["abort_transaction"] = when
    expected = ZeroDivisionError if when == "time out" else Interrupted
    with pytest.raises(expected), on_brokers.transaction(0 if when == "time out" else None):
        send_all_now(on_brokers, name, b"never")
        raise ZeroDivisionError
    with pytest.raises(TransactionError, match=r"abort_transaction\(\)"):
        on_brokers.commit_transaction()
    if way == "abort_transaction":
        on_brokers.abort_transaction(30)
    with on_brokers.transaction(30):
        send(on_brokers, name, b"two")
    assert committed(kafka_cluster, name, 1) == [b"two"]


# ---- one by one, on the embedded cluster -----------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("way", ["commit_transaction", "abort_transaction"])
def test_a_block_may_end_its_transaction_itself(embedded_cluster, producer, topic, way):
    name = topic(embedded_cluster)
    with producer.transaction():
        send(producer, name, b"v")
        getattr(producer, way)(10)
        with pytest.raises(TransactionError, match="no transaction is open"):
            getattr(producer, way)(10)
        with producer.transaction():
            send(producer, name, b"v")
    with producer.transaction():
        send(producer, name, b"v")


@BOTH
def test_one_transaction_at_a_time(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    with producer.transaction():
        with pytest.raises(TransactionError, match="a transaction is open"), producer.transaction():
            pytest.fail("entered")
        send(producer, name, b"v")


@BOTH
def test_what_could_not_begin_is_neither_open_nor_committed(embedded_cluster, topic, kind, faults):
    """librdkafka refuses a beginning for its state without init_transactions() too, not only where it came through."""
    name = topic(embedded_cluster)
    with made(kind, embedded_cluster.bootstrap_servers) as producer:
        faults.planned["begin_transaction"] = "after"
        with pytest.raises(Interrupted), producer.transaction(10):
            pytest.fail("entered")
        for _ in range(2):
            with pytest.raises(TransactionError, match="begin_transaction"), producer.transaction(10):
                pytest.fail("entered")
            with pytest.raises(TransactionError, match="no transaction is open"):
                producer.commit_transaction(10)
        producer.init_transactions(10)
        with producer.transaction(10):
            send(producer, name, b"v")


@BOTH
@pytest.mark.parametrize("way", ["commit_transaction", "abort_transaction"])
def test_what_is_refused_for_its_state_does_not_succeed_the_second_time(producer, monkeypatch, way):
    producer._transactions.begin(time.monotonic() + 10)
    refused = (KafkaError._STATE, "Operation not valid in state Ready", False, False, False)
    monkeypatch.setattr(native, way, lambda *_: refused)
    with pytest.raises(TransactionError) as caught:
        getattr(producer, way)(10)
    assert caught.value.verdict is Verdict.NOT_WRITTEN
    with pytest.raises(TransactionError, match="no transaction is open"):
        getattr(producer, way)(10)


@pytest.mark.timing
@BOTH
def test_begin_does_not_wait_longer_than_it_may(producer, topic, embedded_cluster, monkeypatch):
    name = topic(embedded_cluster)
    release, real = threading.Event(), native.begin_transaction

    def stuck(handle):
        release.wait(30)
        return real(handle)

    monkeypatch.setattr(native, "begin_transaction", stuck)
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(TransactionError, match="did not answer") as caught, producer.transaction(0.1):
            pytest.fail("entered")
        assert caught.value.retriable
        assert caught.value.verdict is Verdict.NOT_WRITTEN
    assert time.monotonic() - started < 5
    release.set()
    # The one that waits is the one that is used: a second beginning would be refused.
    with producer.transaction(10):
        send(producer, name, b"v")


@pytest.mark.timing
@BOTH
def test_a_commit_that_must_abort_ends_in_time(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    with pytest.raises(TransactionError) as caught, producer.transaction(1):
        send(producer, name, b"v")
        embedded_cluster.push_errors(
            ApiKey.END_TXN, [KafkaError.UNKNOWN, *[KafkaError.CONCURRENT_TRANSACTIONS] * 100_000]
        )
        started = time.monotonic()
    assert caught.value.must_abort
    assert time.monotonic() - started < 1 + 1.5
    assert caught.value.verdict is Verdict.UNKNOWN
    assert any("abort_transaction" in note for note in caught.value.__notes__)
    embedded_cluster.clear_errors(ApiKey.END_TXN)
    with producer.transaction(10):
        send(producer, name, b"v")


@BOTH
def test_a_commit_in_a_block_is_not_written_once_the_block_has_aborted_it(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    with pytest.raises(TransactionError) as caught, producer.transaction(10):
        send(producer, name, b"v")
        embedded_cluster.push_errors(ApiKey.END_TXN, [KafkaError.UNKNOWN] * 2)  # of the commit and of its abort
        producer.commit_transaction(10)
    assert caught.value.must_abort
    assert producer._transactions.state is State.NONE
    assert caught.value.verdict is Verdict.NOT_WRITTEN


@BOTH
@pytest.mark.parametrize("way", ["abort_transaction", "transaction"])
def test_an_abort_is_not_failed_by_the_answer_to_the_one_that_was_broken_off(embedded_cluster, producer, topic, way):
    name = topic(embedded_cluster)
    producer._transactions.begin(time.monotonic() + 10)
    send_all_now(producer, name, b"v")
    embedded_cluster.push_errors(ApiKey.END_TXN, [KafkaError.UNKNOWN])
    embedded_cluster.set_rtt(HELD)
    with pytest.raises(TransactionError, match="_TIMED_OUT"):
        producer.abort_transaction(0)
    embedded_cluster.set_rtt(0)
    if way == "abort_transaction":
        producer.abort_transaction(10)
    with producer.transaction(10):
        send(producer, name, b"v")


@BOTH
@pytest.mark.parametrize("call", ["commit_transaction", "abort_transaction"])
@pytest.mark.parametrize("first", [False, True], ids=["goes on", "taken up again"])
def test_f34_an_end_that_is_refused_in_its_own_state_is_not_over(
    embedded_cluster, producer, topic, call, first, monkeypatch
):
    """What librdkafka says when a step of a call gets the answer of the one before: the end is still on its way."""
    name = topic(embedded_cluster)
    own = getattr(native, call)
    state = "CommittingTransaction" if call == "commit_transaction" else "AbortingTransaction"
    early = (KafkaError._STATE, f"Operation not valid in state {state}", False, False, False)
    steps = [early, early]

    def answer(*arguments):
        return steps.pop() if steps else own(*arguments)

    producer._transactions.begin(time.monotonic() + 10)
    send(producer, name, b"v")
    producer.flush()
    if first:
        embedded_cluster.set_rtt(HELD)
        with pytest.raises(TransactionError, match="_TIMED_OUT"):
            getattr(producer, call)(0)
        embedded_cluster.set_rtt(0)
    monkeypatch.setattr(native, call, answer)
    getattr(producer, call)(10)
    assert not steps
    assert producer._transactions.state is State.NONE
    with producer.transaction(10):
        send(producer, name, b"next")


@BOTH
def test_threads_wait_for_each_others_calls(embedded_cluster, producer, topic):
    """Of two that end a transaction at once one does, the other is told that none is open."""
    name = topic(embedded_cluster)
    for _ in range(3):
        producer._transactions.begin(time.monotonic() + 10)
        send(producer, name, b"v")
        told = []

        def end(told=told):
            try:
                producer.commit_transaction(10)
                told.append(None)
            except TransactionError as error:
                told.append(error)

        embedded_cluster.set_rtt(100)
        threads = [threading.Thread(target=end) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        embedded_cluster.set_rtt(0)
        assert told.count(None) == 1
        assert all("no transaction is open" in str(one) for one in told if one is not None)


def test_every_state_has_a_way_on():
    assert set(WAYS) == set(State)
    for state, (allowed, way) in WAYS.items():
        assert allowed
        assert any(f"{name}()" in way for name in ("transaction", "commit_transaction", "abort_transaction")), state


# ---- in any order ----------------------------------------------------------------------------------------------------

TIMEOUTS = st.sampled_from([None, None, math.inf, 0.0, 0.03])
END_TXN_CODES = [
    0,
    KafkaError.CONCURRENT_TRANSACTIONS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._TRANSPORT,
    KafkaError.UNKNOWN,
    KafkaError.INVALID_REQUEST,
]


class TransactionMachine(RuleBasedStateMachine):
    """Blocks, commits and aborts with faults in between; then everything is well, and the way on is taken."""

    cluster = faults = kind = None

    def __init__(self):
        super().__init__()
        self.producer = None

    @initialize()
    def open(self):
        self.topic = f"states-{next(_numbers)}"
        self.heal()
        self.cluster.create_topic(self.topic, 1)
        self.reopen()

    def reopen(self):
        if self.producer is not None:
            self.producer.close(0)
        self.producer = made(self.kind, self.cluster.bootstrap_servers, message_timeout_ms=3000)
        self.producer.init_transactions(10)

    def heal(self):
        self.faults.planned.clear()
        self.cluster.set_rtt(0)
        for key in (ApiKey.END_TXN, ApiKey.ADD_PARTITIONS_TO_TXN):
            self.cluster.clear_errors(key)

    def do(self, call):
        try:
            call()
        except FatalProducerError:
            self.heal()
            self.reopen()
        except TransactionError as error:
            state = self.producer._transactions.state
            if error.verdict is Verdict.UNKNOWN:
                assert state is State.COMMITTING or (error.must_abort and state is State.ABORTING), (error, state)
            else:
                assert error.verdict is Verdict.NOT_WRITTEN
                assert state is not State.COMMITTING
        except (Interrupted, ZeroDivisionError, TimeoutError, KafkaException):
            pass

    @rule(ends=st.sampled_from(["well", "well", "raises", "commits", "aborts"]), timeout=TIMEOUTS)
    def block(self, ends, timeout):
        def run():
            with self.producer.transaction(timeout):
                send(self.producer, self.topic, b"v")
                if ends == "raises":
                    raise ZeroDivisionError
                if ends == "commits":
                    self.producer.commit_transaction(timeout)
                if ends == "aborts":
                    self.producer.abort_transaction(timeout)

        self.do(run)

    @rule(timeout=TIMEOUTS)
    def commit(self, timeout):
        self.do(lambda: self.producer.commit_transaction(timeout))

    @rule(timeout=TIMEOUTS)
    def abort(self, timeout):
        self.do(lambda: self.producer.abort_transaction(timeout))

    @rule(call=st.sampled_from(CALLS), when=st.sampled_from(["before", "after", "time out"]))
    def plan(self, call, when):
        if call != "begin_transaction" or when != "time out":  # it knows none
            self.faults.planned[call] = when

    @rule(codes=st.lists(st.sampled_from(END_TXN_CODES), min_size=1, max_size=3))
    def refuse_ends(self, codes):
        self.cluster.push_errors(ApiKey.END_TXN, codes)

    @rule(ms=st.sampled_from([0, 0, 60]))
    def slow(self, ms):
        self.cluster.set_rtt(ms)

    @rule()
    def take_the_way_on(self):
        self.heal()
        state = self.producer._transactions.state
        if state is State.COMMITTING:
            try:
                self.producer.commit_transaction(10)
            except FatalProducerError:
                self.reopen()
            except TransactionError as error:  # it had failed
                assert error.must_abort
                assert error.verdict is Verdict.NOT_WRITTEN
        elif state is State.OPEN:
            self.producer.abort_transaction(10)
        with self.producer.transaction(10):
            send(self.producer, self.topic, b"well")
        assert self.producer._transactions.state is State.NONE

    def teardown(self):
        if self.producer is not None:
            try:
                self.take_the_way_on()
            finally:
                self.producer.close(5)


@BOTH
def test_from_any_sequence_of_calls_and_faults_there_is_a_way_on(embedded_cluster, faults, kind):
    run_machine(TransactionMachine, embedded_cluster, examples=25, steps=10, faults=faults, kind=kind)
