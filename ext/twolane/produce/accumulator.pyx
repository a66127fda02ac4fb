"""Why a fast ``send()`` gathers its records: librdkafka walks each partition's list of records again and again.

It allocates a record as it comes. Where records of many partitions come in turn, the neighbours in a partition's list lie
far apart in memory, and each step of its later work waits for it: a fifth of all the CPU time of a record. So a
thread that sends a record every few microseconds has some hundred of them copied here first; then they go in one
loop, partition by partition, as ``send_batch()`` has it (enqueue).

A record waits here for a thousandth of a second or two at most: until the stage is full, or somebody flushes, waits,
closes, sends a record that cannot be staged; where the sender just stops, the service thread notices (ReportReader.poll_when_idle).
What is here is accepted, and counted when it goes: who looks at the counters empties the stage first, who looks for room
adds what is in it. A record that librdkafka refuses is reported like any other that was not written.

Lock: the GIL, which nothing here lets go, so to other threads a push is one step and the order of a thread's records is
that of its calls; without a GIL the critical section of FlushGenerations, in which all of ``send()`` stands.
"""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from twolane.client.atomic cimport add, load, store
from twolane.reports.reader cimport ReportReader
from twolane.client.handle cimport Handle, Topic, forks
from twolane.client.library cimport rd
from twolane.librdkafka cimport *


@cython.final
cdef class RecordAccumulator:
    """The records of one producer's ``send()`` that have not gone to librdkafka yet.

    Parameters
    ----------
    handle, delivery
        Kept.
    """

    def __cinit__(self):
        self.n = 0
        self.used = 0
        self._block = NULL

    def __init__(self, Handle handle not None, ReportReader delivery not None):
        if self._block == NULL:
            self._block = <uint8_t*>malloc(STAGED_BYTES)
        if self._block == NULL:
            raise MemoryError()
        self._handle = handle
        self._delivery = delivery
        self._generations = delivery.generations

    def __dealloc__(self):
        free(self._block)

    def __len__(self):
        return self.n

    cdef bint append(self, Topic topic, bytes value, bytes key, int32_t partition, int64_t timestamp,
                     uint64_t opaque) except -1:
        """Copy a record of at most LARGEST_STAGED bytes, which its tracker expects already.

        Returns
        -------
        bool
            False where something is amiss, so that the next records had better go directly: the service thread sleeps,
            or librdkafka refused one.
        """
        cdef Staged* record
        cdef Py_ssize_t size
        cdef bint is_well = True
        if self.n and (topic is not self._topic or self.n == STAGED_RECORDS
                       or self.used > STAGED_BYTES - LARGEST_STAGED):
            is_well = self._drain() == 0
        record = &self._records[self.n]
        record.timestamp = timestamp
        record.opaque = opaque
        record.partition = partition
        record.at = self.used
        record.value_size = record.key_size = -1
        if value is not None:
            size = PyBytes_GET_SIZE(value)
            memcpy(self._block + self.used, PyBytes_AS_STRING(value), <size_t>size)
            self.used += size
            record.value_size = <int32_t>size
        if key is not None:
            size = PyBytes_GET_SIZE(key)
            memcpy(self._block + self.used, PyBytes_AS_STRING(key), <size_t>size)
            self.used += size
            record.key_size = <int32_t>size
        self.n += 1
        if self.n == 1:
            self._topic = topic
            # First this, then the look: who goes to sleep does it the other way round (ReportReader.poll_when_idle).
            store(&self._delivery.accumulating, 1)
            if load(&self._delivery.sleeping) > 0:
                self._drain()
                is_well = False
        return is_well

    def drain(self):
        """Hand all records to librdkafka, partition by partition. Returns how many it refused, which are reported."""
        if self._handle._generation != forks():
            self.n = 0      # a child's copy: the parent sends them, and the section may have been another thread's
            return 0
        with cython.critical_section(self._generations):
            return self._drain()

    cdef int _drain(self) noexcept:
        """``drain()`` for a caller that already holds the critical section."""
        cdef rd_kafka_vu_t vu[7]
        cdef rd_kafka_error_t* error
        cdef Staged* record
        cdef int64_t i
        cdef int refused = 0, code
        cdef size_t n_vu
        if self.n == 0:
            return 0
        # Counted before they go: their reports may come back before this thread gets any further.
        add(&self._delivery.counters.accepted, self.n)
        add(&self._delivery.counters.accepted_bytes, self.used)
        self._group()
        vu[0].vtype = RD_KAFKA_VTYPE_RKT
        vu[0].u.ptr = self._topic.rkt
        vu[1].vtype = RD_KAFKA_VTYPE_PARTITION
        vu[2].vtype = RD_KAFKA_VTYPE_TIMESTAMP
        vu[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS
        vu[3].u.i = RD_KAFKA_MSG_F_COPY
        vu[4].vtype = RD_KAFKA_VTYPE_OPAQUE
        for i in range(self.n):
            record = &self._records[self._order[i]]
            vu[1].u.i32 = record.partition
            vu[2].u.i64 = record.timestamp
            vu[4].u.ptr = <void*>record.opaque
            n_vu = 5
            if record.value_size >= 0:
                vu[n_vu].vtype = RD_KAFKA_VTYPE_VALUE
                vu[n_vu].u.mem.ptr = self._block + record.at
                vu[n_vu].u.mem.size = <size_t>record.value_size
                n_vu += 1
            if record.key_size >= 0:
                vu[n_vu].vtype = RD_KAFKA_VTYPE_KEY
                vu[n_vu].u.mem.ptr = self._block + record.at + max(record.value_size, 0)
                vu[n_vu].u.mem.size = <size_t>record.key_size
                n_vu += 1
            code = RD_KAFKA_RESP_ERR__DESTROY
            if self._topic.rkt != NULL:
                error = rd.produceva(self._handle.rk, vu, n_vu)
                if error == NULL:
                    continue
                code = rd.error_code(error)
                rd.error_destroy(error)
            refused += 1
            self._delivery.report_refused(record.opaque, self._topic.rkt, record.partition, code,
                                          max(record.value_size, 0) + max(record.key_size, 0))
        self.n = 0
        self.used = 0
        self._topic = None
        add(&self._delivery.drains, 1)
        store(&self._delivery.accumulating, 0)
        return refused

    cdef void _group(self) noexcept nogil:
        """Find the order by partition; within one partition that in which they came."""
        cdef int64_t i
        cdef int32_t partition, count, position = 0, highest = -1
        for i in range(self.n):
            highest = max(highest, self._records[i].partition)
        if highest >= GROUPED_PARTITIONS:
            for i in range(self.n):
                self._order[i] = <int32_t>i
            return
        memset(self._next_of, 0, <size_t>(highest + 1) * sizeof(int32_t))
        for i in range(self.n):
            self._next_of[self._records[i].partition] += 1
        for partition in range(highest + 1):
            count = self._next_of[partition]
            self._next_of[partition] = position
            position += count
        for i in range(self.n):
            partition = self._records[i].partition
            self._order[self._next_of[partition]] = <int32_t>i
            self._next_of[partition] += 1

    def __reduce__(self):
        raise TypeError("a RecordAccumulator cannot be pickled")
