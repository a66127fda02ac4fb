"""Compiled descriptor sets with faults: refused by a SerializationError, or a message that google.protobuf reads."""

from __future__ import annotations

import base64
import random
from functools import cache
from typing import Any

from google.protobuf import duration_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass

from tests.encoding.protobuf.generated import Schema
from tests.fuzz.draw import Draw
from twolane import Protobuf, SerializationError
from twolane.encoding.protobuf.descriptors import descriptor_of_text
from twolane.errors import TwolaneError

NAMES = [
    "",
    ".",
    "p",
    ".p.Root",
    "Root",
    "p.Root",
    "Inner0",
    ".p.Inner0",
    "f0",
    "f1",
    "key",
    "value",
    "proto2",
    "ä",
    "a b",
]
KNOWN = [module.DESCRIPTOR for module in (timestamp_pb2, duration_pb2, wrappers_pb2)]


@cache
def case(number: int) -> bytes:
    """Return a descriptor set."""
    made = FileDescriptorSet()
    for file in KNOWN:
        file.CopyToProto(made.file.add())
    made.file.add().CopyFrom(Schema(random.Random(number)).file)
    return made.SerializeToString()


def messages(root: Any) -> list[Any]:
    """Return a message and all within it."""
    found = [root]
    for one in found:
        for field, value in one.ListFields():
            if field.message_type is not None:
                found += list(value) if field.is_repeated else [value]
    return found


def spoil(draw: Draw, root: Any) -> None:
    """Change one field of one message of a descriptor."""
    one = draw.choice(messages(root))
    fields = one.DESCRIPTOR.fields
    field = fields[draw.below(len(fields))]
    if field.message_type is not None:
        if field.is_repeated and draw.below(2):
            getattr(one, field.name).add()
        else:
            one.ClearField(field.name)
    elif field.cpp_type == field.CPPTYPE_STRING:
        made = draw.choice(NAMES) if draw.below(4) else draw.text()
        made = made.encode() if field.type == field.TYPE_BYTES else made
        if field.is_repeated:
            getattr(one, field.name).append(made)
        else:
            setattr(one, field.name, made)
    elif not field.is_repeated:
        if field.enum_type is not None:
            setattr(one, field.name, draw.choice(field.enum_type.values).number)
        elif field.cpp_type == field.CPPTYPE_BOOL:
            setattr(one, field.name, bool(draw.below(2)))
        elif field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32):
            setattr(one, field.name, draw.choice([0, 1, 2, 19000, 536870911, 536870912, 2**31 - 1]))


def name_of(file: bytes) -> str:
    """Return the name of a file, under which others import it."""
    try:
        return str(FileDescriptorProto.FromString(file).name)
    except UnicodeDecodeError:
        return "other.proto"


def run(data: bytes) -> None:
    draw = Draw(data)
    given = case(draw.below(64))
    if draw.below(4):
        made = FileDescriptorSet.FromString(given)
        for _ in range(draw.below(4)):
            spoil(draw, made)
        given = made.SerializePartialToString()
    for _ in range(draw.below(3) if draw.one_in(4) else 0):
        at = draw.below(len(given) + 1)
        given = given[:at] + draw.raw(4) + given[at + draw.below(4) :]
    name = draw.choice(["Root", "p.Root", None, "Inner0", "p.", draw.text()])
    if draw.below(4):
        try:
            descriptor = Protobuf(given, message=name).descriptor
        except SerializationError:
            return
    else:
        # As a registry keeps it: base64 of each file, those that it imports beside it.
        try:
            files = [one.SerializePartialToString() for one in FileDescriptorSet.FromString(given).file]
        except Exception as error:  # noqa: BLE001 - google.protobuf's, of bytes that are no descriptor set
            assert not isinstance(error, TwolaneError)
            files = [given]
        texts = [base64.b64encode(file).decode() for file in files] or [""]
        referenced = [(name_of(file), text) for file, text in zip(files[:-1], texts, strict=False)]
        if draw.one_in(8):
            texts[-1] = texts[-1][: draw.below(len(texts[-1]) + 1)] + draw.text()
        try:
            descriptor = descriptor_of_text(texts[-1], referenced, name)
        except SerializationError:
            return
        try:
            Protobuf(GetMessageClass(descriptor))
        except SerializationError:
            return
    kind = GetMessageClass(descriptor)
    try:
        record = Protobuf(kind).encode({})
    except SerializationError:
        return
    assert record == kind().SerializePartialToString()
