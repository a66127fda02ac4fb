"""Every exception and everything a call returns, through pickle, copy and pools: what arrives says the same.

The classes are found by looking, so that a new one without an example here is noticed.
"""

from __future__ import annotations

import asyncio
import copy
import enum
import importlib
import inspect
import io
import multiprocessing
import pickle
import pkgutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import TimeoutError as NoAnswer
from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError

import twolane
from tests.support.pools import raised, returned
from tests.support.waiting import HELD
from twolane import errors, results, stats
from twolane.batch import EncodedBatch
from twolane.common.batch_metadata import Failures
from twolane.common.skipping import _not_sent
from twolane.config.policy import SAFE, settings_for
from twolane.encoding.mismatch import MemoryLimitExceeded, Mismatch
from twolane.results import RefusedRows
from twolane.serializers.bad_rows import BadRows, report_of
from twolane.sinks.reports import JobReport, OffsetRange, Task, TaskReport
from twolane.testing.errors import ClusterError, ClusterUnavailableError
from twolane.throughput.batch_delivery import BatchDelivery, _elsewhere
from twolane.throughput.delivery import RecordDelivery, _record_elsewhere

SECONDS = 60
CREATE_TIME = results.TimestampType.CREATE_TIME
REPORTS = [results.DeliveryReport(2, 7, errors.Verdict.UNKNOWN, 1, 40)]
REASON = "not sent: a record before it was not written"


def kafka_error() -> KafkaError:
    return KafkaError(KafkaError.REQUEST_TIMED_OUT, "no answer", False, True)


def metadata() -> results.BatchMetadata:
    return results.BatchMetadata(
        topic="t",
        partitions=np.array([0, 1, 1, 0], np.int32),
        offsets=np.array([5, 6, -1, -1]),
        written=2,
        failures=Failures("t", REPORTS, [(3, 0)], REASON),
        latency=0.25,
        timestamp_type=results.TimestampType.LOG_APPEND_TIME,
        log_append_times=np.array([1, 2, -1, -1]),
        refused=refused(),
        opaque=["mine"],
    )


def refused() -> RefusedRows:
    found = BadRows(9)
    found.add(4, report_of(errors.TimestampError("expected a time", **SERIALIZATION)))
    found.add(7, (_not_sent, ("t", KafkaError.MSG_SIZE_TOO_LARGE, "9 bytes", None)))
    return found.refused("t", ["mine"])


def opaque(kind: type) -> Any:
    return results.with_opaque(results.RecordMetadata("t", 1, 5, 6, results.TimestampType.CREATE_TIME), ["mine"])


def delivery() -> BatchDelivery:
    return _elsewhere("t", np.array([0, 1, 1, 0], np.int32), 4, 4, metadata())


SERIALIZATION = {"index": 3, "field": "a.b[2]", "value": "x" * 100, "topic": "t"}
DELIVERY = {
    "verdict": errors.Verdict.UNKNOWN,
    "topic": "t",
    "partition": 1,
    "index": 2,
    "possible_offset": 40,
    "detail": "no answer",
}
TRANSACTION = {"what": "commit_transaction", "retriable": True, "must_abort": False}
SUMMARY = (3, 0.5, 0.25, 1.0, 0.5, 0.75)

