"""How plain librdkafka loses order and records: the negative controls of the safe lane's tests.

Each test gives confluent-kafka's own producer, with the settings that are widely called safe, a fault that happens in
practice, and shows the damage. If one of these fails, the fault is no longer produced or librdkafka has been repaired:
either way the test of the safe lane that guards against it proves nothing any more.

F-numbers are those of the hazard list in docs. Where the damage needs a race to be won, some rounds are played; the
number of rounds is at least five times what was ever needed.
"""

from __future__ import annotations

import os
import signal

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Producer

from faults.proxy import falsify, forward, hold, once, refuse
from tests.support.readers import read_all, read_values
from tests.support.waiting import HELD
from twolane.testing import ApiKey

SAFE_RECIPE = {"acks": "all", "retries": 3, "max.in.flight.requests.per.connection": 1, "linger.ms": 0}
QUICK = {"log_level": 0, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50}


class Plain:
    """confluent-kafka's producer, and what it reported, by value: name of the error, else offset or None."""

    def __init__(self, bootstrap, topic, **config):
        self.topic = topic
        self.reports = {}
        self._producer = Producer({"bootstrap.servers": bootstrap, **SAFE_RECIPE, **QUICK, **config})

    def _report(self, error, message):
        assert message.value() not in self.reports
        self.reports[message.value()] = error.name() if error else message.offset()

    def produce(self, *values, gap=0.0, partition=0):
        for value in values:
            self._producer.produce(self.topic, value, partition=partition, on_delivery=self._report)
            self._producer.poll(gap)

    def wait(self, timeout=30):
        assert self._producer.flush(timeout) == 0

    def send(self, value):
        """Produce and wait, as a careful program does."""
        self.produce(value)
        self.wait()
        return self.reports[value]


def of(values):
    return [bytes([value]) for value in values]


@pytest.mark.parametrize("code", ["REQUEST_TIMED_OUT", "NOT_ENOUGH_REPLICAS", "NOT_LEADER_FOR_PARTITION"])
def test_f1_one_in_flight_reorders(embedded_cluster, topic, code):
    """A is refused once; B, built ahead and waiting for the connection, overtakes A's retry. Nothing fails."""
    for _ in range(10):
        name = topic(embedded_cluster)
        plain = Plain(embedded_cluster.bootstrap_servers, name)
        plain.send(b"warm")
        embedded_cluster.set_rtt(HELD)
        embedded_cluster.push_errors(ApiKey.PRODUCE, code)
        plain.produce(*of(b"ABCD"), gap=0.02)
        embedded_cluster.set_rtt(0)
        plain.wait()
        assert all(isinstance(report, int) for report in plain.reports.values())
        log = read_values(embedded_cluster.bootstrap_servers, name)
        assert sorted(log) == sorted([b"warm", *of(b"ABCD")])
        if log.index(b"B") < log.index(b"A"):
            return
    pytest.fail("ten rounds in order")


def test_f1_is_cured_by_idempotence(embedded_cluster, topic):
    """The same round keeps its order with idempotence on: it is the fault that is shown above, not the set-up."""
    for _ in range(3):
        name = topic(embedded_cluster)
        plain = Plain(embedded_cluster.bootstrap_servers, name, **{"enable.idempotence": True})
        plain.send(b"warm")
        embedded_cluster.set_rtt(HELD)
        embedded_cluster.push_errors(ApiKey.PRODUCE, "NOT_ENOUGH_REPLICAS")
        plain.produce(*of(b"ABCD"), gap=0.02)
        embedded_cluster.set_rtt(0)
        plain.wait()
        assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", *of(b"ABCD")]


