"""The columns of one slice as plain pointers, and the Python objects that keep them alive."""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free

from twolane._units cimport HEADER_OVERHEAD, RECORD_OVERHEAD
from twolane.batch cimport EncodedBatch, span_at
from twolane.client.library cimport rd
from twolane.librdkafka cimport *

import numpy as np


cdef Span span_of(bytes data) noexcept:
    """The span of one byte string or None. Borrows."""
    cdef Span span
    span.data = NULL
    span.size = 0
    if data is not None:
        span.data = <const uint8_t*>PyBytes_AS_STRING(data)
        span.size = PyBytes_GET_SIZE(data)
    return span


@cython.final
cdef class RecordSlice:
    """One slice of a call.

    Parameters
    ----------
    values, keys : EncodedBatch
        Keys may be None. Borrowed until the records are enqueued: librdkafka copies both.
    timestamps : int or ndarray of int64, shape (n,)
        Milliseconds since the epoch, above 0.
    partitions : int or ndarray of int32, shape (n,)
        Checked against the topic by the caller: librdkafka must never see one that does not exist.
    headers : tuple of (bytes, bytes or None), or list of such tuples or None, shape (n,)
        A tuple is shared by all records, a list has one entry per record.
    columns : list of (bytes, EncodedBatch), optional
        Headers behind the shared ones: the name, and a value for each record. None beside a list of headers.
    """

    def __cinit__(self):
        self.values = NULL
        self.keys = NULL
        self.shared = NULL
        self.ready = NULL
        self.each_size = NULL
        self.n_shared = 0
        self.n_columns = 0
        self.columns = NULL
        self.shared_size = 0

    def __init__(self, EncodedBatch values not None, EncodedBatch keys, timestamps, partitions, headers=None, n=None,
                 list columns=None):
        cdef const int64_t[::1] times
        cdef const int32_t[::1] places
        cdef bytes name, value
        cdef Py_ssize_t i
        if self.values != NULL:
            raise RuntimeError("a RecordSlice is filled once")
        self.n = values.column.n if n is None else n
        if not values.column.broadcast and values.column.n != self.n:
            raise ValueError(f"values: {values.column.n} for {self.n} records")
        if keys is not None:
            if not keys.column.broadcast and keys.column.n != self.n:
                raise ValueError(f"keys: {keys.column.n} for {self.n} records")
            self.keys = &keys.column
        self.values = &values.column
        if isinstance(timestamps, np.ndarray):
            times = timestamps
            if times.shape[0] != self.n:
                raise ValueError(f"timestamps: {times.shape[0]} for {self.n} records")
            self.timestamps = &times[0] if self.n else NULL
            self.timestamp_step = 1
        else:
            self._one_timestamp = timestamps
            self.timestamps = &self._one_timestamp
            self.timestamp_step = 0
        if isinstance(partitions, np.ndarray):
            places = partitions
            if places.shape[0] != self.n:
                raise ValueError(f"partitions: {places.shape[0]} for {self.n} records")
            self.partitions = &places[0] if self.n else NULL
            self.partition_step = 1
        else:
            self._one_partition = partitions
            self.partitions = &self._one_partition
            self.partition_step = 0
        if isinstance(headers, list):
            if len(headers) != self.n:
                raise ValueError(f"headers: {len(headers)} for {self.n} records")
            self.each = headers
            self.each_size = <int64_t*>calloc(max(self.n, 1), sizeof(int64_t))
            if self.each_size == NULL:
                raise MemoryError()
            for i in range(self.n):
                for name, value in headers[i] or ():
                    self.each_size[i] += len(name) + (0 if value is None else len(value)) + HEADER_OVERHEAD
        elif headers or columns:
            self._take_headers(headers or (), columns or [])
        self._owners = (values, keys, timestamps, partitions, headers, columns)

    cdef int _take_headers(self, tuple headers, list columns) except -1:
        cdef bytes name, value
        cdef EncodedBatch batch
        cdef rd_kafka_vu_t* entry
        self.shared = <rd_kafka_vu_t*>calloc(len(headers) + len(columns), sizeof(rd_kafka_vu_t))
        self.columns = <const ByteColumn**>calloc(max(len(columns), 1), sizeof(ByteColumn*))
        if self.shared == NULL or self.columns == NULL:
            raise MemoryError()
        for name, value in headers:
            entry = &self.shared[self.n_shared]
            entry.vtype = RD_KAFKA_VTYPE_HEADER
            entry.u.header.name = PyBytes_AS_STRING(name)
            entry.u.header.val = NULL if value is None else PyBytes_AS_STRING(value)
            entry.u.header.size = 0 if value is None else PyBytes_GET_SIZE(value)
            self.n_shared += 1
            self.shared_size += len(name) + (0 if value is None else len(value)) + HEADER_OVERHEAD
        for name, batch in columns:
            if not batch.column.broadcast and batch.column.n != self.n:
                raise ValueError(f"headers: {batch.column.n} for {self.n} records")
            entry = &self.shared[self.n_shared + self.n_columns]
            entry.vtype = RD_KAFKA_VTYPE_HEADER
            entry.u.header.name = PyBytes_AS_STRING(name)
            self.columns[self.n_columns] = &batch.column
            self.n_columns += 1
            self.shared_size += len(name) + HEADER_OVERHEAD
        return 0

    @staticmethod
    cdef RecordSlice lone(bytes value, bytes key, int64_t timestamp, int32_t partition, tuple headers):
        """One record as a RecordSlice, without the objects around it."""
        cdef RecordSlice feed = RecordSlice.__new__(RecordSlice)
        feed.n = 1
        feed._one_value_span = span_of(value)
        feed._one_value.n = 1
        feed._one_value.spans = &feed._one_value_span
        feed.values = &feed._one_value
        if key is not None:
            feed._one_key_span = span_of(key)
            feed._one_key.n = 1
            feed._one_key.spans = &feed._one_key_span
            feed.keys = &feed._one_key
        feed._one_timestamp = timestamp
        feed.timestamps = &feed._one_timestamp
        feed._one_partition = partition
        feed.partitions = &feed._one_partition
        if headers:
            feed._take_headers(headers, [])
        feed._owners = (value, key, headers)
        return feed

    def __dealloc__(self):
        cdef Py_ssize_t i
        free(self.shared)
        free(self.columns)
        free(self.each_size)
        if self.ready != NULL:
            for i in range(self.n):
                if self.ready[i] != NULL:
                    rd.headers_destroy(self.ready[i])
            free(self.ready)

    cdef int make_headers(self) except -1:
        """Turn per-record headers into librdkafka's lists; each is handed over with its record. Does nothing twice."""
        cdef Py_ssize_t i
        cdef bytes name, value
        cdef rd_kafka_headers_t* made
        if self.each is None or self.ready != NULL:
            return 0
        self.ready = <rd_kafka_headers_t**>calloc(max(self.n, 1), sizeof(rd_kafka_headers_t*))
        if self.ready == NULL:
            raise MemoryError()
        for i in range(self.n):
            entry = self.each[i]
            if not entry:
                continue
            made = rd.headers_new(len(entry))
            self.ready[i] = made
            for name, value in entry:
                rd.header_add(made, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name),
                              NULL if value is None else <void*>PyBytes_AS_STRING(value),
                              0 if value is None else PyBytes_GET_SIZE(value))
        return 0

    cdef int64_t size_of(self, Py_ssize_t i) noexcept nogil:
        """Worst-case bytes of record ``i`` in a MessageSet. GIL: not needed."""
        cdef int j
        cdef int64_t size = RECORD_OVERHEAD + self.shared_size + span_at(self.values, i).size
        if self.keys != NULL:
            size += span_at(self.keys, i).size
        if self.each_size != NULL:
            size += self.each_size[i]
        for j in range(self.n_columns):
            size += span_at(self.columns[j], i).size
        return size

    def __len__(self):
        return self.n
