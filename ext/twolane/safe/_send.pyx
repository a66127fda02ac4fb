"""The safe lane's ``send()``: from Python arguments to the verdict of one record, with as little between as can be.

Compiled for two reasons. A record that is waited for costs what lies between its acknowledgement and the next enqueue,
and Python steps after a millisecond's wait are cold and slow. And a signal handler can run between any two Python steps:
here it can only do so where it is expected, so that a Ctrl-C leaves the verdict behind.

Callers that wait behind each other go together: ``twolane.safe.group_commit``.
"""
from cpython.time cimport monotonic
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from twolane.client.atomic cimport load
from twolane.safe.ordered_sender cimport OrderedSender
from twolane.client.handle cimport Handle, Topic
from twolane.reports.classify cimport record_metadata
from twolane.reports.reader cimport ReportReader
from twolane.reports.trackers cimport OffsetColumns
from twolane.client.partitioner cimport Partitioner
from twolane.common.record cimport Record, existing_partition, look_for_partition, serialized
from twolane.common.fair_lock cimport Waiter, FairLock

from confluent_kafka import KafkaError

from twolane.common.arguments import refuse_callback, seconds_of, topic_name
from twolane.errors import ClosedProducerError, DeliveryError, TwolaneError, refused
from twolane.results import with_opaque


cdef object with_caller_opaque(object outcome, object opaque):
    """Return what became of a record, with the caller's object."""
    if not isinstance(outcome, BaseException):
        return with_opaque(outcome, opaque)
    if isinstance(outcome, DeliveryError):
        outcome.opaque = opaque
    return outcome


