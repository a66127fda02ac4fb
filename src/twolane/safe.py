"""The safe lane: what it promises, and how it keeps it.

The mechanism is ``ext/twolane/client/chunks.pyx``; this module says who may send when, what an error means for the
records behind it, and what a caller is told.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from confluent_kafka import KafkaError

from twolane.batch import EncodedBatch
from twolane.calls import HEADER_OVERHEAD, RECORD_OVERHEAD, Call, now_ms, prepare, refusal
from twolane.client.chunks import ChunkSender
from twolane.client.feed import Feed
from twolane.client.outcome import Outcome
from twolane.client.partition import assign
from twolane.config import SAFE
from twolane.encoding.timestamps import pack_timestamp
from twolane.errors import (
    BatchError,
    ClosedProducerError,
    DeliveryError,
    SerializationError,
    TwolaneError,
    Verdict,
)
from twolane.failures import Failures, Report, delivery_error
from twolane.headers import Header, shared_headers, wire_size
from twolane.lane import Producer
from twolane.records import BatchMetadata, RecordMetadata, TimestampType
from twolane.serializers import Bytes
from twolane.turns import Turn, Turns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from twolane.client.handle import Topic
    from twolane.serializers import Serializer

# Records of a batch that are grouped by partition at a time; bounds the memory of encoded bytes.
SLICE = 65_536
# Callers that share requests at most, and how far apart their deadlines may lie.
GROUP, GROUP_SPREAD = 1_000, 1.0
# Refusals that concern a record, not the partition: the neighbours in its MessageSet are sent again without it.
_RECORD_AT_FAULT = frozenset(
    {
        KafkaError.INVALID_MSG,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
    }
)
_BYTES = Bytes()


class Single(NamedTuple):
    """One checked record of ``send()``."""

    topic: Topic
    value: bytes | None
    key: bytes | None
    headers: tuple[Header, ...]
    partition: int
    timestamp: int
    size: int


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

    def __init__(self, config: Mapping[str, Any] | None = None, /, **keywords: Any) -> None:
        super().__init__(config, keywords)
        chunk_bytes = min(self._max_bytes, self._settings.number("batch.size"))
        self._chunks = ChunkSender(
            self._handle, self._delivery, self._settings.number("batch.num.messages"), chunk_bytes
        )
        self._chunk_bytes = chunk_bytes
        self._turns = Turns()
        self._ending = threading.Lock()
        self._idempotent = self._settings.flag("enable.idempotence")
        # Partitions with a record whose fate is unknown, without idempotence to fence a late write.
        self._in_doubt: dict[tuple[str, int], DeliveryError] = {}

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
        turn = Turn(deadline, self._check(topic, value, key, headers, partition, timestamp, deadline))
        self._take(turn, topic)
        if not turn.done:
            try:
                self._lead(turn)
            finally:
                self._turns.give()
        if isinstance(turn.outcome, BaseException):
            raise turn.outcome
        metadata: RecordMetadata = turn.outcome
        return metadata

    def _check(
        self, name: str, value: Any, key: Any, headers: Any, partition: Any, timestamp: Any, deadline: float
    ) -> Single:
        """Check one record's arguments; nothing has been sent when this raises."""
        if not isinstance(name, str):
            raise SerializationError("a topic is named by a string", field="topic", value=name)
        try:
            data = value if type(value) is bytes or value is None else _BYTES.encode(value)
            key_data = key if type(key) is bytes or key is None else _BYTES.encode(key)
            time_ms = now_ms() if timestamp is None else pack_timestamp(timestamp)
            pairs = shared_headers(headers) if headers else ()
        except SerializationError as error:
            error.topic = name
            raise
        topic = self._topic(name, deadline)
        size = RECORD_OVERHEAD + len(data or b"") + len(key_data or b"") + wire_size(pairs, HEADER_OVERHEAD)
        if size > self._max_bytes:
            raise refusal(
                name,
                KafkaError.MSG_SIZE_TOO_LARGE,
                f"{size} bytes with its overhead, message.max.bytes is {self._max_bytes}",
            )
        if partition is None:
            values = EncodedBatch.constant(data)
            keys = None if key_data is None else EncodedBatch.constant(key_data)
            chosen = assign(topic, self._partitioner, values, keys, 1, self._chunk_bytes)
            place = chosen if isinstance(chosen, int) else int(chosen[0])
        else:
            if isinstance(partition, bool) or not isinstance(partition, (int, np.integer)):
                raise SerializationError("a partition is an int", field="partition", value=partition, topic=name)
            place = int(partition)
            if not 0 <= place < topic.partition_count:
                raise refusal(
                    name,
                    KafkaError._UNKNOWN_PARTITION,
                    f"partition {place} does not exist, the topic has {topic.partition_count}",
                    partition=place,
                )
        return Single(topic, data, key_data, pairs, place, time_ms, size)

    def _take(self, turn: Turn, topic: str) -> None:
        """Wait for the turn; a caller whose time runs out in the queue has sent nothing."""
        if self._closed:
            raise ClosedProducerError("the producer is closed")
        if not self._turns.take(turn):
            raise refusal(topic, KafkaError._TIMED_OUT_QUEUE, "timed out waiting for the calls before it")
        if turn.mine and self._closed:
            self._turns.give()
            raise ClosedProducerError("the producer was closed while the call waited; nothing was sent")

    def _lead(self, turn: Turn) -> None:
        """Send the caller's record, and those of the callers waiting right behind it, in as few requests as it takes."""
        others = self._turns.neighbours(turn, GROUP - 1, GROUP_SPREAD)
        group = [turn, *others]
        try:
            if not others:
                self._send_together([turn], turn.deadline)
            else:
                deadline = max(member.deadline for member in group)
                for members in _by_topic(group):
                    self._send_together(members, deadline)
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller of the group must hear of it
            for member in group:
                if member.outcome is None:
                    member.outcome = error
        finally:
            for member in others:
                if member.outcome is None:
                    member.outcome = refusal(member.job.topic.name, KafkaError._FAIL, "the call that sent it was interrupted")
                member.done = True
                member.wake()

    def _send_together(self, members: list[Turn], deadline: float) -> None:
        """Send records of one topic in order; each member's outcome is set, whatever happens."""
        one_by_one = False
        while members:
            batch, rest = (members[:1], members[1:]) if one_by_one else (members, [])
            batch = self._refuse_in_doubt(batch)
            if batch:
                behind, at_fault = self._attempt(batch, deadline)
                if at_fault and len(batch) > 1:
                    # Somebody's record was refused for what it is: without its neighbours it fails alone.
                    one_by_one = True
                    behind = [member for member in batch if member in at_fault or member in behind]
                    for member in at_fault:
                        member.outcome = None
                rest = behind + rest
                if rest and time.monotonic() >= deadline:
                    for member in rest:
                        member.outcome = refusal(member.job.topic.name, KafkaError._TIMED_OUT_QUEUE, "timed out in the queue")
                    return
            members = rest

    def _attempt(self, batch: list[Turn], deadline: float) -> tuple[list[Turn], list[Turn]]:
        """Send once. Returns the members never sent, and those refused for what their records are."""
        jobs: list[Single] = [member.job for member in batch]
        topic = jobs[0].topic
        outcome = Outcome(self._delivery, len(jobs))
        interruption: BaseException | None = None
        try:
            failures, not_sent, refused = self._chunks.send(topic, _feed_of(jobs), outcome, 0, deadline)
        except BaseException as error:
            ends = getattr(error, "twolane_ends", None)
            if ends is None:
                raise
            interruption = error
            failures, not_sent, refused = ends
        self._after(topic.name, failures)
        failed: dict[int, Report] = {report[0]: report for report in failures}
        unsent = set(not_sent)
        kind = TimestampType(outcome.timestamp_type)
        append_times = outcome.append_times() if kind is TimestampType.LOG_APPEND_TIME else None
        offsets = outcome.offsets
        fatal = self._fatal_reason() if failed or refused else None
        for index, (member, job) in enumerate(zip(batch, jobs, strict=True)):
            if index in failed:
                error = delivery_error(topic.name, (0, *failed[index][1:]), fatal=fatal)
                member.outcome = error
            elif index not in unsent:
                stamp = job.timestamp if append_times is None else int(append_times[index])
                member.outcome = RecordMetadata(topic.name, job.partition, int(offsets[index]), stamp, kind)
        if interruption is not None:
            outcome_text = batch[0].outcome if batch[0].outcome is not None else "not written: it was not sent yet"
            interruption.add_note(f"twolane: the record being sent when this came: {outcome_text}")
            raise interruption
        if refused:
            for index in unsent:
                self._raise_if_fatal(topic.name)
                batch[index].outcome = refusal(topic.name, refused, "refused by librdkafka")
            return [], []
        at_fault = [batch[i] for i, report in failed.items() if report[1] in _RECORD_AT_FAULT and report[2] == 1]
        return [batch[index] for index in not_sent], at_fault

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
        serializer: Serializer | None = None,
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
        headers : mapping or pairs for all records, or a list of n of them, optional
        serializer : Serializer, optional
            ``Bytes()`` by default.
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
            serializer=serializer,
            max_bytes=self._max_bytes,
            partitioner=self._partitioner,
            sticky_bytes=self._chunk_bytes,
        )
        deadline = math.inf if timeout is None else setup
        turn = Turn(setup if timeout is not None else started + 1e9)
        self._take(turn, topic)
        try:
            return self._send_call(call, deadline, started)
        finally:
            self._turns.give()

    def _send_call(self, call: Call, deadline: float, started: float) -> BatchMetadata:
        topic = call.topic
        outcome = Outcome(self._delivery, call.n)
        partitions = np.full(call.n, -1, dtype=np.int32)
        reports: list[Report] = []
        behind: list[int] = []
        reason = "not sent: a record before it was not written"
        interruption: BaseException | None = None
        reached = 0
        while reached < call.n and not (reports or behind):
            start, reached = reached, min(call.n, reached + SLICE)
            feed, partitions[start:reached] = call.feed(start, reached)
            doubtful = self._doubtful(topic.name, partitions[start:reached])
            if doubtful is not None:
                behind = list(range(start, reached))
                reason = str(doubtful.detail)
                break
            try:
                reports, behind, refused = self._chunks.send(topic, feed, outcome, start, deadline)
            except BaseException as error:
                ends = getattr(error, "twolane_ends", None)
                if ends is None:
                    raise
                interruption = error
                reports, behind, refused = ends
                break
            if refused:
                reason = f"refused by librdkafka: {refusal(topic.name, refused, '').error.name()}"
            elif behind and not reports:
                reason = "timed out before it was sent"
        self._after(topic.name, reports)
        if interruption is None and not (reports or behind):
            return self._metadata(call, outcome, partitions, (), started)
        behind += range(reached, call.n)
        failures = Failures(topic.name, reports, [(i, int(partitions[i])) for i in behind], reason)
        metadata = self._metadata(call, outcome, partitions, failures, started)
        if interruption is not None:
            interruption.add_note(f"twolane: the batch being sent when this came: {metadata!r}")
            interruption.twolane_metadata = metadata  # type: ignore[attr-defined]
            raise interruption
        raise self._batch_error(topic.name, reports, failures, metadata)

    def _batch_error(
        self, topic: str, reports: list[Report], failures: Failures, metadata: BatchMetadata
    ) -> BatchError:
        """Return the error of a batch: its cause is the first record that was tried, its index the first not written."""
        cause = delivery_error(topic, reports[0]) if reports else failures[0]
        fatal = self._fatal_reason()
        return BatchError(
            cause.error,
            metadata=metadata,
            verdict=cause.verdict,
            topic=topic,
            partition=cause.partition,
            index=failures.indices[0],
            possible_offset=cause.possible_offset,
            detail=f"fatal: {fatal}" if fatal else cause.detail,
        )

    def _metadata(
        self, call: Call, outcome: Outcome, partitions: NDArray[np.int32], failures: Any, started: float
    ) -> BatchMetadata:
        kind = TimestampType(outcome.timestamp_type)
        return BatchMetadata(
            topic=call.topic.name,
            partitions=partitions,
            offsets=outcome.offsets,
            written=outcome.written,
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
        self._in_doubt.pop((topic, partition), None)

    @property
    def in_doubt(self) -> set[tuple[str, int]]:
        """Partitions, as (topic, partition), that wait for ``resume()``. A copy."""
        return set(self._in_doubt)

    def _after(self, topic: str, reports: list[Report]) -> None:
        """Note what the failures of a call mean for the next: doubtful partitions, changed partition counts."""
        if not reports:
            return
        self._pass_notes_on()
        self._handle.open_topic(topic).counted_at = 0.0
        if self._idempotent:
            return
        for report in reports:
            error = delivery_error(topic, report)
            if error.verdict is Verdict.UNKNOWN and error.partition is not None:
                self._in_doubt.setdefault((topic, error.partition), error)

    def _doubt(self, topic: str, partition: int) -> DeliveryError | None:
        cause = self._in_doubt.get((topic, partition))
        if cause is None:
            return None
        return refusal(
            topic,
            KafkaError._STATE,
            f"the fate of an earlier record is unknown ({cause.error.name()}): call resume({topic!r}, {partition}) first",
            partition=partition,
        )

    def _doubtful(self, topic: str, partitions: NDArray[np.int32]) -> DeliveryError | None:
        """Return the error of the first partition in doubt among these, or None."""
        for name, partition in self._in_doubt:
            if name == topic and (partitions == partition).any():
                return self._doubt(topic, partition)
        return None

    def _refuse_in_doubt(self, members: list[Turn]) -> list[Turn]:
        if not self._in_doubt:
            return members
        allowed = []
        for member in members:
            error = self._doubt(member.job.topic.name, member.job.partition)
            if error is None:
                allowed.append(member)
            else:
                member.outcome = error
        return allowed

    def _fatal_reason(self) -> str | None:
        fatal = self._handle.fatal_error()
        return None if fatal is None else fatal[1]

    # ---- the rest ------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, int]:
        """Return the producer's counters; ``accepted == written + not_written + unknown + in_queue``."""
        return self._delivery.count()

    def flush(self, timeout: float | None = None) -> int:
        """Wait until the calls that other threads are in have ended: a call of one's own leaves nothing behind.

        Returns
        -------
        int
            Records still in flight, 0 unless the time ran out.
        """
        turn = Turn(self._deadline(timeout))
        if self._closed:
            return 0
        if self._turns.take(turn):
            self._turns.give()
        return int(self._delivery.count()["in_queue"])

    def close(self, timeout: float | None = None) -> None:
        """End the producer: callers in line are turned away, the call in progress may end, then the client is destroyed.

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
            turn = Turn(self._deadline(timeout))
            if not self._turns.take(turn):
                self._handle.purge()
                turn = Turn(time.monotonic() + 5.0)
                self._turns.take(turn)
            with contextlib.suppress(TwolaneError):
                self._serve_notes()
            self._handle.close()


def _by_topic(group: list[Turn]) -> list[list[Turn]]:
    """Split a group by topic, keeping the order within each."""
    topics: dict[str, list[Turn]] = {}
    for member in group:
        topics.setdefault(member.job.topic.name, []).append(member)
    return list(topics.values())


def _feed_of(jobs: list[Single]) -> Feed:
    """Return the Feed of single records, of one topic."""
    if len(jobs) == 1:
        job = jobs[0]
        keys = None if job.key is None else EncodedBatch.constant(job.key)
        return Feed(EncodedBatch.constant(job.value), keys, job.timestamp, job.partition, job.headers, 1)
    keys = None if all(job.key is None for job in jobs) else EncodedBatch.borrowed([job.key for job in jobs])
    headers = [job.headers for job in jobs] if any(job.headers for job in jobs) else ()
    return Feed(
        EncodedBatch.borrowed([job.value for job in jobs]),
        keys,
        np.array([job.timestamp for job in jobs], dtype=np.int64),
        np.array([job.partition for job in jobs], dtype=np.int32),
        headers,
        len(jobs),
    )
