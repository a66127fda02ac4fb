"""Python objects to JSON, many at a time."""
from twolane.encoding.memory.arena cimport Arena


cdef Arena dump_objects(tuple values, object dump, object field, bint null_rows, size_t limit, Py_ssize_t* n_done)
