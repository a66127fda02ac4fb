"""What holds for every item of a view."""
from libc.stdint cimport int64_t, uint32_t

from twolane.encoding.columns.array_view cimport Layout, ArrayView


cdef struct Duration:
    bint fits                       # whether nothing is negative or takes more than 32 bits
    uint32_t months
    uint32_t days
    uint32_t millis


cdef Py_ssize_t first_null(const ArrayView* view) noexcept nogil
cdef Py_ssize_t first_null_inside(const ArrayView* struct, const ArrayView* child) noexcept nogil
cdef bint in_range(const ArrayView* view, int64_t low, int64_t high) noexcept nogil
cdef bint in_single_range(const ArrayView* view) noexcept nogil
cdef bint is_text(const ArrayView* view) noexcept nogil
cdef bint has_bytes(const ArrayView* view, bint text) noexcept nogil
cdef bint are_uuids(const ArrayView* view) noexcept nogil
cdef bint are_durations(const ArrayView* view) noexcept nogil
cdef Duration duration_at(const ArrayView* view, Py_ssize_t i) noexcept nogil
cdef const char* fault_of(const ArrayView* view, Py_ssize_t start, Py_ssize_t stop, const ArrayView** where) noexcept nogil
cdef bint says_nothing(const ArrayView* view) noexcept nogil
cdef bint takes_no_bytes(const ArrayView* view) noexcept nogil
cdef bint items_of(const ArrayView* view, ArrayView* child) noexcept nogil
cdef int buffers_of(Layout layout) noexcept nogil
cdef int children_of(Layout layout) noexcept nogil
