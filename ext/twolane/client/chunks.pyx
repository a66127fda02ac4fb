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
"""
import time

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc

from twolane.client.atomic cimport add, load
from twolane.client.delivery cimport Delivery
from twolane.client.enqueue cimport Enqueued, enqueue
from twolane.client.feed cimport Feed
from twolane.client.handle cimport Handle, Topic
from twolane.client.judge cimport VERDICT_UNKNOWN
from twolane.client.library cimport rd
from twolane.client.outcome cimport Outcome, take_reports
from twolane.client.slots cimport FIRST_FREE_SLOT, Rows, clear_reports
from twolane.librdkafka cimport *

cdef enum:
    IDLE_SECONDS = 30           # after which a partition's first chunk is one record again
    SLICE_MS = 100              # how long a wait may keep Ctrl-C waiting
    GIVE_UP_SECONDS = 1         # after a purge: what has no report by then is unknown
    # librdkafka counts the whole request against batch.size: the MessageSet's header (61 bytes), the fields around it, and
    # the topic's name (249 at most). Too little here, and a chunk becomes two MessageSets.
    MESSAGESET_OVERHEAD = 512


@cython.final
cdef class ChunkSender:
    """Sends Feeds in ordered chunks and waits. One call at a time: the lane above lets callers in one by one.

    Parameters
    ----------
    handle, delivery
    chunk_records : int
        ``batch.num.messages``.
    chunk_bytes : int
        The smaller of ``batch.size`` and ``message.max.bytes``, less the names that every request carries.
    """

    def __init__(self, Handle handle not None, Delivery delivery not None, int64_t chunk_records, int64_t chunk_bytes):
        self._handle = handle
        self._delivery = delivery
        self.chunk_records = max(1, chunk_records)
        self.chunk_bytes = max(1, chunk_bytes - MESSAGESET_OVERHEAD)
        self._last_used = {}
        self._end_by = float("inf")

    def end_by(self, double deadline):
        """Let no call last longer than that, not even the one in progress: the producer closes."""
        self._end_by = deadline

    def send(self, Topic topic not None, Feed feed not None, Outcome outcome not None, int64_t first_index,
             double deadline):
        """Send a feed in order and wait until every record that was enqueued has its report.

        Parameters
        ----------
        topic : Topic
            Its partitions are known to librdkafka (``Handle.fetch_partitions``).
        feed : Feed
            Its partitions exist.
        outcome : Outcome
            Takes the offsets.
        first_index : int
            Index in `outcome` of the feed's record 0.
        deadline : float
            ``time.monotonic()`` after which everything unacknowledged is purged.

        Returns
        -------
        failures : list of tuple
            ``(index, error, verdict, partition, offset, timestamp, timestamp_type)`` of each record that was enqueued
            and not acknowledged.
        not_sent : list of int
            Indices of the records that never entered librdkafka, because one before them failed or time ran out.
        refusal : int
            librdkafka's reason where it refused a record that it was given, else 0.

        Raises
        ------
        KeyboardInterrupt, or whatever a signal handler raises
            After the unacknowledged records were purged and reported; the exception then carries the same three
            things as its attribute ``twolane_ends``.

        Notes
        -----
        GIL: released while records are enqueued and while waiting; signals are looked at every 100 ms.
        """
        cdef int64_t n_runs = 0, i, left
        cdef int wait_ms, refusal = 0
        cdef int64_t* order = NULL
        cdef Run* runs = NULL
        cdef double now, give_up = 0
        cdef object interruption = None
        self._handle.ensure_open()
        if feed.n == 0:
            return [], [], 0
        feed.make_headers()
        self._failed = False
        self._purged = False
        self._handle.hold()
        try:
            runs = group(feed, &order, &n_runs)
            now = time.monotonic()
            for i in range(n_runs):
                runs[i].warm = now - self._last_used.get((topic.name, runs[i].partition), -1e9) < IDLE_SECONDS
                runs[i].slot.rows = &outcome.rows
                self._delivery.attach(&runs[i].slot)
            while True:
                deadline = min(deadline, self._end_by)
                # First what came of the chunks before: nothing may follow a failure.
                left = self._in_flight(runs, n_runs)
                if interruption is None and not self._failed and time.monotonic() < deadline:
                    refusal = self._start_chunks(topic, feed, order, runs, n_runs, first_index)
                left = self._in_flight(runs, n_runs)
                if left == 0:
                    if refusal or interruption is not None or self._failed or time.monotonic() >= deadline:
                        break
                    if all_enqueued(runs, n_runs):
                        break
                    continue
                now = time.monotonic()
                if (now >= deadline or interruption is not None) and not self._purged:
                    self._purged = True
                    give_up = now + GIVE_UP_SECONDS
                    with nogil:
                        # Without waiting for the broker threads: one of them may sit in a name look-up.
                        rd.purge(self._handle.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT
                                 | RD_KAFKA_PURGE_F_NON_BLOCKING)
                if self._purged and now >= give_up:
                    break
                wait_ms = SLICE_MS if self._purged else <int>max(0.0, min(<double>SLICE_MS, (deadline - now) * 1000 + 1))
                with nogil:
                    self._delivery.serve(wait_ms)
                try:
                    PyErr_CheckSignals()
                except BaseException as raised:  # noqa: BLE001 - re-raised below, after the verdicts are in
                    interruption = raised if interruption is None else interruption
            ends = collect(self._delivery, runs, n_runs, order, first_index, &outcome.rows)
            now = time.monotonic()
            for i in range(n_runs):
                if runs[i].slot.n_reports:
                    self._last_used.pop((topic.name, runs[i].partition), None)
                elif runs[i].slot.written:
                    self._last_used[(topic.name, runs[i].partition)] = now
                outcome.slot.written += runs[i].slot.written
                outcome.slot.done += runs[i].slot.done
                outcome.slot.expected += runs[i].slot.expected
            if interruption is not None:
                interruption.twolane_ends = (*ends, refusal)
                raise interruption
            return (*ends, refusal)
        finally:
            for i in range(n_runs):
                if runs[i].slot.id >= FIRST_FREE_SLOT:      # no memory may have come before attach()
                    self._delivery.detach(&runs[i].slot)
                clear_reports(&runs[i].slot)
            free(runs)
            free(order)
            self._handle.release()

    cdef int64_t _in_flight(self, Run* runs, int64_t n_runs) noexcept nogil:
        """Records enqueued and not reported; also notes failures. GIL: not needed."""
        cdef int64_t i, left = 0
        self._delivery.lock()
        for i in range(n_runs):
            left += runs[i].slot.expected - runs[i].slot.done
            if runs[i].slot.n_reports or runs[i].slot.reports_dropped:
                self._failed = True
        self._delivery.unlock()
        return left

    cdef int64_t _chunk_end(self, Feed feed, const int64_t* order, int64_t start, int64_t stop) noexcept nogil:
        """Where the chunk that begins at ``start`` must end to fit one MessageSet. At least one record."""
        cdef int64_t at = start, size = 0, limit = min(stop, start + self.chunk_records)
        while at < limit:
            size += feed.size_of(order[at] if order != NULL else at)
            if size > self.chunk_bytes and at > start:
                break
            at += 1
        return at

    cdef int _start_chunks(self, Topic topic, Feed feed, const int64_t* order, Run* runs, int64_t n_runs,
                           int64_t first_index) except -1:
        """Enqueue the next chunk of every partition that has none in flight. Returns librdkafka's refusal, or 0."""
        cdef int64_t i, n_idle = 0, n_several = 0
        cdef Enqueued part
        cdef int refusal = 0
        cdef Delivery delivery = self._delivery
        cdef rd_kafka_topic_partition_list_t* held = NULL
        cdef const char* name = topic.encoded_name
        for i in range(n_runs):
            runs[i].chunk_stop = runs[i].next
            if runs[i].next < runs[i].stop and runs[i].slot.done >= runs[i].slot.expected:
                if runs[i].warm or runs[i].slot.done:
                    with nogil:
                        runs[i].chunk_stop = self._chunk_end(feed, order, runs[i].next, runs[i].stop)
                else:
                    runs[i].chunk_stop = runs[i].next + 1
                n_idle += 1
                n_several += runs[i].chunk_stop > runs[i].next + 1
        if n_idle == 0:
            return 0
        if load(&delivery.counters.accepted) == load(&delivery.counters.done):
            # Nothing is in flight: whichever broker comes first, it is no change (see Delivery._judge).
            self._handle.wire.last_broker = -2
            for i in range(n_runs):
                runs[i].slot.requests_before = load(&self._handle.wire.produce_requests)
                runs[i].slot.changes_before = load(&self._handle.wire.broker_changes)
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
                add(&delivery.counters.accepted, runs[i].chunk_stop - runs[i].next)
                add(&runs[i].slot.expected, runs[i].chunk_stop - runs[i].next)
                part = enqueue(self._handle.rk, topic.rkt, feed, order, runs[i].next, runs[i].chunk_stop,
                               runs[i].slot.id, first_index, NULL)
                add(&delivery.counters.accepted_bytes, part.bytes)
                runs[i].next += part.n
                if part.error:
                    # Everything was checked before, so this is no ordinary refusal (fatal error, no memory): stop.
                    add(&delivery.counters.accepted, runs[i].next - runs[i].chunk_stop)
                    add(&runs[i].slot.expected, runs[i].next - runs[i].chunk_stop)
                    refusal = part.error
                    self._failed = True
                    break
            if held != NULL:
                rd.resume_partitions(self._handle.rk, held)
                rd.flush(self._handle.rk, 0)
                rd.topic_partition_list_destroy(held)
        return refusal

    def __reduce__(self):
        raise TypeError("a ChunkSender cannot be pickled")


