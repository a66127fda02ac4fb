"""TopicsDelivery: the BatchDelivery of a call to several topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twolane.errors import BatchError, from_metadata
from twolane.results import RefusedRows
from twolane.throughput.batch_delivery import BatchDelivery
from twolane.throughput.delivery import Delivery

if TYPE_CHECKING:
    from twolane.common.by_topic import Parts, TopicsMetadata
    from twolane.throughput.problems import Problems


class TopicsDelivery(BatchDelivery):
    """The records of one call to several topics on their way; done when those of every topic are.

    Attributes
    ----------
    by_topic : mapping of str to BatchDelivery
        Each topic's by themselves. A failure of one that nothing asked for is raised by the next ``flush()``.
    """

    def __init__(self, parts: Parts, deliveries: list[BatchDelivery], problems: Problems) -> None:
        Delivery.__init__(self, problems)
        self._parts = parts
        self._deliveries = deliveries
        self.by_topic = {delivery.topic: delivery for delivery in deliveries}
        self.topic = ", ".join(self.by_topic)
        self.opaque = parts.opaque
        self._merged: TopicsMetadata | None = None
        self._not_told = [None]
        self._pending = set(deliveries)
        for delivery in deliveries:
            delivery.add_done_callback(self._part_done)
        self._tell_if_done()

    def _part_done(self, delivery: BatchDelivery) -> None:
        self._pending.discard(delivery)
        self._tell_if_done()

    def _tell_if_done(self) -> None:
        if not self._pending:
            try:
                self._not_told.pop()  # by whichever thread is first
            except IndexError:
                return
            self._tell()

    @property
    def id(self) -> int:
        """Id of the tracker that counts the last topic's reports."""
        return self._deliveries[-1].id if self._deliveries else -1

    @property
    def accepted(self) -> int:
        """Records enqueued."""
        return sum(delivery.accepted for delivery in self._deliveries)

    @property
    def reported(self) -> int:
        """Records whose report has come."""
        return sum(delivery.reported for delivery in self._deliveries)

    @property
    def refused(self) -> RefusedRows:
        """Of rows that ``on_bad_row="skip"`` left out the errors, by row: known at once."""
        return self._parts.refused_of([delivery.refused for delivery in self._deliveries])

    def __len__(self) -> int:
        return self._parts.n

    def _take(self) -> TopicsMetadata:
        if self._merged is None:
            found = []
            for delivery in self._deliveries:
                try:
                    found.append(delivery.result(0))
                except BatchError as error:
                    found.append(error.metadata)
            self._merged = self._parts.merged(found)
        if self._merged.failed:
            raise from_metadata(self._merged, next((one._fatal for one in self._deliveries if one._fatal), None))
        return self._merged

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a TopicsDelivery cannot be pickled: pickle its by_topic")

    def __del__(self) -> None:
        """Leave it to the parts, each of which says what nothing asked for."""
