"""What columns mean beyond their numbers: zones, what pandas adds, Arrow's rarer layouts."""

from __future__ import annotations

import datetime
import io
import uuid
from zoneinfo import ZoneInfo

import duckdb
import fastavro
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encoding.meanings import avro_bytes, json_bytes
from twolane import Avro, Bytes, Json, Struct
from twolane.encoding.time import zones
from twolane.errors import SerializationError

LOGICAL = "logicalType"
YORK = ZoneInfo("America/New_York")
ZONES = [
    "UTC", "Etc/UTC", "America/New_York", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Monrovia",
    "Pacific/Apia", "Europe/Amsterdam", "+05:30", "-03:00", "+00:00",
]  # fmt: skip
DATE = {"type": "int", LOGICAL: "date"}


def record(type_):
    return Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": type_}]})


def long(logical):
    return {"type": "long", LOGICAL: logical}


def zone(name):
    return datetime.datetime.fromisoformat(f"2026-01-01T00:00:00{name}").tzinfo if name[0] in "+-" else ZoneInfo(name)


# ---- zones -----------------------------------------------------------------------------------------------------------


@given(
    name=st.sampled_from(ZONES),
    seconds=st.lists(st.integers(-5_000_000_000, 5_000_000_000) | st.none(), min_size=1, max_size=30),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
    micros=st.integers(0, 999_999),
)
def test_walls_are_what_datetime_says(name, seconds, unit, micros):
    tz = zone(name)
    per = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    part = micros * per // 10**6
    column = pa.array([None if one is None else one * per + part for one in seconds], pa.timestamp(unit, name))
    micros = part * 10**6 // per
    values = [
        None if one is None else (zones.EPOCH + datetime.timedelta(seconds=one, microseconds=micros)).astimezone(tz)
        for one in seconds
    ]
    days = [avro_bytes(["null", DATE], None if value is None else value.date()) for value in values]
    walls = [
        avro_bytes(["null", long("local-timestamp-micros")], None if value is None else value.replace(tzinfo=None))
        for value in values
    ]
    instants = [avro_bytes(["null", long("timestamp-micros")], value) for value in values]
    texts = [json_bytes({"f": None if value is None else value.isoformat()}) for value in values]
    chunks = pa.chunked_array([column[:1], column[1:]])
    for table in ({"f": column}, pa.table({"f": chunks}), {"f": column.dictionary_encode()}):
        assert list(Json().encode_batch(table)) == texts
        if not isinstance(table, dict) or table["f"] is column:
            assert list(record(["null", DATE]).encode_batch(table)) == days
            assert list(record(["null", long("local-timestamp-micros")]).encode_batch(table)) == walls
            assert list(record(["null", long("timestamp-micros")]).encode_batch(table)) == instants
    nested = {
        "f": pa.array([column.to_pylist()], pa.list_(column.type))
        if unit != "ns"
        else pa.array([], pa.list_(column.type))
    }
    if unit != "ns":
        made = json_bytes({"f": [None if value is None else value.isoformat() for value in values]})
        assert list(Json().encode_batch(nested)) == [made]


EVENING = datetime.datetime(2024, 7, 1, 22, 0, tzinfo=YORK)
FALL = datetime.datetime(2024, 11, 3, 1, 30, fold=1, tzinfo=YORK)


def zoned_columns():
    values = [EVENING, FALL]
    arrow = pa.array(values, pa.timestamp("us", "America/New_York"))
    yield arrow
    yield pa.array(values, pa.timestamp("ns", "America/New_York"))
    yield pa.RunEndEncodedArray.from_arrays([1, 2], arrow)
    yield pl.Series(values, dtype=pl.Datetime("us", "America/New_York"))
    yield pd.Series(values, dtype=pd.DatetimeTZDtype("ns", YORK))
    yield pd.DatetimeIndex(values)
    yield pd.Series(arrow, dtype=pd.ArrowDtype(arrow.type))
    yield pd.Series(values, dtype=object)
    connection = duckdb.connect()
    connection.execute("set timezone = 'America/New_York'")
    times = "timestamptz '2024-07-02 02:00:00+00', timestamptz '2024-11-03 06:30:00+00'"
    yield pa.table(connection.sql(f"select unnest([{times}]) as f"))["f"]


