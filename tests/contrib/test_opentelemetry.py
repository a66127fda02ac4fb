"""Spans and metrics as the SDK's own in-memory exporters get them, headers as confluent-kafka's consumer reads them."""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
import warnings
import weakref

import numpy as np
import pytest

from tests.support.readers import read_all
from twolane import (
    AsyncSafeProducer,
    AsyncThroughputProducer,
    BatchError,
    DeliveryError,
    Json,
    QueueFullError,
    SafeProducer,
    SerializationError,
    ThroughputProducer,
    Verdict,
)
from twolane.testing import AsyncFakeProducer, FakeProducer, FakeThroughputProducer

trace = pytest.importorskip("opentelemetry.trace")
pytest.importorskip("opentelemetry.sdk")
from opentelemetry import baggage, context  # noqa: E402 - these need the package
from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF  # noqa: E402

from twolane.contrib.opentelemetry import instrument  # noqa: E402

LANES = [SafeProducer, ThroughputProducer, AsyncSafeProducer, AsyncThroughputProducer]
TRACEPARENT = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Telemetry:
    """An SDK of the test's own."""

    def __init__(self, **options):
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(shutdown_on_exit=False, **options)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)

    def instrument(self, producer):
        return instrument(producer, tracer_provider=self.tracers, meter_provider=self.meters)

    def spans(self):
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time)

    def metrics(self):
        data = self.reader.get_metrics_data()
        return {
            (metric.name, frozenset(point.attributes.items())): point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        }


@pytest.fixture
def telemetry():
    return Telemetry()


def call(kind, telemetry, settings, *calls):
    """Make calls (method, arguments, keywords) with an instrumented producer of any kind; return what they told."""

    async def main():
        async with telemetry.instrument(kind(**settings)) as producer:
            told = [await getattr(producer, method)(*given, **keywords) for method, given, keywords in calls]
            await producer.flush()
            return told

    if hasattr(kind, "__aenter__"):
        return asyncio.run(main())
    with telemetry.instrument(kind(**settings)) as producer:
        told = [getattr(producer, method)(*given, **keywords) for method, given, keywords in calls]
        producer.flush(20)
    return told


def silence(cluster, *, ends=False):
    """Let no report come; then let them come."""
    for broker in cluster.broker_ids:
        (cluster.start_broker if ends else cluster.stop_broker)(broker)


def parent_of(headers):
    """Trace and span that a record's traceparent names."""
    (text,) = [value for name, value in headers if name == "traceparent"]
    assert TRACEPARENT.fullmatch(text)
    _, trace_id, span_id, _ = text.decode().split("-")
    return int(trace_id, 16), int(span_id, 16)


@pytest.mark.parametrize("kind", LANES)
def test_a_span_for_each_call_and_its_context_in_every_record(embedded_cluster, telemetry, topic, kind):
    name = topic(embedded_cluster)
    settings = {"bootstrap_servers": embedded_cluster.bootstrap_servers, "client_id": "orders"}
    calls = [
        ("send", (name, b"one"), {"key": b"k", "headers": {"a": b"1"}}),
        ("send", (name, None), {"headers": [("a", b"2"), ("traceparent", b"from before"), ("a", b"3")]}),
        ("send_batch", (name, [b"x", b"y"]), {"headers": [{"a": b"4"}, None]}),
        ("send_batch", (name, {"id": np.arange(3), "h": ["5", "6", "7"]}), {"serializer": Json(), "headers": ["h"]}),
    ]
    call(kind, telemetry, settings, *calls)
    records = read_all(embedded_cluster.bootstrap_servers, name)
    spans = telemetry.spans()
    assert [span.name for span in spans] == [f"send {name}"] * 4
    assert {span.kind for span in spans} == {trace.SpanKind.PRODUCER}
    one, gone, batch, columns = spans
    by_span = [one, gone, batch, batch, columns, columns, columns]
    ids = [(span.context.trace_id, span.context.span_id) for span in by_span]
    assert [parent_of(record.headers) for record in records] == ids
    others = [[value for key, value in record.headers if key != "traceparent"] for record in records]
    assert others == [[b"1"], [b"2", b"3"], [b"4"], [], [b"5"], [b"6"], [b"7"]]
    for span in spans:
        attributes = dict(span.attributes)
        assert attributes.pop("messaging.client.id").startswith("orders#producer-")
        assert {key: attributes.pop(key) for key in sorted(attributes) if not key.startswith("messaging.kafka")} == {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": name,
            **({"messaging.destination.partition.id": "0"} if span in (one, gone) else {}),
            **({"messaging.batch.message_count": 2} if span is batch else {}),
            **({"messaging.batch.message_count": 3} if span is columns else {}),
        }
        assert attributes == {
            **({"messaging.kafka.offset": records[spans.index(span)].offset} if span in (one, gone) else {}),
            **({"messaging.kafka.message.tombstone": True} if span is gone else {}),
        }
        assert span.status.is_ok or span.status.status_code is trace.StatusCode.UNSET
        assert span.instrumentation_scope.name == "twolane"


