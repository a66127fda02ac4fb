"""`Json`: JSON objects in UTF-8, bare or in Confluent's wire format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twolane.encoding.columns.objects import is_missing
from twolane.encoding.json.columns import JsonColumns
from twolane.encoding.json.objects import dump_rows
from twolane.encoding.json.rows import make_dump
from twolane.encoding.json.schema import check_records, make_validator, schema_text
from twolane.encoding.mismatch import Mismatch
from twolane.serializers.confluent import FramedSerializer, PrefixedSource, prefixed
from twolane.serializers.materialize import PIECE, PIECE_ROWS
from twolane.serializers.protocol import rows_within

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twolane.batch import EncodedBatch
    from twolane.encoding.columns.table import Column, Table
    from twolane.serializers.protocol import Source


class Json(FramedSerializer):
    r"""JSON objects in UTF-8, without blanks.

    Parameters
    ----------
    schema : str, dict, bool, Path or confluent_kafka's Schema, optional
        A JSON schema. It changes no bytes: records that do not fit it are refused with `validate`.
    registry, schema_id, references
        As for `Avro`. With them each record is in Confluent's wire format; without a schema it is the registry's.
    validate : bool, default False
        Refuse records that do not fit the schema. This reads each record's JSON again, by the library jsonschema
        (``pip install twolane[jsonschema]``): several times the cost of encoding it.
    referenced : sequence of (str, str)
        Name, as ``$ref`` has it, and text of other schemas, to validate with where no registry has them.
    binary : {"error", "base64"}
        What bytes become: JSON has no form for them.
    nan : {"null", "error"}
        What NaN and the infinities become: JSON has no form for them either. "error" takes the standard library's
        encoder for rows, which is slower.

    Notes
    -----
    Doubles have the shortest digits that read back the same, ints all of theirs. Times and datetimes are ISO 8601
    (a column of instants ends in ``+00:00``, one without a zone in nothing), Decimals and UUIDs are strings, members
    of enums their values. Missing values (None, NaT, NA) are null. Rows may be any object; one that is a missing value
    is a tombstone. Rows made of dicts, lists, tuples, texts, ints, booleans and doubles of everyday size are written
    by C code; others go through orjson if it is installed, else through the standard library. Columns are written by
    C code without the GIL.

    Examples
    --------
    >>> Json().encode({"id": 1, "temp": 21.5})
    b'{"id":1,"temp":21.5}'
    """

    schema_type = "JSON"

    def __init__(
        self,
        schema: Any = None,
        registry: Any = None,
        schema_id: int | None = None,
        *,
        references: Sequence[Any] = (),
        validate: bool = False,
        binary: str = "error",
        nan: str = "null",
        referenced: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(schema, registry, schema_id, references)
        if validate and schema is None and registry is None:
            raise ValueError("validate: expected a schema, or a registry that has it")
        if binary not in ("error", "base64"):
            raise ValueError(f"binary: expected 'error' or 'base64', got {binary!r}")
        if nan not in ("null", "error"):
            raise ValueError(f"nan: expected 'null' or 'error', got {nan!r}")
        self._binary = binary
        self._nan = nan
        self._dump = make_dump(binary=binary, nan=nan)
        self._text = schema_text(schema)
        self._referenced = tuple(referenced)  # name and text of what a registry's schema refers to
        self._validate = validate
        self._check = None
        if validate and registry is None and self._text is not None:
            self._check = make_validator(self._text, self._referenced)

    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None.

        Raises
        ------
        SerializationError
            With the path of the first value that has no JSON form.
        """
        if self.registry is not None:
            return self._ready().encode(record)
        if is_missing(record):
            return None
        try:
            made = self._dump(record)
            found = None if self._check is None else self._check(made)
        except Mismatch as error:
            raise error.as_error(None, None) from None
        if found is not None:
            raise found.as_error(None, None)
        return self._prefix + made if self._prefix else made

    def _resolved(self, topic: str, field: str, deadline: float | None) -> Json:
        title = None if self._text is None else json.loads(self._text)
        name = title.get("title") if isinstance(title, dict) else None
        resolved = self._ask(self._text, topic, field, deadline, name)
        options = {**self._options(), "referenced": resolved.referenced}
        return self._frame(lambda number: Json(resolved.text, schema_id=number, **options), resolved, field)

    @staticmethod
    def _is_same(one: str, other: str) -> bool:
        return bool(json.loads(one) == json.loads(other))

    def _options(self) -> dict[str, Any]:
        return {"validate": self._validate, "binary": self._binary, "nan": self._nan}

    def _settings(self) -> dict[str, Any]:
        return {
            "schema": self._text,
            "registry": self.registry,
            "schema_id": self.schema_id,
            "references": self.references,
            "referenced": self._referenced,
            **self._options(),
        }

    def _encode_rows(self, rows: Iterable[Any], limit: int | None) -> EncodedBatch:
        batch = dump_rows(rows, self._dump, limit)
        if self._check is not None:
            check_records(self._check, batch)
        return prefixed(batch, self._prefix)

    def _bind_columns(self, columns: Table | Column, limit: int | None) -> Source:
        source = JsonColumns(columns, self._dump, self._binary == "base64", self._nan == "error", limit)
        if self._check is not None:
            rows = rows_within(PIECE, PIECE_ROWS, source)
            for start in range(0, len(source), rows):
                check_records(self._check, source.slice(start, min(start + rows, len(source))), start)
        return PrefixedSource(source, self._prefix) if self._prefix else source

    def __repr__(self) -> str:
        framed = f", schema_id={self.schema_id}" if self.schema_id is not None else ""
        validated = ", validate=True" if self._validate else ""
        return f"Json(binary={self._binary!r}, nan={self._nan!r}{framed}{validated})"
