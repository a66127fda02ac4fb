"""The enqueue loop: records of a RecordSlice to ``rd_kafka_produceva``, with everything a record can carry."""
from libc.stdint cimport int32_t, int64_t, uint64_t

from twolane.reports.reader cimport ReportReader
from twolane.produce.record_slice cimport RecordSlice
from twolane.produce.first_ack cimport Gates
from twolane.client.handle cimport Handle, Topic
from twolane.librdkafka cimport *


cdef struct Enqueued:
    int64_t n           # records taken by librdkafka
    int64_t bytes       # their values and keys, as ReportReader counts them back
    int error           # why it stopped before the end, 0 if librdkafka refused nothing
    int32_t barred      # the partition before whose gate it stopped, -1 if it did not


cdef Enqueued enqueue(rd_kafka_t* rk, rd_kafka_topic_t* rkt, RecordSlice feed, const int64_t* order, int64_t start,
                      int64_t stop, int64_t tracker, int64_t first_index, Gates* gates) noexcept nogil


cdef class ProduceBuffer:
    cdef Handle _handle
    cdef ReportReader _delivery
    cdef readonly int64_t records       # high-water marks of what may be inside librdkafka
    cdef readonly int64_t bytes
    cdef readonly int64_t low_records   # a full window has room again at these
    cdef readonly int64_t low_bytes
    cdef int64_t _pushing               # threads that may be enqueuing now

    cdef bint has_room(self, int64_t records, int64_t bytes) noexcept nogil
    cdef bint is_low(self) noexcept nogil
    cdef int64_t _claim(self, RecordSlice feed, int64_t start, int64_t* size) noexcept nogil
    cdef bint _wait(self, int64_t* gate, double timeout) except -1
