"""Keep one MessageSet in flight in each partition, and send nothing after a failure: how the safe lane keeps order.

Why not librdkafka's own settings: with ``max.in.flight=1`` and idempotence off a second request is already built while
the first is in flight, and overtakes the first one's retry (docs/hazards.md, F1); with idempotence on a request that
fails for good leaves a gap that later ones step over. So no record enters librdkafka
while one before it in its partition is unacknowledged, except in the same MessageSet.

How a chunk becomes exactly one MessageSet (F6): its partition is paused, the records are enqueued, the partition is
resumed, and ``rd_kafka_flush(0)`` wakes the broker threads, which would otherwise look up to a second later. What pausing
and resuming leave behind in librdkafka is removed (F32). A chunk of one record needs none of that.

The first chunk of a partition that was idle is one record. Nothing but an ordinary enqueue makes librdkafka connect to a
leader at once (flush wakes connected brokers only), and with idempotence a first request that is acknowledged alone is
what keeps librdkafka from inferring acknowledgements that never were (F4).

Time is kept here, per chunk: librdkafka's own ``message.timeout.ms`` takes the records of a chunk one by one, so that
its first records could be given up and its last ones still be written. It is set later than the lane's, for what that misses.
"""
cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.time cimport monotonic
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from twolane.batch cimport span_at
from twolane.client.atomic cimport add, load
from twolane.reports.classify cimport VERDICT_NOT_WRITTEN, VERDICT_UNKNOWN, is_record_at_fault, verdict_of
from twolane.reports.reader cimport Counters, ReportReader
from twolane.produce.record_slice cimport Enqueued, RecordSlice, enqueue
from twolane.client.handle cimport Handle, Topic
from twolane.client.library cimport rd
from twolane.reports.call_result cimport CallResult, take_reports
from twolane.reports.producer_ids cimport end_numbered_wrong
from twolane.safe.partition_queue cimport (
    DOUBTED, KNOWN, TRIED, PartitionQueue, all_enqueued, by_partition, chunk_end, is_in_flight,
)
from twolane.reports.trackers cimport FIRST_CALL_ID, CallTracker, OffsetColumns, Report, clear_reports
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
# In place of the time of a partition's last acknowledgement.
cdef double FAILED = -NEVER

# How long a call waits for the purges of the one before: a broker thread in a name look-up takes none.
cdef double PURGE_WAIT_SECONDS = 2


def _purge_behind(Handle handle not None):
    """Purge what is queued, and wait until every broker thread has come to it."""
    with suppress(ClosedProducerError):
        handle.purge(False)


