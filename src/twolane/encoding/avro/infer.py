"""Avro schemas from what the data says of itself: Arrow schemas, numpy dtypes, example rows."""

from __future__ import annotations

import datetime
import decimal
import enum
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from twolane._units import MS_NS, UNITS
from twolane.encoding.columns.objects import is_missing, is_missing_or_nan
from twolane.encoding.mismatch import Mismatch
from twolane.encoding.named_rows import by_name
from twolane.errors import SerializationError, shown

LOGICAL = "logicalType"
# Arrow's format strings (C data interface) and the Avro types that lose nothing of them.
FORMATS: dict[str, Any] = {
    "n": "null", "b": "boolean", "c": "int", "C": "int", "s": "int", "S": "int", "i": "int", "I": "long", "l": "long",
    "L": "long", "e": "float", "f": "float", "g": "double", "z": "bytes", "Z": "bytes", "vz": "bytes", "u": "string",
    "U": "string", "vu": "string", "uuid": {"type": "string", LOGICAL: "uuid"},
    "tdD": {"type": "int", LOGICAL: "date"}, "tdm": {"type": "int", LOGICAL: "date"},
}  # fmt: skip
FORMATS |= {
    f"tt{letter}": {"type": "int" if ns >= MS_NS else "long", LOGICAL: f"time-{'millis' if ns >= MS_NS else 'micros'}"}
    for _, ns, letter, _ in UNITS
    if letter is not None
}
# How the name of Avro's type for times of a unit ends: by numpy's name, and by Arrow's letter. Its coarsest is millis.
ENDING_OF_NUMPY = {name: ending or "millis" for name, _, _, ending in UNITS}
ENDING_OF_ARROW = {letter: ending or "millis" for _, _, letter, ending in UNITS if letter is not None}
NAME = re.compile(r"[^A-Za-z0-9_]")
SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Naming:
    """Names for the named types of one schema, each used once."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def __call__(self, hint: str) -> str:
        """Return a name like `hint` that Avro allows and that no other type has."""
        base = NAME.sub("_", hint) or "_"
        if base[0].isdigit():
            base = f"_{base}"
        name, n = base, 2
        while name in self.used:
            name, n = f"{base}{n}", n + 1
        self.used.add(name)
        return name


def checked_field(name: str) -> str:
    """Return the name of a field, or say that Avro does not allow it (a changed one would not find its column)."""
    if not name or NAME.search(name) or name[0].isdigit():
        raise SerializationError("expected a name of letters, digits and underscores for a field", field=name)
    return name


def from_description(description: tuple[str, str, bool, list[Any], Any], naming: Naming, hint: str) -> Any:
    """Return the Avro type of one Arrow type: (format, name, nullable, children, dictionary)."""
    form, _, nullable, children, dictionary = description
    made: Any
    if dictionary is not None:
        made = from_description((dictionary[0], "", False, *dictionary[3:]), naming, hint)
    elif form in FORMATS:
        made = FORMATS[form]
    elif form.startswith("ts"):
        made = {"type": "long", LOGICAL: f"{'' if len(form) > 4 else 'local-'}timestamp-{ENDING_OF_ARROW[form[2]]}"}
    elif form.startswith("d:"):
        precision, scale = (int(number) for number in form[2:].split(",")[:2])
        if scale < 0:
            raise SerializationError(f"a decimal of scale {scale} has no Avro type", field=hint)
        made = {"type": "bytes", LOGICAL: "decimal", "precision": precision, "scale": scale}
    elif form.startswith("w:"):
        made = {"type": "fixed", "name": naming(hint), "size": int(form[2:])}
    elif form in ("tiM", "tiD", "tin"):
        made = {"type": "fixed", "name": naming(hint), "size": 12, LOGICAL: "duration"}
    elif form.startswith(("+ud:", "+us:")):
        made = union_of([from_description(child, naming, f"{hint}_{child[1]}") for child in children])
        return made if "null" in made or not nullable else ["null", *made]
    elif form in ("+l", "+L", "+vl", "+vL") or form.startswith("+w:"):
        made = {"type": "array", "items": from_description(children[0], naming, f"{hint}_item")}
    elif form == "+s":
        name = naming(hint)
        made = {
            "type": "record",
            "name": name,
            "fields": [field_of(child, naming, f"{name}_{child[1]}") for child in children],
        }
    elif form == "+m":
        key, value = children[0][3]
        if key[0] not in ("u", "U", "vu"):
            raise SerializationError("expected a map with strings as keys", field=hint)
        made = {"type": "map", "values": from_description(value, naming, f"{hint}_value")}
    else:
        raise SerializationError(f"Arrow's type {form!r} has no Avro type", field=hint)
    return ["null", made] if nullable and made != "null" else made


def union_of(types: list[Any]) -> list[Any]:
    """Return the union of some types, of which each may be a union with null itself."""
    branches: list[Any] = []
    for made in types:
        branches += [branch for branch in (made if isinstance(made, list) else [made]) if branch not in branches]
    return sorted(branches, key=lambda branch: branch != "null")


def field_of(description: Any, naming: Naming, hint: str) -> dict[str, Any]:
    """Return a record's field; one that may be null has null as its default."""
    made = {"name": checked_field(description[1]), "type": from_description(description, naming, hint)}
    return {**made, "default": None} if isinstance(made["type"], list) and "null" in made["type"] else made


