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
from twolane.produce.first_ack cimport ON_ITS_WAY, FirstAcks, first_ack_at, is_acknowledged, milliseconds
from twolane.client.handle cimport Handle, Topic
from twolane.reports.call_result cimport CallResult
from twolane.librdkafka cimport *

cdef enum:
    MAX_RECORDS = 8192          # enqueued between two looks at the window and the event queue, grouped by partition
    GROUPED_PARTITIONS = 4096   # with more they are not grouped: there is nothing to gain

# How long close() waits for records that are being enqueued.
cdef double CLOSE_SECONDS = 0.5


cdef bint all_acknowledged(FirstAcks* first_acks, const int64_t* stops, int64_t n_partitions) noexcept nogil:
    """Return whether each partition that `group_by_partition` found records of has its first record acknowledged."""
    cdef int64_t partition, start = 0, now = milliseconds()
    for partition in range(n_partitions):
        if stops[partition] > start and not is_acknowledged(first_acks, <int32_t>partition, now):
            return False
        start = stops[partition]
    return True


@cython.final
cdef class ProduceBuffer:
    """What may be inside librdkafka at once, and the one way in for the throughput lane.

    Parameters
    ----------
    handle, reader
    records, bytes : int
        High-water marks. Bytes are those of values and keys.
    resume_at : float
        Part of them: the low-water marks.
    """

    def __init__(self, Handle handle not None, ReportReader reader not None, int64_t records, int64_t bytes,
                 double resume_at=0.5):
        if records < 1 or bytes < 1:
            raise ValueError("a window holds at least one record and one byte")
        self._handle = handle
        self._reader = reader
        self.records = records
        self.bytes = bytes
        self.low_records = <int64_t>(<double>records * resume_at)
        self.low_bytes = <int64_t>(<double>bytes * resume_at)

    cdef bint has_space(self, int64_t records, int64_t bytes) noexcept nogil:
        """Return whether another record fits beside so many that are not counted yet.

        An empty window takes one record, however large it is.
        """
        cdef Counters* now = &self._reader.counters
        return (load(&now.accepted) + records - load(&now.done) < self.records
                and load(&now.accepted_bytes) + bytes - load(&now.done_bytes) < self.bytes)

    cdef bint is_low(self) noexcept nogil:
        cdef Counters* now = &self._reader.counters
        return (load(&now.accepted) - load(&now.done) <= self.low_records
                and load(&now.accepted_bytes) - load(&now.done_bytes) <= self.low_bytes)

    cdef int64_t _reserve(self, RecordSlice records, int64_t start, int64_t* size) noexcept nogil:
        """Count records from ``start`` on as accepted, as many as there is space for. Returns how many, and their bytes in `size`.

        Threads that reserve at the same moment may exceed the mark by MAX_RECORDS each; the last record may exceed it in bytes.
        """
        cdef Counters* now = &self._reader.counters
        cdef int64_t room = self.records - (load(&now.accepted) - load(&now.done))
        cdef int64_t bytes_room = self.bytes - (load(&now.accepted_bytes) - load(&now.done_bytes))
        cdef int64_t n = min(<int64_t>MAX_RECORDS, min(records.n - start, room)), i = 0, total = 0
        if n <= 0 or bytes_room <= 0:
            return 0
        for i in range(start, start + n):
            total += span_at(records.values, i).size
            if records.keys != NULL:
                total += span_at(records.keys, i).size
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
        """End the calls that wait for space, and take no more records. Returns when no thread enqueues any more."""
        cdef double until = monotonic() + CLOSE_SECONDS
        self._handle.draining = True
        fence()     # pairs with produce(): a call is counted before it reads `draining`
        while load(&self._pushing) and monotonic() < until:
            time.sleep(0.0005)

    def produce(self, Topic topic not None, RecordSlice records not None, int64_t start, CallResult result not None,
                int64_t first_index):
        """Enqueue the records from `start` on until the end of the slice, or until the window is full or the producer closes.

        Parameters
        ----------
        result : CallResult
            Takes the reports. Where a refusal leaves other records unsent than the last ones, ``unacknowledged`` names them.
        first_index : int
            Index in `result` of the slice's record 0.

        Returns
        -------
        stop : int
            The first record not enqueued; ``len(records)`` where all were.
        error : int
            librdkafka's reason for refusing record `stop`, else 0.
        blocked_partition : int
            The partition whose first acknowledgement `stop` waits for, -1 where the window is full or all were enqueued.

        Notes
        -----
        GIL: released. Delivery reports are taken in between, so the memory of finished records is freed by the thread
        that allocated it.
        """
        cdef int64_t at = start, n = 0, size = 0
        cdef int64_t n_partitions = topic.partition_count       # another thread may count again meanwhile
        cdef Enqueued part
        cdef FirstAcks* first_acks = NULL
        cdef int64_t* order = NULL
        cdef bint grouped = False
        cdef ReportReader reader = self._reader
        if self._handle.draining:
            return start, 0, -1
        self._handle.ensure_open()
        records.make_headers()
        if self._handle.awaits_first_acks:
            first_acks = &topic.first_acks
        if records.partition_step and n_partitions <= GROUPED_PARTITIONS:
            # Without memory for it the records go in the order they came.
            order = <int64_t*>malloc(<size_t>(MAX_RECORDS + n_partitions) * sizeof(int64_t))
        part.error = 0
        part.blocked_partition = -1
        # Counted before `draining` is read; close() sets that before it reads the count.
        add(&self._pushing, 1)
        with nogil:
            add(&reader.senders, 1)
            while at < records.n and not self._handle.draining:
                n = self._reserve(records, at, &size)
                if n == 0:
                    break
                add(&result.tracker.expected, n)
                # Grouped by partition, the loop must not stop in the middle: only where no record waits for a first one.
                grouped = (order != NULL
                           and group_by_partition(records.partitions, at, n, n_partitions, order, order + MAX_RECORDS)
                           and (first_acks == NULL or all_acknowledged(first_acks, order + MAX_RECORDS, n_partitions)))
                if grouped:
                    part = enqueue(self._handle.rk, topic.rkt, records, order, 0, n, result.tracker.id, first_index, NULL)
                else:
                    part = enqueue(self._handle.rk, topic.rkt, records, NULL, at, at + n, result.tracker.id, first_index,
                                   first_acks)
                if part.n < n:
                    add(&reader.counters.accepted, part.n - n)
                    add(&reader.counters.accepted_bytes, part.bytes - size)
                    add(&result.tracker.expected, part.n - n)
                at = order[part.n] if grouped and part.error else at + part.n
                if part.error or part.blocked_partition >= 0:
                    break
                reader.poll_ms(0)
            reader.renew_lease(SENDER_LEASE_MS)
            add(&reader.senders, -1)
        try:
            if grouped and part.error:
                result.unacknowledged = ([], [first_index + order[i] for i in range(part.n, n)], part.error)
        finally:
            free(order)
            add(&self._pushing, -1)
        return at, part.error, part.blocked_partition

    def wait_for_space(self, double timeout):
        """Poll until the window is down to its low-water marks, or the producer closes.

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
        """Poll until a partition's first record is reported, or the producer closes.

        Parameters and result are those of ``wait_for_space()``.
        """
        return self._wait(first_ack_at(&topic.first_acks, partition), timeout)

    cdef bint _wait(self, int64_t* first_ack, double timeout) except -1:
        cdef double deadline = time.monotonic() + timeout, left
        cdef ReportReader reader = self._reader
        cdef int wait_ms
        add(&reader.senders, 1)
        try:
            while not (self.is_low() if first_ack == NULL else load(first_ack) != ON_ITS_WAY) and not self._handle.draining:
                self._handle.ensure_open()
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                # Another waiting thread may take the report that this one waits for.
                wait_ms = <int>(min(left, 0.1 if first_ack == NULL else 0.01) * 1000) + 1
                with nogil:
                    reader.poll_ms(wait_ms)
                # Signal handlers run here only. One may wait for what the delivery thread does: meanwhile this thread does not
                # count as a sender, so that the delivery thread polls.
                add(&reader.senders, -1)
                try:
                    PyErr_CheckSignals()
                finally:
                    add(&reader.senders, 1)
        finally:
            add(&reader.senders, -1)
        return True