def test_f2_ghost_write_comes_after_later_records(fault_proxy, kafka_cluster, topic):
    """A's first attempt is stuck in the network; the client gives it up, sends A again, B and C; then it arrives."""
    name = topic(kafka_cluster)
    plain = Plain(fault_proxy.bootstrap_servers, name, **{"socket.timeout.ms": 1000})
    plain.send(b"warm")
    fault_proxy.then(hold(2.5))
    assert [plain.send(value) for value in of(b"ABC")] == [1, 2, 3]
    fault_proxy.wait_for_ghosts()
    assert read_values(kafka_cluster.bootstrap_servers, name) == [b"warm", *of(b"ABCA")]


def test_f2_record_reported_as_failed_is_written_later(fault_proxy, kafka_cluster, topic):
    """The same with the deadline hit: A is an error, B and C are written, and then A is too."""
    name = topic(kafka_cluster)
    plain = Plain(fault_proxy.bootstrap_servers, name, **{"socket.timeout.ms": 1000, "message.timeout.ms": 900})
    plain.send(b"warm")
    fault_proxy.then(hold(3))
    assert isinstance(plain.send(b"A"), str)
    assert [plain.send(value) for value in of(b"BC")] == [1, 2]
    fault_proxy.wait_for_ghosts()
    assert read_values(kafka_cluster.bootstrap_servers, name) == [b"warm", *of(b"BCA")]


def test_f2_is_cured_by_idempotence(fault_proxy, kafka_cluster, topic):
    """Brokers know a producer's sequence numbers: its ghost is refused, or recognised as written."""
    name = topic(kafka_cluster)
    config = {"socket.timeout.ms": 1000, "enable.idempotence": True}
    plain = Plain(fault_proxy.bootstrap_servers, name, **config)
    plain.send(b"warm")
    fault_proxy.then(hold(2.5))
    assert [plain.send(value) for value in of(b"ABC")] == [1, 2, 3]
    fault_proxy.wait_for_ghosts()
    assert read_values(kafka_cluster.bootstrap_servers, name) == [b"warm", *of(b"ABC")]


def test_f3_failed_record_is_in_the_log_many_times(fault_proxy, kafka_cluster, topic):
    """A broker may answer NOT_LEADER_OR_FOLLOWER after the append (KAFKA-13574); such retries are not even counted."""
    name = topic(kafka_cluster)
    plain = Plain(fault_proxy.bootstrap_servers, name, **{"message.timeout.ms": 1500})
    plain.send(b"warm")
    fault_proxy.rule = lambda seen: falsify(6) if b"record A" in seen.request else forward()
    assert plain.send(b"record A") == "_MSG_TIMED_OUT"
    log = read_values(kafka_cluster.bootstrap_servers, name)
    assert log == [b"warm"] + [b"record A"] * (len(log) - 1)
    assert len(log) - 1 == len(fault_proxy.seen) - 1 > SAFE_RECIPE["retries"] + 1


def refuse_first_batch_of_a_new_producer(proxy, cluster, name, code, **config):
    """Let A to E be in flight when A's refusal arrives; return the reports and the values in the log."""
    # One record a batch: five small batches in flight, as a slow trickle of records makes them.
    plain = Plain(
        proxy.bootstrap_servers,
        name,
        **{"enable.idempotence": True, "batch.num.messages": 1, "retries": 1000, **config},
    )
    proxy.clear()
    proxy.then(refuse(code, after=0.3))
    plain.produce(*of(b"ABCDE"), gap=0.02)
    plain.wait()
    return plain.reports, read_values(cluster.bootstrap_servers, name)


@pytest.mark.parametrize("code", [6, 7, 19])
def test_f4_idempotent_producer_reports_a_lost_record_as_written(fault_proxy, kafka_cluster, topic, code):
    """A new producer's first batch is refused once while later ones are in flight.

    The broker knows no sequence of this producer yet and accepts the later ones; librdkafka concludes that the first
    was written too (an "implicit acknowledgement"). Its default of five requests in flight is all it takes.
    """
    reports, log = refuse_first_batch_of_a_new_producer(
        fault_proxy, kafka_cluster, topic(kafka_cluster), code, **{"max.in.flight.requests.per.connection": 5}
    )
    assert log == of(b"BCDE")
    # The one trace of it: a success without an offset.
    assert reports == {b"A": None, b"B": 0, b"C": 1, b"D": 2, b"E": 3}


