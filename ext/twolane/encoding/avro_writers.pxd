"""What writes one value of one Avro type."""
from twolane.encoding.arena cimport Buffer


cdef class Writer:
    cdef readonly str label         # what errors say was expected
    cdef int put(self, object value, Buffer* out) except -1
    cdef int fits(self, object value) except -1


cdef Writer plain_writer(str kind, object type)
cdef Writer logical_writer(object type)
cdef Writer enum_writer(object type)
