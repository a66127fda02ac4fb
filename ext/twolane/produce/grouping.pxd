"""The order of a slice's records by partition: one counting sort for send_batch(), the accumulator and the safe lane."""
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset


cdef inline bint group_by_partition(const int32_t* partitions, int64_t start, int64_t n, int64_t n_partitions,
                                    int64_t* order, int64_t* stops) noexcept nogil:
    """Order records ``start`` to ``start + n`` by partition; within a partition they keep their order.

    librdkafka allocates its records as they come and walks each partition's list of them three times afterwards. Records
    that are neighbours in the list and in memory halve what that costs.

    Parameters
    ----------
    order : n numbers
        Is set to the records' indices, grouped.
    stops : n_partitions numbers
        Is set to the position in `order` behind each partition's last record.

    Returns
    -------
    bool
        False if a record has another partition: `order` is not set.
    """
    cdef int64_t i, partition, count, position = 0
    memset(stops, 0, <size_t>n_partitions * sizeof(int64_t))
    for i in range(start, start + n):
        partition = partitions[i]
        if not 0 <= partition < n_partitions:
            return False
        stops[partition] += 1
    for partition in range(n_partitions):
        count = stops[partition]
        stops[partition] = position
        position += count
    for i in range(start, start + n):
        partition = partitions[i]
        order[stops[partition]] = i
        stops[partition] += 1
    return True
