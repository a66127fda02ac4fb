"""What numpy's dtypes are as vectors."""
from twolane.encoding.vectors cimport Kind, Vector

cdef dict UNIT_NS       # nanoseconds of numpy's units from weeks on

cdef object refused(str name, str reason)
cdef Py_ssize_t count_fields(object dtype) except -1
cdef Kind plain_kind(char typekind, int width) noexcept nogil
cdef int read_dtype(Vector* vector, object dtype, str name, Vector* pool, list keep) except -1
cdef int place_fields(Vector* vector) except -1
cdef object days_of(object times)
cdef object coarser(object array, str name)
