"""One event per request comes in, counters and offsets go out; Python objects only for what somebody asked for.

Any thread may call ``serve()``: it takes events off librdkafka's queue and writes what they say into the slots, all
without the GIL. What needs Python (callbacks, futures, log lines) is put aside and ``python_work`` rises; whoever holds
the GIL next and is in charge of it (the throughput lane's service thread, the safe lane's caller) takes it from there.

Lock: ``_lock`` is held only while memory of this class is touched, never across a wait and never while a Python object
is made: making one may run the garbage collector, which may drop an Outcome, whose end takes the lock.
"""
import collections

cimport cython
from cpython.time cimport monotonic
from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, WAIT_LOCK,
)
from libc.stdint cimport int8_t, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

from twolane.client.atomic cimport add, load
from twolane.client.handle cimport Handle, Topic, forks
from twolane.client.library cimport rd
from twolane.librdkafka cimport *

from twolane import verdicts as _verdicts

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

cdef enum:
    ASIDE_US = 1000                 # how long attend() stands aside before it looks again
    CHUNK = 256                     # message pointers read from an event at once
    COUNTED_REPORTS_KEPT = 10_000   # failures of records nobody waits for: the rest is only counted
    CODE_BASE = 256                 # librdkafka's own codes go down to -256

cdef int8_t _refused[1024]
cdef int8_t _given_up[1024]
cdef int8_t _counted_retry[1024]
memset(_refused, 0, sizeof(_refused))
memset(_given_up, 0, sizeof(_given_up))
memset(_counted_retry, 0, sizeof(_counted_retry))
for _code in _verdicts.RETRIED_BY_COUNT:
    _counted_retry[CODE_BASE + <int>_code] = 1
for _code in _verdicts.REFUSED_BEFORE_APPEND:
    _refused[CODE_BASE + <int>_code] = 1
for _code in _verdicts.GIVEN_UP_LOCALLY:
    _given_up[CODE_BASE + <int>_code] = 1


# Slots attached in the whole process, and accounting errors found by debug builds: read by the tests.
cdef int64_t _live_slots = 0
cdef int64_t _all_violations = 0


def live():
    """Return how many slots are attached now, and how often a debug build found the accounting wrong."""
    return load(&_live_slots), load(&_all_violations)


def is_checked():
    """Return whether this is a debug build, which checks the accounting at every report."""
    return bool(CHECKED)


cdef int8_t verdict_of(int code, int status, int64_t attempts, int retries, bint one_broker, int64_t offset,
                       bint acks_none) noexcept nogil:
    """``twolane.verdicts.verdict`` in C; a test holds the two together."""
    if code == 0:
        return VERDICT_WRITTEN if offset >= 0 or acks_none else VERDICT_UNKNOWN
    if status != RD_KAFKA_MSG_STATUS_NOT_PERSISTED or not -CODE_BASE <= code < 1024 - CODE_BASE:
        return VERDICT_UNKNOWN
    if _given_up[CODE_BASE + code]:
        return VERDICT_NOT_WRITTEN if attempts == 0 else VERDICT_UNKNOWN
    if _counted_retry[CODE_BASE + code] and attempts <= 1 + <int64_t>retries and one_broker:
        return VERDICT_NOT_WRITTEN
    if _refused[CODE_BASE + code] and attempts <= 1:
        return VERDICT_NOT_WRITTEN
    return VERDICT_UNKNOWN


def verdict_number(int code, bint possibly_persisted, int64_t attempts, int retries, bint one_broker, int64_t offset,
                   bint acks_none):
    """Return the compiled side's verdict (``twolane.verdicts.WRITTEN`` and so on), for the test that compares them."""
    return verdict_of(code, 1 if possibly_persisted else 0, attempts, retries, one_broker, offset, acks_none)


cdef void clear_reports(Slot* slot) noexcept nogil:
    free(slot.reports)
    slot.reports = NULL
    slot.n_reports = 0
    slot.reports_room = 0


