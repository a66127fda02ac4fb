"""The columns of one slice as plain pointers, and the Python objects that keep them alive."""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

from twolane.batch cimport EncodedBatch, span_at
from twolane.client.library cimport rd
from twolane.librdkafka cimport *
from twolane.produce.first_ack cimport NONE_YET, FirstAcks, may_produce, milliseconds, set_first_ack
from twolane.produce.vu_template cimport FIXED, begin_template, produce, set_record
from twolane.reports.trackers cimport opaque_of

import numpy as np

cdef enum:
    HEADERS_ON_STACK = 24

# What a record takes in a MessageSet of its own beyond its entry in `RecordSlice.sizes()`, at most.
MOST_AROUND_A_RECORD = MESSAGE_SET_OVERHEAD


cpdef int64_t headers_size(tuple headers) except -1:
    """Return the bytes of one record's headers in a MessageSet (rd_kafka_headers_serialized_size)."""
    cdef int64_t size = 0
    cdef bytes name, value
    for name, value in headers:
        size += sized(PyBytes_GET_SIZE(name)) + sized(PyBytes_GET_SIZE(value) if value is not None else 0)
    return size


cdef inline int64_t sized(int64_t size) noexcept nogil:
    """Return the bytes of a name or value behind its own size."""
    return varint_size(size) + size


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
        self.opaques = NULL
        self.shared_size = 0

    def __init__(self, EncodedBatch values not None, EncodedBatch keys, timestamps, partitions, headers=None, n=None,
                 list columns=None):
        cdef const int64_t[::1] times
        cdef const int32_t[::1] places
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
                self.each_size[i] = headers_size(headers[i] or ())
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
        self.shared_size = headers_size(headers)
        for name, batch in columns:
            if not batch.column.broadcast and batch.column.n != self.n:
                raise ValueError(f"headers: {batch.column.n} for {self.n} records")
            entry = &self.shared[self.n_shared + self.n_columns]
            entry.vtype = RD_KAFKA_VTYPE_HEADER
            entry.u.header.name = PyBytes_AS_STRING(name)
            self.columns[self.n_columns] = &batch.column
            self.n_columns += 1
            self.shared_size += sized(len(name))
        return 0

    cdef int hold_one(self, Span* value, Span* key, int64_t timestamp, int32_t partition, tuple headers) except -1:
        """Hold this one record, instead of the last one; the caller keeps alive what they point at."""
        if self.shared != NULL:
            free(self.shared)
            free(self.columns)
            self.shared = NULL
            self.columns = NULL
            self.n_shared = 0
            self.shared_size = 0
        self.n = 1
        self._one_value.n = 1
        self._one_value.spans = value
        self.values = &self._one_value
        self._one_key.n = 1
        self._one_key.spans = key
        self.keys = &self._one_key
        self._one_timestamp = timestamp
        self.timestamps = &self._one_timestamp
        self._one_partition = partition
        self.partitions = &self._one_partition
        if headers:
            self._take_headers(headers, [])
        return 0

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

    cdef int64_t headers_of(self, Py_ssize_t i) noexcept nogil:
        """Return how many bytes the headers take of record ``i`` in a MessageSet. GIL: not needed."""
        cdef int j
        cdef int64_t headers = self.shared_size
        if self.each_size != NULL:
            headers += self.each_size[i]
        for j in range(self.n_columns):
            headers += sized(span_at(self.columns[j], i).size)
        return headers

    cdef int64_t size_of(self, Py_ssize_t i) noexcept nogil:
        """Return worst-case bytes of record ``i`` in a MessageSet. GIL: not needed."""
        cdef int64_t payload = span_at(self.values, i).size
        if self.keys != NULL:
            payload += span_at(self.keys, i).size
        return record_size(payload, self.headers_of(i))

    def message_set_size(self, Py_ssize_t i):
        """Return the bytes of a MessageSet that holds record ``i`` alone."""
        cdef int64_t key = span_at(self.keys, i).size if self.keys != NULL else 0
        cdef int64_t n_headers = self.n_shared + self.n_columns
        if self.each is not None:
            n_headers += len(self.each[i] or ())
        return message_set_size(span_at(self.values, i).size, key, n_headers, self.headers_of(i))

    def sizes(self):
        """Return the worst-case bytes of each record in a MessageSet, as a new int64 array."""
        cdef Py_ssize_t i
        sizes = np.empty(self.n, dtype=np.int64)
        cdef int64_t[::1] view = sizes
        for i in range(self.n):
            view[i] = self.size_of(i)
        return sizes

    def __len__(self):
        return self.n


