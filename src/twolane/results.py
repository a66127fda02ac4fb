"""What a producer reports of records, in the words of Kafka's own RecordMetadata. Imports nothing of the library."""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from twolane.errors import DeliveryError, TwolaneError

# What makes the error of one row, and with what.
RowError = tuple[Callable[..., "TwolaneError"], tuple[Any, ...]]


class Verdict(enum.IntEnum):
    """What is known of a record that was handed over. ``reports/classify.pxd`` has the same numbers.

    Attributes
    ----------
    WRITTEN
        The brokers acknowledged it; its offset is known.
    NOT_WRITTEN
        It is not in the log and will not be.
    UNKNOWN
        It may be in the log: the answer was lost, late, or no proof either way.
    """

    WRITTEN = 0
    NOT_WRITTEN = 1
    UNKNOWN = 2

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


class TimestampType(enum.IntEnum):
    """Whose clock a record's timestamp is (the numbers are librdkafka's ``rd_kafka_timestamp_type_t``)."""

    NOT_AVAILABLE = 0
    CREATE_TIME = 1
    LOG_APPEND_TIME = 2


class DeliveryReport(NamedTuple):
    """What librdkafka reported of one record (``rd_kafka_message_t``), and what that proves.

    Attributes
    ----------
    index : int
        Of the record in its call.
    error : int
        ``rd_kafka_resp_err_t``, 0 for an acknowledgement.
    verdict : Verdict
    partition : int
    offset : int
        -1 where the broker gave none.
    timestamp : int
        Milliseconds since the epoch, -1 where there is none.
    timestamp_type : TimestampType
    """

    index: int  # type: ignore[assignment] # hides tuple.index(), which a report does not need
    error: int
    verdict: Verdict
    partition: int = -1
    offset: int = -1
    timestamp: int = -1
    timestamp_type: TimestampType = TimestampType.NOT_AVAILABLE


# ``CallResult.unacknowledged``: failures, indices of what was never sent, librdkafka's reason for a refusal or 0.
Unacknowledged = tuple[list[DeliveryReport], list[int], int]


class RecordMetadata(NamedTuple):
    """Where and when one acknowledged record stands in the log.

    Attributes
    ----------
    topic : str
    partition : int
    offset : int or None
        None where the broker gave none (``acks=0``).
    timestamp : int or None
        Milliseconds since the epoch, as the broker keeps it.
    timestamp_type : TimestampType
        CREATE_TIME: the producer's; LOG_APPEND_TIME: the broker's (topic setting ``message.timestamp.type``).
    """

    topic: str
    partition: int
    offset: int | None
    timestamp: int | None
    timestamp_type: TimestampType

    @property
    def opaque(self) -> Any:
        """What was given as ``opaque=`` to ``send()``; not an item of the tuple."""
        return None


class OpaqueMetadata(RecordMetadata):
    """A RecordMetadata with the caller's `opaque`."""

    opaque: Any = None

    def __repr__(self) -> str:
        return super().__repr__().replace(type(self).__name__, RecordMetadata.__name__, 1)


def with_opaque(metadata: RecordMetadata, opaque: Any) -> RecordMetadata:
    """Return the metadata with the caller's object."""
    if opaque is None:
        return metadata
    made = OpaqueMetadata(*metadata)
    made.opaque = opaque
    return made


class RefusedRows(Sequence["TwolaneError"]):
    """A read-only sequence with the error of each row that a call with ``on_bad_row="skip"`` left out, by row.

    The errors are those that the row alone raises with ``on_bad_row="raise"``: SerializationError, TimestampError, or a
    DeliveryError where it is too large or its partition does not exist. They are made anew at each access; `indices`
    costs nothing.

    Attributes
    ----------
    indices : ndarray of int64
        The rows in their call, rising.
    topic : str or None
    opaque : object
        As given to the call; each error has it.
    """

    def __init__(
        self,
        indices: NDArray[np.int64] | None = None,
        reports: Sequence[RowError] = (),
        topic: str | None = None,
        opaque: Any = None,
    ) -> None:
        if indices is None:
            import numpy as np  # not for those who want an exception only

            indices = np.empty(0, dtype=np.int64)
        self.indices = indices
        self.topic = topic
        self.opaque = opaque
        self._reports = reports

    def before(self, row: int) -> RefusedRows:
        """Return those of the rows before `row`."""
        n = bisect_left(self.indices, row)
        return self if n == len(self) else RefusedRows(self.indices[:n], self._reports[:n], self.topic, self.opaque)

    def _make(self, place: int) -> TwolaneError:
        make, words = self._reports[place]
        error: Any = make(*words)
        error.index, error.topic = int(self.indices[place]), self.topic
        if self.opaque is not None:
            error.opaque = self.opaque
        return error  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return len(self._reports)

    @overload
    def __getitem__(self, index: int) -> TwolaneError: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TwolaneError]: ...
    def __getitem__(self, index: int | slice) -> TwolaneError | Sequence[TwolaneError]:
        places = range(len(self._reports))[index]
        return self._make(places) if isinstance(places, int) else [self._make(place) for place in places]

    def __iter__(self) -> Iterator[TwolaneError]:
        return map(self._make, range(len(self._reports)))

    def __repr__(self) -> str:
        return f"<{len(self)} rows refused>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BatchMetadata:
    """What became of every record of one ``send_batch()`` call.

    Attributes
    ----------
    topic : str
    partitions : ndarray of int32, shape (n,)
        Chosen partition of each record.
    offsets : ndarray of int64, shape (n,)
        Offset of each record, -1 where it was not written (or ``acks=0``).
    written : int
        Records acknowledged.
    failures : sequence of DeliveryError
        One for each record that was not, in the order of their ``index``.
    refused : RefusedRows
        With ``on_bad_row="skip"`` the errors of the rows that were left out, by row; their verdict is *not written*.
    opaque : object
        As given to the call; the errors have it too.
    latency : float
        Seconds from the call to the last report.
    timestamp_type : TimestampType
        Of the records written; LOG_APPEND_TIME where the topic says so.
    log_append_times : ndarray of int64, shape (n,), or None
        The broker's milliseconds where `timestamp_type` is LOG_APPEND_TIME; else the CreateTime sent stands in the log.
    """

    topic: str
    partitions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    written: int
    failures: Sequence[DeliveryError]
    latency: float
    timestamp_type: TimestampType = TimestampType.NOT_AVAILABLE
    log_append_times: NDArray[np.int64] | None = None
    refused: RefusedRows = field(default_factory=RefusedRows)
    opaque: Any = None

    def __len__(self) -> int:
        return len(self.partitions)

    @property
    def failed(self) -> int:
        """Records that went, or were to go, without an acknowledgement: ``not_written + unknown``."""
        return len(self) - self.written - len(self.refused)

    @property
    def unknown(self) -> int:
        """Records that may be in the log."""
        if not self.failed:
            return 0
        verdicts: list[tuple[int, Verdict]] = self.failures.verdicts()  # type: ignore[attr-defined]
        return sum(verdict is Verdict.UNKNOWN for _, verdict in verdicts)

    @property
    def not_written(self) -> int:
        """Records that are not in the log and will not be; rows that were `refused` not counted."""
        return self.failed - self.unknown

    def __repr__(self) -> str:
        refused = f", refused={len(self.refused)}" if self.refused else ""
        counts = f"records={len(self)}, written={self.written}"
        if self.failed:
            counts += f", not_written={self.not_written}, unknown={self.unknown}"
        return f"BatchMetadata(topic={self.topic!r}, {counts}{refused})"
