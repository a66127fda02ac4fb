"""Avro from columns, lent by lists, numpy, Arrow and polars: read by fastavro as the rows are, or refused."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import polars as pl
import pyarrow as pa

from tests.encoding.harness import UNABLE
from tests.fuzz.avro_values import Values, agree, plain, read_back, record_of
from tests.fuzz.draw import Draw
from twolane import Avro, SerializationError

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def case(number: int) -> tuple[Any, Avro, Any]:
    """Return the schema of a record with fields, our serializer and fastavro's parsed schema."""
    rng = random.Random(number)
    while not (schema := record_of(rng, depth=rng.randrange(3)))["fields"]:
        pass
    return schema, Avro(schema), fastavro.parse_schema(plain(schema))


def names_in(kind: Any) -> Iterator[str]:
    """Yield the names of the fields of an Arrow type, at any depth."""
    for i in range(kind.num_fields):
        yield kind.field(i).name
        yield from names_in(kind.field(i).type)


def arrow(draw: Draw, values: list[Any]) -> Any:
    """Return an Arrow column that begins and ends somewhere in its buffers, in one chunk or two."""
    before = draw.below(3)
    given = [*values[:1] * before, *values, *values[:1]]
    whole = pa.array(given)
    if whole.to_pylist() != given and not any(one != one for one in given):
        return values  # pyarrow makes a time of a Decimal
    if any("\0" in name for name in names_in(whole.type)):
        return values  # the C interface ends names at a NUL
    column = whole.slice(before, len(values))
    if draw.below(2):
        cut = draw.below(len(values) + 1)
        return pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    return column


def objects(draw: Draw, values: list[Any]) -> Any:
    """Return a numpy array of the objects themselves."""
    made = np.empty(len(values), object)
    for i, value in enumerate(values):
        made[i] = value
    return made


# Other libraries may die of what ours has to refuse, such as a list in itself.
OF_ANYTHING = [lambda _, values: values, lambda _, values: tuple(values), objects]
HOLDERS = [
    *OF_ANYTHING,
    # numpy makes one type of all, and drops what is zero at the end of strings.
    lambda _, values: np.array(values) if set(map(type, values)) in ({int}, {float}, {bool}) else values,
    # Polars leaves out of a struct what the first of its dicts does not have.
    lambda _, values: pl.Series(values, strict=True) if not any(isinstance(one, dict) for one in values) else values,
    *[arrow] * 4,
]


def run(data: bytes) -> None:
    draw = Draw(data)
    schema, avro, parsed = case(draw.take(1))
    n = 1 + draw.below(5)
    drawn = Values(draw, 200)
    rows, wants = zip(*(drawn.value(schema) for _ in range(n)), strict=True)
    names = {field["name"] for field in schema["fields"]}
    if not all(isinstance(row, dict) and row.keys() == names for row in rows):
        return
    table: dict[str, Any] = {}
    for field in schema["fields"]:
        values = [row[field["name"]] for row in rows]
        try:
            table[field["name"]] = draw.choice(OF_ANYTHING if drawn.is_odd else HOLDERS)(draw, values)
        except (*UNABLE, AttributeError):
            table[field["name"]] = values
        except BaseException as error:  # noqa: BLE001 - what Rust panics with is no Exception
            if type(error).__name__ != "PanicException":
                raise
            table[field["name"]] = values
    try:
        source = avro.bind(table)
    except SerializationError:
        return
    assert len(source) == n
    cut = draw.below(n + 1)
    records = [*source.slice(0, cut), *source.slice(cut, n)]
    for record, want in zip(records, wants, strict=True):
        read = read_back(record, parsed)
        assert drawn.is_odd or agree(want, read), f"{want!r} became {read!r}"
