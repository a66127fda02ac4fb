"""Some rows of columns as columns of their own: the good rows of a call whose bad ones are skipped.

What has a fixed width is copied, and so are byte strings with offsets; dictionaries, the members of unions and the blocks
of long views are shared with the column they were chosen from. No Python object is made for a row.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

from twolane.batch cimport Span
from twolane.encoding.columns.table cimport Column, Table, address_of
from twolane.encoding.columns.array_view cimport (
    Layout, ArrayView, bool_at, float_at, has_value, is_valid, item_at, list_size, list_start, plain_span_at, union_item,
)

import numpy as np


cdef uint8_t* block_of(list keep, Py_ssize_t size) except NULL:
    """Return memory that lives as long as the list."""
    cdef bytes block = PyBytes_FromStringAndSize(NULL, max(size, 1))
    keep.append(block)
    return <uint8_t*>PyBytes_AS_STRING(block)


cdef Py_ssize_t item_bytes(const ArrayView* view) noexcept:
    """Return how many bytes one item takes in ``data``, of the kinds that have them side by side."""
    cdef Layout layout = view.index_layout if view.layout == Layout.DICTIONARY else view.layout
    if layout in (Layout.INT64, Layout.UINT64, Layout.FLOAT64):
        return 8
    if layout in (Layout.INT32, Layout.UINT32, Layout.FLOAT32):
        return 4
    if layout in (Layout.INT16, Layout.UINT16, Layout.FLOAT16):
        return 2
    if layout in (Layout.INT8, Layout.UINT8, Layout.BYTE_BOOL):
        return 1
    return 16 if layout == Layout.BINARY_VIEW else view.width


cdef int choose(const ArrayView* source, const int64_t* rows, Py_ssize_t n, ArrayView* out, list keep) except -1:
    """Choose items ``rows`` of a view as a view of their own."""
    cdef Py_ssize_t i
    cdef uint8_t* bits
    out[0] = source[0]
    out.length = n
    out.offset = 0
    if source.validity != NULL:
        bits = block_of(keep, (n + 7) >> 3)
        memset(bits, 0, (n + 7) >> 3)
        for i in range(n):
            bits[i >> 3] |= <uint8_t>(is_valid(source, rows[i]) << (i & 7))
        out.validity = bits
    if source.layout == Layout.NULLS or source.layout == Layout.UNREADABLE:
        return 0
    if source.layout == Layout.BIT:
        bits = block_of(keep, (n + 7) >> 3)
        memset(bits, 0, (n + 7) >> 3)
        for i in range(n):
            bits[i >> 3] |= <uint8_t>(bool_at(source, rows[i]) << (i & 7))
        out.data = bits
        return 0
    if source.layout == Layout.BINARY32 or source.layout == Layout.BINARY64:
        return choose_strings(source, rows, n, out, keep)
    if source.layout == Layout.UNION_DENSE or source.layout == Layout.UNION_SPARSE:
        return choose_members(source, rows, n, out, keep)
    if source.layout == Layout.STRUCT:
        return choose_fields(source, rows, n, out, keep)
    if source.layout == Layout.SUBARRAY:
        return choose_subarrays(source, rows, n, out, keep)
    if source.layout >= Layout.LIST32:
        return choose_lists(source, rows, n, out, keep)
    return choose_items(source, rows, n, out, keep)


cdef int choose_items(const ArrayView* source, const int64_t* rows, Py_ssize_t n, ArrayView* out, list keep) except -1:
    cdef Py_ssize_t i, size = item_bytes(source)
    cdef uint8_t* data = block_of(keep, n * size)
    out.data = data
    out.stride = size
    if size == 8:
        for i in range(n):
            memcpy(data + 8 * i, item_at(source, rows[i]), 8)
    elif size == 4:
        for i in range(n):
            memcpy(data + 4 * i, item_at(source, rows[i]), 4)
    else:
        for i in range(n):
            memcpy(data + size * i, item_at(source, rows[i]), size)
    return 0


cdef int choose_strings(const ArrayView* source, const int64_t* rows, Py_ssize_t n, ArrayView* out, list keep) except -1:
    cdef int64_t* offsets = <int64_t*>block_of(keep, (n + 1) * <Py_ssize_t>sizeof(int64_t))
    cdef uint8_t* data
    cdef Py_ssize_t i
    cdef Span span
    offsets[0] = 0
    for i in range(n):
        offsets[i + 1] = offsets[i] + (plain_span_at(source, rows[i]).size if is_valid(source, rows[i]) else 0)
    data = block_of(keep, offsets[n])
    for i in range(n):
        if offsets[i + 1] > offsets[i]:
            span = plain_span_at(source, rows[i])
            memcpy(data + offsets[i], span.data, offsets[i + 1] - offsets[i])
    out.layout = Layout.BINARY64
    out.offsets = offsets
    out.data = data
    return 0


cdef int choose_members(const ArrayView* source, const int64_t* rows, Py_ssize_t n, ArrayView* out, list keep) except -1:
    """Choose of a union which member, and which of its items, whether members lie side by side or not."""
    cdef uint8_t* types = block_of(keep, n)
    cdef int32_t* offsets = <int32_t*>block_of(keep, n * <Py_ssize_t>sizeof(int32_t))
    cdef Py_ssize_t i
    for i in range(n):
        types[i] = item_at(source, rows[i])[0]
        offsets[i] = <int32_t>union_item(source, rows[i])
    out.layout = Layout.UNION_DENSE
    out.data = types
    out.stride = 1
    out.offsets = offsets
    return 0


cdef ArrayView* children_of(ArrayView* out, Py_ssize_t n, list keep) except NULL:
    out.children = <ArrayView*>block_of(keep, n * <Py_ssize_t>sizeof(ArrayView))
    return out.children


cdef int choose_fields(const ArrayView* source, const int64_t* rows, Py_ssize_t n, ArrayView* out, list keep) except -1:
    cdef int64_t* inside = <int64_t*>block_of(keep, n * <Py_ssize_t>sizeof(int64_t))
    cdef ArrayView* children = children_of(out, source.n_children, keep)
    cdef Py_ssize_t i
    for i in range(n):
        inside[i] = rows[i] + source.offset
    for i in range(source.n_children):
        choose(&source.children[i], inside, n, &children[i], keep)
    return 0


cdef int choose_subarrays(const ArrayView* source, const int64_t* rows, Py_ssize_t n, ArrayView* out, list keep) except -1:
    """Choose of numpy's rows of items, which may lie apart from one another."""
    cdef ArrayView* child = children_of(out, 1, keep)
    cdef Py_ssize_t i, j, size
    cdef const uint8_t* at
    cdef uint8_t* data
    child[0] = source.children[0]
    size = child.width
    data = block_of(keep, n * source.width * size)
    out.data = data
    out.stride = source.width * size
    child.stride = size
    for i in range(n):
        at = item_at(source, rows[i])
        for j in range(source.width):
            memcpy(data + i * out.stride + j * size, at + j * source.children[0].stride, size)
    return 0


