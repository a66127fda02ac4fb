"""Avro's logical types, from Python objects."""
from libc.stdint cimport int64_t

from twolane.encoding.memory.arena cimport Buffer


cdef int put_timestamp(object value, int64_t unit, bint local, Buffer* out) except -1
cdef bint is_day(object value) except -1
cdef int put_date(object value, Buffer* out) except -1
cdef int put_time(object value, int64_t unit, Buffer* out) except -1
cdef int put_decimal(object value, object type, Buffer* out) except -1
cdef int put_uuid(object value, bint as_bytes, Buffer* out) except -1
cdef int put_duration(object value, Buffer* out) except -1
