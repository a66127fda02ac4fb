"""librdkafka's transaction calls, one Python function each. What an error means for the program is decided above."""

from twolane.client.handle cimport Handle
from twolane.client.library cimport rd
from twolane.librdkafka cimport *


cdef object taken(rd_kafka_error_t* error):
    """Return an rd_kafka_error_t as ``(code, text, fatal, retriable, must_abort)``, or None. Steals the error."""
    if error == NULL:
        return None
    found = (rd.error_code(error), rd.error_string(error).decode("utf-8", "replace"), bool(rd.error_is_fatal(error)),
             bool(rd.error_is_retriable(error)), bool(rd.error_txn_requires_abort(error)))
    rd.error_destroy(error)
    return found


def init_transactions(Handle handle not None, int timeout_ms):
    """Get the producer id of the ``transactional.id``, fencing the producer that had it before.

    Returns
    -------
    tuple or None
        None on success, else ``(code, text, fatal, retriable, must_abort)``; after a time-out the same call goes on
        where it was. As for the functions below. GIL: released.
    """
    cdef rd_kafka_error_t* error
    handle.hold()
    try:
        with nogil:
            error = rd.init_transactions(handle.rk, timeout_ms)
    finally:
        handle.release()
    return taken(error)


def begin_transaction(Handle handle not None):
    """Begin a transaction; nothing is sent yet. Waits for librdkafka's main thread as long as that takes.

    GIL: released.
    """
    cdef rd_kafka_error_t* error
    handle.hold()
    try:
        with nogil:
            error = rd.begin_transaction(handle.rk)
    finally:
        handle.release()
    return taken(error)


def commit_transaction(Handle handle not None, int timeout_ms):
    """Commit. Everything sent has been acknowledged before, so that nothing is flushed here."""
    cdef rd_kafka_error_t* error
    handle.hold()
    try:
        with nogil:
            error = rd.commit_transaction(handle.rk, timeout_ms)
    finally:
        handle.release()
    return taken(error)


def abort_transaction(Handle handle not None, int timeout_ms):
    """Abort: consumers that read committed records skip what was sent."""
    cdef rd_kafka_error_t* error
    handle.hold()
    try:
        with nogil:
            error = rd.abort_transaction(handle.rk, timeout_ms)
    finally:
        handle.release()
    return taken(error)


def give_up(Handle handle not None):
    """End a producer whose commit or abort waits for the report of a record that librdkafka has lost (F39)."""
    handle.ensure_open()
    rd.test_fatal_error(
        handle.rk, RD_KAFKA_RESP_ERR__INCONSISTENT,
        b"the transaction waits for the report of a record, long after its time: librdkafka has lost it. Close this producer "
        b"and make a new one")


def send_offsets(Handle handle not None, list offsets not None, bytes group_metadata not None, int timeout_ms):
    """Add a consumer group's offsets to the transaction.

    Parameters
    ----------
    offsets : list of (str, int, int)
        Topic, partition, offset of the next record to read.
    group_metadata : bytes
        What ``confluent_kafka.Consumer.consumer_group_metadata()`` returns.
    """
    cdef rd_kafka_error_t* error
    cdef rd_kafka_consumer_group_metadata_t* group = NULL
    cdef rd_kafka_topic_partition_list_t* listed
    cdef rd_kafka_topic_partition_t* entry
    cdef str topic
    cdef bytes name
    handle.ensure_open()
    error = rd.consumer_group_metadata_read(&group, <const char*>group_metadata, <size_t>len(group_metadata))
    if error != NULL:
        return taken(error)
    listed = rd.topic_partition_list_new(<int>len(offsets))
    try:
        for topic, partition, offset in offsets:
            name = topic.encode()
            entry = rd.topic_partition_list_add(listed, name, partition)
            entry.offset = offset
        handle.hold()
        try:
            with nogil:
                error = rd.send_offsets_to_transaction(handle.rk, listed, group, timeout_ms)
        finally:
            handle.release()
        return taken(error)
    finally:
        rd.topic_partition_list_destroy(listed)
        rd.consumer_group_metadata_destroy(group)
