"""Random Avro schemas with random values of them, for the differential tests, and how readings compare."""

from __future__ import annotations

import datetime
import struct
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
WALL = EPOCH.replace(tzinfo=None)
MICROSECOND = datetime.timedelta(microseconds=1)

instants = st.integers(-(10**15), 10**15).map(lambda us: EPOCH + datetime.timedelta(microseconds=us))
walls = instants.map(lambda value: value.replace(tzinfo=None))
uint32 = st.integers(0, 2**32 - 1)

PLAIN = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=40),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
}
LOGICAL = [
    ("int", "date", st.dates()),
    ("int", "time-millis", st.times()),
    ("long", "time-micros", st.times()),
    ("long", "timestamp-millis", instants),
    ("long", "timestamp-micros", instants),
    ("long", "timestamp-nanos", instants),
    ("long", "local-timestamp-millis", walls),
    ("long", "local-timestamp-micros", walls),
    ("long", "local-timestamp-nanos", walls),
    ("string", "uuid", st.uuids()),
]
LOGICAL_FIXED = [(16, "uuid", st.uuids()), (12, "duration", st.tuples(uint32, uint32, uint32))]
UNIT = {"millis": 1000, "micros": 1}
CLASSES = {
    "date": datetime.date,
    "time": datetime.time,
    "timestamp": datetime.datetime,
    "uuid": uuid.UUID,
    "duration": tuple,
    "decimal": Decimal,
}


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    bound = 10**precision - 1
    return st.integers(-bound, bound).map(lambda n: Decimal((n < 0, tuple(int(d) for d in str(abs(n))), -scale)))


class Named:
    """The named types of one schema so far, with strategies of their values."""

    def __init__(self) -> None:
        self.count = 0
        self.made: list[tuple[str, st.SearchStrategy]] = []

    def name(self, letter: str) -> str:
        self.count += 1
        # Full names mean the same wherever they are.
        return f"{'one' if self.count % 2 else 'an.other'}.{letter}{self.count}"

    def add(self, schema: dict, values: st.SearchStrategy) -> tuple[dict, st.SearchStrategy]:
        self.made.append((schema["name"], values))
        return schema, values


@st.composite
def schemas(draw: st.DrawFn, named: Named, depth: int = 3, in_union: bool = False) -> tuple[Any, st.SearchStrategy]:
    """Draw a schema and a strategy of its values."""
    kinds = ["plain", "plain", "plain", "logical", "logical fixed", "decimal", "enum", "fixed"]
    if named.made:
        kinds += ["again"]
    if depth:
        kinds += ["array", "map", "record", "record"] + ([] if in_union else ["union", "union"])
    kind = draw(st.sampled_from(kinds))
    if kind == "plain":
        name = draw(st.sampled_from(sorted(PLAIN)))
        return name, PLAIN[name]
    if kind == "again":
        return draw(st.sampled_from(named.made))
    if kind == "logical":
        base, logical, values = draw(st.sampled_from(LOGICAL))
        return {"type": base, "logicalType": logical}, values
    if kind == "logical fixed":
        size, logical, values = draw(st.sampled_from(LOGICAL_FIXED))
        schema = {"type": "fixed", "name": named.name("L"), "size": size, "logicalType": logical}
        return named.add(schema, values)
    if kind == "decimal":
        precision = draw(st.integers(1, 30))
        scale = draw(st.integers(0, precision))
        fields = {"logicalType": "decimal", "precision": precision, "scale": scale}
        if draw(st.booleans()):
            return {"type": "bytes", **fields}, decimals(precision, scale)
        return named.add({"type": "fixed", "name": named.name("D"), "size": 13, **fields}, decimals(precision, scale))
    if kind == "enum":
        symbols = draw(
            st.lists(st.from_regex(r"[A-Z][A-Z0-9_]{0,5}", fullmatch=True), min_size=1, max_size=5, unique=True)
        )
        return named.add({"type": "enum", "name": named.name("E"), "symbols": symbols}, st.sampled_from(symbols))
    if kind == "fixed":
        size = draw(st.integers(0, 20))
        schema = {"type": "fixed", "name": named.name("F"), "size": size}
        return named.add(schema, st.binary(min_size=size, max_size=size))
    if kind == "array":
        item, values = draw(schemas(named, depth - 1))
        return {"type": "array", "items": item}, st.lists(values, max_size=4)
    if kind == "map":
        item, values = draw(schemas(named, depth - 1))
        return {"type": "map", "values": item}, st.dictionaries(PLAIN["string"], values, max_size=3)
    if kind == "record":
        return draw(records(depth - 1, named))
    return draw(unions(named, depth - 1))


