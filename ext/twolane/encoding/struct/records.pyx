"""Records of fixed layout: C structs, as numpy dtypes or the struct module describe them.

A record is ``itemsize`` bytes, its fields lie at their offsets, and padding between them is zero (never what the caller's array
happens to hold there).
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8String
from libc.math cimport fabs
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset
cimport cython

from twolane._units cimport MAX_SINGLE
from twolane.batch cimport EncodedBatch, Span
from twolane.encoding.column_encoder cimport ColumnEncoder
from twolane.encoding.memory.arena cimport Arena, make_room, put_bytes
from twolane.encoding.columns.table cimport Column, Table, read_dtype
from twolane.encoding.columns.objects cimport bytes_of, is_integer, is_missing, item_of, object_at
from twolane.encoding.columns.array_view cimport (
    Layout, LogicalType, ArrayView, bool_at, float_at, int_at, is_valid, item_at, span_of, swap16, swap32, swap64,
)

from datetime import date, datetime, timedelta

import numpy as np

from twolane.encoding.mismatch import Mismatch
from twolane.encoding.named_rows import fields_of
from twolane.encoding.avro.schema import MISSING
from twolane.errors import SerializationError

cdef object ABSENT = MISSING
cdef object ndarray = np.ndarray
cdef object INTEGER = np.integer
cdef object FLOATING = np.floating

cdef enum Move:
    COPY            # the same bytes
    STORE_INT
    STORE_FLOAT
    STORE_BOOL
    STORE_SPAN      # shorter strings are filled up with zeros


cdef struct Leaf:
    Move move
    Py_ssize_t offset       # in the record
    Py_ssize_t width
    ArrayView target           # kind, width and byte order of the field
    ArrayView source


cdef inline void store_int(const ArrayView* target, uint8_t* at, int64_t value) noexcept nogil:
    """Write an integer in the field's width and byte order. GIL: not needed."""
    cdef uint64_t eight = <uint64_t>value
    cdef uint32_t four = <uint32_t>value
    cdef uint16_t two = <uint16_t>value
    if target.width == 8:
        if target.swapped:
            eight = swap64(eight)
        memcpy(at, &eight, 8)
    elif target.width == 4:
        if target.swapped:
            four = swap32(four)
        memcpy(at, &four, 4)
    elif target.width == 2:
        if target.swapped:
            two = swap16(two)
        memcpy(at, &two, 2)
    else:
        at[0] = <uint8_t>value


cdef inline void store_float(const ArrayView* target, uint8_t* at, double value) noexcept nogil:
    """Write a double or a float in the field's byte order. GIL: not needed."""
    cdef uint64_t eight = 0
    cdef uint32_t four = 0
    cdef float single
    if target.layout == Layout.FLOAT64:
        memcpy(&eight, &value, 8)
        store_int(target, at, <int64_t>eight)
    else:
        single = <float>value
        memcpy(&four, &single, 4)
        store_int(target, at, <int64_t>four)


cdef inline void copy_items(
    const ArrayView* source, Py_ssize_t start, Py_ssize_t n, uint8_t* at, Py_ssize_t record, const Py_ssize_t width
) noexcept nogil:
    """Copy as many bytes as they are of ``n`` items; a constant ``width`` spares a call for each. GIL: not needed."""
    cdef const uint8_t* item = item_at(source, start)
    cdef Py_ssize_t i
    for i in range(n):
        put_bytes(at + i * record, item + i * source.stride, width)


cdef void copy_leaf(const Leaf* leaf, Py_ssize_t start, Py_ssize_t n, uint8_t* at, Py_ssize_t record) noexcept nogil:
    """Copy one field of ``n`` records that lies in its column as it does in them. GIL: not needed."""
    if leaf.width == 8:
        copy_items(&leaf.source, start, n, at, record, 8)
    elif leaf.width == 4:
        copy_items(&leaf.source, start, n, at, record, 4)
    elif leaf.width == 1:
        copy_items(&leaf.source, start, n, at, record, 1)
    else:
        copy_items(&leaf.source, start, n, at, record, leaf.width)


