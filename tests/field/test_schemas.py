"""Schemas as other tools write them, and registries as other teams fill them."""

from __future__ import annotations

import io
import json
import struct
import threading
from typing import Any

import fastavro
import psutil
import pyarrow as pa
import pytest

from tests.support.readers import read_all
from tests.support.schema_registry import SchemaRegistry
from twolane import Avro, SafeProducer, SerializationError

# What Debezium makes of a server called 01-shop and a table called order$items.
DEBEZIUM = {
    "type": "record",
    "name": "Envelope",
    "namespace": "01-shop.public.order$items",
    "fields": [
        {
            "name": "after",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "Value",
                    "namespace": "01-shop.public.order$items",
                    "fields": [{"name": "id", "type": "long"}, {"name": "größe", "type": ["null", "string"]}],
                },
            ],
            "default": None,
        },
        {"name": "op", "type": {"type": "enum", "name": ".Op", "namespace": None, "symbols": ["c", "u", "d"]}},
    ],
}
ROW = {"after": {"id": 7, "größe": "XL"}, "op": "u"}
EXPECTED = b"\x02\x0e\x02\x04XL\x02"


def test_names_of_change_events_do_not_change_the_bytes(java: Any) -> None:
    avro = Avro(DEBEZIUM)
    assert avro.encode(ROW) == EXPECTED
    assert list(avro.encode_batch(pa.Table.from_pylist([ROW, ROW]))) == [EXPECTED] * 2
    (read,) = java.lenient(DEBEZIUM, [EXPECTED])
    assert read.again == EXPECTED
    with pytest.raises(SerializationError):
        Avro(DEBEZIUM, strict_names=True)


def event(namespace: str) -> dict[str, Any]:
    fields = [{"name": "id", "type": "long"}]
    return {"type": "record", "name": "Created", "namespace": namespace, "fields": fields}


def test_a_short_name_of_two_versions_is_refused_and_a_long_one_taken() -> None:
    avro = Avro([event("v1"), event("v2")])
    assert avro.encode(("v2.Created", {"id": 1})) == avro.encode({"-type": "v2.Created", "id": 1}) == b"\x02\x02"
    for row in (("Created", {"id": 1}), {"-type": "Created", "id": 1}, {"-type": "v3.Created", "id": 1}):
        with pytest.raises(SerializationError, match="Created"):
            avro.encode(row)


def test_a_column_too_many_is_dropped_unless_strict() -> None:
    rows = [{"id": 1}, {"id": 2, "idd": 3}]
    assert list(Avro(event("v1")).encode_batch(rows)) == [b"\x02", b"\x04"]
    with pytest.raises(SerializationError, match="idd") as caught:
        Avro(event("v1"), strict=True).encode_batch(rows)
    assert caught.value.index == 1


def test_a_schema_file_with_a_byte_order_mark_and_references_is_read(tmp_path: Any) -> None:
    pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
    from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient

    from twolane.serializers.schema_registry import Registry

    file = tmp_path / "order.avsc"
    order = {"type": "record", "name": "Order", "fields": [{"name": "total", "type": "money.Price"}]}
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(order).encode())
    price = {"type": "record", "name": "Price", "namespace": "money", "fields": [{"name": "cents", "type": "long"}]}
    with SchemaRegistry() as server, SchemaRegistryClient({"url": server.url}) as client:
        client.register_schema("shared-types", Schema(json.dumps(price), "AVRO"))
        # The label is what the other team calls it, not what is in it.
        references = [SchemaReference("common/money.avsc", "shared-types", 1)]
        avro = Avro(file, references=references, registry=Registry(client)).warm_up("orders")
    framed = avro.encode({"total": {"cents": 1990}})
    magic, schema_id = struct.unpack(">bI", framed[:5])
    assert (magic, schema_id) == (0, avro.schema_id)
    schema = fastavro.parse_schema(avro.schema)
    assert fastavro.schemaless_reader(io.BytesIO(framed[5:]), schema, None) == {"total": {"cents": 1990}}


def test_producers_in_a_row_leave_no_thread_behind(embedded_cluster: Any, topic: Any) -> None:
    """The check of topics is on, and the embedded cluster never answers it."""
    name = topic(embedded_cluster)
    process = psutil.Process()

    def once() -> None:
        with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
            producer.send(name, b"x")

    once()
    threads = threading.active_count()
    descriptors = process.num_fds()
    for _ in range(10):
        once()
    assert threading.active_count() == threads
    assert process.num_fds() <= descriptors
    assert len(read_all(embedded_cluster.bootstrap_servers, name)) == 11
