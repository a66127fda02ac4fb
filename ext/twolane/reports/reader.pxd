"""ReportReader: delivery reports, counted in C: one event per request, no Python object per record."""
from cpython.pythread cimport PyThread_acquire_lock, PyThread_release_lock, WAIT_LOCK
from libc.stdint cimport int32_t, int64_t, uint64_t

from twolane.client.handle cimport Handle
from twolane.reports.events cimport ClientEvents
from twolane.reports.flush_generations cimport FlushGenerations
from twolane.reports.latency cimport Latencies
from twolane.reports.producer_ids cimport Numbered
from twolane.reports.trackers cimport CallTracker, Report
from twolane.librdkafka cimport *

# Milliseconds after its last poll in which a thread that sends is expected to poll again. Long enough to encode the next
# slice, and to wait for the processor on a busy machine: two threads that poll one queue, and memory freed by another thread
# than allocated it, cost a quarter more. A loop of send() just stops: callbacks, if any, wait for as long then; flush() takes
# over at once. After a whole send_batch() that found records of an earlier one in flight the next one comes at once.
cdef enum:
    SENDER_LEASE_MS = 50
    CALLBACK_LEASE_MS = 10
    NEXT_BATCH_LEASE_MS = 2


cdef struct Counters:
    int64_t accepted            # records given to librdkafka
    int64_t accepted_bytes
    int64_t done
    int64_t done_bytes
    int64_t written
    int64_t not_written
    int64_t unknown
    int64_t requests            # delivery events: about one per request
    int64_t failed_requests     # those of them with a failure


cdef class ReportReader:
    cdef Handle handle                      # keeps queue and wire alive
    cdef readonly ClientEvents client_events
    cdef readonly FlushGenerations generations
    # Under the lock of the trackers: memory accesses only, never a wait, and no Python object is made, because that may
    # run the garbage collector, which may collect a CallResult, whose end takes the lock.
    cdef void* _lock                        # PyThread lock
    cdef Counters counters                  # its done side
    cdef Latencies latencies
    cdef CallTracker** _trackers            # by id
    cdef int64_t _n_ids
    cdef int64_t _next_id                   # where the search for a free id goes on
    cdef readonly int64_t attached          # calls with an id
    cdef CallTracker _without_callback      # the reports of all generations' records
    cdef CallTracker _with_callback
    cdef CallTracker _detached              # at the ids of calls that ended before their reports came
    cdef int64_t* _finished                 # ids of closed calls whose last record was reported
    cdef int64_t _n_finished
    cdef int64_t _finished_capacity
    # Which thread polls, see poll_when_idle().
    cdef void* _poll_lock                   # PyThread lock of the one thread that takes events: their order is kept
    cdef void* _sleep_lock                  # PyThread lock that is never released: waiting for it is a sleep
    cdef int64_t pending_python             # more than 0: callbacks, finished calls or events wait for a thread with the GIL
    cdef int64_t sleeping                   # 1: the delivery thread waits for an event; pending_python must wake it
    cdef int64_t senders                    # threads that enqueue a slice or wait for space, and poll meanwhile
    cdef double _lease_until                # monotonic(): until then a thread that sends is expected to poll again
    cdef public double clock                # instead of monotonic(), for tests; 0: none
    cdef int64_t accumulating               # 1 while records of send() wait in the RecordAccumulator
    cdef int64_t drains                     # times that the RecordAccumulator was drained
    cdef int64_t _violations                # of the accounting, counted by debug builds
    cdef public int64_t epochs              # failed requests after which a plain idempotent producer ends; 0: no limit
    cdef Numbered _numbered                 # what may have used sequence numbers that are used again
    cdef bint acks_none                     # acks=0: a success has no offset
    cdef int _retries

    cdef inline void lock(self) noexcept nogil:
        PyThread_acquire_lock(self._lock, WAIT_LOCK)

    cdef inline void unlock(self) noexcept nogil:
        PyThread_release_lock(self._lock)

    cdef int attach(self, CallTracker* tracker) except -1
    cdef void detach(self, CallTracker* tracker) noexcept nogil
    cdef void close_for_appends(self, CallTracker* tracker) noexcept nogil
    cdef void _finish(self, CallTracker* tracker) noexcept nogil
    cdef void _keep(self, CallTracker* tracker, Report* report) noexcept nogil
    cdef double _now(self) noexcept nogil
    cdef void renew_lease(self, int lease_ms) noexcept nogil
    cdef int poll_ms(self, int timeout_ms) noexcept nogil
    cdef bint _may_poll(self, int64_t timeout_us) noexcept nogil
    cdef bint _is_sending(self) noexcept nogil
    cdef int _take_events(self, rd_kafka_event_t* event, bint gives_way) noexcept nogil
    cdef void _wake_delivery_thread(self) noexcept nogil
    cdef void _read_reports(self, rd_kafka_event_t* event) noexcept nogil
    cdef void report_refused(self, uint64_t opaque, const void* topic, int32_t partition, int error,
                             int64_t size) noexcept nogil
    cdef void _check(self) noexcept nogil
