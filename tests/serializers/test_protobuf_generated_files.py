"""Generated Protobuf files that import each other, by every way to a registered schema: confluent-kafka judges."""

from __future__ import annotations

import pickle
import random

import pytest

pytest.importorskip("google.type", reason="googleapis-common-protos is not installed")
pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import SerializationContext
from google.protobuf import timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from tests.support.proto_files import proto_class, proto_file, proto_set
from twolane import Protobuf
from twolane.serializers.schema_registry import Registry

GOOGLES = [FileDescriptorProto.FromString(one.DESCRIPTOR.serialized_pb) for one in (timestamp_pb2, wrappers_pb2)]
# Type and a value of it.
SCALARS = [
    ("int32", -5),
    ("string", "ä"),
    ("repeated sint64", [1, -(2**40)]),
    ("optional bool", False),
    ("bytes", b"\0\xff"),
    ("map<string, double>", {"a": 0.5}),
    (".google.protobuf.Int64Value", {"value": 7}),
    (".google.protobuf.Timestamp", {"seconds": 3}),
]
CONTEXT = SerializationContext("t", "value")
BY_TOPIC = {"subject.name.strategy.type": "TOPIC"}


class Files:
    """Up to five files of messages, nested three deep, whose fields are of messages of any file that they import."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.rows: dict[str, dict] = {}
        self.files = []
        self._of_file: dict[str, list[str]] = {}
        for number in range(self._random.randint(1, 5)):
            self._add(f"dir/file_{number}.proto", f"pkg{number}.sub")

    def _add(self, name: str, package: str) -> None:
        known = self._random.sample(sorted(self._of_file), self._random.randint(0, len(self._of_file)))
        imports = [file.name for file in GOOGLES] + known
        usable = [message for file in known for message in self._of_file[file]]
        own: list[str] = []
        messages = {
            f"M{i}": self._message(f"{package}.M{i}", usable, own, 0) for i in range(self._random.randint(1, 4))
        }
        self.files.append(proto_file(name, messages, package=package, imports=imports))
        self._of_file[name] = own

    def _message(self, full: str, usable: list[str], own: list[str], depth: int) -> dict:
        fields: dict = {}
        row: dict = {}
        for i in range(self._random.randint(0, 3) if depth < 3 else 0):
            fields[f"N{i}"] = self._message(f"{full}.N{i}", usable, own, depth + 1)
        for i in range(self._random.randint(0, 4)):
            kind, row[f"f_{i}"] = self._random.choice(SCALARS)
            fields[f"f_{i}"] = kind
        for i, other in enumerate(self._random.sample([*usable, *own], min(len(usable) + len(own), 2))):
            fields[f"m_{i}"], row[f"m_{i}"] = f"repeated .{other}", [self.rows[other], {}]
        self.rows[full] = row
        own.append(full)
        return fields


def registered(client):
    """All that a registry holds."""
    found = {}
    for subject in client.get_subjects():
        schema = client.get_latest_version(subject).schema
        found[subject] = (schema.schema_str, [(one.name, one.subject, one.version) for one in schema.references or ()])
    return found


@pytest.mark.parametrize("seed", range(50))
def test_generated_files(seed):
    made = Files(seed)
    last = made.files[-1]
    compiled = proto_set(*reversed(made.files))
    names = [name for name in made.rows if name.startswith(f"{last.package}.")]
    for name in random.Random(seed).sample(names, min(len(names), 3)):
        kind, row = proto_class(name, *GOOGLES, *made.files), made.rows[name]
        message = kind(**row)
        with (
            SchemaRegistryClient.new_client({"url": "mock://ours"}) as client,
            SchemaRegistryClient.new_client({"url": "mock://theirs"}) as theirs,
        ):
            expected = ProtobufSerializer(kind, theirs, BY_TOPIC)(message, CONTEXT)
            first = Protobuf(kind, registry=client).warm_up("t")
            assert first.encode(message) == expected
            assert registered(client) == registered(theirs)
            assert Protobuf(compiled, registry=client, message=name).warm_up("t").encode(message) == expected
            only = Registry(client, auto_register=False)
            latest = Registry(client, auto_register=False, use_latest=True)
            ways = [
                first,
                Protobuf(kind, registry=only),
                Protobuf(kind, registry=latest),
                Protobuf(kind, registry=client, schema_id=first.schema_id),
                Protobuf(registry=client, message=name),
                Protobuf(registry=client, message=name, schema_id=first.schema_id),
                Protobuf(compiled, registry=latest, message=name),
            ]
            read = ProtobufDeserializer(kind, BY_TOPIC, client)
            for way in ways:
                warm = pickle.loads(pickle.dumps(way.warm_up("t")))
                assert read(warm.encode(row), CONTEXT) == message
                # Classes of other pools have the same definition.
                assert warm.encode_batch([message, row])[0] == expected
