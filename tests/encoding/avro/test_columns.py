"""Avro from columns: the same bytes as from rows, whatever lends the memory, and errors that name row and path."""

import io
import threading
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import duckdb
import fastavro
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encoding.avro.strategies import Reading, without_logical_types
from tests.encoding.tally import batches_of
from tests.support.avro import record_of
from twolane.encoding.columns.table import as_table
from twolane.errors import SerializationError
from twolane.serializers import Avro, Source

LOGICAL = "logicalType"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
longs = st.integers(-(2**63), 2**63 - 1)
instants = st.integers(-(10**14), 10**14).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))

# Avro type, Arrow types that hold it natively, values.
FIELDS = [
    ("boolean", [pa.bool_()], st.booleans()),
    ("int", [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64()], st.integers(0, 127)),
    ("int", [pa.int32(), pa.int64()], st.integers(-(2**31), 2**31 - 1)),
    ("long", [pa.int64()], longs),
    ("long", [pa.uint64(), pa.int64()], st.integers(0, 2**63 - 1)),
    ("float", [pa.float32(), pa.float64()], st.floats(width=32)),
    ("double", [pa.float64()], st.floats()),
    ("double", [pa.float16(), pa.float32()], st.floats(width=16)),
    ("string", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int16(), pa.string())], texts),
    ("bytes", [pa.binary(), pa.large_binary(), pa.binary_view()], st.binary(max_size=30)),
    ({"type": "fixed", "name": "F", "size": 3}, [pa.binary(3), pa.binary()], st.binary(min_size=3, max_size=3)),
    (
        {"type": "enum", "name": "E", "symbols": ["RED", "GREEN", "B"]},
        [pa.string(), pa.dictionary(pa.int32(), pa.string()), pa.large_string(), pa.string_view()],
        st.sampled_from(["RED", "GREEN", "B"]),
    ),
    ({"type": "long", LOGICAL: "timestamp-millis"}, [pa.timestamp("us", "UTC"), pa.timestamp("ns", "UTC")], instants),
    ({"type": "long", LOGICAL: "timestamp-micros"}, [pa.timestamp("us", "UTC"), pa.timestamp("ns", "UTC")], instants),
    ({"type": "int", LOGICAL: "date"}, [pa.date32(), pa.date64()], st.dates()),
    ({"type": "int", LOGICAL: "time-millis"}, [pa.time64("us"), pa.time64("ns")], st.times()),
    ({"type": "long", LOGICAL: "time-micros"}, [pa.time64("us"), pa.time64("ns")], st.times()),
    (
        {"type": "bytes", LOGICAL: "decimal", "precision": 10, "scale": 3},
        [pa.decimal64(10, 3), pa.decimal128(10, 3), pa.decimal256(10, 3), pa.decimal32(9, 3)],
        st.integers(-(10**9 - 1), 10**9 - 1).map(lambda n: Decimal(n).scaleb(-3)),
    ),
    (
        {"type": "fixed", "name": "D", "size": 5, LOGICAL: "decimal", "precision": 10, "scale": 3},
        [pa.decimal64(10, 3), pa.decimal128(10, 3)],
        st.integers(-(10**9 - 1), 10**9 - 1).map(lambda n: Decimal(n).scaleb(-3)),
    ),
    (
        {"type": "array", "items": "long"},
        [pa.list_(pa.int64()), pa.large_list(pa.int64())],
        st.lists(longs, max_size=4),
    ),
    (
        {"type": "array", "items": ["null", "string"]},
        [pa.list_(pa.string()), pa.list_view(pa.string())],
        st.lists(st.none() | texts, max_size=4),
    ),
    ({"type": "array", "items": "int"}, [pa.list_(pa.int32(), 2)], st.lists(st.integers(0, 9), min_size=2, max_size=2)),
    (
        {"type": "map", "values": "double"},
        [pa.map_(pa.string(), pa.float64())],
        st.dictionaries(texts, st.floats(), max_size=3),
    ),
    (
        {"type": "map", "values": {"type": "array", "items": "boolean"}},
        [pa.map_(pa.string(), pa.list_(pa.bool_()))],
        st.dictionaries(texts, st.lists(st.booleans(), max_size=3), max_size=3),
    ),
    (
        {
            "type": "record",
            "name": "In",
            "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": ["null", "string"]}],
        },
        [pa.struct([("b", pa.string()), ("a", pa.int64())]), pa.struct([("a", pa.int64()), ("b", pa.large_string())])],
        st.fixed_dictionaries({"a": longs, "b": st.none() | texts}),
    ),
]


