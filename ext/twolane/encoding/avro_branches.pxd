"""Which branch of a union a whole column takes, and each item of an Arrow union."""
from twolane.encoding.columns cimport Column
from twolane.encoding.vectors cimport Vector


cdef Py_ssize_t branch_of(object type, const Vector* vector) except -2
cdef object value_at(object type, const Vector* vector, Py_ssize_t i)
cdef Column with_nulls(object type, Column column)
cdef Py_ssize_t branch_named(object type, str name) except -2
