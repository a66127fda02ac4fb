"""What numpy's dtypes hold: units of time, fields; and times of units that views do not know."""

from __future__ import annotations

from typing import Any

import numpy as np

from twolane._units import FINER
from twolane.errors import SerializationError


def count_fields(dtype: np.dtype[Any]) -> int:
    """Return how many views lie below a numpy dtype."""
    if dtype.subdtype is not None:
        return 1 + count_fields(dtype.subdtype[0])
    fields: Any = dtype.fields
    return sum([1 + count_fields(fields[name][0]) for name in dtype.names or ()])


def days_of(times: Any) -> Any:
    """Return datetime64 of years or months, an array or one, as days.

    Numpy's own conversion wraps around; here what lies beyond a quadrillion, as in no record, is cut to that.
    """
    unit, count = np.datetime_data(times.dtype)
    most = 10**15 // count
    ticks = np.where(np.isnat(times), times.astype(np.int64), np.clip(times.astype(np.int64), -most, most))
    return ticks.view(f"datetime64[{count}{unit}]").astype("datetime64[D]")[()]


def coarser(array: Any) -> Any:
    """Bring datetime64 of years, months or less than a nanosecond to a unit that views know, rounding down."""
    kind = array.dtype.kind
    unit, count = np.datetime_data(array.dtype)
    if unit in ("Y", "M") and kind == "M":
        return days_of(array)
    if unit in FINER:
        # Not ticks * count // per_ns: that product wraps around.
        ticks = array.astype(np.int64)
        whole, rest = np.divmod(ticks, FINER[unit])
        beyond = np.flatnonzero(~np.isnat(array) & (np.abs(whole) >= 2**63 // count))
        if beyond.size:
            wanted = "a time that nanoseconds of 64 bits hold"
            raise SerializationError(wanted, index=int(beyond[0]), value=array.ravel()[beyond[0]])
        # NaT is the lowest int64 and has to stay it.
        return np.where(np.isnat(array), ticks, whole * count + rest * count // FINER[unit]).view(f"{kind}8[ns]")
    return array
