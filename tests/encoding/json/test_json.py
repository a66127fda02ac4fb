"""JSON against the standard library and orjson; columns against rows."""

import dataclasses
import enum
import json
import math
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encoding.tally import batch, batches_of
from twolane.encoding.json.rows import make_dump
from twolane.encoding.mismatch import Mismatch
from twolane.errors import SerializationError
from twolane.serializers import Json, Serializer, Source

# In the group of tests; not there for free-threaded Python.
orjson = pytest.importorskip("orjson")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
longs = st.integers(-(2**63), 2**63 - 1)
instants = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999).map(
    lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)
walls = instants.map(lambda value: value.replace(tzinfo=None))
values = st.recursive(
    st.none()
    | st.booleans()
    | longs
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | instants
    | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)

FIELDS = [
    ([pa.bool_()], st.booleans()),
    ([pa.int8(), pa.uint16(), pa.int32(), pa.int64(), pa.uint64()], st.integers(0, 127)),
    ([pa.int64()], longs),
    ([pa.uint64()], st.integers(0, 2**64 - 1)),
    ([pa.float64()], st.floats(allow_nan=False, allow_infinity=False)),
    ([pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int16(), pa.string())], texts),
    ([pa.timestamp("us", "UTC")], instants),
    ([pa.timestamp("us")], walls),
    ([pa.date32(), pa.date64()], st.dates()),
    ([pa.time64("us"), pa.time64("ns")], st.times()),
    ([pa.decimal128(20, 3), pa.decimal256(40, 3), pa.decimal64(18, 3)],
     st.integers(-(10**17), 10**17).map(lambda n: Decimal((n < 0, tuple(map(int, str(abs(n)))), -3)))),
    ([pa.decimal128(20, 0)], st.integers(-(10**17), 10**17).map(Decimal)),
    ([pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_view(pa.int64())],
     st.lists(st.none() | longs, max_size=4)),
    ([pa.list_(pa.string())], st.lists(st.none() | texts, max_size=4)),
    ([pa.list_(pa.int32(), 2)], st.lists(st.integers(0, 9), min_size=2, max_size=2)),
    ([pa.map_(pa.string(), pa.list_(pa.bool_()))],
     st.dictionaries(texts, st.lists(st.booleans(), max_size=3), max_size=3)),
    ([pa.struct([("a\"", pa.int64()), ("b", pa.string())])],
     st.fixed_dictionaries({"a\"": longs, "b": st.none() | texts})),
]  # fmt: skip


@st.composite
def columns(draw):
    n = draw(st.integers(0, 40))
    rows, arrays = {}, {}
    for i in range(draw(st.integers(1, 4))):
        arrow, items = draw(st.sampled_from(FIELDS))
        name = draw(texts).replace("\0", "") + str(i)  # Arrow's names are C strings
        rows[name] = draw(st.lists(st.none() | items, min_size=n, max_size=n))
        arrays[name] = pa.array(rows[name], draw(st.sampled_from(arrow)))
    whole = pa.table(arrays)
    cut, start = draw(st.integers(0, n)), draw(st.integers(0, n))
    table = pa.concat_tables([whole[:cut], whole[cut:]])[start:]
    return [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)][start:], table


def in_slices(source, step=3):
    return [record for i in range(0, len(source), step) for record in list(source.slice(i, min(i + step, len(source))))]


