"""The tree of writers that turns Python objects into Avro: one class per type, one virtual call per value."""
from twolane.batch cimport EncodedBatch
from twolane.encoding.arena cimport Buffer


cdef class Writer:
    cdef readonly str label         # what errors say was expected
    cdef int put(self, object value, Buffer* out) except -1
    cdef int fits(self, object value) except -1


cdef class RowEncoder:
    cdef readonly Writer root
    cdef bytes _prefix              # Confluent framing, or nothing
    cdef EncodedBatch encode_objects(self, tuple rows)
    cdef Writer field_writer(self, Py_ssize_t i)
    cdef bytes field_default(self, Py_ssize_t i)


cdef Writer writer_of(object type, dict made)
cdef int put_checked(Writer writer, object value, Buffer* out, Py_ssize_t row, str field) except -1
