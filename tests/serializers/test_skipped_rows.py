"""``encode_batch(on_bad_row="skip")``: exactly the good rows are encoded, the others are named, in any container."""

from __future__ import annotations

import gc
import io
import json
import struct
import tracemalloc
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.avro import record_of
from twolane import Avro, Bytes, ConfigError, Json, SerializationError, Struct
from twolane.encoding.columns.selection import null_rows, select
from twolane.encoding.columns.table import as_column, as_table
from twolane.serializers import bad_rows
from twolane.serializers.bad_rows import BadRows

SCHEMA = record_of("R", id="int", name="string", x="double")
PARSED = fastavro.parse_schema(SCHEMA)
NAMES = ("id", "name", "x")
ARROW = pa.schema([("id", pa.int64()), ("name", pa.binary()), ("x", pa.float64())])
DTYPE = np.dtype([("id", "i8"), ("name", "S8"), ("x", "f8")])


def as_rows(rows: list[tuple[Any, ...]]) -> Any:
    return [dict(zip(NAMES, row, strict=True)) for row in rows]


def as_lists(rows: list[tuple[Any, ...]]) -> Any:
    return {name: [row[i] for row in rows] for i, name in enumerate(NAMES)}


def as_arrays(rows: list[tuple[Any, ...]]) -> Any:
    made = np.array(rows, dtype=DTYPE)
    return {name: np.ascontiguousarray(made[name]) for name in NAMES}


def as_arrow(rows: list[tuple[Any, ...]]) -> Any:
    """In chunks, the second of which is a part of a longer one."""
    half = len(rows) // 2
    chunks = []
    for part in (rows[:half], rows[:1] + rows[half:]):
        columns = [pa.array([row[i] for row in part], ARROW.field(i).type) for i in range(3)]
        chunks.append(pa.record_batch(columns, schema=ARROW))
    return pa.Table.from_batches([chunks[0], chunks[1].slice(1)])


CONTAINERS = {
    "rows": as_rows,
    "iterator": lambda rows: iter(as_rows(rows)),
    "tuples": lambda rows: list(rows),
    "lists": as_lists,
    "arrays": as_arrays,
    "arrow": as_arrow,
    "structured": lambda rows: np.array(rows, dtype=DTYPE),
}
SERIALIZERS = {
    "avro": Avro(SCHEMA),
    "json": Json(nan="error"),
    "struct": Struct([("id", ">i4"), ("name", "S4"), ("x", ">f8")]),
}


def read(serializer: str, record: bytes) -> tuple[Any, ...]:
    """What another library reads."""
    if serializer == "avro":
        read = fastavro.schemaless_reader(io.BytesIO(record), PARSED)
        return read["id"], read["name"], read["x"]
    if serializer == "json":
        made = json.loads(record)
        return made["id"], made["name"], made["x"]
    number, name, x = struct.unpack(">i4sd", record)
    return number, name.rstrip(b"\0").decode(), x


def names_of(container: str, serializer: str) -> Any:
    """Names that this container holds and this serializer takes, and some that it does not."""
    if container in ("rows", "iterator", "tuples", "lists") and serializer != "struct":
        return st.sampled_from(["a", "é", "abc", "\ud800", 7] if serializer == "avro" else ["a", "é", "abc"])
    if serializer == "json":
        return None  # bytes have no JSON form
    return st.sampled_from([b"a", b"abcd", b"abcdefg" if serializer == "struct" else b"\xff"])


def rows_of(container: str, serializer: str) -> Any:
    ids: list[Any] = [0, 7, -(2**31), 2**31 - 1, 2**31, 2**40]
    if container in ("rows", "iterator", "tuples", "lists", "arrow"):
        ids.append(None)
    row = st.tuples(
        st.sampled_from(ids),
        names_of(container, serializer),
        st.sampled_from([0.5, float("nan")] if serializer == "json" else [0.5, -2.0]),
    )
    # Mixtures of long runs of good rows, of bad ones, and of neighbours.
    good = st.tuples(st.sampled_from([1, 2]), names_of(container, serializer).filter(is_good(serializer)), st.just(1.5))
    runs = st.lists(
        st.one_of(row.map(lambda one: [one]), st.tuples(good, st.integers(1, 40)).map(repeated)), max_size=12
    )
    return runs.map(lambda parts: [one for part in parts for one in part])


def repeated(pair: Any) -> list[Any]:
    return [pair[0]] * pair[1]


def is_good(serializer: str) -> Any:
    return lambda name: name not in ("\ud800", 7, b"\xff", b"abcdefg")


