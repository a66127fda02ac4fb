"""A histogram of times that costs a few shifts for each entry."""
from libc.stdint cimport int64_t

cdef enum:
    # Four buckets for each power of two of microseconds: an entry is known within a fifth.
    STEPS = 4
    BUCKETS = 34 * STEPS        # up to nine hours; what takes longer is in the last one


cdef struct Latencies:
    int64_t counts[BUCKETS]
    int64_t sum_us
    int64_t largest_us


cdef inline int bucket_of(int64_t us) noexcept nogil:
    """Return the bucket of a time: STEPS for each power of two, told apart by the two bits below the leading one."""
    cdef int exponent = 2, bucket
    if us < STEPS:
        return <int>us if us > 0 else 0
    while us >> (exponent + 1):
        exponent += 1
    bucket = STEPS * (exponent - 1) + <int>((us >> (exponent - 2)) & (STEPS - 1))
    return bucket if bucket < BUCKETS else BUCKETS - 1


cdef inline void add_latency(Latencies* latencies, int64_t us, int64_t n) noexcept nogil:
    latencies.counts[bucket_of(us)] += n
    latencies.sum_us += us * n
    if us > latencies.largest_us:
        latencies.largest_us = us
