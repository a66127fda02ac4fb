"""The safe lane: what it promises, and how it keeps it.

The mechanism is ``ext/twolane/safe/ordered_sender.pyx``; this module says which caller may send when, what an
error means for the records behind it, and what a caller gets.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from twolane.client.partitioner import Partitioner
from twolane.common.arguments import BatchArguments, refuse_unknown
from twolane.common.base import STILL_RUNS
from twolane.common.by_topic import TopicColumn, send_in_turn
from twolane.common.fair_lock import FairLock, Waiter
from twolane.common.transactional_producer import TransactionalProducer
from twolane.common.transactions import Transactions
from twolane.config.policy import SAFE
from twolane.errors import ClosedProducerError, ConfigError, ForkedProducerError, TwolaneError
from twolane.safe._send import SafeSender
from twolane.safe.batch_call import BatchCall
from twolane.safe.group_commit import GroupSender
from twolane.safe.in_doubt import InDoubtPartitions
from twolane.safe.ordered_sender import OrderedSender
from twolane.safe.topic_monitor import TopicMonitor
from twolane.streams.sender import StreamSender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Never, Unpack

    from twolane.common.arguments import ProduceCall
    from twolane.config.typed import ProducerSettings
    from twolane.results import BatchMetadata
    from twolane.serializers import Serializer
    from twolane.serializers.bad_rows import OnBadRow

# How much later than the lane librdkafka gives a record up (see client.chunks): its own clock is only the net.
MARGIN_MS = 10_000
# librdkafka's default of transaction.timeout.ms.
TRANSACTION_MS = 60_000
# How long after its end a call that closing cuts off may take to collect its verdicts, and the client to end.
PURGE_SECONDS, CLOSE_SECONDS = 1.1, 1.4


class SafeProducer(SafeSender, StreamSender, TransactionalProducer):
    """A producer that waits for the brokers, keeps order, and says exactly what is in the log.

    Parameters
    ----------
    config : mapping, optional
        librdkafka's dotted names. Fixed: ``acks=all``, one request in flight. Defaults: ``retries=3`` with a back-off
        of 1 s, 2 s and 4 s (7 s of patience; the wait for a new leader is not counted), ``enable.idempotence=true``,
        ``message.timeout.ms=30000``.
    **keywords
        The same names with underscores: ``bootstrap_servers="localhost:9092"``.
    check_topics : bool, default True
        At a topic's first use look whether it can keep what it is given: fewer than 3 replicas,
        ``min.insync.replicas`` below 2 and unclean elections are one notice each.
    on_partition_change : {"notice", "error"}
        What a changed number of partitions does to records placed by key: a notice, or an error until
        ``accept_partitions(topic)``.
    on_refusal : {"partition", "batch"}
        What a record of ``send_batch()`` ends that a broker refuses for what it is (too large, invalid): the rest of
        its partition, or of the batch. Any other failure ends the batch, and so does each in a transaction.

    Raises
    ------
    ConfigError
        Unknown setting, or one that breaks the lane; names the key and the lane.

    Notes
    -----
    *Order.* Acknowledged records stand in each partition in the order they were sent. *Prefix.* ``send_batch()``
    writes, in every partition, exactly a prefix of that partition's records. *Verdict.* Every record is written, not
    written, or unknown; a record called not written is never in the log. *Time.* No call outlives its timeout by more
    than 1.5 s.

    ``enable.idempotence=False`` is the plain recipe (acks=all, retries, one request in flight) with a weaker promise:
    a retry after a lost answer may write a record twice, and a request that was delayed in the network may be appended
    after later records. So after an *unknown* verdict the producer refuses further records to that partition until
    ``resume(topic, partition)``.

    Threads may share a producer: calls are served in the order they come, and waiting ``send()`` calls go together in
    one request per partition. The GIL is released while waiting. librdkafka runs one thread per broker and two more.
    """

    _policy = SAFE

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
        if on_partition_change not in ("notice", "error"):
            raise ConfigError(f"on_partition_change: expected 'notice' or 'error', got {on_partition_change!r}")
        if on_refusal not in ("partition", "batch"):
            raise ConfigError(f"on_refusal: expected 'partition' or 'batch', got {on_refusal!r}")
        TransactionalProducer.__init__(self, config, keywords)
        settings = self._settings
        fenced = settings.flag("enable.idempotence")
        # Every request carries these names, and librdkafka counts them against batch.size.
        names = sum(len(settings.native.get(key, "").encode()) for key in ("client.id", "transactional.id"))
        self._ordered_sender = OrderedSender(
            self._handle,
            self._reader,
            settings.number("batch.num.messages"),
            min(self._max_bytes, settings.number("batch.size")) - names,
            self._timeout,
            # librdkafka varies it by a fifth.
            settings.number("retry.backoff.ms") * 0.8 / 1000 if fenced else None,
            on_refusal == "batch" or "transactional.id" in settings.native,
        )
        self._partitioner = Partitioner(settings.native["partitioner"], self._ordered_sender.chunk_bytes)
        self._fair_lock = FairLock()
        # Reentrant: a signal handler may call close() while close() runs.
        self._ending = threading.RLock()
        self._in_doubt = InDoubtPartitions(self._handle, self._events.handle, fenced=fenced)
        self._topic_monitor = TopicMonitor(
            settings.native,
            self._say,
            check_topics=check_topics,
            strict_partitions=on_partition_change == "error",
            open_topic=self._handle.open_topic,
            hide=self._hide,
            oauth_cb=self._tokens.for_another_client if self._tokens is not None else None,
        )
        self._topics.on_count = self._topic_monitor.counted
        self._transactions = Transactions(
            self._handle, self._reader, settings.native.get("transactional.id"), self._events.poll, self._timeout
        )
        self._group = GroupSender(
            self._fair_lock, self._ordered_sender, self._reader, self._in_doubt, self._topic_monitor
        )

    def _for_librdkafka(self, native: dict[str, str]) -> dict[str, str]:
        ours, most = self._settings.number("message.timeout.ms"), 2**31 - 1
        if "transactional.id" in native:
            # librdkafka takes no longer one.
            most = (
                self._settings.number("transaction.timeout.ms")
                if "transaction.timeout.ms" in native
                else TRANSACTION_MS
            )
        later = max(ours, min(ours + MARGIN_MS, most)) if ours else 0
        return {**native, "message.timeout.ms": str(later)}

    # ---- records: send() stands in the compiled base, twolane.safe._send ---------------------------------------------

    def send_batch(
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
        """Send records in order, in chunks of one MessageSet per partition, and wait for all of them.

        Parameters
        ----------
        topic : str or TopicColumn
            A TopicColumn names each record's own: the rows of each topic go one topic behind another, to the first
            failure; the result is a TopicsMetadata.
        values : sequence or columns of n records
            A list or iterable of bytes or rows, a numpy structured array, a dict of arrays, or anything with
            ``__arrow_c_stream__``. Not changed; not kept after the call.
        keys, partitions, timestamps : array or list of n, one for all, or the name of a column, optional
            `timestamps` may be Timestamps of these, which say what times without a zone and missing ones mean.
        headers : mapping or pairs, list of str, list of n mappings, or str, optional
            Name to a value for all records or to a column of n; names of columns, which become headers of that name;
            the headers of each record; the name of a column that holds these.
        timestamp_header : str, optional
            Name of a header that keeps each time's nanoseconds since the epoch: 8 bytes, big-endian, signed.
        serializer, key_serializer : Serializer, optional
            Of the values and of the keys; ``Bytes()`` by default. With a `key_serializer` keys may be whatever it
            takes, also rows or a table of their own.
        on_bad_row : {"raise", "skip"}
            What a row does whose value, key, header, timestamp or partition is refused, or which is too large: refuse
            the whole call, or be left out and named in ``refused`` of the metadata. What concerns the call as a whole
            is raised either way.
        opaque : object, optional
            Of the caller's own: ``opaque`` of the metadata, and of each error of a row.
        timeout : float, optional
            Seconds for the whole call, however many chunks it takes. With it or without, a chunk has
            ``message.timeout.ms`` at most.
        **mistaken
            Refused: a TypeError names the argument that is meant.

        Returns
        -------
        BatchMetadata
            All records written.

        Raises
        ------
        BatchError
            Some were not: ``.metadata`` has every record's partition, offset or verdict. In every partition exactly a
            prefix was written, but for records whose verdict is unknown, which come right behind it.
        SerializationError, TimestampError, DeliveryError
            Refused before anything was sent.
        RuntimeError
            A row was changed while the call was sending, see docs/serializers.md. On this, and on what a signal handler
            raises, ``.twolane_result`` has what became of every record.
        """
        if mistaken:
            refuse_unknown(mistaken)
        started = time.monotonic()
        setup = self._deadline(timeout)
        given = BatchArguments(
            keys, headers, partitions, timestamps, timestamp_header, serializer, key_serializer, on_bad_row, opaque
        )
        until = None if timeout is None else setup
        if isinstance(topic, TopicColumn):
            parts = self._bind_by_topic(topic, values, given, setup)
            return send_in_turn(parts, lambda call: self._send_call(call, started, until))
        return self._send_call(self._bind(topic, values, given, setup), started, until)

    def _send_call(self, call: ProduceCall, started: float, until: float | None) -> BatchMetadata:
        """Send one topic's records, whole or to the first failure; `until` is the end of the caller's timeout."""
        topic = call.topic.name
        if call.keys is not None and call.partitions is None and topic in self._topic_monitor.moved:
            raise self._topic_monitor.refusal(topic)
        batch = BatchCall(call, started, self._ordered_sender, self._reader, self._in_doubt, self._topic_monitor)
        turn = Waiter(started + 1e9 if until is None else until)
        deadline = math.inf if until is None else until
        try:
            return self._in_turn(turn, topic, partial(batch.send, deadline))
        except TwolaneError:
            raise
        except BaseException as interruption:
            batch.attach_to(interruption)
            raise

    # ---- partitions in doubt -------------------------------------------------------------------------------------

    def resume(self, topic: str, partition: int) -> None:
        """Take records for a partition again after an *unknown* verdict without idempotence.

        A request that timed out may still be on its way, in a socket or in a broker that was stopped: it can be
        appended minutes later, behind records that were sent after it (a *ghost write*). Only a producer id can fence
        it, which ``enable.idempotence=False`` gave up. So the producer stops, and the caller decides: look at the log,
        wait longer than the brokers could hold the request, or accept the risk, and then call this.

        Does nothing where nothing is in doubt.
        """
        self._in_doubt.resume(topic, partition)

    @property
    def in_doubt(self) -> set[tuple[str, int]]:
        """Partitions, as (topic, partition), that wait for ``resume()``. A copy."""
        return self._in_doubt.partitions()

    # ---- what was noticed of topics ------------------------------------------------------------------------------

    @property
    def notices(self) -> list[str]:
        """What was noticed of topics: weak settings, changed partition counts, offsets that went back. A copy."""
        return list(self._topic_monitor.notices)

    def accept_partitions(self, topic: str) -> None:
        """Take records by key again after the number of partitions changed (``on_partition_change="error"``)."""
        self._topic_monitor.accept(topic)

    def _run_alone(self, what: str, deadline: float, work: Callable[[], None]) -> None:
        self._in_turn(Waiter(deadline), what, work)

    def _check_may_wait(self, what: str) -> None:
        # In a forked child the thread that had the turn does not exist.
        if self._handle.is_forked:
            raise ForkedProducerError("this producer was made before fork(): make a new one in the child process")

    # ---- the rest ------------------------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> int:
        """Wait until the calls that other threads are in have ended: a call of one's own leaves nothing behind.

        Returns
        -------
        int
            Records still in flight, 0 unless the time ran out.
        """
        if self._closed:
            return 0
        self._check_may_wait("flush")
        turn = Waiter(self._deadline(timeout))
        if not self._fair_lock.held_by_this_thread:  # in a signal handler it would wait for the call that is below it
            try:
                self._fair_lock.acquire(turn)
            finally:
                self._fair_lock.release(turn)
        return int(self._reader.count()["in_queue"])

    def close(self, timeout: float | None = None) -> None:
        """End the producer: those in line are turned away, the call in progress may end, the client is destroyed.

        Idempotent, from any thread. When `timeout` (seconds, ``message.timeout.ms`` by default) runs out, the records
        in flight are purged; their callers get their verdicts.

        Raises
        ------
        TimeoutError
            Another thread's ``close()`` did not end within the timeout and 1.5 s.
        """
        if self._handle.is_forked:
            self._handle.draining = True
            return
        self._handle.draining = True
        self._topic_monitor.check.end()
        deadline = self._deadline(timeout)
        # Also where another thread's close() has more time.
        self._ordered_sender.end_by(deadline)
        self._transactions.end_by = min(self._transactions.end_by, deadline)
        with self._end_alone(deadline + CLOSE_SECONDS):
            if self._handle.is_closed:
                return
            for waiting in self._fair_lock.cancel_waiters():
                waiting.outcome = ClosedProducerError("the producer was closed while the call waited; nothing was sent")
                waiting.done = True
                waiting.wake()
            if self._fair_lock.held_by_this_thread:
                # In a signal handler: the call below it goes on after this, ends in time, and destroys the client.
                self._handle.close(0.0)
                return
            turn = Waiter(deadline + PURGE_SECONDS)
            try:
                if self._fair_lock.acquire(turn):
                    with contextlib.suppress(TwolaneError):
                        self._events.poll()
                else:
                    self._say(logging.WARNING, "%r: a call is not back yet, in a serializer most likely", self)
                if not self._handle.close(max(0.1, deadline + CLOSE_SECONDS - time.monotonic())):
                    self._say(logging.WARNING, STILL_RUNS)
            finally:
                # For a caller that saw the producer open and came into the line only now.
                self._fair_lock.release(turn)
                self._topic_monitor.check.join(deadline)

    @contextlib.contextmanager
    def _end_alone(self, until: float) -> Iterator[None]:
        """Let one thread at a time end the producer, and again a signal handler in the middle of that."""
        if not self._ending.acquire(timeout=min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)):
            raise TimeoutError(f"{self!r}: the close() of another thread still runs; the producer ends with it")
        try:
            yield
        finally:
            self._ending.release()
