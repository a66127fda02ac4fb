"""The figures of ``stats()`` as metrics: one table of names, kinds and labels for every system that collects them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twolane.stats import Stats

VERDICTS = ("written", "not_written", "unknown")


class Watched(Protocol):
    """What a collector needs of a producer; those for asyncio have it, too."""

    def stats(self) -> Stats:
        """Return the figures of this moment."""
        ...


class Figure(NamedTuple):
    """One metric.

    Attributes
    ----------
    name : str
        What comes behind ``twolane_producer_``.
    is_counter : bool
        It only grows; else it is a gauge.
    unit : str
        By UCUM, as OpenTelemetry writes it.
    text : str
    labels : tuple of str
        Beside ``client_id``.
    samples : callable
        Takes the Stats of a producer.
    """

    name: str
    is_counter: bool
    unit: str
    text: str
    labels: tuple[str, ...]
    samples: Callable[[Stats], Iterable[tuple[tuple[str, ...], float]]]


def _of_producer(name: str, text: str, read: Callable[[Stats], float], unit: str, *, is_counter: bool = True) -> Figure:
    return Figure(name, is_counter, unit, text, (), lambda stats: [((), read(stats))])


def _of_brokers(name: str, text: str, read: Callable[[Any], float], unit: str, *, is_counter: bool = True) -> Figure:
    def samples(stats: Stats) -> Iterable[tuple[tuple[str, ...], float]]:
        brokers = stats.client.brokers if stats.client is not None else ()
        return [((str(broker.id),), read(broker)) for broker in brokers]

    return Figure(f"broker_{name}", is_counter, unit, text, ("broker",), samples)


def _of_topics(name: str, text: str, read: Callable[[Any], float], unit: str) -> Figure:
    def samples(stats: Stats) -> Iterable[tuple[tuple[str, ...], float]]:
        topics = stats.client.topics if stats.client is not None else ()
        return [((topic.name,), read(topic)) for topic in topics]

    return Figure(f"topic_{name}", True, unit, text, ("topic",), samples)


FIGURES = (
    Figure(
        "records",
        True,
        "{record}",
        "Records reported, by verdict.",
        ("verdict",),
        lambda stats: [((verdict,), getattr(stats, verdict)) for verdict in VERDICTS],
    ),
    _of_producer("accepted_records", "Records handed to librdkafka.", lambda stats: stats.accepted, "{record}"),
    _of_producer("accepted_bytes", "Bytes of their keys and values.", lambda stats: stats.accepted_bytes, "By"),
    _of_producer("refused_rows", "Rows that on_bad_row='skip' left out.", lambda stats: stats.refused, "{row}"),
    _of_producer("requests", "ProduceRequests sent, retries included.", lambda stats: stats.requests, "{request}"),
    _of_producer(
        "queue_records", "Records without a report yet.", lambda stats: stats.in_queue, "{record}", is_counter=False
    ),
    _of_producer(
        "queue_bytes", "Bytes of their keys and values.", lambda stats: stats.in_queue_bytes, "By", is_counter=False
    ),
    # With statistics.interval.ms.
    _of_brokers("requests", "Requests of any kind, sent.", lambda broker: broker.requests, "{request}"),
    _of_brokers("bytes", "Bytes of requests, sent.", lambda broker: broker.bytes, "By"),
    _of_brokers("errors", "Requests that could not be sent.", lambda broker: broker.errors, "{request}"),
    _of_brokers(
        "retries",
        "Requests sent again as they were; records go again in a new one.",
        lambda broker: broker.retries,
        "{request}",
    ),
    _of_brokers("timeouts", "Requests without an answer in time.", lambda broker: broker.timeouts, "{request}"),
    _of_brokers("connects", "Connections tried.", lambda broker: broker.connects, "{connection}"),
    _of_brokers(
        "up", "Whether the connection is up.", lambda broker: broker.state == "UP", "{connection}", is_counter=False
    ),
    _of_brokers(
        "rtt_seconds",
        "Round trip of a request, mean of the last interval.",
        lambda broker: broker.rtt.mean,
        "s",
        is_counter=False,
    ),
    _of_brokers(
        "throttle_seconds",
        "Wait that a quota asked for, mean of the last interval.",
        lambda broker: broker.throttle.mean,
        "s",
        is_counter=False,
    ),
    _of_topics("records", "Records sent to brokers, retries included.", lambda topic: topic.records, "{record}"),
    _of_topics("bytes", "Their bytes.", lambda topic: topic.bytes, "By"),
)