@pytest.mark.parametrize("column", list(zoned_columns()), ids=lambda one: type(one).__name__)
def test_a_zoned_column_is_a_day_on_its_wall_and_takes_the_branch_of_rows(column):
    table = {"f": column}
    for type_ in (DATE, ["null", DATE]):
        assert list(record(type_).encode_batch(table)) == [record(type_).encode({"f": one}) for one in (EVENING, FALL)]
    assert list(record(DATE).encode_batch(table)) == [avro_bytes(DATE, one.date()) for one in (EVENING, FALL)]
    for values in (table, [{"f": EVENING}]):  # of a datetime a date is a part only
        with pytest.raises(SerializationError, match="expected one of"):
            record([DATE, "string"]).encode_batch(values)
    for other in (DATE, "string", "int"):
        both = [other, long("timestamp-micros")]
        assert list(record(both).encode_batch(table)) == [b"\2" + avro_bytes(both[1], one) for one in (EVENING, FALL)]
    assert list(Json().encode_batch(table)) == [Json().encode({"f": one}) for one in (EVENING, FALL)]


def test_nanoseconds_of_a_zone_are_kept_where_objects_are_read():
    fine = pd.Timestamp("2024-07-01T22:00:00.123456789", tz=YORK)
    times = pa.array([fine.value]).view(pa.timestamp("ns", "America/New_York"))
    column = pa.ListViewArray.from_arrays(pa.array([0], pa.int32()), pa.array([1], pa.int32()), times)
    avro = record({"type": "array", "items": long("timestamp-nanos")})
    assert list(avro.encode_batch({"f": column})) == [avro_bytes({"type": "array", "items": "long"}, [fine.value])]
    made = zones.instant_of(fine.value, 1, "America/New_York")
    assert made.to_datetime64() == fine.tz_localize(None).to_datetime64()
    assert (made.replace(tzinfo=None) - datetime.timedelta(1)).nanosecond == 789


def test_a_zone_that_nobody_knows_is_refused_by_name():
    column = pa.array([1, 2], pa.int64()).view(pa.timestamp("us", "Mars/Olympus"))
    assert list(record(long("timestamp-micros")).encode_batch({"f": column})) == [b"\2", b"\4"]
    for serializer in (Json(), record(DATE)):
        with pytest.raises(SerializationError, match="Mars/Olympus"):
            serializer.encode_batch({"f": column})


def test_a_time_beyond_the_years_has_no_wall():
    column = pa.array([1, 2**62]).view(pa.timestamp("us", "Europe/London"))
    with pytest.raises(SerializationError, match="years 1 to 9999") as caught:
        record(DATE).encode_batch({"f": column})
    assert (caught.value.index, caught.value.field) == (1, "f")
    with pytest.raises(SerializationError, match="years 1 to 9999"):
        Json().encode_batch({"f": column})


def test_walls_of_many_rows_are_made_in_bounded_memory():
    n = 4_000_000
    column = pa.array(np.arange(n) * 60_000).view(pa.timestamp("ms", "America/New_York"))
    source = record(DATE).bind({"f": column})
    assert len(source) == n
    wanted = zones.EPOCH + datetime.timedelta(minutes=n - 1)
    assert list(source.slice(n - 1, n)) == [avro_bytes(DATE, wanted.astimezone(YORK).date())]


# ---- what pandas adds ------------------------------------------------------------------------------------------------

FRAME = pd.DataFrame({"a": [1, 2, 3], "t": ["x", None, "z"]})
ROWS = [b'{"a":1,"t":"x"}', b'{"a":2,"t":null}', b'{"a":3,"t":"z"}']


