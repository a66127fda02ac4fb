"""The throughput lane's ``send()``: one record from Python arguments into librdkafka, with as little between as can be.

The GIL is held: to release it and take it again costs more than to enqueue one record.
"""
cimport cython
from cpython.time cimport monotonic
from libc.stdint cimport int64_t

from twolane.client.atomic cimport add, count, load, store
from twolane.client.handle cimport Handle, Topic, forks
from twolane.client.partitioner cimport Partitioner
from twolane.librdkafka cimport *
from twolane.produce.accumulator cimport LARGEST_RECORD, RecordAccumulator
from twolane.produce.buffer cimport ProduceBuffer
from twolane.produce.first_ack cimport NONE_YET, may_produce, milliseconds, set_first_ack
from twolane.common.record cimport Record, existing_partition, look_for_partition, serialized
from twolane.produce.record_slice cimport enqueue
from twolane.produce.vu_template cimport FIXED, begin_template, produce, set_record
from twolane.reports.callbacks cimport Callbacks
from twolane.reports.reader cimport ReportReader, SENDER_LEASE_MS, CALLBACK_LEASE_MS
from twolane.reports.trackers cimport CallTracker, opaque_of

from twolane.common.arguments import seconds_of, topic_name
from twolane.errors import ClosedProducerError, refused

cdef enum:
    POLL_EVERY = 1024       # records between two looks at the delivery reports
# Seconds in which so many records are sent in a loop that is fast: its records gather in the accumulator. That of a slower
# one would be drained by the delivery thread, which would allocate the records' memory, and grouping would gain nothing.
cdef double FAST_LOOP = 0.004


