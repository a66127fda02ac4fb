"""RecordSlice: one slice of a call, ready for librdkafka: bytes, keys, times, partitions and headers by record."""
from libc.stdint cimport int32_t, int64_t

from twolane.batch cimport ByteColumn, EncodedBatch, Span
from twolane.librdkafka cimport *


cdef class RecordSlice:
    cdef readonly Py_ssize_t n
    cdef const ByteColumn* values
    cdef const ByteColumn* keys             # NULL: no record has a key
    cdef const int64_t* timestamps          # milliseconds; one for all where timestamp_step is 0
    cdef Py_ssize_t timestamp_step
    cdef const int32_t* partitions          # one for all where partition_step is 0
    cdef Py_ssize_t partition_step
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
    cdef ByteColumn _one_value              # of a lone record
    cdef ByteColumn _one_key
    cdef Span _one_value_span
    cdef Span _one_key_span

    @staticmethod
    cdef RecordSlice lone(bytes value, bytes key, int64_t timestamp, int32_t partition, tuple headers)
    cdef int _take_headers(self, tuple headers, list columns) except -1
    cdef int make_headers(self) except -1
    cdef int64_t size_of(self, Py_ssize_t i) noexcept nogil
