"""An item of a view as a Python object, for errors and types without a native path; what an object is, what a mapping holds."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromObject, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Items
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t, uintptr_t
from libc.string cimport memcpy, strcmp, strncmp

from twolane._units cimport DAY_NS, MS_NS, S_NS
from twolane.batch cimport Span
from twolane.encoding.columns.array_view cimport (
    NO_MEMBER, Layout, LogicalType, ArrayView, bool_at, float_at, index_at, int_at, is_valid, item_at, list_size, list_start,
    span_of, ucs4_units, union_child, union_item,
)

from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np

from twolane._units import UNIT_NS
from twolane.encoding.avro.schema import MISSING
from twolane.encoding.mismatch import Mismatch
from twolane.encoding.time.zones import instant_of, is_utc, seconds_ahead

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        const char* tp_name
    PyTypeObject* type_of "Py_TYPE"(object value)

cdef object MASKED = np.ma.masked
cdef object EPOCH = datetime(1970, 1, 1)
cdef object datetime64 = np.datetime64
cdef object timedelta64 = np.timedelta64
cdef object INTEGER = np.integer
cdef object FLOATING = np.floating
cdef tuple NO_INTEGER = (bool, np.timedelta64)
cdef object ZERO_DAY = date(1970, 1, 1).toordinal()

cdef dict NAMES = {
    <int>Layout.UNREADABLE: "a type that cannot be read", <int>Layout.NULLS: "null", <int>Layout.BIT: "bool",
    <int>Layout.BYTE_BOOL: "bool", <int>Layout.INT8: "int8", <int>Layout.INT16: "int16", <int>Layout.INT32: "int32",
    <int>Layout.INT64: "int64", <int>Layout.UINT8: "uint8", <int>Layout.UINT16: "uint16", <int>Layout.UINT32: "uint32",
    <int>Layout.UINT64: "uint64", <int>Layout.FLOAT16: "float16", <int>Layout.FLOAT32: "float32", <int>Layout.FLOAT64: "float64",
    <int>Layout.FIXED: "fixed-size bytes", <int>Layout.PADDED: "bytes", <int>Layout.UCS4: "string", <int>Layout.BINARY32: "bytes",
    <int>Layout.BINARY64: "bytes", <int>Layout.BINARY_VIEW: "bytes", <int>Layout.DICTIONARY: "dictionary", <int>Layout.LIST32: "list",
    <int>Layout.LIST64: "list", <int>Layout.LIST_VIEW32: "list", <int>Layout.LIST_VIEW64: "list", <int>Layout.FIXED_LIST: "list",
    <int>Layout.SUBARRAY: "list", <int>Layout.STRUCT: "struct", <int>Layout.MAP: "map",
    <int>Layout.UNION_DENSE: "union", <int>Layout.UNION_SPARSE: "union",
}
cdef dict MEANINGS = {
    <int>LogicalType.TEXT: "string", <int>LogicalType.TIMESTAMP: "timestamp", <int>LogicalType.DATE: "date", <int>LogicalType.TIME: "time",
    <int>LogicalType.DURATION: "duration", <int>LogicalType.DECIMAL: "decimal", <int>LogicalType.MONTHS: "interval",
    <int>LogicalType.UUID: "uuid", <int>LogicalType.INTEGER: "integers of 128 bits",
}


cdef str type_name(const ArrayView* view):
    """Return what error messages call a column's type."""
    if view.layout == Layout.DICTIONARY:
        return f"dictionary of {type_name(view.dictionary)}"
    if view.unread != NULL:
        return f"{(<bytes>view.unread).decode('utf-8', 'replace')}, which cannot be read (cast it to what its values mean)"
    return MEANINGS.get(<int>view.logical) or NAMES[<int>view.layout]


class ColumnBytes(bytes):
    """Bytes of a column that does not say whether they are text, as numpy's never do: they may stand for a string."""

    __slots__ = ()


