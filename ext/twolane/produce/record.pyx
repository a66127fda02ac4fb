"""One record's arguments: what ``send()`` is given, brought to what librdkafka takes, without an object in between."""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from libc.stdint cimport int32_t, int64_t

from twolane._units cimport GUARD_FROM, GUARD_TO
from twolane.client.handle cimport Topic
from twolane.client.library cimport rd
from twolane.encoding.time.timestamps cimport pack_one
from twolane.librdkafka cimport *

from confluent_kafka import KafkaError

from twolane.batch import EncodedBatch
from twolane.client.partitioner import assign
from twolane.encoding.columns.bytes import bytes_source, index_of
from twolane.errors import SerializationError, refused


@cython.final
cdef class Record:
    """One record, checked: its topic's partitions are known, its partition exists.

    Attributes
    ----------
    topic : Topic
    value, key : bytes or None
    headers : tuple of (bytes, bytes or None)
    partition : int
    timestamp : int
        Milliseconds since the epoch.
    """

    def __init__(self):
        raise TypeError("Records are made by send()")

    def __reduce__(self):
        raise TypeError("a Record cannot be pickled")


cdef int64_t guarded_ms(object timestamp) noexcept:
    """The milliseconds of what most loops give, an int of these years; -1 of anything else."""
    cdef long long ms
    cdef int overflow = 0
    if type(timestamp) is int:
        ms = PyLong_AsLongLongAndOverflow(timestamp, &overflow)
        if overflow == 0 and GUARD_FROM <= ms < GUARD_TO:
            return ms
    return -1


cdef int64_t plain_ms(object timestamp) except -1:
    """``pack_one()``, with a short way for what most loops give."""
    cdef int64_t ms = guarded_ms(timestamp)
    return ms if ms >= 0 else pack_one(timestamp)


cdef bytes as_bytes(object value, str field):
    """bytes of a value or key that is no plain ``bytes``."""
    try:
        return bytes_source((value,), field=field).slice(0, 1)[0]
    except SerializationError as error:
        error.index = None
        raise


cdef int32_t place_of(Topic topic, bytes value, bytes key, str partitioner, int64_t sticky_bytes) except -1:
    """The partition of a record that was given none: by its key, else sticky."""
    cdef int32_t count = topic.partition_count, sticky
    cdef int64_t size
    if count == 1:
        return 0
    if partitioner == "murmur2_random":
        if key is not None:
            return rd.partitioner_murmur2(topic.rkt, PyBytes_AS_STRING(key), <size_t>PyBytes_GET_SIZE(key), count,
                                          NULL, NULL)
        size = (PyBytes_GET_SIZE(value) if value is not None else 0) + 1
        sticky = topic.sticky_partition
        if 0 <= sticky < count and topic.sticky_bytes + size < sticky_bytes:
            topic.sticky_bytes += size
            return sticky
    return int(assign(topic, partitioner, EncodedBatch.constant(value),
                      None if key is None else EncodedBatch.constant(key), 1, sticky_bytes)[0])


cdef int32_t given_place(Topic topic, object partition) except -2:
    """The partition that was asked for; -1 if the topic has none of this number."""
    cdef int overflow = 0
    cdef long long place
    if type(partition) is not int:
        partition = index_of(partition, "a partition is an int", None, "partition", topic.name)
    place = PyLong_AsLongLongAndOverflow(partition, &overflow)
    return <int32_t>place if overflow == 0 and 0 <= place < topic.partition_count else -1


cdef int32_t place_asked(object topics, Topic topic, object partition, double deadline) except -1:
    """The partition that was asked for. One beyond the last count is looked for before it is refused."""
    cdef int32_t place
    if type(partition) is not int:
        partition = index_of(partition, "a partition is an int", None, "partition", topic.name)
    place = given_place(topic, partition)
    if place < 0:
        topics.look_for(topic, partition, deadline)
        place = given_place(topic, partition)
    if place < 0:
        raise refused(topic.name, KafkaError._UNKNOWN_PARTITION,
                      f"partition {partition} does not exist, the topic has {topic.partition_count}",
                      partition=partition)
    return place
