"""The safe lane's engine: in every partition one MessageSet at a time, and nothing behind a failure.

Why not librdkafka's own settings: with ``max.in.flight=1`` and idempotence off a second request is already built while
the first is in flight, and overtakes the first one's retry (docs/hazards.md, F1); with idempotence on a request that
fails for good leaves a gap that later ones step over. So no record enters librdkafka
while one before it in its partition is unacknowledged, except in the same MessageSet.

How a chunk becomes exactly one MessageSet (F6): its partition is paused, the records are enqueued, the partition is
resumed, and ``rd_kafka_flush(0)`` wakes the broker threads, which would otherwise look up to a second later. A chunk of
one record needs none of that.

The first chunk of a partition that was idle is one record. Nothing but an ordinary enqueue makes librdkafka connect to a
leader at once (flush wakes connected brokers only), and with idempotence a first request that is acknowledged alone is
what keeps librdkafka from inferring acknowledgements that never were (F4).

Time is kept here, per chunk: librdkafka's own ``message.timeout.ms`` takes the records of a chunk one by one, so that
its head could be given up and its tail still be written. It is set later than the lane's, as a net.
"""
cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.time cimport monotonic
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from twolane.client.atomic cimport add, load
from twolane.reports.reader cimport ReportReader
from twolane.produce.record_slice cimport Enqueued, RecordSlice, enqueue
from twolane.client.handle cimport Handle, Topic
from twolane.client.library cimport rd
from twolane.reports.call_result cimport CallResult, take_reports
from twolane.safe.partition_queue cimport PartitionQueue, all_enqueued, by_partition, chunk_end, is_in_flight
from twolane.reports.trackers cimport FIRST_CALL_ID, OffsetColumns, clear_reports
from twolane.librdkafka cimport *

from contextlib import suppress
from threading import Thread

from twolane.errors import ClosedProducerError, Verdict
from twolane.results import DeliveryReport
from twolane.verdicts import OUT_OF_TIME

cdef enum:
    IDLE_SECONDS = 30           # after which a partition's first chunk is one record again
    SLICE_MS = 100              # how long a wait may keep Ctrl-C waiting
    GIVE_UP_SECONDS = 1         # after a purge: what has no report by then is unknown
    # librdkafka counts the whole request against batch.size: the MessageSet's header (61 bytes), the fields around it, and
    # the topic's name (249 at most). Too little here, and a chunk becomes two MessageSets.
    MESSAGESET_OVERHEAD = 512

# When one partition's chunk has used up its time: how long those of other partitions get to end by themselves.
cdef double SETTLE_SECONDS = 0.3
cdef double NEVER = float("inf")

# How long a call waits for the purges of the one before: a broker thread in a name look-up takes none.
cdef double SWEEP_SECONDS = 2


def _purge_behind(Handle handle not None):
    """Purge what is queued, and wait until every broker thread has come to it."""
    with suppress(ClosedProducerError):
        handle.purge(False)


