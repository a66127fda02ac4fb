"""What holds for every item of a vector."""
from libc.stdint cimport int64_t, uint32_t

from twolane.encoding.columns.vectors cimport Layout, ArrayView


cdef struct Duration:
    bint fits                       # whether nothing is negative or takes more than 32 bits
    uint32_t months
    uint32_t days
    uint32_t millis


cdef Py_ssize_t first_null(const ArrayView* vector) noexcept nogil
cdef Py_ssize_t first_null_inside(const ArrayView* struct, const ArrayView* child) noexcept nogil
cdef bint in_range(const ArrayView* vector, int64_t low, int64_t high) noexcept nogil
cdef bint in_single_range(const ArrayView* vector) noexcept nogil
cdef bint is_text(const ArrayView* vector) noexcept nogil
cdef bint are_uuids(const ArrayView* vector) noexcept nogil
cdef bint are_durations(const ArrayView* vector) noexcept nogil
cdef Duration duration_at(const ArrayView* vector, Py_ssize_t i) noexcept nogil
cdef const char* fault_of(const ArrayView* vector, Py_ssize_t start, Py_ssize_t stop, const ArrayView** where) noexcept nogil
cdef bint says_nothing(const ArrayView* vector) noexcept nogil
cdef bint takes_no_bytes(const ArrayView* vector) noexcept nogil
cdef bint items_of(const ArrayView* vector, ArrayView* child) noexcept nogil
cdef int buffers_of(Layout kind) noexcept nogil
cdef int children_of(Layout kind) noexcept nogil
