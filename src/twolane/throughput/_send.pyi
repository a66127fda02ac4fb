from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from twolane.client.handle import Handle
from twolane.client.partitioner import Partitioner
from twolane.common.headers import Headers
from twolane.common.topics import Topics
from twolane.encoding.time.times import Time
from twolane.errors import DeliveryError
from twolane.produce.accumulator import RecordAccumulator
from twolane.produce.buffer import ProduceBuffer
from twolane.reports.callbacks import Callbacks
from twolane.reports.reader import ReportReader
from twolane.results import RecordMetadata
from twolane.serializers import Serializer
from twolane.throughput.backpressure import Backpressure

_OnDelivery = Callable[[DeliveryError | None, RecordMetadata | None], Any]

@disjoint_base
class ThroughputSender:
    _handle: Handle
    _reader: ReportReader
    _buffer: ProduceBuffer
    _callbacks: Callbacks
    _accumulator: RecordAccumulator
    _topics: Topics
    _backpressure: Backpressure
    _partitioner: Partitioner
    _max_bytes: int
    _timeout: float
    _may_gather: bool
    _fast_stretch: float
    def _enter(self) -> None: ...
    def _leave(self) -> None: ...
    def _refuse_if_closed(self) -> None: ...
    def _knows_partitions(self, topic: str, partition: int | None) -> bool: ...
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
        on_delivery: _OnDelivery | None = None,
        opaque: Any = None,
    ) -> None: ...