cdef int set_headers(rd_kafka_vu_t* vu, RecordSlice records, int64_t i) noexcept nogil:
    """Set the headers that only record ``i`` has; librdkafka takes over a list of them. Returns the entries that are set."""
    cdef int j
    cdef Span value
    cdef rd_kafka_vu_t* entry = &vu[FIXED]
    if records.ready != NULL:
        if records.ready[i] == NULL:
            return FIXED
        entry.vtype = RD_KAFKA_VTYPE_HEADERS
        entry.u.ptr = records.ready[i]
        records.ready[i] = NULL
        return FIXED + 1
    for j in range(records.n_columns):
        value = span_at(records.columns[j], i)
        entry = &vu[FIXED + records.n_shared + j]
        entry.u.header.val = value.data
        entry.u.header.size = <ssize_t>value.size
    return FIXED + records.n_shared + records.n_columns


@cython.boundscheck(False)
@cython.wraparound(False)
cdef Enqueued enqueue(rd_kafka_t* rk, rd_kafka_topic_t* rkt, RecordSlice records, const int64_t* order, int64_t start,
                      int64_t stop, int64_t tracker_id, int64_t first_index, FirstAcks* first_acks) noexcept nogil:
    """Hand records ``start`` to ``stop`` of the slice (through ``order``, where given) to librdkafka.

    The opaque of record ``i`` of the slice is (tracker, first_index + i). Values and keys are copied by librdkafka. Stops
    at the first record that it refuses, and before a partition whose first record is not acknowledged (`first_acks`; NULL:
    no record waits for that). GIL: not needed; ``records.make_headers()`` has run.
    """
    cdef Enqueued result
    cdef rd_kafka_vu_t on_stack[FIXED + HEADERS_ON_STACK]
    cdef rd_kafka_vu_t* vu = on_stack
    cdef int64_t k, i
    cdef int j, n_vu, n_shared = records.n_shared + records.n_columns
    cdef Span value, key
    cdef bint has_headers = records.n_columns > 0 or records.ready != NULL      # of its own each record
    cdef int64_t now = milliseconds() if first_acks != NULL else 0
    cdef const uint64_t* opaques = records.opaques
    cdef const ByteColumn* keys = records.keys
    cdef uint64_t first_opaque = opaque_of(tracker_id, first_index)
    result.n = 0
    result.bytes = 0
    result.error = 0
    result.blocked_partition = -1
    if rkt == NULL:
        result.error = RD_KAFKA_RESP_ERR__DESTROY
        return result
    if n_shared > HEADERS_ON_STACK:
        vu = <rd_kafka_vu_t*>malloc(<size_t>(FIXED + n_shared) * sizeof(rd_kafka_vu_t))
        if vu == NULL:
            result.error = RD_KAFKA_RESP_ERR__QUEUE_FULL
            return result
    begin_template(vu, rkt)
    for j in range(n_shared):
        vu[FIXED + j] = records.shared[j]
    n_vu = FIXED + n_shared
    key.data = NULL
    key.size = 0
    for k in range(start, stop):
        i = order[k] if order != NULL else k
        value = span_at(records.values, i)
        if keys != NULL:
            key = span_at(keys, i)
        set_record(vu, records.partitions[i * records.partition_step], value, key,
                   records.timestamps[i * records.timestamp_step],
                   opaques[i] if opaques != NULL else first_opaque + <uint64_t>i)
        if first_acks != NULL and not may_produce(first_acks, vu[1].u.i32, now):
            result.blocked_partition = vu[1].u.i32
            break
        if has_headers:
            n_vu = set_headers(vu, records, i)
        result.bytes += value.size + key.size
        result.error = produce(rk, vu, n_vu)
        if result.error:
            result.bytes -= value.size + key.size
            if records.ready != NULL and n_vu > FIXED:
                records.ready[i] = <rd_kafka_headers_t*>vu[FIXED].u.ptr     # not taken over
            if first_acks != NULL:
                set_first_ack(first_acks, vu[1].u.i32, NONE_YET)
            break
        result.n += 1
    if vu != on_stack:
        free(vu)
    return result
