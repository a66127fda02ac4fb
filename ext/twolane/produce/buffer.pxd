"""The enqueue loop: records of a RecordSlice to ``rd_kafka_produceva``, with everything a record can carry."""
from libc.stdint cimport int32_t, int64_t, uint64_t

from twolane.reports.reader cimport ReportReader
from twolane.produce.record_slice cimport RecordSlice
from twolane.produce.first_ack cimport FirstAcks
from twolane.client.handle cimport Handle, Topic
from twolane.librdkafka cimport *


cdef class ProduceBuffer:
    cdef Handle _handle
    cdef ReportReader _reader
    cdef readonly int64_t records       # high-water marks of what may be inside librdkafka
    cdef readonly int64_t bytes
    cdef readonly int64_t low_records   # a full window has room again at these
    cdef readonly int64_t low_bytes
    cdef int64_t _pushing               # threads that may be enqueuing now

    cdef bint has_space(self, int64_t records, int64_t bytes) noexcept nogil
    cdef bint is_low(self) noexcept nogil
    cdef int64_t _reserve(self, RecordSlice records, int64_t start, int64_t* size) noexcept nogil
    cdef bint _wait(self, int64_t* first_ack, double timeout) except -1
