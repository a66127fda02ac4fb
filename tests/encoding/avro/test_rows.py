"""Avro from rows, against fastavro's reader and writer and the specification's own examples."""

import copy
import dataclasses
import enum
import io
import json
import types
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import attrs
import fastavro
import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encoding.avro.strategies import Reading, records, without_logical_types
from tests.encoding.tally import batch, batches_of
from twolane.errors import SerializationError
from twolane.serializers import Avro

POINT = {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "long"}, {"name": "y", "type": "string"}]}


def parsed(schema):
    return fastavro.parse_schema(copy.deepcopy(schema))


def read(schema, data):
    block = io.BytesIO(data)
    value = fastavro.schemaless_reader(block, parsed(schema), None)
    assert block.read() == b""
    return value


def written(schema, value):
    block = io.BytesIO()
    fastavro.schemaless_writer(block, parsed(schema), value)
    return block.getvalue()


def deep(value, name, levels):
    """Give a value inside so many dicts."""
    for _ in range(levels):
        value = {name: value}
    return value


def one_field(type_, **more):
    return {"type": "record", "name": "R", "fields": [{"name": "f", "type": type_, **more}]}


@batches_of(10)
@given(records(), st.data())
def test_fastavro_reads_what_was_written(tally, pair, data):
    schema, values = pair
    rows = data.draw(batch(values, 50))
    names = [field["name"] for field in schema["fields"]]
    avro, plain, reading = Avro(schema), fastavro.parse_schema(without_logical_types(schema)), Reading(schema)
    for row, encoded in zip(rows, avro.encode_batch(rows), strict=True):
        block = io.BytesIO(encoded)
        assert reading.agrees(row, fastavro.schemaless_reader(block, plain, None))
        assert block.read() == b""
        assert avro.encode(row) == encoded
        assert avro.encode(tuple(row[name] for name in names)) == encoded
    tally.add(len(rows))


@batches_of(10)
@given(records(), st.data())
def test_java_reads_what_was_written_and_writes_it_alike(tally, java, pair, data):
    schema, values = pair
    rows = data.draw(batch(values, 50))
    records, reading = list(Avro(schema).encode_batch(rows)), Reading(schema, signed_zeros=False)
    for row, encoded, read in zip(rows, records, java.avro(schema, records), strict=True):
        assert reading.agrees(row, reading.from_json(read.value))
        assert read.again == encoded
    tally.add(len(rows))


