"""The encoder of Python rows: a tree of writers (avro_writers)."""
from twolane.batch cimport EncodedBatch
from twolane.encoding.memory.arena cimport Buffer
from twolane.encoding.avro.writers cimport Writer


cdef class RowEncoder:
    cdef readonly Writer root
    cdef readonly Py_ssize_t default_steps, default_bytes   # what the schema's defaults took: for tests
    cdef bytes _prefix              # Confluent framing, or nothing
    cdef object cached_plan          # for AvroColumns: an OpBlock of the operations that its fields had the last time, or None
    cdef EncodedBatch encode_objects(self, tuple rows, size_t limit)
    cdef tuple field_names(self)
    cdef Writer field_writer(self, Py_ssize_t i)
    cdef bytes field_default(self, Py_ssize_t i)


cdef Writer writer_of(object type, dict made)
cdef int put_checked(Writer writer, object value, Buffer* out, Py_ssize_t row, str field) except -1
