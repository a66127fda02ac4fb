"""What ``stats()`` of both lanes returns: one moment's figures, as plain data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Buckets of the compiled side (ext/twolane/reports/latency.pxd): so many for each power of two of microseconds.
_STEPS = 4


def _upper_bound(bucket: int) -> float:
    """Return the time below which a bucket's entries are, in seconds."""
    if bucket < _STEPS:
        return (bucket + 1) / 1e6
    exponent, step = divmod(bucket, _STEPS)
    return float((_STEPS + step + 1) << (exponent - 1)) / 1e6


@dataclass(frozen=True, slots=True, repr=False)
class LatencyHistogram:
    """How long records took from ``send()`` or ``send_batch()`` to their acknowledgement.

    All records of one request are entered with the time of its oldest: an upper bound that costs a clock per request
    and not one per record.

    Attributes
    ----------
    counts : tuple of int
        Written records by bucket; a bucket is a fifth wide.
    bounds : tuple of float
        Seconds below which each bucket's entries are.
    total : float
        Seconds, of all entries together.
    maximum : float
        Seconds.
    """

    counts: tuple[int, ...]
    bounds: tuple[float, ...]
    total: float
    maximum: float

    @classmethod
    def of(cls, counts: Sequence[int], sum_us: int, largest_us: int) -> LatencyHistogram:
        """Make one of what the compiled side counted."""
        used = max((i + 1 for i, n in enumerate(counts) if n), default=0)
        bounds = tuple(_upper_bound(i) for i in range(used))
        return cls(tuple(counts[:used]), bounds, sum_us / 1e6, largest_us / 1e6)

    def __len__(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Seconds; 0 without entries."""
        return self.total / len(self) if self.counts else 0.0

    def percentile(self, percent: float) -> float:
        """Return the seconds within which so many per cent of the records were acknowledged; 0 without entries."""
        wanted = len(self) * percent / 100
        for bound, so_far in zip(self.bounds, accumulate(self.counts), strict=True):
            if so_far >= wanted:
                return min(bound, self.maximum)
        return 0.0

    def __repr__(self) -> str:
        p50, p99 = self.percentile(50) * 1e3, self.percentile(99) * 1e3
        return f"<latency of {len(self)} records: p50 {p50:.3g} ms, p99 {p99:.3g} ms, max {self.maximum * 1e3:.3g} ms>"


@dataclass(frozen=True, slots=True)
class Summary:
    """One quantity over librdkafka's last interval; all 0 where nothing was measured."""

    count: int
    mean: float
    minimum: float
    maximum: float
    p50: float
    p99: float

    @classmethod
    def of(cls, window: Mapping[str, Any] | None, unit: float = 1.0) -> Summary:
        """Make one of a "window" object of librdkafka's statistics."""
        window = window or {}
        mean, low, high, p50, p99 = (window.get(name, 0) * unit for name in ("avg", "min", "max", "p50", "p99"))
        return cls(window.get("cnt", 0), mean, low, high, p50, p99)


@dataclass(frozen=True, slots=True)
class BrokerStats:
    """One broker, as librdkafka's statistics see it.

    Attributes
    ----------
    id : int
    name : str
    state : str
        ``"UP"``, ``"DOWN"`` and others of librdkafka's.
    rtt : Summary
        Seconds from a request's departure to its answer.
    waiting : Summary
        Seconds that records waited in the client before they were put into a request.
    requests_queued, requests_in_flight : int
    requests, bytes, errors, retries, timeouts, connects : int
        Since the client was made. `retries` has no ProduceRequests, whose records go again in a new one.
    throttle : Summary
        Seconds for which the broker asked the client to wait, because of a quota.
    """

    id: int
    name: str
    state: str
    rtt: Summary
    waiting: Summary
    requests_queued: int
    requests_in_flight: int
    requests: int
    bytes: int
    errors: int
    retries: int
    timeouts: int
    connects: int
    throttle: Summary


@dataclass(frozen=True, slots=True)
class TopicStats:
    """One topic.

    Attributes
    ----------
    name : str
    batch_bytes, batch_records : Summary
        How full its requests were: bytes and records of a MessageSet.
    records, bytes : int
        Sent to brokers since the client was made, retries included.
    """

    name: str
    batch_bytes: Summary
    batch_records: Summary
    records: int
    bytes: int

    @classmethod
    def of(cls, name: str, topic: Mapping[str, Any]) -> TopicStats:
        """Make one of a topic of librdkafka's statistics."""
        sent = [topic["partitions"][number] for number in topic.get("partitions", ()) if number != "-1"]
        records, size = (sum(partition[key] for partition in sent) for key in ("txmsgs", "txbytes"))
        return cls(name, Summary.of(topic.get("batchsize")), Summary.of(topic.get("batchcnt")), records, size)


@dataclass(frozen=True, slots=True)
class ClientStats:
    """librdkafka's own statistics of the last ``statistics.interval.ms``.

    Attributes
    ----------
    time : int
        Seconds since the epoch, by the client's clock.
    brokers : tuple of BrokerStats
    topics : tuple of TopicStats
    """

    time: int
    brokers: tuple[BrokerStats, ...]
    topics: tuple[TopicStats, ...]

    @classmethod
    def of(cls, text: str) -> ClientStats:
        """Read librdkafka's JSON (STATISTICS.md)."""
        parsed = json.loads(text)
        brokers = [
            BrokerStats(
                id=broker["nodeid"],
                name=broker["name"],
                state=broker["state"],
                rtt=Summary.of(broker.get("rtt"), 1e-6),
                waiting=Summary.of(broker.get("int_latency"), 1e-6),
                requests_queued=broker["outbuf_cnt"],
                requests_in_flight=broker["waitresp_cnt"],
                requests=broker["tx"],
                bytes=broker["txbytes"],
                errors=broker["txerrs"],
                retries=broker["txretries"],
                timeouts=broker["req_timeouts"],
                connects=broker["connects"],
                throttle=Summary.of(broker.get("throttle"), 1e-3),
            )
            # The others are bootstrap addresses, and librdkafka's internal ones.
            for broker in parsed["brokers"].values()
            if broker["nodeid"] >= 0
        ]
        topics = [TopicStats.of(name, topic) for name, topic in parsed["topics"].items()]
        return cls(parsed["time"], tuple(sorted(brokers, key=lambda broker: broker.id)), tuple(topics))


@dataclass(frozen=True, slots=True)
class Stats:
    """One moment of a producer; ``accepted == written + not_written + unknown + in_queue``.

    Attributes
    ----------
    accepted, accepted_bytes : int
        Records handed to librdkafka, and the bytes of their keys and values.
    written, not_written, unknown : int
        Records reported, by verdict.
    in_queue, in_queue_bytes : int
        Records without a report yet.
    refused : int
        Rows that ``on_bad_row="skip"`` left out: not accepted, and not among the others.
    delivery_events : int
        Reports that came: about one for each request.
    latency : LatencyHistogram
        Of the records written, since the producer was made.
    client : ClientStats or None
        The last of librdkafka's statistics: None without ``statistics.interval.ms``, which is off by default because it
        makes librdkafka enter every record into histograms of its own.
    client_id : str
        librdkafka's name of the client, as in log lines: ``client.id`` and a number, so that no two are alike.
    requests : int
        ProduceRequests sent, retries included.
    """

    accepted: int
    accepted_bytes: int
    written: int
    not_written: int
    unknown: int
    in_queue: int
    in_queue_bytes: int
    delivery_events: int
    latency: LatencyHistogram
    client: ClientStats | None
    refused: int = 0
    client_id: str = ""
    requests: int = 0

    @property
    def retries(self) -> int | None:
        """Requests that librdkafka sent again as they were, by its last statistics; None without them.

        A ProduceRequest is not among them: its records go again in a new one. `requests` counts each of these, and
        ``TopicStats.records`` the records in them.
        """
        return None if self.client is None else sum(broker.retries for broker in self.client.brokers)
