"""Avro schemas: JSON to a graph of types, with names resolved and defaults kept.

Source: https://avro.apache.org/docs/1.12.0/specification/ (sections "Schema Declaration", "Names", "Logical Types").
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twolane.encoding.json_text import parsed
from twolane.errors import SerializationError, shown

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
MAX_TEXT = 16 * 1024 * 1024
MAX_DEPTH = 64
MAX_PRECISION = 100_000  # numbers of more digits take too long to make
MISSING: Any = object()

# Which types a logical type may annotate; elsewhere the specification says to ignore them.
LOGICAL: dict[str, tuple[str, ...]] = {
    "decimal": ("bytes", "fixed"),
    "uuid": ("string", "fixed"),
    "date": ("int",),
    "time-millis": ("int",),
    "time-micros": ("long",),
    "timestamp-millis": ("long",),
    "timestamp-micros": ("long",),
    "timestamp-nanos": ("long",),
    "local-timestamp-millis": ("long",),
    "local-timestamp-micros": ("long",),
    "local-timestamp-nanos": ("long",),
    "duration": ("fixed",),
}
FIXED_SIZES = {"uuid": 16, "duration": 12}


@dataclass(eq=False, slots=True)
class AvroField:
    """One field of a record; `default` is MISSING where there is none."""

    name: str
    type: AvroType
    default: Any = MISSING
    aliases: tuple[str, ...] = ()


@dataclass(eq=False, slots=True, repr=False)
class AvroType:
    """One node of the graph; recursion makes cycles, so compare by identity.

    Attributes
    ----------
    kind : str
        A primitive, or record, enum, array, map, union, fixed.
    logical : str or None
    name : str or None
        Full name of record, enum and fixed.
    strict : bool
        Of a record: rows must not have other fields.
    """

    kind: str
    logical: str | None = None
    name: str | None = None
    aliases: tuple[str, ...] = ()
    fields: list[AvroField] = field(default_factory=list)
    symbols: tuple[str, ...] = ()
    items: AvroType | None = None
    branches: list[AvroType] = field(default_factory=list)
    size: int = 0
    precision: int = 0
    scale: int = 0
    strict: bool = False

    @property
    def label(self) -> str:
        """Return what error messages call the type, and what names a branch of a union."""
        return self.name or (f"{self.kind} ({self.logical})" if self.logical else self.kind)

    def __repr__(self) -> str:
        return f"AvroType({self.label})"


def load(schema: Any) -> Any:
    """Return a schema as JSON values.

    Parameters
    ----------
    schema : object
        JSON text (a byte order mark before it does not count), the name of a primitive, the path of a file, a
        `Schema` of confluent_kafka, or values already.

    Raises
    ------
    SerializationError
        If the text is no JSON in UTF-8, longer than 16 MiB or nested too deep, or the file cannot be read.
    """
    if hasattr(schema, "schema_str"):
        schema = schema.schema_str
    if isinstance(schema, os.PathLike):
        schema = read_file(schema)
    if isinstance(schema, bytes):
        try:
            schema = schema.decode()
        except UnicodeDecodeError:
            raise refused(f"expected JSON in UTF-8, got {shown(schema)}") from None
    if not isinstance(schema, str):
        return schema
    schema = schema.removeprefix("\ufeff")
    if schema.strip() in PRIMITIVES:
        return schema.strip()
    if len(schema) > MAX_TEXT:
        raise refused(f"expected at most {MAX_TEXT} characters of JSON, got {len(schema)}")
    try:
        return parsed(schema)
    except ValueError as error:
        raise refused(f"expected JSON: {error}; the text is {shown(schema)}") from None


def read_file(path: os.PathLike[Any]) -> bytes:
    """Return what a file holds, but for what is beyond the longest text."""
    try:
        with Path(path).open("rb") as file:
            return file.read(4 * MAX_TEXT)
    except OSError as error:
        raise refused(f"cannot read {os.fspath(path)!r}: {error.strerror or error}") from None


def parse(schema: Any, *, strict: bool = False, strict_names: bool = False) -> AvroType:
    """Parse a schema: what `load` takes.

    Parameters
    ----------
    strict : bool
        Of all records.
    strict_names : bool
        Refuse names that the specification does not allow. They do not change the bytes, and Java reads them with
        NameValidator.NO_VALIDATION, as Kafka's tools do.

    Raises
    ------
    SerializationError
        If it breaks the specification; the message names the place.
    """
    return Parser(strict, strict_names).type(load(schema), "", "schema", 0)


def refused(reason: str) -> SerializationError:
    """Make the error for a schema that cannot be used."""
    return SerializationError(f"Avro schema: {reason}")


class Parser:
    """Walks one schema; knows the names defined so far."""

    def __init__(self, strict: bool, strict_names: bool) -> None:
        self.named: dict[str, AvroType] = {}
        self.strict = strict
        self.strict_names = strict_names

    def check_name(self, name: str, place: str, what: str) -> None:
        """Refuse an empty name, and one that the specification does not allow where names are strict."""
        if not name or (self.strict_names and not NAME.match(name)):
            raise refused(f"{place}: {shown(name)} cannot be the name of {what}")

    def type(self, node: Any, namespace: str, place: str, depth: int) -> AvroType:
        """Parse one type; `namespace` is the enclosing one, `place` names it in errors."""
        if depth > MAX_DEPTH:
            raise refused(f"{place}: nested deeper than {MAX_DEPTH}")
        if isinstance(node, str):
            return self.by_name(node, namespace, place)
        if isinstance(node, list):
            return self.union(node, namespace, place, depth)
        if not isinstance(node, dict) or "type" not in node:
            raise refused(f"{place}: expected a type, got {shown(node)}")
        kind = node["type"]
        if isinstance(kind, (dict, list)):
            return self.type(kind, namespace, place, depth + 1)
        if kind in PRIMITIVES:
            return with_logical(AvroType(kind), node)
        if kind in ("record", "error", "enum", "fixed"):
            return self.definition(kind, node, namespace, place, depth)
        if kind in ("array", "map"):
            what = "items" if kind == "array" else "values"
            if what not in node:
                raise refused(f"{place}: expected {what!r} in {shown(node)}")
            return AvroType(kind, items=self.type(node[what], namespace, f"{place}.{what}", depth + 1))
        if isinstance(kind, str):
            return self.by_name(kind, namespace, place)
        raise refused(f"{place}: expected the name of a type, got {shown(kind)}")

    def by_name(self, name: str, namespace: str, place: str) -> AvroType:
        """Find a primitive or a type defined before."""
        if name in PRIMITIVES:
            return AvroType(name)
        found = self.named.get(qualified(name, namespace)) or self.named.get(name)
        if found is None:
            raise refused(f"{place}: unknown type {shown(name)}")
        return found

    def union(self, nodes: list[Any], namespace: str, place: str, depth: int) -> AvroType:
        """Parse a union; the specification forbids unions in unions and two branches of one unnamed kind."""
        if not nodes:
            raise refused(f"{place}: expected at least one branch in a union")
        branches = [self.type(node, namespace, f"{place}[{i}]", depth + 1) for i, node in enumerate(nodes)]
        seen: set[str] = set()
        for branch in branches:
            key = branch.name or branch.kind
            if branch.kind == "union":
                raise refused(f"{place}: a union stands directly in a union")
            if key in seen:
                raise refused(f"{place}: the union has {key!r} twice")
            seen.add(key)
        return AvroType("union", branches=branches)

    def definition(self, kind: str, node: dict[str, Any], namespace: str, place: str, depth: int) -> AvroType:
        """Parse a record, an enum or a fixed, and remember its name before its fields (they may refer to it)."""
        name, inner = full_name(node, namespace, place)
        for part in name.split(".") if self.strict_names else (name.rpartition(".")[2],):
            self.check_name(part, place, "a type")
        if name in self.named:
            raise refused(f"{place}: {name!r} is defined twice")
        if name in PRIMITIVES:
            raise refused(f"{place}: {name!r} is the name of a primitive type")
        made = AvroType("record" if kind == "error" else kind, name=name, aliases=aliases(node, inner, place))
        made.strict = self.strict
        self.named[name] = made
        if kind == "fixed":
            size = node.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**31:
                raise refused(f"{place}: expected a size in bytes for {name!r}, got {shown(size)}")
            made.size = size
            return with_logical(made, node)
        if kind == "enum":
            symbols = node.get("symbols")
            if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
                raise refused(f"{place}: expected a list of names as symbols of {name!r}, got {shown(symbols)}")
            for symbol in symbols:
                self.check_name(symbol, place, f"a symbol of {name!r}")
            if len(set(symbols)) != len(symbols):
                raise refused(f"{place}: a symbol of {name!r} stands twice")
            made.symbols = tuple(symbols)
            return made
        fields = node.get("fields")
        if not isinstance(fields, list):
            raise refused(f"{place}: expected a list of fields for {name!r}, got {shown(fields)}")
        seen: set[str] = set()
        for entry in fields:
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or "type" not in entry:
                raise refused(f"{place}: expected a field with name and type in {name!r}, got {shown(entry)}")
            field_name = entry["name"]
            self.check_name(field_name, place, "a field")
            if field_name in seen:
                raise refused(f"{place}: {name!r} has the field {field_name!r} twice")
            seen.add(field_name)
            field_type = self.type(entry["type"], inner, f"{name}.{field_name}", depth + 1)
            if "logicalType" in entry and isinstance(entry["type"], str) and entry["type"] in PRIMITIVES:
                # Not what the specification says, but what many schemas in use say; Java ignores it, and so do we.
                pass
            made.fields.append(AvroField(field_name, field_type, entry.get("default", MISSING)))
        return made


def full_name(node: dict[str, Any], namespace: str, place: str) -> tuple[str, str]:
    """Return the full name of a definition and the namespace for what is inside it.

    As Java's `Schema.Name`: a name with a dot has its own namespace (``".Node"`` has none), and a namespace of null is
    the enclosing one.
    """
    name = node.get("name")
    if not isinstance(name, str):
        raise refused(f"{place}: expected a name, got {shown(name)}")
    inner = node.get("namespace")
    if inner is None:
        inner = namespace
    elif not isinstance(inner, str):
        raise refused(f"{place}: expected a namespace of names and dots, got {shown(inner)}")
    full = qualified(name, inner)
    return full, full.rpartition(".")[0]


def qualified(name: str, namespace: str) -> str:
    """Return the full name of a name inside a namespace; ``".Node"`` is Node of no namespace."""
    before, dot, short = name.rpartition(".")
    if dot:
        return f"{before}.{short}" if before else short
    return f"{namespace}.{name}" if namespace else name


def definitions(node: Any, namespace: str = "", found: dict[str, tuple[Any, str]] | None = None) -> dict[str, Any]:
    """Return all types that a schema defines, nested ones too: by full name, with the namespace inside.

    Aliases are none of them: a writer does not know them.
    """
    found = {} if found is None else found
    if isinstance(node, list):
        for branch in node:
            definitions(branch, namespace, found)
    elif isinstance(node, dict):
        if is_definition(node):
            name, namespace = full_name(node, namespace, "schema")
            found.setdefault(name, (node, namespace))
        for part in parts_of(node):
            definitions(part, namespace, found)
    return found


def is_definition(node: Any) -> bool:
    """Return whether a node defines a type with a name."""
    return (
        isinstance(node, dict)
        and isinstance(node.get("type"), str)
        and node["type"] in ("record", "error", "enum", "fixed")
    )


def parts_of(node: dict[str, Any]) -> list[Any]:
    """Return the types inside a node."""
    parts = [node[part] for part in ("type", "items", "values") if isinstance(node.get(part), (dict, list))]
    fields = node.get("fields")
    if isinstance(fields, list):
        parts += [field["type"] for field in fields if isinstance(field, dict) and "type" in field]
    return parts


def standalone(node: Any, known: dict[str, Any], namespace: str = "", done: set[str] | None = None) -> Any:
    """Return a schema that needs no other: a definition of `known` is inlined where it is first named."""
    done = set() if done is None else done
    if isinstance(node, list):
        return [standalone(branch, known, namespace, done) for branch in node]
    if isinstance(node, str):
        full = next((name for name in (qualified(node, namespace), node) if name in known or name in done), node)
        if full in done or full not in known:
            return full
        definition, namespace = known[full]
        return standalone({**definition, "name": full.rpartition(".")[2], "namespace": namespace}, known, "", done)
    if not isinstance(node, dict):
        return node
    made = dict(node)
    if is_definition(node):
        full, namespace = full_name(node, namespace, "schema")
        if full in done:
            return full  # another schema brought it along
        done.add(full)
        made["name"], made["namespace"] = full.rpartition(".")[2], namespace
    for part in ("type", "items", "values"):
        if part in node and not (part == "type" and is_definition(node)):
            made[part] = standalone(node[part], known, namespace, done)
    if isinstance(node.get("fields"), list):
        made["fields"] = [
            {**field, "type": standalone(field["type"], known, namespace, done)}
            if isinstance(field, dict) and "type" in field
            else field
            for field in node["fields"]
        ]
    return made


def shape(schema: AvroType) -> str:
    """Return what a schema's bytes depend on, and its names, as text, to compare schemas written differently."""
    seen: set[str] = set()

    def walk(node: AvroType) -> Any:
        if node.name is not None:
            if node.name in seen:
                return node.name
            seen.add(node.name)
        return [
            node.kind,
            node.name,
            node.size,
            list(node.symbols),
            [[entry.name, walk(entry.type)] for entry in node.fields],
            walk(node.items) if node.items is not None else None,
            [walk(branch) for branch in node.branches],
        ]

    return json.dumps(walk(schema))