cdef bint _keep(Slot* slot, Report* report) noexcept nogil:
    """Append a report; False when there is no memory or the limit of slot 0 is reached. Under the lock."""
    cdef Report* grown
    cdef int64_t room
    if slot.id == SLOT_COUNTED and slot.n_reports >= COUNTED_REPORTS_KEPT:
        slot.reports_dropped += 1
        return False
    if slot.n_reports == slot.reports_room:
        room = slot.reports_room * 2 if slot.reports_room else 64
        grown = <Report*>realloc(slot.reports, <size_t>room * sizeof(Report))
        if grown == NULL:
            slot.reports_dropped += 1
            return False
        slot.reports = grown
        slot.reports_room = room
    slot.reports[slot.n_reports] = report[0]
    slot.n_reports += 1
    return True


cdef bint _note_append_time(Rows* rows, int64_t index, int64_t timestamp) noexcept nogil:
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
cdef class Delivery:
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
        self._lock = NULL
        self._never = NULL
        self._slots = NULL
        self._n_slots = 0
        self._finished = NULL
        memset(&self.counters, 0, sizeof(Counters))
        memset(&self._counted, 0, sizeof(Slot))
        memset(&self._callback, 0, sizeof(Slot))
        memset(&self._lost, 0, sizeof(Slot))
        self._lost.id = -1
        self._callback.id = SLOT_CALLBACK
        self._callback.keep_all = True
        self._next_slot = FIRST_FREE_SLOT

    def __init__(self, Handle handle not None, int retries=3, bint acks_none=False):
        if self._lock != NULL:
            raise RuntimeError("this Delivery is open already")
        self._lock = PyThread_allocate_lock()
        self._never = PyThread_allocate_lock()
        self._slots = <Slot**>calloc(FIRST_FREE_SLOT + 62, sizeof(Slot*))
        if self._lock == NULL or self._never == NULL or self._slots == NULL:
            raise MemoryError()
        PyThread_acquire_lock(self._never, WAIT_LOCK)
        self._n_slots = FIRST_FREE_SLOT + 62
        self._slots[SLOT_COUNTED] = &self._counted
        self._slots[SLOT_CALLBACK] = &self._callback
        self.handle = handle
        self.acks_none = acks_none
        self._retries = retries
        self.notes = collections.deque(maxlen=1000)

    def __dealloc__(self):
        free(self._slots)
        free(self._finished)
        clear_reports(&self._counted)
        clear_reports(&self._callback)
        if self._lock != NULL:
            PyThread_free_lock(self._lock)
        if self._never != NULL:
            PyThread_release_lock(self._never)
            PyThread_free_lock(self._never)

    cdef void lock(self) noexcept nogil:
        PyThread_acquire_lock(self._lock, WAIT_LOCK)

    cdef void unlock(self) noexcept nogil:
        PyThread_release_lock(self._lock)

    cdef int attach(self, Slot* slot) except -1:
        """Give a slot its number. It must stay where it is until ``detach()``."""
        cdef int64_t i = 0
        cdef Slot** grown
        cdef bint failed = False
        self.lock()
        if self._n_attached >= self._n_slots - FIRST_FREE_SLOT:
            grown = <Slot**>realloc(self._slots, <size_t>(2 * self._n_slots) * sizeof(Slot*))
            if grown == NULL:
                failed = True
            else:
                memset(grown + self._n_slots, 0, <size_t>self._n_slots * sizeof(Slot*))
                self._slots = grown
                self._next_slot = self._n_slots
                self._n_slots = 2 * self._n_slots
        if not failed:
            # Round and round: with thousands of batches in flight a search from the start would look at them all.
            i = self._next_slot
            for _ in range(self._n_slots):
                if i >= self._n_slots:
                    i = FIRST_FREE_SLOT
                if self._slots[i] == NULL:
                    break
                i += 1
            self._next_slot = i + 1
            slot.id = i
            slot.requests_before = load(&self.handle.wire.produce_requests)
            slot.changes_before = load(&self.handle.wire.broker_changes)
            self._slots[i] = slot
            self._n_attached += 1
            add(&_live_slots, 1)
        self.unlock()
        if failed:
            raise MemoryError()
        return 0

    cdef void detach(self, Slot* slot) noexcept nogil:
        """Forget a slot; a report that still comes for it is only counted."""
        if self.handle._generation != forks():
            return      # a child's copy: the lock may have been held when the process was forked
        self.lock()
        if slot.done < slot.expected:
            # Its number stands in records on their way: a new slot under it would get their reports.
            self._slots[slot.id] = &self._lost
        else:
            self._slots[slot.id] = NULL
            self._n_attached -= 1
        add(&_live_slots, -1)
        self.unlock()

    cdef void seal(self, Slot* slot) noexcept nogil:
        """Say that nothing more will be enqueued under this slot, so that its end can be announced."""
        self.lock()
        slot.sealed = True
        self._announce(slot)
        self.unlock()
        self.served_until = 0.0       # this sender has ended, see attend()
        self._wake_sleeper()

    cdef void _announce(self, Slot* slot) noexcept nogil:
        cdef int64_t* grown
        cdef int64_t room
        if not slot.sealed or slot.announced or slot.done < slot.expected:
            return
        if self._n_finished == self._finished_room:
            room = self._finished_room * 2 if self._finished_room else 64
            grown = <int64_t*>realloc(self._finished, <size_t>room * sizeof(int64_t))
            if grown == NULL:
                return
            self._finished = grown
            self._finished_room = room
        self._finished[self._n_finished] = slot.id
        self._n_finished += 1
        slot.announced = True
        add(&self.python_work, 1)

    cdef int serve(self, int timeout_ms) noexcept nogil:
        """Wait up to ``timeout_ms`` for an event, then take all there are. Returns how many. GIL: not needed."""
        cdef int n = self._drain(rd.queue_poll(self.handle.queue, timeout_ms))
        if n:
            self._wake_sleeper()
        return n

    cdef int _drain(self, rd_kafka_event_t* event) noexcept nogil:
        cdef int n = 0, kind
        while event != NULL:
            n += 1
            kind = rd.event_type(event)
            if kind == RD_KAFKA_EVENT_DR:
                self._take_reports(event)
            elif kind != 0:
                self._take_note(event, kind)
            rd.event_destroy(event)
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
        cdef int64_t bytes_done, written, id, last_id = -1, index, timestamp = -1
        cdef int timestamp_type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        cdef int8_t verdict
        cdef bint timed = False
        cdef Slot* slot = NULL
        cdef Rows* rows = NULL
        cdef Report report
        cdef uint64_t opaque
        n = rd.event_message_array(event, messages, CHUNK)
        self.lock()
        self.counters.requests += 1
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
                    slot = self._slots[id] if id < self._n_slots else NULL
                    rows = slot.rows if slot != NULL else NULL
                if message.err == 0 and (message.offset >= 0 or self.acks_none):
                    if not timed:
                        # One answer, one timestamp type; for LogAppendTime one time for all its records.
                        timestamp = rd.message_timestamp(message, &timestamp_type)
                        timed = True
                    written += 1
                    if slot == NULL:
                        continue
                    slot.done += 1
                    slot.written += 1
                    if rows != NULL:
                        rows.offsets[index] = message.offset if message.offset >= 0 else -1
                        if timestamp_type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME:
                            _note_append_time(rows, index, timestamp)
                        rows.timestamp_type = timestamp_type
                    if not slot.keep_all:
                        continue
                    verdict = VERDICT_WRITTEN
                else:
                    verdict = self._judge(slot, message)
                    if verdict == VERDICT_NOT_WRITTEN:
                        self.counters.not_written += 1
                    else:
                        self.counters.unknown += 1
                    if slot == NULL:
                        continue
                    slot.done += 1
                report.index = index
                report.topic = message.rkt
                report.offset = message.offset if message.offset >= 0 else -1
                report.partition = message.partition
                report.error = message.err
                report.timestamp = rd.message_timestamp(message, &report.timestamp_type)
                report.verdict = verdict
                report.retriable = 0
                _keep(slot, &report)
                if id < FIRST_FREE_SLOT:
                    add(&self.python_work, 1)
            self.counters.written += written
            add(&self.counters.done, <int64_t>n)
            add(&self.counters.done_bytes, bytes_done)
            if CHECKED:
                self._check()
            n = rd.event_message_array(event, messages, CHUNK)
        if slot != NULL:
            self._announce(slot)
        self.unlock()

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

    cdef int8_t _judge(self, Slot* slot, const rd_kafka_message_t* message) noexcept nogil:
        """The verdict of a record without an acknowledgement. Under the lock."""
        cdef int64_t attempts = load(&self.handle.wire.produce_requests)
        cdef int64_t changes = load(&self.handle.wire.broker_changes)
        if slot != NULL:
            attempts -= slot.requests_before
            changes -= slot.changes_before
        return verdict_of(message.err, rd.message_status(message), attempts, self._retries, changes <= 1,
                          message.offset, self.acks_none)

    cdef void _take_note(self, rd_kafka_event_t* event, int kind) noexcept nogil:
        """Keep a log line, an error or a statistics text for whoever holds the GIL next. Rare, so it takes the GIL."""
        cdef const char* facility = NULL
        cdef const char* text = NULL
        cdef int level = 3
        if kind == RD_KAFKA_EVENT_LOG:
            rd.event_log(event, &facility, &text, &level)
        elif kind == RD_KAFKA_EVENT_ERROR:
            level = rd.event_error(event)
            text = rd.event_error_string(event)
        elif kind == RD_KAFKA_EVENT_STATS:
            text = rd.event_stats(event)
        if text == NULL:
            return
        with gil:
            self._keep_note(kind, level, facility, text)
        add(&self.python_work, 1)

    cdef void _keep_note(self, int kind, int level, const char* facility, const char* text) noexcept:
        try:
            origin = b"" if facility == NULL else <bytes>facility
            self.notes.append((kind, level, origin.decode("utf-8", "replace"),
                               (<bytes>text).decode("utf-8", "replace")))
        except Exception:       # out of memory while noting a log line: the records matter more
            pass

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

    @property
    def violations(self):
        """int: how often the accounting did not add up; counted in debug builds (``TWOLANE_DEBUG=1``) only."""
        return self._violations

    @property
    def attached(self):
        """int: slots in use, for the tests that look for lost ones."""
        return self._n_attached

    def attend(self, double timeout=0.1):
        """Serve the queue until there is work for Python, or for `timeout` seconds. For the service thread alone.

        Returns
        -------
        int
            Events taken.

        Notes
        -----
        GIL: released. Stands aside while another thread sends fast or waits for room: that one takes the reports itself,
        a record's memory is best freed by the thread that allocated it, and librdkafka's queue has one lock.
        """
        cdef int64_t rounds = <int64_t>(timeout * 1_000_000) // ASIDE_US
        cdef int n = 0
        self.handle.ensure_open()
        with nogil:
            while rounds > 0 and load(&self.python_work) == 0:
                if load(&self.waiters) == 0 and monotonic() > self.served_until:
                    # Before the look at python_work: whoever raises it after that sees a sleeper and wakes it.
                    add(&self.sleeping, 1)
                    n = self._drain(rd.queue_poll(self.handle.queue, 0 if load(&self.python_work) > 0
                                                  else <int>(timeout * 1000)))
                    add(&self.sleeping, -1)
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
        cdef int64_t n
        cdef int64_t* finished
        self.lock()
        add(&self.python_work, -load(&self.python_work))
        finished, n = self._finished, self._n_finished
        self._finished = NULL
        self._n_finished = 0
        self._finished_room = 0
        self.unlock()
        try:
            return [finished[i] for i in range(n)]
        finally:
            free(finished)

    def take_failures(self):
        """Return and forget the failures of records nobody waits for: [(topic, report)], and how many were not kept."""
        dropped = self._counted.reports_dropped
        self._counted.reports_dropped = 0
        return self._take(&self._counted), dropped

    cdef list _take(self, Slot* slot):
        cdef Report* reports
        cdef Report* report
        cdef int64_t i, n
        cdef Topic topic
        self.lock()
        reports, n = slot.reports, slot.n_reports
        slot.reports = NULL
        slot.n_reports = 0
        slot.reports_room = 0
        self.unlock()
        taken = []
        names = {}
        try:
            if n:
                for topic in list(self.handle._topics.values()):
                    names[<uintptr_t>topic.rkt] = topic.name
            for i in range(n):
                report = &reports[i]
                taken.append((names.get(<uintptr_t>report.topic, ""),
                              (report.index, report.error, report.verdict, report.partition, report.offset,
                               report.timestamp, report.timestamp_type)))
        finally:
            free(reports)
        return taken

    def wake(self):
        """Make a thread that waits in ``poll()`` return early (``rd_kafka_queue_yield``)."""
        self.handle.ensure_open()
        rd.queue_yield(self.handle.queue)

    def take_notes(self):
        """Return and forget the log lines, errors and statistics kept since the last call."""
        taken = []
        while self.notes:
            taken.append(self.notes.popleft())
        return taken

    def __reduce__(self):
        raise TypeError("a Delivery cannot be pickled")
