from collections.abc import Callable
from typing import Any, TypeVar

from typing_extensions import disjoint_base

from twolane.client.chunks import ChunkSender
from twolane.client.handle import Handle
from twolane.doubt import Doubts
from twolane.group import GroupSender
from twolane.records import RecordMetadata
from twolane.serializers import Serializer
from twolane.turns import Turn, Turns
from twolane.watch import Watch

_T = TypeVar("_T")

@disjoint_base
class LoneSender:
    def _open_sender(
        self,
        handle: Handle,
        chunks: ChunkSender,
        turns: Turns,
        group: GroupSender,
        watch: Watch,
        doubts: Doubts,
        partitioner: str,
        max_size: int,
        timeout: float,
    ) -> None: ...
    def _in_turn(self, turn: Turn, what: str, work: Callable[[], _T]) -> _T: ...
    def send(
        self,
        topic: str,
        value: Any = None,
        *,
        key: Any = None,
        headers: Any = None,
        partition: int | None = None,
        timestamp: Any = None,
        timestamp_header: str | None = None,
        serializer: Serializer | None = None,
        key_serializer: Serializer | None = None,
        timeout: float | None = None,
        opaque: Any = None,
    ) -> RecordMetadata: ...
