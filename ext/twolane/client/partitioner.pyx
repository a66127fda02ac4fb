"""Choose a partition for every record, so that librdkafka always gets an explicit one.

Keys are hashed by librdkafka's own exported partitioner functions (murmur2 as in the Java client, CRC32, FNV-1a);
records without a key stick to one partition until about ``sticky_bytes`` went there, then move to a random other one.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint64_t, uintptr_t

from twolane.batch cimport EncodedBatch, Span, span_at
from twolane.client.handle cimport Topic
from twolane.client.library cimport rd
from twolane.librdkafka cimport *

import os

import numpy as np

# Name of the setting -> (hash, hash null keys too, treat an empty key as none). A hash of another library than librdkafka
# is a function of the same type here; keys without a hash are placed as records without a key.
_HASHES = {
    "murmur2_random": (<uintptr_t>rd.partitioner_murmur2, False, False),
    "murmur2": (<uintptr_t>rd.partitioner_murmur2, True, False),
    "consistent_random": (<uintptr_t>rd.partitioner_consistent, False, True),
    "consistent": (<uintptr_t>rd.partitioner_consistent, True, False),
    "fnv1a_random": (<uintptr_t>rd.partitioner_fnv1a, False, False),
    "fnv1a": (<uintptr_t>rd.partitioner_fnv1a, True, False),
    "random": (0, False, False),
}
NAMES = tuple(_HASHES)

cdef uint64_t _state = <uint64_t>int.from_bytes(os.urandom(8), "little") | 1


cdef int32_t _another(int32_t count, int32_t current) noexcept nogil:
    """Return a random partition, not the current one where there are several (xorshift64*, Vigna 2016)."""
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


@cython.final
cdef class Partitioner:
    """Chooses partitions by one rule, for one producer.

    Parameters
    ----------
    name : str
        The setting ``partitioner``, one of `NAMES`.
    sticky_bytes : int
        Bytes of values after which records without a key move on to another partition.
    """

    def __init__(self, str name not None, int64_t sticky_bytes):
        address, self._hashes_null, self._empty_is_null = _HASHES[name]
        self._hash = <rd_kafka_msg_partitioner_t><uintptr_t>address
        self._sticky_bytes = sticky_bytes

    cdef int32_t _move_on(self, Topic topic, int32_t count) noexcept nogil:
        """Choose another partition for records without a key. GIL: not needed."""
        topic.sticky_partition = _another(count, topic.sticky_partition)
        topic.sticky_bytes = 0
        return topic.sticky_partition

    @cython.boundscheck(False)
    @cython.wraparound(False)
    def assign(self, Topic topic not None, EncodedBatch values not None, EncodedBatch keys, Py_ssize_t n):
        """Choose the partitions of `n` records.

        Parameters
        ----------
        topic : Topic
            Its ``partition_count`` is known; its sticky partition goes on from where the last call left it.
        values, keys : EncodedBatch
            Keys may be None.
        n : int

        Returns
        -------
        int or ndarray of int32, shape (n,)
            One number where the topic has one partition.

        Notes
        -----
        GIL: released.
        """
        cdef Py_ssize_t i
        cdef Span key
        cdef int32_t count = topic.partition_count
        if count == 1:
            return 0
        if count < 1:
            raise ValueError(f"the partitions of {topic.name!r} are not known yet")
        partitions = np.empty(n, dtype=np.int32)
        cdef int32_t[::1] chosen = partitions
        key.data = NULL
        key.size = 0
        with nogil:
            for i in range(n):
                if keys is not None:
                    key = span_at(&keys.column, i)
                chosen[i] = partition_of(self, topic, count, span_at(&values.column, i), key)
        return partitions