cdef bint all_enqueued(Run* runs, int64_t n_runs) noexcept nogil:
    cdef int64_t i
    for i in range(n_runs):
        if runs[i].next < runs[i].stop:
            return False
    return True


cdef Run* group(Feed feed, int64_t** order, int64_t* n_runs) except NULL:
    """One Run per partition of the feed and, where there are several, the records' order by partition (stable)."""
    cdef Run* runs
    cdef int64_t* counts = NULL
    cdef int64_t i, at = 0, n_partitions
    cdef int32_t highest = 0, partition
    if feed.partition_step == 0 or all_alike(feed):
        runs = <Run*>calloc(1, sizeof(Run))
        if runs == NULL:
            raise MemoryError()
        runs[0].partition = feed.partitions[0]
        runs[0].stop = feed.n
        n_runs[0] = 1
        return runs
    for i in range(feed.n):
        highest = max(highest, feed.partitions[i])
    n_partitions = highest + 1
    counts = <int64_t*>calloc(<size_t>n_partitions + 1, sizeof(int64_t))
    order[0] = <int64_t*>malloc(<size_t>feed.n * sizeof(int64_t))
    runs = <Run*>calloc(<size_t>n_partitions, sizeof(Run))
    if counts == NULL or order[0] == NULL or runs == NULL:
        free(counts)
        free(runs)
        raise MemoryError()
    for i in range(feed.n):
        counts[feed.partitions[i] + 1] += 1
    for partition in range(n_partitions):
        if counts[partition + 1]:
            runs[at].partition = partition
            runs[at].start = runs[at].next = counts[partition]
            runs[at].stop = counts[partition] + counts[partition + 1]
            at += 1
        counts[partition + 1] += counts[partition]
    for i in range(feed.n):
        partition = feed.partitions[i]
        order[0][counts[partition]] = i
        counts[partition] += 1
    free(counts)
    n_runs[0] = at
    return runs


