"""Avro schemas and values of them, drawn side by side with what a reader without logical types has to find."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import math
import struct
import uuid
from typing import TYPE_CHECKING, Any

import fastavro

from tests.fuzz.draw import EPOCH

if TYPE_CHECKING:
    import random

    from tests.fuzz.draw import Draw

LOGICAL = "logicalType"
PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
TIMES = [
    ("int", "date"), ("int", "time-millis"), ("long", "time-micros"), ("long", "timestamp-millis"),
    ("long", "timestamp-micros"), ("string", "uuid"),
]  # fmt: skip
# Which branches a value of Python may be of: a union has one of each.
FAMILIES = {
    "boolean": "number", "int": "number", "long": "number", "float": "number", "double": "number", "bytes": "bytes",
    "fixed": "bytes", "string": "text", "enum": "text", "array": "list", "map": "dict", "record": "dict",
    "date": "date", "time-millis": "time", "time-micros": "time", "timestamp-millis": "instant",
    "timestamp-micros": "instant", "uuid": "uuid", "decimal": "number",
}  # fmt: skip
MISSING = object()
MICROSECOND = dt.timedelta(microseconds=1)


def schema_of(rng: random.Random, names: list[str] | None = None, depth: int = 3) -> Any:
    """Return a valid schema; `names` are those of the types that it defines."""
    names = [] if names is None else names
    how = rng.randrange(14 if depth else 8)
    if how < 5:
        return rng.choice(PRIMITIVES)
    if how == 5:
        base, logical = rng.choice(TIMES)
        return {"type": base, LOGICAL: logical}
    if how == 6:
        precision = rng.randint(1, 20)
        return {"type": "bytes", LOGICAL: "decimal", "precision": precision, "scale": rng.randint(0, precision)}
    if how < 9:
        name = _named(names)
        if how == 7:
            return {"type": "enum", "name": name, "symbols": [f"S{i}" for i in range(rng.randint(1, 4))]}
        return {"type": "fixed", "name": name, "size": rng.randrange(5)}
    if how == 9:
        return {"type": "array", "items": schema_of(rng, names, depth - 1)}
    if how == 10:
        return {"type": "map", "values": schema_of(rng, names, depth - 1)}
    if how == 11:
        branches, seen = ["null"], set()
        for _ in range(rng.randint(1, 3)):
            made = schema_of(rng, names, depth - 1)
            family = None if isinstance(made, list) or made == "null" else FAMILIES[kind_of(made)]
            if family is not None and family not in seen:
                seen.add(family)
                branches.append(made)
        return branches
    return record_of(rng, names, depth - 1)


def record_of(rng: random.Random, names: list[str] | None = None, depth: int = 2) -> Any:
    """Return the schema of a record."""
    names = [] if names is None else names
    name = _named(names)
    fields = [{"name": f"f{i}", "type": schema_of(rng, names, depth)} for i in range(rng.randint(0, 4))]
    return {"type": "record", "name": name, "fields": fields}


def _named(names: list[str]) -> str:
    names.append(f"{'n.' if len(names) % 2 else ''}T{len(names)}")
    return names[-1]


def kind_of(schema: Any) -> str:
    """Return a type's name, that of its logical type where it has one."""
    return schema if isinstance(schema, str) else schema.get(LOGICAL) or schema["type"]


def plain(schema: Any) -> Any:
    """Return a schema without its logical types."""
    if isinstance(schema, list):
        return [plain(branch) for branch in schema]
    if isinstance(schema, dict):
        return {key: plain(value) for key, value in schema.items() if key != LOGICAL}
    return schema


