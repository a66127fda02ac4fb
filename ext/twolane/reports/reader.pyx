"""One event per request comes in, counters and offsets go out; Python objects only for what somebody asked for.

Any thread may call ``serve()``: it takes events off librdkafka's queue and writes what they say into the slots, all
without the GIL, and one thread at a time. What needs Python (callbacks, futures, log lines) is put aside and ``python_work`` rises; whoever holds
the GIL next and is in charge of it (the throughput lane's service thread, the safe lane's caller) takes it from there.
"""
cimport cython
from cpython.time cimport monotonic
from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, WAIT_LOCK,
)
from libc.stdint cimport int8_t, int32_t, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport free
from libc.string cimport memset

from twolane.client.atomic cimport add, load, store
from twolane.produce.first_ack cimport CLOSED, Gates, milliseconds, set_gate
from twolane.client.handle cimport Handle, Topic, forks
from twolane.reports.classify cimport VERDICT_NOT_WRITTEN, VERDICT_WRITTEN, delivery_report, verdict_of
from twolane.reports.latency cimport BUCKETS, note
from twolane.client.library cimport rd
from twolane.reports.events cimport ClientEvents
from twolane.reports.trackers cimport (
    FIRST_FREE_SLOT, INDEX_BITS, ROUNDS, Report, OffsetColumns, CallTracker, TrackerTable, live_slots, note_append_time,
)
from twolane.librdkafka cimport *

cdef extern from * nogil:
    """
    #ifdef TWOLANE_DEBUG
    #define TWOLANE_CHECKED 1
    #else
    #define TWOLANE_CHECKED 0
    #endif
    """
    bint CHECKED "TWOLANE_CHECKED"

cdef extern from "pythread.h" nogil:
    int PyThread_acquire_lock_timed(void*, long long, int)
    const int PY_LOCK_ACQUIRED

cdef enum:
    ASIDE_US = 1000                 # how long attend() stands aside before it looks again
    CHUNK = 256                     # message pointers read from an event at once

# Seconds between the ends of two calls that are calls in a row, and what the second one's sender gets to come back.
cdef double IN_A_ROW = 0.05
cdef double COMES_BACK = 0.002

# Said of a producer that has used up its epochs.
cdef const char* EPOCHS_USED_UP = (
    b"so many requests failed that the epoch of the producer id is used up: beyond it brokers would refuse good records, "
    b"or take them for duplicates. Close this producer and make a new one"
)

# Accounting errors of the whole process, found by debug builds: read by the tests.
cdef int64_t _all_violations = 0


def live():
    """Return how many slots are attached now, and how often a debug build found the accounting wrong."""
    return live_slots(), load(&_all_violations)


def is_checked():
    """Return whether this is a debug build, which checks the accounting at every report."""
    return bool(CHECKED)


cdef void note_gone(Gates* marks, int error) noexcept nogil:
    """Have a topic's partitions counted again after an error that says that one is gone, or the topic. GIL: not needed."""
    if marks != NULL and (error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION or error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
                          or error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART):
        store(&marks.recount, 1)


