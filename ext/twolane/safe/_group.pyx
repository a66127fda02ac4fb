"""What is done for each record of a group: to one slice before, from one result behind. See ``twolane.safe.group_commit``."""
from libc.stdint cimport int32_t, int64_t

from twolane.batch cimport EncodedBatch
from twolane.common.group_member cimport GroupMember
from twolane.common.record cimport Record
from twolane.produce.record_slice cimport RecordSlice
from twolane.reports.call_result cimport CallResult
from twolane.reports.classify cimport record_metadata
from twolane.librdkafka cimport RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME

import numpy as np


def by_topic(group):
    """Split a group by topic, keeping the order within each."""
    cdef GroupMember member
    cdef dict topics = {}
    for member in group:
        topics.setdefault((<Record?>member.job).topic, []).append(member)
    return list(topics.values())


def begun(list members not None):
    """Return the members whose records go, each marked as sent; the others were withdrawn."""
    return [member for member in members if (<GroupMember?>member).begin()]


def slice_of(list members not None):
    """Return the RecordSlice of records of one topic."""
    cdef Py_ssize_t i, n = len(members)
    cdef Record record
    cdef list values = [], keys = [], headers = []
    cdef bint have_keys = False, have_headers = False
    times, places = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int32)
    cdef int64_t[::1] time_of = times
    cdef int32_t[::1] place_of = places
    for i in range(n):
        record = <Record?>(<GroupMember?>members[i]).job
        values.append(record.value)
        keys.append(record.key)
        headers.append(record.headers)
        have_keys = have_keys or record.key is not None
        have_headers = have_headers or len(record.headers) > 0
        time_of[i] = record.timestamp
        place_of[i] = record.partition
    return RecordSlice(
        EncodedBatch.borrowed(values),
        EncodedBatch.borrowed(keys) if have_keys else None,
        times,
        places,
        headers if have_headers else (),
        n,
    )


def set_metadata(list members not None, CallResult result not None):
    """Set the outcome of the members that were sent and have none: their records are written.

    Returns
    -------
    dict of int to (int, int)
        First and last offset of each partition.
    """
    cdef Py_ssize_t i
    cdef GroupMember member
    cdef Record record
    cdef dict spans = {}
    cdef bint is_append_time = result.columns.timestamp_type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME
    for i in range(len(members)):
        member = <GroupMember?>members[i]
        if member.outcome is not None or not member.sent:
            continue
        record = <Record?>member.job
        offset = result.columns.offsets[i]
        member.outcome = record_metadata(
            record.topic.name,
            record.partition,
            offset,
            result.columns.append_times[i] if is_append_time else record.timestamp,
            result.columns.timestamp_type,
        )
        span = spans.get(record.partition)
        spans[record.partition] = (offset if span is None else span[0], offset)
    return spans