cdef object time_at(const ArrayView* view, Py_ssize_t i):
    """Return a date, datetime64, time or timedelta; for what Python's own types do not reach, numpy's or an int of ticks."""
    cdef object ticks = int_at(view, i)       # an object: what follows may exceed 64 bits
    cdef object tick_ns = view.tick_ns
    try:
        if view.logical == LogicalType.DATE:
            return date.fromordinal(ZERO_DAY + ticks * tick_ns // DAY_NS)
        if view.logical == LogicalType.TIME:
            return (EPOCH + timedelta(microseconds=ticks * tick_ns // 1000)).time()
        if view.logical == LogicalType.DURATION:
            return timedelta(microseconds=ticks * tick_ns // 1000)
    except (OverflowError, ValueError):
        if view.logical == LogicalType.TIME:
            return ticks
    if view.zoned and view.logical == LogicalType.TIMESTAMP:
        value = instant_of(ticks, tick_ns, <object>view.zone)
        if value is None:
            raise Mismatch("a time of the years 1 to 9999, for its zone to be asked", ticks)
        return value
    # datetime64 keeps the column's unit, and like the column it says nothing of a zone.
    for unit, ns in UNIT_NS.items():
        if tick_ns % ns == 0:
            return (timedelta64 if view.logical == LogicalType.DURATION else datetime64)(ticks, f"{tick_ns // ns}{unit}")
    return ticks


cdef object ucs4_object(const ArrayView* view, Py_ssize_t i):
    """Return a str; bytes if they are no code points. Lone surrogates stay, so that the encoder can refuse it."""
    cdef const uint8_t* at = item_at(view, i)
    value = PyBytes_FromStringAndSize(<const char*>at, 4 * ucs4_units(view, at))
    try:
        return value.decode("utf-32-be" if view.swapped == np.little_endian else "utf-32-le", "surrogatepass")
    except UnicodeDecodeError:
        return value


cdef object span_object(const ArrayView* view, Py_ssize_t i):
    cdef Span span = span_of(view, i)
    cdef int32_t parts[4]
    cdef int64_t nanos = 0
    value = PyBytes_FromStringAndSize(<const char*>span.data, span.size) if span.size else b""
    if view.logical == LogicalType.TEXT:
        return value.decode("utf-8", "surrogateescape")
    if view.logical == LogicalType.DECIMAL:
        number = int.from_bytes(value, "little", signed=True)
        return Decimal((number < 0, tuple(map(int, str(abs(number)))), -view.scale))
    if view.logical == LogicalType.UUID:
        return UUID(bytes=value)
    if view.logical == LogicalType.INTEGER:
        return int.from_bytes(value, "little", signed=view.precision == 0)
    if view.logical == LogicalType.MONTHS:
        memcpy(parts, span.data, min(span.size, 16))
        if span.size == 4:
            return parts[0], 0, 0
        if span.size == 8:
            return 0, parts[0], parts[1]
        memcpy(&nanos, <const char*>span.data + 8, 8)
        return parts[0], parts[1], nanos // MS_NS
    return ColumnBytes(value)


cpdef list entries_of(object mapping):
    """Return the keys and values of a mapping, a dict's as they were at one moment.

    ``list(items())`` may run a garbage collection between two entries, and with it code that changes the dict.
    """
    return PyDict_Items(mapping) if type(mapping) is dict else list(mapping.items())


cdef object object_at(const ArrayView* view, Py_ssize_t i):
    """Return item ``i`` as a Python object, a copy; None for a null, Mismatch if it cannot be read. The GIL is held."""
    cdef Py_ssize_t j, first
    cdef const ArrayView* child
    cdef ArrayView inside
    cdef Layout layout = view.layout
    if not is_valid(view, i):
        return None
    if layout == Layout.DICTIONARY:
        return object_at(view.dictionary, index_at(view, i))
    if layout == Layout.UNREADABLE:
        raise Mismatch(f"a type that can be read, got {type_name(view)}", MISSING)
    if layout == Layout.UNION_DENSE or layout == Layout.UNION_SPARSE:
        j = union_child(view, i)
        if j == NO_MEMBER:
            raise Mismatch("one of the types that the union has", MISSING)
        return object_at(&view.children[j], union_item(view, i))
    if layout == Layout.BIT or layout == Layout.BYTE_BOOL:
        return bool(bool_at(view, i))
    if layout == Layout.UCS4:
        return ucs4_object(view, i)
    if layout == Layout.STRUCT:
        result = {}
        for j in range(view.n_children):
            child = &view.children[j]
            result[(<bytes>child.name).decode()] = object_at(child, view.offset + i)
        return result
    if layout == Layout.SUBARRAY:
        inside = view.children[0]
        inside.data = item_at(view, i)
        return [object_at(&inside, j) for j in range(view.width)]
    if layout >= Layout.LIST32:
        first = list_start(view, i)
        child = view.children
        if layout != Layout.MAP:
            return [object_at(child, first + j) for j in range(list_size(view, i))]
        return dict([
            (object_at(child.children, child.offset + first + j), object_at(child.children + 1, child.offset + first + j))
            for j in range(list_size(view, i))
        ])
    if view.logical in (LogicalType.TIMESTAMP, LogicalType.DATE, LogicalType.TIME, LogicalType.DURATION):
        return time_at(view, i)
    if Layout.FLOAT16 <= layout <= Layout.FLOAT64:
        return float_at(view, i)
    if layout == Layout.UINT64:
        return <uint64_t>int_at(view, i)
    if layout <= Layout.UINT64:
        return int_at(view, i)
    return span_object(view, i)


cdef bint is_integer(object value) except -1:
    """Return whether it is an int, Python's or numpy's: not a bool or a timedelta64, which are derived from those."""
    return isinstance(value, (int, INTEGER)) and not isinstance(value, NO_INTEGER)


cdef bytes bytes_of(object value):
    """Return the bytes of a buffer of bytes, strided or not; None for anything else, and for a memoryview that was released.

    Of a class derived from bytes what it holds, whatever its own ``__bytes__`` says: spans show that too.
    """
    if type(value) is bytes:
        return value
    if isinstance(value, bytes):
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    if isinstance(value, (bytearray, memoryview)):
        try:
            return PyBytes_FromObject(value)
        except ValueError:
            return None
    return None


cpdef bint is_missing(object value) except -1:
    """Return whether it says that there is no value: None, NaT and NA of pandas, NaT and masked of numpy, a null scalar of Arrow.

    The one place that knows. A class is known by its name: pandas and Arrow need not be installed.
    """
    cdef const char* name
    if value is None:
        return True
    name = type_of(value).tp_name
    if name[0] == c"N" and (strcmp(name, b"NaTType") == 0 or strcmp(name, b"NAType") == 0):
        return type(value).__module__.startswith("pandas.")
    if name[0] == c"n" and isinstance(value, (datetime64, timedelta64)):
        return bool(np.isnat(value))
    if name[0] == c"p" and strncmp(name, b"pyarrow.", 8) == 0:
        return getattr(value, "is_valid", True) is False
    return value is MASKED


cpdef bint is_missing_or_nan(object value) except -1:
    """Return whether it says that there is no value where none can be NaN, as in texts, bytes and integers.

    pandas has NaN for what is missing in a column of texts, and for what is missing among integers.
    """
    if isinstance(value, (float, FLOATING)):
        return value != value
    return is_missing(value)


cdef bint has_zone(const ArrayView* view) except -1:
    """Return whether it is, or holds, a column of instants in a zone other than UTC."""
    cdef Py_ssize_t i
    if view.zoned:
        return not is_utc(<object>view.zone)
    if view.dictionary != NULL and has_zone(view.dictionary):
        return True
    for i in range(view.n_children):
        if has_zone(&view.children[i]):
            return True
    return False


cdef object ticks_of(const ArrayView* view):
    """Return the ticks of every item as an array of int64; 0 for a null."""
    cdef Py_ssize_t i
    cdef int64_t* out
    ticks = np.zeros(view.length, np.int64)
    out = <int64_t*><uintptr_t>ticks.__array_interface__["data"][0]
    for i in range(view.length):
        if is_valid(view, i):
            out[i] = int_at(view, i)
    return ticks


cdef object ahead_of(const ArrayView* view):
    """Return by how many seconds each item's clock is ahead of UTC: an array of int64; None where one lies beyond the years 1 to 9999."""
    return seconds_ahead(ticks_of(view), view.tick_ns, <object>view.zone)


cdef bint turn_to_wall(ArrayView* view, list keep) except -1:
    """Make instants what the clocks of their zone show; False where one lies beyond the years 1 to 9999."""
    if is_utc(<object>view.zone):
        return True
    ahead = ahead_of(view)
    if ahead is None:
        return False
    walls = ticks_of(view) + ahead * (S_NS // view.tick_ns)
    keep.append(walls)
    view.stride = 8
    view.swapped = False
    view.data = <const uint8_t*><uintptr_t>walls.__array_interface__["data"][0] - view.offset * 8
    return True


cdef int narrow(ArrayView* view, list kept) except -1:
    """Make integers of 128 bits some of 64, if all fit: most do, and then everything takes them."""
    cdef int64_t parts[2]
    cdef int64_t* out
    cdef Py_ssize_t i
    kept.append(bytes(view.length * 8))
    out = <int64_t*>PyBytes_AS_STRING(kept[-1])
    for i in range(view.length):
        if is_valid(view, i):
            memcpy(parts, view.data + (view.offset + i) * 16, 16)       # low and high
            if parts[1] != (-1 if parts[0] < 0 else 0) or (parts[1] < 0 and view.precision):
                kept.pop()
                return 0
            out[i] = parts[0]
    view.layout = Layout.INT64
    view.logical = LogicalType.PLAIN
    view.width = view.stride = 8
    view.data = <const uint8_t*>out - view.offset * 8
    return 0
