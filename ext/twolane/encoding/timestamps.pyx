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

from twolane.encoding.columns cimport (
    ArrayInterface, Column, address_of, as_column, column_of_times, interface_of, kind_name,
)
from twolane.encoding.objects cimport NO_GIL, is_integer
from twolane.encoding.ticks cimport copy_all, divide_all
from twolane.encoding.vectors cimport Kind, Meaning, Vector, float_at, index_at, int_at, is_valid

from datetime import timezone

import numpy as np

from twolane.encoding.numpy_dtypes import days_of
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

cdef int64_t MICROS_PER_DAY = 86_400_000_000
cdef int64_t DAY_NS = 86_400_000_000_000
# What is packed into, as nanoseconds: milliseconds for the record's own timestamp, nanoseconds for its header.
cdef int64_t MS = 1_000_000
cdef int64_t NS = 1
cdef int64_t GUARD_FROM = 631_152_000_000       # 1990-01-01
cdef int64_t GUARD_TO = 4_102_444_800_000       # 2100-01-01, not included

cdef dict UNIT_NS = {
    "ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
    "D": 86_400_000_000_000, "W": 604_800_000_000_000,
}

cdef frozenset NAIVE = frozenset(("utc", "local"))

# The last fixed offset met: its minutes do not depend on the day, so tzinfo.utcoffset() is asked once per zone in a row.
# Not without the GIL: a thread could read the one's offset with the other's zone, and a lock costs what asking does.
cdef object last_zone = None
cdef int64_t last_offset = 0


cdef inline int64_t days_before(int year, int month, int day) noexcept nogil:
    """Days from 1970-01-01 in the Gregorian calendar; years 1 to 9999. GIL: not needed.

    The year is counted from March, so that the leap day comes last and months have a regular length.
    """
    cdef int64_t y = year - (month <= 2)
    cdef int64_t from_march = (month + 9) % 12
    return y * 365 + y // 4 - y // 100 + y // 400 + (153 * from_march + 2) // 5 + day - 1 - 719_468


cdef int64_t offset_micros(object zone, object value) except? -1:
    """What to subtract from a wall clock of ``zone`` to have UTC, in microseconds."""
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
        <int64_t>timedelta_days(offset) * MICROS_PER_DAY + <int64_t>timedelta_seconds(offset) * 1_000_000
        + timedelta_microseconds(offset)
    )
    if type(zone) is timezone and not NO_GIL:
        last_offset = micros
        last_zone = zone
    return micros


cdef int64_t days_of_date(object value) noexcept:
    """Days since 1970-01-01 of a date (or a datetime's own day)."""
    return days_before(datetime_year(value), datetime_month(value), datetime_day(value))


cdef int64_t wall_micros(object value) noexcept:
    """A datetime's own fields as microseconds since 1970-01-01 00:00 on the same clock."""
    cdef int64_t days = days_of_date(value)
    cdef int64_t seconds = (datetime_hour(value) * 60 + datetime_minute(value)) * 60 + datetime_second(value)
    return days * MICROS_PER_DAY + seconds * 1_000_000 + datetime_microsecond(value)


cdef int64_t datetime_micros(object value, object naive) except? -1:
    """Microseconds since the epoch of a datetime; ``naive`` is None (refuse), "utc" or "local"."""
    cdef int64_t micros
    zone = datetime_tzinfo(value)
    if zone is not None:
        micros = wall_micros(value)
        return micros - offset_micros(zone, value)
    if value != value:      # pandas.NaT, which is a datetime by inheritance
        raise TimestampError("expected a time", value=value)
    if naive is None:
        raise TimestampError(
            "expected a datetime with a time zone (naive='utc' or naive='local' says what one without means)", value=value
        )
    if naive == "local":
        micros = wall_micros(value.astimezone(UTC))
    else:
        micros = wall_micros(value)
    return micros


cdef int64_t ticks_to(int64_t per, int64_t ticks, int64_t tick_ns) except? -1:
    """So many ticks in units of ``per`` nanoseconds, rounded down; OverflowError where int64 cannot hold them."""
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
    """A float of ticks: rounded to the microsecond, which is what a double of today's seconds holds, then down."""
    cdef double micros = nearbyint(value * (<double>tick_ns / 1000.0))
    if not isfinite(micros):
        raise TimestampError("expected a finite time", value=value)
    if not -9.2e18 < micros < 9.2e18:
        raise OverflowError
    return ticks_to(per, <int64_t>micros, 1000)


