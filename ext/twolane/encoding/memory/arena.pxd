"""Arena: the block that encoded records are written into, grown as needed and used again slice after slice.

The hot helpers are here and inline: a cross-module call per field would cost more than the field.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from twolane.batch cimport EncodedBatch, Span


cdef struct Buffer:
    uint8_t* data
    size_t size         # bytes written
    size_t capacity


cdef inline bint has_room(Buffer* out, size_t more) noexcept nogil:
    """Make room for ``more`` bytes behind the written ones; False without memory. GIL: not needed."""
    cdef size_t wanted
    cdef uint8_t* moved
    if out.capacity - out.size >= more and out.data != NULL:     # never NULL afterwards: memcpy must not see one
        return True
    wanted = out.capacity + (out.capacity >> 1)
    if wanted < out.size + more:
        wanted = out.size + more
    if wanted < 4096:
        wanted = 4096
    moved = <uint8_t*>realloc(out.data, wanted)
    if moved == NULL:
        return False
    out.data = moved
    out.capacity = wanted
    return True


cdef inline bint has_room_onwards(Buffer* out, size_t more, Py_ssize_t done, Py_ssize_t left) noexcept nogil:
    """Make room for ``more`` bytes; where that takes new memory, also for ``left`` records like those ``done``.

    Growing little by little copies what is written again and again. But the first record may be one of a kind: never more
    than threefold, and not at all where there is no memory for it. GIL: not needed.
    """
    cdef size_t likely = 0
    if done and out.capacity - out.size < more:
        likely = out.size // <size_t>done
        likely = min(2 * out.capacity, (likely + likely // 8) * <size_t>left)
    return has_room(out, more + likely) or has_room(out, more)


cdef inline int make_room(Buffer* out, size_t more) except -1:
    """Make room for ``more`` bytes or raise MemoryError."""
    if not has_room(out, more):
        raise MemoryError(f"no memory for {more} more bytes of encoded records")
    return 0


cdef inline uint8_t* put_varint(uint8_t* at, uint64_t value) noexcept nogil:
    """Write a base-128 varint (at most 10 bytes), give the place behind it. GIL: not needed."""
    while value >= 0x80:
        at[0] = <uint8_t>(value | 0x80)
        value >>= 7
        at += 1
    at[0] = <uint8_t>value
    return at + 1


cdef inline uint8_t* put_zigzag(uint8_t* at, int64_t value) noexcept nogil:
    """Write Avro's int and long: zigzag, then varint (at most 10 bytes). GIL: not needed."""
    return put_varint(at, (<uint64_t>value << 1) ^ <uint64_t>(value >> 63))


cdef inline uint8_t* put_bytes(uint8_t* at, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Copy; short strings by two moves that overlap, which a call of memcpy would cost more than. GIL: not needed."""
    cdef uint64_t head = 0, tail = 0
    if size > 16:
        memcpy(at, data, size)
    elif size >= 8:
        memcpy(&head, data, 8)
        memcpy(&tail, data + size - 8, 8)
        memcpy(at, &head, 8)
        memcpy(at + size - 8, &tail, 8)
    elif size >= 4:
        memcpy(&head, data, 4)
        memcpy(&tail, data + size - 4, 4)
        memcpy(at, &head, 4)
        memcpy(at + size - 4, &tail, 4)
    elif size:
        at[0] = data[0]
        at[size >> 1] = data[size >> 1]
        at[size - 1] = data[size - 1]
    return at + size


cdef inline int append(Buffer* out, const void* data, size_t size) except -1:
    """Append bytes, growing the buffer."""
    make_room(out, size)
    memcpy(out.data + out.size, data, size)
    out.size += size
    return 0


cdef inline int append_byte(Buffer* out, uint8_t value) except -1:
    """Append one byte, growing the buffer."""
    make_room(out, 1)
    out.data[out.size] = value
    out.size += 1
    return 0


cdef inline int append_zigzag(Buffer* out, int64_t value) except -1:
    """Append an Avro int or long, growing the buffer."""
    make_room(out, 10)
    out.size = put_zigzag(out.data + out.size, value) - out.data
    return 0


cdef inline bint take(size_t* left, size_t size) noexcept nogil:
    """Take ``size`` bytes away from what is left of a limit; False if they are more. GIL: not needed."""
    if size > left[0]:
        return False
    left[0] -= size
    return True


cdef class Arena:
    cdef Buffer out                 # the records, one behind the other
    cdef int64_t* offsets           # where each starts: room for rows + 1
    cdef uint8_t* valid             # 0 where a record is null: room for rows
    cdef Span* spans                # for records that lie elsewhere: room for rows
    cdef Py_ssize_t _rows_offsets, _rows_valid, _rows_spans

    cdef int start(self, Py_ssize_t rows) except -1
    cdef int start_spans(self, Py_ssize_t rows) except -1
    cdef int mark_valid(self, Py_ssize_t rows) except -1
    cdef EncodedBatch batch(self, Py_ssize_t rows, bint with_valid=*)
    cdef EncodedBatch span_batch(self, Py_ssize_t rows, object owner)


cdef Arena fresh(Arena arena)
