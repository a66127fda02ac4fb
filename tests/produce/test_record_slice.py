"""RecordSlice: the columns of one slice, with lengths that fit."""

from __future__ import annotations

import numpy as np
import pytest

from twolane.batch import EncodedBatch
from twolane.produce.record_slice import RecordSlice

VALUES = EncodedBatch.borrowed([b"a", None, b""])
TIMES = np.array([1, 2, 3], dtype=np.int64)
PLACES = np.array([0, 1, 0], dtype=np.int32)


def test_it_knows_how_many_records_it_has():
    assert len(RecordSlice(VALUES, None, 1, 0)) == 3
    assert len(RecordSlice(VALUES, VALUES, TIMES, PLACES, ((b"h", None),))) == 3
    assert len(RecordSlice(EncodedBatch.constant(b"v"), EncodedBatch.constant(None), 1, 0, (), 7)) == 7
    assert len(RecordSlice(EncodedBatch.borrowed([]), None, np.empty(0, np.int64), np.empty(0, np.int32))) == 0


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((VALUES, EncodedBatch.borrowed([b"k"]), 1, 0), "keys"),
        ((VALUES, None, TIMES[:2], 0), "timestamps"),
        ((VALUES, None, 1, PLACES[:2]), "partitions"),
        ((VALUES, None, 1, 0, [()]), "headers"),
        ((VALUES, None, 1, 0, (), 4), "values"),
    ],
)
def test_columns_of_another_length_are_refused(arguments, what):
    with pytest.raises(ValueError, match=what):
        RecordSlice(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        (None, None, 1, 0),
        (VALUES, [b"k"], 1, 0),
        (VALUES, None, "now", 0),
        (VALUES, None, TIMES.astype(np.int32), 0),
        (VALUES, None, 1, PLACES.astype(np.int64)),
        (VALUES, None, 1, 2**40),
        (VALUES, None, 1, 0, (("h", b"v"),)),
        (VALUES, None, 1, 0, [((b"h", "v"),), None, None]),
    ],
    ids=repr,
)
def test_columns_of_another_type_are_refused(arguments):
    with pytest.raises((TypeError, ValueError, OverflowError)):
        RecordSlice(*arguments)


def test_it_is_filled_once():
    feed = RecordSlice(VALUES, None, 1, 0)
    with pytest.raises(RuntimeError):
        feed.__init__(VALUES, None, 1, 0)


def test_it_keeps_what_it_borrows_alive():
    times = np.array([1, 2, 3], dtype=np.int64)
    feed = RecordSlice(EncodedBatch.borrowed([b"x" * 100] * 3), None, times, 0, [((b"h", b"v"),), (), None])
    del times
    assert len(feed) == 3
