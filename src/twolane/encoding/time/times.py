"""How to read the times of a call: unit, zone of naive times, missing ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import numpy as np

Unit = Literal["s", "ms", "us", "ns", "m", "h", "D", "W"]
Naive = Literal["utc", "local"]
Missing = Literal["now"]


@dataclass(frozen=True, slots=True)
class Timestamps:
    """Times of records, and what they mean where they do not say it: for ``timestamp=`` and ``timestamps=``.

    Parameters
    ----------
    values : time, array_like or str
        What ``timestamp=`` or ``timestamps=`` takes without it: one time, one for each record, or the name of a column.
    unit : {"s", "ms", "us", "ns", "m", "h", "D", "W"}, optional
        Of plain numbers. Without it ints are milliseconds and floats are seconds, as ``time.time()`` gives them.
    naive : {"utc", "local"}, optional
        The clock of times without a zone, as datetimes and columns of pandas, polars and Arrow may be. Without it they
        are refused. datetime64 of numpy knows no zones: without it, it is in UTC. Dates are midnight in UTC.
    missing : {"now"}, optional
        The time of the call for what has none: None, NaT, NA, null, NaN, and -1, which is Kafka's own word for it.
        Without it they are refused.
    guard : bool, default True
        Refuse plain numbers that come out before 1990 or from 2100 on: they are most likely in another unit.

    Examples
    --------
    >>> Timestamps("at", naive="utc", missing="now").missing
    'now'
    """

    values: Any
    unit: Unit | None = field(default=None, kw_only=True)
    naive: Naive | None = field(default=None, kw_only=True)
    missing: Missing | None = field(default=None, kw_only=True)
    guard: bool = field(default=True, kw_only=True)


# One record's time. An int is milliseconds, a float seconds since the epoch.
Time = int | float | date | np.datetime64 | np.integer[Any] | np.floating[Any] | Timestamps
