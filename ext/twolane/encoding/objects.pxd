"""One item of a vector as a Python object: for error messages and for types without a native path."""
from twolane.encoding.vectors cimport Vector


cdef object object_at(const Vector* vector, Py_ssize_t i)
