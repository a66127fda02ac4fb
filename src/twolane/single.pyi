from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from twolane.client.callbacks import Callbacks
from twolane.client.delivery import Delivery
from twolane.client.enqueue import Window
from twolane.client.handle import Handle
from twolane.client.stage import Stage
from twolane.errors import DeliveryError
from twolane.records import RecordMetadata
from twolane.serializers import Serializer

_OnDelivery = Callable[[DeliveryError | None, RecordMetadata | None], Any]

@disjoint_base
class RecordSender:
    _callbacks: Callbacks
    _stage: Stage
    def _open_sender(
        self,
        handle: Handle,
        delivery: Delivery,
        window: Window,
        max_size: int,
        partitioner: str,
        sticky_bytes: int,
        may_stage: bool,
    ) -> None: ...
    def _enter(self) -> None: ...
    def _leave(self) -> None: ...
    def _refuse_if_closed(self) -> None: ...
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
        on_delivery: _OnDelivery | None = None,
        opaque: Any = None,
    ) -> None: ...
