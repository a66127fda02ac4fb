"""Struct against the struct module and numpy's own bytes."""

import struct
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encoding.tally import batch, batches_of
from twolane.errors import SerializationError
from twolane.serializers import Serializer, Source, Struct

VALUES = {
    "b": st.integers(-(2**7), 2**7 - 1),
    "B": st.integers(0, 2**8 - 1),
    "h": st.integers(-(2**15), 2**15 - 1),
    "H": st.integers(0, 2**16 - 1),
    "i": st.integers(-(2**31), 2**31 - 1),
    "I": st.integers(0, 2**32 - 1),
    "l": st.integers(-(2**31), 2**31 - 1),
    "q": st.integers(-(2**63), 2**63 - 1),
    "Q": st.integers(0, 2**64 - 1),
    "f": st.floats(width=32, allow_nan=False),
    "d": st.floats(allow_nan=False),
    "e": st.floats(width=16, allow_nan=False),
    "?": st.booleans(),
    "5s": st.binary(max_size=5),
    "x": None,
    "3x": None,
}


@st.composite
def formats(draw):
    codes = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=6))
    codes.append(draw(st.sampled_from(["b", "d", "h"])))
    order = draw(st.sampled_from(["", "@", "=", "<", ">", "!"]))
    row = st.tuples(*[VALUES[code] for code in codes if VALUES[code] is not None])
    return order + "".join(codes), draw(batch(row, 50))


@batches_of(20)
@given(formats())
def test_struct_formats(tally, made):
    form, rows = made
    serializer = Struct(form)
    assert isinstance(serializer, Serializer)
    assert serializer.dtype.itemsize == struct.calcsize(form)
    want = [struct.pack(form, *row) for row in rows]
    assert list(serializer.encode_batch(rows)) == want
    assert [serializer.encode(row) for row in rows] == want
    if rows:
        names = serializer.dtype.names
        columns = {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
        assert list(serializer.encode_batch(columns)) == want
        array = np.array(rows, dtype=serializer.dtype)
        assert list(serializer.encode_batch(array)) == want
        other = array.astype(serializer.dtype.newbyteorder())
        assert list(serializer.encode_batch(other)) == want
    tally.add(len(rows))


@st.composite
def java_formats(draw):
    """Codes that DataInput has a method for, in network order."""
    codes = draw(
        st.lists(st.sampled_from([code for code in VALUES if code not in ("e", "x", "3x")]), min_size=1, max_size=8)
    )
    return codes, draw(batch(st.tuples(*[VALUES[code] for code in codes]), 50))


@batches_of(20)
@given(java_formats())
def test_java_reads_what_was_written(tally, java, made):
    codes, rows = made
    records = list(Struct(f">{''.join(codes)}").encode_batch(rows))
    read = java.fields([code[::-1] for code in codes], records)
    for row, texts in zip(rows, read, strict=True):
        for value, text in zip(row, texts, strict=True):
            if isinstance(value, bytes):
                assert bytes.fromhex(text) == value.ljust(5, b"\0")
            elif isinstance(value, float):
                assert repr(float(text)) == repr(value)
            else:
                assert text == str(value).lower()
    tally.add(len(rows))


RECORD = np.dtype(
    {
        "names": ["id", "name", "temp", "flag", "ts", "text"],
        "formats": [">i8", "S4", "<f4", "?", "M8[ms]", "U3"],
        "offsets": [0, 8, 16, 20, 24, 32],
        "itemsize": 48,
    }
)
ROWS = [
    {"id": 1, "name": b"ab", "temp": 1.5, "flag": True, "ts": datetime(2026, 1, 1, tzinfo=UTC), "text": "xä"},
    {"id": -2, "name": "abcd", "temp": -1, "flag": False, "ts": np.datetime64("2026-01-02", "ms"), "text": ""},
]


def expected():
    want = np.zeros(2, dtype=RECORD)
    want["id"] = [1, -2]
    want["name"] = [b"ab", b"abcd"]
    want["temp"] = [1.5, -1]
    want["flag"] = [True, False]
    want["ts"] = np.array(["2026-01-01", "2026-01-02"], dtype="M8[ms]")
    want["text"] = ["xä", ""]
    return want


def test_dtype_rows_and_columns():
    want = expected()
    encoded = [record.tobytes() for record in want]
    serializer = Struct(RECORD)
    assert list(serializer.encode_batch(ROWS)) == encoded
    assert list(serializer.encode_batch([tuple(row.values()) for row in ROWS])) == encoded
    assert list(serializer.encode_batch({name: want[name] for name in RECORD.names})) == encoded
    dirty = np.frombuffer(b"\xff" * 96, dtype=np.uint8).copy().view(RECORD)
    for name in RECORD.names:
        dirty[name] = want[name]
    source = serializer.bind(dirty)
    assert isinstance(source, Source)
    assert list(source.slice(0, 1)) + list(source.slice(1, 2)) == encoded  # gaps are zero, not what was there
    table = pa.table(
        {
            "id": pa.chunked_array([[1], [-2]]),
            "name": ["ab", "abcd"],
            "temp": [1.5, -1.0],
            "flag": [True, False],
            "ts": pa.array(want["ts"]),
            "text": ["xä", ""],
        }
    )
    assert list(serializer.encode_batch(table)) == encoded
    assert list(serializer.encode_batch([None, ROWS[0]])) == [None, encoded[0]]
    assert source.first_over(48) is None
    assert source.first_over(47) == (0, 48)


def test_nested():
    dtype = np.dtype([("in", [("a", "<i2"), ("b", "S2")]), ("v", "<f4", (2,))])
    array = np.zeros(1, dtype=dtype)
    array["in"] = (3, b"x")
    array["v"] = [1, 2]
    rows = [{"in": {"a": 3, "b": b"x"}, "v": [1, 2]}]
    assert list(Struct(dtype).encode_batch(rows)) == [array.tobytes()]
    assert list(Struct(dtype).encode_batch(array)) == [array.tobytes()]


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"in": {"a": 2.5, "b": b"x"}, "v": [[1, 2]]}, "in.a", "expected int16"),
        ({"in": {"a": 2**15, "b": b"x"}, "v": [[1, 2]]}, "in.a", "from -32768"),
        ({"in": {"a": 1, "b": b"xyz"}, "v": [[1, 2]]}, "in.b", "at most 2"),
        ({"in": {"a": 1}, "v": [[1, 2]]}, "in.b", "missing"),
        ({"in": (1, b"x"), "v": [[1, 2.5]]}, "v[0][1]", "expected int8"),
        ({"in": (1, b"x"), "v": [[1, 200]]}, "v[0][1]", "from -128"),
        ({"in": (1, b"x"), "v": [[1, 2, 3]]}, "v[0]", "shape"),
        ({"in": (1, b"x"), "v": [1, 2]}, "v", "shape"),
        ({"in": (1, b"x"), "v": np.zeros(())}, "v", "shape"),
    ],
)
def test_nothing_nested_is_cut_or_wrapped(value, path, message):
    serializer = Struct(np.dtype([("in", [("a", "<i2"), ("b", "S2")]), ("v", "i1", (1, 2))]))
    with pytest.raises(SerializationError, match=message) as caught:
        serializer.encode_batch([value])
    assert (caught.value.index, caught.value.field) == (0, path)
    assert serializer.encode({"in": (1, b"x"), "v": np.array([[1, -2]])}).hex() == "0100780001fe"


