"""ColumnEncoder: what the encoders of columns have in common. A format adds how it plans its columns and encodes rows."""
from twolane.batch cimport EncodedBatch
from twolane.encoding.columns.array_view cimport ArrayView
from twolane.encoding.memory.arena cimport Arena


cdef class ColumnEncoder:
    cdef Py_ssize_t n               # records
    cdef list owners                # keep alive the memory that the plan reads
    cdef size_t left                # bytes that values may still take which are encoded while binding
    cdef Arena _arena               # of the latest slice

    cdef int begin(self, object values, object limit) except -1
    cdef int spend(self, size_t size) except -1
    cdef int spend_arrays(self, Py_ssize_t first) except -1
    cdef Arena start_values(self, Py_ssize_t n)
    cdef int keep_values(self, Arena arena, Py_ssize_t n, ArrayView* view) except -1
    cdef EncodedBatch encode(self, Py_ssize_t start, Py_ssize_t stop, Arena arena)
    cdef size_t bound(self, Py_ssize_t start, Py_ssize_t stop) except? 0
