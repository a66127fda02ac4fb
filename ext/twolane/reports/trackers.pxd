"""TrackerTable: where the reports of one call's records are written, and how a report finds there."""
from libc.stdint cimport int8_t, int32_t, int64_t, uint64_t

cdef enum:
    # A record's opaque is (slot << INDEX_BITS) | index, so a report finds its slot without a look-up.
    INDEX_BITS = 40
    # send() has no slot of its own for each record: its records are counted in rounds, see FlushGenerations.
    ROUNDS = 32
    SLOT_COUNTED = 0            # the first slot of records nobody waits for
    SLOT_CALLBACK = ROUNDS      # the first slot of records with an on_delivery callback
    FIRST_FREE_SLOT = 2 * ROUNDS


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


cdef struct OffsetColumns:
    # Where the reports of one call's records are written. Several slots may share one.
    int64_t n
    int64_t* offsets            # n of them, borrowed from the caller, -1 where not written
    int64_t* append_times       # n of them once a broker reported LogAppendTime, else NULL; owned here
    int timestamp_type


cdef struct CallTracker:
    int64_t id
    OffsetColumns* rows                  # NULL: counted only
    int64_t expected            # records given to librdkafka under this slot
    int64_t done                # of which reported
    int64_t written
    int64_t requests_before     # Wire.produce_requests when the first of them was enqueued
    int64_t changes_before
    Report* reports
    int64_t n_reports
    int64_t reports_room
    int64_t reports_dropped     # beyond the limit of TrackerTable.counted: counted, not kept
    bint keep_all               # keep a Report for successes too
    bint sealed                 # nothing more will be enqueued
    bint announced              # its end has been put on the list of finished slots


cdef class FlushGenerations:
    cdef CallTracker counted[ROUNDS]
    cdef CallTracker called[ROUNDS]
    cdef int64_t uncalled[ROUNDS]   # callbacks of each round that have not run
    cdef int64_t serials[ROUNDS]    # number of the round that is in this place of the ring
    cdef int now                    # place of the round that send() counts in
    cdef readonly int64_t serial    # and its number

    cdef int64_t left_in(self, int place) noexcept
    cdef bint begin(self) noexcept


cdef class TrackerTable:
    cdef void* _lock            # PyThread lock
    cdef CallTracker** table           # by number, `size` of them
    cdef int64_t size
    cdef int64_t _next          # where the search for a free number goes on
    cdef int64_t n_attached
    cdef CallTracker counted           # keeps the reports of all rounds' records
    cdef CallTracker callback
    cdef CallTracker _lost             # stands where a slot went away before its reports came
    cdef readonly FlushGenerations rounds
    cdef int64_t* _finished     # numbers of slots whose last record was reported and that somebody waits for
    cdef int64_t _n_finished
    cdef int64_t _finished_room

    cdef void lock(self) noexcept nogil
    cdef void unlock(self) noexcept nogil
    cdef int attach(self, CallTracker* slot, int64_t requests, int64_t changes) except -1
    cdef void detach(self, CallTracker* slot) noexcept nogil
    cdef bint announce(self, CallTracker* slot) noexcept nogil
    cdef bint keep(self, CallTracker* slot, Report* report) noexcept nogil
    cdef list take_finished(self)


cdef int64_t live_slots() noexcept nogil
cdef void clear_reports(CallTracker* slot) noexcept nogil
cdef bint note_append_time(OffsetColumns* rows, int64_t index, int64_t timestamp) noexcept nogil


cdef inline uint64_t opaque_of(int64_t slot, int64_t index) noexcept nogil:
    return (<uint64_t>slot << INDEX_BITS) | <uint64_t>index
