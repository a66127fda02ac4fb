"""What the encoder of columns has to know of a Protobuf message: read once from its descriptor.

Only what a descriptor says is read, so nothing here imports google.protobuf.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from twolane.errors import SerializationError

# By the number that a descriptor has for a type (FieldDescriptorProto.Type).
KINDS = {
    1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 6: "fixed64", 7: "fixed32", 8: "bool", 9: "string",
    10: "group", 11: "message", 12: "bytes", 13: "uint32", 14: "enum", 15: "sfixed32", 16: "sfixed64", 17: "sint32",
    18: "sint64",
}  # fmt: skip


# Messages that rows and columns have other values for than their fields: name, number, type, and whether repeated.
_TIME = (("seconds", 1, "int64", False), ("nanos", 2, "int32", False))
WRAPPED = {
    "Double": "double", "Float": "float", "Int64": "int64", "UInt64": "uint64", "Int32": "int32", "UInt32": "uint32",
    "Bool": "bool", "String": "string", "Bytes": "bytes",
}  # fmt: skip
WELL_KNOWN = {
    "google.protobuf.Timestamp": _TIME,
    "google.protobuf.Duration": _TIME,
    "google.protobuf.Struct": (("fields", 1, "message", True),),
    "google.protobuf.ListValue": (("values", 1, "message", True),),
    "google.protobuf.Value": (
        *(("null_value", 1, "enum", False), ("number_value", 2, "double", False), ("string_value", 3, "string", False)),
        *(("bool_value", 4, "bool", False), ("struct_value", 5, "message", False)),
        ("list_value", 6, "message", False),
    ),
    **{f"google.protobuf.{name}Value": (("value", 1, kind, False),) for name, kind in WRAPPED.items()},
}


@dataclass(eq=False, slots=True)
class EnumType:
    """An enum.

    Attributes
    ----------
    name : str
        With its package.
    numbers : dict of str to int
        Of its names, aliases too.
    closed : bool
        Whether numbers without a name are refused (proto2).
    """

    name: str
    numbers: dict[str, int]
    closed: bool


@dataclass(eq=False, slots=True)
class Field:
    """A field of a message.

    Attributes
    ----------
    name : str
    number : int
    kind : str
        Protobuf's name of a scalar type; "enum", "message" or "group".
    repeated : bool
        Maps are repeated messages of a key and a value.
    packed : bool
    presence : bool
        Whether it is written with its default value too.
    required : bool
    message : MessageType or None
    enum : EnumType or None
    """

    name: str
    number: int
    kind: str
    repeated: bool
    packed: bool
    presence: bool
    required: bool
    message: MessageType | None
    enum: EnumType | None

    @property
    def label(self) -> str:
        """Return what errors say was expected."""
        name = self.message.name if self.message is not None else self.enum.name if self.enum is not None else self.kind
        if self.message is not None and self.message.is_map:
            key, value = self.message.fields
            return f"map<{key.label}, {value.label}>"
        return f"repeated {name}" if self.repeated else name


@dataclass(eq=False, slots=True)
class MessageType:
    """A message.

    Attributes
    ----------
    name : str
        With its package.
    is_map : bool
        Whether it is the entry of a map: of a key, number 1, and a value, number 2.
    strict : bool
        Whether columns and fields of structs that it does not have are refused.
    fields : tuple of Field
        In ascending order of their numbers, in which they are written.
    oneofs : dict of str to tuple of int
        Of those with several fields: which ones, by their places in `fields`.
    """

    name: str
    is_map: bool
    strict: bool
    fields: tuple[Field, ...] = ()
    oneofs: dict[str, tuple[int, ...]] = field(default_factory=dict)


def message_type(descriptor: Any, *, strict: bool = False) -> MessageType:
    """Return the type of a message.

    Parameters
    ----------
    descriptor : google.protobuf.descriptor.Descriptor
        Or what has its attributes. Messages may contain themselves.
    strict : bool, default False
        Refuse columns, and fields of structs at any depth, that their message does not have.

    Raises
    ------
    SerializationError
        If one of Google's well-known messages has other fields than Google gave it.
    """
    return _message(descriptor, strict, {})


def _message(descriptor: Any, strict: bool, made: dict[str, MessageType]) -> MessageType:
    if descriptor.full_name in made:
        return made[descriptor.full_name]
    is_map = bool(descriptor.GetOptions().map_entry)
    message = made[descriptor.full_name] = MessageType(descriptor.full_name, is_map, strict)
    fields = sorted(descriptor.fields, key=lambda one: int(one.number))
    message.fields = tuple(_field(one, is_map, strict, made) for one in fields)
    if is_map and not _is_entry(message.fields):
        raise SerializationError(f"{message.name} is the entry of a map, but has no key of a scalar and value, 1 and 2")
    known = WELL_KNOWN.get(message.name)
    if known is not None and known != tuple((one.name, one.number, one.kind, one.repeated) for one in message.fields):
        raise SerializationError(f"{message.name} has other fields than Google gave it")
    oneofs: dict[str, list[int]] = {}
    for i, one in enumerate(fields):
        if one.containing_oneof is not None:
            oneofs.setdefault(one.containing_oneof.name, []).append(i)
    # proto3 has a oneof of its own for each optional field.
    message.oneofs = {name: tuple(members) for name, members in oneofs.items() if len(members) > 1}
    return message


def _is_entry(fields: tuple[Field, ...]) -> bool:
    """Return whether these are what protoc makes of a map; descriptors made by hand may claim anything."""
    if [(one.name, one.number, one.repeated) for one in fields] != [("key", 1, False), ("value", 2, False)]:
        return False
    return fields[0].kind not in ("float", "double", "bytes", "enum", "message", "group")


def _field(descriptor: Any, in_entry: bool, strict: bool, made: dict[str, MessageType]) -> Field:
    kind = KINDS[descriptor.type]
    enum = descriptor.enum_type
    # Releases before 6.31 have a label only.
    label = getattr(descriptor, "label", None) if not hasattr(descriptor, "is_repeated") else None
    repeated = bool(descriptor.is_repeated) if label is None else label == 3
    return Field(
        name=descriptor.name,
        number=descriptor.number,
        kind=kind,
        repeated=repeated,
        packed=repeated and kind not in ("string", "bytes", "message", "group") and _is_packed(descriptor),
        # A map's entry has both of its fields always.
        presence=in_entry or (not repeated and bool(descriptor.has_presence)),
        required=bool(descriptor.is_required) if label is None else label == 2,
        message=None if kind not in ("message", "group") else _message(descriptor.message_type, strict, made),
        enum=None
        if kind != "enum"
        else EnumType(
            enum.full_name,
            {value.name: value.number for value in enum.values},
            bool(enum.is_closed) if hasattr(enum, "is_closed") else _is_proto2(enum.file),
        ),
    )


def _is_packed(descriptor: Any) -> bool:
    if hasattr(descriptor, "is_packed"):
        return bool(descriptor.is_packed)
    options = descriptor.GetOptions()  # of older releases
    return bool(options.packed) if options.HasField("packed") else not _is_proto2(descriptor.file)


def _is_proto2(file: Any) -> bool:
    """Return whether a file is of the syntax that is the default; the name of another one is among its last bytes."""
    end = bytes(file.serialized_pb[-16:])
    return b"b\x06proto3" not in end and b"b\x08editions" not in end
