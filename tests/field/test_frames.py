"""Frames as people make them: filtered, sorted, joined, with labels and types that an export to Arrow would change."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.field.reading import MOMENT, read, record
from twolane import Avro, Json, SerializationError

SCHEMA = record(id="long", name="string")


def orders() -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2, 3, 4], "name": ["a", "b", "c", "d"]})


MADE = {
    "filtered": lambda frame: frame[frame["id"] > 2],
    "sorted": lambda frame: frame.sort_values("id", ascending=False),
    "concatenated": lambda frame: pd.concat([frame, frame]),
    "sampled": lambda frame: frame.iloc[[3, 0]],
    "with times as index": lambda frame: frame.set_index(pd.date_range("2026-01-01", periods=4)),
    "with a named index": lambda frame: frame.set_index(pd.Index([10, 11, 12, 13], name="place")),
    "with two levels of index": lambda frame: frame.set_index(pd.MultiIndex.from_product([[1, 2], ["x", "y"]])),
    "grouped": lambda frame: frame.groupby("id", as_index=False).first(),
}


@pytest.mark.parametrize("name", MADE)
def test_the_index_stays_out_of_records_and_schemas(name):
    frame = MADE[name](orders())
    want = [{"id": row.id, "name": row.name} for row in frame.reset_index(drop=True).itertuples(index=False)]
    assert [json.loads(one) for one in Json().encode_batch(frame)] == want
    assert read(SCHEMA, Avro(SCHEMA).encode_batch(frame)) == want
    assert [json.loads(one) for one in Json().encode_batch(frame.to_dict("records"))] == want


def test_two_columns_of_one_label_are_refused():
    frame = pd.concat([orders(), orders()[["name"]]], axis=1)
    with pytest.raises(SerializationError, match="name"):
        Json().encode_batch(frame)
    with pytest.raises(SerializationError, match="name"):
        Avro(SCHEMA).encode_batch(frame)


def test_labels_that_are_no_text_are_their_text():
    frame = pd.DataFrame({2024: [1], 2025: [2]})
    assert list(Json().encode_batch(frame)) == [b'{"2024":1,"2025":2}']


def test_a_period_is_not_its_number():
    frame = pd.DataFrame({"month": pd.period_range("2026-01", periods=2, freq="M")})
    try:
        assert list(Json().encode_batch(frame)) == [b'{"month":"2026-01"}', b'{"month":"2026-02"}']
    except SerializationError as error:
        assert error.field == "month"


MISSING = {
    "text": (["a", None], "string", b'"a"'),
    "Int64": (pd.array([5, None], "Int64"), "long", b"5"),
    "boolean": (pd.array([True, None], "boolean"), "boolean", b"true"),
    "string": (pd.array(["a", None], "string"), "string", b'"a"'),
    "category": (pd.Categorical(["a", None]), "string", b'"a"'),
    "objects": (pd.Series([b"x", np.nan], dtype=object), "bytes", None),
    "mixed": (pd.Series(["a", pd.NA], dtype=object), "string", b'"a"'),
    "instants": (pd.to_datetime(["2026-01-01", None], utc=True), MOMENT, b'"2026-01-01T00:00:00+00:00"'),
}


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("bring", ["frame", "series", "records", "itertuples", "polars", "Arrow"])
def test_a_missing_value_is_null(name, bring):
    column, type_, text = MISSING[name]
    frame = pd.DataFrame({"id": [1, 2], "v": column})
    values = {
        "frame": lambda: frame,
        "series": lambda: {"id": frame["id"], "v": frame["v"]},
        "records": lambda: frame.to_dict("records"),
        "itertuples": lambda: list(frame.itertuples(index=False)),
        "polars": lambda: pl.from_pandas(frame),
        "Arrow": lambda: pa.Table.from_pandas(frame),
    }[bring]()
    schema = record(id="long", v=["null", type_])
    first, second = read(schema, Avro(schema).encode_batch(values))
    assert second == {"id": 2, "v": None}
    assert first["v"] is not None
    if text is not None:
        assert list(Json().encode_batch(values)) == [b'{"id":1,"v":%b}' % text, b'{"id":2,"v":null}']
    plain = record(id="long", v=type_)
    with pytest.raises(SerializationError) as caught:
        Avro(plain).encode_batch(values)
    assert (caught.value.index, caught.value.field) == (1, "v")


@pytest.mark.parametrize("bring", ["frame", "series", "records"])
def test_nan_of_a_column_of_numbers_is_nan_where_a_double_is_and_null_in_json(bring):
    frame = pd.DataFrame({"v": [1.5, np.nan]})
    values = {"frame": frame, "series": {"v": frame["v"]}, "records": frame.to_dict("records")}[bring]
    assert list(Json().encode_batch(values)) == [b'{"v":1.5}', b'{"v":null}']
    with pytest.raises(SerializationError) as caught:
        Json(nan="error").encode_batch(values)
    assert (caught.value.index, caught.value.field) == (1, "v")


def test_what_arrow_seldom_has():
    moment = datetime.datetime(2026, 7, 1, tzinfo=datetime.UTC)
    runs = pa.RunEndEncodedArray.from_arrays([2, 3], pa.array([moment, None]))
    flags = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8()))
    wide = pl.Series([2**100, -5, None], dtype=pl.Int128)
    table = {"at": runs, "flag": flags, "wide": wide}
    assert list(Json().encode_batch(table)) == [
        b'{"at":"2026-07-01T00:00:00+00:00","flag":true,"wide":1267650600228229401496703205376}',
        b'{"at":"2026-07-01T00:00:00+00:00","flag":false,"wide":-5}',
        b'{"at":null,"flag":null,"wide":null}',
    ]
    schema = record(at=["null", MOMENT], flag=["null", "boolean"])
    assert read(schema, Avro(schema).encode_batch(table)) == [
        {"at": moment, "flag": True},
        {"at": moment, "flag": False},
        {"at": None, "flag": None},
    ]
    with pytest.raises(SerializationError) as caught:
        Avro(record(wide=["null", "long"])).encode_batch(table)
    assert (caught.value.index, caught.value.field) == (0, "wide")
