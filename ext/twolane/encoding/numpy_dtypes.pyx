"""What numpy's dtypes are as vectors: kind, meaning, width, and the fields and items below."""
from libc.stdint cimport uint8_t, uintptr_t

from twolane.encoding.vectors cimport Kind, Meaning, Vector

import numpy as np

from twolane.errors import SerializationError

cdef dict UNIT_NS = {
    "W": 604_800_000_000_000, "D": 86_400_000_000_000, "h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000,
    "ms": 1_000_000, "us": 1_000, "ns": 1,
}
cdef dict FINER = {"ps": 1_000, "fs": 1_000_000, "as": 1_000_000_000}


cdef object refused(str name, str reason):
    return SerializationError(reason, field=name or None)


cdef Py_ssize_t count_fields(object dtype) except -1:
    """How many vectors lie below a numpy dtype."""
    cdef Py_ssize_t total = 0
    if dtype.subdtype is not None:
        return 1 + count_fields(dtype.subdtype[0])
    for field in dtype.names or ():
        total += 1 + count_fields(dtype.fields[field][0])
    return total


cdef Kind plain_kind(char typekind, int width) noexcept nogil:
    """Of numpy's numbers, booleans and strings; UNREADABLE for all else. GIL: not needed."""
    if typekind == c"i":
        return Kind.INT64 if width == 8 else Kind.INT32 if width == 4 else Kind.INT16 if width == 2 else Kind.INT8
    if typekind == c"u":
        return Kind.UINT64 if width == 8 else Kind.UINT32 if width == 4 else Kind.UINT16 if width == 2 else Kind.UINT8
    if typekind == c"f" and width <= 8:
        return Kind.FLOAT64 if width == 8 else Kind.FLOAT32 if width == 4 else Kind.FLOAT16
    if typekind == c"M" or typekind == c"m":
        return Kind.INT64
    return (
        Kind.BYTE_BOOL if typekind == c"b" else Kind.PADDED if typekind == c"S" else Kind.UCS4 if typekind == c"U"
        else Kind.UNREADABLE
    )


cdef int read_dtype(Vector* vector, object dtype, str name, Vector* pool, list keep) except -1:
    """Kind, meaning and width from a numpy dtype; vectors below it are taken from ``pool``."""
    cdef Py_ssize_t i
    cdef Vector* rest
    kind = dtype.kind
    vector.width = dtype.itemsize
    vector.swapped = dtype.byteorder == (">" if np.little_endian else "<")
    if dtype.subdtype is not None:
        item, shape = dtype.subdtype
        if len(shape) != 1:
            raise refused(name, f"expected fields of at most one dimension, got shape {shape}")
        vector.kind = Kind.SUBARRAY
        vector.width = shape[0]
        vector.children = pool
        vector.n_children = 1
        vector.children[0].stride = item.itemsize
        vector.children[0].length = shape[0]
        read_dtype(vector.children, item, name, pool + 1, keep)
    elif dtype.names is not None:
        vector.kind = Kind.STRUCT
        vector.children = pool
        vector.n_children = len(dtype.names)
        rest = pool + vector.n_children
        for i, field in enumerate(dtype.names):
            item, place = dtype.fields[field][:2]
            encoded = field.encode()
            keep.append(encoded)
            vector.children[i].name = encoded
            # Children of a record lie inside it: the place is added to the address once that is known.
            vector.children[i].data = <const uint8_t*><uintptr_t>place
            read_dtype(&vector.children[i], item, f"{name}.{field}", rest, keep)
            rest += count_fields(item)
    elif kind == "V":
        vector.kind = Kind.FIXED
    elif kind in "mM":
        unit, count = np.datetime_data(dtype)
        if unit not in UNIT_NS:
            raise refused(name, f"expected a unit from weeks to nanoseconds, got {dtype}")
        vector.kind = Kind.INT64
        vector.tick_ns = UNIT_NS[unit] * count
        vector.meaning = Meaning.DURATION if kind == "m" else Meaning.DATE if unit in "WD" else Meaning.TIMESTAMP
    else:
        vector.kind = plain_kind(<char>ord(kind), dtype.itemsize)
    return 0


cdef int place_fields(Vector* vector) except -1:
    """Give the fields of a record their addresses and strides, once the record has its own."""
    cdef Py_ssize_t i
    if vector.kind == Kind.STRUCT:
        for i in range(vector.n_children):
            vector.children[i].data = vector.data + <uintptr_t>vector.children[i].data
            vector.children[i].stride = vector.stride
            vector.children[i].length = vector.length
            place_fields(&vector.children[i])
    elif vector.kind == Kind.SUBARRAY and vector.children[0].kind in (Kind.STRUCT, Kind.SUBARRAY):
        raise SerializationError("expected numpy subarrays of plain items")
    return 0


cdef object days_of(object times):
    """Datetime64 of years or months, an array or one, as days.

    Numpy's own conversion wraps around; here what lies beyond a quadrillion is cut to that, which no record holds either.
    """
    unit, count = np.datetime_data(times.dtype)
    most = 10**15 // count
    ticks = np.where(np.isnat(times), times.astype(np.int64), np.clip(times.astype(np.int64), -most, most))
    return ticks.view(f"datetime64[{count}{unit}]").astype("datetime64[D]")[()]


cdef object coarser(object array, str name):
    """Bring datetime64 of years, months or less than a nanosecond to a unit that vectors know, rounding down."""
    kind = array.dtype.kind
    unit, count = np.datetime_data(array.dtype)
    if unit in ("Y", "M") and kind == "M":
        return days_of(array)
    if unit in FINER:
        per_ns = FINER[unit]
        ticks = array.astype(np.int64)
        # NaT is the lowest int64 and has to stay it.
        whole = np.where(np.isnat(array), ticks, ticks * count // per_ns if count > 1 else ticks // per_ns)
        return whole.view(f"{kind}8[ns]")
    return array