def test_the_span_belongs_to_the_current_one_and_takes_what_the_propagator_writes(embedded_cluster, telemetry, topic):
    name = topic(embedded_cluster)
    tracer = telemetry.tracers.get_tracer("test")
    with (
        telemetry.instrument(SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers)) as producer,
        tracer.start_as_current_span("request") as request,
    ):
        token = context.attach(baggage.set_baggage("tenant", "7"))
        producer.send_batch(name, [b"a"] * 3)
        context.detach(token)
    headers = {tuple(record.headers) for record in read_all(embedded_cluster.bootstrap_servers, name)}
    (same,) = headers
    assert dict(same)["baggage"] == b"tenant=7"
    (sent,) = [span for span in telemetry.spans() if span.name != "request"]
    assert sent.parent.span_id == request.get_span_context().span_id
    assert parent_of(same)[0] == request.get_span_context().trace_id


def test_a_span_of_the_throughput_lane_ends_with_the_report(embedded_cluster, telemetry, topic):
    name = topic(embedded_cluster)
    settings = {"bootstrap_servers": embedded_cluster.bootstrap_servers, "linger_ms": 5}
    seen = []
    with telemetry.instrument(ThroughputProducer(**settings)) as producer:
        producer.partitions_for(name)
        silence(embedded_cluster)
        delivery = producer.send_batch(name, [b"a"])
        producer.send(name, b"b", on_delivery=lambda error, metadata: seen.append((error, metadata.offset)))
        future = producer.submit(name, b"c", opaque="mine")
        producer.send(name, b"d")
        assert telemetry.spans() == []
        silence(embedded_cluster, ends=True)
        assert delivery.result(20).written == 1
        assert future.result(20).opaque == "mine"
        assert producer.flush(20) == 0
        assert seen == [(None, 1)]
    assert sorted(dict(span.attributes).get("messaging.kafka.offset", -1) for span in telemetry.spans()) == [
        -1,
        1,
        2,
        3,
    ]


@pytest.mark.parametrize("kind", [FakeProducer, AsyncFakeProducer, FakeThroughputProducer])
@pytest.mark.parametrize("method", ["send", "send_batch"])
def test_what_was_not_written_says_so(telemetry, kind, method):
    def fail(producer):
        producer.fail_next(Verdict.UNKNOWN)

    async def main():
        async with telemetry.instrument(kind()) as producer:
            fail(producer)
            with pytest.raises(DeliveryError):
                await getattr(producer, method)("t", b"v" if method == "send" else [b"v", b"w"])

    if kind is AsyncFakeProducer:
        asyncio.run(main())
    else:
        producer = telemetry.instrument(kind())
        fail(producer)
        with pytest.raises(DeliveryError):
            told = getattr(producer, method)("t", b"v" if method == "send" else [b"v", b"w"])
            if hasattr(told, "result"):
                told.result(0)
            producer.flush()
        producer.close()
    (span,) = telemetry.spans()
    attributes = dict(span.attributes)
    assert span.status.status_code is trace.StatusCode.ERROR
    assert "unknown (REQUEST_TIMED_OUT" in span.status.description
    assert attributes["error.type"] == "REQUEST_TIMED_OUT"
    assert attributes["twolane.verdict"] == "unknown"
    if method == "send_batch":
        assert attributes["messaging.batch.message_count"] == 2
        assert attributes["twolane.batch.unknown"] == 1
    durations = [
        point
        for (name, labels), point in telemetry.metrics().items()
        if name == "messaging.client.operation.duration" and ("error.type", "REQUEST_TIMED_OUT") in labels
    ]
    assert [point.count for point in durations] == [1]


def test_failures_without_a_callback_are_raised_by_flush_in_the_same_words():
    said = []
    for producer in (FakeThroughputProducer(), Telemetry().instrument(FakeThroughputProducer())):
        producer.fail_next(Verdict.NOT_WRITTEN, count=2)
        producer.send("t", b"a")
        producer.send("t", b"b")
        with pytest.raises(DeliveryError) as caught:
            producer.flush()
        said.append((str(caught.value), [str(error) for error in caught.value.failures]))
        batch = producer.send_batch("t", [b"v"])
        assert batch.done()
        producer.close()
    assert said[0] == said[1]
    assert len(said[0][1]) == 2


