"""Columnar input: numpy arrays, dicts of arrays, anything that speaks the Arrow C interface.

Nothing is copied: a Column keeps its owners alive and holds views (array_view.pxd) that look into their memory. Lists and
object arrays stay what they are; their encoder takes a snapshot of all or of a part, and converts it.
"""
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.limits cimport INT_MAX
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uintptr_t
cimport cython

from twolane.encoding.columns.arrow cimport ArrowChunk, ArrowData, read_export, text
from twolane.encoding.columns.objects cimport entries_of, type_name
from twolane.encoding.columns.array_view cimport Layout, LogicalType, ArrayView, int_at, is_valid

import numpy as np

from twolane.encoding.columns.frames import array_of, columns_of, is_frame, arrow_export_of, levels_of
from twolane._units import UNIT_NS
from twolane.encoding.columns.numpy_dtypes import coarser, count_fields
from twolane.errors import SerializationError, shown

cdef enum:
    NATIVE = 0x200          # NPY_ARRAY_NOTSWAPPED
cdef object ndarray = np.ndarray
# What most arrays of times have: ticks in nanoseconds, and what they say.
cdef dict TIMES = {np.dtype(f"M8[{unit}]"): (ns, LogicalType.DATE if unit in "WD" else LogicalType.TIMESTAMP) for unit, ns in UNIT_NS.items()}
TIMES.update({np.dtype(f"m8[{unit}]"): (ns, LogicalType.DURATION) for unit, ns in UNIT_NS.items()})


@cython.final
cdef class ViewBlock:
    """Owner of the views below a numpy column (fields of a nested dtype, items of a subarray)."""
    cdef ArrayView* block

    def __cinit__(self, Py_ssize_t n):
        self.block = <ArrayView*>PyMem_Calloc(max(n, 1), sizeof(ArrayView))
        if self.block == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_Free(self.block)


@cython.final
cdef class Column:
    """One column: its name, its rows, and where they lie. Made by :func:`as_table` and :func:`as_column`.

    Attributes
    ----------
    name : str
    objects : list, tuple, ndarray or None
        The Python objects, where the column came as a list or an object array: the caller's own, which may change.
    """

    def __init__(self):
        raise TypeError("columns are made by as_table() and as_column()")

    def __dealloc__(self):
        PyMem_Free(self.parts)
        PyMem_Free(self.starts)

    cdef int make_parts(self, Py_ssize_t n) except -1:
        """Make room for ``n`` parts, all zero."""
        self.parts = <ArrayView*>PyMem_Calloc(max(n, 1), sizeof(ArrayView))
        self.starts = <Py_ssize_t*>PyMem_Calloc(n + 1, sizeof(Py_ssize_t))
        if self.parts == NULL or self.starts == NULL:
            raise MemoryError()
        self.n_parts = n
        return 0

    cdef Py_ssize_t part_of(self, Py_ssize_t row) noexcept nogil:
        """Return the part that holds ``row``, by bisection. GIL: not needed."""
        cdef Py_ssize_t low = 0, high = self.n_parts - 1, middle
        while low < high:
            middle = (low + high + 1) // 2
            if self.starts[middle] <= row:
                low = middle
            else:
                high = middle - 1
        return low

    cdef ArrayView view_from(self, Py_ssize_t row) noexcept:
        """Return the rest of the part that holds ``row``, as a view whose item 0 is that row."""
        cdef Py_ssize_t part = self.part_of(row)
        cdef ArrayView view = self.parts[part]
        view.offset += row - self.starts[part]
        view.length -= row - self.starts[part]
        return view

    cdef tuple snapshot(self):
        """Return the objects as a tuple, which the caller of the lane cannot change."""
        cdef object objects = self.objects.tolist() if isinstance(self.objects, ndarray) else self.objects
        cdef tuple taken = tuple(objects)
        if len(taken) < self.length:
            raise SerializationError(
                f"a column of {self.length} values was changed while it was read, and has {len(taken)}", field=self.name or None
            )
        return taken if len(taken) == self.length else taken[:self.length]

    cdef Column part(self, Py_ssize_t start, Py_ssize_t stop):
        """Return rows ``start`` to ``stop`` as a column: of objects a copy of the references, else a view."""
        cdef Column column = new_column(self.name)
        cdef Py_ssize_t first, i, low, high
        column.length = stop - start
        column.nan_is_missing = self.nan_is_missing
        column.is_numpy = self.is_numpy
        column._owners = self
        if self.objects is not None:
            column.objects = self.objects[start:stop]
            column.objects = column.snapshot()
            return column
        first = self.part_of(start)
        column.make_parts(self.part_of(max(stop - 1, start)) + 1 - first if stop > start else 0)
        for i in range(column.n_parts):
            low = max(start, self.starts[first + i])
            high = min(stop, self.starts[first + i + 1])
            column.parts[i] = self.parts[first + i]
            column.parts[i].offset += low - self.starts[first + i]
            column.parts[i].length = high - low
            column.starts[i + 1] = high - start
        return column

    def __getitem__(self, rows):
        start, stop = bounds_of(rows, self.length)
        return self.part(start, stop)

    @property
    def type_name(self):
        """str: the column's type, as error messages name it."""
        return "objects" if self.objects is not None else type_name(self.parts) if self.n_parts else "nothing"

    def __len__(self):
        return self.length

    def __repr__(self):
        return f"Column({self.name!r}, {self.type_name}, {self.length} rows)"


