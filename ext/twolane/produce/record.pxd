"""One record's arguments, as ``send()`` of either lane takes them."""
from libc.stdint cimport int32_t, int64_t

from twolane.client.handle cimport Topic


cdef class Record:
    cdef readonly Topic topic
    cdef readonly bytes value, key
    cdef readonly tuple headers
    cdef readonly int32_t partition
    cdef readonly int64_t timestamp         # ms


cdef int64_t guarded_ms(object timestamp) noexcept
cdef int64_t plain_ms(object timestamp) except -1
cdef bytes as_bytes(object value, str field)
cdef int32_t place_of(Topic topic, bytes value, bytes key, str partitioner, int64_t sticky_bytes) except -1
cdef int32_t given_place(Topic topic, object partition) except -2
cdef int32_t place_asked(object topics, Topic topic, object partition, double deadline) except -1