cdef int choose_lists(const ArrayView* source, const int64_t* rows, Py_ssize_t n, ArrayView* out, list keep) except -1:
    """Choose lists and maps, and the items that they hold."""
    cdef Py_ssize_t i, j, first, total = 0
    cdef bint fixed = source.layout == Layout.FIXED_LIST
    cdef int64_t* inside
    cdef int64_t* wide = NULL
    cdef int32_t* narrow = NULL
    for i in range(n):
        if fixed or is_valid(source, rows[i]):
            total += list_size(source, rows[i])
    inside = <int64_t*>block_of(keep, total * <Py_ssize_t>sizeof(int64_t))
    if source.layout == Layout.MAP:
        narrow = <int32_t*>block_of(keep, (n + 1) * <Py_ssize_t>sizeof(int32_t))
        narrow[0] = 0
        out.offsets = narrow
    elif not fixed:
        wide = <int64_t*>block_of(keep, (n + 1) * <Py_ssize_t>sizeof(int64_t))
        wide[0] = 0
        out.offsets = wide
        out.layout = Layout.LIST64
    total = 0
    for i in range(n):
        if fixed or is_valid(source, rows[i]):
            first = list_start(source, rows[i])
            for j in range(list_size(source, rows[i])):
                inside[total] = first + j
                total += 1
        if narrow != NULL:
            narrow[i + 1] = <int32_t>total
        elif wide != NULL:
            wide[i + 1] = total
    choose(source.children, inside, total, children_of(out, 1, keep), keep)
    return 0


