"""Binding: which operation writes which column as which Avro type, and that no value of it can fail.

A pair of column and type is native if an operation of C code can write it and every value was found good. Anything else
(a type without such an operation, a value out of range, a null where none may be) is encoded from Python objects right
here: that is slower, gives the same bytes, and finds the row and the path of a bad value.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uintptr_t
from libc.string cimport memcmp
cimport cython

from twolane._units cimport DAY_NS
from twolane.batch cimport Span
from twolane.encoding.column_encoder cimport ColumnEncoder
from twolane.encoding.memory.arena cimport Arena
from twolane.encoding.avro.branches cimport branch_named, branch_of, value_at, with_nulls
from twolane.encoding.avro.rows cimport put_checked
from twolane.encoding.avro.writers cimport Writer
from twolane.encoding.columns.table cimport Column
from twolane.encoding.columns.objects cimport turn_to_wall
from twolane.encoding.columns.checks cimport (
    are_durations, are_uuids, first_null, first_null_inside, has_bytes, in_range, in_single_range, is_text,
    items_of,
)
from twolane.encoding.columns.array_view cimport (
    NO_MEMBER, Layout, LogicalType, ArrayView, index_at, is_valid, plain_span_at, union_child, union_item,
)

import numpy as np

from twolane._units import AVRO_NS
from twolane.encoding.mismatch import Mismatch, MemoryLimitExceeded

cdef enum:
    VARINT = 10             # bytes at most
    MAX_BRANCHES = 64       # so that a branch's number is one byte
# Nanoseconds of the unit of each logical type of times.
cdef dict TIME_UNITS = {"date": DAY_NS}
for ending, ns in AVRO_NS.items():
    for kind in ("timestamp", "local-timestamp", "time"):
        TIME_UNITS[f"{kind}-{ending}"] = ns


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


cdef OpBlock plan_column(object type, Writer writer, Column column, str field, ColumnEncoder encoder):
    """Make an operation for each part of a column, or one for all of a column of objects; the encoder owns what they read."""
    cdef OpBlock block
    cdef Py_ssize_t part, n_owners = len(encoder.owners)
    column = with_nulls(type, column)
    if column.objects is None:
        block = new_ops(column.n_parts)
        for part in range(column.n_parts):
            if not plan_native(&block.ops[part], type, &column.parts[part], encoder.owners):
                break
        else:
            # Symbols and clocks were looked up for every row.
            encoder.spend_arrays(n_owners)
            encoder.owners += (block, column)
            return block
    block = new_ops(1)
    plan_objects(block.ops, type, writer, column, field, encoder)
    encoder.owners.append(block)
    return block


cdef int plan_objects(Op* op, object type, Writer writer, Column column, str field, ColumnEncoder encoder) except -1:
    """Encode a whole column from Python objects; the operation then copies the bytes."""
    cdef Arena arena = encoder.start_values(column.length)
    cdef Py_ssize_t part, i, row = 0
    cdef tuple objects
    objects = column.snapshot() if column.objects is not None else None
    for part in range(column.n_parts if objects is None else 1):
        for i in range(column.parts[part].length if objects is None else column.length):
            if objects is None:
                try:
                    value = value_at(type, &column.parts[part], i)
                except Mismatch as error:
                    raise error.as_error(row, field) from None
            else:
                value = objects[i]
            put_checked(writer, value, &arena.out, row, field)
            row += 1
            arena.offsets[row] = arena.out.size
            if arena.out.size > encoder.left:
                raise MemoryLimitExceeded()
    op.code = Code.PUT_RAW
    return encoder.keep_values(arena, column.length, &op.view)


cdef int plan_constant(Op* op, bytes encoded, list keep) except -1:
    """Plan the same bytes for every row: a default."""
    op.code = Code.PUT_RAW
    op.view.layout = Layout.FIXED
    op.view.length = PY_SSIZE_T_MAX
    op.view.data = <const uint8_t*>PyBytes_AS_STRING(encoded)
    op.view.width = PyBytes_GET_SIZE(encoded)
    keep.append(encoded)
    return 0


cdef bint reuse_plan(Op* op, const Op* cached, const ArrayView* view) noexcept:
    """Fill the operation as for a column of the same field and layout before; False if this one has to be planned anew."""
    cdef const ArrayView* seen = &cached.view
    cdef bint good = True
    if cached.recheck == Recheck.EVERYTHING or seen.layout != view.layout or seen.logical != view.logical or (
        seen.width != view.width or seen.tick_ns != view.tick_ns or seen.swapped != view.swapped
        or seen.zoned != view.zoned
    ):
        return False
    if not cached.takes_nulls and first_null(view) >= 0:
        return False
    if cached.recheck == Recheck.UTF8:
        with nogil:
            good = is_text(view)
    op[0] = cached[0]
    op.view = view[0]
    return good


cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX


cdef bint plan_native(Op* op, object type, const ArrayView* view, list keep, bint nulls_ok=False) except -1:
    """Fill the operation; False if there is none, or a value may fail. With ``nulls_ok`` the caller sees to nulls."""
    op.view = view[0]
    op.bound = 0
    if view.layout == Layout.UNION_DENSE or view.layout == Layout.UNION_SPARSE:
        return plan_union(op, type, view, keep)
    if type.kind == "union":
        return plan_branch(op, type, -1, view, keep, nulls_ok)
    if type.kind == "null":
        op.code = Code.PUT_NOTHING
        return view.layout == Layout.NULLS
    return (nulls_ok or first_null(view) < 0) and plan_values(op, type, view, keep)


cdef bint plan_values(Op* op, object type, const ArrayView* view, list keep) except -1:
    """Plan the same for a type that is no union, and leaving nulls aside."""
    if view.layout == Layout.UNREADABLE:
        return False
    if type.logical is not None:
        return plan_logical(op, type, view, keep)
    return view.logical in (LogicalType.PLAIN, LogicalType.TEXT) and plan_plain(op, type, view, keep)


cdef bint plan_branch(
    Op* op, object type, Py_ssize_t branch, const ArrayView* view, list keep, bint nulls_ok
) except -1:
    """Plan all of a column as one branch of a union, and its nulls as null; -1 to choose the branch."""
    cdef Py_ssize_t null = branch_named(type, "null")
    if len(type.branches) > MAX_BRANCHES:
        return False
    op.branched = True
    op.takes_nulls = null >= 0
    op.null_byte = 2 * null if null >= 0 else 0
    if view.layout == Layout.NULLS:
        op.code = Code.PUT_NOTHING
        op.bound = 1
        return null >= 0
    if null < 0 and not nulls_ok and first_null(view) >= 0:
        return False
    if branch < 0:
        branch = branch_of(type, view)
    if branch < 0 or not plan_values(op, type.branches[branch], view, keep):
        return False
    op.value_byte = 2 * branch
    op.bound += 1
    return True


cdef bint plan_union(Op* op, object type, const ArrayView* view, list keep) except -1:
    """Plan a union of Arrow: each member for the type, as the branch of that name if there is one."""
    cdef OpBlock block = new_ops(view.n_children)
    cdef bint nullable = type.kind == "null" or (type.kind == "union" and branch_named(type, "null") >= 0)
    cdef const ArrayView* whole
    cdef ArrayView child
    cdef Py_ssize_t i, j, item, first, last, branch
    keep.append(block)
    op.code = Code.PUT_UNION
    op.items = block.ops
    op.n_items = block.n
    for i in range(view.length):
        j = union_child(view, i)
        if j == NO_MEMBER:
            return False
        item = union_item(view, i)
        whole = &view.children[j]
        if not 0 <= item < whole.length or not (nullable or is_valid(whole, item)):
            return False
    for j in range(view.n_children):
        # Only the items that are asked for have to be writable.
        first = PY_SSIZE_T_MAX
        last = -1
        for i in range(view.length):
            if union_child(view, i) == j:
                item = union_item(view, i)
                first = min(first, item)
                last = max(last, item)
        if last < 0:
            continue
        child = view.children[j]
        child.offset += first
        child.length = last + 1 - first
        branch = -1
        if type.kind == "union" and child.name != NULL:
            branch = branch_named(type, (<bytes>child.name).decode("utf-8", "replace"))
        if branch < 0 or type.branches[branch].kind == "null":
            if not plan_native(&block.ops[j], type, &child, keep, True):
                return False
        else:
            block.ops[j].view = child
            if not plan_branch(&block.ops[j], type, branch, &child, keep, True):
                return False
        block.ops[j].view.offset -= first
    return True


cdef bint plan_plain(Op* op, object type, const ArrayView* view, list keep) except -1:
    cdef Layout layout = view.layout
    cdef bint is_integer = Layout.INT8 <= layout <= Layout.UINT64
    wanted = type.kind
    if wanted == "boolean":
        op.code = Code.PUT_BIT if layout == Layout.BIT else Code.PUT_BOOL
        op.recheck = Recheck.NOTHING
        op.bound = 1
        return layout == Layout.BIT or layout == Layout.BYTE_BOOL
    if wanted == "long":
        return is_integer and plan_integer(op, view, INT64_MIN, INT64_MAX)
    if wanted == "int":
        return is_integer and plan_integer(op, view, INT32_MIN, INT32_MAX)
    if wanted == "double":
        op.code = Code.PUT_FLOAT64 if layout == Layout.FLOAT64 and not view.swapped else Code.PUT_DOUBLE
        op.recheck = Recheck.NOTHING
        op.bound = 8
        return is_integer or Layout.FLOAT16 <= layout <= Layout.FLOAT64
    if wanted == "float":
        op.code = Code.PUT_FLOAT32 if layout == Layout.FLOAT32 and not view.swapped else Code.PUT_FLOAT
        op.bound = 4
        return is_integer or layout == Layout.FLOAT16 or layout == Layout.FLOAT32 or (
            layout == Layout.FLOAT64 and in_single_range(view)
        )
    if wanted == "string" or wanted == "bytes":
        return plan_bytes(op, view, wanted == "string")
    if wanted == "fixed":
        op.code = Code.PUT_FIXED
        op.size = type.size
        op.bound = op.size
        return (layout == Layout.FIXED or layout == Layout.PADDED) and view.width == op.size
    if wanted == "enum":
        return plan_enum(op, type, view, keep)
    if wanted == "array":
        return plan_array(op, type, view, keep)
    if wanted == "map":
        return plan_map(op, type, view, keep)
    return wanted == "record" and layout == Layout.STRUCT and plan_record(op, type, view, keep)


cdef bint plan_integer(Op* op, const ArrayView* view, int64_t low, int64_t high) noexcept:
    """Plan integers as they are, if all lie in low..high; kinds that cannot leave it need no look."""
    cdef Layout layout = view.layout
    cdef bint safe
    op.code = Code.PUT_INTEGER
    if layout == Layout.INT64 and not view.swapped:
        op.code = Code.PUT_INT64
    elif layout == Layout.INT32 and not view.swapped:
        op.code = Code.PUT_INT32
    op.bound = VARINT
    if low == INT64_MIN:
        safe = layout != Layout.UINT64
    else:
        safe = low == INT32_MIN and layout not in (Layout.INT64, Layout.UINT64, Layout.UINT32)
    if safe:
        op.recheck = Recheck.NOTHING
    else:
        with nogil:
            safe = in_range(view, low, high)
    return safe


cdef bint plan_bytes(Op* op, const ArrayView* view, bint text) noexcept:
    """Plan byte strings; a string must be UTF-8, and bytes must not have been declared as text."""
    cdef bint good
    op.bound = VARINT
    op.code = (
        Code.PUT_UCS4 if view.layout == Layout.UCS4 else Code.PUT_TEXT32 if view.layout == Layout.BINARY32
        else Code.PUT_TEXT64 if view.layout == Layout.BINARY64 else Code.PUT_SPAN
    )
    if view.layout != Layout.DICTIONARY and view.layout != Layout.UCS4:
        op.recheck = Recheck.UTF8 if text and view.logical != LogicalType.TEXT else Recheck.NOTHING
    with nogil:
        good = has_bytes(view, text)
    return good


cdef bint plan_enum(Op* op, object type, const ArrayView* view, list keep) except -1:
    """Look symbols up now, once per row, or once per entry of a dictionary."""
    cdef const ArrayView* plain = view
    cdef Py_ssize_t i, j, n_symbols = len(type.symbols)
    cdef list symbols = [name.encode() for name in type.symbols]
    cdef int32_t* entries
    cdef int32_t* rows
    cdef Span span
    cdef bytes symbol
    if view.layout == Layout.DICTIONARY:
        plain = view.dictionary
    if plain.layout not in (Layout.PADDED, Layout.BINARY32, Layout.BINARY64, Layout.BINARY_VIEW):
        return False
    table = np.zeros(plain.length, dtype=np.int32)
    entries = <int32_t*><uintptr_t>table.__array_interface__["data"][0]
    for i in range(plain.length):
        if not is_valid(plain, i):
            entries[i] = -1
            continue
        span = plain_span_at(plain, i)
        # Neighbours are often alike; else the symbols one by one: enums are short.
        j = entries[i - 1] if i else 0
        for j in [j, *range(n_symbols)] if j >= 0 else range(n_symbols):
            symbol = symbols[j]
            if PyBytes_GET_SIZE(symbol) == span.size and memcmp(PyBytes_AS_STRING(symbol), span.data, span.size) == 0:
                entries[i] = j
                break
        else:
            entries[i] = -1
    if plain != view:
        looked_up = np.zeros(view.length, dtype=np.int32)
        rows = <int32_t*><uintptr_t>looked_up.__array_interface__["data"][0]
        for i in range(view.length):
            rows[i] = entries[index_at(view, i)] if is_valid(view, i) else 0
        table = looked_up
        entries = rows
    for i in range(view.length):
        if entries[i] < 0 and is_valid(view, i):
            return False
    op.code = Code.PUT_SYMBOL
    op.bound = VARINT
    # put() looks up by the item's absolute number, offset included, as for every other operation.
    op.table = entries - view.offset
    keep.append(table)
    return True


cdef bint plan_record(Op* op, object type, const ArrayView* view, list keep) except -1:
    cdef OpBlock block = new_ops(len(type.fields))
    cdef ArrayView child
    cdef Py_ssize_t i, j
    cdef bint found, nulls_ok
    keep.append(block)
    op.code = Code.PUT_RECORD
    op.items = block.ops
    op.n_items = block.n
    op.bound = 0
    if type.strict and view.n_children > len(type.fields):
        return False        # rows say which is too much
    for i, field in enumerate(type.fields):
        found = False
        for j in range(view.n_children):
            if view.children[j].name != NULL and <bytes>view.children[j].name == field.name.encode():
                child = view.children[j]
                # Items of the struct are items of its children: both are counted from the struct's offset.
                child.offset += view.offset
                child.length = view.length
                # A null record has nulls inside, mostly; what counts are those of the others.
                nulls_ok = view.validity != NULL and first_null_inside(view, &view.children[j]) < 0
                found = plan_native(&block.ops[i], field.type, &child, keep, nulls_ok)
                # put() hands over the struct's item number with its offset.
                block.ops[i].view.offset -= view.offset
                break
        if not found:
            return False
        op.bound += block.ops[i].bound
    return True


cdef bint plan_item(Op* op, object type, const ArrayView* view, ArrayView* child, list keep) except -1:
    """Plan the items of a list; put() counts them from the child's own first item again."""
    cdef Py_ssize_t shift = child.offset - view.children[0].offset
    if not plan_native(op, type, child, keep):
        return False
    op.view.offset -= shift
    return True


