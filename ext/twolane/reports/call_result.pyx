"""CallResult: what was reported of one call's records, as arrays and, for the failures alone, as Python objects."""
cimport cython
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from twolane.reports.classify cimport TIMESTAMP_TYPES, delivery_report
from twolane.reports.reader cimport ReportReader
from twolane.reports.trackers cimport CallTracker, clear_reports

import numpy as np


cdef list take_reports(CallTracker* tracker):
    """Return the reports kept by a tracker, as DeliveryReports. Nothing is added to it any more."""
    return [delivery_report(&tracker.reports[i]) for i in range(tracker.n_reports)]


# no_gc_clear: __dealloc__ needs the reader, and the offsets that reports are written into until then.
@cython.no_gc_clear
@cython.final
cdef class CallResult:
    """What was reported of the records of one call (Java: ProduceRequestResult).

    Parameters
    ----------
    reader : ReportReader
    n : int
        Records of the call. 8 bytes each are held until the CallResult is collected.

    Attributes
    ----------
    unacknowledged : tuple or None
        The records of an ``OrderedSender.send()`` that were not acknowledged; None until it has ended. It is an attribute,
        set in compiled code, because a signal handler's exception may replace a returned value. ProduceBuffer sets it
        where a refusal leaves records unsent in the middle of the call.

        - failures, list of DeliveryReport: records that were enqueued and not acknowledged
        - not_sent, list of int: records that never entered librdkafka, because one before them failed or time ran out
        - refusal, int: librdkafka's error code where it refused a record that it was given, else 0

    Notes
    -----
    Between ``attach()`` and ``detach()`` the reader has the address of its tracker: the caller keeps a reference.
    """

    def __cinit__(self):
        memset(&self.tracker, 0, sizeof(self.tracker))
        memset(&self.columns, 0, sizeof(self.columns))

    def __init__(self, ReportReader reader not None, Py_ssize_t n):
        cdef int64_t[::1] view
        if self._reader is not None:
            raise RuntimeError("a CallResult is opened once")
        self._reader = reader
        self.columns.n = n
        if n == 1:
            self._only_offset = -1
            self.columns.offsets = &self._only_offset
        else:
            self._offsets = np.empty(n, dtype=np.int64)
            view = self._offsets
            self.columns.offsets = &view[0] if n else NULL
            if n:
                memset(&view[0], 0xff, <size_t>n * sizeof(int64_t))     # -1
        self.tracker.columns = &self.columns

    def __dealloc__(self):
        if self._is_attached:
            self._reader.detach(&self.tracker)
        clear_reports(&self.tracker)
        free(self.columns.append_times)

    def attach(self):
        """Get an id for the tracker, once: reports may come from now on."""
        if self._is_attached:
            raise RuntimeError("a CallResult is attached once")
        self._reader.attach(&self.tracker)
        self._is_attached = True

    def close_for_appends(self):
        """Declare that no more records will be enqueued. No effect once detached: ``close()`` does not wait for a call."""
        if self._is_attached and not self.tracker.closed:
            self._reader.close_for_appends(&self.tracker)

    def detach(self):
        """Give the tracker's id back: the call has ended."""
        self.tracker.closed = True
        if self._is_attached:
            self._reader.detach(&self.tracker)
            self._is_attached = False

    @property
    def id(self):
        """int: id of the tracker."""
        return self.tracker.id

    @property
    def offsets(self):
        """ndarray of int64, shape (n,): offset of each record, -1 until it is acknowledged."""
        if self._offsets is None:
            return np.array([self._only_offset], dtype=np.int64)
        return self._offsets

    @property
    def expected(self):
        """int: records enqueued."""
        return self.tracker.expected

    @property
    def done(self):
        """int: records reported."""
        return self.tracker.done

    @property
    def written(self):
        """int: records acknowledged."""
        return self.tracker.written

    @property
    def timestamp_type(self):
        """TimestampType: that of the last report."""
        return TIMESTAMP_TYPES[self.columns.timestamp_type]

    def append_times(self):
        """Return the brokers' LogAppendTimes as a new int64 array, or None where there are none."""
        cdef int64_t i
        cdef int64_t[::1] view
        if self.columns.append_times == NULL:
            return None
        times = np.empty(self.columns.n, dtype=np.int64)
        view = times
        for i in range(self.columns.n):
            view[i] = self.columns.append_times[i]
        return times

    def failures(self):
        """Return the failures as DeliveryReports, by index. Once all is reported: before, reports may still be written."""
        return sorted(take_reports(&self.tracker))
