"""Record: one record's arguments, as ``send()`` of either lane takes them."""
from libc.stdint cimport int32_t, int64_t

from twolane.batch cimport Span
from twolane.client.handle cimport Topic
from twolane.client.partitioner cimport Partitioner
from twolane.produce.record_slice cimport RecordSlice


cdef class Record:
    cdef readonly Topic topic
    cdef readonly bytes value, key
    cdef Span value_span, key_span
    cdef readonly tuple headers
    cdef readonly int32_t partition
    cdef readonly int64_t timestamp         # ms
    cdef int64_t payload                    # bytes of value and key
    cdef int64_t size                       # at most, in a MessageSet
    cdef RecordSlice _slice

    cdef int fill(self, object topic, object value, object key, object headers, object timestamp, object timestamp_header,
                  int64_t max_bytes) except -1
    cdef int _convert(self, object topic, object value, object key, object headers, object timestamp,
                      object timestamp_header, int64_t ms) except -1
    cdef int ensure_fits(self, Topic topic) except -1
    cdef int choose_partition(self, Topic topic, object partition, Partitioner partitioner) except -2
    cdef RecordSlice as_slice(self)


cdef tuple serialized(object serializer, object key_serializer, object value, object key, object headers, str topic,
                      double deadline)
cdef int32_t existing_partition(Topic topic, object partition) except -2
cdef int32_t look_for_partition(object topics, Topic topic, object partition, double deadline) except -1
