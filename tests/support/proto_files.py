"""Protobuf files for tests, described in Python: no compiler, and nothing generated is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

SCALARS = {
    kind.removeprefix("TYPE_").lower(): number
    for kind, number in FieldDescriptorProto.Type.items()
    if kind not in ("TYPE_MESSAGE", "TYPE_ENUM", "TYPE_GROUP")
}
LABELS = {"repeated": 3, "required": 2, "optional": 1}


def proto_file(
    name: str,
    messages: Mapping[str, Any],
    *,
    package: str = "n",
    imports: Iterable[str] = (),
    enums: Mapping[str, Mapping[str, int]] | None = None,
    syntax: str = "proto3",
) -> FileDescriptorProto:
    """Make a file.

    Parameters
    ----------
    messages : dict of str to dict
        Of each message its fields: name to type, such as ``"repeated int32"``, ``"map<string, .n.Point>"`` (full names
        begin with a dot, those of enums with ``enum``). An entry whose value is a dict is a nested message, or, if it
        is called ``oneof <name>``, fields of a oneof.
    """
    made = FileDescriptorProto(name=name, package=package, syntax=syntax, dependency=list(imports))
    for own, entries in (enums or {}).items():
        enum = made.enum_type.add(name=own)
        for symbol, number in entries.items():
            enum.value.add(name=symbol, number=number)
        if len(set(entries.values())) < len(entries):
            enum.options.allow_alias = True
    for own, entries in messages.items():
        _fill(made.message_type.add(name=own), entries, f".{package}.{own}", syntax)
    return made


def _fill(message: DescriptorProto, entries: Mapping[str, Any], path: str, syntax: str) -> None:
    for name, kind in entries.items():
        if name.startswith("oneof "):
            message.oneof_decl.add(name=name.removeprefix("oneof "))
            for own, one in kind.items():
                _field(message, own, one, path).oneof_index = len(message.oneof_decl) - 1
        elif isinstance(kind, str):
            _field(message, name, kind, path)
        else:
            _fill(message.nested_type.add(name=name), kind, f"{path}.{name}", syntax)
    for field in list(message.field):
        if field.proto3_optional and syntax == "proto3":
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")
        else:
            field.ClearField("proto3_optional")


def _field(message: DescriptorProto, name: str, kind: str, path: str) -> FieldDescriptorProto:
    field = message.field.add(name=name, number=len(message.field) + 1, label=1)
    if kind.startswith("map<"):
        key, _, value = kind.removeprefix("map<").removesuffix(">").partition(", ")
        own = "".join(part.capitalize() for part in name.split("_")) + "Entry"
        entry = message.nested_type.add(name=own)
        entry.options.map_entry = True
        _field(entry, "key", key, path)
        _field(entry, "value", value, path)
        kind = f"repeated {path}.{own}"
    word, _, rest = kind.partition(" ")
    if word in LABELS:
        field.label, kind = LABELS[word], rest
        field.proto3_optional = word == "optional"
    if kind.startswith("enum "):
        field.type, field.type_name = FieldDescriptorProto.TYPE_ENUM, kind.removeprefix("enum ")
    elif kind.startswith("."):
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, kind
    else:
        field.type = SCALARS[kind]
    return field


def proto_set(*files: FileDescriptorProto) -> bytes:
    """Return what protoc writes of files with ``--descriptor_set_out``."""
    return FileDescriptorSet(file=files).SerializeToString()


def proto_class(name: str, *files: FileDescriptorProto, pool: DescriptorPool | None = None) -> Any:
    """Return the class of a message of these files, which come behind those that they import."""
    pool = DescriptorPool() if pool is None else pool
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(name))
