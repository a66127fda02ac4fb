"""Binding: which operation writes which column as which Protobuf field, and that no value of it can fail.

As with Avro (avro/plan.pyx): a pair of column and field is native if an operation of C code can write it and every value
was found good. Anything else is encoded from Python objects right here: that is slower, gives the same bytes, and finds the
row and the path of a bad value.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memset
cimport cython

from twolane._units cimport S_NS
from twolane.batch cimport Span
from twolane.encoding.column_encoder cimport ColumnEncoder
from twolane.encoding.memory.arena cimport Arena, append
from twolane.encoding.columns.array_view cimport (
    Layout, LogicalType, ArrayView, bool_at, index_at, int_at, is_valid, list_size, list_start, plain_span_at, span_of,
)
from twolane.encoding.columns.checks cimport (
    first_null, first_null_inside, has_bytes, in_range, in_single_range, items_of,
)
from twolane.encoding.columns.objects cimport is_missing, is_missing_or_nan, object_at
from twolane.encoding.columns.selection cimport with_nan_as_null
from twolane.encoding.columns.table cimport Column
from twolane.encoding.protobuf.objects cimport lay_out

import numpy as np

from twolane.encoding.mismatch import MemoryLimitExceeded, Mismatch
from twolane.encoding.protobuf.objects import WRAPPERS

cdef enum:
    LONGEST = 10            # bytes of a varint at most
# Of each kind of integers: how it is written, whether with zigzag, its lowest and its highest value.
cdef dict INTEGERS = {
    "int32": (<int>Wire.VARINT, False, -(2**31), 2**31 - 1),
    "int64": (<int>Wire.VARINT, False, -(2**63), 2**63 - 1),
    "uint32": (<int>Wire.VARINT, False, 0, 2**32 - 1),
    "uint64": (<int>Wire.VARINT, False, 0, 2**64 - 1),
    "sint32": (<int>Wire.VARINT, True, -(2**31), 2**31 - 1),
    "sint64": (<int>Wire.VARINT, True, -(2**63), 2**63 - 1),
    "fixed32": (<int>Wire.I32, False, 0, 2**32 - 1),
    "fixed64": (<int>Wire.I64, False, 0, 2**64 - 1),
    "sfixed32": (<int>Wire.I32, False, -(2**31), 2**31 - 1),
    "sfixed64": (<int>Wire.I64, False, -(2**63), 2**63 - 1),
}
cdef str KNOWN = "google.protobuf."
# Seconds: the years 1 to 9999, and what a Duration reaches on either side. The second is not included.
cdef tuple INSTANTS = (-62_135_596_800, 253_402_300_800)
cdef tuple DURATIONS = (-315_576_000_000, 315_576_000_001)


@cython.final
cdef class OpBlock:
    """Owner of a row of operations."""

    def __dealloc__(self):
        PyMem_Free(self.ops)


cdef OpBlock new_ops(Py_ssize_t n):
    cdef OpBlock block = OpBlock.__new__(OpBlock)
    block.ops = <Op*>PyMem_Calloc(max(n, 1), sizeof(Op))
    if block.ops == NULL:
        raise MemoryError()
    block.n = n
    return block


cdef OpBlock plan_column(object field, Column column, object encode, ColumnEncoder encoder):
    """Make an operation for each part of a column, or one for all of a column of objects; the encoder owns what they read."""
    cdef OpBlock block
    cdef Py_ssize_t part, n_owners = len(encoder.owners)
    if field.presence or field.kind not in ("double", "float"):
        column = with_nan_as_null(column)
    if column.objects is None:
        block = new_ops(column.n_parts)
        for part in range(column.n_parts):
            if not plan_native(&block.ops[part], field, &column.parts[part], encoder.owners, False):
                break
        else:
            # The numbers of enums were looked up for every row.
            encoder.spend_arrays(n_owners)
            encoder.owners += (block, column)
            return block
    block = new_ops(1)
    if column.objects is None or not plan_plain_objects(block.ops, field, column, encoder):
        plan_objects(block.ops, field, column, encode, encoder)
    encoder.owners.append(block)
    return block


cdef bint plan_plain_objects(Op* op, object field, Column column, ColumnEncoder encoder) except -1:
    """Plan a column of objects of the plainest types, as a column of their own; False if there are others, or bad values."""
    cdef ArrayView view
    cdef size_t left = encoder.left
    cdef Py_ssize_t n_owners = len(encoder.owners)
    memset(&view, 0, sizeof(view))
    if lay_out(&view, field, column.snapshot(), encoder, 0) and plan_native(op, field, &view, encoder.owners, False):
        return True
    encoder.left = left
    del encoder.owners[n_owners:]
    memset(op, 0, sizeof(Op))
    return False


cdef int plan_objects(Op* op, object field, Column column, object encode, ColumnEncoder encoder) except -1:
    """Encode a whole column from Python objects; the operation then copies the bytes."""
    cdef Arena arena = encoder.start_values(column.length)
    cdef Py_ssize_t part, i, row = 0
    cdef tuple objects = None
    cdef bytes encoded
    cdef object value = None
    cdef bint is_map = field.message is not None and field.message.is_map
    # NaN is missing where a number cannot be, as in rows; what pandas means by it was seen to before.
    cdef bint takes_nan = field.kind in ("double", "float") or field.repeated or field.message is not None
    if column.objects is not None:
        objects = column.snapshot()
    for part in range(column.n_parts if objects is None else 1):
        for i in range(column.parts[part].length if objects is None else column.length):
            try:
                value = object_at(&column.parts[part], i) if objects is None else objects[i]
                if is_missing(value) if takes_nan else is_missing_or_nan(value):
                    if field.required:
                        raise Mismatch(f"{field.label}, which is required", value)
                else:
                    encoded = encode(field.name, mapping_of(value) if is_map else value)
                    append(&arena.out, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))
            except Mismatch as error:
                raise error.as_error(row, field.name) from None
            except RecursionError:
                raise Mismatch("a value that is not nested so deep", value).as_error(row, field.name) from None
            row += 1
            arena.offsets[row] = arena.out.size
            if arena.out.size > encoder.left:
                raise MemoryLimitExceeded()
    op.code = Code.PUT_RAW
    return encoder.keep_values(arena, column.length, &op.view)


cdef object mapping_of(object value):
    """Return entries that came as structs of a key and a value as a dict, which rows have for a map; anything else as it is."""
    if isinstance(value, list) and all([isinstance(entry, dict) and entry.keys() == {"key", "value"} for entry in value]):
        return {entry["key"]: entry["value"] for entry in value}
    return value


cdef bint is_present(const Op* op, Py_ssize_t i) noexcept nogil:
    """Return whether item ``i`` of a field with presence is written. GIL: not needed."""
    if op.code == Code.PUT_RAW:
        return plain_span_at(&op.view, i).size > 0
    return is_valid(&op.view, i)


cdef int put_tag(Op* op, object field, Wire wire) except -1:
    """Set the tag: the field's number and how the value is written, as a varint."""
    cdef uint64_t rest = <uint64_t>field.number << 3 | <uint64_t>wire
    op.wire = wire
    op.tag = op.tag_size = 0
    while rest >= 0x80:
        op.tag |= (rest & 0x7F | 0x80) << (8 * op.tag_size)
        op.tag_size += 1
        rest >>= 7
    op.tag |= rest << (8 * op.tag_size)
    op.tag_size += 1
    return 0


