"""AsyncSafeProducer: the safe lane awaited."""

from __future__ import annotations

import copy
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from twolane.aio.awaited_call import AwaitedCall
from twolane.aio.base import BaseAsyncProducer
from twolane.aio.preparation import Preparation
from twolane.common.arguments import refuse_callback, refuse_unknown, seconds_of, topic_name
from twolane.common.by_topic import TopicColumn
from twolane.common.fair_lock import Waiter
from twolane.errors import DeliveryError
from twolane.results import with_opaque
from twolane.safe.producer import SafeProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Never, Unpack

    from twolane.common.headers import Headers
    from twolane.config.typed import ProducerSettings
    from twolane.encoding.time.times import Time
    from twolane.results import BatchMetadata, RecordMetadata
    from twolane.serializers import Serializer
    from twolane.serializers.bad_rows import OnBadRow


class _Blocking(SafeProducer):
    __doc__ = SafeProducer.__doc__


_Blocking.__name__ = "AsyncSafeProducer"  # in its messages


class AsyncSafeProducer(BaseAsyncProducer[SafeProducer]):
    """A SafeProducer whose calls are awaited: the same arguments, promises, errors and verdicts.

    Parameters
    ----------
    config, check_topics, on_partition_change, on_refusal, **keywords
        As of SafeProducer.

    Notes
    -----
    *Groups.* All ``send()`` calls awaited at one moment share requests, one for each partition; the loop is woken once
    for all of them. *Order.* In each partition, that of the calls. *Cancellation.* It ends the wait. A record that was
    not handed to librdkafka yet is withdrawn, any other goes on and its outcome is logged; ``.twolane_result`` of the
    CancelledError says which. ``asyncio.timeout`` and ``wait_for`` cancel, too; ``timeout=`` of a call waits for the
    verdict instead.

    *Loop.* The producer belongs to the loop in which it is first awaited, asyncio's or uvloop's. All methods are for
    that loop's thread. *Threads.* One, ``twolane-aio``, makes the calls; the first record of a topic and a serializer
    that asks a registry have one for a moment, and so has ``close()``.

    Examples
    --------
    >>> async with AsyncSafeProducer(bootstrap_servers="localhost:9092") as producer:      # doctest: +SKIP
    ...     metadata = await producer.send("orders", b"value", key=b"key")
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        /,
        *,
        check_topics: bool = True,
        on_partition_change: Literal["notice", "error"] = "notice",
        on_refusal: Literal["partition", "batch"] = "partition",
        **keywords: Unpack[ProducerSettings],
    ) -> None:
        super().__init__(
            _Blocking(
                config,
                check_topics=check_topics,
                on_partition_change=on_partition_change,
                on_refusal=on_refusal,
                **keywords,
            )
        )

    def _make(self) -> Callable[[list[AwaitedCall]], None]:
        producer = self._producer

        def make(group: list[AwaitedCall]) -> None:
            _make(producer, group)

        return make

    async def send(
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
        """Send one record and wait until every in-sync replica has it.

        Parameters
        ----------
        topic, value, key, headers, partition, timestamp, timestamp_header, serializer, key_serializer, timeout, opaque
            As of ``SafeProducer.send()``, and so are the result and the errors. The value and the key are encoded at
            once, unless a serializer has to ask a registry.
        callback, on_delivery
            Refused, as there.

        Raises
        ------
        asyncio.CancelledError
            ``.twolane_result`` is what became of the record: a DeliveryError with the verdict *not written* where it
            was withdrawn, *unknown* where it is on its way, or its RecordMetadata.
        """
        if callback is not None or on_delivery is not None:
            refuse_callback(callback)
        loop = self._loop
        # get_running_loop() is a system call, for the fork that it looks out for.
        if loop is None or get_ident() != self._thread or not loop.is_running() or self._closed:
            loop = self._enter()
        producer = self._producer
        deadline = monotonic() + (producer._timeout if timeout is None else seconds_of(timeout))
        if type(topic) is not str:
            topic = topic_name(topic)
        call = AwaitedCall(topic, deadline, None, loop, True)
        arguments = (
            topic,
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
        if (
            topic not in self._preparations.topics
            and producer._knows_partitions(topic, partition)
            and (
                (serializer is None and key_serializer is None) or not self._is_cold(topic, serializer, key_serializer)
            )
        ):
            call.job = producer._record(*arguments)
            self._line.append(call)
        else:
            self._prepare(call, arguments)
        try:
            await call.future  # type: ignore[misc]
        except BaseException as interruption:
            call.leave(interruption)
            raise
        outcome = call.outcome
        if opaque is not None:
            if isinstance(outcome, DeliveryError):
                outcome.opaque = opaque
            elif not isinstance(outcome, BaseException):
                outcome = with_opaque(outcome, opaque)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    def _prepare(self, call: AwaitedCall, arguments: tuple[Any, ...]) -> None:
        """Let a record's topic or serializers be asked for first, and encode it then."""
        *_, serializer, key_serializer, deadline = arguments

        def prepare() -> None:
            self._warm_up(call.what, serializer, key_serializer, deadline)
            call.job = self._producer._record(*arguments)

        self._preparations.append(call.what, Preparation(call, prepare, self._line.append))

    async def send_batch(
        self,
        topic: str | TopicColumn,
        values: Any,
        *,
        keys: Any = None,
        headers: Any = None,
        partitions: Any = None,
        timestamps: Any = None,
        timestamp_header: str | None = None,
        serializer: Serializer | None = None,
        key_serializer: Serializer | None = None,
        on_bad_row: OnBadRow = "raise",
        opaque: Any = None,
        timeout: float | None = None,
        **mistaken: Never,
    ) -> BatchMetadata:
        """Send records in order and wait for all of them; other calls go before it or behind it.

        Parameters
        ----------
        topic, values, keys, headers, partitions, timestamps, timestamp_header, serializer, key_serializer, on_bad_row
            As of ``SafeProducer.send_batch()``, and so are the result and the errors. The thread checks and encodes
            the values: they must not be changed before the call has ended, also where its wait was cancelled.
        opaque, timeout, **mistaken
            As there.
        """
        if mistaken:
            refuse_unknown(mistaken)
        loop = self._enter()
        name = repr(topic) if isinstance(topic, TopicColumn) else topic_name(topic)
        producer = self._producer
        # Without a timeout it waits in line as long as it has to.
        begin_by = monotonic() + 1e9 if timeout is None else producer._deadline(timeout)

        def send() -> BatchMetadata:
            return producer.send_batch(
                topic,
                values,
                keys=keys,
                headers=headers,
                partitions=partitions,
                timestamps=timestamps,
                timestamp_header=timestamp_header,
                serializer=serializer,
                key_serializer=key_serializer,
                on_bad_row=on_bad_row,
                opaque=opaque,
                timeout=None if timeout is None else max(0.0, begin_by - monotonic()),
            )

        call = AwaitedCall(name, begin_by, send, loop)
        if isinstance(topic, TopicColumn):
            self._line.append(call)  # its thread asks for topics that are new
        else:
            self._line_up(name, call, serializer, key_serializer, producer._deadline(timeout))
        metadata: BatchMetadata = await call.wait()
        return metadata

    async def flush(self, timeout: float | None = None) -> int:
        """Wait until all calls before it have ended.

        Returns
        -------
        int
            Records and calls that have not, 0 unless the time ran out.
        """
        if self._closed:
            return 0
        deadline = self._producer._deadline(timeout)
        await self._settled(deadline)
        try:
            left: int = await self._in_line(
                "flush", lambda: self._producer.flush(max(0.0, deadline - monotonic())), deadline
            )
        except DeliveryError:  # late
            return len(self._line) + self._producer.stats().in_queue
        return left

    def resume(self, topic: str, partition: int) -> None:
        """Take records for a partition again after an *unknown* verdict without idempotence. Not awaited."""
        self._producer.resume(topic, partition)

    @property
    def in_doubt(self) -> set[tuple[str, int]]:
        """Partitions, as (topic, partition), that wait for ``resume()``. A copy."""
        return self._producer.in_doubt

    @property
    def notices(self) -> list[str]:
        """What was noticed of topics. A copy."""
        return self._producer.notices

    def accept_partitions(self, topic: str) -> None:
        """Take records by key again after the number of partitions changed. Not awaited."""
        self._producer.accept_partitions(topic)


def _make(producer: SafeProducer, group: list[AwaitedCall]) -> None:
    """Make the calls of a group: one call, or records that go together."""
    first = group[0]
    if not first.is_record:
        first.run()
    elif len(group) == 1:
        if first.begin():
            try:
                first.outcome = producer._send_record(first.job, first.deadline)
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                first.outcome = error
    else:
        turn = Waiter(max(call.deadline for call in group))
        try:
            producer._in_turn(turn, first.what, lambda: producer._group.send(group))
        except BaseException as error:  # noqa: BLE001 - raised where they are awaited
            for call in group:
                if call.outcome is None:
                    call.outcome = copy.copy(error)  # each task raises its own, with its own traceback
