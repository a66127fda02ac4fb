from collections.abc import Callable
from typing import Any, TypeVar

from typing_extensions import disjoint_base

from twolane.client.handle import Handle
from twolane.common.fair_lock import FairLock, Waiter
from twolane.common.headers import Headers
from twolane.encoding.time.times import Time
from twolane.produce.record import Record
from twolane.results import RecordMetadata
from twolane.safe.group_commit import GroupSender
from twolane.safe.in_doubt import InDoubtPartitions
from twolane.safe.ordered_sender import OrderedSender
from twolane.safe.topic_monitor import TopicMonitor
from twolane.serializers import Serializer

_T = TypeVar("_T")

@disjoint_base
class LoneSender:
    def _open_sender(
        self,
        handle: Handle,
        chunks: OrderedSender,
        turns: FairLock,
        group: GroupSender,
        watch: TopicMonitor,
        doubts: InDoubtPartitions,
        partitioner: str,
        max_size: int,
        timeout: float,
    ) -> None: ...
    @property
    def _group(self) -> GroupSender: ...
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
        *,
        key: Any = None,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp: Time | None = None,
        timestamp_header: str | None = None,
        serializer: Serializer | None = None,
        key_serializer: Serializer | None = None,
        timeout: float | None = None,
        opaque: Any = None,
    ) -> RecordMetadata: ...
