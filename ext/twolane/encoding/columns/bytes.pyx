"""Ready bytes, one string per record: keys, and values that are bytes already. Also the int32 column of partitions.

Where the bytes lie in memory that stays put (bytes objects, Arrow blocks, numpy arrays), records are spans into it and
nothing is copied. Only numpy's four-byte strings are written anew, slice by slice.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8String, PyUnicode_DATA, PyUnicode_GET_LENGTH
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy
cimport cython

from twolane.batch cimport EncodedBatch, Span, span_at
from twolane.encoding.column_encoder cimport ColumnEncoder
from twolane.encoding.memory.arena cimport Arena, append, has_room
from twolane.encoding.memory.utf8 cimport first_no_text
from twolane.encoding.columns.table cimport Column, Table, as_column
from twolane.encoding.columns.objects cimport bytes_of, is_missing_or_nan, type_name
from twolane.encoding.columns.array_view cimport (
    Layout, LogicalType, ArrayView, has_value, int_at, is_valid, item_at, put_ucs4, span_of, swap32, ucs4_units,
)

import operator
from collections.abc import Mapping

import numpy as np

from twolane.errors import SerializationError

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX
    bint PyUnicode_IS_COMPACT_ASCII(object text)

cdef const uint8_t* NOTHING = <const uint8_t*>b""
# Records between two looks at the arena's room.
cdef enum:
    BLOCK = 256


@cython.final
cdef class BatchSource:
    """Records that are encoded already: an EncodedBatch, handed out slice by slice without copying.

    Parameters
    ----------
    batch : EncodedBatch
    n : int, optional
        Number of records; needed where the batch is constant.
    """
    cdef readonly EncodedBatch batch
    cdef Py_ssize_t _n

    def __init__(self, EncodedBatch batch, n=None):
        self.batch = batch
        self._n = len(batch) if n is None else n

    def __len__(self):
        return self._n

    def first_over(self, Py_ssize_t limit):
        """Find the first record whose bytes exceed `limit`: (index, size in bytes), or None."""
        cdef Py_ssize_t i, n = self.batch.column.n if self._n else 0
        cdef Span span
        with nogil:
            for i in range(n):
                span = span_at(&self.batch.column, i)
                if span.size > limit:
                    break
            else:
                i = -1
        return None if i < 0 or n == 0 else (i, span.size)

    def slice(self, Py_ssize_t start, Py_ssize_t stop):
        """Return records `start` to `stop` as an EncodedBatch that shares this one's memory."""
        return self.batch.slice(start, stop)


@cython.final
cdef class BytesColumns(ColumnEncoder):
    """Byte strings of a Column, handed out slice by slice as spans into the column's memory.

    Parameters
    ----------
    column : Column
        Bytes, strings, fixed-size bytes, or a dictionary of them. Kept alive.
    field : str, optional
        For error messages.
    """
    cdef Column _column
    cdef bint _written          # numpy's four-byte strings: UTF-8 is written into the arena

    def __init__(self, Column column, field=None):
        cdef Py_ssize_t part
        cdef const ArrayView* plain
        self.begin(column, None)
        self._column = column
        field = field or column.name or None
        for part in range(column.n_parts):
            plain = &column.parts[part]
            if plain.layout == Layout.DICTIONARY:
                plain = plain.dictionary
            if plain.layout == Layout.UCS4 and plain == &column.parts[part]:
                self._written = True
                check_ucs4(plain, column.starts[part], field)
            elif plain.layout not in (Layout.FIXED, Layout.PADDED, Layout.BINARY32, Layout.BINARY64, Layout.BINARY_VIEW, Layout.NULLS) or (
                plain.logical not in (LogicalType.PLAIN, LogicalType.TEXT)
            ):
                raise SerializationError(f"expected bytes or strings, got a column of {type_name(plain)}", field=field)

    def first_over(self, Py_ssize_t limit):
        """Find the first record whose bytes exceed `limit`: (index, size in bytes), or None."""
        cdef Py_ssize_t part, i = 0, size = 0
        cdef const ArrayView* view
        for part in range(self._column.n_parts):
            view = &self._column.parts[part]
            if view.layout in (Layout.FIXED, Layout.PADDED, Layout.UCS4) and view.width <= limit:
                continue
            with nogil:
                for i in range(view.length):
                    size = ucs4_bytes(view, i) if view.layout == Layout.UCS4 else valid_span(view, i).size
                    if size > limit:
                        break
                else:
                    size = -1
            if size > limit:
                return self._column.starts[part] + i, size
        return None

    cdef EncodedBatch encode(self, Py_ssize_t start, Py_ssize_t stop, Arena arena):
        cdef Py_ssize_t part, first, last, row = 0
        cdef ArrayView view
        if self._written:
            arena.start(stop - start)
            arena.mark_valid(stop - start)
        else:
            arena.start_spans(stop - start)
        if stop == start:
            return arena.span_batch(0, self._column)
        for part in range(self._column.part_of(start), self._column.n_parts):
            first = max(start, self._column.starts[part])
            last = min(stop, self._column.starts[part + 1])
            if first >= last:
                break
            view = self._column.parts[part]
            view.offset += first - self._column.starts[part]
            if self._written:
                write_ucs4(&view, arena, row, last - first)
            else:
                with nogil:
                    gather_spans(&view, arena.spans + row, last - first)
            row += last - first
        if self._written:
            return arena.batch(row, True)
        return arena.span_batch(row, self._column)


