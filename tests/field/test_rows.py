"""Rows that carry names, and members of enums: named tuples, rows of databases, models."""

from __future__ import annotations

import collections
import dataclasses
import enum
import sqlite3

import pandas as pd
import pydantic
import pytest

from tests.field.reading import read, record
from twolane import Avro, Json, SerializationError

SCHEMA = record(id="long", name="string", note=["null", "string"])
WANT = {"id": 7, "name": "x", "note": None}

# In another order than the schema, and with fields that it has not.
Order = collections.namedtuple("Order", "name extra id")


class DatabaseRow:
    """A row as SQLAlchemy's: a sequence that knows its names."""

    _fields = ("name", "extra", "id")

    def __init__(self, *values):
        self._values = values

    def __getitem__(self, i):
        return self._values[i]

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return iter(self._values)

    def _asdict(self):
        return dict(zip(self._fields, self._values, strict=True))


def of_sqlite():
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("select 'x' as name, 1.5 as extra, 7 as id").fetchone()
    connection.close()
    return row


class Model(pydantic.BaseModel):
    name: str
    extra: float
    id: int


ROWS = {
    "named tuple": lambda: Order("x", 1.5, 7),
    "itertuples": lambda: next(pd.DataFrame({"name": ["x"], "extra": [1.5], "id": [7]}).itertuples()),
    "itertuples without index": lambda: next(
        pd.DataFrame({"name": ["x"], "extra": [1.5], "id": [7]}).itertuples(index=False, name="Row")
    ),
    "series of a row": lambda: next(pd.DataFrame({"name": ["x"], "extra": ["y"], "id": [7]}, dtype=object).iterrows())[
        1
    ],
    "sqlite3.Row": of_sqlite,
    "database row": lambda: DatabaseRow("x", 1.5, 7),
    "pydantic": lambda: Model(name="x", extra=1.5, id=7),
}


@pytest.mark.parametrize("name", ROWS)
def test_fields_are_found_by_name_and_the_others_have_their_defaults(name):
    row = ROWS[name]()
    avro = Avro(SCHEMA)
    assert read(SCHEMA, [avro.encode(row), *avro.encode_batch([row, row])]) == [WANT] * 3
    inside = record("Outer", order=SCHEMA, orders={"type": "array", "items": "Order"})
    assert read(inside, [Avro(inside).encode({"order": row, "orders": [row]})]) == [{"order": WANT, "orders": [WANT]}]


class Colour(enum.Enum):
    RED = 1


class Coded(enum.Enum):
    FIRST = "RED"


class Texted(enum.StrEnum):
    RED = "RED"


class Mixed(str, enum.Enum):  # noqa: UP042
    FIRST = "RED"


class Numbered(enum.IntEnum):
    RED = 5


@dataclasses.dataclass
class Pixel:
    colour: enum.Enum


MEMBERS = [Colour.RED, Coded.FIRST, Texted.RED, Mixed.FIRST, Numbered.RED]
SYMBOLS = {"type": "enum", "name": "Hue", "symbols": ["GREEN", "RED"]}


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_a_member_is_the_symbol_that_its_name_or_value_is(member):
    schema = record(
        colour=SYMBOLS,
        maybe=["null", "Hue"],
        wide=["null", "Hue", "long", {"type": "array", "items": "string"}],
        listed={"type": "array", "items": "Hue"},
        mapped={"type": "map", "values": ["null", "Hue"]},
    )
    row = {"colour": member, "maybe": member, "wide": member, "listed": [member], "mapped": {"k": member}}
    want = {"colour": "RED", "maybe": "RED", "wide": "RED", "listed": ["RED"], "mapped": {"k": "RED"}}
    avro = Avro(schema)
    assert (
        read(schema, [avro.encode(row), *avro.encode_batch({name: [value] for name, value in row.items()})])
        == [want] * 2
    )
    pixel = record("Pixel", colour=SYMBOLS)
    assert read(pixel, [Avro(pixel).encode(Pixel(member))]) == [{"colour": "RED"}]


@pytest.mark.parametrize("member", [Colour.RED, Coded.FIRST, Texted.RED, Numbered.RED], ids=repr)
def test_from_example_makes_an_enum_that_takes_what_it_was_made_from(member):
    avro = Avro.from_example([{"colour": member}])
    assert avro.encode({"colour": member}) == avro.encode(Pixel(member))


def test_a_member_is_its_value_in_json():
    assert [Json().encode({"c": member}) for member in MEMBERS] == [
        b'{"c":1}', b'{"c":"RED"}', b'{"c":"RED"}', b'{"c":"RED"}', b'{"c":5}'
    ]  # fmt: skip


def test_a_member_that_is_no_symbol_is_refused_by_name():
    other = enum.Enum("Other", {"BLUE": 1})
    with pytest.raises(SerializationError) as caught:
        Avro(record(colour=SYMBOLS)).encode_batch([{"colour": "RED"}, {"colour": other.BLUE}])
    assert (caught.value.index, caught.value.field) == (1, "colour")
