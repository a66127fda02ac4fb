"""Names in schemas as production has them, names of branches, and rows that say more than their record has."""

from __future__ import annotations

import dataclasses
import io
import json
from collections import namedtuple
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twolane import Avro
from twolane.encoding.avro.schema import parse
from twolane.errors import SerializationError

if TYPE_CHECKING:
    from collections.abc import Callable

RECURSIVE = ["null", "Node"]


def record(name: str, *fields: Any, **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields], **more}


# ---- names do not change the bytes -------------------------------------------------------------------------------

ODD = ["dash-ed", "dol$lar", "1digit", "ünï", "名前", "a b", "x'y", 'x"y', "abort()", "µ", "ﬁ"]


@pytest.mark.parametrize("odd", ODD)
def test_odd_names_give_the_bytes_of_plain_ones(odd: str) -> None:
    def schema(name: str) -> dict[str, Any]:
        symbol = {"type": "enum", "name": name + "E", "symbols": [name, "B"], "namespace": name + ".in"}
        return record(name, (name, "long"), ("e", symbol), ("f", name + ".in." + name + "E"), namespace=name)

    plain = Avro(schema("plain")).encode({"plain": 1, "e": "plain", "f": "B"})
    avro = Avro(schema(odd))
    assert avro.encode({odd: 1, "e": odd, "f": "B"}) == plain
    assert list(avro.encode_batch({odd: np.array([1]), "e": [odd], "f": ["B"]})) == [plain]
    assert list(avro.encode_batch([SimpleNamespace(**{odd: 1, "e": odd, "f": "B"})] * 3)) == [plain] * 3
    with pytest.raises(SerializationError, match="cannot be the name of"):
        Avro(schema(odd), strict_names=True)


def test_a_field_name_is_never_code() -> None:
    name = "a for a in [__import__('os').abort()]"
    rows = [SimpleNamespace(**{name: 1})] * 100
    assert list(Avro(record("R", (name, "long"))).encode_batch(rows)) == [b"\x02"] * 100


@pytest.mark.parametrize("odd", ODD)
def test_java_accepts_what_we_accept(odd: str, java: Any) -> None:
    schema = record(odd, (odd, "long"), namespace=f"{odd}.n")
    (read,) = java.lenient(schema, [Avro(schema).encode({odd: 1})])
    assert read.again == b"\x02"


SPACES = [
    record("Node", ("x", "long"), ("next", RECURSIVE), namespace=None),
    record(".Node", ("x", "long"), ("next", RECURSIVE), namespace="n"),
    record("a.Node", ("x", "long"), ("next", RECURSIVE), namespace="n"),
    record("R", ("r", record("Node", ("x", "long"), ("next", ["null", "n.Node"]), namespace=None)), namespace="n"),
    record("R", ("r", record(".Node", ("x", "long"), ("next", RECURSIVE))), namespace="n"),
    record("R", ("r", record("Node", ("x", "long"), ("next", RECURSIVE), namespace="")), namespace="n"),
]


@pytest.mark.parametrize("schema", SPACES)
def test_namespaces_are_javas(schema: Any, java: Any) -> None:
    row = {"x": 1, "next": {"x": 2, "next": None}}
    data = Avro(schema).encode({"r": row} if schema["name"] == "R" else row)
    assert data == b"\x02\x02\x04\x00"
    (read,) = java.lenient(schema, [data])
    assert read.again == data


def test_empty_names_are_refused() -> None:
    for schema in (record("", ("a", "int")), record("a.", ("a", "int")), record("R", ("", "int"))):
        with pytest.raises(SerializationError, match="cannot be the name"):
            Avro(schema)


# ---- names of branches -------------------------------------------------------------------------------------------

POINTS = [record("a.Point", ("x", "long")), record("b.Point", ("x", "long")), "string"]


@pytest.mark.parametrize("union", [POINTS, ["null", *POINTS], record("R", ("u", POINTS))])
@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_a_branch_is_named_by_a_name_that_is_its_own(union: Any, form: str) -> None:
    def named(name: str) -> Any:
        value = (name, {"x": 1}) if form == "tuple" else {"-type": name, "x": 1}
        return {"u": value} if isinstance(union, dict) else value

    avro = Avro(union)
    first = int(isinstance(union, list) and union[0] == "null")
    assert avro.encode(named("a.Point")) == bytes([2 * first, 2])
    assert avro.encode(named("b.Point")) == bytes([2 * first + 2, 2])
    with pytest.raises(SerializationError, match="full name where several have the name 'Point'"):
        avro.encode(named("Point"))
    if form == "dict":
        with pytest.raises(SerializationError, match=r"no branch has the name 'c\.Point'"):
            avro.encode(named("c.Point"))