@pytest.mark.parametrize(
    ("schema", "value", "want"),
    [
        # Specification, "Binary Encoding": the examples given there.
        ("int", 0, "00"),
        ("int", -1, "01"),
        ("int", 1, "02"),
        ("int", -2, "03"),
        ("int", 2, "04"),
        ("int", -64, "7f"),
        ("int", 64, "8001"),
        ("string", "foo", "06666f6f"),
        ({"type": "record", "name": "test", "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}]},
         {"a": 27, "b": "foo"}, "3606666f6f"),
        ({"type": "enum", "name": "Foo", "symbols": ["A", "B", "C", "D"]}, "D", "06"),
        ({"type": "array", "items": "long"}, [3, 27], "04063600"),
        (["null", "string"], None, "00"),
        (["null", "string"], "a", "020261"),
        ("null", ..., ""),
        ("boolean", True, "01"),
        ("float", 1.0, "0000803f"),
        ("double", 1.0, "000000000000f03f"),
        ("long", 2**63 - 1, "feffffffffffffffff01"),
        ("long", -(2**63), "ffffffffffffffffff01"),
        ("bytes", b"", "00"),
        ({"type": "map", "values": "int"}, {"a": 1}, "0202610200"),
        ({"type": "map", "values": "int"}, {}, "00"),
        ({"type": "fixed", "name": "F", "size": 2}, b"ab", "6162"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("1.28"), "040080"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("-1.28"), "0280"),
        ({"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}, (1, 2, 3), "010000000200000003000000"),
    ],
)  # fmt: skip
def test_golden_bytes(schema, value, want):
    if value is ...:
        assert Avro(one_field(schema)).encode({"f": None}) == b""
        return
    # A None at the root is a tombstone, so that unions are tried inside a record, which adds no bytes.
    assert Avro(one_field(schema)).encode({"f": value}).hex() == want


def test_confluent_framing():
    avro = Avro(json.dumps(POINT), schema_id=258)
    assert avro.encode({"x": 1, "y": "a"}) == b"\0\0\0\1\2" + written(POINT, {"x": 1, "y": "a"})
    assert list(avro.encode_batch([{"x": 1, "y": ""}, None])) == [b"\0\0\0\1\2\2\0", None]
    for wrong in (-1, 2**31, "7", True):
        with pytest.raises(ValueError, match="schema_id"):
            Avro(POINT, schema_id=wrong)


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class PlainPoint:
    x: int
    y: str


@dataclasses.dataclass(slots=True)
class SlottedPoint:
    x: int
    y: str


@pytest.mark.parametrize(
    "row",
    [
        {"x": 5, "y": "a", "more": 1},
        (5, "a"),
        PlainPoint(5, "a"),
        SlottedPoint(5, "a"),
        types.SimpleNamespace(x=5, y="a"),
        types.MappingProxyType({"x": 5, "y": "a"}),
        {"x": np.int16(5), "y": np.str_("a")},
        pd.Series({"x": 5, "y": "a"}).to_dict(),
    ],
    ids=lambda row: type(row).__name__,
)
def test_forms_of_a_row(row):
    assert Avro(POINT).encode(row) == written(POINT, {"x": 5, "y": "a"})
    assert list(Avro(POINT).encode_batch([row, row])) == [written(POINT, {"x": 5, "y": "a"})] * 2


def test_attrs_and_pydantic():
    made = attrs.make_class("Made", ["x", "y"])
    model = pydantic.create_model("Model", x=(int, ...), y=(str, ...))
    for row in (made(5, "a"), model(x=5, y="a")):
        assert Avro(POINT).encode(row) == written(POINT, {"x": 5, "y": "a"})


def test_recursion_and_names():
    tree = {
        "type": "record", "name": "Node", "namespace": "a.b",
        "fields": [
            {"name": "value", "type": "int"},
            {"name": "children", "type": {"type": "array", "items": "Node"}},
            {"name": "next", "type": ["null", "a.b.Node"]},
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["X", "Y"]}},
            {"name": "again", "type": "Kind"},
        ],
    }  # fmt: skip
    leaf = {"value": 1, "children": [], "next": None, "kind": "X", "again": "Y"}
    value = {"value": 2, "children": [leaf, leaf], "next": leaf, "kind": "Y", "again": "X"}
    assert Avro(tree).encode(value) == written(tree, value)


@pytest.mark.parametrize(
    "chain",
    [
        {"type": "record", "name": "C", "fields": [{"name": "next", "type": ["null", "C"]}]},
        {"type": "record", "name": "C", "fields": [{"name": "next", "type": ["null", "int", "C"]}]},
        {"type": "record", "name": "C", "fields": [
            {"name": "next", "type": ["null", "int", {"type": "map", "values": "C"}]}]},
    ],
    ids=["record", "union", "map in union"],
)  # fmt: skip
def test_recursion_too_deep(chain):
    value = deep(None, "next", 100_000)
    avro = Avro(chain)
    with pytest.raises(SerializationError, match="nested"):
        avro.encode(value)
    with pytest.raises(SerializationError, match="nested") as caught:
        avro.encode_batch([{"next": None}, value])
    assert caught.value.index == 1
    while value:  # freeing it at once would recurse as deeply
        value = value["next"]
    assert avro.encode({"next": None}) == b"\0"


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        ("int", 5),
        ("double", 1),
        ("string", "é"),
        ("bytes", "\u00ff\u0000"),
        (["null", "int"], None),
        (["int", "null"], 7),
        ({"type": "array", "items": "int"}, [1, 2]),
        ({"type": "map", "values": "int"}, {"a": 1}),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B"),
        ({"type": "fixed", "name": "F", "size": 2}, "\u00ff\u0000"),
        ({"type": "record", "name": "In", "fields": [{"name": "a", "type": "int", "default": 3}]}, {}),
        ({"type": "long", "logicalType": "timestamp-millis"}, 5),
    ],
)
def test_defaults(type_, default):
    schema = one_field(type_, default=default)
    value = read(schema, Avro(schema).encode({}))["f"]
    if isinstance(default, str) and isinstance(value, bytes):
        assert value == default.encode("latin-1")
    elif default == {}:
        assert value == {"a": 3}
    elif isinstance(value, datetime):
        assert value == datetime.fromtimestamp(0.005, UTC)
    else:
        assert value == default


