"""Python objects of any type to JSON: through orjson if it is installed, else through the standard library.

Both write UTF-8 without blanks, shortest round-trip doubles, datetimes as ISO 8601, and agree with the columns
(json_columns).
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import math
import sys
import uuid
from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR
from typing import Any

import numpy as np

from twolane._units import FINER, UNIT_NS
from twolane.encoding.columns.numpy_dtypes import days_of
from twolane.encoding.columns.objects import entries_of, is_missing
from twolane.encoding.mismatch import Mismatch
from twolane.encoding.named_rows import by_name
from twolane.errors import shown

try:
    import orjson
except ImportError:  # an extra: pip install twolane[json]
    orjson = None  # type: ignore[assignment]

MAX_DEPTH = 200
# Python has the same numbers.
PLAIN_SCALARS = frozenset((np.bool_, np.float64, *(np.dtype(code).type for code in "bhilqBHILQ")))
EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001


def times_are_wrong() -> bool:
    """Return whether orjson drops leading zeros of a time's microseconds, as 3.13.0 does: 10 ms come out as .10000."""
    return orjson is not None and orjson.dumps(datetime.time(0, 0, 0, 10_000)) != b'"00:00:00.010000"'


# Then times go through Fallback; there is no switch for them alone, so that dates and datetimes do too.
TIME_OPTION = orjson.OPT_PASSTHROUGH_DATETIME if times_are_wrong() else 0


def make_dump(*, binary: str, nan: str, use_orjson: bool | None = None) -> Callable[[Any], bytes]:
    """Make the function that turns one object into JSON bytes.

    Parameters
    ----------
    binary : {"error", "base64"}
    nan : {"null", "error"}
        "error" needs the standard library, because orjson writes null.
    use_orjson : bool, optional
        Whether to use it; by default, if it is there.

    Returns
    -------
    callable
        Raises Mismatch, with the path to the value that has no JSON form.
    """
    fallback = Fallback(binary == "base64")
    fast = orjson is not None if use_orjson is None else use_orjson
    if fast and nan == "null":
        return FastDump(fallback)
    encoder = json.JSONEncoder(
        ensure_ascii=False, check_circular=True, allow_nan=False, separators=(",", ":"), default=fallback
    )

    def dump(value: Any) -> bytes:
        return encoder.encode(brought_down(value, fallback, nan)).encode()

    return dump


class FastDump:
    """Through orjson; `many` is what a loop over many objects needs: function, default, options, a separator."""

    def __init__(self, fallback: Fallback) -> None:
        self._fallback = fallback
        fallback.large = orjson.Fragment
        # Not OPT_SERIALIZE_NUMPY: with it NaT in nanoseconds becomes the year 1677, without a question. Not
        # OPT_NON_STR_KEYS: it costs every dict, and writes two keys of the same text.
        self.many = (orjson.dumps, self._native, TIME_OPTION, orjson.Fragment(b"\n"))

    def _native(self, value: Any) -> Any:
        """Return something that orjson knows; it writes arrays of numbers itself, and singles."""
        kind = type(value)
        if kind in PLAIN_SCALARS:
            return value.item()
        if kind is np.float32 or (kind is np.ndarray and value.ndim and value.dtype.kind in "biuf"):
            return orjson.Fragment(orjson.dumps(value, self._fallback, orjson.OPT_SERIALIZE_NUMPY))
        return self._fallback(value)

    def __call__(self, value: Any) -> bytes:
        """Encode one object."""
        try:
            return orjson.dumps(value, self._native, TIME_OPTION)
        except (TypeError, ValueError, RecursionError):
            # It names no path, and knows no keys but str and no ints beyond 64 bits.
            return orjson.dumps(brought_down(value, self._fallback, "null"))


