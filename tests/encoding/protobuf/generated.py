"""Protobuf schemas and records made at random from a seed: a message class, Arrow columns, messages filled by hand.

The messages are filled through google.protobuf's own attributes, one by one: they are what the columns are judged by.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory, timestamp_pb2, wrappers_pb2

FieldProto = descriptor_pb2.FieldDescriptorProto
KNOWN = "google.protobuf."
SIGNED_32, SIGNED_64 = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)
UNSIGNED_32, UNSIGNED_64 = (0, 2**32 - 1), (0, 2**64 - 1)
INTEGERS = {
    "INT32": SIGNED_32, "SINT32": SIGNED_32, "SFIXED32": SIGNED_32, "INT64": SIGNED_64, "SINT64": SIGNED_64,
    "SFIXED64": SIGNED_64, "UINT32": UNSIGNED_32, "FIXED32": UNSIGNED_32, "UINT64": UNSIGNED_64, "FIXED64": UNSIGNED_64,
}  # fmt: skip
SCALARS = [*INTEGERS, "DOUBLE", "FLOAT", "BOOL", "STRING", "BYTES"]
KEYS = [kind for kind in SCALARS if kind not in ("DOUBLE", "FLOAT", "BYTES")]
WRAPPERS = {
    "DoubleValue": "DOUBLE", "FloatValue": "FLOAT", "Int64Value": "INT64", "UInt64Value": "UINT64",
    "Int32Value": "INT32", "UInt32Value": "UINT32", "BoolValue": "BOOL", "StringValue": "STRING",
    "BytesValue": "BYTES",
}  # fmt: skip
ARROW_INTEGERS = {
    pa.int8(): (-(2**7), 2**7 - 1), pa.int16(): (-(2**15), 2**15 - 1), pa.int32(): SIGNED_32, pa.int64(): SIGNED_64,
    pa.uint8(): (0, 2**8 - 1), pa.uint16(): (0, 2**16 - 1), pa.uint32(): UNSIGNED_32, pa.uint64(): UNSIGNED_64,
}  # fmt: skip
TEXTS = ["", "a", "\0", "déjà vu", "\U0001f600", "x" * 127, "y" * 128, "zß" * 100]
DOUBLES = [0.0, -0.0, 1.0, float("nan"), float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308, 0.1, -2.5]
SINGLES = [
    0.0,
    -0.0,
    1.0,
    float("nan"),
    float("inf"),
    1.401298464324817e-45,
    3.4028234663852886e38,
    0.10000000149011612,
]
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
NUMBERS = count()


def pool_with_known_types() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for module in (timestamp_pb2, duration_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool


def message_class(file: descriptor_pb2.FileDescriptorProto, name: str) -> Any:
    """Return the class of a message of a file, in a pool of its own."""
    pool = pool_with_known_types()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))


class Schema:
    """A file with a root message ``p.Root`` of random fields, and some that it contains."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.syntax = rng.choice(["proto2", "proto3", "proto3"])
        self.file = descriptor_pb2.FileDescriptorProto(name=f"f{next(NUMBERS)}.proto", package="p")
        if self.syntax == "proto3":
            self.file.syntax = "proto3"
        self.file.dependency.extend(f"google/protobuf/{name}.proto" for name in ("timestamp", "duration", "wrappers"))
        enum = self.file.enum_type.add(name="Color")
        for name, number in (("RED", 0), ("GREEN", 5), ("BLUE", -7), ("LAST", 2**31 - 1)):
            enum.value.add(name=name, number=number)
        self._messages: list[str] = []
        for i in range(rng.randrange(3)):
            self._add_message(f"Inner{i}", rng.randint(0, 4))
        self._add_message("Root", rng.randint(1, 9))
        self.kind = message_class(self.file, "Root")

    def _add_message(self, name: str, n: int) -> None:
        rng = self._rng
        message = self.file.message_type.add(name=name)
        numbers = rng.sample([*range(1, 40), 200, 2047, 2048, 2**21, 2**28, 2**29 - 1], n)
        synthetic = []
        for number in numbers:
            added = message.field.add(name=f"f{number}", number=number, label=FieldProto.LABEL_OPTIONAL)
            self._type(added, [*self._messages, name])
            shape = rng.random()
            if shape < 0.25:
                added.label = FieldProto.LABEL_REPEATED
                if added.type not in (9, 10, 11, 12) and rng.random() < 0.5:
                    added.options.packed = rng.random() < 0.5
            elif shape < 0.35:
                self._as_map(message, added)
            elif self.syntax == "proto2":
                if shape < 0.45 and added.type_name != f".p.{name}":
                    added.label = FieldProto.LABEL_REQUIRED
            elif shape < 0.55:
                added.proto3_optional = True
                synthetic.append(added)
        free = [one for one in message.field if one.label == FieldProto.LABEL_OPTIONAL and not one.proto3_optional]
        if len(free) > 1 and rng.random() < 0.4:
            message.oneof_decl.add(name="choice")
            for one in free[: rng.randint(1, len(free))]:
                one.oneof_index = 0
        for one in synthetic:
            one.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{one.name}")
        self._messages.append(name)

    def _type(self, added: Any, messages: list[str]) -> None:
        roll = self._rng.random()
        if roll < 0.6:
            added.type = FieldProto.Type.Value(f"TYPE_{self._rng.choice(SCALARS)}")
        elif roll < 0.7:
            added.type, added.type_name = FieldProto.TYPE_ENUM, ".p.Color"
        elif roll < 0.85:
            added.type = FieldProto.TYPE_MESSAGE
            added.type_name = f".{KNOWN}{self._rng.choice(['Timestamp', 'Duration', *WRAPPERS])}"
        else:
            added.type, added.type_name = FieldProto.TYPE_MESSAGE, f".p.{self._rng.choice(messages)}"

    def _as_map(self, message: Any, added: Any) -> None:
        name = "".join(part.title() for part in added.name.split("_")) + "Entry"
        entry = message.nested_type.add(name=name)
        entry.options.map_entry = True
        key = FieldProto.Type.Value(f"TYPE_{self._rng.choice(KEYS)}")
        entry.field.add(name="key", number=1, type=key, label=FieldProto.LABEL_OPTIONAL)
        value = entry.field.add(name="value", number=2, type=added.type, label=FieldProto.LABEL_OPTIONAL)
        if added.type_name:
            value.type_name = added.type_name
        added.label, added.type = FieldProto.LABEL_REPEATED, FieldProto.TYPE_MESSAGE
        added.type_name = f".p.{message.name}.{name}"


