"""Protobuf against google.protobuf and confluent-kafka's serializer: ``python -m bench.encoding.bench_protobuf``."""

from __future__ import annotations

from typing import Any

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from bench.encoding._cases import Case, run, through
from bench.encoding._data import THIRTY, five_columns, five_rows, five_table, thirty_rows, thirty_table
from twolane.serializers import Protobuf

N = 10_000
KINDS = {"long": "int64", "string": "string", "double": "double", "boolean": "bool", "int": "int32"}
FIVE = {"id": "int64", "sensor": "string", "temp": "double", "flag": "bool", "ts": "int64"}


def message_class(name: str, fields: dict[str, str], *, optional: bool) -> Any:
    """Return the class of a proto3 message, whose fields are numbered in their order."""
    file = descriptor_pb2.FileDescriptorProto(name=f"bench/{name}.proto", package="bench", syntax="proto3")
    message = file.message_type.add(name=name)
    for number, (field, kind) in enumerate(fields.items(), 1):
        added = message.field.add(name=field, number=number, label=1, proto3_optional=optional)
        added.type = added.Type.Value(f"TYPE_{kind.upper()}")
        if optional:
            added.oneof_index = number - 1
            message.oneof_decl.add(name=f"_{field}")
    pool = descriptor_pool.Default()  # where confluent-kafka's serializer looks for the file
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bench.{name}"))


Reading = message_class("Reading", FIVE, optional=False)
Wide = message_class("Wide", {field["name"]: KINDS[field["type"][1]] for field in THIRTY["fields"]}, optional=True)


def messages(kind: Any, rows: list[dict[str, Any]]) -> list[Any]:
    return [kind(**row) for row in rows]


def google(kind: Any, rows: Any) -> Case:
    """Make the case of SerializeToString() on messages that are ready."""

    def case() -> Any:
        given = messages(kind, rows(N))

        def write() -> None:
            for message in given:
                message.SerializeToString()

        return write

    return case


def confluent(kind: Any, rows: Any) -> Case:
    """Make the case of confluent-kafka's serializer on messages that are ready; its registry is in the process."""

    def case() -> Any:
        given, client = messages(kind, rows(N)), SchemaRegistryClient.new_client({"url": "mock://bench"})
        serialize = ProtobufSerializer(kind, client, {"use.deprecated.format": False})
        context = SerializationContext("bench", MessageField.VALUE)
        assert serialize(given[0], context).endswith(given[0].SerializeToString())

        def write() -> None:
            for message in given:
                serialize(message, context)

        return write

    return case


def ours(kind: Any, values: Any, rows: Any) -> Case:
    """Make the case of one input; `rows` are the same records for google.protobuf. Both are callables."""

    def case() -> Any:
        protobuf, given = Protobuf(kind, strict=False), values(N)
        written = [message.SerializeToString() for message in messages(kind, rows(N))]
        assert list(protobuf.encode_batch(given)) == written
        if isinstance(given, list):
            return lambda: protobuf.encode_batch(given)
        return lambda: through(protobuf.bind(given))

    return case


CASES = {
    "protobuf5_google_rows": google(Reading, five_rows),
    "protobuf5_confluent_rows": confluent(Reading, five_rows),
    "protobuf5_messages": ours(Reading, lambda n: messages(Reading, five_rows(n)), five_rows),
    "protobuf5_rows": ours(Reading, five_rows, five_rows),
    "protobuf5_numpy_columns": ours(Reading, five_columns, five_rows),
    "protobuf5_arrow_columns": ours(Reading, five_table, five_rows),
    "protobuf30_google_rows": google(Wide, thirty_rows),
    "protobuf30_confluent_rows": confluent(Wide, thirty_rows),
    "protobuf30_messages": ours(Wide, lambda n: messages(Wide, thirty_rows(n)), thirty_rows),
    "protobuf30_rows": ours(Wide, thirty_rows, thirty_rows),
    "protobuf30_arrow_columns": ours(Wide, thirty_table, thirty_rows),
}

if __name__ == "__main__":
    run(CASES, N)
