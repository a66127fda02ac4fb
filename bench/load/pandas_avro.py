"""The usual script: pandas reads Parquet, confluent-kafka's AvroSerializer makes each record.

``python -m bench.load.pandas_avro FILE BOOTSTRAP TOPIC``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

AVRO = {"int64": "long", "double": "double", "bool": "boolean"}


def schema_of(path: str) -> str:
    """Return the Avro schema of a file; columns with nulls are unions."""
    fields = []
    for field in pq.read_schema(path):
        kind: Any = AVRO.get(str(field.type), "string")
        if str(field.type).startswith("timestamp"):
            kind = {"type": "long", "logicalType": "timestamp-millis"}
        fields.append({"name": field.name, "type": ["null", kind]})
    return json.dumps({"type": "record", "name": "Row", "fields": fields})


def main() -> None:
    path, bootstrap, topic = sys.argv[1:]
    serializer = AvroSerializer(SchemaRegistryClient.new_client({"url": "mock://bench"}), schema_of(path))
    context = SerializationContext(topic, MessageField.VALUE)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "queue.buffering.max.messages": 500_000})
    table = pd.read_parquet(path)
    names = list(table.columns)
    for values in table.astype(object).where(table.notna(), None).itertuples(index=False, name=None):
        value = serializer(dict(zip(names, values, strict=True)), context)
        while True:
            try:
                producer.produce(topic, value)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    sys.exit(producer.flush(300))


if __name__ == "__main__":
    main()
