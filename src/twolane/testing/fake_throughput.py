"""FakeThroughputProducer: the throughput lane without brokers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

from twolane.common.arguments import topic_name
from twolane.common.transactions import State
from twolane.errors import DeliveryError, from_report
from twolane.results import RecordMetadata, TimestampType, with_opaque
from twolane.testing.fake import FakeProducer
from twolane.testing.fake_base import BOOTSTRAP, Fake, FakeTopics, FakeTransactions, RecordLog, somewhere
from twolane.throughput.batch_delivery import BatchDelivery
from twolane.throughput.producer import ThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Unpack

    from twolane.common.arguments import ProduceCall
    from twolane.common.headers import Headers
    from twolane.config.typed import ProducerSettings
    from twolane.encoding.time.times import Time
    from twolane.serializers import Serializer


class FakeThroughputProducer(Fake, ThroughputProducer):
    """A ThroughputProducer without brokers: the same arguments, checks, encoding and results.

    Everything is reported at once: ``on_delivery`` is called in ``send()`` itself, and a BatchDelivery is done when
    ``send_batch()`` returns it. Failures that are not looked at are raised by ``flush()`` and ``close()``, as ever.

    Parameters
    ----------
    config, on_full, resume_at, **keywords
        As of ThroughputProducer; an address is not needed.
    partitions : int or mapping of str to int, default 1
        As of FakeProducer.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        /,
        *,
        partitions: int | Mapping[str, int] = 1,
        on_full: Any = "block",
        resume_at: float = 0.5,
        **keywords: Unpack[ProducerSettings],
    ) -> None:
        self._log = RecordLog(partitions)
        super().__init__(config, on_full=on_full, resume_at=resume_at, **somewhere(config, keywords))
        self._transactions = FakeTransactions(self, self._settings.native.get("transactional.id"))
        self._topics = FakeTopics(self._log, self._handle, self._events, self._settings.shown[BOOTSTRAP])
        # Checks single records: this lane's send() does that in the middle of handing them to librdkafka.
        same = {name: self._settings.native[name] for name in ("message.max.bytes", "partitioner")}
        self._single = FakeProducer(same, partitions=partitions)

    def close(self, timeout: float | None = None) -> None:  # noqa: D102 - as ThroughputProducer's
        try:
            super().close(timeout)
        finally:
            self._single.close(timeout)

    def _end_unclosed(self) -> None:
        self._single.close()
        super()._end_unclosed()

    def send(  # noqa: D102 - as ThroughputProducer's
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
        on_delivery: Callable[[DeliveryError | None, RecordMetadata | None], Any] | None = None,
        opaque: Any = None,
    ) -> None:
        with self._entered():
            record = self._single._record(
                topic_name(topic),
                value,
                key,
                headers,
                partition,
                timestamp,
                timestamp_header,
                serializer,
                key_serializer,
                self._deadline(timeout),
            )
        name, partition = record.topic.name, record.partition
        self._refuse_outside(name)
        report = self._log.take(
            (name, partition, record.key, record.value, record.headers, record.timestamp),
            0,
            in_transaction=self._transactions.state is State.OPEN,
        )
        if on_delivery is None:
            if report.error:
                self._delivery_thread.problems.add_failures([(name, report)])
            return
        error = metadata = None
        if report.error:
            error = from_report(name, report)
            error.opaque = opaque
        else:
            place = RecordMetadata(name, partition, report.offset, record.timestamp, TimestampType.CREATE_TIME)
            metadata = with_opaque(place, opaque)
        try:
            on_delivery(error, metadata)
        except Exception as raised:  # noqa: BLE001 - the next flush() raises it, as with brokers
            self._delivery_thread.problems.callback_raised(raised)

    def _send_call(self, call: ProduceCall, started: float, deadline: float) -> BatchDelivery:
        outcome = self._take_all(call, stops=False)
        batch = BatchDelivery(
            call.topic.name,
            cast("Any", outcome),
            outcome.partitions,
            started,
            self._delivery_thread.problems,
            call.skipped,
            call.opaque,
        )
        batch._metadata = self._metadata(call, outcome, started, call.opaque)
        batch._is_done = True
        return batch

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        finally:
            self._leave()
