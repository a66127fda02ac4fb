"""OpenTelemetry: a span for each call that sends, its context in the records' headers, and metrics over ``stats()``.

Needs ``pip install twolane[opentelemetry]``, which is the API alone: where spans and metrics go is decided by the SDK
that the application sets up. Without one nothing is recorded, and no header is added.
"""

from __future__ import annotations

import functools
import inspect
import time
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

try:
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.metrics import Observation
    from opentelemetry.trace import SpanKind, StatusCode
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(f"{_missing}: pip install twolane[opentelemetry]", name=_missing.name) from None

from twolane import __version__
from twolane.aio.base import BaseAsyncProducer
from twolane.common.base import BaseProducer
from twolane.common.headers import AddedHeaders, shared_headers
from twolane.contrib.figures import FIGURES
from twolane.errors import DeliveryError, Verdict, from_metadata
from twolane.results import BatchMetadata, DeliveryReport
from twolane.throughput.batch_delivery import BatchDelivery
from twolane.throughput.producer import ThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

    from twolane.contrib.figures import Figure, Watched
    from twolane.results import RecordMetadata
    from twolane.stats import Stats
    from twolane.throughput.problems import Problems

P = TypeVar("P", bound="BaseProducer | BaseAsyncProducer[Any]")

# The semantic conventions that the names of messaging.* are from.
SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
CONVENTIONAL = {"messaging.system": "kafka", "messaging.operation.name": "send"}
# Seconds: the buckets that the conventions ask for.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


