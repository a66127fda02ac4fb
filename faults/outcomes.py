"""What a call returned or raised, as rows of a history. Nothing is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faults.history import NOT_WRITTEN, UNKNOWN, WRITTEN
from twolane import (
    BatchDelivery,
    BatchError,
    BatchMetadata,
    DeliveryError,
    RecordMetadata,
    TimestampType,
    TwolaneError,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faults.streams import Block
    from twolane import Verdict

# By name: an older twolane's verdicts are no numbers.
NUMBERS = {"WRITTEN": WRITTEN, "NOT_WRITTEN": NOT_WRITTEN, "UNKNOWN": UNKNOWN}


def number_of(verdict: Verdict) -> int:
    """Return a verdict as a history has it."""
    return NUMBERS[verdict.name]


def of_record(block: Block, metadata: RecordMetadata) -> NDArray[Any]:
    """Return the verdict on a record that was written."""
    return block.ended(
        verdict=WRITTEN,
        partition=metadata.partition,
        offset=-1 if metadata.offset is None else metadata.offset,
        timestamp=-1 if metadata.timestamp is None else metadata.timestamp,
        timestamp_type=metadata.timestamp_type,
    )


def of_batch(block: Block, metadata: BatchMetadata) -> NDArray[Any]:
    """Return the verdicts on the records of a call; those it does not know of were never enqueued."""
    n = len(metadata)
    rows = block.ended(verdict=NOT_WRITTEN)
    known = rows[:n]
    known["verdict"], known["partition"], known["offset"] = WRITTEN, metadata.partitions, metadata.offsets
    if metadata.timestamp_type == TimestampType.LOG_APPEND_TIME:
        known["timestamp"], known["timestamp_type"] = metadata.log_append_times, metadata.timestamp_type
    for failure in metadata.failures:
        row = rows[failure.index]
        row["verdict"], row["code"], row["offset"] = number_of(failure.verdict), failure.error.code(), -1
    return rows


def of_error(block: Block, error: BaseException) -> NDArray[Any] | BatchDelivery:
    """Return the verdicts that an exception tells; a BatchDelivery where that will tell."""
    if isinstance(error, BatchError):
        return of_batch(block, error.metadata)
    for result in (getattr(error, "twolane_result", None), getattr(error, "delivery", None)):
        if isinstance(result, BatchDelivery):
            return result
        if isinstance(result, BatchMetadata):
            return of_batch(block, result)
        if isinstance(result, RecordMetadata):
            return of_record(block, result)
        if isinstance(result, DeliveryError) and result is not error:
            return of_error(block, result)
    code = error.error.code() if isinstance(error, DeliveryError) else 0
    if isinstance(error, DeliveryError):
        verdict = number_of(error.verdict)
    else:
        # What the library refuses with another exception of its own was never handed over; of a stranger nobody knows.
        verdict = NOT_WRITTEN if isinstance(error, TwolaneError) else UNKNOWN
    return block.ended(verdict=verdict, code=code)


def is_expected(error: BaseException) -> bool:
    """Return whether an exception is one that a call may raise."""
    return isinstance(error, (TwolaneError, KeyboardInterrupt)) or type(error).__name__ == "CancelledError"
