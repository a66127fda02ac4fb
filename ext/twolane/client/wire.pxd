"""What a client's broker threads did, as an interceptor sees it."""
from libc.stdint cimport int64_t

from twolane.librdkafka cimport *


cdef struct Wire:
    # What the broker threads did, counted by an interceptor. Read to tell "never sent" from "may have arrived".
    int64_t produce_requests
    int64_t producer_ids            # requests for a producer id or its next epoch
    int64_t broker_changes          # times a ProduceRequest went to another broker than the one before it
    int64_t last_broker
    int64_t up[64]                  # by address: the connections that are up; different brokers may share one
    # The end of the client, which its broker threads may hold up for as long as a name look-up takes.
    rd_kafka_t* rk
    void* ended                     # PyThread lock, held until rd_kafka_destroy() has returned
    int64_t owners                  # the Handle, and the thread that destroys the client: the last one frees this


cdef int on_new(rd_kafka_t* rk, const rd_kafka_conf_t* conf, void* opaque, char* errstr, size_t size) noexcept nogil
cdef bint is_up(Wire* wire, const char* host, int port) noexcept nogil
