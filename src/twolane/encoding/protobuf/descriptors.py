"""Descriptors of Protobuf messages: from classes, compiled descriptor sets and registries, and back to bytes.

A registry keeps a file as the base64 of its FileDescriptorProto, with the files that it imports as references.
Source: google/protobuf/descriptor.proto; the order of a message's indexes: Confluent's wire format.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FileDescriptor  # type: ignore[import-untyped]
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet  # type: ignore[import-untyped]
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]

from twolane.encoding.avro.schema import read_file
from twolane.encoding.protobuf.schema import MessageType, message_type
from twolane.errors import SerializationError, shown

# Files that every reader has, which registries need not keep: those of `skip.known.types`.
KNOWN = ("google/protobuf/", "google/type/", "confluent/")
# The file of a registered schema has no name.
REGISTERED = "default"


class File(NamedTuple):
    """A file as a registry keeps it.

    Attributes
    ----------
    name : str
        As imports have it.
    text : str
        Of its descriptor, see `file_text`.
    imports : tuple of str
        Names of the files that it imports.
    """

    name: str
    text: str
    imports: tuple[str, ...]


def descriptor_of(schema: Any, name: str | None) -> Any:
    """Return the descriptor of a message.

    Parameters
    ----------
    schema : type, Descriptor, FileDescriptorSet, bytes or path
        A generated class, its descriptor; or the files that `protoc --include_imports --descriptor_set_out` writes.
    name : str, optional
        Of the message in a set of files: with its package, or without where that names one message. Not needed where
        the last file has one message only.

    Raises
    ------
    SerializationError
        If it is none of these, or there is no such message.
    """
    if isinstance(schema, type) and issubclass(schema, Message) and schema is not Message:
        schema = schema.DESCRIPTOR  # type: ignore[attr-defined]
    if isinstance(schema, Descriptor):
        if name is not None and name not in (schema.full_name, schema.name):
            raise SerializationError(f"message: expected {schema.full_name}, which is given, or None", value=name)
        return schema
    if isinstance(schema, Message) and not isinstance(schema, FileDescriptorSet):
        own = schema.DESCRIPTOR.full_name
        raise SerializationError(f"expected a message's class, got a message of {own}: pass type(message)")
    if isinstance(schema, os.PathLike):
        schema = read_file(schema)
    if isinstance(schema, (bytes, bytearray)):
        schema = _parsed(FileDescriptorSet, bytes(schema))
    if not isinstance(schema, FileDescriptorSet) or not schema.file:
        raise SerializationError(
            "expected a generated message class, its Descriptor, or a compiled descriptor set, as bytes or a Path "
            "(protoc --include_imports --descriptor_set_out=file.desc)",
            value=schema,
        )
    pool = DescriptorPool()
    files = _add_files(pool, schema.file)
    return find_message(files, name)


def descriptor_of_text(text: str, referenced: Iterable[tuple[str, str]], name: str | None) -> Any:
    """Return the descriptor of a message of a registered schema.

    Parameters
    ----------
    text : str
        The schema, see `file_text`.
    referenced : iterable of (str, str)
        Name, as imports have it, and text of each other file.
    name : str, optional
        As for `descriptor_of`.

    Raises
    ------
    SerializationError
        If a text is no descriptor, a file is missing, or there is no such message.
    """
    files = []
    for own, other in (*referenced, (REGISTERED, text)):
        file = file_of_text(other)
        file.name = own
        files.append(file)
    return find_message(_add_files(DescriptorPool(), files)[-1:], name)


def file_text(file: Any) -> str:
    """Return what registries keep of a file: the base64 of its FileDescriptorProto."""
    return base64.b64encode(file.serialized_pb).decode()


def file_of_text(text: str) -> Any:
    """Return the FileDescriptorProto of a text; SerializationError if it is none."""
    try:
        data = base64.b64decode(text.encode(), validate=True)
    except (ValueError, binascii.Error):
        raise SerializationError(
            "expected a registered schema as the base64 of its FileDescriptorProto (format=serialized)", value=text
        ) from None
    return _parsed(FileDescriptorProto, data)


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except (DecodeError, RecursionError):
        raise SerializationError(f"expected the bytes of a {kind.__name__}, got {len(data)} that are none") from None


def _add_files(pool: Any, files: Sequence[Any]) -> list[Any]:
    """Add files and what they import to a pool; return their descriptors in the order given."""
    try:
        return _added(pool, files)
    except (UnicodeDecodeError, TypeError) as error:  # google.protobuf shows such names as bytes, or not at all
        raise SerializationError(f"expected file descriptors with names in UTF-8: {error}") from None


def _added(pool: Any, files: Sequence[Any]) -> list[Any]:
    by_name = {file.name: file for file in files}
    done: set[str] = set()

    def add(file: Any, path: tuple[str, ...]) -> None:
        if file.name in done:
            return
        if file.name in path:
            raise SerializationError(f"{file.name} imports itself, by {' and '.join(path)}")
        for name in file.dependency:
            other = by_name.get(name) or _known_file(name)
            if other is None:
                raise SerializationError(
                    f"{file.name} imports {name}, which is not given: compile with --include_imports"
                )
            add(other, (*path, file.name))
        if not file.IsInitialized():  # google.protobuf does not write such a file, and may die of one
            lacks = ", ".join(file.FindInitializationErrors())
            raise SerializationError(f"expected a valid file descriptor, {file.name} lacks {shown(lacks)}")
        if repeated := _repeated_default(file):
            raise SerializationError(
                f"expected a valid file descriptor, {file.name}: {repeated} repeats, with a default"
            )
        try:
            pool.AddSerializedFile(file.SerializeToString())
        except (TypeError, KeyError) as error:
            raise SerializationError(f"expected a valid file descriptor, {file.name}: {error}") from None
        done.add(file.name)

    for file in files:
        add(file, ())
    try:
        return [pool.FindFileByName(file.name) for file in files]
    except KeyError as error:  # of a name that google.protobuf takes, and does not find again
        raise SerializationError(f"expected file descriptors with plain names: {error}") from None


def _repeated_default(holder: Any) -> str | None:
    """Return a repeated field with a default, which protoc refuses; google.protobuf takes it, and dies of it later."""
    is_file = isinstance(holder, FileDescriptorProto)
    for field in (*holder.extension, *(() if is_file else holder.field)):
        if field.label == field.LABEL_REPEATED and field.HasField("default_value"):
            return str(field.name)
    return next(filter(None, map(_repeated_default, holder.message_type if is_file else holder.nested_type)), None)


def _known_file(name: str) -> Any:
    """Return the FileDescriptorProto of one of Google's files, as far as it is installed; else None."""
    if not name.startswith(KNOWN) or not name.endswith(".proto"):
        return None
    module = name.removesuffix(".proto").replace("/", ".") + "_pb2"
    if name.startswith("confluent/"):
        module = f"confluent_kafka.schema_registry.{module}"
    try:
        return FileDescriptorProto.FromString(import_module(module).DESCRIPTOR.serialized_pb)
    except (ImportError, AttributeError):
        return None


