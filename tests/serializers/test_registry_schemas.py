"""Where schemas come from and what they refer to: references, the latest version, ids, unions of records, files."""

from __future__ import annotations

import io
import json
import struct
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pytest

from tests.support.schema_registry import SchemaRegistry
from twolane import Avro
from twolane.errors import SerializationError
from twolane.serializers.schema_registry import Registry, record_subject, topic_record_subject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient


def record(name: str, *fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]}


COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN"]}
# Defines n.Shade inside, and c.Colour inside of that.
PALETTE = {**record("Palette", ("shade", record("Shade", ("colour", {**COLOUR, "namespace": "c"})))), "namespace": "n"}
USER = {**record("Use", ("shade", "Shade"), ("palette", "Palette"), ("colour", "c.Colour")), "namespace": "n"}
ROW = {"shade": {"colour": "GREEN"}, "palette": {"shade": {"colour": "RED"}}, "colour": "GREEN"}
DATA = b"\x02\x00\x02"


@pytest.fixture
def client() -> Iterator[SchemaRegistryClient]:
    with SchemaRegistry() as registry, SchemaRegistryClient({"url": registry.url}) as made:
        yield made


def text(schema: Any, *references: SchemaReference) -> Schema:
    return Schema(json.dumps(schema), "AVRO", list(references))


@pytest.fixture
def palette(client: SchemaRegistryClient) -> SchemaReference:
    """A reference whose label says nothing of what is in it."""
    client.register_schema("palettes", text(PALETTE))
    return SchemaReference("a-label", "palettes", 1)


def framed(avro: Avro, record: bytes) -> bytes:
    assert avro.schema_id is not None
    return struct.pack(">bI", 0, avro.schema_id) + record


def test_references_are_found_by_what_is_defined_in_them(client: Any, palette: SchemaReference) -> None:
    """Named before what contains it is, and nested twice."""
    wanted = client.register_schema("uses-value", text(USER, palette))
    registry = Registry(client, auto_register=False, use_latest=True)
    avro = Avro(record("Any"), registry=registry).warm_up("uses")
    assert avro.schema_id == wanted
    assert avro.encode(ROW) == framed(avro, DATA)
    # The text that it writes with needs no other schema, for fastavro either.
    assert fastavro.schemaless_reader(io.BytesIO(DATA), fastavro.parse_schema(avro.schema), None) == ROW


@pytest.mark.parametrize("auto_register", [True, False])
@pytest.mark.parametrize("given", ["Schema", "argument"])
def test_a_schema_with_references_is_registered_and_looked_up(
    client: Any, palette: SchemaReference, given: str, auto_register: bool
) -> None:
    wanted = None if auto_register else client.register_schema("uses-value", text(USER, palette))
    registry = Registry(client, auto_register=auto_register)
    cold = (
        Avro(text(USER, palette), registry=registry)
        if given == "Schema"
        else Avro(USER, registry=registry, references=[palette])
    )
    assert repr(cold) == "Avro(?)"
    avro = cold.warm_up("uses")
    registered = client.get_latest_version("uses-value")
    assert avro.schema_id == registered.schema_id
    assert wanted in (None, avro.schema_id)
    assert [one.subject for one in registered.schema.references] == ["palettes"]
    assert list(avro.encode_batch([ROW])) == [framed(avro, DATA)]
    assert fastavro.schemaless_reader(io.BytesIO(DATA), fastavro.parse_schema(avro.schema), None) == ROW


def test_references_need_a_registry() -> None:
    with pytest.raises(ValueError, match="only a registry"):
        Avro(USER, references=[SchemaReference("a", "b", 1)])
    with pytest.raises(ValueError, match="only a registry"):
        Avro()


def test_without_a_schema_the_latest_is_written(client: Any) -> None:
    client.register_schema("points-value", text(record("Point", ("x", "long"))))
    newest = client.register_schema("points-value", text(record("Point", ("x", "long"), ("y", ["null", "long"]))))
    avro = Avro(registry=client).warm_up("points")
    assert avro.schema_id == newest
    assert avro.encode({"x": 1, "y": None}) == framed(avro, b"\x02\x00")
    assert list(avro.encode_batch({"x": np.array([1]), "y": np.array([2])})) == [framed(avro, b"\x02\x02\x04")]
    with pytest.raises(SerializationError, match=r"subject 'nothing-value': latest version failed.*not found"):
        Avro(registry=client).warm_up("nothing")


