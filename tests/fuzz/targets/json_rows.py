"""JSON from any objects: read by the standard library and by orjson as they were, or a SerializationError."""

from __future__ import annotations

import json
from typing import Any

import orjson

from tests.fuzz.draw import Draw
from twolane import Json, SerializationError

JSONS = [Json(), Json(binary="base64"), Json(nan="error"), Json(binary="base64", nan="error", schema_id=7)]


def strict(text: bytes) -> Any:
    """Return what the standard library reads; its NaN is no JSON."""

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def run(data: bytes) -> None:
    draw = Draw(data)
    serializer = JSONS[draw.below(len(JSONS))]
    given = draw.json()
    is_odd = False
    while isinstance(given, (dict, list)) and given and draw.one_in(4):
        given[next(iter(given)) if isinstance(given, dict) else 0] = draw.anything()
        is_odd = True
    if draw.one_in(32):
        given, is_odd = draw.anything(), True
    try:
        record = serializer.encode(given)
    except SerializationError:
        assert is_odd, f"refused: {given!r}"
        record = b"refused"
    try:
        both = list(serializer.encode_batch([given, given]))
    except SerializationError as error:
        assert record == b"refused", f"one is taken, two are not: {given!r}"
        assert error.index == 0
        return
    assert both == [record, record]
    if record is None:
        assert is_odd or given is None
        return
    if serializer.schema_id is not None:
        assert record[:5] == b"\0\0\0\0\7"
        record = record[5:]
    read = strict(record)
    if is_odd:
        return
    assert read == given and repr(read) == repr(given), f"{given!r} became {record!r}"
    try:
        other = orjson.dumps(given)
    except TypeError:  # ints beyond 64 bits
        return
    assert orjson.loads(record) == orjson.loads(other)