@st.composite
def columns(draw):
    """A schema, rows of it, and an Arrow table of the rows in several chunks, sliced."""
    fields, types, rows = [], [], {}
    n = draw(st.integers(0, 40))
    for i in range(draw(st.integers(1, 4))):
        avro, arrow, values = draw(st.sampled_from(FIELDS))
        if isinstance(avro, dict) and "name" in avro:
            avro = {**avro, "name": f"{avro['name']}{i}"}
        null = draw(st.sampled_from(["no", "first", "last"]))
        name = f"f{i}"
        fields.append(
            {"name": name, "type": avro if null == "no" else ["null", avro] if null == "first" else [avro, "null"]}
        )
        types.append((name, draw(st.sampled_from(arrow))))
        rows[name] = draw(st.lists(values if null == "no" else st.none() | values, min_size=n, max_size=n))
    schema = {"type": "record", "name": "R", "fields": fields}
    cut = draw(st.integers(0, n))
    start = draw(st.integers(0, n))
    arrays = {name: pa.array(rows[name], type_) for name, type_ in types}
    whole = pa.table(arrays)
    table = pa.concat_tables([whole[:cut], whole[cut:]])[start:]
    return schema, [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)][start:], table


def in_slices(source, step=3):
    return [record for i in range(0, len(source), step) for record in list(source.slice(i, min(i + step, len(source))))]


@batches_of(10)
@given(columns())
def test_arrow_columns_like_rows(tally, made):
    schema, rows, table = made
    avro, reading = Avro(schema), Reading(schema)
    want = list(avro.encode_batch(rows))
    plain = fastavro.parse_schema(without_logical_types(schema))
    for row, record in zip(rows, want, strict=True):
        assert reading.agrees(row, fastavro.schemaless_reader(io.BytesIO(record), plain, None))
    source = avro.bind(table)
    assert isinstance(source, Source)
    assert len(source) == len(rows)
    assert in_slices(source) == want
    assert list(source.slice(0, len(rows))) == want
    assert list(avro.encode_batch({name: table[name] for name in table.column_names})) == want
    assert list(avro.encode_batch({name: [row[name] for row in rows] for name in table.column_names})) == want
    biggest = max(map(len, want), default=0)
    assert source.first_over(biggest) is None
    if biggest:
        first = next(i for i, record in enumerate(want) if len(record) == biggest)
        assert source.first_over(biggest - 1) == (first, biggest)
    tally.add(len(rows))


FLAT = record_of(
    "Reading",
    id="long",
    sensor="string",
    temp="double",
    flag="boolean",
    ts={"type": "long", LOGICAL: "timestamp-millis"},
)
ROWS = [
    {"id": -5, "sensor": "ä1", "temp": 21.5, "flag": True, "ts": datetime(2026, 1, 1, tzinfo=UTC)},
    {
        "id": 2**40,
        "sensor": "",
        "temp": float("inf"),
        "flag": False,
        "ts": datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
    },
    {"id": 0, "sensor": "x" * 100, "temp": -0.0, "flag": True, "ts": datetime(2100, 1, 1, tzinfo=UTC)},
]
FRAME = {name: [row[name] for row in ROWS] for name in ROWS[0]}


def naive(values):
    return [value.replace(tzinfo=None) for value in values]


