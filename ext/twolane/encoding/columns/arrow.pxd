"""The structs of the Arrow C data and C stream interfaces, and the owner of what they hand over.

Source: https://arrow.apache.org/docs/format/CDataInterface.html and CStreamInterface.html
"""
from libc.stdint cimport int64_t

from twolane.encoding.columns.array_view cimport ArrayView


cdef struct ArrowSchema:
    const char* format
    const char* name
    const char* metadata
    int64_t flags
    int64_t n_children
    ArrowSchema** children
    ArrowSchema* dictionary
    void (*release)(ArrowSchema*) noexcept nogil
    void* private_data


cdef struct ArrowArray:
    int64_t length
    int64_t null_count
    int64_t offset
    int64_t n_buffers
    int64_t n_children
    const void** buffers
    ArrowArray** children
    ArrowArray* dictionary
    void (*release)(ArrowArray*) noexcept nogil
    void* private_data


cdef struct ArrowArrayStream:
    int (*get_schema)(ArrowArrayStream*, ArrowSchema*) noexcept nogil
    int (*get_next)(ArrowArrayStream*, ArrowArray*) noexcept nogil
    const char* (*get_last_error)(ArrowArrayStream*) noexcept nogil
    void (*release)(ArrowArrayStream*) noexcept nogil
    void* private_data


cdef class ArrowType:
    cdef ArrowSchema schema         # owned: released with this object


cdef class ArrowChunk:
    cdef ArrowArray array           # owned: released with this object
    cdef ArrowType type             # keeps alive the names that views point at
    cdef ArrayView root                # the array as a view; borrows from array and type
    cdef ArrayView* _pool              # the views below root, one block
    cdef Py_ssize_t _used, _size
    cdef list _kept                 # what views point at and neither array nor type has: tables of unions, runs, zones

    cdef int read(self, ArrowType type) except -1
    cdef ArrayView* take(self, Py_ssize_t n) except NULL
    cdef int fill(self, ArrayView* view, const ArrowSchema* schema, const ArrowArray* array) except -1
    cdef int fill_values(self, ArrayView* view, const ArrowSchema* schema, const ArrowArray* array) except -1
    cdef int fill_runs(self, ArrayView* view, const ArrowSchema* schema, const ArrowArray* array) except -1


cdef class ArrowData:
    cdef readonly ArrowType type
    cdef readonly list chunks       # of ArrowChunk
    cdef bint is_table(self)


cdef ArrowData read_export(object exported)
cdef str text(const char* name)
