"""What the serializers of this package have in common: how many records become bytes, and how they are pickled."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

from twolane.encoding.columns.table import Table
from twolane.serializers.bad_rows import OnBadRow, encode_good_rows, skips_bad_rows
from twolane.serializers.materialize import bind_around_nulls, bind_columns, bind_rows
from twolane.serializers.protocol import Source, bindable, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twolane.batch import EncodedBatch
    from twolane.encoding.columns.table import Column


class BaseSerializer:
    """What the lanes ask of a serializer (see `Serializer`), by `encode` and `bind`.

    It is pickled as the arguments that it was made of: `_settings`.
    """

    registry: Any = None
    # Record headers that say which schema each record has: (name, value).
    schema_headers: tuple[tuple[str, bytes], ...] = ()

    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None."""
        raise NotImplementedError

    def bind(self, values: Any) -> Source:
        """Validate all records and return their source."""
        raise NotImplementedError

    def warm_up(self, topic: str, field: str = "value", *, deadline: float | None = None) -> Self:
        """Return the serializer for one topic: it knows its schema's id and never asks a registry.

        Parameters
        ----------
        topic : str
        field : {"value", "key"}
            What of the record it encodes.
        deadline : float, optional
            Of `time.monotonic()`: when to stop waiting for the registry. A minute from now, without it.

        Returns
        -------
        serializer
            This one, where there is no registry. Asked once per topic; later calls cost a dictionary look-up.

        Raises
        ------
        SerializationError
            If the registry cannot be reached, refuses the schema or does not answer in time.
        """
        return self if self.registry is None else self._warmed(topic, field, deadline)

    def _warmed(self, topic: str, field: str, deadline: float | None) -> Self:
        """Return the serializer that the registry's answer makes of this one."""
        raise NotImplementedError

    def encode_batch(self, values: Any, *, on_bad_row: OnBadRow = "raise") -> EncodedBatch:
        """Encode all records of `values`: rows, or columns.

        Parameters
        ----------
        values : sequence or columns
        on_bad_row : {"raise", "skip"}
            With "skip" the batch has the good rows only: its ``rows`` says which, its ``refused`` why not the others.

        Raises
        ------
        SerializationError
            With the row and the field, or the path, of the first value that is not of its type.
        """
        return encode_good_rows(self, values) if skips_bad_rows(on_bad_row) else self._encode_all(values)

    def _encode_all(self, values: Any) -> EncodedBatch:
        source = self.bind(values)
        return source.slice(0, len(source))

    def _settings(self) -> dict[str, Any]:
        """Return the arguments that make this serializer anew."""
        raise NotImplementedError

    def __getstate__(self) -> Any:
        return self._settings()

    def __setstate__(self, state: Any) -> None:
        self.__init__(**state)  # type: ignore[misc]


class BatchSerializer(BaseSerializer):
    """Encodes batches by two functions: one that encodes rows, and one that binds columns."""

    # Whether one column alone makes records.
    _takes_single = True

    def _ready(self) -> Self:
        """Return the serializer to encode with; SerializationError if a registry must be asked first."""
        return self

    def _encode_all(self, values: Any) -> EncodedBatch:
        ready = self._ready()
        columns = bindable(values, single=ready._takes_single)
        if columns is None:
            return ready._encode_rows(rows_of(values), None)
        return ready._bind(columns, None).slice(0, len(columns))

    def bind(self, values: Any) -> Source:
        """Validate all records and return their source.

        Rows, and columns of Python objects, are encoded to check them. Other columns are encoded slice by slice.

        Raises
        ------
        SerializationError
            As for `encode_batch`.
        """
        ready = self._ready()
        columns = bindable(values, single=ready._takes_single)
        if columns is None:
            return bind_rows(values, ready._encode_rows)
        return bind_columns(columns, ready._bind)

    def _bind(self, columns: Table | Column, limit: int | None) -> Source:
        if isinstance(columns, Table):
            return self._bind_columns(columns, limit)
        return bind_around_nulls(columns, partial(self._bind_columns, limit=limit))

    def bind_natively(self, columns: Table | Column) -> Source:
        """Do as `bind`, but make no Python object of a value: MemoryLimitExceeded where that cannot be."""
        return self._ready()._bind(columns, 0)

    def _encode_rows(self, rows: Iterable[Any], limit: int | None) -> EncodedBatch:
        """Encode rows in their order until `limit` bytes are reached, and the first in any case."""
        raise NotImplementedError

    def _bind_columns(self, columns: Table | Column, limit: int | None) -> Source:
        """Validate columns; MemoryLimitExceeded if those of Python objects take more than `limit` bytes."""
        raise NotImplementedError
