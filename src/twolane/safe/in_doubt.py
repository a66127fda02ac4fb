"""Partitions in doubt: their last record has an unknown outcome.

Without idempotence the producer refuses records for them until ``resume()``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from twolane.errors import ClosedProducerError, from_report, refused
from twolane.results import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from twolane.client.handle import Handle
    from twolane.errors import DeliveryError
    from twolane.results import DeliveryReport


class InDoubtPartitions:
    """The partitions that wait for ``resume()``.

    A request that timed out may still be on its way, in a socket or in a broker that was stopped, and be appended
    behind records sent after it (a *ghost write*, docs/hazards.md F2). Only a producer id fences it; without
    idempotence the producer stops after an *unknown* and leaves the decision to its user.

    Parameters
    ----------
    handle : Handle
    log_events : callable
        Passes librdkafka's log lines, which say why, to Python's logging.
    fenced : bool
        Idempotence is on: nothing is ever in doubt.

    Attributes
    ----------
    causes : dict of (str, int) to DeliveryError
        The failure that brought each of them into doubt.
    """

    def __init__(self, handle: Handle, log_events: Callable[[], None], *, fenced: bool) -> None:
        self._handle = handle
        self._log_events = log_events
        self._fenced = fenced
        self.causes: dict[tuple[str, int], DeliveryError] = {}

    def __bool__(self) -> bool:
        return bool(self.causes)

    def partitions(self) -> set[tuple[str, int]]:
        """Return them as (topic, partition)."""
        return set(self.causes)

    def add_failures(self, topic: str, reports: list[DeliveryReport], code: int = 0) -> None:
        """Mark the partitions in doubt, log events, and have the topic's partitions counted again.

        Does nothing new when called twice with the same reports, and nothing without a report and a `code`:
        librdkafka's reason for refusing a record.
        """
        if not reports and not code:
            return
        if not self._fenced:
            for report in reports:
                if report.verdict is Verdict.UNKNOWN and report.partition >= 0:
                    self.causes.setdefault((topic, report.partition), from_report(topic, report))
        self._log_events()
        # Closed already where a signal handler called close() in the middle of the call.
        with contextlib.suppress(ClosedProducerError):
            known = self._handle.open_topic(topic)
            known.recount = True
            known.is_size_refused |= any(report.error == KafkaError.MSG_SIZE_TOO_LARGE for report in reports)

    def fatal_reason(self) -> str | None:
        """Return librdkafka's reason for declaring the producer unusable, or None."""
        fatal = None if self._handle.is_closed else self._handle.fatal_error()
        return None if fatal is None else fatal[1]

    def resume(self, topic: str, partition: int) -> None:
        """Take records for the partition again. Does nothing where it is not in doubt."""
        self.causes.pop((topic, partition), None)

    def refusal(self, topic: str, partition: int) -> DeliveryError | None:
        """Return the error that a record for this partition gets, or None."""
        cause = self.causes.get((topic, partition))
        if cause is None:
            return None
        return refused(
            topic,
            KafkaError._STATE,
            f"the fate of an earlier record is unknown ({cause.error.name()}): "
            f"call resume({topic!r}, {partition}) first",
            partition=partition,
        )

    def first_refusal(self, topic: str, partitions: NDArray[np.int32]) -> DeliveryError | None:
        """Return the error of the first partition in doubt among these, or None."""
        for name, partition in list(self.causes):
            if name == topic and (partitions == partition).any():
                return self.refusal(topic, partition)
        return None
