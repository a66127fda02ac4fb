"""Columns to Avro: the loop that runs a plan (plan.pyx) over blocks of rows, without the GIL.

For each block it makes room for as many times the longest record that the block can have; then nothing is checked, because
binding has shown that nothing can fail. The columns of a block are written one after the other (blocks.pxd), which
leaves gaps between its records; they are closed while all of that is still in the processor's cache.

Source: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy
cimport cython

from twolane.batch cimport EncodedBatch, Span
from twolane.encoding.column_encoder cimport ColumnEncoder
from twolane.encoding.memory.arena cimport Arena, has_room_onwards, put_bytes, put_zigzag
from twolane.encoding.avro.blocks cimport floor_div, number_of, put_fixed, put_fixed_column, put_padded, put_texts
from twolane.encoding.avro.plan cimport Code, Op, OpBlock, new_ops, reuse_plan, new_ops, plan_column, plan_constant
from twolane.encoding.avro.rows cimport RowEncoder
from twolane.encoding.columns.row_blocks cimport BLOCK, SLACK, TOO_LONG, close_gaps, longest_span, total_span, widest_step
from twolane.encoding.columns.table cimport Column, Table
from twolane.encoding.memory.digits cimport put_uuid
from twolane.encoding.columns.checks cimport Duration, duration_at
from twolane.encoding.columns.array_view cimport (
    Layout, ArrayView, bool_at, float_at, int_at, is_valid, item_at, list_size, list_start,
    plain_span_at, put_ucs4, span_of, union_child, union_item, valid_bits,
)

from twolane.errors import SerializationError

cdef enum:
    SPREAD = 32_768         # bytes that the records of a block may lie in before its gaps are closed: they stay in a cache
    GAP = 160               # bytes of a record that cost as much to move as its columns' loops save, for each but one of them


cdef inline uint8_t* put_span(uint8_t* at, Span span) noexcept nogil:
    """Write length and bytes. GIL: not needed."""
    return put_bytes(put_zigzag(at, span.size), span.data, span.size)


cdef uint8_t* put_symbols(const Op* op, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write numpy's four-byte strings: the length is known only once they are written, so they are written first."""
    cdef uint8_t scratch[10]
    # Most lengths take one byte; where it takes more, the string moves up.
    cdef uint8_t* end = put_ucs4(at + 1, &op.view, i)
    cdef Py_ssize_t size = end - at - 1
    cdef Py_ssize_t width = put_zigzag(scratch, size) - scratch
    if width > 1:
        move_bytes(at + width, at + 1, size)
    memcpy(at, scratch, width)
    return at + width + size


cdef extern from "string.h" nogil:
    void* move_bytes "memmove"(void* to, const void* source, size_t size)