@pytest.mark.parametrize(
    ("type_", "default"), [("int", "x"), ("bytes", "\u0100"), (["null", "int"], "x"), ("int", None)]
)
def test_wrong_defaults(type_, default):
    with pytest.raises(SerializationError, match="default"):
        Avro(one_field(type_, default=default))


LOGICAL = "logicalType"


@pytest.mark.parametrize(
    ("type_", "value", "want"),
    [
        ({"type": "long", LOGICAL: "timestamp-millis"}, datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), -1),
        ({"type": "long", LOGICAL: "timestamp-micros"}, datetime(2026, 1, 1, tzinfo=UTC), 1767225600000000),
        ({"type": "long", LOGICAL: "timestamp-nanos"}, datetime(2026, 1, 1, tzinfo=UTC), 1767225600000000000),
        (
            {"type": "long", LOGICAL: "timestamp-nanos"},
            pd.Timestamp("2026-01-01T00:00:00.000000007Z"),
            1767225600000000007,
        ),
        (
            {"type": "long", LOGICAL: "timestamp-nanos"},
            np.datetime64("2026-01-01T00:00:00.000000007"),
            1767225600000000007,
        ),
        ({"type": "long", LOGICAL: "timestamp-millis"}, np.datetime64("2026-01-01"), 1767225600000),
        ({"type": "long", LOGICAL: "timestamp-millis"}, 12, 12),
        ({"type": "int", LOGICAL: "date"}, date(1969, 12, 31), -1),
        ({"type": "int", LOGICAL: "date"}, np.datetime64("1970-01-02"), 1),
        ({"type": "int", LOGICAL: "time-millis"}, time(0, 0, 1, 999), 1000),
        ({"type": "long", LOGICAL: "time-micros"}, time(0, 0, 1, 999), 1000999),
        ({"type": "int", LOGICAL: "unheard-of"}, 5, 5),
    ],
)
def test_times(type_, value, want):
    plain = one_field(type_["type"])
    assert read(plain, Avro(one_field(type_)).encode({"f": value})) == {"f": want}


def test_uuid_and_duration():
    value = uuid.uuid4()
    fixed = {"type": "fixed", "name": "U", "size": 16, LOGICAL: "uuid"}
    assert Avro(one_field(fixed)).encode({"f": value}) == value.bytes
    assert Avro(one_field(fixed)).encode({"f": str(value)}) == value.bytes
    text = {"type": "string", LOGICAL: "uuid"}
    assert Avro(one_field(text)).encode({"f": value}) == b"\x48" + str(value).encode()
    duration = {"type": "fixed", "name": "D", "size": 12, LOGICAL: "duration"}
    assert Avro(one_field(duration)).encode({"f": timedelta(days=2, seconds=1)}).hex() == "0000000002000000e8030000"


