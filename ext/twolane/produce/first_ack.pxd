"""What was acknowledged in each partition: when at last, where, and what that says about the next record."""
from libc.stdint cimport int32_t, int64_t

from twolane.client.atomic cimport load, store, swap
from twolane.librdkafka cimport (
    RD_KAFKA_RESP_ERR__DESTROY, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, rd_kafka_message_t,
)

cdef enum:
    NONE_YET = 0                # nothing of this producer was acknowledged here, as far as is known
    ON_ITS_WAY = -1             # the first record is in flight; the others wait
    # After so long without an acknowledgement a first record goes alone again: brokers forget an idle producer after
    # producer.id.expiration.ms, a day by default.
    FRESH_MS = 3_600_000
    FIRST_BLOCK = 64
    BLOCKS = 26
    REMEMBERED = 5              # batches of a producer and partition that a broker compares a new one with (KIP-98)


cdef struct PartitionAcks:
    int64_t first               # NONE_YET, ON_ITS_WAY, or when the last acknowledgement came (monotonic milliseconds)
    int64_t bases[REMEMBERED]   # offsets of the last batches, plus one; 0: none. Of the thread that reads reports


cdef struct FirstAcks:
    # By partition. Block b holds FIRST_BLOCK << b partitions and never moves: other threads read without a lock.
    PartitionAcks* blocks[BLOCKS]
    # Here because the native topic's opaque is this struct: the partitions are to be counted again before more records go.
    int64_t recount
    # librdkafka has forgotten all partitions at a denial, and a record in flight with one of them (F41).
    int64_t is_denied, has_lost


cdef int make_room(FirstAcks* first_acks, int64_t partitions) except -1
cdef void free_first_acks(FirstAcks* first_acks) noexcept
cdef int64_t milliseconds() noexcept nogil


cdef inline PartitionAcks* acks_at(FirstAcks* first_acks, int32_t partition) noexcept nogil:
    """Return a partition's; NULL for one that no count of this producer found, and for a failure's -1."""
    cdef int block = 0
    cdef int64_t at = partition
    if partition < 0:
        return NULL
    while at >= <int64_t>FIRST_BLOCK << block:
        at -= <int64_t>FIRST_BLOCK << block
        block += 1
    return first_acks.blocks[block] + at if first_acks.blocks[block] != NULL else NULL


cdef inline int64_t* first_ack_at(FirstAcks* first_acks, int32_t partition) noexcept nogil:
    cdef PartitionAcks* at = acks_at(first_acks, partition)
    return &at.first if at != NULL else NULL


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


cdef inline bint note_error(FirstAcks* first_acks, int error) noexcept nogil:
    """Note what an error says of the whole topic. GIL: not needed.

    Returns
    -------
    bool
        Whether a record was lost in flight as librdkafka forgot its partition at a denial: the next one there may have its
        number, and what a broker answers to that tells nothing (F41).
    """
    if first_acks == NULL:
        return False
    if (error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION or error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
            or error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART):
        store(&first_acks.recount, 1)   # a partition is gone, or the topic
    elif error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        store(&first_acks.is_denied, 1)
    elif error == RD_KAFKA_RESP_ERR__DESTROY:
        store(&first_acks.has_lost, 1)
    return load(&first_acks.is_denied) and load(&first_acks.has_lost)


cdef inline bint has_offset_of_its_own(FirstAcks* first_acks, const rd_kafka_message_t* first) noexcept nogil:
    """Return whether a batch was given an offset that is not an earlier batch's, and remember it. Under the reader's lock.

    Behind a denial a batch may have an earlier one's sequence numbers. A broker takes it for that one then, and answers with
    its offset (F41). It knows the last `REMEMBERED` batches. Without a denial an offset may come again only where the
    topic was made anew.
    """
    cdef PartitionAcks* at
    cdef int i
    if first.offset < 0 or first.err != 0 or first_acks == NULL:
        return first.offset >= 0
    at = acks_at(first_acks, first.partition)
    if at == NULL:
        return True
    if load(&first_acks.is_denied):
        for i in range(REMEMBERED):
            if at.bases[i] == first.offset + 1:
                at.bases[i] = 0     # once: its numbers do not come a third time, and a topic made anew gets past it
                return False
    for i in range(REMEMBERED - 1, 0, -1):
        at.bases[i] = at.bases[i - 1]
    at.bases[0] = first.offset + 1
    return True