cdef Column chosen_from(Column column, object rows):
    """Return these rows of a column; ``rows`` is an int64 array that rises."""
    cdef Column chosen = Column.__new__(Column)
    cdef const int64_t* numbers
    cdef const int64_t* inside
    cdef int64_t* moved
    cdef Py_ssize_t part, i, n, done = 0, made = 0
    cdef list keep = [column, rows]
    chosen.name = column.name
    chosen.length = len(rows)
    chosen.nan_is_missing = column.nan_is_missing
    chosen.is_numpy = column.is_numpy
    chosen._owners = keep
    if column.objects is not None:
        objects = column.snapshot()
        chosen.objects = [objects[row] for row in rows.tolist()]
        return chosen
    numbers = <const int64_t*>address_of(rows)
    chosen.make_parts(column.n_parts)
    for part in range(column.n_parts):
        n = 0
        while done + n < chosen.length and numbers[done + n] < column.starts[part + 1]:
            n += 1
        if n == 0 and (made or part + 1 < column.n_parts):
            continue
        inside = numbers + done
        if column.starts[part]:
            moved = <int64_t*>block_of(keep, n * <Py_ssize_t>sizeof(int64_t))
            for i in range(n):
                moved[i] = inside[i] - column.starts[part]
            inside = moved
        choose(&column.parts[part], inside, n, &chosen.parts[made], keep)
        done += n
        made += 1
        chosen.starts[made] = done
    chosen.n_parts = made
    return chosen


def select(values, rows):
    """Return some rows of a Table or a Column as one of their own.

    Parameters
    ----------
    values : Table or Column
    rows : ndarray of int64
        Rising numbers of rows.

    Returns
    -------
    Table or Column
    """
    cdef Table table
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    if isinstance(values, Column):
        return chosen_from(values, rows)
    table = Table.__new__(Table)
    table.names = list(values.names)
    for name, column in (<Table>values)._by_name.items():
        table._by_name[name] = chosen_from(column, rows)
    table.length = len(rows)
    return table


def null_rows(Column column not None):
    """Return which rows of a column are null, without asking Python: an array of bool, or None for a column of objects."""
    cdef Py_ssize_t part, i
    cdef uint8_t* at
    if column.objects is not None:
        return None
    flags = np.zeros(column.length, dtype=np.bool_)
    at = <uint8_t*>address_of(flags)
    for part in range(column.n_parts):
        for i in range(column.parts[part].length):
            at[column.starts[part] + i] = not has_value(&column.parts[part], i)
    return flags


cdef Column with_nan_as_null(Column column):
    """Return the column; of pandas', whose NaN say that a value is missing, one whose NaN are null."""
    cdef Column made
    cdef ArrayView* view
    cdef uint8_t* bits
    cdef Py_ssize_t i
    if not column.nan_is_missing:
        return column
    made = column.part(0, column.length)
    if column.objects is not None:
        made.objects = tuple([None if isinstance(value, float) and value != value else value for value in made.objects])
        return made
    if made.n_parts != 1 or not Layout.FLOAT16 <= made.parts.layout <= Layout.FLOAT64 or made.parts.validity != NULL:
        return column
    view = made.parts
    valid = bytes((view.offset + view.length) // 8 + 1)
    bits = <uint8_t*>PyBytes_AS_STRING(valid)
    for i in range(view.length):
        if float_at(view, i) == float_at(view, i):
            bits[(view.offset + i) >> 3] |= <uint8_t>(1 << ((view.offset + i) & 7))
    view.validity = bits
    made._owners = (made._owners, valid)
    return made
