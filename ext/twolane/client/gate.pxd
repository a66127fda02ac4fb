"""The gate before a partition of an idempotent producer: its first record goes alone."""
from libc.stdint cimport int32_t, int64_t

from twolane.client.atomic cimport load, swap
from twolane.librdkafka cimport rd_kafka_topic_t

cdef enum:
    CLOSED = 0                  # nothing of this producer was acknowledged here, as far as is known
    OPENING = -1                # one record is on its way; the others wait
    # Brokers forget an idle producer after producer.id.expiration.ms, a day by default: the gate closes long before.
    FRESH_MS = 3_600_000
    FIRST_BLOCK = 64
    BLOCKS = 26


cdef struct Gates:
    # CLOSED, OPENING, or when the last acknowledgement came (monotonic milliseconds), by partition. Block b holds
    # FIRST_BLOCK << b partitions and never moves: other threads read without a lock.
    int64_t* blocks[BLOCKS]
    int64_t covered             # partitions that have a state


cdef int cover(Gates* gates, int64_t partitions) except -1
cdef void free_gates(Gates* gates) noexcept
cdef int64_t* gate_at(Gates* gates, int32_t partition) noexcept nogil
cdef int64_t milliseconds() noexcept nogil


cdef inline bint is_open(int64_t* gate, int64_t now) noexcept nogil:
    cdef int64_t state = load(gate)
    return state > 0 and now - state < FRESH_MS


cdef inline bint may_pass(int64_t* gate, int64_t now) noexcept nogil:
    """Whether a record may go to this partition. Of those who ask at a closed gate one may: its record opens it."""
    cdef int64_t state = load(gate)
    if state > 0 and now - state < FRESH_MS:
        return True
    return state != OPENING and swap(gate, state, OPENING)