def test_f4_is_cured_by_one_in_flight(fault_proxy, kafka_cluster, topic):
    reports, log = refuse_first_batch_of_a_new_producer(fault_proxy, kafka_cluster, topic(kafka_cluster), 6)
    assert log == of(b"ABCDE")
    assert reports == {b"A": 0, b"B": 1, b"C": 2, b"D": 3, b"E": 4}


@pytest.mark.parametrize("code", ["REQUEST_TIMED_OUT", "NOT_ENOUGH_REPLICAS"])
def test_f5_gapless_guarantee_leaves_a_gap(embedded_cluster, topic, code):
    """A fails after its three retries; B to E are written all the same, and the producer goes on."""
    name = topic(embedded_cluster)
    config = {
        "enable.idempotence": True,
        "enable.gapless.guarantee": True,
        "retry.backoff.ms": 50,
        "retry.backoff.max.ms": 50,
        "batch.num.messages": 1,
    }
    plain = Plain(embedded_cluster.bootstrap_servers, name, **config)
    plain.send(b"warm")
    embedded_cluster.set_rtt(40)
    embedded_cluster.push_errors(ApiKey.PRODUCE, [code] * 4)
    plain.produce(*of(b"ABCDE"))
    plain.wait()
    embedded_cluster.set_rtt(0)
    assert plain.reports[b"A"] == code
    log = read_values(embedded_cluster.bootstrap_servers, name)
    assert b"A" not in log
    assert set(of(b"BCDE")) & set(log)
    assert isinstance(plain.send(b"Z"), int)


def test_f6_a_batch_becomes_as_many_requests_as_it_happens(embedded_cluster, topic):
    """The broker thread takes what is there when it looks: a failure can then hit any part of the batch."""
    name = topic(embedded_cluster)
    plain = Plain(embedded_cluster.bootstrap_servers, name)
    plain.send(b"warm")
    requests = []
    for chunk in range(20):
        embedded_cluster.clear_requests()
        plain.produce(*(b"%d %d" % (chunk, i) for i in range(1000)))
        plain.wait()
        requests.append(len(embedded_cluster.requests(ApiKey.PRODUCE)))
    assert max(requests) > 1


def test_f7_three_retries_are_less_than_a_second_of_patience(embedded_cluster, topic):
    """Waits of 100, 200 and 400 ms, give or take a fifth: a leader election takes longer."""
    name = topic(embedded_cluster)
    plain = Plain(embedded_cluster.bootstrap_servers, name)
    plain.send(b"warm")
    embedded_cluster.clear_requests()
    embedded_cluster.push_errors(ApiKey.PRODUCE, ["NOT_ENOUGH_REPLICAS"] * 10)
    assert plain.send(b"A") == "NOT_ENOUGH_REPLICAS"
    times = [request.timestamp for request in embedded_cluster.requests(ApiKey.PRODUCE)]
    assert len(times) == 4
    assert times[-1] - times[0] < 3.0  # 0.84 on a quiet machine


def test_f7_some_retries_are_not_counted_at_all(embedded_cluster, topic):
    """NOT_LEADER_OR_FOLLOWER is retried far beyond ``retries=3``, to the end of ``message.timeout.ms``."""
    name = topic(embedded_cluster)
    config = {"retry.backoff.ms": 20, "retry.backoff.max.ms": 20}
    plain = Plain(embedded_cluster.bootstrap_servers, name, **config)
    plain.send(b"warm")
    embedded_cluster.clear_requests()
    embedded_cluster.push_errors(ApiKey.PRODUCE, ["NOT_LEADER_FOR_PARTITION"] * 12)
    assert isinstance(plain.send(b"A"), int)
    assert len(embedded_cluster.requests(ApiKey.PRODUCE)) == 13


