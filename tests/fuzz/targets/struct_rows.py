"""Struct from rows and columns of 256 formats: the bytes of the struct module, or a SerializationError."""

from __future__ import annotations

import random
import struct
from functools import cache
from typing import Any

import numpy as np

from tests.fuzz.draw import Draw
from twolane import SerializationError, Struct

CODES = [*"bBhHiIlLqQfd?", "3s", "0s", "x", "2x", "2i", "e"]
BITS = {"b": 8, "h": 16, "i": 32, "l": 32, "q": 64}


@cache
def case(number: int) -> tuple[str, list[str], Struct]:
    """Return a format, the codes of its values, and the serializer."""
    rng = random.Random(number)
    codes = [*rng.choices(CODES, k=rng.randint(0, 5)), rng.choice("bqd")]
    form = rng.choice(["=", "<", ">", "!", "@", ""]) + "".join(codes)
    fields = [code for code in codes if code not in ("x", "2x", "0s")]
    return form, [one for code in fields for one in (["i", "i"] if code == "2i" else [code])], Struct(form)


def value_of(draw: Draw, code: str) -> Any:
    """Return a value that the struct module takes."""
    if code.lower() in BITS:
        bits = BITS[code.lower()]
        return draw.within(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if code.islower() else draw.within(0, 2**bits - 1)
    if code == "?":
        return bool(draw.below(2))
    if code == "3s":
        return draw.take(draw.below(4)).to_bytes(4, "little").rstrip(b"\0")[:3]
    return draw.double() if code == "d" else draw.within(-2048, 2048) / 4


def packed(form: str, row: Any) -> bytes | None:
    """Return the struct module's bytes; None where it refuses."""
    empty = form.count("0s")
    if empty:
        return None
    try:
        return struct.pack(form, *row)
    except (struct.error, OverflowError, TypeError, ValueError):
        return None


def run(data: bytes) -> None:
    draw = Draw(data)
    form, codes, serializer = case(draw.take(1))
    rows = [tuple(value_of(draw, code) for code in codes) for _ in range(1 + draw.below(3))]
    odd = draw.one_in(3)
    if odd:
        at = draw.below(len(codes))
        rows[0] = (*rows[0][:at], draw.anything(), *rows[0][at + 1 :])
    try:
        records = list(serializer.encode_batch(rows))
        one = serializer.encode(rows[0])
    except SerializationError as error:
        assert odd, f"refused: {rows!r}"
        assert error.index in (0, None)
        return
    assert one == records[0]
    size = struct.calcsize(form)
    for row, record in zip(rows, records, strict=True):
        assert len(record) == size
        want = packed(form, row)
        if want is not None and not (odd and row is rows[0]):
            assert record == want, f"{row!r} became {record!r}"
    if odd:
        return
    names = serializer.dtype.names
    held = [list(column) for column in zip(*rows, strict=True)]
    lists = dict(zip(names, held, strict=True))
    assert list(serializer.encode_batch(lists)) == records
    arrays = {name: np.array(column) for name, column in lists.items()}
    try:
        assert list(serializer.encode_batch(arrays)) == records
    except SerializationError:
        # numpy makes doubles of ints that are beyond both of its kinds.
        assert any(array.dtype == object or array.dtype.kind == "f" for array in arrays.values())