@st.composite
def unions(draw: st.DrawFn, named: Named, depth: int) -> tuple[list, st.SearchStrategy]:
    """Draw a union; a branch that cannot be beside the others is left out, with the types it defines."""
    kept: dict[str, tuple[Any, st.SearchStrategy]] = {}
    for _ in range(draw(st.integers(1, 3))):
        before = len(named.made)
        schema, values = draw(schemas(named, depth, in_union=True))
        key = schema if isinstance(schema, str) else schema.get("name", schema["type"])
        if key in kept:
            del named.made[before:]
        else:
            kept[key] = schema, values
    branches = list(kept.values())
    if "null" not in kept and draw(st.booleans()):
        branches.insert(draw(st.integers(0, len(branches))), ("null", st.none()))
    return [schema for schema, _ in branches], st.one_of([values for _, values in branches])


@st.composite
def records(draw: st.DrawFn, depth: int = 2, named: Named | None = None) -> tuple[dict, st.SearchStrategy]:
    """Draw a record schema, some of them recursive, and a strategy of its rows."""
    named = named or Named()
    name = named.name("R")
    fields = {f"f{i}": draw(schemas(named, depth)) for i in range(draw(st.integers(1, 5)))}
    rows: st.SearchStrategy = st.deferred(
        lambda: st.fixed_dictionaries({key: made for key, (_, made) in fields.items()})
    )
    if draw(st.integers(0, 4)) == 4:
        fields["next"] = ["null", name], st.none() | st.none() | rows
    schema = {
        "type": "record",
        "name": name,
        "fields": [{"name": key, "type": type_} for key, (type_, _) in fields.items()],
    }
    return named.add(schema, rows)


# ---- oracle ----------------------------------------------------------------------------------------------------------


def without_logical_types(schema: Any) -> Any:
    """Give the schema of what the bytes hold."""
    if isinstance(schema, dict):
        return {key: without_logical_types(part) for key, part in schema.items() if key != "logicalType"}
    return [without_logical_types(part) for part in schema] if isinstance(schema, list) else schema


def physical(schema: dict, value: Any) -> Any:
    """Give what the specification says the bytes of a logical type hold: an int, a string or bytes."""
    logical, kind = schema["logicalType"], schema["type"]
    if logical == "date":
        return (value - WALL.date()).days
    if logical.startswith("time-"):
        micros = (datetime.datetime.combine(WALL, value) - WALL) // MICROSECOND
        return micros // UNIT[logical.rpartition("-")[2]]
    if "timestamp-" in logical:
        micros = (value - (WALL if logical.startswith("local-") else EPOCH)) // MICROSECOND
        return micros * 1000 if logical.endswith("nanos") else micros // UNIT[logical.rpartition("-")[2]]
    if logical == "uuid":
        return str(value) if kind == "string" else value.bytes
    if logical == "duration":
        return struct.pack("<3I", *value)
    unscaled = int(Fraction(value) * 10 ** schema["scale"])
    size = schema.get("size") or next(n for n in range(1, 99) if -(2 ** (8 * n - 1)) <= unscaled < 2 ** (8 * n - 1))
    return unscaled.to_bytes(size, "big", signed=True)


