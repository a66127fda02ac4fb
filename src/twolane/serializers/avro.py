"""`Avro`: Avro's binary encoding, bare or in Confluent's wire format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twolane.batch import EncodedBatch
from twolane.encoding.avro.columns import AvroColumns
from twolane.encoding.avro.infer import Naming, from_description, schema_of_dtype, schema_of_rows
from twolane.encoding.avro.rows import RowEncoder
from twolane.encoding.avro.schema import (
    AvroType,
    definitions,
    full_name,
    is_definition,
    load,
    parse,
    shape,
    standalone,
)
from twolane.encoding.avro.suspects import suspects
from twolane.encoding.columns.arrow import describe
from twolane.encoding.columns.bytes import BatchSource
from twolane.encoding.columns.table import Table
from twolane.encoding.named_rows import refuse_others
from twolane.errors import SerializationError
from twolane.serializers.confluent import FramedSerializer
from twolane.serializers.protocol import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from twolane.encoding.columns.table import Column
    from twolane.serializers.protocol import Source


class Avro(FramedSerializer):
    r"""Avro's binary encoding, of rows or columns, bare or in Confluent's wire format.

    Parameters
    ----------
    schema : str, dict, list, Path or confluent_kafka's Schema, optional
        JSON text, the values it stands for, or a file with it. None: the registry's, of the subject's latest version
        or of `schema_id`.
    registry : Registry, SchemaRegistryClient or mapping, optional
        Where `warm_up` gets the id from. See :class:`twolane.serializers.schema_registry.Registry` for the settings.
    schema_id : int, optional
        Id of the schema in a registry: each record starts with a zero byte and this number. Without it, and without a
        registry, records are bare.
    references : sequence of SchemaReference, optional
        Subjects and versions in the registry that define what the schema names and does not define; a `Schema` brings
        its own.
    strict : bool, default False
        Refuse rows and columns with fields that their record does not have, also where a union's branch is chosen.
    strict_names : bool, default False
        Refuse names that Avro's specification does not allow: namespaces with ``-``, letters beyond ASCII.

    Raises
    ------
    SerializationError
        If the schema breaks Avro's specification, or a default is not of its field's type.
    ValueError
        If a schema comes with both `registry` and `schema_id`, or the id is out of range.

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

    schema_type = "AVRO"

    def __init__(
        self,
        schema: Any = None,
        registry: Any = None,
        schema_id: int | None = None,
        *,
        references: Sequence[Any] = (),
        strict: bool = False,
        strict_names: bool = False,
    ) -> None:
        super().__init__(schema, registry, schema_id, references)
        if registry is None and schema is None:
            raise ValueError("schema: only a registry tells it")
        self.schema = load(schema)
        self._options: dict[str, Any] = {"strict": strict, "strict_names": strict_names}
        # What a registry has to tell first is not known yet.
        known = schema is not None and not self.references
        self.type: AvroType = parse(self.schema, **self._options) if known else AvroType("null")
        self._takes_single = self.type.kind != "record"
        self._rows = RowEncoder(self.type, self._prefix)

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

    def _resolved(self, topic: str, field: str, deadline: float | None) -> Avro:
        if isinstance(self.schema, list) and getattr(self.registry, "by_record", False):
            return AvroByRecord.of(self, topic, field, deadline)
        name = full_name(self.schema, "", "schema")[0] if is_definition(self.schema) else None
        return self._framed(self.schema, name, topic, field, deadline)

    def _framed(self, schema: Any, name: str | None, topic: str, field: str, deadline: float | None) -> Avro:
        """Return the serializer with the id of one schema."""
        text = None if schema is None else json.dumps(schema)
        resolved = self._ask(text, topic, field, deadline, name)
        made = load(resolved.text)
        if resolved.referenced:
            # A bare encoder has no registry: what other subjects define stands where it is first named.
            known: dict[str, Any] = {}
            for _, other in resolved.referenced:
                for full, definition in definitions(load(other)).items():
                    known.setdefault(full, definition)
            made = standalone(made, known)
        return self._frame(lambda number: Avro(made, schema_id=number, **self._options), resolved, field)

    @staticmethod
    def _is_same(one: str, other: str) -> bool:
        return bool(shape(parse(one)) == shape(parse(other)))

    def _settings(self) -> dict[str, Any]:
        return {
            "schema": self.schema,
            "registry": self.registry,
            "schema_id": self.schema_id,
            "references": self.references,
            **self._options,
        }

    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None.

        Raises
        ------
        SerializationError
            With the path of the first value that is not of its field's type.
        """
        if self.registry is not None:
            return self._ready().encode(record)
        return self._rows.encode(record)

    def _encode_rows(self, rows: Iterable[Any], limit: int | None) -> EncodedBatch:
        return self._rows.encode_rows(rows, limit)

    def _bind_columns(self, columns: Table | Column, limit: int | None) -> Source:
        if self.type.strict and isinstance(columns, Table):
            refuse_others([entry.name for entry in self.type.fields], columns.names)
        return AvroColumns(self.type, self._rows, columns, self._prefix, limit)

    def suspects(self, columns: Table) -> tuple[NDArray[np.int32], NDArray[np.uint8]] | None:
        """Find the rows of a table that may be bad, see `avro_suspects`; None where that is not known."""
        ready = self._ready()
        return suspects(ready.type, ready._rows, columns) if ready.type.kind == "record" else None

    def __repr__(self) -> str:
        framed = f", schema_id={self.schema_id}" if self.schema_id is not None else ""
        label = "?" if self.schema is None or self.references else self.type.label
        return f"Avro({label}{framed})"


class AvroByRecord(Avro):
    """What `warm_up` gives for a root union whose records have subjects of their own: each is written as itself.

    As Java's serializer does: the record's own schema and id, and no number of a branch.
    """

    def __init__(self, schema: Any, each: list[Avro], **options: Any) -> None:
        self._each = each
        super().__init__(schema, **options)

    @classmethod
    def of(cls, union: Avro, topic: str, field: str, deadline: float | None) -> AvroByRecord:
        """Ask for the id of each branch."""
        known = definitions(union.schema)
        # What one branch defines, another may name.
        alone = [standalone(branch, known) for branch in union.schema]
        names = [full_name(one, "", "schema")[0] if is_definition(one) else None for one in alone]
        if None in names:
            raise SerializationError("the record name strategy needs a union of types with names")
        each = [union._framed(branch, name, topic, field, deadline) for branch, name in zip(alone, names, strict=True)]
        if any(one.schema_headers for one in each):
            raise SerializationError("records of several subjects have their ids before them: schema_id_in='prefix'")
        return cls(union.schema, each, **union._options)

    def _settings(self) -> dict[str, Any]:
        return {"schema": self.schema, "each": self._each, **self._options}

    def _reframe(self, record: bytes | None) -> bytes | None:
        if record is None:
            return None
        branch, at = record[0] & 0x7F, 1
        while record[at - 1] & 0x80:
            branch |= (record[at] & 0x7F) << (7 * at)
            at += 1
        return self._each[branch >> 1]._prefix + record[at:]

    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None."""
        return self._reframe(super().encode(record))

    def _encode_rows(self, rows: Iterable[Any], limit: int | None) -> EncodedBatch:
        return EncodedBatch.borrowed([self._reframe(record) for record in super()._encode_rows(rows, limit)])

    def _bind_columns(self, columns: Table | Column, limit: int | None) -> Source:
        bound = super()._bind_columns(columns, limit)
        return BatchSource(EncodedBatch.borrowed([self._reframe(one) for one in bound.slice(0, len(bound))]))
