"""Record headers: what users write and what the client takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twolane.encoding.columns.bytes import ready_bytes
from twolane.encoding.columns.objects import is_missing, is_missing_or_nan
from twolane.errors import SerializationError
from twolane.serializers.raw import bind_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.batch import EncodedBatch
    from twolane.serializers import Source

Header = tuple[bytes, bytes | None]
# What users write: of one record.
HeaderValue = bytes | str | bytearray | memoryview | None
Headers = Mapping[str, HeaderValue] | Sequence[tuple[str, HeaderValue]]
_BYTES = (str, bytes, bytearray, memoryview)


def _one(name: Any, value: Any, index: int | None) -> Header:
    if not isinstance(name, str):
        raise SerializationError("header names are strings", index=index, field="headers", value=name)
    encoded = ready_bytes(name, index, "headers")
    if not encoded or b"\0" in encoded:
        reason = "a header name is not empty and holds no NUL"
        raise SerializationError(reason, index=index, field="headers", value=name)
    if value is None or type(value) is bytes:
        return encoded, value
    if type(value) is not str and is_missing_or_nan(value):
        return encoded, None
    return encoded, ready_bytes(value, index, f"headers[{name!r}]")


def shared_headers(headers: Any, index: int | None = None) -> tuple[Header, ...]:
    """Return one record's headers: from a mapping, or from a sequence of (name, value), in that order.

    Raises
    ------
    SerializationError
        Names other than non-empty str without NUL, values other than bytes, str or None.
    """
    if headers is None:
        return ()
    if isinstance(headers, Mapping):
        return tuple(_one(name, value, index) for name, value in headers.items())
    if isinstance(headers, Sequence) and not isinstance(headers, _BYTES):
        pairs = []
        for pair in headers:
            if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
                raise SerializationError("expected (name, value)", index=index, field="headers", value=pair)
            pairs.append(_one(pair[0], pair[1], index))
        return tuple(pairs)
    if isinstance(headers, AddedHeaders):
        return _with_added(shared_headers(headers.given, index), headers.added)
    raise SerializationError(
        "headers are a mapping or a sequence of (name, value)", index=index, field="headers", value=headers
    )


@dataclass(frozen=True, slots=True)
class AddedHeaders:
    """The headers of a call, and others that each of its records gets in place of those of the same name.

    Attributes
    ----------
    given : object
        As the caller of ``send()`` or ``send_batch()`` wrote them.
    added : tuple of (bytes, bytes or None)
    """

    given: Any
    added: tuple[Header, ...]


def _with_added(headers: Sequence[Header], added: tuple[Header, ...]) -> tuple[Header, ...]:
    names = {name for name, _ in added}
    return *(header for header in headers if header[0] not in names), *added


@dataclass(frozen=True, slots=True)
class BatchHeaders:
    """The headers of a batch.

    Attributes
    ----------
    shared : tuple of (bytes, bytes or None)
        Of every record, first.
    columns : tuple of (bytes, Source)
        A name for all, a value for each record.
    each : list of such tuples, or None
        All the headers of each record; then there are no others.
    """

    shared: tuple[Header, ...] = ()
    columns: tuple[tuple[bytes, Source], ...] = ()
    each: list[tuple[Header, ...]] | None = None

    def with_shared(self, added: tuple[Header, ...]) -> BatchHeaders:
        """Return these headers and others, the same for all records, in place of those of the same name."""
        if self.each is not None:
            return BatchHeaders(each=[_with_added(entry, added) for entry in self.each])
        names = {name for name, _ in added}
        return BatchHeaders(_with_added(self.shared, added), tuple(one for one in self.columns if one[0] not in names))

    def with_column(self, name: bytes, values: Source, n: int) -> BatchHeaders:
        """Return these headers and one more, with a value for each of the `n` records."""
        if self.each is None:
            return BatchHeaders(self.shared, (*self.columns, (name, values)))
        column = values.slice(0, n)
        return BatchHeaders(
            each=[(*entry, (name, column[0 if column.is_constant else i])) for i, entry in enumerate(self.each)]
        )

    def slice(
        self, start: int, stop: int
    ) -> tuple[tuple[Header, ...] | list[tuple[Header, ...]], list[tuple[bytes, EncodedBatch]]]:
        """Return what a RecordSlice of these records takes: shared headers or those of each record, and columns."""
        if self.each is not None:
            return self.each[start:stop], []
        if not self.columns:
            return self.shared, []
        return self.shared, [(name, source.slice(start, stop)) for name, source in self.columns]


def batch_headers(headers: Any, n: int, column: Callable[[str], Any]) -> BatchHeaders:
    """Check the headers of a batch and bring them to one form.

    Parameters
    ----------
    headers : mapping, sequence, or str
        A mapping, or a sequence of ``(str, value)`` pairs: a value for all records, or a column of `n` values. A
        sequence of str: columns of the batch, under their own names. Any other sequence has one entry per record, each
        a mapping, a sequence of pairs, or None; a str is the name of a column with such entries.
    n : int
        Records.
    column : callable
        Gives a column of the batch by its name.

    Raises
    ------
    SerializationError
    """
    if isinstance(headers, str):
        entries = column(headers)
        entries = getattr(entries, "objects", entries)
        headers = [] if entries is None else list(entries)
        if len(headers) != n:
            raise SerializationError("the column holds no headers, one mapping per record", field="headers")
    if headers is None:
        return BatchHeaders()
    if isinstance(headers, Mapping):
        return _by_name(list(headers.items()), n)
    if not isinstance(headers, Sequence) or isinstance(headers, _BYTES):
        raise SerializationError("headers are a mapping or a sequence", field="headers", value=headers)
    if all(isinstance(name, str) for name in headers):
        return _by_name([(name, column(name)) for name in headers], n)
    if all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in headers):
        return _by_name(headers, n)
    if len(headers) != n:
        raise SerializationError(f"{len(headers)} headers for {n} records", field="headers")
    return BatchHeaders(each=[shared_headers(entry, index) for index, entry in enumerate(headers)])


def has_value_per_record(value: Any) -> bool:
    """Return whether a header's value is a column; else it is one value for all records."""
    if not hasattr(value, "__len__") or isinstance(value, (*_BYTES, Mapping, Set)):
        return False
    return not is_missing(value)  # of which some classes have a length


def _by_name(pairs: Sequence[tuple[str, Any]], n: int) -> BatchHeaders:
    shared, columns = [], []
    for name, value in pairs:
        if has_value_per_record(value):
            encoded, _ = _one(name, None, None)
            columns.append((encoded, bind_bytes(value, n, field=f"headers[{name!r}]", scalars=False)))
        else:
            shared.append(_one(name, value, None))
    return BatchHeaders(tuple(shared), tuple(columns))
