"""The verdict on a record without an acknowledgement: ``twolane.verdicts`` in C."""
from libc.stdint cimport int8_t, int64_t


cdef enum:
    # Numbers shared with twolane.verdicts.
    VERDICT_WRITTEN = 0
    VERDICT_NOT_WRITTEN = 1
    VERDICT_UNKNOWN = 2


cdef int8_t verdict_of(int code, int status, int64_t attempts, int retries, bint one_broker, int64_t offset,
                       bint acks_none) noexcept nogil
