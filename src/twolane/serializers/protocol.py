"""What the lanes ask of a serializer, and how serializers tell rows from columns."""

from __future__ import annotations

import inspect
from typing import Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

from twolane.batch import EncodedBatch
from twolane.encoding.columns.table import Column, Table, as_columns
from twolane.errors import SerializationError


@runtime_checkable
class Source(Protocol):
    """All records of one call, validated: after ``bind()`` only memory can fail, or a row that changes meanwhile."""

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
    """Values of one kind to record bytes. Immutable after construction, so that several threads may share one.

    A call asks, in this order: `warm_up` for its topic; then `encode` of one record (``send``), or `bind` of all
    (``send_batch``), whose source returns the bytes slice by slice. A class that inherits from this one needs `encode`
    and `bind`; one that does not may lack `warm_up`, or its parameter `deadline`.

    A value that is refused raises a SerializationError: its `index` is the number of the record among those given, by
    which `send_batch(on_bad_row="skip")` leaves that row out; without an index the whole call is refused. None, and
    what else is missing, becomes None or a null record: a tombstone, or no key.

    With ``schema_headers``, pairs of a name and bytes, each record gets these headers behind its own, in place of those
    of the same name.
    With ``bind_natively(table)``, which raises MemoryLimitExceeded where it would make Python objects of values, and
    ``suspects(table)``, the rows that may be bad, bad rows are found in less time; see `bad_rows`.
    """

    def encode(self, record: Any) -> bytes | None:
        """Encode one record."""
        ...

    def bind(self, values: Any) -> Source:
        """Validate all of `values` (rows, columns, or a Table read from them) and return their source."""
        ...

    def encode_batch(self, values: Any) -> EncodedBatch:
        """Encode all records of `values`, rows or columns."""
        source = self.bind(values)
        return source.slice(0, len(source))

    def warm_up(self, topic: str, field: str = "value", *, deadline: float | None = None) -> Serializer:
        """Return the serializer for one topic, which encodes without asking anyone; called before anything is encoded.

        Parameters
        ----------
        topic : str
        field : {"value", "key"}
            What of the record it encodes.
        deadline : float, optional
            When the call ends, in seconds of `time.monotonic()`; wait no longer.
        """
        return self


def for_topic(serializer: Serializer, topic: str, field: str, deadline: float) -> Serializer:
    """Return the serializer for this topic, also of a class that does not inherit from `Serializer`."""
    warm_up = getattr(serializer, "warm_up", None)
    if warm_up is None:
        return serializer
    if _takes_deadline(type(serializer)):
        return warm_up(topic, field, deadline=deadline)  # type: ignore[no-any-return]
    return warm_up(topic, field)  # type: ignore[no-any-return]


def _takes_deadline(kind: type) -> bool:
    """Return whether ``warm_up`` of a class has a parameter `deadline`; no, where its signature cannot be read."""
    known = _TAKES_DEADLINE.get(kind)
    if known is None:
        try:
            known = "deadline" in inspect.signature(kind.warm_up).parameters  # type: ignore[attr-defined]
        except (AttributeError, TypeError, ValueError):
            known = False
        _TAKES_DEADLINE[kind] = known
    return known


_TAKES_DEADLINE: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def is_function(serializer: Any) -> bool:
    """Return whether this is no Serializer, but a function that makes bytes of a record (see ``functions``)."""
    return callable(serializer) and not isinstance(serializer, type) and not hasattr(serializer, "bind")


def check_serializer(serializer: Any, name: str, *methods: str) -> None:
    """Refuse what is no serializer, in terms of what was probably meant.

    Raises
    ------
    SerializationError
        A class, or something without the `methods` that the call needs.
    """
    fits = not isinstance(serializer, type)
    for method in methods:
        fits = fits and hasattr(serializer, method)
    if fits or serializer is None or is_function(serializer):
        return
    expected = f"{name}: expected a serializer, such as Json(), Avro(schema) or Struct(layout)"
    if isinstance(serializer, type):
        own = serializer.__name__
        raise SerializationError(f"{expected}, got the class {own}: make one of it, {own}(...)")
    raise SerializationError(expected, value=serializer)


def rows_within(size: int, most: int, *sources: Source) -> int:
    """Return how many records to encode at a time: `most`, or as many of the largest as `size` bytes hold."""
    rows = most
    for source in sources:
        while rows > 1 and source.first_over(size // rows) is not None:
            rows = max(1, rows // 4)
    return rows


def bindable(values: Any, *, single: bool) -> Any:
    """Return `values` as a Table, or as a Column where a `single` one makes records; None where they are rows."""
    columns = as_columns(values)
    if columns is None or isinstance(columns, Table):
        return columns
    if columns.objects is not None:
        return None
    if not single and columns.type_name != "struct":
        raise SerializationError(f"expected rows or a table, got one column of {columns.type_name}")
    return columns


def rows_of(values: Any) -> Any:
    """Return an iterable of rows; SerializationError if it is none."""
    if isinstance(values, Column):
        return values.objects
    # numpy's scalars and arrays without a dimension only look iterable.
    is_one = isinstance(values, (str, bytes, bytearray, memoryview)) or getattr(values, "ndim", 1) == 0
    if is_one or not hasattr(values, "__iter__"):
        expected = "expected a sequence of rows, or columns"
        if hasattr(values, "collect_batches") or hasattr(values, "__aiter__"):  # polars' LazyFrame; an async generator
            expected += " (send_stream() takes what is read piece by piece)"
        raise SerializationError(expected, value=values)
    return values
