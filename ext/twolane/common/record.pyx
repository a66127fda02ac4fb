"""One record: the arguments of either lane's ``send()``, checked and brought to bytes."""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.time cimport time as wall_clock
from libc.stdint cimport int32_t, int64_t, uint8_t

from twolane._units cimport GUARD_FROM, GUARD_TO
from twolane.batch cimport Span
from twolane.client.handle cimport Topic
from twolane.client.partitioner cimport Partitioner, partition_of
from twolane.encoding.time.timestamps cimport pack_one
from twolane.produce.record_slice cimport MESSAGE_SET_OVERHEAD, RecordSlice, headers_size, message_set_size, record_size

from confluent_kafka import KafkaError

from twolane.common.arguments import WithHeaders, encode_one, missing_partition, oversize_for, stamp, topic_name
from twolane.common.headers import AddedHeaders, shared_headers
from twolane.encoding.columns.bytes import bytes_source, index_of
from twolane.errors import SerializationError, oversize, refused

cdef object WITH_HEADERS = WithHeaders


@cython.final
cdef class Record:
    """One record, checked: its topic's partitions are known, its partition exists.

    Attributes
    ----------
    topic : Topic
    value, key : bytes or None
    headers : tuple of (bytes, bytes or None)
    partition : int
    timestamp : int
        Milliseconds since the epoch.
    """

    def __init__(self):
        raise TypeError("Records are made by send()")

    cdef int fill(self, object topic, object value, object key, object headers, object timestamp, object timestamp_header,
                  int64_t max_bytes) except -1:
        """Check what the record carries, and bring it to bytes. When this raises nothing has been sent."""
        cdef int64_t ms, headers_bytes = 0
        if timestamp is None:
            ms = <int64_t>(wall_clock() * 1000)
        else:
            ms = guarded_ms(timestamp)
        if (headers is None and timestamp_header is None and ms >= 0 and (type(value) is bytes or value is None)
                and (type(key) is bytes or key is None)):
            # What most loops send.
            self.value = value
            self.key = key
            self.headers = ()
            self.timestamp = ms
        else:
            self._convert(topic, value, key, headers, timestamp, timestamp_header, ms)
        self.value_span = span_of(self.value)
        self.key_span = span_of(self.key)
        self.payload = self.value_span.size + self.key_span.size
        if self.headers:
            headers_bytes = headers_size(self.headers)
        self.size = record_size(self.payload, headers_bytes)
        if self.size > max_bytes:
            raise refused(topic_name(topic), KafkaError.MSG_SIZE_TOO_LARGE, oversize(self.size, max_bytes))
        return 0

    cdef int _convert(self, object topic, object value, object key, object headers, object timestamp,
                      object timestamp_header, int64_t ms) except -1:
        try:
            self.value = value if type(value) is bytes else as_bytes(value, "value")
            self.key = key if type(key) is bytes else as_bytes(key, "key")
            self.headers = () if headers is None else shared_headers(headers)
            if timestamp_header is not None:
                self.timestamp, added = stamp(timestamp, timestamp_header)
                self.headers += added
            else:
                self.timestamp = ms if ms >= 0 else pack_one(timestamp)
        except SerializationError as error:
            error.topic = topic_name(topic)
            raise
        return 0

    cdef int ensure_fits(self, Topic topic) except -1:
        """Refuse a record that is larger than the topic takes, as far as its limit is known."""
        cdef int64_t size
        if self.size + MESSAGE_SET_OVERHEAD > topic.max_message_bytes:
            size = message_set_size(self.value_span.size, self.key_span.size, len(self.headers), headers_size(self.headers))
            if size > topic.max_message_bytes:
                raise refused(topic.name, KafkaError.MSG_SIZE_TOO_LARGE, oversize_for(topic, size))
        return 0

    cdef int choose_partition(self, Topic topic, object partition, Partitioner partitioner) except -2:
        """Set topic and partition. Returns the partition, -1 if the one that was asked for is not known."""
        self.topic = topic
        if partition is None:
            self.partition = partition_of(partitioner, topic, topic.partition_count, self.value_span, self.key_span)
        else:
            self.partition = existing_partition(topic, partition)
        return self.partition

    cdef RecordSlice as_slice(self):
        """Return the record as a slice, which is valid until the next call of this."""
        if self._slice is None:
            self._slice = RecordSlice.__new__(RecordSlice)
        self._slice.hold_one(&self.value_span, &self.key_span, self.timestamp, self.partition, self.headers)
        return self._slice

    def __reduce__(self):
        raise TypeError("a Record cannot be pickled")


cdef Span span_of(bytes data) noexcept:
    """Return the bytes of a value or key. Borrows."""
    cdef Span span
    span.data = NULL
    span.size = 0
    if data is not None:
        span.data = <const uint8_t*>PyBytes_AS_STRING(data)
        span.size = PyBytes_GET_SIZE(data)
    return span


def payload_of(topic, value, key, headers, int64_t max_bytes):
    """Return the bytes of a record's value and key; raise where ``send()`` would refuse one of the three, or their size."""
    cdef Record record = Record.__new__(Record)
    record.fill(topic, value, key, headers, None, None, max_bytes)
    return record.payload


cdef int64_t guarded_ms(object timestamp) noexcept:
    """Return the milliseconds of what most loops give, an int of these years; -1 of anything else."""
    cdef long long ms
    cdef int overflow = 0
    if type(timestamp) is int:
        ms = PyLong_AsLongLongAndOverflow(timestamp, &overflow)
        if overflow == 0 and GUARD_FROM <= ms < GUARD_TO:
            return ms
    return -1


cdef tuple serialized(object serializer, object key_serializer, object value, object key, object headers, str topic,
                      double deadline):
    """Return value and key as their serializers, if any, encode them, and the headers.

    An encoded value or key may bring headers, the id of its schema, in place of those of the same name.
    """
    try:
        if serializer is not None:
            value = encode_one(serializer, value, topic, "value", deadline)
            if type(value) is WITH_HEADERS:
                headers, value = AddedHeaders(headers, value.headers), value.encoded
        if key_serializer is not None:
            key = encode_one(key_serializer, key, topic, "key", deadline)
            if type(key) is WITH_HEADERS:
                headers, key = AddedHeaders(headers, key.headers), key.encoded
    except SerializationError as error:
        error.topic = topic
        raise
    return value, key, headers


cdef bytes as_bytes(object value, str field):
    """Return bytes of a value or key that is no plain ``bytes``."""
    if value is None:
        return None
    try:
        return bytes_source((value,), field=field).slice(0, 1)[0]
    except SerializationError as error:
        error.index = None
        raise


cdef int32_t existing_partition(Topic topic, object partition) except -2:
    """Return the partition that was asked for; -1 if the topic has none of this number."""
    cdef int overflow = 0
    cdef long long number
    if type(partition) is not int:
        return existing_partition(topic, index_of(partition, "a partition is an int", None, "partition", topic.name))
    number = PyLong_AsLongLongAndOverflow(partition, &overflow)
    return <int32_t>number if overflow == 0 and 0 <= number < topic.partition_count else -1


cdef int32_t look_for_partition(object topics, Topic topic, object partition, double deadline) except -1:
    """Count again before a partition that lies beyond the last count is refused."""
    cdef int32_t found
    if type(partition) is not int:
        partition = index_of(partition, "a partition is an int", None, "partition", topic.name)
    topics.look_for(topic, partition, deadline)
    found = existing_partition(topic, partition)
    if found < 0:
        raise refused(topic.name, KafkaError._UNKNOWN_PARTITION,
                      missing_partition(partition, topic.partition_count), partition=partition)
    return found
