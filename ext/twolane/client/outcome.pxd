"""Outcome: the Python owner of one call's slot and of the arrays its reports are written into."""
from twolane.client.delivery cimport Delivery, Report, Rows, Slot


cdef class Outcome:
    cdef Delivery _delivery
    cdef Slot slot
    cdef Rows rows
    cdef bint _attached
    cdef readonly object offsets            # int64, shape (n,): -1 until the record is acknowledged

    cdef int attach(self) except -1


cdef list take_reports(Slot* slot)
