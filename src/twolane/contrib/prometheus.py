"""Prometheus: a collector over ``stats()``. Nothing is counted twice, and nothing at all between two scrapes.

Needs ``pip install twolane[prometheus]``.
"""

from __future__ import annotations

import weakref
from itertools import accumulate
from typing import TYPE_CHECKING, Any

try:
    from prometheus_client.core import REGISTRY, CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.registry import Collector
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(f"{_missing}: pip install twolane[prometheus]", name=_missing.name) from None

from twolane.contrib.figures import FIGURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

    from twolane.contrib.figures import Watched
    from twolane.stats import Stats

PREFIX = "twolane_producer"


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
        for figure in FIGURES:
            kind: Any = CounterMetricFamily if figure.is_counter else GaugeMetricFamily
            metric = kind(f"{PREFIX}_{figure.name}", figure.text, labels=("client_id", *figure.labels))
            for one in everyone:
                for labels, value in figure.samples(one):
                    metric.add_metric((one.client_id, *labels), value)
            yield metric
        yield _latency(everyone)


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
