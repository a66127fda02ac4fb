"""Columns and tables: they own the memory that views point into."""
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uint8_t

from twolane.encoding.columns.array_view cimport Layout, ArrayView


cdef class Column:
    cdef readonly str name
    cdef readonly object objects    # a list or tuple of Python objects, or an object array; then there are no parts
    cdef ArrayView* parts              # owned table of views, one per chunk
    cdef Py_ssize_t* starts         # first row of each part, and the number of rows at the end (n_parts + 1)
    cdef Py_ssize_t n_parts
    cdef Py_ssize_t length
    cdef bint is_numpy              # read from a numpy array, whose datetime64 are in UTC
    cdef bint nan_is_missing        # pandas' float and object columns: NaN is null where the type has one
    cdef object _owners            # keep alive the memory that the parts point at

    cdef int make_parts(self, Py_ssize_t n) except -1
    cdef Py_ssize_t part_of(self, Py_ssize_t row) noexcept nogil
    cdef ArrayView view_from(self, Py_ssize_t row) noexcept
    cdef tuple snapshot(self)
    cdef Column part(self, Py_ssize_t start, Py_ssize_t stop)


cdef class Table:
    cdef readonly list names
    cdef dict _by_name
    cdef Py_ssize_t length

    cdef Column get(self, str name)
    cdef int add(self, Column column) except -1


# What ``__array_struct__`` gives: https://numpy.org/doc/stable/reference/arrays.interface.html
cdef struct ArrayInterface:
    int two                     # the version
    int nd
    char typekind
    int itemsize
    int flags
    Py_ssize_t* shape
    Py_ssize_t* strides
    const uint8_t* data
    void* descr


cdef inline const ArrayInterface* interface_of(object array_struct) except NULL:
    """Return what a numpy array's ``__array_struct__`` holds, and keeps alive: for every dtype, and sooner than as a buffer."""
    return <const ArrayInterface*>PyCapsule_GetPointer(array_struct, NULL)


cdef inline Layout plain_layout(char typekind, int width) noexcept nogil:
    """Return the layout of numpy's numbers, booleans and strings; UNREADABLE for all else. GIL: not needed."""
    if typekind == c"i":
        return Layout.INT64 if width == 8 else Layout.INT32 if width == 4 else Layout.INT16 if width == 2 else Layout.INT8
    if typekind == c"u":
        return Layout.UINT64 if width == 8 else Layout.UINT32 if width == 4 else Layout.UINT16 if width == 2 else Layout.UINT8
    if typekind == c"f" and width <= 8:
        return Layout.FLOAT64 if width == 8 else Layout.FLOAT32 if width == 4 else Layout.FLOAT16
    if typekind == c"M" or typekind == c"m":
        return Layout.INT64
    return (
        Layout.BYTE_BOOL if typekind == c"b" else Layout.PADDED if typekind == c"S" else Layout.UCS4 if typekind == c"U"
        else Layout.UNREADABLE
    )


cpdef Table as_table(object values)
cpdef object as_columns(object values)
cpdef Column as_column(object values, str name=*)
cdef const uint8_t* address_of(object array) except NULL
cdef Column column_of_times(object values, str name)
cdef int read_dtype(ArrayView* view, object dtype, str name, ArrayView* pool, list keep) except -1
