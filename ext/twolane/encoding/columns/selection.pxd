"""Columns made of other columns."""
from twolane.encoding.columns.table cimport Column


cdef Column with_nan_as_null(Column column)