cdef bint plan_array(Op* op, object type, const ArrayView* view, list keep) except -1:
    cdef OpBlock block = new_ops(1)
    cdef ArrayView child
    keep.append(block)
    op.items = block.ops
    op.n_items = 1
    op.bound = VARINT + 1
    if view.layout == Layout.SUBARRAY:
        return plan_subarray(op, type, view, keep)
    op.code = Code.PUT_ARRAY
    return items_of(view, &child) and plan_item(block.ops, type.items, view, &child, keep)


cdef bint plan_subarray(Op* op, object type, const ArrayView* view, list keep) except -1:
    """Plan rows of a numpy array with two dimensions: planned from the first row, if no value of any row can fail."""
    cdef ArrayView child = view.children[0]
    cdef Layout layout = child.layout
    op.code = Code.PUT_SUBARRAY
    child.data = view.data
    child.length = 0
    if layout != Layout.BYTE_BOOL and not Layout.INT8 <= layout <= Layout.FLOAT64 or layout == Layout.UINT64:
        return False
    if type.items.logical is not None or (type.items.kind == "int" and layout in (Layout.INT64, Layout.UINT32)):
        return False
    if type.items.kind == "float" and layout == Layout.FLOAT64:
        return False
    if not plan_native(op.items, type.items, &child, keep):
        return False
    op.bound += view.width * op.items.bound
    return True


