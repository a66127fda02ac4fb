"""Functions, and confluent-kafka's serializers, as serializers: one record at a time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from twolane.errors import SerializationError
from twolane.serializers.protocol import Serializer, bindable, rows_of
from twolane.serializers.raw import Bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.serializers.protocol import Source

_BYTES = Bytes()


class FunctionSerializer(Serializer):
    """Calls a function for each row.

    Parameters
    ----------
    function : callable
        ``record -> bytes or str``, or a ``confluent_kafka.serialization.Serializer``, which is called with its
        SerializationContext, too. What it raises becomes the cause of a SerializationError.
    topic : str
    field : {"value", "key"}
    """

    def __init__(self, function: Callable[..., Any], topic: str, field: str) -> None:
        self._function = function
        self._arguments: tuple[Any, ...] = ()
        serialization: Any = sys.modules.get("confluent_kafka.serialization")
        if serialization is not None and isinstance(function, serialization.Serializer):
            self._arguments = (serialization.SerializationContext(topic, field),)

    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None."""
        return None if record is None else _BYTES.encode(self._call(record, None))

    def bind(self, values: Any) -> Source:
        """Encode all rows: each is seen once, however many there are."""
        if bindable(values, single=True) is not None:
            raise SerializationError(f"{self!r} takes rows, not columns: use Avro(...) or Json(), or make rows of them")
        rows = enumerate(rows_of(values))
        return _BYTES.bind([None if row is None else self._call(row, index) for index, row in rows])

    def _call(self, record: Any, index: int | None) -> Any:
        try:
            return self._function(record, *self._arguments)
        except MemoryError:
            raise
        except Exception as error:
            raise SerializationError(f"{self!r} raised {type(error).__name__}: {error}", index=index) from error

    def __repr__(self) -> str:
        return getattr(self._function, "__qualname__", None) or type(self._function).__name__
