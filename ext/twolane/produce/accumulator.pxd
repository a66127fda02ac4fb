"""RecordAccumulator: where the records of a fast ``send()`` gather, so that they reach librdkafka grouped by partition."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from twolane.reports.reader cimport ReportReader
from twolane.client.handle cimport Handle, Topic
from twolane.reports.flush_generations cimport FlushGenerations

cdef enum:
    STAGED_RECORDS = 256
    STAGED_BYTES = 65_536
    LARGEST_STAGED = 2_048          # bytes of key and value: beyond, a copy more costs what grouping saves
    GROUPED_PARTITIONS = 256        # of more a stage holds about one record each


cdef struct Staged:
    int64_t timestamp
    uint64_t opaque
    int64_t at                  # of the value in the block; the key follows it
    int32_t value_size          # -1: none
    int32_t key_size            # -1: none
    int32_t partition


cdef class RecordAccumulator:
    cdef Handle _handle
    cdef ReportReader _delivery
    cdef FlushGenerations _generations
    cdef Topic _topic               # of all records that are here
    cdef int64_t n
    cdef int64_t used               # bytes of their keys and values
    cdef uint8_t* _block
    cdef Staged _records[STAGED_RECORDS]
    cdef int32_t _order[STAGED_RECORDS]
    cdef int32_t _next_of[GROUPED_PARTITIONS]

    cdef bint append(self, Topic topic, bytes value, bytes key, int32_t partition, int64_t timestamp,
                     uint64_t opaque) except -1
    cdef int _drain(self) noexcept
    cdef void _group(self) noexcept nogil
