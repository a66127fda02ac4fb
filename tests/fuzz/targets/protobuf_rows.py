"""Protobuf from dicts of 256 messages: the bytes of messages that google.protobuf fills, or a SerializationError."""

from __future__ import annotations

from google.protobuf.message import EncodeError

from tests.encoding.protobuf.generated import agrees, as_object, has_times
from tests.fuzz.draw import Draw
from tests.fuzz.protobuf_cases import case
from twolane import SerializationError


def run(data: bytes) -> None:
    draw = Draw(data)
    kind, columns, protobuf, values = case(draw.take(1))
    odd = draw.one_in(4)
    name, value = (draw.choice(list(columns.fields)), draw.anything()) if odd else ("", None)
    values.feed(draw.rest())
    timed = {one for one, shape in columns.fields.items() if has_times(shape)}
    row = {one: made for one, made in columns.draw().items() if one not in timed}
    given = {one: as_object(columns.fields[one], made) for one, made in row.items() if made is not None}
    if odd:
        given[name] = value
    try:
        record = protobuf.encode(given)
    except SerializationError:
        lacks = any(one.is_required and one.name not in given for one in kind.DESCRIPTOR.fields)
        assert odd or lacks, f"refused: {given!r}"
        record = b"refused"
    try:
        both = list(protobuf.encode_batch([given, given]))
    except SerializationError as error:
        assert record == b"refused", f"one is taken, two are not: {given!r}"
        assert error.index == 0
        return
    assert both == [record, record]
    if not odd:
        assert agrees(kind, columns, row, record), f"{given!r} became {record!r}"
        return
    read = kind.FromString(record)
    try:
        want = kind(**given).SerializeToString(deterministic=True)
    except (TypeError, ValueError, OverflowError, AttributeError, KeyError, EncodeError):
        return  # google.protobuf takes less than we do: datetimes, members of enums, numpy's numbers
    assert read.SerializeToString(deterministic=True) == want, f"{given!r} became {record!r}"
