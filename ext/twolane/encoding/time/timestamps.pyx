"""Times to int64 milliseconds since the epoch: floor, never round up, and refuse what a record cannot carry.

Columns are read in place with the GIL released: one pass that divides and gathers one flag for all values; only a column
with a bad value is looked at again, to say which. datetime objects are taken apart by days and microseconds, because
``datetime.timestamp()`` goes through a float.
"""
from cpython.datetime cimport (
    PyDateTime_Check, PyDelta_Check, date, datetime, import_datetime, timedelta_days, timedelta_microseconds,
    timedelta_seconds,
)
from cpython.datetime cimport (
    datetime_day, datetime_hour, datetime_microsecond, datetime_minute, datetime_month, datetime_second, datetime_tzinfo,
    datetime_year,
)
from libc.math cimport isfinite, nearbyint
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint64_t
cimport cython

from twolane._units cimport DAY_NS, DAY_US, GUARD_FROM, GUARD_TO, MS_NS, S_NS, US_NS
from twolane.encoding.columns.table cimport ArrayInterface, Column, address_of, as_column, column_of_times, interface_of
from twolane.encoding.columns.objects cimport NO_GIL, is_integer, is_missing, is_missing_or_nan, type_name
from twolane.encoding.time.ticks cimport copy_all, divide_all
from twolane.encoding.columns.array_view cimport Layout, LogicalType, ArrayView, float_at, index_at, int_at, is_valid

from datetime import timedelta, timezone
from time import time_ns

import numpy as np

from twolane._units import UNIT_NS
from twolane.encoding.columns.numpy_dtypes import days_of
from twolane.encoding.time.times import Timestamps
from twolane.errors import TimestampError

import_datetime()

cdef object UTC = timezone.utc
cdef object datetime64 = np.datetime64
cdef object ndarray = np.ndarray
cdef object INT64 = np.dtype(np.int64)
cdef object empty = np.empty
cdef object FLOATING = np.floating
cdef object INTEGER = np.integer

cdef enum:
    FEW = 4096              # values that are packed sooner than the GIL is handed over

# What is packed into, as nanoseconds: milliseconds for the record's own timestamp, nanoseconds for its header.
cdef int64_t MS = MS_NS
cdef int64_t NS = 1
cdef frozenset NAIVE = frozenset(("utc", "local"))
cdef int64_t NO_TIMESTAMP = -1      # Kafka's own word for a record without one
cdef object EPOCH = datetime(1970, 1, 1)
cdef str NO_TIME = "expected a time (Timestamps(..., missing='now') takes that of the call where one is missing)"
cdef str TOO_EARLY = "expected a time after 1970-01-01 00:00:00.000 UTC"
cdef str NAIVE_COLUMN = (
    "expected times with a time zone, these have none "
    "(Timestamps(..., naive='utc') or naive='local' says what they mean)"
)

# The last fixed offset met: its minutes do not depend on the day, so tzinfo.utcoffset() is asked once per zone in a row.
# Not without the GIL: a thread could read the one's offset with the other's zone, and a lock costs what asking does.
cdef object last_zone = None
cdef int64_t last_offset = 0


cdef inline int64_t days_before(int year, int month, int day) noexcept nogil:
    """Return days from 1970-01-01 in the Gregorian calendar; years 1 to 9999. GIL: not needed.

    The year is counted from March, so that the leap day comes last and months have a regular length.
    """
    cdef int64_t y = year - (month <= 2)
    cdef int64_t from_march = (month + 9) % 12
    return y * 365 + y // 4 - y // 100 + y // 400 + (153 * from_march + 2) // 5 + day - 1 - 719_468


