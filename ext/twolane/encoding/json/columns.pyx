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
from twolane.encoding.columns.objects cimport ahead_of, has_zone, type_name
from twolane.encoding.json.shortest cimport put_shortest, put_shortest_single
from twolane.encoding.memory.utf8 cimport is_utf8, ucs4_is_text
from twolane.encoding.columns.array_view cimport (
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
    ArrayView view


cdef inline int64_t floor_div(int64_t value, int64_t by) noexcept nogil:
    """Return divide towards minus infinity; ``by`` is positive. GIL: not needed."""
    return value // by - (value % by < 0)


cdef uint8_t* put_time(const ArrayView* view, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write dates, times and instants in quotes. GIL: not needed."""
    cdef int64_t ticks = int_at(view, i)
    cdef int64_t per_day, days, ahead = 0
    at[0] = c'"'
    at += 1
    if view.logical == LogicalType.TIME:
        at = put_clock(at, ticks * view.tick_ns)
    else:
        if view.zoned and view.sizes != NULL:
            ahead = (<const int64_t*>view.sizes)[view.offset + i]
            ticks += ahead * (S_NS // view.tick_ns)
        if view.tick_ns >= DAY_NS:
            days = ticks * (view.tick_ns // DAY_NS)
            ticks = 0
        else:
            per_day = DAY_NS // view.tick_ns
            days = floor_div(ticks, per_day)
            ticks -= days * per_day
        at = put_day(at, days)
        if view.logical == LogicalType.TIMESTAMP:
            at[0] = c"T"
            at = put_clock(at + 1, ticks * view.tick_ns)
            if view.zoned:
                at = put_offset(at, ahead)
    at[0] = c'"'
    return at + 1


cdef uint8_t* put_offset(uint8_t* at, int64_t ahead) noexcept nogil:
    """Write how far a clock is ahead of UTC, as ISO 8601 has it. GIL: not needed."""
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
    """Write five bytes; of "true" four count. GIL: not needed."""
    memcpy(at, b"true" if value else b"false", 5)
    return at + 5 - value


cdef uint8_t* put_nested(const ArrayView* view, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write lists, structs and maps. GIL: not needed."""
    cdef Py_ssize_t j, first, n
    cdef const ArrayView* child = view.children
    cdef const char* name
    cdef ArrayView inside
    cdef uint8_t opening = c"["
    cdef uint8_t closing = c"]"
    if view.layout == Layout.STRUCT or view.layout == Layout.MAP:
        opening = c"{"
        closing = c"}"
    at[0] = opening
    at += 1
    if view.layout == Layout.STRUCT:
        n = view.n_children
        for j in range(n):
            name = view.children[j].name
            at = put_text(at, <const uint8_t*>name, length(name))
            at[0] = c":"
            at = put_value(&view.children[j], view.offset + i, at + 1)
            at[0] = c","
            at += 1
    else:
        n = list_size(view, i)
        if view.layout == Layout.SUBARRAY:
            inside = view.children[0]
            inside.data = item_at(view, i)
            child = &inside
            first = 0
        else:
            first = list_start(view, i)
        for j in range(first, first + n):
            if view.layout == Layout.MAP:
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


cdef uint8_t* put_rare(const ArrayView* view, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write a value of a layout that put_value() leaves to others. GIL: not needed."""
    cdef double wide
    cdef Span span
    cdef Layout layout = view.layout
    if layout == Layout.DICTIONARY:
        return put_value(view.dictionary, index_at(view, i), at)
    if LogicalType.TIMESTAMP <= view.logical <= LogicalType.TIME:
        return put_time(view, i, at)
    if layout == Layout.UNION_DENSE or layout == Layout.UNION_SPARSE:
        return put_value(&view.children[union_child(view, i)], union_item(view, i), at)
    if layout >= Layout.LIST32:
        return put_nested(view, i, at)
    if layout == Layout.UCS4:
        return put_ucs4_text(at, view, i)
    if layout == Layout.FLOAT32 or layout == Layout.FLOAT16:
        wide = float_at(view, i)
        return <uint8_t*>put_shortest_single(<char*>at, <float>wide) if isfinite(wide) else put_null(at)
    if view.logical == LogicalType.DECIMAL:
        return put_scaled(at, item_at(view, i), view.width, view.scale)
    if view.logical == LogicalType.INTEGER:
        span.data = item_at(view, i)
        return put_wide(at, span.data, view.width, 0, view.precision == 0 and (span.data[view.width - 1] & 0x80) != 0)
    if view.logical == LogicalType.UUID:
        at[0] = c'"'
        at = put_uuid(at + 1, item_at(view, i))
        at[0] = c'"'
        return at + 1
    span = plain_span_at(view, i)
    if view.logical == LogicalType.TEXT or layout == Layout.PADDED:
        return put_text(at, span.data, span.size)
    return put_base64(at, span.data, span.size)


cdef inline uint8_t* put_value(const ArrayView* view, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write item ``i``, give the place behind it. GIL: not needed.

    The commonest types are handled here, so that they are inlined into the row loop.
    """
    cdef double wide
    cdef Span span
    cdef Layout layout = view.layout
    if not is_valid(view, i):
        return put_null(at)
    if view.logical == LogicalType.PLAIN:
        if layout == Layout.BIT or layout == Layout.BYTE_BOOL:
            return put_bool(at, bool_at(view, i))
        if layout == Layout.FLOAT64:
            wide = float_at(view, i)
            return <uint8_t*>put_shortest(<char*>at, wide) if isfinite(wide) else put_null(at)
        if layout == Layout.UINT64:
            return put_unsigned(at, <uint64_t>int_at(view, i))
        if layout < Layout.FLOAT16:
            return put_signed(at, int_at(view, i))
    elif view.logical == LogicalType.TEXT and layout == Layout.BINARY32:
        span = plain_span_at(view, i)
        return put_text(at, span.data, span.size)
    return put_rare(view, i, at)


cdef size_t room_for(const ArrayView* view, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Return how many bytes items ``start`` to ``stop`` take at most. GIL: not needed."""
    cdef size_t total = <size_t>((stop - start) * INSTANT)
    cdef Layout layout = view.layout
    cdef Py_ssize_t i, first, last
    if start >= stop:
        return 0
    if layout == Layout.DICTIONARY:
        for i in range(start, stop):
            if is_valid(view, i):
                first = index_at(view, i)
                total += room_for(view.dictionary, first, first + 1)
    elif layout == Layout.UNION_DENSE or layout == Layout.UNION_SPARSE:
        for i in range(start, stop):
            first = union_item(view, i)
            total += room_for(&view.children[union_child(view, i)], first, first + 1)
    elif layout == Layout.STRUCT:
        for i in range(view.n_children):
            total += (stop - start) * (6 * length(view.children[i].name) + 4)
            total += room_for(&view.children[i], view.offset + start, view.offset + stop)
    elif layout == Layout.SUBARRAY:
        total += <size_t>((stop - start) * view.width * (INSTANT + 1))
    elif layout == Layout.LIST_VIEW32 or layout == Layout.LIST_VIEW64:
        for i in range(start, stop):
            if is_valid(view, i):
                first = list_start(view, i)
                total += room_for(view.children, first, first + list_size(view, i)) + list_size(view, i)
    elif layout >= Layout.LIST32:
        first = list_start(view, start)
        last = list_start(view, stop - 1) + list_size(view, stop - 1)
        total += 2 * (last - first) + room_for(view.children, first, last)
    elif layout == Layout.UCS4:
        total += <size_t>((stop - start) * view.width * 2)        # six bytes for a character of four
    elif view.logical == LogicalType.DECIMAL:
        total += <size_t>((stop - start) * 90)
    elif layout == Layout.FIXED or layout == Layout.PADDED:
        total += <size_t>((stop - start) * view.width * 6)
    elif layout == Layout.BINARY32 or layout == Layout.BINARY64 or layout == Layout.BINARY_VIEW:
        for i in range(start, stop):
            if is_valid(view, i):
                total += 6 * plain_span_at(view, i).size
    return total


cdef int check(const ArrayView* view, object base64, object nan, str field, Py_ssize_t row) except -1:
    """Refuse what JSON cannot hold; ``row`` is the view's first, or -1 where rows are not known (inside lists)."""
    cdef Py_ssize_t i, bad = -1
    cdef ArrayView child
    cdef int64_t low, high
    if view.layout == Layout.DICTIONARY:
        return check(view.dictionary, base64, nan, field, -1)
    if view.layout == Layout.UNREADABLE or view.logical in (LogicalType.DURATION, LogicalType.MONTHS):
        raise SerializationError(f"expected a type that JSON can hold, got a column of {type_name(view)}", field=field)
    if view.logical in (LogicalType.TIMESTAMP, LogicalType.DATE, LogicalType.TIME):
        if view.logical == LogicalType.TIME:
            low, high = 0, DAY_NS // view.tick_ns - 1
        else:
            if view.tick_ns % DAY_NS and DAY_NS % view.tick_ns:
                raise SerializationError("expected a unit of time that divides a day", field=field)
            low, high = year_range(view.tick_ns)
        for i in range(view.length):
            if not low <= int_at(view, i) <= high and is_valid(view, i):
                bad = i
                break
        if bad >= 0:
            raise SerializationError(
                "expected a time in the years 1 to 9999", index=row + bad if row >= 0 else None, field=field,
                value=int_at(view, bad),
            )
    elif view.layout == Layout.UCS4:
        if not ucs4_is_text(view):
            raise SerializationError("expected strings that UTF-8 can hold", field=field)
    elif view.layout == Layout.PADDED:
        for i in range(view.length):
            if is_valid(view, i) and not is_utf8(plain_span_at(view, i).data, plain_span_at(view, i).size):
                raise SerializationError(
                    "expected UTF-8", index=row + i if row >= 0 else None, field=field,
                    value=<bytes>plain_span_at(view, i).data[:plain_span_at(view, i).size],
                )
    elif view.layout in (Layout.FIXED, Layout.BINARY32, Layout.BINARY64, Layout.BINARY_VIEW):
        if view.logical not in (LogicalType.TEXT, LogicalType.DECIMAL, LogicalType.UUID, LogicalType.INTEGER) and not base64:
            raise SerializationError("expected text, got a column of bytes (binary='base64' writes them)", field=field)
        if view.logical == LogicalType.DECIMAL and not 0 <= view.scale <= 76:
            raise SerializationError(f"expected a decimal with a scale from 0 to 76, got {view.scale}", field=field)
    elif Layout.FLOAT16 <= view.layout <= Layout.FLOAT64 and nan:
        for i in range(view.length):
            if not isfinite(float_at(view, i)) and is_valid(view, i):
                raise SerializationError(
                    "expected a finite number (nan='null' writes null)", index=row + i if row >= 0 else None, field=field,
                    value=float_at(view, i),
                )
    elif view.layout == Layout.SUBARRAY:
        child = view.children[0]
        if child.layout >= Layout.FIXED:
            raise SerializationError("expected arrays of numbers", field=field)
        if child.logical != LogicalType.PLAIN or (nan and Layout.FLOAT16 <= child.layout <= Layout.FLOAT64):
            child.length = view.width
            for i in range(view.length):
                child.data = item_at(view, i)     # the child has none of its own
                try:
                    check(&child, base64, nan, field, -1)
                except SerializationError as error:
                    error.index = row + i if row >= 0 else None
                    raise
    elif view.layout == Layout.UNION_DENSE or view.layout == Layout.UNION_SPARSE:
        for i in range(view.length):
            if union_child(view, i) == NO_MEMBER:
                raise SerializationError("expected one of the types that the union has", index=row + i if row >= 0 else None, field=field)
        for i in range(view.n_children):
            check(&view.children[i], base64, nan, field, -1)
    elif view.layout == Layout.STRUCT:
        for i in range(view.n_children):
            child = view.children[i]
            child.offset += view.offset
            child.length = view.length
            check(&child, base64, nan, f"{field}.{(<bytes>child.name).decode()}", row)
    elif view.layout == Layout.MAP:
        child = view.children[0].children[0]
        if child.logical != LogicalType.TEXT:
            raise SerializationError("expected a map with strings as keys", field=field)
        check(&view.children[0].children[1], base64, nan, field, -1)
    elif view.layout >= Layout.LIST32:
        check(&view.children[0], base64, nan, field, -1)
    return 0


cdef tuple year_range(object tick_ns):
    """Return the first and the last tick of the years 1 to 9999, cut to 64 bits."""
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
    cdef list _encoded          # per column: its JSON, encoded already, or None
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
        self._encoded = []
        for column in self._columns:
            name = column.name
            opening = b"," if self._keys else b"{"
            self._keys.append((b"" if self._bare else opening + dump(name) + b":") + bytes(SLACK))
            if column.objects is not None:
                self._encoded.append(dump_column(column, dump, name, self))
                continue
            self._encoded.append(None)
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
            raw = self._encoded[i]
            fields[i].raw = raw is not None
            if raw is not None:
                fields[i].view.layout = Layout.BINARY64
                fields[i].view.data = raw.out.data
                fields[i].view.offsets = raw.offsets + start
            else:
                fields[i].view = column.view_from(start)
                stop = min(stop, start + fields[i].view.length)
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
    """Return the column, knowing what the clock of each instant shows, where that is not UTC."""
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
    made._owners = (made._owners, keep)
    encoder.spend(sum([kept.nbytes for kept in keep if isinstance(kept, np.ndarray)]))
    return made


cdef int add_clocks(ArrayView* view, list keep, str field) except -1:
    """Do the same for a view, and for those below it: as copies, for these belong to others too."""
    cdef Py_ssize_t i
    if not has_zone(view):
        return 0
    if view.zoned:
        ahead = ahead_of(view)
        if ahead is None:
            raise SerializationError("expected times of the years 1 to 9999", field=field)
        keep.append(ahead)
        view.sizes = <const int64_t*><uintptr_t>ahead.__array_interface__["data"][0] - view.offset
    if view.dictionary != NULL:
        keep.append((<const char*>view.dictionary)[:sizeof(ArrayView)])
        view.dictionary = <ArrayView*>PyBytes_AS_STRING(keep[-1])
        add_clocks(view.dictionary, keep, field)
    if view.n_children:
        keep.append((<const char*>view.children)[:view.n_children * sizeof(ArrayView)])
        view.children = <ArrayView*>PyBytes_AS_STRING(keep[-1])
        for i in range(view.n_children):
            add_clocks(&view.children[i], keep, field)
    return 0


cdef Arena dump_column(Column column, object dump, str name, ColumnEncoder encoder):
    """Encode a column of objects."""
    cdef Py_ssize_t n_done = 0
    cdef Arena arena
    encoder.spend(column.length * sizeof(int64_t))
    arena = dump_objects(column.snapshot(), dump, name, False, encoder.left, &n_done)
    encoder.spend(arena.out.size if n_done == column.length else SIZE_MAX)
    return arena


cdef inline uint8_t* put_key(uint8_t* at, const uint8_t* key, Py_ssize_t size) noexcept nogil:
    """Copy SLACK bytes, most of them beyond a short key's end: one move instead of a call. GIL: not needed."""
    memcpy(at, key, SLACK)
    if size > SLACK:
        memcpy(at + SLACK, key + SLACK, size - SLACK)
    return at + size


cdef size_t room_for_rows(const Field* fields, Py_ssize_t n_fields, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Return how many bytes rows ``start`` to ``stop`` take at most. GIL: not needed."""
    cdef size_t room = SLACK + 2 * (stop - start)
    cdef Py_ssize_t j
    for j in range(n_fields):
        room += fields[j].key_size * (stop - start)
        if fields[j].raw:
            room += (<const int64_t*>fields[j].view.offsets)[stop] - (<const int64_t*>fields[j].view.offsets)[start]
        else:
            room += room_for(&fields[j].view, start, stop)
    return room


cdef bint put_rows(const Field* fields, Py_ssize_t n_fields, Py_ssize_t n, Arena arena, Py_ssize_t row,
                   bint bare) noexcept nogil:
    """Run the loop over rows; False without memory. GIL: not needed."""
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
                    span = plain_span_at(&fields[j].view, i)
                    at = put_bytes(at, span.data, span.size)
                else:
                    at = put_value(&fields[j].view, i, at)
            if not bare:
                at[0] = c"}"
                at += 1
            elif not has_value(&fields[0].view, i):
                at = arena.out.data + arena.offsets[row + i]
                arena.valid[row + i] = 0
            arena.offsets[row + i + 1] = at - arena.out.data
        arena.out.size = at - arena.out.data
        start = stop
    return True
