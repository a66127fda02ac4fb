"""Log lines, errors and statistics, kept as text until a thread with the GIL has time for them."""
import collections

cimport cython

from twolane.client.library cimport rd
from twolane.librdkafka cimport *

cdef enum:
    EVENTS_KEPT = 1_000      # the oldest goes first


@cython.final
cdef class ClientEvents:
    """The events of one ReportReader."""

    def __init__(self):
        self.pending = collections.deque(maxlen=EVENTS_KEPT)

    cdef bint add(self, rd_kafka_event_t* event, int kind) noexcept nogil:
        """Keep an event; False where it has no text. Rare, so it takes the GIL."""
        cdef const char* facility = NULL
        cdef const char* text = NULL
        cdef int level = 3
        if kind == RD_KAFKA_EVENT_LOG:
            rd.event_log(event, &facility, &text, &level)
        elif kind == RD_KAFKA_EVENT_ERROR:
            level = rd.event_error(event)
            text = rd.event_error_string(event)
        elif kind == RD_KAFKA_EVENT_STATS:
            text = rd.event_stats(event)
        if text == NULL:
            return False
        with gil:
            self._append(kind, level, facility, text)
        return True

    cdef void _append(self, int kind, int level, const char* facility, const char* text) noexcept:
        try:
            origin = b"" if facility == NULL else <bytes>facility
            self.pending.append((kind, level, origin.decode("utf-8", "replace"),
                                 (<bytes>text).decode("utf-8", "replace")))
        except Exception:       # out of memory while keeping a log line: the records matter more
            pass

    def take_all(self):
        """Return and forget the events since the last call, oldest first."""
        taken = []
        try:
            while True:     # two threads may take them
                taken.append(self.pending.popleft())
        except IndexError:
            return taken

    def __reduce__(self):
        raise TypeError("ClientEvents cannot be pickled")
