"""The table of slots, and the rounds that ``send()`` counts its records in.

Lock: held only while memory of this module is touched, never across a wait and never while a Python object is made:
making one may run the garbage collector, which may drop an CallResult, whose end takes the lock.
"""
cimport cython
from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, WAIT_LOCK,
)
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

from twolane.client.atomic cimport add, load

cdef enum:
    FIRST_ROOM = 64
    COUNTED_REPORTS_KEPT = 10_000   # failures of records nobody waits for: the rest is only counted

# Slots attached in the whole process: read by the tests.
cdef int64_t _live = 0


cdef int64_t live_slots() noexcept nogil:
    return load(&_live)


cdef void clear_reports(CallTracker* slot) noexcept nogil:
    free(slot.reports)
    slot.reports = NULL
    slot.n_reports = 0
    slot.reports_room = 0


cdef bint note_append_time(OffsetColumns* rows, int64_t index, int64_t timestamp) noexcept nogil:
    cdef int64_t i
    if rows.append_times == NULL:
        rows.append_times = <int64_t*>malloc(<size_t>rows.n * sizeof(int64_t))
        if rows.append_times == NULL:
            return False
        for i in range(rows.n):
            rows.append_times[i] = -1
    rows.append_times[index] = timestamp
    return True


@cython.final
cdef class FlushGenerations:
    """The records of ``send()``, which have no slot of their own each, by rounds: a ring of pairs of slots.

    A round ends where ``flush()`` is called, and after some records. So a flush waits for the rounds that had begun and
    not for what other threads send meanwhile; and how often a record can have been attempted is counted from the
    beginning of its round, not from that of the producer.

    The GIL guards what is here and, with it, all of ``send()`` and the callbacks. Without a GIL the critical section of
    this object does: whoever touches any of it is inside, and leaves it wherever he would let the GIL go.
    """

    def __cinit__(self):
        cdef int i
        memset(self.counted, 0, sizeof(self.counted))
        memset(self.called, 0, sizeof(self.called))
        memset(self.uncalled, 0, sizeof(self.uncalled))
        memset(self.serials, 0, sizeof(self.serials))
        for i in range(ROUNDS):
            self.counted[i].id = SLOT_COUNTED + i
            self.called[i].id = SLOT_CALLBACK + i
            self.called[i].keep_all = True
        self.now = 0
        self.serial = 0

    cdef int64_t left_in(self, int place) noexcept:
        """Records in this place of the ring that are not reported, or whose callback has not run."""
        return self.counted[place].expected - self.counted[place].done + self.uncalled[place]

    cdef bint begin(self) noexcept:
        """Begin a new round; False where the oldest round of the ring still has records on their way."""
        cdef int place = (self.now + 1) % ROUNDS
        if self.left_in(place):
            return False
        self.serial += 1
        self.serials[place] = self.serial
        self.now = place
        return True

    def advance(self):
        """Begin a new round; False where the oldest round of the ring still has records on their way."""
        with cython.critical_section(self):
            return self.begin()

    def left(self, int64_t serial):
        """Return how many records of the rounds up to this one are not reported, or their callback has not run."""
        cdef int i
        cdef int64_t n = 0
        with cython.critical_section(self):
            for i in range(ROUNDS):
                if self.serials[i] <= serial:
                    n += self.left_in(i)
        return n

    def __reduce__(self):
        raise TypeError("FlushGenerations cannot be pickled")


