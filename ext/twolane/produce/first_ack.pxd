"""The gate before a partition of an idempotent producer: its first record goes alone."""
from libc.stdint cimport int32_t, int64_t

from twolane.client.atomic cimport load, store, swap
from twolane.librdkafka cimport (
    RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
)

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
    # Not a gate, but like them the native topic's own: the partitions are to be counted again before more records go.
    int64_t recount


cdef int cover(Gates* gates, int64_t partitions) except -1
cdef void free_gates(Gates* gates) noexcept
cdef int64_t milliseconds() noexcept nogil


cdef inline int64_t* gate_at(Gates* gates, int32_t partition) noexcept nogil:
    """The gate of a partition; NULL for one the topic had at no count of this producer, and for none (a failure's -1)."""
    cdef int block = 0
    cdef int64_t at = partition
    if partition < 0:
        return NULL
    while at >= <int64_t>FIRST_BLOCK << block:
        at -= <int64_t>FIRST_BLOCK << block
        block += 1
    return gates.blocks[block] + at if gates.blocks[block] != NULL else NULL


cdef inline void set_gate(Gates* gates, int32_t partition, int64_t state) noexcept nogil:
    cdef int64_t* gate = gate_at(gates, partition)
    if gate != NULL:
        store(gate, state)


cdef inline bint is_open(Gates* gates, int32_t partition, int64_t now) noexcept nogil:
    cdef int64_t* gate = gate_at(gates, partition)
    return gate != NULL and load(gate) > 0 and now - load(gate) < FRESH_MS


cdef inline bint may_pass(Gates* gates, int32_t partition, int64_t now) noexcept nogil:
    """Whether a record may go to this partition. Of those who ask at a closed gate one may: its record opens it."""
    cdef int64_t* gate = gate_at(gates, partition)
    cdef int64_t state
    if gate == NULL:
        return True
    state = load(gate)
    if state > 0 and now - state < FRESH_MS:
        return True
    return state != OPENING and swap(gate, state, OPENING)


cdef inline void mark_for_recount(Gates* gates, int error) noexcept nogil:
    """Have a topic's partitions counted again after an error that means that one is gone, or the topic. GIL: not needed."""
    if gates != NULL and (error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION or error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
                          or error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART):
        store(&gates.recount, 1)