def test_f10_a_producer_that_goes_takes_its_records_along(embedded_cluster, topic):
    """No report says so."""
    name = topic(embedded_cluster)
    plain = Plain(embedded_cluster.bootstrap_servers, name)
    plain.send(b"warm")
    embedded_cluster.set_rtt(60_000)
    plain.produce(*of(b"ABC"))
    del plain._producer
    embedded_cluster.set_rtt(0)
    assert set(plain.reports) == {b"warm"}


def test_f11_a_child_of_a_fork_sends_nothing(embedded_cluster, topic):
    """Its produce() is accepted all the same, and its flush() waits for no report, if it ever returns."""
    name = topic(embedded_cluster)
    plain = Plain(embedded_cluster.bootstrap_servers, name)
    plain.send(b"warm")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(5)
            plain.produce(b"A")
            plain._producer.flush(2)
            status = 0 if b"A" in plain.reports else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (2, -signal.SIGALRM)
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm"]


def test_f12_the_mock_does_not_deduplicate(embedded_cluster, topic):
    """An answer too late makes an idempotent producer send again; the mock appends again. Real brokers do not."""
    name = topic(embedded_cluster)
    embedded_cluster.set_leader(name, 0, 1)
    config = {"enable.idempotence": True, "socket.timeout.ms": 500}
    plain = Plain(embedded_cluster.bootstrap_servers, name, **config)
    plain.send(b"warm")
    embedded_cluster.push_broker_errors(1, ApiKey.PRODUCE, [(0, 1500)])
    plain.send(b"A")
    log = read_values(embedded_cluster.bootstrap_servers, name)
    assert log == [b"warm", *[b"A"] * (len(log) - 1)]
    assert len(log) > 2


def test_f13_a_failure_in_one_partition_doubles_another(fault_proxy, kafka_cluster, topic):
    """A permanent error in one partition makes librdkafka bump the epoch and number all partitions anew.

    What was appended in another partition, answered with an error and is waiting for its retry then comes with a new
    number: the broker cannot know it again.
    """
    name = topic(kafka_cluster, 2)
    plain = Plain(
        fault_proxy.bootstrap_servers,
        name,
        **{"enable.idempotence": True, "retry.backoff.ms": 1000, "retry.backoff.max.ms": 1000},
    )
    plain.produce(b"warm 0")
    plain.produce(b"warm 1", partition=1)
    plain.wait()
    fault_proxy.rule = once({b"record A": falsify(7), b"record B": refuse(87, after=0.3)})
    plain.produce(b"record A")
    plain.produce(b"record B", partition=1)
    plain.wait()
    assert plain.reports[b"record B"] == "INVALID_RECORD"
    assert read_values(kafka_cluster.bootstrap_servers, name, 0) == [b"warm 0", b"record A", b"record A"]


def test_f33_the_retry_of_a_written_batch_is_told_another_time(fault_proxy, kafka_cluster, topic):
    """Kafka's answer to a batch that it has already names that batch's last time as the time of its append.

    So everything in it is reported with LogAppendTime, and the last record's time, in a topic with CreateTime.
    """
    name = topic(kafka_cluster)
    told = []
    settings = {"enable.idempotence": True, "linger.ms": 50, "retry.backoff.ms": 20}
    producer = Producer({"bootstrap.servers": fault_proxy.bootstrap_servers, **QUICK, **settings})
    fault_proxy.then(falsify(7))
    for time in (1_000_000, 2_000_000):
        producer.produce(
            name, b"record", partition=0, timestamp=time, on_delivery=lambda error, one: told.append(one.timestamp())
        )
    assert producer.flush(30) == 0
    assert told == [(TIMESTAMP_LOG_APPEND_TIME, 2_000_000)] * 2
    log = read_all(kafka_cluster.bootstrap_servers, name)
    assert [one.timestamp for one in log] == [(TIMESTAMP_CREATE_TIME, time) for time in (1_000_000, 2_000_000)]
