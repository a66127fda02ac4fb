"""Events of librdkafka that are no delivery reports: log lines, errors, statistics."""
from twolane.librdkafka cimport rd_kafka_event_t


cdef class ClientEvents:
    cdef readonly object pending       # deque of (kind, level, facility, text)

    cdef bint add(self, rd_kafka_event_t* event, int kind) noexcept nogil
    cdef void _append(self, int kind, int level, const char* facility, const char* text) noexcept
