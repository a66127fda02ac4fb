"""The records of ``send()``, counted by generation, so that ``flush()`` waits for those sent before it (Java: the
accumulator's IncompleteBatches and flushesInProgress).
"""
cimport cython
from libc.stdint cimport int64_t
from libc.string cimport memset

from twolane.reports.trackers cimport GENERATIONS, ID_WITH_CALLBACK, ID_WITHOUT_CALLBACK


@cython.final
cdef class FlushGenerations:
    """A ring of pairs of trackers: one for records without a callback, one for those with one.

    Notes
    -----
    ``flush()``, and every thousand records, start the next generation. A flush waits for the generations that had
    started, not for what other threads send meanwhile; and how often a record can have been attempted is counted from
    the start of its generation, not from that of the producer.

    Lock: the GIL, which also guards all of ``send()`` and the callbacks. Without a GIL the critical section of this
    object: every access is inside it, and leaves it where the GIL would be released.
    """

    def __cinit__(self):
        cdef int i
        memset(self.without_callback, 0, sizeof(self.without_callback))
        memset(self.with_callback, 0, sizeof(self.with_callback))
        memset(self.pending_callbacks, 0, sizeof(self.pending_callbacks))
        memset(self._numbers, 0, sizeof(self._numbers))
        for i in range(GENERATIONS):
            self.without_callback[i].id = ID_WITHOUT_CALLBACK + i
            self.with_callback[i].id = ID_WITH_CALLBACK + i
            self.with_callback[i].keeps_all = True
        self.current = 0
        self.number = 0

    cdef int64_t _incomplete_at(self, int index) noexcept:
        """Return records of one generation that are not reported, or whose callback has not run."""
        return (self.without_callback[index].expected - self.without_callback[index].done
                + self.pending_callbacks[index])

    cdef bint start_next(self) noexcept:
        """Start the next generation; False where the oldest one of the ring still has records in flight."""
        cdef int following = (self.current + 1) % GENERATIONS
        if self._incomplete_at(following):
            return False
        self.number += 1
        self._numbers[following] = self.number
        self.current = following
        return True

    def advance(self):
        """Start the next generation; False where the oldest one of the ring still has records in flight."""
        with cython.critical_section(self):
            return self.start_next()

    def incomplete(self, int64_t number):
        """Return how many records of the generations up to this one are not reported, or their callback has not run."""
        cdef int i
        cdef int64_t n = 0
        with cython.critical_section(self):
            for i in range(GENERATIONS):
                if self._numbers[i] <= number:
                    n += self._incomplete_at(i)
        return n

    def __reduce__(self):
        raise TypeError("FlushGenerations cannot be pickled")