cdef bint plan_native(Op* op, object field, const ArrayView* view, list keep, bint nulls_ok) except -1:
    """Fill the operation; False if there is none, or a value may fail. With ``nulls_ok`` the caller sees to nulls."""
    if field.required and not nulls_ok and first_null(view) >= 0:
        return False
    if view.layout == Layout.NULLS:
        op.view = view[0]       # nothing is written
        return True
    if field.repeated:
        op.view = view[0]
        return plan_map(op, field, view, keep) if field.message is not None and field.message.is_map else (
            plan_list(op, field, view, keep)
        )
    return plan_value(op, field, view, keep, field.presence)


cdef bint plan_value(Op* op, object field, const ArrayView* view, list keep, bint always) except -1:
    """Do the same for a field that is not repeated, or for the items of one that is."""
    cdef str kind = field.kind
    cdef Layout layout = view.layout
    cdef bint is_integer = Layout.INT8 <= layout <= Layout.UINT64
    op.view = view[0]
    op.always = always
    put_tag(op, field, Wire.LEN)
    op.bound = op.tag_size + LONGEST
    if layout == Layout.UNREADABLE:
        return False
    if field.message is not None:
        return plan_message(op, field, view, keep)
    if view.logical != LogicalType.PLAIN and view.logical != LogicalType.TEXT:
        return False
    if kind == "string" or kind == "bytes":
        op.code = Code.PUT_UCS4 if layout == Layout.UCS4 else Code.PUT_SPAN
        return has_bytes(view, kind == "string")
    if kind == "enum":
        put_tag(op, field, Wire.VARINT)
        return plan_enum(op, field.enum, view, keep)
    if kind == "bool":
        put_tag(op, field, Wire.VARINT)
        op.code = Code.PUT_BOOL
        return layout == Layout.BIT or layout == Layout.BYTE_BOOL
    if kind == "double":
        put_tag(op, field, Wire.I64)
        op.code = Code.PUT_DOUBLE
        return is_integer or Layout.FLOAT16 <= layout <= Layout.FLOAT64
    if kind == "float":
        put_tag(op, field, Wire.I32)
        op.code = Code.PUT_FLOAT
        return is_integer or layout == Layout.FLOAT16 or layout == Layout.FLOAT32 or (
            layout == Layout.FLOAT64 and in_single_range(view)
        )
    wire, zigzag, low, high = INTEGERS[kind]
    put_tag(op, field, <Wire><int>wire)
    op.code = Code.PUT_ZIGZAG if zigzag else (
        Code.PUT_INT64 if layout == Layout.INT64 and not view.swapped else Code.PUT_INTEGER)
    return is_integer and (never_leaves(layout, low, high) or are_between(view, low, high))


