"""PartitionQueue: a call's records of one partition, and where each MessageSet of them ends."""
from libc.stdint cimport int32_t, int64_t

from twolane.produce.record_slice cimport RecordSlice
from twolane.reports.trackers cimport CallTracker


cdef enum:
    KNOWN = 0               # it follows the last one that the broker has
    DOUBTED = 1             # it may not: records were purged
    TRIED = 2               # it did not, or did; the broker has taken one since


cdef struct PartitionQueue:
    # The records of one partition, in the order of the call. Java: Deque<ProducerBatch>; franz-go: recBuf.
    CallTracker tracker
    int32_t partition
    int64_t start           # position in the order of its first record
    int64_t next            # position of the first record not enqueued yet
    int64_t stop            # position behind the partition's last record
    int64_t chunk_start     # position of the first record of the chunk enqueued last
    int64_t chunk_stop      # position behind the chunk being enqueued now
    double sent_at          # monotonic() when the last chunk was enqueued
    int64_t round           # and in which round: chunks of one round are enqueued together
    bint open               # that chunk is not known to be acknowledged yet
    bint has_failed         # a record was not acknowledged: nothing may follow it in this partition
    bint is_answered        # a broker answered the request of the chunk that failed
    bint connected          # the connection to its leader was in use within IDLE_SECONDS
    int numbers             # what is known of its next sequence number: KNOWN, DOUBTED, TRIED
    int64_t written_before  # records acknowledged when that was doubted


cdef PartitionQueue* by_partition(RecordSlice records, int64_t** order, int64_t* n_queues) except NULL
cdef int64_t chunk_end(RecordSlice records, const int64_t* order, PartitionQueue* queue, int64_t max_records, int64_t max_bytes) noexcept nogil


cdef inline bint is_in_flight(PartitionQueue* queue) noexcept nogil:
    return queue.tracker.done < queue.tracker.expected


cdef inline bint all_enqueued(PartitionQueue* queues, int64_t n_queues) noexcept nogil:
    """Return whether nothing more is to be enqueued: behind a failure nothing is."""
    cdef int64_t i
    for i in range(n_queues):
        if queues[i].next < queues[i].stop and not queues[i].has_failed:
            return False
    return True
