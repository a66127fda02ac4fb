"""Python objects of the plainest types as a view: what a list of ints, floats, texts, lists or dicts would be in Arrow.

Types are looked at exactly: whatever is of another one is left to google.protobuf, which takes it or refuses it. Values are not
checked here: the plan does that, as for any column. The encoder owns what a view points at, and counts it.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t, uintptr_t

from twolane._units cimport US_NS
from twolane.encoding.column_encoder cimport ColumnEncoder
from twolane.encoding.memory.arena cimport Arena, append, make_room
from twolane.encoding.memory.utf8 cimport most_utf8, put_str
from twolane.encoding.columns.array_view cimport Layout, LogicalType, ArrayView
from twolane.encoding.columns.objects cimport entries_of
from twolane.encoding.time.timestamps cimport datetime_micros

from datetime import UTC, datetime, timedelta

import numpy as np

from twolane.errors import TimestampError

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1


cdef enum:
    MAX_DEPTH = 64          # of messages in each other, as in Arrow; what is deeper is left to google.protobuf
cdef object MICROSECOND = timedelta(microseconds=1)
cdef str KNOWN = "google.protobuf."
WRAPPERS = frozenset([KNOWN + kind + "Value" for kind in (
    "Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")])
# Messages that a dict, a list or a text is the value of.
cdef frozenset JSON_LIKE = frozenset([KNOWN + kind for kind in ("Struct", "Value", "ListValue")])


cdef int64_t* numbers_for(Py_ssize_t n, ColumnEncoder encoder) except NULL:
    """Make room for ``n`` numbers of eight bytes."""
    encoder.spend(8 * n)
    numbers = np.empty(n, np.int64)
    encoder.owners.append(numbers)
    return <int64_t*><uintptr_t>numbers.__array_interface__["data"][0]


cdef uint8_t* zeros_for(Py_ssize_t size, ColumnEncoder encoder) except NULL:
    """Make room for bytes, all zero."""
    encoder.spend(size)
    cdef bytes block = bytes(size)
    encoder.owners.append(block)
    return <uint8_t*>PyBytes_AS_STRING(block)


cdef bint lay_out(ArrayView* view, object field, tuple objects, ColumnEncoder encoder, int depth) except -1:
    """Fill the view with a field's values, of which None is null; False where one is of another type than its like."""
    cdef Py_ssize_t i, n_nulls = 0
    cdef uint8_t* bits
    if depth > MAX_DEPTH:
        return False
    view.length = len(objects)
    for one in objects:
        n_nulls += one is None
    if n_nulls == view.length:
        view.layout = Layout.NULLS
        return True
    if n_nulls:
        view.validity = bits = zeros_for((view.length + 7) >> 3, encoder)
        for i in range(view.length):
            bits[i >> 3] |= <uint8_t>((objects[i] is not None) << (i & 7))
    if field.repeated:
        return lay_out_lists(view, field, objects, encoder, depth)
    return lay_out_items(view, field, objects, encoder, depth)


cdef bint lay_out_items(ArrayView* view, object field, tuple objects, ColumnEncoder encoder, int depth) except -1:
    """Do the same for a field that is not repeated, or for the items of one that is."""
    cdef object message = field.message
    cdef str kind = field.kind
    first = None
    for first in objects:
        if first is not None:
            break
    if message is not None:
        if type(first) is dict and message.name not in JSON_LIKE:
            return lay_out_dicts(view, message, objects, encoder, depth + 1)
        if type(first) is datetime or type(first) is timedelta:
            return lay_out_times(view, message, type(first), objects, encoder)
        if message.name not in WRAPPERS:
            return False
        kind = message.fields[0].kind
    if type(first) is bool:
        return lay_out_booleans(view, objects, encoder)
    if kind == "double" or kind == "float":
        return lay_out_floats(view, objects, encoder)
    if type(first) is int:
        return lay_out_integers(view, objects, encoder)
    # Bytes of Python's are no text.
    return type(first) is (bytes if kind == "bytes" else str) and lay_out_texts(view, type(first), objects, encoder)


cdef bint lay_out_booleans(ArrayView* view, tuple objects, ColumnEncoder encoder) except -1:
    cdef uint8_t* flags = zeros_for(view.length, encoder)
    cdef Py_ssize_t i
    for i in range(view.length):
        if objects[i] is True:
            flags[i] = 1
        elif objects[i] is not False and objects[i] is not None:
            return False
    view.layout = Layout.BYTE_BOOL
    view.stride = view.width = 1
    view.data = flags
    return True


cdef bint lay_out_floats(ArrayView* view, tuple objects, ColumnEncoder encoder) except -1:
    cdef double* numbers = <double*>numbers_for(view.length, encoder)
    cdef Py_ssize_t i
    for i in range(view.length):
        one = objects[i]
        if type(one) is float:
            numbers[i] = one
        elif type(one) is int:
            try:
                numbers[i] = float(one)
            except OverflowError:
                return False
        elif one is not None:
            return False
    view.layout = Layout.FLOAT64
    view.stride = view.width = 8
    view.data = <const uint8_t*>numbers
    return True


cdef bint lay_out_integers(ArrayView* view, tuple objects, ColumnEncoder encoder) except -1:
    """Lay out integers of 64 bits, with a sign or all without."""
    cdef int64_t* numbers = numbers_for(view.length, encoder)
    cdef bint negative = False, unsigned = False
    cdef int overflow = 0
    cdef Py_ssize_t i
    for i in range(view.length):
        one = objects[i]
        if type(one) is int:
            numbers[i] = PyLong_AsLongLongAndOverflow(one, &overflow)
            if overflow:
                if not 0 <= one < 2**64:
                    return False
                numbers[i] = <int64_t><uint64_t>one
                unsigned = True
            elif numbers[i] < 0:
                negative = True
        elif one is not None:
            return False
    view.layout = Layout.UINT64 if unsigned else Layout.INT64
    view.stride = view.width = 8
    view.data = <const uint8_t*>numbers
    return not (unsigned and negative)


