"""EncodedBatch: the Python owner of one :c:struct:`ByteColumn`."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy
from cpython.mem cimport PyMem_Free, PyMem_Malloc
cimport cython

import numpy as np

# An empty block still needs an address: a NULL one would read as a null record.
cdef const uint8_t* NOTHING = <const uint8_t*>b""


@cython.final
cdef class EncodedBatch:
    """The bytes of ``n`` records: one block of data and ``n + 1`` offsets, or spans into memory kept alive.

    Parameters
    ----------
    data : array_like of uint8, shape (size,), or any contiguous buffer
        The bytes of all records, one behind the other. Borrowed: the batch keeps a reference.
    offsets : array_like of int64, shape (n + 1,)
        Record ``i`` is ``data[offsets[i]:offsets[i + 1]]``. Copied: what was checked must not change.
    valid : array_like of bool, shape (n,), optional
        False where the record is null (a tombstone as a value, an absent key). All are valid without it. Copied.

    Raises
    ------
    ValueError
        If the offsets do not rise from at least 0 to at most the size of `data`, or the lengths differ; if `data` are
        no bytes or the offsets no integers.
    """

    def __init__(self, data, offsets, valid=None):
        block = np.frombuffer(data, dtype=np.uint8) if not isinstance(data, np.ndarray) else data
        if block.dtype != np.uint8:
            raise ValueError(f"data: expected bytes or an array of uint8, got one of {block.dtype}")
        block = np.ascontiguousarray(block).reshape(-1)
        bounds = np.array(offsets)
        if bounds.ndim != 1 or bounds.size < 1 or bounds.dtype.kind not in "iu":
            raise ValueError("offsets: expected one dimension with n + 1 integers")
        bounds = bounds.astype(np.int64, copy=False)
        # Compared, not subtracted: a difference may wrap.
        if bounds[0] < 0 or bounds[-1] > block.size or (bounds[1:] < bounds[:-1]).any():
            raise ValueError("offsets: expected values that rise from 0 to the size of data")
        flags = None
        if valid is not None:
            flags = np.array(valid, dtype=np.bool_).view(np.uint8)
            if flags.shape != (bounds.size - 1,):
                raise ValueError(f"valid: expected {bounds.size - 1} entries, got {flags.size}")
        cdef const uint8_t[::1] block_view = block
        cdef const int64_t[::1] bounds_view = bounds
        cdef const uint8_t[::1] flags_view
        self._owner = (block, bounds, flags)
        self.column.n = bounds.size - 1
        self.column.data = &block_view[0] if block.size else NOTHING
        self.column.offsets = &bounds_view[0]
        if flags is not None and flags.size:
            flags_view = flags
            self.column.valid = &flags_view[0]

    def __dealloc__(self):
        PyMem_Free(self._spans)

    @staticmethod
    cdef EncodedBatch from_pointers(object owner, Py_ssize_t n, const uint8_t* data,
                                    const int64_t* offsets, const uint8_t* valid):
        """Return a batch over memory that ``owner`` keeps alive. Borrows."""
        cdef EncodedBatch batch = EncodedBatch.__new__(EncodedBatch)
        batch._owner = owner
        batch.column.n = n
        batch.column.data = data
        batch.column.offsets = offsets
        batch.column.valid = valid
        return batch

    @staticmethod
    cdef EncodedBatch from_spans(object owner, Py_ssize_t n, const Span* spans):
        """Return a batch over spans (and the bytes they point at) that ``owner`` keeps alive. Borrows."""
        cdef EncodedBatch batch = EncodedBatch.__new__(EncodedBatch)
        batch._owner = owner
        batch.column.n = n
        batch.column.spans = spans
        return batch

    cpdef EncodedBatch slice(self, Py_ssize_t start, Py_ssize_t stop):
        """Return records ``start`` to ``stop`` as a batch of their own, without copying anything.

        Parameters
        ----------
        start, stop : int
            ``0 <= start <= stop <= len(self)``. A constant batch gives itself.

        Returns
        -------
        EncodedBatch
            Shares this one's memory and keeps it alive.

        Raises
        ------
        IndexError
            If the bounds do not lie in the batch.
        """
        if self.column.broadcast:
            return self
        if not 0 <= start <= stop <= self.column.n:
            raise IndexError(f"records {start} to {stop} of {self.column.n}")
        cdef EncodedBatch part = EncodedBatch.__new__(EncodedBatch)
        part._owner = self  # not self._owner: the spans of a borrowed batch belong to the object itself
        part.column = self.column
        part.column.n = stop - start
        if part.column.spans != NULL:
            part.column.spans += start
        if part.column.offsets != NULL:
            part.column.offsets += start
        if part.column.valid != NULL:
            part.column.valid += start
        return part

    def select(self, rows):
        """Return some records as a batch of their own, without copying their bytes.

        Parameters
        ----------
        rows : ndarray of int64
            Numbers of records.

        Returns
        -------
        EncodedBatch
            Shares this one's memory and keeps it alive.
        """
        cdef const int64_t[::1] numbers = np.ascontiguousarray(rows, dtype=np.int64)
        cdef EncodedBatch chosen = EncodedBatch.__new__(EncodedBatch)
        cdef Py_ssize_t i
        chosen._owner = self
        chosen.column.n = numbers.shape[0]
        chosen._spans = <Span*>PyMem_Malloc(max(chosen.column.n, 1) * sizeof(Span))
        if chosen._spans == NULL:
            raise MemoryError()
        for i in range(chosen.column.n):
            if not 0 <= numbers[i] < self.column.n:
                raise IndexError(f"record {numbers[i]} of {self.column.n}")
            chosen._spans[i] = span_at(&self.column, numbers[i])
        chosen.column.spans = chosen._spans
        return chosen

    def leaving_out(self, rows, refused):
        """Say which rows of the values encoded the entries are, and which were refused; gives the batch itself."""
        self._without = (rows, refused)
        return self

    @property
    def rows(self):
        """ndarray of int64, shape (n,): which row of the values encoded each record is. They rise; usually none is left out."""
        return np.arange(self.column.n) if self._without is None else self._without[0]

    @property
    def refused(self):
        """sequence of SerializationError: of each row that ``encode_batch(on_bad_row="skip")`` left out, by row."""
        return () if self._without is None else self._without[1]

    @staticmethod
    def borrowed(values):
        """Return a batch over a list or tuple of ``bytes`` (or None), without copying them.

        Parameters
        ----------
        values : list or tuple of bytes or None
            The references are kept, so the caller may change the list afterwards.

        Raises
        ------
        TypeError
            If an entry is neither ``bytes`` nor None.
        """
        cdef tuple kept = tuple(values)
        cdef Py_ssize_t i, n = len(kept)
        cdef EncodedBatch batch = EncodedBatch.__new__(EncodedBatch)
        cdef object value
        batch._owner = kept
        batch._spans = <Span*>PyMem_Malloc(max(n, 1) * sizeof(Span))
        if batch._spans == NULL:
            raise MemoryError()
        for i in range(n):
            value = kept[i]
            if isinstance(value, bytes):
                batch._spans[i].data = <const uint8_t*>PyBytes_AS_STRING(value)
                batch._spans[i].size = PyBytes_GET_SIZE(value)
            elif value is None:
                batch._spans[i].data = NULL
                batch._spans[i].size = 0
            else:
                raise TypeError(f"record {i}: expected bytes or None, got {type(value).__name__}")
        batch.column.n = n
        batch.column.spans = batch._spans
        return batch

    @staticmethod
    def constant(value):
        """Return a batch of one byte string (or None) that stands for every record it is joined with."""
        cdef EncodedBatch batch = EncodedBatch.borrowed((value,))
        batch.column.broadcast = 1
        return batch

    @property
    def is_constant(self):
        """bool: whether the one entry stands for every record it is joined with."""
        return bool(self.column.broadcast)

    @property
    def nbytes(self):
        """int: the bytes of all records together."""
        cdef Py_ssize_t i
        cdef int64_t total = 0
        for i in range(self.column.n):
            total += span_at(&self.column, i).size
        return total

    @property
    def offsets(self):
        """ndarray of int64, shape (n + 1,): where each record starts and ends in `data`. A copy."""
        bounds = np.zeros(self.column.n + 1, dtype=np.int64)
        cdef int64_t[::1] view = bounds
        cdef Py_ssize_t i
        for i in range(self.column.n):
            view[i + 1] = view[i] + span_at(&self.column, i).size
        return bounds

    @property
    def data(self):
        """ndarray of uint8: the bytes of all records, one behind the other. A copy."""
        block = np.empty(self.nbytes, dtype=np.uint8)
        cdef uint8_t[::1] view = block
        cdef Py_ssize_t i, at = 0
        cdef Span span
        for i in range(self.column.n):
            span = span_at(&self.column, i)
            if span.size:
                memcpy(&view[at], span.data, span.size)
                at += span.size
        return block

    @property
    def valid(self):
        """ndarray of bool, shape (n,): False where the record is null. A copy."""
        flags = np.empty(self.column.n, dtype=np.bool_)
        cdef uint8_t[::1] view = flags.view(np.uint8)
        cdef Py_ssize_t i
        for i in range(self.column.n):
            view[i] = span_at(&self.column, i).data != NULL
        return flags

    def __len__(self):
        return self.column.n

    def __getitem__(self, index):
        cdef Py_ssize_t i = index
        if i < 0:
            i += self.column.n
        if not 0 <= i < self.column.n:
            raise IndexError(f"record {index} of {self.column.n}")
        cdef Span span = span_at(&self.column, i)
        if span.data == NULL:
            return None
        return PyBytes_FromStringAndSize(<const char*>span.data, span.size)

    def __iter__(self):
        for i in range(self.column.n):
            yield self[i]

    def __repr__(self):
        return f"EncodedBatch({self.column.n} records, {self.nbytes} bytes)"

    def __reduce__(self):
        if self.column.broadcast:
            return EncodedBatch.constant, (self[0],)
        if self._without is not None:
            return restored, (self.data, self.offsets, self.valid, self._without)
        return EncodedBatch, (self.data, self.offsets, self.valid)


def restored(data, offsets, valid, without):
    """Unpickle a batch that leaves rows out."""
    return EncodedBatch(data, offsets, valid).leaving_out(*without)
