"""Python objects of the plainest types as a view, which a plan takes like any other column."""
from twolane.encoding.column_encoder cimport ColumnEncoder
from twolane.encoding.columns.array_view cimport ArrayView


cdef bint lay_out(ArrayView* view, object field, tuple objects, ColumnEncoder encoder, int depth) except -1