@cython.final
cdef class Table:
    """Columns of equal length. Made by :func:`as_table`.

    Attributes
    ----------
    names : list of str
        In the order of the input. A pandas frame's index is not among them; its levels are found by their names.
    """

    def __cinit__(self):
        self.names = []
        self._by_name = {}
        self.length = 0

    def __init__(self):
        raise TypeError("tables are made by as_table()")

    def __len__(self):
        return self.length

    def __contains__(self, name):
        return name in self._by_name

    def __getitem__(self, rows):
        cdef Table table = Table.__new__(Table)
        cdef Column column
        start, stop = bounds_of(rows, self.length)
        for name, column in self._by_name.items():
            table._by_name[name] = column.part(start, stop)
        table.names = self.names
        table.length = stop - start
        return table

    cdef Column get(self, str name):
        """Return the column, or None. Borrows nothing."""
        return self._by_name.get(name)

    def column(self, name):
        """Return the column of that name.

        Raises
        ------
        SerializationError
            If there is none; the message lists those there are.
        """
        column = self._by_name.get(name)
        if column is None:
            raise SerializationError(f"no column {name!r}; the columns are {', '.join(map(repr, self.names))}")
        return column

    def __repr__(self):
        return f"Table({self.length} rows, columns {', '.join(map(repr, self.names))})"

    cdef int add(self, Column column) except -1:
        if column.name in self._by_name:
            raise SerializationError(f"column {column.name!r} stands twice in the input")
        try:
            column.name.encode()
        except UnicodeEncodeError:
            raise SerializationError("expected names of columns that UTF-8 can hold", value=column.name) from None
        self.names.append(column.name)
        self._by_name[column.name] = column
        return 0


cdef tuple bounds_of(object rows, Py_ssize_t n):
    """Return the first and the last of the rows of a slice without a step."""
    start, stop, step = rows.indices(n)
    if step != 1:
        raise ValueError(f"expected a slice without a step, got {rows}")
    return start, max(start, stop)


cdef Column new_column(str name):
    cdef Column column = Column.__new__(Column)
    column.name = name
    return column


cdef Column column_of_objects(str name, object values):
    """Keep a list, which may be long, without a copy: readers call snapshot(), of a part() at a time."""
    cdef Column column = new_column(name)
    column.objects = values if type(values) is list or isinstance(values, ndarray) else tuple(values)
    column.length = len(column.objects)
    return column


cdef object refused(str name, str reason):
    return SerializationError(reason, field=name or None)