cdef int64_t convert(
    int64_t per, object value, int64_t int_ns, int64_t float_ns, object naive, bint* is_number
) except? -1:
    """One Python object in units of ``per``; tells whether it was a plain number, to which the guard applies."""
    is_number[0] = False
    if PyDateTime_Check(value):
        if per == MS:
            return datetime_micros(value, naive) // 1000
        nanosecond = 0 if type(value) is datetime else getattr(value, "nanosecond", 0)      # pandas.Timestamp has it
        return ticks_to(per, datetime_micros(value, naive), 1000) + <int64_t>nanosecond
    if isinstance(value, bool):
        raise TimestampError("expected a time", value=value)
    if is_integer(value):
        is_number[0] = True
        return ticks_to(per, value, int_ns)
    if isinstance(value, (float, FLOATING)):
        is_number[0] = True
        return float_to(per, value, float_ns)
    if isinstance(value, datetime64):
        if np.isnat(value):
            raise TimestampError("expected a time", value=value)
        unit, count = np.datetime_data(value.dtype)
        if unit in ("Y", "M"):
            unit, count, value = "D", 1, days_of(value)
        elif unit not in UNIT_NS:       # parts of a nanosecond
            unit, count, value = "ns", 1, value.astype("datetime64[ns]")
        return ticks_to(per, int(value.astype(np.int64)), UNIT_NS[unit] * count)
    if isinstance(value, date):
        return ticks_to(per, days_of_date(value), DAY_NS)
    raise TimestampError("expected a datetime, a datetime64 or milliseconds as an int", value=value)


cdef object out_of_years(int64_t ms):
    return (
        f"{ms} ms lies outside the years 1990 to 2100: are these seconds, microseconds or nanoseconds? "
        "Name the unit (unit='s'), or pass guard=False if the time is meant"
    )


cdef object too_large(int64_t per):
    return f"expected a time that fits into 64 bits of {'milliseconds' if per == MS else 'nanoseconds'}"


cdef int64_t pack_one(object value, bint guard=True) except -1:
    """Milliseconds since the epoch of one time: int (ms), float (seconds), aware datetime, datetime64, date.

    Raises TimestampError. For ints and floats, `guard` refuses years outside 1990 to 2100.
    """
    return checked(MS, value, MS, 1_000_000_000, None, guard)


