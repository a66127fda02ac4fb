"""FlushGenerations: the trackers of the records of ``send()``."""
from libc.stdint cimport int64_t

from twolane.reports.trackers cimport GENERATIONS, CallTracker


cdef class FlushGenerations:
    cdef CallTracker without_callback[GENERATIONS]
    cdef CallTracker with_callback[GENERATIONS]
    cdef int64_t pending_callbacks[GENERATIONS]     # callbacks of each generation that have not run
    cdef int64_t _numbers[GENERATIONS]              # number of the generation at this index of the ring
    cdef int current                                # index of the one that send() counts in
    cdef readonly int64_t number                    # and its number

    cdef int64_t _incomplete_at(self, int index) noexcept
    cdef bint start_next(self) noexcept