cdef bint plan_map(Op* op, object type, const ArrayView* view, list keep) except -1:
    """Plan Arrow's maps: lists of a struct of key and value."""
    cdef OpBlock block = new_ops(2)
    cdef ArrayView entries
    cdef ArrayView child
    cdef Py_ssize_t i
    keep.append(block)
    if view.layout != Layout.MAP or not items_of(view, &entries) or entries.n_children != 2:
        return False
    if first_null(&entries) >= 0:
        return False
    op.code = Code.PUT_MAP
    op.items = block.ops
    op.n_items = 2
    op.bound = VARINT + 1
    for i in range(2):
        child = entries.children[i]
        child.offset += entries.offset
        child.length = entries.length
        if i == 0 and (first_null(&child) >= 0 or not plan_bytes(&block.ops[0], &child, True)):
            return False
        if i == 0:
            block.ops[0].view = child
        elif not plan_native(&block.ops[1], type.items, &child, keep):
            return False
        # put() counts entries from the start of the map's own child.
        block.ops[i].view.offset -= entries.offset - view.children[0].offset
    return True


cdef bint plan_logical(Op* op, object type, const ArrayView* view, list keep) except -1:
    cdef int64_t unit
    cdef Layout layout = view.layout
    logical = type.logical
    if logical == "decimal":
        op.code = Code.PUT_DECIMAL_FIXED if type.kind == "fixed" else Code.PUT_DECIMAL
        op.size = type.size
        op.bound = VARINT + max(view.width, op.size)
        return view.logical == LogicalType.DECIMAL and layout == Layout.FIXED and view.scale == type.scale and (
            view.precision <= type.precision
        )
    if logical == "uuid":
        return plan_uuid(op, type, view)
    if logical == "duration":
        return plan_duration(op, view)
    if logical not in TIME_UNITS:
        return False
    unit = TIME_UNITS[logical]
    if view.logical == LogicalType.PLAIN and Layout.INT8 <= layout <= Layout.UINT64:
        if logical.startswith("time-"):
            return plan_integer(op, view, 0, DAY_NS // unit - 1)
        return plan_integer(op, view, INT32_MIN, INT32_MAX) if type.kind == "int" else (
            plan_integer(op, view, INT64_MIN, INT64_MAX)
        )
    if logical.startswith("time-"):
        if view.logical != LogicalType.TIME:
            return False
    elif view.logical != LogicalType.TIMESTAMP and view.logical != LogicalType.DATE:
        return False
    elif view.zoned and (logical == "date" or logical.startswith("local-")):
        if not turn_to_wall(&op.view, keep) or not plan_ticks(op, &op.view, unit, type.kind == "int"):
            return False
        op.recheck = Recheck.EVERYTHING
        return True
    return plan_ticks(op, view, unit, type.kind == "int")


cdef bint plan_uuid(Op* op, object type, const ArrayView* view) noexcept:
    """Plan from 16 bytes, or from the text that a UUID is written as: 36 characters, lower case."""
    cdef bint fixed = type.kind == "fixed"
    cdef bint good
    op.size = 16
    op.bound = 37
    if view.layout == Layout.FIXED and view.width == 16 and view.logical in (LogicalType.PLAIN, LogicalType.UUID):
        op.code = Code.PUT_FIXED if fixed else Code.PUT_UUID
        return True
    if view.layout not in (Layout.PADDED, Layout.BINARY32, Layout.BINARY64, Layout.BINARY_VIEW):
        return False
    op.code = Code.PUT_UUID_BYTES if fixed else Code.PUT_SPAN
    with nogil:
        good = are_uuids(view)
    return good


cdef bint plan_duration(Op* op, const ArrayView* view) except -1:
    """Plan Arrow's intervals and durations; months, days and milliseconds must fit into 32 bits without a sign."""
    cdef bint good
    op.bound = op.size = 12
    op.code = Code.PUT_DURATION
    if view.logical == LogicalType.DURATION:
        if DAY_NS % view.tick_ns and view.tick_ns % DAY_NS:
            return False
    elif view.logical != LogicalType.MONTHS:
        op.code = Code.PUT_FIXED
        return view.layout == Layout.FIXED and view.width == 12 and view.logical == LogicalType.PLAIN
    with nogil:
        good = are_durations(view)
    return good


cdef bint plan_ticks(Op* op, const ArrayView* view, int64_t unit, bint narrow) noexcept:
    """Plan ticks of the column's unit to ticks of the schema's, if the results fit into a long (or an int)."""
    cdef int64_t low = INT32_MIN if narrow else INT64_MIN
    cdef int64_t high = INT32_MAX if narrow else INT64_MAX
    cdef bint good = True
    if view.layout != Layout.INT64 and view.layout != Layout.INT32:
        return False
    op.bound = VARINT
    if view.tick_ns == unit:
        return plan_integer(op, view, low, high)
    if view.tick_ns > unit:
        if view.tick_ns % unit:
            return False
        op.factor = view.tick_ns // unit
        op.code = Code.PUT_TIMES
        with nogil:
            good = in_range(view, low // op.factor, high // op.factor)
        return good
    if unit % view.tick_ns:
        return False
    op.factor = unit // view.tick_ns
    op.code = Code.PUT_PER
    if view.layout == Layout.INT64 and not view.swapped:
        if op.factor == 1000:
            op.code = Code.PUT_PER_1000
        elif op.factor == 1_000_000:
            op.code = Code.PUT_PER_1000000
    if narrow and op.factor < 4_294_967_296:
        with nogil:
            good = in_range(view, low * op.factor, high * op.factor)
    elif not narrow:
        op.recheck = Recheck.NOTHING
    return good
