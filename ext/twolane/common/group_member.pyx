"""One who waits for a record that may go together with others (group commit): a thread in ``send()``, or a task.

Compiled because a group decides and reads these for each of its records.
"""
cimport cython


cdef class GroupMember:
    """Base of what a group consists of.

    Attributes
    ----------
    deadline : float
        ``time.monotonic()``: until then the record is to be handed to librdkafka.
    job : Record, or any other object
        What is to be done.
    outcome : object
        RecordMetadata or an exception; None until it is known.
    sent : bool
        The record was handed to librdkafka: its verdict is unknown until `outcome` is set.
    """

    cpdef bint begin(self):
        """Set `sent`, just before the record goes; False where it has its outcome already: it was withdrawn."""
        with cython.critical_section(self):
            if self.outcome is not None:
                return False
            self.sent = True
        return True

    cpdef bint end_unsent(self, object outcome):
        """Set the outcome of a record that was not sent; False, having done nothing, if it was, or has its outcome."""
        with cython.critical_section(self):
            if self.sent or self.outcome is not None:
                return False
            self.outcome = outcome
        return True