cdef int64_t offset_micros(object zone, object value) except? -1:
    """Return what to subtract from a wall clock of ``zone`` to have UTC, in microseconds."""
    global last_zone, last_offset
    if zone is UTC:
        return 0
    if zone is last_zone:
        return last_offset
    offset = zone.utcoffset(value)
    if offset is None:
        raise TimestampError("expected a datetime with a time zone", value=value)
    if not PyDelta_Check(offset):
        raise TypeError(f"utcoffset() of {zone!r} gave {offset!r}")
    cdef int64_t micros = (
        <int64_t>timedelta_days(offset) * DAY_US + <int64_t>timedelta_seconds(offset) * (S_NS // US_NS)
        + timedelta_microseconds(offset)
    )
    if type(zone) is timezone and not NO_GIL:
        last_offset = micros
        last_zone = zone
    return micros


cdef int64_t days_of_date(object value) noexcept:
    """Return days since 1970-01-01 of a date (or a datetime's own day)."""
    return days_before(datetime_year(value), datetime_month(value), datetime_day(value))


cdef int64_t wall_micros(object value) noexcept:
    """Return a datetime's own fields as microseconds since 1970-01-01 00:00 on the same clock."""
    cdef int64_t days = days_of_date(value)
    cdef int64_t seconds = (datetime_hour(value) * 60 + datetime_minute(value)) * 60 + datetime_second(value)
    return days * DAY_US + seconds * (S_NS // US_NS) + datetime_microsecond(value)


cdef int64_t datetime_micros(object value, object naive) except? -1:
    """Return microseconds since the epoch of a datetime; ``naive`` is None (refuse), "utc" or "local"."""
    cdef int64_t micros
    zone = datetime_tzinfo(value)
    if zone is not None:
        micros = wall_micros(value)
        return micros - offset_micros(zone, value)
    if value != value:      # pandas.NaT, which is a datetime by inheritance
        raise TimestampError(NO_TIME, value=value)
    if naive is None:
        raise TimestampError(
            "expected a datetime with a time zone (Timestamps(..., naive='utc') or naive='local' says what one without means)",
            value=value,
        )
    if naive == "local":
        # pandas.Timestamp has an astimezone() of its own, which refuses.
        clock = value if type(value) is datetime else (EPOCH + timedelta(microseconds=wall_micros(value))).replace(fold=value.fold)
        micros = wall_micros(clock.astimezone(UTC))
    else:
        micros = wall_micros(value)
    return micros


cdef int64_t ticks_to(int64_t per, int64_t ticks, int64_t tick_ns) except? -1:
    """Return ticks in units of ``per`` nanoseconds, rounded down; OverflowError where int64 cannot hold them."""
    cdef int64_t factor
    if tick_ns % per == 0:
        factor = tick_ns // per
        if ticks > INT64_MAX // factor or ticks < INT64_MIN // factor:
            raise OverflowError
        return ticks * factor
    if per % tick_ns == 0:
        return ticks // (per // tick_ns)    # Python's rule, towards minus infinity: cdivision is off here
    return <object>ticks * tick_ns // per   # one of numpy's odd units, such as seven microseconds


cdef int64_t float_to(int64_t per, double value, int64_t tick_ns) except? -1:
    """Return a float of ticks: rounded to the microsecond, which is what a double of today's seconds holds, then down."""
    cdef double micros = nearbyint(value * (<double>tick_ns / 1000.0))
    if not isfinite(micros):
        raise TimestampError("expected a finite time", value=value)
    if not -9.2e18 < micros < 9.2e18:
        raise OverflowError
    return ticks_to(per, <int64_t>micros, 1000)


@cython.final
cdef class Policy:
    """How to read the times of a call; see :class:`Timestamps`."""
    cdef int64_t int_ns, float_ns       # an int's and a float's unit
    cdef int64_t missing                # what a missing time is, in nanoseconds; 0: refused
    cdef object naive
    cdef bint guard


cdef Policy policy_of(object unit, object naive, object missing, bint guard):
    cdef Policy policy = Policy.__new__(Policy)
    if naive is not None and naive not in NAIVE:
        raise ValueError(f"naive: expected None, 'utc' or 'local', got {naive!r}")
    if missing is not None and missing != "now":
        raise ValueError(f"missing: expected None or 'now', got {missing!r}")
    policy.int_ns = unit_ns(unit, MS)
    policy.float_ns = unit_ns(unit, S_NS)
    policy.naive = naive
    policy.missing = 0 if missing is None else time_ns()
    policy.guard = guard
    return policy


cdef int64_t from_local(int64_t per, object ticks, object tick_ns) except? -1:
    """Return ticks of the process's clock in units of ``per`` nanoseconds of UTC; OverflowError beyond its years."""
    micros, rest = divmod(ticks * tick_ns, 1000)
    wall = EPOCH + timedelta(microseconds=micros)
    return (<object>wall_micros(wall.astimezone(UTC)) * 1000 + rest) // per


cdef int64_t convert(int64_t per, object value, Policy policy, bint* is_number) except? -1:
    """Convert an object to units of ``per``; tell whether it was a plain number, to which the guard applies."""
    is_number[0] = False
    if PyDateTime_Check(value):
        if per == MS:
            return datetime_micros(value, policy.naive) // 1000
        nanosecond = 0 if type(value) is datetime else getattr(value, "nanosecond", 0)      # pandas.Timestamp has it
        return ticks_to(per, datetime_micros(value, policy.naive), 1000) + <int64_t>nanosecond
    if is_missing(value):
        raise TimestampError(NO_TIME, value=value)
    if isinstance(value, bool):
        raise TimestampError("expected a time", value=value)
    if is_integer(value):
        is_number[0] = True
        return ticks_to(per, value, policy.int_ns)
    if isinstance(value, (float, FLOATING)):
        is_number[0] = True
        return float_to(per, value, policy.float_ns)
    if isinstance(value, datetime64):
        unit, count = np.datetime_data(value.dtype)
        is_day = unit in ("Y", "M", "W", "D")
        if unit in ("Y", "M"):
            unit, count, value = "D", 1, days_of(value)
        elif unit not in UNIT_NS:       # parts of a nanosecond
            unit, count, value = "ns", 1, value.astype("datetime64[ns]")
        if policy.naive == "local" and not is_day:
            return from_local(per, int(value.astype(np.int64)), UNIT_NS[unit] * count)
        return ticks_to(per, int(value.astype(np.int64)), UNIT_NS[unit] * count)
    if isinstance(value, date):
        return ticks_to(per, days_of_date(value), DAY_NS)
    raise TimestampError("expected a datetime, a datetime64 or milliseconds as an int", value=value)


cdef object out_of_years(int64_t ms):
    return (
        f"{ms} ms lies outside the years 1990 to 2100: are these seconds, microseconds or nanoseconds? "
        "Say so with Timestamps(..., unit='s'), or in pack_timestamps(..., unit='s'); guard=False if the time is meant"
    )


cdef object too_large(int64_t per):
    return f"expected a time that fits into 64 bits of {'milliseconds' if per == MS else 'nanoseconds'}"


cdef int64_t pack_one(object value) except -1:
    """Return the milliseconds of a time: int (ms), float (seconds), aware datetime, datetime64, date or Timestamps.

    Raises TimestampError.
    """
    return one_of(MS, value)


cdef int64_t one_of(int64_t per, object value) except -1:
    """Return one time, with the policy that it brings if it is Timestamps."""
    if type(value) is Timestamps:
        return checked(per, value.values, policy_of(value.unit, value.naive, value.missing, value.guard))
    return checked(per, value, DEFAULT)


cdef int64_t checked(int64_t per, object value, Policy policy) except -1:
    """Convert an object to units of ``per``; it is at least a millisecond past the epoch, in the guard's years."""
    cdef bint is_number = False
    cdef int64_t packed
    cdef int64_t per_ms = MS // per
    if policy.missing and (is_missing_or_nan(value) or (is_integer(value) and value == NO_TIMESTAMP)):
        return policy.missing // per
    try:
        packed = convert(per, value, policy, &is_number)
    except OverflowError:
        raise TimestampError(too_large(per), value=value) from None
    if packed < per_ms:
        raise TimestampError(TOO_EARLY, value=value)
    if policy.guard and is_number and not GUARD_FROM * per_ms <= packed < GUARD_TO * per_ms:
        raise TimestampError(out_of_years(packed // per_ms), value=value)
    return packed


cdef int pack_objects(int64_t per, tuple values, int64_t* out, Policy policy, object field) except -1:
    """Pack Python objects one by one; errors get the row and the field."""
    cdef Py_ssize_t i = 0
    try:
        for i in range(len(values)):
            out[i] = checked(per, values[i], policy)
    except TimestampError as error:
        error.index = i
        error.field = field
        raise
    return 0


cdef bint pack_dense(
    int64_t per, const int64_t* ticks, int64_t* out, Py_ssize_t n, int64_t tick_ns, bint guard
) noexcept nogil:
    """Pack contiguous ticks; False if a value must be looked at (or the unit is a rare one). GIL: not needed."""
    cdef int64_t factor, low, high
    # One branch per unit, so that the compiler sees a constant divisor and multiplies instead.
    if per == MS and not guard:
        if tick_ns == 1:
            return divide_all(ticks, out, n, MS_NS)
        if tick_ns == US_NS:
            return divide_all(ticks, out, n, MS_NS // US_NS)
    if tick_ns % per:
        return False
    factor = tick_ns // per
    low = ((GUARD_FROM * MS if guard else MS) + tick_ns - 1) // tick_ns
    high = (GUARD_TO * MS - 1) // tick_ns if guard else INT64_MAX // factor
    return copy_all(ticks, out, n, low, high, factor)


cdef int pack_view(
    int64_t per, const ArrayView* view, int64_t* out, Py_ssize_t row, Policy policy, bint is_utc, object field
) except -1:
    """Pack one part of a column whose first row is ``row``; ``is_utc``: times without a zone are in UTC."""
    cdef Py_ssize_t i, n = view.length
    cdef int64_t tick_ns = view.tick_ns, packed
    cdef int64_t per_ms = MS // per
    cdef bint done = False, is_float = False, guard = policy.guard, is_local = False
    cdef ArrayView entry
    if view.layout == Layout.DICTIONARY:
        for i in range(n):
            entry = view.dictionary[0]
            if is_valid(view, i):
                entry.offset += index_at(view, i)
                entry.length = 1
                pack_view(per, &entry, out + i, row + i, policy, is_utc, field)
            elif policy.missing:
                out[i] = policy.missing // per
            else:
                raise TimestampError(NO_TIME, index=row + i, field=field, value=None)
        return 0
    if view.logical == LogicalType.TIMESTAMP or view.logical == LogicalType.DATE:
        guard = False
        if view.logical == LogicalType.TIMESTAMP and not view.zoned:
            if policy.naive is None and not is_utc:
                for i in range(n):
                    if not is_gap(view, i, False):
                        raise TimestampError(NAIVE_COLUMN, index=row + i, field=field, value=int_or_float(view, i))
            is_local = policy.naive == "local"
    elif view.logical == LogicalType.PLAIN and Layout.INT8 <= view.layout <= Layout.UINT64:
        tick_ns = policy.int_ns
    elif view.logical == LogicalType.PLAIN and Layout.FLOAT16 <= view.layout <= Layout.FLOAT64:
        tick_ns = policy.float_ns
        is_float = True
    elif view.layout != Layout.NULLS:
        raise TimestampError(f"expected a column of times, or of numbers, got {type_name(view)}", field=field)
    if view.layout == Layout.INT64 and view.stride == 8 and not view.swapped and view.validity == NULL and not is_local:
        with nogil:
            done = pack_dense(per, <const int64_t*>view.data + view.offset, out, n, tick_ns, guard)
    if done:
        return 0
    i = 0
    try:
        while i < n:
            if is_gap(view, i, is_float):
                if not policy.missing:
                    raise TimestampError(NO_TIME, value=int_or_float(view, i) if is_valid(view, i) else None)
                out[i] = policy.missing // per
                i += 1
                continue
            if is_float:
                packed = float_to(per, float_at(view, i), tick_ns)
            elif policy.missing and view.logical == LogicalType.PLAIN and int_at(view, i) == NO_TIMESTAMP:
                packed = policy.missing // per
            elif is_local:
                packed = from_local(per, int_at(view, i), tick_ns)
            else:
                if view.layout == Layout.UINT64 and int_at(view, i) < 0:
                    raise OverflowError
                packed = ticks_to(per, int_at(view, i), tick_ns)
            if packed < per_ms:
                raise TimestampError(TOO_EARLY, value=int_or_float(view, i))
            if guard and not GUARD_FROM * per_ms <= packed < GUARD_TO * per_ms:
                raise TimestampError(out_of_years(packed // per_ms), value=int_or_float(view, i))
            out[i] = packed
            i += 1
    except OverflowError:
        raise TimestampError(too_large(per), index=row + i, field=field, value=int_or_float(view, i)) from None
    except TimestampError as error:
        error.index = row + i
        error.field = field
        raise
    return 0


cdef bint is_gap(const ArrayView* view, Py_ssize_t i, bint is_float) noexcept:
    """Return whether a time is missing: null, NaT or NaN."""
    if not is_valid(view, i):
        return True
    if is_float:
        return float_at(view, i) != float_at(view, i)
    return view.logical != LogicalType.PLAIN and int_at(view, i) == INT64_MIN


cdef object int_or_float(const ArrayView* view, Py_ssize_t i):
    """Return the value as an error shows it."""
    if view.layout >= Layout.FLOAT16:
        return float_at(view, i)
    if view.layout == Layout.UINT64:
        return <uint64_t>int_at(view, i)
    if view.logical == LogicalType.TIMESTAMP or view.logical == LogicalType.DATE:
        for name, ns in UNIT_NS.items():
            if ns == view.tick_ns:
                return datetime64(int_at(view, i), name)
    return int_at(view, i)


cdef int64_t unit_ns(object unit, int64_t default) except -1:
    """Return nanoseconds of a unit's name, or the default for None."""
    if unit is None:
        return default
    ns = UNIT_NS.get(unit)
    if ns is None:
        raise ValueError(f"unit: expected one of {', '.join(UNIT_NS)}, got {unit!r}")
    return ns


def pack_timestamp(value, unit=None, *, naive=None, missing=None, guard=True):
    """Do for one time what :func:`pack_timestamps` does for many; an int."""
    return checked(MS, value, policy_of(unit, naive, missing, guard))


def pack_timestamps(values, unit=None, *, naive=None, missing=None, guard=True, field=None):
    """Turn times into int64 milliseconds since the epoch, as records carry them.

    Parameters
    ----------
    values : array_like, shape (n,)
        datetime64 of any unit (UTC), Arrow timestamps and dates, pandas and polars series, ints, floats, or a sequence
        of datetime, date, datetime64, pandas.Timestamp, int or float. Borrowed during the call.
    unit, naive, missing, guard
        As for :class:`Timestamps`.
    field : str, optional
        Name of the column, for error messages.

    Returns
    -------
    ndarray of int64, shape (n,)
        Milliseconds, rounded towards minus infinity; always positive. Floats are first rounded to the microsecond.

    Raises
    ------
    TimestampError
        If a time is missing (None, null, NaT, NaN), naive, not after the epoch, too large for 64 bits, or caught by the
        guard. It has the `index` and the `field`.
    ValueError
        If `unit`, `naive` or `missing` is unknown.

    Notes
    -----
    The GIL is released for arrays of thousands of values. Kafka knows CreateTime in milliseconds only; librdkafka takes
    0 for "now", which is why 0 is refused.
    """
    return pack_all(MS, values, policy_of(unit, naive, missing, guard), field)


# Ticks of the arrays that most calls bring, and whether the guard concerns them: they need no Column, which costs as much
# as packing some thousands of values.
cdef dict PLAIN_DTYPES = {np.dtype(f"M8[{unit}]"): (ns, False) for unit, ns in UNIT_NS.items()}
PLAIN_DTYPES[np.dtype(np.int64)] = (0, True)


cdef object pack_array(int64_t per, object values, Policy policy):
    """Pack a contiguous array of a common dtype; None if it is none, or a value must be looked at."""
    cdef const ArrayInterface* array
    cdef const int64_t* ticks
    cdef int64_t* out
    cdef int64_t tick_ns
    cdef Py_ssize_t n
    cdef bint done, guard
    if type(values) is not ndarray or policy.naive == "local":
        return None
    held = values.__array_struct__
    array = interface_of(held)
    if array.nd != 1 or array.strides[0] != 8:
        return None
    found = PLAIN_DTYPES.get(values.dtype)
    if found is None:
        return None
    tick_ns, is_number = found
    if is_number:
        tick_ns = policy.int_ns
    guard = policy.guard and is_number
    n = array.shape[0]
    ticks = <const int64_t*>array.data
    packed = empty(n, INT64)
    out = <int64_t*>address_of(packed)
    if n < FEW:
        done = pack_dense(per, ticks, out, n, tick_ns, guard)
    else:
        with nogil:
            done = pack_dense(per, ticks, out, n, tick_ns, guard)
    return packed if done else None


cdef object pack_all(int64_t per, object values, Policy policy, object field):
    """Pack every time into units of ``per`` nanoseconds: an int64 array."""
    cdef Column column
    cdef int64_t* out
    cdef Py_ssize_t part
    packed = pack_array(per, values, policy)
    if packed is not None:
        return packed
    column = column_of_times(values, field or "")
    if column is None:
        try:
            column = as_column(list(values), field or "")
        except TypeError:
            raise TimestampError("expected an array or a sequence of times", field=field, value=values) from None
    packed = np.empty(column.length, INT64)
    out = <int64_t*>address_of(packed)
    field = field or column.name or None
    if column.objects is not None:
        pack_objects(per, column.snapshot(), out, policy, field)
        return packed
    for part in range(column.n_parts):
        pack_view(per, &column.parts[part], out + column.starts[part], column.starts[part], policy, column.is_numpy, field)
    return packed


cdef object pack_for(int64_t per, object values, object n, Policy policy, object field):
    """Pack one time for each of ``n`` records, or one for all of them."""
    if type(values) is Timestamps:
        policy = policy_of(values.unit, values.naive, values.missing, values.guard)
        values = values.values
    if isinstance(values, (int, float, date, INTEGER, FLOATING, datetime64)) or is_missing(values):
        try:
            one = checked(per, values, policy)
        except TimestampError as error:
            error.field = field
            raise
        return np.full(n, one, dtype=np.int64)
    packed = pack_all(per, values, policy, field)
    if len(packed) != n:
        raise TimestampError(f"expected {n} timestamps, one per record, got {len(packed)}", field=field)
    return packed


def timestamp_column(values, n, *, field=None):
    """Turn the ``timestamps=`` argument of a batch of ``n`` records into one int64 per record.

    Parameters
    ----------
    values : array_like of shape (n,), or one time for all
        As for :func:`pack_timestamps`; also a Column, or Timestamps of one of these.
    n : int
        Number of records.
    field : str, optional
        As for :func:`pack_timestamps`.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    TimestampError
        As for :func:`pack_timestamps`, and if the length differs from `n`.
    """
    return pack_for(MS, values, n, DEFAULT, field)


def nanosecond_column(values, n, *, field=None):
    """Do the same as :func:`timestamp_column`, keeping nanoseconds: what a header holds that milliseconds do not.

    Floats are rounded to the microsecond. Times from 2262-04-11T23:47:16.854775808 on are refused.
    """
    return pack_for(NS, values, n, DEFAULT, field)


def pack_nanoseconds(value):
    """Turn one time, or Timestamps of one, into nanoseconds since the epoch."""
    return one_of(NS, value)


cdef Policy DEFAULT = policy_of(None, None, None, True)
