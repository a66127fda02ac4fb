"""Avro's logical types from Python objects: times, decimals, UUIDs, durations.

Source: https://avro.apache.org/docs/1.12.0/specification/#logical-types. Times are rounded down to their unit, decimals are
not rounded at all: one with more digits than the schema's scale is an error.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.datetime cimport (
    PyDate_Check, PyDateTime_Check, PyDelta_Check, PyTime_Check, datetime, import_datetime, time_hour, time_microsecond,
    time_minute, time_second,
)
from cpython.long cimport PyLong_AsLongLongAndOverflow
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t

from twolane._units cimport DAY_NS, MS_NS, S_NS, US_NS
from twolane.encoding.memory.arena cimport Buffer, append, append_byte, append_zigzag
from twolane.encoding.columns.objects cimport bytes_of, is_integer
from twolane.encoding.time.timestamps cimport datetime_micros, days_of_date, wall_micros

from decimal import Decimal
from uuid import UUID

import numpy as np

from twolane._units import FINER, UNIT_NS
from twolane.encoding.mismatch import Mismatch
from twolane.encoding.columns.numpy_dtypes import days_of
from twolane.encoding.columns.objects import ColumnBytes
from twolane.errors import TimestampError

import_datetime()

cdef object datetime64 = np.datetime64
cdef object timedelta64 = np.timedelta64
cdef dict MONTHS = {"Y": 12, "M": 1}


cdef str unit_name(int64_t unit):
    return "milliseconds" if unit == MS_NS else "microseconds" if unit == US_NS else "nanoseconds"


cdef int put_timestamp(object value, int64_t unit, bint local, Buffer* out) except -1:
    """Write an instant (aware datetime), or for local-timestamp a clock's time (any datetime), as ticks; ints are ticks."""
    cdef int64_t micros         # or whatever the unit is
    cdef int overflow = 0
    if type(value) is int:
        micros = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow:
            raise Mismatch(f"{unit_name(unit)} that fit into 64 bits", value)
        return append_zigzag(out, micros)
    # pandas.NaT is a datetime, and unequal to itself.
    if type(value) is datetime or (PyDateTime_Check(value) and value == value):
        if local:
            micros = wall_micros(value)     # of an instant, the time that its own clock shows
        else:
            try:
                micros = datetime_micros(value, None)
            except TimestampError:
                raise Mismatch("datetime with a time zone (or an int, in the schema's unit)", value) from None
        if unit == MS_NS:
            return append_zigzag(out, micros // 1000)
        if unit == US_NS:
            return append_zigzag(out, micros)
        nanos = int(micros) * 1000 + getattr(value, "nanosecond", 0)        # pandas.Timestamp has nanoseconds
        if not INT64_MIN <= nanos <= INT64_MAX:
            raise Mismatch("datetime between 1677 and 2262, which is what 64 bits of nanoseconds hold", value)
        return append_zigzag(out, nanos)
    if is_integer(value):
        if not INT64_MIN <= value <= INT64_MAX:
            raise Mismatch(f"{unit_name(unit)} that fit into 64 bits", value)
        return append_zigzag(out, int(value))
    if isinstance(value, datetime64):
        ticks = ticks_of(value, unit)
        if ticks is not None and INT64_MIN <= ticks <= INT64_MAX:
            return append_zigzag(out, ticks)
    if PyDate_Check(value) and value == value:      # midnight, as in a column of dates
        ticks = <object>days_of_date(value) * DAY_NS // unit
        if INT64_MIN <= ticks <= INT64_MAX:
            return append_zigzag(out, ticks)
    raise Mismatch("datetime, datetime64 or " + unit_name(unit) + " as an int", value)


cdef object ticks_of(object value, object unit_ns):
    """Return a datetime64 in units of so many nanoseconds, rounded down; None for NaT."""
    name, count = np.datetime_data(value.dtype)
    if np.isnat(value):
        return None
    if name in ("Y", "M"):
        name, count, value = "D", 1, days_of(value)
    ticks = int(value.astype(np.int64)) * count
    return ticks * UNIT_NS[name] // unit_ns if name in UNIT_NS else ticks // (FINER[name] * unit_ns)


cdef bint is_day(object value) except -1:
    """Return whether it is a day and not a time of one: a date that is no datetime, or a datetime64 of days or longer."""
    if isinstance(value, datetime64):
        return np.datetime_data(value.dtype)[0] in ("D", "W", "M", "Y")
    return PyDate_Check(value) and not PyDateTime_Check(value)


cdef int put_date(object value, Buffer* out) except -1:
    """Write the days since the epoch, of a date, a datetime (its own day), a datetime64 or an int."""
    if PyDate_Check(value) and value == value:
        return append_zigzag(out, days_of_date(value))
    days = ticks_of(value, DAY_NS) if isinstance(value, datetime64) else value
    if is_integer(days) and INT32_MIN <= days <= INT32_MAX:
        return append_zigzag(out, int(days))
    raise Mismatch("date, or days since 1970-01-01 as an int", value)


cdef int put_time(object value, int64_t unit, Buffer* out) except -1:
    """Write the milliseconds or microseconds since midnight, of a time without a zone or an int."""
    cdef int64_t micros
    if PyTime_Check(value) and value.tzinfo is None:
        micros = time_hour(value) * 3600 + time_minute(value) * 60 + time_second(value)
        micros = micros * (S_NS // US_NS) + time_microsecond(value)
        return append_zigzag(out, micros // 1000 if unit == MS_NS else micros)
    if is_integer(value):
        if 0 <= value < DAY_NS // unit:
            return append_zigzag(out, int(value))
    raise Mismatch(f"time without a zone, or {unit_name(unit)} since midnight as an int", value)


cdef int put_decimal(object value, object type, Buffer* out) except -1:
    """Write the unscaled number as two's complement, big-endian: shortest for bytes, filled up for fixed."""
    cdef bytes encoded
    cdef Py_ssize_t size
    if is_integer(value):
        unscaled = int(value) * 10**type.scale
    elif isinstance(value, Decimal) and value.is_finite():
        sign, digits, exponent = value.as_tuple()
        text = "".join(map(str, digits))
        whole = text.rstrip("0")
        exponent += type.scale + len(text) - len(whole)
        whole = whole.lstrip("0")
        # Both before a power of ten becomes a very large number.
        if len(whole) > type.precision or (whole and exponent > type.precision):
            raise Mismatch(f"Decimal of at most {type.precision} digits, {type.scale} behind the point", value)
        if whole and exponent < 0:
            raise Mismatch(f"Decimal with at most {type.scale} digits behind the point", value)
        unscaled = int(whole) * 10**exponent if whole else 0
        if sign:
            unscaled = -unscaled
    else:
        raise Mismatch(f"Decimal of at most {type.precision} digits, {type.scale} behind the point", value)
    if abs(unscaled) >= 10**type.precision:
        raise Mismatch(f"Decimal of at most {type.precision} digits, {type.scale} behind the point", value)
    if type.kind == "fixed":
        encoded = unscaled.to_bytes(type.size, "big", signed=True)
    else:
        # One bit for the sign; -128 needs no second byte, 128 does.
        size = ((unscaled if unscaled >= 0 else ~unscaled).bit_length() + 8) // 8
        encoded = unscaled.to_bytes(size, "big", signed=True)
        append_zigzag(out, PyBytes_GET_SIZE(encoded))
    return append(out, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))


cdef int put_uuid(object value, bint as_bytes, Buffer* out) except -1:
    """Write the 36 characters of a UUID, or its 16 bytes for a fixed."""
    cdef bytes plain = bytes_of(value)
    if plain is not None and len(plain) == 16:
        value = UUID(bytes=plain)
    elif isinstance(value, (str, ColumnBytes)):
        try:
            value = UUID(value if isinstance(value, str) else value.decode())
        except ValueError:      # UnicodeDecodeError is one
            raise Mismatch("UUID", value) from None
    if not isinstance(value, UUID):
        raise Mismatch("UUID", value)
    cdef bytes encoded = value.bytes if as_bytes else str(value).encode()
    if not as_bytes:
        append_zigzag(out, 36)
    return append(out, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))


cdef object parts_of(object value):
    """Return the months, days and milliseconds of a timedelta64; itself if that has no unit, or is NaT."""
    name, count = np.datetime_data(value.dtype)
    if np.isnat(value) or not (name in UNIT_NS or name in MONTHS):
        return value
    ticks = int(value.astype(np.int64)) * count
    if name in MONTHS:
        return ticks * MONTHS[name], 0, 0
    days, nanos = divmod(ticks * UNIT_NS[name], DAY_NS)
    return 0, days, nanos // MS_NS


cdef int put_duration(object value, Buffer* out) except -1:
    """Write months, days and milliseconds, each four bytes little-endian: of a tuple of three ints, a timedelta or 12 bytes.

    What is longer than a millisecond only in part is rounded down, as times are.
    """
    cdef uint32_t number
    cdef int i
    cdef bytes plain = bytes_of(value)
    if plain is not None and len(plain) == 12:
        return append(out, PyBytes_AS_STRING(plain), 12)
    if PyDelta_Check(value):
        value = (0, value.days, value.seconds * 1000 + value.microseconds // 1000)
    elif isinstance(value, timedelta64):
        value = parts_of(value)
    elif isinstance(value, tuple) and hasattr(value, "nanoseconds"):        # pyarrow.MonthDayNano
        value = (*value[:2], value.nanoseconds // MS_NS)
    if isinstance(value, list):
        value = tuple(value)        # which no other thread changes between the two looks at it
    if not isinstance(value, tuple) or len(value) != 3:
        raise Mismatch("timedelta, or (months, days, milliseconds)", value)
    for part in value:
        if not is_integer(part) or not 0 <= int(part) < 2**32:
            raise Mismatch("months, days and milliseconds from 0 to 4294967295", value)
    for part in value:
        number = part
        for i in range(4):
            append_byte(out, <uint8_t>((number >> (8 * i)) & 0xFF))
    return 0
