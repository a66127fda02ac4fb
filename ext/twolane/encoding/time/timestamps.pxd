"""Times to milliseconds: what the client and the encoders call from C."""
from libc.stdint cimport int64_t


cdef int64_t pack_one(object value) except -1
cdef int64_t datetime_micros(object value, object naive) except? -1
cdef int64_t wall_micros(object value) noexcept
cdef int64_t days_of_date(object value) noexcept
