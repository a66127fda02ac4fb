"""Partitioner: chooses a partition for each record."""
from libc.stdint cimport int32_t, int64_t

from twolane.batch cimport Span
from twolane.client.handle cimport Topic
from twolane.librdkafka cimport *


cdef class Partitioner:
    cdef rd_kafka_msg_partitioner_t _hash       # NULL: none
    cdef bint _hashes_null
    cdef bint _empty_is_null
    cdef int64_t _sticky_bytes

    cdef int32_t choose(self, Topic topic, Span value, Span key) noexcept nogil