@dataclass
class Shape:
    """How the values of a field are held by Arrow, and which they are.

    Attributes
    ----------
    arrow : pyarrow.DataType
    draw : callable
        Makes a value for Arrow.
    fill : callable
        Sets the field of a message to it: ``fill(message)`` for a scalar returns what `setattr` takes.
    """

    arrow: pa.DataType
    draw: Any
    convert: Any = field(default=lambda value: value)


def integer_shape(rng: random.Random, low: int, high: int) -> Shape:
    arrow, (first, last) = rng.choice(list(ARROW_INTEGERS.items()))
    low, high = max(low, first), min(high, last)
    edges = [number for number in (low, high, 0, 1, -1, 127, 128, low + 1) if low <= number <= high]
    return Shape(arrow, lambda: rng.choice(edges) if rng.random() < 0.6 else rng.randint(low, high))


def scalar_shape(rng: random.Random, kind: str) -> Shape:
    if kind in INTEGERS:
        return integer_shape(rng, *INTEGERS[kind])
    if kind in ("DOUBLE", "FLOAT"):
        if rng.random() < 0.2:
            return integer_shape(rng, -1000, 1000)
        singles = kind == "FLOAT" or rng.random() < 0.3
        arrow = rng.choice([pa.float32(), pa.float64()]) if singles else pa.float64()
        return Shape(arrow, lambda: rng.choice(SINGLES if singles else DOUBLES))
    if kind == "BOOL":
        return Shape(pa.bool_(), lambda: rng.random() < 0.5)
    plain = rng.choice(["string", "large_string", "string_view", "dictionary", "binary"])
    if kind == "BYTES":
        plain = rng.choice(["binary", "large_binary", "binary_view", "dictionary", "fixed"])
        if plain == "fixed":
            return Shape(pa.binary(3), lambda: rng.randbytes(3))
        arrow = pa.dictionary(pa.int16(), pa.binary()) if plain == "dictionary" else getattr(pa, plain)()
        return Shape(arrow, lambda: rng.choice([b"", b"\0", b"\xff" * 130, rng.randbytes(5)]))
    arrow = pa.dictionary(pa.int32(), pa.string()) if plain == "dictionary" else getattr(pa, plain)()
    if plain == "binary":
        return Shape(arrow, lambda: rng.choice(TEXTS).encode(), bytes.decode)
    return Shape(arrow, lambda: rng.choice(TEXTS))