PAIRS = [
    (container, serializer)
    for container in CONTAINERS
    for serializer in SERIALIZERS
    if names_of(container, serializer) is not None
    # A struct's fields of tuples and iterators are what rows are.
    and not (container == "tuples" and serializer == "json")
]


def alone(serializer: Any, values: Any) -> bytes | SerializationError | None:
    try:
        return serializer.encode_batch(values)[0]
    except SerializationError as error:
        return error


@pytest.mark.parametrize(("container", "serializer"), PAIRS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_exactly_the_good_rows_are_encoded_and_each_other_has_its_own_error(container, serializer, data):
    rows = data.draw(rows_of(container, serializer))
    make, one = CONTAINERS[container], SERIALIZERS[serializer]
    batch = one.encode_batch(make(rows), on_bad_row="skip")
    ends = [alone(one, make([row])) for row in rows]
    good = [index for index, end in enumerate(ends) if not isinstance(end, SerializationError)]
    assert list(batch) == [ends[index] for index in good]
    assert batch.rows.tolist() == good
    for index, record in zip(good, batch, strict=True):
        number, name, x = rows[index]
        text = name.decode() if isinstance(name, bytes) else name
        assert read(serializer, record) == (number, text, x)
    bad = [index for index in range(len(rows)) if index not in set(good)]
    assert [error.index for error in batch.refused] == bad
    for index, error in zip(bad, batch.refused, strict=True):
        expected: Any = ends[index]
        expected.index = index
        assert (type(error), str(error), error.field) == (type(expected), str(expected), expected.field)


WIDE = {
    "type": "record",
    "name": "Wide",
    "fields": [
        {"name": "maybe", "type": ["null", "int"]},
        {"name": "large", "type": "long"},
        {"name": "colour", "type": {"type": "enum", "name": "C", "symbols": ["red", "green"]}},
        {"name": "list", "type": {"type": "array", "items": "int"}},
        {"name": "uuid", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "inner", "type": {"type": "record", "name": "I", "fields": [{"name": "n", "type": "int"}]}},
        {"name": "left", "type": "int", "default": 7},
    ],
}
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
# Of each column a type, good values, and bad ones. A UUID in capitals is good, but no C code writes it.
COLUMNS: list[tuple[str, Any, list[Any], list[Any]]] = [
    ("maybe", pa.int64(), [1, None, -5], [2**40]),
    ("large", pa.uint64(), [1, 2**63 - 1], [2**63, None]),
    ("colour", pa.dictionary(pa.int8(), pa.string()), ["red", "green"], ["blue", None]),
    ("list", pa.list_(pa.int64()), [[], [1, 2], [3] * 9], [[2**40], None, [1, None]]),
    ("uuid", pa.string(), [UUID, UUID.upper()], ["no", None]),
    ("at", pa.timestamp("s"), [0, 10**9], [10**12, None]),
    ("inner", pa.struct([("n", pa.int64())]), [{"n": 1}], [{"n": 2**40}, {"n": None}, None]),
]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), share=st.sampled_from([0, 0, 1, 5]), cut=st.integers(0, 20))
def test_of_columns_of_every_kind_too(data, share, cut):
    n = data.draw(st.integers(1, 60))
    columns = {}
    for name, kind, good, bad in COLUMNS:
        wild = data.draw(st.booleans()) and share
        values = [good[i % len(good)] for i in data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))]
        for row in data.draw(st.sets(st.integers(0, n - 1), max_size=share)) if wild else ():
            values[row] = data.draw(st.sampled_from(bad))
        columns[name] = pa.array(values, kind)
    table = pa.table(columns)
    table = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    avro = Avro(WIDE)
    ends = [alone(avro, table.slice(row, 1)) for row in range(n)]
    batch = avro.encode_batch(table, on_bad_row="skip")
    good = [row for row, end in enumerate(ends) if not isinstance(end, SerializationError)]
    assert batch.rows.tolist() == good
    assert list(batch) == [ends[row] for row in good]
    for error in batch.refused:
        expected: Any = ends[error.index]
        expected.index = error.index
        assert (type(error), str(error), error.field) == (type(expected), str(expected), expected.field)
    assert len(batch.refused) == n - len(good)


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.sampled_from([b"a", "é", None, bytearray(b"x"), 7, "\ud800", 1.5]), max_size=60),
    is_array=st.booleans(),
)
def test_byte_strings_too(values, is_array):
    given_values = np.array([*values, None], dtype=object)[:-1] if is_array else values
    batch = Bytes().encode_batch(given_values, on_bad_row="skip")
    good = [index for index, value in enumerate(values) if not isinstance(value, (int, float)) and value != "\ud800"]
    assert batch.rows.tolist() == good
    assert list(batch) == [
        value if value is None else value.encode() if isinstance(value, str) else bytes(value)
        for value in (values[index] for index in good)
    ]
    assert [error.index for error in batch.refused] == [i for i in range(len(values)) if i not in set(good)]


