"""What each kind of value means as each type: the table of docs/serializers.md, and the bytes that follow from it.

A cell names a rule. The rule turns a value into what fastavro (for Avro), the json module or the struct module is asked
to write, so that the expected bytes come from another library. `test_meanings` puts each value through every container
that can hold it. After a change ``python -m tests.encoding.meanings docs/serializers.md`` writes the table there again.
"""

from __future__ import annotations

import base64
import datetime
import io
import json
import math
import struct
import sys
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import numpy as np

UTC = datetime.UTC
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = datetime.timedelta(microseconds=1)


class RefusedRows(Exception):
    """The value has no such form."""


# ---- the table -----------------------------------------------------------------------------------

RULES = {
    "-": "refused",
    "=": "the same; refused where the type does not hold it (too large, too many digits, not a symbol, another size)",
    "near": "the nearest number that the type holds",
    "ticks": "that many of the type's units",
    "instant": "the same moment, rounded down to the unit",
    "wall": "what the clock on the wall says, rounded down",
    "day": "its day on the wall",
    "midnight": "the midnight that begins it, UTC",
    "clock": "rounded down to the unit",
    "parts": "days and milliseconds, rounded down; negative ones are refused",
    "text": "its text: the digits, ISO 8601, the UUID's 36 characters",
    "utf8": "between text and its bytes in UTF-8; refused where it is none",
    "symbol": "the symbol that is the member's name or its value",
    "none": "a tombstone, no key, a header without a value",
    "ms": "milliseconds, of the years 1990 to 2100",
    "s": "seconds, of these years too",
    "null": "null",
    "nan": 'null; refused with `nan="error"`',
    "base64": 'refused; with `binary="base64"` its base64',
    "items": "each item by these tables",
}

