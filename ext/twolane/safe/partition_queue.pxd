"""Runs: the records of a call by partition, and how each run is cut into chunks of one MessageSet."""
from libc.stdint cimport int32_t, int64_t

from twolane.produce.record_slice cimport RecordSlice
from twolane.reports.trackers cimport CallTracker


cdef struct PartitionQueue:
    # The records of one partition, in the order they were handed over.
    CallTracker tracker
    int32_t partition
    int64_t start           # position in the order of its first record
    int64_t next            # position of the first record not enqueued yet
    int64_t stop            # position behind the partition's last record
    int64_t chunk_stop      # position behind the chunk being enqueued now
    double began            # monotonic() when the last chunk was enqueued
    int64_t round           # and in which round: chunks of one round are enqueued together
    bint open               # that chunk is not known to be reported yet
    bint warm               # its leader's connection was in use a moment ago


cdef PartitionQueue* by_partition(RecordSlice feed, int64_t** order, int64_t* n_runs) except NULL
cdef int64_t chunk_end(RecordSlice feed, const int64_t* order, PartitionQueue* run, int64_t most_records, int64_t most_bytes) noexcept nogil


cdef inline bint is_in_flight(PartitionQueue* run) noexcept nogil:
    return run.tracker.done < run.tracker.expected


cdef inline bint all_enqueued(PartitionQueue* runs, int64_t n_runs) noexcept nogil:
    cdef int64_t i
    for i in range(n_runs):
        if runs[i].next < runs[i].stop:
            return False
    return True