def test_single_values():
    assert Struct(">q").encode(5) == struct.pack(">q", 5)
    assert list(Struct(">q").encode_batch([5, 6])) == [struct.pack(">q", 5), struct.pack(">q", 6)]
    assert list(Struct(">q").encode_batch(np.array([5, 6]))) == [struct.pack(">q", 5), struct.pack(">q", 6)]
    assert list(Struct(">i8").encode_batch(pa.array([5]))) == [struct.pack(">q", 5)]
    assert Struct(struct.Struct("<h")).encode((1,)) == b"\x01\0"


@pytest.mark.parametrize(
    ("layout", "value", "message"),
    [
        ("b", 128, "from -128 to 127"),
        ("Q", -1, "from 0"),
        ("Q", 2**64, "from 0"),
        ("i", 1.0, "expected int32"),
        ("i", True, "expected int32"),
        ("d", "1", "expected float64"),
        ("f", 1e300, "single precision"),
        ("?", 1, "expected bool"),
        ("2s", b"abc", "at most 2"),
        ("2s", 5, "bytes"),
        ("i", None, "expected int32"),
        (np.dtype("U2"), "abc", "at most 2 characters"),
        (np.dtype("V2"), b"a", "bytes, 2"),
        (np.dtype("M8[ms]"), "nonsense", "datetime64"),
        (np.dtype("M8[ns]"), datetime(1, 1, 1, tzinfo=UTC), "within its range"),
        (np.dtype("M8[ns]"), np.datetime64("9999-01-01"), "within its range"),
        (np.dtype("m8[ns]"), timedelta.max, "within its range"),
        ("e", 1e6, "expected float16"),
        ("e", "1", "expected float16"),
        ("i", np.timedelta64(1, "s"), "expected int32"),
    ],
)
def test_refused(layout, value, message):
    serializer = Struct(layout)
    with pytest.raises(SerializationError, match=message) as caught:
        serializer.encode_batch([(value,), (value,)])
    assert (caught.value.index, caught.value.field) == (0, "f0")
    with pytest.raises(SerializationError, match=message) as caught:
        serializer.encode_batch({"f0": [value]})
    assert (caught.value.index, caught.value.field) == (0, "f0")


@pytest.mark.parametrize(
    ("column", "index"),
    [(np.array([1, 200]), 1), (pa.array([1, None]), 1), (pa.chunked_array([[1], [2, -129]]), 2), (np.array([1.0]), 0)],
)
def test_refused_columns(column, index):
    with pytest.raises(SerializationError) as caught:
        Struct("b").bind({"f0": column})
    assert (caught.value.index, caught.value.field) == (index, "f0")


def test_wrong_layouts():
    for wrong in ("", "P", "3p", object, "nonsense", [("a", "O")], 5):
        with pytest.raises(SerializationError):
            Struct(wrong)
    with pytest.raises(SerializationError, match="missing"):
        Struct(RECORD).encode({"id": 1})
    with pytest.raises(SerializationError, match="no column 'name'"):
        Struct(RECORD).bind({"id": [1]})
    with pytest.raises(SerializationError, match="6 fields"):
        Struct(RECORD).encode((1,))
