"""Protobuf from rows: messages as they are, others by name into a message; google.protobuf writes the bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from google.protobuf.message import EncodeError, Message  # type: ignore[import-untyped]

from twolane.batch import EncodedBatch
from twolane.encoding.columns.objects import ColumnBytes, entries_of, is_missing, is_missing_or_nan
from twolane.encoding.columns.table import as_table
from twolane.encoding.mismatch import MemoryLimitExceeded, Mismatch
from twolane.encoding.named_rows import fields_of, others_of
from twolane.encoding.protobuf.columns import ProtobufColumns
from twolane.encoding.protobuf.descriptors import class_of, definitions, hint
from twolane.encoding.protobuf.schema import EnumType, Field, MessageType, message_type
from twolane.encoding.protobuf.well_known import JSON_LIKE, PUTTERS, WRAPPERS
from twolane.errors import SerializationError

# Rows that are encoded before it is asked how much memory they took: at first, at most; and bytes meant to be made.
FIRST_ROWS, MOST_ROWS, PIECE = 16, 8_192, 2**20
# Dicts that take less time as columns.
MANY = 8
# The least double whose nearest single is infinite.
SINGLE_LIMIT = 2.0**128 - 2.0**103
RANGES: dict[str, tuple[int, int]] = {
    kind: (0, 2**bits) if kind.startswith(("u", "f")) else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    for bits in (32, 64)
    for kind in (f"int{bits}", f"uint{bits}", f"sint{bits}", f"fixed{bits}", f"sfixed{bits}")
}
# What can be iterated, but is no list.
NO_ITEMS = (str, bytes, bytearray, memoryview, Mapping, np.ndarray)
# A field inside a field, by its path behind that field's name; the item or the key where there are several.
INSIDE = re.compile(r"(?:\[(.*?)\])?\.(.*)", re.DOTALL)
# Sets one field of a message.
Put = Callable[[Any, Any], None]


class RowEncoder:
    """Rows of one message to bytes.

    Parameters
    ----------
    descriptor : google.protobuf.descriptor.Descriptor
    strict : bool
        Refuse rows with fields that their message does not have.
    """

    def __init__(self, descriptor: Any, *, strict: bool) -> None:
        self.kind = class_of(descriptor)
        self.type = message_type(descriptor, strict=strict)
        self._serialize = self.kind.SerializeToString
        self._fields = MessageFields.of(descriptor, self.type, {})
        # How many dicts are worth columns of their own; where there are maps every one, for they have one order then.
        self._fewest = 1 if has_maps(self.type, set()) else MANY

    def encode(self, row: Any, prefix: bytes = b"") -> bytes | None:
        """Encode one row; a missing value is None. Raise Mismatch, or SerializationError, of what does not fit."""
        if type(row) is not self.kind:
            if is_missing(row):
                return None
            if self._fewest == 1 and type(row) is dict:
                batch = self._by_columns([row], prefix)
                if batch is not None:
                    return batch[0]
            try:
                message = self._fields.message_of(row)
            except RecursionError:
                raise Mismatch("a value that is not nested so deep", row) from None
            return prefix + self._written(message, deterministic=True)
        return prefix + self._written(row)

    def _written(self, message: Any, **options: bool) -> bytes:
        try:
            return self._serialize(message, **options)  # type: ignore[no-any-return]
        except EncodeError as error:
            lacking = message.FindInitializationErrors()
            if not lacking:
                raise Mismatch(f"a message that can be written ({error})", message) from None
            found = Mismatch("a value (the field is required)", None)
            found.path.append(lacking[0])
            raise found from None

    def encode_rows(self, rows: Iterable[Any], prefix: bytes, limit: int | None) -> EncodedBatch:
        """Encode rows in their order until `limit` bytes are reached, and the first in any case.

        Raises
        ------
        SerializationError
            With the index of the row.
        """
        listed = rows if isinstance(rows, (list, tuple)) else list(rows)
        made: list[bytes | None] = []
        sizes = [np.zeros(1, dtype=np.int64)]
        size, step, has_nulls = 0, FIRST_ROWS if limit is not None else MOST_ROWS, False
        while len(made) < len(listed) and (limit is None or size < limit):
            part = self._encode_part(listed[len(made) : len(made) + step], len(made))
            try:
                lengths = np.fromiter(map(len, part), dtype=np.int64, count=len(part))  # type: ignore[arg-type]
            except TypeError:
                has_nulls = True
                lengths = np.array([len(one or b"") for one in part], dtype=np.int64)
            sizes.append(lengths + len(prefix))
            made += part
            written = int(sizes[-1].sum())
            size += written
            step = max(1, min(MOST_ROWS, 8 * step, PIECE * len(part) // max(written, 1)))
        if not prefix:
            return EncodedBatch.borrowed(made)
        if has_nulls:
            return EncodedBatch.borrowed([None if one is None else prefix + one for one in made])
        # Put before all of them by one join: an object for each would cost a fifth of what google.protobuf takes.
        return EncodedBatch(prefix.join([b"", *made]), np.cumsum(np.concatenate(sizes)))  # type: ignore[list-item]

    def _encode_part(self, rows: Any, start: int) -> list[bytes | None]:
        if set(map(type, rows)) == {self.kind}:
            try:
                return list(map(self._serialize, rows))
            except EncodeError:
                pass  # which of them is found below
        elif len(rows) >= self._fewest and set(map(type, rows)) == {dict}:
            batch = self._by_columns(rows, b"")
            if batch is not None:
                return list(batch)
        made = []
        for index, row in enumerate(rows, start):
            try:
                made.append(self.encode(row))
            except Mismatch as error:
                raise error.as_error(index, None) from None
        return made

    def _by_columns(self, rows: Sequence[dict[str, Any]], prefix: bytes) -> EncodedBatch | None:
        """Encode dicts as the columns that they would be; None where a value needs a closer look."""
        try:
            columns = columns_of(rows)
            if not self.type.strict:
                columns = {name: column for name, column in columns.items() if name in self._fields.put}
            table = as_table(columns)
            if not columns or table is None:
                return None
            return ProtobufColumns(self.type, _looked_at, table, prefix).slice(0, len(rows))
        except (MemoryLimitExceeded, SerializationError, TypeError):
            return None

    def encode_field(self, name: str, value: Any) -> bytes:
        """Encode one field alone, with its tag; Mismatch if the value does not fit."""
        message = self.kind()
        self._fields.put[name](message, value)
        for lacking in message.FindInitializationErrors():  # of other fields, which are other columns, too
            place = INSIDE.fullmatch(lacking.removeprefix(name))
            if place is not None and lacking.startswith(name):
                found = Mismatch("a value (the field is required)", None)
                found.path.append(place[2])
                if place[1] is not None:
                    found.path.append(int(place[1]) if place[1].isdigit() else (place[1].strip('"'),))
                raise found
        return message.SerializePartialToString(deterministic=True)  # type: ignore[no-any-return]


class MessageFields:
    """Sets the fields of one kind of message by name."""

    def __init__(self, kind: Any, type_: MessageType) -> None:
        self._kind = kind
        self._type = type_
        self._special = PUTTERS.get(type_.name)
        self._is_json = type_.name in JSON_LIKE
        self._known: set[type] = set()
        self.put: dict[str, Put] = {}
        self._group: dict[str, str] = {}

    @classmethod
    def of(cls, descriptor: Any, type_: MessageType, made: dict[str, MessageFields]) -> MessageFields:
        """Return the setter of a message; messages may contain themselves."""
        known = made.get(type_.name)
        if known is not None:
            return known
        known = made[type_.name] = cls(class_of(descriptor), type_)
        for field in type_.fields:
            below = descriptor.fields_by_name[field.name].message_type
            known.put[field.name] = _setter(field, below, made)
        for group, places in type_.oneofs.items():
            known._group.update(dict.fromkeys((type_.fields[i].name for i in places), group))
        if type_.name in WRAPPERS:
            known._special = known.put["value"]
        return known

    def message_of(self, row: Any) -> Any:
        """Return a message of a row."""
        message = self._kind()
        self.fill(message, row)
        return message

    def fill(self, message: Any, row: Any) -> None:
        """Set a new message to a row: a message, a value of Python's own, or what has its fields by name."""
        if isinstance(row, Message):
            self._copy(message, row)
        elif self._special is not None and (self._is_json or not isinstance(row, Mapping)):
            self._special(message, row)
        else:
            self._fill_by_name(message, row)

    def _copy(self, message: Any, given: Any) -> None:
        kind = type(given)
        if kind is self._kind:
            message.CopyFrom(given)
            return
        if kind not in self._known:
            if given.DESCRIPTOR.full_name != self._type.name:
                raise Mismatch(f"{self._type.name}, not a message of {given.DESCRIPTOR.full_name}", given)
            if definitions(given.DESCRIPTOR) != definitions(message.DESCRIPTOR):
                raise Mismatch(f"{self._type.name} as its schema has it, not another class of that name", given)
            self._known.add(kind)
        message.ParseFromString(given.SerializePartialToString())

    def _fill_by_name(self, message: Any, row: Any) -> None:
        fields = self.put
        named = fields_of(row, fields)
        if named is None or (type(named) is tuple):
            raise Mismatch(f"{self._type.name}: a message, or a row whose fields have names", row)
        if isinstance(named, dict):
            entries: Iterable[tuple[Any, Any]] = entries_of(named)
        else:
            entries = [(name, getattr(named, name)) for name in fields if hasattr(named, name)]
            if fields and not entries:
                raise Mismatch(f"{self._type.name}: a row that has any of its fields", row)
            if self._type.strict:
                entries = [*entries, *((name, getattr(named, name, ...)) for name in others_of(named, fields))]
        chosen: dict[str, str] = {}
        for name, value in entries:
            put = fields.get(name)
            if put is None:
                if self._type.strict:
                    found = Mismatch(f"a field of {self._type.name}{hint(name, fields)}", value)
                    found.path.append(str(name))
                    raise found
                continue
            if is_missing(value):
                continue
            group = self._group.get(name)
            if group is not None and chosen.setdefault(group, name) != name:
                raise Mismatch(f"one field of the oneof {group!r}, not both {chosen[group]!r} and {name!r}", row)
            _step(put, message, value, name)


