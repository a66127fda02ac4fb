"""Why the first record of a partition goes alone: an idempotent producer's first batch may be lost and reported written (F4).

The broker has no sequence numbers of a producer that is new to a partition and accepts any first one. If it refuses the first
batch once while later ones are in flight, it appends those, and librdkafka concludes from their acknowledgement that the
first batch was written too. So nothing else of the partition is handed to librdkafka before the report of its first record.
The same after a failure, and after an hour without an acknowledgement.
"""
from cpython.time cimport monotonic
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free


cdef int64_t milliseconds() noexcept nogil:
    return <int64_t>(monotonic() * 1000) + 1


cdef int make_room(FirstAcks* first_acks, int64_t partitions) except -1:
    """Make room for so many partitions, NONE_YET at first. In the topic's critical section."""
    cdef int block = 0
    cdef int64_t first = 0
    while first < partitions:
        if first_acks.blocks[block] == NULL:
            first_acks.blocks[block] = <PartitionAcks*>calloc(<size_t>FIRST_BLOCK << block, sizeof(PartitionAcks))
            if first_acks.blocks[block] == NULL:
                raise MemoryError()
        first += <int64_t>FIRST_BLOCK << block
        block += 1
    return 0


cdef void free_first_acks(FirstAcks* first_acks) noexcept:
    cdef int block
    for block in range(BLOCKS):
        free(first_acks.blocks[block])
        first_acks.blocks[block] = NULL
