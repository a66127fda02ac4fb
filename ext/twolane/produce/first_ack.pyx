"""Why there is a gate: an idempotent producer's first batch to a partition may be lost, and be called written (F4).

The broker knows no sequence numbers of a producer that is new to a partition, so it takes whatever comes first. If the
first batch is refused once while later ones are in flight, they are appended, and librdkafka concludes from their
acknowledgement that the first one was written too. So the first record goes alone: nothing else of its partition is
handed to librdkafka before its report has come. After a failure, and after an hour without an acknowledgement, again.
"""
from cpython.time cimport monotonic
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free


cdef int64_t milliseconds() noexcept nogil:
    return <int64_t>(monotonic() * 1000) + 1


cdef int cover(Gates* gates, int64_t partitions) except -1:
    """Make room for so many partitions, all closed at first. In the topic's critical section."""
    cdef int block = 0
    cdef int64_t first = 0
    while first < partitions:
        if gates.blocks[block] == NULL:
            gates.blocks[block] = <int64_t*>calloc(<size_t>FIRST_BLOCK << block, sizeof(int64_t))
            if gates.blocks[block] == NULL:
                raise MemoryError()
        first += <int64_t>FIRST_BLOCK << block
        block += 1
    return 0


cdef void free_gates(Gates* gates) noexcept:
    cdef int block
    for block in range(BLOCKS):
        free(gates.blocks[block])
        gates.blocks[block] = NULL
