"""`Protobuf`: messages of google.protobuf, bare or in Confluent's wire format."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from twolane.batch import EncodedBatch
from twolane.encoding.columns.table import Table
from twolane.encoding.mismatch import Mismatch
from twolane.encoding.protobuf.columns import ProtobufColumns
from twolane.errors import ConfigError, SerializationError, shown
from twolane.serializers.confluent import FramedSerializer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twolane.encoding.columns.table import Column
    from twolane.encoding.protobuf.rows import RowEncoder
    from twolane.serializers.protocol import Source


class Protobuf(FramedSerializer):
    r"""Protobuf's binary encoding of messages, bare or in Confluent's wire format.

    Parameters
    ----------
    schema : type, Descriptor, FileDescriptorSet, bytes, Path or confluent_kafka's Schema, optional
        A generated message class or its descriptor; a compiled descriptor set, which is what
        ``protoc --include_imports --descriptor_set_out`` writes. None: the registry's, of the subject's latest
        version or of `schema_id`.
    registry, schema_id, references
        As for `Avro`. A schema is registered together with the files that it imports, which it refers to; with
        `references` they are those. With `registry`, a `schema` and `schema_id`, the message is written by `schema`,
        and called what the registry calls it in the schema of that id.
    message : str, optional
        Name of the message, where `schema` does not say it: with its package, or without where one has that name.
        Not needed where the file has one message only.
    message_indexes : sequence of int, optional
        Where the message stands in the schema of `schema_id`; by default where it stands in its own file.
    strict : bool, default True
        Refuse rows with fields that their message does not have.
    skip_known_types : bool, default True
        Do not register what every reader has: files below ``google/protobuf``, ``google/type`` and ``confluent``
        (``skip.known.types``).

    Raises
    ------
    ConfigError
        If google.protobuf is not installed (``pip install twolane[protobuf]``).
    SerializationError
        If `schema` is none of these, or has no such message.
    ValueError
        If the id is out of range, or arguments contradict each other.

    Notes
    -----
    Rows are messages of that class, or what names its fields as the .proto file does: dicts and other mappings, named
    tuples, objects with attributes (dataclasses, attrs, pydantic). What a row lacks, and what is missing in it (None,
    NaT, NA), is not set. Enums are names or numbers. ``google.protobuf.Timestamp`` takes a datetime with a zone, a
    datetime64 or a date, ``Duration`` a timedelta, wrappers the value alone, ``Struct``, ``Value`` and ``ListValue``
    what JSON has. A message of another class is refused, unless it has the same name and definition. A row that is a
    missing value is a tombstone.

    The bytes are those of google.protobuf's ``SerializeToString()``, of rows that are no messages with
    ``deterministic=True``: the entries of maps are in the order of their keys. Columns are encoded by C code without
    the GIL, with the same bytes; a column that has no native path to its field's type from Python objects.

    Examples
    --------
    >>> from google.protobuf.wrappers_pb2 import StringValue
    >>> Protobuf(StringValue, schema_id=7).encode("a")
    b'\x00\x00\x00\x00\x07\x02\x0e\n\x01a'
    """

    schema_type = "PROTOBUF"
    _takes_single = False
    _takes_schema_with_id = True

    def __init__(
        self,
        schema: Any = None,
        registry: Any = None,
        schema_id: int | None = None,
        *,
        message: str | None = None,
        message_indexes: Sequence[int] | None = None,
        references: Sequence[Any] = (),
        strict: bool = True,
        skip_known_types: bool = True,
    ) -> None:
        super().__init__(schema, registry, schema_id, references)
        if registry is None and schema is None:
            raise ValueError("schema: only a registry tells it")
        if message is not None and not isinstance(message, str):
            raise ValueError(f"message: expected a name, got {shown(message)}")
        given = protobuf().descriptors
        self._given, self._message, self._skip_known_types = schema, message, skip_known_types
        self._strict = strict
        self._text: str | None = getattr(schema, "schema_str", None)
        # None: what a registry has to tell first is not known yet.
        self.descriptor: Any = None
        if self._text is None and schema is not None:
            self.descriptor = given.descriptor_of(schema, message)
            self._text = given.file_text(self.descriptor.file)
        elif self._text is not None and not self.references:
            self.descriptor = given.descriptor_of_text(self._text, (), message)
        self._rows: RowEncoder | None = None
        if self.descriptor is not None:
            self._rows = protobuf().rows.RowEncoder(self.descriptor, strict=strict)
            indexes = given.message_indexes(self.descriptor) if message_indexes is None else message_indexes
            self._locate(given.index_bytes(checked_indexes(indexes)))
        self._message_indexes = message_indexes

    def _resolved(self, topic: str, field: str, deadline: float | None) -> Protobuf:
        given = protobuf().descriptors
        own = self.descriptor
        name = self._message if own is None else own.full_name
        files = ()
        if own is not None and not self.references:
            files = given.files_of(own.file, skip_known=self._skip_known_types)
        resolved = self._ask(self._text, topic, field, deadline, name, files)
        found = own
        if own is None or resolved.text != self._text:
            found = given.descriptor_of_text(resolved.text, resolved.referenced, name)
        if own is not None and own is not found:
            given.check_compatible(own, found)
        return self._frame(
            lambda number: Protobuf(
                found if own is None else self._given,
                schema_id=number,
                message=self._message if own is not None else None,
                message_indexes=given.message_indexes(found),
                strict=self._strict,
            ),
            resolved,
            field,
        )

    @staticmethod
    def _is_same(one: str, other: str) -> bool:
        return bool(protobuf().descriptors.is_same_file(one, other))

    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None.

        Raises
        ------
        SerializationError
            With the path of the first value that is not of its field's type.
        """
        if self._rows is None or self.registry is not None:
            return self._ready().encode(record)
        try:
            return self._rows.encode(record, self._prefix)
        except Mismatch as error:
            raise error.as_error(None, None) from None

    def _encode_rows(self, rows: Iterable[Any], limit: int | None) -> EncodedBatch:
        assert self._rows is not None  # _ready() saw to it
        return self._rows.encode_rows(rows, self._prefix, limit)

    def _bind_columns(self, columns: Table | Column, limit: int | None) -> Source:
        if not isinstance(columns, Table):
            raise SerializationError(f"expected rows or a table, got one column of {columns.type_name}")
        assert self._rows is not None  # as above
        return ProtobufColumns(self._rows.type, self._rows.encode_field, columns, self._prefix, limit)

    def _settings(self) -> dict[str, Any]:
        schema, message = self._given, self._message
        if self.descriptor is not None and not is_importable(schema):
            schema, message = protobuf().descriptors.descriptor_set(self.descriptor), self.descriptor.full_name
        return {
            "schema": schema,
            "registry": self.registry,
            "schema_id": self.schema_id,
            "message": message,
            "message_indexes": self._message_indexes,
            "references": self.references,
            "strict": self._strict,
            "skip_known_types": self._skip_known_types,
        }

    def __repr__(self) -> str:
        framed = f", schema_id={self.schema_id}" if self.schema_id is not None else ""
        return f"Protobuf({'?' if self.descriptor is None else self.descriptor.full_name}{framed})"


def checked_indexes(indexes: Any) -> Sequence[int]:
    """Return a message's indexes; ValueError if they are none."""
    if (
        not isinstance(indexes, (list, tuple))
        or not indexes
        or not all(type(number) is int and 0 <= number < 2**31 for number in indexes)
    ):
        raise ValueError(f"message_indexes: expected a list of ints from 0, got {shown(indexes)}")
    return indexes


def is_importable(kind: Any) -> bool:
    """Return whether pickle finds a class by its name, as it finds generated ones."""
    found: Any = sys.modules.get(getattr(kind, "__module__", None) or "")
    for part in getattr(kind, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return isinstance(kind, type) and found is kind


def protobuf() -> ModuleType:
    """Return the modules that use google.protobuf, which is imported when it is first needed."""
    try:
        from twolane.encoding import protobuf as package
        from twolane.encoding.protobuf import descriptors, rows  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"Protobuf needs `pip install twolane[protobuf]`: {error}", key="serializer") from error
    return package
