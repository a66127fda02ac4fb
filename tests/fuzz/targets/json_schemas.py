"""JSON schemas with faults: refused by a SerializationError; what they let pass, jsonschema lets pass too."""

from __future__ import annotations

import json

import jsonschema
from jsonschema.validators import Draft202012Validator

from tests.fuzz.draw import Draw
from tests.fuzz.targets.avro_schemas import spoil
from twolane import Json, SerializationError

WORDS = [
    "type",
    "properties",
    "items",
    "required",
    "enum",
    "const",
    "minimum",
    "maxLength",
    "anyOf",
    "not",
    "$ref",
    "$id",
]
VALUES = ["object", "array", "string", "integer", "number", "boolean", "null", "#", "#/$defs/a", "other.json", "urn:x"]
BASE = {
    "type": "object",
    "properties": {
        "a": {"type": "integer", "minimum": 0},
        "b": {"type": ["string", "null"]},
        "c": {"items": {"const": 1}},
    },
    "required": ["a"],
}


def run(data: bytes) -> None:
    draw = Draw(data)
    schema = json.loads(json.dumps(BASE))
    for _ in range(draw.below(5)):
        if draw.below(2) and isinstance(schema, dict):
            schema[draw.choice(WORDS)] = draw.choice(VALUES) if draw.below(2) else draw.json(2)
        else:
            schema = spoil(draw, schema)
    text = json.dumps(schema)
    if draw.one_in(8):
        at = draw.below(len(text) + 1)
        text = text[:at] + draw.text(3) + text[at + draw.below(3) :]
    record = {"a": draw.integer(), "b": draw.json(1), "c": draw.json(1)}
    try:
        checked = Json(text, validate=True)
        taken = checked.encode(record)
    except SerializationError:
        return
    known = json.loads(text)
    if isinstance(known, dict) and "$schema" in known:
        return
    jsonschema.validate(json.loads(taken), known, Draft202012Validator)