def test_failures_that_nobody_looked_at_stay_so(telemetry):
    producer = telemetry.instrument(FakeThroughputProducer())
    producer.fail_next()
    producer.send_batch("t", [b"v"])  # dropped at once
    gc.collect()
    with pytest.raises(BatchError):
        producer.flush()
    producer.close()


@pytest.mark.parametrize("kind", [FakeProducer, FakeThroughputProducer])
def test_what_is_refused_is_refused_in_the_same_words(telemetry, kind):
    said = []
    for producer in (kind(), telemetry.instrument(kind())):
        with producer:
            for method, arguments, keywords, error in [
                ("send", ("t", 5), {}, SerializationError),
                ("send", ("t", b"v"), {"headers": 5}, SerializationError),
                ("send", ("t", b"v"), {"headers": {"a": 5}}, SerializationError),
                ("send", (), {}, TypeError),
                ("send", ("t", b"v"), {"nonsense": 1}, TypeError),
                ("send", ("t", b"v" * 999_900), {}, None),
                ("send_batch", ("t", [b"a", b"b"]), {"headers": [{}]}, SerializationError),
                ("send_batch", ("t", [b"a", 5]), {}, SerializationError),
                ("send_batch", ("t", [b"a" * 2_000_000]), {}, DeliveryError),
            ]:
                if error is not None:
                    with pytest.raises(error) as caught:
                        getattr(producer, method)(*arguments, **keywords)
                    said.append(re.sub(r"\d{5,} bytes", "N bytes", str(caught.value)))
    assert said[: len(said) // 2] == said[len(said) // 2 :]
    kinds = [span.attributes["error.type"] for span in telemetry.spans()]
    assert kinds == ["SerializationError"] * 3 + ["TypeError"] * 2 + ["SerializationError"] * 2 + ["MSG_SIZE_TOO_LARGE"]
    assert not [span for span in telemetry.spans() if "got 5" in str(span.to_json())], "a value of the user's"


def test_the_added_header_counts_for_the_size_of_a_record(telemetry):
    """A record that just fits does not with a traceparent, and is refused before it goes."""
    with FakeProducer(message_max_bytes=1_000) as plain:
        fits = next(n for n in range(1_000, 0, -1) if _fits(plain, n))
    with telemetry.instrument(FakeProducer(message_max_bytes=1_000)) as producer:
        for method, value in (("send", b"v" * fits), ("send_batch", [b"v" * fits])):
            with pytest.raises(DeliveryError, match="MSG_SIZE_TOO_LARGE"):
                getattr(producer, method)("t", value)
        left = producer.send_batch("t", [b"v" * fits, b"w"], on_bad_row="skip", opaque=1)
        assert left.refused.indices.tolist() == [0]
        assert parent_of(producer.records[0].headers)
    assert telemetry.spans()[-1].attributes["twolane.batch.refused"] == 1


def _fits(producer, n):
    try:
        producer.send("t", b"v" * n)
    except DeliveryError:
        return False
    return True


def test_bad_rows_are_left_out_and_headers_stay_with_their_rows(telemetry):
    with telemetry.instrument(FakeProducer()) as producer:
        for headers in ({"h": [b"1", b"2", b"3"]}, [{"h": b"1"}, {"h": b"2"}, {"h": b"3"}], {"h": b"all"}):
            metadata = producer.send_batch("t", [b"a", 5, b"c"], headers=headers, on_bad_row="skip")
            assert metadata.refused.indices.tolist() == [1]
        values = [dict(record.headers)["h"] for record in producer.records]
    assert values == [b"1", b"3", b"1", b"3", b"all", b"all"]
    assert all(parent_of(record.headers) for record in producer.records)
    assert [span.attributes["messaging.batch.message_count"] for span in telemetry.spans()] == [2, 2, 2]


def test_a_cancelled_wait_ends_its_span(telemetry):
    async def main():
        async with telemetry.instrument(AsyncFakeProducer()) as producer:
            task = asyncio.create_task(producer.send("t", b"v"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    (span,) = telemetry.spans()
    assert span.attributes["error.type"] == "CancelledError"
    assert span.attributes["twolane.verdict"] in ("not_written", "unknown")


def test_what_is_not_sampled_costs_no_callback_and_still_carries_its_context(monkeypatch):
    telemetry = Telemetry(sampler=ALWAYS_OFF)
    with telemetry.instrument(FakeThroughputProducer()) as producer:
        given = []
        plain = FakeThroughputProducer.send
        monkeypatch.setattr(
            FakeThroughputProducer,
            "send",
            lambda self, *arguments, **keywords: (given.append(keywords), plain(self, *arguments, **keywords))[1],
        )
        producer.send("t", b"v")
        assert parent_of(producer.records[0].headers)
    assert telemetry.spans() == []


def test_without_an_sdk_nothing_is_added():
    with instrument(FakeProducer()) as producer, instrument(FakeThroughputProducer()) as other:
        for one in (producer, other):
            one.send("t", b"v")
            one.send_batch("t", [b"v"])
            assert [record.headers for record in one.records] == [[], []]


def test_the_same_object_of_the_same_kind():
    for kind in (FakeProducer, FakeThroughputProducer, AsyncFakeProducer):
        producer = kind()
        assert instrument(producer) is producer
        assert isinstance(producer, kind)
        assert type(producer).__name__ == kind.__name__
        for name in ("send", "send_batch"):
            assert inspect.signature(getattr(type(producer), name)) == inspect.signature(getattr(kind, name))
            assert inspect.iscoroutinefunction(getattr(producer, name)) == (kind is AsyncFakeProducer)
        with pytest.raises(ValueError, match="instrumented already"):
            instrument(producer)
        asyncio.run(producer.close()) if kind is AsyncFakeProducer else producer.close()


def test_others_are_refused():
    with pytest.raises(TypeError, match="expected a producer of twolane, got object"):
        instrument(object())


@pytest.mark.parametrize("kind", [SafeProducer, ThroughputProducer])
def test_it_is_not_kept_alive(telemetry, kind):
    producer = telemetry.instrument(kind(bootstrap_servers="fake.invalid:9092"))
    producer.close()
    gone = weakref.ref(producer)
    gc.disable()
    try:
        del producer
        assert gone() is None
    finally:
        gc.enable()
    assert not [name for name, _ in telemetry.metrics() if name.startswith("twolane.producer.")]


def test_metrics_are_the_figures_of_stats(embedded_cluster, telemetry, topic):
    name = topic(embedded_cluster)
    first = telemetry.instrument(SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers))
    second = telemetry.instrument(FakeThroughputProducer(client_id="second"))
    second.fail_next(Verdict.NOT_WRITTEN)
    with first, second, warnings.catch_warnings():
        first.send_batch(name, [b"12345"] * 10)
        first.send_batch(name, [b"1", 5], on_bad_row="skip")
        second.send("t", b"v", on_delivery=lambda *_: None)
        found = telemetry.metrics()
        ids = first.stats().client_id, second.stats().client_id

    def value(metric, client_id, **labels):
        return found[f"twolane.producer.{metric}", frozenset({"client_id": client_id, **labels}.items())].value

    assert value("records", ids[0], verdict="written") == value("accepted_records", ids[0]) == 11
    assert value("records", ids[1], verdict="not_written") == 1
    assert value("accepted_bytes", ids[0]) == 51
    assert value("refused_rows", ids[0]) == 1
    assert value("queue_records", ids[0]) == 0
    assert value("requests", ids[0]) == first.stats().requests
    sent = {
        (labels["messaging.client.id"], labels["twolane.verdict"], labels.get("error.type")): point.value
        for (metric, frozen), point in found.items()
        if metric == "messaging.client.sent.messages"
        for labels in [dict(frozen)]
    }
    assert sent[ids[0], "written", None] == 11
    assert sent[ids[1], "not_written", "_OTHER"] == 1
    assert {
        labels["messaging.system"]
        for (metric, frozen), _ in found.items()
        if "sent" in metric
        for labels in [dict(frozen)]
    } == {"kafka"}
    (duration,) = [
        point
        for (metric, frozen), point in found.items()
        if "duration" in metric and ("messaging.destination.name", name) in frozen
    ]
    assert duration.count == 2
    assert duration.explicit_bounds[0] == 0.005


def test_full_buffers_end_the_span(embedded_cluster, telemetry, topic):
    name = topic(embedded_cluster)
    settings = {"bootstrap_servers": embedded_cluster.bootstrap_servers, "queue_buffering_max_messages": 1}
    with telemetry.instrument(ThroughputProducer(on_full="raise", linger_ms=1, **settings)) as producer:
        producer.partitions_for(name)
        silence(embedded_cluster)
        producer.send(name, b"a")
        with pytest.raises(QueueFullError):
            producer.send(name, b"b")
        silence(embedded_cluster, ends=True)
        producer.flush(20)
    assert sorted(str(span.attributes.get("error.type")) for span in telemetry.spans()) == ["None", "QueueFullError"]
