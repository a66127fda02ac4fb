"""What ends a producer because its sequence numbers would no longer tell records apart."""
from libc.stdint cimport int64_t

from twolane.client.atomic cimport load
from twolane.client.handle cimport Handle
from twolane.client.library cimport rd
from twolane.client.wire cimport Wire
from twolane.librdkafka cimport *


cdef struct Numbered:
    int64_t answered            # ProduceRequests that a broker's answer has ended
    int64_t purged              # records purged from a queue, sent before or not
    # As the transaction began:
    int64_t unanswered, purged_before, producer_ids


cdef inline bint is_numbered_again(Numbered* now, Wire* wire) noexcept nogil:
    """Note where a transaction begins; return whether it would use numbers that brokers may have for other records.

    Which records were purged behind a request that carried them, nothing tells: there are none without a request that has
    no answer. A new producer id has numbers of its own.
    """
    cdef int64_t unanswered = load(&wire.produce_requests) - now.answered, ids = load(&wire.producer_ids)
    cdef bint found = (unanswered > now.unanswered and now.purged > now.purged_before and ids == now.producer_ids)
    now.unanswered, now.purged_before, now.producer_ids = unanswered, now.purged, ids
    return found


cdef inline void end_numbered_wrong(Handle handle, bint forgot) noexcept nogil:
    """End a plain idempotent producer whose epoch is about to begin anew at 0 (F18), or that forgot a record (F41).

    librdkafka does not expose the epoch. It counts one up for a request that failed for good, and for records that timed out
    or were purged; each of these has a report, so the events with a failure are as many at least.
    """
    if rd.fatal_error(handle.rk, NULL, 0):
        return
    if forgot:
        rd.test_fatal_error(
            handle.rk, RD_KAFKA_RESP_ERR__INCONSISTENT,
            b"a record was in flight, with an answer that is retried, as brokers denied its topic: librdkafka has forgotten it "
            b"and may give its sequence number to another record, which brokers would take for a duplicate. Close this "
            b"producer and make a new one")
    else:
        rd.test_fatal_error(
            handle.rk, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
            b"so many requests failed that the epoch of the producer id is used up: beyond it brokers would refuse good "
            b"records, or take them for duplicates. Close this producer and make a new one")


cdef inline void end_numbered_again(Handle handle) noexcept nogil:
    """End a transactional producer whose next transaction would use sequence numbers twice (F37)."""
    if not rd.fatal_error(handle.rk, NULL, 0):
        rd.test_fatal_error(
            handle.rk, RD_KAFKA_RESP_ERR__INCONSISTENT,
            b"records of the aborted transaction were sent, and purged before a broker's answer ended them: librdkafka gives "
            b"their sequence numbers to other records, which brokers may take for duplicates. Close this producer and make "
            b"a new one")
