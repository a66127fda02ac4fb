"""RecordSlice: one slice of a call, ready for librdkafka: bytes, keys, times, partitions and headers by record."""
from libc.stdint cimport int32_t, int64_t, uint64_t

from twolane.batch cimport ByteColumn, EncodedBatch, Span
from twolane.librdkafka cimport *
from twolane.produce.first_ack cimport FirstAcks


cdef enum:
    MESSAGE_SET_HEADER = 61     # bytes of a MessageSet before its first record
    RECORD_OVERHEAD = 36        # bytes that a record's other fields take at most (RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD)


cdef class RecordSlice:
    cdef readonly Py_ssize_t n
    cdef const ByteColumn* values
    cdef const ByteColumn* keys             # NULL: no record has a key
    cdef const int64_t* timestamps          # milliseconds; one for all where timestamp_step is 0
    cdef Py_ssize_t timestamp_step
    cdef const int32_t* partitions          # one for all where partition_step is 0
    cdef Py_ssize_t partition_step
    cdef const uint64_t* opaques            # NULL: (tracker, index), as enqueue() is told
    cdef rd_kafka_vu_t* shared              # VTYPE_HEADER entries that every record gets
    cdef int n_shared
    cdef int n_columns                      # entries behind the shared ones: a name for all, a value for each record
    cdef const ByteColumn** columns
    cdef int64_t shared_size                # of those headers, on the wire; of the columns their names
    cdef int64_t* each_size                 # of `each`, on the wire; NULL without it
    cdef list each                          # per record: tuple of (name, value) bytes, or None; else None
    cdef rd_kafka_headers_t** ready         # made from `each` just before the records go; an entry is NULL once taken
    cdef tuple _owners
    cdef int64_t _one_timestamp
    cdef int32_t _one_partition
    cdef ByteColumn _one_value              # of a slice of one record
    cdef ByteColumn _one_key

    cdef int hold_one(self, Span* value, Span* key, int64_t timestamp, int32_t partition, tuple headers) except -1
    cdef int _take_headers(self, tuple headers, list columns) except -1
    cdef int make_headers(self) except -1
    cdef int64_t headers_of(self, Py_ssize_t i) noexcept nogil
    cdef int64_t size_of(self, Py_ssize_t i) noexcept nogil


cdef struct Enqueued:
    int64_t n                   # records that librdkafka took
    int64_t bytes               # their values and keys, as ReportReader counts them back
    int error                   # why it stopped before the end, 0 if librdkafka refused nothing
    int32_t blocked_partition   # whose first record is not acknowledged yet, so that it stopped; -1 if it did not


cdef Enqueued enqueue(rd_kafka_t* rk, rd_kafka_topic_t* rkt, RecordSlice records, const int64_t* order, int64_t start,
                      int64_t stop, int64_t tracker_id, int64_t first_index, FirstAcks* first_acks) noexcept nogil
cpdef int64_t headers_size(tuple headers) except -1


cdef inline int varint_size(int64_t value) noexcept nogil:
    """Return how many bytes a zigzag varint takes."""
    cdef uint64_t left = (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)
    cdef int size = 1
    while left >= 128:
        left >>= 7
        size += 1
    return size


cdef inline int64_t record_size(int64_t payload, int64_t headers) noexcept nogil:
    """Return the bytes that librdkafka holds against ``message.max.bytes`` (rd_kafka_msg_max_wire_size).

    It is the record at its worst in a MessageSet. `payload` is its value and key, what the ProduceBuffer counts;
    `headers` is their ``headers_size()``.
    """
    return RECORD_OVERHEAD + payload + headers


cdef inline int64_t message_set_size(int64_t value, int64_t key, int64_t n_headers, int64_t headers) noexcept nogil:
    """Return the bytes that a broker holds against ``max.message.bytes``: a MessageSet of this record alone.

    It is not compressed, and at most 48 bytes more than `record_size`. Three bytes are the record's attributes and its
    distances to the set's time and offset; null is as long as empty.
    """
    cdef int64_t record = (3 + varint_size(key) + key + varint_size(value) + value + varint_size(n_headers) + headers)
    return MESSAGE_SET_HEADER + varint_size(record) + record


cdef enum:
    MESSAGE_SET_OVERHEAD = 48   # by which message_set_size() exceeds record_size() at most