TABLES = {
    "Avro's plain types": """
| value          | null | boolean | int, long | float, double | string | bytes | fixed | enum   | array | map, record |
| bool           | -    | =       | -         | -             | -      | -     | -     | -      | -     | -           |
| int            | -    | -       | =         | near          | -      | -     | -     | -      | -     | -           |
| float          | -    | -       | -         | near          | -      | -     | -     | -      | -     | -           |
| NaN            | null | -       | -         | near          | -      | -     | -     | -      | -     | -           |
| str            | -    | -       | -         | -             | =      | -     | -     | =      | -     | -           |
| bytes          | -    | -       | -         | -             | -      | =     | =     | -      | -     | -           |
| byte column    | -    | -       | -         | -             | utf8   | =     | =     | utf8   | -     | -           |
| missing        | null | -       | -         | -             | -      | -     | -     | -      | -     | -           |
| list           | -    | -       | -         | -             | -      | -     | -     | -      | items | -           |
| dict           | -    | -       | -         | -             | -      | -     | -     | -      | -     | items       |
| Enum member    | -    | -       | -         | -             | -      | -     | -     | symbol | -     | -           |
| StrEnum member | -    | -       | -         | -             | =      | -     | -     | symbol | -     | -           |
| IntEnum member | -    | -       | =         | near          | -      | -     | -     | symbol | -     | -           |
""",
    "Avro's logical types": """
| value          | date  | time-* | timestamp-* | local-timestamp-* | decimal | uuid | duration |
| int            | ticks | ticks  | ticks       | ticks             | =       | -    | -        |
| str            | -     | -      | -           | -                 | -       | =    | -        |
| bytes          | -     | -      | -           | -                 | -       | =    | =        |
| byte column    | -     | -      | -           | -                 | -       | =    | =        |
| Decimal        | -     | -      | -           | -                 | =       | -    | -        |
| UUID           | -     | -      | -           | -                 | -       | =    | -        |
| date           | =     | -      | midnight    | midnight          | -       | -    | -        |
| time           | -     | clock  | -           | -                 | -       | -    | -        |
| naive datetime | day   | -      | -           | wall              | -       | -    | -        |
| datetime64     | day   | -      | wall        | wall              | -       | -    | -        |
| naive column   | day   | -      | wall        | wall              | -       | -    | -        |
| zoned datetime | day   | -      | instant     | wall              | -       | -    | -        |
| timedelta      | -     | -      | -           | -                 | -       | -    | parts    |
| StrEnum member | -     | -      | -           | -                 | -       | =    | -        |
| IntEnum member | ticks | ticks  | ticks       | ticks             | =       | -    | -        |
""",
    "Json and Struct": """
| value          | Json   | Struct ? | Struct int | Struct float | Struct S | Struct M8 | Struct m8 |
| bool           | =      | =        | -          | -            | -        | -         | -         |
| int            | =      | -        | =          | near         | -        | ticks     | ticks     |
| float          | =      | -        | -          | near         | -        | -         | -         |
| NaN            | nan    | -        | -          | near         | -        | -         | -         |
| str            | =      | -        | -          | -            | =        | -         | -         |
| bytes          | base64 | -        | -          | -            | =        | -         | -         |
| byte column    | base64 | -        | -          | -            | =        | -         | -         |
| Decimal        | text   | -        | -          | -            | -        | -         | -         |
| UUID           | text   | -        | -          | -            | -        | -         | -         |
| date           | text   | -        | -          | -            | -        | wall      | -         |
| time           | text   | -        | -          | -            | -        | -         | -         |
| naive datetime | text   | -        | -          | -            | -        | wall      | -         |
| datetime64     | text   | -        | -          | -            | -        | wall      | -         |
| naive column   | text   | -        | -          | -            | -        | wall      | -         |
| zoned datetime | text   | -        | -          | -            | -        | instant   | -         |
| timedelta      | -      | -        | -          | -            | -        | -         | clock     |
| missing        | null   | -        | -          | -            | -        | -         | -         |
| list           | items  | -        | -          | -            | -        | -         | -         |
| dict           | items  | -        | -          | -            | -        | -         | -         |
| Enum member    | =      | -        | -          | -            | -        | -         | -         |
| StrEnum member | =      | -        | -          | -            | =        | -         | -         |
| IntEnum member | =      | -        | =          | near         | -        | ticks     | ticks     |
""",
    "Bytes, keys without a serializer, headers, timestamps": """
| value          | Bytes, key | header | timestamp |
| int            | -          | -      | ms        |
| float          | -          | -      | s         |
| NaN            | none       | none   | -         |
| str            | utf8       | utf8   | -         |
| bytes          | =          | =      | -         |
| byte column    | =          | =      | -         |
| date           | -          | -      | midnight  |
| datetime64     | -          | -      | wall      |
| naive column   | -          | -      | -         |
| zoned datetime | -          | -      | instant   |
| missing        | none       | none   | -         |
| StrEnum member | utf8       | utf8   | -         |
| IntEnum member | -          | -      | ms        |
""",
}


def cells() -> dict[tuple[str, str], str]:
    """(kind of value, heading of a column) -> rule; what is not there is refused."""
    found = {}
    for table in TABLES.values():
        head, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()]
        for kind, *rules in lines:
            found.update({(kind, heading): rule for heading, rule in zip(head[1:], rules, strict=True)})
    return found


CELLS = cells()


def logical(plain: str, meaning: str, **rest: Any) -> dict[str, Any]:
    return {"type": plain, "logicalType": meaning, **rest}


