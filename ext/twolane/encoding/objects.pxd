"""One item of a vector as a Python object: for error messages and types without a native path; what kind an object is."""
from twolane.encoding.vectors cimport Vector


cdef object object_at(const Vector* vector, Py_ssize_t i)
cdef bint is_integer(object value) except -1
cdef bytes bytes_of(object value)
