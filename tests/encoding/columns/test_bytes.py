"""Ready bytes: what goes in comes out, sliced anywhere, without copies that change under the reader."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encoding.tally import batch, batches_of
from twolane.batch import EncodedBatch
from twolane.encoding.columns.bytes import bytes_source, int32_column
from twolane.encoding.columns.table import as_table
from twolane.errors import SerializationError
from twolane.serializers import Bytes, Serializer, Source

texts = st.lists(st.one_of(st.none(), st.text(max_size=20)), max_size=30)


def utf8(values):
    return [None if value is None else value.encode() for value in values]


def slices(source):
    """Every record, handed out in slices of three."""
    return [record for i in range(0, len(source), 3) for record in list(source.slice(i, min(i + 3, len(source))))]


@batches_of(40)
@given(batch(st.none() | st.binary(max_size=30) | st.text(max_size=9), 100))
def test_lists(tally, values):
    want = [value.encode() if isinstance(value, str) else value for value in values]
    source = Bytes().bind(values)
    assert isinstance(source, Source)
    assert slices(source) == want
    assert list(Bytes().encode_batch(iter(values))) == want
    assert list(source.slice(0, len(source)).slice(len(values) // 2, len(values))) == want[len(values) // 2 :]
    tally.add(len(values))


@pytest.mark.parametrize(
    "type_", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
@given(texts, texts, st.integers(0, 40))
def test_arrow_strings(type_, first, second, offset):
    chunks = pa.chunked_array([pa.array(first, type_), pa.array(second, type_)])[offset:]
    assert slices(bytes_source(chunks)) == utf8(first + second)[offset:]


@given(texts)
def test_polars(values):
    assert slices(bytes_source(pl.Series(values, dtype=pl.String))) == utf8(values)
    assert slices(bytes_source(pl.Series(values, dtype=pl.Categorical))) == utf8(values)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9), min_size=1))
def test_numpy_strings(values):
    array = np.array(values, dtype="U9")
    assert slices(bytes_source(array)) == utf8(values)
    assert slices(bytes_source(array[::-1])) == utf8(values)[::-1]
    assert slices(bytes_source(array.astype(">U9"))) == utf8(values)
    assert slices(bytes_source(np.array(values, dtype=object))) == utf8(values)
    assert slices(bytes_source(pd.Series(values, dtype=object))) == utf8(values)


def test_numpy_bytes_lose_their_padding_only():
    assert list(Bytes().encode_batch(np.array([b"a", b"b\0c", b""], dtype="S5"))) == [b"a", b"b\0c", b""]
    assert list(Bytes().encode_batch(np.array([b"a\0\0"], dtype="V3"))) == [b"a\0\0"]


def test_mutable_buffers_are_copied():
    block = bytearray(b"abcdef")
    batch = Bytes().encode_batch([block, memoryview(block)[::2]])
    block[:] = b"xxxxxx"
    assert list(batch) == [b"abcdef", b"ace"]


def test_bytes_objects_are_borrowed():
    big = bytes(1_000_000)
    assert Bytes().encode_batch([big] * 1000).nbytes == 10**9


@pytest.mark.parametrize(
    ("values", "index"),
    [
        ([b"a", 5], 1),
        ([b"a", "\ud800"], 1),
        (np.array(["a", "\udfff"]), 1),
        ([[b"a"]], 0),
        (pa.array([1, 2]), None),
        (np.array([1.5]), None),
        (b"abc", None),
        (5, None),
        (None, None),
        (pa.array([[1]]), None),
    ],
)
def test_refused(values, index):
    with pytest.raises(SerializationError) as caught:
        Bytes().bind(values)
    assert caught.value.index == index


def test_one_record():
    assert isinstance(Bytes(), Serializer)
    assert [Bytes().encode(value) for value in (b"a", "é", bytearray(b"x"), None)] == [b"a", b"\xc3\xa9", b"x", None]
    with pytest.raises(SerializationError, match="got 5") as caught:
        Bytes().encode(5)
    assert caught.value.index is None


@pytest.mark.parametrize(
    "values",
    [
        [b"a", b"bbb", b"cc"],
        np.array([b"a", b"bbb", b"cc"]),
        np.array(["a", "bbb", "cc"]),
        pa.array(["a", "bbb", "cc"]),
    ],
)
def test_first_over(values):
    source = bytes_source(values)
    assert source.first_over(3) is None
    assert source.first_over(2) == (1, 3)
    assert source.first_over(0) == (0, 1)


def test_one_for_all():
    source = bytes_source("k", 5, field="key")
    assert len(source) == 5
    assert source.slice(1, 3).is_constant
    assert source.slice(1, 3)[0] == b"k"
    assert bytes_source(None, 2).slice(0, 2)[0] is None
    assert bytes_source("kk", 5).first_over(1) == (0, 2)
    with pytest.raises(SerializationError, match="2 entries"):
        bytes_source([b"a"], 2)


def test_a_batch_in_use_keeps_its_bytes():
    source = bytes_source(np.array([f"row {i}" for i in range(100)]))
    first = source.slice(0, 50)
    second = source.slice(50, 100)
    del source
    assert list(first) == [b"row %d" % i for i in range(50)]
    assert list(second) == [b"row %d" % i for i in range(50, 100)]


def test_slice_bounds():
    for source in (bytes_source([b"a"]), bytes_source(pa.array(["a"]))):
        with pytest.raises(IndexError):
            source.slice(0, 2)
        with pytest.raises(IndexError):
            source.slice(1, 0)
        assert len(source.slice(1, 1)) == 0


def test_batch_slices_keep_memory_alive():
    part = EncodedBatch.borrowed([b"a" * 10, None, b"c"]).slice(1, 3)
    assert list(part) == [None, b"c"]
    dense = EncodedBatch(b"abc", [0, 1, 1, 3], [True, False, True]).slice(1, 3)
    assert list(dense) == [None, b"bc"]
    assert dense.offsets.tolist() == [0, 0, 2]


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint64])
def test_a_batch_owns_its_offsets_so_that_a_serializer_may_use_its_arrays_again(kind):
    offsets, valid = np.array([0, 1, 1, 3], kind), np.array([True, False, True])
    whole = EncodedBatch(np.frombuffer(b"abc", np.uint8), offsets, valid)
    offsets[:] = 2**31 - 1
    valid[:] = [False, True, False]
    assert list(whole) == [b"a", None, b"bc"]


@pytest.mark.parametrize(
    "offsets",
    [
        [0, 4],
        [-1, 3],
        [0, 2, 1],
        [0, 2**62 + 1, -(2**63), -1, 0],  # every difference of 64 bits is positive
        np.array([0, 2**63], np.uint64),
        [0.0, 3.0],
        [[0, 3]],
        [],
    ],
)
def test_offsets_outside_the_data_are_refused(offsets):
    with pytest.raises(ValueError, match="offsets"):
        EncodedBatch(b"abc", offsets)


def test_data_that_are_no_bytes_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        EncodedBatch(np.array([300, 1]), [0, 1, 2])


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ([1, 2], [1, 2]),
        (7, [7, 7]),
        (np.int16(7), [7, 7]),
        (np.array([1, 2], "u1"), [1, 2]),
        (np.array([1, 2], ">i8"), [1, 2]),
        (pa.array([1, -1]), [1, -1]),
        (pl.Series([3, 4]), [3, 4]),
    ],
)
def test_int32_column(values, want):
    column = int32_column(values, 2)
    assert column.dtype == np.int32
    assert column.tolist() == want


@pytest.mark.parametrize(
    ("values", "index"),
    [
        ([1, 2**31], 1),
        ([1, None], 1),
        ([1, -2], 1),
        ([1, 1.0], 1),
        ([1, True], 1),
        (np.array([1, 2**40]), 1),
        (np.array([1, 2**63], "u8"), 1),
        (pa.array([1, None]), 1),
        (np.array([1.0, 2.0]), None),
        ([1], None),
        ("p", None),
    ],
)
def test_int32_column_refuses(values, index):
    with pytest.raises(SerializationError) as caught:
        int32_column(values, 2, "partitions")
    assert caught.value.index == index
    assert caught.value.field == "partitions"


def test_tables():
    table = as_table({"a": [1, 2], "b": np.array([1, 2])})
    assert (len(table), table.names) == (2, ["a", "b"])
    with pytest.raises(SerializationError, match="the columns are 'a', 'b'"):
        table.column("c")
    with pytest.raises(SerializationError, match="'a' has 2, 'b' has 3"):
        as_table({"a": [1, 2], "b": [1, 2, 3]})
    with pytest.raises(SerializationError, match="an array or a list"):
        as_table({"a": 5})
    assert as_table(table) is table
    assert as_table([{"a": 1}]) is None
    assert as_table(pa.array([1])) is None
    assert as_table(5) is None
    assert list(bytes_source(as_table(pa.table({"k": ["a", "b"]})).column("k")).slice(0, 2)) == [b"a", b"b"]
