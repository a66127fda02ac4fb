"""Which branch of a union a whole column takes, and each item of an Arrow union."""
from twolane.encoding.vectors cimport Vector


cdef Py_ssize_t branch_of(object type, const Vector* vector) except -2
cdef object value_at(object type, const Vector* vector, Py_ssize_t i)
cdef Py_ssize_t branch_named(object type, str name) except -2
