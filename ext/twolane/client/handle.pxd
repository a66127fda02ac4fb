"""Handle owns one ``rd_kafka_t``; Topic owns one ``rd_kafka_topic_t`` and keeps its Handle alive."""
from libc.stdint cimport int64_t

from twolane.client.wire cimport Wire
from twolane.produce.first_ack cimport FirstAcks
from twolane.librdkafka cimport *


cdef enum:
    NO_LIMIT = 0x7FFFFFFF      # a broker cannot have a higher one


cdef class Handle:
    cdef rd_kafka_t* rk             # NULL once closed
    cdef rd_kafka_queue_t* queue    # delivery reports, errors, logs, statistics
    cdef rd_kafka_queue_t* sasl_queue   # librdkafka's requests for a token; NULL where nobody answers them here
    cdef Wire* wire                 # on the heap: the broker threads may outlive the Handle
    cdef readonly dict settings     # what librdkafka was given, secrets masked
    cdef public bint awaits_first_acks  # the first record of each partition goes alone, see produce/first_ack
    cdef public bint draining       # the producer closes: no call begins, and those that wait end
    cdef public double recount_after    # seconds after which a topic's partitions are counted again
    cdef dict _topics               # name -> Topic
    cdef int _generation            # of fork(): differs in a child
    cdef int64_t _users             # calls that stand inside librdkafka now
    cdef bint _closing              # close() was called: the last user destroys

    cdef int ensure_open(self) except -1
    cdef int hold(self) except -1
    cdef inline void forget_last_broker(self) noexcept nogil:
        """Count the next ProduceRequest as no change of broker. Only while nothing is in flight. GIL: not needed."""
        self.wire.last_broker = -2

    cdef void release(self) noexcept
    cdef void last_call_ended(self) noexcept
    cdef bint _destroy(self, double patience) noexcept
    cdef Topic topic(self, str name)
    cdef dict topic_names(self)
    cdef Topic _made(self, str name)


cdef class Topic:
    cdef rd_kafka_topic_t* rkt
    cdef Handle _handle             # keeps the rd_kafka_t alive as long as this topic
    cdef FirstAcks first_acks       # the native handle's opaque
    cdef readonly str name
    cdef readonly bytes encoded_name
    cdef readonly int partition_count       # 0 until known
    cdef public double counted_at           # time.monotonic() of the last count
    cdef public int64_t max_message_bytes   # of a MessageSet: the topic's setting; NO_LIMIT until known
    cdef public bint is_size_refused        # a record was refused for its size: the setting is to be asked for again
    cdef public int sticky_partition        # of records without a key; -1: choose anew
    cdef public int64_t sticky_bytes


cdef int forks() noexcept nogil             # how often this process came out of a fork(), itself included