cdef int64_t checked(
    int64_t per, object value, int64_t int_ns, int64_t float_ns, object naive, bint guard
) except -1:
    """One Python object in units of ``per``, after the epoch by at least a millisecond, and within the guard's years."""
    cdef bint is_number = False
    cdef int64_t packed
    cdef int64_t per_ms = MS // per
    try:
        packed = convert(per, value, int_ns, float_ns, naive, &is_number)
    except OverflowError:
        raise TimestampError(too_large(per), value=value) from None
    if packed < per_ms:
        raise TimestampError("expected a time after 1970-01-01 00:00:00.000 UTC", value=value)
    if guard and is_number and not GUARD_FROM * per_ms <= packed < GUARD_TO * per_ms:
        raise TimestampError(out_of_years(packed // per_ms), value=value)
    return packed


cdef int pack_objects(
    int64_t per, tuple values, int64_t* out, int64_t int_ns, int64_t float_ns, object naive, bint guard, object field
) except -1:
    """Pack Python objects one by one; errors get the row and the field."""
    cdef Py_ssize_t i = 0
    try:
        for i in range(len(values)):
            out[i] = checked(per, values[i], int_ns, float_ns, naive, guard)
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
            return divide_all(ticks, out, n, 1_000_000)
        if tick_ns == 1_000:
            return divide_all(ticks, out, n, 1_000)
    if tick_ns % per:
        return False
    factor = tick_ns // per
    low = ((GUARD_FROM * MS if guard else MS) + tick_ns - 1) // tick_ns
    high = (GUARD_TO * MS - 1) // tick_ns if guard else INT64_MAX // factor
    return copy_all(ticks, out, n, low, high, factor)


cdef int pack_vector(
    int64_t per, const Vector* vector, int64_t* out, Py_ssize_t row, object unit, bint guard, object field
) except -1:
    """Pack one part of a column whose first row is ``row``."""
    cdef Py_ssize_t i, n = vector.length
    cdef int64_t tick_ns = vector.tick_ns, packed
    cdef int64_t per_ms = MS // per
    cdef bint done = False, is_float = False
    cdef Vector entry
    if vector.kind == Kind.DICTIONARY:
        for i in range(n):
            if not is_valid(vector, i):
                raise TimestampError("expected a time, got null", index=row + i, field=field)
            entry = vector.dictionary[0]
            entry.offset += index_at(vector, i)
            entry.length = 1
            pack_vector(per, &entry, out + i, row + i, unit, guard, field)
        return 0
    if vector.meaning == Meaning.TIMESTAMP or vector.meaning == Meaning.DATE:
        guard = False
    elif vector.meaning == Meaning.PLAIN and Kind.INT8 <= vector.kind <= Kind.UINT64:
        tick_ns = unit_ns(unit, MS)
    elif vector.meaning == Meaning.PLAIN and Kind.FLOAT16 <= vector.kind <= Kind.FLOAT64:
        tick_ns = unit_ns(unit, 1_000_000_000)
        is_float = True
    elif vector.kind != Kind.NULLS:
        raise TimestampError(f"expected a column of times, or of numbers, got {kind_name(vector)}", field=field)
    if vector.kind == Kind.INT64 and vector.stride == 8 and not vector.swapped and vector.validity == NULL:
        with nogil:
            done = pack_dense(per, <const int64_t*>vector.data + vector.offset, out, n, tick_ns, guard)
    if done:
        return 0
    i = 0
    try:
        while i < n:
            if not is_valid(vector, i):
                raise TimestampError("expected a time, got null")
            if vector.meaning != Meaning.PLAIN and int_at(vector, i) == INT64_MIN:
                raise TimestampError("expected a time, got NaT")
            if is_float:
                packed = float_to(per, float_at(vector, i), tick_ns)
            else:
                if vector.kind == Kind.UINT64 and int_at(vector, i) < 0:
                    raise OverflowError
                packed = ticks_to(per, int_at(vector, i), tick_ns)
            if packed < per_ms:
                raise TimestampError("expected a time after 1970-01-01 00:00:00.000 UTC", value=int_or_float(vector, i))
            if guard and not GUARD_FROM * per_ms <= packed < GUARD_TO * per_ms:
                raise TimestampError(out_of_years(packed // per_ms), value=int_or_float(vector, i))
            out[i] = packed
            i += 1
    except OverflowError:
        raise TimestampError(too_large(per), index=row + i, field=field, value=int_or_float(vector, i)) from None
    except TimestampError as error:
        error.index = row + i
        error.field = field
        raise
    return 0


cdef object int_or_float(const Vector* vector, Py_ssize_t i):
    """The value as an error shows it."""
    if vector.kind >= Kind.FLOAT16:
        return float_at(vector, i)
    if vector.kind == Kind.UINT64:
        return <uint64_t>int_at(vector, i)
    if vector.meaning == Meaning.TIMESTAMP or vector.meaning == Meaning.DATE:
        for name, ns in UNIT_NS.items():
            if ns == vector.tick_ns:
                return datetime64(int_at(vector, i), name)
    return int_at(vector, i)


cdef int64_t unit_ns(object unit, int64_t default) except -1:
    """Nanoseconds of a unit's name, or the default for None."""
    if unit is None:
        return default
    ns = UNIT_NS.get(unit)
    if ns is None:
        raise ValueError(f"unit: expected one of {', '.join(UNIT_NS)}, got {unit!r}")
    return ns


def pack_timestamp(value, unit=None, *, naive=None, guard=True):
    """Turn one time into milliseconds since the epoch.

    Parameters
    ----------
    value, unit, naive, guard
        As for :func:`pack_timestamps`.

    Returns
    -------
    int

    Raises
    ------
    TimestampError
        As for :func:`pack_timestamps`.
    """
    return checked(MS, value, unit_ns(unit, MS), unit_ns(unit, 1_000_000_000), check_naive(naive), guard)


cdef object check_naive(object naive):
    if naive is not None and naive not in NAIVE:
        raise ValueError(f"naive: expected None, 'utc' or 'local', got {naive!r}")
    return naive


def pack_timestamps(values, unit=None, *, naive=None, guard=True, field=None):
    """Turn times into int64 milliseconds since the epoch, as records carry them.

    Parameters
    ----------
    values : array_like, shape (n,)
        datetime64 of any unit, Arrow timestamps and dates (with a zone or without: without one they count as UTC),
        pandas and polars series, ints, floats, or a sequence of datetime, date, datetime64, pandas.Timestamp, int
        or float. Borrowed during the call.
    unit : {"s", "ms", "us", "ns", "m", "h", "D", "W"}, optional
        Of plain numbers. Without it ints are milliseconds and floats are seconds, as ``time.time()`` gives them.
    naive : {None, "utc", "local"}
        What a datetime object without a time zone means. None refuses it.
    guard : bool, default True
        Refuse plain numbers that come out before 1990 or from 2100 on: they are most likely in another unit.
    field : str, optional
        Name of the column, for error messages.

    Returns
    -------
    ndarray of int64, shape (n,)
        Milliseconds, rounded towards minus infinity; always positive. Floats are first rounded to the microsecond.

    Raises
    ------
    TimestampError
        If a time is missing (None, null, NaT), naive, not after the epoch, too large for 64 bits, or caught by the
        guard. It has the `index` and the `field`.
    ValueError
        If `unit` or `naive` is unknown.

    Notes
    -----
    The GIL is released for arrays of thousands of values. Kafka knows CreateTime in milliseconds only; librdkafka takes 0 for "now", which is
    why 0 is refused.
    """
    return pack_all(MS, values, unit, naive, guard, field)


# Ticks of the arrays that most calls bring, and whether the guard concerns them: they need no Column, which costs as much
# as packing some thousands of values.
cdef dict PLAIN_DTYPES = {np.dtype(f"M8[{unit}]"): (ns, False) for unit, ns in UNIT_NS.items()}
PLAIN_DTYPES[np.dtype(np.int64)] = (0, True)


cdef object pack_array(int64_t per, object values, object unit, bint guard):
    """Pack a contiguous array of a common dtype; None if it is none, or a value must be looked at."""
    cdef const ArrayInterface* array
    cdef const int64_t* ticks
    cdef int64_t* out
    cdef int64_t tick_ns
    cdef Py_ssize_t n
    cdef bint done
    if type(values) is not ndarray:
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
        tick_ns = unit_ns(unit, MS)
    guard = guard and is_number
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


cdef object pack_all(int64_t per, object values, object unit, object naive, bint guard, object field):
    """Pack every time into units of ``per`` nanoseconds: an int64 array."""
    cdef Column column
    cdef int64_t* out
    cdef Py_ssize_t part
    check_naive(naive)
    unit_ns(unit, 1)
    packed = pack_array(per, values, unit, guard)
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
        pack_objects(per, column.taken(), out, unit_ns(unit, MS), unit_ns(unit, 1_000_000_000), naive, guard, field)
        return packed
    for part in range(column.n_parts):
        pack_vector(per, &column.parts[part], out + column.starts[part], column.starts[part], unit, guard, field)
    return packed


cdef object pack_for(int64_t per, object values, object n, object unit, object naive, bint guard, object field):
    """Pack one time for each of ``n`` records, or one for all of them."""
    if isinstance(values, (int, float, date, INTEGER, FLOATING, datetime64)):
        try:
            one = checked(per, values, unit_ns(unit, MS), unit_ns(unit, 1_000_000_000), check_naive(naive), guard)
        except TimestampError as error:
            error.field = field
            raise
        return np.full(n, one, dtype=np.int64)
    packed = pack_all(per, values, unit, naive, guard, field)
    if len(packed) != n:
        raise TimestampError(f"expected {n} timestamps, one per record, got {len(packed)}", field=field)
    return packed


def timestamp_column(values, n, unit=None, *, naive=None, guard=True, field=None):
    """Turn the ``timestamps=`` argument of a batch of ``n`` records into one int64 per record.

    Parameters
    ----------
    values : array_like of shape (n,), or one time for all
        As for :func:`pack_timestamps`; also a Column.
    n : int
        Number of records.
    unit, naive, guard, field
        As for :func:`pack_timestamps`.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    TimestampError
        As for :func:`pack_timestamps`, and if the length differs from `n`.
    """
    return pack_for(MS, values, n, unit, naive, guard, field)


def nanosecond_column(values, n, unit=None, *, naive=None, guard=True, field=None):
    """Do the same as :func:`timestamp_column`, keeping nanoseconds: what a header holds that milliseconds do not.

    Parameters
    ----------
    values, n, unit, naive, guard, field
        As for :func:`timestamp_column`.

    Returns
    -------
    ndarray of int64, shape (n,)
        Nanoseconds since the epoch. Floats are rounded to the microsecond.

    Raises
    ------
    TimestampError
        As for :func:`timestamp_column`, and from 2262-04-11T23:47:16.854775808 on.
    """
    return pack_for(NS, values, n, unit, naive, guard, field)


def pack_nanoseconds(value):
    """Turn one time into nanoseconds since the epoch.

    Parameters
    ----------
    value : int (ms), float (s), aware datetime, datetime64 or date

    Returns
    -------
    int

    Raises
    ------
    TimestampError
        As for :func:`nanosecond_column`.
    """
    return checked(NS, value, MS, 1_000_000_000, None, True)
