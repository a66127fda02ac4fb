"""`Avro`: Avro's binary encoding, bare or in Confluent's wire format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twolane.encoding.arrow import describe
from twolane.encoding.avro_columns import AvroColumns
from twolane.encoding.avro_rows import RowEncoder
from twolane.encoding.avro_schema import AvroType, load, parse
from twolane.encoding.avro_suspects import suspects
from twolane.encoding.infer import Naming, from_description, schema_of_dtype, schema_of_rows
from twolane.errors import SerializationError
from twolane.serializers.batches import BatchSerializer
from twolane.serializers.interface import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from twolane.batch import EncodedBatch
    from twolane.encoding.columns import Column, Table


def framing(schema_id: int | None) -> bytes:
    """Give what stands before a record in Confluent's wire format: a zero byte and the schema's id, big-endian.

    Source: https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/#wire-format
    """
    if schema_id is None:
        return b""
    if not isinstance(schema_id, int) or isinstance(schema_id, bool) or not 0 <= schema_id < 2**31:
        raise ValueError(f"schema_id: expected an int from 0 to 2147483647, got {schema_id!r}")
    return b"\0" + schema_id.to_bytes(4, "big")


class Avro(BatchSerializer):
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
    Rows are dicts and whatever else names its fields (mappings, named tuples, `sqlite3.Row`), plain tuples (fields in
    the schema's order), and objects with attributes: dataclasses, attrs, pydantic. What a row has beside the schema's
    fields is ignored; what it lacks is the field's default. A row that is a missing value (None, NaT, NA) is a
    tombstone. A union takes the branch that fits the value best, the first among equals; a tuple ``(branch, value)`` or
    a dict with ``"-type"`` names it, as with fastavro, and so do the members of an Arrow union.

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
        Seconds become milliseconds, timestamps without a zone local-timestamps, intervals durations, unions unions.
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
            If there is no row, a value has no Avro type, or no schema takes all of the rows.
        """
        rows = list(rows_of(rows))
        try:
            made = cls(schema_of_rows(rows, Naming(), name), registry, schema_id)
            made._rows.encode_rows(rows)
        except SerializationError:
            raise
        except (TypeError, ValueError, RecursionError) as error:
            raise SerializationError(f"expected examples that a schema can be made of: {error}") from error
        return made

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
            # Threads that ask for the first time side by side all get the same one.
            warm = self._warm.setdefault((topic, field), Avro(latest, schema_id=schema_id))
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

    def _takes_single(self) -> bool:
        return self.type.kind != "record"

    def _encode_rows(self, rows: Iterable[Any], limit: int | None) -> EncodedBatch:
        self._check_warm()
        return self._rows.encode_rows(rows, limit)

    def _bind_columns(self, columns: Table | Column, limit: int | None) -> AvroColumns:
        self._check_warm()
        return AvroColumns(self.type, self._rows, columns, self._prefix, limit)

    def suspects(self, columns: Table) -> tuple[NDArray[np.int32], NDArray[np.uint8]] | None:
        """Find the rows of a table that may be bad, see `avro_suspects`; None where that cannot tell."""
        self._check_warm()
        return suspects(self.type, self._rows, columns) if self.type.kind == "record" else None

    def __repr__(self) -> str:
        framed = f", schema_id={self.schema_id}" if self.schema_id is not None else ""
        return f"Avro({self.type.label}{framed})"