cdef int read_dtype(ArrayView* view, object dtype, str name, ArrayView* pool, list keep) except -1:
    """Read layout, meaning and width from a numpy dtype; views below it are taken from ``pool``."""
    cdef Py_ssize_t i
    cdef ArrayView* rest
    kind = dtype.kind
    view.width = dtype.itemsize
    view.swapped = dtype.byteorder == (">" if np.little_endian else "<")
    if dtype.subdtype is not None:
        item, shape = dtype.subdtype
        if len(shape) != 1:
            raise refused(name, f"expected fields of at most one dimension, got shape {shape}")
        view.layout = Layout.SUBARRAY
        view.width = shape[0]
        view.children = pool
        view.n_children = 1
        view.children[0].stride = item.itemsize
        view.children[0].length = shape[0]
        read_dtype(view.children, item, name, pool + 1, keep)
    elif dtype.names is not None:
        view.layout = Layout.STRUCT
        view.children = pool
        view.n_children = len(dtype.names)
        rest = pool + view.n_children
        for i, field in enumerate(dtype.names):
            item, place = dtype.fields[field][:2]
            encoded = field.encode()
            keep.append(encoded)
            view.children[i].name = encoded
            # Children of a record lie inside it: the place is added to the address once that is known.
            view.children[i].data = <const uint8_t*><uintptr_t>place
            read_dtype(&view.children[i], item, f"{name}.{field}", rest, keep)
            rest += <Py_ssize_t>count_fields(item)
    elif kind == "V":
        view.layout = Layout.FIXED
    elif kind in "mM":
        unit, count = np.datetime_data(dtype)
        if unit not in UNIT_NS:
            raise refused(name, f"expected a unit from weeks to nanoseconds, got {dtype}")
        view.layout = Layout.INT64
        view.tick_ns = UNIT_NS[unit] * count
        view.logical = LogicalType.DURATION if kind == "m" else LogicalType.DATE if unit in "WD" else LogicalType.TIMESTAMP
    else:
        view.layout = plain_layout(<char>ord(kind), dtype.itemsize)
        if view.layout == Layout.UNREADABLE:
            keep.append(f"numpy's {dtype}".encode())
            view.unread = <bytes>keep[-1]
    return 0


cdef int place_fields(ArrayView* view) except -1:
    """Set addresses and strides of a record's fields, once the record has its own."""
    cdef Py_ssize_t i
    if view.layout == Layout.STRUCT:
        for i in range(view.n_children):
            view.children[i].data = view.data + <uintptr_t>view.children[i].data
            view.children[i].stride = view.stride
            view.children[i].length = view.length
            place_fields(&view.children[i])
    elif view.layout == Layout.SUBARRAY and view.children[0].layout in (Layout.STRUCT, Layout.SUBARRAY):
        raise SerializationError("expected numpy subarrays of plain items")
    return 0


cdef const uint8_t* address_of(object array) except NULL:
    """Return where a numpy array's items start; the caller keeps the array alive."""
    held = array.__array_struct__   # a capsule that owns the struct: in a temporary it would be gone before the look
    return interface_of(held).data


cdef Column column_of_plain(str name, object array, bint nat_is_null):
    """Return a column that looks into an array as most are, without asking for its dtype; None for others. Small arrays cost this."""
    cdef Column column
    cdef ArrayView* view
    cdef Py_ssize_t i
    held = array.__array_struct__
    cdef const ArrayInterface* interface = interface_of(held)
    cdef Layout layout = plain_layout(interface.typekind, interface.itemsize)
    cdef LogicalType logical = LogicalType.PLAIN
    cdef int64_t tick_ns = 0
    if interface.nd != 1 or layout == Layout.UNREADABLE:
        return None
    if interface.typekind == c"M" or interface.typekind == c"m":
        found = TIMES.get(array.dtype)
        if found is None:
            return None
        tick_ns = found[0]
        logical = <LogicalType><int>found[1]
    column = new_column(name)
    column.make_parts(1)
    view = column.parts
    view.layout = layout
    view.logical = logical
    view.tick_ns = tick_ns
    view.width = interface.itemsize
    view.swapped = not interface.flags & NATIVE
    view.length = interface.shape[0]
    view.stride = interface.strides[0]
    view.data = interface.data
    if tick_ns and nat_is_null:
        for i in range(view.length):
            if int_at(view, i) == INT64_MIN:
                return None
    column.length = column.starts[1] = view.length
    column._owners = array
    return column