RECORD = {
    "type": "record",
    "name": "Point",
    "fields": [{"name": "x", "type": "long"}, {"name": "s", "type": "string", "default": "-"}],
}
# Name -> the table's column, and the type.
AVRO: dict[str, tuple[str, Any]] = {
    **{name: (name, name) for name in ("null", "boolean", "string", "bytes")},
    **{name: ("int, long", name) for name in ("int", "long")},
    **{name: ("float, double", name) for name in ("float", "double")},
    "fixed": ("fixed", {"type": "fixed", "name": "Two", "size": 2}),
    "enum": ("enum", {"type": "enum", "name": "Letter", "symbols": ["A", "B"]}),
    "array": ("array", {"type": "array", "items": "long"}),
    "map": ("map, record", {"type": "map", "values": "long"}),
    "record": ("map, record", RECORD),
    "date": ("date", logical("int", "date")),
    "time-millis": ("time-*", logical("int", "time-millis")),
    "time-micros": ("time-*", logical("long", "time-micros")),
    **{
        f"{local}timestamp-{unit}": (f"{local}timestamp-*", logical("long", f"{local}timestamp-{unit}"))
        for local in ("", "local-")
        for unit in ("millis", "micros", "nanos")
    },
    "decimal": ("decimal", logical("bytes", "decimal", precision=9, scale=2)),
    "decimal fixed": ("decimal", logical("fixed", "decimal", name="Money", size=5, precision=9, scale=2)),
    "uuid": ("uuid", logical("string", "uuid")),
    "uuid fixed": ("uuid", logical("fixed", "uuid", name="Id", size=16)),
    "duration": ("duration", logical("fixed", "duration", name="Span", size=12)),
}
# The code of the struct module -> the table's column, and numpy's type.
STRUCT: dict[str, tuple[str, str]] = {
    "?": ("Struct ?", "?"),
    **{
        code: ("Struct int", type_)
        for code, type_ in [("b", "i1"), ("H", "u2"), (">i", ">i4"), ("<q", "<i8"), ("Q", "u8")]
    },
    **{code: ("Struct float", type_) for code, type_ in [("e", "f2"), ("f", "f4"), (">d", ">f8")]},
    "4s": ("Struct S", "S4"),
    "M8[us]": ("Struct M8", "M8[us]"),
    "m8[ms]": ("Struct m8", "m8[ms]"),
}
JSON: dict[str, dict[str, str]] = {"json": {}, "json nan=error": {"nan": "error"}, "json base64": {"binary": "base64"}}

# ---- rules ---------------------------------------------------------------------------------------


def hold(condition: bool) -> None:
    if not condition:
        raise RefusedRows


def utf8(value: str) -> str:
    hold(all(not 0xD800 <= ord(character) < 0xE000 for character in value))
    return value


def ticks(value: datetime.datetime, unit_ns: int) -> int:
    """Units since the epoch on the clock in UTC, rounded down."""
    nanoseconds = (value - EPOCH) // MICROSECOND * 1000 + getattr(value, "nanosecond", 0)
    made = nanoseconds // unit_ns
    hold(-(2**63) <= made < 2**63)
    return made


def moment(rule: str, value: Any, unit_ns: int) -> int:
    if not isinstance(value, datetime.datetime):
        return ticks(datetime.datetime.combine(value, datetime.time(), UTC), unit_ns)
    return ticks(value if rule == "instant" else value.replace(tzinfo=UTC), unit_ns)