@pytest.mark.parametrize(
    ("frame", "rows"),
    [
        (FRAME, ROWS),
        (FRAME[FRAME.a > 1], ROWS[1:]),
        (FRAME.sort_values("a", ascending=False), ROWS[::-1]),
        (pd.concat([FRAME, FRAME]), ROWS * 2),
        (FRAME.set_index(pd.date_range("2026", periods=3)), ROWS),
        (FRAME.set_index(pd.Index(["p", "q", "r"], name="id")), ROWS),
        (FRAME.set_index(pd.MultiIndex.from_product([["p"], [1, 2, 3]], names=["id", None])), ROWS),
    ],
)  # fmt: skip
def test_the_index_stays_out(frame, rows):
    assert list(Json().encode_batch(frame)) == rows
    fields = [field["name"] for field in Avro.from_arrow(frame).schema["fields"]]
    assert fields == ["a", "t"]
    avro = Avro.from_arrow(frame)
    assert list(avro.encode_batch(frame)) == [
        avro.encode(row) for row in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]


def test_a_level_of_the_index_is_there_for_who_names_it():
    frame = FRAME.set_index(pd.Index(["p", "q", "r"], name="id"))
    avro = Avro(
        {"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"}, {"name": "a", "type": "int"}]}
    )
    assert list(avro.encode_batch(frame)) == [b"\2p\2", b"\2q\4", b"\2r\6"]
    assert next(iter(Json().encode_batch(frame.reset_index()))) == b'{"id":"p","a":1,"t":"x"}'
    twice = FRAME.set_index(pd.Index([7, 8, 9], name="a"))
    assert list(Json().encode_batch(twice)) == ROWS


def test_labels_are_text_and_stand_once():
    frame = pd.DataFrame([[1, 2, 3]], columns=[1, 2.5, ("a", "b")])
    assert list(Json().encode_batch(frame)) == [b'{"1":1,"2.5":2,"(\'a\', \'b\')":3}']
    for labels in (["a", "a"], [1, "1"]):
        with pytest.raises(SerializationError, match="stands twice"):
            Json().encode_batch(pd.DataFrame([[1, 2]], columns=labels))
    with pytest.raises(SerializationError, match="UTF-8"):
        Json().encode_batch({"\ud800": [1]})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pd.period_range("2026", periods=2, freq="M"), "pandas.period"),
        (pd.interval_range(0, 2), "pandas.interval"),
        (pd.Categorical(pd.interval_range(0, 2)), "pandas.interval"),
        (np.array([1 + 2j, 3]), "complex128"),
    ],
)
def test_what_has_no_form_is_refused_by_name(values, said):
    frame = pd.DataFrame({"a": [1, 2], "f": values})
    for serializer in (Json(), record("long"), record("string")):
        with pytest.raises(SerializationError, match=said) as caught:
            serializer.encode_batch(frame)
        assert caught.value.field == "f"
    assert list(
        Avro({"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}).encode_batch(frame)
    ) == [b"\2", b"\4"]


def test_sparse_columns_and_categories_are_their_values():
    frame = pd.DataFrame({"f": pd.arrays.SparseArray([0.0, 1.5]), "g": pd.Categorical(["a", None])})
    assert list(Json().encode_batch(frame)) == [b'{"f":0.0,"g":"a"}', b'{"f":1.5,"g":null}']


@pytest.mark.parametrize("dtype", ["float64", "float32", "object"])
def test_nan_of_pandas_is_null_where_the_type_has_one_and_nan_where_not(dtype):
    series = pd.Series([1.5, float("nan")], dtype=dtype)
    for table in (pd.DataFrame({"f": series}), {"f": series}, pd.DataFrame({"f": series})[::1]):
        assert list(record("double").encode_batch(table)) == [
            avro_bytes("double", value) for value in (1.5, float("nan"))
        ]
        for type_ in (["null", "double"], ["double", "null"], ["null", "float", "string"]):
            assert list(record(type_).encode_batch(table)) == [avro_bytes(type_, value) for value in (1.5, None)]
        assert list(Json().encode_batch(table)) == [b'{"f":1.5}', b'{"f":null}']
        with pytest.raises(SerializationError, match="finite"):
            Json(nan="error").encode_batch(table)
        many = record(["null", "double"])
        for _ in range(3):  # follows what it has planned before
            assert list(many.encode_batch(table)) == [avro_bytes(["null", "double"], value) for value in (1.5, None)]
            assert list(many.encode_batch({"f": np.array([1.5, 2.5])}))[1] == avro_bytes(["null", "double"], 2.5)
    sliced = record(["null", "double"]).bind(pd.DataFrame({"f": series}))
    assert list(sliced.slice(1, 2)) == [b"\0"]


def test_durations_of_pandas_are_those_of_rows():
    avro = record({"type": "fixed", "name": "D", "size": 12, LOGICAL: "duration"})
    values = [pd.Timedelta(0), pd.Timedelta(days=3, milliseconds=7), pd.Timedelta(1_999_999, "ns")]
    for table in (pd.DataFrame({"f": values}), {"f": pd.Series(values).array}, {"f": pa.array(values)}):
        assert list(avro.encode_batch(table)) == [avro.encode({"f": value}) for value in values]
        with pytest.raises(SerializationError, match="duration"):
            Json().encode_batch(table)


# ---- Arrow's rarer layouts -------------------------------------------------------------------------------------------

PLAIN = {
    "int": pa.array([1, None, 3]), "bool": pa.array([True, None, False]), "double": pa.array([1.5, None, 2.5]),
    "text": pa.array(["a", None, "c"]), "view": pa.array(["a" * 20, None, ""], pa.string_view()),
    "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)), "list": pa.array([[1], None, [2, 3]]),
    "struct": pa.array([{"x": 1}, None, {"x": 3}]), "date": pa.array([1, None, 3], pa.date32()),
    "null": pa.nulls(3),
    "uuid": pa.array([bytes(16), None, bytes(range(16))], pa.uuid()),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize(
    "wrap", [lambda one: one, lambda one: one[1:4], lambda one: pa.StructArray.from_arrays([one], ["s"])[2:]]
)
def test_runs_are_their_values(name, bits, wrap):
    values = PLAIN[name]
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 5], getattr(pa, f"int{bits}")()), values)
    plain = pa.concat_arrays([values[i : i + 1] for i in (0, 0, 1, 2, 2)])
    serializer = Json(binary="base64")
    assert list(serializer.encode_batch({"f": wrap(runs)})) == list(serializer.encode_batch({"f": wrap(plain)}))
    schema = Avro.from_arrow(pa.schema([("f", plain.type)]))
    assert Avro.from_arrow(pa.table({"f": runs})).schema == schema.schema
    assert list(schema.encode_batch({"f": runs})) == list(schema.encode_batch({"f": plain}))


