"""A missing value is null where there is a null, and refused elsewhere; NaN is missing where no float can be."""

from __future__ import annotations

import io
from decimal import Decimal

import fastavro
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from twolane import Avro, Bytes, Json, SerializationError, Struct
from twolane.common.headers import batch_headers, shared_headers
from twolane.encoding.columns.objects import is_missing, is_missing_or_nan

orjson = pytest.importorskip("orjson")

MISSING = {
    "None": None,
    "pandas.NaT": pd.NaT,
    "pandas.NA": pd.NA,
    "datetime64": np.datetime64("NaT"),
    "datetime64[ns]": np.datetime64("NaT", "ns"),
    "timedelta64": np.timedelta64("NaT", "s"),
    "masked": np.ma.masked,
    "Arrow's null": pa.scalar(None),
    "Arrow's int64": pa.scalar(None, pa.int64()),
    "Arrow's struct": pa.scalar(None, pa.struct([("a", pa.int64())])),
    "Arrow's list": pa.scalar(None, pa.list_(pa.int64())),
}
NANS = {"float": float("nan"), "float64": np.float64("nan"), "float32": np.float32("nan")}
LOGICAL = "logicalType"
TYPES = [
    "boolean", "int", "long", "float", "double", "string", "bytes",
    {"type": "fixed", "name": "F", "size": 4},
    {"type": "enum", "name": "E", "symbols": ["A"]},
    {"type": "array", "items": "long"},
    {"type": "map", "values": "long"},
    {"type": "record", "name": "Inner", "fields": [{"name": "year", "type": ["null", "long"], "default": None}]},
    {"type": "int", LOGICAL: "date"},
    *({"type": "long", LOGICAL: name} for name in (
        "timestamp-millis", "timestamp-micros", "timestamp-nanos", "local-timestamp-micros", "time-micros")),
    {"type": "bytes", LOGICAL: "decimal", "precision": 9, "scale": 2},
    {"type": "string", LOGICAL: "uuid"},
    {"type": "fixed", "name": "D", "size": 12, LOGICAL: "duration"},
]  # fmt: skip
FLOATS = ("float", "double")


def of_field(type_):
    return Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": type_}]})


def read(avro, record):
    return fastavro.schemaless_reader(io.BytesIO(record), fastavro.parse_schema(avro.schema))


def places(type_, value):
    """Every place of a row that can be null, with the value there and with None."""
    nullable = ["null", type_]
    yield nullable, value, None
    yield [type_, "null"], value, None
    yield ["null", type_, {"type": "record", "name": "Other", "fields": []}], value, None
    yield {"type": "array", "items": nullable}, [value, None], [None, None]
    yield {"type": "map", "values": nullable}, {"k": value}, {"k": None}
    inner = {"type": "record", "name": "Outer", "fields": [{"name": "g", "type": nullable}]}
    yield inner, {"g": value}, {"g": None}


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_a_missing_value_is_null_in_every_place_of_an_avro_row(type_):
    for value in (*MISSING.values(), *(() if type_ in FLOATS else NANS.values())):
        for schema, given, null in places(type_, value):
            avro = of_field(schema)
            assert read(avro, avro.encode({"f": given})) == {"f": null}
            assert list(avro.encode_batch([{"f": given}] * 2)) == [avro.encode({"f": null})] * 2


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_a_missing_value_is_refused_where_there_is_no_null(type_):
    for value in (*MISSING.values(), *(() if type_ in FLOATS else NANS.values())):
        for schema, given, path in (
            (type_, value, "f"),
            ({"type": "array", "items": type_}, [value], "f[0]"),
            ({"type": "map", "values": type_}, {"k": value}, "f['k']"),
        ):
            with pytest.raises(SerializationError) as caught:
                of_field(schema).encode({"f": given})
            assert caught.value.field == path


@pytest.mark.parametrize("type_", FLOATS)
def test_nan_is_a_number_where_a_float_is(type_):
    for value in (float("nan"), np.float64("nan"), np.float32("nan")):
        for schema in (type_, ["null", type_], ["null", "string", type_], [type_, "null"]):
            record = of_field(schema).encode({"f": value})
            assert (
                record[-8 if type_ == "double" else -4 :]
                == np.array([np.nan], "f4" if type_ == "float" else "f8").tobytes()
            )


@pytest.mark.parametrize("use_orjson", [True, False])
@pytest.mark.parametrize("nan", ["null", "error"])
def test_a_missing_value_is_null_in_every_place_of_json(nan, use_orjson, monkeypatch):
    if not use_orjson:
        monkeypatch.setattr("twolane.encoding.json.rows.orjson", None)
    json = Json(nan=nan)
    for value in MISSING.values():
        rows = [{"t": value}, {"a": [1, value, {"b": value}]}, {"m": (value,)}]
        want = [b'{"t":null}', b'{"a":[1,null,{"b":null}]}', b'{"m":[null]}']
        if value is not np.ma.masked:  # which cannot be a key
            rows, want = [*rows, {"k": {value: 1}}], [*want, b'{"k":{"null":1}}']
        assert [json.encode(row) for row in rows] == want
        assert list(json.encode_batch(rows * 2)) == want * 2
    for array in (np.array(["NaT", 0], "M8[s]"), np.ma.masked_array([0, 1], [True, False])):
        assert json.encode({"a": array})[:10] == b'{"a":[null'