def has_maps(message: MessageType, seen: set[str]) -> bool:
    """Return whether a message has a map, or contains a message that has one."""
    if message.name in seen:
        return False
    seen.add(message.name)
    return message.is_map or any(has_maps(field.message, seen) for field in message.fields if field.message is not None)


def columns_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the values of dicts by key; None where one lacks it."""
    names = list(rows[0])
    if len(names) > 1 and set(map(len, rows)) == {len(names)}:
        try:
            return dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
        except KeyError:
            pass  # as many keys, but others
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(chain.from_iterable(rows))}


def _looked_at(name: str, value: Any) -> bytes:
    """Refuse to encode a value of a column by itself: its row has to be looked at."""
    raise MemoryLimitExceeded


def _step(put: Put, message: Any, value: Any, step: Any) -> None:
    """Set what a field, an item or an entry is; add its place to the path of a mismatch."""
    try:
        put(message, value)
    except Mismatch as error:
        error.path.append(step)
        raise


def _setter(field: Field, below: Any, made: dict[str, MessageFields]) -> Put:
    """Return what sets a field."""
    if field.message is not None and field.message.is_map:
        return _map_setter(field, below, made)
    if field.message is not None:
        return _message_setter(field, MessageFields.of(below, field.message, made))
    convert, name = _converter(field), field.name
    if field.repeated:

        def extend(message: Any, value: Any) -> None:
            items = getattr(message, name)
            for i, item in enumerate(_items(value, field)):
                _step(lambda into, one: into.append(convert(one)), items, item, i)

        return extend
    takes_nan = field.kind in ("float", "double")

    def assign(message: Any, value: Any) -> None:
        if takes_nan or not is_missing_or_nan(value):
            setattr(message, name, convert(value))

    return assign


def _message_setter(field: Field, fields: MessageFields) -> Put:
    name = field.name
    if field.repeated:

        def add(message: Any, value: Any) -> None:
            items = getattr(message, name)
            for i, item in enumerate(_items(value, field)):
                _step(lambda into, one: fields.fill(into, _present(one, field)), items.add(), item, i)

        return add

    def fill(message: Any, value: Any) -> None:
        part = getattr(message, name)
        part.SetInParent()
        fields.fill(part, value)

    return fill


def _map_setter(field: Field, below: Any, made: dict[str, MessageFields]) -> Put:
    assert field.message is not None
    name = field.name
    key, item = field.message.fields
    convert = _converter(key)
    if item.message is None:
        convert_item = _converter(item)

        def enter(into: Any, entry: tuple[Any, Any]) -> None:
            into[convert(entry[0])] = convert_item(_present(entry[1], item))

    else:
        fields = MessageFields.of(below.fields_by_name["value"].message_type, item.message, made)

        def enter(into: Any, entry: tuple[Any, Any]) -> None:
            fields.fill(into[convert(entry[0])], _present(entry[1], item))

    def put(message: Any, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise Mismatch(field.label, value)
        into = getattr(message, name)
        for entry in entries_of(value):
            _step(enter, into, entry, (entry[0],))

    return put


def _items(value: Any, field: Field) -> Any:
    """Return the items of a repeated field."""
    if isinstance(value, np.ndarray):
        is_plain = value.ndim == 1 and value.dtype.kind in "bifu"
        value = value.tolist() if is_plain else list(value) if value.ndim else value
    if isinstance(value, (list, tuple)):
        return value
    # By isinstance: a member of an Enum has no items, though its class, asked for __iter__, has its metaclass's.
    if isinstance(value, Iterable) and not isinstance(value, NO_ITEMS):
        return list(value)
    raise Mismatch(field.label, value)


def _present(value: Any, field: Field) -> Any:
    """Return an item, which cannot be missing."""
    if is_missing(value) and (field.message is None or field.message.name not in JSON_LIKE):
        raise Mismatch(f"{field.label.removeprefix('repeated ')} (lists and maps have no null)", value)
    return value


def _converter(field: Field) -> Callable[[Any], Any]:
    """Return what checks a value of a field that is no message, and brings it to what google.protobuf takes."""
    if field.enum is not None:
        return EnumConverter(field.enum)
    return CONVERTERS.get(field.kind) or IntegerConverter(field.kind)


class IntegerConverter:
    """Whole numbers of one kind."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._low, self._end = RANGES[kind]

    def __call__(self, value: Any) -> int:
        """Return a plain int of a value."""
        if type(value) is not int:
            if not is_integer(value):
                raise Mismatch(self._kind, value)
            value = int(value)
        if not self._low <= value < self._end:
            raise Mismatch(f"{self._kind}, from {self._low} to {self._end - 1}", value)
        return int(value)


