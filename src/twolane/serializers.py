"""What turns values into record bytes: `Bytes`, `Struct`, `Json` and `Avro`, and the interface the lanes rely on.

A serializer is bound to all the values of one call before anything is sent. Binding validates everything, so that a bad
value in the last row stops the call, not a half-sent batch; what it gives, a Source, hands out slices of bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from twolane.batch import EncodedBatch
from twolane.encoding.arrow import describe
from twolane.encoding.avro_columns import AvroColumns
from twolane.encoding.avro_rows import RowEncoder
from twolane.encoding.avro_schema import AvroType, load, parse
from twolane.encoding.byte_columns import BatchSource, bytes_source
from twolane.encoding.columns import as_column, as_table
from twolane.encoding.infer import Naming, from_description, schema_of_dtype, schema_of_rows
from twolane.encoding.json_columns import JsonColumns, dump_rows
from twolane.encoding.json_rows import make_dump
from twolane.encoding.mismatch import Mismatch
from twolane.encoding.struct_format import layout_of
from twolane.encoding.structs import StructColumns, StructLayout
from twolane.errors import SerializationError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Avro", "Bytes", "Json", "Serializer", "Source", "Struct"]


@runtime_checkable
class Source(Protocol):
    """All records of one call, validated: after ``bind()`` only memory can fail."""

    def __len__(self) -> int:
        """Return the number of records."""
        ...

    def first_over(self, limit: int) -> tuple[int, int] | None:
        """Find the first record whose bytes exceed `limit`: (index, size in bytes), or None.

        Costs O(columns) where the columns' widths bound the size; only beyond that are records measured.
        """
        ...

    def slice(self, start: int, stop: int) -> EncodedBatch:
        """Encode records `start` to `stop`, ``0 <= start <= stop <= len(self)``.

        The batch owns what it shows as long as it lives. Drop it before the next slice, and its memory is used again.
        The GIL is released while columns are encoded.
        """
        ...


@runtime_checkable
class Serializer(Protocol):
    """Values of one kind to bytes. Immutable after construction, so that several threads may share one.

    A serializer may have ``warm_up(topic, field)`` besides: it gives the serializer to use for that topic. The lanes
    call it once per topic, before anything is bound.
    """

    def encode(self, record: Any) -> bytes | None:
        """Encode one record."""
        ...

    def encode_batch(self, values: Any) -> EncodedBatch:
        """Encode all records of `values`, rows or columns."""
        ...

    def bind(self, values: Any) -> Source:
        """Validate all of `values` (rows, columns, or a Table already read from them) and give their source."""
        ...


class Bytes:
    r"""Bytes as they are: bytes, str (as UTF-8), bytearray, memoryview, byte strings of numpy and Arrow.

    None is a tombstone.

    Examples
    --------
    >>> list(Bytes().encode_batch([b"a", "é", None]))
    [b'a', b'\xc3\xa9', None]
    """

    def encode(self, record: Any) -> bytes | None:
        """Give the bytes of one record; None stays None.

        Raises
        ------
        SerializationError
            If it is neither bytes, str, bytearray, memoryview nor None.
        """
        if type(record) is bytes:
            return record
        try:
            return bytes_source([record]).slice(0, 1)[0]
        except ValueError as error:
            error.index = None  # type: ignore[attr-defined]
            raise

    def encode_batch(self, values: Any) -> EncodedBatch:
        """Give the bytes of all records.

        Raises
        ------
        SerializationError
            With the index of the first record that is neither bytes, str, bytearray, memoryview nor None.
        """
        source = self.bind(values)
        return source.slice(0, len(source))

    def bind(self, values: Any) -> Source:
        """Validate all records and give their source; bytes objects and arrays are borrowed, not copied.

        Raises
        ------
        SerializationError
            As for `encode_batch`.
        """
        return bytes_source(values, scalars=False)

    def __repr__(self) -> str:
        return "Bytes()"


class Struct:
    r"""Records of fixed layout, as C structs: a numpy dtype, or a format of the struct module.

    Parameters
    ----------
    layout : dtype_like, str or struct.Struct
        A structured dtype; a format such as ``">qd"`` (its fields are taken by position); a plain dtype for one field.

    Raises
    ------
    SerializationError
        If the layout is none of these.

    Notes
    -----
    Rows are dicts, tuples or objects with attributes, for a single field also bare values; None is a tombstone. Nothing
    is cut or wrapped: an integer out of range or a string that is too long is an error. Shorter strings are filled up
    with zeros, and so are gaps between fields. Columns are taken by name.

    Examples
    --------
    >>> Struct(">hd").encode((1, 0.5))
    b'\x00\x01?\xe0\x00\x00\x00\x00\x00\x00'
    """

    def __init__(self, layout: Any) -> None:
        self._layout = StructLayout(layout_of(layout))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The layout as a structured dtype."""
        return self._layout.dtype

    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None.

        Raises
        ------
        SerializationError
            With the first field whose value does not fit.
        """
        return self._layout.encode(record)

    def encode_batch(self, values: Any) -> EncodedBatch:
        """Encode all records of `values`: rows, or columns.

        Raises
        ------
        SerializationError
            With the row and the field of the first value that does not fit.
        """
        source = self.bind(values)
        return source.slice(0, len(source))

    def bind(self, values: Any) -> Source:
        """Validate all records and give their source; rows are encoded at once, columns slice by slice.

        Raises
        ------
        SerializationError
            As for `encode_batch`.
        """
        columns = bindable(values, single=len(self.dtype.names or ()) == 1)
        if columns is not None:
            return StructColumns(self._layout, columns)
        return BatchSource(self._layout.encode_rows(rows_of(values)))

    def __repr__(self) -> str:
        return f"Struct({self.dtype})"


def framing(schema_id: int | None) -> bytes:
    """Give what stands before a record in Confluent's wire format: a zero byte and the schema's id, big-endian.

    Source: https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/#wire-format
    """
    if schema_id is None:
        return b""
    if not isinstance(schema_id, int) or isinstance(schema_id, bool) or not 0 <= schema_id < 2**31:
        raise ValueError(f"schema_id: expected an int from 0 to 2147483647, got {schema_id!r}")
    return b"\0" + schema_id.to_bytes(4, "big")


class Avro:
    r"""Avro's binary encoding, of rows or columns, bare or in Confluent's wire format.

    Parameters
    ----------
    schema : str, dict or list
        JSON text, or the values it stands for.
    registry : Registry, SchemaRegistryClient or mapping, optional
        Where `warm_up` gets the id from. See :class:`twolane.registry.Registry` for the settings.
    schema_id : int, optional
        Id of the schema in a registry: each record starts with a zero byte and this number. Without it, and without a
        registry, records are bare.

    Raises
    ------
    SerializationError
        If the schema breaks Avro's specification, or a default is not of its field's type.
    ValueError
        If both `registry` and `schema_id` are given, or the id is out of range.

    Notes
    -----
    Rows are dicts and other mappings, tuples (fields in the schema's order), and objects with attributes: dataclasses,
    attrs, pydantic. What a row has beside the schema's fields is ignored; what it lacks is the field's default. A row
    that is None is a tombstone. A union takes the branch that fits the value best, the first among equals; a tuple
    ``(branch, value)`` or a dict with ``"-type"`` names it, as with fastavro.

    Columns are encoded by C code without the GIL, in place. Timestamps without a zone count as UTC. A column that has
    no native path to its field's type is encoded from Python objects when it is bound: slower, with the same bytes.

    Examples
    --------
    >>> avro = Avro({"type": "record", "name": "Point", "fields": [{"name": "x", "type": "long"}]}, schema_id=7)
    >>> avro.encode({"x": -1})
    b'\x00\x00\x00\x00\x07\x01'
    """

    def __init__(self, schema: Any, registry: Any = None, schema_id: int | None = None) -> None:
        if registry is not None and schema_id is not None:
            raise ValueError("schema_id: a fixed id needs no registry")
        self.schema = load(schema)
        self.registry = registry
        if registry is not None and not hasattr(registry, "resolve"):
            from twolane.registry import Registry

            self.registry = Registry(registry)
        self.schema_id = schema_id
        self.type: AvroType = parse(schema)
        self._prefix = framing(schema_id)
        self._rows = RowEncoder(self.type, self._prefix)
        self._warm: dict[tuple[str, str], Avro] = {}

    @classmethod
    def from_arrow(
        cls, schema: Any, *, name: str = "Record", registry: Any = None, schema_id: int | None = None
    ) -> Avro:
        """Make the serializer for an Arrow schema.

        Parameters
        ----------
        schema : object
            Anything with ``__arrow_c_schema__`` (a pyarrow schema), or data that speaks the Arrow C interface.
        name : str
            Of the record.
        registry, schema_id
            As for the class.

        Raises
        ------
        SerializationError
            If a type has no Avro type, or a column has a name that Avro does not allow.

        Notes
        -----
        Nullable columns (Arrow's default) become unions with null. uint64 becomes long: larger values are refused.
        Seconds become milliseconds. Timestamps without a zone become local-timestamps.
        """
        naming = Naming()
        form, _, _, children, dictionary = describe(schema)
        made = from_description((form, "", False, children, dictionary), naming, name)
        return cls(made, registry, schema_id)

    @classmethod
    def from_dtype(
        cls, dtype: Any, *, name: str = "Record", registry: Any = None, schema_id: int | None = None
    ) -> Avro:
        """Make the serializer for a numpy dtype: structured, or of one item. Byte strings become strings.

        Raises
        ------
        SerializationError
            If a type has no Avro type, or a field has a name that Avro does not allow.
        """
        return cls(schema_of_dtype(dtype, Naming(), name), registry, schema_id)

    @classmethod
    def from_example(
        cls, rows: Any, *, name: str = "Record", registry: Any = None, schema_id: int | None = None
    ) -> Avro:
        """Make the serializer that takes the given rows, and rows like them.

        Parameters
        ----------
        rows : iterable
            Dicts, dataclasses, attrs, pydantic models or named tuples: a sample that has every field and, for nullable
            ones, a None.
        name, registry, schema_id
            As for `from_arrow`.

        Raises
        ------
        SerializationError
            If there is no row, or a value has no Avro type.
        """
        return cls(schema_of_rows(rows, Naming(), name), registry, schema_id)

    def warm_up(self, topic: str, field: str = "value") -> Avro:
        """Give the serializer for one topic: it knows its schema's id and never asks a registry.

        Parameters
        ----------
        topic : str
        field : {"value", "key"}
            What of the record it encodes.

        Returns
        -------
        Avro
            This one, where there is no registry. Asked once per topic; later calls cost a dictionary look-up.

        Raises
        ------
        SerializationError
            If the registry cannot be reached or refuses the schema.
        """
        if self.registry is None:
            return self
        warm = self._warm.get((topic, field))
        if warm is None:
            text = json.dumps(self.schema)
            schema_id, latest = self.registry.resolve(text, topic=topic, field=field, record_name=self.type.name)
            warm = self._warm[topic, field] = Avro(latest, schema_id=schema_id)
        return warm

    def _check_warm(self) -> None:
        if self.registry is not None:
            raise SerializationError("the schema's id is not known yet: use what warm_up(topic) gives")

    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None.

        Raises
        ------
        SerializationError
            With the path of the first value that is not of its field's type.
        """
        self._check_warm()
        return self._rows.encode(record)

    def encode_batch(self, values: Any) -> EncodedBatch:
        """Encode all records of `values`: rows, or columns.

        Raises
        ------
        SerializationError
            With the row and the path of the first value that is not of its field's type.
        """
        source = self.bind(values)
        return source.slice(0, len(source))

    def bind(self, values: Any) -> Source:
        """Validate all records and give their source; rows are encoded at once, columns slice by slice.

        Raises
        ------
        SerializationError
            As for `encode_batch`.
        """
        self._check_warm()
        columns = bindable(values, single=self.type.kind != "record")
        if columns is not None:
            return AvroColumns(self.type, self._rows, columns, self._prefix)
        return BatchSource(self._rows.encode_rows(rows_of(values)))

    def __repr__(self) -> str:
        framed = f", schema_id={self.schema_id}" if self.schema_id is not None else ""
        return f"Avro({self.type.label}{framed})"


class Json:
    r"""JSON objects in UTF-8, without blanks.

    Parameters
    ----------
    binary : {"error", "base64"}
        What bytes become: JSON has no form for them.
    nan : {"null", "error"}
        What NaN and the infinities become: JSON has no form for them either. "error" takes the standard library's
        encoder for rows, which is slower.

    Notes
    -----
    Doubles have the shortest digits that read back the same. Dates, times and datetimes are ISO 8601 (a column of
    instants ends in ``+00:00``, one without a zone in nothing), Decimals and UUIDs are strings. Rows may be any
    object; a row that is None is a tombstone. Rows go through orjson if it is installed, else through the standard
    library. Columns are written by C code without the GIL.

    Examples
    --------
    >>> Json().encode({"id": 1, "temp": 21.5})
    b'{"id":1,"temp":21.5}'
    """

    def __init__(self, *, binary: str = "error", nan: str = "null") -> None:
        if binary not in ("error", "base64"):
            raise ValueError(f"binary: expected 'error' or 'base64', got {binary!r}")
        if nan not in ("null", "error"):
            raise ValueError(f"nan: expected 'null' or 'error', got {nan!r}")
        self._binary = binary
        self._nan = nan
        self._dump = make_dump(binary=binary, nan=nan)

    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None.

        Raises
        ------
        SerializationError
            With the path of the first value that has no JSON form.
        """
        if record is None:
            return None
        try:
            return self._dump(record)
        except Mismatch as error:
            raise error.as_error(None, None) from None

    def encode_batch(self, values: Any) -> EncodedBatch:
        """Encode all records of `values`: rows, or columns.

        Raises
        ------
        SerializationError
            With the row and the path of the first value that has no JSON form.
        """
        source = self.bind(values)
        return source.slice(0, len(source))

    def bind(self, values: Any) -> Source:
        """Validate all records and give their source; rows are encoded at once, columns slice by slice.

        Raises
        ------
        SerializationError
            As for `encode_batch`.
        """
        table = as_table(values)
        if table is not None:
            return JsonColumns(table, self._dump, self._binary == "base64", self._nan == "error")
        return BatchSource(dump_rows(rows_of(values), self._dump))

    def __repr__(self) -> str:
        return f"Json(binary={self._binary!r}, nan={self._nan!r})"


def bindable(values: Any, *, single: bool) -> Any:
    """Give `values` as a Table, or as a Column where a `single` one makes records; None where they are rows."""
    if isinstance(values, (list, tuple)):
        return None
    table = as_table(values)
    if table is not None:
        return table
    column = as_column(values)
    if column is None or column.objects is not None:
        return None
    if not single and column.type_name != "struct":
        raise SerializationError(f"expected rows or a table, got one column of {column.type_name}")
    return column


def rows_of(values: Any) -> Any:
    """Give an iterable of rows, or say that it is none."""
    if isinstance(values, (str, bytes, bytearray, memoryview)) or not hasattr(values, "__iter__"):
        raise SerializationError("expected a sequence of rows, or columns", value=values)
    return values
