"""Random Avro schemas with random values of them, for the differential tests."""

from __future__ import annotations

import datetime
import decimal
import itertools
import uuid

from hypothesis import strategies as st

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
WALL = EPOCH.replace(tzinfo=None)

instants = st.integers(-(10**15), 10**15).map(lambda us: EPOCH + datetime.timedelta(microseconds=us))
walls = st.integers(-(10**15), 10**15).map(lambda us: WALL + datetime.timedelta(microseconds=us))

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
    ("int", "time-millis", st.times().map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000))),
    ("long", "time-micros", st.times()),
    ("long", "timestamp-millis", instants),
    ("long", "timestamp-micros", instants),
    ("long", "local-timestamp-millis", walls),
    ("long", "local-timestamp-micros", walls),
    ("string", "uuid", st.uuids()),
]


def decimals(precision: int, scale: int) -> st.SearchStrategy[decimal.Decimal]:
    bound = 10**precision - 1
    return st.integers(-bound, bound).map(
        lambda n: decimal.Decimal((n < 0, tuple(int(d) for d in str(abs(n))), -scale))
    )


@st.composite
def schemas(draw, depth: int = 3, numbers=None, in_union: bool = False):
    """A schema and a strategy of its values: (json, strategy)."""
    numbers = numbers if numbers is not None else itertools.count()
    kinds = ["plain", "plain", "plain", "logical", "decimal", "enum", "fixed"]
    if depth:
        kinds += ["array", "map", "record", "record"] + ([] if in_union else ["union", "union"])
    kind = draw(st.sampled_from(kinds))
    if kind == "plain":
        name = draw(st.sampled_from(sorted(PLAIN)))
        return name, PLAIN[name]
    if kind == "logical":
        base, logical, values = draw(st.sampled_from(LOGICAL))
        return {"type": base, "logicalType": logical}, values
    if kind == "decimal":
        precision = draw(st.integers(1, 18))
        scale = draw(st.integers(0, precision))
        fields = {"logicalType": "decimal", "precision": precision, "scale": scale}
        if draw(st.booleans()):
            return {"type": "bytes", **fields}, decimals(precision, scale)
        return {"type": "fixed", "name": f"F{next(numbers)}", "size": 9, **fields}, decimals(precision, scale)
    if kind == "enum":
        symbols = draw(
            st.lists(st.from_regex(r"[A-Z][A-Z0-9_]{0,5}", fullmatch=True), min_size=1, max_size=5, unique=True)
        )
        return {"type": "enum", "name": f"E{next(numbers)}", "symbols": symbols}, st.sampled_from(symbols)
    if kind == "fixed":
        size = draw(st.integers(0, 20))
        return {"type": "fixed", "name": f"F{next(numbers)}", "size": size}, st.binary(min_size=size, max_size=size)
    if kind == "array":
        item, values = draw(schemas(depth=depth - 1, numbers=numbers))
        return {"type": "array", "items": item}, st.lists(values, max_size=4)
    if kind == "map":
        item, values = draw(schemas(depth=depth - 1, numbers=numbers))
        return {"type": "map", "values": item}, st.dictionaries(PLAIN["string"], values, max_size=3)
    if kind == "record":
        return draw(records(depth=depth - 1, numbers=numbers))
    branches = draw(st.lists(schemas(depth=depth - 1, numbers=numbers, in_union=True), min_size=1, max_size=3))
    seen, kept = set(), []
    if draw(st.booleans()):
        branches.insert(draw(st.integers(0, len(branches))), ("null", st.none()))
    for json, values in branches:
        key = json if isinstance(json, str) else json.get("name", json["type"])
        if key not in seen:
            seen.add(key)
            kept.append((json, values))
    return [json for json, _ in kept], st.one_of([values for _, values in kept])


@st.composite
def records(draw, depth: int = 2, numbers=None):
    """A record schema and a strategy of its rows."""
    numbers = numbers if numbers is not None else itertools.count()
    fields = draw(st.lists(schemas(depth=depth, numbers=numbers), min_size=1, max_size=5))
    names = [f"f{i}" for i in range(len(fields))]
    schema = {
        "type": "record",
        "name": f"R{next(numbers)}",
        "fields": [{"name": name, "type": json} for name, (json, _) in zip(names, fields, strict=True)],
    }
    return schema, st.fixed_dictionaries({name: values for name, (_, values) in zip(names, fields, strict=True)})


def normal(value):
    """A value as it reads back: what several Python types write alike becomes one of them."""
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    if isinstance(value, uuid.UUID):
        return str(value)
    return value