def structured(order="<"):
    array = np.zeros(3, dtype=[("pad", "u1"), ("id", f"{order}i8"), ("sensor", f"{order}U100"), ("temp", f"{order}f8"),
                               ("flag", "?"), ("ts", f"{order}M8[us]")])  # fmt: skip
    for name in ("id", "sensor", "temp", "flag"):
        array[name] = FRAME[name]
    array["ts"] = np.array(naive(FRAME["ts"]), dtype="M8[us]")
    return array


@pytest.mark.parametrize(
    "make",
    [
        structured,
        lambda: structured(">"),
        lambda: np.repeat(structured(), 2)[::2],
        lambda: structured()[::-1][::-1],
        lambda: np.rec.array(structured()),
        lambda: np.ma.array(structured()),
        lambda: FRAME,
        lambda: {name: tuple(values) for name, values in FRAME.items()},
        lambda: {name: np.array(values, dtype=object) for name, values in FRAME.items()},
        lambda: {**FRAME, "sensor": np.array([s.encode() for s in FRAME["sensor"]])},
        lambda: {**FRAME, "sensor": pa.chunked_array([FRAME["sensor"][:1], FRAME["sensor"][1:]]), "more": [1, 2, 3]},
        lambda: pd.DataFrame(FRAME),
        lambda: pd.DataFrame(FRAME).convert_dtypes(dtype_backend="pyarrow"),
        lambda: pd.DataFrame(FRAME).to_dict("series"),
        lambda: pl.DataFrame(FRAME),
        lambda: pl.DataFrame(FRAME).to_dict(),
        lambda: pl.concat([pl.DataFrame(FRAME)[:1], pl.DataFrame(FRAME)[1:]], rechunk=False),
        lambda: pa.table(FRAME),
        lambda: pa.table(FRAME).to_batches()[0],
        lambda: pa.RecordBatchReader.from_batches(pa.table(FRAME).schema, pa.table(FRAME).to_batches(max_chunksize=1)),
        lambda: pa.table(FRAME).to_struct_array(),
        lambda: as_table(pa.table(FRAME)),
        lambda: duckdb.from_arrow(pa.table(FRAME)),
    ],
)
def test_owners(make):
    avro = Avro(FLAT, schema_id=1)
    assert list(avro.encode_batch(make())) == [avro.encode(row) for row in ROWS]


def test_defaults_for_columns_that_are_missing():
    schema = {**FLAT, "fields": [*FLAT["fields"], {"name": "unit", "type": "string", "default": "°C"}]}
    avro = Avro(schema)
    assert list(avro.encode_batch(pa.table(FRAME))) == [avro.encode(row) for row in ROWS]
    with pytest.raises(SerializationError, match=r"no column.*'id', 'sensor'") as caught:
        Avro({**FLAT, "fields": [*FLAT["fields"], {"name": "unit", "type": "string"}]}).bind(pa.table(FRAME))
    assert caught.value.field == "unit"


