"""Members of enum classes: in Avro the symbol that their name or value is, wherever it is; in JSON the value."""

from __future__ import annotations

import enum
import io

import fastavro
import pytest

from twolane import Avro, Json, SerializationError, Struct

orjson = pytest.importorskip("orjson")


class Plain(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Text(str, enum.Enum):  # noqa: UP042 - not the same
    RED = "red"
    BLUE = "blue"


class Number(enum.IntEnum):
    RED = 1
    BLUE = 2


class Parts(enum.Enum):
    RED = (1, 2)
    BLUE = None


class Crossed(enum.Enum):
    RED = "BLUE"
    BLUE = "RED"


class CrossedText(str, enum.Enum):  # noqa: UP042 - not the same
    RED = "BLUE"
    BLUE = "RED"


class Same(str, enum.Enum):  # noqa: UP042 - not the same
    RED = "RED"
    BLUE = "BLUE"


CLASSES = [Plain, Text, Number, Parts, Same, enum.StrEnum("Short", {"RED": "red", "BLUE": "blue"})]
NAMES = {"type": "enum", "name": "E", "symbols": ["GREEN", "BLUE", "RED"]}
VALUES = {"type": "enum", "name": "E", "symbols": ["green", "blue", "red"]}
OTHER = {"type": "enum", "name": "O", "symbols": ["other"]}


def read(schema, record):
    return fastavro.schemaless_reader(io.BytesIO(record), fastavro.parse_schema(schema))


def places(type_, member, symbol):
    """Every place where an enum may be, with the member there and the symbol that is read back."""
    yield type_, member, symbol
    for union in (
        ["null", type_],
        [type_, "null"],
        ["null", "string", type_],
        ["long", "string", "bytes", OTHER, type_],
    ):
        yield union, member, symbol
        yield {"type": "array", "items": union}, [member, member], [symbol, symbol]
    yield {"type": "array", "items": type_}, (member,), [symbol]
    yield {"type": "map", "values": type_}, {"k": member}, {"k": symbol}
    record = {"type": "record", "name": "Inner", "fields": [{"name": "e", "type": type_}]}
    yield record, {"e": member}, {"e": symbol}
    yield ["null", {"type": "array", "items": OTHER}, record], {"e": member}, {"e": symbol}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_member_is_the_symbol_that_its_name_or_value_is(kind):
    for member in kind:
        for type_, symbol in ((NAMES, member.name), (VALUES, member.value)):
            if symbol not in type_["symbols"]:
                continue
            for schema, given, want in places(type_, member, symbol):
                whole = {"type": "record", "name": "R", "fields": [{"name": "f", "type": schema}]}
                assert read(whole, Avro(whole).encode({"f": given})) == {"f": want}
                assert [read(whole, one) for one in Avro(whole).encode_batch([{"f": given}] * 2)] == [{"f": want}] * 2


@pytest.mark.parametrize("kind", [Crossed, CrossedText])
def test_a_member_that_is_two_symbols_is_refused(kind):
    for schema in (NAMES, ["null", NAMES], ["null", "string", NAMES]):
        whole = {"type": "record", "name": "R", "fields": [{"name": "f", "type": schema}]}
        with pytest.raises(SerializationError, match="both symbols") as caught:
            Avro(whole).encode({"f": kind.RED})
        assert caught.value.field == "f"
        assert read(whole, Avro(whole).encode({"f": kind.RED.name})) == {"f": "RED"}
        assert read(whole, Avro(whole).encode({"f": kind.RED.value})) == {"f": "BLUE"}


def test_a_member_that_is_no_symbol_is_refused():
    for member in (Plain.RED, Text.RED, Number.RED, Parts.BLUE, enum.Flag("F", "A B")(3)):
        with pytest.raises(SerializationError, match="one of other"):
            Avro(OTHER).encode(member)
        with pytest.raises(SerializationError):
            Avro({"type": "array", "items": ["null", OTHER]}).encode([member])


@pytest.mark.parametrize("use_orjson", [True, False])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_json_writes_the_value_as_orjson_does(kind, use_orjson, monkeypatch):
    rows = [[{"v": member}, {"l": [member, (member,)]}, {"m": {"k": {"n": member}}}] for member in kind]
    want = [orjson.dumps(row) for three in rows for row in three]
    if not use_orjson:
        monkeypatch.setattr("twolane.encoding.json.rows.orjson", None)
    assert list(Json().encode_batch([row for three in rows for row in three])) == want
    if kind is not Parts:
        keys = [{member: 1} for member in kind]
        assert list(Json().encode_batch(keys)) == [orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS) for row in keys]


def test_a_field_of_fixed_layout_takes_the_number_of_an_intenum():
    assert Struct("<h").encode({"f0": Number.BLUE}) == b"\2\0"


@pytest.mark.parametrize("kind", [*CLASSES, enum.Enum("Auto", "RED BLUE")], ids=lambda kind: kind.__name__)
def test_a_schema_from_examples_has_an_enum_that_takes_every_member(kind):
    rows = [{"e": member, "l": [member], "r": {"e": member}} for member in kind]
    for examples in (rows, rows[:1], [*rows, {"e": None, "l": [], "r": {"e": None}}]):
        avro = Avro.from_example(examples)
        for row, member in zip(rows, kind, strict=True):
            symbol = member.value if kind in CLASSES and isinstance(member.value, str) else member.name
            assert read(avro.schema, avro.encode(row)) == {"e": symbol, "l": [symbol], "r": {"e": symbol}}
    for record in avro.encode_batch(examples):
        assert read(avro.schema, record)


def test_examples_of_an_enum_that_no_schema_can_tell_apart_are_refused():
    with pytest.raises(SerializationError, match="Crossed"):
        Avro.from_example([{"e": Crossed.RED}])
    assert "mixed" in Avro.from_example([{"mixed": Text.RED}, {"mixed": "x"}]).schema["fields"][0]["name"]


@pytest.mark.parametrize("other", [2, "text", None, 1.5])
def test_an_enum_beside_other_examples_is_a_branch(other):
    rows = [{"e": Plain.RED}, {"e": other}, {"e": Number.RED}]
    avro = Avro.from_example(rows)
    assert [read(avro.schema, record)["e"] for record in avro.encode_batch(rows)] == ["red", other, "RED"]