def test_unions():
    first = {"type": "record", "name": "n.A", "fields": [{"name": "x", "type": "int"}]}
    second = {"type": "record", "name": "n.B", "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "int"}]}
    avro = Avro(one_field(["null", first, second, "int", "long", "double", "string", "bytes", "boolean"]))

    def branch(value):
        return avro.encode({"f": value})[0] // 2

    assert branch({"x": 1}) == 1
    assert branch({"x": 1, "y": 2}) == 2
    assert branch(("n.A", {"x": 1, "y": 2})) == branch(("A", {"x": 1, "y": 2})) == 1
    assert branch({"-type": "n.B", "x": 1, "y": 2}) == 2
    assert [branch(value) for value in (None, 1, 2**40, 1.5, "a", b"a", True)] == [0, 3, 4, 5, 6, 7, 8]
    with pytest.raises(SerializationError, match=r"one of null, n\.A"):
        branch([1])
    times = Avro(one_field(["long", {"type": "int", LOGICAL: "date"}, {"type": "string", LOGICAL: "uuid"}]))
    assert [times.encode({"f": value})[0] // 2 for value in (5, date(2026, 1, 1), uuid.uuid4())] == [0, 1, 2]


@pytest.mark.parametrize(
    ("type_", "value", "message"),
    [
        ("int", 2**31, "from -2147483648 to 2147483647"),
        ("int", 1.0, "expected int"),
        ("int", True, "expected int"),
        ("int", None, "expected int"),
        ("long", 2**63, "expected long"),
        ("long", "5", "expected long"),
        ("boolean", 1, "expected boolean"),
        ("double", "1", "expected double"),
        ("double", 10**400, "expected double"),
        ("float", 1e300, "single precision"),
        ("string", b"a", "expected string"),
        ("string", "\ud800", "lone surrogate"),
        ("bytes", "a", "expected bytes"),
        ("null", 0, "expected null"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "C", "one of A, B"),
        ({"type": "fixed", "name": "F", "size": 2}, b"abc", "2 bytes"),
        ({"type": "array", "items": "int"}, 5, "expected array"),
        ({"type": "array", "items": "int"}, "ab", "expected array"),
        ({"type": "map", "values": "int"}, [1], "expected map"),
        ({"type": "map", "values": "int"}, {1: 1}, "expected string"),
        ({"type": "record", "name": "In", "fields": []}, 5, "expected record In"),
        ({"type": "bytes", LOGICAL: "decimal", "precision": 4, "scale": 2}, Decimal("1.234"), "2 digits behind"),
        ({"type": "bytes", LOGICAL: "decimal", "precision": 4, "scale": 2}, Decimal("100"), "at most 4 digits"),
        ({"type": "bytes", LOGICAL: "decimal", "precision": 4, "scale": 2}, Decimal("1e999999"), "at most 4 digits"),
        ({"type": "bytes", LOGICAL: "decimal", "precision": 4, "scale": 2}, Decimal("1e-999999"), "2 digits behind"),
        ({"type": "bytes", LOGICAL: "decimal", "precision": 4, "scale": 2}, Decimal("nan"), "expected Decimal"),
        ({"type": "bytes", LOGICAL: "decimal", "precision": 4, "scale": 2}, 1.5, "expected Decimal"),
        ({"type": "long", LOGICAL: "timestamp-millis"}, datetime.fromisoformat("2026-01-01"), "time zone"),
        ({"type": "long", LOGICAL: "timestamp-millis"}, pd.NaT, "expected datetime"),
        ({"type": "long", LOGICAL: "timestamp-nanos"}, datetime(9999, 1, 1, tzinfo=UTC), "2262"),
        ({"type": "int", LOGICAL: "time-millis"}, 86_400_000, "expected time"),
        ({"type": "string", LOGICAL: "uuid"}, "x", "expected UUID"),
    ],
)
def test_refused_with_row_and_path(type_, value, message):
    avro = Avro(
        {
            "type": "record",
            "name": "Top",
            "fields": [{"name": "list", "type": {"type": "array", "items": one_field(type_)}}],
        }
    )
    with pytest.raises(SerializationError, match=message) as caught:
        avro.encode_batch([{"list": []}, {"list": [{"f": value}]}])
    assert caught.value.index == 1
    assert caught.value.field.startswith("list[0].f")
    assert len(caught.value.value_text) <= 40
    with pytest.raises(SerializationError, match=message) as caught:
        avro.encode({"list": [{"f": value}]})
    assert caught.value.index is None
    assert avro.encode({"list": []}) == b"\0"  # it works on


def test_missing_field_and_wrong_rows():
    with pytest.raises(SerializationError, match="missing") as caught:
        Avro(POINT).encode_batch([{"x": 1, "y": "a"}, {"x": 1}])
    assert (caught.value.index, caught.value.field) == (1, "y")
    for wrong in ((1,), 5, "ab", [1, "a"]):
        with pytest.raises(SerializationError, match="Point"):
            Avro(POINT).encode(wrong)
    for wrong in (5, b"abc", "abc"):
        with pytest.raises(SerializationError, match="expected a sequence of rows"):
            Avro(POINT).encode_batch(wrong)


class Spiteful(dict):
    """A mapping whose reading empties the list it is in."""

    def __init__(self, rows):
        self.rows = rows

    def items(self):
        self.rows.clear()
        return [("a", 1)]


def test_input_that_changes_while_it_is_read():
    schema = one_field({"type": "map", "values": "int"})
    rows = []
    rows += [{"f": Spiteful(rows)}, {"f": {"b": 2}}]
    assert [encoded.hex() for encoded in Avro(schema).encode_batch(rows)] == ["0202610200", "0202620400"]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{", "expected JSON"),
        ("[" * 100_000, "JSON|nested"),
        ("strin", "JSON"),
        ({"type": "strin"}, "unknown type"),
        ({}, "expected a type"),
        (5, "expected a type"),
        ([], "at least one branch"),
        (["int", "int"], "twice"),
        (["int", ["null"]], "union"),
        ({"type": "record", "name": "R"}, "list of fields"),
        ({"type": "record", "fields": []}, "expected a name"),
        ({"type": "record", "name": "", "fields": []}, "name of a type"),
        ({"type": "record", "name": "R", "fields": [{"name": "", "type": "int"}]}, "name of a field"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}] * 2}, "twice"),
        ({"type": "record", "name": "R", "fields": [{"name": "a"}]}, "name and type"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "S"}]}, "unknown type 'S'"),
        ({"type": "enum", "name": "E", "symbols": ["A", "A"]}, "twice"),
        ({"type": "enum", "name": "E", "symbols": ["A", 5]}, "names as symbols"),
        ({"type": "fixed", "name": "F", "size": -1}, "size in bytes"),
        ({"type": "array"}, "'items'"),
        ({"type": "map"}, "'values'"),
        ({"type": "record", "name": "int", "fields": []}, "primitive"),
        (b'"\xff"', "JSON in UTF-8"),
        (" " * (16 * 1024 * 1024 + 1), "at most 16777216 characters"),
        (one_field({"type": "bytes", "logicalType": "decimal", "precision": 10**10, "scale": 10**9}), "100000 digits"),
        ({"type": "fixed", "name": "F", "size": 5, "logicalType": "decimal", "precision": 10**9}, "100000 digits"),
        ({"type": "record", "name": "R", "fields": [{"name": "f", "type": "R", "default": {}}]}, "never ends"),
        (one_field(["null", "R"], default=deep({}, "f", 50_000)), "nested too deep"),
    ],
)
def test_wrong_schemas(schema, message):
    with pytest.raises(SerializationError, match=message):
        Avro(schema)


def test_schema_nested_too_deep():
    schema = "int"
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(SerializationError, match="deeper than 64"):
        Avro(schema)
