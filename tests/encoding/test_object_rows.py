"""Rows that are objects: fields of many are read at a time, and one that differs must not disturb the others."""

from __future__ import annotations

import io
from collections import namedtuple
from dataclasses import dataclass, make_dataclass
from typing import Any

import attrs
import fastavro
import pandas as pd
import pydantic
import pytest

from twolane import Avro, Json, SerializationError

# In the group of tests; not there for free-threaded Python.
orjson = pytest.importorskip("orjson")

SCHEMA = {
    "type": "record",
    "name": "Row",
    "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": ["null", "string"], "default": None}],
}
N = 300  # more than are read by one call


@dataclass
class Plain:
    a: Any
    b: Any = None


@dataclass(slots=True, frozen=True)
class Slotted:
    a: Any
    b: Any = None


@attrs.define
class Attrs:
    a: Any
    b: Any = None


class Model(pydantic.BaseModel):
    a: Any
    b: Any = None

    def __init__(self, a, b=None):
        super().__init__(a=a, b=b)


@pydantic.dataclasses.dataclass(slots=True)
class SlottedModel:
    a: Any
    b: Any = None


class Lacking:
    """Has no b, and an attribute that is computed."""

    def __init__(self, a):
        self._a = a

    @property
    def a(self):
        if self._a is None:
            raise RuntimeError("no a here")
        return self._a


def read(records):
    return [None if r is None else fastavro.schemaless_reader(io.BytesIO(r), SCHEMA) for r in records]


@pytest.mark.parametrize("kind", [Plain, Slotted, Attrs, Model, SlottedModel, namedtuple("Tuple", "a b")])
def test_every_kind_of_object(kind):
    rows = [kind(i, None if i % 3 else str(i)) for i in range(N)]
    want = [{"a": row.a, "b": row.b} for row in rows]
    for _ in range(2):
        assert read(Avro(SCHEMA).encode_batch(rows)) == want
    assert read([Avro(SCHEMA).encode(row) for row in rows]) == want
    assert [orjson.loads(record) for record in Json().encode_batch(rows)] == want


def test_kinds_side_by_side():
    kinds = [Plain, Slotted, Attrs, Model, lambda a: {"a": a}, lambda a: (a, None), Lacking, lambda a: None]
    for width in (1, 7, 64, 100):
        rows = [kinds[i // width % len(kinds)](i) for i in range(N)]
        want = [None if row is None else {"a": i, "b": None} for i, row in enumerate(rows)]
        assert read(Avro(SCHEMA).encode_batch(rows)) == want


def test_one_that_lacks_a_field_gets_its_default():
    rows = [Plain(i, "b") for i in range(N)]
    del rows[150].b
    assert [row["b"] for row in read(Avro(SCHEMA).encode_batch(rows))] == ["b"] * 150 + [None] + ["b"] * 149


def test_errors_come_in_the_order_of_the_rows():
    avro = Avro(SCHEMA)
    avro.encode_batch([Lacking(1)])
    rows = [Lacking(i) for i in range(N)]
    rows[20], rows[10] = Lacking(None), Lacking("x")
    with pytest.raises(SerializationError) as caught:
        avro.encode_batch(rows)
    assert (caught.value.index, caught.value.field) == (10, "a")
    rows[10] = Lacking(10)
    with pytest.raises(RuntimeError, match="no a here"):
        avro.encode_batch(rows)


def test_the_frame_stands_before_every_object():
    avro = Avro(SCHEMA, schema_id=258)
    rows = [{"a": i, "b": "x" * (i % 9)} for i in range(N)]
    for _ in range(2):
        records = list(avro.encode_batch([Plain(**row) for row in rows]))
        assert {record[:5] for record in records} == {b"\0\0\0\1\2"}
        assert records == list(avro.encode_batch(rows))


def test_an_attribute_that_encodes_with_the_same_serializer():
    avro = Avro(SCHEMA)

    class Nesting(Plain):
        @property
        def a(self):
            return len(avro.encode_batch([Plain(i) for i in range(100)])) + self._a

        @a.setter
        def a(self, value):
            self._a = value

    rows = [Nesting(i) for i in range(N)]
    for _ in range(2):
        assert [row["a"] for row in read(avro.encode_batch(rows))] == [100 + i for i in range(N)]


def test_a_bad_value_late_in_a_batch_names_row_and_path():
    inner = make_dataclass("Inner", ["x"])
    outer = make_dataclass("Outer", ["list"])
    schema = {
        "type": "record",
        "name": "Outer",
        "fields": [
            {
                "name": "list",
                "type": {
                    "type": "array",
                    "items": {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "int"}]},
                },
            }
        ],
    }
    rows = [outer([inner(1), inner(2)]) for _ in range(N)]
    rows[250].list[1].x = 2**31
    avro = Avro(schema)
    for _ in range(2):
        with pytest.raises(SerializationError) as caught:
            avro.encode_batch(rows)
        assert (caught.value.index, caught.value.field) == (250, "list[1].x")


def test_a_field_named_as_a_keyword():
    schema = {
        "type": "record",
        "name": "K",
        "fields": [{"name": "class", "type": "int"}, {"name": "None", "type": "int"}],
    }
    row = type("Row", (), {"class": 1, "None": 2})()
    assert list(Avro(schema).encode_batch([row] * N)) == [b"\x02\x04"] * N


def test_a_pydantic_model_with_a_computed_field():
    class Computed(pydantic.BaseModel):
        a: int

        @property
        def b(self):
            return str(self.a)

    assert read(Avro(SCHEMA).encode_batch([Computed(a=i) for i in range(N)])) == [
        {"a": i, "b": str(i)} for i in range(N)
    ]


def test_a_pandas_column_that_arrow_has_no_type_for():
    frame = pd.DataFrame({"a": [1, 2], "m": [{"x": 1}, [("y", 2.5)]]})
    with pytest.raises(SerializationError) as caught:
        Avro(
            {
                "type": "record",
                "name": "M",
                "fields": [{"name": "a", "type": "long"}, {"name": "m", "type": {"type": "map", "values": "double"}}],
            }
        ).encode_batch(frame)
    assert (caught.value.index, caught.value.field) == (1, "m")
    assert list(Json().encode_batch(frame)) == [b'{"a":1,"m":{"x":1}}', b'{"a":2,"m":[["y",2.5]]}']
