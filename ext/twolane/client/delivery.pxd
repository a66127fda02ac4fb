"""Delivery reports, aggregated in C: one event per request, no Python object per record."""
from libc.stdint cimport int8_t, int32_t, int64_t, uint64_t

from twolane.client.handle cimport Handle, Wire
from twolane.librdkafka cimport *


# Milliseconds after its last look at the reports in which a sender is expected to look again. Long enough for one that
# waits for its turn on a busy machine: two threads at one queue, and memory freed by the wrong one, cost a quarter more.
# A batch tells when it ends. A loop of send() just stops: nobody waits for its last reports (flush() takes over at once),
# but where there are callbacks, these wait as long.
cdef enum:
    BATCH_LOOKS_AGAIN_MS = 250
    SENDER_LOOKS_AGAIN_MS = 50
    SENDER_WITH_CALLBACKS_MS = 10


cdef enum:
    # A record's opaque is (slot << INDEX_BITS) | index, so a report finds its slot without a look-up.
    INDEX_BITS = 40
    # The two slots that are always there: records nobody waits for, and records with an on_delivery callback.
    SLOT_COUNTED = 0
    SLOT_CALLBACK = 1
    FIRST_FREE_SLOT = 2
    # Numbers shared with twolane.verdicts.
    VERDICT_WRITTEN = 0
    VERDICT_NOT_WRITTEN = 1
    VERDICT_UNKNOWN = 2


cdef struct Report:
    # One record's end, kept where somebody will ask for it: failures, and every record with a callback.
    int64_t index
    int64_t offset
    const void* topic           # rd_kafka_topic_t of the record: only compared, never followed
    int64_t timestamp
    int32_t partition
    int32_t error
    int timestamp_type
    int8_t verdict              # see twolane.verdicts
    int8_t retriable


cdef struct Rows:
    # Where the reports of one call's records are written. Several slots may share one.
    int64_t n
    int64_t* offsets            # n of them, borrowed from the caller, -1 where not written
    int64_t* append_times       # n of them once a broker reported LogAppendTime, else NULL; owned here
    int timestamp_type


cdef struct Slot:
    int64_t id
    Rows* rows                  # NULL: counted only
    int64_t expected            # records given to librdkafka under this slot
    int64_t done                # of which reported
    int64_t written
    int64_t requests_before     # Wire.produce_requests when the first of them was enqueued
    int64_t changes_before
    Report* reports
    int64_t n_reports
    int64_t reports_room
    int64_t reports_dropped     # beyond the limit of SLOT_COUNTED: counted, not kept
    bint keep_all               # keep a Report for successes too
    bint sealed                 # nothing more will be enqueued
    bint announced              # its end has been put on the list of finished slots


cdef struct Counters:
    int64_t accepted            # records given to librdkafka
    int64_t accepted_bytes
    int64_t done
    int64_t done_bytes
    int64_t written
    int64_t not_written
    int64_t unknown
    int64_t requests            # delivery events with a success


cdef class Delivery:
    cdef Handle handle          # keeps queue and wire alive
    cdef void* _lock            # PyThread lock: guards the slots, the counters' done side and the lists below
    cdef void* _never           # PyThread lock that is never free: waiting for it is a sleep
    cdef Slot** _slots
    cdef int64_t _n_slots
    cdef int64_t _next_slot     # where the search for a free slot goes on
    cdef int64_t _n_attached
    cdef Slot _counted
    cdef Slot _callback
    cdef Slot _lost             # stands where a slot went away before its reports came
    cdef Counters counters
    cdef int64_t* _finished     # ids of slots whose last record was reported and that somebody waits for
    cdef int64_t _n_finished
    cdef int64_t _finished_room
    cdef int64_t python_work    # more than 0: callbacks, finished slots or notes wait for a thread with the GIL
    cdef int64_t sleeping       # the service thread waits for an event: python_work from elsewhere must wake it
    cdef int64_t waiters        # threads that wait for room and take the reports meanwhile
    cdef double served_until    # monotonic(): a sender takes the reports itself until then; 0 once it has ended
    cdef int64_t _violations    # of the accounting, counted by debug builds
    cdef readonly object notes  # deque of (kind, level, facility, text): logs, errors, statistics
    cdef bint acks_none         # acks=0: success has no offset and that is all right
    cdef int _retries

    cdef int attach(self, Slot* slot) except -1
    cdef void detach(self, Slot* slot) noexcept nogil
    cdef int serve(self, int timeout_ms) noexcept nogil
    cdef int _drain(self, rd_kafka_event_t* event) noexcept nogil
    cdef void _wake_sleeper(self) noexcept nogil
    cdef void seal(self, Slot* slot) noexcept nogil
    cdef void lock(self) noexcept nogil
    cdef void unlock(self) noexcept nogil
    cdef list _take(self, Slot* slot)
    cdef void _announce(self, Slot* slot) noexcept nogil
    cdef void _take_reports(self, rd_kafka_event_t* event) noexcept nogil
    cdef void _check(self) noexcept nogil
    cdef int8_t _judge(self, Slot* slot, const rd_kafka_message_t* message) noexcept nogil
    cdef void _take_note(self, rd_kafka_event_t* event, int kind) noexcept nogil
    cdef void _keep_note(self, int kind, int level, const char* facility, const char* text) noexcept


cdef void clear_reports(Slot* slot) noexcept nogil


cdef inline uint64_t opaque_of(int64_t slot, int64_t index) noexcept nogil:
    return (<uint64_t>slot << INDEX_BITS) | <uint64_t>index


cdef inline bint is_finished(Slot* slot) noexcept nogil:
    return slot.done >= slot.expected