cdef bint never_leaves(Layout layout, object low, object high) except -1:
    """Return whether integers of this width cannot lie outside low..high."""
    cdef bint signed = layout <= Layout.INT64
    bits = 8 << (layout - Layout.INT8 if signed else layout - Layout.UINT8)
    return low <= (-(1 << (bits - 1)) if signed else 0) and (1 << (bits - signed)) - 1 <= high


cdef bint are_between(const ArrayView* view, object low, object high) except -1:
    """Return whether all integers lie in low..high."""
    cdef int64_t lowest = max(low, INT64_MIN)
    cdef int64_t highest = min(high, INT64_MAX)
    cdef bint good
    with nogil:
        good = in_range(view, lowest, highest)
    return good


cdef bint plan_enum(Op* op, object enum, const ArrayView* view, list keep) except -1:
    """Plan numbers as they are, as an open enum takes all of 32 bits; look names up once for each dictionary entry."""
    cdef const ArrayView* plain = view
    cdef dict numbers = {**enum.numbers, **{name.encode(): number for name, number in enum.numbers.items()}}
    cdef Py_ssize_t i
    cdef int32_t* entries
    cdef int32_t* rows
    cdef int32_t last = 0
    cdef Span span, before
    if Layout.INT8 <= view.layout <= Layout.UINT64:
        op.code = Code.PUT_INTEGER
        known = set(numbers.values())
        if enum.closed:
            for i in range(view.length):
                if is_valid(view, i) and int_at(view, i) not in known:
                    return False
        return never_leaves(view.layout, -(2**31), 2**31 - 1) or are_between(view, -(2**31), 2**31 - 1)
    if view.layout == Layout.DICTIONARY:
        plain = view.dictionary
    if plain.layout not in (Layout.UCS4, Layout.PADDED, Layout.BINARY32, Layout.BINARY64, Layout.BINARY_VIEW):
        return False
    looked_up = np.zeros(plain.length, dtype=np.int32)
    entries = <int32_t*><uintptr_t>looked_up.__array_interface__["data"][0]
    before.data = NULL
    before.size = -1
    for i in range(plain.length):
        if not is_valid(plain, i):
            if plain != view:
                return False
            continue
        span = plain_span_at(plain, i)
        # Neighbours are often alike.
        if span.size != before.size or memcmp(span.data, before.data, span.size) != 0:
            number = numbers.get(
                object_at(plain, i) if plain.layout == Layout.UCS4
                else PyBytes_FromStringAndSize(<const char*>span.data, span.size))
            if number is None:
                # Not every entry of a dictionary is used.
                if plain == view or uses(view, i):
                    return False
                continue
            last = number
            before = span
        entries[i] = last
    if plain != view:
        keep.append(looked_up)
        looked_up = np.zeros(view.length, dtype=np.int32)
        rows = <int32_t*><uintptr_t>looked_up.__array_interface__["data"][0]
        for i in range(view.length):
            if is_valid(view, i):
                rows[i] = entries[index_at(view, i)]
        entries = rows
    op.code = Code.PUT_SYMBOL
    # Looked up by the item's number with its offset, as every other operation is.
    op.table = entries - view.offset
    keep.append(looked_up)
    return True


