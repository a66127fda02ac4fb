# cython: cdivision=True
"""Columns to JSON without the GIL: an object per row of a table, a value per item of a column (RFC 8259, UTF-8, no blanks).

``cdivision`` is on: all divisions here are of values that are not negative by constants that are not zero, but for those of
ticks, which go through floor_div().
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.math cimport isfinite
from libc.stdint cimport SIZE_MAX, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy
cimport cython

from twolane._units cimport DAY_NS, S_NS
from twolane.batch cimport EncodedBatch, Span
from twolane.encoding.column_encoder cimport ColumnEncoder
from twolane.encoding.memory.arena cimport Arena, has_room_onwards, put_bytes
from twolane.encoding.columns.table cimport Column
from twolane.encoding.memory.digits cimport put_pair, put_signed, put_unsigned, put_uuid
from twolane.encoding.json.objects cimport dump_objects
from twolane.encoding.json.text cimport (
    put_base64, put_clock, put_day, put_scaled, put_text, put_ucs4_text, put_wide,
)
from twolane.encoding.columns.objects cimport ahead_of, has_zone, kind_name
from twolane.encoding.json.shortest cimport put_shortest, put_shortest_single
from twolane.encoding.memory.utf8 cimport is_utf8, ucs4_is_text
from twolane.encoding.columns.vectors cimport (
    NO_MEMBER, Layout, LogicalType, ArrayView, bool_at, float_at, has_value, index_at, int_at, is_valid, item_at, list_size, list_start,
    plain_span_at, union_child, union_item,
)

import numpy as np

from twolane.errors import SerializationError

cdef enum:
    BLOCK = 64
    SLACK = 16              # moves of a fixed size reach so far beyond what counts, in keys and in the arena
    NUMBER = 36
    INSTANT = 44


cdef struct Field:
    const uint8_t* key      # '{"name":' or ',"name":'
    Py_ssize_t key_size
    bint raw                # JSON already
    ArrayView vector


cdef inline int64_t floor_div(int64_t value, int64_t by) noexcept nogil:
    """Towards minus infinity; ``by`` is positive. GIL: not needed."""
    return value // by - (value % by < 0)


cdef uint8_t* put_time(const ArrayView* vector, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Dates, times and instants in quotes. GIL: not needed."""
    cdef int64_t ticks = int_at(vector, i)
    cdef int64_t per_day, days, ahead = 0
    at[0] = c'"'
    at += 1
    if vector.meaning == LogicalType.TIME:
        at = put_clock(at, ticks * vector.tick_ns)
    else:
        if vector.zoned and vector.sizes != NULL:
            ahead = (<const int64_t*>vector.sizes)[vector.offset + i]
            ticks += ahead * (S_NS // vector.tick_ns)
        if vector.tick_ns >= DAY_NS:
            days = ticks * (vector.tick_ns // DAY_NS)
            ticks = 0
        else:
            per_day = DAY_NS // vector.tick_ns
            days = floor_div(ticks, per_day)
            ticks -= days * per_day
        at = put_day(at, days)
        if vector.meaning == LogicalType.TIMESTAMP:
            at[0] = c"T"
            at = put_clock(at + 1, ticks * vector.tick_ns)
            if vector.zoned:
                at = put_offset(at, ahead)
    at[0] = c'"'
    return at + 1


cdef uint8_t* put_offset(uint8_t* at, int64_t ahead) noexcept nogil:
    """How far a clock is ahead of UTC, as ISO 8601 has it. GIL: not needed."""
    cdef int64_t size = ahead if ahead >= 0 else -ahead
    at[0] = c"+" if ahead >= 0 else c"-"
    at = put_pair(at + 1, <uint32_t>(size // 3600))
    at[0] = c":"
    at = put_pair(at + 1, <uint32_t>(size // 60 % 60))
    if size % 60:
        at[0] = c":"
        at = put_pair(at + 1, <uint32_t>(size % 60))
    return at


cdef uint8_t* put_null(uint8_t* at) noexcept nogil:
    memcpy(at, b"null", 4)
    return at + 4


cdef inline uint8_t* put_bool(uint8_t* at, bint value) noexcept nogil:
    """Five bytes are written; of "true" four count. GIL: not needed."""
    memcpy(at, b"true" if value else b"false", 5)
    return at + 5 - value


cdef uint8_t* put_nested(const ArrayView* vector, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Lists, structs and maps. GIL: not needed."""
    cdef Py_ssize_t j, first, n
    cdef const ArrayView* child = vector.children
    cdef const char* name
    cdef ArrayView inside
    cdef uint8_t opening = c"["
    cdef uint8_t closing = c"]"
    if vector.kind == Layout.STRUCT or vector.kind == Layout.MAP:
        opening = c"{"
        closing = c"}"
    at[0] = opening
    at += 1
    if vector.kind == Layout.STRUCT:
        n = vector.n_children
        for j in range(n):
            name = vector.children[j].name
            at = put_text(at, <const uint8_t*>name, length(name))
            at[0] = c":"
            at = put_value(&vector.children[j], vector.offset + i, at + 1)
            at[0] = c","
            at += 1
    else:
        n = list_size(vector, i)
        if vector.kind == Layout.SUBARRAY:
            inside = vector.children[0]
            inside.data = item_at(vector, i)
            child = &inside
            first = 0
        else:
            first = list_start(vector, i)
        for j in range(first, first + n):
            if vector.kind == Layout.MAP:
                at = put_value(&child.children[0], child.offset + j, at)
                at[0] = c":"
                at = put_value(&child.children[1], child.offset + j, at + 1)
            else:
                at = put_value(child, j, at)
            at[0] = c","
            at += 1
    if n > 0:
        at -= 1
    at[0] = closing
    return at + 1


cdef extern from "string.h" nogil:
    size_t length "strlen"(const char* text)


cdef uint8_t* put_rare(const ArrayView* vector, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write a value of a kind that put_value() leaves to others. GIL: not needed."""
    cdef double wide
    cdef Span span
    cdef Layout kind = vector.kind
    if kind == Layout.DICTIONARY:
        return put_value(vector.dictionary, index_at(vector, i), at)
    if LogicalType.TIMESTAMP <= vector.meaning <= LogicalType.TIME:
        return put_time(vector, i, at)
    if kind == Layout.UNION_DENSE or kind == Layout.UNION_SPARSE:
        return put_value(&vector.children[union_child(vector, i)], union_item(vector, i), at)
    if kind >= Layout.LIST32:
        return put_nested(vector, i, at)
    if kind == Layout.UCS4:
        return put_ucs4_text(at, vector, i)
    if kind == Layout.FLOAT32 or kind == Layout.FLOAT16:
        wide = float_at(vector, i)
        return <uint8_t*>put_shortest_single(<char*>at, <float>wide) if isfinite(wide) else put_null(at)
    if vector.meaning == LogicalType.DECIMAL:
        return put_scaled(at, item_at(vector, i), vector.width, vector.scale)
    if vector.meaning == LogicalType.INTEGER:
        span.data = item_at(vector, i)
        return put_wide(at, span.data, vector.width, 0, vector.precision == 0 and (span.data[vector.width - 1] & 0x80) != 0)
    if vector.meaning == LogicalType.UUID:
        at[0] = c'"'
        at = put_uuid(at + 1, item_at(vector, i))
        at[0] = c'"'
        return at + 1
    span = plain_span_at(vector, i)
    if vector.meaning == LogicalType.TEXT or kind == Layout.PADDED:
        return put_text(at, span.data, span.size)
    return put_base64(at, span.data, span.size)


cdef inline uint8_t* put_value(const ArrayView* vector, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write item ``i``, give the place behind it. GIL: not needed.

    What most columns are made of stands here, for the row loop to have it inline.
    """
    cdef double wide
    cdef Span span
    cdef Layout kind = vector.kind
    if not is_valid(vector, i):
        return put_null(at)
    if vector.meaning == LogicalType.PLAIN:
        if kind == Layout.BIT or kind == Layout.BYTE_BOOL:
            return put_bool(at, bool_at(vector, i))
        if kind == Layout.FLOAT64:
            wide = float_at(vector, i)
            return <uint8_t*>put_shortest(<char*>at, wide) if isfinite(wide) else put_null(at)
        if kind == Layout.UINT64:
            return put_unsigned(at, <uint64_t>int_at(vector, i))
        if kind < Layout.FLOAT16:
            return put_signed(at, int_at(vector, i))
    elif vector.meaning == LogicalType.TEXT and kind == Layout.BINARY32:
        span = plain_span_at(vector, i)
        return put_text(at, span.data, span.size)
    return put_rare(vector, i, at)


cdef size_t room_for(const ArrayView* vector, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Bytes that items ``start`` to ``stop`` take at most. GIL: not needed."""
    cdef size_t total = <size_t>((stop - start) * INSTANT)
    cdef Layout kind = vector.kind
    cdef Py_ssize_t i, first, last
    if start >= stop:
        return 0
    if kind == Layout.DICTIONARY:
        for i in range(start, stop):
            if is_valid(vector, i):
                first = index_at(vector, i)
                total += room_for(vector.dictionary, first, first + 1)
    elif kind == Layout.UNION_DENSE or kind == Layout.UNION_SPARSE:
        for i in range(start, stop):
            first = union_item(vector, i)
            total += room_for(&vector.children[union_child(vector, i)], first, first + 1)
    elif kind == Layout.STRUCT:
        for i in range(vector.n_children):
            total += (stop - start) * (6 * length(vector.children[i].name) + 4)
            total += room_for(&vector.children[i], vector.offset + start, vector.offset + stop)
    elif kind == Layout.SUBARRAY:
        total += <size_t>((stop - start) * vector.width * (INSTANT + 1))
    elif kind == Layout.LIST_VIEW32 or kind == Layout.LIST_VIEW64:
        for i in range(start, stop):
            if is_valid(vector, i):
                first = list_start(vector, i)
                total += room_for(vector.children, first, first + list_size(vector, i)) + list_size(vector, i)
    elif kind >= Layout.LIST32:
        first = list_start(vector, start)
        last = list_start(vector, stop - 1) + list_size(vector, stop - 1)
        total += 2 * (last - first) + room_for(vector.children, first, last)
    elif kind == Layout.UCS4:
        total += <size_t>((stop - start) * vector.width * 2)        # six bytes for a character of four
    elif vector.meaning == LogicalType.DECIMAL:
        total += <size_t>((stop - start) * 90)
    elif kind == Layout.FIXED or kind == Layout.PADDED:
        total += <size_t>((stop - start) * vector.width * 6)
    elif kind == Layout.BINARY32 or kind == Layout.BINARY64 or kind == Layout.VIEWED:
        for i in range(start, stop):
            if is_valid(vector, i):
                total += 6 * plain_span_at(vector, i).size
    return total


cdef int check(const ArrayView* vector, object base64, object nan, str field, Py_ssize_t row) except -1:
    """Refuse what JSON cannot hold; ``row`` is the vector's first, or -1 where rows are not known (inside lists)."""
    cdef Py_ssize_t i, bad = -1
    cdef ArrayView child
    cdef int64_t low, high
    if vector.kind == Layout.DICTIONARY:
        return check(vector.dictionary, base64, nan, field, -1)
    if vector.kind == Layout.UNREADABLE or vector.meaning in (LogicalType.DURATION, LogicalType.MONTHS):
        raise SerializationError(f"expected a type that JSON can hold, got a column of {kind_name(vector)}", field=field)
    if vector.meaning in (LogicalType.TIMESTAMP, LogicalType.DATE, LogicalType.TIME):
        if vector.meaning == LogicalType.TIME:
            low, high = 0, DAY_NS // vector.tick_ns - 1
        else:
            if vector.tick_ns % DAY_NS and DAY_NS % vector.tick_ns:
                raise SerializationError("expected a unit of time that divides a day", field=field)
            low, high = year_range(vector.tick_ns)
        for i in range(vector.length):
            if not low <= int_at(vector, i) <= high and is_valid(vector, i):
                bad = i
                break
        if bad >= 0:
            raise SerializationError(
                "expected a time in the years 1 to 9999", index=row + bad if row >= 0 else None, field=field,
                value=int_at(vector, bad),
            )
    elif vector.kind == Layout.UCS4:
        if not ucs4_is_text(vector):
            raise SerializationError("expected strings that UTF-8 can hold", field=field)
    elif vector.kind == Layout.PADDED:
        for i in range(vector.length):
            if is_valid(vector, i) and not is_utf8(plain_span_at(vector, i).data, plain_span_at(vector, i).size):
                raise SerializationError(
                    "expected UTF-8", index=row + i if row >= 0 else None, field=field,
                    value=<bytes>plain_span_at(vector, i).data[:plain_span_at(vector, i).size],
                )
    elif vector.kind in (Layout.FIXED, Layout.BINARY32, Layout.BINARY64, Layout.VIEWED):
        if vector.meaning not in (LogicalType.TEXT, LogicalType.DECIMAL, LogicalType.UUID, LogicalType.INTEGER) and not base64:
            raise SerializationError("expected text, got a column of bytes (binary='base64' writes them)", field=field)
        if vector.meaning == LogicalType.DECIMAL and not 0 <= vector.scale <= 76:
            raise SerializationError(f"expected a decimal with a scale from 0 to 76, got {vector.scale}", field=field)
    elif Layout.FLOAT16 <= vector.kind <= Layout.FLOAT64 and nan:
        for i in range(vector.length):
            if not isfinite(float_at(vector, i)) and is_valid(vector, i):
                raise SerializationError(
                    "expected a finite number (nan='null' writes null)", index=row + i if row >= 0 else None, field=field,
                    value=float_at(vector, i),
                )
    elif vector.kind == Layout.SUBARRAY:
        child = vector.children[0]
        if child.kind >= Layout.FIXED:
            raise SerializationError("expected arrays of numbers", field=field)
        if child.meaning != LogicalType.PLAIN or (nan and Layout.FLOAT16 <= child.kind <= Layout.FLOAT64):
            child.length = vector.width
            for i in range(vector.length):
                child.data = item_at(vector, i)     # the child has none of its own
                try:
                    check(&child, base64, nan, field, -1)
                except SerializationError as error:
                    error.index = row + i if row >= 0 else None
                    raise
    elif vector.kind == Layout.UNION_DENSE or vector.kind == Layout.UNION_SPARSE:
        for i in range(vector.length):
            if union_child(vector, i) == NO_MEMBER:
                raise SerializationError("expected one of the types that the union has", index=row + i if row >= 0 else None, field=field)
        for i in range(vector.n_children):
            check(&vector.children[i], base64, nan, field, -1)
    elif vector.kind == Layout.STRUCT:
        for i in range(vector.n_children):
            child = vector.children[i]
            child.offset += vector.offset
            child.length = vector.length
            check(&child, base64, nan, f"{field}.{(<bytes>child.name).decode()}", row)
    elif vector.kind == Layout.MAP:
        child = vector.children[0].children[0]
        if child.meaning != LogicalType.TEXT:
            raise SerializationError("expected a map with strings as keys", field=field)
        check(&vector.children[0].children[1], base64, nan, field, -1)
    elif vector.kind >= Layout.LIST32:
        check(&vector.children[0], base64, nan, field, -1)
    return 0


cdef tuple year_range(object tick_ns):
    """The first and the last tick of the years 1 to 9999, cut to 64 bits."""
    first = -62_135_596_800_000_000_000 // tick_ns
    last = (253_402_300_800_000_000_000 - 1) // tick_ns
    return max(first, -(2**63)), min(last, 2**63 - 1)


@cython.final
cdef class JsonColumns(ColumnEncoder):
    """The columns of one call as JSON objects, or one column as JSON values: a Source.

    Parameters
    ----------
    values : Table or Column
        Borrowed and kept alive. All columns of a table are written, in order. A null of a column is a null record.
    dump : callable
        One Python object to JSON bytes, for columns of objects; raises Mismatch.
    base64 : bool
        Whether bytes are written as base64, or refused.
    refuse_nan : bool
        Whether NaN and infinities are refused, or written as null.
    limit : int, optional
        Bytes that columns of objects may take, which are encoded now.

    Raises
    ------
    MemoryLimitExceeded
        If they take more.
    SerializationError
        If a column or a value has no JSON form.
    """
    cdef list _columns
    cdef list _vectors          # per column: its JSON, encoded already, or None
    cdef list _keys             # with SLACK bytes behind
    cdef bint _bare             # one column: its values alone, no object around them

    def __init__(self, values, dump, base64, refuse_nan, limit=None):
        cdef Column column
        cdef Py_ssize_t part
        self.begin(values, limit)
        self._bare = isinstance(values, Column)
        self._columns = [values] if self._bare else [values.column(name) for name in values.names]
        self._columns = [with_clocks(column, self) for column in self._columns]
        self._keys = []
        self._vectors = []
        for column in self._columns:
            name = column.name
            opening = b"," if self._keys else b"{"
            self._keys.append((b"" if self._bare else opening + dump(name) + b":") + bytes(SLACK))
            if column.objects is not None:
                self._vectors.append(dump_column(column, dump, name, self))
                continue
            self._vectors.append(None)
            for part in range(column.n_parts):
                check(&column.parts[part], base64, refuse_nan, name, column.starts[part])

    cdef Py_ssize_t fill(self, Field* fields, Py_ssize_t start, Py_ssize_t stop) except -1:
        """Point each field at row ``start``; return the row before which no column's part ends."""
        cdef Column column
        cdef Arena raw
        cdef Py_ssize_t i
        for i in range(len(self._keys)):
            fields[i].key = <const uint8_t*>PyBytes_AS_STRING(self._keys[i])
            fields[i].key_size = PyBytes_GET_SIZE(self._keys[i]) - SLACK
            column = self._columns[i]
            raw = self._vectors[i]
            fields[i].raw = raw is not None
            if raw is not None:
                fields[i].vector.kind = Layout.BINARY64
                fields[i].vector.data = raw.out.data
                fields[i].vector.offsets = raw.offsets + start
            else:
                fields[i].vector = column.vector_from(start)
                stop = min(stop, start + fields[i].vector.length)
        return stop

    cdef size_t bound(self, Py_ssize_t start, Py_ssize_t stop) except? 0:
        cdef bytes block = bytes(max(1, len(self._keys)) * sizeof(Field))
        cdef Field* fields = <Field*>PyBytes_AS_STRING(block)
        cdef Py_ssize_t last, n = len(self._keys)
        cdef size_t room = 0
        while start < stop:
            last = self.fill(fields, start, stop)
            room += room_for_rows(fields, n, 0, last - start)
            start = last
        return room

    cdef EncodedBatch encode(self, Py_ssize_t start, Py_ssize_t stop, Arena arena):
        cdef bytes block = bytes(max(1, len(self._keys)) * sizeof(Field))
        cdef Field* fields = <Field*>PyBytes_AS_STRING(block)
        cdef Py_ssize_t last, row = start, n = len(self._keys)
        arena.start(stop - start)
        if self._bare:
            arena.mark_valid(stop - start)
        while row < stop:
            last = self.fill(fields, row, stop)
            with nogil:
                if not put_rows(fields, n, last - row, arena, row - start, self._bare):
                    with gil:
                        raise MemoryError()
            row = last
        return arena.batch(stop - start, self._bare)


cdef Column with_clocks(Column column, ColumnEncoder encoder):
    """The column, knowing what the clock of each instant shows, where that is not UTC."""
    cdef Column made
    cdef Py_ssize_t part
    cdef list keep = []
    for part in range(column.n_parts):
        if has_zone(&column.parts[part]):
            break
    else:
        return column
    made = column.part(0, column.length)
    for part in range(made.n_parts):
        add_clocks(&made.parts[part], keep, made.name)
    made._lenders = (made._lenders, keep)
    encoder.spend(sum([kept.nbytes for kept in keep if isinstance(kept, np.ndarray)]))
    return made


cdef int add_clocks(ArrayView* vector, list keep, str field) except -1:
    """The same for a vector, and for those below it: as copies, for these belong to others too."""
    cdef Py_ssize_t i
    if not has_zone(vector):
        return 0
    if vector.zoned:
        ahead = ahead_of(vector)
        if ahead is None:
            raise SerializationError("expected times of the years 1 to 9999", field=field)
        keep.append(ahead)
        vector.sizes = <const int64_t*><uintptr_t>ahead.__array_interface__["data"][0] - vector.offset
    if vector.dictionary != NULL:
        keep.append((<const char*>vector.dictionary)[:sizeof(ArrayView)])
        vector.dictionary = <ArrayView*>PyBytes_AS_STRING(keep[-1])
        add_clocks(vector.dictionary, keep, field)
    if vector.n_children:
        keep.append((<const char*>vector.children)[:vector.n_children * sizeof(ArrayView)])
        vector.children = <ArrayView*>PyBytes_AS_STRING(keep[-1])
        for i in range(vector.n_children):
            add_clocks(&vector.children[i], keep, field)
    return 0


cdef Arena dump_column(Column column, object dump, str name, ColumnEncoder encoder):
    """Encode a column of objects."""
    cdef Py_ssize_t n_done = 0
    cdef Arena arena
    encoder.spend(column.length * sizeof(int64_t))
    arena = dump_objects(column.taken(), dump, name, False, encoder.left, &n_done)
    encoder.spend(arena.out.size if n_done == column.length else SIZE_MAX)
    return arena


cdef inline uint8_t* put_key(uint8_t* at, const uint8_t* key, Py_ssize_t size) noexcept nogil:
    """Copy SLACK bytes, most of them beyond a short key's end: one move instead of a call. GIL: not needed."""
    memcpy(at, key, SLACK)
    if size > SLACK:
        memcpy(at + SLACK, key + SLACK, size - SLACK)
    return at + size


cdef size_t room_for_rows(const Field* fields, Py_ssize_t n_fields, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Bytes that rows ``start`` to ``stop`` take at most. GIL: not needed."""
    cdef size_t room = SLACK + 2 * (stop - start)
    cdef Py_ssize_t j
    for j in range(n_fields):
        room += fields[j].key_size * (stop - start)
        if fields[j].raw:
            room += (<const int64_t*>fields[j].vector.offsets)[stop] - (<const int64_t*>fields[j].vector.offsets)[start]
        else:
            room += room_for(&fields[j].vector, start, stop)
    return room


cdef bint put_rows(const Field* fields, Py_ssize_t n_fields, Py_ssize_t n, Arena arena, Py_ssize_t row,
                   bint bare) noexcept nogil:
    """The row loop; False without memory. GIL: not needed."""
    cdef Py_ssize_t i, j, start = 0, stop
    cdef uint8_t* at
    cdef Span span
    while start < n:
        stop = min(start + <Py_ssize_t>BLOCK, n)
        if not has_room_onwards(&arena.out, room_for_rows(fields, n_fields, start, stop), row + start, n - stop):
            return False
        at = arena.out.data + arena.out.size
        for i in range(start, stop):
            if n_fields == 0:
                at[0] = c"{"
                at += 1
            for j in range(n_fields):
                at = put_key(at, fields[j].key, fields[j].key_size)
                if fields[j].raw:
                    span = plain_span_at(&fields[j].vector, i)
                    at = put_bytes(at, span.data, span.size)
                else:
                    at = put_value(&fields[j].vector, i, at)
            if not bare:
                at[0] = c"}"
                at += 1
            elif not has_value(&fields[0].vector, i):
                at = arena.out.data + arena.offsets[row + i]
                arena.valid[row + i] = 0
            arena.offsets[row + i + 1] = at - arena.out.data
        arena.out.size = at - arena.out.data
        start = stop
    return True
