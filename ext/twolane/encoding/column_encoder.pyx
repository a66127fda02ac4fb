"""ColumnEncoder: what the encoders of columns have in common. A format adds how it plans its columns and encodes rows."""
from libc.stdint cimport SIZE_MAX, int64_t
cimport cython

from twolane.batch cimport EncodedBatch
from twolane.encoding.columns.array_view cimport ArrayView, Layout
from twolane.encoding.memory.arena cimport Arena, fresh, take

import numpy as np

from twolane.encoding.mismatch import MemoryLimitExceeded

cdef enum:
    BLOCK = 64                  # records that are measured together
    MAX_BLOCK_BYTES = 1 << 20   # encode a block to measure it only if it cannot take more; else one record at a time


cdef class ColumnEncoder:
    """The columns of one call, validated and bound to a type: a Source. Base of AvroColumns, JsonColumns and the like."""

    cdef int begin(self, object values, object limit) except -1:
        """Keep ``values`` alive, and allow ``limit`` bytes (None: any number) for :meth:`spend`."""
        self.n = len(values)
        self.owners = [values]
        self.left = SIZE_MAX if limit is None else limit
        return 0

    cdef int spend(self, size_t size) except -1:
        """Count bytes of values that are encoded while binding; raise MemoryLimitExceeded beyond the limit."""
        if not take(&self.left, size):
            raise MemoryLimitExceeded()
        return 0

    cdef int spend_arrays(self, Py_ssize_t first) except -1:
        """Count the arrays among the owners from `first` on: what was looked up for every row of a column."""
        return self.spend(sum([owner.nbytes for owner in self.owners[first:] if isinstance(owner, np.ndarray)]))

    cdef Arena start_values(self, Py_ssize_t n):
        """Return an arena for `n` values that are encoded while binding."""
        cdef Arena arena = Arena.__new__(Arena)
        # Offsets, and a byte of each value, are the least.
        self.spend(n * (sizeof(int64_t) + 1))
        arena.start(n)
        return arena

    cdef int keep_values(self, Arena arena, Py_ssize_t n, ArrayView* view) except -1:
        """Keep `n` values that were encoded while binding; `view` has them as byte strings."""
        self.spend(arena.out.size)
        view.layout = Layout.BINARY64
        view.length = n
        view.data = arena.out.data
        view.offsets = arena.offsets
        self.owners.append(arena)
        return 0

    cdef EncodedBatch encode(self, Py_ssize_t start, Py_ssize_t stop, Arena arena):
        """Encode records ``start`` to ``stop`` into the arena from its beginning."""
        raise NotImplementedError

    cdef size_t bound(self, Py_ssize_t start, Py_ssize_t stop) except? 0:
        """Return bytes that records ``start`` to ``stop`` never exceed."""
        raise NotImplementedError

    def __len__(self):
        return self.n

    def slice(self, Py_ssize_t start, Py_ssize_t stop):
        """Encode records `start` to `stop`; while the batch lives, its memory is not reused. The GIL is released."""
        cdef Arena arena
        if not 0 <= start <= stop <= self.n:
            raise IndexError(f"records {start} to {stop} of {self.n}")
        with cython.critical_section(self):
            arena = self._arena = fresh(self._arena)
        return self.encode(start, stop, arena)

    def first_over(self, Py_ssize_t limit):
        """Find the first record whose bytes exceed `limit`: (index, size in bytes), or None.

        Only records whose bound exceeds the limit are encoded to be measured.
        """
        cdef Arena arena = Arena.__new__(Arena)
        cdef Py_ssize_t row = 0, last, i, step
        cdef size_t bound
        while row < self.n:
            last = min(row + <Py_ssize_t>BLOCK, self.n)
            bound = self.bound(row, last)
            if bound <= <size_t>limit:
                row = last
                continue
            step = last - row if bound <= MAX_BLOCK_BYTES else 1
            while row < last:
                if step > 1 or self.bound(row, row + 1) > <size_t>limit:
                    self.encode(row, row + step, arena)
                    for i in range(step):
                        if arena.offsets[i + 1] - arena.offsets[i] > limit:
                            return row + i, arena.offsets[i + 1] - arena.offsets[i]
                row += step
        return None