class EnumConverter:
    """Names and numbers of one enum."""

    def __init__(self, enum: EnumType) -> None:
        self._enum = enum
        self._numbers = frozenset(enum.numbers.values())
        self._integer = IntegerConverter("int32")

    def __call__(self, value: Any) -> int:
        """Return the number."""
        numbers = self._enum.numbers
        if isinstance(value, Enum):
            by_name = numbers.get(value.name)
            by_value = numbers.get(value.value) if isinstance(value.value, str) else None
            if is_integer(value.value) and int(value.value) in self._numbers:
                by_value = int(value.value)
            if by_name is not None and by_value is not None and by_name != by_value:
                raise Mismatch(f"{self._enum.name} (name and value are both of it: write .name or .value)", value)
            number = by_value if by_name is None else by_name
        elif is_integer(value):
            number = self._integer(value)
            if self._enum.closed and number not in self._numbers:
                number = None
        else:
            text = value.decode(errors="replace") if isinstance(value, ColumnBytes) else value
            number = numbers.get(text) if isinstance(text, str) else None
            if number is None:
                close = hint(text, numbers) if isinstance(text, str) else ""
                raise Mismatch(f"{self._enum.name}, one of {_some(numbers)}{close}", value)
        if number is None:
            raise Mismatch(f"{self._enum.name}, one of {_some(numbers)}", value)
        return number