@pytest.mark.parametrize("use_orjson", [True, False])
def test_nan_is_what_the_policy_says_in_every_place_of_json(use_orjson, monkeypatch):
    if not use_orjson:
        monkeypatch.setattr("twolane.encoding.json.rows.orjson", None)
    for value in (*NANS.values(), float("inf"), np.float64("-inf")):
        rows = [{"t": value}, {"a": [1, value]}, {"k": {value: 1}}]
        assert list(Json().encode_batch(rows)) == [b'{"t":null}', b'{"a":[1,null]}', b'{"k":{"null":1}}']
        for row in rows:
            with pytest.raises(SerializationError, match="finite"):
                Json(nan="error").encode(row)


def test_a_missing_record_is_a_tombstone_and_a_missing_key_is_none():
    avros = [Avro(type_) for type_ in ("string", "double", ["null", "long"], {"type": "int", LOGICAL: "date"})]
    for value in MISSING.values():
        for serializer in (
            *avros,
            Bytes(),
            Json(),
            Json(nan="error"),
            Struct("<q"),
            Struct([("a", "i4"), ("b", "f8")]),
        ):
            assert serializer.encode(value) is None
            assert list(serializer.encode_batch([value, value])) == [None, None]


def test_nan_as_a_record_is_a_number_or_refused_but_for_bytes():
    for value in NANS.values():
        assert Bytes().encode(value) is None
        assert list(Bytes().encode_batch([value, b"x"])) == [None, b"x"]
        nan = np.array([np.nan]).tobytes()
        assert [Avro("double").encode(value), Struct("<d").encode(value), Json().encode(value)] == [nan, nan, b"null"]
        for serializer in (Avro("string"), Avro({"type": "int", LOGICAL: "date"}), Struct("<q"), Struct("<qd")):
            with pytest.raises(SerializationError):
                serializer.encode(value)
        assert Avro(["null", "long"]).encode(value) == b"\0"


def test_a_missing_header_is_null():
    for value in (*MISSING.values(), *NANS.values()):
        assert shared_headers({"h": value}) == ((b"h", None),)
        assert shared_headers([("h", value), ("g", b"x")]) == ((b"h", None), (b"g", b"x"))
        headers = batch_headers({"h": [b"x", value], "g": value}, 2, lambda name: None)
        assert headers.shared == ((b"g", None),)
        assert list(headers.slice(0, 2)[1][0][1]) == [b"x", None]


def test_a_field_of_fixed_layout_takes_no_missing_value():
    for value in MISSING.values():
        for form in ("i4", "f4", "f8", "?", "S3", "U3", "V3", "M8[ns]", "m8[s]", "2i4"):
            with pytest.raises(SerializationError):
                Struct([("a", form), ("b", "i1")]).encode({"a": value, "b": 1})


def test_a_field_that_is_missing_somewhere_in_the_examples_is_nullable():
    for value in MISSING.values():
        avro = Avro.from_example([{"a": "x", "b": 1.5}, {"a": value, "b": value}])
        assert [field["type"] for field in avro.schema["fields"]] == [["null", "string"], ["null", "double"]]
    types = Avro.from_example([{"a": "x", "b": 1, "c": np.nan}, {"a": np.nan, "b": np.nan, "c": np.nan}]).schema[
        "fields"
    ]
    assert [field["type"] for field in types] == [["null", "string"], "double", "double"]
    frame = pd.DataFrame({"at": [pd.Timestamp(0, tz="UTC"), pd.NaT], "n": pd.array([1, None], "Int64")})
    rows = frame.to_dict("records")
    avro = Avro.from_example(rows)
    assert read(avro, avro.encode(rows[1])) == {"at": None, "n": None}


def test_what_is_there_is_not_missing():
    there = [0, "", b"", False, [], {}, (), 0.0, np.int64(0), np.datetime64(0, "s"), np.timedelta64(0, "s"), Decimal(0)]
    there += [pd.Timestamp(0), pd.Timedelta(0), pa.scalar(0), np.array([np.nan]), np.ma.masked_array([1], [True])]
    there += [float("inf"), Decimal("Infinity"), Decimal("NaN"), "NaT", "nan"]
    for value in there:
        assert not is_missing(value)
        assert not is_missing_or_nan(value)
    assert all(is_missing_or_nan(nan) and not is_missing(nan) for nan in NANS.values())


def test_a_mask_inside_a_nested_field_is_refused_and_no_mask_there_is_none():
    array = np.zeros(2, [("a", "i4"), ("n", [("p", "f8"), ("s", "i2", (2,))])])
    assert list(Json().encode_batch(np.ma.array(array))) == list(Json().encode_batch(array))
    with pytest.raises(SerializationError, match=r"field 'n'.*one mask flag per row"):
        Json().encode_batch(np.ma.array(array, mask=[(0, (0, (0, 0))), (0, (0, (0, 1)))]))
