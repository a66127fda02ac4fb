"""Choose a partition for every record, so that librdkafka always gets an explicit one.

Keys are hashed by librdkafka's own exported partitioner functions (murmur2 as in the Java client, CRC32, FNV-1a);
records without a key stick to one partition until about ``sticky_bytes`` went there, then move to a random other one.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint64_t

from twolane.batch cimport EncodedBatch, Span, span_at
from twolane.client.handle cimport Topic
from twolane.client.library cimport rd
from twolane.librdkafka cimport *

import os

import numpy as np

# Name of the setting -> (function of the table, hash null keys too, treat an empty key as none)
_HASHES = {
    "murmur2_random": (1, False, False),
    "murmur2": (1, True, False),
    "consistent_random": (2, False, True),
    "consistent": (2, True, False),
    "fnv1a_random": (3, False, False),
    "fnv1a": (3, True, False),
    "random": (0, False, False),
}

cdef uint64_t _state = <uint64_t>int.from_bytes(os.urandom(8), "little") | 1


cdef int32_t _another(int32_t count, int32_t current) noexcept nogil:
    """A random partition, not the current one where there are several (xorshift64*, Vigna 2016)."""
    global _state
    cdef int32_t chosen
    cdef uint64_t state = _state    # a copy: threads that meet here get the same number, but never make it 0 for good
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    _state = state
    chosen = <int32_t>(((state * 2685821657736338717ULL) >> 33) % <uint64_t>count)
    if chosen == current and count > 1:
        chosen = (chosen + 1) % count
    return chosen


@cython.boundscheck(False)
@cython.wraparound(False)
def assign(Topic topic not None, str partitioner not None, EncodedBatch values not None, EncodedBatch keys,
           Py_ssize_t n, int64_t sticky_bytes):
    """Choose the partitions of `n` records.

    Parameters
    ----------
    topic : Topic
        Its ``partition_count`` is known; its sticky partition goes on from where the last call left it.
    partitioner : str
        librdkafka's name: ``murmur2_random`` and so on.
    values, keys : EncodedBatch
        Keys may be None.
    n : int
    sticky_bytes : int
        Bytes of values after which records without a key move on.

    Returns
    -------
    int or ndarray of int32, shape (n,)
        One number where the topic has one partition.

    Notes
    -----
    GIL: released.
    """
    cdef int which
    cdef bint hash_null, empty_is_none
    cdef int32_t count = topic.partition_count
    cdef Py_ssize_t i
    cdef Span key
    cdef rd_kafka_msg_partitioner_t function = NULL
    cdef int32_t sticky = topic.sticky_partition
    cdef int64_t sent = topic.sticky_bytes
    which, hash_null, empty_is_none = _HASHES[partitioner]
    if count == 1:
        return 0
    if count < 1:
        raise ValueError(f"the partitions of {topic.name!r} are not known yet")
    if which == 1:
        function = rd.partitioner_murmur2
    elif which == 2:
        function = rd.partitioner_consistent
    elif which == 3:
        function = rd.partitioner_fnv1a
    if sticky < 0 or sticky >= count:
        sticky = _another(count, -1)
        sent = 0
    partitions = np.empty(n, dtype=np.int32)
    cdef int32_t[::1] chosen = partitions
    key.data = NULL
    key.size = 0
    with nogil:
        for i in range(n):
            if keys is not None:
                key = span_at(&keys.column, i)
            if function != NULL and (key.data != NULL or hash_null) and not (empty_is_none and key.size == 0):
                chosen[i] = function(topic.rkt, key.data if key.data != NULL else <const void*>b"", <size_t>key.size,
                                     count, NULL, NULL)
            else:
                chosen[i] = sticky
                sent += span_at(&values.column, i).size + 1
                if sent >= sticky_bytes:
                    sticky = _another(count, sticky)
                    sent = 0
    topic.sticky_partition = sticky
    topic.sticky_bytes = sent
    return partitions