cdef bint uses(const ArrayView* view, Py_ssize_t entry) noexcept nogil:
    """Return whether an item has this entry of its dictionary. GIL: not needed."""
    cdef Py_ssize_t i
    for i in range(view.length):
        if is_valid(view, i) and index_at(view, i) == entry:
            return True
    return False


cdef bint plan_message(Op* op, object field, const ArrayView* view, list keep) except -1:
    """Plan a struct, or what stands for a well-known message: times, durations, the value of a wrapper."""
    cdef OpBlock block
    cdef str name = field.message.name
    if field.kind == "group":
        put_tag(op, field, Wire.END_GROUP)
        op.end_tag = op.tag
        put_tag(op, field, Wire.START_GROUP)
        op.code = Code.PUT_GROUP
        op.bound = 2 * op.tag_size
    else:
        op.code = Code.PUT_MESSAGE
    if view.layout == Layout.STRUCT:
        return plan_struct(op, field.message, view, keep)
    if name == KNOWN + "Timestamp":
        op.code = Code.PUT_TIMESTAMP
        return view.logical in (LogicalType.TIMESTAMP, LogicalType.DATE) and plan_ticks(op, view, INSTANTS)
    if name == KNOWN + "Duration":
        op.code = Code.PUT_DURATION
        return view.logical == LogicalType.DURATION and plan_ticks(op, view, DURATIONS)
    if name not in WRAPPERS:
        return False
    block = new_ops(1)
    keep.append(block)
    op.items = block.ops
    op.n_items = 1
    if not plan_value(op.items, field.message.fields[0], view, keep, False):
        return False
    op.items.view.offset = 0        # put() hands over the number with its offset
    return True