def test_a_name_without_namespace_is_the_full_name_of_one() -> None:
    union = [record("a.Point", ("x", "long")), record("Point", ("x", "long"))]
    assert Avro(union).encode(("Point", {"x": 1})) == b"\x02\x02"


def test_the_only_branch_beside_null_is_named_rightly_too() -> None:
    avro = Avro(["null", record("a.Point", ("x", "long"))])
    assert avro.encode({"-type": "Point", "x": 1}) == avro.encode({"x": 1}) == b"\x02\x02"
    with pytest.raises(SerializationError, match="no branch has the name 'Other'"):
        avro.encode({"-type": "Other", "x": 1})


def test_a_map_may_have_a_key_like_the_hint() -> None:
    avro = Avro(["null", {"type": "map", "values": "string"}, record("R", ("x", "string"))])
    data = avro.encode({"-type": "sedan", "x": "red"})
    assert data is not None
    assert fastavro.schemaless_reader(io.BytesIO(data), fastavro.parse_schema(avro.schema), None) == {
        "-type": "sedan",
        "x": "red",
    }


def test_a_member_of_an_arrow_union_is_named_by_a_name_that_is_its_own() -> None:
    kind = pa.struct([("x", pa.int64())])
    member = pa.array([{"x": 1}], kind)

    def column(name: str) -> Any:
        return pa.UnionArray.from_dense(
            pa.array([0], pa.int8()), pa.array([0], pa.int32()), [member, pa.array([], pa.string())], [name, "string"]
        )

    avro = Avro(record("R", ("u", POINTS)))
    assert list(avro.encode_batch(pa.table({"u": column("b.Point")}))) == [b"\x02\x02"]
    with pytest.raises(SerializationError, match="several branches of the union have the name 'Point'"):
        avro.encode_batch(pa.table({"u": column("Point")}))


# ---- strict ------------------------------------------------------------------------------------------------------

INNER = record("In", ("b", "long"))
STRICT = record("Out", ("a", "long"), ("in", INNER))


@dataclasses.dataclass
class Out:
    a: int
    inner: Any
    more: int = 0


Row = namedtuple("Row", "a more")
Plain = namedtuple("Plain", "a")

ONE = record("One", ("a", "long"))
FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": dict,
    "object": lambda row: SimpleNamespace(**row),
    "dataclass": lambda row: dataclasses.make_dataclass("D", list(row))(**row),
    "named tuple": lambda row: namedtuple("N", row)(**row),
    "numpy record": lambda row: np.array([tuple(row.values())], [(name, "i8") for name in row])[0],
}


@pytest.mark.parametrize("form", FORMS)
def test_strict_refuses_what_the_record_has_not(form: str) -> None:
    good, more = FORMS[form]({"a": 1}), FORMS[form]({"a": 1, "more": 2})
    assert Avro(ONE).encode(more) == Avro(ONE, strict=True).encode(good) == b"\x02"
    strict = Avro(ONE, strict=True)
    for call in (strict.encode, lambda row: strict.encode_batch([good, row]), lambda row: strict.bind([row, good])):
        with pytest.raises(SerializationError, match="record One, which has no field 'more'"):
            call(more)


def test_strict_lets_defaults_be_and_names_of_branches() -> None:
    schema = record("R", ("a", "long"))
    schema["fields"].append({"name": "d", "type": "long", "default": 3})
    assert Avro(schema, strict=True).encode({"a": 1}) == b"\x02\x06"
    assert Avro([schema], strict=True).encode({"-type": "R", "a": 1}) == b"\x00\x02\x06"


def test_strict_chooses_the_branch_that_has_all_fields() -> None:
    union = [record("A", ("a", "long")), record("B", ("a", "long"), ("b", "long"))]
    optional = [{**union[0]}, record("C", ("a", "long"))]
    optional[1]["fields"].append({"name": "c", "type": "long", "default": 0})
    assert Avro(union, strict=True).encode({"a": 1, "b": 2}) == b"\x02\x02\x04"
    for row in ({"a": 1, "x": 2}, {"a": 1, "b": 2, "x": 3}):
        Avro(union).encode(row)
        with pytest.raises(SerializationError, match="one of A, B"):
            Avro(union, strict=True).encode(row)
    assert Avro(optional, strict=True).encode({"a": 1, "c": 5}) == b"\x02\x02\x0a"


