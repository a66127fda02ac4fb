"""What a reader of committed records may see of transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faults.joined import Joined

COMMITTED, ABORTED, UNKNOWN = 0, 1, 2


def _ends(case: Joined) -> NDArray[np.int64]:
    """Return how the transaction of each record ended; unknown if it was never told, or its client was killed."""
    most = int(case.sent["transaction"].max(initial=0))
    ends = np.full(most + 1, UNKNOWN)
    for one in case.history.of("transaction"):
        if one["number"] <= most:
            ends[one["number"]] = one["end"]
    return ends[case.sent["transaction"]]


def _seen(case: Joined, committed: NDArray[Any]) -> NDArray[np.int64]:
    """Return how often a reader of committed records sees each record."""
    owner = case._find(committed)
    return np.bincount(owner[owner >= 0], minlength=len(case.sent))


def aborted_reads(case: Joined, committed: NDArray[Any]) -> NDArray[np.bool_]:
    """Return records of aborted transactions that a reader of committed records sees."""
    return (_ends(case) == ABORTED) & (_seen(case, committed) > 0)


def torn_transactions(case: Joined, committed: NDArray[Any]) -> NDArray[np.bool_]:
    """Return records that are not seen though others of their transaction are, or though it was committed."""
    seen, number = _seen(case, committed) > 0, case.sent["transaction"]
    any_seen = np.zeros(int(number.max(initial=0)) + 1, bool)
    np.logical_or.at(any_seen, number, seen)
    was_written = case.told["verdict"] != 1
    return was_written & ~seen & ~case.is_excused & ((_ends(case) == COMMITTED) | any_seen[number]) & (number > 0)