def test_where_no_row_is_bad_nothing_is_looked_at_twice(monkeypatch):
    monkeypatch.setattr(bad_rows.BadRows, "search", lambda *_: pytest.fail("rows were looked at one by one"))
    for container in CONTAINERS:
        batch = Avro(SCHEMA).encode_batch(CONTAINERS[container]([(1, "a", 0.5)] * 9), on_bad_row="skip")
        assert len(batch) == 9
        assert batch.refused == ()
        assert batch.rows.tolist() == list(range(9))


def test_what_concerns_all_rows_is_raised():
    table = pa.table({"id": [1, 2**40], "name": ["a", "b"]})  # no x, which has no default
    with pytest.raises(SerializationError, match="no column of that name"):
        Avro(SCHEMA).encode_batch(table, on_bad_row="skip")
    with pytest.raises(SerializationError, match="equal length"):
        Json().encode_batch({"a": [1, {1}], "b": [1]}, on_bad_row="skip")
    with pytest.raises(ConfigError, match="on_bad_row: expected 'raise' or 'skip', got 'ignore'"):
        Json().encode_batch([], on_bad_row="ignore")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 1.0])
def test_work_is_linear_whatever_share_of_the_rows_is_bad(share):
    def work(n: int) -> tuple[int, int]:
        bad = np.random.default_rng(7).random(n) < share
        calls = [0, 0]

        def check(part: Any) -> None:
            wrong = np.flatnonzero(part)
            calls[0] += 1
            calls[1] += int(wrong[0]) + 1 if wrong.size else len(part)
            if wrong.size:
                raise SerializationError("bad", index=int(wrong[0]))

        def quick(part: Any) -> None:
            calls[0] += 1
            calls[1] += len(part)
            if part.any():
                raise bad_rows.MemoryLimitExceeded

        for ways in ((check,), (check, quick)):
            found = BadRows(n)
            found.search(bad, *ways)
            assert found.refused().indices.tolist() == np.flatnonzero(bad).tolist()
        return calls[0], calls[1]

    (calls, rows), (twice_calls, twice_rows) = work(20_000), work(40_000)
    run = np.log2(1 / share) if share else 0  # of the good rows before a bad one: its logarithm
    assert calls <= 2 * (20 + (4 + 2 * run) * 20_000 * share)
    assert rows <= 2 * 8 * 20_000
    assert twice_calls <= 2.3 * calls + 20
    assert twice_rows <= 2.3 * rows


def test_values_that_c_code_does_not_write_are_not_halved_in_vain():
    calls = []

    def quick(part: Any) -> None:
        calls.append(len(part))
        raise bad_rows.MemoryLimitExceeded

    found = BadRows(20_000)
    found.search(np.zeros(20_000), lambda part: calls.append(len(part)), quick)
    assert len(found) == 0
    assert len(calls) < 40


@pytest.mark.parametrize("container", ["rows", "lists", "arrow"])
def test_a_bad_row_costs_the_same_memory_whatever_it_holds_and_no_exception(container):
    def exceptions() -> int:
        return sum(isinstance(one, SerializationError) for one in gc.get_objects())

    def kept(size: int) -> float:
        rows = [(2**40, "x" * size, 0.5)] * 4_000
        values = CONTAINERS[container](rows) if container != "arrow" else pa.table(as_lists(rows))
        Avro(SCHEMA).encode_batch(values, on_bad_row="skip")  # caches and the like
        gc.collect()
        before = exceptions()  # of other tests' parameters
        tracemalloc.start()
        batch = Avro(SCHEMA).encode_batch(values, on_bad_row="skip")
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(batch.refused) == 4_000
        assert exceptions() == before
        return held / 4_000

    assert kept(1) < 250
    assert kept(1_000) < 250


# ---- rows of columns, chosen ------------------------------------------------------------------------------------


