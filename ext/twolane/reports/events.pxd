"""What librdkafka says that is no report: log lines, errors, statistics."""
from twolane.librdkafka cimport rd_kafka_event_t


cdef class ClientEvents:
    cdef readonly object kept       # deque of (kind, level, facility, text)

    cdef bint take(self, rd_kafka_event_t* event, int kind) noexcept nogil
    cdef void _keep(self, int kind, int level, const char* facility, const char* text) noexcept
