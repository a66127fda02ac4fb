"""Arena: the owner of the memory that encoded records are written into."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset
cimport cython

from twolane.batch cimport EncodedBatch, Span

cdef extern from *:
    """
    /* Whether there are no references but these two. Without the GIL counts of other threads lag behind: then all of them must
       be this thread's own. A batch that another thread drops leaves its mark in the shared count. */
    static inline int twolane_held_twice(PyObject* value) {
    #ifdef Py_GIL_DISABLED
        return _Py_IsOwnedByCurrentThread(value) && _Py_atomic_load_uint32_relaxed(&value->ob_ref_local) <= 2
            && _Py_atomic_load_ssize(&value->ob_ref_shared) == 0;
    #else
        return Py_REFCNT(value) <= 2;
    #endif
    }
    """
    bint twolane_held_twice(PyObject* value) noexcept

# An empty batch still needs an address that is not NULL: NULL means a null record.
cdef const uint8_t* NOTHING = <const uint8_t*>b""


@cython.final
cdef class Arena:
    """One growing block of record bytes with its offsets, flags and spans. Owns them all; not for Python code."""

    def __dealloc__(self):
        free(self.out.data)
        free(self.offsets)
        free(self.valid)
        free(self.spans)

    cdef int start(self, Py_ssize_t rows) except -1:
        """Forget what was written; make room for the offsets of ``rows`` records."""
        cdef int64_t* moved
        self.out.size = 0
        if rows + 1 > self._rows_offsets:
            moved = <int64_t*>realloc(self.offsets, (rows + 1) * sizeof(int64_t))
            if moved == NULL:
                raise MemoryError()
            self.offsets = moved
            self._rows_offsets = rows + 1
        self.offsets[0] = 0
        return 0

    cdef int start_spans(self, Py_ssize_t rows) except -1:
        """Forget what was written; make room for the spans of ``rows`` records."""
        cdef Span* moved
        self.out.size = 0
        if rows > self._rows_spans:
            moved = <Span*>realloc(self.spans, rows * sizeof(Span))
            if moved == NULL:
                raise MemoryError()
            self.spans = moved
            self._rows_spans = rows
        return 0

    cdef int mark_valid(self, Py_ssize_t rows) except -1:
        """Make room for the flags of ``rows`` records and set them all."""
        cdef uint8_t* moved
        if rows > self._rows_valid:
            moved = <uint8_t*>realloc(self.valid, rows)
            if moved == NULL:
                raise MemoryError()
            self.valid = moved
            self._rows_valid = rows
        if rows:
            memset(self.valid, 1, rows)
        return 0

    cdef EncodedBatch batch(self, Py_ssize_t rows, bint with_valid=False):
        """Return the first ``rows`` records written, as a batch that keeps this arena alive."""
        return EncodedBatch.from_pointers(
            self, rows, NOTHING if self.out.data == NULL else <const uint8_t*>self.out.data, self.offsets,
            self.valid if with_valid and rows else NULL,
        )

    cdef EncodedBatch span_batch(self, Py_ssize_t rows, object owner):
        """Return the first ``rows`` spans, as a batch that keeps alive this arena and the owner of the bytes."""
        return EncodedBatch.from_spans((self, owner), rows, self.spans)


cdef Arena fresh(Arena arena):
    """Return the arena itself where no batch looks into it any more, else a new one.

    The caller's own attribute and the argument hold it; one reference more is a batch still in use, whose bytes
    must not change under its reader, or another thread's call that writes them without the GIL. The caller holds its own
    lock (critical_section) while it exchanges its attribute, and then works with the reference that it got.
    """
    if arena is None or not twolane_held_twice(<PyObject*>arena):
        return Arena.__new__(Arena)
    return arena
