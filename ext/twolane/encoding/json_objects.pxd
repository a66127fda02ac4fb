"""Python objects to JSON, many at a time."""
from twolane.encoding.arena cimport Arena


cdef Arena dump_objects(tuple values, object dump, object field, bint null_rows)
