from collections.abc import Callable
from typing import Any, TypeVar

from typing_extensions import disjoint_base

from twolane.client.handle import Handle
from twolane.client.partitioner import Partitioner
from twolane.common.fair_lock import FairLock, Waiter
from twolane.common.headers import Headers
from twolane.common.record import Record
from twolane.common.topics import Topics
from twolane.encoding.time.times import Time
from twolane.reports.reader import ReportReader
from twolane.results import RecordMetadata
from twolane.safe.group_commit import GroupSender
from twolane.safe.in_doubt import InDoubtPartitions
from twolane.safe.ordered_sender import OrderedSender
from twolane.safe.topic_monitor import TopicMonitor
from twolane.serializers import Serializer

_T = TypeVar("_T")

@disjoint_base
class SafeSender:
    _handle: Handle
    _reader: ReportReader
    _ordered_sender: OrderedSender
    _fair_lock: FairLock
    _topics: Topics
    _group: GroupSender
    _topic_monitor: TopicMonitor
    _in_doubt: InDoubtPartitions
    _partitioner: Partitioner
    _max_bytes: int
    _timeout: float
    def _record(
        self,
        topic: str,
        value: Any,
        key: Any,
        headers: Any,
        partition: int | None,
        timestamp: Any,
        timestamp_header: str | None,
        serializer: Serializer | None,
        key_serializer: Serializer | None,
        deadline: float,
    ) -> Record: ...
    def _knows_partitions(self, topic: str, partition: int | None) -> bool: ...
    def _send_record(self, record: Record, deadline: float) -> Any: ...
    def _in_turn(self, turn: Waiter, what: str, work: Callable[[], _T]) -> _T: ...
    def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        *,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp: Time | None = None,
        timestamp_header: str | None = None,
        serializer: Serializer | None = None,
        key_serializer: Serializer | None = None,
        timeout: float | None = None,
        opaque: Any = None,
        callback: None = None,
        on_delivery: None = None,
    ) -> RecordMetadata: ...
