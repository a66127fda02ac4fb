"""The records of a call by partition, and where a chunk must end to become one MessageSet.

librdkafka puts records into a request until the bytes written so far and the next record, counted at its worst, exceed
``batch.size`` or ``message.max.bytes``. The same rule here makes a chunk as large as one request can be, and no larger:
what did not fit would become a second request.
"""
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc

from twolane.batch cimport span_at
from twolane.produce.grouping cimport group_by_partition
from twolane.produce.record_slice cimport RecordSlice, record_size, varint_size

cdef enum:
    # A record's fields that are not varints of its own sizes: its attributes, and the number of its headers at most.
    FIXED_BYTES = 1 + 5


cdef PartitionQueue* by_partition(RecordSlice records, int64_t** order, int64_t* n_queues) except NULL:
    """Return a PartitionQueue per partition and, where there are several, the records' stable order by partition."""
    cdef PartitionQueue* queues
    cdef int64_t* stops = NULL
    cdef int64_t i, at = 0, start = 0, n_partitions
    cdef int32_t highest = 0
    if records.partition_step == 0 or all_in_one_partition(records):
        queues = <PartitionQueue*>calloc(1, sizeof(PartitionQueue))
        if queues == NULL:
            raise MemoryError()
        queues[0].partition = records.partitions[0]
        queues[0].stop = records.n
        n_queues[0] = 1
        return queues
    for i in range(records.n):
        highest = max(highest, records.partitions[i])
    n_partitions = <int64_t>highest + 1
    stops = <int64_t*>malloc(<size_t>n_partitions * sizeof(int64_t))
    order[0] = <int64_t*>malloc(<size_t>records.n * sizeof(int64_t))
    queues = <PartitionQueue*>calloc(<size_t>min(n_partitions, records.n), sizeof(PartitionQueue))
    if stops == NULL or order[0] == NULL or queues == NULL:
        free(stops)
        free(queues)
        raise MemoryError()
    group_by_partition(records.partitions, 0, records.n, n_partitions, order[0], stops)
    for i in range(n_partitions):
        if stops[i] > start:
            queues[at].partition = <int32_t>i
            queues[at].start = queues[at].next = start
            queues[at].stop = start = stops[i]
            at += 1
    free(stops)
    n_queues[0] = at
    return queues


cdef bint all_in_one_partition(RecordSlice records) noexcept nogil:
    cdef int64_t i
    for i in range(1, records.n):
        if records.partitions[i] != records.partitions[0]:
            return False
    return True


cdef int64_t chunk_end(RecordSlice records, const int64_t* order, PartitionQueue* queue, int64_t max_records, int64_t max_bytes) noexcept nogil:
    """Return where the next chunk ends so that it fits one MessageSet: behind a record at least. GIL: not needed."""
    cdef int64_t at = queue.next, limit = min(queue.stop, queue.next + max_records)
    cdef int64_t i, worst, body, written = 0, value_size, key_size, first_time = 0
    while at < limit:
        i = order[at] if order != NULL else at
        worst = records.size_of(i)
        if at > queue.next and written + worst > max_bytes:
            break
        if at == queue.next:
            first_time = records.timestamps[i * records.timestamp_step]
        value_size = span_at(records.values, i).size
        key_size = span_at(records.keys, i).size if records.keys != NULL else 0
        body = (worst - record_size(0, 0) + FIXED_BYTES + varint_size(value_size) + varint_size(key_size)
                + varint_size(at - queue.next) + varint_size(records.timestamps[i * records.timestamp_step] - first_time))
        written += body + varint_size(body)
        at += 1
    return at