def messages_of(holder: Any) -> Iterator[Any]:
    """Return the messages of a file or a message in their order, each before those nested in it; no map entries."""
    nested = holder.message_types_by_name.values() if isinstance(holder, FileDescriptor) else holder.nested_types
    for one in nested:
        if not one.GetOptions().map_entry:
            yield one
            yield from messages_of(one)


def find_message(files: Sequence[Any], name: str | None) -> Any:
    """Return the message of a name, of the last file the only one without."""
    if name is None:
        own = list(files[-1].message_types_by_name.values())
        if len(own) == 1:
            return own[0]
        raise SerializationError(f"message: expected one of {listed(one.full_name for one in own)}")
    known = {one.full_name: one for file in files for one in messages_of(file)}
    if name in known:
        return known[name]
    fits = [full for full in known if full.endswith(f".{name}")]
    if len(fits) == 1:
        return known[fits[0]]
    raise SerializationError(f"message: expected one of {listed(fits or known)}{hint(name, known)}", value=name)


def listed(names: Iterable[str]) -> str:
    """Return some names for an error message."""
    names = sorted(names)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "no message"


def hint(name: Any, known: Iterable[str]) -> str:
    """Return what was probably meant, for an error message."""
    close = difflib.get_close_matches(str(name), list(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(shown(one) for one in close)}?" if close else ""


def message_indexes(descriptor: Any) -> list[int]:
    """Return where a message stands in its file: its number among the file's messages, then among those nested."""
    path: list[int] = []
    while descriptor.containing_type is not None:
        names = [one.name for one in descriptor.containing_type.nested_types]
        path.append(names.index(descriptor.name))
        descriptor = descriptor.containing_type
    path.append(list(descriptor.file.message_types_by_name).index(descriptor.name))
    return path[::-1]


def index_bytes(indexes: Sequence[int]) -> bytes:
    """Return a message's indexes as records have them: their count and each of them as zig-zag varints.

    One zero alone stands for [0], the first message of a file.
    """
    if list(indexes) == [0]:
        return b"\0"
    made = bytearray()
    for number in (len(indexes), *indexes):
        rest = 2 * number
        while rest > 0x7F:
            made.append(rest & 0x7F | 0x80)
            rest >>= 7
        made.append(rest)
    return bytes(made)


def files_of(file: Any, *, skip_known: bool) -> tuple[File, ...]:
    """Return a file behind all that it imports, each behind its own imports; without those that every reader has."""
    found: dict[str, File] = {}

    def add(one: Any) -> None:
        if one.name in found:
            return
        below = [other for other in one.dependencies if not (skip_known and other.name.startswith(KNOWN))]
        for other in below:
            add(other)
        found[one.name] = File(one.name, file_text(one), tuple(other.name for other in below))

    add(file)
    return tuple(found.values())


def descriptor_set(descriptor: Any) -> bytes:
    """Return the FileDescriptorSet of a message's file and all that it imports."""
    made = FileDescriptorSet()
    seen: set[str] = set()

    def add(file: Any) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for other in file.dependencies:
                add(other)
            made.file.append(FileDescriptorProto.FromString(file.serialized_pb))

    add(descriptor.file)
    return bytes(made.SerializeToString())


def class_of(descriptor: Any) -> Any:
    """Return the class of a descriptor's messages."""
    return GetMessageClass(descriptor)


def definitions(descriptor: Any) -> dict[str, Any]:
    """Return what a message and all that its fields are made of look like, by name: of equal ones it is equal."""
    found: dict[str, Any] = {}

    def add(one: MessageType) -> None:
        if one.name not in found:
            found[one.name] = [
                (field.number, field.name, field.label, field.packed, field.presence, field.required)
                for field in one.fields
            ]
            found[one.name].append(one.oneofs)
            for field in one.fields:
                if field.message is not None:
                    add(field.message)
                if field.enum is not None:
                    found[field.enum.name] = (field.enum.numbers, field.enum.closed)

    add(message_type(descriptor))
    return found


# Types whose bytes are read as each other's, as far as their values fit.
ALIKE = ({3, 4, 5, 8, 13, 14}, {17, 18}, {9, 12}, {6, 16}, {7, 15})


def check_compatible(own: Any, other: Any) -> None:
    """Refuse to write a message by a definition that gives one of its fields another type than the registered one.

    Raises
    ------
    SerializationError
        With the path of the field.
    """
    seen: set[str] = set()

    def check(one: Any, there: Any, path: str) -> None:
        if one.full_name in seen:
            return
        seen.add(one.full_name)
        for field in one.fields:
            found = there.fields_by_number.get(field.number)
            if found is None:
                continue
            place = f"{path}{field.name}"
            if field.type != found.type and not any({field.type, found.type} <= kinds for kinds in ALIKE):
                raise SerializationError(
                    f"the registered schema of {other.full_name} has another type at number {field.number}", field=place
                )
            if field.message_type is not None:
                check(field.message_type, found.message_type, f"{place}.")

    check(own, other, "")


def is_same_file(one: str, other: str) -> bool:
    """Return whether two texts are one file, as far as can be told: a registry may answer in a form of its own."""
    try:
        first, second = file_of_text(one), file_of_text(other)
    except SerializationError:
        return True
    names = [[file.package, *sorted(message.name for message in file.message_type)] for file in (first, second)]
    return names[0] == names[1]
