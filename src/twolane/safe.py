"""The safe lane: what it promises, and how it keeps it.

The mechanism is ``ext/twolane/client/chunks.pyx``; this module says who may send when, what an error means for the
records behind it, and what a caller is told.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from confluent_kafka import KafkaError

from twolane.batch import EncodedBatch
from twolane.calls import Call, Encoded, prepare, prepare_one, refusal
from twolane.client.chunks import ChunkSender
from twolane.client.outcome import Outcome
from twolane.client.partition import assign
from twolane.config import SAFE
from twolane.doubt import Doubts
from twolane.errors import (
    BatchError,
    ClosedProducerError,
    ConfigError,
    FatalBatchError,
    ForkedProducerError,
    SerializationError,
    TwolaneError,
)
from twolane.failures import Failures, Report, delivery_error
from twolane.group import GroupSender, Single
from twolane.lane import Producer
from twolane.records import BatchMetadata, RecordMetadata, TimestampType
from twolane.transactions import Transactions
from twolane.turns import Turn, Turns
from twolane.verdicts import UNKNOWN
from twolane.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from confluent_kafka import TopicPartition
    from numpy.typing import NDArray

    from twolane.client.handle import Topic
    from twolane.serializers import Serializer

# Records of a batch that are grouped by partition at a time; bounds the memory of encoded bytes.
SLICE = 65_536
# How long after its end a call that closing cuts off may take to collect its verdicts.
PURGE_SECONDS = 1.2


class SafeProducer(Producer):
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

    _lane = SAFE

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        /,
        *,
        check_topics: bool = True,
        on_partition_change: Literal["notice", "error"] = "notice",
        **keywords: Any,
    ) -> None:
        if on_partition_change not in ("notice", "error"):
            raise ConfigError(f"on_partition_change: expected 'notice' or 'error', got {on_partition_change!r}")
        super().__init__(config, keywords)
        native = self._settings.native
        # Every request carries these names, and librdkafka counts them against batch.size.
        names = len(native.get("client.id", "").encode()) + len(native.get("transactional.id", "").encode())
        self._chunk_bytes = min(self._max_bytes, self._settings.number("batch.size")) - names
        self._chunks = ChunkSender(
            self._handle, self._delivery, self._settings.number("batch.num.messages"), self._chunk_bytes
        )
        self._turns = Turns()
        # Reentrant: a signal handler may call close() while close() runs.
        self._ending = threading.RLock()
        self._doubts = Doubts(fenced=self._settings.flag("enable.idempotence"))
        self._watch = Watch(
            self._settings.native, check_topics=check_topics, strict_partitions=on_partition_change == "error"
        )
        self._transactions = Transactions(
            self._handle, self._settings.native.get("transactional.id"), self._serve_notes
        )
        self._group = GroupSender(
            self._turns, self._chunks, self._delivery, self._doubts, self._watch, self._fatal_reason, self._after
        )

    # ---- one record ----------------------------------------------------------------------------------------------

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
    ) -> RecordMetadata:
        """Send one record and wait until every in-sync replica has it.

        Parameters
        ----------
        topic : str
        value, key : bytes, str (UTF-8), bytearray, memoryview or None
            None as a value is a tombstone, as a key no key.
        headers : mapping or sequence of (str, bytes or str or None), optional
        partition : int, optional
            Without it: by the key (murmur2, as the Java client), else any.
        timestamp : int (ms), aware datetime or datetime64, optional
            CreateTime; now by default.
        timestamp_header : str, optional
            Name of a header that keeps the time's nanoseconds since the epoch: 8 bytes, big-endian, signed.
        serializer, key_serializer : Serializer, optional
            Of the value and of the key, which may then be whatever they take.
        timeout : float, optional
            Seconds; ``message.timeout.ms`` by default.

        Returns
        -------
        RecordMetadata

        Raises
        ------
        DeliveryError
            Not acknowledged; ``.verdict`` says whether it may be in the log.
        SerializationError, TimestampError
            Refused before it was sent.
        ClosedProducerError, ForkedProducerError, FatalProducerError
        """
        deadline = self._deadline(timeout)
        record = prepare_one(
            topic,
            value,
            key=key,
            headers=headers,
            timestamp=timestamp,
            timestamp_header=timestamp_header,
            serializer=serializer,
            key_serializer=key_serializer,
            max_bytes=self._max_bytes,
        )
        turn = Turn(deadline, self._place(topic, record, partition, deadline))
        try:
            self._take(turn, topic)
            if not turn.done:
                self._group.lead(turn)
        finally:
            self._turns.leave(turn)
        if isinstance(turn.outcome, BaseException):
            raise turn.outcome
        metadata: RecordMetadata = turn.outcome
        return metadata

    def _place(self, name: str, record: Encoded, partition: Any, deadline: float) -> Single:
        """Choose or check the record's partition; nothing has been sent when this raises."""
        topic = self._topic(name, deadline)
        if partition is None:
            moved = self._watch.refusal(name) if record.key is not None else None
            if moved is not None:
                raise moved
            values = EncodedBatch.constant(record.value)
            keys = None if record.key is None else EncodedBatch.constant(record.key)
            chosen = assign(topic, self._partitioner, values, keys, 1, self._chunk_bytes)
            place = chosen if isinstance(chosen, int) else int(chosen[0])
        else:
            if isinstance(partition, bool) or not isinstance(partition, (int, np.integer)):
                raise SerializationError("a partition is an int", field="partition", value=partition, topic=name)
            place = int(partition)
            if place >= topic.partition_count:
                self._look_again(topic, deadline)
            if not 0 <= place < topic.partition_count:
                raise refusal(
                    name,
                    KafkaError._UNKNOWN_PARTITION,
                    f"partition {place} does not exist, the topic has {topic.partition_count}",
                    partition=place,
                )
        return Single(topic, record.value, record.key, record.headers, place, record.timestamp)

    def _refuse_in_child(self) -> None:
        """Raise in a forked child, where whoever had the turn does not exist."""
        if self._handle.is_forked:
            raise ForkedProducerError("this producer was made before fork(): make a new one in the child process")

    def _take(self, turn: Turn, topic: str) -> None:
        """Wait for the turn; a caller whose time runs out in the queue has sent nothing."""
        if self._closed:
            raise ClosedProducerError("the producer is closed")
        if self._turns.is_below:
            raise RuntimeError(
                "called from a signal handler that interrupted a call of this producer: it would wait for itself"
            )
        if not self._turns.take(turn):
            raise refusal(topic, KafkaError._TIMED_OUT_QUEUE, "timed out waiting for the calls before it")
        if turn.mine and self._closed:
            raise ClosedProducerError("the producer was closed while the call waited; nothing was sent")

    # ---- many records --------------------------------------------------------------------------------------------

    def send_batch(
        self,
        topic: str,
        values: Any,
        *,
        keys: Any = None,
        headers: Any = None,
        partitions: Any = None,
        timestamps: Any = None,
        timestamp_header: str | None = None,
        serializer: Serializer | None = None,
        key_serializer: Serializer | None = None,
        timeout: float | None = None,
    ) -> BatchMetadata:
        """Send records in order, in chunks of one MessageSet per partition, and wait for all of them.

        Parameters
        ----------
        topic : str
        values : sequence or columns of n records
            A list or iterable of bytes or rows, a numpy structured array, a dict of arrays, or anything with
            ``__arrow_c_stream__``. Not changed; not kept after the call.
        keys, partitions, timestamps : array or list of n, one for all, or the name of a column, optional
        headers : mapping or pairs, list of str, list of n mappings, or str, optional
            Name to a value for all records or to a column of n; names of columns, which become headers of that name;
            the headers of each record; the name of a column that holds these.
        timestamp_header : str, optional
            Name of a header that keeps each time's nanoseconds since the epoch: 8 bytes, big-endian, signed.
        serializer, key_serializer : Serializer, optional
            Of the values and of the keys; ``Bytes()`` by default. With a `key_serializer` keys may be whatever it
            takes, also rows or a table of their own.
        timeout : float, optional
            Seconds for the whole call. Without it every chunk has ``message.timeout.ms``.

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
        """
        started = time.monotonic()
        setup = self._deadline(timeout)
        call = prepare(
            lambda name: self._topic(name, setup),
            topic,
            values,
            keys=keys,
            headers=headers,
            partitions=partitions,
            timestamps=timestamps,
            timestamp_header=timestamp_header,
            serializer=serializer,
            key_serializer=key_serializer,
            max_bytes=self._max_bytes,
            partitioner=self._partitioner,
            sticky_bytes=self._chunk_bytes,
        )
        moved = self._watch.refusal(topic) if keys is not None and partitions is None else None
        if moved is not None:
            raise moved
        deadline = math.inf if timeout is None else setup
        turn = Turn(setup if timeout is not None else started + 1e9)
        try:
            self._take(turn, topic)
            return self._send_call(call, deadline, started)
        finally:
            self._turns.leave(turn)

    def _send_call(self, call: Call, deadline: float, started: float) -> BatchMetadata:
        topic = call.topic
        outcome = Outcome(self._delivery, call.n)
        partitions = np.full(call.n, -1, dtype=np.int32)
        reports: list[Report] = []
        behind: list[int] = []
        reason, refused = "not sent: a record before it was not written", KafkaError._PURGE_QUEUE
        interruption: BaseException | None = None
        start = reached = 0
        try:
            while reached < call.n and not (reports or behind):
                start, reached = reached, min(call.n, reached + SLICE)
                feed, partitions[start:reached] = call.feed(start, reached)
                doubtful = self._doubts.first_refusal(topic.name, partitions[start:reached])
                if doubtful is not None:
                    behind, reason = list(range(start, reached)), str(doubtful.detail)
                    break
                reports, behind, code = self._chunks.send(topic, feed, outcome, start, deadline)
                if code:
                    reason, refused = "refused by librdkafka", code
                elif behind and not reports:
                    reason, refused = "timed out before it was sent", KafkaError._TIMED_OUT_QUEUE
        except BaseException as error:
            # A signal, or no memory: the records keep their verdicts all the same.
            interruption = error
            reports, behind, _ = getattr(error, "twolane_ends", None) or _open_ends(outcome, partitions, start, reached)
        if reports:
            self._after(topic.name, reports)
        self._watch_offsets(topic.name, partitions, outcome.offsets)
        if interruption is None and not (reports or behind):
            return self._metadata(call, outcome, partitions, (), started)
        behind += range(reached, call.n)
        failures = Failures(topic.name, reports, [(i, int(partitions[i])) for i in behind], reason, refused)
        metadata = self._metadata(call, outcome, partitions, failures, started)
        if interruption is not None:
            interruption.add_note(f"twolane: the batch being sent when this came: {metadata!r}")
            interruption.twolane_metadata = metadata  # type: ignore[attr-defined]
            raise interruption
        raise self._batch_error(topic.name, reports, failures, metadata)

    def _batch_error(
        self, topic: str, reports: list[Report], failures: Failures, metadata: BatchMetadata
    ) -> BatchError:
        """Return the error of a batch: its cause is the first record tried, its index the first not written."""
        cause = delivery_error(topic, reports[0]) if reports else failures[0]
        fatal = self._fatal_reason()
        kind = BatchError if fatal is None else FatalBatchError
        return kind(
            cause.error,
            metadata=metadata,
            verdict=cause.verdict,
            topic=topic,
            partition=cause.partition,
            index=failures.indices[0],
            possible_offset=cause.possible_offset,
            detail=cause.detail if fatal is None else f"fatal: {fatal}",
        )

    def _metadata(
        self, call: Call, outcome: Outcome, partitions: NDArray[np.int32], failures: Any, started: float
    ) -> BatchMetadata:
        kind = TimestampType(outcome.timestamp_type)
        return BatchMetadata(
            topic=call.topic.name,
            partitions=partitions,
            offsets=outcome.offsets,
            written=int(np.count_nonzero(outcome.offsets >= 0)),
            failures=failures,
            latency=time.monotonic() - started,
            timestamp_type=kind,
            log_append_times=outcome.append_times() if kind is TimestampType.LOG_APPEND_TIME else None,
        )

    # ---- partitions in doubt -------------------------------------------------------------------------------------

    def resume(self, topic: str, partition: int) -> None:
        """Take records for a partition again after an *unknown* verdict without idempotence.

        A request that timed out may still be on its way, in a socket or in a broker that was stopped: it can be
        appended minutes later, behind records that were sent after it (a *ghost write*). Only a producer id can fence
        it, which ``enable.idempotence=False`` gave up. So the producer stops, and the caller decides: look at the log,
        wait longer than the brokers could hold the request, or accept the risk, and then call this.

        Does nothing where nothing is in doubt.
        """
        self._doubts.resolve(topic, partition)

    @property
    def in_doubt(self) -> set[tuple[str, int]]:
        """Partitions, as (topic, partition), that wait for ``resume()``. A copy."""
        return self._doubts.partitions()

    def _after(self, topic: str, reports: list[Report]) -> None:
        """Note what failures mean for the next call: doubtful partitions, and that a look at the topic is due."""
        self._pass_notes_on()
        # Closed already where a signal handler called close() in the middle of the call.
        with contextlib.suppress(ClosedProducerError):
            self._handle.open_topic(topic).counted_at = 0.0
        self._doubts.note(topic, reports)

    # ---- what was noticed of topics ------------------------------------------------------------------------------

    @property
    def notices(self) -> list[str]:
        """What was noticed of topics: weak settings, changed partition counts, offsets that went back. A copy."""
        return list(self._watch.notices)

    def accept_partitions(self, topic: str) -> None:
        """Take records by key again after the number of partitions changed (``on_partition_change="error"``)."""
        self._watch.accept(topic)

    def _counted(self, topic: Topic, replicas: int) -> None:
        self._watch.counted(topic.name, topic.partition_count, replicas)

    def _watch_offsets(self, topic: str, partitions: NDArray[np.int32], offsets: NDArray[np.int64]) -> None:
        written = offsets >= 0
        places, own = partitions[written], offsets[written]
        if not own.size:
            return
        # Of a repeated index numpy keeps the last value: one pass each, however many partitions there are.
        first, last = np.full((2, int(places.max()) + 1), -1, dtype=np.int64)
        first[places[::-1]], last[places] = own[::-1], own
        for partition in np.flatnonzero(last >= 0):
            self._watch.acknowledged(topic, int(partition), int(first[partition]), int(last[partition]))

    def _fatal_reason(self) -> str | None:
        if self._handle.is_closed:
            return None
        fatal = self._handle.fatal_error()
        return None if fatal is None else fatal[1]

    # ---- transactions --------------------------------------------------------------------------------------------

    def init_transactions(self, timeout: float | None = None) -> None:
        """Register the ``transactional.id``; once, before the first ``transaction()``.

        Parameters
        ----------
        timeout : float, optional
            Seconds; ``message.timeout.ms`` by default.

        Raises
        ------
        ConfigError
            No ``transactional.id`` is set.
        TransactionError
            ``.retriable`` ones were retried until the timeout.
        FatalProducerError
            Another producer has taken the id over.
        """
        with self._alone("init_transactions", timeout) as deadline:
            self._transactions.init(deadline)

    @contextlib.contextmanager
    def transaction(self, timeout: float | None = None) -> Iterator[None]:
        """Make everything sent in a ``with`` block visible together, or not at all.

        Commits when the block ends, aborts when it raises. A commit that fails for good aborts and raises
        TransactionError; one whose answer was lost is retried until `timeout` (seconds).

        Examples
        --------
        >>> with producer.transaction():                                       # doctest: +SKIP
        ...     producer.send_batch("ledger", entries)
        ...     producer.send_offsets_to_transaction(consumer.position(assigned), consumer.consumer_group_metadata())
        """
        with self._transactions.run(lambda: self._deadline(timeout)):
            yield

    def send_offsets_to_transaction(
        self, offsets: list[TopicPartition], group_metadata: Any, timeout: float | None = None
    ) -> None:
        """Commit consumed offsets with the transaction: read, process, write exactly once.

        Parameters
        ----------
        offsets : list of confluent_kafka.TopicPartition
            Of the next records to read, as ``consumer.position()`` gives them.
        group_metadata : object
            ``consumer.consumer_group_metadata()`` of a confluent-kafka consumer.
        timeout : float, optional
            Seconds; ``message.timeout.ms`` by default.

        Raises
        ------
        TransactionError
            ``.retriable`` ones were retried until the timeout; ``.must_abort`` says that the transaction is lost.
        FatalProducerError
            Another producer has taken the ``transactional.id`` over.
        """
        with self._alone("send_offsets_to_transaction", timeout) as deadline:
            self._transactions.send_offsets(offsets, group_metadata, deadline)

    @contextlib.contextmanager
    def _alone(self, what: str, timeout: float | None) -> Iterator[float]:
        """Wait for the turn and keep it for the block."""
        self._refuse_in_child()
        deadline = self._deadline(timeout)
        turn = Turn(deadline)
        try:
            self._take(turn, what)
            yield deadline
        finally:
            self._turns.leave(turn)

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
        self._refuse_in_child()
        turn = Turn(self._deadline(timeout))
        try:
            self._turns.take(turn)
        finally:
            self._turns.leave(turn)
        return int(self._delivery.count()["in_queue"])

    def close(self, timeout: float | None = None) -> None:
        """End the producer: those in line are turned away, the call in progress may end, the client is destroyed.

        Idempotent, from any thread. When `timeout` (seconds, ``message.timeout.ms`` by default) runs out, the records
        in flight are purged; their callers get their verdicts.
        """
        if self._handle.is_forked:
            self._closed = True
            return
        self._closed = True
        with self._ending:
            if self._handle.is_closed:
                return
            for waiting in self._turns.dismiss():
                waiting.outcome = ClosedProducerError("the producer was closed while the call waited; nothing was sent")
                waiting.done = True
                waiting.wake()
            deadline = self._deadline(timeout)
            self._chunks.end_by(deadline)
            self._transactions.end_by = deadline
            if self._turns.is_below:
                # In a signal handler: the call below it goes on after this, ends in time, and destroys the client.
                self._handle.close(0.0)
                return
            turn = Turn(deadline + PURGE_SECONDS)
            try:
                self._turns.take(turn)
                with contextlib.suppress(TwolaneError):
                    self._serve_notes()
                self._handle.close()
            finally:
                # For a caller that saw the producer open and came into the line only now.
                self._turns.leave(turn)


def _open_ends(
    outcome: Outcome, partitions: NDArray[np.int32], start: int, reached: int
) -> tuple[list[Report], list[int], int]:
    """Return the ends of a slice that was interrupted outside of the sending itself: what has no offset is open."""
    reports: list[Report] = []
    behind: list[int] = []
    offsets = outcome.offsets
    for index in range(start, reached):
        if partitions[index] < 0:
            behind.append(index)
        elif offsets[index] < 0:
            reports.append((index, KafkaError._FAIL, UNKNOWN, int(partitions[index]), -1, -1, 0))
    return reports, behind, 0