class Values:
    """Draws values of a schema. One in a hundred places gets a value of any other kind: then `is_odd` is set."""

    def __init__(self, draw: Draw, oddness: int = 100) -> None:
        self.draw, self.oddness, self.is_odd = draw, oddness, False

    def value(self, schema: Any) -> tuple[Any, Any]:
        """Return a value to encode, and what is to be read of it."""
        draw = self.draw
        if draw.one_in(self.oddness):
            self.is_odd = True
            return draw.anything(), MISSING
        if isinstance(schema, list):
            branch = draw.choice(schema)
            return self.value(branch)
        kind = kind_of(schema)
        if kind == "record":
            pairs = {field["name"]: self.value(field["type"]) for field in schema["fields"]}
            return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}
        if kind == "array":
            items = [self.value(schema["items"]) for _ in range(draw.below(4))]
            return [one for one, _ in items], [read for _, read in items]
        if kind == "map":
            entries = {draw.text(4): self.value(schema["values"]) for _ in range(draw.below(3))}
            return {key: one for key, (one, _) in entries.items()}, {key: read for key, (_, read) in entries.items()}
        if kind == "enum":
            symbol = draw.choice(schema["symbols"])
            return symbol, symbol
        if kind == "fixed":
            data = draw.take(schema["size"]).to_bytes(schema["size"], "little")
            return data, data
        if kind == "decimal":
            bound = 10 ** schema["precision"] - 1
            number = draw.within(-bound, bound)
            digits = tuple(int(digit) for digit in str(abs(number)))
            size = (number if number >= 0 else ~number).bit_length() // 8 + 1
            return decimal.Decimal((number < 0, digits, -schema["scale"])), number.to_bytes(size, "big", signed=True)
        return SIMPLE[kind](draw)


def _same(value: Any) -> tuple[Any, Any]:
    return value, value


def _single(draw: Draw) -> tuple[Any, Any]:
    value = struct.unpack("<f", draw.take(4).to_bytes(4, "little"))[0]
    return _same(value)


def _clock(draw: Draw) -> dt.time:
    return draw.instant().time()


def _millis(moment: dt.datetime) -> tuple[Any, Any]:
    n = (moment - EPOCH) // dt.timedelta(milliseconds=1)
    return EPOCH + dt.timedelta(milliseconds=n), n


def _time(moment: dt.time, per: int) -> tuple[Any, Any]:
    micros = ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 10**6 + moment.microsecond // per * per
    return moment.replace(microsecond=moment.microsecond // per * per), micros // per


def _uuid(draw: Draw) -> tuple[Any, Any]:
    made = uuid.UUID(int=draw.take(16))
    return made, str(made)


SIMPLE = {
    "null": lambda _: (None, None),
    "boolean": lambda draw: _same(bool(draw.below(2))),
    "int": lambda draw: _same(draw.within(-(2**31), 2**31 - 1)),
    "long": lambda draw: _same(draw.within(-(2**63), 2**63 - 1)),
    "float": _single,
    "double": lambda draw: _same(draw.double()),
    "bytes": lambda draw: _same(draw.raw()),
    "string": lambda draw: _same(draw.text()),
    "date": lambda draw: (lambda day: (day, (day - EPOCH.date()).days))(draw.instant().date()),
    "time-millis": lambda draw: _time(_clock(draw), 1000),
    "time-micros": lambda draw: _time(_clock(draw), 1),
    "timestamp-millis": lambda draw: _millis(draw.instant()),
    "timestamp-micros": lambda draw: (lambda at: (at, (at - EPOCH) // MICROSECOND))(draw.instant()),
    "uuid": _uuid,
}


def read_back(record: bytes, schema: Any) -> Any:
    """Return what fastavro reads of a record, all of it; `schema` is parsed."""
    stream = io.BytesIO(record)
    value = fastavro.schemaless_reader(stream, schema, None)
    left = stream.read()
    assert not left, f"{len(left)} bytes behind the record: {record!r}"
    return value


def agree(want: Any, read: Any) -> bool:
    """Return whether what was read is what was wanted; what is not known agrees with anything."""
    if want is MISSING:
        return True
    if isinstance(want, float):
        return want == read and math.copysign(1, want) == math.copysign(1, read) if want == want else read != read
    if isinstance(want, dict):
        return want.keys() == read.keys() and all(agree(one, read[key]) for key, one in want.items())
    if isinstance(want, list):
        return len(want) == len(read) and all(map(agree, want, read))
    return type(want) is type(read) and want == read