cdef class SafeSender:
    """Base of SafeProducer: ``send()``. The producer sets the attributes."""

    cdef public Handle _handle
    cdef public ReportReader _reader
    cdef public OrderedSender _ordered_sender
    cdef public FairLock _fair_lock
    cdef public object _topics          # Topics
    cdef public object _group           # GroupSender
    cdef public object _topic_monitor           # TopicMonitor
    cdef public object _in_doubt          # InDoubtPartitions
    cdef public Partitioner _partitioner
    cdef public int64_t _max_bytes      # of a record
    cdef public double _timeout

    def send(self, topic, value=None, key=None, *, headers=None, partition=None, timestamp=None, timestamp_header=None,
             serializer=None, key_serializer=None, timeout=None, opaque=None, callback=None, on_delivery=None):
        """Send one record and wait until every in-sync replica has it.

        Parameters
        ----------
        topic : str
        value, key : bytes, str (UTF-8), bytearray, memoryview or None
            None as a value is a tombstone, as a key no key.
        headers : mapping or sequence of (str, bytes or str or None), optional
        partition : int, optional
            Without it: by the key (murmur2, as the Java client), else any.
        timestamp : int (ms), aware datetime, datetime64 or Timestamps, optional
            CreateTime; now by default.
        timestamp_header : str, optional
            Name of a header that keeps the time's nanoseconds since the epoch: 8 bytes, big-endian, signed.
        serializer, key_serializer : Serializer, optional
            Of the value and of the key, which may then be whatever they take.
        timeout : float, optional
            Seconds for the whole call; ``message.timeout.ms`` by default. Once enqueued, the record has no more than that.
        opaque : object, optional
            Of the caller's own: ``opaque`` of the RecordMetadata or the DeliveryError.
        callback, on_delivery
            confluent-kafka's; refused: what they would get is returned or raised.

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
        KeyboardInterrupt, or whatever a signal handler raises
            With the record's end as a note and as ``.twolane_result``: a RecordMetadata or a DeliveryError.

        Notes
        -----
        GIL: released while the record is enqueued and waited for.
        """
        cdef double deadline = monotonic() + (self._timeout if timeout is None else <double>seconds_of(timeout))
        if callback is not None or on_delivery is not None:
            refuse_callback(callback)
        if type(topic) is not str:
            topic = topic_name(topic)
        cdef Record record = self._checked(topic, value, key, headers, partition, timestamp, timestamp_header, serializer,
                                           key_serializer, deadline)
        outcome = self._send_in_turn(record, deadline)
        if opaque is not None:
            outcome = with_caller_opaque(outcome, opaque)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    # For callers that check a record in one thread and send it in another (twolane.aio).

    def _record(self, topic, value, key, headers, partition, timestamp, timestamp_header, serializer, key_serializer,
                double deadline):
        """Return the Record that the arguments of ``send()`` mean, checked; `topic` is a plain str."""
        return self._checked(topic, value, key, headers, partition, timestamp, timestamp_header, serializer, key_serializer,
                             deadline)

    def _knows_partitions(self, topic, partition):
        """Return whether ``_record()`` need not ask the brokers for the topic's partitions, and so does not wait."""
        cdef Topic known
        self._handle.ensure_open()
        known = self._handle.topic(topic)
        return not self._is_uncounted(known) and (partition is None or existing_partition(known, partition) >= 0)

    def _send_record(self, Record record not None, double deadline):
        """Send a checked record as ``send()`` does; return its RecordMetadata or its DeliveryError."""
        return self._send_in_turn(record, deadline)

    cdef object _send_in_turn(self, Record record, double deadline):
        """Send the record in its turn, and those of the callers that wait behind it.

        Returns
        -------
        RecordMetadata or BaseException
        """
        cdef Waiter turn = Waiter.__new__(Waiter)
        turn.deadline, turn.job = deadline, record
        try:
            self._take(turn, record.topic.name)
            if turn.done:
                if turn.outcome is None:
                    turn.outcome = self._group.unresolved_error(turn)
            elif self._fair_lock.is_alone() and not self._in_doubt.causes:
                self._send_alone(turn, record)
                if type(turn.outcome) is tuple:
                    turn.outcome = self._group.error_from_ends(record, turn.outcome)
            else:
                self._group.send_group(turn)
        except BaseException as interruption:
            # A signal handler may raise anything, such as an error of another producer. Before a caller has
            # taken the record an error of ours says that nothing was sent.
            if turn.sent or turn.job_taken or not isinstance(interruption, TwolaneError):
                self._group.attach_result_to(turn, interruption)
            raise
        finally:
            self._fair_lock.release(turn)
        return turn.outcome

    cdef Record _checked(self, topic, value, key, headers, partition, timestamp, timestamp_header, serializer, key_serializer,
                         double deadline):
        """Return the record that the arguments mean; nothing has been sent when this raises."""
        cdef Record record = Record.__new__(Record)
        cdef Topic known
        if serializer is not None or key_serializer is not None:
            value, key, headers = serialized(serializer, key_serializer, value, key, headers, topic, deadline)
        record.fill(topic, value, key, headers, timestamp, timestamp_header, self._max_bytes)
        self._handle.ensure_open()
        known = self._handle.topic(topic)
        if self._is_uncounted(known):
            known = self._topics.known(topic, deadline)
        record.ensure_fits(known)
        if partition is None and record.key is not None and topic in self._topic_monitor.moved:
            raise self._topic_monitor.refusal(topic)
        if record.choose_partition(known, partition, self._partitioner) < 0:
            record.partition = look_for_partition(self._topics, known, partition, deadline)
        return record

    cdef inline bint _is_uncounted(self, Topic known):
        return (not known.partition_count or load(&known.first_acks.recount)
                or monotonic() - known.counted_at > self._handle.recount_after)

    cdef int _take(self, Waiter turn, topic) except -1:
        """Wait for the turn; a caller whose time runs out in the queue has sent nothing."""
        if self._handle.draining:
            raise ClosedProducerError("the producer is closed")
        if self._fair_lock.is_held_here():
            raise RuntimeError(
                "called from a signal handler that interrupted a call of this producer: it would wait for itself"
            )
        if not self._fair_lock.acquire(turn):
            raise refused(topic, KafkaError._TIMED_OUT_QUEUE, "timed out waiting for the calls before it")
        if turn.mine and self._handle.draining:
            raise ClosedProducerError("the producer was closed while the call waited; nothing was sent")
        return 0

    def _in_turn(self, Waiter turn not None, str what, work):
        """Wait for the turn, call `work`, and hand the turn on whatever comes; return what `work` returns."""
        try:
            self._take(turn, what)
            if turn.done:
                raise turn.outcome      # dismissed: the producer closes
            return work()
        finally:
            self._fair_lock.release(turn)

    cdef int _send_alone(self, Waiter turn, Record record) except -1:
        """Send a record behind which no caller waits. The turn's outcome is its metadata, or a tuple: ``CallResult.unacknowledged``."""
        cdef OffsetColumns rows
        cdef int64_t offset = -1, time_ms = record.timestamp
        memset(&rows, 0, sizeof(rows))
        rows.n = 1
        rows.offsets = &offset
        turn.sent = True
        try:
            ends = self._ordered_sender.send_one(record.topic, record.as_slice(), &rows, turn.deadline)
            if rows.append_times != NULL:
                time_ms = rows.append_times[0]
        finally:
            free(rows.append_times)
        interruption = self._ordered_sender.take_interruption()
        if ends is None:
            turn.outcome = record_metadata(record.topic.name, record.partition, offset, time_ms, rows.timestamp_type)
            place = (record.topic.name, record.partition)
            offsets = self._topic_monitor.offsets
            if offset > offsets.get(place, -1):
                offsets[place] = offset
            else:
                self._topic_monitor.acknowledged(record.topic.name, record.partition, offset, offset)
        else:
            turn.outcome = ends
        if interruption is not None:
            raise interruption
        return 0
