"""Ordered chunks: one MessageSet per partition inside librdkafka, the next only after the last is acknowledged."""
from libc.stdint cimport int64_t

from twolane.client.delivery cimport Delivery
from twolane.client.feed cimport Feed
from twolane.client.handle cimport Handle, Topic
from twolane.client.runs cimport Run
from twolane.client.slots cimport Rows


cdef class ChunkSender:
    cdef Handle _handle
    cdef Delivery _delivery
    cdef readonly int64_t chunk_records     # limits of one MessageSet
    cdef readonly int64_t chunk_bytes
    cdef readonly int64_t started           # chunks enqueued so far
    cdef double _patience                   # seconds that a chunk may stay unacknowledged
    cdef bint _renumbers                    # idempotence is on
    cdef int _retry_look_ms                 # after a failure: how often to look for records that wait for a retry
    cdef double _end_by                     # monotonic(): the producer closes, no call may last longer
    cdef dict _last_used                    # (topic, partition) -> monotonic() of its last acknowledgement
    cdef object _sweeper                    # the thread that waits for the purges of the call before
    # Of the running call:
    cdef bint _failed                       # a record was not acknowledged, or a chunk's time is over: nothing may follow
    cdef bint _purged
    cdef bint _out_of_time                  # that is why it was purged
    cdef int64_t _round
    cdef int _refusal                       # librdkafka's reason for refusing a record that it was given
    cdef object _interruption               # what a signal handler raised

    cdef int _run(self, Topic topic, Feed feed, const int64_t* order, Run* runs, int64_t n_runs, int64_t first_index,
                  Rows* rows, double deadline) except -1
    cdef int _start_chunks(self, Topic topic, Feed feed, const int64_t* order, Run* runs, int64_t n_runs,
                           int64_t first_index) except -1
    cdef int64_t _in_flight(self, Run* runs, int64_t n_runs) noexcept nogil
    cdef int _sweep(self) except -1
    cdef int _await_sweeper(self, double deadline) except -1
    cdef double _purge_at(self, Run* runs, int64_t n_runs, double deadline, double now) noexcept nogil
    cdef tuple _collect(self, Topic topic, Run* runs, int64_t n_runs, const int64_t* order, int64_t first_index,
                        Rows* rows)
    cdef void _detach(self, Run* runs, int64_t n_runs) noexcept
    cdef void _let_go(self, Run* runs, int64_t n_runs) noexcept
    cdef tuple send_one(self, Topic topic, Feed feed, Rows* rows, double deadline)
    cpdef object take_interruption(self)