class Reading:
    """Compares rows with what a reader without logical types has read of their bytes.

    Without `signed_zeros`, 0.0 is -0.0: Java's JSON encoder writes them alike.
    """

    def __init__(self, schema: Any, *, signed_zeros: bool = True) -> None:
        self.signed_zeros = signed_zeros
        self.named: dict[str, Any] = {}
        self.schema = schema
        self._learn(schema)

    def _learn(self, schema: Any) -> None:
        if isinstance(schema, list):
            for branch in schema:
                self._learn(branch)
        elif isinstance(schema, dict):
            if "name" in schema:
                self.named[schema["name"]] = schema
            for part in (schema.get("items"), schema.get("values"), *(f["type"] for f in schema.get("fields", ()))):
                self._learn(part)

    def agrees(self, value: Any, read: Any) -> bool:
        """Whether `read` is the row `value`."""
        return self._same(self.schema, value, read)

    def _same(self, schema: Any, value: Any, read: Any) -> bool:
        schema = self.named.get(schema, schema) if isinstance(schema, str) else schema
        if isinstance(schema, list):
            return any(self._same(branch, value, read) for branch in schema)
        kind = schema if isinstance(schema, str) else schema["type"]
        if "logicalType" in schema and not isinstance(schema, str):
            if type(value) is not CLASSES[schema["logicalType"].removeprefix("local-").partition("-")[0]]:
                return False  # the value of another branch
            if "timestamp-" in schema["logicalType"] and (value.tzinfo is None) != schema["logicalType"].startswith(
                "local-"
            ):
                return False
            try:
                value = physical(schema, value)
            except OverflowError:
                return False  # another branch's decimal: it does not fit into the bytes of this one
        if kind == "record":
            if not isinstance(value, dict) or not isinstance(read, dict):
                return False
            types = {field["name"]: field["type"] for field in schema["fields"]}
            return value.keys() == read.keys() == types.keys() and all(
                self._same(type_, value[name], read[name]) for name, type_ in types.items()
            )
        if kind == "array":
            if not isinstance(value, list) or not isinstance(read, list) or len(value) != len(read):
                return False
            return all(self._same(schema["items"], one, other) for one, other in zip(value, read, strict=True))
        if kind == "map":
            if not isinstance(value, dict) or not isinstance(read, dict) or value.keys() != read.keys():
                return False
            return all(self._same(schema["values"], one, read[key]) for key, one in value.items())
        if value == 0 and not self.signed_zeros:
            return type(value) is type(read) and read == 0
        return type(value) is type(read) and repr(value) == repr(read)

    def from_json(self, read: Any) -> Any:
        """Give what a reader would have read, from Avro's JSON encoding of it.

        Source: https://avro.apache.org/docs/1.12.0/specification/#json-encoding
        """
        return self._from_json(self.schema, read)

    def _from_json(self, schema: Any, read: Any) -> Any:
        schema = self.named.get(schema, schema) if isinstance(schema, str) else schema
        if isinstance(schema, list):
            if read is None:
                assert "null" in schema
                return None
            ((name, value),) = read.items()
            (branch,) = [
                part for part in schema if name == (part if isinstance(part, str) else part.get("name", part["type"]))
            ]
            return self._from_json(branch, value)
        kind = schema if isinstance(schema, str) else schema["type"]
        if kind == "record":
            types = {field["name"]: field["type"] for field in schema["fields"]}
            return {name: self._from_json(types[name], value) for name, value in read.items()}
        if kind == "array":
            return [self._from_json(schema["items"], item) for item in read]
        if kind == "map":
            return {key: self._from_json(schema["values"], item) for key, item in read.items()}
        if kind in ("bytes", "fixed"):
            return read.encode("latin-1")
        if kind == "float":  # Java's shortest digits of a float are not those of the double
            return struct.unpack("f", struct.pack("f", float(read)))[0]
        return float(read) if kind == "double" else read
