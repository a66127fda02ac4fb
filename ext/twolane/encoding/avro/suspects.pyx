"""Which rows of columns may be bad as Avro, found without a Python object for any of them.

Only what binding (plan.pyx) has no native operation for is bad, or has to be looked at as a Python object to know: parts
of a column that fail as a whole are halved until single rows are left.
"""
from libc.stdint cimport INT32_MAX, INT32_MIN, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memset

from twolane.encoding.avro.plan cimport Op, plan_native
from twolane.encoding.avro.rows cimport RowEncoder
from twolane.encoding.columns.table cimport Column, Table, address_of
from twolane.encoding.columns.array_view cimport Layout, LogicalType, ArrayView, int_at, is_valid

import numpy as np

cdef enum:
    LOOK = 1                # whether it is bad is not known
    IS_NULL = 2             # bad for sure: a null where none may be
    OUT_OF_RANGE = 3        # bad for sure: an integer


cdef int mark_plain(object type, const ArrayView* view, int32_t field, int32_t* fields, uint8_t* why) except -1:
    """Mark nulls and integers that are bad for sure; what an earlier field says of a row stands."""
    cdef Py_ssize_t i
    cdef int64_t number
    cdef bint nullable = type.kind == "union" or type.kind == "null"
    cdef bint narrow = type.kind == "int" and type.logical is None
    cdef bint ranged = view.logical == LogicalType.PLAIN and Layout.INT8 <= view.layout <= Layout.UINT64 and type.logical is None and (
        narrow or (type.kind == "long" and view.layout == Layout.UINT64)
    )
    if nullable or (view.validity == NULL and not ranged):
        return 0
    for i in range(view.length):
        if not is_valid(view, i):
            if fields[i] < 0:
                fields[i] = field
                why[i] = IS_NULL
        elif ranged:
            number = int_at(view, i)
            if (narrow and not INT32_MIN <= number <= INT32_MAX) or (number < 0 and view.layout == Layout.UINT64):
                if fields[i] < 0:
                    fields[i] = field
                    why[i] = OUT_OF_RANGE
    return 0


cdef bint is_native(object type, const ArrayView* view, Py_ssize_t first, Py_ssize_t n, list keep) except -1:
    """Return whether some items have a native operation; nulls do not count where `mark_plain` has seen to them."""
    cdef ArrayView part = view[0]
    cdef Op op
    cdef bint good
    memset(&op, 0, sizeof(op))
    part.offset += first
    part.length = n
    good = plan_native(&op, type, &part, keep, type.kind != "union" and type.kind != "null")
    keep.clear()
    return good


cdef int halve(object type, const ArrayView* view, Py_ssize_t first, Py_ssize_t n, int32_t field, int32_t* fields,
               uint8_t* why, list keep) except -1:
    """Mark rows that have no native operation for themselves."""
    if is_native(type, view, first, n, keep):
        return 0
    if n == 1:
        fields[first] = field
        why[first] = LOOK
        return 0
    halve(type, view, first, n // 2, field, fields, why, keep)
    return halve(type, view, first + n // 2, n - n // 2, field, fields, why, keep)


cdef int mark_rest(object type, const ArrayView* view, int32_t field, int32_t* fields, uint8_t* why) except -1:
    """Look for other bad rows: in the part as a whole, and where that is not good run by run between those that are known."""
    cdef Py_ssize_t first = 0, i
    cdef list keep = []
    if is_native(type, view, 0, view.length, keep):
        return 0
    for i in range(view.length + 1):
        if i == view.length or fields[i] >= 0:
            if i > first:
                halve(type, view, first, i - first, field, fields, why, keep)
            first = i + 1
    return 0


def suspects(schema, RowEncoder rows, Table values):
    """Find the rows of a table that may be bad as records.

    Parameters
    ----------
    schema : AvroType
        A record.
    rows : RowEncoder
        Of that type.
    values : Table

    Returns
    -------
    tuple or None
        Arrays of n: the first field that is at fault, or -1; and why: it has to be looked at (1), it is null where it must
        not be (2), it is an integer out of range (3). None where a column is of Python objects, or there is none for a field.
    """
    cdef tuple names = rows.field_names()
    cdef Column column
    cdef Py_ssize_t i, part
    cdef int32_t* fields
    cdef uint8_t* why
    for i, name in enumerate(names):
        column = values.get(name)
        if (column is None and rows.field_default(i) is None) or (column is not None and column.objects is not None):
            return None
    first = np.full(values.length, -1, dtype=np.int32)
    reasons = np.zeros(values.length, dtype=np.uint8)
    fields = <int32_t*>address_of(first)
    why = <uint8_t*>address_of(reasons)
    for i, name in enumerate(names):
        column = values.get(name)
        if column is None:
            continue
        wanted = schema.fields[i].type
        for part in range(column.n_parts):
            mark_plain(wanted, &column.parts[part], i, fields + column.starts[part], why + column.starts[part])
            mark_rest(wanted, &column.parts[part], i, fields + column.starts[part], why + column.starts[part])
    return first, reasons


def integers(Column column not None, rows):
    """Return the integers of some rows, which are no nulls, as a list.

    Parameters
    ----------
    column : Column
        Of integers.
    rows : iterable of int
    """
    cdef ArrayView view
    cdef Py_ssize_t row
    found = []
    for row in rows:
        view = column.view_from(row)
        found.append(<uint64_t>int_at(&view, 0) if view.layout == Layout.UINT64 else int_at(&view, 0))
    return found
