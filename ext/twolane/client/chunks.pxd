"""Ordered chunks: one MessageSet per partition inside librdkafka, the next only after the last is acknowledged."""
from libc.stdint cimport int32_t, int64_t

from twolane.client.delivery cimport Delivery
from twolane.client.slots cimport Slot
from twolane.client.feed cimport Feed
from twolane.client.handle cimport Handle, Topic


cdef struct Run:
    # The records of one partition, in the order they were handed over.
    Slot slot
    int32_t partition
    int64_t start           # position in `order` of its first record
    int64_t next            # position in `order` of the first record not enqueued yet
    int64_t stop            # position behind the partition's last record
    int64_t chunk_stop      # position behind the chunk being enqueued now
    bint warm               # its leader's connection was in use a moment ago


cdef class ChunkSender:
    cdef Handle _handle
    cdef Delivery _delivery
    cdef readonly int64_t chunk_records     # limits of one MessageSet
    cdef readonly int64_t chunk_bytes
    cdef bint _failed                       # a record of the running call was not acknowledged
    cdef bint _purged
    cdef double _end_by                     # monotonic(): the producer closes, no call may last longer
    cdef dict _last_used                    # (topic, partition) -> time.monotonic() of its last acknowledgement

    cdef int64_t _chunk_end(self, Feed feed, const int64_t* order, int64_t start, int64_t stop) noexcept nogil
    cdef int _start_chunks(self, Topic topic, Feed feed, const int64_t* order, Run* runs, int64_t n_runs,
                           int64_t first_index) except -1
    cdef int64_t _in_flight(self, Run* runs, int64_t n_runs) noexcept nogil