# How one of each class is made, with more than the constructor's defaults.
EXAMPLES: dict[type, Any] = {
    errors.TwolaneError: lambda kind: kind("text", 2),
    errors.ConfigError: lambda kind: kind("acks: no", key="acks"),
    errors.LibraryError: lambda kind: kind("not found"),
    errors.SerializationError: lambda kind: kind("expected bytes", **SERIALIZATION),
    errors.TimestampError: lambda kind: kind("expected a time", **SERIALIZATION),
    errors.QueueFullError: lambda kind: kind("full", index=7, delivery=delivery()),
    errors.ClosedProducerError: lambda kind: kind("closed", index=7, delivery=delivery()),
    errors.ForkedProducerError: lambda kind: kind("forked"),
    errors.DeliveryError: lambda kind: kind(kafka_error(), **DELIVERY),
    errors.BatchError: lambda kind: kind(kafka_error(), metadata=metadata(), **DELIVERY),
    errors.FatalProducerError: lambda kind: kind(KafkaError(47, "fenced", True), **DELIVERY),
    errors.FatalBatchError: lambda kind: kind(KafkaError(47, "fenced", True), metadata=metadata(), **DELIVERY),
    errors.TransactionError: lambda kind: kind(kafka_error(), **TRANSACTION),
    errors.TaskError: lambda kind: kind("task 3", report=EXAMPLES[TaskReport](TaskReport)),
    ClusterError: lambda kind: kind("did not start", code=3),
    ClusterUnavailableError: lambda kind: kind("no Java", code=3),
    Mismatch: lambda kind: kind("an int", 1.5),
    MemoryLimitExceeded: lambda kind: kind(),
    results.DeliveryReport: lambda _: REPORTS[0],
    results.RecordMetadata: lambda kind: kind("t", 1, 5, 6, results.TimestampType.CREATE_TIME),
    results.BatchMetadata: lambda _: metadata(),
    results.OpaqueMetadata: opaque,
    Failures: lambda kind: kind("t", REPORTS, [(3, 0)], REASON, opaque="mine"),
    RefusedRows: lambda _: refused(),
    BatchDelivery: lambda _: delivery(),
    RecordDelivery: lambda _: _record_elsewhere(True, None, results.RecordMetadata("t", 1, 5, 6, CREATE_TIME)),
    EncodedBatch: lambda kind: kind(b"abc", [0, 1, 1, 3], [True, False, True]).leaving_out(np.arange(3), refused()),
    Task: lambda kind: kind("job", 3, 1),
    OffsetRange: lambda kind: kind(2, 9, 7),
    TaskReport: lambda kind: kind(Task("job", 3, 1), 9, 7, 1, 1, ranges={("t", 0): OffsetRange(2, 9, 7)}),
    JobReport: lambda kind: kind.of("job", [EXAMPLES[TaskReport](TaskReport)]),
    stats.Summary: lambda kind: kind(*SUMMARY),
    stats.LatencyHistogram: lambda kind: kind.of([0, 3, 1], 700, 400),
    stats.BrokerStats: lambda kind: kind(
        1, "b", "UP", stats.Summary(*SUMMARY), stats.Summary(*SUMMARY), 1, 2, 3, 4, 5, 6, 7, 8, stats.Summary(*SUMMARY)
    ),
    stats.TopicStats: lambda kind: kind("t", stats.Summary(*SUMMARY), stats.Summary(*SUMMARY), 3, 300),
    stats.ClientStats: lambda kind: kind(1, (EXAMPLES[stats.BrokerStats](stats.BrokerStats),), ()),
    stats.Stats: lambda kind: kind(
        9,
        90,
        5,
        2,
        1,
        1,
        10,
        4,
        stats.LatencyHistogram.of([0, 3, 1], 700, 400),
        EXAMPLES[stats.ClientStats](stats.ClientStats),
    ),
}
# Modules whose public classes are what calls return.
RESULTS = (
    "twolane.batch",
    "twolane.throughput.batch_delivery",
    "twolane.common.batch_metadata",
    "twolane.results",
    "twolane.sinks.reports",
    "twolane.stats",
)
# Never leaves the child that runs it, and importing it would make one of this process.
CHILD = "twolane.testing._mock_broker"
DROP_IN = "twolane.confluent.drop_in"


def found() -> list[type]:
    """Give every exception class of the package, and every public class of the modules of results."""
    classes: dict[type, None] = {}
    for module_info in pkgutil.walk_packages(twolane.__path__, "twolane."):
        # The command is a program: what it raises, it catches.
        if module_info.name in (CHILD, "twolane.__main__") or module_info.name.startswith("twolane.cli"):
            continue
        module = importlib.import_module(module_info.name)
        if module_info.name == DROP_IN:
            module.undo()  # importing it replaced confluent-kafka's Producer
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ != module.__name__ or issubclass(kind, enum.Enum):
                continue
            if issubclass(kind, BaseException) or (module.__name__ in RESULTS and not name.startswith("_")):
                classes[kind] = None
    return list(classes)


CLASSES = [*found(), RecordDelivery]


def made(kind: type) -> Any:
    assert kind in EXAMPLES, f"{kind.__module__}.{kind.__qualname__} has no example here"
    one = EXAMPLES[kind](kind)
    if isinstance(one, BaseException):
        one.add_note("twolane: a note")
        one.twolane_result = delivery()  # type: ignore[attr-defined]
    return one