def time_text(value: np.datetime64) -> str:
    """Return the text of a time of numpy, as columns write it: a day, or a time with as many digits as it needs."""
    unit, count = np.datetime_data(value.dtype)
    if unit in ("Y", "M"):
        value, unit, count = days_of(value), "D", 1
    if unit not in UNIT_NS and unit not in FINER:
        raise TypeError("a value that JSON can hold")
    # In Python's integers: numpy's own conversions wrap around near the ends of 64 bits, without a word.
    ticks = int(value.astype(np.int64)) * count
    micros, rest = divmod(ticks // FINER[unit] if unit in FINER else ticks * UNIT_NS[unit], 1000)
    try:
        moment = EPOCH + datetime.timedelta(microseconds=micros)
    except OverflowError:
        raise TypeError(f"a time in the years {MINYEAR} to {MAXYEAR}") from None
    if unit in ("D", "W"):
        return moment.date().isoformat()
    return f"{moment.isoformat(timespec='microseconds')}{rest:03}" if rest else moment.isoformat()


class Fallback:
    """The form of what JSON does not know: called by the encoders, raises TypeError where there is none."""

    def __init__(self, base64: bool) -> None:
        self.base64 = base64
        self.large: Callable[[str], Any] = int  # an int beyond 64 bits, in the form that the encoder takes

    def __call__(self, value: Any) -> Any:
        """Return something that JSON knows."""
        if is_missing(value):
            return None
        if isinstance(value, (bytes, bytearray, memoryview)):
            if self.base64:
                return base64.b64encode(bytes(value)).decode()
            raise TypeError("text (binary='base64' writes bytes)")
        if isinstance(value, (datetime.date, datetime.time)):
            return value.isoformat()
        if isinstance(value, decimal.Decimal) and value.is_finite():
            return format(value, "f")
        if isinstance(value, np.datetime64):
            return time_text(value)
        if isinstance(value, np.timedelta64):  # item() would give a number of nanoseconds
            raise TypeError("a value that JSON can hold")
        if isinstance(value, (np.float32, np.float16)):
            return float(str(np.float32(value)))  # the digits of a single, as orjson and the columns write them
        # Of a longdouble item() gives itself.
        if (
            isinstance(value, np.generic)
            and value.dtype.names is None
            and not isinstance(one := value.item(), np.generic)
        ):
            return one
        if isinstance(value, np.ndarray) and not isinstance(value, np.ma.mvoid):
            is_listed = value.ndim and (value.dtype.char in "Mef" or value.dtype.names is not None)
            return list(value) if is_listed else value.tolist()
        if isinstance(value, (set, frozenset)):
            return list(value)
        named = by_name(value)
        if named is not None:
            return named
        if isinstance(value, tuple):
            return list(value)
        if hasattr(value, "model_dump"):
            return value.model_dump()
        if hasattr(value, "__attrs_attrs__"):
            return {field.name: getattr(value, field.name) for field in value.__attrs_attrs__}
        raise TypeError("a value that JSON can hold")


def plain(value: Any, fallback: Fallback, nan: str, depth: int) -> Any:
    """Bring an object to what JSON knows, as orjson would write it; Mismatch with the path."""
    if value is None or value is True or value is False:
        return value
    if type(value) is int:
        return whole(value, fallback)
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return text(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        if nan == "error":
            raise Mismatch("finite number (nan='null' writes null)", value)
        return None
    if depth > MAX_DEPTH:
        raise Mismatch("a value that is not nested so deep", value)
    if isinstance(value, enum.Enum):
        return plain(value.value, fallback, nan, depth + 1)
    if isinstance(value, int):
        return whole(value, fallback)
    if isinstance(value, uuid.UUID):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        made = {}
        for key, item in entries_of(value):  # a snapshot: another thread may change it meanwhile
            name = key_text(key, fallback, nan)
            if name in made:
                raise Mismatch(f"keys of different texts (two are {shown(name)})", value)
            made[name] = stepped(item, fallback, nan, depth, name)
        return made
    if isinstance(value, list) or type(value) is tuple:
        return [stepped(item, fallback, nan, depth, i) for i, item in enumerate(tuple(value))]
    try:
        known = fallback(value)
    except TypeError as error:
        raise Mismatch(str(error), value) from None
    except ValueError:
        raise Mismatch("a value that JSON can hold", value) from None
    return plain(known, fallback, nan, depth + 1)


def stepped(value: Any, fallback: Fallback, nan: str, depth: int, step: str | int) -> Any:
    """Convert an item; add its place to the path of a mismatch."""
    try:
        return plain(value, fallback, nan, depth + 1)
    except Mismatch as error:
        error.path.append(step)
        raise


def text(value: str) -> str:
    """Return a str that UTF-8 can hold."""
    value = str.__str__(value)  # what it holds, as orjson: a class of its own may say something else
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Mismatch("string that UTF-8 can hold (this has a lone surrogate)", value) from None
    return value


def whole(value: int, fallback: Fallback) -> Any:
    """Return an int; JSON has them of any size, as Python writes them."""
    if -(2**63) <= value < 2**64:
        return int(value)
    return fallback.large(digits(value))


def digits(value: int) -> str:
    """Return the text of an int of any size that Python writes."""
    try:
        return int.__repr__(value)
    except ValueError:
        raise Mismatch(f"int of at most {sys.get_int_max_str_digits()} digits", hex(value)) from None


def key_text(key: Any, fallback: Fallback, nan: str) -> str:
    """Return the text of a key: what its value is as a value, without quotes."""
    if isinstance(key, enum.Enum):
        return key_text(key.value, fallback, nan)
    if isinstance(key, str):
        return text(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int):
        return digits(key)
    if isinstance(key, float):
        if math.isfinite(key):
            return float.__repr__(key)
        if nan == "error":
            raise Mismatch("finite number as a key (nan='null' writes null)", key)
        return "null"
    if isinstance(key, uuid.UUID):
        return str(key)
    try:
        known = fallback(key)
    except (TypeError, ValueError):
        known = ()
    if known is None or isinstance(known, (str, int, float)):
        return key_text(known, fallback, nan)
    raise Mismatch("a key that JSON can hold", key)


def brought_down(value: Any, fallback: Fallback, nan: str) -> Any:
    """Bring a whole object to what JSON knows."""
    try:
        return plain(value, fallback, nan, 0)
    except RecursionError:
        raise Mismatch("a value that is not nested so deep", value) from None
