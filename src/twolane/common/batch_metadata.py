"""BatchMetadata from what the compiled side tells: by the caller's rows, also where some of them were refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twolane.common.failures import Failures, numbered
from twolane.results import BatchMetadata, DeliveryReport, RefusedRows, TimestampType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from twolane.common.skipping import Skipped
    from twolane.reports.call_result import CallResult

NONE = RefusedRows()


def metadata_of(
    topic: str,
    outcome: CallResult,
    partitions: NDArray[np.int32],
    *,
    written: int,
    reports: list[DeliveryReport],
    behind: list[int],
    reason: str,
    code: int,
    latency: float,
    skipped: Skipped | None,
    opaque: Any,
) -> BatchMetadata:
    """Return what is known of every row of a call.

    Parameters
    ----------
    outcome : CallResult
    partitions : ndarray of int32, shape (n,)
        Of the records of the call, or of the first of them that were gone into.
    reports : list of DeliveryReport
        Of records that were enqueued and not acknowledged.
    behind : list of int
        Records that never entered librdkafka, for `reason` and with `code`.
    skipped : Skipped or None
        Which of the caller's rows the records are.
    """
    n = len(partitions)
    offsets = outcome.offsets[:n]
    kind = outcome.timestamp_type
    times = outcome.append_times() if kind is TimestampType.LOG_APPEND_TIME else None
    places = [(index, int(partitions[index])) for index in behind] if behind else []
    refused = NONE
    if skipped is not None:
        skipped = skipped.upto(n)
        reports = numbered(reports, skipped.rows)
        places = [(int(skipped.rows[index]), place) for index, place in places]
        partitions, offsets = skipped.spread(partitions), skipped.spread(offsets)
        times = None if times is None else skipped.spread(times[:n])
        refused = skipped.refused
    failures: Failures | tuple[()] = ()
    if reports or places:
        failures = Failures(topic, reports, places, reason, code, opaque)
    return BatchMetadata(
        topic=topic,
        partitions=partitions,
        offsets=offsets,
        written=written,
        failures=failures,
        latency=latency,
        timestamp_type=kind,
        log_append_times=times,
        refused=refused,
        opaque=opaque,
    )