def told(value: Any) -> Any:
    """Give all that an object says of itself, as data that can be compared."""
    if isinstance(value, KafkaError):
        return "KafkaError", value.code(), value.str(), value.fatal(), value.retriable()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tolist()
    if isinstance(value, BaseException):
        return type(value), str(value), told(value.args), told(vars(value))
    if isinstance(value, Failures):
        return type(value), value.indices, [told(one) for one in value], repr(value)
    if isinstance(value, RefusedRows):
        return type(value), value.indices.tolist(), [told(one) for one in value], value.topic, value.opaque
    if isinstance(value, results.OpaqueMetadata):
        return type(value), [*value], value.opaque, repr(value)
    if isinstance(value, EncodedBatch):
        return list(value), value.is_constant, value.rows.tolist(), told(value.refused)
    if isinstance(value, BatchDelivery):
        return value.topic, value.accepted, value.reported, value.done(), told(value._metadata), len(value), repr(value)
    if isinstance(value, RecordDelivery):
        return value.done(), value.result(0), repr(value)
    if isinstance(value, results.BatchMetadata):
        return [told(getattr(value, name)) for name in value.__slots__]
    if isinstance(value, dict):
        return {name: told(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [told(entry) for entry in value]
    return value


def by_cloudpickle(value: Any) -> Any:
    import cloudpickle

    return pickle.loads(cloudpickle.dumps(value))


def by_pickler(value: Any) -> Any:
    """Through Python's own pickler, which looks methods up otherwise than C's."""
    out = io.BytesIO()
    pickle._Pickler(out).dump(value)  # type: ignore[attr-defined]
    return pickle._loads(out.getvalue())  # type: ignore[attr-defined]


WAYS: dict[str, Any] = {
    **{
        f"pickle {protocol}": lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "Python's pickler": by_pickler,
    "cloudpickle": by_cloudpickle,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "twice": lambda value: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(value)))),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_arrives_says_the_same(way):
    assert len(CLASSES) >= 25
    for kind in CLASSES:
        one = made(kind)
        other = WAYS[way](one)
        assert type(other) is type(one)
        assert told(other) == told(one), f"{kind} by {way}"


def test_exceptions_cross_pools():
    context = multiprocessing.get_context("spawn")
    exceptions = [made(kind) for kind in CLASSES if issubclass(kind, BaseException)]
    with context.Pool(1) as pool:
        for error in exceptions:
            with pytest.raises(type(error)) as caught:
                try:
                    pool.apply_async(raised, (error,)).get(SECONDS)
                except NoAnswer:
                    pytest.fail(f"{type(error)} ended the pool")
            assert told(caught.value.args) == told(error.args)
            assert str(caught.value) == str(error)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        for error in exceptions:
            with pytest.raises(type(error)) as caught:
                executor.submit(raised, error).result(SECONDS)
            assert str(caught.value) == str(error)
        for kind in CLASSES:
            one = made(kind)
            assert told(executor.submit(returned, one).result(SECONDS)) == told(one)


def test_a_subclass_of_the_users_own_is_no_exception():
    class Mine(errors.DeliveryError):
        def __init__(self, first: str, second: str) -> None:
            super().__init__(kafka_error(), **DELIVERY)
            self.both = first, second

    other = by_cloudpickle(Mine("a", "b"))
    assert other.both == ("a", "b")
    assert str(other) == str(Mine("a", "b"))


@pytest.mark.parametrize("lane", [twolane.SafeProducer, twolane.ThroughputProducer])
def test_what_calls_give_and_raise_travels(lane, embedded_cluster, topic):
    name = topic(embedded_cluster, 2)
    with lane(bootstrap_servers=embedded_cluster.bootstrap_servers, message_timeout_ms=20_000) as producer:
        given = [producer.send_batch(name, [b"a", b"b"]), producer.stats()]
        producer.send(name, b"c")
        if lane is twolane.ThroughputProducer:
            given += [given[0].result(20)]
        else:
            given += [producer.send(name, b"d")]
        with pytest.raises(twolane.SerializationError) as refused:
            producer.send_batch(name, [b"a", 7])
        with pytest.raises(twolane.DeliveryError) as absent:
            producer.send(name, b"a", partition=9)
        given += [refused.value, absent.value]
    with pytest.raises(twolane.ClosedProducerError) as closed:
        producer.send(name, b"a")
    for one in [*given, closed.value]:
        for way in ("pickle 5", "cloudpickle", "copy", "deepcopy"):
            assert told(WAYS[way](one)) == told(one)


async def awaited(batch):
    return await batch


def test_a_batch_on_its_way_is_nobodys_to_wait_for_elsewhere(embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    try:
        with twolane.ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
            producer.partitions_for(name)
            embedded_cluster.set_rtt(HELD)
            batch = producer.send_batch(name, [b"a"])
            assert not batch.done()
            assert copy.copy(batch) is batch
            assert copy.deepcopy(batch) is batch
            other = pickle.loads(pickle.dumps(batch))
            assert not other.done()
            for call in (other.result, lambda: other.add_done_callback(print), lambda: asyncio.run(awaited(other))):
                with pytest.raises(twolane.ForkedProducerError):
                    call()
            embedded_cluster.set_rtt(0)
            assert batch.result(20).written == 1
            assert pickle.loads(pickle.dumps(batch)).result().written == 1
    finally:
        embedded_cluster.set_rtt(0)


def test_secrets_are_not_pickled():
    settings = settings_for(SAFE, {"bootstrap.servers": "b:1", "sasl.password": "hunter2"}, {})
    for way in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="secrets"):
            way(settings)
