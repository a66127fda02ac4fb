"""Records of ``twolane.confluent.Producer``: what is kept of each until its callback has run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Message

from twolane.common.waiters import Waiters
from twolane.results import TimestampType

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import KafkaError

    from twolane.errors import DeliveryError
    from twolane.results import RecordMetadata

    OnDelivery = Callable[[KafkaError | None, Message], Any]

UNASSIGNED = -1


class Sent(NamedTuple):
    """What a report gives back of a record."""

    callback: OnDelivery | None
    value: str | bytes | None
    key: str | bytes | None
    headers: Any
    timestamp: int  # milliseconds; 0: the time when it was sent
    started: float  # time.monotonic()


class Reports:
    """What ``poll()`` calls back for; it does not know the producer, which can be collected with records on their way.

    Attributes
    ----------
    events : deque of (function, arguments)
    only_errors : bool
        ``delivery.report.only.error``
    """

    def __init__(self, only_errors: bool) -> None:
        self.events: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self.only_errors = only_errors
        self._arrivals = Waiters()

    def wait(self, timeout: float | None) -> None:
        """Wait for an event."""
        self._arrivals.wait(lambda: bool(self.events), timeout)

    def add(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Leave a call to ``poll()``."""
        self.events.append((function, arguments))
        self._arrivals.wake()

    def take(self, sent: Sent, error: DeliveryError | None, metadata: RecordMetadata | None) -> None:
        """Take the core's report of a record. Runs in the core's thread."""
        if error is not None or not self.only_errors:
            self.add(_report, sent, time.monotonic(), error, metadata)

    def refuse(self, topic: str, sent: Sent, partition: int, error: KafkaError) -> None:
        """Report a record that never reached the core."""
        if sent.callback is not None:
            self.add(_call, sent, time.monotonic(), error, topic, partition, None, None, TimestampType.CREATE_TIME)


def _report(sent: Sent, at: float, error: DeliveryError | None, metadata: RecordMetadata | None) -> None:
    if metadata is not None:
        _call(sent, at, None, *metadata)
    elif error is not None:
        partition = UNASSIGNED if error.partition is None else error.partition
        kind = TimestampType.CREATE_TIME
        _call(sent, at, error.error, error.topic, partition, error.possible_offset, None, kind)


def _call(
    sent: Sent,
    at: float,
    error: KafkaError | None,
    topic: str | None,
    partition: int,
    offset: int | None,
    timestamp: int | None,
    kind: TimestampType,
) -> None:
    """Call a record's callback."""
    message = Message(
        topic=topic,
        partition=partition,
        offset=-1001 if offset is None else offset,
        key=as_bytes(sent.key, "key"),
        value=as_bytes(sent.value, "value"),
        headers=_pairs(sent.headers),
        error=error,
        timestamp=(int(kind), sent.timestamp if timestamp is None else timestamp),
        latency=at - sent.started,
    )
    assert sent.callback is not None
    sent.callback(error, message)


def _pairs(headers: Any) -> list[tuple[str, Any]] | None:
    if headers is None:
        return None
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]


def as_bytes(value: Any, what: str) -> bytes | None:
    """Return a value or key as bytes."""
    if value is None or type(value) is bytes:
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"{what}: expected bytes or str, got {type(value).__name__}")


def kept(value: Any, what: str) -> str | bytes | None:
    """Return a value or key that nobody can change until its report is in."""
    return value if value is None or type(value) in (bytes, str) else as_bytes(value, what)


def kept_headers(headers: Any) -> Any:
    """Return headers that stay as they are when the caller changes its own; what is wrong with them `send()` says."""
    if isinstance(headers, Mapping):
        return dict(headers)
    return list(headers) if isinstance(headers, (list, tuple)) else headers


def of_message(i: int, message: Any, partition: int, callback: OnDelivery | None, started: float) -> tuple[Sent, int]:
    """Return one message of ``produce_batch()`` and its partition."""
    if not isinstance(message, dict):
        raise TypeError(f"Message at index {i} must be a dict")
    parts = {}
    for name in ("value", "key"):
        try:
            parts[name] = kept(message.get(name), name)
        except TypeError:
            raise TypeError(f"Message {name} at index {i} must be bytes or str") from None
    place = message.get("partition", partition)
    if not isinstance(place, int):
        raise TypeError(f"Message partition at index {i} must be int")
    own = message.get("callback") or message.get("on_delivery") or callback
    timestamp = message.get("timestamp") or 0
    return Sent(own, parts["value"], parts["key"], kept_headers(message.get("headers")), timestamp, started), place
