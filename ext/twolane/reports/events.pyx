"""Log lines, errors and statistics, kept as text until a thread with the GIL has time for them."""
import collections

cimport cython

from twolane.client.library cimport rd
from twolane.librdkafka cimport *

cdef enum:
    NOTES_KEPT = 1_000      # the oldest goes first


@cython.final
cdef class ClientEvents:
    """The notes of one ReportReader."""

    def __init__(self):
        self.kept = collections.deque(maxlen=NOTES_KEPT)

    cdef bint take(self, rd_kafka_event_t* event, int kind) noexcept nogil:
        """Keep what an event says; False where it says nothing. Rare, so it takes the GIL."""
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
            self._keep(kind, level, facility, text)
        return True

    cdef void _keep(self, int kind, int level, const char* facility, const char* text) noexcept:
        try:
            origin = b"" if facility == NULL else <bytes>facility
            self.kept.append((kind, level, origin.decode("utf-8", "replace"),
                              (<bytes>text).decode("utf-8", "replace")))
        except Exception:       # out of memory while noting a log line: the records matter more
            pass

    def take_all(self):
        """Return and forget the notes kept since the last call, oldest first."""
        taken = []
        try:
            while True:     # two threads may take them
                taken.append(self.kept.popleft())
        except IndexError:
            return taken

    def __reduce__(self):
        raise TypeError("ClientEvents cannot be pickled")