@pytest.mark.parametrize(
    ("type_", "column", "index", "message"),
    [
        ("long", pa.array([1, None]), 1, "expected long"),
        ("int", np.array([1, 2**31]), 1, "from -2147483648"),
        ("int", pa.array([None, 2**31 - 1, 2**31]), 0, "expected int"),
        (["null", "int"], pa.chunked_array([[1, None], [2**31]]), 2, "from -2147483648"),
        ("long", np.array([1, 2**63], "u8"), 1, "expected long"),
        ("float", np.array([1, 1e300]), 1, "single precision"),
        ("string", pa.array([1, 2]), 0, "expected string"),
        ("long", pa.array(["a"]), 0, "expected long"),
        ("string", np.array([b"a", b"\xff"]), 1, "expected string"),
        ("string", np.array(["a", "\ud800"]), 1, "string"),
        ("string", pa.array([b"a", b"\xc3("]), 1, "expected string"),
        ("bytes", pa.array(["a"]), 0, "expected bytes"),
        ("boolean", np.array([0, 1]), 0, "expected boolean"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, pa.array(["A", "B", "C"]), 2, "one of A, B"),
        ({"type": "fixed", "name": "F", "size": 2}, pa.array([b"ab", b"abc"]), 1, "2 bytes"),
        ({"type": "long", LOGICAL: "timestamp-millis"}, np.array(["2026-01-01", "NaT"], "M8[s]"), 1, "datetime"),
        ({"type": "long", LOGICAL: "timestamp-micros"}, np.array([0, 2**62], "M8[s]"), 1, "microseconds|datetime"),
        ({"type": "int", LOGICAL: "time-millis"}, np.array([0, 86_400_000]), 1, "expected time"),
        ({"type": "bytes", LOGICAL: "decimal", "precision": 3, "scale": 1}, pa.array([Decimal("1.25")]), 0, "1 digits"),
        ({"type": "array", "items": "int"}, pa.array([[1], [1, 2**40]]), 1, "from -2147483648"),
        ({"type": "array", "items": "int"}, pa.array([[1], [1, None]]), 1, "expected int"),
        ({"type": "map", "values": "int"}, pa.array([{}], pa.struct([])), None, None),
        ("long", [1, "x"], 1, "expected long"),
        ("long", {"a": 1}, None, "an array or a list"),
    ],
)  # fmt: skip
def test_refused_with_row_and_field(type_, column, index, message):
    avro = Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": type_}]})
    if message is None:
        assert list(avro.encode_batch({"f": column})) == [b"\0"]
        return
    with pytest.raises(SerializationError, match=message) as caught:
        avro.bind({"f": column})
    assert caught.value.index == index
    assert caught.value.field.startswith("f")


def test_garbage_beside_a_slice_does_not_count():
    lists = pa.array([[2**40], [1], [2], None], pa.list_(pa.int64()))[1:3]
    avro = Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": {"type": "array", "items": "int"}}]})
    assert list(avro.encode_batch({"f": lists})) == [avro.encode({"f": [1]}), avro.encode({"f": [2]})]


def test_numpy_nested():
    inner = [{"name": "a", "type": "int"}, {"name": "b", "type": "string"}]
    fields = [
        {"name": "in", "type": {"type": "record", "name": "In", "fields": inner}},
        {"name": "vector", "type": {"type": "array", "items": "float"}},
    ]
    schema = {"type": "record", "name": "R", "fields": fields}
    array = np.zeros(3, dtype=[("in", [("a", "<i2"), ("b", "S3")]), ("vector", "<f4", (4,))])
    array["in"]["a"] = [1, 2, 3]
    array["in"]["b"] = [b"x", b"yy", b""]
    array["vector"] = np.arange(12).reshape(3, 4)
    rows = [
        {"in": {"a": int(a), "b": b.decode()}, "vector": v.tolist()}
        for a, b, v in zip(array["in"]["a"], array["in"]["b"], array["vector"], strict=True)
    ]
    avro = Avro(schema)
    want = [avro.encode(row) for row in rows]
    assert list(avro.encode_batch(array)) == want
    matrix = np.arange(24, dtype="f4").reshape(3, 8)[:, ::2]
    assert list(Avro({"type": "array", "items": "float"}).encode_batch(matrix)) == [
        Avro({"type": "array", "items": "float"}).encode(row.tolist()) for row in matrix
    ]


def test_a_single_column_for_a_schema_without_fields():
    assert list(Avro("string").encode_batch(pa.array(["a", "bc"]))) == [b"\x02a", b"\x04bc"]
    assert list(Avro("string").encode_batch(["a", "bc"])) == [b"\x02a", b"\x04bc"]
    with pytest.raises(SerializationError, match="rows or a table"):
        Avro(FLAT).bind(np.arange(3))
    with pytest.raises(SerializationError, match="record schema"):
        Avro("string").bind(pa.table(FRAME))


