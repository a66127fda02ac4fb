"""ReportReader: one delivery event per request comes in, counters and offsets go out.

Any thread may call ``poll_ms()``: it takes events off librdkafka's queue and writes what they report to the trackers, without
the GIL, one thread at a time. What needs Python (callbacks, finished calls, log lines) is kept, and ``pending_python`` raised:
the throughput lane's delivery thread, or the safe lane's caller, does it when it next has the GIL.
"""
cimport cython
from cpython.time cimport monotonic
from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, WAIT_LOCK,
)
from libc.stdint cimport int8_t, int32_t, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from twolane.client.atomic cimport PY_LOCK_ACQUIRED, PyThread_acquire_lock_timed, add, load
from twolane.client.handle cimport Handle, forks
from twolane.client.library cimport rd
from twolane.produce.first_ack cimport NONE_YET, FirstAcks, has_offset_of_its_own, milliseconds, note_error, set_first_ack
from twolane.reports.classify cimport VERDICT_NOT_WRITTEN, VERDICT_WRITTEN, delivery_report, is_record_at_fault, verdict_of
from twolane.reports.events cimport ClientEvents
from twolane.reports.flush_generations cimport FlushGenerations
from twolane.reports.latency cimport BUCKETS, add_latency
from twolane.reports.producer_ids cimport end_numbered_again, end_numbered_wrong, is_numbered_again
from twolane.reports.trackers cimport (
    FIRST_CALL_ID, GENERATIONS, ID_WITH_CALLBACK, ID_WITHOUT_CALLBACK, CallTracker, OffsetColumns, Report, append_report,
    clear_reports, index_of, set_append_time, tracker_id_of,
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

cdef enum:
    ASIDE_US = 1000                 # how long poll_when_idle() sleeps while a sender polls
    MESSAGES = 256                  # pointers read from an event at once
    FIRST_CAPACITY = 64
    UNNAMED_KEPT = 10_000           # failures of records without a callback: the rest is only counted

# Of the whole process, for the tests: trackers with an id now, and accounting errors that debug builds found.
cdef int64_t _live = 0
cdef int64_t _all_violations = 0


def live():
    """Return how many trackers are attached now, and how often a debug build found the accounting wrong."""
    return load(&_live), load(&_all_violations)


def is_checked():
    """Return whether this is a debug build, which checks the accounting at every report."""
    return bool(CHECKED)


# no_gc_clear: CallResults in the same reference cycle call detach() from __dealloc__, which needs the handle.
@cython.no_gc_clear
@cython.final
cdef class ReportReader:
    """Reads the delivery reports and the other events of one Handle.

    Parameters
    ----------
    handle : Handle
        Kept. Nothing else may poll its queue.
    retries : int
        The setting, for the verdicts.
    acks_none : bool
        ``acks=0``: a success without an offset is one.
    """

    def __cinit__(self):
        memset(&self.counters, 0, sizeof(Counters))
        memset(&self.latencies, 0, sizeof(self.latencies))
        memset(&self._without_callback, 0, sizeof(CallTracker))
        memset(&self._with_callback, 0, sizeof(CallTracker))
        memset(&self._detached, 0, sizeof(CallTracker))
        self._detached.id = -1
        self._next_id = FIRST_CALL_ID

    def __init__(self, Handle handle not None, int retries=3, bint acks_none=False):
        cdef int i
        if self._lock != NULL:
            raise RuntimeError("this ReportReader is open already")
        self._lock = PyThread_allocate_lock()
        self._poll_lock = PyThread_allocate_lock()
        self._sleep_lock = PyThread_allocate_lock()
        self._n_ids = FIRST_CALL_ID + FIRST_CAPACITY
        self._trackers = <CallTracker**>calloc(<size_t>self._n_ids, sizeof(CallTracker*))
        if self._lock == NULL or self._poll_lock == NULL or self._sleep_lock == NULL or self._trackers == NULL:
            raise MemoryError()
        PyThread_acquire_lock(self._sleep_lock, WAIT_LOCK)
        self.generations = FlushGenerations()
        for i in range(GENERATIONS):
            self._trackers[ID_WITHOUT_CALLBACK + i] = &self.generations.without_callback[i]
            self._trackers[ID_WITH_CALLBACK + i] = &self.generations.with_callback[i]
        self.client_events = ClientEvents()
        self.handle = handle
        self.acks_none = acks_none
        self._retries = retries

    def __dealloc__(self):
        free(self._trackers)
        free(self._finished)
        clear_reports(&self._without_callback)
        clear_reports(&self._with_callback)
        if self._lock != NULL:
            PyThread_free_lock(self._lock)
        if self._poll_lock != NULL:
            PyThread_free_lock(self._poll_lock)
        if self._sleep_lock != NULL:
            PyThread_release_lock(self._sleep_lock)
            PyThread_free_lock(self._sleep_lock)

    cdef int attach(self, CallTracker* tracker) except -1:
        """Give a tracker its id. It must stay where it is until ``detach()``."""
        cdef int64_t i
        cdef CallTracker** grown
        cdef bint failed = False
        self.lock()
        if self.attached >= self._n_ids - FIRST_CALL_ID:
            grown = <CallTracker**>realloc(self._trackers, <size_t>(2 * self._n_ids) * sizeof(CallTracker*))
            if grown == NULL:
                failed = True
            else:
                memset(grown + self._n_ids, 0, <size_t>self._n_ids * sizeof(CallTracker*))
                self._trackers = grown
                self._next_id = self._n_ids
                self._n_ids = 2 * self._n_ids
        if not failed:
            # From the last id on: with thousands of batches in flight a search from the start would pass them all.
            i = self._next_id
            for _ in range(self._n_ids):
                if i >= self._n_ids:
                    i = FIRST_CALL_ID
                if self._trackers[i] == NULL:
                    break
                i += 1
            self._next_id = i + 1
            tracker.id = i
            tracker.requests_before = load(&self.handle.wire.produce_requests)
            tracker.changes_before = load(&self.handle.wire.broker_changes)
            self._trackers[i] = tracker
            self.attached += 1
            add(&_live, 1)
        self.unlock()
        if failed:
            raise MemoryError()
        return 0

    cdef void detach(self, CallTracker* tracker) noexcept nogil:
        """Forget a tracker; a report that still comes for it is only counted."""
        if self.handle._generation != forks():
            return      # a child's copy: the lock may have been held when the process was forked
        self.lock()
        if tracker.done < tracker.expected:
            # Its id is in records in flight: another tracker with this id would get their reports.
            self._trackers[tracker.id] = &self._detached
        else:
            self._trackers[tracker.id] = NULL
            self.attached -= 1
        add(&_live, -1)
        self.unlock()

    cdef void close_for_appends(self, CallTracker* tracker) noexcept nogil:
        """Declare that nothing more will be enqueued for this tracker, so that its call can finish."""
        cdef int64_t others
        self.lock()
        others = load(&self.counters.accepted) - load(&self.counters.done) - (tracker.expected - tracker.done)
        tracker.closed = True
        self._finish(tracker)
        self.unlock()
        self._lease_until = self._now() + NEXT_BATCH_LEASE_MS / 1000.0 if others > 0 else 0.0
        self._wake_delivery_thread()

    cdef void _finish(self, CallTracker* tracker) noexcept nogil:
        """Put a tracker on the list of finished calls if its last record was just reported. Under the lock."""
        cdef int64_t* grown
        cdef int64_t capacity
        if not tracker.closed or tracker.is_finished or tracker.done < tracker.expected:
            return
        if self._n_finished == self._finished_capacity:
            capacity = self._finished_capacity * 2 if self._finished_capacity else FIRST_CAPACITY
            grown = <int64_t*>realloc(self._finished, <size_t>capacity * sizeof(int64_t))
            if grown == NULL:
                return
            self._finished = grown
            self._finished_capacity = capacity
        self._finished[self._n_finished] = tracker.id
        self._n_finished += 1
        tracker.is_finished = True
        add(&self.pending_python, 1)

    cdef void _keep(self, CallTracker* tracker, Report* report) noexcept nogil:
        """Keep a report with its tracker. Under the lock. It is only counted where there are too many, or no memory."""
        if 0 <= tracker.id < FIRST_CALL_ID:
            tracker = &self._without_callback if tracker.id < ID_WITH_CALLBACK else &self._with_callback
            add(&self.pending_python, 1)
        if tracker == &self._without_callback and tracker.n_reports >= UNNAMED_KEPT:
            tracker.reports_dropped += 1
        elif tracker.id >= 0:       # not of a call that has ended
            append_report(tracker, report)

    # ---- which thread polls -------------------------------------------------------------------------------------

    cdef double _now(self) noexcept nogil:
        return monotonic() if self.clock == 0 else self.clock

    cdef void renew_lease(self, int lease_ms) noexcept nogil:
        """Declare that this thread polls again within so many milliseconds, so that the delivery thread does not poll."""
        self._lease_until = self._now() + lease_ms / 1000.0

    cdef int poll_ms(self, int timeout_ms) noexcept nogil:
        """Wait up to ``timeout_ms`` for an event, then take all there are. Return how many. GIL: not needed.

        While another thread polls, this one waits for that one instead: the caller looks first at what it has read.
        """
        cdef int n = 0
        if self._may_poll(0):
            n = self._take_events(rd.queue_poll(self.handle.queue, timeout_ms), False)
            PyThread_release_lock(self._poll_lock)
            if n:
                self._wake_delivery_thread()
        elif timeout_ms > 0 and self._may_poll(timeout_ms * 1000):
            PyThread_release_lock(self._poll_lock)
        return n

    cdef bint _may_poll(self, int64_t timeout_us) noexcept nogil:
        """Become the one thread that polls. Two would write later reports first, and run callbacks in that order."""
        return PyThread_acquire_lock_timed(self._poll_lock, timeout_us, 0) == PY_LOCK_ACQUIRED

    cdef bint _is_sending(self) noexcept nogil:
        """Return whether a thread that sends, or waits for space, polls. GIL: not needed."""
        return load(&self.senders) > 0 or self._now() <= self._lease_until

    cdef int _take_events(self, rd_kafka_event_t* event, bint gives_way) noexcept nogil:
        """Take this event and all that are there or, if it ``gives_way``, those that come before a sender does.

        The delivery thread gives way: the events of a fast sender come so fast that it would never return, and two
        threads that allocate and free the same memory wait for each other at every record.
        """
        cdef int n = 0, kind
        while event != NULL:
            n += 1
            kind = rd.event_type(event)
            if kind == RD_KAFKA_EVENT_DR:
                self._read_reports(event)
            elif kind != 0:
                add(&self.pending_python, 1 if self.client_events.add(event, kind) else 0)
            rd.event_destroy(event)
            if gives_way and self._is_sending():
                break
            event = rd.queue_poll(self.handle.queue, 0)
        return n

    cdef void _wake_delivery_thread(self) noexcept nogil:
        """Wake the delivery thread for work that another thread found, if it waits for an event of its own."""
        if load(&self.pending_python) > 0 and load(&self.sleeping) > 0:
            rd.queue_yield(self.handle.queue)

    cdef void _read_reports(self, rd_kafka_event_t* event) noexcept nogil:
        """Write one event's reports to their trackers. All its records have one topic, nearly always one partition."""
        cdef const rd_kafka_message_t* messages[MESSAGES]
        cdef const rd_kafka_message_t* message
        cdef size_t n, i
        cdef int64_t bytes_done, written, id, last_id = -1, index, offset, timestamp = -1, latency = 0
        cdef int timestamp_type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        cdef int8_t verdict
        cdef bint is_timed = False, has_offset, failed = False, forgot = False, wrapped = False
        cdef CallTracker* tracker = NULL
        cdef OffsetColumns* columns = NULL
        cdef Report report
        cdef uint64_t opaque
        cdef FirstAcks* first_acks
        cdef FirstAcks* topic_acks
        cdef int64_t requests, changes
        n = rd.event_message_array(event, messages, MESSAGES)
        self.lock()
        self.counters.requests += 1
        # Once for all: they were sent in one MessageSet, whatever other partitions send meanwhile.
        requests = load(&self.handle.wire.produce_requests)
        changes = load(&self.handle.wire.broker_changes)
        topic_acks = <FirstAcks*>rd.topic_opaque(messages[0].rkt) if n else NULL
        first_acks = topic_acks if self.handle.awaits_first_acks else NULL
        if n and rd.message_broker_id(messages[0]) >= 0:
            self._numbered.answered += messages[0].err >= 0 or is_record_at_fault(messages[0].err)
        # librdkafka counts up from the base offset also where that is none (-1, -1001): only the first record's says so.
        has_offset = n > 0 and has_offset_of_its_own(topic_acks, messages[0])
        while n > 0:
            bytes_done = 0
            written = 0
            for i in range(n):
                message = messages[i]
                bytes_done += <int64_t>(message.len + message.key_len)
                opaque = <uint64_t>message._private
                id = tracker_id_of(opaque)
                index = index_of(opaque)
                if id != last_id:
                    if tracker != NULL:
                        self._finish(tracker)
                    last_id = id
                    tracker = self._trackers[id] if id < self._n_ids else NULL
                    columns = tracker.columns if tracker != NULL else NULL
                offset = message.offset if has_offset and message.offset >= 0 else -1
                if message.err == 0 and (offset >= 0 or self.acks_none):
                    if not is_timed:
                        # One answer, one timestamp type; for LogAppendTime one time for all its records.
                        timestamp = rd.message_timestamp(message, &timestamp_type)
                        latency = rd.message_latency(message)
                        is_timed = True
                        if first_acks != NULL:
                            set_first_ack(first_acks, message.partition, milliseconds())
                    written += 1
                    if tracker == NULL:
                        continue
                    tracker.done += 1
                    tracker.written += 1
                    if columns != NULL:
                        columns.offsets[index] = offset
                        if timestamp_type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME:
                            set_append_time(columns, index, timestamp)
                        # One that has CreateTime is proof that the topic has: the others' were lent (F33).
                        if columns.timestamp_type != RD_KAFKA_TIMESTAMP_CREATE_TIME:
                            columns.timestamp_type = timestamp_type
                    if not tracker.keeps_all:
                        continue
                    verdict = VERDICT_WRITTEN
                    report.status, report.is_answered = RD_KAFKA_MSG_STATUS_PERSISTED, True
                    # The sender knows the CreateTime; LogAppendTime is that of the whole answer.
                    report.timestamp, report.timestamp_type = timestamp, timestamp_type
                else:
                    # By the requests sent, and the brokers they were sent to, since the record was enqueued.
                    report.status = <int8_t>rd.message_status(message)
                    # librdkafka sets the broker id when a request ends, and its own errors are negative, but for that of
                    # records which share a MessageSet with one that a broker refused.
                    report.is_answered = (rd.message_broker_id(message) >= 0
                                          and (message.err > 0 or is_record_at_fault(message.err)))
                    verdict = verdict_of(message.err, report.status,
                                         requests - (tracker.requests_before if tracker != NULL else 0), self._retries,
                                         changes - (tracker.changes_before if tracker != NULL else 0) <= 1,
                                         offset, self.acks_none)
                    failed = True
                    forgot = note_error(topic_acks, message.err) or forgot
                    wrapped = wrapped or message.err == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH
                    self._numbered.purged += message.err == RD_KAFKA_RESP_ERR__PURGE_QUEUE
                    if first_acks != NULL:
                        set_first_ack(first_acks, message.partition, NONE_YET)
                    if verdict == VERDICT_NOT_WRITTEN:
                        self.counters.not_written += 1
                    else:
                        self.counters.unknown += 1
                    if tracker == NULL:
                        continue
                    tracker.done += 1
                    report.timestamp = rd.message_timestamp(message, &report.timestamp_type)
                report.index = index
                report.topic = message.rkt
                report.offset = offset
                report.partition = message.partition
                report.error = message.err
                report.verdict = verdict
                self._keep(tracker, &report)
            self.counters.written += written
            if written:
                add_latency(&self.latencies, latency, written)
            add(&self.counters.done, <int64_t>n)
            add(&self.counters.done_bytes, bytes_done)
            if CHECKED:
                self._check()
            n = rd.event_message_array(event, messages, MESSAGES)
        if tracker != NULL:
            self._finish(tracker)
        if failed:
            self.counters.failed_requests += 1
            failed = self.epochs and (wrapped or forgot or self.counters.failed_requests >= self.epochs)
        self.unlock()
        if failed:
            end_numbered_wrong(self.handle, forgot)

    def begin_transaction(self):
        """Note where a transaction begins; end a producer whose numbers brokers may have for other records (F37)."""
        cdef bint found
        self.lock()
        found = is_numbered_again(&self._numbered, self.handle.wire)
        self.unlock()
        if found:
            end_numbered_again(self.handle)

    cdef void report_refused(self, uint64_t opaque, const void* topic, int32_t partition, int error,
                             int64_t size) noexcept nogil:
        """Report a record that was accepted, and that librdkafka then refused: it was not written. GIL: not needed."""
        cdef Report report
        cdef CallTracker* tracker
        report.index = index_of(opaque)
        report.topic = topic
        report.offset = report.timestamp = -1
        report.partition = partition
        report.error = error
        report.timestamp_type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        report.verdict = VERDICT_NOT_WRITTEN
        report.status, report.is_answered = RD_KAFKA_MSG_STATUS_NOT_PERSISTED, False
        self.lock()
        if topic != NULL:   # NULL: the topic was closed before the record could go
            note_error(<FirstAcks*>rd.topic_opaque(<rd_kafka_topic_t*>topic), error)
        tracker = self._trackers[tracker_id_of(opaque)]
        tracker.done += 1
        self._keep(tracker, &report)
        self.counters.not_written += 1
        add(&self.counters.done, 1)
        add(&self.counters.done_bytes, size)
        if CHECKED:
            self._check()
        self.unlock()
        self._wake_delivery_thread()

    cdef void _check(self) noexcept nogil:
        """Debug builds: every record accepted is counted once. Under the lock."""
        cdef Counters* now = &self.counters
        cdef int64_t done = load(&now.done)
        if (now.written + now.not_written + now.unknown != done or load(&now.accepted) < done
                or load(&now.accepted_bytes) < load(&now.done_bytes)):
            self._violations += 1
            add(&_all_violations, 1)

    # ---- for Python ---------------------------------------------------------------------------------------------

    def poll(self, double timeout=0.0):
        """Take the events that are there, or wait up to `timeout` seconds for one. Return how many. GIL: released."""
        cdef int n
        self.handle.hold()
        try:
            with nogil:
                n = self.poll_ms(<int>(max(0.0, timeout) * 1000))
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
        """Return the histogram of latencies: records by bucket of `latency`, sum and largest, in microseconds."""
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

    def poll_when_idle(self, double timeout=0.1):
        """Poll until there is work for Python, or for `timeout` seconds. For the delivery thread alone.

        Returns
        -------
        int
            Events taken; -1 where records of ``send()`` are in the RecordAccumulator and it was not drained for a while.

        Notes
        -----
        GIL: released. Sleeps while another thread sends fast or waits for space: that one polls, because a record's
        memory is best freed by the thread that allocated it, and librdkafka's queue has one lock.
        """
        cdef int64_t left = <int64_t>(timeout * 1_000_000) // ASIDE_US
        cdef int64_t drains = -1
        cdef int n = 0
        self.handle.ensure_open()
        with nogil:
            while left > 0 and load(&self.pending_python) == 0:
                if load(&self.accumulating):
                    if load(&self.drains) == drains:
                        n = -1
                        break
                    drains = load(&self.drains)
                elif not self._is_sending() and self._may_poll(0):
                    # Set before pending_python is read: a thread that raises it after that reads this, and wakes.
                    add(&self.sleeping, 1)
                    n = self._take_events(rd.queue_poll(self.handle.queue,
                                                        0 if load(&self.pending_python) > 0 or load(&self.accumulating)
                                                        else <int>(timeout * 1000)), True)
                    add(&self.sleeping, -1)
                    PyThread_release_lock(self._poll_lock)
                    break
                PyThread_acquire_lock_timed(self._sleep_lock, ASIDE_US, 0)
                left -= 1
        return n

    @property
    def is_sleeping(self):
        """bool: whether ``poll_when_idle()`` waits for an event now."""
        return load(&self.sleeping) > 0

    @property
    def events_waiting(self):
        """int: events in librdkafka's queue that no thread has taken."""
        self.handle.ensure_open()
        return rd.queue_length(self.handle.queue)

    def end_lease(self):
        """Let ``poll_when_idle()`` poll at once: the senders have stopped, as far as the caller knows."""
        self._lease_until = 0.0

    def take_finished(self):
        """Return and forget the ids of the calls that finished since the last call. Also resets `pending_python`."""
        cdef int64_t n
        cdef int64_t* finished
        add(&self.pending_python, -load(&self.pending_python))
        self.lock()
        finished, n = self._finished, self._n_finished
        self._finished = NULL
        self._n_finished = self._finished_capacity = 0
        self.unlock()
        try:
            return [finished[i] for i in range(n)]
        finally:
            free(finished)

    def take_failures(self):
        """Return and forget the failures of records without a callback: [(topic, report)], and how many were not kept."""
        cdef CallTracker* tracker = &self._without_callback
        cdef Report* reports
        cdef int64_t n, dropped
        cdef dict names
        self.lock()
        reports, n, dropped = tracker.reports, tracker.n_reports, tracker.reports_dropped
        tracker.reports = NULL
        tracker.n_reports = tracker.reports_capacity = tracker.reports_dropped = 0
        self.unlock()
        try:
            names = self.handle.topic_names() if n else None
            failures = [(names.get(<uintptr_t>reports[i].topic, ""), delivery_report(&reports[i])) for i in range(n)]
        finally:
            free(reports)
        return failures, dropped

    def write_off(self):
        """Count every record without a report as unknown, because the client was ended; return how many had no callback.

        The callbacks of the others have not run.
        """
        cdef FlushGenerations generations = self.generations
        cdef int64_t left, without_callback = 0
        cdef int i
        self.lock()
        left = load(&self.counters.accepted) - load(&self.counters.done)
        self.counters.unknown += left
        add(&self.counters.done, left)
        add(&self.counters.done_bytes, load(&self.counters.accepted_bytes) - load(&self.counters.done_bytes))
        for i in range(GENERATIONS):
            without_callback += generations.without_callback[i].expected - generations.without_callback[i].done
            generations.without_callback[i].done = generations.without_callback[i].expected
            generations.with_callback[i].done = generations.with_callback[i].expected
        self.unlock()
        return without_callback

    def wake(self):
        """Make a thread that waits for an event return early (``rd_kafka_queue_yield``)."""
        self.handle.hold()
        try:
            rd.queue_yield(self.handle.queue)
        finally:
            self.handle.release()

    def __reduce__(self):
        raise TypeError("a ReportReader cannot be pickled")