cdef bint plan_ticks(Op* op, const ArrayView* view, tuple seconds) except -1:
    """Plan ticks that seconds consist of, or that consist of seconds, within a range of seconds."""
    op.bound += 2 * (LONGEST + 1)
    if view.layout != Layout.INT64 and view.layout != Layout.INT32:
        return False
    if S_NS % view.tick_ns == 0:
        op.ticks = S_NS // view.tick_ns
        return are_between(view, seconds[0] * op.ticks, seconds[1] * op.ticks - 1)
    op.ticks = -(view.tick_ns // S_NS)
    return view.tick_ns % S_NS == 0 and are_between(view, -(-seconds[0] // -op.ticks), (seconds[1] - 1) // -op.ticks)


cdef bint plan_struct(Op* op, object message, const ArrayView* view, list keep) except -1:
    """Plan fields from the children of their names."""
    cdef OpBlock block = new_ops(len(message.fields))
    cdef ArrayView child
    cdef Py_ssize_t i
    cdef Op* item
    cdef bint nulls_ok
    cdef dict children = {}
    cdef dict places = {}
    for i in range(view.n_children):
        if view.children[i].name != NULL:
            children[<bytes>view.children[i].name] = i
    keep.append(block)
    op.items = block.ops
    for field in message.fields:
        found = children.pop(field.name.encode(), None)
        if found is None:
            if field.required:
                return False
            continue
        child = view.children[<Py_ssize_t>found]
        # Items of the struct are items of its children: both are counted from the struct's offset.
        child.offset += view.offset
        child.length = view.length
        nulls_ok = field.required and view.validity != NULL and (
            first_null_inside(view, &view.children[<Py_ssize_t>found]) < 0)
        hide_below_nulls(view, &child, 1, keep)
        item = &op.items[op.n_items]
        if not plan_native(item, field, &child, keep, nulls_ok):
            return False
        item.view.offset -= view.offset
        places[field.name] = op.n_items
        op.n_items += 1
    if children and (message.strict or not places):
        return False
    for members in message.oneofs.values():
        given = [places[name] for name in [message.fields[i].name for i in members] if name in places]
        if len(given) > 1 and shares_row(op, given):
            return False
    return True


cdef int hide_below_nulls(const ArrayView* view, ArrayView* child, Py_ssize_t n, list keep) except -1:
    """Make the ``n`` items of a child that lie below each null null too: what they are counts for nothing, and may be anything."""
    cdef Py_ssize_t i, first = child.offset & ~<Py_ssize_t>7
    cdef bytes block
    cdef uint8_t* bits
    if view.validity == NULL or child.layout == Layout.NULLS:
        return 0
    block = bytes((child.offset + child.length - first + 7) >> 3)
    bits = <uint8_t*>PyBytes_AS_STRING(block) - (first >> 3)
    with nogil:
        for i in range(child.length):
            if is_valid(view, i // n) and is_valid(child, i):
                bits[(child.offset + i) >> 3] |= <uint8_t>(1 << ((child.offset + i) & 7))
    child.validity = bits
    keep.append(block)
    return 0


cdef bint shares_row(const Op* op, list members) except -1:
    """Return whether two of these fields are set in one struct."""
    cdef Py_ssize_t i, j
    cdef int n
    for i in range(op.view.length):
        n = 0
        if is_valid(&op.view, i):
            for j in members:
                n += is_present(&op.items[j], op.view.offset + i)
        if n > 1:
            return True
    return False


cdef bint plan_list(Op* op, object field, const ArrayView* view, list keep) except -1:
    """Plan lists, each item with its tag or all of them behind one."""
    cdef OpBlock block = new_ops(1)
    cdef ArrayView child
    keep.append(block)
    op.items = block.ops
    op.n_items = 1
    put_tag(op, field, Wire.LEN)
    op.bound = op.tag_size + LONGEST
    op.code = Code.PUT_PACKED if field.packed else Code.PUT_LIST
    if view.layout == Layout.SUBARRAY:
        return plan_subarray(op, field, view, keep)
    if not items_of(view, &child) or has_null_item(view):
        return False
    if child.length == 0 or child.layout == Layout.NULLS:
        return True         # no list has an item
    if view.layout == Layout.FIXED_LIST:
        hide_below_nulls(view, &child, view.width, keep)
    if not plan_value(op.items, field, &child, keep, True):
        return False
    # put() counts them from the child's own first item again.
    op.items.view.offset -= child.offset - view.children[0].offset
    return True


cdef bint has_null_item(const ArrayView* view) noexcept nogil:
    """Return whether a list that is not null has an item that is. GIL: not needed."""
    cdef const ArrayView* items = view.children
    cdef Py_ssize_t i, j
    if items.validity == NULL and items.layout != Layout.NULLS:
        return False
    for i in range(view.length):
        if is_valid(view, i):
            for j in range(list_start(view, i), list_start(view, i) + list_size(view, i)):
                if not is_valid(items, j):
                    return True
    return False


cdef bint plan_subarray(Op* op, object field, const ArrayView* view, list keep) except -1:
    """Plan rows of a numpy array with two dimensions: planned from the first row, if no value of any row can fail."""
    cdef ArrayView child = view.children[0]
    cdef Layout layout = child.layout
    child.data = view.data
    child.length = 0
    if layout != Layout.BYTE_BOOL and not Layout.INT8 <= layout <= Layout.FLOAT64 or field.kind == "enum":
        return False
    if field.kind in INTEGERS and Layout.INT8 <= layout <= Layout.UINT64:
        low, high = INTEGERS[field.kind][2:]
        if not never_leaves(layout, low, high):
            return False
    if field.kind == "float" and layout == Layout.FLOAT64:
        return False
    if not plan_value(op.items, field, &child, keep, True):
        return False
    op.bound += view.width * op.items.bound
    return True


cdef bint plan_map(Op* op, object field, const ArrayView* view, list keep) except -1:
    """Plan Arrow's maps, and lists of structs of a key and a value."""
    cdef OpBlock block = new_ops(2)
    cdef ArrayView entries
    cdef ArrayView child
    cdef Py_ssize_t i, j
    keep.append(block)
    op.items = block.ops
    op.n_items = 2
    put_tag(op, field, Wire.LEN)
    op.code = Code.PUT_MAP
    if not items_of(view, &entries) or has_null_item(view):
        return False
    if entries.length == 0:
        return True
    if entries.layout != Layout.STRUCT or entries.n_children != 2:
        return False
    for i in range(2):
        j = i
        if view.layout != Layout.MAP:
            names = [entries.children[0].name, entries.children[1].name]
            if field.message.fields[i].name.encode() not in names:
                return False
            j = names.index(field.message.fields[i].name.encode())
        child = entries.children[j]
        child.offset += entries.offset
        child.length = entries.length
        if first_null_inside(&entries, &entries.children[j]) >= 0 or not plan_value(&op.items[i], field.message.fields[i], &child, keep, True):
            return False
        # put() counts entries from the start of the map's own child.
        op.items[i].view.offset -= entries.offset - view.children[0].offset
    op.items[0].bound += op.tag_size + LONGEST
    return sort_entries(op, keep)


cdef int compare_keys(const Op* key, Py_ssize_t one, Py_ssize_t other) noexcept nogil:
    """Compare two keys of a map: numbers as such, texts by their bytes. GIL: not needed."""
    cdef const ArrayView* view = &key.view
    cdef Span left, right
    cdef int64_t low, high
    cdef int order
    if key.code == Code.PUT_SPAN:
        left = span_of(view, one)
        right = span_of(view, other)
        order = memcmp(left.data, right.data, min(left.size, right.size))
        return order if order else (left.size > right.size) - (left.size < right.size)
    if key.code == Code.PUT_BOOL:
        return bool_at(view, one) - bool_at(view, other)
    low = int_at(view, one)
    high = int_at(view, other)
    if view.layout == Layout.UINT64:
        return (<uint64_t>low > <uint64_t>high) - (<uint64_t>low < <uint64_t>high)
    return (low > high) - (low < high)


cdef bint sort_entries(Op* op, list keep) except -1:
    """Find the order of the keys, in which a map is written; False if one is there twice."""
    cdef const ArrayView* view = &op.view
    cdef Py_ssize_t i, j, first = list_start(view, 0), last = list_start(view, view.length - 1) + list_size(view, view.length - 1)
    cdef int64_t* order
    cdef bint good = True
    with nogil:
        for i in range(view.length):
            if is_valid(view, i):
                for j in range(list_start(view, i) + 1, list_start(view, i) + list_size(view, i)):
                    good = good and compare_keys(op.items, j - 1, j) < 0
    if good:
        return True
    entries = np.arange(first, last, dtype=np.int64)
    keep.append(entries)
    order = <int64_t*><uintptr_t>entries.__array_interface__["data"][0] - first
    op.order = order
    good = True
    with nogil:
        for i in range(view.length):
            if good and is_valid(view, i):
                good = sort_keys(op.items, order + list_start(view, i), list_size(view, i))
    return good


cdef bint sort_keys(const Op* key, int64_t* order, Py_ssize_t n) noexcept nogil:
    """Sort the entries of one map in place, with ever smaller gaps (Shell); False if two keys are equal. GIL: not needed."""
    cdef Py_ssize_t gap = n // 2, i, j
    cdef int64_t entry
    while gap > 0:
        for i in range(gap, n):
            entry = order[i]
            j = i
            while j >= gap and compare_keys(key, order[j - gap], entry) > 0:
                order[j] = order[j - gap]
                j -= gap
            order[j] = entry
        gap = 1 if gap == 2 else gap * 5 // 11
    for i in range(1, n):
        if compare_keys(key, order[i - 1], order[i]) == 0:
            return False
    return True