cdef class ThroughputSender:
    """Base of ThroughputProducer: ``send()``. The producer sets the public attributes."""

    cdef public Handle _handle
    cdef public ReportReader _reader
    cdef public ProduceBuffer _buffer
    cdef public Callbacks _callbacks
    cdef public RecordAccumulator _accumulator
    cdef public object _topics          # Topics
    cdef public object _backpressure    # Backpressure: what a call does while the buffer is full
    cdef public Partitioner _partitioner
    cdef public int64_t _max_bytes      # of a record
    cdef public double _timeout
    cdef public bint _may_gather        # records of a fast loop may wait in the accumulator
    cdef public double _fast_stretch    # seconds in which POLL_EVERY records are sent in a fast loop
    cdef dict _known                    # name -> Topic with known partitions
    cdef object _last_name              # the str object of the last call: the same object needs no look-up
    cdef Topic _last_topic
    cdef int64_t _sent                  # records since the last look at the reports
    cdef bint _is_fast                  # the loop is: records go to the accumulator
    cdef double _loop_began
    cdef Record _spare                  # used again by the next call, so that a record makes no Python object

    def __cinit__(self):
        self._known = {}
        self._fast_stretch = FAST_LOOP

    def _enter(self):
        """Begin a call that uses the native client; raises where the producer is closing, closed or forked."""
        if self._handle is None:
            self._refuse_if_closed()
        self._handle.hold()
        try:
            self._refuse_if_closed()
        except BaseException:
            self._handle.release()
            raise

    def _leave(self):
        """End a call begun with ``_enter()``."""
        self._handle.release()

    cdef int _poll(self, bint called_back) except -1:
        """Take reports now and then (memory is best freed by the thread that allocated it)."""
        self._sent = 0
        self._reader.generations.start_next()
        cdef double now = monotonic()
        self._is_fast = self._may_gather and now - self._loop_began < self._fast_stretch
        self._loop_began = now
        self._reader.renew_lease(CALLBACK_LEASE_MS if called_back else SENDER_LEASE_MS)
        with nogil:
            self._reader.poll_ms(0)
        return 0

    cdef Topic _find(self, object name, object timeout):
        cdef Topic topic
        name = topic_name(name)
        topic = self._known.get(name)
        if topic is None or load(&topic.first_acks.recount):
            topic = self._topics.known(name, self._deadline(timeout))
            self._known[name] = topic
        self._last_name = name
        self._last_topic = topic
        return topic

    def _knows_partitions(self, topic, partition):
        """Return whether ``send()`` need not ask the brokers for the topic's partitions, and so does not wait for that."""
        cdef Topic known
        self._handle.ensure_open()
        known = self._handle.topic(topic)
        return (known.partition_count and not load(&known.first_acks.recount)
                and (partition is None or existing_partition(known, partition) >= 0))

    def send(self, topic, value=None, key=None, *, headers=None, partition=None, timestamp=None, timestamp_header=None,
             serializer=None, key_serializer=None, timeout=None, on_delivery=None, opaque=None):
        """Enqueue one record and return at once.

        Parameters
        ----------
        topic : str
        value, key : bytes, str (UTF-8), bytearray, memoryview or None
            Copied before the call returns. None as a value is a tombstone, as a key no key.
        headers : mapping or sequence of (str, bytes or str or None), optional
        partition : int, optional
            Without it: by the key (murmur2, as the Java client), else sticky.
        timestamp : int (ms), aware datetime, datetime64 or Timestamps, optional
            CreateTime; now by default.
        timestamp_header : str, optional
            Name of a header that keeps the time's nanoseconds since the epoch: 8 bytes, big-endian, signed.
        serializer, key_serializer : Serializer, optional
            Of the value and of the key, which may then be whatever they take.
        timeout : float, optional
            Seconds to wait for room in the window, and for the topic's partitions at its first use.
        on_delivery : callable(err, metadata), optional
            Called from the producer's delivery thread: ``(None, RecordMetadata)`` or ``(DeliveryError, None)``. An
            exception it raises is logged and raised by the next ``flush()`` or ``close()``.
        opaque : object, optional
            Of the caller's own: ``opaque`` of what `on_delivery` is given.

        Raises
        ------
        SerializationError, TimestampError, DeliveryError
            Refused; nothing was enqueued.
        QueueFullError
            The window is full (``on_full="raise"``, or the timeout passed).
        ClosedProducerError, ForkedProducerError

        Notes
        -----
        GIL: held, but while waiting for room. Makes no Python object per record unless `on_delivery` is given.
        Failures of records without `on_delivery` are counted in ``stats()`` and raised by ``flush()`` and ``close()``.
        """
        if self._handle is None:
            self._refuse_if_closed()
        # The client lives while a call is inside; the GIL may change hands wherever Python runs. As Handle.hold(), but
        # whether the producer is closed is looked at below, once nothing can come in between.
        count(&self._handle._users, 1)
        try:
            if serializer is not None or key_serializer is not None:
                value, key, headers = serialized(serializer, key_serializer, value, key, headers, topic_name(topic),
                                                 self._deadline(timeout))
            if self._handle._generation != forks():
                self._refuse_if_closed()
            # Without a GIL: see FlushGenerations.
            with cython.critical_section(self._reader.generations):
                self._send(topic, value, key, headers, partition, timestamp, timestamp_header, timeout, on_delivery, opaque,
                           False)
        finally:
            if count(&self._handle._users, -1) == 0 and self._handle._closing:
                self._handle.last_call_ended()

    cdef inline void _expect(self, CallTracker* tracker) noexcept:
        """Let a tracker expect one report more, before its record goes: the report may come before this thread goes on."""
        if tracker.done == tracker.expected:
            # Nothing of this round is on its way: no request before this one can have carried its records.
            tracker.requests_before = load(&self._handle.wire.produce_requests)
            tracker.changes_before = load(&self._handle.wire.broker_changes)
        tracker.expected += 1

    cdef int _send(self, object topic, object value, object key, object headers, object partition, object timestamp,
                   object timestamp_header, object timeout, object on_delivery, object opaque, bint again) except -1:
        cdef Topic known
        cdef Record record = self._spare
        cdef CallTracker* tracker
        cdef int64_t index = 0
        cdef bint is_gathered
        if self._handle.draining:
            self._refuse_if_closed()
        if record is None:      # or a send() in the middle of this one has it: in a signal handler, in an argument's code
            record = Record.__new__(Record)
        self._spare = None
        record.fill(topic, value, key, headers, timestamp, timestamp_header, self._max_bytes)
        known = self._last_topic if topic is self._last_name else None
        if known is None or load(&known.first_acks.recount):
            known = self._find(topic, timeout)
        if record.choose_partition(known, partition, self._partitioner) < 0:
            record.partition = look_for_partition(self._topics, known, partition, self._deadline(timeout))
        if on_delivery is None:
            if opaque is not None:
                raise TypeError("opaque is for on_delivery: give both")
        elif not callable(on_delivery):
            raise TypeError(f"on_delivery: expected a callable, got {type(on_delivery).__name__}")
        if not self._buffer.has_space(self._accumulator.n, self._accumulator.used):
            self._backpressure.wait_for_space(self._deadline(timeout))
        if self._handle.awaits_first_acks:
            self._wait_for_first_ack(record, timeout)
        # After the waits: from here on no Python code runs, so that nothing is accepted behind close(), and a flush() of a
        # signal handler in a wait does not wait for this record.
        if self._handle.draining:
            if self._handle.awaits_first_acks:
                set_first_ack(&known.first_acks, record.partition, NONE_YET)
            self._refuse_if_closed()
        if on_delivery is None:
            tracker = &self._reader.generations.without_callback[self._reader.generations.current]
        else:
            tracker = &self._reader.generations.with_callback[self._reader.generations.current]
            index = self._callbacks.add(on_delivery, known.name, record.timestamp, self._reader.generations.current, opaque)
        self._expect(tracker)
        self._sent += 1
        # Records without a choice of partition come in long runs of one partition anyway.
        is_gathered = (self._is_fast and record.payload <= LARGEST_RECORD and known.partition_count > 1
                       and (partition is not None or record.key is not None) and not record.headers)
        if is_gathered:
            self._is_fast = self._accumulator.append(known, record.value_span, record.key_span, record.partition,
                                                     record.timestamp, opaque_of(tracker.id, index))
        elif self._produce(record, tracker, index, on_delivery):
            if partition is not None or again:
                self._refuse(record, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
            return self._send(topic, record.value, record.key, headers, None, timestamp, timestamp_header, timeout, on_delivery,
                              opaque, True)
        record.value = record.key = None
        self._spare = record
        if self._sent >= POLL_EVERY:
            self._poll(on_delivery is not None)
        return 0

    cdef bint _produce(self, Record record, CallTracker* tracker, int64_t index, object on_delivery) except -1:
        """Hand the record to librdkafka. Returns whether it refused it because its partition is gone."""
        cdef rd_kafka_vu_t vu[FIXED]
        cdef int code
        if self._accumulator.n:
            self._accumulator._drain()     # what came before it goes before it
        add(&self._reader.counters.accepted, 1)
        add(&self._reader.counters.accepted_bytes, record.payload)
        if record.headers:
            code = enqueue(self._handle.rk, record.topic.rkt, record.as_slice(), NULL, 0, 1, tracker.id, index,
                           NULL).error
        else:
            # Not as a slice of one: that costs 200 instructions more per record, a quarter of send() (bench.counts).
            begin_template(vu, record.topic.rkt)
            set_record(vu, record.partition, record.value_span, record.key_span, record.timestamp,
                       opaque_of(tracker.id, index))
            code = produce(self._handle.rk, vu, FIXED)
        if code == 0:
            return False
        tracker.expected -= 1
        add(&self._reader.counters.accepted, -1)
        add(&self._reader.counters.accepted_bytes, -record.payload)
        if self._handle.awaits_first_acks:
            set_first_ack(&record.topic.first_acks, record.partition, NONE_YET)
        if on_delivery is not None:
            self._callbacks.drop(index)
        if code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
            # The topic was made anew with fewer partitions, and librdkafka knows it.
            store(&record.topic.first_acks.recount, 1)
            return True
        self._refuse(record, code)
        return False

    cdef int _wait_for_first_ack(self, Record record, object timeout) except -1:
        """Wait until the record may go to its partition (see `first_ack`)."""
        cdef Topic topic = record.topic
        if not may_produce(&topic.first_acks, record.partition, milliseconds()):
            deadline = self._deadline(timeout)
            while not may_produce(&topic.first_acks, record.partition, milliseconds()):
                self._backpressure.wait_for_first_ack(topic, record.partition, deadline)
        return 0

    cdef int _refuse(self, Record record, int code) except -1:
        self._handle.raise_if_fatal(record.topic.name)
        raise refused(record.topic.name, code, "refused by librdkafka", partition=record.partition)

    cdef double _deadline(self, object timeout) except -1:
        return monotonic() + (self._timeout if timeout is None else <double>seconds_of(timeout))

    def _refuse_if_closed(self):
        if self._handle is None:
            raise RuntimeError("the producer was not initialised")
        self._handle.ensure_open()
        if self._handle.draining:
            raise ClosedProducerError("the producer is closed")