@cython.final
cdef class TrackerTable:
    """The slots of one ReportReader, by number."""

    def __cinit__(self):
        self._lock = NULL
        self.table = NULL
        self._finished = NULL
        memset(&self.counted, 0, sizeof(CallTracker))
        memset(&self.callback, 0, sizeof(CallTracker))
        memset(&self._lost, 0, sizeof(CallTracker))
        self._lost.id = -1
        self.counted.id = SLOT_COUNTED
        self.callback.id = SLOT_CALLBACK
        self._next = FIRST_FREE_SLOT

    def __init__(self):
        cdef int i
        if self._lock != NULL:
            raise RuntimeError("these TrackerTable are open already")
        self._lock = PyThread_allocate_lock()
        self.table = <CallTracker**>calloc(FIRST_FREE_SLOT + FIRST_ROOM, sizeof(CallTracker*))
        if self._lock == NULL or self.table == NULL:
            raise MemoryError()
        self.size = FIRST_FREE_SLOT + FIRST_ROOM
        self.rounds = FlushGenerations()
        for i in range(ROUNDS):
            self.table[SLOT_COUNTED + i] = &self.rounds.counted[i]
            self.table[SLOT_CALLBACK + i] = &self.rounds.called[i]

    def __dealloc__(self):
        free(self.table)
        free(self._finished)
        clear_reports(&self.counted)
        clear_reports(&self.callback)
        if self._lock != NULL:
            PyThread_free_lock(self._lock)

    cdef void lock(self) noexcept nogil:
        PyThread_acquire_lock(self._lock, WAIT_LOCK)

    cdef void unlock(self) noexcept nogil:
        PyThread_release_lock(self._lock)

    cdef int attach(self, CallTracker* slot, int64_t requests, int64_t changes) except -1:
        """Give a slot its number. It must stay where it is until ``detach()``."""
        cdef int64_t i = 0
        cdef CallTracker** grown
        cdef bint failed = False
        self.lock()
        if self.n_attached >= self.size - FIRST_FREE_SLOT:
            grown = <CallTracker**>realloc(self.table, <size_t>(2 * self.size) * sizeof(CallTracker*))
            if grown == NULL:
                failed = True
            else:
                memset(grown + self.size, 0, <size_t>self.size * sizeof(CallTracker*))
                self.table = grown
                self._next = self.size
                self.size = 2 * self.size
        if not failed:
            # Round and round: with thousands of batches in flight a search from the start would look at them all.
            i = self._next
            for _ in range(self.size):
                if i >= self.size:
                    i = FIRST_FREE_SLOT
                if self.table[i] == NULL:
                    break
                i += 1
            self._next = i + 1
            slot.id = i
            slot.requests_before = requests
            slot.changes_before = changes
            self.table[i] = slot
            self.n_attached += 1
            add(&_live, 1)
        self.unlock()
        if failed:
            raise MemoryError()
        return 0

    cdef void detach(self, CallTracker* slot) noexcept nogil:
        """Forget a slot; a report that still comes for it is only counted."""
        self.lock()
        if slot.done < slot.expected:
            # Its number stands in records on their way: a new slot under it would get their reports.
            self.table[slot.id] = &self._lost
        else:
            self.table[slot.id] = NULL
            self.n_attached -= 1
        add(&_live, -1)
        self.unlock()

    cdef bint announce(self, CallTracker* slot) noexcept nogil:
        """Put a slot on the list of finished ones if it has just become one. Under the lock."""
        cdef int64_t* grown
        cdef int64_t room
        if not slot.sealed or slot.announced or slot.done < slot.expected:
            return False
        if self._n_finished == self._finished_room:
            room = self._finished_room * 2 if self._finished_room else FIRST_ROOM
            grown = <int64_t*>realloc(self._finished, <size_t>room * sizeof(int64_t))
            if grown == NULL:
                return False
            self._finished = grown
            self._finished_room = room
        self._finished[self._n_finished] = slot.id
        self._n_finished += 1
        slot.announced = True
        return True

    cdef bint keep(self, CallTracker* slot, Report* report) noexcept nogil:
        """Append a report to its slot's. Under the lock. False where it is only counted: no memory, nobody, too many."""
        cdef Report* grown
        cdef int64_t room
        if slot.id < 0:
            return False
        if slot.id < FIRST_FREE_SLOT:
            slot = &self.counted if slot.id < SLOT_CALLBACK else &self.callback
        if slot.id == SLOT_COUNTED and slot.n_reports >= COUNTED_REPORTS_KEPT:
            slot.reports_dropped += 1
            return False
        if slot.n_reports == slot.reports_room:
            room = slot.reports_room * 2 if slot.reports_room else FIRST_ROOM
            grown = <Report*>realloc(slot.reports, <size_t>room * sizeof(Report))
            if grown == NULL:
                slot.reports_dropped += 1
                return False
            slot.reports = grown
            slot.reports_room = room
        slot.reports[slot.n_reports] = report[0]
        slot.n_reports += 1
        return True

    cdef list take_finished(self):
        """Return and forget the numbers of the slots that finished since the last call."""
        cdef int64_t n
        cdef int64_t* finished
        self.lock()
        finished, n = self._finished, self._n_finished
        self._finished = NULL
        self._n_finished = 0
        self._finished_room = 0
        self.unlock()
        try:
            return [finished[i] for i in range(n)]
        finally:
            free(finished)

    def __reduce__(self):
        raise TypeError("TrackerTable cannot be pickled")