cdef bint lay_out_times(ArrayView* view, object message, object kind, tuple objects, ColumnEncoder encoder) except -1:
    """Lay out datetimes with a zone, or timedeltas, in microseconds."""
    cdef int64_t* micros = numbers_for(view.length, encoder)
    cdef bint is_instant = kind is datetime
    cdef Py_ssize_t i
    if message.name != KNOWN + ("Timestamp" if is_instant else "Duration"):
        return False
    for i in range(view.length):
        one = objects[i]
        if type(one) is kind:
            try:
                micros[i] = datetime_micros(one, None) if is_instant else one // MICROSECOND
            except (TimestampError, OverflowError):
                return False
        elif one is not None:
            return False
    view.layout = Layout.INT64
    view.logical = LogicalType.TIMESTAMP if is_instant else LogicalType.DURATION
    view.zoned = is_instant
    view.zone = <const void*>UTC
    view.tick_ns = US_NS
    view.stride = view.width = 8
    view.data = <const uint8_t*>micros
    return True


cdef bint lay_out_texts(ArrayView* view, object kind, tuple objects, ColumnEncoder encoder) except -1:
    """Lay out str, or bytes, one behind the other."""
    cdef Arena arena = Arena.__new__(Arena)
    cdef bint is_text = kind is str
    cdef Py_ssize_t i
    cdef uint8_t* end
    encoder.spend(8 * view.length)
    arena.start(view.length)
    for i in range(view.length):
        one = objects[i]
        if type(one) is kind:
            if is_text:
                make_room(&arena.out, most_utf8(<PyObject*>one))
                end = put_str(arena.out.data + arena.out.size, <PyObject*>one)
                if end == NULL:
                    return False
                arena.out.size = end - arena.out.data
            else:
                append(&arena.out, PyBytes_AS_STRING(one), PyBytes_GET_SIZE(one))
            encoder.spend(arena.out.size - arena.offsets[i])
        elif one is not None:
            return False
        arena.offsets[i + 1] = arena.out.size
    encoder.owners.append(arena)
    view.layout = Layout.BINARY64
    view.logical = LogicalType.TEXT if is_text else LogicalType.PLAIN
    view.offsets = arena.offsets
    view.data = <const uint8_t*>b""
    if arena.out.data != NULL:
        view.data = arena.out.data
    return True


cdef ArrayView* children_for(ArrayView* view, list names, ColumnEncoder encoder) except NULL:
    """Make room for children of these names."""
    cdef Py_ssize_t i
    view.n_children = len(names)
    view.children = <ArrayView*>zeros_for(view.n_children * sizeof(ArrayView), encoder)
    encoder.owners.append(names)
    for i in range(view.n_children):
        view.children[i].name = PyBytes_AS_STRING(names[i])
    return view.children


cdef bint lay_out_dicts(ArrayView* view, object message, tuple objects, ColumnEncoder encoder, int depth) except -1:
    """Lay out dicts with keys that the message has fields for, as structs."""
    cdef dict fields = {field.name: field for field in message.fields}
    cdef list names = []
    cdef list columns = []
    cdef Py_ssize_t i
    encoder.spend(8 * view.length * len(fields))
    for one in objects:
        if one is not None and (type(one) is not dict or not one.keys() <= fields.keys()):
            return False
    for name in fields:
        names.append(name.encode())
        columns.append(tuple([None if one is None else one.get(name) for one in objects]))
    view.layout = Layout.STRUCT
    children_for(view, names, encoder)
    for i, field in enumerate(fields.values()):
        if not lay_out(&view.children[i], field, columns[i], encoder, depth):
            return False
    return True


cdef bint lay_out_lists(ArrayView* view, object field, tuple objects, ColumnEncoder encoder, int depth) except -1:
    """Lay out lists and tuples; for a map dicts, as lists of structs of a key and a value."""
    cdef bint is_map = field.message is not None and field.message.is_map
    cdef int64_t* offsets = numbers_for(view.length + 1, encoder)
    cdef ArrayView* entries
    cdef list items = []
    cdef Py_ssize_t i
    offsets[0] = 0
    for i in range(view.length):
        one = objects[i]
        if is_map and type(one) is dict:
            items.extend(entries_of(one))
        elif not is_map and (type(one) is list or type(one) is tuple):
            items.extend(one)
        elif one is not None:
            return False
        offsets[i + 1] = len(items)
        encoder.spend(16 * (offsets[i + 1] - offsets[i]))
    view.layout = Layout.LIST64
    view.offsets = offsets
    if not is_map:
        return lay_out_whole(children_for(view, [b"item"], encoder), field, tuple(items), encoder, depth)
    entries = children_for(view, [b"entries"], encoder)
    entries.layout = Layout.STRUCT
    entries.length = len(items)
    children_for(entries, [b"key", b"value"], encoder)
    for i, part in enumerate(field.message.fields):
        if not lay_out_whole(&entries.children[i], part, tuple([entry[i] for entry in items]), encoder, depth):
            return False
    return True


cdef bint lay_out_whole(ArrayView* view, object field, tuple objects, ColumnEncoder encoder, int depth) except -1:
    """Lay out items, none of which may be null."""
    view.length = len(objects)
    for one in objects:
        if one is None:
            return False
    if not objects:
        view.layout = Layout.NULLS
        return True
    return lay_out_items(view, field, objects, encoder, depth)