cdef void run_leaf(const Leaf* leaf, Py_ssize_t start, Py_ssize_t n, uint8_t* out, Py_ssize_t record) noexcept nogil:
    """Copy one field of ``n`` records. GIL: not needed."""
    cdef uint8_t* at = out + leaf.offset
    cdef Span span
    if leaf.move == Move.COPY:
        copy_leaf(leaf, start, n, at, record)
        return
    for i in range(start, start + n):
        if leaf.move == Move.STORE_INT:
            store_int(&leaf.target, at, int_at(&leaf.source, i))
        elif leaf.move == Move.STORE_FLOAT:
            store_float(&leaf.target, at, float_at(&leaf.source, i))
        elif leaf.move == Move.STORE_BOOL:
            at[0] = bool_at(&leaf.source, i)
        else:
            span = span_of(&leaf.source, i)
            if span.size > 0:
                memcpy(at, span.data, min(span.size, leaf.width))
        at += record


cdef tuple int_range(const ArrayView* target):
    bits = 8 * target.width
    if target.layout >= Layout.UINT8:
        return 0, 2**bits - 1
    return -(2**(bits - 1)), 2**(bits - 1) - 1


cdef object inner_layout(object dtype):
    """Return the layout of a nested record or of one item of a subarray; None for a plain field."""
    if dtype.names is not None:
        return StructLayout(dtype)
    if dtype.subdtype is None:
        return None
    item, shape = dtype.subdtype
    return StructLayout(np.dtype([("item", item if len(shape) == 1 else (item, shape[1:]))]))


cdef bint wraps(object value, object stored) except -1:
    """Return whether numpy stored another time: it lets those wrap around that a finer unit cannot hold."""
    given = value
    if not isinstance(value, (np.datetime64, np.timedelta64)):
        if not isinstance(value, (date, timedelta)):
            return False        # numbers are ticks, and text is checked by numpy
        given = (np.timedelta64 if isinstance(value, timedelta) else np.datetime64)(value, "us")
    if np.isnat(given) or np.promote_types(given.dtype, stored.dtype) != stored.dtype:
        return False            # a coarser unit holds all of a finer one
    return stored.astype(given.dtype) != given