def plain(value):
    """What the standard library makes of a value after the page says what JSON is written for it."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def strictly(value):
    """Give one text for equal values: 1 is not 1.0, 0.0 is not -0.0, the order of keys does not count."""
    return json.dumps(value, sort_keys=True)


@batches_of(10)
@given(columns())
def test_columns_like_rows(tally, made):
    rows, table = made
    want = [strictly(plain(row)) for row in rows]
    assert [strictly(json.loads(record)) for record in Json().encode_batch(rows)] == want
    source = Json().bind(table)
    assert isinstance(source, Source)
    got = in_slices(source)
    assert [strictly(json.loads(record)) for record in got] == want
    assert [strictly(orjson.loads(record)) for record in got] == want
    assert list(source.slice(0, len(rows))) == got
    lists = {name: [row[name] for row in rows] for name in table.column_names}
    assert list(Json().encode_batch(lists)) == list(Json().encode_batch(rows))
    biggest = max(map(len, got), default=0)
    assert source.first_over(biggest) is None
    if biggest:
        first = next(i for i, record in enumerate(got) if len(record) == biggest)
        assert source.first_over(biggest - 1) == (first, biggest)
    tally.add(len(rows))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_doubles_are_shortest(numbers):
    records = list(Json().encode_batch({"x": np.array(numbers, dtype=float)}))
    assert [json.loads(record)["x"] for record in records] == numbers
    for record, number in zip(records, numbers, strict=True):
        text = record[5:-1].decode()
        assert isinstance(json.loads(text), float)
        assert len(text) <= len(repr(number)) + 2  # fixed or scientific, whichever is shorter; and the ".0"


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_floats_are_shortest_as_floats(numbers):
    array = np.array(numbers, dtype=np.float32)
    for record, number in zip(Json().encode_batch({"x": array}), array, strict=True):
        assert np.float32(record[5:-1].decode()) == number


@batches_of(10)
@given(batch(values, 30))
def test_rows_like_the_standard_library(tally, rows):
    slow = make_dump(binary="error", nan="null", use_orjson=False)
    for row, record in zip(rows, Json().encode_batch(rows), strict=True):
        if record is None:
            assert row is None
        else:
            assert strictly(json.loads(record)) == strictly(json.loads(slow(row))) == strictly(plain(row))
    tally.add(len(rows))


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (1, b"1"),
        ([], b"[]"),
        ({"é": '\x00"\\\n'}, b'{"\xc3\xa9":"\\u0000\\"\\\\\\n"}'),
        (float("nan"), b"null"),
        (datetime(2026, 1, 1, 12, 0, 0, 5, UTC), b'"2026-01-01T12:00:00.000005+00:00"'),
        (date(2026, 1, 1), b'"2026-01-01"'),
        (time(1, 2, 3), b'"01:02:03"'),
        (time(1, 2, 3, 10_000), b'"01:02:03.010000"'),
        (Decimal("1.50"), b'"1.50"'),
        (uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (Point(1), b'{"x":1}'),
        (Colour.RED, b'"red"'),
        (np.int64(5), b"5"),
        (np.array([1, 2]), b"[1,2]"),
        (np.float32(0.1), b"0.1"),
        (np.float16(0.1), b"0.099975586"),
        (np.array([[0.1], [2.5]], np.float32), b"[[0.1],[2.5]]"),
        (np.array(["2026-01-01"], "M8[ns]"), b'["2026-01-01T00:00:00"]'),
        ({1: 2, None: 3}, b'{"1":2,"null":3}'),
        ((1, 2), b"[1,2]"),
        ({5}, b"[5]"),
        (np.datetime64("2026-01-01T00:00:00"), b'"2026-01-01T00:00:00"'),
    ],
)
def test_rows(value, want):
    assert isinstance(Json(), Serializer)
    assert Json().encode({"v": value}) == b'{"v":' + want + b"}"
    assert make_dump(binary="error", nan="null", use_orjson=False)({"v": value}) == b'{"v":' + want + b"}"


def test_tombstones_and_batches():
    assert Json().encode(None) is None
    assert list(Json().encode_batch([{"a": 1}, None])) == [b'{"a":1}', None]
    assert list(Json().encode_batch(pd.DataFrame({"a": [1], "b": ["x"]}))) == [b'{"a":1,"b":"x"}']
    assert list(Json().encode_batch(pl.DataFrame({"a": [1], "b": ["x"]}))) == [b'{"a":1,"b":"x"}']
    assert list(Json().encode_batch(np.array([(1, b"x", "ä")], dtype=[("a", "i4"), ("b", "S3"), ("c", "U2")]))) == [
        '{"a":1,"b":"x","c":"ä"}'.encode()
    ]


def test_a_null_inside_a_dictionary_is_a_tombstone():
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0], pa.int8()), pa.array(["x", None]))
    assert list(Json().encode_batch(column)) == [b'"x"', None, None, b'"x"']
    assert list(Json().encode_batch(pa.table({"a": column}))) == [
        b'{"a":"x"}',
        b'{"a":null}',
        b'{"a":null}',
        b'{"a":"x"}',
    ]


def test_binary():
    encoded = {"b": [b"abc", b"", b"a", b"ab"]}
    want = [b'{"b":"YWJj"}', b'{"b":""}', b'{"b":"YQ=="}', b'{"b":"YWI="}']
    assert list(Json(binary="base64").encode_batch(encoded)) == want
    assert list(Json(binary="base64").encode_batch(pa.table(encoded))) == want
    assert list(Json(binary="base64").encode_batch([{"b": b"abc"}])) == want[:1]
    for columnar in (encoded, pa.table(encoded)):
        with pytest.raises(SerializationError, match="base64"):
            Json().bind(columnar)


def test_nan():
    table = {"x": np.array([1.0, np.nan, -np.inf])}
    assert list(Json().encode_batch(table)) == [b'{"x":1.0}', b'{"x":null}', b'{"x":null}']
    for columnar in (table, pa.table(table), {"x": [1.0, math.nan]}, [{"x": 1.0}, {"x": math.nan}]):
        with pytest.raises(SerializationError, match="finite") as caught:
            Json(nan="error").bind(columnar)
        assert (caught.value.index, caught.value.field) == (1, "x")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, object()]}, "a[1]"),
        ({"a": {"b": "\ud800"}}, "a.b"),
        ({"a": b"x"}, "a"),
        ({"a": timedelta(1)}, "a"),
        ({"a": {object(): 1}}, "a"),
        ({"a": [{"\ud800": 1}]}, "a[0]"),
        ({"a": {1: 2, "1": 3}}, "a"),
        ({"a": {None: 2, float("nan"): 3}}, "a"),
        ({"a": {10**5000: 1}}, "a"),
        ({"a": [10**5000]}, "a[0]"),
        ({"a": np.datetime64("10000-01-01")}, "a"),
        ({"a": np.datetime64(-(2**62), "Y")}, "a"),
    ],
)
@pytest.mark.parametrize("use_orjson", [True, False])
def test_refused_rows(value, path, use_orjson):
    dump = make_dump(binary="error", nan="null", use_orjson=use_orjson)
    with pytest.raises(Mismatch) as caught:
        dump(value)
    assert caught.value.as_error(None, None).field == path
    with pytest.raises(SerializationError) as caught:
        Json().encode_batch([{}, value])
    assert (caught.value.index, caught.value.field) == (1, path)


def test_recursion_too_deep():
    value = []
    value.append(value)
    for use_orjson in (True, False):
        with pytest.raises(Mismatch):
            make_dump(binary="error", nan="null", use_orjson=use_orjson)(value)


@pytest.mark.parametrize(
    ("column", "index"),
    [
        (pa.array([timedelta(1)]), None),
        (np.array(["a", "\ud800"]), None),
        (np.array([b"a", b"\xff"]), 1),
        (np.array([0, 2**62], "M8[s]"), 1),
        (pa.array([5, 86_400_000], pa.time32("ms")), 1),
        (pa.array([[(1, 2)]], pa.map_(pa.int64(), pa.int64())), None),
        ([1, object()], 1),
        (np.array([1j]), None),
    ],
)
def test_refused_columns(column, index):
    with pytest.raises(SerializationError) as caught:
        Json(nan="error").bind({"f": column})
    assert (caught.value.index, caught.value.field) == (index, "f")


def test_options():
    for wrong in ({"binary": "hex"}, {"nan": "zero"}):
        with pytest.raises(ValueError, match="expected"):
            Json(**wrong)
    for wrong in (5, "abc", b"abc"):
        with pytest.raises(SerializationError, match="rows"):
            Json().bind(wrong)


@pytest.mark.parametrize(
    ("array", "bad"),
    [
        (np.array([[1.5, 0.0], [1.5, np.inf]]), "finite"),
        (np.array([[1.5, 0.0], [np.nan, 0.0]], "f4"), "finite"),
        (np.array([[0, 0], [0, 2**60]], "M8[s]"), "years"),
        (np.array([[0, 0], [0, 1]], "m8[s]"), "duration"),
    ],
)
def test_items_of_arrays_of_more_dimensions_are_checked_where_they_lie(array, bad):
    # They have no address of their own, only that of their row.
    with pytest.raises(SerializationError, match=bad) as caught:
        Json(nan="error").encode_batch({"a": array})
    assert caught.value.index == (0 if bad == "duration" else 1)
    assert caught.value.field == "a"
    if bad != "duration":
        good = {"a": array[:1], "b": np.zeros((1, 2), "M8[D]")}
        rows = [json.loads(record) for record in Json(nan="error").encode_batch(good)]
        assert rows[0]["b"] == ["1970-01-01", "1970-01-01"]
        assert len(rows[0]["a"]) == 2
