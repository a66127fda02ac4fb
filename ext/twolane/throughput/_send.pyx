"""The throughput lane's ``send()``: one record from Python arguments into librdkafka, with as little between as can be.

This module stands on both wings (times from ``encoding``, the rest from ``client``), as the lanes do. The GIL is held:
one record is enqueued faster than the GIL is let go and taken again.
"""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.time cimport monotonic, time as wall_clock
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcpy

from twolane.client.atomic cimport add, count, load, store
from twolane.reports.callbacks cimport Callbacks
from twolane.reports.reader cimport ReportReader, SENDER_LEASE_MS, CALLBACK_LEASE_MS
from twolane.produce.buffer cimport ProduceBuffer
from twolane._units cimport HEADER_OVERHEAD, RECORD_OVERHEAD
from twolane.produce.first_ack cimport CLOSED, cover, may_pass, milliseconds, set_gate
from twolane.client.handle cimport Handle, Topic, forks
from twolane.client.library cimport rd
from twolane.reports.trackers cimport CallTracker, opaque_of
from twolane.produce.accumulator cimport LARGEST_STAGED, RecordAccumulator
from twolane.librdkafka cimport *
from twolane.produce.record cimport as_bytes, given_place, guarded_ms, place_asked, place_of, plain_ms

from confluent_kafka import KafkaError

from twolane.common.arguments import encode_one, seconds_of, stamp, topic_name
from twolane.errors import ClosedProducerError, SerializationError, refused
from twolane.common.headers import shared_headers

cdef enum:
    FIXED = 7
    HEADERS_ON_STACK = 25
    DRAIN_EVERY = 1024          # records between two looks at the delivery reports
# Seconds that a stretch of so many may take where they gather in the stage: one that fills slowly is emptied by the
# service thread, a record's memory would be allocated there, and grouping would gain nothing.
cdef double FAST_STRETCH = 0.004


cdef object encoded(object serializer, object record, object topic, str field, double deadline):
    """Bytes of a value or key that has a serializer."""
    topic = topic_name(topic)
    try:
        return encode_one(serializer, record, topic, field, deadline)
    except SerializationError as error:
        error.topic = topic
        raise


