"""Why a fast ``send()`` gathers its records: librdkafka walks each partition's list of records again and again.

It allocates a record as it comes. Where records of many partitions come in turn, the neighbours in a partition's list lie
far apart in memory, and each step of its later work waits for memory: a fifth of all the CPU time of a record. So a
thread that sends a record every few microseconds has some hundred of them copied here first; then they go through the
same loop as a slice of ``send_batch()``, grouped by partition.

A record waits here for one or two milliseconds at most: until the accumulator is full, or until a thread flushes, waits,
closes or sends a record that cannot be gathered; where the sender just stops, the delivery thread drains it
(ReportReader.poll_when_idle). What is here is accepted, and counted when it goes: code that reads the counters drains
first, code that looks for space adds `n` and `used`. A record that librdkafka refuses is reported as not written.

Lock: the GIL, which is held throughout, so that an append is one step to other threads and a thread's records keep their
order; without a GIL the critical section of FlushGenerations, which ``send()`` holds.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from twolane.client.atomic cimport add, load, store
from twolane.client.handle cimport Handle, Topic, forks
from twolane.librdkafka cimport *
from twolane.produce.grouping cimport group_by_partition
from twolane.produce.record_slice cimport Enqueued, RecordSlice, enqueue
from twolane.reports.reader cimport ReportReader


@cython.final
cdef class RecordAccumulator:
    """The records of one producer's ``send()`` that have not gone to librdkafka yet.

    Parameters
    ----------
    handle, reader
        Kept.
    """

    def __init__(self, Handle handle not None, ReportReader reader not None):
        cdef RecordSlice records = RecordSlice.__new__(RecordSlice)
        if self._block == NULL:
            self._block = <uint8_t*>malloc(MAX_BYTES)
        if self._block == NULL:
            raise MemoryError()
        self._handle = handle
        self._reader = reader
        self._generations = reader.generations
        self._value_column.spans = self._values
        self._key_column.spans = self._keys
        records.values = &self._value_column
        records.keys = &self._key_column
        records.timestamps = self._timestamps
        records.timestamp_step = 1
        records.partitions = self._partitions
        records.partition_step = 1
        records.opaques = self._opaques
        self._records = records

    def __dealloc__(self):
        free(self._block)

    def __len__(self):
        return self.n

    cdef bint append(self, Topic topic, Span value, Span key, int32_t partition, int64_t timestamp,
                     uint64_t opaque) except -1:
        """Copy a record of at most LARGEST_RECORD bytes, which its tracker expects already.

        Returns
        -------
        bool
            False if the next records had better go directly: the delivery thread sleeps, or librdkafka refused one.
        """
        cdef bint may_go_on = True
        if self.n and (topic is not self._topic or self.n == MAX_RECORDS or self.used > MAX_BYTES - LARGEST_RECORD):
            may_go_on = self._drain() == 0
        self._values[self.n] = self._copy(value)
        self._keys[self.n] = self._copy(key)
        self._timestamps[self.n] = timestamp
        self._opaques[self.n] = opaque
        self._partitions[self.n] = partition
        self.n += 1
        if self.n == 1:
            self._topic = topic
            # The delivery thread sets `sleeping` before it reads `accumulating`, this thread the other way round: one of
            # them sees the other (ReportReader.poll_when_idle).
            store(&self._reader.accumulating, 1)
            if load(&self._reader.sleeping) > 0:
                self._drain()
                may_go_on = False
        return may_go_on

    cdef Span _copy(self, Span data) noexcept:
        cdef uint8_t* start = self._block + self.used
        if data.data != NULL:
            memcpy(start, data.data, <size_t>data.size)
            data.data = start
            self.used += data.size
        return data

    def drain(self):
        """Hand all records to librdkafka, grouped by partition. Returns how many it refused, which are reported."""
        if self.n == 0:
            return 0
        if self._handle._generation != forks():
            self.n = 0      # a child's copy: the parent sends them, and the section may have been another thread's
            return 0
        with cython.critical_section(self._generations):
            return self._drain()

    cdef int _drain(self) noexcept:
        """Drain for a caller that already holds the critical section."""
        cdef const int64_t* order = NULL
        cdef Enqueued part
        cdef int64_t at = 0, index
        cdef int refused = 0
        if self.n == 0:
            return 0
        # Counted before they go: their reports may come back before this thread gets any further.
        add(&self._reader.counters.accepted, self.n)
        add(&self._reader.counters.accepted_bytes, self.used)
        if group_by_partition(self._partitions, 0, self.n, min(self._topic.partition_count, <int>GROUPED_PARTITIONS),
                              self._order, self._stops):
            order = self._order
        while at < self.n:
            part = enqueue(self._handle.rk, self._topic.rkt, self._records, order, at, self.n, 0, 0, NULL)
            at += part.n
            if part.error:
                index = order[at] if order != NULL else at
                refused += 1
                self._reader.report_refused(self._opaques[index], self._topic.rkt, self._partitions[index], part.error,
                                            self._values[index].size + self._keys[index].size)
                at += 1
        self.n = 0
        self.used = 0
        self._topic = None
        add(&self._reader.drains, 1)
        store(&self._reader.accumulating, 0)
        return refused

    def __reduce__(self):
        raise TypeError("a RecordAccumulator cannot be pickled")
