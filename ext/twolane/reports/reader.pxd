"""Delivery reports, aggregated in C: one event per request, no Python object per record."""
from libc.stdint cimport int8_t, int32_t, int64_t, uint64_t

from twolane.client.handle cimport Handle
from twolane.reports.latency cimport Latencies
from twolane.reports.events cimport ClientEvents
from twolane.reports.trackers cimport CallTracker, TrackerTable
from twolane.librdkafka cimport *


# Milliseconds after its last look at the reports in which a sender is expected to look again. Long enough for one that
# waits for its turn on a busy machine: two threads at one queue, and memory freed by the wrong one, cost a quarter more.
# A batch tells when it ends. A loop of send() just stops: nobody waits for its last reports (flush() takes over at once),
# but where there are callbacks, these wait as long.
cdef enum:
    BATCH_LOOKS_AGAIN_MS = 250
    SENDER_LOOKS_AGAIN_MS = 50
    SENDER_WITH_CALLBACKS_MS = 10


cdef struct Counters:
    int64_t accepted            # records given to librdkafka
    int64_t accepted_bytes
    int64_t done
    int64_t done_bytes
    int64_t written
    int64_t not_written
    int64_t unknown
    int64_t requests            # delivery events
    int64_t failed_requests     # those of them with a failure


cdef class ReportReader:
    cdef Handle handle          # keeps queue and wire alive
    cdef readonly TrackerTable slots
    cdef readonly ClientEvents notes
    cdef Counters counters      # the done side is changed under the lock of the slots
    cdef Latencies latencies    # under the same lock
    cdef void* _never           # PyThread lock that is never free: waiting for it is a sleep
    cdef void* _taking          # PyThread lock of the one thread that takes events: their order is that of the reports
    cdef int64_t python_work    # more than 0: callbacks, finished slots or notes wait for a thread with the GIL
    cdef int64_t sleeping       # the service thread waits for an event: python_work from elsewhere must wake it
    cdef int64_t waiters        # threads that wait for room and take the reports meanwhile
    cdef double served_until    # monotonic(): a sender takes the reports itself until then; 0 once it has ended
    cdef double _sealed_at      # monotonic(): the last call of send_batch() ended
    cdef bint _in_a_row         # this one began soon after it, with records of it still inside
    cdef int64_t staged         # 1 while records of send() wait in the RecordAccumulator
    cdef int64_t pushes         # times that the RecordAccumulator was emptied
    cdef int64_t _violations    # of the accounting, counted by debug builds
    cdef public int64_t epochs  # failed requests after which a plain idempotent producer ends; 0: any number, see `_end`
    cdef bint acks_none         # acks=0: success has no offset and that is all right
    cdef int _retries

    cdef int attach(self, CallTracker* slot) except -1
    cdef void detach(self, CallTracker* slot) noexcept nogil
    cdef void begin(self) noexcept nogil
    cdef void seal(self, CallTracker* slot) noexcept nogil
    cdef int serve(self, int timeout_ms) noexcept nogil
    cdef bint _may_take(self, int64_t patience_us) noexcept nogil
    cdef bint _is_served(self) noexcept nogil
    cdef int _drain(self, rd_kafka_event_t* event, bint gives_way) noexcept nogil
    cdef void _wake_sleeper(self) noexcept nogil
    cdef void lock(self) noexcept nogil
    cdef void unlock(self) noexcept nogil
    cdef void _announce(self, CallTracker* slot) noexcept nogil
    cdef void _take_reports(self, rd_kafka_event_t* event) noexcept nogil
    cdef void _end(self) noexcept nogil
    cdef void refuse(self, uint64_t opaque, const void* topic, int32_t partition, int error, int64_t payload) noexcept nogil
    cdef void _check(self) noexcept nogil
    cdef int8_t _judge(self, CallTracker* slot, const rd_kafka_message_t* message, int64_t offset, int64_t requests,
                       int64_t changes) noexcept nogil