def test_strict_holds_for_columns_and_what_is_nested() -> None:
    strict = Avro(STRICT, strict=True)
    good = {"a": 1, "in": {"b": 2}}
    assert list(strict.encode_batch(pa.Table.from_pylist([good]))) == [b"\x02\x04"]
    for bad, field in ({"a": 1, "in": {"b": 2}, "more": 3}, "more"), ({"a": 1, "in": {"b": 2, "more": 3}}, "in"):
        table = pa.Table.from_pylist([bad])
        assert list(Avro(STRICT).encode_batch(table)) == [b"\x02\x04"]
        for values in (table, [bad]):
            with pytest.raises(SerializationError, match="no field") as caught:
                strict.encode_batch(values)
            assert caught.value.field in (field, "in", None)


# ---- bounded work ------------------------------------------------------------------------------------------------


def tower(levels: int, wide: int, leaf: Any, default: Any = None) -> dict[str, Any]:
    """Records in records, each `wide` fields of the one below, all with the default {}: wide**levels leaves."""
    schema: Any = record("R0", ("v", leaf))
    schema["fields"][0]["default"] = default
    for level in range(1, levels + 1):
        below: Any = schema
        schema = {"type": "record", "name": f"R{level}", "fields": []}
        for i in range(wide):
            schema["fields"].append({"name": f"f{i}", "type": below if i == 0 else f"R{level - 1}", "default": {}})
    return schema


@pytest.mark.parametrize("leaf", ["null", {"type": "fixed", "name": "F", "size": 0}])
def test_nested_defaults_without_bytes_take_no_work(leaf: Any) -> None:
    avro = Avro(tower(40, 4, leaf, None if leaf == "null" else ""))
    assert avro.encode({}) == b""
    assert avro._rows.default_steps < 2_000


def test_nested_defaults_with_bytes_are_bounded() -> None:
    schema = tower(20, 4, "long", 1)
    assert len(json.dumps(schema)) < 6_000
    with pytest.raises(SerializationError, match="more than 1048576 bytes inside defaults"):
        Avro(schema)
    data = Avro(tower(4, 4, "long", 1)).encode({})
    assert data == b"\x02" * 4**4


def test_types_that_are_named_often_are_made_once() -> None:
    enum = {"type": "enum", "name": "E", "symbols": [f"S{i}" for i in range(1_000)]}
    fields = [(f"f{i}", enum if i == 0 else "E") for i in range(1_000)]
    avro = Avro(record("R", *fields))
    assert avro.encode({f"f{i}": "S1" for i in range(1_000)}) == b"\x02" * 1_000


def test_a_huge_fixed_is_no_huge_number() -> None:
    schema = {"type": "fixed", "name": "F", "size": 2**31 - 1, "logicalType": "decimal", "precision": 5}
    assert parse(schema).logical == "decimal"


@pytest.mark.parametrize("size", range(1, 40))
def test_the_largest_precision_of_a_fixed_is_exact(size: int) -> None:
    most = len(str(2 ** (8 * size - 1) - 1)) - 1
    for precision in (most, most + 1):
        schema = {"type": "fixed", "name": "F", "size": size, "logicalType": "decimal", "precision": max(1, precision)}
        assert (parse(schema).logical == "decimal") == (1 <= precision <= most)


@st.composite
def hostile(draw: Any, depth: int = 5) -> Any:
    """Records in unions, arrays and maps, which name those above and below them, with defaults that nest."""
    made: list[str] = []

    def kind(level: int) -> Any:
        choice = draw(st.integers(0, 5))
        if made and choice == 0:
            return draw(st.sampled_from(made))
        if not level or choice == 1:
            return draw(st.sampled_from(["null", "long", "string"]))
        if choice == 2:
            return {"type": draw(st.sampled_from(["array"])), "items": kind(level - 1)}
        if choice == 3:
            options = {json.dumps(one): one for one in (kind(level - 1), kind(level - 1), "null")}
            return [one for one in options.values() if not isinstance(one, list)] or ["null"]
        name = f"N{len(made)}"
        made.append(name)
        fields = []
        for i in range(draw(st.integers(1, 3))):
            field = {"name": f"f{i}", "type": kind(level - 1)}
            if draw(st.booleans()):
                field["default"] = draw(st.sampled_from([{}, [], None, 0, "", {"f0": {}}, [{}, {}], {"f1": [{}]}]))
            fields.append(field)
        return {"type": "record", "name": name, "fields": fields}

    return kind(depth)


@settings(max_examples=150, deadline=None)
@given(hostile())
def test_no_schema_takes_more_than_its_share(schema: Any) -> None:
    text = json.dumps(schema)
    try:
        avro = Avro(text)
    except SerializationError:
        return
    assert avro._rows.default_steps <= 50 * len(text)
    assert avro._rows.default_bytes <= 2**20
