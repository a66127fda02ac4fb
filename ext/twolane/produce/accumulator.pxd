"""RecordAccumulator: where the records of a fast ``send()`` gather, so that they reach librdkafka grouped by partition."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from twolane.batch cimport ByteColumn, Span
from twolane.client.handle cimport Handle, Topic
from twolane.produce.record_slice cimport RecordSlice
from twolane.reports.flush_generations cimport FlushGenerations
from twolane.reports.reader cimport ReportReader

cdef enum:
    MAX_RECORDS = 256
    MAX_BYTES = 65_536
    LARGEST_RECORD = 2_048          # bytes of key and value: to copy a larger one costs more than grouping saves
    GROUPED_PARTITIONS = 256        # with more there is about one record of each


cdef class RecordAccumulator:
    cdef Handle _handle
    cdef ReportReader _reader
    cdef FlushGenerations _generations
    cdef Topic _topic               # of all records that are here
    cdef int64_t n
    cdef int64_t used               # bytes of their keys and values
    cdef uint8_t* _block            # the keys and values
    cdef RecordSlice _records       # points to the arrays below
    cdef ByteColumn _value_column
    cdef ByteColumn _key_column
    cdef Span _values[MAX_RECORDS]
    cdef Span _keys[MAX_RECORDS]
    cdef int64_t _timestamps[MAX_RECORDS]
    cdef uint64_t _opaques[MAX_RECORDS]
    cdef int32_t _partitions[MAX_RECORDS]
    cdef int64_t _order[MAX_RECORDS]
    cdef int64_t _stops[GROUPED_PARTITIONS]

    cdef bint append(self, Topic topic, Span value, Span key, int32_t partition, int64_t timestamp,
                     uint64_t opaque) except -1
    cdef Span _copy(self, Span data) noexcept
    cdef int _drain(self) noexcept
