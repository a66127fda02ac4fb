"""What a failure means for the calls behind it: partitions in doubt, topics to look at again, a producer at its end."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from twolane.errors import ClosedProducerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.client.handle import Handle
    from twolane.results import DeliveryReport
    from twolane.safe.in_doubt import InDoubtPartitions


class Aftermath:
    """Draws the consequences of reported failures.

    Parameters
    ----------
    pass_notes_on : callable
        Hands librdkafka's log lines to Python's logging.
    """

    def __init__(self, handle: Handle, doubts: InDoubtPartitions, pass_notes_on: Callable[[], None]) -> None:
        self._handle = handle
        self._doubts = doubts
        self._pass_notes_on = pass_notes_on

    def of(self, topic: str, reports: list[DeliveryReport], refused: int = 0) -> None:
        """Note what these reports of one topic mean, and librdkafka's reason for refusing a record, if it did.

        Does nothing new when told twice.
        """
        if not reports and not refused:
            return
        self._doubts.note(topic, reports)
        self._pass_notes_on()
        # Closed already where a signal handler called close() in the middle of the call.
        with contextlib.suppress(ClosedProducerError):
            self._handle.open_topic(topic).recount = True

    def fatal_reason(self) -> str | None:
        """Return librdkafka's reason for ending the producer, or None."""
        if self._handle.is_closed:
            return None
        fatal = self._handle.fatal_error()
        return None if fatal is None else fatal[1]