cdef inline Span valid_span(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return the bytes of item ``i``, or no bytes for a null: also one inside the dictionary. GIL: not needed; borrows."""
    cdef Span span
    span.data = NULL
    span.size = 0
    if has_value(view, i):
        span = span_of(view, i)
        if span.data == NULL:
            span.data = NOTHING     # an empty string of a block that was left out
    return span


cdef void gather_spans(const ArrayView* view, Span* spans, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        spans[i] = valid_span(view, i)


cdef Py_ssize_t ucs4_bytes(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return how many bytes numpy string ``i`` takes in UTF-8. GIL: not needed."""
    cdef const uint8_t* at = item_at(view, i)
    cdef Py_ssize_t j, size = 0
    cdef uint32_t unit = 0
    for j in range(ucs4_units(view, at) if is_valid(view, i) else 0):
        memcpy(&unit, at + 4 * j, 4)
        if view.swapped:
            unit = swap32(unit)
        size += 1 if unit < 0x80 else 2 if unit < 0x800 else 3 if unit < 0x10000 else 4
    return size


cdef int check_ucs4(const ArrayView* view, Py_ssize_t row, object field) except -1:
    """Refuse code points that UTF-8 does not know: surrogates, and what lies above U+10FFFF."""
    cdef Py_ssize_t i
    cdef uint32_t unit = 0
    with nogil:
        i = first_no_text(view, &unit)
    if i >= 0:
        raise SerializationError(
            f"expected a string that UTF-8 can hold, got code point U+{unit:04X}", index=row + i, field=field
        )
    return 0


cdef int write_ucs4(const ArrayView* view, Arena arena, Py_ssize_t row, Py_ssize_t n) except -1:
    """Write numpy strings as UTF-8 behind what the arena holds."""
    cdef Py_ssize_t i
    cdef bint room = True
    with nogil:
        for i in range(n):
            if i % BLOCK == 0:
                room = has_room(&arena.out, <size_t>BLOCK * view.width)
                if not room:
                    break
            if is_valid(view, i):
                arena.out.size = put_ucs4(arena.out.data + arena.out.size, view, i) - arena.out.data
            else:
                arena.valid[row + i] = 0
            arena.offsets[row + i + 1] = arena.out.size
    if not room:
        raise MemoryError()
    return 0


def spans_of(values, limit=None, *, field=None):
    """Return spans over bytes and ASCII strings as they are; over a copy of what may change, or is no UTF-8 yet.

    Parameters
    ----------
    values : iterable of bytes, str, bytearray, memoryview or None
    limit : int, optional
        Bytes; no value is begun when copies have reached them. All are taken without it.
    field : str, optional
        For error messages.

    Returns
    -------
    EncodedBatch
        Keeps the values alive.

    Raises
    ------
    SerializationError
        If an entry is of another type or cannot be UTF-8, with its index.
    """
    cdef Arena arena = Arena.__new__(Arena)
    cdef tuple kept = tuple(values)
    cdef Py_ssize_t i, n = len(kept), left = PY_SSIZE_T_MAX if limit is None else limit
    cdef list copies = []
    cdef Span* spans
    cdef object value
    cdef bytes copy
    arena.start_spans(n)
    spans = arena.spans
    for i in range(n):
        value = kept[i]
        if isinstance(value, bytes):
            spans[i].data = <const uint8_t*>PyBytes_AS_STRING(value)
            spans[i].size = PyBytes_GET_SIZE(value)
        elif isinstance(value, str) and PyUnicode_IS_COMPACT_ASCII(value):
            spans[i].data = <const uint8_t*>PyUnicode_DATA(value)
            spans[i].size = PyUnicode_GET_LENGTH(value)
        elif value is None or (not isinstance(value, str) and is_missing_or_nan(value)):
            spans[i].data = NULL
            spans[i].size = 0
        else:
            copy = ready_bytes(value, i, field)
            copies.append(copy)
            spans[i].data = <const uint8_t*>PyBytes_AS_STRING(copy)
            spans[i].size = PyBytes_GET_SIZE(copy)
            left -= PyBytes_GET_SIZE(copy)
            if left <= 0:
                n = i + 1
                break
    return arena.span_batch(n, (kept, copies))


cpdef bytes ready_bytes(object value, object index=None, object field=None):
    """Return what a record holds of one text or buffer, as plain ``bytes``: the rule for keys, values and headers.

    A class derived from str or bytes counts as its base, whatever its methods say.

    Parameters
    ----------
    value : str, bytes, bytearray or memoryview
    index : int, optional
        The record's row, for error messages.
    field : str, optional
        For error messages.

    Raises
    ------
    SerializationError
        If it is none of these, or a str with a lone surrogate.
    """
    cdef bytes copy
    if isinstance(value, str):
        try:
            return PyUnicode_AsUTF8String(value)    # the str would keep what PyUnicode_AsUTF8 gives
        except UnicodeEncodeError:
            raise SerializationError(
                "expected a string that UTF-8 can hold (it has a lone surrogate)", index=index, field=field, value=value
            ) from None
    copy = bytes_of(value)
    if copy is None:
        way = "" if field is not None and field.startswith("headers") else "; a serializer takes more, such as serializer=Json()"
        raise SerializationError("expected bytes, str or None" + way, index=index, field=field, value=value)
    return copy


def bytes_source(values, n=None, *, field=None, scalars=True):
    """Bind byte strings, one per record, to a source that hands them out slice by slice.

    Parameters
    ----------
    values : sequence of bytes, str, bytearray, memoryview or None; array; Column; or one of these for all records
        numpy ``S`` (padding NULs cut off), ``V`` and ``U`` arrays, Arrow binary and string arrays, also large, view,
        fixed-size and dictionary ones. str becomes UTF-8. None and Arrow nulls become null records. Arrays and bytes
        objects are borrowed and kept alive; bytearrays and memoryviews are copied.
    n : int, optional
        Number of records expected; needed for one scalar for all.
    field : str, optional
        For error messages, such as ``"key"``.
    scalars : bool, default True
        Whether one scalar for all is welcome.

    Returns
    -------
    Source
        With ``len()``, ``first_over(limit)`` and ``slice(start, stop)``.

    Raises
    ------
    SerializationError
        If an entry is of another type or cannot be UTF-8 (with its index), or the length is not `n`.
    """
    cdef Column column
    if is_missing_or_nan(values):
        values = None
    if values is None or isinstance(values, (bytes, str, bytearray, memoryview)):
        if not scalars or n is None:
            raise SerializationError("expected a sequence or an array with one entry per record", field=field, value=values)
        return BatchSource(constant_of(values, field), n)
    if isinstance(values, Table):
        names = ", ".join(map(repr, (<Table>values).names))
        raise SerializationError(f"expected bytes, got a table of the columns {names}: it needs a serializer, such as Json(), Avro(schema) or Struct(layout)", field=field)
    if isinstance(values, Mapping):
        raise SerializationError("expected bytes or a sequence of bytes; a table needs a serializer, such as Json()", field=field, value=values)
    if isinstance(values, EncodedBatch):
        source = BatchSource(values, n if values.is_constant else None)
    else:
        column = as_column(values, field or "")
        if column is not None and column.objects is None:
            source = BytesColumns(column, field)
        else:
            try:
                entries = column.snapshot() if column is not None else tuple(values)
            except TypeError:
                raise SerializationError("expected bytes or a sequence of bytes", field=field, value=values) from None
            source = BatchSource(spans_of(entries, field=field))
    if n is not None and len(source) != n:
        raise SerializationError(f"expected {n} entries, one per record, got {len(source)}", field=field)
    return source


cdef EncodedBatch constant_of(object value, object field):
    cdef EncodedBatch batch
    try:
        batch = spans_of((value,), field=field)
    except SerializationError as error:
        error.index = None      # it stands for every record
        raise
    batch.column.broadcast = 1
    return batch


def joined(batches, Py_ssize_t n):
    """Copy the records of several batches behind one another.

    Parameters
    ----------
    batches : iterable of EncodedBatch
        Each is dropped before the next is asked for.
    n : int
        How many records they have together.

    Returns
    -------
    EncodedBatch
        Owns its memory. The GIL is held.
    """
    cdef Arena arena = Arena.__new__(Arena)
    cdef EncodedBatch batch
    cdef Py_ssize_t i, row = 0
    cdef Span span
    arena.start(n)
    arena.mark_valid(n)
    for batch in batches:
        if batch.column.n > n - row:
            raise ValueError(f"expected {n} records")
        for i in range(batch.column.n):
            span = span_at(&batch.column, i)
            if span.data == NULL:
                arena.valid[row] = 0
            else:
                append(&arena.out, span.data, span.size)
            row += 1
            arena.offsets[row] = arena.out.size
        batch = None
    if row != n:
        raise ValueError(f"expected {n} records, got {row}")
    return arena.batch(n, True)


def int32_column(values, n, field="partitions", *, low=-1):
    """Bring integers, one per record or one for all, into an int32 array.

    Parameters
    ----------
    values : int, or array_like of int, shape (n,)
        numpy, Arrow, a sequence, or a Column.
    n : int
        Number of records.
    field : str
        For error messages.
    low : int, default -1
        The lowest value allowed. -1 is librdkafka's "any partition".

    Returns
    -------
    ndarray of int32, shape (n,)

    Raises
    ------
    SerializationError
        If an entry is missing, no integer or out of range (with its index), or the length is not `n`.
    """
    cdef Column column = as_column(values, field)
    cdef Py_ssize_t part, i = 0
    cdef const ArrayView* view
    cdef int32_t* out
    cdef int64_t number = 0, least = low
    cdef bint bad
    if column is None:
        return np.full(n, one_int32(values, low, None, field), dtype=np.int32)
    if column.length != n:
        raise SerializationError(f"expected {n} entries, one per record, got {column.length}", field=field)
    result = np.empty(n, dtype=np.int32)
    out = <int32_t*><uintptr_t>result.__array_interface__["data"][0]
    if column.objects is not None:
        for i, value in enumerate(column.snapshot()):
            out[i] = one_int32(value, low, i, field)
        return result
    for part in range(column.n_parts):
        view = &column.parts[part]
        if not Layout.INT8 <= view.layout <= Layout.UINT64 or view.logical != LogicalType.PLAIN:
            raise SerializationError(f"expected integers, got a column of {type_name(view)}", field=field)
        bad = False
        with nogil:
            for i in range(view.length):
                number = int_at(view, i)
                if number < least or number > INT32_MAX or not is_valid(view, i):
                    bad = True
                    break
                out[column.starts[part] + i] = <int32_t>number
        if bad:
            shown_value = (<uint64_t>number if view.layout == Layout.UINT64 else number) if is_valid(view, i) else None
            one_int32(shown_value, low, column.starts[part] + i, field)
    return result


def index_of(value, reason, index, field, topic=None):
    """Return a value of any class of integers as an int; SerializationError for anything else, and for a bool."""
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise SerializationError(reason, index=index, field=field, value=value, topic=topic)


cdef int32_t one_int32(object value, object low, object index, object field) except? -1:
    number = index_of(value, "expected an int", index, field)
    if not low <= number <= INT32_MAX:
        raise SerializationError(f"expected an int from {low} to {INT32_MAX}", index=index, field=field, value=value)
    return number
