"""The enqueue loop and the window that bounds what is inside librdkafka.

One loop serves both lanes. It never uses librdkafka's own blocking or its queue limits (with its
own blocking a full queue may sleep until it is empty): the ProduceBuffer counts records and bytes itself, and librdkafka's
limits are set out of the way.
"""
import time

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.time cimport monotonic
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from twolane.batch cimport span_at
from twolane.client.atomic cimport add, fence, load
from twolane.reports.reader cimport SENDER_LEASE_MS, Counters, ReportReader
from twolane.produce.grouping cimport group_by_partition
from twolane.produce.record_slice cimport Enqueued, RecordSlice, enqueue
from twolane.produce.first_ack cimport OPENING, Gates, cover, gate_at, is_open, milliseconds
from twolane.client.handle cimport Handle, Topic
from twolane.reports.call_result cimport CallResult
from twolane.librdkafka cimport *

cdef enum:
    STRETCH = 8192          # records between two looks at the window and the event queue, grouped by partition
    GROUPED_PARTITIONS = 4096   # beyond, a stretch is not grouped: there is nothing to gain

# How long shut() waits for a stretch that is being enqueued.
cdef double SHUT_SECONDS = 0.5


cdef bint all_acknowledged(Gates* gates, const int64_t* stops, int64_t n_partitions) noexcept nogil:
    """Whether each partition that `group_by_partition` found records of has its first record acknowledged."""
    cdef int64_t partition, start = 0, now = milliseconds()
    for partition in range(n_partitions):
        if stops[partition] > start and not is_open(gates, <int32_t>partition, now):
            return False
        start = stops[partition]
    return True


