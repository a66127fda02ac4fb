"""AsyncThroughputProducer: the throughput lane awaited."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from twolane.aio.awaited_call import AwaitedCall
from twolane.aio.base import BaseAsyncProducer, nothing
from twolane.common.arguments import refuse_unknown, topic_name
from twolane.common.by_topic import TopicColumn
from twolane.errors import DeliveryError, QueueFullError
from twolane.throughput.delivery import RecordDelivery
from twolane.throughput.producer import ThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Never

    from twolane.results import RecordMetadata
    from twolane.serializers import Serializer
    from twolane.serializers.bad_rows import OnBadRow
    from twolane.throughput.batch_delivery import BatchDelivery
    from twolane.throughput.producer import OnFull


# Records sent without waiting after which the loop's other tasks have their turn.
YIELD_EVERY = 256


class _Blocking(ThroughputProducer):
    __doc__ = ThroughputProducer.__doc__


_Blocking.__name__ = "AsyncThroughputProducer"  # in its messages


class AsyncThroughputProducer(BaseAsyncProducer[ThroughputProducer]):
    """A ThroughputProducer whose calls are awaited: the same arguments, promises, errors and verdicts.

    Parameters
    ----------
    config, on_full, resume_at, **keywords
        As of ThroughputProducer. Where the window is full, the task waits and the loop goes on; an `on_full` of one's
        own runs in the thread.

    Notes
    -----
    ``await send()`` and ``await send_batch()`` return when records are *accepted*, as the blocking ones do, not when
    they are acknowledged: await what ``submit()`` and ``send_batch()`` return for that. Cancelling that
    wait withdraws nothing. *Order*, *loop* and *threads* are those of AsyncSafeProducer; a record that need not wait is
    enqueued in the loop's own thread.

    Examples
    --------
    >>> async with AsyncThroughputProducer(bootstrap_servers="localhost:9092") as producer:    # doctest: +SKIP
    ...     delivery = await producer.submit("clicks", b"value")
    ...     metadata = await delivery
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        /,
        *,
        on_full: OnFull | Callable[[ThroughputProducer], Any] = "block",
        resume_at: float = 0.5,
        **keywords: Any,
    ) -> None:
        self._take(_Blocking(config, on_full=on_full, resume_at=resume_at, **keywords), on_full)

    def _take(self, producer: ThroughputProducer, on_full: Any) -> None:
        """Begin with the blocking producer that makes the calls."""
        BaseAsyncProducer.__init__(self, producer)
        self._raises_when_full = on_full == "raise"
        self._in_a_row = 0

    def _make(self) -> Callable[[list[AwaitedCall]], None]:
        return _make

    async def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        *,
        headers: Any = None,
        partition: int | None = None,
        timestamp: Any = None,
        timestamp_header: str | None = None,
        serializer: Serializer | None = None,
        key_serializer: Serializer | None = None,
        timeout: float | None = None,
        on_delivery: Callable[[DeliveryError | None, RecordMetadata | None], Any] | None = None,
        opaque: Any = None,
    ) -> None:
        """Enqueue one record; return when it is accepted, not when it is acknowledged.

        Parameters
        ----------
        topic, value, key, headers, partition, timestamp, timestamp_header, serializer, key_serializer, timeout
            As of ``ThroughputProducer.send()``, and so are the errors.
        on_delivery, opaque
            As there: it is called in the producer's delivery thread, not in the loop's.
        """
        loop = self._enter()
        producer = self._producer
        deadline = producer._deadline(timeout)
        if type(topic) is not str:
            topic = topic_name(topic)

        def send(timeout: float) -> None:
            producer.send(
                topic,
                value,
                key=key,
                headers=headers,
                partition=partition,
                timestamp=timestamp,
                timestamp_header=timestamp_header,
                serializer=serializer,
                key_serializer=key_serializer,
                timeout=timeout,
                on_delivery=on_delivery,
                opaque=opaque,
            )

        if (
            self._line.is_idle
            and topic not in self._preparations.topics
            and producer._knows_partitions(topic, partition)
            and not self._is_cold(topic, serializer, key_serializer)
        ):
            try:
                send(0.0)
            except QueueFullError:
                if self._raises_when_full:
                    raise
            else:
                self._in_a_row += 1
                if self._in_a_row >= YIELD_EVERY:
                    self._in_a_row = 0
                    await asyncio.sleep(0)
                return
        call = AwaitedCall(topic, deadline, lambda: send(max(0.0, deadline - time.monotonic())), loop, True)
        self._line_up(topic, call, serializer, key_serializer, deadline, partition)
        await call.wait()

    async def submit(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        *,
        headers: Any = None,
        partition: int | None = None,
        timestamp: Any = None,
        timestamp_header: str | None = None,
        serializer: Serializer | None = None,
        key_serializer: Serializer | None = None,
        timeout: float | None = None,
        opaque: Any = None,
    ) -> RecordDelivery:
        """Enqueue one record as ``send()`` does, and return a future of it, which is awaited in turn.

        Parameters
        ----------
        topic, value, key, headers, partition, timestamp, timestamp_header, serializer, key_serializer, timeout, opaque
            As of ``ThroughputProducer.submit()``, and so are the errors.
        """
        delivery = RecordDelivery(self._producer._delivery_thread.problems)
        await self.send(
            topic,
            value,
            key=key,
            headers=headers,
            partition=partition,
            timestamp=timestamp,
            timestamp_header=timestamp_header,
            serializer=serializer,
            key_serializer=key_serializer,
            timeout=timeout,
            on_delivery=delivery,
            opaque=opaque,
        )
        return delivery

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
    ) -> BatchDelivery:
        """Enqueue many records; return when the last one is in, not when it is acknowledged.

        Parameters
        ----------
        topic, values, keys, headers, partitions, timestamps, timestamp_header, serializer, key_serializer, on_bad_row
            As of ``ThroughputProducer.send_batch()``, and so are the result and the errors. The thread checks and
            encodes the values: they must not be changed before the call has ended, also where its wait was cancelled.
        opaque, timeout, **mistaken
            As there.
        """
        if mistaken:
            refuse_unknown(mistaken)
        loop = self._enter()
        name = repr(topic) if isinstance(topic, TopicColumn) else topic_name(topic)
        producer = self._producer
        deadline = producer._deadline(timeout)

        def send() -> BatchDelivery:
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
                timeout=max(0.0, deadline - time.monotonic()),
            )

        call = AwaitedCall(name, deadline, send, loop)
        if isinstance(topic, TopicColumn):
            self._line.append(call)  # its thread asks for topics that are new
        else:
            self._line_up(name, call, serializer, key_serializer, deadline)
        delivery: BatchDelivery = await call.wait()
        return delivery

    async def flush(self, timeout: float | None = None) -> int:
        """Wait until every record of the calls before it was reported and its callback has run.

        Returns and raises what ``ThroughputProducer.flush()`` does.
        """
        deadline = self._producer._deadline(timeout)
        await self._settled(deadline)
        try:
            await self._in_line("flush", nothing, deadline)
        except DeliveryError:  # late
            return len(self._line) + self._producer.stats().in_queue
        left: int = await self._beside(
            "flush",
            lambda: self._producer.flush(None if timeout is None else max(0.0, deadline - time.monotonic())),
        )
        return left

    async def purge(self, *, in_flight: bool = False) -> None:
        """Drop the records that are not in a request on its way; with `in_flight` the others, too."""
        self._enter()
        await self._beside("purge", lambda: self._producer.purge(in_flight=in_flight))


def _make(group: list[AwaitedCall]) -> None:
    """Make the calls of a group."""
    for call in group:
        call.run()
