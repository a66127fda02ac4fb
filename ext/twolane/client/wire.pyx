"""The interceptor that counts what goes over a client's connections, and which of these are up. GIL: not needed."""
from libc.stdint cimport int16_t, int32_t

from twolane.client.atomic cimport add, load
from twolane.client.library cimport rd
from twolane.librdkafka cimport *

cdef extern from *:
    """
    // Where Wire.up counts the connection of this thread, which has one; -1 while it is down.
    static TWOLANE_PER_THREAD int twolane_up_at = -1;
    """
    int _up_at "twolane_up_at"


cdef int _on_request_sent(rd_kafka_t* rk, int sockfd, const char* name, int32_t broker, int16_t api_key,
                          int16_t version, int32_t correlation, size_t size, void* opaque) noexcept nogil:
    """Count requests as they leave: Produce (ApiKey 0), InitProducerId (22). Runs in a broker thread."""
    cdef Wire* wire = <Wire*>opaque
    if api_key == 0:
        add(&wire.produce_requests, 1)
        if wire.last_broker != broker:
            wire.last_broker = broker
            add(&wire.broker_changes, 1)
    elif api_key == 22:
        add(&wire.producer_ids, 1)
    return 0


cdef int _place_of(const char* host, int port) noexcept nogil:
    """Return where `Wire.up` has a broker, by its address (FNV-1a)."""
    cdef unsigned int found = 2166136261u
    while host[0]:
        found = (found ^ <unsigned char>host[0]) * 16777619u
        host += 1
    return ((found ^ <unsigned int>port) * 16777619u) >> 26


cdef int _on_broker_state(rd_kafka_t* rk, int32_t broker, const char* protocol, const char* host, int port,
                          const char* state, void* opaque) noexcept nogil:
    """Note which connections are up. Runs in the connection's thread.

    librdkafka has two connections to one address while it takes a bootstrap server for one of the brokers: both count.
    """
    global _up_at
    cdef Wire* wire = <Wire*>opaque
    if _up_at >= 0:
        add(&wire.up[_up_at], -1)
        _up_at = -1
    if state[0] == b"U" and state[1] == b"P":
        _up_at = _place_of(host, port)
        add(&wire.up[_up_at], 1)
    return 0


cdef int on_new(rd_kafka_t* rk, const rd_kafka_conf_t* conf, void* opaque, char* errstr, size_t size) noexcept nogil:
    rd.interceptor_add_on_broker_state_change(rk, b"twolane", _on_broker_state, opaque)
    return rd.interceptor_add_on_request_sent(rk, b"twolane", _on_request_sent, opaque)


cdef bint is_up(Wire* wire, const char* host, int port) noexcept nogil:
    return load(&wire.up[_place_of(host, port)]) > 0
