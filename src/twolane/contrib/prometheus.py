"""Prometheus: a collector over ``stats()``. Nothing is counted twice, and nothing at all between two scrapes.

Needs ``pip install twolane[prometheus]``.
"""

from __future__ import annotations

import weakref
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client.core import REGISTRY, CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

    from twolane.stats import Stats

PREFIX = "twolane_producer"
# Metric -> the figure of a producer and what it is.
COUNTERS: dict[str, tuple[Callable[[Stats], float], str]] = {
    "accepted_records": (lambda stats: stats.accepted, "Records handed to librdkafka."),
    "accepted_bytes": (lambda stats: stats.accepted_bytes, "Bytes of their keys and values."),
    "refused_rows": (lambda stats: stats.refused, "Rows that on_bad_row='skip' left out."),
    "requests": (lambda stats: stats.requests, "ProduceRequests sent, retries included."),
}
GAUGES: dict[str, tuple[Callable[[Stats], float], str]] = {
    "queue_records": (lambda stats: stats.in_queue, "Records without a report yet."),
    "queue_bytes": (lambda stats: stats.in_queue_bytes, "Bytes of their keys and values."),
}
VERDICTS = ("written", "not_written", "unknown")
# With statistics.interval.ms, by broker and by topic.
BROKER_COUNTERS = {
    "requests": "Requests of any kind, sent.",
    "bytes": "Bytes of requests, sent.",
    "errors": "Requests that could not be sent.",
    "retries": "Requests sent again.",
    "timeouts": "Requests without an answer in time.",
    "connects": "Connections tried.",
}
TOPIC_COUNTERS = {"records": "Records sent to brokers, retries included.", "bytes": "Their bytes."}


class Watched(Protocol):
    """What the collector needs of a producer; those for asyncio have it, too."""

    def stats(self) -> Stats:
        """Return the figures of this moment."""
        ...


class ProducerCollector(Collector):
    """Metrics of producers, read from their ``stats()`` when Prometheus asks.

    Parameters
    ----------
    *producers : SafeProducer, ThroughputProducer, or one of those for asyncio
        More with ``add()``. They are held weakly: one that is gone has no metrics any more.
    registry : prometheus_client.CollectorRegistry, optional
        The default one. None: do not register.

    Notes
    -----
    Every metric has the label ``client_id``, librdkafka's name of the client (``client.id`` and a number). Times are in
    seconds. ``twolane_producer_latency_seconds`` is a histogram of the time from the call to the acknowledgement, of
    all written records, with the buckets of ``stats().latency``. What is known of brokers and topics needs
    ``statistics.interval.ms``.

    Examples
    --------
    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> from twolane.testing import FakeProducer
    >>> registry = CollectorRegistry()
    >>> with FakeProducer(client_id="orders") as producer:
    ...     collector = ProducerCollector(producer, registry=registry)
    ...     producer.send("t", b"v").offset
    ...     b"twolane_producer_accepted_records_total" in generate_latest(registry)
    0
    True
    """

    def __init__(self, *producers: Watched, registry: CollectorRegistry | None = REGISTRY) -> None:
        self._producers: weakref.WeakSet[Any] = weakref.WeakSet(producers)
        if registry is not None:
            registry.register(self)

    def add(self, producer: Watched) -> None:
        """Watch one more producer."""
        self._producers.add(producer)

    def describe(self) -> list[Metric]:
        """Return nothing: registering asks no producer."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the metrics of this moment."""
        everyone = sorted((producer.stats() for producer in list(self._producers)), key=lambda stats: stats.client_id)
        for name, (figure, text) in COUNTERS.items():
            yield _metric(CounterMetricFamily, name, text, [((one.client_id,), figure(one)) for one in everyone])
        for name, (figure, text) in GAUGES.items():
            yield _metric(GaugeMetricFamily, name, text, [((one.client_id,), figure(one)) for one in everyone])
        ends = [((one.client_id, verdict), getattr(one, verdict)) for one in everyone for verdict in VERDICTS]
        yield _metric(CounterMetricFamily, "records", "Records reported, by verdict.", ends, "verdict")
        yield _latency(everyone)
        yield from _of_librdkafka(everyone)


def _metric(
    kind: type[Any], name: str, text: str, samples: Sequence[tuple[tuple[str, ...], float]], *labels: str
) -> Metric:
    metric: Metric = kind(f"{PREFIX}_{name}", text, labels=("client_id", *labels))
    for values, figure in samples:
        metric.add_metric(values, figure)  # type: ignore[attr-defined]
    return metric


def _latency(everyone: list[Stats]) -> Metric:
    metric = HistogramMetricFamily(
        f"{PREFIX}_latency_seconds", "From the call to the acknowledgement, of written records.", labels=("client_id",)
    )
    for one in everyone:
        latency = one.latency
        buckets = [
            (repr(bound), float(so_far))
            for bound, so_far in zip(latency.bounds, accumulate(latency.counts), strict=True)
        ]
        metric.add_metric((one.client_id,), [*buckets, ("+Inf", float(len(latency)))], latency.total)
    return metric


def _of_librdkafka(everyone: list[Stats]) -> Iterator[Metric]:
    brokers = [(one.client_id, broker) for one in everyone if one.client for broker in one.client.brokers]
    topics = [(one.client_id, topic) for one in everyone if one.client for topic in one.client.topics]
    for name, text in BROKER_COUNTERS.items():
        samples = [((client, str(broker.id)), getattr(broker, name)) for client, broker in brokers]
        yield _metric(CounterMetricFamily, f"broker_{name}", text, samples, "broker")
    up = [((client, str(broker.id)), float(broker.state == "UP")) for client, broker in brokers]
    yield _metric(GaugeMetricFamily, "broker_up", "Whether the connection is up.", up, "broker")
    for name, text in (("rtt", "Round trip of a request, mean"), ("throttle", "Wait that a quota asked for, mean")):
        samples = [((client, str(broker.id)), getattr(broker, name).mean) for client, broker in brokers]
        yield _metric(GaugeMetricFamily, f"broker_{name}_seconds", f"{text} of the last interval.", samples, "broker")
    for name, text in TOPIC_COUNTERS.items():
        samples = [((client, topic.name), getattr(topic, name)) for client, topic in topics]
        yield _metric(CounterMetricFamily, f"topic_{name}", text, samples, "topic")