def arrow_columns() -> dict[str, pa.Array]:
    numbers = [None, 3, -4, 2**40, 0, 7, None, 9, 10, 11]
    texts = ["a", None, "", "é" * 20, "b", "long enough for a view's block", None, "c", "d", "e"]
    lists = [[1, 2], None, [], [3], [None, 4], [5] * 9, [6], None, [7, 8], [9]]
    maps = [None if entry is None else [(f"k{i}", i) for i in range(len(entry))] for entry in lists]
    structs = [None if one is None else {"n": one, "t": text} for one, text in zip(numbers, texts, strict=True)]
    types = pa.array([0, 1, 0, 1, 1, 0, 0, 1, 0, 1], pa.int8())
    members = [pa.array(range(10)), pa.array(list("abcdefghij"))]
    return {
        "null": pa.nulls(10),
        "bool": pa.array([None if one is None else one % 2 == 1 for one in numbers]),
        "int64": pa.array(numbers),
        "int16": pa.array([1] * 10, pa.int16()),
        "float": pa.array([0.5] * 9 + [None], pa.float32()),
        "text": pa.array(texts),
        "large": pa.array(texts, pa.large_string()),
        "view": pa.array(texts, pa.string_view()),
        "fixed": pa.array([b"ab"] * 9 + [None], pa.binary(2)),
        "dictionary": pa.array(texts).dictionary_encode(),
        "list": pa.array(lists, pa.list_(pa.int64())),
        "large_list": pa.array(lists, pa.large_list(pa.int64())),
        "lists of texts": pa.array([[text, None] for text in texts]),
        "pairs": pa.array([None if i == 4 else [i, i + 1] for i in range(10)], pa.list_(pa.int32(), 2)),
        "map": pa.array(maps, pa.map_(pa.string(), pa.int64())),
        "struct": pa.array(structs, pa.struct([("n", pa.int64()), ("t", pa.string())])),
        "struct of lists": pa.array([{"l": one} for one in lists]),
        "decimal": pa.array([None, *range(9)], pa.decimal128(9, 2)),
        "instant": pa.array(numbers, pa.timestamp("us", "UTC")),
        "sparse": pa.UnionArray.from_sparse(types, members),
        "dense": pa.UnionArray.from_dense(types, pa.array([9, 0, 8, 1, 2, 7, 6, 3, 5, 4], pa.int32()), members),
    }


@pytest.mark.parametrize("name", arrow_columns())
@settings(max_examples=20, deadline=None)
@given(chosen=st.sets(st.integers(0, 29)), skipped=st.integers(0, 3))
def test_chosen_rows_are_those_that_arrow_takes(name, chosen, skipped):
    column = pa.chunked_array([arrow_columns()[name].slice(skipped), *[arrow_columns()[name]] * 2])
    table = pa.table({"c": column})
    rows = np.array(sorted(row for row in chosen if row < len(column)), dtype=np.int64)
    expected = Json(binary="base64").encode_batch([{"c": column[row].as_py()} for row in rows.tolist()])
    # Json writes what columns and rows mean alike; what it writes of them is tested elsewhere.
    as_they_are = Json(binary="base64").encode_batch(table)
    got = Json(binary="base64").encode_batch(select(as_table(table), rows))
    assert list(got) == [as_they_are[row] for row in rows.tolist()]
    if name not in ("instant", "decimal", "fixed", "map", "float"):
        assert list(got) == list(expected)


def test_chosen_rows_of_numpy_lie_where_they_lay():
    nested = np.dtype([("a", ">i4"), ("b", [("c", "S3"), ("d", "f8", (2,))])])
    array = np.zeros(12, nested)
    array["a"] = range(12)
    array["b"]["c"] = [b"%d" % i for i in range(12)]
    array["b"]["d"] = np.arange(24.0).reshape(12, 2)
    rows = np.array([0, 3, 4, 11])
    backwards = array[::-1]
    for values in (array, backwards):
        got = Json(binary="base64").encode_batch(select(as_table(values), rows))
        assert list(got) == list(Json(binary="base64").encode_batch(values[rows]))
    grid = np.arange(36, dtype="i2").reshape(12, 3)
    for values in (grid, grid[:, ::-1], np.asfortranarray(grid)):
        got = Json().encode_batch(select(as_column(values), rows))
        assert list(got) == [json.dumps(row.tolist(), separators=(",", ":")).encode() for row in values[rows]]
    masked = np.ma.MaskedArray(np.arange(12), mask=[i % 3 == 0 for i in range(12)])
    assert list(Json().encode_batch(select(as_column(masked), rows))) == [None, None, b"4", b"11"]
    assert null_rows(as_column(masked)).tolist() == [i % 3 == 0 for i in range(12)]