# The collector of garbage must leave what the Outcomes in the same circle detach from: the handle and the slots.
@cython.no_gc_clear
@cython.final
cdef class ReportReader:
    """Takes the reports of one Handle.

    Parameters
    ----------
    handle : Handle
        Kept; its queue must be polled by nobody else.
    retries : int
        The setting, for the verdicts.
    acks_none : bool
        ``acks=0``: a success without an offset is one.
    """

    def __cinit__(self):
        self._never = NULL
        self._taking = NULL
        memset(&self.counters, 0, sizeof(Counters))
        memset(&self.latencies, 0, sizeof(self.latencies))

    def __init__(self, Handle handle not None, int retries=3, bint acks_none=False):
        if self._never != NULL:
            raise RuntimeError("this ReportReader is open already")
        self._never = PyThread_allocate_lock()
        self._taking = PyThread_allocate_lock()
        if self._never == NULL or self._taking == NULL:
            raise MemoryError()
        PyThread_acquire_lock(self._never, WAIT_LOCK)
        self.slots = TrackerTable()
        self.notes = ClientEvents()
        self.handle = handle
        self.acks_none = acks_none
        self._retries = retries

    def __dealloc__(self):
        if self._never != NULL:
            PyThread_release_lock(self._never)
            PyThread_free_lock(self._never)
        if self._taking != NULL:
            PyThread_free_lock(self._taking)

    cdef void lock(self) noexcept nogil:
        self.slots.lock()

    cdef void unlock(self) noexcept nogil:
        self.slots.unlock()

    cdef int attach(self, CallTracker* slot) except -1:
        """Give a slot its number. It must stay where it is until ``detach()``."""
        return self.slots.attach(slot, load(&self.handle.wire.produce_requests), load(&self.handle.wire.broker_changes))

    cdef void detach(self, CallTracker* slot) noexcept nogil:
        """Forget a slot; a report that still comes for it is only counted."""
        if self.handle._generation != forks():
            return      # a child's copy: the lock may have been held when the process was forked
        self.slots.detach(slot)

    cdef void begin(self) noexcept nogil:
        """Say that this thread enqueues records from now on, and takes reports itself meanwhile (see attend())."""
        cdef double now = monotonic()
        self._in_a_row = load(&self.counters.accepted) > load(&self.counters.done) and now - self._sealed_at < IN_A_ROW
        self.served_until = now + BATCH_LOOKS_AGAIN_MS / 1000.0

    cdef void seal(self, CallTracker* slot) noexcept nogil:
        """Say that nothing more will be enqueued under this slot, so that its end can be announced.

        Calls in a row are one sender: it gets a moment to come back before the service thread takes its reports.
        """
        self.lock()
        slot.sealed = True
        self._announce(slot)
        self.unlock()
        self._sealed_at = monotonic()
        self.served_until = self._sealed_at + COMES_BACK if self._in_a_row else 0.0
        self._wake_sleeper()

    cdef void _announce(self, CallTracker* slot) noexcept nogil:
        if self.slots.announce(slot):
            add(&self.python_work, 1)

    cdef int serve(self, int timeout_ms) noexcept nogil:
        """Wait up to ``timeout_ms`` for an event, then take all there are. Returns how many. GIL: not needed.

        Where another thread takes events, that one is waited for instead: the caller looks first at what it has done.
        """
        cdef int n = 0
        if self._may_take(0):
            n = self._drain(rd.queue_poll(self.handle.queue, timeout_ms), False)
            PyThread_release_lock(self._taking)
            if n:
                self._wake_sleeper()
        elif timeout_ms > 0 and self._may_take(timeout_ms * 1000):
            PyThread_release_lock(self._taking)
        return n

    cdef bint _may_take(self, int64_t patience_us) noexcept nogil:
        """Become the one thread that takes events. Two would write the later reports first, and callbacks would run so."""
        return PyThread_acquire_lock_timed(self._taking, patience_us, 0) == PY_LOCK_ACQUIRED

    cdef bint _is_served(self) noexcept nogil:
        """Whether a thread that sends, or waits for room, takes the reports itself. GIL: not needed."""
        return load(&self.waiters) > 0 or monotonic() <= self.served_until

    cdef int _drain(self, rd_kafka_event_t* event, bint gives_way) noexcept nogil:
        """Take this event and all that are there, or, where it ``gives_way``, those that come before a sender does.

        The service thread must: events of a fast sender come so fast that it would never end, and two threads that
        allocate and free the same memory wait for each other at every record.
        """
        cdef int n = 0, kind
        while event != NULL:
            n += 1
            kind = rd.event_type(event)
            if kind == RD_KAFKA_EVENT_DR:
                self._take_reports(event)
            elif kind != 0:
                add(&self.python_work, 1 if self.notes.take(event, kind) else 0)
            rd.event_destroy(event)
            if gives_way and self._is_served():
                break
            event = rd.queue_poll(self.handle.queue, 0)
        return n

    cdef void _wake_sleeper(self) noexcept nogil:
        """Tell the service thread of work that another thread found, where it waits for events of its own."""
        if load(&self.python_work) > 0 and load(&self.sleeping) > 0:
            rd.queue_yield(self.handle.queue)

    cdef void _take_reports(self, rd_kafka_event_t* event) noexcept nogil:
        """Write one event's reports into their slots. All its records have one topic, nearly always one partition."""
        cdef const rd_kafka_message_t* messages[CHUNK]
        cdef const rd_kafka_message_t* message
        cdef size_t n, i
        cdef int64_t bytes_done, written, id, last_id = -1, index, offset, timestamp = -1, latency = 0
        cdef int timestamp_type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        cdef int8_t verdict
        cdef bint timed = False, told, failed = False, wrapped = False
        cdef CallTracker* slot = NULL
        cdef OffsetColumns* rows = NULL
        cdef Report report
        cdef uint64_t opaque
        cdef Gates* gates
        cdef Gates* marks
        cdef int64_t requests, changes
        n = rd.event_message_array(event, messages, CHUNK)
        self.lock()
        self.counters.requests += 1
        # Once for all of them: they came and went in one MessageSet, whatever other partitions send meanwhile.
        requests = load(&self.handle.wire.produce_requests)
        changes = load(&self.handle.wire.broker_changes)
        marks = <Gates*>rd.topic_opaque(messages[0].rkt) if n else NULL
        gates = marks if self.handle.gated else NULL
        # librdkafka counts up from the answer's base offset also where that is none (-1, -1001): only the first tells.
        told = n > 0 and messages[0].offset >= 0
        while n > 0:
            bytes_done = 0
            written = 0
            for i in range(n):
                message = messages[i]
                bytes_done += <int64_t>(message.len + message.key_len)
                opaque = <uint64_t>message._private
                id = <int64_t>(opaque >> INDEX_BITS)
                index = <int64_t>(opaque & ((<uint64_t>1 << INDEX_BITS) - 1))
                if id != last_id:
                    # A slot's end is announced here, but nobody hears of it before the lock is free.
                    if slot != NULL:
                        self._announce(slot)
                    last_id = id
                    slot = self.slots.table[id] if id < self.slots.size else NULL
                    rows = slot.rows if slot != NULL else NULL
                offset = message.offset if told and message.offset >= 0 else -1
                if message.err == 0 and (offset >= 0 or self.acks_none):
                    if not timed:
                        # One answer, one timestamp type; for LogAppendTime one time for all its records.
                        timestamp = rd.message_timestamp(message, &timestamp_type)
                        latency = rd.message_latency(message)
                        timed = True
                        if gates != NULL:
                            set_gate(gates, message.partition, milliseconds())
                    written += 1
                    if slot == NULL:
                        continue
                    slot.done += 1
                    slot.written += 1
                    if rows != NULL:
                        rows.offsets[index] = offset
                        if timestamp_type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME:
                            note_append_time(rows, index, timestamp)
                        rows.timestamp_type = timestamp_type
                    if not slot.keep_all:
                        continue
                    verdict = VERDICT_WRITTEN
                    # Of CreateTime whoever sent the record knows it, LogAppendTime is that of the whole answer.
                    report.timestamp, report.timestamp_type = timestamp, timestamp_type
                else:
                    verdict = self._judge(slot, message, offset, requests, changes)
                    failed = True
                    note_gone(marks, message.err)
                    wrapped = wrapped or message.err == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH
                    if gates != NULL:
                        set_gate(gates, message.partition, CLOSED)
                    if verdict == VERDICT_NOT_WRITTEN:
                        self.counters.not_written += 1
                    else:
                        self.counters.unknown += 1
                    if slot == NULL:
                        continue
                    slot.done += 1
                    report.timestamp = rd.message_timestamp(message, &report.timestamp_type)
                report.index = index
                report.topic = message.rkt
                report.offset = offset
                report.partition = message.partition
                report.error = message.err
                report.verdict = verdict
                report.retriable = 0
                self.slots.keep(slot, &report)
                if id < FIRST_FREE_SLOT:
                    add(&self.python_work, 1)
            self.counters.written += written
            if written:
                note(&self.latencies, latency, written)
            add(&self.counters.done, <int64_t>n)
            add(&self.counters.done_bytes, bytes_done)
            if CHECKED:
                self._check()
            n = rd.event_message_array(event, messages, CHUNK)
        if slot != NULL:
            self._announce(slot)
        if failed:
            self.counters.failed_requests += 1
            failed = self.epochs and (wrapped or self.counters.failed_requests >= self.epochs)
        self.unlock()
        if failed:
            self._end()

    cdef void _end(self) noexcept nogil:
        """End a plain idempotent producer whose epoch is about to begin anew at 0 (F18).

        librdkafka tells nobody the epoch. It counts one up for a request that failed for good, and for records that timed
        out or were purged; each of these has a report, so the events with a failure are as many at least.
        """
        if not rd.fatal_error(self.handle.rk, NULL, 0):
            rd.test_fatal_error(self.handle.rk, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, EPOCHS_USED_UP)

    cdef void refuse(self, uint64_t opaque, const void* topic, int32_t partition, int error, int64_t payload) noexcept nogil:
        """Report a record that was accepted, and that librdkafka then refused: it was not written. GIL: not needed."""
        cdef Report report
        cdef CallTracker* slot
        report.index = <int64_t>(opaque & ((<uint64_t>1 << INDEX_BITS) - 1))
        report.topic = topic
        report.offset = report.timestamp = -1
        report.partition = partition
        report.error = error
        report.timestamp_type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        report.verdict = VERDICT_NOT_WRITTEN
        report.retriable = 0
        self.lock()
        if topic != NULL:   # NULL: the topic was closed before the record could go
            note_gone(<Gates*>rd.topic_opaque(<rd_kafka_topic_t*>topic), error)
        slot = self.slots.table[<int64_t>(opaque >> INDEX_BITS)]
        slot.done += 1
        self.slots.keep(slot, &report)
        self.counters.not_written += 1
        add(&self.counters.done, 1)
        add(&self.counters.done_bytes, payload)
        if CHECKED:
            self._check()
        self.unlock()
        add(&self.python_work, 1)
        self._wake_sleeper()

    cdef void _check(self) noexcept nogil:
        """Debug builds: every record accepted is counted once. Under the lock."""
        cdef Counters* now = &self.counters
        cdef int64_t done = load(&now.done)
        if now.written + now.not_written + now.unknown != done or load(&now.accepted) < done:
            self._violations += 1
            add(&_all_violations, 1)
        if load(&now.accepted_bytes) < load(&now.done_bytes):
            self._violations += 1
            add(&_all_violations, 1)

    cdef int8_t _judge(self, CallTracker* slot, const rd_kafka_message_t* message, int64_t offset, int64_t requests,
                       int64_t changes) noexcept nogil:
        """The verdict of a record without an acknowledgement, by how it stood with the wire at its report. Under the lock."""
        if slot != NULL:
            requests -= slot.requests_before
            changes -= slot.changes_before
        return verdict_of(message.err, rd.message_status(message), requests, self._retries, changes <= 1,
                          offset, self.acks_none)

    # ---- for Python: tests, stats(), and the lanes' policy -------------------------------------------------------

    def poll(self, double timeout=0.0):
        """Serve the queue once, waiting up to `timeout` seconds. GIL: released. Returns the number of events."""
        cdef int n
        self.handle.hold()
        try:
            with nogil:
                n = self.serve(<int>(max(0.0, timeout) * 1000))
        finally:
            self.handle.release()
        return n

    def count(self):
        """Return the counters as a dict; ``accepted == written + not_written + unknown + in_queue`` always holds."""
        cdef Counters now
        if self.handle._generation != forks():
            self.handle.ensure_open()
        with nogil:
            self.lock()
            now = self.counters
            # After the done side, which only this lock's holders change: in_queue is never negative.
            now.accepted = load(&self.counters.accepted)
            now.accepted_bytes = load(&self.counters.accepted_bytes)
            self.unlock()
        return {
            "accepted": now.accepted,
            "accepted_bytes": now.accepted_bytes,
            "written": now.written,
            "not_written": now.not_written,
            "unknown": now.unknown,
            "in_queue": now.accepted - now.done,
            "in_queue_bytes": now.accepted_bytes - now.done_bytes,
            "delivery_events": now.requests,
        }

    def latency_counts(self):
        """Return the histogram of latencies: records in each bucket of `latency`, sum and largest, in microseconds.

        A request's records are all entered with the latency of its oldest one: the time from its ``send()`` to the
        moment its report was taken.
        """
        cdef Latencies now
        with nogil:
            self.lock()
            now = self.latencies
            self.unlock()
        return [now.counts[i] for i in range(BUCKETS)], now.sum_us, now.largest_us

    @property
    def violations(self):
        """int: how often the accounting did not add up; counted in debug builds (``TWOLANE_DEBUG=1``) only."""
        return self._violations

    @property
    def failed_requests(self):
        """int: delivery events with a failure, which a producer id's epoch rises with at most."""
        return self.counters.failed_requests

    @property
    def attached(self):
        """int: slots in use, for the tests that look for lost ones."""
        return self.slots.n_attached

    def attend(self, double timeout=0.1):
        """Serve the queue until there is work for Python, or for `timeout` seconds. For the service thread alone.

        Returns
        -------
        int
            Events taken; -1 where records of ``send()`` lie in the RecordAccumulator and nobody has emptied it for a while.

        Notes
        -----
        GIL: released. Stands aside while another thread sends fast or waits for room: that one takes the reports itself,
        a record's memory is best freed by the thread that allocated it, and librdkafka's queue has one lock.
        """
        cdef int64_t rounds = <int64_t>(timeout * 1_000_000) // ASIDE_US
        cdef int64_t seen = -1
        cdef int n = 0
        self.handle.ensure_open()
        with nogil:
            while rounds > 0 and load(&self.python_work) == 0:
                if load(&self.staged):
                    if load(&self.pushes) == seen:
                        n = -1
                        break
                    seen = load(&self.pushes)
                elif not self._is_served() and self._may_take(0):
                    # Before the look at python_work: whoever raises it after that sees a sleeper and wakes it.
                    add(&self.sleeping, 1)
                    n = self._drain(rd.queue_poll(self.handle.queue,
                                                  0 if load(&self.python_work) > 0 or load(&self.staged)
                                                  else <int>(timeout * 1000)), True)
                    add(&self.sleeping, -1)
                    PyThread_release_lock(self._taking)
                    break
                PyThread_acquire_lock_timed(self._never, ASIDE_US, 0)
                rounds -= 1
        return n

    def take_over(self):
        """Let `attend()` take the reports at once: the senders have stopped, as far as the caller knows."""
        self.served_until = 0.0

    @property
    def has_work(self):
        """bool: whether callbacks, finished slots or notes wait for a thread with the GIL."""
        return load(&self.python_work) > 0

    def take_finished(self):
        """Return the numbers of the slots that finished since the last call. Also resets `has_work`."""
        add(&self.python_work, -load(&self.python_work))
        return self.slots.take_finished()

    def take_failures(self):
        """Return and forget the failures of records nobody waits for: [(topic, report)], and how many were not kept."""
        cdef CallTracker* slot = &self.slots.counted
        cdef Report* reports
        cdef Report* report
        cdef int64_t i, n, dropped
        cdef Topic topic
        self.lock()
        reports, n, dropped = slot.reports, slot.n_reports, slot.reports_dropped
        slot.reports = NULL
        slot.n_reports = slot.reports_room = slot.reports_dropped = 0
        self.unlock()
        taken = []
        names = {}
        try:
            if n:
                with cython.critical_section(self.handle):      # close() takes the dict away
                    topics = list(self.handle._topics.values())
                for topic in topics:
                    names[<uintptr_t>topic.rkt] = topic.name
            for i in range(n):
                report = &reports[i]
                taken.append((names.get(<uintptr_t>report.topic, ""), delivery_report(report)))
        finally:
            free(reports)
        return taken, dropped

    def write_off(self):
        """Count what has no report as unknown: the client was ended, none will come. Returns how many nobody waits for.

        Those are the records of ``send()`` without a callback; the callbacks of the others have not run.
        """
        cdef int64_t left, silent = 0
        cdef int i
        self.lock()
        left = load(&self.counters.accepted) - load(&self.counters.done)
        self.counters.unknown += left
        add(&self.counters.done, left)
        add(&self.counters.done_bytes, load(&self.counters.accepted_bytes) - load(&self.counters.done_bytes))
        for i in range(ROUNDS):
            silent += self.slots.rounds.counted[i].expected - self.slots.rounds.counted[i].done
            self.slots.rounds.counted[i].done = self.slots.rounds.counted[i].expected
            self.slots.rounds.called[i].done = self.slots.rounds.called[i].expected
        self.unlock()
        return silent

    def wake(self):
        """Make a thread that waits in ``poll()`` return early (``rd_kafka_queue_yield``)."""
        self.handle.hold()
        try:
            rd.queue_yield(self.handle.queue)
        finally:
            self.handle.release()

    def __reduce__(self):
        raise TypeError("a ReportReader cannot be pickled")