def schema_of_dtype(dtype: Any, naming: Naming, hint: str) -> Any:
    """Return the Avro type of a numpy dtype."""
    dtype = np.dtype(dtype)
    if dtype.names is not None:
        name = naming(hint)
        return {
            "type": "record",
            "name": name,
            "fields": [
                {
                    "name": checked_field(field),
                    "type": schema_of_dtype(dtype.fields[field][0], naming, f"{name}_{field}"),
                }
                for field in dtype.names
            ],
        }
    if dtype.subdtype is not None:
        return {"type": "array", "items": schema_of_dtype(dtype.subdtype[0], naming, f"{hint}_item")}
    if dtype.kind == "M":
        unit = np.datetime_data(dtype)[0]
        if unit in ("Y", "M", "W", "D"):
            return {"type": "int", LOGICAL: "date"}
        return {"type": "long", LOGICAL: f"timestamp-{ENDING_OF_NUMPY.get(unit, 'millis')}"}
    if dtype.kind == "V":
        return {"type": "fixed", "name": naming(hint), "size": dtype.itemsize}
    known = {"b": "boolean", "S": "string", "U": "string", "T": "string"}.get(dtype.kind)
    if known is None and dtype.kind in "iu":
        known = "int" if dtype.itemsize < 4 or dtype == np.int32 else "long"
    if known is None and dtype.kind == "f" and dtype.itemsize <= 8:
        known = "double" if dtype.itemsize == 8 else "float"
    if known is None:
        raise SerializationError(f"numpy's {dtype} has no Avro type", field=hint)
    return known


def schema_of_rows(rows: Iterable[Any], naming: Naming, hint: str) -> Any:
    """Return a record type that takes all the rows: what is missing or None somewhere becomes nullable."""
    seen: dict[str, list[Any]] = {}
    n = 0
    for row in rows:
        for name, value in as_mapping(row).items():
            # A field that is first seen here was missing in all rows before.
            seen.setdefault(name, [None] * min(n, 1)).append(value)
        n += 1
        for values in seen.values():
            if len(values) < n and None not in values:
                values.append(None)
    if not n:
        raise SerializationError("expected at least one example")
    name = naming(hint)
    made = []
    for field, values in seen.items():
        type_ = type_of_values(values, naming, f"{name}_{field}")
        optional = isinstance(type_, list) and type_[0] == "null"
        made.append({"name": checked_field(field), "type": type_, **({"default": None} if optional else {})})
    return {"type": "record", "name": name, "fields": made}


def as_mapping(row: Any) -> Mapping[str, Any]:
    """Return a row's fields by name."""
    named = as_row(row)
    if named is None:
        reason = "expected rows with names: dicts, dataclasses, attrs, pydantic or named tuples"
        raise SerializationError(reason, value=row)
    return named


def fields_by_name(row: Any) -> Mapping[str, Any] | None:
    """Return the fields of a row, or of an object with declared attributes; None for a value."""
    if is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in fields(row)}
    if hasattr(row, "model_dump"):
        return row.model_dump()  # type: ignore[no-any-return]
    if hasattr(row, "__attrs_attrs__"):
        return {field.name: getattr(row, field.name) for field in row.__attrs_attrs__}
    return by_name(row)