def test_runs_are_good_for_everything_of_a_call():
    runs = pa.RunEndEncodedArray.from_arrays([1, 3], ["a", "b"])
    assert list(Bytes().encode_batch(runs)) == [b"a", b"b", b"b"]
    assert list(Struct("<i").encode_batch(pa.RunEndEncodedArray.from_arrays([1, 3], pa.array([7, 8], pa.int32())))) == [
        b"\7\0\0\0", b"\x08\0\0\0", b"\x08\0\0\0",
    ]  # fmt: skip


def test_a_uuid_is_its_text_in_json_and_a_uuid_in_avro():
    ids = [uuid.UUID(int=5), None]
    column = pa.array([one and one.bytes for one in ids], pa.uuid())
    assert list(Json().encode_batch({"f": column})) == [Json().encode({"f": one}) for one in ids]
    avro = Avro.from_arrow(pa.schema([("f", pa.uuid())]))
    assert avro.schema["fields"][0]["type"] == ["null", {"type": "string", LOGICAL: "uuid"}]
    assert list(avro.encode_batch({"f": column})) == [avro.encode({"f": one}) for one in ids]
    fixed = {"type": "fixed", "name": "U", "size": 16, LOGICAL: "uuid"}
    assert list(record(["null", "bytes", fixed]).encode_batch({"f": column})) == [b"\4" + ids[0].bytes, b"\0"]
    for type_ in ("string", "bytes", {"type": "fixed", "name": "F", "size": 16}):
        with pytest.raises(SerializationError):
            record(["null", type_]).encode_batch({"f": column})
    with pytest.raises(SerializationError, match="uuid"):
        Bytes().encode_batch(column)