def test_what_was_found_for_a_column_is_not_believed_of_the_next():
    kinds = {"a": "long", "b": ["null", "string"], "c": "string", "d": "int", "e": ["boolean", "double"]}
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    avro = Avro({"type": "record", "name": "R", "fields": [*fields, {"name": "f", "type": "int", "default": 7}]})
    good = {"a": [1, 2], "b": ["x", None], "c": ["y", "z"], "d": [3, 4], "e": [0.5, 1.5]}
    rows = [dict(zip(good, row, strict=True)) for row in zip(*good.values(), strict=True)]
    table = {name: pa.array(values) for name, values in good.items()}
    padded = {**table, "a": np.array([1, 2]), "c": np.array([b"y", b"z"])}
    want = list(avro.encode_batch(rows))

    def refused(name, column):
        assert list(avro.encode_batch(padded)) == want
        with pytest.raises(SerializationError) as caught:
            avro.encode_batch({**padded, name: column})
        return (caught.value.field, caught.value.index)

    for _ in range(3):
        for columns in (table, padded, {**table, "a": np.array([1, 2], ">i8")}, {**table, "d": np.array([3, 4], "i1")}):
            assert list(avro.encode_batch(columns)) == want
            assert list(avro.encode_batch(pa.concat_tables([pa.table(table)[:1], pa.table(table)[1:]]))) == want
        assert refused("a", pa.array([1, None])) == ("a", 1)
        assert refused("a", np.array([1, 2**63], "u8")) == ("a", 1)
        assert refused("a", np.array(["1", "2"])) == ("a", 0)
        assert refused("b", pa.array([b"x", b"\xff"], pa.binary())) == ("b", 1)
        assert refused("c", np.array([b"y", b"\xff"])) == ("c", 1)
        assert refused("c", pa.array(["y", None])) == ("c", 1)
        assert refused("d", pa.array([3, 2**31])) == ("d", 1)
        assert refused("e", pa.array([0.5, None])) == ("e", 1)
        assert list(avro.encode_batch({**table, "e": pa.array([True, False])})) != want
        assert [record[-1:] for record in avro.encode_batch({**table, "f": [1, 2]})] == [b"\2", b"\4"]
        with pytest.raises(SerializationError, match="no column of that name"):
            avro.encode_batch({name: column for name, column in table.items() if name != "a"})


def test_a_batch_in_use_keeps_its_bytes():
    source = Avro("long").bind(np.arange(1000))
    first, second = source.slice(0, 500), source.slice(500, 1000)
    assert list(first) == list(source.slice(0, 500))
    assert list(second) == list(source.slice(500, 1000))


@pytest.mark.parametrize("text", ["U3", "S7", "S16"])
@pytest.mark.parametrize("structured", [True, False])
def test_arrays_that_change_while_they_are_read(text, structured):
    kinds = {"id": "i8", "sensor": text, "temp": "f8", "flag": "?", "ts": "i8"}
    array = np.zeros(100_000, dtype=list(kinds.items()))
    columns = {name: np.zeros(len(array), kind) for name, kind in kinds.items()}
    source = Avro(FLAT).bind(array if structured else columns)
    blocks = [values.view(np.uint8) for values in ([array] if structured else columns.values())]
    stop = threading.Event()

    def scribble():
        while not stop.is_set():
            for block in blocks:
                block[:] = np.random.default_rng().integers(0, 256, 1)

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        for _ in range(20):
            assert len(source.slice(0, len(array))) == len(array)
    finally:
        stop.set()
        thread.join()


def test_times_without_a_native_path():
    schema = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "f", "type": ["int", {"type": "long", LOGICAL: "time-micros"}]}],
    }
    avro = Avro(schema)
    assert list(avro.encode_batch({"f": pa.array([time(1)], pa.time64("us"))})) == [avro.encode({"f": time(1)})]
    assert list(avro.encode_batch({"f": pa.array([5])})) == [avro.encode({"f": 5})]
    dates = Avro(
        {"type": "record", "name": "R", "fields": [{"name": "f", "type": ["string", {"type": "int", LOGICAL: "date"}]}]}
    )
    assert list(dates.encode_batch({"f": pa.array([date(2026, 1, 1)])})) == [dates.encode({"f": date(2026, 1, 1)})]
