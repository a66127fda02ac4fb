"""`Protobuf` with columns of every library: the bytes of rows, and errors that name row, field and value."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

pytest.importorskip("google.protobuf", reason="protobuf is not installed")
from google.protobuf import any_pb2, descriptor_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2

from tests.support.proto_files import SCALARS, proto_class, proto_file
from twolane import Protobuf, SerializationError
from twolane.encoding.mismatch import Mismatch

MODULES = {"timestamp": timestamp_pb2, "duration": duration_pb2, "wrappers": wrappers_pb2, "struct": struct_pb2}
MODULES["any"] = any_pb2
GOOGLES = [descriptor_pb2.FileDescriptorProto.FromString(one.DESCRIPTOR.serialized_pb) for one in MODULES.values()]
RECORD = {
    **{f"r_{kind}": f"repeated {kind}" for kind in SCALARS},
    "maybe": "optional int32",
    "perhaps": "optional double",
    "color": "enum .n.Color",
    "colors": "repeated enum .n.Color",
    "oneof choice": {"left": "string", "right": "int64", "middle": ".n.Record.Inner"},
    "Inner": {"id": "int64", "text": "string", "below": ".n.Record.Inner", "oneof which": {"a": "bool", "b": "bool"}},
    "inner": ".n.Record.Inner",
    "inners": "repeated .n.Record.Inner",
    "counts": "map<string, int32>",
    "at": ".google.protobuf.Timestamp",
    "took": ".google.protobuf.Duration",
    "whole": ".google.protobuf.Int64Value",
    "half": ".google.protobuf.DoubleValue",
    "json": ".google.protobuf.Struct",
    "any": ".google.protobuf.Any",
}
RECORD.update({kind: kind for kind in SCALARS})
COLORS = {"NONE": 0, "RED": 1, "BLUE": 2}
FILE = proto_file(
    "columns.proto",
    {"Record": RECORD},
    imports=[f"google/protobuf/{name}.proto" for name in MODULES],
    enums={"Color": COLORS},
)
Record = proto_class("n.Record", *GOOGLES, FILE)
RECORDS = Protobuf(Record)
STRUCT = pa.struct([("id", pa.int64()), ("text", pa.string())])


def written(rows: list[dict[str, Any]]) -> list[bytes]:
    """Return what google.protobuf writes, by its own constructor."""
    return [Record(**row).SerializeToString(deterministic=True) for row in rows]


def at(seconds: int, nanos: int = 0) -> dict[str, int]:
    """Return a Timestamp or a Duration, as their constructors take them."""
    return {"seconds": seconds, "nanos": nanos}


took = at


MASKED = np.ma.MaskedArray([1, 2], [False, True])
NUMPY = np.zeros(
    2, [("int32", ">i2"), ("double", "<f4"), ("string", "S3"), ("inner", [("id", "u1")]), ("r_sint32", "i2", 2)]
)
NUMPY[1] = (-5, 0.5, b"ab", (7,), (1, -1))
SECONDS = np.array([0, -1, 2**31], "M8[s]")
SAME = [
    ("no rows", {"int32": np.zeros(0, np.int64)}, []),
    ("big-endian", {"int64": np.array([1, -2], ">i8")}, [{"int64": 1}, {"int64": -2}]),
    ("strided", {"int64": np.arange(6)[::3]}, [{}, {"int64": 3}]),
    ("backwards", {"double": np.array([1.0, -0.0])[::-1]}, [{"double": -0.0}, {"double": 1.0}]),
    ("masked", {"int32": MASKED}, [{"int32": 1}, {}]),
    ("masked, with presence", {"maybe": MASKED - 1}, [{"maybe": 0}, {}]),
    ("half", {"float": np.array([0.5, np.inf], "f2")}, [{"float": 0.5}, {"float": np.inf}]),
    ("near", {"float": np.array([0.1])}, [{"float": 0.1}]),
    (
        "integers as doubles",
        {"double": np.array([2**53 + 1, 2**64 - 1], "u8")},
        [{"double": 2**53 + 1}, {"double": 2.0**64}],
    ),
    ("unsigned", {"uint64": np.array([2**64 - 1, 0], "u8")}, [{"uint64": 2**64 - 1}, {}]),
    ("texts of numpy", {"string": np.array(["é", "ab\0c"])}, [{"string": "é"}, {"string": "ab\0c"}]),
    ("bytes of numpy", {"bytes": np.array([b"\xff", b""])}, [{"bytes": b"\xff"}, {}]),
    (
        "records of numpy",
        NUMPY,
        [
            {"inner": {}, "r_sint32": [0, 0]},
            {"int32": -5, "double": 0.5, "string": "ab", "inner": {"id": 7}, "r_sint32": [1, -1]},
        ],
    ),
    (
        "two dimensions",
        {"r_double": np.array([[1.0, 0.0], [np.inf, 2.0]])},
        [{"r_double": [1, 0]}, {"r_double": [np.inf, 2]}],
    ),
    ("two dimensions, one by one", {"r_int32": np.array([[1, 2**31 - 1]])}, [{"r_int32": [1, 2**31 - 1]}]),
    ("instants", {"at": SECONDS}, [{"at": at(0)}, {"at": at(-1)}, {"at": at(2**31)}]),
    ("NaT", {"at": np.array(["NaT", "1969-12-31T23:59:59.999999999"], "M8[ns]")}, [{}, {"at": at(-1, 999_999_999)}]),
    (
        "days",
        {"at": np.array(["0001-01-01", "9999-12-31"], "M8[D]")},
        [{"at": at(-62_135_596_800)}, {"at": at(253_402_214_400)}],
    ),
    (
        "lengths",
        {"took": np.array([-1_500, 1_500, 0], "m8[ms]")},
        [{"took": took(-1, -500_000_000)}, {"took": took(1, 500_000_000)}, {"took": took(0)}],
    ),
    ("hours", {"took": np.array([1, -1], "m8[h]")}, [{"took": took(3600)}, {"took": took(-3600)}]),
    (
        "pandas",
        pd.DataFrame({"int64": [1, 2], "string": ["a", None], "perhaps": [np.nan, 0.0], "double": [np.nan, 0.0]}),
        [{"int64": 1, "string": "a", "double": np.nan}, {"int64": 2, "perhaps": 0.0}],
    ),
    ("pandas, nullable", pd.DataFrame({"maybe": pd.array([None, 0], "Int32")}), [{}, {"maybe": 0}]),
    ("pandas, categories", pd.DataFrame({"color": pd.Categorical(["RED", None])}), [{"color": 1}, {}]),
    ("pandas, zoned", pd.DataFrame({"at": pd.to_datetime(["2026-01-01T01:00+01:00"])}), [{"at": at(1_767_225_600)}]),
    (
        "polars",
        pl.DataFrame({"r_string": [["a", ""], None], "inner": [None, {"id": 1}], "color": [1, 77]}),
        [{"r_string": ["a", ""], "color": 1}, {"inner": {"id": 1}, "color": 77}],
    ),
    (
        "polars, names",
        pl.DataFrame({"color": pl.Series(["BLUE", "NONE"], dtype=pl.Enum(["NONE", "BLUE"]))}),
        [{"color": 2}, {}],
    ),
    (
        "duckdb",
        duckdb.sql("select 1::tinyint as int64, map {'b': 2, 'a': 1} as counts, 'RED' as color"),
        [{"int64": 1, "counts": {"a": 1, "b": 2}, "color": 1}],
    ),
    (
        "lists",
        {
            "int32": [1, None],
            "string": ["a", "b"],
            "r_bool": [[True], []],
            "at": [datetime(1970, 1, 1, tzinfo=UTC), None],
        },
        [{"int32": 1, "string": "a", "r_bool": [True], "at": at(0)}, {"string": "b"}],
    ),
    ("dates", {"at": [date(1970, 1, 2)], "took": [timedelta(seconds=1)]}, [{"at": at(86_400), "took": took(1)}]),
    (
        "wrappers",
        {"whole": pa.array([0, None, 5]), "half": pa.array([np.nan, 0.0, None])},
        [{"whole": {"value": 0}, "half": {"value": np.nan}}, {"half": {"value": 0.0}}, {"whole": {"value": 5}}],
    ),
    ("a wrapper as a struct", {"whole": pa.array([{"value": 3}, None])}, [{"whole": {"value": 3}}, {}]),
    ("a time as a struct", {"at": pa.array([{"seconds": 3, "nanos": 0}])}, [{"at": at(3)}]),
    (
        "oneof",
        {"left": pa.array(["", None, None]), "right": pa.array([None, 0, None])},
        [{"left": ""}, {"right": 0}, {}],
    ),
    ("null", {"int32": pa.nulls(1), "r_int32": pa.nulls(1), "inner": pa.nulls(1), "string": ["a"]}, [{"string": "a"}]),
    ("an empty struct", {"inner": pa.array([{}, None], pa.struct([("id", pa.int64())]))}, [{"inner": {}}, {}]),
    (
        "below itself",
        {"inner": pa.array([{"below": {"below": {"id": 1}}}])},
        [{"inner": {"below": {"below": {"id": 1}}}}],
    ),
    (
        "a map twice the same key",
        {"counts": pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int32()))},
        [{"counts": {"a": 2}}],
    ),
    ("list views", {"r_int64": pa.array([[1, 2], None], pa.list_view(pa.int64()))}, [{"r_int64": [1, 2]}, {}]),
    ("runs", {"int64": pa.RunEndEncodedArray.from_arrays([2, 3], [7, 8])}, [{"int64": 7}, {"int64": 7}, {"int64": 8}]),
    ("JSON", {"json": [{"a": 1}, None]}, [{"json": {"a": 1}}, {}]),
]


@pytest.mark.parametrize(("values", "rows"), [pytest.param(*one[1:], id=one[0]) for one in SAME])
def test_columns_are_written_as_google_writes_the_rows(values: Any, rows: list[dict[str, Any]]) -> None:
    assert list(RECORDS.encode_batch(values)) == written(rows)


REFUSED = [
    ({"int32": np.array([0, 2**31])}, 1, "int32", "2147483647, got 2147483648"),
    ({"uint32": pa.array([1, -1])}, 1, "uint32", "from 0 to 4294967295, got -1"),
    ({"uint64": pa.array([-1])}, 0, "uint64", "got -1"),
    ({"int64": np.array([2**63], "u8")}, 0, "int64", "got 9223372036854775808"),
    ({"sint32": np.array([-(2**31) - 1])}, 0, "sint32", "got -2147483649"),
    ({"fixed32": np.array([2**32])}, 0, "fixed32", "got 4294967296"),
    ({"sfixed32": pa.array([None, 2**31])}, 1, "sfixed32", "got 2147483648"),
    ({"float": np.array([1e39])}, 0, "float", "single precision's range, got 1e+39"),
    ({"int32": np.array([1.0])}, 0, "int32", "got 1.0"),
    ({"int32": np.array([True])}, 0, "int32", "got True"),
    ({"bool": np.array([1])}, 0, "bool", "got 1"),
    ({"int64": np.array(["2026-01-01"], "M8[s]")}, 0, "int64", "expected int64"),
    ({"string": np.array([b"a", b"\xff"])}, 1, "string", "got b'\\xff'"),
    ({"string": ["\ud800"]}, 0, "string", "lone surrogate"),
    ({"bytes": pa.array(["a"])}, 0, "bytes", "got 'a'"),
    ({"r_int32": pa.array([[1], [1, None]])}, 1, "r_int32[1]", "expected int32, got None"),
    ({"r_int32": np.array([[1, 2**31]])}, 0, "r_int32[1]", "got 2147483648"),
    ({"counts": pa.array([[("a", None)]], pa.map_(pa.string(), pa.int32()))}, 0, "counts['a']", "have no null"),
    ({"color": pa.array(["RED", "GREEN"])}, 1, "color", "got 'GREEN'"),
    ({"color": pd.Categorical(["RED", "GREEN"])}, 1, "color", "got 'GREEN'"),
    ({"color": np.array([2**31])}, 0, "color", "got 2147483648"),
    ({"at": np.array([-(10**18)], "M8[ms]")}, 0, "at", ""),
    ({"at": np.array([1])}, 0, "at", "Timestamp"),
    ({"took": np.array([2**62], "m8[s]")}, 0, "took", ""),
    ({"inner": pa.array([{"id": "a"}])}, 0, "inner.id", "expected int64, got 'a'"),
    ({"inner": pa.array([{"id": 1, "idd": 1}])}, 0, "inner.idd", "did you mean 'id'"),
    (
        {"inner": pa.array([{"a": True, "b": False}])},
        0,
        "inner",
        "one field of the oneof 'which', not both 'a' and 'b'",
    ),
    ({"inners": pa.array([[{"id": 1}], [{"id": 1}, None]])}, 1, "inners[1]", "have no null"),
    (
        {"left": ["a", "a"], "right": pa.array([None, 1])},
        1,
        "right",
        "one field of the oneof 'choice', not both 'left' and 'right'",
    ),
    ({"any": [{"a": 1}]}, 0, "any.a", ""),
    ({"int32": [1], "in32": [1]}, None, "in32", ""),
]


@pytest.mark.parametrize(
    ("values", "row", "field", "said"), REFUSED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_bad_value_is_refused_with_its_place(values: Any, row: int | None, field: str, said: str) -> None:
    with pytest.raises(SerializationError) as caught:
        RECORDS.encode_batch(values)
    assert (caught.value.index, caught.value.field) == (row, field)
    assert said in str(caught.value)


def test_columns_that_are_no_fields() -> None:
    lax = Protobuf(Record, strict=False)
    assert list(lax.encode_batch({"int32": [1], "key": ["a"]})) == written([{"int32": 1}])
    with pytest.raises(SerializationError, match=r"no column is a field of n\.Record; the columns are 'int'"):
        lax.encode_batch({"int": [1]})


def test_required_fields() -> None:
    file = proto_file("old.proto", {"Old": {"id": "required int32", "text": "optional string"}}, syntax="proto2")
    old = Protobuf(proto_class("n.Old", file))
    assert list(old.encode_batch({"id": np.array([0]), "text": [""]})) == [b"\x08\0\x12\0"]
    with pytest.raises(SerializationError, match="no column of that name, and the field is required"):
        old.encode_batch({"text": ["a"]})
    with pytest.raises(SerializationError, match=r"record 1, field 'id'\): expected int32, which is required"):
        old.encode_batch({"id": pa.array([1, None])})


def test_bad_rows_are_left_out() -> None:
    n = 20_000
    numbers, texts = np.arange(n), np.array([b"a"] * n)
    numbers[[3, 17_000]], texts[9_999] = 2**40, b"\xff"
    batch = RECORDS.encode_batch({"int32": numbers, "string": texts}, on_bad_row="skip")
    assert batch.refused.indices.tolist() == [3, 9_999, 17_000]
    assert [error.field for error in batch.refused] == ["int32", "string", "int32"]
    good = np.delete(np.arange(n), [3, 9_999, 17_000])
    assert list(batch) == written([{"int32": int(i), "string": "a"} for i in good])


def test_large_records_are_found() -> None:
    source = RECORDS.bind({"string": pa.array(["a"] * 100 + ["x" * 5_000]), "r_int32": pa.array([[1] * 200] * 101)})
    sizes = [len(record) for record in source.slice(0, 101)]
    assert source.first_over(1_000) == (100, sizes[100])
    assert source.first_over(sizes[100]) is None


def test_long_and_short_records_side_by_side() -> None:
    """Short ones are written column by column, long ones row by row; their lengths take one byte or more."""
    rng = np.random.default_rng(3)
    texts = ["x" * int(size) for size in rng.choice([0, 1, 15, 16, 17, 127, 128, 300, 20_000], 1_000)]
    ids = rng.integers(-(2**63), 2**63 - 1, 1_000) >> rng.integers(0, 64, 1_000)
    table = pa.table(
        {"string": texts, "bytes": [text.encode() for text in texts[::-1]], "int64": ids, "maybe": [0] * 1_000}
    )
    rows = [{**row, "bytes": row["bytes"]} for row in table.to_pylist()]
    assert list(RECORDS.encode_batch(table)) == written(rows)
    batch = RECORDS.bind(table).slice(117, 993)
    assert list(batch) == written(rows[117:993])


def test_threads_share_a_source() -> None:
    table = pa.table({"int64": range(5_000), "r_string": [["a", "b"]] * 5_000})
    source, expected = RECORDS.bind(table), written(table.to_pylist())
    wrong: list[int] = []

    def read(start: int) -> None:
        for _ in range(20):
            if list(source.slice(start, start + 500)) != expected[start : start + 500]:
                wrong.append(start)

    threads = [threading.Thread(target=read, args=(start,)) for start in (0, 1_000, 4_500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


PLAIN = [
    *(
        True,
        False,
        0,
        1,
        -1,
        2**31,
        2**32,
        2**63,
        2**64,
        -(2**63) - 1,
        0.0,
        -0.0,
        1.5,
        float("nan"),
        1e39,
        "",
        "a",
        "RED",
    ),
    *(
        "\ud800",
        b"",
        b"a",
        b"\xff",
        None,
        [],
        [None],
        [1],
        [2**40],
        ["a"],
        [b"a"],
        [[1]],
        [True],
        [1, True],
        [1.5, 1],
        (),
    ),
    *(
        {},
        {"id": 1},
        {"id": "a"},
        {"idd": 1},
        {"a": True, "b": True},
        {"a": 1},
        {"a": 2**40},
        {1: 1},
        {"value": 1},
        {"a": None},
    ),
    *({"seconds": 1}, [{}], [{"id": 1}, None], [{"id": 1}, {}], datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1)),  # noqa: DTZ001
    *(
        date(2020, 1, 1),
        timedelta(days=-1, microseconds=1),
        timedelta.max,
        np.int64(1),
        np.float32(1),
        np.datetime64(1, "s"),
    ),
    *(wrappers_pb2.Int64Value(value=1), 5j, {"below": {"below": {"id": 1, "text": "x"}}}, {"below": {"below": 1}}),
]


def test_many_dicts_are_what_one_is_alone() -> None:
    """Eight are written as columns, one through google.protobuf, but for maps."""
    for field in Record.DESCRIPTOR.fields:
        for value in PLAIN:
            row = {field.name: value}
            try:
                alone = RECORDS._rows._written(RECORDS._rows._fields.message_of(row), deterministic=True)
            except Mismatch:
                alone = None
            try:
                many = list(RECORDS.encode_batch([row] * 8))
            except SerializationError:
                many = None
            assert many == (None if alone is None else [alone] * 8), row


@pytest.mark.parametrize("depth", [63, 64, 65, 90, 3_000, 100_000])
def test_deep_rows_and_columns(depth: int) -> None:
    value: dict[str, Any] = {"id": 1}
    for _ in range(depth):
        value = {"below": value}
    for values in ([{"inner": value}] * 9, {"inner": [value] * 9}, [{"inner": value}]):
        if depth < 100:
            assert {Record.FromString(record).ByteSize() for record in RECORDS.encode_batch(values)} != {0}
            continue
        with pytest.raises(SerializationError, match="not nested so deep") as caught:
            RECORDS.encode_batch(values)
        assert caught.value.index == 0
