"""Which branch of a union a whole column takes, and each item of an Arrow union."""
from twolane.encoding.columns.table cimport Column
from twolane.encoding.columns.array_view cimport ArrayView


cdef Py_ssize_t branch_of(object type, const ArrayView* view) except -2
cdef object value_at(object type, const ArrayView* view, Py_ssize_t i)
cdef Column with_nulls(object type, Column column)
cdef Py_ssize_t branch_named(object type, str name) except -2