def as_avro(rule: str, value: Any, type_: Any) -> Any:
    """What fastavro is to write for the value."""
    kind = type_["type"] if isinstance(type_, dict) else type_
    name = type_.get("logicalType", kind) if isinstance(type_, dict) else kind
    if rule == "-":
        raise RefusedRows
    if rule == "null":
        return None
    if rule == "near":
        return near(value, single=kind == "float")
    if rule == "ticks" or (rule == "=" and name in ("int", "long")):
        bits = 32 if kind == "int" else 64
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        if name.startswith("time-"):
            low, high = 0, 86_400_000 * (1000 if name.endswith("micros") else 1) - 1
        hold(low <= value <= high)
        return value
    if rule in ("instant", "wall", "midnight"):
        return moment(rule, value, {"millis": 10**6, "micros": 1000, "nanos": 1}[name.rpartition("-")[2]])
    if rule == "day":
        return value.date()
    if rule == "symbol":
        return "A"  # of all members in `values`
    if rule == "parts":
        hold(value >= datetime.timedelta(0))
        return struct.pack("<3I", 0, value.days, value.seconds * 1000 + value.microseconds // 1000)
    if rule == "utf8":
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise RefusedRows from None
    if rule == "items":
        return dict(value) if isinstance(value, dict) else list(value)
    if name == "string":
        return utf8(value)
    if name in ("enum", "fixed", "duration"):
        hold(value in type_["symbols"] if name == "enum" else len(value) == type_["size"])
    if name == "decimal":
        return scaled(Decimal(value), type_)
    if name == "uuid":
        return as_uuid(value, kind)
    return value


def near(value: Any, *, single: bool) -> float:
    try:
        value = float(value)
    except OverflowError:
        raise RefusedRows from None
    if single:
        with np.errstate(over="ignore"):
            hold(not math.isfinite(value) or bool(np.isfinite(np.float32(value))))
    return value


def scaled(value: Decimal, type_: Any) -> Decimal:
    hold(value.is_finite())
    unscaled = value.scaleb(type_["scale"])
    hold(unscaled == unscaled.to_integral_value() and abs(unscaled) < 10 ** type_["precision"])
    return value


def as_uuid(value: Any, kind: str) -> Any:
    try:
        made = uuid.UUID(bytes=bytes(value)) if isinstance(value, bytes) and len(value) == 16 else value
        made = made if isinstance(made, uuid.UUID) else uuid.UUID(made.decode() if isinstance(made, bytes) else made)
    except ValueError:
        raise RefusedRows from None
    return made if kind == "string" else made.bytes


def as_json(rule: str, value: Any, options: dict[str, str]) -> Any:
    """What the json module is to write for the value."""
    if rule == "-" or (rule == "nan" and options) or (rule == "base64" and "binary" not in options):
        hold(rule == "nan" and options.get("nan") != "error")
        return None
    if rule == "base64":
        return base64.b64encode(value).decode()
    if rule in ("null", "nan"):
        return None
    if rule == "text":
        hold(not isinstance(value, Decimal) or value.is_finite())
        if isinstance(value, Decimal):
            return f"{value:f}"
        return str(value) if isinstance(value, uuid.UUID) else value.isoformat()
    if isinstance(value, str):
        return utf8(value)
    if isinstance(value, (float, np.floating)) and not np.isfinite(value):
        return as_json("nan", value, options)
    return float(str(np.float32(value))) if isinstance(value, (np.float16, np.float32)) else value


def as_struct(rule: str, value: Any, code: str) -> bytes:
    """The bytes of the struct module; of numpy for times."""
    if rule == "-":
        raise RefusedRows
    if code[0] in "Mm":
        unit_ns = {"us": 1000, "ms": 10**6}[code[3:-1]]
        if rule in ("wall", "instant"):
            value = moment(rule, value, unit_ns)
        elif rule == "clock":
            value = (value // MICROSECOND) * 1000 // unit_ns
        hold(-(2**63) < value < 2**63)
        return struct.pack("<q", value)
    try:
        if rule == "near":
            return struct.pack(code if code[0] in "<>" else f"<{code}", float(value))
        if code == "4s":
            value = utf8(value).encode() if isinstance(value, str) else value
            hold(len(value) <= 4)
        return struct.pack(code, value)
    except (struct.error, OverflowError):
        raise RefusedRows from None


def of_record(rule: str, value: Any) -> Any:
    """Bytes (or None) of a value, key or header; milliseconds of a timestamp."""
    if rule == "-":
        raise RefusedRows
    if rule == "none":
        return None
    if rule == "=":
        return bytes(value)
    if rule == "utf8":
        return utf8(value).encode()
    if rule in ("ms", "s"):
        hold(math.isfinite(value) and 631_152_000 <= value / (1000 if rule == "ms" else 1) < 4_102_444_800)
        return value if rule == "ms" else int(value * 1000)
    made = moment(rule, value, 10**6)
    hold(made > 0)
    return made


# ---- unions --------------------------------------------------------------------------------------

PLAIN = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
MOMENTS = ["null", "date", "timestamp-micros", "string"]
WALLS = ["null", "date", "local-timestamp-micros", "string"]
CLOCKS = ["null", "time-millis", "timestamp-nanos"]
NAMED = ["null", "decimal", "uuid", "duration", "enum", "fixed", "array", "record"]
# The branches, and which one a kind of value takes: the first of those that take it.
UNIONS: dict[str, tuple[list[str], dict[str, list[str]]]] = {
    "plain": (
        PLAIN,
        {
            "bool": ["boolean"],
            "int": ["int", "long", "float"],
            "float": ["float", "double"],
            "NaN": ["float"],
            "str": ["string"],
            "bytes": ["bytes"],
            "byte column": ["bytes"],
            "StrEnum member": ["string"],
            "IntEnum member": ["int"],
        },
    ),
    "moments": (
        MOMENTS,
        {
            "int": ["date", "timestamp-micros"],
            "byte column": ["string"],
            "IntEnum member": ["date"],
            "date": ["date"],
            "datetime64": ["timestamp-micros"],
            "naive column": ["timestamp-micros"],
            "zoned datetime": ["timestamp-micros"],
            "str": ["string"],
            "StrEnum member": ["string"],
        },
    ),
    "walls": (
        WALLS,
        {
            "int": ["date", "local-timestamp-micros"],
            "IntEnum member": ["date"],
            "byte column": ["string"],
            "date": ["date"],
            "naive datetime": ["local-timestamp-micros"],
            "datetime64": ["local-timestamp-micros"],
            "naive column": ["local-timestamp-micros"],
            "zoned datetime": ["local-timestamp-micros"],
            "str": ["string"],
            "StrEnum member": ["string"],
        },
    ),
    "clocks": (
        CLOCKS,
        {
            "int": ["time-millis", "timestamp-nanos"],
            "time": ["time-millis"],
            "date": ["timestamp-nanos"],
            "datetime64": ["timestamp-nanos"],
            "naive column": ["timestamp-nanos"],
            "zoned datetime": ["timestamp-nanos"],
            "IntEnum member": ["time-millis"],
        },
    ),
    "named": (
        NAMED,
        {
            "int": ["decimal"],
            "IntEnum member": ["enum"],
            "Decimal": ["decimal"],
            "UUID": ["uuid"],
            "bytes": ["fixed", "uuid", "duration"],
            "byte column": ["fixed", "uuid", "duration"],
            "timedelta": ["duration"],
            "str": ["enum", "uuid"],
            "list": ["array"],
            "dict": ["record"],
            **{f"{kind} member": ["enum"] for kind in ("Enum", "StrEnum", "IntEnum")},
        },
    ),
}


def as_branch(union: str, kind: str, value: Any) -> tuple[int, Any, Any]:
    """Number, type and value of the branch that takes it."""
    names, wanted = UNIONS[union]
    for name in wanted.get(kind, ["null"] if kind in ("missing", "NaN") else []):
        heading, type_ = AVRO[name]
        if name == "null":
            return names.index(name), type_, None
        try:
            made = as_avro(CELLS.get((kind, heading), "-"), value, type_)
        except RefusedRows:
            continue
        if name == "float" and kind != "int" and made == made and float(np.float32(made)) != made:
            continue  # the double holds it exactly
        return names.index(name), type_, made
    raise RefusedRows


# ---- bytes ---------------------------------------------------------------------------------------


def avro_bytes(type_: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed(type_), value)
    return out.getvalue()


_PARSED: dict[str, Any] = {}


def parsed(type_: Any) -> Any:
    text = json.dumps(type_)
    if text not in _PARSED:
        _PARSED[text] = fastavro.parse_schema(type_)
    return _PARSED[text]


def json_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


# ---- the page ------------------------------------------------------------------------------------

BEGIN, END = "<!-- tests/encoding/meanings.py: begin -->\n", "<!-- end -->\n"


def page() -> str:
    """The tables as the docs have them."""
    parts = []
    for title, table in TABLES.items():
        head, *lines = table.strip().splitlines()
        ruler = "|".join(["", *(" --- " for _ in head.split("|")[1:-1]), ""])
        parts.append("\n".join([f"{title} (all others are refused):", "", head, ruler, *lines, ""]))
    parts.append("\n".join(f"- `{rule}`: {text}" for rule, text in RULES.items()) + "\n")
    return "\n".join(parts)


def on_page(text: str) -> str:
    """Put the tables between their marks."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{page()}\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(on_page(path.read_text()))