@cython.final
cdef class ProduceBuffer:
    """What may be inside librdkafka at once, and the one way in for the throughput lane.

    Parameters
    ----------
    handle, delivery
    records, bytes : int
        High-water marks. Bytes are those of values and keys.
    resume_at : float
        Part of them: the low-water marks.
    """

    def __init__(self, Handle handle not None, ReportReader delivery not None, int64_t records, int64_t bytes,
                 double resume_at=0.5):
        if records < 1 or bytes < 1:
            raise ValueError("a window holds at least one record and one byte")
        self._handle = handle
        self._reader = delivery
        self.records = records
        self.bytes = bytes
        self.low_records = <int64_t>(<double>records * resume_at)
        self.low_bytes = <int64_t>(<double>bytes * resume_at)

    cdef bint has_space(self, int64_t records, int64_t bytes) noexcept nogil:
        """Whether one more may go beside so many that are not counted yet.

        A lone record always has room in an empty window, however large it is.
        """
        cdef Counters* now = &self._reader.counters
        return (load(&now.accepted) + records - load(&now.done) < self.records
                and load(&now.accepted_bytes) + bytes - load(&now.done_bytes) < self.bytes)

    cdef bint is_low(self) noexcept nogil:
        cdef Counters* now = &self._reader.counters
        return (load(&now.accepted) - load(&now.done) <= self.low_records
                and load(&now.accepted_bytes) - load(&now.done_bytes) <= self.low_bytes)

    cdef int64_t _claim(self, RecordSlice feed, int64_t start, int64_t* size) noexcept nogil:
        """How many records from ``start`` on may go now, and the bytes of their values and keys; counts them accepted.

        Threads that claim at the same moment may pass the mark by a stretch each; the last record may pass that of bytes.
        """
        cdef Counters* now = &self._reader.counters
        cdef int64_t room = self.records - (load(&now.accepted) - load(&now.done))
        cdef int64_t bytes_room = self.bytes - (load(&now.accepted_bytes) - load(&now.done_bytes))
        cdef int64_t n = min(<int64_t>STRETCH, min(feed.n - start, room)), i = 0, total = 0
        if n <= 0 or bytes_room <= 0:
            return 0
        for i in range(start, start + n):
            total += span_at(feed.values, i).size
            if feed.keys != NULL:
                total += span_at(feed.keys, i).size
            if total >= bytes_room:
                n = i + 1 - start
                break
        size[0] = total
        # Counted before they go: a report may come back before this thread gets any further.
        add(&now.accepted, n)
        add(&now.accepted_bytes, total)
        return n

    @property
    def closed(self):
        """bool: whether the producer closes."""
        return self._handle.draining

    @property
    def available(self):
        """int: records that still fit; 0 also where the bytes are used up."""
        return max(0, self.records - load(&self._reader.counters.accepted) + load(&self._reader.counters.done)
                   if self.has_space(0, 0) else 0)

    def close(self):
        """Let nothing in any more, and let those who wait for room go. Returns when nobody enqueues any more."""
        cdef double until = monotonic() + SHUT_SECONDS
        self._handle.draining = True
        fence()     # before the look whether calls are inside, which are counted before they look here
        while load(&self._pushing) and monotonic() < until:
            time.sleep(0.0005)

    def produce(self, Topic topic not None, RecordSlice feed not None, int64_t start, CallResult outcome not None,
                int64_t first_index):
        """Enqueue the feed's records from `start` on until its end or until the window is full or shut.

        Parameters
        ----------
        outcome : CallResult
            Takes the reports. Where a refusal leaves other records than the last ones behind, its ``ends`` names them.
        first_index : int
            Index in `outcome` of the feed's record 0.

        Returns
        -------
        stop : int
            The first record not enqueued; ``len(feed)`` at the end.
        error : int
            librdkafka's reason for refusing record `stop`, else 0.
        blocked_partition : int
            The partition whose gate `stop` has to wait at, -1 where the window is full or the feed at its end.

        Notes
        -----
        GIL: released. Delivery reports are taken in between, so the memory of finished records is freed by the thread
        that allocated it.
        """
        cdef int64_t at = start, n = 0, size = 0
        cdef int64_t n_partitions = topic.partition_count       # another thread may count again meanwhile
        cdef Enqueued part
        cdef Gates* gates = NULL
        cdef int64_t* order = NULL
        cdef bint grouped = False
        cdef ReportReader delivery = self._reader
        if self._handle.draining:
            return start, 0, -1
        self._handle.ensure_open()
        feed.make_headers()
        if self._handle.gated:
            gates = &topic.gates
            with cython.critical_section(topic):
                cover(gates, n_partitions)
        if feed.partition_step and n_partitions <= GROUPED_PARTITIONS:
            # Without memory for it the records go in the order they came.
            order = <int64_t*>malloc(<size_t>(STRETCH + n_partitions) * sizeof(int64_t))
        part.error = 0
        part.blocked_partition = -1
        # Counted first: shut() says so first, then looks who is here.
        add(&self._pushing, 1)
        with nogil:
            add(&delivery.senders, 1)
            while at < feed.n and not self._handle.draining:
                n = self._claim(feed, at, &size)
                if n == 0:
                    break
                add(&outcome.tracker.expected, n)
                # In the order of a group none may be left standing before a gate: it goes where all gates are open.
                grouped = (order != NULL
                           and group_by_partition(feed.partitions, at, n, n_partitions, order, order + STRETCH)
                           and (gates == NULL or all_acknowledged(gates, order + STRETCH, n_partitions)))
                if grouped:
                    part = enqueue(self._handle.rk, topic.rkt, feed, order, 0, n, outcome.tracker.id, first_index, NULL)
                else:
                    part = enqueue(self._handle.rk, topic.rkt, feed, NULL, at, at + n, outcome.tracker.id, first_index, gates)
                if part.n < n:
                    add(&delivery.counters.accepted, part.n - n)
                    add(&delivery.counters.accepted_bytes, part.bytes - size)
                    add(&outcome.tracker.expected, part.n - n)
                at = order[part.n] if grouped and part.error else at + part.n
                if part.error or part.blocked_partition >= 0:
                    break
                delivery.poll_ms(0)
            delivery.renew_lease(SENDER_LEASE_MS)
            add(&delivery.senders, -1)
        try:
            if grouped and part.error:
                outcome.unacknowledged = ([], [first_index + order[i] for i in range(part.n, n)], part.error)
        finally:
            free(order)
            add(&self._pushing, -1)
        return at, part.error, part.blocked_partition

    def wait_for_space(self, double timeout):
        """Serve the queue until the window is down to its low-water marks, or shut.

        Parameters
        ----------
        timeout : float
            Seconds; the GIL is released, and signals are looked at every 100 ms.

        Returns
        -------
        bool
            False if the time ran out first.
        """
        return self._wait(NULL, timeout) or bool(self.has_space(0, 0))

    def wait_for_first_ack(self, Topic topic not None, int32_t partition, double timeout):
        """Serve the queue until a partition's first record is reported, or the window is shut.

        Parameters and result are those of ``wait_for_space()``.
        """
        return self._wait(gate_at(&topic.gates, partition), timeout)

    cdef bint _wait(self, int64_t* gate, double timeout) except -1:
        cdef double deadline = time.monotonic() + timeout, left
        cdef ReportReader delivery = self._reader
        cdef int wait_ms
        add(&delivery.senders, 1)
        try:
            while not (self.is_low() if gate == NULL else load(gate) != OPENING) and not self._handle.draining:
                self._handle.ensure_open()
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                # Another waiting thread may take the very report this one waits for.
                wait_ms = <int>(min(left, 0.1 if gate == NULL else 0.01) * 1000) + 1
                with nogil:
                    delivery.poll_ms(wait_ms)
                # Nothing else here gives Python a chance to run a signal's handler. That may wait itself, for what the
                # service thread does: to that one this thread takes no reports meanwhile.
                add(&delivery.senders, -1)
                try:
                    PyErr_CheckSignals()
                finally:
                    add(&delivery.senders, 1)
        finally:
            add(&delivery.senders, -1)
        return True
