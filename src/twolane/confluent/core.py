"""The throughput lane for programs of confluent-kafka: librdkafka's defaults, its errors, reports for ``poll()``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

from twolane.config.policy import BOOTSTRAP, THROUGHPUT
from twolane.confluent.records import UNASSIGNED
from twolane.errors import ClosedProducerError, QueueFullError, SerializationError
from twolane.throughput.producer import ThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twolane.confluent.records import Kept, Reports, Sent

CLOSED = "Producer has been closed"
# Stands for the brokers of a producer that was given none: its records wait until message.timeout.ms.
NO_BROKERS = "(none)"
POLICY = replace(
    THROUGHPUT,
    name="twolane.confluent.Producer",
    # librdkafka's own hash, so that a key keeps its partition.
    defaults={**THROUGHPUT.defaults, "partitioner": "consistent_random", "queue.buffering.max.messages": "100000"},
)


class Core(ThroughputProducer):
    """The throughput lane with librdkafka's defaults, and with callbacks that ``poll()`` runs."""

    _policy = POLICY

    def __init__(self, settings: Mapping[str, Any], reports: Reports) -> None:
        super().__init__(settings, on_full="raise", allow_insecure=True)
        self.reports = reports
        reports.arrivals = self._delivery_thread.progress
        self._callbacks.queue = reports if reports.only_errors else reports.events

    def send_on(self, topic: str, sent: Sent, partition: int) -> None:
        """Send a record whose topic is known."""
        kept = None if sent.callback is None else sent.kept
        self.hand_over(topic, sent.value, sent.key, sent.headers, partition, sent.timestamp, sent.callback, kept)

    def hand_over(
        self,
        topic: str,
        value: Any,
        key: Any,
        headers: Any,
        partition: int,
        timestamp: int,
        callback: Callable[..., Any] | None,
        kept: Kept | None,
    ) -> None:
        """Send a record; `kept` is for its callback. Errors are confluent-kafka's."""
        try:
            self.send(
                topic,
                value,
                key=key,
                headers=headers,
                partition=None if partition == UNASSIGNED else partition,
                timestamp=timestamp or None,
                on_delivery=callback,
                opaque=kept,
            )
        except SerializationError as error:
            raise TypeError(str(error)) from error
        except QueueFullError as error:
            raise BufferError(KafkaError(KafkaError._QUEUE_FULL).str()) from error
        except ClosedProducerError as error:
            raise RuntimeError(CLOSED) from error

    def _for_librdkafka(self, native: dict[str, str]) -> dict[str, str]:
        settings = super()._for_librdkafka(native)
        if settings.get(BOOTSTRAP) == NO_BROKERS:
            del settings[BOOTSTRAP]
        return settings
