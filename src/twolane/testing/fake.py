"""FakeProducer: the safe lane without brokers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, cast

from twolane.common.arguments import refuse_callback, topic_name
from twolane.common.transactions import State
from twolane.errors import DeliveryError, from_metadata, from_report
from twolane.results import RecordMetadata, TimestampType, with_opaque
from twolane.safe.producer import SafeProducer
from twolane.testing.fake_base import BOOTSTRAP, Fake, FakeTopics, FakeTransactions, RecordLog, somewhere

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from twolane.common.arguments import ProduceCall
    from twolane.common.group_member import GroupMember
    from twolane.common.headers import Headers
    from twolane.common.record import Record
    from twolane.config.typed import ProducerSettings
    from twolane.encoding.time.times import Time
    from twolane.results import BatchMetadata
    from twolane.serializers import Serializer


class FakeProducer(Fake, SafeProducer):
    """A SafeProducer without brokers, for tests: the same arguments, checks, encoding, results and errors.

    Parameters
    ----------
    config, check_topics, on_partition_change, on_refusal, **keywords
        As of SafeProducer; an address is not needed, and nothing connects to one.
    partitions : int or mapping of str to int, default 1
        Partitions of every topic; or of each topic there is, so that others are unknown.

    Examples
    --------
    >>> from twolane import DeliveryError, Verdict
    >>> with FakeProducer(partitions={"orders": 3}) as producer:
    ...     metadata = producer.send("orders", b"created", key=b"order-1")
    ...     producer.fail_next(Verdict.UNKNOWN)
    ...     try:
    ...         producer.send("orders", b"paid", key=b"order-1")
    ...     except DeliveryError as error:
    ...         print(error.verdict)
    ...     producer.records[0].value
    unknown
    b'created'
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        /,
        *,
        partitions: int | Mapping[str, int] = 1,
        check_topics: bool = False,
        on_partition_change: Literal["notice", "error"] = "notice",
        on_refusal: Literal["partition", "batch"] = "partition",
        **keywords: Unpack[ProducerSettings],
    ) -> None:
        self._log = RecordLog(partitions)
        settings = somewhere(config, keywords)
        super().__init__(
            config,
            check_topics=check_topics,
            on_partition_change=on_partition_change,
            on_refusal=on_refusal,
            **settings,
        )
        self._transactions = FakeTransactions(self, self._settings.native.get("transactional.id"))
        self._topics = FakeTopics(self._log, self._handle, self._events, self._settings.shown[BOOTSTRAP])
        # What twolane.aio sends the records of several tasks with.
        self._group = cast("Any", SimpleNamespace(send=self._send_group))

    def _send_group(self, group: list[GroupMember]) -> None:
        for member in group:
            if member.begin():
                member.outcome = self._send_record(member.job, member.deadline)

    def _send_record(self, record: Record, deadline: float) -> Any:
        topic, partition = record.topic.name, record.partition
        try:
            self._refuse_outside(topic)
        except DeliveryError as error:
            return error
        doubtful = self._in_doubt.refusal(topic, partition)
        if doubtful is not None:
            return doubtful
        report = self._log.take(
            (topic, partition, record.key, record.value, record.headers, record.timestamp),
            0,
            in_transaction=self._transactions.state is State.OPEN,
        )
        if report.error:
            self._in_doubt.add_failures(topic, [report])
            return from_report(topic, report)
        return RecordMetadata(topic, partition, report.offset, record.timestamp, TimestampType.CREATE_TIME)

    def send(  # noqa: D102 - as SafeProducer's
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
    ) -> RecordMetadata:
        if callback is not None or on_delivery is not None:
            refuse_callback(callback)
        deadline = self._deadline(timeout)
        record = self._record(
            topic_name(topic),
            value,
            key,
            headers,
            partition,
            timestamp,
            timestamp_header,
            serializer,
            key_serializer,
            deadline,
        )
        outcome = self._send_record(record, deadline)
        if isinstance(outcome, DeliveryError):
            if opaque is not None:
                outcome.opaque = opaque
            raise outcome
        return with_opaque(outcome, opaque)

    def _send_call(self, call: ProduceCall, started: float, until: float | None) -> BatchMetadata:
        outcome = self._take_all(call, stops=True)
        self._in_doubt.add_failures(call.topic.name, outcome.reports)
        metadata = self._metadata(call, outcome, started, call.opaque)
        if metadata.failures:
            raise from_metadata(metadata)
        return metadata