def test_bool8_is_a_boolean():
    column = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, 7, None], pa.int8()))
    assert list(Json().encode_batch({"f": column})) == [b'{"f":false}', b'{"f":true}', b'{"f":true}', b'{"f":null}']
    avro = Avro.from_arrow(pa.schema([("f", pa.bool8())]))
    assert list(avro.encode_batch({"f": column})) == [b"\2\0", b"\2\1", b"\2\1", b"\0"]
    assert list(Struct("?").encode_batch(column[:3])) == [b"\0", b"\1", b"\1"]


class Unknown(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.int64(), "example.celsius")

    def __arrow_ext_serialize__(self):
        return b""


def test_an_extension_type_that_is_not_known_is_refused_by_name_where_it_is_used():
    column = pa.ExtensionArray.from_storage(Unknown(), pa.array([1, 2]))
    tensor = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int64(), [2, 1]), pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2))
    )
    for values, said in ((column, "example.celsius"), (tensor, "arrow.fixed_shape_tensor")):
        for serializer in (Json(), record("long"), record({"type": "array", "items": "long"})):
            with pytest.raises(SerializationError, match=said) as caught:
                serializer.encode_batch({"f": values})
            assert caught.value.field == "f"
        with pytest.raises(SerializationError, match=said):
            Avro.from_arrow(pa.table({"f": values}))
        with pytest.raises(SerializationError, match=said):
            Bytes().encode_batch(values)
    text = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', "2"]))
    assert list(Bytes().encode_batch(text)) == [b'{"a":1}', b"2"]
    assert list(record("string").encode_batch({"f": text}))[1] == b"\x022"


@pytest.mark.parametrize(("dtype", "values"), [
    (pl.Int128, [0, -1, 2**63 - 1, -(2**63), None]), (pl.Int128, [2**63, -(2**63) - 1, 2**127 - 1, -(2**127), None]),
    (pl.UInt128, [0, 2**63 - 1, None]), (pl.UInt128, [2**63, 2**64, 2**128 - 1, 2**128 - 2**63, None]),
])  # fmt: skip
def test_integers_of_128_bits_are_written_as_python_does(dtype, values):
    column = pl.Series("f", values, dtype)
    for table in ({"f": column}, pl.DataFrame({"f": column})):
        assert list(Json().encode_batch(table)) == [json_bytes({"f": value}) for value in values]
    if all(value is None or -(2**63) <= value < 2**63 for value in values):
        assert list(record(["null", "long"]).encode_batch({"f": column})) == [
            avro_bytes(["null", "long"], value) for value in values
        ]
    else:
        with pytest.raises(SerializationError) as caught:
            record(["null", "long"]).encode_batch({"f": column})
        assert caught.value.index == 0
    nested = pl.DataFrame({"f": column}).select(pl.concat_list("f"))
    assert list(Json().encode_batch(nested)) == [json_bytes({"f": [value]}) for value in values]


def test_fastavro_reads_what_a_frame_of_everything_gave():
    frame = pd.DataFrame({
        "i": [1, 2], "d": [1.5, None], "s": ["a", None],
        "at": pd.to_datetime(["2026-01-01", "2026-07-01"]).tz_localize(YORK),
        "c": pd.Categorical(["x", "y"]), "b": pd.array([True, None], "boolean"),
    }).iloc[::-1]  # fmt: skip
    avro = Avro.from_arrow(frame)
    read = [
        fastavro.schemaless_reader(io.BytesIO(one), fastavro.parse_schema(avro.schema))
        for one in avro.encode_batch(frame)
    ]
    assert read[0]["d"] is None
    assert read[0]["s"] is None
    assert read[0]["at"] == datetime.datetime(2026, 7, 1, tzinfo=YORK)
    assert [row["i"] for row in read] == [2, 1]
    assert [row["c"] for row in read] == ["y", "x"]
    assert set(read[0]) == {"i", "d", "s", "at", "c", "b"}
