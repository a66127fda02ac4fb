"""Partitions whose last word is unknown, and why nothing more may go there without idempotence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from twolane.errors import from_report, refused
from twolane.results import Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from twolane.errors import DeliveryError
    from twolane.results import DeliveryReport


class InDoubtPartitions:
    """The partitions that wait for ``resume()``.

    A request that timed out may still be on its way, in a socket or in a broker that was stopped, and be appended
    behind records sent after it (a *ghost write*, docs/hazards.md F2). Only a producer id fences it; without
    idempotence the producer stops after an *unknown* and leaves the decision to its user.

    Parameters
    ----------
    fenced : bool
        Idempotence is on: nothing is ever in doubt.

    Attributes
    ----------
    causes : dict of (str, int) to DeliveryError
        What brought each of them into doubt.
    """

    def __init__(self, *, fenced: bool) -> None:
        self._fenced = fenced
        self.causes: dict[tuple[str, int], DeliveryError] = {}

    def __bool__(self) -> bool:
        return bool(self.causes)

    def partitions(self) -> set[tuple[str, int]]:
        """Return them as (topic, partition)."""
        return set(self.causes)

    def note(self, topic: str, reports: list[DeliveryReport]) -> None:
        """Remember the partitions of records whose fate is unknown."""
        if self._fenced:
            return
        for report in reports:
            if report.verdict is Verdict.UNKNOWN and report.partition >= 0:
                self.causes.setdefault((topic, report.partition), from_report(topic, report))

    def resolve(self, topic: str, partition: int) -> None:
        """Forget a doubt. Does nothing where there is none."""
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
