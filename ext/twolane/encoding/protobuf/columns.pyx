"""Columns to Protobuf: the loop that runs a plan (plan.pyx) over blocks of rows, without the GIL.

For each block it makes room for all that its records can take; then nothing is checked, because binding has shown that
nothing can fail. Fields are written in ascending order of their numbers, as google's serializers write them.

Source: https://protobuf.dev/programming-guides/encoding/
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy
cimport cython

from twolane.batch cimport EncodedBatch, Span
from twolane.encoding.column_encoder cimport ColumnEncoder
from twolane.encoding.memory.arena cimport Arena, has_room_onwards, put_bytes, put_varint
from twolane.encoding.protobuf.blocks cimport bits_of, put_bits, put_column, put_tag
from twolane.encoding.protobuf.plan cimport Code, Op, OpBlock, Wire, is_present, new_ops, plan_column
from twolane.encoding.columns.row_blocks cimport BLOCK, SLACK, TOO_LONG, close_gaps, longest_span, total_span
from twolane.encoding.columns.table cimport Column, Table
from twolane.encoding.columns.array_view cimport (
    Layout, ArrayView, int_at, is_valid, item_at, list_size, list_start, put_ucs4, span_of, valid_bits,
)

from twolane.encoding.named_rows import refuse_others
from twolane.errors import SerializationError

cdef enum:
    SPREAD = 32_768         # bytes that the records of a block may lie in before its gaps are closed: they stay in a cache
    GAP = 160               # bytes of a record that cost as much to move as its columns' loops save, for each but one of them

cdef extern from "string.h" nogil:
    void* move_bytes "memmove"(void* to, const void* source, size_t size)


cdef inline Py_ssize_t width_of(uint64_t size) noexcept nogil:
    """Return how many bytes a length takes. GIL: not needed."""
    cdef Py_ssize_t width = 1
    while size >= 0x80:
        size >>= 7
        width += 1
    return width


cdef inline uint8_t* close(uint8_t* start, Py_ssize_t guessed, uint8_t* at) noexcept nogil:
    """Write the length of what was written ``guessed`` bytes behind ``start``; it moves if the length takes more. GIL: not needed."""
    cdef Py_ssize_t size = at - start - guessed
    cdef Py_ssize_t width = width_of(size)
    if width != guessed:
        move_bytes(start + width, start + guessed, size)
    put_varint(start, size)
    return start + width + size


cdef uint8_t* put_seconds(const Op* op, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write a Timestamp, whose nanoseconds count upwards, or a Duration, whose have the sign of its seconds."""
    cdef uint8_t* start = at
    cdef int64_t ticks = int_at(&op.view, i)
    cdef int64_t seconds, nanos = 0
    if op.ticks < 0:
        seconds = ticks * -op.ticks
    else:
        with cython.cdivision(True):
            seconds = ticks // op.ticks
            nanos = ticks % op.ticks
        if op.code == Code.PUT_TIMESTAMP and nanos < 0:
            seconds -= 1
            nanos += op.ticks
        nanos *= op.view.tick_ns
    at += 1
    if seconds:
        at[0] = 1 << 3
        at = put_varint(at + 1, <uint64_t>seconds)
    if nanos:
        at[0] = 2 << 3
        at = put_varint(at + 1, <uint64_t>nanos)
    start[0] = <uint8_t>(at - start - 1)
    return at


cdef inline const Op* items_at(const Op* op, Py_ssize_t i, Op* inside, Py_ssize_t* first) noexcept nogil:
    """Return the operation of a list's items, and set `first`; those of a subarray lie in the row. GIL: not needed."""
    if op.view.layout != Layout.SUBARRAY:
        first[0] = list_start(&op.view, i)
        return op.items
    inside[0] = op.items[0]
    inside.view.data = item_at(&op.view, i)
    return inside