cdef class ThroughputSender:
    """Base of ThroughputProducer: ``send()``. The producer sets the public attributes."""

    cdef public Handle _handle
    cdef public ReportReader _delivery
    cdef public ProduceBuffer _buffer
    cdef public Callbacks _callbacks
    cdef public RecordAccumulator _accumulator
    cdef public object _topics          # Topics
    cdef public object _backpressure    # Backpressure: what a call does while the buffer is full
    cdef public str _partitioner
    cdef public int64_t _sticky_bytes
    cdef public int64_t _max_bytes      # of a record
    cdef public double _timeout
    cdef public bint _may_gather        # records of a fast loop may wait in the accumulator
    cdef public double _fast_stretch    # seconds in which DRAIN_EVERY records are sent in a fast loop
    cdef dict _known                    # name -> Topic with known partitions
    cdef object _last_name              # the str object of the last call: the same object needs no look-up
    cdef Topic _last_topic
    cdef int64_t _sent                  # records since the last look at the reports
    cdef bint _is_fast                  # the loop is: records go to the accumulator
    cdef double _stretch_began

    def __cinit__(self):
        self._known = {}
        self._fast_stretch = FAST_STRETCH

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

    cdef int _after_stretch(self, bint called_back) except -1:
        """Now and then: take reports (memory is best freed by the thread that allocated it)."""
        self._sent = 0
        self._delivery.generations.start_next()
        cdef double now = monotonic()
        self._is_fast = self._may_gather and now - self._stretch_began < self._fast_stretch
        self._stretch_began = now
        self._delivery.renew_lease(CALLBACK_LEASE_MS if called_back else SENDER_LEASE_MS)
        with nogil:
            self._delivery.poll_ms(0)
        return 0

    cdef Topic _find(self, object name, object timeout):
        cdef Topic topic
        name = topic_name(name)
        topic = self._known.get(name)
        if topic is None or load(&topic.gates.recount):
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
        return (known.partition_count and not load(&known.gates.recount)
                and (partition is None or given_place(known, partition) >= 0))

    def send(self, topic, value=None, *, key=None, headers=None, partition=None, timestamp=None, timestamp_header=None,
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
            Called from the producer's service thread: ``(None, RecordMetadata)`` or ``(DeliveryError, None)``. An
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
        cdef double deadline
        if self._handle is None:
            self._refuse_if_closed()
        # The client lives while a call is inside; the GIL may change hands wherever Python runs. As Handle.hold(), but
        # whether the producer is closed is looked at below, once nothing can come in between.
        count(&self._handle._users, 1)
        try:
            if serializer is not None or key_serializer is not None:
                deadline = self._deadline(timeout)
                if serializer is not None:
                    value = encoded(serializer, value, topic, "value", deadline)
                if key_serializer is not None:
                    key = encoded(key_serializer, key, topic, "key", deadline)
            if self._handle._generation != forks():
                self._refuse_if_closed()
            # Without a GIL: see FlushGenerations.
            with cython.critical_section(self._delivery.generations):
                if (not self._is_fast or headers is not None or timestamp_header is not None
                        or not self._gather(topic, value, key, partition, timestamp, on_delivery, opaque)):
                    self._send(topic, value, key, headers, partition, timestamp, timestamp_header, timeout, on_delivery,
                               opaque, False)
        finally:
            if count(&self._handle._users, -1) == 0 and self._handle._closing:
                self._handle.last_out()

    cdef bint _gather(self, object topic, object value, object key, object partition, object timestamp,
                      object on_delivery, object opaque) except -1:
        """The short way of a fast loop: copy a plain record to the stage.

        Runs no Python code but the partitioner's. Returns False, having done nothing, where a record is not plain or
        something stands in its way: `_send()` says what.
        """
        cdef int64_t time_ms, payload, index = 0
        cdef int32_t place
        cdef CallTracker* tracker
        cdef Topic known = self._last_topic
        if known is None or topic is not self._last_name or known.partition_count < 2 or type(value) is not bytes:
            return False
        if load(&known.gates.recount):
            return False
        payload = PyBytes_GET_SIZE(value)
        if key is not None:
            if type(key) is not bytes:
                return False
            payload += PyBytes_GET_SIZE(key)
        elif partition is None:
            return False        # sticky: such records come in long runs anyway
        if payload > LARGEST_STAGED or RECORD_OVERHEAD + payload > self._max_bytes:
            return False
        if timestamp is None:
            time_ms = <int64_t>(wall_clock() * 1000)
        else:
            time_ms = guarded_ms(timestamp)
            if time_ms < 0:
                return False
        if partition is None:
            place = place_of(known, <bytes>value, <bytes>key, self._partitioner, self._sticky_bytes)
        else:
            place = given_place(known, partition)
            if place < 0:
                return False
        if self._handle.draining or not self._buffer.has_room(self._accumulator.n, self._accumulator.used):
            return False
        if on_delivery is None:
            if opaque is not None:
                return False
            tracker = &self._delivery.generations.without_callback[self._delivery.generations.current]
        elif callable(on_delivery):
            tracker = &self._delivery.generations.with_callback[self._delivery.generations.current]
            index = self._callbacks.add(on_delivery, known.name, time_ms, self._delivery.generations.current, opaque)
        else:
            return False
        self._expect(tracker)
        self._is_fast = self._accumulator.append(known, <bytes>value, <bytes>key, place, time_ms, opaque_of(tracker.id, index))
        self._sent += 1
        if self._sent >= DRAIN_EVERY:
            self._after_stretch(on_delivery is not None)
        return True

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
        cdef bytes data, key_data
        cdef bytes header_name, header_value
        cdef int64_t time_ms, size, index = 0, payload = 0
        cdef CallTracker* tracker
        cdef int32_t place
        cdef int code
        cdef tuple pairs = ()
        if self._handle.draining:
            self._refuse_if_closed()
        try:
            if type(value) is bytes or value is None:
                data = value
            else:
                data = as_bytes(value, "value")
            if type(key) is bytes or key is None:
                key_data = key
            else:
                key_data = as_bytes(key, "key")
            if headers is not None:
                pairs = shared_headers(headers)
            if timestamp_header is not None:
                time_ms, kept = stamp(timestamp, timestamp_header)
                pairs += kept
            elif timestamp is None:
                time_ms = <int64_t>(wall_clock() * 1000)
            else:
                time_ms = plain_ms(timestamp)
        except SerializationError as error:
            error.topic = topic_name(topic)
            raise
        known = self._last_topic if topic is self._last_name else None
        if known is None or load(&known.gates.recount):
            known = self._find(topic, timeout)
        if data is not None:
            payload += PyBytes_GET_SIZE(data)
        if key_data is not None:
            payload += PyBytes_GET_SIZE(key_data)
        size = RECORD_OVERHEAD + payload
        if pairs:
            for header_name, header_value in pairs:
                size += PyBytes_GET_SIZE(header_name) + HEADER_OVERHEAD
                if header_value is not None:
                    size += PyBytes_GET_SIZE(header_value)
        if size > self._max_bytes:
            raise refused(known.name, KafkaError.MSG_SIZE_TOO_LARGE,
                          f"{size} bytes with its overhead, message.max.bytes is {self._max_bytes}")
        if partition is None:
            place = place_of(known, data, key_data, self._partitioner, self._sticky_bytes)
        else:
            place = place_asked(self._topics, known, partition, self._deadline(timeout))
        if on_delivery is not None and not callable(on_delivery):
            raise TypeError(f"on_delivery: expected a callable, got {type(on_delivery).__name__}")
        if opaque is not None and on_delivery is None:
            raise TypeError("opaque is for on_delivery: give both")
        if not self._buffer.has_room(self._accumulator.n, self._accumulator.used):
            self._backpressure.wait_for_space(self._deadline(timeout))
        if self._handle.gated:
            self._pass_gate(known, place, timeout)
        # After the waits: from here on no Python code runs, so that nothing is accepted behind close(), and what a signal
        # handler in a wait flushes does not wait for this record.
        if self._handle.draining:
            if self._handle.gated:
                set_gate(&known.gates, place, CLOSED)
            self._refuse_if_closed()
        if on_delivery is None:
            tracker = &self._delivery.generations.without_callback[self._delivery.generations.current]
        else:
            tracker = &self._delivery.generations.with_callback[self._delivery.generations.current]
            index = self._callbacks.add(on_delivery, known.name, time_ms, self._delivery.generations.current, opaque)
        self._expect(tracker)
        add(&self._delivery.counters.accepted, 1)
        add(&self._delivery.counters.accepted_bytes, payload)
        self._sent += 1
        if self._accumulator.n:
            self._accumulator._drain()     # what came before it goes before it
        code = self._produce(known, data, key_data, pairs, place, time_ms, opaque_of(tracker.id, index))
        if code:
            tracker.expected -= 1
            add(&self._delivery.counters.accepted, -1)
            add(&self._delivery.counters.accepted_bytes, -payload)
            if self._handle.gated:
                set_gate(&known.gates, place, CLOSED)
            if on_delivery is not None:
                self._callbacks.drop(index)
            if code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
                # The topic was made anew with fewer partitions, and librdkafka knows it.
                store(&known.gates.recount, 1)
                if partition is None and not again:
                    return self._send(topic, data, key_data, headers, None, timestamp, timestamp_header, timeout,
                                      on_delivery, opaque, True)
            self._handle.raise_if_fatal(known.name)
            raise refused(known.name, code, "refused by librdkafka", partition=place)
        if self._sent >= DRAIN_EVERY:
            self._after_stretch(on_delivery is not None)
        return 0

    cdef int _produce(self, Topic topic, bytes value, bytes key, tuple headers, int32_t partition, int64_t time_ms,
                      uint64_t opaque) except? -1:
        """Hand one record to librdkafka. Returns its reason for refusing it, or 0."""
        cdef rd_kafka_vu_t on_stack[FIXED + HEADERS_ON_STACK]
        cdef rd_kafka_vu_t* vu = on_stack
        cdef bytes on_heap, name, content
        cdef rd_kafka_error_t* error
        cdef int n_vu = 5, code
        vu[0].vtype = RD_KAFKA_VTYPE_RKT
        vu[0].u.ptr = topic.rkt
        vu[1].vtype = RD_KAFKA_VTYPE_PARTITION
        vu[1].u.i32 = partition
        vu[2].vtype = RD_KAFKA_VTYPE_TIMESTAMP
        vu[2].u.i64 = time_ms
        vu[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS
        vu[3].u.i = RD_KAFKA_MSG_F_COPY
        vu[4].vtype = RD_KAFKA_VTYPE_OPAQUE
        vu[4].u.ptr = <void*>opaque
        if value is not None:
            vu[n_vu].vtype = RD_KAFKA_VTYPE_VALUE
            vu[n_vu].u.mem.ptr = PyBytes_AS_STRING(value)
            vu[n_vu].u.mem.size = <size_t>PyBytes_GET_SIZE(value)
            n_vu += 1
        if key is not None:
            vu[n_vu].vtype = RD_KAFKA_VTYPE_KEY
            vu[n_vu].u.mem.ptr = PyBytes_AS_STRING(key)
            vu[n_vu].u.mem.size = <size_t>PyBytes_GET_SIZE(key)
            n_vu += 1
        if headers:
            if len(headers) > HEADERS_ON_STACK:
                on_heap = PyBytes_FromStringAndSize(NULL, (FIXED + len(headers)) * <Py_ssize_t>sizeof(rd_kafka_vu_t))
                vu = <rd_kafka_vu_t*>PyBytes_AS_STRING(on_heap)
                memcpy(vu, on_stack, <size_t>n_vu * sizeof(rd_kafka_vu_t))
            for name, content in headers:
                vu[n_vu].vtype = RD_KAFKA_VTYPE_HEADER
                vu[n_vu].u.header.name = PyBytes_AS_STRING(name)
                vu[n_vu].u.header.val = NULL if content is None else PyBytes_AS_STRING(content)
                vu[n_vu].u.header.size = 0 if content is None else PyBytes_GET_SIZE(content)
                n_vu += 1
        error = rd.produceva(self._handle.rk, vu, <size_t>n_vu)
        if error == NULL:
            return 0
        code = rd.error_code(error)
        rd.error_destroy(error)
        return code

    cdef int _pass_gate(self, Topic topic, int32_t place, object timeout) except -1:
        """Wait until a record may go to this partition (see gate)."""
        with cython.critical_section(topic):
            cover(&topic.gates, topic.partition_count)
        if not may_pass(&topic.gates, place, milliseconds()):
            deadline = self._deadline(timeout)
            while not may_pass(&topic.gates, place, milliseconds()):
                self._backpressure.wait_for_first_ack(topic, place, deadline)
        return 0

    cdef double _deadline(self, object timeout) except -1:
        return monotonic() + (self._timeout if timeout is None else <double>seconds_of(timeout))

    def _refuse_if_closed(self):
        if self._handle is None:
            raise RuntimeError("the producer was not initialised")
        self._handle.ensure_open()
        if self._handle.draining:
            raise ClosedProducerError("the producer is closed")
