"""Outcome: the Python owner of one call's slot and of the arrays its reports are written into."""
from libc.stdint cimport int64_t

from twolane.client.delivery cimport Delivery
from twolane.client.slots cimport Report, Rows, Slot


cdef class Outcome:
    cdef Delivery _delivery
    cdef Slot slot
    cdef Rows rows
    cdef bint _attached
    cdef object _offsets                    # int64, shape (n,): -1 until the record is acknowledged
    cdef public object ends                 # set by ChunkSender.send() and Window.push(), see Outcome
    cdef int64_t _one                       # the same of a lone record, which needs no array

    cdef int attach(self) except -1


cdef list take_reports(Slot* slot)