cdef Column column_of_array(str name, object array, bint nat_is_null=True):
    """Return a column that looks into a numpy array of one dimension, or of two (then each row is a list)."""
    cdef Column column
    cdef ViewBlock block
    cdef ArrayView* view
    if type(array) is ndarray:
        column = column_of_plain(name, array, nat_is_null)
        if column is not None:
            return column
    mask = None
    keep = []
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array)
        array = array.data
    dtype = array.dtype
    if dtype.kind in "OT":
        if mask is not None:
            array = [None if gone else value for value, gone in zip(array.tolist(), mask.tolist(), strict=True)]
        return column_of_objects(name, array)
    if dtype.kind == "m" and np.datetime_data(dtype)[0] in ("Y", "M") and array.ndim == 1:
        # No number of days, so no ticks of any unit that views know.
        gone = np.isnat(array) if mask is None else np.isnat(array) | mask
        return column_of_objects(name, [None if lost else value for value, lost in zip(array, gone.tolist(), strict=True)])
    if array.ndim > 2 or (array.ndim == 2 and array.shape[1] > INT_MAX):
        raise refused(name, f"expected an array of one or two dimensions, got shape {array.shape}")
    column = new_column(name)
    column.length = len(array)
    if dtype.kind in "mM":
        array = coarser(array)
        dtype = array.dtype
        if nat_is_null:
            missing = np.isnat(array)
            if missing.any():
                mask = missing if mask is None else mask | missing
    column.make_parts(1)
    view = column.parts
    if array.ndim == 2:
        dtype = np.dtype((dtype, (array.shape[1],)))
    block = ViewBlock(count_fields(dtype))
    read_dtype(view, dtype, name, block.block, keep)
    view.data = address_of(array)
    view.stride = array.strides[0]
    view.length = column.length
    if array.ndim == 2:
        view.children[0].stride = array.strides[1]
    place_fields(view)
    if mask is not None and np.ravel(mask).view(np.bool_).any():
        if mask.ndim != 1 or mask.dtype.names is not None:
            raise refused(name, "expected one mask flag per row")
        bits = np.packbits(~mask, bitorder="little")
        view.validity = address_of(bits)
        keep.append(bits)
    keep += (array, block)
    column._owners = keep
    column.starts[1] = column.length
    return column


cdef Column column_of_times(object values, str name):
    """Do as as_column(), but NaT stays the lowest int64: for code that reads every value anyway."""
    if isinstance(values, ndarray) and values.ndim and not isinstance(values, np.ma.MaskedArray):
        return of_numpy(column_of_array(name, values, False))
    return as_column(values, name)


cdef Column of_numpy(Column column):
    """Return the column, whose times are datetime64 and not a frame's, which may have forgotten their zone."""
    column.is_numpy = True
    return column


cdef Column column_of_arrow(str name, ArrowData data):
    """Return a column over the chunks of an Arrow array or stream."""
    cdef Column column = new_column(name)
    cdef ArrowChunk chunk
    cdef Py_ssize_t i
    column.make_parts(len(data.chunks))
    for i, chunk in enumerate(data.chunks):
        column.parts[i] = chunk.root
        column.length += chunk.root.length
        column.starts[i + 1] = column.length
    column._owners = data
    return column


cdef Table table_of_arrow(ArrowData data):
    """Return a table over record batches: one part per batch in each column."""
    cdef Table table = Table.__new__(Table)
    cdef Column column
    cdef ArrowChunk chunk
    cdef ArrayView* part
    cdef Py_ssize_t field, i, row
    for chunk in data.chunks:
        if chunk.root.validity != NULL:
            for row in range(chunk.root.length):
                if not is_valid(&chunk.root, row):
                    raise SerializationError("expected a record, got a null row", index=table.length + row)
        table.length += chunk.root.length
    for field in range(data.type.schema.n_children):
        column = new_column(text(data.type.schema.children[field].name))
        column.make_parts(len(data.chunks))
        for i, chunk in enumerate(data.chunks):
            part = &column.parts[i]
            part[0] = chunk.root.children[field]
            # A sliced batch keeps its offset at the top; its columns are as long as they ever were.
            part.offset += chunk.root.offset
            part.length = chunk.root.length
            column.length += part.length
            column.starts[i + 1] = column.length
        column._owners = data
        table.add(column)
    return table


cdef Table table_of_dict(object values):
    cdef Table table = Table.__new__(Table)
    cdef Column column
    cdef bint uneven = False
    for name, entry in entries_of(values):
        if not isinstance(name, str):
            raise SerializationError(f"expected names of columns, got {shown(name)}")
        column = as_column(entry, name)
        if column is None:
            raise SerializationError("expected an array or a list for each column", field=name, value=entry)
        if table.names and column.length != table.length:
            uneven = True
        table.length = column.length
        table.add(column)
    if uneven:
        listed = ", ".join([f"{name!r} has {len(table._by_name[name])}" for name in table.names])
        raise SerializationError(f"expected columns of equal length: {listed}")
    return table


cdef Table table_of_records(object array):
    """Return a table over the fields of a numpy structured array."""
    cdef Table table = Table.__new__(Table)
    for name in array.dtype.names:
        table.add(of_numpy(column_of_array(name, array[name])))
    table.length = len(array)
    return table