@cython.final
cdef class OrderedSender:
    """Send records in chunks, the next of a partition once the last is acknowledged. One call at a time, under the FairLock.

    Parameters
    ----------
    handle, delivery : the client, and where its reports are read
    chunk_records : int
        ``batch.num.messages``.
    chunk_bytes : int
        The smaller of ``batch.size`` and ``message.max.bytes``, less the names that every request carries.
    batch_timeout : float
        Seconds that a chunk may stay unacknowledged; then it is purged as a whole.
    retry_seconds : float, optional
        The shortest time that a refused record waits for its retry, where idempotence is on: see `send()`.
    stops_all : bool
        Any failure ends the call. Else a record that a broker refuses for what it is ends its partition.
    """

    def __init__(self, Handle handle not None, ReportReader delivery not None, int64_t chunk_records, int64_t chunk_bytes,
                 double batch_timeout=NEVER, retry_seconds=None, bint stops_all=False):
        self._handle = handle
        self._reader = delivery
        self.chunk_records = max(1, chunk_records)
        self.chunk_bytes = max(1, chunk_bytes - MESSAGESET_OVERHEAD)
        self.batch_timeout = batch_timeout
        self._idempotent = retry_seconds is not None
        self._stops_all = stops_all
        self._retry_look_ms = SLICE_MS
        if self._idempotent:
            self._retry_look_ms = <int>max(1.0, min(<double>SLICE_MS, <double>retry_seconds * 1000 / 4))
        self._last_used = {}
        self._end_by = NEVER

    def end_by(self, double deadline):
        """Let no call last longer than that, not even the one in progress: the producer closes."""
        self._end_by = min(self._end_by, deadline)

    def send(self, Topic topic not None, RecordSlice records not None, CallResult result not None, int64_t first_index,
             double deadline, stopped=frozenset()):
        """Send records in order and wait until every record that was enqueued has its report.

        Parameters
        ----------
        topic : Topic
            Its partitions are known to librdkafka (``Handle.fetch_partitions``).
        records : RecordSlice
            Its partitions exist.
        result : CallResult
            Takes the offsets and, as ``unacknowledged``, what became of the rest.
        first_index : int
            Index in `result` of the slice's record 0.
        deadline : float
            ``time.monotonic()`` after which everything unacknowledged is purged.
        stopped : set of int
            Partitions of which nothing is sent: a record of the call failed there before.

        Returns
        -------
        bool
            Whether the call's next records may be sent, but for those of partitions where one has failed.

        Notes
        -----
        What a signal handler raises ends the call too: unacknowledged records are purged and reported, and the caller,
        once it has noted ``result.unacknowledged``, asks ``take_interruption()`` for what to raise.

        After a failure nothing is enqueued until all that is in flight is reported. With idempotence, what waits in a queue is
        purged meanwhile: librdkafka is about to number the records anew, and would write a record twice that had been
        appended before its answer was lost (F13). If the brokers refused records for what they are, the other partitions
        then go on; what was purged and had never been in a request is enqueued again.

        GIL: released while records are enqueued and while waiting; signals are looked at every 100 ms.
        """
        cdef int64_t n_queues = 0, i
        cdef int64_t* order = NULL
        cdef PartitionQueue* queues = NULL
        self._handle.ensure_open()
        result.unacknowledged = ([], [], 0)
        if records.n == 0:
            return True
        result.unacknowledged = None
        records.make_headers()
        self._handle.hold()
        try:
            queues = by_partition(records, &order, &n_queues)
            if stopped:
                for i in range(n_queues):
                    queues[i].has_failed = queues[i].partition in stopped
            self._run(topic, records, order, queues, n_queues, first_index, &result.columns, deadline)
            self._detach(queues, n_queues)
            for i in range(n_queues):
                result.tracker.written += queues[i].tracker.written
                result.tracker.done += queues[i].tracker.done
                result.tracker.expected += queues[i].tracker.expected
            result.unacknowledged = self._collect(topic, queues, n_queues, order, first_index, &result.columns)
            return not self._failed and self._interruption is None and all_enqueued(queues, n_queues)
        finally:
            self._clear(queues, n_queues)
            free(queues)
            free(order)
            self._handle.release()

    cdef tuple send_one(self, Topic topic, RecordSlice records, OffsetColumns* rows, double deadline):
        """Send the only record and wait for its report.

        Returns None if it is acknowledged, else what ``CallResult.unacknowledged`` says. The caller asks ``take_interruption()``.
        """
        cdef PartitionQueue queue
        memset(&queue, 0, sizeof(queue))
        queue.partition = records.partitions[0]
        queue.stop = 1
        self._handle.hold()
        try:
            self._run(topic, records, NULL, &queue, 1, 0, rows, deadline)
            self._detach(&queue, 1)
            if queue.tracker.written:
                self._last_used[(topic.name, queue.partition)] = monotonic()
                return None
            return self._collect(topic, &queue, 1, NULL, 0, rows)
        finally:
            self._clear(&queue, 1)
            self._handle.release()

    cpdef object take_interruption(self):
        """Return and forget what a signal handler raised during the call, or None."""
        interruption, self._interruption = self._interruption, None
        return interruption

    cdef int _run(self, Topic topic, RecordSlice records, const int64_t* order, PartitionQueue* queues, int64_t n_queues, int64_t first_index,
                  OffsetColumns* rows, double deadline) except -1:
        """Enqueue chunk after chunk until all is reported, or something ends it."""
        cdef double now = monotonic(), purge_at, give_up = 0
        cdef int64_t i, left
        cdef int wait_ms
        cdef bint may_go, leaves_purges = False
        self._failed = self._draining = self._purged = self._out_of_time = False
        self._refusal = 0
        self._answered = 0
        self._is_doubted = False
        self._interruption = None
        if self._purge_thread is not None:
            self._await_purge(min(deadline, self._end_by))
            now = monotonic()
        self._requests_before = load(&self._handle.wire.produce_requests)
        for i in range(n_queues):
            last_used = self._last_used.get((topic.name, queues[i].partition))
            queues[i].connected = last_used is not None and now - <double>last_used < IDLE_SECONDS
            if not queues[i].connected and self._idempotent and last_used is not None and <double>last_used == FAILED:
                queues[i].numbers = DOUBTED
                self._is_doubted = True
            queues[i].tracker.columns = rows
            self._reader.attach(&queues[i].tracker)
        while True:
            deadline = min(deadline, self._end_by)
            # First what came of the chunks before: nothing may follow a failure.
            left = self._in_flight(queues, n_queues)
            now = monotonic()
            may_go = not self._failed and self._interruption is None and now < deadline
            if may_go and not self._draining and self._start_chunks(topic, records, order, queues, n_queues, first_index):
                left = self._in_flight(queues, n_queues)
            if left == 0:
                if not may_go or self._failed:
                    break
                if self._draining:
                    self._draining = False
                    self._failed = not self._may_continue(records, order, queues, n_queues)
                    if leaves_purges and not self._failed:
                        self._finish_purge()
                        self._failed = not self._await_purge(min(deadline, self._end_by))
                        leaves_purges = self._failed
                elif all_enqueued(queues, n_queues):
                    break
                continue
            purge_at = self._purge_at(queues, n_queues, deadline, now)
            if now >= purge_at and not self._purged:
                self._purged = True
                leaves_purges = True
                self._out_of_time = self._interruption is None and now < self._end_by
                give_up = now + GIVE_UP_SECONDS
                with nogil:
                    # Without waiting for the broker threads: one of them may sit in a name look-up.
                    rd.purge(self._handle.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT
                             | RD_KAFKA_PURGE_F_NON_BLOCKING)
            elif (self._failed or self._draining) and self._idempotent and not self._purged:
                leaves_purges = True
                with nogil:
                    rd.purge(self._handle.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING)
            if self._purged and now >= give_up:
                break
            wait_ms = self._retry_look_ms if self._failed or self._draining else SLICE_MS
            if not self._purged:
                wait_ms = <int>max(0.0, min(<double>wait_ms, (purge_at - now) * 1000 + 1))
            with nogil:
                self._reader.poll_ms(wait_ms)
            try:
                PyErr_CheckSignals()
            except BaseException as raised:  # noqa: BLE001 - raised by the caller, after the verdicts are in
                self._interruption = raised if self._interruption is None else self._interruption
        if leaves_purges:
            self._finish_purge()

    cdef int _finish_purge(self) except -1:
        """Start a thread that purges once more and waits for it, so that the purges of this call take no record of the next.

        A purge is a message to the broker threads. The call ends when its reports are in, but a broker thread without a
        report to give may not have read its message yet.
        """
        self._purge_thread = Thread(target=_purge_behind, args=(self._handle,), name="twolane-purge", daemon=True)
        try:
            self._purge_thread.start()
        except RuntimeError:    # no more threads, or the interpreter ends: what the next call meets is told as a purge
            self._purge_thread = None

    cdef bint _await_purge(self, double deadline) except -1:
        """Wait until the broker threads have done the purges before; False if one does not get to it."""
        purging, self._purge_thread = self._purge_thread, None
        if purging is None:
            return False
        try:
            purging.join(max(0.0, min(PURGE_WAIT_SECONDS, deadline - monotonic())))
        except BaseException as raised:  # noqa: BLE001 - as in _run()
            self._interruption = raised
        return not purging.is_alive()

    cdef void _reclassify(self, PartitionQueue* queues, int64_t n_queues) noexcept nogil:
        """Classify failures again, now that it is known which requests were those of other partitions. GIL: not needed."""
        cdef int64_t i, k, attempts, requests = load(&self._handle.wire.produce_requests)
        cdef Counters* counters = &self._reader.counters
        cdef Report* report
        self._reader.lock()
        for i in range(n_queues):
            # Two upper bounds of its requests: since it was enqueued, and what the other chunks of the call leave for it.
            attempts = min(requests - queues[i].tracker.requests_before,
                           requests - self._requests_before - (self._answered - queues[i].is_answered))
            for k in range(queues[i].tracker.n_reports):
                report = &queues[i].tracker.reports[k]
                if report.verdict == VERDICT_UNKNOWN and verdict_of(report.error, report.status, attempts, 0, False,
                                                                    report.offset, False) == VERDICT_NOT_WRITTEN:
                    report.verdict = VERDICT_NOT_WRITTEN
                    counters.unknown -= 1
                    counters.not_written += 1
        self._reader.unlock()

    cdef void _take_back(self, PartitionQueue* queue, int64_t size) noexcept nogil:
        """Forget that a chunk of `size` bytes was enqueued, none of which was ever sent. GIL: not needed."""
        cdef CallTracker* tracker = &queue.tracker
        cdef Counters* counters = &self._reader.counters
        self._reader.lock()
        add(&counters.accepted, -tracker.n_reports)
        add(&counters.accepted_bytes, -size)
        add(&counters.done, -tracker.n_reports)
        add(&counters.done_bytes, -size)
        counters.not_written -= tracker.n_reports
        tracker.expected -= tracker.n_reports
        tracker.done -= tracker.n_reports
        clear_reports(tracker)
        self._reader.unlock()
        queue.next = queue.chunk_start
        queue.has_failed = queue.open = False
        queue.numbers, queue.written_before = DOUBTED, tracker.written
        self._is_doubted = True

    cdef bint _may_continue(self, RecordSlice records, const int64_t* order, PartitionQueue* queues,
                            int64_t n_queues) noexcept nogil:
        """Return whether partitions without a failure may go on; if so, what was never sent is taken back.

        GIL: not needed.

        They may if records were refused for what they are. Behind any other error, as of a broker that is away, each
        partition would use up its time for itself.
        """
        cdef int64_t i, k, n, at, size
        cdef CallTracker* tracker
        self._reclassify(queues, n_queues)
        if self._stops_all or rd.fatal_error(self._handle.rk, NULL, 0):
            return False
        for i in range(n_queues):
            tracker = &queues[i].tracker
            if tracker.reports_dropped:
                return False
            for k in range(tracker.n_reports):
                if not (is_record_at_fault(tracker.reports[k].error)
                        or tracker.reports[k].error == RD_KAFKA_RESP_ERR__PURGE_QUEUE):
                    return False
        for i in range(n_queues):
            tracker = &queues[i].tracker
            n = 0
            for k in range(tracker.n_reports):
                n += (tracker.reports[k].error == RD_KAFKA_RESP_ERR__PURGE_QUEUE
                      and tracker.reports[k].verdict == VERDICT_NOT_WRITTEN)
            if n == 0 or n != queues[i].next - queues[i].chunk_start:
                continue
            size = 0
            for k in range(queues[i].chunk_start, queues[i].next):
                at = order[k] if order != NULL else k
                size += span_at(records.values, at).size + (span_at(records.keys, at).size if records.keys != NULL else 0)
            self._take_back(&queues[i], size)
        return True

    cdef double _purge_at(self, PartitionQueue* queues, int64_t n_queues, double deadline, double now) noexcept nogil:
        """Return when to purge what is in flight. GIL: not needed."""
        cdef double soonest = NEVER
        cdef bint others = False
        cdef int64_t i
        if self._interruption is not None:
            return now
        for i in range(n_queues):
            if is_in_flight(&queues[i]):
                soonest = min(soonest, queues[i].sent_at + self.batch_timeout)
                others = others or queues[i].sent_at + self.batch_timeout > now
        if soonest <= now:
            self._failed = True
            soonest = soonest + SETTLE_SECONDS if others else now
        return min(deadline, soonest)

    cdef int64_t _in_flight(self, PartitionQueue* queues, int64_t n_queues) noexcept nogil:
        """Return records enqueued and not reported; also notes failures. GIL: not needed."""
        cdef int64_t i, k, left = 0
        self._reader.lock()
        for i in range(n_queues):
            left += queues[i].tracker.expected - queues[i].tracker.done
            if not (queues[i].tracker.n_reports or queues[i].tracker.reports_dropped):
                if not queues[i].open or is_in_flight(&queues[i]):
                    continue
                queues[i].open = False
            else:
                if not queues[i].has_failed:
                    queues[i].has_failed = self._draining = True
                if (queues[i].is_answered or is_in_flight(&queues[i]) or not queues[i].tracker.n_reports
                        or not queues[i].tracker.reports[0].is_answered):
                    continue
                queues[i].is_answered = True
            # Acknowledged, or refused by a broker: one ProduceRequest at least was this chunk's. Another chunk that was not
            # enqueued later can have been in so many fewer, which its verdict may depend on.
            self._answered += 1
            for k in range(n_queues):
                if k != i and queues[k].open and queues[k].round <= queues[i].round:
                    queues[k].tracker.requests_before += 1
        self._reader.unlock()
        return left

    cdef PartitionQueue* _hold_back(self, PartitionQueue* queues, int64_t n_queues, int* numbers) noexcept nogil:
        """Tell which queues may go on: those of some `numbers`; returned is one that goes alone. GIL: not needed.

        A broker refuses a request whose sequence number does not follow. librdkafka then numbers all partitions anew, without
        a report, and would write a record twice that was appended elsewhere before its answer was lost (F38). So the first
        record of a partition whose numbers are doubted has nothing beside it; those of the others go before.
        """
        cdef PartitionQueue* doubted = NULL
        cdef int64_t i
        for i in range(n_queues):
            if queues[i].numbers == DOUBTED and queues[i].tracker.written > queues[i].written_before:
                queues[i].numbers = TRIED
            if is_in_flight(&queues[i]) or (queues[i].next < queues[i].stop and not queues[i].has_failed):
                if queues[i].numbers == KNOWN:
                    numbers[0] = KNOWN
                    return NULL
                if queues[i].numbers == DOUBTED and (doubted == NULL or is_in_flight(&queues[i])):
                    doubted = &queues[i]
        numbers[0] = TRIED if doubted == NULL else DOUBTED
        return doubted

    cdef int _start_chunks(self, Topic topic, RecordSlice records, const int64_t* order, PartitionQueue* queues, int64_t n_queues,
                           int64_t first_index) except -1:
        """Enqueue the next chunk of every partition that has none in flight. Returns how many there were."""
        cdef int64_t i, n_idle = 0, n_several = 0
        cdef Enqueued part
        cdef ReportReader delivery = self._reader
        cdef rd_kafka_topic_partition_list_t* paused = NULL
        cdef rd_kafka_message_t* none = NULL
        cdef const char* name = topic.encoded_name
        cdef PartitionQueue* alone = NULL
        cdef int numbers = KNOWN
        if self._is_doubted:
            alone = self._hold_back(queues, n_queues, &numbers)
        for i in range(n_queues):
            queues[i].chunk_stop = queues[i].next
            if self._is_doubted and (queues[i].numbers != numbers or (alone != NULL and alone != &queues[i])):
                continue
            if queues[i].next < queues[i].stop and not queues[i].has_failed and not is_in_flight(&queues[i]):
                if queues[i].next + 1 < queues[i].stop and (queues[i].connected or queues[i].tracker.done):
                    with nogil:
                        queues[i].chunk_stop = chunk_end(records, order, &queues[i], self.chunk_records, self.chunk_bytes)
                else:
                    queues[i].chunk_stop = queues[i].next + 1
                n_idle += 1
                n_several += queues[i].chunk_stop > queues[i].next + 1
        if n_idle == 0:
            return 0
        self._round += 1
        if load(&delivery.counters.accepted) == load(&delivery.counters.done):
            # Nothing is in flight: whichever broker comes first, it is no change (see ReportReader._read_reports).
            self._handle.forget_last_broker()
            for i in range(n_queues):
                queues[i].tracker.changes_before = load(&self._handle.wire.broker_changes)
        for i in range(n_queues):
            if queues[i].chunk_stop > queues[i].next:
                queues[i].tracker.requests_before = load(&self._handle.wire.produce_requests)
                queues[i].round = self._round
                queues[i].chunk_start = queues[i].next
        with nogil:
            if n_several:
                paused = rd.topic_partition_list_new(<int>n_several)
                for i in range(n_queues):
                    if queues[i].chunk_stop > queues[i].next + 1:
                        rd.topic_partition_list_add(paused, name, queues[i].partition)
                rd.pause_partitions(self._handle.rk, paused)
            for i in range(n_queues):
                if queues[i].chunk_stop == queues[i].next:
                    continue
                self.started += 1
                add(&delivery.counters.accepted, queues[i].chunk_stop - queues[i].next)
                add(&queues[i].tracker.expected, queues[i].chunk_stop - queues[i].next)
                part = enqueue(self._handle.rk, topic.rkt, records, order, queues[i].next, queues[i].chunk_stop,
                               queues[i].tracker.id, first_index, NULL)
                add(&delivery.counters.accepted_bytes, part.bytes)
                queues[i].next += part.n
                queues[i].open = part.n > 0
                queues[i].sent_at = monotonic()
                if part.error:
                    # Everything was checked before, so this is no ordinary refusal (fatal error, no memory): stop.
                    add(&delivery.counters.accepted, queues[i].next - queues[i].chunk_stop)
                    add(&queues[i].tracker.expected, queues[i].next - queues[i].chunk_stop)
                    self._refusal = part.error
                    self._failed = True
                    break
            if paused != NULL:
                rd.resume_partitions(self._handle.rk, paused)
                rd.flush(self._handle.rk, 0)
                # Each of them left a mark in the queue of what a consumer would fetch, which only a consumer reads (F32).
                for i in range(paused.cnt):
                    rd.consume_batch(topic.rkt, paused.elems[i].partition, 0, &none, 1)
                rd.topic_partition_list_destroy(paused)
        return <int>n_idle

    cdef tuple _collect(self, Topic topic, PartitionQueue* queues, int64_t n_queues, const int64_t* order, int64_t first_index,
                        OffsetColumns* rows):
        """Return ``CallResult.unacknowledged``: failures and what was never enqueued, in the order of the call."""
        cdef int64_t i, k, index
        cdef int partition
        cdef rd_kafka_message_t* none = NULL
        cdef double now = monotonic()
        self._reclassify(queues, n_queues)
        failures = []
        not_sent = []
        for i in range(n_queues):
            if queues[i].tracker.n_reports:
                self._last_used[(topic.name, queues[i].partition)] = FAILED
            elif queues[i].tracker.written:
                self._last_used[(topic.name, queues[i].partition)] = now
            reports = take_reports(&queues[i].tracker) if queues[i].tracker.n_reports else []
            if self._out_of_time:
                reports = [report._replace(error=OUT_OF_TIME.get(report.error, report.error)) for report in reports]
            if is_in_flight(&queues[i]):
                # Purged, but no report came in time: these may still be written.
                reported = {report.index for report in reports}
                for k in range(queues[i].start, queues[i].next):
                    index = first_index + (order[k] if order != NULL else k)
                    if rows.offsets[index] < 0 and index not in reported:
                        reports.append(DeliveryReport(index, RD_KAFKA_RESP_ERR__TIMED_OUT, Verdict.UNKNOWN, queues[i].partition))
            failures += reports
            for k in range(queues[i].next, queues[i].stop):
                not_sent.append(first_index + (order[k] if order != NULL else k))
        if failures:
            # An error of the topic went to all partitions that were ever paused, for the same reader (F40).
            for partition in range(topic.partition_count):
                rd.consume_batch(topic.rkt, partition, 0, &none, 1)
        # What was in flight as the topic was denied was purged, or forgotten as in the throughput lane (F41).
        errors = {report.error for report in failures}
        of_others = {report.verdict for report in failures if report.error != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED}
        if (self._reader.epochs and RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED in errors
                and Verdict.UNKNOWN in of_others):
            end_numbered_wrong(self._handle, True)
        failures.sort()
        not_sent.sort()
        return failures, not_sent, self._refusal

    cdef void _detach(self, PartitionQueue* queues, int64_t n_queues) noexcept:
        """Let no more reports in: from here on the trackers stand still."""
        cdef int64_t i
        for i in range(n_queues):
            if queues[i].tracker.id >= FIRST_CALL_ID:      # no memory may have come before attach()
                self._reader.detach(&queues[i].tracker)
                queues[i].tracker.id = 0

    cdef void _clear(self, PartitionQueue* queues, int64_t n_queues) noexcept:
        cdef int64_t i
        self._detach(queues, n_queues)
        for i in range(n_queues):
            clear_reports(&queues[i].tracker)

    def __reduce__(self):
        raise TypeError("an OrderedSender cannot be pickled")