def _some(names: Mapping[str, int]) -> str:
    shown = list(names)[:6]
    return ", ".join(shown) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def is_integer(value: Any) -> bool:
    """Return whether a value is a whole number: no boolean, no length of time."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))


def _double(value: Any) -> float:
    if not (isinstance(value, (float, np.floating)) or is_integer(value)):
        raise Mismatch("double", value)
    try:
        return float(value)
    except OverflowError:
        raise Mismatch("double", value) from None


def _single(value: Any) -> float:
    try:
        number = _double(value)
    except Mismatch:
        raise Mismatch("float", value) from None
    if SINGLE_LIMIT <= abs(number) < float("inf"):
        raise Mismatch("float, within single precision's range", value)
    return number


def _bool(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    if isinstance(value, np.bool_):
        return bool(value)
    raise Mismatch("bool", value)


def _string(value: Any) -> str:
    if isinstance(value, ColumnBytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise Mismatch("string", value) from None
    if not isinstance(value, str):
        raise Mismatch("string", value)
    text = str.__str__(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Mismatch("string that UTF-8 can hold (this has a lone surrogate)", value) from None
    return text


def _bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise Mismatch("bytes", value)
    return bytes(value)


CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "double": _double,
    "float": _single,
    "bool": _bool,
    "string": _string,
    "bytes": _bytes,
}