cdef Table table_of_frame(object frame):
    """Return a table over the columns of a pandas frame, each on its own: Arrow's export would add the index, and change values."""
    cdef Table table = Table.__new__(Table)
    cdef Column column
    for name, series in columns_of(frame):
        column = as_column(series, name)
        table.add(column)
    for name, level in levels_of(frame):
        table._by_name[name] = as_column(level, name)
    table.length = len(frame)
    return table


cdef bint is_polars_object(object dtype):
    """Return whether it is polars' dtype of Python objects, which it exports to Arrow as eight bytes each: their addresses."""
    return str(dtype) == "Object"


cdef object read_columns(object values, str name, bint tables):
    """Return a Column, a Table where one is welcome, or None for rows and scalars. An exporter of Arrow data is asked once."""
    cdef Column column
    cdef ArrowData data
    if isinstance(values, Column) or (tables and isinstance(values, Table)):
        return values
    if isinstance(values, (bytes, str, bytearray, Table)):
        return None
    if isinstance(values, (list, tuple)):
        return None if tables else column_of_objects(name, values)
    if isinstance(values, dict):
        return table_of_dict(values) if tables else None
    if type(values) is ndarray or isinstance(values, ndarray):
        if tables and values.dtype.names is not None and values.ndim == 1:
            return table_of_records(values)
        return of_numpy(column_of_array(name, values)) if values.ndim else None
    if tables and is_frame(values):
        return table_of_frame(values)
    dtypes = getattr(values, "dtypes", None)
    if tables and isinstance(dtypes, list) and any([is_polars_object(dtype) for dtype in dtypes]):
        return table_of_dict({label: values[label] for label in values.columns})
    dtype = getattr(values, "dtype", None)
    if is_polars_object(dtype):
        return column_of_objects(name, values.to_list())
    found = array_of(values, dtype) if dtype is not None and hasattr(values, "to_numpy") else None
    exported = arrow_export_of(values, name) if found is None else None
    if isinstance(exported, ndarray):
        found = exported, None, True
    if found is not None:
        array, zone, nan_is_missing = found
        column = column_of_array(name, array)
        column.nan_is_missing = nan_is_missing
        if zone is not None:
            column.parts.zoned = True
            column.parts.zone = <const void*>zone
            column._owners = (column._owners, zone)
        return column
    if exported is not None:
        try:
            data = read_export(exported)
        except SerializationError as error:
            error.field = error.field or name or None
            raise
        return table_of_arrow(data) if tables and data.is_table() else column_of_arrow(name, data)
    if hasattr(values, "to_numpy") and hasattr(values, "__len__"):     # pandas.Timestamp has the first
        # A pandas array or index with a dtype of pandas' own: as numbers, a missing one would turn all ints to floats.
        return column_of_array(name, values.to_numpy(dtype=object, na_value=None))
    if hasattr(values, "__array__") or isinstance(values, memoryview) or hasattr(values, "buffer_info"):
        array = np.asarray(values)
        return column_of_array(name, array) if array.ndim else None
    if not tables and hasattr(values, "__len__") and hasattr(values, "__getitem__"):
        return column_of_objects(name, values)
    return None


cpdef object as_columns(object values):
    """Read a table, or else a column, in place; None for rows. ``values`` is asked for its Arrow data once."""
    return read_columns(values, "", True)


cpdef Table as_table(object values):
    """Read columnar input in place.

    Parameters
    ----------
    values : object
        A numpy structured array, a dict of arrays or lists, a pandas frame, or anything with ``__arrow_c_stream__`` or
        ``__arrow_c_array__`` (pyarrow, polars, duckdb). A Table gives itself. Memory is borrowed and kept alive.

    Returns
    -------
    Table or None
        None where the input is no table.

    SerializationError if columns differ in length, stand twice, or a table has null rows.
    """
    columns = read_columns(values, "", True)
    return columns if isinstance(columns, Table) else None


cpdef Column as_column(object values, str name=""):
    """Read one column in place: a numpy array, an Arrow array, a pandas or polars series, a list or another sequence.

    Parameters
    ----------
    values : object
        Memory is borrowed and kept alive, a list too.
    name : str, optional

    Returns
    -------
    Column or None
        None for a scalar (also for bytes and str).

    SerializationError if an array has a shape or unit that no record can be made of.
    """
    return read_columns(values, name, False)
