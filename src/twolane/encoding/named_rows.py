"""Rows that name their fields: what counts as one, and what it says by name. The one place for every serializer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from enum import Enum
from numbers import Number
from typing import Any
from uuid import UUID

import numpy as np

from twolane.encoding.columns.objects import entries_of, is_missing, is_missing_or_nan
from twolane.encoding.mismatch import Mismatch
from twolane.errors import SerializationError

# Classes of these say their fields by attributes.
BY_ATTRIBUTES = ("__dataclass_fields__", "__attrs_attrs__", "__pydantic_fields__")
# Other classes may do so, but not values, nor arrays, scalars and frames of numpy, pandas, polars and Arrow.
VALUES = (str, bytes, bytearray, memoryview, Number, list, set, frozenset, date, time, timedelta, UUID, Enum)
CONTAINERS = ("__array__", "__arrow_c_array__", "__arrow_c_stream__")


def by_name(row: Any) -> dict[Any, Any] | None:
    """Return the fields of a row by name.

    Parameters
    ----------
    row : object
        A mapping; a named tuple, such as ``DataFrame.itertuples()`` gives, or another row with ``_fields`` (SQLAlchemy,
        drivers of databases) or ``__fields__`` (PySpark); what has ``_asdict()``, or ``keys()`` and items by name
        (`sqlite3.Row`, a pandas Series); a record of a structured numpy array.

    Returns
    -------
    dict or None
        None where it is none of these: a plain tuple, an object with attributes, a value.

    Raises
    ------
    Mismatch
        If two fields have one name, a named tuple has lost a name, or what has labels is no row.
    """
    kind = type(row)
    if kind is dict:
        return row  # type: ignore[no-any-return]
    if kind in (tuple, list, str, bytes, int, float) or is_missing(row):
        return None
    if isinstance(row, Mapping):
        return dict(entries_of(row))
    if any(hasattr(kind, name) for name in BY_ATTRIBUTES):
        return None
    names = names_of(row)
    if names is not None:
        return paired(names, row, row)
    if callable(getattr(kind, "_asdict", None)):
        return dict(row._asdict())
    if callable(getattr(kind, "keys", None)) and hasattr(kind, "__getitem__"):
        labels = list(row.keys())
        if getattr(row, "ndim", 1) != 1 or not all(isinstance(label, str) for label in labels):
            raise Mismatch("a row whose labels are text", row)  # not a frame, or a series that is a column
        return paired(labels, [row[label] for label in different(labels, row)], row)
    if isinstance(row, np.ma.mvoid):
        data, mask = np.ma.getdata(row)[()], np.ma.getmaskarray(row)[()]
        return {name: unmasked(data[name], mask[name]) for name in row.dtype.names}
    if isinstance(row, np.void) and row.dtype.names is not None:
        return {name: row[name] for name in row.dtype.names}
    return None


def unmasked(value: Any, mask: Any) -> Any:
    """Return a field of a masked record; numpy's own item is masked as a whole where a part of it is."""
    if isinstance(mask, np.void):
        return np.ma.mvoid(value, mask=mask)  # type: ignore[no-untyped-call]
    if isinstance(mask, np.ndarray):
        return np.ma.array(value, mask=mask)
    return None if mask else value


def names_of(row: Any) -> list[str] | None:
    """Return the names of a row that is a sequence and says them beside; None if it is no such row."""
    if not hasattr(type(row), "__getitem__"):
        return None
    for attribute in ("_fields", "__fields__"):
        names = getattr(row, attribute, None)
        if isinstance(names, (tuple, list)) and names and all(isinstance(name, str) for name in names):
            return list(names)
    return None


def paired(names: list[str], values: Iterable[Any], row: Any) -> dict[str, Any]:
    """Return a dict of names and values that loses none of them."""
    values = tuple(values)
    if len(values) != len(names):
        raise Mismatch(f"a row of {len(names)} fields", row)
    lost = lost_name(names)
    if lost is not None and isinstance(row, tuple):
        raise Mismatch(f"a named tuple that kept its names ({lost!r} stands for another: pass rows as dicts)", row)
    return dict(zip(different(names, row), values, strict=True))


def lost_name(names: Sequence[str]) -> str | None:
    """Return the first name that ``namedtuple(rename=True)`` made up, as ``itertuples()`` may."""
    return next((name for i, name in enumerate(names) if name == f"_{i}"), None)


def different(names: list[str], row: Any) -> list[str]:
    """Return the names, of which no two are the same."""
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise Mismatch(f"a row whose fields have different names ({twice!r} is there twice)", row)
    return names


def fields_of(row: Any, names: Collection[str]) -> Any:
    """Return a row in the form in which a record with these fields is read from it.

    Returns
    -------
    object
        A dict by name; a tuple in the order of the fields, of a row without names; the row itself, whose attributes are
        the fields; None where it is no row but a value.
    """
    kind = type(row)
    if isinstance(row, dict) or kind is tuple:
        return row
    if isinstance(row, tuple):
        fields = getattr(kind, "_fields", None)
        if isinstance(fields, tuple) and fields and set(names) <= set(fields) and lost_name(fields) is None:
            return row  # every instance of the class has these attributes
    named = by_name(row)
    if named is not None:
        return named
    if isinstance(row, tuple):
        return tuple(row)
    return row if has_fields(row) and not is_missing_or_nan(row) else None


def has_fields(row: Any) -> bool:
    """Return whether its attributes are fields: not those of a value (a date's year) or a container (a size)."""
    kind = type(row)
    if any(hasattr(kind, name) for name in BY_ATTRIBUTES):
        return True
    return not isinstance(row, VALUES) and not any(hasattr(kind, name) for name in CONTAINERS)


def all_named(rows: Iterable[Any], name: str, field: str) -> Iterator[Any]:
    """Return rows so that a field of each can be read: as dicts, or as they are where attribute `name` is that field.

    Raises
    ------
    SerializationError
        As `by_name` raises Mismatch.
    """
    known: type[Any] | None = None
    for i, row in enumerate(rows):
        kind = type(row)
        if kind is dict or kind is known:
            yield row
        elif any(hasattr(kind, attribute) for attribute in BY_ATTRIBUTES):
            known = kind
            yield row
        else:
            try:
                named = by_name(row)
            except Mismatch as error:
                raise error.as_error(i, field) from None
            yield row if named is None else named


def others_of(row: Any, names: Collection[str]) -> list[Any]:
    """Return the fields that a row has beside these, of what `fields_of` gives.

    Of an object: those that its class declares, or else its public attributes. ``"-type"`` in a dict names a branch.
    """
    if isinstance(row, dict):
        return [name for name in row if name not in names and name != "-type"]
    kind = type(row)
    declared: Any = next((getattr(kind, name) for name in (*BY_ATTRIBUTES, "_fields") if hasattr(kind, name)), None)
    if declared is None:
        declared = [name for name in getattr(row, "__dict__", ()) if not name.startswith("_")]
    found = [getattr(one, "name", one) for one in declared]
    return [name for name in found if name not in names]


def refuse_others(names: Collection[str], columns: Iterable[str]) -> None:
    """Refuse columns of a table that a strict record has not."""
    for name in columns:
        if name not in names:
            raise SerializationError("the record has no field of that name, and is strict", field=name)
