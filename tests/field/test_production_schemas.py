"""Schemas in the shapes of production: what we write, fastavro and Java read, and write again as the same bytes."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import fastavro
import pyarrow as pa
import pytest

from tests.field.cases import CASES
from twolane import Avro

WHOLE = pytest.mark.parametrize("name", CASES)


def test_there_are_fifty() -> None:
    assert len(CASES) >= 50


def parsed(schema: Any) -> Any:
    return fastavro.parse_schema(copy.deepcopy(schema))


@WHOLE
def test_fastavro_writes_the_same_and_reads_it(name: str) -> None:
    schema, row, *_ = CASES[name]
    data = Avro(schema).encode(row)
    expected = io.BytesIO()
    fastavro.schemaless_writer(expected, parsed(schema), CASES[name].whole or row)
    assert data == expected.getvalue()
    rest = io.BytesIO(data)
    again = io.BytesIO()
    fastavro.schemaless_writer(
        again, parsed(schema), fastavro.schemaless_reader(rest, parsed(schema), None, return_record_name=True)
    )
    assert rest.read() == b""
    assert again.getvalue() == data


def test_java_reads_and_writes_the_same(java: Any) -> None:
    for name, case in CASES.items():
        data = Avro(case.schema).encode(case.row)
        (read,) = java.avro(case.schema, [data])
        assert read.again == data, name


@WHOLE
def test_text_of_a_schema_is_the_schema(name: str) -> None:
    schema, row, *_ = CASES[name]
    assert Avro(json.dumps(schema)).encode(row) == Avro(schema).encode(row)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.has_columns])
def test_columns_give_the_bytes_of_rows(name: str) -> None:
    schema, row, *_ = CASES[name]
    avro = Avro(schema)
    table = pa.Table.from_pylist([row, row, row])
    assert list(avro.encode_batch(table)) == list(avro.encode_batch([row] * 3)) == [avro.encode(row)] * 3