@cython.final
cdef class OrderedSender:
    """Sends Feeds in ordered chunks and waits. One call at a time: the lane above lets callers in one by one.

    Parameters
    ----------
    handle, delivery
    chunk_records : int
        ``batch.num.messages``.
    chunk_bytes : int
        The smaller of ``batch.size`` and ``message.max.bytes``, less the names that every request carries.
    patience : float
        Seconds that a chunk may stay unacknowledged; then it is purged as a whole.
    retry_seconds : float, optional
        The shortest time that a refused record waits for its retry, where idempotence is on: see `send()`.
    """

    def __init__(self, Handle handle not None, ReportReader delivery not None, int64_t chunk_records, int64_t chunk_bytes,
                 double patience=NEVER, retry_seconds=None):
        self._handle = handle
        self._delivery = delivery
        self.chunk_records = max(1, chunk_records)
        self.chunk_bytes = max(1, chunk_bytes - MESSAGESET_OVERHEAD)
        self._patience = patience
        self._renumbers = retry_seconds is not None
        self._retry_look_ms = SLICE_MS
        if self._renumbers:
            self._retry_look_ms = <int>max(1.0, min(<double>SLICE_MS, <double>retry_seconds * 1000 / 4))
        self._last_used = {}
        self._end_by = NEVER

    def end_by(self, double deadline):
        """Let no call last longer than that, not even the one in progress: the producer closes."""
        self._end_by = min(self._end_by, deadline)

    def send(self, Topic topic not None, RecordSlice feed not None, CallResult outcome not None, int64_t first_index,
             double deadline):
        """Send a feed in order and wait until every record that was enqueued has its report.

        Parameters
        ----------
        topic : Topic
            Its partitions are known to librdkafka (``Handle.fetch_partitions``).
        feed : RecordSlice
            Its partitions exist.
        outcome : CallResult
            Takes the offsets and, as its ``ends``, what became of the rest: see there.
        first_index : int
            Index in `outcome` of the feed's record 0.
        deadline : float
            ``time.monotonic()`` after which everything unacknowledged is purged.

        Notes
        -----
        What a signal handler raises ends the call too: unacknowledged records are purged and reported, and the caller,
        once it has noted ``outcome.unacknowledged``, asks ``take_interruption()`` for what to raise.

        After a failure in one partition no chunk is begun, and those in flight in other partitions may end. With
        idempotence, what waits for a retry there is purged: librdkafka is about to number the records anew, and would
        write a record twice that had been appended before its answer was lost (F13).

        GIL: released while records are enqueued and while waiting; signals are looked at every 100 ms.
        """
        cdef int64_t n_runs = 0, i
        cdef int64_t* order = NULL
        cdef PartitionQueue* runs = NULL
        self._handle.ensure_open()
        outcome.unacknowledged = ([], [], 0)
        if feed.n == 0:
            return
        outcome.unacknowledged = None
        feed.make_headers()
        self._handle.hold()
        try:
            runs = by_partition(feed, &order, &n_runs)
            self._run(topic, feed, order, runs, n_runs, first_index, &outcome.columns, deadline)
            self._detach(runs, n_runs)
            for i in range(n_runs):
                outcome.tracker.written += runs[i].tracker.written
                outcome.tracker.done += runs[i].tracker.done
                outcome.tracker.expected += runs[i].tracker.expected
            outcome.unacknowledged = self._collect(topic, runs, n_runs, order, first_index, &outcome.columns)
        finally:
            self._let_go(runs, n_runs)
            free(runs)
            free(order)
            self._handle.release()

    cdef tuple send_one(self, Topic topic, RecordSlice feed, OffsetColumns* rows, double deadline):
        """Send the feed's only record and wait for its report.

        Returns None if it is acknowledged, else what ``CallResult.unacknowledged`` says. The caller asks ``take_interruption()``.
        """
        cdef PartitionQueue run
        memset(&run, 0, sizeof(run))
        run.partition = feed.partitions[0]
        run.stop = 1
        self._handle.hold()
        try:
            self._run(topic, feed, NULL, &run, 1, 0, rows, deadline)
            self._detach(&run, 1)
            if run.tracker.written:
                self._last_used[(topic.name, run.partition)] = monotonic()
                return None
            return self._collect(topic, &run, 1, NULL, 0, rows)
        finally:
            self._let_go(&run, 1)
            self._handle.release()

    cpdef object take_interruption(self):
        """Return and forget what a signal handler raised during the call, or None."""
        interruption, self._interruption = self._interruption, None
        return interruption

    cdef int _run(self, Topic topic, RecordSlice feed, const int64_t* order, PartitionQueue* runs, int64_t n_runs, int64_t first_index,
                  OffsetColumns* rows, double deadline) except -1:
        """Enqueue chunk after chunk until all is reported, or something ends it."""
        cdef double now = monotonic(), purge_at, give_up = 0
        cdef int64_t i, left
        cdef int wait_ms
        cdef bint may_go, leaves_purges = False
        self._failed = self._purged = self._out_of_time = False
        self._refusal = 0
        self._interruption = None
        if self._sweeper is not None:
            self._await_sweeper(min(deadline, self._end_by))
            now = monotonic()
        for i in range(n_runs):
            runs[i].warm = now - <double>self._last_used.get((topic.name, runs[i].partition), -NEVER) < IDLE_SECONDS
            runs[i].tracker.columns = rows
            self._delivery.attach(&runs[i].tracker)
        while True:
            deadline = min(deadline, self._end_by)
            # First what came of the chunks before: nothing may follow a failure.
            left = self._in_flight(runs, n_runs)
            now = monotonic()
            may_go = not self._failed and self._interruption is None and now < deadline
            if may_go and self._start_chunks(topic, feed, order, runs, n_runs, first_index):
                left = self._in_flight(runs, n_runs)
            if left == 0:
                if not may_go or self._failed or all_enqueued(runs, n_runs):
                    break
                continue
            purge_at = self._purge_at(runs, n_runs, deadline, now)
            if now >= purge_at and not self._purged:
                self._purged = True
                leaves_purges = True
                self._out_of_time = self._interruption is None and now < self._end_by
                give_up = now + GIVE_UP_SECONDS
                with nogil:
                    # Without waiting for the broker threads: one of them may sit in a name look-up.
                    rd.purge(self._handle.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT
                             | RD_KAFKA_PURGE_F_NON_BLOCKING)
            elif self._failed and self._renumbers and not self._purged:
                leaves_purges = True
                with nogil:
                    rd.purge(self._handle.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING)
            if self._purged and now >= give_up:
                break
            wait_ms = self._retry_look_ms if self._failed else SLICE_MS
            if not self._purged:
                wait_ms = <int>max(0.0, min(<double>wait_ms, (purge_at - now) * 1000 + 1))
            with nogil:
                self._delivery.poll_ms(wait_ms)
            try:
                PyErr_CheckSignals()
            except BaseException as raised:  # noqa: BLE001 - raised by the caller, after the verdicts are in
                self._interruption = raised if self._interruption is None else self._interruption
        if leaves_purges:
            self._sweep()

    cdef int _sweep(self) except -1:
        """See to it that the purges of this call meet no record of the next.

        They were left with the broker threads, and the call ends when its reports are in; a thread that had none to
        give may not have come to its purge yet. One more, behind them, is waited for, by a thread that may do so.
        """
        self._sweeper = Thread(target=_purge_behind, args=(self._handle,), name="twolane-sweep", daemon=True)
        try:
            self._sweeper.start()
        except RuntimeError:    # no more threads, or the interpreter ends: what the next call meets is told as a purge
            self._sweeper = None

    cdef int _await_sweeper(self, double deadline) except -1:
        """Wait until the broker threads are done with the purges of the call before, or are known to hang."""
        sweeper, self._sweeper = self._sweeper, None
        try:
            sweeper.join(max(0.0, min(SWEEP_SECONDS, deadline - monotonic())))
        except BaseException as raised:  # noqa: BLE001 - as in _run()
            self._interruption = raised

    cdef double _purge_at(self, PartitionQueue* runs, int64_t n_runs, double deadline, double now) noexcept nogil:
        """When to purge what is in flight. GIL: not needed."""
        cdef double soonest = NEVER
        cdef bint others = False
        cdef int64_t i
        if self._interruption is not None:
            return now
        for i in range(n_runs):
            if is_in_flight(&runs[i]):
                soonest = min(soonest, runs[i].began + self._patience)
                others = others or runs[i].began + self._patience > now
        if soonest <= now:
            self._failed = True
            soonest = soonest + SETTLE_SECONDS if others else now
        return min(deadline, soonest)

    cdef int64_t _in_flight(self, PartitionQueue* runs, int64_t n_runs) noexcept nogil:
        """Records enqueued and not reported; also notes failures. GIL: not needed."""
        cdef int64_t i, k, left = 0
        self._delivery.lock()
        for i in range(n_runs):
            left += runs[i].tracker.expected - runs[i].tracker.done
            if runs[i].tracker.n_reports or runs[i].tracker.reports_dropped:
                self._failed = True
            elif runs[i].open and not is_in_flight(&runs[i]):
                # Acknowledged: one ProduceRequest at least was this chunk's. Where it was sent later than a chunk still in
                # flight was enqueued, that one has had so many fewer, which its verdict may hang on.
                runs[i].open = False
                for k in range(n_runs):
                    if runs[k].open and runs[k].round <= runs[i].round:
                        runs[k].tracker.requests_before += 1
        self._delivery.unlock()
        return left

    cdef int _start_chunks(self, Topic topic, RecordSlice feed, const int64_t* order, PartitionQueue* runs, int64_t n_runs,
                           int64_t first_index) except -1:
        """Enqueue the next chunk of every partition that has none in flight. Returns how many there were."""
        cdef int64_t i, n_idle = 0, n_several = 0
        cdef Enqueued part
        cdef ReportReader delivery = self._delivery
        cdef rd_kafka_topic_partition_list_t* held = NULL
        cdef const char* name = topic.encoded_name
        for i in range(n_runs):
            runs[i].chunk_stop = runs[i].next
            if runs[i].next < runs[i].stop and not is_in_flight(&runs[i]):
                if runs[i].next + 1 < runs[i].stop and (runs[i].warm or runs[i].tracker.done):
                    with nogil:
                        runs[i].chunk_stop = chunk_end(feed, order, &runs[i], self.chunk_records, self.chunk_bytes)
                else:
                    runs[i].chunk_stop = runs[i].next + 1
                n_idle += 1
                n_several += runs[i].chunk_stop > runs[i].next + 1
        if n_idle == 0:
            return 0
        self._round += 1
        if load(&delivery.counters.accepted) == load(&delivery.counters.done):
            # Nothing is in flight: whichever broker comes first, it is no change (see ReportReader._read_reports).
            self._handle.wire.last_broker = -2
            for i in range(n_runs):
                runs[i].tracker.changes_before = load(&self._handle.wire.broker_changes)
        for i in range(n_runs):
            if runs[i].chunk_stop > runs[i].next:
                runs[i].tracker.requests_before = load(&self._handle.wire.produce_requests)
                runs[i].round = self._round
        with nogil:
            if n_several:
                held = rd.topic_partition_list_new(<int>n_several)
                for i in range(n_runs):
                    if runs[i].chunk_stop > runs[i].next + 1:
                        rd.topic_partition_list_add(held, name, runs[i].partition)
                rd.pause_partitions(self._handle.rk, held)
            for i in range(n_runs):
                if runs[i].chunk_stop == runs[i].next:
                    continue
                self.started += 1
                add(&delivery.counters.accepted, runs[i].chunk_stop - runs[i].next)
                add(&runs[i].tracker.expected, runs[i].chunk_stop - runs[i].next)
                part = enqueue(self._handle.rk, topic.rkt, feed, order, runs[i].next, runs[i].chunk_stop,
                               runs[i].tracker.id, first_index, NULL)
                add(&delivery.counters.accepted_bytes, part.bytes)
                runs[i].next += part.n
                runs[i].open = part.n > 0
                runs[i].began = monotonic()
                if part.error:
                    # Everything was checked before, so this is no ordinary refusal (fatal error, no memory): stop.
                    add(&delivery.counters.accepted, runs[i].next - runs[i].chunk_stop)
                    add(&runs[i].tracker.expected, runs[i].next - runs[i].chunk_stop)
                    self._refusal = part.error
                    self._failed = True
                    break
            if held != NULL:
                rd.resume_partitions(self._handle.rk, held)
                rd.flush(self._handle.rk, 0)
                rd.topic_partition_list_destroy(held)
        return <int>n_idle

    cdef tuple _collect(self, Topic topic, PartitionQueue* runs, int64_t n_runs, const int64_t* order, int64_t first_index,
                        OffsetColumns* rows):
        """The failures of all runs and what was never enqueued, both in the order of the call: ``CallResult.unacknowledged``."""
        cdef int64_t i, k, index
        cdef double now = monotonic()
        failures = []
        not_sent = []
        for i in range(n_runs):
            if runs[i].tracker.n_reports:
                self._last_used.pop((topic.name, runs[i].partition), None)
            elif runs[i].tracker.written:
                self._last_used[(topic.name, runs[i].partition)] = now
            reports = take_reports(&runs[i].tracker)
            if self._out_of_time:
                reports = [report._replace(error=OUT_OF_TIME.get(report.error, report.error)) for report in reports]
            if is_in_flight(&runs[i]):
                # Purged, but no report came in time: these may still be written.
                reported = {report.index for report in reports}
                for k in range(runs[i].start, runs[i].next):
                    index = first_index + (order[k] if order != NULL else k)
                    if rows.offsets[index] < 0 and index not in reported:
                        reports.append(DeliveryReport(index, RD_KAFKA_RESP_ERR__TIMED_OUT, Verdict.UNKNOWN, runs[i].partition))
            failures += reports
            for k in range(runs[i].next, runs[i].stop):
                not_sent.append(first_index + (order[k] if order != NULL else k))
        failures.sort()
        not_sent.sort()
        return failures, not_sent, self._refusal

    cdef void _detach(self, PartitionQueue* runs, int64_t n_runs) noexcept:
        """Let no more reports in: from here on the trackers stand still."""
        cdef int64_t i
        for i in range(n_runs):
            if runs[i].tracker.id >= FIRST_CALL_ID:      # no memory may have come before attach()
                self._delivery.detach(&runs[i].tracker)
                runs[i].tracker.id = 0

    cdef void _let_go(self, PartitionQueue* runs, int64_t n_runs) noexcept:
        cdef int64_t i
        self._detach(runs, n_runs)
        for i in range(n_runs):
            clear_reports(&runs[i].tracker)

    def __reduce__(self):
        raise TypeError("a OrderedSender cannot be pickled")