cdef uint8_t* put_packed(const Op* op, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write the items of a list behind one tag; nothing for an empty one. GIL: not needed."""
    cdef Py_ssize_t j, first = 0, n = list_size(&op.view, i)
    cdef Py_ssize_t guessed
    cdef const Op* item
    cdef Op inside
    cdef uint8_t* start
    if n <= 0:
        return at
    item = items_at(op, i, &inside, &first)
    start = put_tag(op, at)
    guessed = width_of(n if item.wire == Wire.VARINT else 8 * n if item.wire == Wire.I64 else 4 * n)
    at = start + guessed
    for j in range(first, first + n):
        at = put_bits(item.wire, bits_of(item, item.code, j), at)
    return close(start, guessed, at)


cdef uint8_t* put_entries(const Op* op, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write the entries of a map, which always have both of their fields. GIL: not needed."""
    cdef Py_ssize_t j, entry, first = list_start(&op.view, i)
    cdef uint8_t* start
    for j in range(first, first + list_size(&op.view, i)):
        entry = j if op.order == NULL else op.order[j]
        start = put_tag(op, at)
        at = put(&op.items[1], entry, put(op.items, entry, start + 1))
        at = close(start, 1, at)
    return at


cdef uint8_t* put_items(const Op* op, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write the items of a list, each with its tag. GIL: not needed."""
    cdef Py_ssize_t j, first = 0, n = list_size(&op.view, i)
    cdef const Op* item
    cdef Op inside
    if n <= 0:
        return at
    item = items_at(op, i, &inside, &first)
    for j in range(first, first + n):
        at = put(item, j, at)
    return at


cdef uint8_t* put_parts(const Op* op, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write what has items or fields of its own, and what is rare: kept out of put(), whose registers it would take."""
    cdef Py_ssize_t j
    cdef uint8_t* start
    if op.code == Code.PUT_PACKED:
        return put_packed(op, i, at)
    if op.code == Code.PUT_LIST:
        return put_items(op, i, at)
    if op.code == Code.PUT_MAP:
        return put_entries(op, i, at)
    start = at = put_tag(op, at)
    if op.code == Code.PUT_TIMESTAMP or op.code == Code.PUT_DURATION:
        return put_seconds(op, i, at)
    if op.code == Code.PUT_UCS4:
        at = put_ucs4(at + 1, &op.view, i)
        return close(start, 1, at) if at > start + 1 or op.always else start - op.tag_size
    if op.code == Code.PUT_MESSAGE:
        at += 1
    for j in range(op.n_items):
        at = put(&op.items[j], op.view.offset + i, at)
    if op.code == Code.PUT_MESSAGE:
        return close(start, 1, at)
    memcpy(at, &op.end_tag, 8)
    return at + op.tag_size


cdef uint8_t* put(const Op* op, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write item ``i`` of a field with its tag, or nothing; give the place behind it. GIL: not needed."""
    cdef const ArrayView* view = &op.view
    cdef uint64_t bits
    cdef Span span
    if not is_valid(view, i):
        return at
    if op.code <= Code.PUT_SYMBOL:
        bits = bits_of(op, op.code, i)
        if bits == 0 and not op.always:
            return at
        return put_bits(op.wire, bits, put_tag(op, at))
    if op.code == Code.PUT_SPAN:
        span = span_of(view, i)
        if span.size == 0 and not op.always:
            return at
        return put_bytes(put_varint(put_tag(op, at), span.size), span.data, span.size)
    if op.code == Code.PUT_RAW:
        span = span_of(view, i)
        return put_bytes(at, span.data, span.size)
    return put_parts(op, i, at)


cdef size_t room_for(const Op* op, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Return how many bytes items ``start`` to ``stop`` take at most. GIL: not needed."""
    cdef size_t total = <size_t>(op.bound * (stop - start))
    cdef const ArrayView* view = &op.view
    cdef Py_ssize_t i, first, last
    if start >= stop or view.layout == Layout.NULLS:
        return 0
    if op.code == Code.PUT_SPAN or op.code == Code.PUT_RAW:
        total += total_span(view, start, stop)
    elif op.code == Code.PUT_UCS4:
        total += <size_t>view.width * (stop - start)
    elif op.code == Code.PUT_MESSAGE or op.code == Code.PUT_GROUP:
        for i in range(op.n_items):
            total += room_for(&op.items[i], view.offset + start, view.offset + stop)
    elif op.code >= Code.PUT_LIST and view.layout != Layout.SUBARRAY:
        first = list_start(view, start)
        last = list_start(view, stop - 1) + list_size(view, stop - 1)
        for i in range(op.n_items):
            total += room_for(&op.items[i], first, last)
    return total


cdef Py_ssize_t first_shared(const Op* ops, Py_ssize_t n_ops, Py_ssize_t n, Py_ssize_t* both) noexcept nogil:
    """Return the first row where two of these fields are set, and which; -1 if there is none. GIL: not needed."""
    cdef Py_ssize_t i, j
    for i in range(n):
        both[0] = -1
        for j in range(n_ops):
            if is_present(&ops[j], i):
                if both[0] >= 0:
                    both[1] = j
                    return i
                both[0] = j
    return -1


cdef str listed(Table values):
    return f"the columns are {', '.join(map(repr, values.names))}"


@cython.final
cdef class ProtobufColumns(ColumnEncoder):
    """The columns of one call, bound to a Protobuf message: a Source.

    A column is the field of its name. A field without a column, and a null, is not set; so is the default of a field
    without presence. Nothing of google.protobuf is needed unless a column has to be encoded from Python objects.

    Parameters
    ----------
    message : MessageType
        What :func:`twolane.encoding.protobuf.schema.message_type` returns for a descriptor. Make it once.
    encode : callable
        ``encode(name, value)`` returns one field of the message with this value, as it is in a row: the bytes that
        ``SerializePartialToString(deterministic=True)`` gives of a message where nothing else is set. It raises Mismatch, with
        the path below the field, for a value that is none. Called with values that are not missing, of columns of Python
        objects and of those that have no native operation or a bad value; structs and maps come as dicts.
    values : Table
        Borrowed and kept alive. Columns beside the message's fields are ignored, unless it is strict.
    prefix : bytes
        Written before each record.
    limit : int, optional
        Bytes that columns may take which have to be encoded from Python objects now.

    Raises
    ------
    MemoryLimitExceeded
        If they take more.
    SerializationError
        If a value is not of its field's type, a required field has none, or two fields of a oneof are set: with row and
        field. If no column is a field of the message.
    """
    cdef bytes _prefix
    cdef list _fields           # with a column, in ascending order of their numbers
    cdef list _columns
    cdef list _planned          # an OpBlock of each: an operation per part, or one for all

    def __init__(self, message, encode, Table values, bytes prefix=b"", limit=None):
        cdef Column column
        self._prefix = prefix
        self._fields = []
        self._columns = []
        self._planned = []
        self.begin(values, limit)
        if message.strict:
            refuse_others([field.name for field in message.fields], values.names)
        for field in message.fields:
            column = values.get(field.name)
            if column is None:
                if field.required:
                    raise SerializationError(f"no column of that name, and the field is required; {listed(values)}", field=field.name)
                continue
            self._fields.append(field)
            self._columns.append(column)
            self._planned.append(plan_column(field, column, encode, self))
        if not self._fields and message.fields and values.names:
            raise SerializationError(f"no column is a field of {message.name}; {listed(values)}")
        for oneof, members in message.oneofs.items():
            self.check_oneof(message, oneof, members)

    cdef int check_oneof(self, object message, str oneof, tuple members) except -1:
        """Refuse rows that have two fields of a oneof."""
        cdef list names = [message.fields[i].name for i in members]
        cdef list given = [i for i, field in enumerate(self._fields) if field.name in names]
        cdef OpBlock ops
        cdef Py_ssize_t row, last, start = 0
        cdef Py_ssize_t both[2]
        if len(given) < 2:
            return 0
        while start < self.n:
            ops = self.ops_from(given, start)
            last = min(self.n, ops.stop)
            with nogil:
                row = first_shared(ops.ops, ops.n, last - start, both)
            if row >= 0:
                one, other = self._fields[given[both[0]]].name, self._fields[given[both[1]]].name
                raise SerializationError(
                    f"expected one field of the oneof {oneof!r}, not both {one!r} and {other!r}", index=start + row, field=other)
            start = last
        return 0

    cdef OpBlock ops_from(self, list which, Py_ssize_t row):
        """Return the operations of some columns, counted from ``row`` on; its ``stop`` is where a column's part ends."""
        cdef OpBlock ops = new_ops(len(which))
        cdef OpBlock planned
        cdef Column column
        cdef Py_ssize_t i, j, part, start
        ops.stop = self.n
        for i, j in enumerate(which):
            planned = self._planned[j]
            column = self._columns[j]
            part = column.part_of(row) if planned.n > 1 else 0
            start = column.starts[part] if planned.n > 1 else 0
            ops.ops[i] = planned.ops[part]
            ops.ops[i].view.offset += row - start
            if planned.n > 1:
                ops.stop = min(ops.stop, column.starts[part + 1])
        return ops

    cdef size_t bound(self, Py_ssize_t start, Py_ssize_t stop) except? 0:
        cdef size_t room = <size_t>(PyBytes_GET_SIZE(self._prefix) * (stop - start))
        cdef OpBlock ops
        cdef Py_ssize_t last
        while start < stop:
            ops = self.ops_from(list(range(len(self._fields))), start)
            last = min(stop, ops.stop)
            with nogil:
                room += room_for_rows(ops.ops, ops.n, 0, last - start)
            start = last
        return room

    cdef EncodedBatch encode(self, Py_ssize_t start, Py_ssize_t stop, Arena arena):
        cdef Span prefix
        cdef OpBlock ops
        cdef Py_ssize_t last, row = start
        cdef bint room
        prefix.data = <const uint8_t*>PyBytes_AS_STRING(self._prefix)
        prefix.size = PyBytes_GET_SIZE(self._prefix)
        arena.start(stop - start)
        while row < stop:
            ops = self.ops_from(list(range(len(self._fields))), row)
            last = min(stop, ops.stop)
            with nogil:
                room = put_rows(ops.ops, ops.n, last - row, prefix, arena, row - start)
            if not room:
                raise MemoryError()
            row = last
        return arena.batch(stop - start)


cdef size_t room_for_rows(const Op* ops, Py_ssize_t n_ops, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Return how many bytes the fields of rows ``start`` to ``stop`` take at most. GIL: not needed."""
    cdef size_t room = 0
    cdef Py_ssize_t j
    for j in range(n_ops):
        room += room_for(&ops[j], start, stop)
    return room


cdef bint put_rows(const Op* ops, Py_ssize_t n_ops, Py_ssize_t n, Span prefix, Arena arena, Py_ssize_t row) noexcept nogil:
    """Run the loop over blocks of rows; False without memory. GIL: not needed."""
    cdef Py_ssize_t start = 0, stop
    cdef size_t place
    while start < n:
        stop = min(start + <Py_ssize_t>BLOCK, n)
        place = place_for(ops, n_ops, start, stop) + prefix.size
        if place <= <size_t>(GAP * (n_ops - 1)):
            # As many as stay in a cache.
            stop = min(stop, start + max(<Py_ssize_t>1, <Py_ssize_t>(SPREAD // place)))
            if not put_block(ops, n_ops, start, stop, prefix, arena, row + start, place, n - start):
                return False
        elif not put_one_by_one(ops, n_ops, start, stop, prefix, arena, row + start, n - start):
            return False
        start = stop
    return True


cdef size_t place_for(const Op* ops, Py_ssize_t n_ops, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Return how many bytes none of these rows exceeds; TOO_LONG where fields have parts. GIL: not needed."""
    cdef size_t place = SLACK, more
    cdef Py_ssize_t j
    for j in range(n_ops):
        if ops[j].code > Code.PUT_SPAN:
            return TOO_LONG
        more = longest_span(&ops[j].view, start, stop) if ops[j].code == Code.PUT_SPAN else 0
        if more >= TOO_LONG:
            return TOO_LONG
        place += ops[j].bound + more
    return place


cdef bint put_block(const Op* ops, Py_ssize_t n_ops, Py_ssize_t start, Py_ssize_t stop, Span prefix, Arena arena,
                    Py_ssize_t row, size_t place, Py_ssize_t left) noexcept nogil:
    """Write a block by columns, each record at a ``place`` of its own until the gaps are closed. GIL: not needed."""
    cdef uint8_t* places[BLOCK]
    cdef uint8_t* base
    cdef Py_ssize_t i, j, n = stop - start
    cdef uint64_t valid
    if not has_room_onwards(&arena.out, place * n, row, left):
        return False
    base = arena.out.data + arena.out.size
    for i in range(n):
        places[i] = put_bytes(base + i * place, prefix.data, prefix.size)
    for j in range(n_ops):
        valid = valid_bits(&ops[j].view, start, n)
        if valid and not put_column(&ops[j], valid, start, n, places):
            for i in range(n):
                places[i] = put(&ops[j], start + i, places[i])
    arena.out.size = close_gaps(base, place, places, n, arena.offsets + row + 1, arena.out.data) - arena.out.data
    return True


cdef bint put_one_by_one(const Op* ops, Py_ssize_t n_ops, Py_ssize_t start, Py_ssize_t stop, Span prefix, Arena arena,
                         Py_ssize_t row, Py_ssize_t left) noexcept nogil:
    """Write the same row by row. GIL: not needed."""
    cdef size_t room = room_for_rows(ops, n_ops, start, stop) + prefix.size * (stop - start) + SLACK
    cdef uint8_t* at
    cdef Py_ssize_t i, j
    if not has_room_onwards(&arena.out, room, row, left):
        return False
    at = arena.out.data + arena.out.size
    for i in range(start, stop):
        at = put_bytes(at, prefix.data, prefix.size)
        for j in range(n_ops):
            at = put(&ops[j], i, at)
        arena.offsets[row + i - start + 1] = at - arena.out.data
    arena.out.size = at - arena.out.data
    return True
