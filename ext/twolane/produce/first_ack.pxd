"""The first acknowledgement of each partition: an idempotent producer sends nothing else there before it."""
from libc.stdint cimport int32_t, int64_t

from twolane.client.atomic cimport load, store, swap
from twolane.librdkafka cimport (
    RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
)

cdef enum:
    NONE_YET = 0                # nothing of this producer was acknowledged here, as far as is known
    ON_ITS_WAY = -1             # the first record is in flight; the others wait
    # After so long without an acknowledgement a first record goes alone again: brokers forget an idle producer after
    # producer.id.expiration.ms, a day by default.
    FRESH_MS = 3_600_000
    FIRST_BLOCK = 64
    BLOCKS = 26


cdef struct FirstAcks:
    # NONE_YET, ON_ITS_WAY, or when the last acknowledgement came (monotonic milliseconds), by partition. Block b holds
    # FIRST_BLOCK << b partitions and never moves: other threads read without a lock.
    int64_t* blocks[BLOCKS]
    # Here because the native topic's opaque is this struct: the partitions are to be counted again before more records go.
    int64_t recount


cdef int make_room(FirstAcks* first_acks, int64_t partitions) except -1
cdef void free_first_acks(FirstAcks* first_acks) noexcept
cdef int64_t milliseconds() noexcept nogil


cdef inline int64_t* first_ack_at(FirstAcks* first_acks, int32_t partition) noexcept nogil:
    """Return a partition's state; NULL for one that no count of this producer found, and for a failure's -1."""
    cdef int block = 0
    cdef int64_t at = partition
    if partition < 0:
        return NULL
    while at >= <int64_t>FIRST_BLOCK << block:
        at -= <int64_t>FIRST_BLOCK << block
        block += 1
    return first_acks.blocks[block] + at if first_acks.blocks[block] != NULL else NULL


cdef inline void set_first_ack(FirstAcks* first_acks, int32_t partition, int64_t state) noexcept nogil:
    cdef int64_t* at = first_ack_at(first_acks, partition)
    if at != NULL:
        store(at, state)


cdef inline bint is_acknowledged(FirstAcks* first_acks, int32_t partition, int64_t now) noexcept nogil:
    cdef int64_t* at = first_ack_at(first_acks, partition)
    return at != NULL and load(at) > 0 and now - load(at) < FRESH_MS


cdef inline bint may_produce(FirstAcks* first_acks, int32_t partition, int64_t now) noexcept nogil:
    """Return whether a record may go to this partition; where none was acknowledged, True for one caller only."""
    cdef int64_t* at = first_ack_at(first_acks, partition)
    cdef int64_t state
    if at == NULL:
        return True
    state = load(at)
    if state > 0 and now - state < FRESH_MS:
        return True
    return state != ON_ITS_WAY and swap(at, state, ON_ITS_WAY)


cdef inline void mark_for_recount(FirstAcks* first_acks, int error) noexcept nogil:
    """Have a topic's partitions counted again after an error that means that one is gone, or the topic. GIL: not needed."""
    if first_acks != NULL and (error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
                               or error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
                               or error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART):
        store(&first_acks.recount, 1)
