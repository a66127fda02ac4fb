"""JSON from Arrow columns of every type: read by the standard library, and the bytes of the rows that pyarrow makes."""

from __future__ import annotations

import decimal
from typing import Any

import pyarrow as pa

from tests.encoding.harness import UNABLE
from tests.fuzz.draw import Draw
from tests.fuzz.targets.json_rows import strict
from twolane import Json, SerializationError

BASE64 = Json(binary="base64")
TYPES = [
    pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64(), pa.float32(), pa.float64(),
    pa.bool_(), pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.binary(3), pa.date32(),
    pa.timestamp("us"), pa.timestamp("ms", "UTC"), pa.time64("us"), pa.decimal128(20, 3), pa.null(),
    pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.int64()),
]  # fmt: skip


def type_of(draw: Draw, depth: int = 2) -> pa.DataType:
    """Return a type."""
    how = draw.below(8 if depth else 5)
    if how < 5:
        return draw.choice(TYPES)
    inner = type_of(draw, depth - 1)
    if how == 5:
        return draw.choice([pa.list_, pa.large_list, pa.list_view, lambda one: pa.list_(one, 2)])(inner)
    if how == 6:
        return pa.map_(pa.string(), inner)
    return pa.struct([("a", inner), ("ß", type_of(draw, depth - 1))])


def value_of(draw: Draw, kind: pa.DataType) -> Any:
    """Return a value of a type, or None."""
    if draw.one_in(6) or pa.types.is_null(kind):
        return None
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        return {field.name: value_of(draw, field.type) for field in kind}
    if pa.types.is_map(kind):
        return list({draw.text(): value_of(draw, kind.item_type) for _ in range(draw.below(3))}.items())
    if pa.types.is_fixed_size_list(kind):
        return [value_of(draw, kind.value_type) for _ in range(2)]
    if pa.types.is_nested(kind):
        return [value_of(draw, kind.value_type) for _ in range(draw.below(4))]
    if pa.types.is_integer(kind):
        wide = kind.bit_width
        low, high = (-(2 ** (wide - 1)), 2 ** (wide - 1) - 1) if pa.types.is_signed_integer(kind) else (0, 2**wide - 1)
        return draw.within(low, high)
    if pa.types.is_floating(kind):
        return draw.double() if kind.bit_width == 64 else draw.within(-(2**10), 2**10) / 4
    if pa.types.is_boolean(kind):
        return bool(draw.below(2))
    if pa.types.is_fixed_size_binary(kind):
        return draw.take(3).to_bytes(3, "little")
    if pa.types.is_binary(kind):
        return draw.raw()
    if pa.types.is_decimal(kind):
        return decimal.Decimal(draw.within(-(10**20) + 1, 10**20 - 1)).scaleb(-3)
    if pa.types.is_temporal(kind):
        moment = draw.instant()
        if kind == pa.timestamp("ms", "UTC"):
            return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        return {pa.date32(): moment.date(), pa.time64("us"): moment.time()}.get(kind, moment.replace(tzinfo=None))
    return draw.text()


def run(data: bytes) -> None:
    draw = Draw(data)
    kind = type_of(draw)
    n, before = 1 + draw.below(4), draw.below(4)
    values = [value_of(draw, kind) for _ in range(before + n)]
    try:
        column = pa.array(values, kind).slice(before)
    except UNABLE:
        return
    table = {"f": column if draw.below(2) else pa.chunked_array([column.slice(0, n // 2), column.slice(n // 2)])}
    try:
        records = list(BASE64.encode_batch(table))
    except SerializationError:
        records = None
    try:
        wanted = list(BASE64.encode_batch([{"f": as_row(value, kind)} for value in values[before:]]))
    except SerializationError:
        wanted = None
    # The digits are the same, but for where an exponent begins.
    read = [None if both is None else [strict(record) for record in both] for both in (records, wanted)]
    assert repr(read[0]) == repr(read[1]), f"{values[before:]!r} of {kind}"


def as_row(value: Any, kind: pa.DataType) -> Any:
    """Return a value as rows have it: maps are dicts."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return {key: as_row(one, kind.item_type) for key, one in value}
    if pa.types.is_struct(kind):
        return {field.name: as_row(value[field.name], field.type) for field in kind}
    if pa.types.is_nested(kind):
        return [as_row(one, kind.value_type) for one in value]
    return value
