"""What writes one value of one Avro type."""
from twolane.encoding.memory.arena cimport Buffer


cdef class Writer:
    cdef readonly str label         # what errors say was expected
    cdef int put(self, object value, Buffer* out) except -1
    cdef int fits(self, object value, dict known) except -1


cdef class ArrayWriter(Writer):
    cdef Writer item


cdef class MapWriter(Writer):
    cdef Writer item
    cdef Writer key


cdef enum:
    AMBIGUOUS = -2


cdef class UnionWriter(Writer):
    cdef tuple branches
    cdef dict by_name           # full names, and names without namespace: AMBIGUOUS where several have them
    cdef Py_ssize_t map         # the branch that is a map, or -1
    cdef bint only_record       # the one branch beside null is a record
    cdef Py_ssize_t null        # -1: no branch is null
    cdef Py_ssize_t only        # the one branch beside null, or -1
    cdef bint forks             # several branches have parts
    cdef bint keeps_nan         # a branch is float or double
    cdef bint says_null(self, object value) except -1
    cdef Py_ssize_t named(self, object value) except -2
    cdef Py_ssize_t choose(self, object value) except -2
    cdef int fits_any(self, object value, dict known) except -1


cdef extern from "Python.h":
    int Py_EnterRecursiveCall(const char* where) noexcept
    void Py_LeaveRecursiveCall()


cdef inline int enter() except -1:
    """Count one level of nesting; RecursionError beyond the interpreter's limit."""
    if Py_EnterRecursiveCall(" while encoding a record") != 0:     # not always -1
        return -1
    return 0


cdef Writer plain_writer(str kind, object type)
cdef Writer logical_writer(object type)
cdef Writer enum_writer(object type)