cdef uint8_t* put_decimal(const Op* op, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write a little-endian integer as big-endian two's complement, without its needless leading bytes for bytes."""
    cdef const uint8_t* data = item_at(&op.view, i)
    cdef Py_ssize_t size = op.view.width
    cdef Py_ssize_t j
    cdef uint8_t sign = 0xFF if data[size - 1] & 0x80 else 0
    if op.code == Code.PUT_DECIMAL:
        while size > 1 and data[size - 1] == sign and (data[size - 2] & 0x80) == (sign & 0x80):
            size -= 1
        at = put_zigzag(at, size)
    else:
        for j in range(op.size - size):
            at[j] = sign
        if op.size > size:
            at += op.size - size
        else:
            size = op.size
    for j in range(size):
        at[j] = data[size - 1 - j]
    return at + size


cdef inline uint8_t value_of(uint8_t digit) noexcept nogil:
    """Return the number a hexadecimal digit stands for, of which binding has seen only lower case. GIL: not needed."""
    return digit - c"0" if digit <= c"9" else digit - c"a" + 10


cdef uint8_t* put_uuid_bytes(Span text, uint8_t* at) noexcept nogil:
    """Write 16 bytes from the 36 characters of a UUID."""
    cdef const uint8_t* digits = text.data
    cdef int i
    for i in range(16):
        if i == 4 or i == 6 or i == 8 or i == 10:
            digits += 1     # a hyphen
        at[i] = <uint8_t>(value_of(digits[0]) << 4 | value_of(digits[1]))
        digits += 2
    return at + 16


cdef uint8_t* put_duration(Duration duration, uint8_t* at) noexcept nogil:
    """Write three numbers of four bytes, little-endian."""
    cdef int i
    for i in range(4):
        at[i] = <uint8_t>(duration.months >> (8 * i))
        at[4 + i] = <uint8_t>(duration.days >> (8 * i))
        at[8 + i] = <uint8_t>(duration.millis >> (8 * i))
    return at + 12


cdef uint8_t* put_rare(const Op* op, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write what has items of its own, and what is rare: kept out of put(), whose registers it would take."""
    cdef Py_ssize_t j, first, n
    cdef Op item
    if op.code == Code.PUT_RECORD:
        for j in range(op.n_items):
            at = put(&op.items[j], op.view.offset + i, at)
        return at
    if op.code == Code.PUT_UUID_BYTES:
        return put_uuid_bytes(plain_span_at(&op.view, i), at)
    if op.code == Code.PUT_DURATION:
        return put_duration(duration_at(&op.view, i), at)
    if op.code == Code.PUT_UNION:
        return put(&op.items[union_child(&op.view, i)], union_item(&op.view, i), at)
    n = list_size(&op.view, i)
    if n > 0:
        at = put_zigzag(at, n)
        if op.code == Code.PUT_SUBARRAY:
            item = op.items[0]
            item.view.data = item_at(&op.view, i)
            for j in range(n):
                at = put(&item, j, at)
        else:
            first = list_start(&op.view, i)
            for j in range(first, first + n):
                at = put(&op.items[0], j, at)
                if op.code == Code.PUT_MAP:
                    at = put(&op.items[1], j, at)
    at[0] = 0
    return at + 1


cdef uint8_t* put(const Op* op, Py_ssize_t i, uint8_t* at) noexcept nogil:
    """Write item ``i`` of one operation, give the place behind it: items of items, and what is rare. GIL: not needed."""
    cdef const ArrayView* view = &op.view
    cdef int64_t number = 0
    cdef int32_t small = 0
    cdef double wide
    cdef float single
    cdef Span span
    cdef const int32_t* narrow_offsets
    cdef const int64_t* wide_offsets
    cdef Code code = op.code
    if op.branched:
        if not is_valid(view, i):
            at[0] = op.null_byte
            return at + 1
        at[0] = op.value_byte
        at += 1
    if code == Code.PUT_INT64 or code == Code.PUT_INT32 or code == Code.PUT_PER_1000 or code == Code.PUT_PER_1000000:
        return put_zigzag(at, number_of(code, item_at(view, i)))
    elif code == Code.PUT_FLOAT64 or code == Code.PUT_FLOAT32 or code == Code.PUT_BOOL:
        return put_fixed(code, item_at(view, i), at)
    elif code == Code.PUT_TEXT32:
        narrow_offsets = <const int32_t*>view.offsets + view.offset + i
        small = narrow_offsets[1] - narrow_offsets[0]
        return put_bytes(put_zigzag(at, small), view.data + narrow_offsets[0], small)
    elif code == Code.PUT_TEXT64:
        wide_offsets = <const int64_t*>view.offsets + view.offset + i
        number = wide_offsets[1] - wide_offsets[0]
        return put_bytes(put_zigzag(at, number), view.data + wide_offsets[0], number)
    elif code == Code.PUT_BIT:
        at[0] = bool_at(view, i)
        return at + 1
    elif code == Code.PUT_INTEGER:
        return put_zigzag(at, int_at(view, i))
    elif code == Code.PUT_TIMES:
        # Unsigned: binding has shown that it fits, and an array that changes meanwhile may only make a wrong number.
        return put_zigzag(at, <int64_t>(<unsigned long long>int_at(view, i) * <unsigned long long>op.factor))
    elif code == Code.PUT_PER:
        return put_zigzag(at, floor_div(int_at(view, i), op.factor))
    elif code == Code.PUT_DOUBLE:
        wide = float_at(view, i)
        memcpy(at, &wide, 8)
        return at + 8
    elif code == Code.PUT_FLOAT:
        single = <float>float_at(view, i)
        memcpy(at, &single, 4)
        return at + 4
    elif code == Code.PUT_SPAN:
        return put_span(at, span_of(view, i))
    elif code == Code.PUT_UCS4:
        return put_symbols(op, i, at)
    elif code == Code.PUT_FIXED:
        return put_bytes(at, item_at(view, i), op.size)
    elif code == Code.PUT_RAW:
        span = plain_span_at(view, i)
        return put_bytes(at, span.data, span.size)
    elif code == Code.PUT_SYMBOL:
        return put_zigzag(at, op.table[view.offset + i])
    elif code == Code.PUT_UUID:
        at[0] = 72      # 36, zigzag
        return put_uuid(at + 1, item_at(view, i))
    elif code == Code.PUT_DECIMAL or code == Code.PUT_DECIMAL_FIXED:
        return put_decimal(op, i, at)
    elif code == Code.PUT_NOTHING:
        return at
    return put_rare(op, i, at)


cdef inline bint is_padded(const Op* op) noexcept nogil:
    """Return whether put_padded() can write it. GIL: not needed."""
    return op.code == Code.PUT_SPAN and op.view.layout == Layout.PADDED and 0 < op.view.width <= SLACK and (
        op.view.stride == op.view.width
    )


cdef void put_column(const Op* op, Py_ssize_t start, Py_ssize_t n, uint8_t** places) noexcept nogil:
    """Write ``n`` items from ``start`` on, each at its place, and move the places behind them. GIL: not needed."""
    cdef uint64_t valid = valid_bits(&op.view, start, n) if op.branched else ~<uint64_t>0
    cdef Code code = op.code
    cdef Py_ssize_t i
    if code == Code.PUT_INT64:
        put_fixed_column(op, Code.PUT_INT64, valid, start, n, places)
    elif code == Code.PUT_INT32:
        put_fixed_column(op, Code.PUT_INT32, valid, start, n, places)
    elif code == Code.PUT_PER_1000:
        put_fixed_column(op, Code.PUT_PER_1000, valid, start, n, places)
    elif code == Code.PUT_PER_1000000:
        put_fixed_column(op, Code.PUT_PER_1000000, valid, start, n, places)
    elif code == Code.PUT_FLOAT64:
        put_fixed_column(op, Code.PUT_FLOAT64, valid, start, n, places)
    elif code == Code.PUT_FLOAT32:
        put_fixed_column(op, Code.PUT_FLOAT32, valid, start, n, places)
    elif code == Code.PUT_BOOL:
        put_fixed_column(op, Code.PUT_BOOL, valid, start, n, places)
    elif code == Code.PUT_BIT:
        put_fixed_column(op, Code.PUT_BIT, valid, start, n, places)
    elif code == Code.PUT_TEXT32:
        put_texts(op, False, valid, start, n, places)
    elif code == Code.PUT_TEXT64:
        put_texts(op, True, valid, start, n, places)
    elif is_padded(op):
        put_padded(op, valid, start, n, places)
    elif code == Code.PUT_RECORD and not op.branched:
        for i in range(op.n_items):
            put_column(&op.items[i], op.view.offset + start, n, places)
    else:
        for i in range(n):
            places[i] = put(op, start + i, places[i])


cdef size_t longest(const Op* op, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Return how many bytes none of the items ``start`` to ``stop`` exceeds. GIL: not needed."""
    cdef Code code = op.code
    cdef Layout layout = op.view.layout
    cdef size_t most = 0
    cdef Py_ssize_t i
    if code == Code.PUT_TEXT32 or code == Code.PUT_TEXT64 or code == Code.PUT_SPAN or code == Code.PUT_RAW:
        return op.bound + longest_span(&op.view, start, stop)
    if code == Code.PUT_RECORD:
        most = op.bound
        for i in range(op.n_items):
            most += longest(&op.items[i], op.view.offset + start, op.view.offset + stop)
        return most
    if code == Code.PUT_ARRAY and (layout == Layout.LIST32 or layout == Layout.LIST64) and is_plain(op.items):
        return op.bound + op.items.bound * widest_step(&op.view, layout == Layout.LIST64, start, stop)
    if code != Code.PUT_ARRAY and code != Code.PUT_MAP and code != Code.PUT_UNION:
        return room_for(op, start, start + 1)       # all alike
    for i in range(start, stop):
        most = max(most, room_for(op, i, i + 1))
    return most


cdef bint is_plain(const Op* op) noexcept nogil:
    """Return whether an item has no bytes or items of its own: its bound is all it takes. GIL: not needed."""
    return op.code < Code.PUT_SPAN and op.code != Code.PUT_TEXT32 and op.code != Code.PUT_TEXT64


cdef size_t room_for(const Op* op, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Return how many bytes items ``start`` to ``stop`` take at most. GIL: not needed."""
    cdef size_t total = <size_t>(op.bound * (stop - start))
    cdef const ArrayView* view = &op.view
    cdef Py_ssize_t i, first, last
    if start >= stop:
        return 0
    if op.code in (Code.PUT_TEXT32, Code.PUT_TEXT64, Code.PUT_RAW, Code.PUT_SPAN):
        total += total_span(view, start, stop)
    elif op.code == Code.PUT_UCS4:
        total += <size_t>view.width * (stop - start)
    elif op.code == Code.PUT_RECORD:
        for i in range(op.n_items):
            total += room_for(&op.items[i], view.offset + start, view.offset + stop)
    elif op.code == Code.PUT_ARRAY or op.code == Code.PUT_MAP:
        first = list_start(view, start)
        last = list_start(view, stop - 1) + list_size(view, stop - 1)
        for i in range(op.n_items):
            total += room_for(&op.items[i], first, last)
    elif op.code == Code.PUT_UNION:
        for i in range(start, stop):
            first = union_item(view, i)
            total += room_for(&op.items[union_child(view, i)], first, first + 1)
    return total


@cython.final
cdef class AvroColumns(ColumnEncoder):
    """The columns of one call, bound to an Avro type: a Source.

    Parameters
    ----------
    schema : AvroType
        A record; or any type, for a single column.
    rows : RowEncoder
        Of the same type: it encodes what has no native operation.
    values : Table or Column
        Borrowed and kept alive. Columns beside the record's fields are ignored.
    prefix : bytes
        Written before each record.
    limit : int, optional
        Bytes that columns may take which have to be encoded from Python objects now.

    Raises
    ------
    MemoryLimitExceeded
        If they take more.
    SerializationError
        If a column is missing or a value is not of its field's type, with row and field.
    """
    cdef bytes _prefix
    cdef list _segments         # of OpBlock, by row

    def __init__(self, schema, RowEncoder rows, values, bytes prefix=b"", limit=None):
        self._prefix = prefix
        self.begin(values, limit)
        if isinstance(values, Column):
            self.cut([(values, plan_column(schema, rows.root, values, (<Column>values).name, self))])
            return
        if schema.kind != "record":
            raise SerializationError(f"expected a record schema for a table, got {schema.label}")
        if not self.plan_whole(schema, rows, values):
            self.plan_parts(schema, rows, values)

    cdef bint plan_whole(self, object type, RowEncoder rows, Table table) except -1:
        """Plan columns of one part each; False if there are others. What a small table costs is mostly this."""
        cdef tuple names = rows.field_names()
        cdef Py_ssize_t i, n = len(names)
        cdef Column column
        cdef OpBlock segment, cached_plan
        cdef bint anew
        for i in range(n):
            column = table.get(names[i])
            if column is not None and column.objects is None and column.n_parts != 1:
                return False
        # Other threads bind columns of the same schema, and reuse_plan() lets the GIL go: operations that they may follow are
        # never changed, but others take their place.
        with cython.critical_section(rows):
            cached_plan = rows.cached_plan
        anew = cached_plan is None
        segment = new_ops(n)
        for i in range(n):
            column = table.get(names[i])
            if cached_plan is None or column is None or column.objects is not None or column.nan_is_missing or not reuse_plan(
                &segment.ops[i], &cached_plan.ops[i], column.parts
            ):
                segment.ops[i] = self.plan_field(type, rows, table, i).ops[0]
                anew = True
        segment.stop = self.n
        if anew:
            with cython.critical_section(rows):
                rows.cached_plan = segment
        self._segments = [segment]
        return True

    cdef int plan_parts(self, object type, RowEncoder rows, Table table) except -1:
        """Plan columns of several parts."""
        cdef tuple names = rows.field_names()
        self.cut([(table.get(name), self.plan_field(type, rows, table, i)) for i, name in enumerate(names)])
        return 0

    cdef OpBlock plan_field(self, object type, RowEncoder rows, Table table, Py_ssize_t i):
        """Return the operations for one field of the record: from its column, or else from its default."""
        cdef OpBlock block
        name = rows.field_names()[i]
        column = table.get(name)
        if column is not None:
            return plan_column(type.fields[i].type, rows.field_writer(i), column, name, self)
        default = rows.field_default(i)
        if default is None:
            names = ", ".join(map(repr, table.names))
            raise SerializationError(
                f"no column of that name, and the field has no default; the columns are {names}", field=name
            )
        block = new_ops(1)
        plan_constant(block.ops, default, self.owners)
        return block

    cdef int cut(self, list planned) except -1:
        """Make segments: rows between two borders of parts of any column."""
        cdef Column column
        cdef OpBlock block, segment
        cdef Py_ssize_t part, i, start = 0
        borders = {self.n}
        for column, block in planned:
            if column is not None and block.n == column.n_parts:
                for part in range(column.n_parts):
                    borders.add(column.starts[part])
        borders.discard(0)
        self._segments = []
        for stop in sorted(borders):
            segment = new_ops(len(planned))
            segment.start = start
            segment.stop = stop
            for i, (column, block) in enumerate(planned):
                if column is not None and column.objects is None and block.n == column.n_parts:
                    part = column.part_of(start)
                    segment.ops[i] = block.ops[part]
                    segment.ops[i].view.offset += start - column.starts[part]
                else:
                    segment.ops[i] = block.ops[0]
                    segment.ops[i].view.offset += start
            self._segments.append(segment)
            start = stop
        return 0

    cdef Py_ssize_t segment_of(self, Py_ssize_t row) noexcept:
        """Return the segment that holds ``row``, by bisection."""
        cdef Py_ssize_t low = 0, high = len(self._segments) - 1, middle
        while low < high:
            middle = (low + high + 1) // 2
            if (<OpBlock>self._segments[middle]).start <= row:
                low = middle
            else:
                high = middle - 1
        return low

    cdef size_t bound(self, Py_ssize_t start, Py_ssize_t stop) except? 0:
        cdef size_t room = <size_t>(PyBytes_GET_SIZE(self._prefix) * (stop - start))
        cdef OpBlock block
        cdef Py_ssize_t i, last, segment = self.segment_of(start)
        while start < stop:
            block = self._segments[segment]
            last = min(stop, block.stop)
            with nogil:
                for i in range(block.n):
                    room += room_for(&block.ops[i], start - block.start, last - block.start)
            start = last
            segment += 1
        return room

    cdef EncodedBatch encode(self, Py_ssize_t start, Py_ssize_t stop, Arena arena):
        cdef const uint8_t* prefix = <const uint8_t*>PyBytes_AS_STRING(self._prefix)
        cdef Py_ssize_t prefix_size = PyBytes_GET_SIZE(self._prefix)
        cdef OpBlock block
        cdef Py_ssize_t last, row = start, segment = self.segment_of(start)
        cdef bint room
        arena.start(stop - start)
        while row < stop:
            block = self._segments[segment]
            last = min(stop, block.stop)
            with nogil:
                room = encode_rows(
                    block.ops, block.n, row - block.start, last - block.start, prefix, prefix_size, arena, row - start
                )
            if not room:
                raise MemoryError()
            row = last
            segment += 1
        return arena.batch(stop - start)


cdef bint encode_rows(const Op* ops, Py_ssize_t n_ops, Py_ssize_t start, Py_ssize_t stop, const uint8_t* prefix,
                      Py_ssize_t prefix_size, Arena arena, Py_ssize_t row) noexcept nogil:
    """Run the loop over blocks; False without memory. GIL: not needed."""
    cdef Py_ssize_t j, n, n_loops = -1, most = BLOCK
    cdef size_t place, more
    cdef bint room
    for j in range(n_ops):
        n_loops += loops_of(&ops[j])
    while start < stop:
        n = min(most, stop - start)
        place = prefix_size + SLACK
        for j in range(n_ops):
            more = longest(&ops[j], start, start + n)
            if more >= TOO_LONG:
                return False
            place += more
        if n_loops > 0 and place <= <size_t>(GAP * n_loops):
            most = max(<Py_ssize_t>1, min(<Py_ssize_t>BLOCK, <Py_ssize_t>(SPREAD // place)))
            n = min(n, most)
            room = put_block(ops, n_ops, start, n, prefix, prefix_size, arena, row, place, stop - start)
        else:
            most = BLOCK
            room = put_rows(ops, n_ops, start, n, prefix, prefix_size, arena, row, stop - start)
        if not room:
            return False
        start += n
        row += n
    return True


cdef Py_ssize_t loops_of(const Op* op) noexcept nogil:
    """Return how many columns here have a loop of their own in put_column(). GIL: not needed."""
    cdef Py_ssize_t i, total = 0
    if op.code == Code.PUT_RECORD and not op.branched:
        for i in range(op.n_items):
            total += loops_of(&op.items[i])
        return total
    return op.code != Code.PUT_NOTHING and op.code <= Code.PUT_TEXT64 or is_padded(op)


cdef bint put_block(const Op* ops, Py_ssize_t n_ops, Py_ssize_t start, Py_ssize_t n, const uint8_t* prefix,
                    Py_ssize_t prefix_size, Arena arena, Py_ssize_t row, size_t place, Py_ssize_t left) noexcept nogil:
    """Write a block by columns, each record at a ``place`` of its own until the gaps are closed. GIL: not needed."""
    cdef uint8_t* places[BLOCK]
    cdef uint8_t* base
    cdef Py_ssize_t i, j
    if not has_room_onwards(&arena.out, place * n, row, left):
        return False
    base = arena.out.data + arena.out.size
    for i in range(n):
        places[i] = put_bytes(base + i * place, prefix, prefix_size)
    for j in range(n_ops):
        put_column(&ops[j], start, n, places)
    arena.out.size = close_gaps(base, place, places, n, arena.offsets + row + 1, arena.out.data) - arena.out.data
    return True


cdef bint put_rows(const Op* ops, Py_ssize_t n_ops, Py_ssize_t start, Py_ssize_t n, const uint8_t* prefix,
                   Py_ssize_t prefix_size, Arena arena, Py_ssize_t row, Py_ssize_t left) noexcept nogil:
    """Write the same row by row: long records are copied to their end at once. GIL: not needed."""
    cdef size_t room = <size_t>(prefix_size * n)
    cdef uint8_t* at
    cdef Py_ssize_t i, j
    for j in range(n_ops):
        room += room_for(&ops[j], start, start + n)
    if not has_room_onwards(&arena.out, room, row, left):
        return False
    at = arena.out.data + arena.out.size
    for i in range(n):
        at = put_bytes(at, prefix, prefix_size)
        for j in range(n_ops):
            at = put(&ops[j], start + i, at)
        arena.offsets[row + 1 + i] = at - arena.out.data
    arena.out.size = at - arena.out.data
    return True
