"""Owners of slots: how one call's records ended, as arrays and, for the failures alone, as Python tuples."""
cimport cython
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from twolane.reports.reader cimport ReportReader
from twolane.reports.classify cimport delivery_report, timestamp_type_of
from twolane.reports.trackers cimport CallTracker, clear_reports

import numpy as np


cdef list take_reports(CallTracker* slot):
    """The kept reports of a slot as DeliveryReports. The slot is finished: nothing is added to it any more."""
    return [delivery_report(&slot.reports[i]) for i in range(slot.n_reports)]


# The collector of garbage must leave what __dealloc__ needs: the delivery, and the offsets that reports are written into.
@cython.no_gc_clear
@cython.final
cdef class CallResult:
    """What becomes of the records of one call.

    Parameters
    ----------
    delivery : ReportReader
    n : int
        Records of the call. 8 bytes each are held until the CallResult goes.

    Attributes
    ----------
    ends : tuple or None
        What became of the records of a ``OrderedSender.send()`` that were not acknowledged; None until it has ended. It
        stands here, set in compiled code, because a signal may take the place of a returned value. ``ProduceBuffer.push()``
        sets it where a refusal left records behind in the middle of the call.

        - failures, list of DeliveryReport: records that were enqueued and not acknowledged
        - not_sent, list of int: records that never entered librdkafka, because one before them failed or time ran out
        - refusal, int: librdkafka's reason where it refused a record that it was given, else 0

    Notes
    -----
    While it is attached the delivery side holds its address: the lane keeps a reference until ``detach()``.
    """

    def __cinit__(self):
        memset(&self.slot, 0, sizeof(self.slot))
        memset(&self.rows, 0, sizeof(self.rows))

    def __init__(self, ReportReader delivery not None, Py_ssize_t n):
        cdef int64_t[::1] view
        if self._delivery is not None:
            raise RuntimeError("an CallResult is opened once")
        self._delivery = delivery
        self.rows.n = n
        if n == 1:
            self._one = -1
            self.rows.offsets = &self._one
        else:
            self._offsets = np.full(n, -1, dtype=np.int64)
            view = self._offsets
            self.rows.offsets = &view[0] if n else NULL
        self.slot.rows = &self.rows

    def __dealloc__(self):
        if self._attached:
            self._delivery.detach(&self.slot)
        clear_reports(&self.slot)
        free(self.rows.append_times)

    cdef int attach(self) except -1:
        if not self._attached:
            self._delivery.attach(&self.slot)
            self._attached = True
        return 0

    def open(self):
        """Get a slot: from now on reports may come."""
        self.attach()

    def seal(self):
        """Say that no more records will be enqueued for it. Nothing once it is detached: close() does not wait for a call."""
        if self.slot.sealed:
            return
        self.attach()
        self._delivery.seal(&self.slot)

    def detach(self):
        """Let go of the slot: the call has ended."""
        self.slot.sealed = True
        if self._attached:
            self._delivery.detach(&self.slot)
            self._attached = False

    @property
    def id(self):
        """int: number of the slot."""
        return self.slot.id

    @property
    def offsets(self):
        """ndarray of int64, shape (n,): offset of each record, -1 until it is acknowledged."""
        if self._offsets is None:
            return np.array([self._one], dtype=np.int64)
        return self._offsets

    def offset_of(self, Py_ssize_t i):
        """Return the offset of one record as an int, -1 while it is not acknowledged."""
        if not 0 <= i < self.rows.n:
            raise IndexError(f"record {i} of {self.rows.n}")
        return self.rows.offsets[i]

    @property
    def expected(self):
        """int: records enqueued."""
        return self.slot.expected

    @property
    def done(self):
        """int: records reported."""
        return self.slot.done

    @property
    def written(self):
        """int: records acknowledged."""
        return self.slot.written

    @property
    def is_forked(self):
        """bool: whether this is a child process's dead copy, to which no report will come."""
        return self._delivery.handle.is_forked

    @property
    def is_finished(self):
        """bool: whether everything enqueued was reported."""
        return self.slot.sealed and self.slot.done >= self.slot.expected

    @property
    def timestamp_type(self):
        """TimestampType: the one that the brokers reported last."""
        return timestamp_type_of(self.rows.timestamp_type)

    def append_time_of(self, Py_ssize_t i):
        """Return the broker's LogAppendTime of one record, or None where it told none."""
        if self.rows.append_times == NULL or not 0 <= i < self.rows.n:
            return None
        return self.rows.append_times[i]

    def append_times(self):
        """Return the brokers' LogAppendTimes as a new int64 array, or None where there are none."""
        cdef int64_t i
        cdef int64_t[::1] view
        if self.rows.append_times == NULL:
            return None
        times = np.empty(self.rows.n, dtype=np.int64)
        view = times
        for i in range(self.rows.n):
            view[i] = self.rows.append_times[i]
        return times

    def failures(self):
        """Return the failures as DeliveryReports, by index. Once all is reported: before, reports may still be written."""
        return sorted(take_reports(&self.slot))
