"""Records of ``twolane.confluent.Producer``: what is kept of each until its callback has run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Message

from twolane.results import TimestampType

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import KafkaError

    from twolane.common.waiters import Waiters
    from twolane.errors import DeliveryError
    from twolane.results import RecordMetadata

    OnDelivery = Callable[[KafkaError | None, Message], Any]

UNASSIGNED = -1


# What a report gives back of a record: value, key, headers, milliseconds (0: the time when it was sent), and
# time.monotonic() of its produce(). A plain tuple: of these the garbage collector forgets those without containers.
Kept = tuple[str | bytes | None, str | bytes | None, Any, int, float]


class Sent(NamedTuple):
    """A record with its callback."""

    callback: OnDelivery | None
    value: str | bytes | None
    key: str | bytes | None
    headers: Any
    timestamp: int
    started: float

    @property
    def kept(self) -> Kept:
        """What its report gives back."""
        return self[1:]


class Reports:
    """What ``poll()`` calls back for; it does not know the producer, which can be collected with records on their way.

    Attributes
    ----------
    events : deque
        Reports as `Callbacks.queue` has them, the Kept as opaque; and pairs of a function and its arguments.
    arrivals : Waiters
        Woken when there are new ones.
    only_errors : bool
        ``delivery.report.only.error``
    """

    def __init__(self, only_errors: bool) -> None:
        self.events: deque[tuple[Any, ...]] = deque()
        self.arrivals: Waiters
        self.only_errors = only_errors

    def append(self, report: tuple[Any, ...]) -> None:
        """Take a report if it is an error: `Callbacks.queue` of ``delivery.report.only.error``."""
        if report[2] is not None:
            self.events.append(report)

    def add(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Leave a call to ``poll()``."""
        self.events.append((function, arguments))
        self.arrivals.wake()

    def refuse(self, topic: str, sent: Sent, partition: int, error: KafkaError) -> None:
        """Report a record that never reached the core."""
        if sent.callback is not None:
            kind = TimestampType.CREATE_TIME
            self.add(_call, sent.callback, sent.kept, time.monotonic(), error, (topic, partition, None, None, kind))

    def serve(self) -> int:
        """Run the callbacks of all that has happened by now; return how many ran."""
        events, n = self.events, 0
        for n in range(1, len(events) + 1):
            try:
                event = events.popleft()
            except IndexError:  # another thread polls, too
                return n - 1
            if len(event) == 2:
                event[0](*event[1])
            elif event[3] is not None:
                callback, kept, _, metadata, at = event
                _call(callback, kept, at, None, metadata)
            else:
                _fail(*event)
        return n


def _fail(callback: OnDelivery, kept: Kept, error: DeliveryError, _: RecordMetadata | None, at: float) -> None:
    partition = UNASSIGNED if error.partition is None else error.partition
    kind = TimestampType.CREATE_TIME
    _call(callback, kept, at, error.error, (error.topic, partition, error.possible_offset, None, kind))


def _call(
    callback: OnDelivery,
    kept: Kept,
    at: float,
    error: KafkaError | None,
    metadata: tuple[str | None, int, int | None, int | None, TimestampType],
) -> None:
    """Call a record's callback; `metadata` as RecordMetadata."""
    value, key, headers, sent_timestamp, started = kept
    topic, partition, offset, timestamp, kind = metadata
    # By position, which takes a fifth of the time that names take.
    message = Message(
        topic,
        partition,
        -1001 if offset is None else offset,
        key if type(key) is bytes else as_bytes(key, "key"),
        value if type(value) is bytes else as_bytes(value, "value"),
        None if headers is None else _pairs(headers),
        error,
        (+kind, sent_timestamp if timestamp is None else timestamp),
        at - started,
    )
    callback(error, message)


def _pairs(headers: Any) -> list[tuple[str, Any]]:
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
    """Return a value or key that cannot be changed until its report is in."""
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
