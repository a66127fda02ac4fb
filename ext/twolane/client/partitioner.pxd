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

    cdef int32_t _move_on(self, Topic topic, int32_t count) noexcept nogil


cdef inline int32_t partition_of(Partitioner rule, Topic topic, int32_t count, Span value, Span key) noexcept nogil:
    """Return the partition of one record, among `count`. GIL: not needed."""
    cdef int32_t sticky
    if count == 1:
        return 0
    if rule._hash != NULL and (key.data != NULL or rule._hashes_null) and (key.size or not rule._empty_is_null):
        return rule._hash(topic.rkt, key.data if key.data != NULL else <const void*>b"", <size_t>key.size, count, NULL, NULL)
    sticky = topic.sticky_partition
    if not 0 <= sticky < count or topic.sticky_bytes >= rule._sticky_bytes:
        sticky = rule._move_on(topic, count)
    topic.sticky_bytes += value.size + 1
    return sticky
