"""Whatever serializers are given, they give bytes or raise our errors: generated, value x container x serializer."""

from __future__ import annotations

import traceback

import numpy as np
import pytest

from tests.support.hostile import VALUES, held
from twolane import Avro, Bytes, Json, SerializationError, Struct, TwolaneError


def record(type_):
    return {"type": "record", "name": "R", "fields": [{"name": "a", "type": type_}]}


AVRO = {
    "int": "int",
    "string": "string",
    "bytes": "bytes",
    "float": "float",
    "boolean": "boolean",
    "union": ["null", "long", "string", "double"],
    "array": {"type": "array", "items": "long"},
    "map": {"type": "map", "values": "long"},
    "enum": {"type": "enum", "name": "E", "symbols": ["A"]},
    "fixed": {"type": "fixed", "name": "F", "size": 3},
    "decimal": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    "date": {"type": "int", "logicalType": "date"},
    "time": {"type": "long", "logicalType": "time-micros"},
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
    "local timestamp": {"type": "long", "logicalType": "local-timestamp-nanos"},
    "uuid": {"type": "string", "logicalType": "uuid"},
    "duration": {"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"},
}
SERIALIZERS = {
    "Bytes": Bytes(),
    "Json": Json(),
    "strict Json": Json(binary="base64", nan="error"),
    **{f"Avro {name}": Avro(record(type_)) for name, type_ in AVRO.items()},
    "Avro, bare long": Avro("long"),
    "Avro, bare string": Avro("string"),
    **{f"Struct {kind}": Struct(np.dtype([("a", kind)])) for kind in ("<u2", "S3", "U3", "M8[ms]", "(2,)i4")},
}
CALLS = ("encode", "encode_batch", "bind")


def escaped(call, *arguments):
    """Call; give what came out that is not ours, and where it came from."""
    try:
        call(*arguments)
    except TwolaneError as error:
        str(error)
        return None
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, MemoryError)):
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:80]} ({where.filename.rpartition('/')[2]}:{where.lineno})"
    return None


@pytest.mark.filterwarnings("ignore")
def test_only_our_errors_come_out_of_serializers():
    problems = {}
    n = 0
    for what, make in held():
        for name, serializer in SERIALIZERS.items():
            for call in CALLS if "in itself" in what else CALLS[1:2]:
                n += 1
                found = escaped(getattr(serializer, call), make())
                if found:
                    problems.setdefault(found, f"{what}: {name}.{call}()")
    assert n > 20_000
    assert not problems, "\n".join(f"{where}: {found}" for found, where in problems.items())


@pytest.mark.filterwarnings("ignore")
def test_a_schema_from_examples_takes_the_examples_or_is_none():
    problems = {}
    names = list(VALUES)
    for i, first in enumerate(names):
        for second in (names[i], *names[i + 1 :: 7], "int", "text", "None"):
            rows = [{"a": VALUES[first]}, {"a": VALUES[second]}]
            try:
                avro = Avro.from_example(rows)
            except SerializationError:
                continue
            except Exception as error:  # noqa: BLE001 - what else comes is the fault looked for
                problems[f"{first} and {second}"] = repr(error)[:120]
                continue
            for call in (avro.encode_batch, lambda rows, avro=avro: [avro.encode(row) for row in rows]):
                try:
                    call(rows)
                except Exception as error:  # noqa: BLE001
                    problems[f"{first} and {second}"] = f"{avro.schema['fields'][0]['type']}: {error!r:.150}"
    assert not problems, "\n".join(f"{what}: {why}" for what, why in problems.items())