def enum_shape(rng: random.Random, closed: bool) -> Shape:
    numbers = {"RED": 0, "GREEN": 5, "BLUE": -7, "LAST": 2**31 - 1}
    if rng.random() < 0.5:
        arrow = rng.choice([pa.string(), pa.dictionary(pa.int8(), pa.string()), pa.large_string(), pa.string_view()])
        return Shape(arrow, lambda: rng.choice(list(numbers)), numbers.get)
    known = list(numbers.values())
    return Shape(rng.choice([pa.int32(), pa.int64()]), lambda: rng.choice(known if closed else [*known, 3, -(2**31)]))


def time_shape(rng: random.Random, name: str) -> Shape:
    """Ticks for Arrow; for the message its seconds and nanoseconds, counted by Python's integers."""
    unit = rng.choice(list(UNITS))
    per = UNITS[unit]
    if name == "Timestamp" and rng.random() < 0.2:
        low, high = -719_162, 2_932_896
        return Shape(
            pa.date32(), lambda: rng.choice([0, -1, low, high, rng.randint(low, high)]), lambda n: (n * 86_400, 0)
        )
    low, high = (-62_135_596_800, 253_402_300_800) if name == "Timestamp" else (-315_576_000_000, 315_576_000_001)
    low, high = max(low * per, SIGNED_64[0] + 1), min(high * per - 1, SIGNED_64[1])
    if name == "Duration":
        low = max(low, -(315_576_000_000 * per))
    ticks = [0, 1, -1, per, -per, low, high, per - 1, 1 - per]

    def draw() -> int:
        return rng.choice(ticks) if rng.random() < 0.5 else rng.randint(low, high)

    def parts(value: int) -> tuple[int, int]:
        if name == "Duration" and value < 0:
            seconds, rest = divmod(-value, per)
            return -seconds, -rest * (10**9 // per)
        seconds, rest = divmod(value, per)
        return seconds, rest * (10**9 // per)

    if name == "Duration":
        return Shape(pa.duration(unit), draw, parts)
    return Shape(pa.timestamp(unit, rng.choice([None, "UTC", "Asia/Kolkata"])), draw, parts)


class Columns:
    """How the fields of a message are held: a subset of them as columns, or as the children of structs."""

    def __init__(self, rng: random.Random, descriptor: Any, depth: int = 0) -> None:
        self._rng, self.descriptor = rng, descriptor
        self.fields: dict[str, Any] = {}
        for one in descriptor.fields:
            if one.is_required or depth == 0 or rng.random() < 0.7:
                shape = self._shape(one, depth)
                if shape is not None:
                    self.fields[one.name] = shape

    def _shape(self, one: Any, depth: int) -> Any:
        rng, below = self._rng, one.message_type
        if below is not None and below.GetOptions().map_entry:
            key, value = below.fields
            item = self._one(value, depth)
            if item is None:
                return None
            key_shape = scalar_shape(rng, kind_of(key))
            if rng.random() < 0.3 and not pa.types.is_dictionary(key_shape.arrow):
                entry = pa.struct([("value", arrow_of(item)), ("key", arrow_of(key_shape))])
                return pa.list_(entry), key_shape, item
            return pa.map_(arrow_of(key_shape), arrow_of(item)), key_shape, item
        shape = self._one(one, depth)
        if shape is None or not one.is_repeated:
            return shape
        make = rng.choice([pa.list_, pa.large_list, lambda inner: pa.list_(inner, 2)])
        return make(arrow_of(shape)), shape

    def _one(self, one: Any, depth: int) -> Any:
        if one.enum_type is not None:
            return enum_shape(self._rng, one.enum_type.is_closed)
        if one.message_type is None:
            return scalar_shape(self._rng, kind_of(one))
        name = one.message_type.full_name.removeprefix(KNOWN)
        if name in ("Timestamp", "Duration") and self._rng.random() < 0.8:
            return time_shape(self._rng, name)
        if name in WRAPPERS and self._rng.random() < 0.8:
            return scalar_shape(self._rng, WRAPPERS[name])
        if depth >= 3 and not one.is_required:
            return None
        made = Columns(self._rng, one.message_type, depth + 1)
        return made if made.fields or one.is_required else None

    @property
    def arrow(self) -> pa.DataType:
        return pa.struct([(name, arrow_of(shape)) for name, shape in self.fields.items()])

    def draw(self) -> dict[str, Any]:
        """Make the values of one record; None is a null."""
        row = {}
        chosen = {oneof.name: self._rng.choice(oneof.fields).name for oneof in self.descriptor.oneofs}
        for name, shape in self.fields.items():
            one = self.descriptor.fields_by_name[name]
            is_other = one.containing_oneof is not None and chosen[one.containing_oneof.name] != name
            row[name] = None if is_other or (not one.is_required and self._rng.random() < 0.2) else self._draw(shape)
        return row

    def _draw(self, shape: Any) -> Any:
        if not isinstance(shape, tuple):
            return shape.draw()
        if len(shape) == 2:
            arrow, item = shape
            # Not many messages inside messages: they grow with the power of their depth.
            sizes = (
                [0, 1, 2] if isinstance(item, Columns) else [0, 1, 2, 3, 5, 60] if self._rng.random() < 0.9 else [130]
            )
            n = 2 if pa.types.is_fixed_size_list(arrow) else self._rng.choice(sizes)
            return [item.draw() for _ in range(n)]
        arrow, key, value = shape
        entries = {key.draw(): value.draw() for _ in range(self._rng.choice([0, 1, 1, 4]))}
        if pa.types.is_map(arrow):
            return list(entries.items())
        return [{"key": one, "value": other} for one, other in entries.items()]

    def fill(self, message: Any, row: dict[str, Any]) -> None:
        """Set a message to a record."""
        for name, value in row.items():
            if value is None:
                continue
            shape, one = self.fields[name], self.descriptor.fields_by_name[name]
            if not isinstance(shape, tuple):
                fill_one(
                    shape,
                    one.message_type,
                    value,
                    lambda into, name=name: getattr(message, name),
                    lambda made, name=name: setattr(message, name, made),
                )
            elif len(shape) == 2:
                items = getattr(message, name)
                for item in value:
                    fill_one(shape[1], one.message_type, item, lambda into, items=items: items.add(), items.append)
            else:
                entries = getattr(message, name)
                for entry in value:
                    key, item = entry if isinstance(entry, tuple) else (entry["key"], entry["value"])
                    key = shape[1].convert(key)
                    fill_one(
                        shape[2],
                        one.message_type.fields_by_name["value"].message_type,
                        item,
                        lambda into, entries=entries, key=key: entries[key],
                        lambda made, entries=entries, key=key: entries.__setitem__(key, made),
                    )


def fill_one(shape: Any, below: Any, value: Any, part: Any, assign: Any) -> None:
    """Set what is a message by `part`, which gives it, and a scalar by `assign`."""
    if below is None:
        assign(shape.convert(value))
        return
    message = part(None)
    if isinstance(shape, Columns):
        message.SetInParent()
        shape.fill(message, value)
    elif below.name in WRAPPERS:
        message.SetInParent()
        message.value = shape.convert(value)
    else:
        message.SetInParent()
        message.seconds, message.nanos = shape.convert(value)


def kind_of(one: Any) -> str:
    return FieldProto.Type.Name(one.type).removeprefix("TYPE_")


def arrow_of(shape: Any) -> pa.DataType:
    return shape[0] if isinstance(shape, tuple) else shape.arrow


def has_times(shape: Any) -> bool:
    """Return whether there are times in it, which a list has other objects for than ticks."""
    if isinstance(shape, Columns):
        return any(map(has_times, shape.fields.values()))
    if isinstance(shape, tuple):
        return any(map(has_times, shape[1:]))
    return pa.types.is_temporal(shape.arrow)


def has_maps(shape: Any) -> bool:
    """Return whether there are maps in it."""
    if isinstance(shape, Columns):
        return any(map(has_maps, shape.fields.values()))
    return isinstance(shape, tuple) and (len(shape) == 3 or has_maps(shape[1]))


def as_object(shape: Any, value: Any) -> Any:
    """Return a value as a Python object, as rows and lists have it."""
    if value is None:
        return None
    if isinstance(shape, Columns):
        return {name: as_object(shape.fields[name], one) for name, one in value.items() if one is not None}
    if not isinstance(shape, tuple):
        return shape.convert(value)
    if len(shape) == 2:
        return [as_object(shape[1], item) for item in value]
    entries = [entry if isinstance(entry, tuple) else (entry["key"], entry["value"]) for entry in value]
    return {as_object(shape[1], key): as_object(shape[2], item) for key, item in entries}


def agrees(kind: Any, columns: Columns, row: dict[str, Any], record: bytes) -> bool:
    """Return whether a record is the message that is filled by hand: to the byte, but for the order of maps' entries.

    google.protobuf sorts those by rules of its own, and C++ and Java in others.
    """
    want = kind()
    columns.fill(want, row)
    written = want.SerializeToString(deterministic=True)
    if record == written:
        return True
    read = kind.FromString(record).SerializeToString(deterministic=True)
    return has_maps(columns) and len(record) == len(written) and read == written