def aliases(node: dict[str, Any], namespace: str, place: str) -> tuple[str, ...]:
    """Return a definition's aliases as full names; a writer encodes by its own names, so they only travel along."""
    given = node.get("aliases", [])
    if not isinstance(given, list) or not all(isinstance(alias, str) for alias in given):
        raise refused(f"{place}: expected a list of names as aliases, got {shown(given)}")
    return tuple(qualified(alias, namespace) for alias in given)


def with_logical(made: AvroType, node: dict[str, Any]) -> AvroType:
    """Set the logical type if the specification allows it there; it says to ignore any other."""
    logical = node.get("logicalType")
    if not isinstance(logical, str) or made.kind not in LOGICAL.get(logical, ()):
        return made
    if made.kind == "fixed" and logical in FIXED_SIZES and made.size != FIXED_SIZES[logical]:
        return made
    if logical == "decimal":
        precision, scale = node.get("precision"), node.get("scale", 0)
        if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision or precision < 1:
            return made
        if precision > MAX_PRECISION:
            raise refused(f"expected a decimal of at most {MAX_PRECISION} digits, got {shown(precision)}")
        # The largest precision that fits into a fixed of so many bytes (specification, "Decimal"). By logarithms: the
        # numbers themselves take long to make, and a power of two is none of ten.
        if made.kind == "fixed" and precision > math.log10(2) * (8 * made.size - 1):
            return made
        made.precision, made.scale = precision, scale
    made.logical = logical
    return made