def instrument(
    producer: P, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> P:
    """Trace the calls of a producer, and publish its figures.

    Parameters
    ----------
    producer : SafeProducer, ThroughputProducer, one of those for asyncio, or a fake of them
        Only this object is changed: its ``send()``, ``submit()`` and ``send_batch()``.
    tracer_provider, meter_provider : TracerProvider, MeterProvider, optional
        The global ones by default.

    Returns
    -------
    SafeProducer, ThroughputProducer, ...
        The same object.

    Raises
    ------
    TypeError
        Another object; those of ``twolane.confluent`` are traced by ``opentelemetry-instrumentation-confluent-kafka``.
    ValueError
        The producer is instrumented already.

    Notes
    -----
    *Spans.* One for each call, of kind PRODUCER, named ``send TOPIC``. It ends when the records are reported: with the
    call on the safe lane, with the delivery's last report on the throughput lane. *Headers.* What the configured
    propagator writes (``traceparent``, ...) is one header for all records of a call, in place of one of that name.
    *Metrics.* ``twolane.producer.*``: the figures of ``stats()``, read when they are collected, under the names of
    `ProducerCollector`; ``messaging.client.sent.messages`` and ``messaging.client.operation.duration`` of the semantic
    conventions. The producer is held weakly.

    Examples
    --------
    >>> from twolane.testing import FakeProducer
    >>> with instrument(FakeProducer()) as producer:
    ...     producer.send("t", b"v").offset
    0
    """
    if not isinstance(producer, (BaseProducer, BaseAsyncProducer)):
        raise TypeError(f"instrument: expected a producer of twolane, got {type(producer).__name__}")
    if hasattr(producer, "_tracing"):
        raise ValueError(f"instrument: {producer!r} is instrumented already")
    blocking: Any = producer._producer if isinstance(producer, BaseAsyncProducer) else producer
    problems = blocking._delivery_thread.problems if isinstance(blocking, ThroughputProducer) else None
    own = _metrics_of(meter_provider)
    own.producers.add(producer)
    tracer = trace.get_tracer("twolane", __version__, tracer_provider, SCHEMA)
    changed: Any = producer
    changed._tracing = _Tracing(tracer, own.durations, producer.stats().client_id, problems)
    kind: Any = type(producer)
    changed.__class__ = _instrumented(kind)  # and not its attributes: those would hold it
    return producer


_classes: dict[type[Any], type[Any]] = {}


def _instrumented(kind: type[Any]) -> type[Any]:
    """Return the class of an instrumented producer: nothing else of it changes."""
    if kind not in _classes:
        wrap = _awaited if inspect.iscoroutinefunction(kind.send_batch) else _called
        calls = {name: wrap(getattr(kind, name)) for name in ("send", "send_batch")}  # submit() calls send()
        names = {"__module__": kind.__module__, "__doc__": kind.__doc__, **calls}
        _classes[kind] = type(kind.__name__, (kind,), names)
    return _classes[kind]


def _called(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def traced(self: Any, *arguments: Any, **keywords: Any) -> Any:
        call = self._tracing.begin(method.__name__, arguments, keywords)
        try:
            return call.returned(method(self, *arguments, **keywords))
        except BaseException as error:
            call.failed(error)
            raise

    return traced


def _awaited(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def traced(self: Any, *arguments: Any, **keywords: Any) -> Any:
        call = self._tracing.begin(method.__name__, arguments, keywords)
        try:
            return call.returned(await method(self, *arguments, **keywords))
        except BaseException as error:
            call.failed(error)
            raise

    return traced


class _Tracing:
    """What the calls of one producer share.

    Parameters
    ----------
    problems : Problems or None
        Of the throughput lane, where ``flush()`` raises the failures of records without a callback.
    """

    def __init__(self, tracer: Tracer, durations: metrics.Histogram, client_id: str, problems: Problems | None) -> None:
        self._tracer = tracer
        self.durations = durations
        self._client_id = client_id
        self.problems = problems

    def begin(self, method: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> _TracedCall:
        """Start the span of a call, and change its keywords: the context in its headers, the end by its report."""
        topic = arguments[0] if arguments else keywords.get("topic")
        attributes: dict[str, Any] = {
            **CONVENTIONAL,
            "messaging.operation.type": "send",
            "messaging.client.id": self._client_id,
            "messaging.destination.name": str(topic),
        }
        value = arguments[1] if len(arguments) > 1 else keywords.get("value")
        if method == "send" and value is None:
            attributes["messaging.kafka.message.tombstone"] = True
        span = self._tracer.start_span(f"send {topic}", kind=SpanKind.PRODUCER, attributes=attributes)
        context: dict[str, str] = {}
        propagate.inject(context, trace.set_span_in_context(span))
        if context:
            keywords["headers"] = AddedHeaders(keywords.get("headers"), shared_headers(context))
        call = _TracedCall(span, self, str(topic))
        if method == "send" and self.problems is not None:
            call.await_report(keywords)
        return call


class _TracedCall:
    """One call's span, and what ends it."""

    def __init__(self, span: trace.Span, tracing: _Tracing, topic: str) -> None:
        self._span = span
        self._tracing = tracing
        self._topic = topic
        self._started = time.monotonic()
        self._on_delivery: Callable[[Any, Any], Any] | None = None
        self._waits = False  # for a report
        self._has_ended = False

    def await_report(self, keywords: dict[str, Any]) -> None:
        """Have the span of a record of the throughput lane end with its report.

        Where nothing records the span the record goes as it would have: a report costs a Python object.
        """
        given = keywords.get("on_delivery")
        if not self._span.is_recording() or (given is None and "opaque" in keywords):  # which send() refuses
            return
        if given is None or callable(given):
            self._waits, self._on_delivery = True, given
            keywords["on_delivery"] = self._reported

    def _reported(self, error: DeliveryError | None, metadata: RecordMetadata | None) -> None:
        if error is not None:
            self.failed(error)
        elif metadata is not None:
            self._of_record(metadata)
        problems = self._tracing.problems
        if self._on_delivery is not None:
            self._on_delivery(error, metadata)
        elif error is not None and problems is not None:  # as of a record without a callback
            place = -1 if error.partition is None else error.partition
            offset = -1 if error.possible_offset is None else error.possible_offset
            report = DeliveryReport(0, error.error.code(), error.verdict, place, offset)
            problems.add_failures([(self._topic, report)])

    def returned(self, outcome: Any) -> Any:
        """Take what the call returned, and return it."""
        if isinstance(outcome, BatchDelivery):
            outcome.add_done_callback(self._delivered)
        elif isinstance(outcome, BatchMetadata):
            self._of_batch(outcome)
        elif outcome is not None:
            self._of_record(outcome)
        elif not self._waits:
            self._span.end()
        return outcome

    def _delivered(self, delivery: BatchDelivery) -> None:
        metadata = delivery._metadata  # result() would count as a look at its failures
        assert metadata is not None
        if metadata.failed:
            self.failed(from_metadata(metadata))
        else:
            self._of_batch(metadata)

    def _of_record(self, metadata: RecordMetadata) -> None:
        self._span.set_attribute("messaging.destination.partition.id", str(metadata.partition))
        if metadata.offset is not None:
            self._span.set_attribute("messaging.kafka.offset", metadata.offset)
        self._end({})

    def _of_batch(self, metadata: BatchMetadata) -> None:
        self._describe(metadata)
        self._end({})

    def _describe(self, metadata: BatchMetadata) -> None:
        self._span.set_attribute("messaging.batch.message_count", len(metadata) - len(metadata.refused))
        counts = {"refused": len(metadata.refused), "not_written": metadata.not_written, "unknown": metadata.unknown}
        self._span.set_attributes({f"twolane.batch.{name}": count for name, count in counts.items() if count})

    def failed(self, error: BaseException) -> None:
        """End the span of records of which not all were written."""
        metadata = getattr(error, "metadata", None)
        if metadata is not None:
            self._describe(metadata)
        # Of a wait that was cut off: what became of the record.
        verdict = getattr(getattr(error, "twolane_result", error), "verdict", None)
        if verdict is not None:
            self._span.set_attribute("twolane.verdict", verdict.name.lower())
        if isinstance(error, DeliveryError):
            kind, text = error.error.name(), str(error)
            if metadata is None and error.partition is not None:
                self._span.set_attribute("messaging.destination.partition.id", str(error.partition))
        else:
            kind, text = type(error).__name__, None  # the message may show a record's value
        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR, text)
        self._end({"error.type": kind})

    def _end(self, failure: dict[str, str]) -> None:
        if not self._has_ended:  # by a wait that was cut off
            self._has_ended = True
            attributes = {**CONVENTIONAL, "messaging.destination.name": self._topic, **failure}
            self._tracing.durations.record(
                time.monotonic() - self._started, attributes, trace.set_span_in_context(self._span)
            )
            self._span.end()


class _Metrics:
    """The instruments of one meter provider, for all its producers."""

    def __init__(self, provider: MeterProvider | None) -> None:
        self.producers: weakref.WeakSet[Any] = weakref.WeakSet()
        meter = metrics.get_meter("twolane", __version__, provider, SCHEMA)
        for figure in FIGURES:
            create = meter.create_observable_counter if figure.is_counter else meter.create_observable_gauge
            create(f"twolane.producer.{figure.name}", [self._observing(figure)], figure.unit, figure.text)
        meter.create_observable_counter(
            "messaging.client.sent.messages",
            [self._sent],
            "{message}",
            "Number of messages reported.",
        )
        self.durations = meter.create_histogram(
            "messaging.client.operation.duration",
            "s",
            "Duration of messaging operation initiated by a producer or consumer client.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )

    def _stats(self) -> list[Stats]:
        watched: list[Watched] = list(self.producers)
        return [producer.stats() for producer in watched]

    def _observing(self, figure: Figure) -> Callable[[Any], Iterator[Observation]]:
        def observe(_: Any) -> Iterator[Observation]:
            for stats in self._stats():
                for values, number in figure.samples(stats):
                    labels = dict(zip(figure.labels, values, strict=True))
                    yield Observation(number, {"client_id": stats.client_id, **labels})

        return observe

    def _sent(self, _: Any) -> Iterator[Observation]:
        for stats in self._stats():
            for verdict in Verdict:
                name = verdict.name.lower()
                attributes = {**CONVENTIONAL, "messaging.client.id": stats.client_id, "twolane.verdict": name}
                if verdict is not Verdict.WRITTEN:
                    attributes["error.type"] = "_OTHER"  # the conventions' word for one that is not told apart
                yield Observation(getattr(stats, name), attributes)


# By provider; the module stands for the global one, whichever it is by then. The SDK ignores the callbacks of an
# instrument that is made a second time.
_by_provider: weakref.WeakKeyDictionary[Any, _Metrics] = weakref.WeakKeyDictionary()


def _metrics_of(provider: MeterProvider | None) -> _Metrics:
    is_global = provider is None or provider is metrics.get_meter_provider()
    key: Any = metrics if is_global else provider
    if key not in _by_provider:
        _by_provider[key] = _Metrics(None if is_global else provider)
    return _by_provider[key]
