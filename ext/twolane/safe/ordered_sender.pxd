"""Ordered chunks: one MessageSet per partition inside librdkafka, the next only after the last is acknowledged."""
from libc.stdint cimport int64_t

from twolane.reports.reader cimport ReportReader
from twolane.produce.record_slice cimport RecordSlice
from twolane.client.handle cimport Handle, Topic
from twolane.safe.partition_queue cimport PartitionQueue
from twolane.reports.trackers cimport OffsetColumns


cdef class OrderedSender:
    cdef Handle _handle
    cdef ReportReader _reader
    cdef readonly int64_t chunk_records     # limits of one MessageSet
    cdef readonly int64_t chunk_bytes
    cdef readonly int64_t started           # chunks enqueued so far
    cdef public double batch_timeout        # seconds that a chunk may stay unacknowledged; tests lengthen it for a first one
    cdef int64_t _requests_before           # ProduceRequests before the call, and chunks of it that a broker answered
    cdef int64_t _answered
    cdef bint _stops_all                    # any failure ends the call
    cdef bint _idempotent                    # idempotence is on
    cdef int _retry_look_ms                 # after a failure: how often to look for records that wait for a retry
    cdef double _end_by                     # monotonic(): the producer closes, no call may last longer
    cdef dict _last_used                    # (topic, partition) -> monotonic() of its last acknowledgement, FAILED behind a failure
    cdef object _purge_thread                    # the thread that waits for the purges of the call before
    # Of the running call:
    cdef bint _failed                       # it ends: a chunk's time is over, or a failure that stops other partitions too
    cdef bint _draining                     # a record was not acknowledged: nothing is enqueued before all is reported
    cdef bint _purged
    cdef bint _is_doubted                   # a partition's next sequence number may not follow, see _hold_back()
    cdef bint _out_of_time                  # that is why it was purged
    cdef int64_t _round
    cdef int _refusal                       # librdkafka's reason for refusing a record that it was given
    cdef object _interruption               # what a signal handler raised

    cdef int _run(self, Topic topic, RecordSlice records, const int64_t* order, PartitionQueue* queues, int64_t n_queues, int64_t first_index,
                  OffsetColumns* rows, double deadline) except -1
    cdef int _start_chunks(self, Topic topic, RecordSlice records, const int64_t* order, PartitionQueue* queues, int64_t n_queues,
                           int64_t first_index) except -1
    cdef int64_t _in_flight(self, PartitionQueue* queues, int64_t n_queues) noexcept nogil
    cdef PartitionQueue* _hold_back(self, PartitionQueue* queues, int64_t n_queues, int* numbers) noexcept nogil
    cdef int _finish_purge(self) except -1
    cdef bint _await_purge(self, double deadline) except -1
    cdef void _reclassify(self, PartitionQueue* queues, int64_t n_queues) noexcept nogil
    cdef void _take_back(self, PartitionQueue* queue, int64_t size) noexcept nogil
    cdef bint _may_continue(self, RecordSlice records, const int64_t* order, PartitionQueue* queues,
                            int64_t n_queues) noexcept nogil
    cdef double _purge_at(self, PartitionQueue* queues, int64_t n_queues, double deadline, double now) noexcept nogil
    cdef tuple _collect(self, Topic topic, PartitionQueue* queues, int64_t n_queues, const int64_t* order, int64_t first_index,
                        OffsetColumns* rows)
    cdef void _detach(self, PartitionQueue* queues, int64_t n_queues) noexcept
    cdef void _clear(self, PartitionQueue* queues, int64_t n_queues) noexcept
    cdef tuple send_one(self, Topic topic, RecordSlice records, OffsetColumns* rows, double deadline)
    cpdef object take_interruption(self)
