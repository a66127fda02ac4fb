"""Whatever a call is given for any of its arguments, it sends or raises our errors: generated, on both lanes."""

from __future__ import annotations

import pytest

from tests.encoding.test_any_value import AVRO, escaped, record
from tests.support.hostile import VALUES, held
from twolane import Avro, ConfigError, Json, SafeProducer, SerializationError, ThroughputProducer

TWO = [b"a", b"b"]
KEYS, TEXTS = Avro("long"), Avro(record(AVRO["string"]))


def calls(producer, name):
    """Give each argument of each call, as a function of it."""
    return {
        "topic": lambda it: producer.send(it, b"v"),
        "topic of a batch": lambda it: producer.send_batch(it, TWO),
        "topic of partitions_for": producer.partitions_for,
        "value": lambda it: producer.send(name, it),
        "value with a serializer": lambda it: producer.send(name, it, serializer=Json()),
        "key": lambda it: producer.send(name, b"v", key=it),
        "key with a serializer": lambda it: producer.send(name, b"v", key=it, key_serializer=KEYS),
        "headers": lambda it: producer.send(name, b"v", headers=it),
        "partition": lambda it: producer.send(name, b"v", partition=it),
        "timestamp": lambda it: producer.send(name, b"v", timestamp=it),
        "timestamp_header": lambda it: producer.send(name, b"v", timestamp_header=it),
        "values": lambda it: producer.send_batch(name, it),
        "values with a serializer": lambda it: producer.send_batch(name, it, serializer=TEXTS),
        "keys": lambda it: producer.send_batch(name, TWO, keys=it),
        "keys with a serializer": lambda it: producer.send_batch(name, TWO, keys=it, key_serializer=KEYS),
        "headers of a batch": lambda it: producer.send_batch(name, TWO, headers=it),
        "partitions": lambda it: producer.send_batch(name, TWO, partitions=it),
        "timestamps": lambda it: producer.send_batch(name, TWO, timestamps=it),
        "timestamp_header of a batch": lambda it: producer.send_batch(name, TWO, timestamp_header=it),
        "values with skipping": lambda it: producer.send_batch(name, it, on_bad_row="skip"),
        "rows with skipping": lambda it: producer.send_batch(name, it, serializer=TEXTS, on_bad_row="skip"),
        "keys with skipping": lambda it: producer.send_batch(name, TWO, keys=it, on_bad_row="skip"),
        "headers with skipping": lambda it: producer.send_batch(name, TWO, headers=it, on_bad_row="skip"),
        "partitions with skipping": lambda it: producer.send_batch(name, TWO, partitions=it, on_bad_row="skip"),
        "timestamps with skipping": lambda it: producer.send_batch(name, TWO, timestamps=it, on_bad_row="skip"),
        "on_bad_row": lambda it: producer.send_batch(name, TWO, on_bad_row=it),
    }


@pytest.fixture(params=[SafeProducer, ThroughputProducer], ids=["safe", "throughput"])
def producer(request, embedded_cluster):
    with request.param(bootstrap_servers=embedded_cluster.bootstrap_servers) as made:
        yield made


@pytest.mark.filterwarnings("ignore")
def test_only_our_errors_come_out_of_calls(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 2)
    problems = {}
    known = calls(producer, name)
    n = 0
    # Each lane has its half: what refuses arguments is common to both.
    for what, make in list(held())[isinstance(producer, SafeProducer) :: 2]:
        for argument, call in known.items():
            n += 1
            found = escaped(call, make())
            if found:
                problems.setdefault(found, f"{what} as {argument}")
    assert n > 7_000
    assert not problems, "\n".join(f"{where}: {found}" for found, where in problems.items())


@pytest.mark.parametrize("timeout", ["soon", None, object(), float("nan"), 1j, [1], 10**400])
def test_a_timeout_is_a_number_of_seconds(producer, embedded_cluster, topic, timeout):
    name = topic(embedded_cluster, 1)
    calls = [
        lambda: producer.send_batch(name, TWO, timeout=timeout),
        lambda: producer.partitions_for(name, timeout=timeout),
        lambda: producer.flush(timeout=timeout),
        lambda: producer.close(timeout=timeout),
    ]
    for call in calls:
        if timeout is None:
            call()
        else:
            with pytest.raises(ConfigError, match="timeout: expected a number of seconds"):
                call()


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 1e10])
def test_a_timeout_may_be_without_end(producer, embedded_cluster, topic, timeout):
    name = topic(embedded_cluster, 1)
    embedded_cluster.set_rtt(100)
    try:
        producer.send(name, b"v", timeout=timeout)
        sent = producer.send_batch(name, TWO, timeout=timeout)
        if isinstance(producer, ThroughputProducer):
            assert sent.result(timeout).written == 2
        assert producer.partitions_for(name, timeout) == {0}
        assert producer.flush(timeout) == 0
        producer.close(timeout)
    finally:
        embedded_cluster.set_rtt(0)


def test_a_table_without_a_serializer_is_refused_as_what_it_is(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    for table in ({"a": [1, 2], "b": [3, 4]}, VALUES["two dimensions"].view([("a", "f8"), ("b", "f8")])[:, 0]):
        with pytest.raises(SerializationError, match="the columns 'a', 'b': it needs a serializer") as caught:
            producer.send_batch(name, table)
        assert caught.value.topic == name
        with pytest.raises(SerializationError, match=r"serializer|bytes"):
            producer.send_batch(name, TWO, keys=table)


@pytest.mark.parametrize("argument", ["partitions", "timestamps", "keys"])
@pytest.mark.parametrize("value", [{0: 0, 1: 1}, {0, 1}, frozenset({0, 1})], ids=["dict", "set", "frozenset"])
def test_what_has_no_order_is_no_column(producer, embedded_cluster, topic, argument, value):
    name = topic(embedded_cluster, 2)
    with pytest.raises(SerializationError, match=name) as caught:
        producer.send_batch(name, TWO, **{argument: value})
    assert caught.value.field == argument
    assert producer.stats().accepted == 0