def type_of_values(values: list[Any], naming: Naming, hint: str) -> Any:
    """Return one type that takes all the values; ints give way to floats, anything else that differs is a union."""
    present = [value for value in values if not is_missing(value)]
    if not any(isinstance(value, (int, float, np.number)) and not is_missing_or_nan(value) for value in present):
        # NaN stands for what is missing beside anything but numbers.
        present = [value for value in present if not is_missing_or_nan(value)] or present
    kinds: dict[Any, Any] = {}
    shown_first: dict[Any, Any] = {}
    for value in present:
        if isinstance(value, (list, np.ndarray)) or type(value) is tuple:
            kinds.setdefault("array", []).extend(value)
            continue
        if isinstance(value, enum.Enum):
            kinds.setdefault(type(value), value)
            continue
        row = None if isinstance(value, (str, bytes)) else as_row(value)
        if row is not None:
            kinds.setdefault("record", []).append(row)
            continue
        made = type_of_value(value, hint)
        key = made if isinstance(made, str) else made[LOGICAL]
        if key == "decimal" and key in kinds:
            made = wider(kinds[key], made)
        kinds[key] = made
        shown_first.setdefault(made if isinstance(made, str) else made["type"], {}).setdefault(key, value)
    if "long" in kinds and "double" in kinds:
        del kinds["long"]
        del shown_first["long"]["long"]
    for plain, firsts in shown_first.items():
        if len(firsts) > 1:
            one, other = list(firsts.values())[:2]
            reason = (
                f"expected examples of one type, got two that are both {plain} in Avro: {shown(one)} and {shown(other)}"
            )
            raise SerializationError(reason, field=hint)
    for kind, some in kinds.items():
        if kind == "record":
            kinds[kind] = schema_of_rows(some, naming, hint)
        elif kind == "array":
            kinds[kind] = {"type": "array", "items": type_of_values(some, naming, f"{hint}_item")}
        elif isinstance(kind, type):
            kinds[kind] = {"type": "enum", "name": naming(kind.__name__), "symbols": symbols_of(kind, hint)}
    made_types = list(kinds.values())
    if not made_types:
        return "null"
    if len(present) < len(values):
        return ["null", *made_types]
    return made_types[0] if len(made_types) == 1 else made_types


def as_row(value: Any) -> Mapping[str, Any] | None:
    """Return the fields of a nested row, None for a value."""
    try:
        return fields_by_name(value)
    except Mismatch as error:
        raise error.as_error(None, None) from None


def symbols_of(kind: type[enum.Enum], hint: str) -> list[str]:
    """Return the symbols of an enum class: its members' values, as JSON has them, or their names where those cannot be.

    An encoder takes the one of name and value that is a symbol, so the other must not be one of another member.
    """
    names = [member.name for member in kind]
    values = [member.value for member in kind]
    for symbols, others in ((values, names), (names, values)):
        if all(isinstance(symbol, str) and SYMBOL.fullmatch(symbol) for symbol in symbols) and not any(
            other != symbol and other in symbols for symbol, other in zip(symbols, others, strict=True)
        ):
            return symbols
    raise SerializationError(
        f"expected an enum whose names are not values of other members, got {kind.__name__}", field=hint
    )


def wider(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return a decimal that holds both."""
    scale = max(one["scale"], other["scale"])
    whole = max(one["precision"] - one["scale"], other["precision"] - other["scale"])
    return {**one, "precision": whole + scale, "scale": scale}


def type_of_value(value: Any, hint: str) -> Any:
    """Return the Avro type of one value that has no parts."""
    if isinstance(value, (bool, np.bool_)):
        return "boolean"
    if isinstance(value, (int, np.integer)):
        return "long"
    if isinstance(value, (float, np.floating)):
        return "double"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "bytes"
    if isinstance(value, np.datetime64):
        return schema_of_dtype(value.dtype, Naming(), hint)
    if isinstance(value, datetime.datetime):
        return {"type": "long", LOGICAL: f"{'' if value.tzinfo else 'local-'}timestamp-micros"}
    if isinstance(value, datetime.date):
        return {"type": "int", LOGICAL: "date"}
    if isinstance(value, datetime.time):
        return {"type": "long", LOGICAL: "time-micros"}
    if isinstance(value, uuid.UUID):
        return {"type": "string", LOGICAL: "uuid"}
    if isinstance(value, decimal.Decimal) and value.is_finite():
        _, digits, exponent = value.as_tuple()
        scale = max(0, -int(exponent))
        precision = max(len(digits) + max(0, int(exponent)), scale, 1)
        return {"type": "bytes", LOGICAL: "decimal", "precision": precision, "scale": scale}
    raise SerializationError(f"expected a value that has an Avro type, got {shown(value)}", field=hint)