cdef object time_for(object dtype, object value):
    """Return what numpy is to store as a time: it would take numbers and text for times, and the one kind of time for the other."""
    if is_integer(value):
        if not -(2**63) < value < 2**63:
            raise Mismatch(f"{dtype}, within its range", value)
        return int(value)
    if dtype.kind == "m":
        if not isinstance(value, (timedelta, np.timedelta64)) or value != value:
            raise Mismatch(str(dtype), value)
        return value.to_timedelta64() if hasattr(value, "to_timedelta64") else value
    if not isinstance(value, (date, np.datetime64)) or value != value:
        raise Mismatch(str(dtype), value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.replace(tzinfo=None) - value.utcoffset()
    return value.to_datetime64() if hasattr(value, "to_datetime64") else value      # pandas' nanoseconds, which numpy drops


@cython.final
cdef class StructLayout:
    """Fields and their places; encodes rows.

    Parameters
    ----------
    dtype : numpy.dtype
        Structured.
    """
    cdef readonly object dtype
    cdef readonly Py_ssize_t width
    cdef list _names
    cdef list _dtypes
    cdef list _inner            # per field: the layout of a nested record or of a subarray's item, or None
    cdef list _keep
    cdef Leaf* _leaves
    cdef Py_ssize_t _n
    cdef bint _nameless         # its fields have no names but those that they got: f0, f1, ...

    def __init__(self, dtype):
        cdef Py_ssize_t i
        cdef ArrayView nested[64]
        PyMem_Free(self._leaves)
        self.dtype = dtype
        self.width = dtype.itemsize
        self._names = list(dtype.names)
        self._n = len(self._names)
        self._dtypes = [dtype.fields[name][0] for name in self._names]
        self._inner = [inner_layout(dtype) for dtype in self._dtypes]
        self._nameless = self._names == [f"f{i}" for i in range(self._n)]
        self._keep = []
        self._leaves = <Leaf*>PyMem_Calloc(max(self._n, 1), sizeof(Leaf))
        if self._leaves == NULL:
            raise MemoryError()
        for i, name in enumerate(self._names):
            field = self._dtypes[i]
            self._leaves[i].offset = dtype.fields[name][1]
            self._leaves[i].width = field.itemsize
            if self._inner[i] is not None:
                self._leaves[i].target.layout = Layout.UNREADABLE       # not one value
            else:
                read_dtype(&self._leaves[i].target, field, name, nested, self._keep)

    def __dealloc__(self):
        PyMem_Free(self._leaves)

    cdef int put_row(self, object row, uint8_t* at) except -1:
        """Write one row: a dict, another row with names, a tuple, an object, or for a single field its bare value."""
        cdef Py_ssize_t i
        memset(at, 0, self.width)
        if type(row) is not dict and type(row) is not tuple:
            row = self.opened(row)
        for i in range(self._n):
            name = self._names[i]
            if isinstance(row, dict):
                value = item_of(<PyObject*>row, <PyObject*>name, <PyObject*>ABSENT)
            elif type(row) is tuple:
                if len(row) != self._n:
                    raise Mismatch(f"a row of {self._n} fields", row)
                value = row[i]
            else:
                value = getattr(row, name, ABSENT)
            try:
                if value is ABSENT:
                    raise Mismatch(f"{self._dtypes[i]} (the field is missing)", MISSING)
                self.put_value(i, value, at + self._leaves[i].offset)
            except Mismatch as error:
                error.path.append(name)
                raise
        return 0

    cdef object opened(self, object row):
        """Return a row as a dict, as a tuple in the layout's order, or itself if its attributes are to be read."""
        if self._n == 1 and isinstance(row, (int, float, str, bytes, INTEGER, FLOATING)):
            return (row,)
        if self._nameless and (isinstance(row, tuple) or (isinstance(row, np.void) and row.dtype.names is not None)):
            return tuple(row)       # of a format of the struct module
        fields = fields_of(row, self._names)
        if fields is None:
            raise Mismatch(f"a row of {self._n} fields", row)
        return fields

    cdef int put_value(self, Py_ssize_t i, object value, uint8_t* at) except -1:
        cdef const ArrayView* target = &self._leaves[i].target
        cdef uint64_t bits
        if self._inner[i] is not None:
            self.put_parts(i, value, at)
        elif target.logical == LogicalType.PLAIN and Layout.INT8 <= target.layout <= Layout.UINT64:
            if not is_integer(value):
                raise Mismatch(str(self._dtypes[i]), value)
            low, high = int_range(target)
            if not low <= value <= high:
                raise Mismatch(f"{self._dtypes[i]}, from {low} to {high}", value)
            bits = int(value) & 0xFFFFFFFFFFFFFFFF
            store_int(target, at, <int64_t>bits)
        elif Layout.FLOAT16 <= target.layout <= Layout.FLOAT64:
            if not isinstance(value, (float, FLOATING)) and not is_integer(value):
                raise Mismatch(str(self._dtypes[i]), value)
            try:
                number = float(value)
            except OverflowError:
                raise Mismatch(str(self._dtypes[i]), value) from None
            if target.layout == Layout.FLOAT16:
                self.put_by_numpy(i, number, at)
                return 0
            if target.layout == Layout.FLOAT32 and MAX_SINGLE <= abs(number) < float("inf"):
                raise Mismatch("float32, within single precision's range", value)
            store_float(target, at, number)
        elif target.layout == Layout.BYTE_BOOL:
            if not isinstance(value, (bool, np.bool_)):
                raise Mismatch("bool", value)
            at[0] = 1 if value else 0
        elif target.layout == Layout.PADDED or target.layout == Layout.FIXED:
            self.put_byte_string(i, value, at)
        else:
            self.put_by_numpy(i, value, at)
        return 0

    cdef int put_byte_string(self, Py_ssize_t i, object value, uint8_t* at) except -1:
        """Write byte strings: never cut, filled up with zeros; of a void field, exactly its size."""
        cdef const ArrayView* target = &self._leaves[i].target
        if isinstance(value, str):
            try:
                value = PyUnicode_AsUTF8String(value)
            except UnicodeEncodeError:
                raise Mismatch("string that UTF-8 can hold (this has a lone surrogate)", value) from None
        cdef bytes plain = value.tobytes() if isinstance(value, np.void) else bytes_of(value)
        if plain is None or PyBytes_GET_SIZE(plain) > target.width or (
            target.layout == Layout.FIXED and PyBytes_GET_SIZE(plain) != target.width
        ):
            raise Mismatch(f"bytes, {'at most ' if target.layout == Layout.PADDED else ''}{target.width}", value)
        memcpy(at, PyBytes_AS_STRING(plain), PyBytes_GET_SIZE(plain))
        return 0

    cdef int put_parts(self, Py_ssize_t i, object value, uint8_t* at) except -1:
        """Write a nested record, or the items of a subarray."""
        cdef StructLayout inner = self._inner[i]
        cdef Py_ssize_t j
        dtype = self._dtypes[i]
        if dtype.names is not None:
            return inner.put_row(value, at)
        listed = value.ndim > 0 if isinstance(value, ndarray) else isinstance(value, (list, tuple))
        # A snapshot before it is counted: another thread may make the list longer than the field.
        items = tuple(value) if listed else ()
        if not listed or len(items) != dtype.shape[0]:
            raise Mismatch(f"an array of shape {dtype.shape}", value)
        for j, item in enumerate(items):
            try:
                inner.put_value(0, item, at + j * inner.width)
            except Mismatch as error:
                error.path.append(j)
                raise
        return 0

    cdef int put_by_numpy(self, Py_ssize_t i, object value, uint8_t* at) except -1:
        """Write times, numpy strings, rare numbers: numpy converts, but may not cut or wrap silently."""
        cdef bytes plain
        dtype = self._dtypes[i]
        if is_missing(value):
            raise Mismatch(str(dtype), value)
        if dtype.kind == "U" and (not isinstance(value, str) or 4 * len(value) > dtype.itemsize):
            raise Mismatch(f"str of at most {dtype.itemsize // 4} characters", value)
        cell = np.zeros(1, dtype=dtype)
        try:
            stored = time_for(dtype, value) if dtype.kind in "mM" else value
            with np.errstate(over="raise"):
                cell[0] = stored
            wrapped = dtype.kind in "mM" and wraps(stored, cell[0])
        except OverflowError:
            wrapped = True      # numpy 2.5 tells it by itself
        except (ValueError, TypeError, ArithmeticError):
            raise Mismatch(str(dtype), value) from None
        if wrapped:
            raise Mismatch(f"{dtype}, within its range", value)
        plain = cell.tobytes()
        memcpy(at, PyBytes_AS_STRING(plain), PyBytes_GET_SIZE(plain))
        return 0

    def encode(self, record):
        """Encode one record as bytes; None stays None (a tombstone)."""
        if is_missing(record):
            return None
        cdef bytes out = PyBytes_FromStringAndSize(NULL, self.width)
        try:
            self.put_row(record, <uint8_t*>PyBytes_AS_STRING(out))
        except Mismatch as error:
            raise error.as_error(None, "") from None
        return out

    def encode_rows(self, rows, limit=None):
        """Encode rows of an iterable into one block; an EncodedBatch. None becomes a null record.

        Parameters
        ----------
        rows : iterable
        limit : int, optional
            Bytes; no rows are begun beyond them, but the first. All are encoded without it.
        """
        cdef tuple kept = tuple(rows)
        cdef Arena arena = Arena.__new__(Arena)
        cdef Py_ssize_t i = 0, n = len(kept)
        cdef bint nulls = False
        if limit is not None:
            n = min(n, max(1, <Py_ssize_t>limit // max(1, self.width)))
        arena.start(n)
        make_room(&arena.out, n * self.width + 1)
        try:
            for i in range(n):
                if is_missing(kept[i]):
                    if not nulls:
                        arena.mark_valid(n)
                        nulls = True
                    arena.valid[i] = 0
                else:
                    self.put_row(kept[i], arena.out.data + arena.out.size)
                    arena.out.size += self.width
                arena.offsets[i + 1] = arena.out.size
        except Mismatch as error:
            raise error.as_error(i, "") from None
        return arena.batch(n, nulls)

    cdef bint plan(self, Leaf* leaf, const ArrayView* source) except -1:
        """Fill in how the field is written from a column; False if no value-by-value check found it safe."""
        cdef const ArrayView* target = &leaf.target
        cdef Py_ssize_t i
        cdef int64_t value
        leaf.source = source[0]
        for i in range(source.length):
            if not is_valid(source, i):
                return False
        if source.layout == target.layout and source.width == target.width and source.swapped == target.swapped and (
            source.logical == target.logical and source.tick_ns == target.tick_ns
        ) and target.layout not in (Layout.UNREADABLE, Layout.STRUCT, Layout.SUBARRAY):
            leaf.move = Move.COPY
            return True
        if target.layout == Layout.BYTE_BOOL:
            leaf.move = Move.STORE_BOOL
            return source.layout == Layout.BIT
        if target.logical != source.logical or source.tick_ns != target.tick_ns:
            if not (target.layout == Layout.PADDED and source.logical == LogicalType.TEXT):
                return False
        if Layout.INT8 <= target.layout <= Layout.UINT64 and Layout.INT8 <= source.layout <= Layout.UINT64:
            leaf.move = Move.STORE_INT
            low, high = int_range(target)
            for i in range(source.length):
                value = int_at(source, i)
                if source.layout == Layout.UINT64 and value < 0:
                    if not target.layout == Layout.UINT64:
                        return False
                elif target.layout == Layout.UINT64:
                    if value < 0:
                        return False
                elif value < <int64_t>low or value > <int64_t>high:
                    return False
            return True
        if target.layout == Layout.FLOAT64 or target.layout == Layout.FLOAT32:
            leaf.move = Move.STORE_FLOAT
            if not Layout.INT8 <= source.layout <= Layout.FLOAT64:
                return False
            if target.layout == Layout.FLOAT32 and source.layout == Layout.FLOAT64:
                for i in range(source.length):
                    if MAX_SINGLE <= fabs(float_at(source, i)) <= 1.7976931348623157e+308:
                        return False
            return True
        if target.layout == Layout.PADDED and source.layout in (Layout.PADDED, Layout.BINARY32, Layout.BINARY64, Layout.BINARY_VIEW, Layout.FIXED):
            leaf.move = Move.STORE_SPAN
            for i in range(source.length):
                if span_of(source, i).size > leaf.width:
                    return False
            return True
        return False

    cdef int plan_objects(self, Py_ssize_t field, Leaf* leaf, Column column, Py_ssize_t part, ColumnEncoder encoder) except -1:
        """Write the field of every row of a part now; what cannot be written is named by row and field."""
        cdef tuple objects
        cdef Py_ssize_t i, first = 0, n = column.length
        cdef uint8_t* block
        if column.objects is None:
            first = column.starts[part]
            n = column.parts[part].length
        encoder.spend(n * leaf.width)
        cells = np.zeros(max(n * leaf.width, 1), dtype=np.uint8)
        block = <uint8_t*><uintptr_t>cells.__array_interface__["data"][0]
        objects = column.snapshot() if column.objects is not None else None
        for i in range(n):
            try:
                value = objects[i] if objects is not None else object_at(&column.parts[part], i)
                self.put_value(field, value, block + i * leaf.width)
            except Mismatch as error:
                raise error.as_error(first + i, self._names[field]) from None
        leaf.move = Move.COPY
        leaf.source.layout = Layout.FIXED
        leaf.source.data = block
        leaf.source.offset = 0
        leaf.source.stride = leaf.width
        encoder.owners.append(cells)
        return 0


@cython.final
cdef class StructColumns(ColumnEncoder):
    """The columns of one call, bound to a layout: a Source.

    Parameters
    ----------
    layout : StructLayout
    values : Table or Column
        A Column for a layout of one field. Borrowed and kept alive.
    limit : int, optional
        Bytes that columns may take which have to be converted from Python objects now.

    Raises
    ------
    MemoryLimitExceeded
        If they take more.
    SerializationError
        If a column is missing or a value does not fit its field, with row and field.
    """
    cdef StructLayout _layout
    cdef list _leaves           # per field: bytes of Leaf structs, one per part
    cdef list _columns

    def __init__(self, StructLayout layout, values, limit=None):
        cdef Column column
        cdef Py_ssize_t i, part, n_parts
        cdef Leaf* leaves
        cdef bytes block
        self._layout = layout
        self._leaves = []
        self._columns = []
        self.begin(values, limit)
        if isinstance(values, Column) and layout._n != 1:
            raise SerializationError(f"expected a table with {layout._n} columns, got one column")
        for i, name in enumerate(layout._names):
            column = values if isinstance(values, Column) else self.pick(values, name, i)
            n_parts = 1 if column.objects is not None else column.n_parts
            block = bytes(n_parts * sizeof(Leaf))
            leaves = <Leaf*>PyBytes_AS_STRING(block)
            for part in range(n_parts):
                leaves[part] = layout._leaves[i]
                if column.objects is not None or not layout.plan(&leaves[part], &column.parts[part]):
                    layout.plan_objects(i, &leaves[part], column, part, self)
            self._leaves.append(block)
            self._columns.append(column)

    cdef Column pick(self, Table table, str name, Py_ssize_t i):
        """Return the column of a field: by name, or for a struct format (whose fields have none) by position."""
        column = table.get(name)
        if column is None and not any([field in table for field in self._layout._names]) and i < len(table.names) and (
            len(table.names) == self._layout._n
        ):
            column = table.get(table.names[i])
        return column if column is not None else table.column(name)

    def first_over(self, Py_ssize_t limit):
        """Find the first record whose bytes exceed `limit`: (index, size in bytes), or None. All have one size."""
        return (0, self._layout.width) if self.n and self._layout.width > limit else None

    cdef EncodedBatch encode(self, Py_ssize_t start, Py_ssize_t stop, Arena arena):
        cdef Py_ssize_t n = stop - start, width = self._layout.width, row, part, first, last, i
        cdef Column column
        cdef Leaf* leaves
        arena.start(n)
        make_room(&arena.out, n * width + 1)
        memset(arena.out.data, 0, n * width)
        for column, block in zip(self._columns, self._leaves):
            leaves = <Leaf*>PyBytes_AS_STRING(block)
            row = start
            while row < stop:
                part = 0
                first = 0
                last = stop
                if column.objects is None:
                    part = column.part_of(row)
                    first = column.starts[part]
                    last = min(stop, column.starts[part + 1])
                with nogil:
                    run_leaf(&leaves[part], row - first, last - row, arena.out.data + (row - start) * width, width)
                row = last
        with nogil:
            for i in range(n):
                arena.offsets[i + 1] = (i + 1) * width
        arena.out.size = n * width
        return arena.batch(n)
