"""Python's own values as Protobuf's well-known messages: times, durations, wrappers, JSON values.

Source: https://protobuf.dev/reference/protobuf/google.protobuf/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from twolane._units import DAY_NS, FINER, S_NS, UNIT_NS
from twolane.encoding.columns.numpy_dtypes import days_of
from twolane.encoding.columns.objects import entries_of, is_missing
from twolane.encoding.mismatch import Mismatch
from twolane.encoding.protobuf.schema import WRAPPED

EPOCH_DAY = date(1970, 1, 1).toordinal()
# Seconds: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, and 10 000 years of either sign.
FIRST_SECOND, LAST_SECOND, MOST_SECONDS = -62_135_596_800, 253_402_300_799, 315_576_000_000
MAX_DEPTH = 100


def nanoseconds(value: Any) -> int | None:
    """Return a datetime64 or timedelta64 in nanoseconds, rounded down; None of one without a fixed length."""
    unit, count = np.datetime_data(value.dtype)
    if unit in ("Y", "M") and isinstance(value, np.datetime64):
        unit, count, value = "D", 1, days_of(value)
    ticks = int(value.astype(np.int64)) * count
    if unit in FINER:
        return ticks // FINER[unit]
    return ticks * UNIT_NS[unit] if unit in UNIT_NS else None


def length(value: timedelta) -> int:
    """Return a timedelta in nanoseconds; pandas' own has three digits more."""
    micros = (value.days * 86_400 + value.seconds) * 10**6 + value.microseconds
    return 1000 * micros + int(getattr(value, "nanoseconds", 0))


def put_timestamp(message: Any, value: Any) -> None:
    """Set a google.protobuf.Timestamp to an instant; a date is the midnight that begins it, in UTC."""
    nanos = None
    if isinstance(value, datetime):
        ahead = value.utcoffset()
        if ahead is None:
            raise Mismatch("datetime with a time zone", value)
        clock = timedelta(value.toordinal() - EPOCH_DAY, value.second, value.microsecond, 0, value.minute, value.hour)
        nanos = length(clock - ahead) + int(getattr(value, "nanosecond", 0))
    elif isinstance(value, np.datetime64):
        nanos = nanoseconds(value)
    elif isinstance(value, date):
        nanos = (value.toordinal() - EPOCH_DAY) * DAY_NS
    if nanos is None:
        raise Mismatch("google.protobuf.Timestamp, of a datetime with a time zone, a datetime64 or a message", value)
    seconds, rest = divmod(nanos, S_NS)
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise Mismatch("a time of the years 1 to 9999", value)
    message.seconds, message.nanos = seconds, rest


def put_duration(message: Any, value: Any) -> None:
    """Set a google.protobuf.Duration, whose two numbers have one sign."""
    nanos = None
    if isinstance(value, timedelta):
        nanos = length(value)
    elif isinstance(value, np.timedelta64):
        nanos = nanoseconds(value)
    if nanos is None:
        raise Mismatch("google.protobuf.Duration, of a timedelta, a timedelta64 or a message", value)
    seconds, rest = divmod(abs(nanos), S_NS)
    if seconds > MOST_SECONDS:
        raise Mismatch("a duration of 10 000 years at most", value)
    message.seconds, message.nanos = (seconds, rest) if nanos >= 0 else (-seconds, -rest)


def put_struct(message: Any, value: Any, depth: int = 0) -> None:
    """Set a google.protobuf.Struct to a mapping."""
    if not isinstance(value, Mapping):
        raise Mismatch("google.protobuf.Struct, of a mapping", value)
    for name, item in entries_of(value):
        if not isinstance(name, str):
            raise Mismatch("keys that are strings", name)
        _step(put_value, message.fields[name], item, depth, (name,))


def put_list(message: Any, value: Any, depth: int = 0) -> None:
    """Set a google.protobuf.ListValue to a list."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise Mismatch("google.protobuf.ListValue, of a list", value)
    for i, item in enumerate(value):
        _step(put_value, message.values.add(), item, depth, i)


def put_value(message: Any, value: Any, depth: int = 0) -> None:
    """Set a google.protobuf.Value to what JSON has: null, booleans, numbers, strings, lists, objects."""
    if depth > MAX_DEPTH:
        raise Mismatch("a value that is not nested so deep", value)
    if is_missing(value):
        message.null_value = 0
    elif isinstance(value, (bool, np.bool_)):
        message.bool_value = bool(value)
    elif isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, np.timedelta64):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number) or (isinstance(value, (int, np.integer)) and int(value) != number):
            raise Mismatch("a number that a double holds", value)
        message.number_value = number
    elif isinstance(value, str):
        try:
            message.string_value = str.__str__(value)
        except UnicodeEncodeError:
            raise Mismatch("string that UTF-8 can hold (this has a lone surrogate)", value) from None
    elif isinstance(value, Mapping):
        message.struct_value.SetInParent()
        put_struct(message.struct_value, value, depth + 1)
    elif isinstance(value, (list, tuple, np.ndarray)):
        message.list_value.SetInParent()
        put_list(message.list_value, value, depth + 1)
    else:
        raise Mismatch("google.protobuf.Value, what JSON has", value)


def _step(put: Callable[..., None], message: Any, value: Any, depth: int, step: Any) -> None:
    try:
        put(message, value, depth)
    except Mismatch as error:
        error.path.append(step)
        raise


# By the name of the message: what sets it to a value of Python's own.
PUTTERS: dict[str, Callable[[Any, Any], None]] = {
    "google.protobuf.Timestamp": put_timestamp,
    "google.protobuf.Duration": put_duration,
    "google.protobuf.Struct": put_struct,
    "google.protobuf.ListValue": put_list,
    "google.protobuf.Value": put_value,
}
# Of these a dict is the content, not the message's own fields.
JSON_LIKE = ("google.protobuf.Struct", "google.protobuf.ListValue", "google.protobuf.Value")
WRAPPERS = frozenset(f"google.protobuf.{kind}Value" for kind in WRAPPED)