def test_a_schema_by_its_id(client: Any) -> None:
    first = client.register_schema("points-value", text(record("Point", ("x", "long"))))
    client.register_schema("points-value", text(record("Point", ("x", "long"), ("y", ["null", "long"]))))
    avro = Avro(registry=client, schema_id=first).warm_up("points")
    assert avro.encode({"x": 1}) == framed(avro, b"\x02")
    assert avro.schema_id == first
    with pytest.raises(SerializationError, match="look-up of the id failed"):
        Avro(registry=client, schema_id=99).warm_up("points")
    with pytest.raises(ValueError, match="a fixed id needs no registry"):
        Avro("string", registry=client, schema_id=first)


EVENTS = [record("e.Opened", ("at", "long")), record("e.Closed", ("at", "long"), ("before", ["null", "e.Opened"]))]
OPENED, CLOSED = {"at": 1}, {"at": 2, "before": {"at": 1}}


@pytest.mark.parametrize(
    ("strategy", "subjects"),
    [(record_subject, ["e.Opened", "e.Closed"]), (topic_record_subject, ["log-e.Opened", "log-e.Closed"])],
)
def test_each_record_of_a_union_has_the_subject_of_its_name(client: Any, strategy: Any, subjects: list[str]) -> None:
    """And its own id and bytes, as Java's serializer writes it."""
    avro = Avro(EVENTS, registry=Registry(client, subject_name=strategy)).warm_up("log")
    assert sorted(client.get_subjects()) == sorted(subjects)
    ids = [client.get_latest_version(subject).schema_id for subject in subjects]
    rows = [OPENED, ("e.Closed", CLOSED), OPENED, None]
    opened, closed = (struct.pack(">bI", 0, number) for number in ids)
    wanted = [opened + b"\x02", closed + b"\x04\x02\x02", opened + b"\x02", None]
    assert [avro.encode(row) for row in rows] == list(avro.encode_batch(rows)) == wanted
    assert list(avro.bind(rows).slice(0, 4)) == wanted
    for data, row in zip(wanted[:3], [OPENED, CLOSED, OPENED], strict=True):
        written = json.loads(client.get_schema(struct.unpack(">bI", data[:5])[1]).schema_str)
        assert fastavro.schemaless_reader(io.BytesIO(data[5:]), fastavro.parse_schema(written), None) == row


def test_a_union_under_one_subject_is_written_as_a_union(client: Any) -> None:
    avro = Avro(EVENTS, registry=client).warm_up("log")
    assert client.get_subjects() == ["log-value"]
    assert avro.encode(("e.Closed", CLOSED)) == framed(avro, b"\x02\x04\x02\x02")


def test_a_union_of_what_has_no_name_has_no_subject(client: Any) -> None:
    with pytest.raises(SerializationError, match="needs a union of types with names"):
        Avro(["null", *EVENTS], registry=Registry(client, subject_name=record_subject)).warm_up("log")


@pytest.mark.parametrize("before", ["", "\ufeff", "\n \t"])
def test_schemas_from_files_texts_and_objects(before: str, tmp_path: Path) -> None:
    schema = record("Point", ("x", "long"))
    path = tmp_path / "point.avsc"
    path.write_text(before + json.dumps(schema), encoding="utf-8")
    for given in (path, path.read_bytes(), path.read_text(encoding="utf-8"), text(schema)):
        assert Avro(given).encode({"x": 1}) == b"\x02"
    assert Avro(before + '"long"').encode(1) == b"\x02"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.avsc", tmp_path):
        with pytest.raises(SerializationError, match=f"cannot read '{path}'"):
            Avro(path)
    with pytest.raises(SerializationError, match="schema of Avro, got one of JSON"):
        Avro(Schema("{}", "JSON"))