cdef bint all_alike(Feed feed) noexcept nogil:
    cdef int64_t i
    for i in range(1, feed.n):
        if feed.partitions[i] != feed.partitions[0]:
            return False
    return True


cdef tuple collect(Delivery delivery, Run* runs, int64_t n_runs, const int64_t* order, int64_t first_index, Rows* rows):
    """The failures of all runs, and the indices of what was never enqueued, both in the order of the call."""
    cdef int64_t i, k, index
    failures = []
    not_sent = []
    for i in range(n_runs):
        delivery.lock()
        try:
            reports = take_reports(&runs[i].slot)
        finally:
            delivery.unlock()
        if runs[i].slot.done < runs[i].slot.expected:
            # Purged, but no report came in time: these may still be written.
            reported = {report[0] for report in reports}
            for k in range(runs[i].start, runs[i].next):
                index = first_index + (order[k] if order != NULL else k)
                if rows.offsets[index] < 0 and index not in reported:
                    reports.append((index, RD_KAFKA_RESP_ERR__TIMED_OUT, VERDICT_UNKNOWN, runs[i].partition, -1, -1, 0))
        failures += reports
        for k in range(runs[i].next, runs[i].stop):
            not_sent.append(first_index + (order[k] if order != NULL else k))
    failures.sort()
    not_sent.sort()
    return failures, not_sent
